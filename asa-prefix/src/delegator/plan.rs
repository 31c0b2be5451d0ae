//! Bounds and marks of a delegator, and what it knows of each address family.

use crate::need::{IPV4_NEED, IPV6_NEED};
use crate::pool::Lifetimes;
use crate::prefix::{Family, Want};
use crate::wire::params::Params;
use asa_framework::roles::Mode;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a family is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyPlan {
    /// Length of the blocks that clients of this node get; need is counted in such blocks (PM-Q-02).
    pub delegated: u8,
    /// Blocks that are to be at hand when the node starts.
    pub need: u32,
    /// Length to ask for; `None` asks for the length of the role first, and then for what is needed (PM-Q-01).
    pub ask: Option<u8>,
    /// Whether others are asked for more (PM-Q-03).
    pub request_more: bool,
    /// The longest prefix that a peer is offered if there is none of the length that it wants (PM-O-02).
    pub longest_offer: u8,
}

impl FamilyPlan {
    /// The one by default: /64s of IPv6, /24s of IPv4.
    #[must_use]
    pub fn new(family: Family) -> Self {
        let (delegated, need) = match family {
            Family::V4 => (24, IPV4_NEED),
            Family::V6 => (64, IPV6_NEED),
        };
        Self { delegated, need, ask: None, request_more: true, longest_offer: delegated }
    }
}

/// Bounds and marks of a delegator.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegatorPlan {
    /// The families that are dealt with (PM-O-11).
    pub families: BTreeMap<Family, FamilyPlan>,
    /// What this node is, such as `CSG` (RFC 8992 section 6.1).
    pub role: String,
    /// Parameters that hold until others are heard (PM-P-03).
    pub params: Params,
    /// Whose parameters count, if they are there; otherwise those of the lowest address (PM-P-09).
    pub params_source: Option<String>,
    /// How often to look at the parameters (PM-P-10); `None` never does.
    pub look: Option<Duration>,
    /// How long a client may use a block.
    pub lifetimes: Option<Lifetimes>,
    /// How long a dry run sets a block aside; `None` declines dry runs (PM-Y-01).
    pub dry_run: Option<u32>,
    /// How long a client or peer waits while others are asked.
    pub patience: Duration,
    /// Who waits at once; further ones are refused.
    pub waiting: usize,
    /// Sessions of one peer at once (PM-O-12).
    pub peer_sessions: usize,
    /// Requests of one peer in a minute (PM-O-12).
    pub peer_rate: u32,
    /// Whether it works from the start on.
    pub mode: Mode,
}

impl Default for DelegatorPlan {
    fn default() -> Self {
        Self {
            families: BTreeMap::from([(Family::V6, FamilyPlan::new(Family::V6))]),
            role: "CSG".into(),
            params: Params::default(),
            params_source: None,
            look: Some(Duration::from_secs(60)),
            lifetimes: None,
            dry_run: None,
            patience: Duration::from_secs(20),
            waiting: 1_000,
            peer_sessions: 64,
            peer_rate: 6_000,
            mode: Mode::Active,
        }
    }
}

/// What is known of a family now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Supply {
    pub(super) plan: FamilyPlan,
    /// Blocks of the delegated length that are wanted at hand.
    pub(super) need: u128,
}

impl Supply {
    pub(super) fn new(plan: FamilyPlan) -> Self {
        Self { plan, need: plan.need.into() }
    }

    /// So many blocks of the delegated length are in an amount of addresses.
    pub(super) fn blocks(&self, family: Family, addresses: u128) -> u128 {
        addresses / Want { family, length: self.plan.delegated }.measure().max(1)
    }
}
