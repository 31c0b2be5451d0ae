//! Why a value is no request or offer.

use super::form::Form;
use crate::prefix::Family;
use ciborium::Value as Item;
use std::fmt;

/// Why a value cannot be read or written.
///
/// Its text is at most a short sentence made of this program's own words and of numbers, so that it can be sent as the
/// reason of a decline and logged as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// More bytes than any message holds.
    #[error("the value has {size} bytes, more than the {limit} of a message")]
    TooLong {
        /// Its bytes.
        size: usize,
        /// The most that are read.
        limit: usize,
    },
    /// The bytes, those inside Tag 24 included, are not exactly one CBOR item that can be decoded.
    #[error("the value is not one CBOR item that can be decoded")]
    NotOneItem,
    /// Tag 24 inside Tag 24.
    #[error("Tag 24 stands inside Tag 24")]
    TwiceEmbedded,
    /// Neither an array nor Tag 54 or 52.
    #[error("expected [6, length] or [4, length], found {0}")]
    NoPrefixValue(Found),
    /// The first item of an array is neither 6 nor 4.
    #[error("expected version 6 or 4, found {0}")]
    Version(Found),
    /// The boolean of form F4 is missing.
    #[error("expected true or false before the length, found {0}")]
    Delegation(Found),
    /// The length is not an integer, or out of range (RFC 8992 sections 5.1 and 5.2).
    #[error("expected a prefix length of 0 to {} for {family}, found {found}", .family.bits())]
    Length {
        /// The family.
        family: Family,
        /// What stands there.
        found: Found,
    },
    /// The prefix is not a byte string of the right size.
    #[error("expected an {family} prefix of {} bytes, found {found}", octets(*.family))]
    Bytes {
        /// The family.
        family: Family,
        /// What stands there.
        found: Found,
    },
    /// Bits beyond the length are set.
    #[error("the {family} prefix has bits set beyond its length of {length}")]
    StrayBits {
        /// The family.
        family: Family,
        /// The length.
        length: u8,
    },
    /// The content of Tag 54 or 52 is neither a byte string nor an array with length and bytes.
    #[error("expected [length, bytes] in the tag of an {family} prefix, found {found}")]
    Tagged {
        /// The family.
        family: Family,
        /// What stands there.
        found: Found,
    },
    /// RFC 9164 section 4.3 has a decoder refuse them.
    #[error("the prefix in Tag 54 or 52 ends in a zero byte, against RFC 9164")]
    TrailingZero,
    /// More bytes in Tag 54 or 52 than the length needs.
    #[error("the prefix of length {length} in Tag 54 or 52 has {found} bytes, more than the length needs")]
    Surplus {
        /// The length.
        length: u8,
        /// Its bytes.
        found: usize,
    },
    /// More items in Tag 54 or 52 than length and prefix.
    #[error("expected two items in Tag 54 or 52, found {0}")]
    SurplusItems(usize),
    /// RFC 9164 section 3.1.3: an address with the length of its link's prefix.
    #[error("an address with a prefix length (the interface form of RFC 9164) is not a prefix")]
    InterfaceForm,
    /// Form F7.
    #[error("an encoded [address, length] inside Tag 54 or 52 (pfxm4 of 2021) is no longer spoken")]
    Outdated,
    /// An offer has to have a prefix.
    #[error("the offer holds no prefix")]
    NoPrefix,
    /// The form is for IPv6 alone.
    #[error("form {0} cannot carry an IPv4 prefix")]
    Ipv6Only(Form),
}

/// Bytes of an address.
pub(super) const fn octets(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

/// What stands where something else was expected, without a word of the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The array has ended.
    Nothing,
    /// Null or undefined.
    Null,
    /// An integer.
    Integer(i128),
    /// A byte string of this many bytes.
    Bytes(usize),
    /// A floating-point number.
    Float,
    /// A text.
    Text,
    /// True or false.
    Boolean,
    /// A tag.
    Tag(u64),
    /// An array of this many items.
    Array(usize),
    /// A map.
    Map,
    /// Something else.
    Other,
}

impl From<Option<&Item>> for Found {
    fn from(item: Option<&Item>) -> Self {
        match item {
            None => Self::Nothing,
            Some(Item::Integer(n)) => Self::Integer((*n).into()),
            Some(Item::Bytes(bytes)) => Self::Bytes(bytes.len()),
            Some(Item::Float(_)) => Self::Float,
            Some(Item::Text(_)) => Self::Text,
            Some(Item::Bool(_)) => Self::Boolean,
            Some(Item::Null) => Self::Null,
            Some(Item::Tag(tag, _)) => Self::Tag(*tag),
            Some(Item::Array(items)) => Self::Array(items.len()),
            Some(Item::Map(_)) => Self::Map,
            Some(_) => Self::Other,
        }
    }
}

impl From<&Item> for Found {
    fn from(item: &Item) -> Self {
        Self::from(Some(item))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Null => f.write_str("null"),
            Self::Integer(n) => write!(f, "{n}"),
            Self::Bytes(len) => write!(f, "{len} bytes"),
            Self::Float => f.write_str("a floating-point number"),
            Self::Text => f.write_str("a text"),
            Self::Boolean => f.write_str("a boolean"),
            Self::Tag(tag) => write!(f, "Tag {tag}"),
            Self::Array(len) => write!(f, "an array of {len} items"),
            Self::Map => f.write_str("a map"),
            Self::Other => f.write_str("something else"),
        }
    }
}
