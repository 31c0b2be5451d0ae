//! The one change a relay makes: the loop count of the first objective (RFC 8990 §2.5.4.4, §2.5.6.2).

use super::scan::{Element, header};
use crate::constants::MAX_DEPTH;
use ciborium_ll::{Encoder, Header};

/// The bytes are not a discovery or flood with an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message that can be relayed")]
pub struct LoopCountError;

/// Copies an M_DISCOVERY or M_FLOOD with `loop_count` in its first objective; every other byte stays what it was.
///
/// # Errors
///
/// [`LoopCountError`] if the message has no objective in the place where these two types have it.
pub fn with_loop_count(message: &[u8], loop_count: u8) -> Result<Vec<u8>, LoopCountError> {
    let place = loop_count_place(message).ok_or(LoopCountError)?;
    let mut copy = Vec::with_capacity(message.len() + 1);
    copy.extend_from_slice(&message[..place.at]);
    // Writing into a Vec does not fail.
    let _ = Encoder::from(&mut copy).push(Header::Positive(loop_count.into()));
    copy.extend_from_slice(&message[place.end..]);
    Ok(copy)
}

fn loop_count_place(message: &[u8]) -> Option<Element<'_>> {
    let mut elements = Element::parse(message, 0, MAX_DEPTH).ok()?.elements()?;
    let objective = match elements.next()?.unsigned()? {
        1 => elements.nth(2)?,
        // Options that do not belong here may stand before the first pair; a pair starts with an array.
        9 => elements.skip(3).find_map(|pair| pair.elements()?.next().filter(|first| first.elements().is_some()))?,
        _ => return None,
    };
    let place = objective.elements()?.nth(2)?;
    matches!(header(message, place.at), Ok((Header::Positive(_), _))).then_some(place)
}
