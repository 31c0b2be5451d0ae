//! A connection that carries messages.

use crate::net::ByteStream;
use crate::wire::{DecodeError, Framer, Limits, Message, decode};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc::Receiver;

/// Bytes taken from the connection at once.
const CHUNK: usize = 1024;
/// Time limit for writing one message: a peer that takes nothing for so long is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// What comes out of a connection.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message and its bytes.
    Message(Message, Vec<u8>),
    /// Bytes that are no message; more may follow.
    Undecodable(DecodeError),
    /// The stream cannot be cut into messages any more.
    Broken(DecodeError),
    /// The peer has closed or reset the connection.
    Closed {
        /// In the middle of a message.
        mid_message: bool,
    },
}

/// Reads messages, whatever the reads of the system are.
pub(crate) struct Reader<R> {
    source: R,
    framer: Framer,
    limits: Limits,
    chunk: Box<[u8; CHUNK]>,
}

/// A whole connection, before it belongs to a session.
pub(crate) type Connection = Reader<ByteStream>;

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(source: R, limits: Limits) -> Self {
        Self { source, framer: Framer::new(limits), limits, chunk: Box::new([0; CHUNK]) }
    }

    /// Waits for the next message; nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            match self.framer.next_frame() {
                Ok(Some(frame)) => {
                    return match decode(&frame, &self.limits) {
                        Ok(message) => Incoming::Message(message, frame),
                        Err(error) => Incoming::Undecodable(error),
                    };
                }
                Ok(None) => {}
                Err(error) => return Incoming::Broken(error),
            }
            match self.source.read(&mut self.chunk[..]).await {
                Ok(0) | Err(_) => return Incoming::Closed { mid_message: self.framer.pending() > 0 },
                Ok(read) => self.framer.push(&self.chunk[..read]),
            }
        }
    }
}

impl Connection {
    /// Separates the directions; what has been read already stays with the reader.
    pub(crate) fn split(self) -> (Reader<ReadHalf<ByteStream>>, WriteHalf<ByteStream>) {
        let (source, sink) = split(self.source);
        (Reader { source, framer: self.framer, limits: self.limits, chunk: self.chunk }, sink)
    }

    /// Writes one message and closes.
    pub(crate) async fn answer(mut self, bytes: Vec<u8>) {
        let _ = tokio::time::timeout(WRITE_TIMEOUT, async {
            self.source.write_all(&bytes).await?;
            self.source.shutdown().await
        })
        .await;
    }
}

/// Writes each message in one piece (COM-01), and closes when no more can come.
pub(crate) async fn write_all(mut sink: WriteHalf<ByteStream>, mut messages: Receiver<Vec<u8>>) -> Result<(), String> {
    while let Some(bytes) = messages.recv().await {
        match tokio::time::timeout(WRITE_TIMEOUT, sink.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the peer takes nothing".into()),
        }
    }
    let _ = sink.shutdown().await;
    Ok(())
}

/// The address of a peer as part of what identifies a session: link-local ones with their scope (T-10).
pub(crate) fn scope_of(peer: &SocketAddr) -> u32 {
    match peer {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id(),
        SocketAddr::V6(_) | SocketAddr::V4(_) => 0,
    }
}
