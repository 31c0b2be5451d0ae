//! How much to ask for, and why.
//!
//! Need is counted in blocks of the length that the node itself delegates. The numbers are those of the Python program
//! pfxm3, the only implementation before this one.

use crate::prefix::{Family, Want};
use serde::{Deserialize, Serialize};

/// IPv6 blocks that a node wants to have at hand when it starts.
pub const IPV6_NEED: u32 = 32;
/// Blocks by which the need grows whenever a delegation fails for want of space.
pub const NEED_STEP: u32 = 1;
/// IPv4 blocks that a node wants to have at hand: below this number it asks.
pub const IPV4_NEED: u32 = 8;
/// Bits by which an IPv4 prefix that is asked for is at least shorter than the delegated length: sixteen blocks, such as
/// a /20 where /24s are delegated.
pub const IPV4_LEAST_BITS: u8 = 4;

/// The prefix length to ask for when `shortfall` blocks of the length `delegated` are missing.
///
/// The prefix has more than twice and at most four times the blocks that are missing. With no shortfall it has two
/// blocks. Up to a shortfall of [`IPV4_NEED`], an IPv4 prefix always has sixteen. The result is 1 at least, and at most
/// the longest length of the family.
#[must_use]
pub fn wanted_length(family: Family, delegated: u8, shortfall: u128) -> u8 {
    let bits = match (family, shortfall) {
        (Family::V4, missing) if missing <= IPV4_NEED.into() => IPV4_LEAST_BITS.into(),
        (Family::V6, 0) => 1,
        (Family::V4 | Family::V6, missing) => missing.ilog2() + 2,
    };
    let bits = u8::try_from(bits).unwrap_or(u8::MAX);
    delegated.min(family.bits()).saturating_sub(bits).max(1)
}

/// How the length of a request came about (RFC 8992 section 4.1: the requester decides).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The operator wrote it into this node's manifest.
    Manifest,
    /// The parameters of the node's role have it.
    Role {
        /// The role.
        role: String,
        /// Who flooded the parameters; `None` for those built in.
        source: Option<String>,
    },
    /// The node has too little.
    Need {
        /// The length that it delegates.
        delegated: u8,
        /// Blocks of that length that it wants to have.
        need: u128,
        /// Blocks of that length that it has.
        held: u128,
    },
}

/// Says in words how the length of a request came about.
#[must_use]
pub fn explain(want: Want, reason: &Reason) -> String {
    match reason {
        Reason::Manifest => format!("{want}: set in the manifest"),
        Reason::Role { role, source: None } => format!("{want}: built-in length of role {role:?}"),
        Reason::Role { role, source: Some(source) } => {
            format!("{want}: length of role {role:?} in the parameters of {source}")
        }
        Reason::Need { delegated, need, held } => {
            let shortfall = need.saturating_sub(*held);
            let holds = match delegated.checked_sub(want.length) {
                None => "none".to_owned(),
                Some(bits) => 1_u128.checked_shl(bits.into()).map_or_else(|| format!("2^{bits}"), |n| n.to_string()),
            };
            let Want { length, .. } = want;
            format!(
                "{want}: of {need} blocks of /{delegated} needed {held} are there, {shortfall} are missing; \
                 a /{length} holds {holds}"
            )
        }
    }
}
