//! What a pool keeps: the states of its blocks, and what it remembers of negotiations.

use crate::prefix::{Prefix, Want};
use serde::{Deserialize, Serialize};

/// A negotiation about a block, as both of its sides know it.
///
/// The session id is chosen at random by whoever asks (RFC 8990 section 2.7) and is the same on both sides, so that they can
/// speak about the negotiation after it is over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Deal {
    /// Session id on the wire.
    pub session: u32,
    /// The other side's address.
    pub peer: String,
}

/// A deal with what the audit trail wants to know of it (RFC 8992 section 4.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dealt {
    /// The negotiation.
    #[serde(flatten)]
    pub deal: Deal,
    /// Since when, in seconds since 1970 by the wall clock; for people only, nothing is decided by it (PM-S-22).
    pub since: u32,
}

/// Which way a block was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From this pool to a peer.
    Out,
    /// From a peer into this pool.
    In,
}

/// A span of time that outlives the process and the machine: it ends when the machine's clock since boot says so, or, after
/// another boot, when the whole of it has passed once more (PM-S-22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// How long, in seconds.
    pub seconds: u32,
    /// When it began: seconds since boot, time in suspension included.
    pub began: u32,
    /// Of which boot.
    pub boot: u32,
}

/// A block in the hands of a client of this node (RFC 8415 section 12).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lease {
    /// Who.
    pub client: Box<str>,
    /// Preferred lifetime in seconds.
    pub preferred: u32,
    /// Valid lifetime; `None` has no end.
    pub valid: Option<Span>,
    /// Since when, in seconds since 1970 by the wall clock; for people only.
    pub since: u32,
}

/// What has become of a block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// At hand.
    Free,
    /// Chosen for a negotiation; nothing has been sent.
    Held(Box<Dealt>),
    /// May be on the wire.
    Offered(Box<Dealt>),
    /// Given to a peer.
    Granted(Box<Dealt>),
    /// Offered to this pool, which is taking it; in no aggregate yet.
    Accepting(Box<Dealt>),
    /// Given to a client of this node.
    Delegated(Box<Lease>),
    /// Released by a client, waiting out the valid lifetime that the client was promised.
    Cooling(Box<Lease>),
    /// A whole acquired aggregate on its way back to where it came from.
    Returning,
    /// Nobody here knows how its negotiation ended: out of use until that is settled, however long it takes (PM-S-18).
    Doubt {
        /// The negotiation.
        #[serde(flatten)]
        dealt: Box<Dealt>,
        /// Which way it was to go.
        way: Way,
        /// Whether the connection broke after the acceptance had been sent: then a peer that keeps no ledger has most
        /// likely not counted it (PM-S-10).
        #[serde(default)]
        reset: bool,
    },
    /// Set aside by a dry run.
    Dry(Box<Dealt>),
    /// Kept out of use by the operator.
    Excluded,
}

impl State {
    /// All names.
    pub const NAMES: [&str; 11] = [
        "free",
        "held",
        "offered",
        "granted",
        "accepting",
        "delegated",
        "cooling",
        "returning",
        "in-doubt",
        "dry",
        "excluded",
    ];

    /// The name that people see.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Held(_) => "held",
            Self::Offered(_) => "offered",
            Self::Granted(_) => "granted",
            Self::Accepting(_) => "accepting",
            Self::Delegated(_) => "delegated",
            Self::Cooling(_) => "cooling",
            Self::Returning => "returning",
            Self::Doubt { .. } => "in-doubt",
            Self::Dry(_) => "dry",
            Self::Excluded => "excluded",
        }
    }

    /// The letter that stands for it in a map of the pool.
    #[must_use]
    pub fn letter(&self) -> char {
        match self {
            Self::Free => 'F',
            Self::Held(_) => 'H',
            Self::Offered(_) => 'O',
            Self::Granted(_) => 'G',
            Self::Accepting(_) => 'A',
            Self::Delegated(_) => 'D',
            Self::Cooling(_) => 'C',
            Self::Returning => 'R',
            Self::Doubt { .. } => '?',
            Self::Dry(_) => 'T',
            Self::Excluded => 'x',
        }
    }

    /// Whether the block still belongs to somebody else: then it is in no aggregate.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Accepting(_) | Self::Doubt { way: Way::In, .. })
    }

    /// The negotiation that it is, or was, part of.
    #[must_use]
    pub fn dealt(&self) -> Option<&Dealt> {
        match self {
            Self::Held(dealt) | Self::Offered(dealt) | Self::Granted(dealt) | Self::Accepting(dealt) => Some(dealt),
            Self::Dry(dealt) | Self::Doubt { dealt, .. } => Some(dealt),
            Self::Free | Self::Delegated(_) | Self::Cooling(_) | Self::Returning | Self::Excluded => None,
        }
    }

    /// The client that has it, or had it.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Delegated(lease) | Self::Cooling(lease) => Some(lease),
            Self::Free | Self::Held(_) | Self::Offered(_) | Self::Granted(_) | Self::Accepting(_) => None,
            Self::Returning | Self::Doubt { .. } | Self::Dry(_) | Self::Excluded => None,
        }
    }
}

/// Where an aggregate comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The manifest, when the store was new (PM-S-15).
    Manifest,
    /// An operator's order.
    Operator,
    /// A peer.
    Peer(Dealt),
}

/// Which side of a negotiation this node was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It asked for a block.
    Asker,
    /// It offered one.
    Provider,
}

/// An entry of the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// How many lives the pool has had. A store without it is new: only then is the initial stock taken in (PM-S-15).
    Life(u64),
    /// Something the pool was given as a whole; blocks are never merged across its borders (PM-O-06).
    Aggregate {
        /// What.
        block: Prefix,
        /// Where from.
        source: Source,
        /// Ordered out of use: what becomes free in it stays out of use (PM-T-06).
        withdrawn: bool,
    },
    /// A part of an aggregate, or what is about to become one.
    Block {
        /// What.
        block: Prefix,
        /// What has become of it.
        state: State,
    },
    /// A negotiation that this node remembers, so that it can tell the other side about it.
    Session {
        /// Rises from one to the next.
        number: u64,
        /// The negotiation.
        deal: Deal,
        /// Which side this node was.
        part: Part,
        /// What was asked for.
        want: Want,
        /// The block that was offered and did not change hands, if this is known to have ended so.
        void: Option<Prefix>,
        /// Whether it is over for this side: no block can change hands in it any more.
        over: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stays_small() {
        assert!(size_of::<State>() <= 16 && size_of::<(Prefix, State)>() <= 40);
    }

    #[test]
    fn states_are_written_as_people_read_them() {
        let dealt = Dealt { deal: Deal { session: 7, peer: "fe80::1".into() }, since: 9 };
        let state = State::Doubt { dealt: Box::new(dealt), way: Way::Out, reset: false };
        let text = r#"{"doubt":{"session":7,"peer":"fe80::1","since":9,"way":"out","reset":false}}"#;
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
        assert_eq!(serde_json::from_str::<State>(text).unwrap(), state);
        assert_eq!(serde_json::to_string(&State::Free).unwrap(), "\"free\"");
        let cbor = grasp::Value::item(&state).unwrap();
        assert_eq!(cbor.decode::<State>().unwrap(), state);
    }
}
