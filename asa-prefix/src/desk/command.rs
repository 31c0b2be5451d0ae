//! What an operator asks.

use crate::pool::Planned;
use crate::prefix::{Family, Prefix};
use asa_framework::control::{Failure, FailureCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

/// Characters of a refused query that are repeated, at most.
const REPEATED: usize = 300;

/// A query. Fields that a command does not have are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum PoolCommand {
    /// What the pool holds, and how long that will last: [`Overview`](super::Overview).
    Census {},
    /// Blocks in order: [`Blocks`](super::Blocks).
    Blocks {
        /// Those after this one.
        #[serde(default)]
        after: Option<Prefix>,
        /// Those that share an address with this one.
        #[serde(default)]
        within: Option<Prefix>,
        /// Those in states of these names; all if there is none.
        #[serde(default)]
        states: Vec<String>,
        /// At most so many, 1 to 10 000.
        #[serde(default = "page")]
        limit: usize,
    },
    /// Blocks in doubt: [`Blocks`](super::Blocks).
    Doubts {},
    /// Why the node asks for what it asks for: [`Explained`](crate::delegator::Explained).
    Explain {},
    /// When each family will be exhausted: a [`Forecast`](crate::forecast::Forecast) by family.
    Forecast {},
    /// Gives a client of this node a block: [`Given`](super::Given).
    Take {
        /// Who: 1 to 255 bytes without control characters.
        client: String,
        /// Of which family.
        family: Family,
        /// Which prefix length.
        length: u8,
    },
    /// Takes a client's block back: [`Given`](super::Given).
    Give {
        /// Who.
        client: String,
        /// What.
        block: Prefix,
    },
    /// Puts an end to a doubt: [`Resolved`](super::Resolved).
    Resolve {
        /// The block, exactly as it is in doubt.
        block: Prefix,
        /// What became of it.
        #[serde(rename = "as")]
        fate: Fate,
    },
    /// Keeps what is free in a block out of use: [`Blocks`](super::Blocks) that are in use there.
    Exclude {
        /// What.
        block: Prefix,
    },
    /// Brings what was excluded in a block back into use: [`Blocks`](super::Blocks) that are free now.
    Include {
        /// What.
        block: Prefix,
    },
    /// Takes an aggregate out of use as it becomes free: [`Blocks`](super::Blocks) that are still in use.
    Withdraw {
        /// Which.
        block: Prefix,
    },
    /// Takes a granted block back without its taker, who is gone for good: `null`.
    Reclaim {
        /// Which.
        block: Prefix,
    },
    /// Takes back that an aggregate is withdrawn: `null`.
    Reinstate {
        /// Which.
        block: Prefix,
    },
    /// Adds an address plan, all of it or nothing: `null`.
    Import {
        /// Its lines.
        plan: Vec<Planned>,
    },
    /// All records as they are at one moment, page by page: [`Exported`](super::Exported).
    Export {
        /// The export that goes on; none begins one.
        #[serde(default)]
        export: Option<u64>,
        /// The record to go on with.
        #[serde(default)]
        from: usize,
    },
    /// What has become of an address: [`History`](crate::store::History).
    History {
        /// Which.
        address: IpAddr,
        /// Only what was so at this time, as in RFC 3339.
        #[serde(default)]
        at: Option<String>,
    },
    /// Whether everything that has to be true of the pool is: [`Checked`](super::Checked).
    Fsck {},
}

fn page() -> usize {
    1_000
}

/// What has become of a block that is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It has not changed hands: what this node offered is free here, and what was offered to it stays the provider's.
    Free,
    /// It has changed hands: the peer has it, or this node has.
    Granted,
}

impl PoolCommand {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// [`FailureCode::Malformed`] with what is wrong, in few words without control characters.
    pub fn read(query: Value) -> Result<Self, Failure> {
        serde_json::from_value(query).map_err(|error| {
            let text: String = error.to_string().chars().take(REPEATED).flat_map(char::escape_debug).collect();
            Failure::new(FailureCode::Malformed, format!("no query of a prefix pool: {text}"))
        })
    }
}
