//! A batch of changes, folded to what becomes of each key, and cut into lines.

use super::error::Error;
use super::line::{self, Entry, SPLIT, Stamp};
use super::record::{Changed, Key, Sum};
use super::tables::Last;
use crate::pool::record::Record;
use asa_framework::roles::store::Change;
use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of each key, and of the sum over all records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Batch {
    /// In the order of keys, each once, and none that ends as it began.
    pub(super) changes: Vec<Changed>,
}

impl Batch {
    /// Applies changes one after the other to what is there, in thought.
    pub(super) fn fold(
        changes: Vec<Change<Record>>,
        mut there: impl FnMut(Key) -> Result<Option<Record>, Error>,
    ) -> Result<Self, Error> {
        // A set, since the new state of a block may come in before its old one goes out.
        let mut keys: BTreeMap<Key, (Option<Record>, BTreeSet<Record>)> = BTreeMap::new();
        for change in changes {
            let record = match &change {
                Change::Put(record) | Change::Delete(record) => record,
            };
            let key = Key::of(record);
            let (_, now) = match keys.entry(key) {
                Slot::Occupied(slot) => slot.into_mut(),
                Slot::Vacant(slot) => {
                    let before = there(key)?;
                    slot.insert((before.clone(), before.into_iter().collect()))
                }
            };
            match change {
                Change::Put(record) if now.contains(&record) => {
                    return Err(Error::Conflict(format!("{record:?} is there already")));
                }
                Change::Put(record) => now.insert(record),
                Change::Delete(record) if !now.remove(&record) => {
                    return Err(Error::Conflict(format!("{record:?} is not there")));
                }
                Change::Delete(_) => true,
            };
        }
        let mut changes = Vec::with_capacity(keys.len());
        for (key, (from, mut now)) in keys {
            let to = now.pop_first();
            if let Some(second) = now.pop_first() {
                return Err(Error::Conflict(format!("{key} would be there twice: {to:?} and {second:?}")));
            }
            if from != to {
                changes.push(Changed { key, from, to });
            }
        }
        Ok(Self { changes })
    }

    /// The sum over all records after it.
    pub(super) fn sum(&self, before: Sum) -> Result<Sum, Error> {
        sum(&self.changes, before)
    }
}

/// The sum over all records after some changes.
pub(super) fn sum(changes: &[Changed], mut sum: Sum) -> Result<Sum, Error> {
    for Changed { from, to, .. } in changes {
        if let Some(from) = from {
            sum = sum.without(Sum::of_record(from).map_err(Error::Conflict)?);
        }
        if let Some(to) = to {
            sum = sum.with(Sum::of_record(to).map_err(Error::Conflict)?);
        }
    }
    Ok(sum)
}

/// The lines of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    /// Number of the last one.
    pub(super) seq: u64,
    /// Over all records after them.
    pub(super) sum: Sum,
}

impl Lines {
    /// The lines that the tables keep, if they follow a line, and lead to where the tables are.
    pub(super) fn kept(last: &Last, after: u64, before: Sum) -> Option<Self> {
        let (mut seq, mut now) = (after, before);
        for line in last.lines.split_inclusive(|byte| *byte == b'\n') {
            let entry: Entry = line::read(line.strip_suffix(b"\n")?).ok()?;
            seq += 1;
            now = sum(&entry.changes, now).ok()?;
            if (entry.seq, entry.sum) != (seq, now) {
                return None;
            }
        }
        ((seq, now) == (last.seq, last.sum)).then(|| Self { bytes: last.lines.clone(), seq, sum: now })
    }

    /// Writes a batch down, in as many lines as it takes.
    pub(super) fn of(batch: &Batch, after: u64, mut before: Sum, time: Stamp) -> Result<Self, Error> {
        let (mut lines, mut rest) = (Self { seq: after, ..Self::default() }, batch.changes.as_slice());
        while !rest.is_empty() {
            let (mut count, mut size) = (0, 0);
            while count < rest.len() && size < SPLIT {
                // Measured by the records as people see them, which is about what JSON makes of them.
                size += rest[count].weight();
                count += 1;
            }
            let (changes, others) = rest.split_at(count);
            rest = others;
            before = sum(changes, before)?;
            lines.seq += 1;
            let changes = changes.to_vec();
            let entry = Entry { seq: lines.seq, time, more: !rest.is_empty(), changes, sum: before };
            let line = line::write(&entry).map_err(Error::Conflict)?;
            lines.bytes.extend(line);
        }
        lines.sum = before;
        Ok(lines)
    }
}
