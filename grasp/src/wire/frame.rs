//! Cuts a byte stream into messages (RFC 8990 §2.5.3: CBOR items delimit themselves).

use super::decode::Limits;
use super::error::{DecodeError, Rule};
use super::scan::header;
use ciborium_ll::Header;

/// Finds message ends in a stream, whatever the reads were; each byte is looked at once.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the next header starts, possibly behind the bytes received so far.
    at: usize,
    open: Vec<Open>,
    /// The end of the message at the front, once it is known.
    end: Option<usize>,
}

/// A container whose end has not been seen.
#[derive(Debug, Clone, Copy)]
enum Open {
    Items(usize),
    UntilBreak,
}

impl Framer {
    /// A framer for messages within `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), at: 0, open: Vec::new(), end: None }
    }

    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes received that are not yet part of a returned message.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the bytes of the next complete item, or `None` until more are pushed.
    ///
    /// # Errors
    ///
    /// A message over the size or depth limit, or bytes that cannot start an item; the stream is useless from there.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, DecodeError> {
        match self.find_end()? {
            Some(end) => {
                let rest = self.buffer.split_off(end);
                self.at = 0;
                self.end = None;
                Ok(Some(std::mem::replace(&mut self.buffer, rest)))
            }
            None if self.buffer.len() > self.limits.size => Err(DecodeError::new(Rule::TooLong, self.limits.size)),
            None => Ok(None),
        }
    }

    fn find_end(&mut self) -> Result<Option<usize>, DecodeError> {
        if let Some(end) = self.end {
            return Ok(Some(end).filter(|end| *end <= self.buffer.len()));
        }
        loop {
            if self.at > self.limits.size {
                return Err(DecodeError::new(Rule::TooLong, self.limits.size));
            }
            if self.at > self.buffer.len() {
                return Ok(None);
            }
            let (head, next) = match header(&self.buffer, self.at) {
                Ok(found) => found,
                Err(error) if error.rule == Rule::Truncated => return Ok(None),
                Err(error) => return Err(error),
            };
            let opened = match head {
                Header::Positive(_) | Header::Negative(_) | Header::Float(_) | Header::Simple(_) => None,
                Header::Bytes(Some(len)) | Header::Text(Some(len)) => {
                    self.at = next.saturating_add(len);
                    if self.close_item() {
                        return self.whole();
                    }
                    continue;
                }
                Header::Tag(_) => Some(Open::Items(1)),
                Header::Array(Some(0)) | Header::Map(Some(0)) => None,
                Header::Array(Some(len)) => Some(Open::Items(len)),
                Header::Map(Some(len)) => Some(Open::Items(len.saturating_mul(2))),
                Header::Bytes(None) | Header::Text(None) | Header::Array(None) | Header::Map(None) => {
                    Some(Open::UntilBreak)
                }
                Header::Break => match self.open.pop() {
                    Some(Open::UntilBreak) => None,
                    _ => return Err(DecodeError::new(Rule::Malformed, self.at)),
                },
            };
            if let Some(open) = opened {
                // Each item takes a byte at least, so a larger count cannot end within the limit.
                if matches!(open, Open::Items(count) if count > self.limits.size.saturating_sub(next)) {
                    return Err(DecodeError::new(Rule::TooLong, self.limits.size));
                }
                if self.open.len() >= self.limits.depth {
                    return Err(DecodeError::new(Rule::TooDeep, self.at));
                }
                self.open.push(open);
                self.at = next;
            } else {
                self.at = next;
                if self.close_item() {
                    return self.whole();
                }
            }
        }
    }

    /// Counts a finished item in its containers; tells whether the outermost one is finished.
    fn close_item(&mut self) -> bool {
        while let Some(last) = self.open.last_mut() {
            match last {
                Open::UntilBreak => return false,
                Open::Items(left) => {
                    *left -= 1;
                    if *left > 0 {
                        return false;
                    }
                    self.open.pop();
                }
            }
        }
        true
    }

    /// The outermost item ends at `at`, though the bytes of its last string may still be under way.
    fn whole(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.at > self.limits.size {
            return Err(DecodeError::new(Rule::TooLong, self.limits.size));
        }
        self.end = Some(self.at);
        Ok(self.end.filter(|end| *end <= self.buffer.len()))
    }
}
