//! Snapshots: all records as they are where a segment of the ledger begins.

use super::error::{Error, failed};
use super::files;
use super::line::{self, End, Head, Next};
use super::record::Sum;
use super::segment;
use super::tables::Tables;
use crate::pool::record::Record;
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

/// Bytes that gather before they are written.
const CHUNK: usize = 1 << 18;

/// Writes down what is in the tables, reads it back from the disk, and puts it in its place when it has proven equal.
pub(super) fn write(path: &Path, head: &Head, tables: &Tables) -> Result<(), Error> {
    let fresh = path.with_extension("snapshot-fresh");
    let written = write_fresh(&fresh, head, tables).and_then(|end| prove(&fresh, head, &end));
    if let Err(error) = written {
        // Its space may be what the disk lacks.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    files::rename(&fresh, path)
}

fn write_fresh(path: &Path, head: &Head, tables: &Tables) -> Result<End, Error> {
    let mut file = BufWriter::with_capacity(CHUNK, files::create(path)?);
    let mut put = |line: Result<Vec<u8>, String>| {
        let line = line.map_err(Error::Conflict)?;
        file.write_all(&line).map_err(failed("write", path))
    };
    put(line::write(head))?;
    let mut end = End { records: 0, sum: Sum::default() };
    tables.each(|record, sum| {
        end = End { records: end.records + 1, sum: end.sum.with(sum) };
        put(line::write(&record))
    })?;
    put(line::write(&end))?;
    let file = file.into_inner().map_err(|error| failed("write", path)(error.into_error()))?;
    file.sync_all().map_err(failed("sync", path))?;
    // So that it is read from the disk, and not from memory, if the system likes to.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    Ok(end)
}

fn prove(path: &Path, head: &Head, end: &End) -> Result<(), Error> {
    if end.sum != head.sum {
        return Err(Error::damaged(path, format!("the tables are not what line {} of the ledger left", head.after)));
    }
    let (found, found_end) = read(path, head.segment, &head.birth, |_| Ok(()))?;
    if (&found, &found_end) == (head, end) {
        return Ok(());
    }
    Err(Error::damaged(path, "what was written is not what is read"))
}

/// Reads a snapshot; every record is handed out before the last line shows whether all of them are there.
pub(super) fn read(
    path: &Path,
    segment: u64,
    birth: &str,
    mut visit: impl FnMut(Record) -> Result<(), Error>,
) -> Result<(Head, End), Error> {
    let file = File::open(path).map_err(failed("open", path))?;
    let (mut file, mut buffer) = (BufReader::with_capacity(CHUNK, file), Vec::new());
    let (head, _) = segment::head(&mut file, &mut buffer, path, segment, birth)?;
    let mut found = End { records: 0, sum: Sum::default() };
    for number in 2.. {
        let wrong = |problem: String| Error::line(path, number, problem);
        let line = match line::next(&mut file, &mut buffer).map_err(failed("read", path))? {
            Next::Whole(line) => line::json(line).map_err(wrong)?,
            Next::Torn | Next::Long | Next::End => break,
        };
        if let Ok(end) = serde_json::from_slice::<End>(line) {
            if end != found || end.sum != head.sum {
                return Err(wrong(format!("{} records expected, {} found, or others", end.records, found.records)));
            }
            return Ok((head, end));
        }
        let record: Record = serde_json::from_slice(line).map_err(|error| wrong(format!("not a record: {error}")))?;
        let sum = Sum::of_record(&record).map_err(wrong)?;
        found = End { records: found.records + 1, sum: found.sum.with(sum) };
        visit(record)?;
    }
    Err(Error::damaged(path, "it is cut off"))
}
