//! Who had an address, and when: reads the ledger (RFC 8992 section 4.4, PM-L-01).

use super::error::Error;
use super::files::{Birth, Home};
use super::line::{Entry, Stamp};
use super::record::{Changed, Key};
use super::segment::{self, SNAPSHOT};
use super::snapshot;
use crate::pool::record::{Record, State};
use crate::prefix::Prefix;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use time::OffsetDateTime;

/// Entries that are returned at most: the latest ones.
const ENTRIES: usize = 100_000;
/// Tries, if the store closes or removes segments meanwhile.
const TRIES: usize = 3;

/// A change of a block that contains the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// When, by the wall clock of the node.
    #[serde(serialize_with = "stamp")]
    pub time: OffsetDateTime,
    /// Number of the line in the ledger; entries with the same number happened at once, as when a block was split.
    pub line: u64,
    /// The block.
    pub block: Prefix,
    /// Its state before; `None` if there was no such block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<State>,
    /// Its state after; `None` if there is no such block any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<State>,
    /// It was so already when the part of the ledger that is kept begins; `time` is when that is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub earlier: bool,
}

fn stamp<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    Stamp::of(*time).serialize(serializer)
}

/// What the ledger says about an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// When the part of the ledger that is kept begins: nothing is known of the time before.
    #[serde(serialize_with = "stamp")]
    pub since: OffsetDateTime,
    /// In the order in which they happened.
    pub entries: Vec<HistoryEntry>,
    /// Entries that were left out because there are more than 100 000.
    pub omitted: u64,
}

/// All changes of blocks that contain an address; with `at`, only the last change before that moment of the blocks that
/// there were then, which says who had the address.
///
/// Reads the files and writes nothing, so it works while a process has the store open, and on a store whose database is lost.
/// The order of lines decides, not their times: the node's clock may have been set back.
///
/// # Errors
///
/// [`Error::Missing`], [`Error::Damaged`] with segment and line, [`Error::Io`], [`Error::Format`].
pub fn history(dir: &Path, address: IpAddr, at: Option<OffsetDateTime>) -> Result<History, Error> {
    let home = Home::at(dir);
    let mut tried = 0;
    loop {
        match search(&home, address, at) {
            Err(Error::Io { .. } | Error::Damaged { .. }) if tried < TRIES => tried += 1,
            other => return other,
        }
    }
}

fn search(home: &Home, address: IpAddr, at: Option<OffsetDateTime>) -> Result<History, Error> {
    if !home.is_inhabited()? {
        return Err(Error::Missing { path: home.dir.clone() });
    }
    // The ledger alone is enough.
    let birth = Birth::read(&home.birth).or_else(|error| segment::identity(&home.ledger).ok_or(error))?.birth;
    let segments = segment::list(&home.ledger)?;
    let mut found = Found { at, ..Found::default() };
    let mut since = None;
    for (place, number) in segments.iter().enumerate() {
        if place == 0 {
            let head = segment::head_of(&home.ledger, *number, &birth)?;
            since = Some(head.time.0);
            let path = segment::path(&home.ledger, *number, SNAPSHOT);
            if path.exists() {
                snapshot::read(&path, *number, &birth, |record| {
                    if let Record::Block { block, state } = record
                        && block.holds(address)
                    {
                        let (time, line) = (head.time.0, head.after);
                        found.add(HistoryEntry { time, line, block, from: None, to: Some(state), earlier: true });
                    }
                    Ok(())
                })?;
            }
        }
        let last = place + 1 == segments.len();
        segment::read_batches(&home.ledger, *number, &birth, last, |entries, _| {
            for Entry { seq, time, changes, .. } in entries {
                for Changed { key, from, to } in changes {
                    if let Key::Block(block) = key
                        && block.holds(address)
                    {
                        let (from, to) = (from.and_then(state), to.and_then(state));
                        found.add(HistoryEntry { time: time.0, line: seq, block, from, to, earlier: false });
                    }
                }
            }
            Ok(())
        })?;
    }
    let since = since.ok_or_else(|| Error::damaged(&home.ledger, "the ledger has no segment"))?;
    let entries = if at.is_some() { found.then.into_values().collect() } else { found.all.into() };
    Ok(History { since, entries, omitted: found.omitted })
}

fn state(record: Record) -> Option<State> {
    match record {
        Record::Block { state, .. } => Some(state),
        Record::Life(_) | Record::Aggregate { .. } | Record::Session { .. } => None,
    }
}

#[derive(Default)]
struct Found {
    at: Option<OffsetDateTime>,
    /// A line is later than the moment that is asked for.
    over: bool,
    /// What is so at the moment that is asked for.
    then: BTreeMap<Prefix, HistoryEntry>,
    all: VecDeque<HistoryEntry>,
    omitted: u64,
}

impl Found {
    fn add(&mut self, entry: HistoryEntry) {
        let Some(at) = self.at else {
            if self.all.len() >= ENTRIES {
                self.all.pop_front();
                self.omitted += 1;
            }
            self.all.push_back(entry);
            return;
        };
        self.over |= entry.time > at;
        match &entry.to {
            _ if self.over => None,
            Some(_) => self.then.insert(entry.block, entry),
            None => self.then.remove(&entry.block),
        };
    }
}
