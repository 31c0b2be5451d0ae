//! `quads`: the group encryption of the Python implementation, a compatibility mode without integrity.
//!
//! All members share one key. Every message, multicast or on a connection, is one AES-256-CBC ciphertext from a fixed
//! initialization vector, with PKCS#7 padding and nothing else: no authentication, no counter, no length, no mark.
//!
//! # What it does not protect
//!
//! Equal messages look equal, and messages that begin alike look alike for as many blocks. A captured message can be sent
//! again. Blocks can be altered and joined without the key, and nobody sees it as long as the result is a message. So this
//! substrate never calls itself secure.
//!
//! # What an outsider can tell apart
//!
//! With a fixed initialization vector and no authentication, whoever could tell *why* a message was refused could decrypt one
//! byte by byte. So, on a connection, wrong padding, bytes that are no CBOR, an item that is too long or no GRASP message, and a
//! message that is never completed have one reaction in common: nothing is answered, and the connection ends
//! [`FAILURE_DELAY`] after the first byte of that message was read. Until then as many bytes are read as for the longest
//! message: with fewer, the kernel would end the connection by a reset where bytes were left unread, or advertise another
//! window. That the peer has closed changes nothing of it. An undecryptable multicast has no reaction at all. A first message
//! has no more time than the node gives to any: it counts from the start of the connection, so it does not tell either.
//!
//! What remains can be told apart: a message that is opened has the effect that the protocol gives it, at once, also if it was
//! altered or sent again. A connection on which nothing was ever sent, or whose last message was complete, ends as on any other
//! substrate. Sizes, rounded up to the block, times and addresses are in clear. The time from arrival to the first read depends
//! on the load, not on the content.
//!
//! # Free messaging
//!
//! Sessions in which the Python implementation carries bare items without GRASP messages (`gsend`) are not carried.

mod cipher;
mod deframe;
mod file;
mod key;
mod stream;

pub use deframe::{Deframer, FAILURE_DELAY};
pub use key::{GroupKey, IV_SIZE, KEY_SIZE, KeyError, MAX_SECRET_SIZE};

use super::{Secured, Standing, Substrate};
use crate::constants::MAX_MULTICAST_SIZE;
use crate::net::ByteStream;
use crate::protocol::LinkId;
use crate::wire::{Limits, item_end};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use stream::QuadsStream;

/// What this substrate does not promise although its name may suggest it.
pub const CAVEAT: &str = "compatibility mode, no integrity, no protection against replay";

/// The substrate of one node in a group.
pub struct Quads {
    key: Arc<GroupKey>,
    depth: usize,
    /// Bytes of the longest message on a connection; grows with the objectives that are registered.
    size: AtomicUsize,
    counts: Arc<Counts>,
}

/// What could not be opened.
#[derive(Default)]
struct Counts {
    multicasts: AtomicU64,
    streams: AtomicU64,
}

impl Counts {
    fn undecryptable_stream(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }
}

impl Quads {
    /// For the group with this key; `limits` are the node's own for received messages.
    #[must_use]
    pub fn new(key: GroupKey, limits: Limits) -> Self {
        let size = AtomicUsize::new(limits.size);
        Self { key: Arc::new(key), depth: limits.depth, size, counts: Arc::default() }
    }

    fn opened(&self, datagram: Vec<u8>) -> Option<Vec<u8>> {
        let message = cipher::open(&self.key, datagram)?;
        let end = item_end(&message, 0, self.depth).ok()?;
        (end == message.len()).then_some(message)
    }
}

impl Substrate for Quads {
    fn name(&self) -> &'static str {
        "quads"
    }

    fn is_secure(&self) -> bool {
        false
    }

    fn is_ready(&self) -> bool {
        true
    }

    /// As many as become a ciphertext of the usual size.
    fn multicast_size(&self) -> usize {
        cipher::message_size(MAX_MULTICAST_SIZE)
    }

    fn expect_size(&self, size: usize) {
        self.size.fetch_max(size, Ordering::Relaxed);
    }

    fn seal(&self, _: LinkId, message: Vec<u8>) -> Vec<u8> {
        cipher::seal(&self.key, message)
    }

    /// Anything else than exactly one CBOR item may belong to another group on the link.
    fn open(&self, _: LinkId, datagram: Vec<u8>) -> Option<Vec<u8>> {
        let opened = self.opened(datagram);
        if opened.is_none() {
            self.counts.multicasts.fetch_add(1, Ordering::Relaxed);
        }
        opened
    }

    fn connect(&self, stream: ByteStream, _: SocketAddr) -> BoxFuture<'static, io::Result<Secured>> {
        self.accept(stream)
    }

    fn accept(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<Secured>> {
        let limits = Limits { size: self.size.load(Ordering::Relaxed), depth: self.depth };
        let stream = QuadsStream::new(stream, self.key.clone(), limits, self.counts.clone());
        Box::pin(async { Ok(Secured { stream: Box::new(stream), member: None }) })
    }

    fn standing(&self) -> Standing {
        let facts = BTreeMap::from([("key".to_owned(), self.key.fingerprint())]);
        Standing { caveat: Some(CAVEAT), facts, warnings: Vec::new() }
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let Counts { multicasts, streams } = &*self.counts;
        let read = |name: &str, count: &AtomicU64| (name.to_owned(), count.load(Ordering::Relaxed));
        BTreeMap::from([read("undecryptable_multicasts", multicasts), read("undecryptable_streams", streams)])
    }
}
