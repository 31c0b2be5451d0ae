//! Builds the records anew from the ledger alone, and proves it whole on the way.

use super::batch;
use super::error::Error;
use super::record::{Changed, Key};
use super::segment::{self, SEGMENT, SNAPSHOT, Tail};
use super::snapshot;
use crate::pool::record::Record;
use std::collections::BTreeMap;
use std::path::Path;

/// Records by what they are about.
pub(super) type Records = BTreeMap<Key, Record>;

/// What the ledger says.
pub(super) struct Replayed {
    /// As they are at its end.
    pub(super) records: Records,
    /// Changes after the line that was asked for.
    pub(super) later: Vec<Changed>,
    pub(super) tail: Tail,
}

/// Replays all of the ledger: every line, every snapshot.
pub(super) fn all(ledger: &Path, birth: &str, since: u64) -> Result<Replayed, Error> {
    let segments = segment::list(ledger)?;
    from(ledger, birth, &segments, since)
}

/// Replays as little as is needed: the last snapshot from which it works, and what follows it.
pub(super) fn least(ledger: &Path, birth: &str) -> Result<Replayed, Error> {
    let segments = segment::list(ledger)?;
    let mut result = None;
    for first in (0..segments.len()).rev() {
        if segments[first] != 1 && !segment::path(ledger, segments[first], SNAPSHOT).exists() {
            continue;
        }
        match from(ledger, birth, &segments[first..], u64::MAX) {
            Ok(replayed) => return Ok(replayed),
            // The first one is about the end, which all the others need too.
            Err(error) => result = result.or(Some(error)),
        }
    }
    Err(result.unwrap_or_else(|| Error::damaged(ledger, "the ledger has no snapshot to begin with")))
}

fn from(ledger: &Path, birth: &str, segments: &[u64], since: u64) -> Result<Replayed, Error> {
    let (mut records, mut later) = (Records::new(), Vec::new());
    let mut tail: Option<Tail> = None;
    for (place, number) in segments.iter().enumerate() {
        let path = segment::path(ledger, *number, SEGMENT);
        let head = segment::head_of(ledger, *number, birth)?;
        let path_of_snapshot = segment::path(ledger, *number, SNAPSHOT);
        if head.after != 0 {
            let first = place == 0;
            let (found, _) = snapshot::read(&path_of_snapshot, *number, birth, |record| {
                if first {
                    records.insert(Key::of(&record), record);
                }
                Ok(())
            })?;
            if (found.after, found.sum) != (head.after, head.sum) {
                return Err(Error::line(&path_of_snapshot, 1, format!("it is not what segment {number} begins with")));
            }
        }
        if let Some(before) = &tail
            && (before.seq, before.sum) != (head.after, head.sum)
        {
            let problem = format!("it follows line {}, and the segment before ends with {}", head.after, before.seq);
            return Err(Error::line(&path, 1, problem));
        }
        let mut sum = head.sum;
        let last = place + 1 == segments.len();
        tail = Some(segment::read_batches(ledger, *number, birth, last, |entries, line| {
            for entry in entries {
                sum = batch::sum(&entry.changes, sum)?;
                if sum != entry.sum {
                    return Err(Error::line(&path, line, "the sum over all records is not what it says"));
                }
                for change in entry.changes {
                    if entry.seq > since {
                        later.push(change.clone());
                    }
                    apply(&mut records, change).map_err(|problem| Error::line(&path, line, problem))?;
                }
            }
            Ok(())
        })?);
    }
    let tail = tail.ok_or_else(|| Error::damaged(ledger, "the ledger has no segment"))?;
    Ok(Replayed { records, later, tail })
}

/// Makes a change, if it fits.
pub(super) fn apply(records: &mut Records, change: Changed) -> Result<(), String> {
    let Changed { key, from, to } = change;
    let before = match to {
        Some(to) => records.insert(key, to),
        None => records.remove(&key),
    };
    if before == from { Ok(()) } else { Err(format!("{key} was {before:?} before, and not {from:?}")) }
}
