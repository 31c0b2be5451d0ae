//! A connection of the fabric: two directions, each a queue of chunks with their time of arrival.
//!
//! It ends as the kernel's connections do: an end that is closed lets the other one read everything and then the end; data
//! that it has not read, or that arrives later, is answered with a reset. After the end, that shows in writing only.

use super::power::{Between, Path, down};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes in flight in one direction before a writer waits.
const WINDOW: usize = 65_536;

#[derive(Default)]
struct Direction {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    queued: usize,
    closed: Option<Instant>,
    /// When the reader of this direction hears that the connection is reset.
    reset: Option<Instant>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn reset(&mut self, due: Instant) {
        self.reset = Some(self.reset.map_or(due, |known| known.min(due)));
        self.wake();
    }

    fn is_reset(&self) -> bool {
        self.reset.is_some_and(|due| due <= Instant::now())
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Direction>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Direction> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end of a connection, as its node's kernel has it.
pub(super) struct End {
    incoming: Shared,
    outgoing: Shared,
    latency: Duration,
    path: Arc<Path>,
    side: usize,
}

/// One end of a connection, as its process holds it.
pub(super) struct Pipe {
    end: Arc<End>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pipe {
    pub(super) fn pair(latency: Duration, path: &Arc<Path>) -> (Self, Self) {
        let (a, b) = (Shared::default(), Shared::default());
        let end = |side, incoming: &Shared, outgoing: &Shared| {
            let (incoming, outgoing, path) = (incoming.clone(), outgoing.clone(), path.clone());
            Self { end: Arc::new(End { incoming, outgoing, latency, path, side }), timer: None }
        };
        (end(0, &a, &b), end(1, &b, &a))
    }

    pub(super) fn end(&self) -> Weak<End> {
        Arc::downgrade(&self.end)
    }
}

impl End {
    fn between(&self) -> Between {
        self.path.between(self.side)
    }

    fn close_outgoing(&self) {
        // Across a cut not even the end of the connection is heard.
        if self.between() != Between::Open {
            return;
        }
        let mut outgoing = self.outgoing.lock();
        let due = Instant::now() + self.latency;
        outgoing.closed.get_or_insert(due);
        outgoing.wake();
    }

    /// Closes both directions, as the kernel does it for who lets go of a socket.
    pub(super) fn close(&self) {
        if self.between() == Between::Dead {
            return;
        }
        let now = Instant::now();
        let (unread, late) = {
            let mut incoming = self.incoming.lock();
            incoming.reader_gone = true;
            incoming.wake();
            let dues = || incoming.chunks.iter().map(|(due, _)| *due);
            (dues().any(|due| due <= now), dues().find(|due| *due > now))
        };
        if !unread {
            self.close_outgoing();
        }
        let reset = if unread { Some(now) } else { late };
        if let Some(sent) = reset.filter(|_| self.between() == Between::Open) {
            self.outgoing.lock().reset(sent + self.latency);
        }
    }

    /// Lets whoever reads or writes here look anew.
    pub(super) fn wake(&self) {
        self.incoming.lock().wake();
        self.outgoing.lock().wake();
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let end = self.end.clone();
        loop {
            if end.between() == Between::Dead {
                return Poll::Ready(Err(down()));
            }
            let due = {
                let mut incoming = end.incoming.lock();
                let now = Instant::now();
                let (closed, reset) = (incoming.closed, incoming.reset);
                let ready = |due: Option<Instant>| due.is_some_and(|due| due <= now);
                match incoming.chunks.front_mut() {
                    Some((due, chunk)) if *due <= now => {
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
                    // As the kernel's, a reset after the end can be told by writing only.
                    None if ready(closed) && closed <= reset.or(closed) => return Poll::Ready(Ok(())),
                    _ if ready(reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                    Some((due, _)) => reset.map_or(*due, |reset| reset.min(*due)),
                    None => match closed.into_iter().chain(reset).min() {
                        Some(due) => due,
                        None => {
                            incoming.reader = Some(cx.waker().clone());
                            return Poll::Pending;
                        }
                    },
                }
            };
            // What comes meanwhile may be due earlier.
            end.incoming.lock().reader = Some(cx.waker().clone());
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
        let end = &self.end;
        let between = end.between();
        if between != Between::Dead && end.incoming.lock().is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if bytes.is_empty() || matches!(between, Between::Dead | Between::Silent) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let mut outgoing = end.outgoing.lock();
        if outgoing.reader_gone || between == Between::Unknown {
            drop(outgoing);
            // It travels there, and the reset back.
            end.incoming.lock().reset(Instant::now() + end.latency * 2);
            return Poll::Ready(Ok(bytes.len()));
        }
        if outgoing.queued >= WINDOW {
            outgoing.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(WINDOW - outgoing.queued);
        outgoing.queued += taken;
        outgoing.chunks.push_back((Instant::now() + end.latency, bytes[..taken].to_vec()));
        if let Some(waker) = outgoing.reader.take() {
            waker.wake();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.close_outgoing();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.end.close();
    }
}
