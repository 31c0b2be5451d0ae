//! What a pool is asked, and what it answers.

use super::record::{Deal, Part, Record, Source, State};
use crate::prefix::{Family, Prefix, Want};
use asa_framework::roles::store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a pool is asked to do. Everything is answered when the store has it, except [`Request::Hold`], of which nobody
/// outside hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Choose a block for a negotiation, in place of what the same negotiation had: [`Answer::Block`].
    Hold {
        /// The negotiation.
        deal: Deal,
        /// What is wanted.
        want: Want,
        /// If there is none, the longest prefix that may be offered instead (PM-O-02).
        longest: u8,
        /// Set it aside for a dry run, for so many seconds (PM-Y-02).
        dry: Option<u32>,
    },
    /// The block is about to be offered: only when this is answered may the offer leave (PM-S-05).
    Offer(Deal),
    /// The peer has accepted: the block is granted (PM-S-06).
    Confirm(Deal),
    /// The peer has certainly not accepted: the block is free (PM-S-07).
    Release(Deal),
    /// It is unknown whether the peer has accepted.
    Doubt(Deal),
    /// A request is about to leave: only when this is answered may it. Remembered, so that the provider can be told what
    /// became of it.
    Ask {
        /// The negotiation.
        deal: Deal,
        /// What is asked for.
        want: Want,
    },
    /// An offer is about to be accepted: only when this is answered may the acceptance leave (PM-S-08).
    Accept {
        /// The negotiation.
        deal: Deal,
        /// What is offered.
        block: Prefix,
    },
    /// The acceptance counts: the block is the pool's own (PM-S-11).
    Adopt(Deal),
    /// Nothing came of asking; what was offered, if anything, stays the peer's.
    Refuse(Deal),
    /// It is unknown whether the acceptance has counted.
    DoubtTaken {
        /// The negotiation.
        deal: Deal,
        /// Whether the connection broke after the acceptance had left.
        reset: bool,
    },
    /// Give a client of this node a block; who has one of that length gets the same again (PM-S-12), and no earlier end than
    /// it was promised before, unless that was none: [`Answer::Block`], or [`Answer::Again`].
    Delegate {
        /// Who.
        client: String,
        /// What.
        want: Want,
        /// How long it may be used; `None` has no end.
        lifetimes: Option<Lifetimes>,
    },
    /// A client gives a block back; it is free when the client's valid lifetime has passed (PM-S-13).
    GiveBack {
        /// Who.
        client: String,
        /// What.
        block: Prefix,
        /// The client never heard of it: free at once.
        unused: bool,
    },
    /// Take an aggregate that is wholly free out of use, to hand it back to where it came from (PM-T-03).
    Return(Prefix),
    /// It has been taken back, or has not and is free again.
    Returned {
        /// What.
        block: Prefix,
        /// Whether it is gone.
        gone: bool,
    },
    /// A peer hands back what it was granted in that session; the same again does no harm (PM-T-03, PM-T-04).
    TakeBack {
        /// The session in which it was granted.
        session: u32,
        /// What: the block that was granted, or a part of it.
        block: Prefix,
    },
    /// A peer at this address wants it, by one of the private objectives: refused if the negotiation was with somebody else
    /// (PM-T-04, PM-X-03).
    From {
        /// Its address.
        peer: String,
        /// What it wants.
        request: Box<Self>,
    },
    /// The other side of a negotiation asks what became of it (PM-S-18): [`Answer::Verdict`].
    Examine {
        /// Its session id.
        session: u32,
        /// The block.
        block: Prefix,
        /// Which side asks.
        asker: Part,
    },
    /// The other side is about to be asked about a block that is in doubt: only when this is answered may the question leave.
    /// From then on its answer decides, and a confirmation that comes late does not: the taker may have let go meanwhile.
    Inquire(Prefix),
    /// The other side has told what became of a negotiation that is in doubt here. The same again does no harm; that a block
    /// was kept is refused where it has changed hands meanwhile, and then the other side must not rely on that either.
    Settle {
        /// The block.
        block: Prefix,
        /// Its session id.
        session: u32,
        /// Whether it has changed hands.
        moved: bool,
    },
    /// Take a granted block back by order of the operator, without asking its taker, who is gone for good (GAP-03).
    Reclaim(Prefix),
    /// Put an end to a doubt by order of the operator, or to a return that nobody answers: whether the block has changed hands
    /// (PM-S-18, PM-T-03).
    Resolve {
        /// What.
        block: Prefix,
        /// Whether the taker has it.
        moved: bool,
    },
    /// Add aggregates and what is known to be in use in them, by order of the operator: all of it or nothing.
    Import(Vec<Planned>),
    /// Keep what is free in a block out of use (PM-D-07): [`Answer::Blocks`] with what is in use there.
    Exclude(Prefix),
    /// Bring what was excluded in a block back into use, unless it is withdrawn: [`Answer::Blocks`] with that.
    Include(Prefix),
    /// Take an aggregate out of use, as its blocks become free (PM-T-06): [`Answer::Blocks`] with what is still in use.
    Withdraw(Prefix),
    /// Take back that an aggregate is withdrawn; what is out of use in it stays so until it is included (PM-S-17).
    Reinstate(Prefix),
    /// Tell what there is, in numbers: [`Answer::Census`].
    Census,
    /// Tell blocks with their states, in order: [`Answer::Blocks`].
    Blocks {
        /// Those after this one.
        after: Option<Prefix>,
        /// Those that share an address with this one.
        within: Option<Prefix>,
        /// Those in states of these names; all if there is none.
        states: Vec<String>,
        /// At most so many.
        limit: usize,
    },
    /// Tell what is in doubt or on its way back: [`Answer::Blocks`]. Unlike the questions of operators it is refused while the
    /// store fails, since others will be spoken to about what is answered: it has to be durable (PM-S-03).
    Unsettled {
        /// At most so many.
        limit: usize,
    },
    /// Tell everything that the store should hold: [`Answer::Records`].
    Records,
}

/// How long a client may use a block, in seconds (RFC 8415 section 21.22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes {
    /// For new connections.
    pub preferred: u32,
    /// At all.
    pub valid: u32,
}

/// A line of an address plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planned {
    /// The pool gets this.
    Aggregate(Prefix),
    /// A client has this.
    Delegated {
        /// What.
        block: Prefix,
        /// Who.
        client: String,
    },
    /// A peer has this.
    Granted {
        /// What.
        block: Prefix,
        /// Who.
        peer: String,
    },
    /// Nobody is to get this.
    Excluded(Prefix),
}

/// What a pool answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is so.
    Done,
    /// This block.
    Block(Prefix),
    /// This block, which the same client has been given before, and may be using.
    Again(Prefix),
    /// What became of a negotiation.
    Verdict(Verdict),
    /// Numbers.
    Census(Box<Census>),
    /// Blocks in order; whether there are more.
    Blocks(Vec<(Prefix, State)>, bool),
    /// All records.
    Records(Vec<Record>),
}

/// What one side of a negotiation knows of its outcome. It is durable before it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The taker has the block.
    Moved,
    /// The provider has the block; a taker that was in doubt has let go of it.
    Kept,
    /// It is still open here: ask again.
    Open,
    /// This node does not know that negotiation.
    Unknown,
}

/// How many blocks of a kind, and how much they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Blocks.
    pub blocks: u64,
    /// Addresses, saturating; decimal digits in JSON, whose numbers are too small.
    #[serde(with = "crate::decimal")]
    pub addresses: u128,
}

/// What is in an aggregate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateCensus {
    /// Which.
    pub block: Prefix,
    /// Where from.
    pub source: Source,
    /// Whether it is being taken out of use.
    pub withdrawn: bool,
    /// By name of the state.
    pub states: BTreeMap<String, Tally>,
    /// 0 if all that is free is in one piece (PM-O-08).
    pub fragmentation: f64,
    /// The aggregate in the order of its addresses: up to 64 equal parts, each the letter of the state that has most of it
    /// ([`State::letter`]). Empty for all but the first 256 aggregates.
    #[serde(default)]
    pub map: String,
}

/// What a pool holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Census {
    /// Each aggregate.
    pub aggregates: Vec<AggregateCensus>,
    /// Blocks that are on their way into the pool or in doubt, and in no aggregate.
    pub foreign: BTreeMap<String, Tally>,
    /// Free addresses of each family; decimal digits in JSON.
    #[serde(with = "crate::decimal::of_families")]
    pub free: BTreeMap<Family, u128>,
    /// Fragmentation of what is free in each family.
    pub fragmentation: BTreeMap<Family, f64>,
    /// Free blocks of each family, by prefix length.
    pub lengths: BTreeMap<Family, BTreeMap<u8, u64>>,
    /// Whether the store works; otherwise nothing is granted or accepted.
    pub writable: bool,
    /// Why not.
    pub trouble: Option<String>,
    /// How many lives the pool has had.
    pub lives: u64,
    /// Counters of this life.
    pub counters: BTreeMap<String, u64>,
}

/// How much is free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Free IPv4 addresses.
    pub v4: u128,
    /// Free IPv6 addresses.
    pub v6: u128,
    /// Blocks in doubt.
    pub doubts: usize,
    /// Aggregates being handed back.
    pub returning: usize,
    /// Whether the pool can promise anything.
    pub writable: bool,
}

impl Level {
    /// Free addresses of a family.
    #[must_use]
    pub fn free(&self, family: Family) -> u128 {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// Why a pool does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolError {
    /// There is no such prefix left.
    #[error("no prefix of that length is left")]
    Empty,
    /// The instance is deactivated.
    #[error("the pool is not active")]
    Inactive,
    /// There is too much to do.
    #[error("too many requests to the pool")]
    Busy,
    /// One party has had enough (PM-O-12).
    #[error("{0} has as much as one peer may have")]
    Quota(String),
    /// No such negotiation, or it is over.
    #[error("there is no open negotiation of that session")]
    NoDeal,
    /// The block is not in a state for that.
    #[error("{0}")]
    State(String),
    /// It is, in part, here already (PM-R-05).
    #[error("{new} overlaps {old}, which is {whose}")]
    Overlap {
        /// What was to come.
        new: Prefix,
        /// What is here.
        old: Prefix,
        /// Where that is from.
        whose: String,
    },
    /// The store fails; until it works again nothing is granted or accepted (PM-S-19).
    #[error("the store fails: {0}")]
    Store(String),
    /// The store holds what cannot be.
    #[error("the store is not sound: {0}; nothing is served from it")]
    Unsound(String),
}

impl From<&StoreError> for PoolError {
    fn from(error: &StoreError) -> Self {
        Self::Store(error.to_string())
    }
}
