//! What a pool writes down, what it is asked, and what it answers.

use crate::roles::resource::Resource;
use crate::roles::store::StoreError;
use serde::{Deserialize, Serialize};

/// Which way a block was going when its negotiation was lost from sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From this pool to the other side.
    Out,
    /// From the other side to this pool.
    In,
}

/// What has become of a block. `Offered` and `Accepting` are written before the other side can learn of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// At hand.
    Free,
    /// In one open negotiation; may be on the wire.
    Offered {
        /// With whom.
        to: String,
    },
    /// Given away.
    Granted {
        /// To whom.
        to: String,
    },
    /// Offered to this pool, which is about to accept; not its own yet.
    Accepting {
        /// By whom.
        from: String,
    },
    /// Nobody here knows how its negotiation ended: it stays out of use until it is resolved, however long that takes.
    Doubt {
        /// With whom.
        with: String,
        /// Whether it was to be given or taken.
        way: Way,
    },
    /// On its way back to where it came from.
    Returning,
}

/// An entry of the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record<R> {
    /// How many lives the pool has had. A store without it is new: only then is the initial stock taken in (PM-S-15).
    Life(u64),
    /// Something the pool was given as a whole; blocks are never merged across its borders (PM-O-06).
    Aggregate {
        /// What.
        block: R,
        /// Where from.
        from: String,
    },
    /// A part of an aggregate, or what is about to become one.
    Block {
        /// What.
        block: R,
        /// What has become of it.
        state: State,
    },
}

/// A reservation; never the same twice, not even after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// What a pool is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", bound = "R: Resource")]
pub enum Request<R: Resource> {
    /// Choose a block for an open negotiation, or a smaller one that will do; answered with [`Answer::Reserved`].
    Reserve {
        /// What is wanted.
        want: R::Want,
        /// Who wants it.
        to: String,
        /// A reservation of the same negotiation that is given up for this one.
        instead: Option<Ticket>,
    },
    /// The other side has accepted: the block is granted.
    Confirm(Ticket),
    /// The other side has certainly not accepted: the block is free again.
    Release(Ticket),
    /// It is unknown whether the other side has accepted.
    Doubt(Ticket),
    /// Give a block at once; who has one of that size already gets the same again (PM-S-12). [`Answer::Granted`].
    Grant {
        /// What is wanted.
        want: R::Want,
        /// Who wants it.
        to: String,
    },
    /// Take a granted block back from whom it was granted to (PM-T-04).
    TakeBack {
        /// What.
        block: R,
        /// From whom.
        from: String,
    },
    /// Note that an offer is about to be accepted; only then may the acceptance leave (PM-S-08).
    Accept {
        /// What is offered.
        block: R,
        /// By whom.
        from: String,
    },
    /// The acceptance has left and the negotiation has ended well: the block is the pool's own.
    Adopt(R),
    /// The acceptance certainly never left.
    Refuse(R),
    /// It is unknown whether the acceptance has counted.
    DoubtTaken(R),
    /// Put an end to a doubt: whether the block belongs to this pool (PM-S-18).
    Resolve {
        /// What.
        block: R,
        /// Whether it is this pool's.
        ours: bool,
    },
    /// Add an aggregate by order of the operator.
    Add {
        /// What.
        block: R,
        /// Where from.
        from: String,
    },
    /// Take an aggregate that is wholly free out of use, to give it back (PM-T-03).
    Return(R),
    /// The aggregate has been taken back, or has not and is free again.
    Returned {
        /// What.
        block: R,
        /// Whether it is gone.
        gone: bool,
    },
    /// Tell what there is; [`Answer::Census`].
    Query,
}

/// What a pool answers, when the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<R> {
    /// This block is set aside.
    Reserved(Ticket, R),
    /// This block is given.
    Granted(R),
    /// The offer may be accepted.
    Accepting(R),
    /// It is so.
    Done,
    /// What there is.
    Census(Census<R>),
}

/// What a pool holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census<R> {
    /// Blocks with their states, in order.
    pub blocks: Vec<(R, State)>,
    /// Aggregates with their origins.
    pub aggregates: Vec<(R, String)>,
    /// Measure of what is free.
    pub free: u128,
    /// Whether the store works; otherwise nothing is granted or accepted.
    pub writable: bool,
}

/// How much is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Measure of what is free.
    pub free: u128,
    /// Whether that is below the low-water mark.
    pub low: bool,
}

/// Why a pool does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolError {
    /// There is not enough in one piece.
    #[error("nothing is left that would do")]
    Empty,
    /// The instance is deactivated.
    #[error("the pool is not active")]
    Inactive,
    /// There is too much to do.
    #[error("too many requests to the pool")]
    Busy,
    /// One party has had enough.
    #[error("{0} has as much as one may have")]
    Quota(String),
    /// No such reservation, or it is over.
    #[error("there is no such reservation")]
    NoTicket,
    /// The block is not in a state for that.
    #[error("{0}")]
    State(String),
    /// It is, in part, here already.
    #[error("{new} touches {old}, which is here already")]
    Overlap {
        /// What was to come.
        new: String,
        /// What is here.
        old: String,
    },
    /// The store fails; until it works again nothing is granted or accepted (PM-S-19).
    #[error("the store fails: {0}")]
    Store(StoreError),
    /// The store holds what cannot be.
    #[error("the store is not sound: {0}; nothing is served from it")]
    Unsound(String),
}
