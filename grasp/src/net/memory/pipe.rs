//! A connection of the fabric: two directions, each a queue of chunks with their time of arrival.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes in flight in one direction before a writer waits.
const WINDOW: usize = 65_536;

type CutTest = Arc<dyn Fn() -> bool + Send + Sync>;

#[derive(Default)]
struct Direction {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    queued: usize,
    closed: Option<Instant>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Direction>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Direction> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end of a connection.
pub(super) struct Pipe {
    incoming: Shared,
    outgoing: Shared,
    latency: Duration,
    is_cut: CutTest,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pipe {
    pub(super) fn pair(latency: Duration, is_cut: CutTest) -> (Self, Self) {
        let (a, b) = (Shared::default(), Shared::default());
        let end = |incoming: &Shared, outgoing: &Shared| Self {
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            latency,
            is_cut: is_cut.clone(),
            timer: None,
        };
        (end(&a, &b), end(&b, &a))
    }

    fn close_outgoing(&self) {
        // Across a cut not even the end of the connection is heard.
        if (self.is_cut)() {
            return;
        }
        let mut outgoing = self.outgoing.lock();
        let due = Instant::now() + self.latency;
        outgoing.closed.get_or_insert(due);
        if let Some(waker) = outgoing.reader.take() {
            waker.wake();
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let due = {
                let mut incoming = self.incoming.lock();
                let now = Instant::now();
                let closed = incoming.closed;
                match (incoming.chunks.front_mut(), closed) {
                    (Some((due, chunk)), _) if *due <= now => {
                        let taken = chunk.len().min(buf.remaining());
                        buf.put_slice(&chunk[..taken]);
                        chunk.drain(..taken);
                        if chunk.is_empty() {
                            incoming.chunks.pop_front();
                        }
                        incoming.queued -= taken;
                        if let Some(waker) = incoming.writer.take() {
                            waker.wake();
                        }
                        return Poll::Ready(Ok(()));
                    }
                    (Some((due, _)), _) => *due,
                    (None, Some(due)) if due <= now => return Poll::Ready(Ok(())),
                    (None, Some(due)) => due,
                    (None, None) => {
                        incoming.reader = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                }
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if (self.is_cut)() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let mut outgoing = self.outgoing.lock();
        if outgoing.reader_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if outgoing.queued >= WINDOW {
            outgoing.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(WINDOW - outgoing.queued);
        outgoing.queued += taken;
        outgoing.chunks.push_back((Instant::now() + self.latency, bytes[..taken].to_vec()));
        if let Some(waker) = outgoing.reader.take() {
            waker.wake();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close_outgoing();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.close_outgoing();
        let mut incoming = self.incoming.lock();
        incoming.reader_gone = true;
        if let Some(waker) = incoming.writer.take() {
            waker.wake();
        }
    }
}
