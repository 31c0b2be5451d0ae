//! What negotiators and the delegator say to each other. It travels as CBOR, so that a negotiator needs to know no prefix.

use crate::pool::record::Deal;
use crate::pool::{Request, Verdict};
use crate::prefix::{Prefix, Want};
use grasp::Value;
use serde::{Deserialize, Serialize};

/// A question of a strategy or one of its dialogues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Tell me when others are to be asked, or when it is time to look at the parameters again.
    Need,
    /// Parameters that were heard, each with its source.
    Params(Vec<(Option<String>, Value)>),
    /// A peer wants this: what may it be offered? Answered when the store has it, possibly after others have been asked.
    Serve {
        /// The negotiation.
        deal: Deal,
        /// What it wants.
        want: Want,
        /// It only wants to know what it would get (RFC 8990 section 2.10.2).
        dry: bool,
    },
    /// Something that the pool is to do at once.
    Pool(Request),
    /// A negotiation that left nothing to be done in the pool is over.
    Over(Deal),
    /// Others were looked for and nobody was there to be asked.
    Fruitless,
}

/// An answer of the delegator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Ask others for this.
    Need(Want),
    /// Look at the parameters.
    Look,
    /// This block may be offered.
    Block(Prefix),
    /// What became of a negotiation.
    Verdict(Verdict),
    /// It is so.
    Done,
}

/// Both are ours, so that CBOR can express them.
pub(crate) fn write<T: Serialize>(item: &T) -> Value {
    Value::item(item).unwrap_or_else(|_| Value::null())
}
