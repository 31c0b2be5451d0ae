//! Cuts a byte stream into messages (RFC 8990 §2.5.3: CBOR items delimit themselves).

use super::decode::Limits;
use super::error::{DecodeError, Rule};
use super::scan::header;
use bytes::BytesMut;
use ciborium_ll::Header;

/// Finds message ends in a stream, whatever the reads were; each byte is looked at once.
///
/// What it cuts off ends where [`item_end`](super::item_end) says; text is not checked for UTF-8 here.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    /// Where the next header starts, possibly behind the bytes received so far.
    at: usize,
    open: Vec<Open>,
    /// The end of the message at the front, once it is known.
    end: Option<usize>,
}

/// A container whose end has not been seen.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// This many items are still to come.
    Items(usize),
    /// An array until its break.
    Array,
    /// A map until its break, which must not follow a lone key.
    Map { odd: bool },
    /// Definite strings of one kind until the break (RFC 8949 §3.2.3).
    Chunks { text: bool },
}

impl Framer {
    /// A framer for messages within `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), at: 0, open: Vec::new(), end: None }
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
                self.at = 0;
                self.end = None;
                Ok(Some(self.buffer.split_to(end).to_vec()))
            }
            None if self.buffer.len() > self.limits.size => Err(self.too_long()),
            None => Ok(None),
        }
    }

    fn too_long(&self) -> DecodeError {
        DecodeError::new(Rule::TooLong, self.limits.size)
    }

    /// The end of the item at the front if all of its bytes are here.
    fn find_end(&mut self) -> Result<Option<usize>, DecodeError> {
        while self.end.is_none() {
            if self.at > self.limits.size {
                return Err(self.too_long());
            }
            let (head, next) = match header(&self.buffer, self.at) {
                Ok(found) => found,
                Err(error) if error.rule == Rule::Truncated => return Ok(None),
                Err(error) => return Err(error),
            };
            self.step(head, next)?;
        }
        if self.end > Some(self.limits.size) {
            return Err(self.too_long());
        }
        Ok(self.end.filter(|end| *end <= self.buffer.len()))
    }

    /// Moves over one header, and over the content behind it if that is a string.
    fn step(&mut self, head: Header, next: usize) -> Result<(), DecodeError> {
        let malformed = DecodeError::new(Rule::Malformed, self.at);
        if let Some(Open::Chunks { text }) = self.open.last() {
            let chunk =
                if *text { matches!(head, Header::Text(Some(_))) } else { matches!(head, Header::Bytes(Some(_))) };
            if !chunk && head != Header::Break {
                return Err(malformed);
            }
        }
        match head {
            Header::Positive(_) | Header::Negative(_) | Header::Float(_) | Header::Simple(_) => self.close_item(next),
            Header::Bytes(Some(len)) | Header::Text(Some(len)) => self.close_item(next.saturating_add(len)),
            Header::Tag(_) => self.open_items(next, 1)?,
            Header::Array(Some(len)) => self.open_items(next, len)?,
            Header::Map(Some(pairs)) => self.open_items(next, pairs.saturating_mul(2))?,
            Header::Array(None) => self.open(next, Open::Array)?,
            Header::Map(None) => self.open(next, Open::Map { odd: false })?,
            Header::Bytes(None) | Header::Text(None) => {
                // Chunks do not nest, so they do not count as depth.
                self.open.push(Open::Chunks { text: head == Header::Text(None) });
                self.at = next;
            }
            Header::Break => match self.open.last() {
                Some(Open::Array | Open::Map { odd: false } | Open::Chunks { .. }) => {
                    self.open.pop();
                    self.close_item(next);
                }
                Some(Open::Items(_) | Open::Map { odd: true }) | None => return Err(malformed),
            },
        }
        Ok(())
    }

    fn open(&mut self, next: usize, container: Open) -> Result<(), DecodeError> {
        if self.open.len() >= self.limits.depth {
            return Err(DecodeError::new(Rule::TooDeep, self.at));
        }
        self.open.push(container);
        self.at = next;
        Ok(())
    }

    /// Opens a container of `len` items; each takes at least one byte, so a false count shows at once.
    fn open_items(&mut self, next: usize, len: usize) -> Result<(), DecodeError> {
        if next.saturating_add(len) > self.limits.size {
            return Err(self.too_long());
        }
        self.open(next, Open::Items(len))?;
        if len == 0 {
            self.open.pop();
            self.close_item(next);
        }
        Ok(())
    }

    /// Counts an item that ends at `end` in its containers; the bytes of a string may still be under way.
    fn close_item(&mut self, end: usize) {
        self.at = end;
        while let Some(last) = self.open.last_mut() {
            match last {
                Open::Items(left) if *left <= 1 => {
                    self.open.pop();
                }
                Open::Items(left) => {
                    *left -= 1;
                    return;
                }
                Open::Map { odd } => {
                    *odd = !*odd;
                    return;
                }
                Open::Array | Open::Chunks { .. } => return,
            }
        }
        self.end = Some(end);
    }
}
