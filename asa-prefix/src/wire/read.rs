//! Reading requests and offers, by their shape alone.

use super::error::{Found, WireError, octets};
use super::form::{Dialect, Form, Shape};
use super::item;
use crate::prefix::{Family, Prefix, Want};
use ciborium::Value as Item;
use grasp::Value;
use std::net::IpAddr;

/// Tags of addresses and prefixes (RFC 9164 section 5).
pub(super) const TAG_IPV4: u64 = 52;
/// See [`TAG_IPV4`].
pub(super) const TAG_IPV6: u64 = 54;

/// What a request asks for, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// What is wanted.
    pub want: Want,
    /// The form to answer in.
    pub form: Form,
    /// Whether there are items after those that the form has; they are to be logged, and mean nothing.
    pub surplus: bool,
    /// The prefix that stands in the request, unless all its bits are zero: the requester would like this one.
    pub hint: Option<Prefix>,
}

/// What an offer offers, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// The prefix; whether it is plausible is for [`crate::plausible`] to say.
    pub prefix: Prefix,
    /// The form to answer in; never F3.
    pub form: Form,
    /// Whether there are items after those that the form has; they are to be logged, and mean nothing.
    pub surplus: bool,
}

/// Reads a request (RFC 8992 sections 5.1 and 5.2), in any form of the table in [`super`].
///
/// # Errors
///
/// See [`WireError`]; its text is a fit reason for the decline.
pub fn read_request(dialect: Dialect, value: &Value) -> Result<Asked, WireError> {
    let (parts, form) = read(dialect, value)?;
    let hint = parts.prefix()?.filter(|prefix| prefix.number() != 0);
    Ok(Asked { want: Want { family: parts.family, length: parts.length }, form, surplus: parts.surplus, hint })
}

/// Reads an offer (RFC 8992 sections 5.1 and 5.2), in any form of the table in [`super`].
///
/// # Errors
///
/// See [`WireError`]; its text is a fit reason for the decline.
pub fn read_offer(dialect: Dialect, value: &Value) -> Result<Offered, WireError> {
    let (parts, form) = read(dialect, value)?;
    let prefix = parts.prefix()?.ok_or(WireError::NoPrefix)?;
    Ok(Offered { prefix, form, surplus: parts.surplus })
}

/// A value taken apart: the bytes have the right size, or there are none.
struct Parts {
    shape: Shape,
    family: Family,
    length: u8,
    /// All bytes of the address, those left out added.
    address: Option<IpAddr>,
    surplus: bool,
}

impl Parts {
    fn prefix(&self) -> Result<Option<Prefix>, WireError> {
        let Some(address) = self.address else { return Ok(None) };
        match Prefix::of(address, self.length) {
            Some(prefix) if prefix.address() == address => Ok(Some(prefix)),
            _ => Err(WireError::StrayBits { family: self.family, length: self.length }),
        }
    }
}

fn read(dialect: Dialect, value: &Value) -> Result<(Parts, Form), WireError> {
    let (item, embedded) = item::open(value)?;
    let parts = match (item.as_tag(), item.as_array()) {
        (Some((TAG_IPV6, content)), _) => tagged(dialect, Family::V6, content),
        (Some((TAG_IPV4, content)), _) => tagged(dialect, Family::V4, content),
        (None, Some(items)) => untagged(items),
        _ => Err(WireError::NoPrefixValue(Found::from(&item))),
    }?;
    let form = Form { shape: parts.shape, embedded };
    Ok((parts, form))
}

/// F1 to F4.
fn untagged(items: &[Item]) -> Result<Parts, WireError> {
    match (items.first(), items.get(1)) {
        (None, _) => Err(WireError::NoPrefixValue(Found::Array(0))),
        (Some(Item::Bool(delegation)), _) => {
            let shape = Shape::F4 { versioned: false, delegation: *delegation };
            positional(shape, Family::V6, items.get(1..).unwrap_or_default())
        }
        (Some(version), Some(Item::Bool(delegation))) => {
            let shape = Shape::F4 { versioned: true, delegation: *delegation };
            positional(shape, family(version)?, items.get(2..).unwrap_or_default())
        }
        (Some(_), None | Some(Item::Null | Item::Bytes(_))) => positional(Shape::F1, Family::V6, items),
        (Some(version), Some(_)) => {
            let shape = if items.get(2).is_some_and(Item::is_null) { Shape::F3 } else { Shape::F2 };
            positional(shape, family(version)?, items.get(1..).unwrap_or_default())
        }
    }
}

fn family(version: &Item) -> Result<Family, WireError> {
    match integer(version) {
        Some(6) => Ok(Family::V6),
        Some(4) => Ok(Family::V4),
        _ => Err(WireError::Version(version.into())),
    }
}

fn integer(item: &Item) -> Option<i128> {
    item.as_integer().map(i128::from)
}

/// The length and what follows it: nothing, null or the prefix, always with all its bytes.
fn positional(shape: Shape, family: Family, items: &[Item]) -> Result<Parts, WireError> {
    let length = length(family, items.first())?;
    let address = match items.get(1) {
        None | Some(Item::Null) => None,
        Some(item) => {
            let wrong = || WireError::Bytes { family, found: item.into() };
            Some(item.as_bytes().and_then(|bytes| address(family, bytes)).ok_or_else(wrong)?)
        }
    };
    Ok(Parts { shape, family, length, address, surplus: items.len() > 2 })
}

fn length(family: Family, item: Option<&Item>) -> Result<u8, WireError> {
    let length = item.and_then(integer).and_then(|length| u8::try_from(length).ok());
    let wrong = || WireError::Length { family, found: item.into() };
    length.filter(|length| *length <= family.bits()).ok_or_else(wrong)
}

/// The address of exactly this many bytes.
fn address(family: Family, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        Family::V4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        Family::V6 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// F5, F6, and the forms of RFC 9164 that are no prefix.
fn tagged(dialect: Dialect, family: Family, content: &Item) -> Result<Parts, WireError> {
    if let Some(bytes) = content.as_bytes() {
        return plain_address(dialect, family, bytes);
    }
    let items = content.as_array().ok_or(WireError::Tagged { family, found: content.into() })?;
    if items.first().is_some_and(Item::is_bytes) {
        return Err(WireError::InterfaceForm);
    }
    let length = length(family, items.first())?;
    let found = Found::from(items.get(1));
    let bytes = items.get(1).and_then(Item::as_bytes).ok_or(WireError::Bytes { family, found })?;
    let whole = usize::from(length).div_ceil(8);
    if bytes.len() > whole {
        return Err(WireError::Surplus { length, found: bytes.len() });
    }
    let shape = match dialect {
        Dialect::PrefixManager if items.len() > 2 => return Err(WireError::SurplusItems(items.len())),
        Dialect::PrefixManager if bytes.last() == Some(&0) => return Err(WireError::TrailingZero),
        Dialect::PrefixManagerT if bytes.len() == whole => Shape::F5,
        Dialect::PrefixManager | Dialect::PrefixManagerT => Shape::F6,
    };
    let mut all = bytes.clone();
    all.resize(octets(family), 0);
    Ok(Parts { shape, family, length, address: address(family, &all), surplus: items.len() > 2 })
}

/// RFC 9164 section 3.1.1, a prefix of full length; or F7.
fn plain_address(dialect: Dialect, family: Family, bytes: &[u8]) -> Result<Parts, WireError> {
    let Some(address) = address(family, bytes) else {
        let inner = item::decode(bytes);
        let outdated =
            inner.as_ref().and_then(Item::as_array).and_then(|items| items.first()).is_some_and(Item::is_bytes);
        let found = Found::Bytes(bytes.len());
        return Err(if outdated { WireError::Outdated } else { WireError::Bytes { family, found } });
    };
    let shape = match dialect {
        Dialect::PrefixManager => Shape::F6,
        Dialect::PrefixManagerT => Shape::F5,
    };
    Ok(Parts { shape, family, length: family.bits(), address: Some(address), surplus: false })
}
