//! Standard output and standard error, written by threads of their own: a reader that stops reading does not stop a node.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Lines that may wait to be written; more are dropped and counted.
const WAITING: usize = 16_384;

/// A stream of whole lines; cloning gives another handle to the same thread.
#[derive(Clone)]
pub(crate) struct Lines {
    shared: Arc<Shared>,
    sender: SyncSender<Vec<u8>>,
    line: Vec<u8>,
}

struct Shared {
    name: &'static str,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    failure: OnceLock<io::ErrorKind>,
}

impl Lines {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::over("standard output", io::stdout())
    }

    /// Standard error.
    pub(crate) fn stderr() -> Self {
        Self::over("standard error", io::stderr())
    }

    fn over(name: &'static str, out: impl Write + Send + 'static) -> Self {
        let (waiting, dropped, failure) = (AtomicUsize::new(0), AtomicU64::new(0), OnceLock::new());
        let shared = Arc::new(Shared { name, waiting, dropped, failure });
        let (sender, lines) = sync_channel(WAITING);
        let writing = shared.clone();
        // The thread ends with the process, or with the last handle.
        std::thread::spawn(move || write(out, &lines, &writing));
        Self { shared, sender, line: Vec::new() }
    }

    /// Tells whether another line would find room.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) < WAITING / 2
    }

    /// Tells whether everything has been written.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) == 0
    }

    /// Waits until everything is written, but not longer than `limit`.
    ///
    /// # Errors
    ///
    /// That of the stream, or a time-out if nobody reads it.
    pub(crate) fn finish(&mut self, limit: Duration) -> io::Result<()> {
        self.flush()?;
        let step = Duration::from_millis(2);
        let mut left = limit;
        while self.shared.waiting.load(Ordering::Acquire) > 0 {
            self.check()?;
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("nobody reads {}", self.shared.name)));
            }
            #[allow(clippy::disallowed_methods, reason = "the runtime has nothing left to do")]
            std::thread::sleep(step);
            left = left.saturating_sub(step);
        }
        self.check()
    }

    /// Lines that nobody took in time.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    fn check(&self) -> io::Result<()> {
        let Some(kind) = self.shared.failure.get() else { return Ok(()) };
        Err(io::Error::new(*kind, format!("cannot write to {}: {kind}", self.shared.name)))
    }

    fn send(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        self.shared.waiting.fetch_add(1, Ordering::AcqRel);
        if let Err(error) = self.sender.try_send(std::mem::take(&mut self.line)) {
            self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
            if matches!(error, TrySendError::Full(_)) {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.check()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.ends_with(b"\n") {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

fn write(mut out: impl Write, lines: &Receiver<Vec<u8>>, shared: &Shared) {
    for line in lines {
        if shared.failure.get().is_none()
            && let Err(error) = out.write_all(&line).and_then(|()| out.flush())
        {
            let _ = shared.failure.set(error.kind());
        }
        shared.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Takes nothing until it is dropped.
    struct Stalled(Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_reader_blocks_nobody() {
        let (_hold, held) = sync_channel(0);
        let mut lines = Lines::over("the test", Stalled(held));
        for _ in 0..2 * WAITING {
            writeln!(lines, "a line").unwrap();
        }
        assert!(!lines.has_room() && lines.dropped() > 0);
        assert_eq!(lines.finish(Duration::from_millis(20)).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_failed_stream_says_which_and_why() {
        let (hold, held) = sync_channel(0);
        let mut lines = Lines::over("the test", Stalled(held));
        writeln!(lines, "a line").unwrap();
        drop(hold);
        let error = lines.finish(Duration::from_secs(10)).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("the test")), (io::ErrorKind::BrokenPipe, true));
    }
}
