//! Cuts a stream of ciphertexts into messages. Pure.

use super::cipher::{BLOCK, Unsealing, is_padding, sealed_size};
use super::key::GroupKey;
use crate::protocol::Time;
use crate::wire::{Framer, Limits, decode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A stream on which a message has failed, or is not complete, ends so long after that message's first byte.
pub const FAILURE_DELAY: Duration = Duration::from_secs(5);

/// Bytes that are taken at once where no message is under way.
const CHUNK: usize = 1024;

/// Finds the messages in a stream, whatever the reads were.
///
/// A ciphertext says nothing of its length, so the message in it has to: it ends where its CBOR item ends, the ciphertext in
/// the same block or, after an item that fills its block, one block later. What follows the item must be exactly its padding.
///
/// A message that fails is treated as one that is never completed: as many bytes are taken as for the longest message, then
/// none any more.
pub struct Deframer {
    key: Arc<GroupKey>,
    limits: Limits,
    under_way: Option<UnderWay>,
    ready: VecDeque<Vec<u8>>,
}

/// A message whose end has not come.
struct UnderWay {
    since: Time,
    /// Bytes of ciphertext so far.
    taken: usize,
    /// `None` once it has failed.
    parts: Option<Parts>,
}

struct Parts {
    unsealing: Unsealing,
    /// The block that is not complete.
    block: [u8; BLOCK],
    filled: usize,
    framer: Framer,
    /// The message, once only its padding is missing.
    item: Option<Vec<u8>>,
}

/// Where a message is after a block.
enum Progress {
    Open,
    Complete(Vec<u8>),
    Failed,
}

impl Deframer {
    /// For messages under `key` and within `limits`.
    #[must_use]
    pub fn new(key: Arc<GroupKey>, limits: Limits) -> Self {
        Self { key, limits, under_way: None, ready: VecDeque::new() }
    }

    /// How many bytes to read next, at most; 0 once nothing is read any more.
    #[must_use]
    pub fn room(&self) -> usize {
        let taken = self.under_way.as_ref().map_or(0, |message| message.taken);
        sealed_size(self.limits.size).saturating_sub(taken).min(CHUNK)
    }

    /// Takes bytes as they came; those for which there is no [room](Self::room) are ignored.
    pub fn push(&mut self, now: Time, bytes: &[u8]) {
        let mut rest = &bytes[..bytes.len().min(self.room())];
        while !rest.is_empty() {
            let key = &self.key;
            let message = self.under_way.get_or_insert_with(|| UnderWay::new(key, self.limits, now));
            match message.take(&mut rest, &self.limits) {
                Progress::Open => {}
                Progress::Complete(item) => {
                    self.ready.push_back(item);
                    self.under_way = None;
                }
                Progress::Failed => message.parts = None,
            }
        }
    }

    /// The next message, without its padding.
    pub fn poll(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// When the stream is to end in an error, unless the message that is under way is complete by then; `None` between
    /// messages.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.under_way.as_ref().map(|message| message.since + FAILURE_DELAY)
    }

    /// Whether the message that is under way has failed already; only counters may depend on that.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.under_way.as_ref().is_some_and(|message| message.parts.is_none())
    }

    /// Bytes that it holds, for a bound on its memory.
    #[must_use]
    pub fn held(&self) -> usize {
        let parts = self.under_way.as_ref().and_then(|message| message.parts.as_ref());
        let open = parts.map_or(0, |parts| parts.framer.pending() + parts.item.as_ref().map_or(0, Vec::len) + BLOCK);
        open + self.ready.iter().map(Vec::len).sum::<usize>()
    }
}

impl UnderWay {
    fn new(key: &GroupKey, limits: Limits, since: Time) -> Self {
        let unsealing = Unsealing::new(key);
        let parts = Parts { unsealing, block: [0; BLOCK], filled: 0, framer: Framer::new(limits), item: None };
        Self { since, taken: 0, parts: Some(parts) }
    }

    /// Takes what belongs to the block at hand; of a message that has failed, everything.
    fn take(&mut self, rest: &mut &[u8], limits: &Limits) -> Progress {
        let Some(parts) = &mut self.parts else {
            self.taken += rest.len();
            *rest = &[];
            return Progress::Open;
        };
        let (now, later) = rest.split_at(rest.len().min(BLOCK - parts.filled));
        *rest = later;
        self.taken += now.len();
        parts.block[parts.filled..parts.filled + now.len()].copy_from_slice(now);
        parts.filled += now.len();
        if parts.filled < BLOCK { Progress::Open } else { parts.end_block(limits) }
    }
}

impl Parts {
    fn end_block(&mut self, limits: &Limits) -> Progress {
        self.filled = 0;
        self.unsealing.block(&mut self.block);
        self.framer.push(&self.block);
        if self.item.is_none() {
            match self.framer.next_frame() {
                Ok(Some(item)) if decode(&item, limits).is_err() => return Progress::Failed,
                Ok(Some(item)) => self.item = Some(item),
                Ok(None) => return Progress::Open,
                Err(_) => return Progress::Failed,
            }
        }
        // What the framer has not taken is what follows the item: a part of this block, or all of the next one.
        let behind = self.framer.pending();
        match self.item.take() {
            Some(item) if behind == 0 => {
                self.item = Some(item);
                Progress::Open
            }
            Some(item) if is_padding(&self.block[BLOCK - behind.min(BLOCK)..]) => Progress::Complete(item),
            Some(_) | None => Progress::Failed,
        }
    }
}
