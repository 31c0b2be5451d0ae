//! A connection on which each message is one ciphertext.

use super::Counts;
use super::cipher::seal;
use super::deframe::Deframer;
use super::key::GroupKey;
use crate::net::ByteStream;
use crate::protocol::Time;
use crate::wire::Limits;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Reads and writes plain messages; one `poll_write` takes one whole message.
pub(super) struct QuadsStream {
    inner: ByteStream,
    key: Arc<GroupKey>,
    counts: Arc<Counts>,
    deframer: Deframer,
    started: Instant,
    /// The message that is handed on, and how much of it has been.
    message: Vec<u8>,
    handed: usize,
    timer: Option<Pin<Box<Sleep>>>,
    peer_closed: bool,
    failed: bool,
    counted: bool,
    /// The ciphertext that is written, and how much of it has been.
    sealed: Vec<u8>,
    written: usize,
    /// Bytes of the message in it.
    length: usize,
}

impl QuadsStream {
    pub(super) fn new(inner: ByteStream, key: Arc<GroupKey>, limits: Limits, counts: Arc<Counts>) -> Self {
        let deframer = Deframer::new(key.clone(), limits);
        Self {
            inner,
            key,
            counts,
            deframer,
            started: Instant::now(),
            message: Vec::new(),
            handed: 0,
            timer: None,
            peer_closed: false,
            failed: false,
            counted: false,
            sealed: Vec::new(),
            written: 0,
            length: 0,
        }
    }

    /// Hands on what there is of a message; false if there is nothing.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.handed == self.message.len() {
            match self.deframer.poll() {
                Some(message) => (self.message, self.handed) = (message, 0),
                None => return false,
            }
        }
        let rest = &self.message[self.handed..];
        let now = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..now]);
        self.handed += now;
        true
    }

    /// Reads once; false if nothing more is to be read.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let room = self.deframer.room();
        if self.peer_closed || room == 0 {
            return Poll::Ready(Ok(false));
        }
        let mut chunk = vec![0; room];
        let mut read = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut read))?;
        self.peer_closed = read.filled().is_empty();
        self.deframer.push(Time(self.started.elapsed()), read.filled());
        if self.deframer.has_failed() {
            self.count();
        }
        Poll::Ready(Ok(true))
    }

    /// Waits for the end that a message which is not complete has coming; `Ready` at once if there is none.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deframer.deadline() else {
            self.timer = None;
            return Poll::Ready(());
        };
        let deadline = self.started + deadline.0;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }

    fn count(&mut self) {
        if !self.counted {
            self.counted = true;
            self.counts.undecryptable_stream();
        }
    }

    fn poll_sealed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.sealed.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.sealed[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.sealed.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

fn failure() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message that this group's key does not open")
}

impl Drop for QuadsStream {
    /// Whoever limits the time of a first message may let go before the deadline.
    fn drop(&mut self) {
        if self.deframer.deadline().is_some() {
            self.count();
        }
    }
}

impl AsyncRead for QuadsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.failed {
                return Poll::Ready(Err(failure()));
            }
            if this.hand_on(buf) {
                return Poll::Ready(Ok(()));
            }
            // What has arrived counts before the deadline does: whoever reads may have come late.
            match this.poll_inner(cx) {
                Poll::Ready(Ok(true)) => continue,
                Poll::Ready(Ok(false)) if this.deframer.deadline().is_none() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if this.deframer.deadline().is_none() => return Poll::Pending,
                Poll::Pending => {}
            }
            ready!(this.poll_deadline(cx));
            this.failed = true;
            this.count();
        }
    }
}

impl AsyncWrite for QuadsStream {
    /// Takes the whole message once all of its ciphertext is written, so that nothing depends on a flush.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if message.is_empty() {
            return Pin::new(&mut this.inner).poll_write(cx, message);
        }
        if this.failed {
            return Poll::Ready(Err(failure()));
        }
        if this.sealed.is_empty() {
            this.sealed = seal(&this.key, message.to_vec());
            this.length = message.len();
        } else if this.length != message.len() {
            // The last message was given up in the middle; nothing can follow it.
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_sealed(cx))?;
        Poll::Ready(Ok(message.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sealed(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_sealed(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
