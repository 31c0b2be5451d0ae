//! What negotiator and delegator say to each other; it travels as CBOR, so that the negotiator needs to know no resource.

use crate::roles::pool::{Request, Ticket};
use crate::roles::resource::Resource;
use grasp::Value;
use serde::{Deserialize, Serialize};

/// A question of the pool's strategy or one of its dialogues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound = "R: Resource")]
pub enum Question<R: Resource> {
    /// Tell me when others are to be asked: answered with [`Response::Need`] when it is so.
    Need,
    /// A peer wants this; answered with [`Response::Reserved`], possibly after others have been asked.
    Serve {
        /// What it wants.
        want: R::Want,
        /// What it was offered before.
        instead: Option<Ticket>,
    },
    /// A peer offers this: may it be accepted?
    Accept(R),
    /// A negotiation is over, and this follows.
    Settle(Request<R>),
    /// Others were asked and nothing came of it.
    Fruitless,
}

/// An answer of the delegator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response<R> {
    /// So much is missing.
    Need(u128),
    /// This block may be offered.
    Reserved(Ticket, R),
    /// This block is the client's.
    Granted(R),
    /// It is so.
    Done,
}

/// Both sides of this are ours, so that it can be written; a resource that CBOR cannot express breaks its laws.
pub(super) fn write<T: Serialize>(item: &T) -> Value {
    Value::item(item).unwrap_or_else(|_| Value::null())
}
