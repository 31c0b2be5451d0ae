//! The lines of a journal: a checksum, and what was done, as JSON.

use super::{Change, Entry, StoreError, apply};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{BufRead, Read};
use std::path::Path;

/// The longest line that is read, 16 MiB: far above what a batch comes to, and below what a router cannot bear.
pub(super) const LINE: u64 = 16 << 20;
/// Version of the format.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line<E> {
    /// The first line.
    Store { format: u32, name: String },
    /// A batch; numbers rise by one, so that a missing line is noticed.
    Batch { number: u64, changes: Vec<Change<E>> },
}

fn write<E: Serialize>(line: &Line<E>) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(line).map_err(|error| error.to_string())?;
    if json.len() as u64 + 10 > LINE {
        return Err(format!("a batch of {} bytes; {LINE} are allowed", json.len()));
    }
    let mut bytes = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    bytes.push(b'\n');
    Ok(bytes)
}

/// The first line of a store under this name.
pub(super) fn head(name: &str) -> Result<Vec<u8>, String> {
    write(&Line::<()>::Store { format: FORMAT, name: name.to_owned() })
}

/// A batch as a line.
pub(super) fn batch<E: Entry>(number: u64, changes: Vec<Change<E>>) -> Result<Vec<u8>, String> {
    write(&Line::Batch { number, changes })
}

/// What a journal holds.
pub(super) struct Content<E> {
    pub(super) set: BTreeSet<E>,
    /// Number of the last batch.
    pub(super) number: u64,
    /// Bytes that are whole lines; what follows is a line that was never finished.
    pub(super) whole: u64,
}

fn parse<E: Entry>(bytes: &[u8]) -> Result<Line<E>, String> {
    let (sum, json) = bytes.split_at_checked(9).ok_or("too short")?;
    let sum = std::str::from_utf8(sum).ok().and_then(|sum| u32::from_str_radix(sum.strip_suffix(' ')?, 16).ok());
    let sum = sum.ok_or("does not begin with a checksum")?;
    let found = crc32fast::hash(json);
    if sum != found {
        return Err(format!("the checksum is {sum:08x}, but the content has {found:08x}"));
    }
    serde_json::from_slice(json).map_err(|error| format!("not an entry of this kind of store: {error}"))
}

/// Reads a journal. A last line without its end was never acknowledged and does not count; all other damage is an error.
pub(super) fn read<E: Entry>(mut file: impl BufRead, path: &Path, name: &str) -> Result<Content<E>, StoreError> {
    let damaged = |line, problem| StoreError::Damaged { path: path.into(), line, problem };
    let mut content = Content { set: BTreeSet::new(), number: 0, whole: 0 };
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let count = file.by_ref().take(LINE).read_until(b'\n', &mut bytes).map_err(|error| StoreError::Io {
            what: "read".into(),
            path: path.into(),
            error: error.to_string(),
        })?;
        if bytes.last() != Some(&b'\n') {
            return match line {
                1 => Err(damaged(1, "the first line is missing or cut off".into())),
                _ if count as u64 == LINE => Err(damaged(line, format!("longer than {LINE} bytes"))),
                _ => Ok(content),
            };
        }
        let parsed = parse(&bytes[..count - 1]).map_err(|problem| damaged(line, problem))?;
        match parsed {
            Line::Store { format, .. } if line == 1 && format != FORMAT => {
                return Err(damaged(line, format!("format {format}; this version reads {FORMAT}")));
            }
            Line::Store { name: found, .. } if line == 1 && found != name => {
                return Err(damaged(line, format!("the store of {found:?}, not of {name:?}")));
            }
            Line::Store { .. } if line == 1 => {}
            Line::Batch { number, changes } if line > 1 && (line == 2 || number == content.number + 1) => {
                apply(&mut content.set, &changes).map_err(|problem| damaged(line, problem))?;
                content.number = number;
            }
            Line::Batch { number, .. } if line > 1 => {
                let problem = format!("batch {number} follows batch {}: lines are missing or doubled", content.number);
                return Err(damaged(line, problem));
            }
            Line::Store { .. } | Line::Batch { .. } => return Err(damaged(line, "a line in the wrong place".into())),
        }
        content.whole += count as u64;
    }
    Ok(content)
}
