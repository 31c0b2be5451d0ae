//! Writing requests and offers, in the form that the peer understands.

use super::error::{Found, WireError};
use super::form::{Form, Shape};
use super::read::{TAG_IPV4, TAG_IPV6};
use crate::prefix::{Family, Prefix, Want};
use ciborium::Value as Item;
use grasp::Value;
use std::net::IpAddr;

/// Writes a request in a form.
///
/// # Errors
///
/// [`WireError::Ipv6Only`] if the form cannot carry IPv4, [`WireError::Length`] if the length is out of range.
pub fn write_request(form: Form, want: Want) -> Result<Value, WireError> {
    let Want { family, length } = want;
    if length > family.bits() {
        return Err(WireError::Length { family, found: Found::Integer(length.into()) });
    }
    let zeros = vec![0; usize::from(length).div_ceil(8)];
    write(form, family, |shape| match shape {
        Shape::F1 | Shape::F2 | Shape::F4 { .. } => vec![length.into()],
        Shape::F3 => vec![length.into(), Item::Null],
        Shape::F5 => vec![length.into(), Item::Bytes(zeros)],
        Shape::F6 => vec![length.into(), Item::Bytes(Vec::new())],
    })
}

/// Writes an offer in the form of the request that it answers.
///
/// An offer to F3 is that of F2. F5 has as many bytes as the length needs, zero bytes included, for pfxm4 fails on
/// fewer; F6 has none at its end (RFC 9164 section 4.2).
///
/// # Errors
///
/// [`WireError::Ipv6Only`] if the form cannot carry IPv4.
pub fn write_offer(form: Form, prefix: &Prefix) -> Result<Value, WireError> {
    let (family, length) = (prefix.family(), prefix.length());
    let mut bytes = match prefix.address() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    write(form, family, |shape| {
        match shape {
            Shape::F1 | Shape::F2 | Shape::F3 | Shape::F4 { .. } => (),
            Shape::F5 => bytes.truncate(usize::from(length).div_ceil(8)),
            Shape::F6 => bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)),
        }
        vec![length.into(), Item::Bytes(bytes)]
    })
}

/// Puts what stands before the length in front of it, and tags around all.
fn write(form: Form, family: Family, body: impl FnOnce(Shape) -> Vec<Item>) -> Result<Value, WireError> {
    let Form { shape, embedded } = form;
    if family == Family::V4 && !shape.carries_ipv4() {
        return Err(WireError::Ipv6Only(form));
    }
    let (version, tag): (u8, _) = match family {
        Family::V4 => (4, TAG_IPV4),
        Family::V6 => (6, TAG_IPV6),
    };
    let mut items = match shape {
        Shape::F1 | Shape::F5 | Shape::F6 => Vec::new(),
        Shape::F2 | Shape::F3 => vec![version.into()],
        Shape::F4 { versioned: true, delegation } => vec![version.into(), delegation.into()],
        Shape::F4 { versioned: false, delegation } => vec![delegation.into()],
    };
    items.extend(body(shape));
    let item = match shape {
        Shape::F1 | Shape::F2 | Shape::F3 | Shape::F4 { .. } => Item::Array(items),
        Shape::F5 | Shape::F6 => Item::Tag(tag, Box::new(Item::Array(items))),
    };
    // Two levels of integers and bytes can always be encoded.
    let value = Value::item(&item).map_err(|_| WireError::NotOneItem)?;
    Ok(if embedded { Value::embedded(value.as_bytes()) } else { value })
}
