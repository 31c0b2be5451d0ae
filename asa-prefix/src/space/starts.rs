//! Where the free blocks of one length start.

use crate::prefix::Family;
use std::collections::BTreeSet;

/// First addresses in order. Up to /64 the lower half of an IPv6 address is 0, and an IPv4 address has none: then half as
/// many bytes are kept.
#[derive(Debug, Clone)]
pub(super) enum Starts {
    /// Each without as many low bits.
    Half(u32, BTreeSet<u64>),
    Whole(BTreeSet<u128>),
}

#[allow(clippy::cast_possible_truncation, reason = "the bits above are 0, or shifted away")]
const fn half(shift: u32, at: u128) -> u64 {
    (at >> shift) as u64
}

impl Starts {
    pub(super) const fn new(family: Family, length: u8) -> Self {
        match family {
            Family::V4 => Self::Half(0, BTreeSet::new()),
            Family::V6 if length <= 64 => Self::Half(64, BTreeSet::new()),
            Family::V6 => Self::Whole(BTreeSet::new()),
        }
    }

    pub(super) fn insert(&mut self, at: u128) {
        match self {
            Self::Half(shift, set) => set.insert(half(*shift, at)),
            Self::Whole(set) => set.insert(at),
        };
    }

    pub(super) fn remove(&mut self, at: u128) {
        match self {
            Self::Half(shift, set) => set.remove(&half(*shift, at)),
            Self::Whole(set) => set.remove(&at),
        };
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Half(_, set) => set.len(),
            Self::Whole(set) => set.len(),
        }
    }

    pub(super) fn last(&self) -> Option<u128> {
        match self {
            Self::Half(shift, set) => set.last().map(|at| u128::from(*at) << shift),
            Self::Whole(set) => set.last().copied(),
        }
    }

    /// Whether any lies between two addresses, both included, of a block not smaller than those listed.
    pub(super) fn any(&self, first: u128, last: u128) -> bool {
        match self {
            Self::Half(shift, set) => set.range(half(*shift, first)..=half(*shift, last)).next().is_some(),
            Self::Whole(set) => set.range(first..=last).next().is_some(),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u128> {
        match self {
            Self::Half(shift, set) => set.iter().map(|at| u128::from(*at) << shift).collect(),
            Self::Whole(set) => set.iter().copied().collect(),
        }
    }
}
