//! Two ends of a pipe, and what crossed it.

use grasp::net::ByteStream;
use grasp::substrate::tls::TlsSubstrate;
use grasp::substrate::{Secured, Substrate};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// Where tests dial if they say nothing else: nobody's address.
pub const ANYWHERE: &str = "[::1]:7017";

/// What one end has written, write by write.
pub type Written = Arc<Mutex<Vec<Vec<u8>>>>;

/// Takes down what is written.
pub struct Tapped {
    inner: DuplexStream,
    pub written: Written,
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.written.lock().unwrap().push(bytes[..written].to_vec());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(cx, &all)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Both ends of a pipe, and what each writes.
pub fn pipe() -> [(ByteStream, Written); 2] {
    let (one, other) = duplex(65_536);
    [one, other].map(|inner| {
        let written = Written::default();
        (Box::new(Tapped { inner, written: written.clone() }) as ByteStream, written)
    })
}

/// Lets `client` dial `server` at an address.
pub async fn dial_at(
    client: &TlsSubstrate,
    server: &TlsSubstrate,
    at: &str,
) -> (io::Result<Secured>, io::Result<Secured>, [Written; 2]) {
    let [(near, sent), (far, answered)] = pipe();
    let to: SocketAddr = at.parse().unwrap();
    let (dialled, accepted) = tokio::join!(connect(client, near, to), server.accept(far));
    (dialled, accepted, [sent, answered])
}

/// Connects, and sees to it that the last flight leaves as it does with the first bytes.
async fn connect(client: &TlsSubstrate, stream: ByteStream, to: SocketAddr) -> io::Result<Secured> {
    use tokio::io::AsyncWriteExt;
    let mut secured = client.connect(stream, to).await?;
    secured.stream.flush().await?;
    Ok(secured)
}

pub async fn dial(client: &TlsSubstrate, server: &TlsSubstrate) -> (io::Result<Secured>, io::Result<Secured>) {
    let (dialled, accepted, _) = dial_at(client, server, ANYWHERE).await;
    (dialled, accepted)
}

/// A connection between two members.
pub async fn connected(client: &TlsSubstrate, server: &TlsSubstrate) -> (Secured, Secured) {
    let (dialled, accepted) = dial(client, server).await;
    (dialled.unwrap(), accepted.unwrap())
}

/// How often something was counted.
pub fn count(substrate: &TlsSubstrate, name: &str) -> u64 {
    substrate.counters().get(name).copied().unwrap_or(0)
}

/// The error, which there must be.
pub fn refused(result: io::Result<Secured>) -> String {
    result.err().expect("an error").to_string()
}

/// All bytes of one end in one piece.
pub fn bytes(written: &Written) -> Vec<u8> {
    written.lock().unwrap().concat()
}

/// A connection of which both directions are taken down.
pub fn overheard(inner: ByteStream, heard: Arc<Mutex<Vec<u8>>>) -> ByteStream {
    Box::new(Overheard { inner, heard })
}

struct Overheard {
    inner: ByteStream,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Overheard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.heard.lock().unwrap().extend(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.heard.lock().unwrap().extend(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
