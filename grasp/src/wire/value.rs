//! The value of an objective: one CBOR item, kept as bytes (RFC 8990 §2.10.1, RFC 8991 §2.3.2.4).

use super::scan::{self, Element};
use crate::constants::MAX_DEPTH;
use bytes::Bytes;
use ciborium_ll::{Encoder, Header};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};
use std::fmt;

/// Deepest nesting of a value that this node makes: in a flood, three arrays stand around it.
const OWN_DEPTH: usize = MAX_DEPTH - 3;

/// CBOR tag of an encoded CBOR data item (RFC 8949 §3.4.5.1).
const EMBEDDED: u64 = 24;

/// One well-formed CBOR item as it crosses the wire; never changed, never re-encoded.
///
/// There are two explicit ways to make one: [`Value::item`] sends the item itself, [`Value::embedded`] sends bytes that
/// the ASA has encoded already, inside Tag 24. [`Value::form`] tells them apart on receipt.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(Bytes);

/// How a value was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The item itself, encoded.
    Item(Bytes),
    /// The bytes inside Tag 24. They need not be a well-formed item: a Python peer wraps any byte string whose
    /// beginning decodes.
    Embedded(Bytes),
}

/// A value cannot be read or written as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The bytes are not exactly one well-formed item.
    #[error("the value is not exactly one well-formed CBOR item")]
    NotOneItem,
    /// The item does not have the expected shape.
    #[error("the value does not have the expected shape: {0}")]
    Shape(String),
}

impl Value {
    /// The value null, sent where a request has no initial value (RFC 8990 §2.10.3).
    #[must_use]
    pub fn null() -> Self {
        Self(Bytes::from_static(&[0xf6]))
    }

    /// Encodes `item` as the value.
    ///
    /// # Errors
    ///
    /// [`ValueError::Shape`] if serde cannot express it in CBOR, or if it is nested too deeply to be read back.
    pub fn item<T: Serialize + ?Sized>(item: &T) -> Result<Self, ValueError> {
        let mut bytes = Vec::new();
        ciborium::into_writer(item, &mut bytes).map_err(|e| ValueError::Shape(e.to_string()))?;
        scan::item_end(&bytes, 0, OWN_DEPTH).map_err(|e| ValueError::Shape(e.to_string()))?;
        Ok(Self(bytes.into()))
    }

    /// Wraps bytes that the ASA encoded itself into Tag 24 (RFC 8991 §2.3.2.4).
    #[must_use]
    pub fn embedded(inner: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(inner.len() + 8);
        let mut encoder = Encoder::from(&mut bytes);
        // Writing into a Vec does not fail.
        let _ = encoder.push(Header::Tag(EMBEDDED));
        let _ = encoder.bytes(inner, None);
        Self(bytes.into())
    }

    /// Takes bytes that are one well-formed item already.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOneItem`] for anything else, trailing bytes included.
    pub fn from_encoded(bytes: impl Into<Bytes>) -> Result<Self, ValueError> {
        let bytes = bytes.into();
        match scan::item_end(&bytes, 0, MAX_DEPTH) {
            Ok(end) if end == bytes.len() => Ok(Self(bytes)),
            _ => Err(ValueError::NotOneItem),
        }
    }

    /// For bytes that the decoder has proven to be one item.
    pub(super) fn trusted(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The encoded item.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells the two forms apart; only Tag 24 around a byte string is unwrapped.
    #[must_use]
    pub fn form(&self) -> Form {
        match scan::header(&self.0, 0) {
            Ok((Header::Tag(EMBEDDED), at)) => Element::parse(&self.0, at, MAX_DEPTH)
                .ok()
                .and_then(|inner| inner.byte_string())
                .map_or_else(|| Form::Item(self.0.clone()), |inner| Form::Embedded(inner.into_owned().into())),
            _ => Form::Item(self.0.clone()),
        }
    }

    /// Decodes the item, or the item inside Tag 24, into `T`.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotOneItem`] if the inside of Tag 24 is not one item, [`ValueError::Shape`] if `T` does not fit.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ValueError> {
        let bytes = match self.form() {
            Form::Item(bytes) | Form::Embedded(bytes) => bytes,
        };
        let end = scan::item_end(&bytes, 0, MAX_DEPTH).map_err(|_| ValueError::NotOneItem)?;
        if end != bytes.len() {
            return Err(ValueError::NotOneItem);
        }
        // The scan above has bounded the depth.
        ciborium::from_reader(&bytes[..]).map_err(|e| ValueError::Shape(e.to_string()))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::diagnostic(&self.0))
    }
}

/// Recorded as diagnostic-free hex, so that a record replays to the same bytes.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = crate::hex::decode(&text).ok_or_else(|| D::Error::custom("not hex"))?;
        Self::from_encoded(bytes).map_err(D::Error::custom)
    }
}
