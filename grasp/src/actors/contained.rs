//! Panics in what handles input from the network cost that input, not the actor that took it.

use super::tally::Tally;
use crate::net::ByteStream;
use futures_util::FutureExt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Does this, or counts that it panicked and that `lost` is lost.
///
/// What `work` may have left half done must not be used again; so it takes what it changes by value, or only reads, or the
/// caller lets go of it after a panic.
pub(crate) fn contained<T>(tally: &Tally, lost: &'static str, work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| count(tally, lost)).ok()
}

/// As [`contained`], for work that waits; after a panic the future is not polled again.
pub(crate) async fn contained_wait<F: Future>(tally: &Tally, lost: &'static str, work: F) -> Option<F::Output> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| count(tally, lost)).ok()
}

fn count(tally: &Tally, lost: &'static str) {
    tracing::error!(lost, "a panic was contained");
    tally.count("panics_contained", lost);
}

/// A connection that fails where the substrate under it panics; it is not used again then.
pub(crate) struct Sheltered {
    stream: Option<ByteStream>,
    tally: Tally,
}

impl Sheltered {
    pub(crate) fn new(stream: ByteStream, tally: Tally) -> Self {
        Self { stream: Some(stream), tally }
    }

    fn poll<T>(&mut self, poll: impl FnOnce(Pin<&mut ByteStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let failed = || Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        let Some(mut stream) = self.stream.take() else { return failed() };
        let polled = contained(&self.tally, "connection", move || {
            let polled = poll(Pin::new(&mut stream));
            (stream, polled)
        });
        let Some((stream, polled)) = polled else { return failed() };
        self.stream = Some(stream);
        polled
    }
}

impl AsyncRead for Sheltered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Sheltered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|stream| stream.poll_shutdown(cx))
    }
}
