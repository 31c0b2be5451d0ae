//! The store as text, and a new store from such a text (PM-S-17, PM-S-20).
//!
//! # Format
//!
//! Lines of JSON in UTF-8, for `jq` and for people:
//!
//! ```text
//! {"export":1,"time":"2026-11-21T16:34:29.123Z"}
//! {"life":3}
//! {"aggregate":{"block":"2001:db8::/32","source":"manifest","withdrawn":false}}
//! {"block":{"block":"2001:db8::/33","state":"free"}}
//! {"block":{"block":"2001:db8:8000::/33","state":{"granted":{"session":7,"peer":"fe80::1","since":1700000000}}}}
//! {"session":{"number":1,"deal":{"session":7,"peer":"fe80::1"},"part":"provider","want":{...},"void":null,"over":false}}
//! {"records":5,"sum":"0123456789abcdef"}
//! ```
//!
//! The last line shows that nothing is missing and nothing was changed; so an export is not for editing.

use super::error::Error;
use super::files::{self, Birth, Home};
use super::legs::{Failed, Legs};
use super::line::{self, End, LINE, Next, Stamp};
use super::options::Options;
use super::record::Sum;
use super::{SledStore, begin_parts, held};
use crate::pool::record::{Part, Record, State};
use asa_framework::roles::store::Change;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use std::path::Path;
use time::OffsetDateTime;

/// Version of the format.
const EXPORT: u32 = 1;
/// Records that are read at most.
const RECORDS: usize = 1 << 24;
/// Records in one commit of a restoration; until the last one there is no store.
const CHUNK: usize = 4_096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    export: u32,
    time: Stamp,
}

/// Writes records as text.
///
/// # Errors
///
/// Those of the writer, and a record that is longer than a line may be.
pub fn export_records(records: &[Record], time: OffsetDateTime, mut writer: impl Write) -> io::Result<()> {
    let mut put = |json: serde_json::Result<Vec<u8>>| {
        let mut line = json?;
        line.push(b'\n');
        if line.len() > LINE {
            return Err(io::Error::other(format!("a record of {} bytes; {LINE} are allowed", line.len())));
        }
        writer.write_all(&line)
    };
    put(serde_json::to_vec(&Head { export: EXPORT, time: Stamp::of(time) }))?;
    let mut end = End { records: 0, sum: Sum::default() };
    for record in records {
        let sum = Sum::of_record(record).map_err(io::Error::other)?;
        end = End { records: end.records + 1, sum: end.sum.with(sum) };
        put(serde_json::to_vec(record))?;
    }
    put(serde_json::to_vec(&end))?;
    writer.flush()
}

/// Opens the store in a directory, and writes it as text; returns the number of records. For a store that a process has open,
/// that process has to be asked instead.
///
/// # Errors
///
/// As [`SledStore::open`]; [`Error::Io`] for the writer.
pub fn export(dir: &Path, options: Options, writer: impl Write) -> Result<usize, Error> {
    let time = options.now().0;
    let records = held(&SledStore::open(dir, options)?.0.inner).load()?;
    export_records(&records, time, writer).map_err(super::error::failed("write an export of", dir))?;
    Ok(records.len())
}

/// Reads what [`export_records`] has written. At most 16 777 216 records, in lines of at most 1 MiB.
///
/// # Errors
///
/// [`Error::Export`] with the line; nothing of a damaged export is returned.
pub fn parse_export(mut reader: impl BufRead) -> Result<Vec<Record>, Error> {
    let (mut records, mut sum, mut buffer) = (Vec::new(), Sum::default(), Vec::new());
    for number in 1_u64.. {
        let wrong = |problem: String| Error::Export { line: number, problem };
        let line = match line::next(&mut reader, &mut buffer).map_err(|error| wrong(error.to_string()))? {
            Next::Whole(line) => line,
            Next::Long => return Err(wrong(format!("longer than {LINE} bytes"))),
            Next::Torn | Next::End => return Err(wrong("the export is cut off".into())),
        };
        let json = |error: serde_json::Error| wrong(error.to_string());
        if number == 1 {
            let head: Head = serde_json::from_slice(line).map_err(json)?;
            if head.export != EXPORT {
                return Err(wrong(format!("format {}; this version reads {EXPORT}", head.export)));
            }
            continue;
        }
        if let Ok(end) = serde_json::from_slice::<End>(line) {
            let found = End { records: records.len() as u64, sum };
            if end == found {
                return Ok(records);
            }
            let counts = format!("{} records are expected, {} are there", end.records, found.records);
            return Err(wrong(format!("{counts}, or some were changed")));
        }
        let record: Record = serde_json::from_slice(line).map_err(json)?;
        if records.len() >= RECORDS {
            return Err(wrong(format!("more than {RECORDS} records")));
        }
        sum = sum.with(Sum::of_record(&record).map_err(wrong)?);
        records.push(record);
    }
    Err(Error::Export { line: 0, problem: "the export is cut off".into() })
}

/// What a restored store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Restored {
    /// Blocks that may have been given away since: out of use until the operator takes them in again.
    pub excluded: u64,
    /// Records of the export that are left out, since they may not be true any more.
    pub left_out: u64,
    /// All records that are there.
    pub records: u64,
}

/// What a record of an older truth still says for certain (PM-S-17).
///
/// Anything may have happened since the export was made: what was free, a client's or in a negotiation may be anybody else's by
/// now, and nobody can be asked, since nobody knows whom. So whatever could make this node give a block to somebody who is
/// not its only holder is taken back:
///
/// * all blocks of aggregates are excluded, but for those granted, which are given to nobody new, and those on their way back.
///   The operator makes sure, and includes them again. Clients that ask get other blocks;
/// * blocks that were being taken from a peer are forgotten, and so are the negotiations in which this node asked: it must not
///   say that nothing came of one. Such a peer stays in doubt, or has granted what nobody uses, until its operator decides;
/// * aggregates that were taken in since are not in the export; their peers know that they gave them away.
fn cautious(record: Record) -> Option<Record> {
    match record {
        Record::Block { block, state } if !state.is_foreign() => {
            let stays = matches!(state, State::Granted(_) | State::Returning);
            Some(Record::Block { block, state: if stays { state } else { State::Excluded } })
        }
        Record::Block { .. } | Record::Session { part: Part::Asker, .. } => None,
        Record::Aggregate { .. } | Record::Life(_) | Record::Session { part: Part::Provider, .. } => Some(record),
    }
}

/// Creates a new store from an export. What may have changed since is put out of use, or left out: of a block only that it was
/// granted is kept. The store appears with all of that, or not at all.
///
/// # Errors
///
/// [`Error::Exists`] if there is a store, [`Error::Conflict`] if two records are about one thing, [`Error::Locked`],
/// [`Error::Io`].
pub fn restore(dir: &Path, records: Vec<Record>, options: &Options) -> Result<Restored, Error> {
    let home = Home::at(dir);
    files::directory(dir)?;
    let _lock = files::lock(&home.lock)?;
    let mut restored = Restored::default();
    let birth = Birth::new(options);
    begin_parts(&home, &birth, options)?;
    let (mut legs, _) = Legs::open(&home, &birth, Failed::default(), options)?;
    let all = records.len() as u64;
    let records: Vec<Record> = records.into_iter().filter_map(cautious).collect();
    let excluded = records.iter().filter(|record| matches!(record, Record::Block { state: State::Excluded, .. }));
    restored.excluded = excluded.count() as u64;
    restored.records = records.len() as u64;
    restored.left_out = all - restored.records;
    let mut changes = records.into_iter().map(Change::Put).peekable();
    while changes.peek().is_some() {
        legs.commit(changes.by_ref().take(CHUNK).collect()).map_err(|(error, _)| error)?;
    }
    drop(legs);
    drop(changes);
    birth.write(&home)?;
    Ok(restored)
}
