//! The two legs of a store, tables and ledger, and how they complete each other.
//!
//! A commit is written to both at the same time and acknowledged when both have it on the disk. So after a crash one of them
//! may have a batch that the other lacks. It was not acknowledged, and may be there or not; it is completed, since it may have
//! been on the disk a moment before the acknowledgement would have left. The tables keep the lines of their last batch for
//! that; a batch too large for that is written to the ledger first.

use super::batch::{Batch, Lines};
use super::error::{Error, failed};
use super::files::{self, Birth, Home};
use super::ledger::{Ledger, Rotation};
use super::options::Options;
use super::record::{Changed, Sum};
use super::segment::{self, Line, Tail};
use super::tables::{Content, Last, Tables};
use crate::pool::record::Record;
use asa_framework::roles::store::Change;
use std::fs;

/// Bytes of lines that the tables keep at most: more would become a file of its own.
const KEPT: usize = 64 << 10;

/// Both legs, open and equal.
pub(super) struct Legs {
    tables: Tables,
    ledger: Ledger,
    options: Options,
}

/// What is known of an earlier attempt that has failed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Failed {
    /// Segment, and bytes of it, that were acknowledged.
    pub(super) acknowledged: Option<(u64, u64)>,
    /// What the file of the tables shows may not be on the disk.
    pub(super) tables: bool,
}

impl Legs {
    /// Opens both legs, and makes them equal; returns all records.
    pub(super) fn open(
        home: &Home,
        birth: &Birth,
        failed: Failed,
        options: &Options,
    ) -> Result<(Self, Vec<Record>), Error> {
        if failed.tables {
            copy_tables(home)?;
        }
        let segments = segment::list(&home.ledger)?;
        let (tables, content) = Tables::open(home, birth, options)?;
        let Content { records, last } = content;
        let mut missing = Vec::new();
        let mut batch = Batch::default();
        let mut collect = |line: Line<'_>| {
            if line.brief.seq > last.seq {
                batch.changes.extend(line.entry()?.changes);
                if !line.brief.more {
                    missing.push((std::mem::take(&mut batch), line.brief.seq, line.brief.sum));
                }
            }
            Ok(())
        };
        let tail = read_since(home, birth, &segments, last.seq, &mut collect)?;
        let mut ledger = Ledger::open(home, birth, &tail, failed.acknowledged, options)?;
        let ahead = !missing.is_empty();
        let mut before = last.sum;
        for (batch, seq, sum) in missing {
            let fits = |change: &Changed| tables.get(change.key).map(|there| there == change.from);
            let all = batch.changes.iter().try_fold(true, |all, change| Ok::<_, Error>(all && fits(change)?))?;
            if !all || batch.sum(before)? != sum {
                let problem = format!("the records in it are not those that line {seq} of the ledger changes");
                return Err(Error::damaged(&home.sled, problem));
            }
            tables.apply(&batch, &Last { seq, first: seq, sum, lines: Vec::new() })?;
            before = sum;
        }
        if ahead || failed.acknowledged.is_some() {
            tables.sync(options)?;
        }
        let records = if ahead { tables.read()?.records } else { records };
        if last.seq > ledger.seq {
            let lines = Lines::kept(&last, ledger.seq, ledger.sum).ok_or_else(|| {
                let problem =
                    format!("the ledger ends with line {}, and the database has line {}", ledger.seq, last.seq);
                Error::damaged(&home.ledger, problem)
            })?;
            ledger.append(&lines)?.wait()?;
            ledger.written(&lines);
        }
        if ledger.sum != before {
            let problem = format!("the records in it are not those of line {} of the ledger", ledger.seq);
            return Err(Error::damaged(&home.sled, problem));
        }
        Ok((Self { tables, ledger, options: options.clone() }, records))
    }

    /// All records.
    pub(super) fn records(&self) -> Result<Vec<Record>, Error> {
        self.tables.read().map(|content| content.records)
    }

    /// Makes a batch durable on both legs. After any error but a conflict, what the disk holds is unknown.
    pub(super) fn commit(&mut self, changes: Vec<Change<Record>>) -> Result<(), (Error, Option<Failed>)> {
        let acknowledged = Some(self.ledger.acknowledged());
        let failed = |tables| move |error| (error, Some(Failed { acknowledged, tables }));
        let unchanged = |error| (error, None);
        let batch = Batch::fold(changes, |key| self.tables.get(key)).map_err(|error| {
            // What cannot be read is opened again.
            if matches!(error, Error::Conflict(_)) { unchanged(error) } else { failed(false)(error) }
        })?;
        if batch.changes.is_empty() {
            return Ok(());
        }
        let lines = Lines::of(&batch, self.ledger.seq, self.ledger.sum, self.options.now()).map_err(unchanged)?;
        let first = self.ledger.seq + 1;
        let mut last = Last { seq: lines.seq, first, sum: lines.sum, lines: Vec::new() };
        let pending = self.ledger.append(&lines).map_err(failed(false))?;
        let (ledger, tables) = if lines.bytes.len() > KEPT {
            pending.wait().map_err(failed(false))?;
            (Ok(()), self.write_tables(&batch, &last))
        } else {
            last.lines.clone_from(&lines.bytes);
            let tables = self.write_tables(&batch, &last);
            (pending.wait(), tables)
        };
        tables.and(ledger).map_err(failed(self.tables.is_doubtful()))?;
        self.ledger.written(&lines);
        Ok(())
    }

    fn write_tables(&self, batch: &Batch, last: &Last) -> Result<(), Error> {
        self.tables.apply(batch, last)?;
        self.tables.sync(&self.options)
    }

    /// Whether the segment of the ledger is full.
    pub(super) fn is_untidy(&self) -> bool {
        self.ledger.is_full()
    }

    /// Closes the segment of the ledger. `Some`: what the disk holds is unknown.
    pub(super) fn tidy(&mut self) -> Option<Failed> {
        match self.ledger.rotate(&self.tables) {
            Ok(()) => None,
            Err(Rotation::NotBegun(error)) => {
                tracing::warn!(%error, "the segment of the ledger could not be closed; it goes on");
                None
            }
            Err(Rotation::Unknown(error)) => {
                tracing::error!(%error, "a new segment of the ledger could not be begun");
                Some(Failed { acknowledged: Some(self.ledger.acknowledged()), tables: false })
            }
        }
    }

    /// Segment of the ledger, and bytes of it, that are acknowledged.
    pub(super) fn acknowledged(&self) -> (u64, u64) {
        self.ledger.acknowledged()
    }

    pub(super) fn position(&self) -> (u64, Sum) {
        (self.ledger.seq, self.ledger.sum)
    }
}

/// Visits all lines since the segment that goes on after line `seq`, and finds the end. The line `seq` has to be the end of a
/// batch, if it is there.
fn read_since(
    home: &Home,
    birth: &Birth,
    segments: &[u64],
    seq: u64,
    visit: &mut impl FnMut(Line<'_>) -> Result<(), Error>,
) -> Result<Tail, Error> {
    let mut first = segments.len();
    let mut after = u64::MAX;
    while first > 0 && after > seq {
        first -= 1;
        after = segment::head_of(&home.ledger, segments[first], &birth.birth)?.after;
    }
    if after > seq {
        let problem = format!("the ledger begins after line {after}, and the database ends with {seq}");
        return Err(Error::damaged(&home.ledger, problem));
    }
    let mut tail: Option<Tail> = None;
    for (place, segment) in segments.iter().enumerate().skip(first) {
        let read = segment::read(&home.ledger, *segment, &birth.birth, place + 1 == segments.len(), &mut *visit)?;
        if let Some(before) = tail.filter(|before| (before.seq, before.sum) != (read.head.after, read.head.sum)) {
            let problem =
                format!("it follows line {}, and the segment before ends with {}", read.head.after, before.seq);
            return Err(Error::line(&segment::path(&home.ledger, *segment, segment::SEGMENT), 1, problem));
        }
        tail = Some(read);
    }
    tail.ok_or_else(|| Error::damaged(&home.ledger, "the ledger has no segment"))
}

/// After a failed `fsync` nobody knows what of a file is on the disk, and another `fsync` does not tell: all of it is written
/// once more.
fn copy_tables(home: &Home) -> Result<(), Error> {
    let (path, fresh) = (home.sled.join("db"), home.sled.join("db.fresh"));
    let copied = fs::copy(&path, &fresh).map_err(failed("copy", &path)).and_then(|_| {
        let file = fs::File::open(&fresh).map_err(failed("open", &fresh))?;
        file.sync_all().map_err(failed("sync", &fresh))
    });
    if let Err(error) = copied {
        // Its space may be what the disk lacks.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    files::rename(&fresh, &path)
}
