//! Finds the ends of CBOR items without building them (RFC 8949 §3).

use super::error::{DecodeError, Rule};
use ciborium_ll::{Decoder, Header};
use std::borrow::Cow;

/// Reads the header at `at` and returns it with the offset behind it.
#[inline(always)]
pub(super) fn header(bytes: &[u8], at: usize) -> Result<(Header, usize), DecodeError> {
    let malformed = || DecodeError::new(Rule::Malformed, at);
    let first = *bytes.get(at).ok_or(DecodeError::new(Rule::Truncated, at))?;
    let info = first & 0x1f;
    let (argument, next) = match info {
        0..=23 => (Some(u64::from(info)), at + 1),
        24 => (Some(u8::from_be_bytes(digits(bytes, at)?).into()), at + 2),
        25 => (Some(u16::from_be_bytes(digits(bytes, at)?).into()), at + 3),
        26 => (Some(u32::from_be_bytes(digits(bytes, at)?).into()), at + 5),
        27 => (Some(u64::from_be_bytes(digits(bytes, at)?)), at + 9),
        31 => (None, at + 1),
        _ => return Err(malformed()),
    };
    let len = || argument.map(usize::try_from).transpose().map_err(|_| malformed());
    let head = match (first >> 5, argument) {
        (0, Some(n)) => Header::Positive(n),
        (1, Some(n)) => Header::Negative(n),
        (2, _) => Header::Bytes(len()?),
        (3, _) => Header::Text(len()?),
        (4, _) => Header::Array(len()?),
        (5, _) => Header::Map(len()?),
        (6, Some(n)) => Header::Tag(n),
        (7, None) => Header::Break,
        (7, Some(_)) if info > 24 => Header::Float(float(bytes, at).ok_or_else(malformed)?),
        // A simple value below 32 fits into the first byte and must stand there (RFC 8949 §3.3).
        (7, Some(n)) if info < 24 || n >= 32 => Header::Simple(u8::try_from(n).map_err(|_| malformed())?),
        _ => return Err(malformed()),
    };
    Ok((head, next))
}

/// The argument behind the first byte of the header at `at`.
#[inline]
fn digits<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], DecodeError> {
    bytes.get(at + 1..).and_then(<[u8]>::first_chunk).copied().ok_or(DecodeError::new(Rule::Truncated, at))
}

/// The float at `at`, of any of the three widths.
#[cold]
fn float(bytes: &[u8], at: usize) -> Option<f64> {
    match Decoder::from(bytes.get(at..)?).pull() {
        Ok(Header::Float(x)) => Some(x),
        _ => None,
    }
}

/// Returns the offset behind the one well-formed item that starts at `at`.
///
/// # Errors
///
/// [`Rule::Truncated`] when the bytes end inside the item, [`Rule::TooDeep`] beyond `depth` nested items and
/// [`Rule::Malformed`] for anything else that is not well-formed, text that is not UTF-8 included.
pub fn item_end(bytes: &[u8], at: usize, depth: usize) -> Result<usize, DecodeError> {
    let (head, next) = header(bytes, at)?;
    let inner = || depth.checked_sub(1).ok_or(DecodeError::new(Rule::TooDeep, at));
    match head {
        Header::Positive(_) | Header::Negative(_) | Header::Float(_) | Header::Simple(_) => Ok(next),
        Header::Break => Err(DecodeError::new(Rule::Malformed, at)),
        Header::Bytes(Some(len)) => string_end(bytes, next, len),
        Header::Text(Some(len)) => {
            let end = string_end(bytes, next, len)?;
            std::str::from_utf8(&bytes[next..end]).map_err(|_| DecodeError::new(Rule::Malformed, at))?;
            Ok(end)
        }
        Header::Bytes(None) | Header::Text(None) => chunks_end(bytes, next, matches!(head, Header::Text(None))),
        Header::Tag(_) => item_end(bytes, next, inner()?),
        Header::Array(Some(len)) => items_end(bytes, next, len, inner()?),
        Header::Map(Some(pairs)) => {
            let len = pairs.checked_mul(2).ok_or(DecodeError::new(Rule::Truncated, at))?;
            items_end(bytes, next, len, inner()?)
        }
        Header::Array(None) => until_break(bytes, next, inner()?).map(|(end, _)| end),
        Header::Map(None) => match until_break(bytes, next, inner()?)? {
            (end, items) if items % 2 == 0 => Ok(end),
            _ => Err(DecodeError::new(Rule::Malformed, at)),
        },
    }
}

fn string_end(bytes: &[u8], at: usize, len: usize) -> Result<usize, DecodeError> {
    at.checked_add(len).filter(|end| *end <= bytes.len()).ok_or(DecodeError::new(Rule::Truncated, at))
}

/// Every item takes at least one byte, so a false count ends with the bytes.
fn items_end(bytes: &[u8], mut at: usize, len: usize, depth: usize) -> Result<usize, DecodeError> {
    for _ in 0..len {
        at = item_end(bytes, at, depth)?;
    }
    Ok(at)
}

fn until_break(bytes: &[u8], mut at: usize, depth: usize) -> Result<(usize, usize), DecodeError> {
    for items in 0.. {
        match bytes.get(at) {
            None => break,
            Some(0xff) => return Ok((at + 1, items)),
            Some(_) => at = item_end(bytes, at, depth)?,
        }
    }
    Err(DecodeError::new(Rule::Truncated, at))
}

/// The chunks of an indefinite string are definite strings of the same kind (RFC 8949 §3.2.3).
fn chunks_end(bytes: &[u8], mut at: usize, text: bool) -> Result<usize, DecodeError> {
    loop {
        at = match header(bytes, at)? {
            (Header::Break, next) => return Ok(next),
            (Header::Text(Some(_)), _) if text => item_end(bytes, at, 0)?,
            (Header::Bytes(Some(_)), _) if !text => item_end(bytes, at, 0)?,
            _ => return Err(DecodeError::new(Rule::Malformed, at)),
        };
    }
}

/// The offset behind the item at `at`, which has already been proven well-formed.
fn skip(bytes: &[u8], at: usize) -> Option<usize> {
    let (head, mut at) = header(bytes, at).ok()?;
    let mut left = match head {
        Header::Positive(_) | Header::Negative(_) | Header::Float(_) | Header::Simple(_) | Header::Break => 0,
        Header::Bytes(Some(len)) | Header::Text(Some(len)) => return Some(at + len),
        Header::Tag(_) => 1,
        Header::Array(Some(len)) => len,
        Header::Map(Some(pairs)) => pairs * 2,
        Header::Bytes(None) | Header::Text(None) | Header::Array(None) | Header::Map(None) => {
            while *bytes.get(at)? != 0xff {
                at = skip(bytes, at)?;
            }
            return Some(at + 1);
        }
    };
    while left > 0 {
        at = skip(bytes, at)?;
        left -= 1;
    }
    Some(at)
}

/// A cursor over the elements of one array that has already been proven well-formed.
#[derive(Clone)]
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    left: Option<usize>,
    /// The end of the array, which is also the end of the last element of a definite one.
    end: usize,
}

/// One element: its bytes and where it starts in the message.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) message: &'a [u8],
    pub(super) at: usize,
    pub(super) end: usize,
}

impl<'a> Element<'a> {
    /// The one item that starts at `at`, proven well-formed.
    pub(super) fn parse(message: &'a [u8], at: usize, depth: usize) -> Result<Self, DecodeError> {
        Ok(Self { message, at, end: item_end(message, at, depth)? })
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.message[self.at..self.end]
    }

    /// The elements of this array, or `None` if it is not one.
    pub(super) fn elements(&self) -> Option<Elements<'a>> {
        let (Header::Array(left), at) = header(self.message, self.at).ok()? else { return None };
        Some(Elements { bytes: self.message, at, left, end: self.end })
    }

    /// The unsigned integer that this array starts with, as options do.
    pub(super) fn option_number(&self) -> Option<u64> {
        let (Header::Array(left), first) = header(self.message, self.at).ok()? else { return None };
        match header(self.message, first).ok()? {
            (Header::Positive(n), _) if left != Some(0) => Some(n),
            _ => None,
        }
    }

    /// This unsigned integer, or `None`; a bignum is not one.
    pub(super) fn unsigned(&self) -> Option<u64> {
        match header(self.message, self.at).ok()? {
            (Header::Positive(n), _) => Some(n),
            _ => None,
        }
    }

    /// This unsigned integer if it fits into 32 bits.
    pub(super) fn u32(&self) -> Option<u32> {
        u32::try_from(self.unsigned()?).ok()
    }

    /// This text string, with its chunks joined.
    pub(super) fn text(&self) -> Option<String> {
        match self.string(true)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok(),
        }
    }

    /// This byte string, with its chunks joined.
    pub(super) fn byte_string(&self) -> Option<Cow<'a, [u8]>> {
        self.string(false)
    }

    fn string(&self, text: bool) -> Option<Cow<'a, [u8]>> {
        match header(self.message, self.at).ok()? {
            (Header::Text(Some(_)), at) if text => Some(self.message[at..self.end].into()),
            (Header::Bytes(Some(_)), at) if !text => Some(self.message[at..self.end].into()),
            (Header::Text(None), at) if text => self.chunks(at).map(Cow::Owned),
            (Header::Bytes(None), at) if !text => self.chunks(at).map(Cow::Owned),
            _ => None,
        }
    }

    fn chunks(&self, mut at: usize) -> Option<Vec<u8>> {
        let mut joined = Vec::new();
        while let (Header::Text(Some(len)) | Header::Bytes(Some(len)), start) = header(self.message, at).ok()? {
            at = start + len;
            joined.extend_from_slice(&self.message[start..at]);
        }
        Some(joined)
    }

    /// Tells whether this is the simple value null.
    pub(super) fn is_null(&self) -> bool {
        self.bytes() == [0xf6]
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let at = self.at;
        self.at = match self.left {
            Some(0) => return None,
            Some(1) => self.end,
            Some(_) => skip(self.bytes, at)?,
            None if self.bytes.get(at) == Some(&0xff) => return None,
            None => skip(self.bytes, at)?,
        };
        self.left = self.left.map(|left| left - 1);
        Some(Element { message: self.bytes, at, end: self.at })
    }
}
