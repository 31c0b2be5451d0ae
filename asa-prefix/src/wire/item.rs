//! Values as trees of CBOR items, bounded before they are built.

use super::error::WireError;
use ciborium::Value as Item;
use grasp::Value;
use grasp::constants::{GRASP_DEF_MAX_SIZE, MAX_DEPTH};
use grasp::wire::{Form as Wrapping, item_end};

/// Tag of an encoded CBOR data item (RFC 8949 section 3.4.5.1).
const EMBEDDED: u64 = 24;

/// The bytes of a value without Tag 24, and whether it was there.
pub(super) fn unwrap(value: &Value) -> Result<(Vec<u8>, bool), WireError> {
    let (size, limit) = (value.as_bytes().len(), GRASP_DEF_MAX_SIZE);
    if size > limit {
        return Err(WireError::TooLong { size, limit });
    }
    Ok(match value.form() {
        Wrapping::Item(bytes) => (bytes.to_vec(), false),
        Wrapping::Embedded(bytes) => (bytes.to_vec(), true),
    })
}

/// Decodes bytes that are exactly one item, nested no deeper than a message may be.
pub(super) fn decode(bytes: &[u8]) -> Option<Item> {
    let end = item_end(bytes, 0, MAX_DEPTH).ok()?;
    // The scan has bounded the depth and proven that every length is covered by bytes.
    if end == bytes.len() { ciborium::from_reader(bytes).ok() } else { None }
}

/// The item of a value, and whether it was inside Tag 24.
pub(super) fn open(value: &Value) -> Result<(Item, bool), WireError> {
    let (bytes, embedded) = unwrap(value)?;
    let item = decode(&bytes).ok_or(WireError::NotOneItem)?;
    match item.as_tag() {
        Some((EMBEDDED, _)) if embedded => Err(WireError::TwiceEmbedded),
        _ => Ok((item, embedded)),
    }
}
