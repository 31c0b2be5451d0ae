//! Reads the segments of a ledger.

use super::error::{Error, failed};
use super::files::{Birth, FORMAT};
use super::line::{self, Entry, Head, Next};
use super::record::Sum;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Ending of a segment.
pub(super) const SEGMENT: &str = "jsonl";
/// Ending of a snapshot.
pub(super) const SNAPSHOT: &str = "snapshot";
/// Segments that a ledger can have at most.
const SEGMENTS: usize = 1_000_000;

/// Where a segment, or the snapshot that it begins with, is.
pub(super) fn path(ledger: &Path, segment: u64, ending: &str) -> PathBuf {
    ledger.join(format!("{segment:08}.{ending}"))
}

/// The numbers of the files with one ending, rising.
pub(super) fn numbers(ledger: &Path, ending: &str) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(ledger).map_err(failed("read", ledger))? {
        let name = entry.map_err(failed("read", ledger))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(ending)?.strip_suffix('.')?.parse::<u64>().ok());
        if numbers.len() >= SEGMENTS {
            return Err(Error::damaged(ledger, format!("more than {SEGMENTS} segments")));
        }
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The numbers of all segments; none is missing between the first and the last, and the first can be begun from.
pub(super) fn list(ledger: &Path) -> Result<Vec<u64>, Error> {
    let numbers = match numbers(ledger, SEGMENT) {
        Ok(numbers) => numbers,
        Err(_) if !ledger.exists() => return Err(Error::damaged(ledger, "the ledger is missing")),
        Err(error) => return Err(error),
    };
    let Some(first) = numbers.first() else { return Err(Error::damaged(ledger, "the ledger has no segment")) };
    for (number, expected) in numbers.iter().zip(*first..) {
        if *number != expected {
            let problem = format!("the segment is missing, and {number:08} follows");
            return Err(Error::damaged(&path(ledger, expected, SEGMENT), problem));
        }
    }
    let snapshot = path(ledger, *first, SNAPSHOT);
    if *first != 1 && !snapshot.exists() {
        return Err(Error::damaged(
            &snapshot,
            format!("the ledger begins with segment {first}, and what it begins with is missing"),
        ));
    }
    Ok(numbers)
}

/// What every line of a segment after the first says.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Brief {
    pub(super) seq: u64,
    #[serde(default)]
    pub(super) more: bool,
    pub(super) sum: Sum,
}

/// One line of a segment.
pub(super) struct Line<'a> {
    pub(super) brief: Brief,
    /// In the file, from 1.
    pub(super) number: u64,
    pub(super) json: &'a [u8],
    path: &'a Path,
}

impl Line<'_> {
    /// All that it says.
    pub(super) fn entry(&self) -> Result<Entry, Error> {
        let entry = serde_json::from_slice(self.json);
        entry.map_err(|error| Error::line(self.path, self.number, format!("not a line of a ledger: {error}")))
    }
}

/// Where a segment ends.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    pub(super) head: Head,
    /// Number of the last line of the last whole batch.
    pub(super) seq: u64,
    /// Over all records after it.
    pub(super) sum: Sum,
    /// Bytes that are whole batches; what follows was never finished.
    pub(super) length: u64,
}

/// Reads a segment line by line.
///
/// `last`: nothing follows it, so that its last batch may be unfinished. Then that one does not count: it was never
/// acknowledged, or the tables have it. Its whole lines are visited nevertheless. All other damage is an error.
pub(super) fn read(
    ledger: &Path,
    segment: u64,
    birth: &str,
    last: bool,
    mut visit: impl FnMut(Line<'_>) -> Result<(), Error>,
) -> Result<Tail, Error> {
    let path = path(ledger, segment, SEGMENT);
    let file = File::open(&path).map_err(failed("open", &path))?;
    let (mut file, mut buffer) = (BufReader::with_capacity(1 << 18, file), Vec::new());
    let (head, length) = head(&mut file, &mut buffer, &path, segment, birth)?;
    let mut tail = Tail { seq: head.after, sum: head.sum, length, head };
    let (mut length, mut seq, mut more) = (tail.length, tail.seq, false);
    // What is wrong with a line is told when another one follows it.
    let mut wrong = None;
    for number in 2.. {
        let line = match line::next(&mut file, &mut buffer).map_err(failed("read", &path))? {
            Next::End => break,
            line @ (Next::Whole(_) | Next::Torn | Next::Long) => line,
        };
        if let Some((line, problem)) = wrong {
            return Err(Error::line(&path, line, problem));
        }
        let parsed = match line {
            Next::Whole(bytes) => line::json(bytes).and_then(|json| {
                let brief = serde_json::from_slice::<Brief>(json);
                Ok((brief.map_err(|error| format!("not a line of a ledger: {error}"))?, json, bytes.len() as u64 + 1))
            }),
            Next::Torn => Err("cut off".to_owned()),
            Next::Long | Next::End => return Err(Error::line(&path, number, "longer than any line")),
        };
        let (brief, json, bytes) = match parsed {
            Ok(parsed) => parsed,
            Err(problem) => {
                wrong = Some((number, problem));
                continue;
            }
        };
        if brief.seq != seq + 1 {
            let problem = format!("line {} of the ledger follows line {seq}: lines are missing or doubled", brief.seq);
            return Err(Error::line(&path, number, problem));
        }
        (seq, more, length) = (brief.seq, brief.more, length + bytes);
        visit(Line { brief, number, json, path: &path })?;
        if !more {
            tail = Tail { seq, sum: brief.sum, length, ..tail };
        }
    }
    match wrong {
        Some((line, problem)) if !last => Err(Error::line(&path, line, problem)),
        None if more && !last => Err(Error::damaged(&path, "the last batch of the segment is not finished")),
        Some(_) | None => Ok(tail),
    }
}

/// Reads the first line of a file of the ledger; returns its length too.
pub(super) fn head(
    file: &mut impl BufRead,
    buffer: &mut Vec<u8>,
    path: &Path,
    segment: u64,
    birth: &str,
) -> Result<(Head, u64), Error> {
    let (head, length) = value::<Head>(file, buffer, path, 1)?;
    if head.format != FORMAT {
        return Err(Error::Format { path: path.into(), found: head.format, reads: FORMAT });
    }
    if head.birth != birth {
        return Err(Error::line(path, 1, format!("it belongs to the store {}, not to {birth}", head.birth)));
    }
    if head.segment != segment {
        return Err(Error::line(path, 1, format!("it is segment {}, not {segment}", head.segment)));
    }
    Ok((head, length))
}

/// The head of a segment alone.
pub(super) fn head_of(ledger: &Path, segment: u64, birth: &str) -> Result<Head, Error> {
    let path = path(ledger, segment, SEGMENT);
    let file = File::open(&path).map_err(failed("open", &path))?;
    head(&mut BufReader::new(file), &mut Vec::new(), &path, segment, birth).map(|(head, _)| head)
}

/// Reads a line that has to be there; returns its length too.
pub(super) fn value<T: DeserializeOwned>(
    file: &mut impl BufRead,
    buffer: &mut Vec<u8>,
    path: &Path,
    number: u64,
) -> Result<(T, u64), Error> {
    match line::next(file, buffer).map_err(failed("read", path))? {
        Next::Whole(bytes) => {
            let value = line::read(bytes).map_err(|problem| Error::line(path, number, problem))?;
            Ok((value, bytes.len() as u64 + 1))
        }
        Next::Torn | Next::Long | Next::End => Err(Error::line(path, number, "it is missing or cut off")),
    }
}

/// The identity that a ledger has, whatever else is wrong with it.
pub(super) fn identity(ledger: &Path) -> Option<Birth> {
    let first = *numbers(ledger, SEGMENT).ok()?.first()?;
    let path = path(ledger, first, SEGMENT);
    let mut file = BufReader::new(File::open(&path).ok()?);
    let (head, _) = value::<Head>(&mut file, &mut Vec::new(), &path, 1).ok()?;
    Some(Birth { birth: head.birth, format: head.format, time: head.time })
}

/// Reads a segment batch by batch, each with the number of its last line in the file; one that is not finished is left out.
pub(super) fn read_batches(
    ledger: &Path,
    segment: u64,
    birth: &str,
    last: bool,
    mut visit: impl FnMut(Vec<Entry>, u64) -> Result<(), Error>,
) -> Result<Tail, Error> {
    let mut entries = Vec::new();
    read(ledger, segment, birth, last, |line| {
        entries.push(line.entry()?);
        if line.brief.more { Ok(()) } else { visit(std::mem::take(&mut entries), line.number) }
    })
}
