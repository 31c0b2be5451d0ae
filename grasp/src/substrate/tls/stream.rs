//! A connection inside TLS.

use super::handshake::alerted;
use super::state::{Shared, Watched};
use crate::net::ByteStream;
use rustls::Connection;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection to one member.
///
/// It ends as soon as its peer is no member any more, before any byte is handed on or taken. Writing no bytes writes no bytes to
/// the transport either. The end of the transport without TLS's own end is an error, since an attacker can make it.
pub(super) struct TlsStream {
    io: ByteStream,
    tls: Connection,
    watched: Watched,
    shared: Arc<Shared>,
    /// A writer waits for the transport and will push on what is pending.
    writer_waits: bool,
    /// A reader has left what is pending for the writer to send along, once.
    left: bool,
    closing: bool,
    failed: bool,
}

impl TlsStream {
    pub(super) fn new(io: ByteStream, tls: Connection, shared: Arc<Shared>, watched: Watched) -> Self {
        Self { io, tls, watched, shared, writer_waits: false, left: false, closing: false, failed: false }
    }

    fn check(&mut self) -> io::Result<()> {
        self.watched.check(self.tls.peer_certificates()).map_err(|refusal| {
            self.failed = true;
            io::Error::new(io::ErrorKind::PermissionDenied, refusal)
        })
    }

    /// Pushes all that is pending on behalf of a writer.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pushed = push(&mut self.io, &mut self.tls, cx);
        self.writer_waits = pushed.is_pending();
        pushed
    }

    /// Sends what is pending while nobody writes: the last flight of a handshake, a ticket, an answer to a change of keys. The
    /// first time it is left for a writer whose turn comes before the next one of this reader, so that both leave together.
    fn push_beside(&mut self, cx: &mut Context<'_>) {
        if !self.tls.wants_write() || self.writer_waits {
            return;
        }
        if self.left {
            // What cannot be sent shows at the next write; what has come before can still be read.
            let _ = push(&mut self.io, &mut self.tls, cx);
        } else {
            self.left = true;
            cx.waker().wake_by_ref();
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check()?;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match this.tls.reader().read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            match pull(&mut this.io, &mut this.tls, cx) {
                Poll::Pending => {
                    this.push_beside(cx);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) => {}
            }
            if let Err(error) = this.tls.process_new_packets() {
                this.failed = true;
                // The alert, as far as it goes.
                let _ = push(&mut this.io, &mut this.tls, cx);
                return Poll::Ready(Err(alerted(&this.shared, &error).unwrap_or_else(|| {
                    this.shared.counts.count("tls_failed", "protocol");
                    io::Error::new(io::ErrorKind::InvalidData, error)
                })));
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check()?;
        if bytes.is_empty() {
            return Pin::new(&mut this.io).poll_write(cx, bytes);
        }
        loop {
            // TLS takes as much as its buffer has room for.
            let taken = this.tls.writer().write(bytes)?;
            match this.poll_push(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending if taken > 0 => return Poll::Ready(Ok(taken)),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        std::task::ready!(this.poll_push(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing && !this.failed {
            this.closing = true;
            this.tls.send_close_notify();
        }
        std::task::ready!(this.poll_push(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl Drop for TlsStream {
    /// An end without shutdown is an end in order, as without TLS; as far as it can be said without waiting.
    fn drop(&mut self) {
        if !self.closing && !self.failed && !std::thread::panicking() {
            self.tls.send_close_notify();
            let _ = push(&mut self.io, &mut self.tls, &mut Context::from_waker(Waker::noop()));
        }
    }
}

/// Writes all that TLS has to say.
pub(super) fn push(io: &mut ByteStream, tls: &mut Connection, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while tls.wants_write() {
        match tls.write_tls(&mut Blocking { io, cx }) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

/// Reads once; TLS has yet to process what came. No bytes are the end.
pub(super) fn pull(io: &mut ByteStream, tls: &mut Connection, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    match tls.read_tls(&mut Blocking { io, cx }) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        read => Poll::Ready(read),
    }
}

/// The transport as rustls wants it: what would wait says so.
struct Blocking<'a, 'b> {
    io: &'a mut ByteStream,
    cx: &'a mut Context<'b>,
}

fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Blocking<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(bytes);
        at_once(Pin::new(&mut *self.io).poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl Write for Blocking<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.io).poll_write_vectored(self.cx, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
