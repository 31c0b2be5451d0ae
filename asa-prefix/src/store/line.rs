//! The lines of ledger, snapshots and identity: a checksum, and JSON that a person can read.

use super::record::{Changed, Sum};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::io::{BufRead, Read};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// The longest line that is read or written, in bytes, its end included.
pub(super) const LINE: usize = 1 << 20;
/// Bytes of changes after which a batch goes on in another line.
pub(super) const SPLIT: usize = 256 << 10;

/// A moment, written as RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(pub(super) OffsetDateTime);

impl Stamp {
    /// Without what is not written.
    pub(super) fn of(time: OffsetDateTime) -> Self {
        let time = time.to_offset(UtcOffset::UTC);
        Self(time.replace_millisecond(time.millisecond()).unwrap_or(time))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        self.0.format(form).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(Self::of).map_err(serde::de::Error::custom)
    }
}

/// The first line of a segment or of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// Version of the format.
    pub(super) format: u32,
    /// Identity of the store.
    pub(super) birth: String,
    /// Number of the segment, from 1.
    pub(super) segment: u64,
    /// Number of the last line before it.
    pub(super) after: u64,
    pub(super) time: Stamp,
    /// Of all records at that point.
    pub(super) sum: Sum,
}

/// What was done: a batch, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Rises by one from line to line, over all segments.
    pub(super) seq: u64,
    pub(super) time: Stamp,
    /// The batch goes on in the next line; it counts only as a whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) more: bool,
    pub(super) changes: Vec<Changed>,
    /// Of all records after it.
    pub(super) sum: Sum,
}

/// The last line of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Records in it.
    pub(super) records: u64,
    pub(super) sum: Sum,
}

/// A value as a line with its end.
pub(super) fn write(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![b' '; 9];
    serde_json::to_writer(&mut bytes, value).map_err(|error| error.to_string())?;
    let sum = format!("{:08x}", crc32fast::hash(&bytes[9..]));
    bytes[..8].copy_from_slice(sum.as_bytes());
    bytes.push(b'\n');
    if bytes.len() > LINE {
        return Err(format!("a line of {} bytes; {LINE} are allowed", bytes.len()));
    }
    Ok(bytes)
}

/// The JSON of a line without its end, if the checksum holds.
pub(super) fn json(line: &[u8]) -> Result<&[u8], String> {
    let (sum, json) = line.split_at_checked(9).ok_or("too short")?;
    let sum = std::str::from_utf8(sum).ok().and_then(|sum| u32::from_str_radix(sum.strip_suffix(' ')?, 16).ok());
    let sum = sum.ok_or("does not begin with a checksum")?;
    let found = crc32fast::hash(json);
    if sum != found {
        return Err(format!("the checksum is {sum:08x}, but the content has {found:08x}"));
    }
    Ok(json)
}

/// The value of a line without its end.
pub(super) fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json(line)?).map_err(|error| format!("not a line of this kind: {error}"))
}

/// One line, or what there is of it.
pub(super) enum Next<'a> {
    /// Without its end.
    Whole(&'a [u8]),
    /// The file ends within it.
    Torn,
    /// Longer than any line.
    Long,
    /// The file ends before it.
    End,
}

/// Reads one line into a buffer.
pub(super) fn next<'a>(file: &mut impl BufRead, buffer: &'a mut Vec<u8>) -> std::io::Result<Next<'a>> {
    buffer.clear();
    let count = file.by_ref().take(LINE as u64).read_until(b'\n', buffer)?;
    Ok(match buffer.split_last() {
        None => Next::End,
        Some((b'\n', line)) => Next::Whole(line),
        Some(_) if count == LINE => Next::Long,
        Some(_) => Next::Torn,
    })
}
