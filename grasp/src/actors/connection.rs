//! A connection that carries messages.

use super::contained::{Sheltered, contained};
use super::surroundings::Surroundings;
use super::tally::Tally;
use crate::net::ByteStream;
use crate::wire::{DecodeError, Framer, Limits, Message, decode};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, oneshot};

/// Bytes taken from the connection at once.
const CHUNK: usize = 1024;
/// Time limit for writing one message: a peer that takes nothing for so long is dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Messages of a session that wait to be written; the core paces them, so more means that the peer takes nothing.
const OUTGOING: usize = 16;

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
        /// Not in order: more may have been sent than was heard.
        reset: bool,
    },
}

/// Reads messages, whatever the reads of the system are.
pub(crate) struct Reader<R> {
    source: R,
    framer: Framer,
    limits: Limits,
    tally: Tally,
    chunk: Box<[u8; CHUNK]>,
}

/// A whole connection, before it belongs to a session.
pub(crate) type Connection = Reader<Sheltered>;

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Waits for the next message; nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            // After the end of a connection nobody reads on, so a framer that has panicked is not used again.
            let framed = contained(&self.tally, "connection", || self.framer.next_frame());
            let Some(framed) = framed else { return Incoming::Closed { mid_message: true, reset: false } };
            match framed {
                Ok(Some(frame)) => match contained(&self.tally, "decode", || decode(&frame, &self.limits)) {
                    Some(Ok(message)) => return Incoming::Message(message, frame),
                    Some(Err(error)) => return Incoming::Undecodable(error),
                    None => continue,
                },
                Ok(None) => {}
                Err(error) => return Incoming::Broken(error),
            }
            match self.source.read(&mut self.chunk[..]).await {
                Ok(0) => return Incoming::Closed { mid_message: self.framer.pending() > 0, reset: false },
                Err(_) => return Incoming::Closed { mid_message: self.framer.pending() > 0, reset: true },
                Ok(read) => self.framer.push(&self.chunk[..read]),
            }
        }
    }
}

impl Connection {
    pub(crate) fn new(stream: ByteStream, around: &Surroundings) -> Self {
        Self::with_limits(stream, around, around.limits())
    }

    pub(crate) fn with_limits(stream: ByteStream, around: &Surroundings, limits: Limits) -> Self {
        let (tally, chunk) = (around.tally.clone(), Box::new([0; CHUNK]));
        let source = Sheltered::new(stream, tally.clone());
        Self { source, framer: Framer::new(limits), limits, tally, chunk }
    }

    /// Separates the directions; what has been read already stays with the reader.
    pub(crate) fn split(self) -> (Reader<ReadHalf<Sheltered>>, WriteHalf<Sheltered>) {
        let (source, sink) = split(self.source);
        let (framer, limits, tally, chunk) = (self.framer, self.limits, self.tally, self.chunk);
        (Reader { source, framer, limits, tally, chunk }, sink)
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

/// The writing half of a session's connection. Dropped, what was sent is still written before the connection closes.
pub(crate) struct Outgoing(mpsc::Sender<Word>);

/// What an [`Outgoing`] sends to its writer.
pub(crate) enum Word {
    Message(Bytes),
    /// Tell whether the connection has been reset.
    Probe(oneshot::Sender<bool>),
    /// Nothing comes after this.
    Last(Bytes),
}

impl Outgoing {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Word>) {
        Self::with_room(OUTGOING)
    }

    /// For so many messages that wait.
    pub(crate) fn with_room(messages: usize) -> (Self, mpsc::Receiver<Word>) {
        // One place is kept for the last words.
        let (words, written) = mpsc::channel(messages + 1);
        (Self(words), written)
    }

    /// Sends one message; tells whether there was room. A writer that has failed reports that by itself.
    /// The bytes are shared with other writers of the same, so that many who take nothing hold one copy of it.
    pub(crate) fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.0.is_closed() || self.0.capacity() > 1 && self.0.try_send(Word::Message(bytes.into())).is_ok()
    }

    /// Tells whether the connection has been reset; whoever writes no more, because that has failed, does not answer.
    pub(crate) fn probe(&self) -> oneshot::Receiver<bool> {
        let (answer, reset) = oneshot::channel();
        let _ = self.0.try_send(Word::Probe(answer));
        reset
    }

    /// Sends this as the last message of all. Never waits, never fails.
    pub(crate) fn part(self, last_words: Vec<u8>) {
        let _ = self.0.try_send(Word::Last(last_words.into()));
    }
}

/// Writes each message in one piece (COM-01), last words at least `gap` after the others, and closes when no more can come.
pub(crate) async fn write_all(
    mut sink: WriteHalf<Sheltered>,
    mut words: mpsc::Receiver<Word>,
    gap: Duration,
) -> Result<(), String> {
    while let Some(word) = words.recv().await {
        let bytes = match word {
            Word::Message(bytes) => bytes,
            Word::Probe(answer) => {
                // Writing nothing sends nothing, and fails on a connection that has been reset.
                let _ = answer.send(sink.write(&[]).await.is_err());
                continue;
            }
            Word::Last(bytes) => {
                tokio::time::sleep(gap).await;
                bytes
            }
        };
        write(&mut sink, &bytes).await?;
    }
    let _ = sink.shutdown().await;
    Ok(())
}

async fn write(sink: &mut WriteHalf<Sheltered>, bytes: &[u8]) -> Result<(), String> {
    // A substrate may keep what the transport does not take at once.
    let written = async {
        sink.write_all(bytes).await?;
        sink.flush().await
    };
    match tokio::time::timeout(WRITE_TIMEOUT, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the peer takes nothing".into()),
    }
}

/// The address of a peer as part of what identifies a session: link-local ones with their scope (T-10).
pub(crate) fn scope_of(peer: &SocketAddr) -> u32 {
    match peer {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id(),
        SocketAddr::V6(_) | SocketAddr::V4(_) => 0,
    }
}
