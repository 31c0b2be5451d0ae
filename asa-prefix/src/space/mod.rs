//! The free blocks of a pool: what is left of its aggregates, which one a request is cut from, and how what comes back
//! joins its neighbours.
//!
//! A [`Space`] knows aggregates, as they were configured or acquired, and which parts of them are free. What is neither is
//! out, and its state is kept by the caller. Nothing is written here: each change names the free blocks that are gone and
//! those that are new, for the caller to make durable in one transaction.
//!
//! Every free block stands once by address and once by length, both in ordered trees. A step costs a few searches, and
//! one more for each halving or joining, of which there are at most as many as an address has bits.
//!
//! In memory a free block costs 48 to 61 bytes up to /64 and in IPv4, up to 77 beyond, and an aggregate about 96
//! (`benches/space.rs`). What is out costs nothing here.

mod family;
mod starts;

use crate::prefix::{Family, Prefix, Want};
use family::FamilySpace;

/// A block was cut from a free one: `from` is free no longer, each of `rest` is free now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// What was taken.
    pub block: Prefix,
    /// The free block it was cut from; `block` itself if that fitted.
    pub from: Prefix,
    /// What is left of `from`: the other half of each halving, the largest first.
    pub rest: Vec<Prefix>,
}

/// A block is free again, joined with its free buddies: none of `absorbed` is a block any longer, `whole` is free now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Free blocks that became part of `whole`, the smallest first.
    pub absorbed: Vec<Prefix>,
    /// The free block that there is now; what was given back itself if no buddy was free.
    pub whole: Prefix,
}

/// A new aggregate shares addresses with one that the pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{new} overlaps {old}, which the pool has already; withdraw that one first, or add only what lies outside it")]
pub struct Overlap {
    /// What was to be added.
    pub new: Prefix,
    /// An aggregate of the pool.
    pub old: Prefix,
}

/// Why a block cannot become free, or an aggregate cannot go. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The block lies in no aggregate.
    #[error("{block} lies inside no aggregate of the pool; only what was cut from one can be free in it")]
    Outside {
        /// What was to be free.
        block: Prefix,
    },
    /// Some of the block is free.
    #[error("{block} overlaps {free}, which is free already; it was given back twice, or never taken")]
    Free {
        /// What was to be free.
        block: Prefix,
        /// What is.
        free: Prefix,
    },
    /// There is no such aggregate.
    #[error("the pool has no aggregate {aggregate}; name one exactly as it was added")]
    Unknown {
        /// What was to be withdrawn.
        aggregate: Prefix,
    },
    /// Part of the aggregate is out.
    #[error("{aggregate} is not one free block; wait until all that was taken from it is back, then withdraw it")]
    Held {
        /// What was to be withdrawn.
        aggregate: Prefix,
    },
}

/// Aggregates, and which parts of them are free.
///
/// No two aggregates overlap, nor do two free blocks; each free block lies inside one aggregate. Two free buddies of one
/// aggregate are always joined, unless [`Space::enter_free`] made them so.
#[derive(Debug, Clone)]
pub struct Space {
    v4: FamilySpace,
    v6: FamilySpace,
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

impl Space {
    /// Nothing at all.
    #[must_use]
    pub fn new() -> Self {
        Self { v4: FamilySpace::new(Family::V4), v6: FamilySpace::new(Family::V6) }
    }

    const fn of(&self, family: Family) -> &FamilySpace {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    const fn of_mut(&mut self, family: Family) -> &mut FamilySpace {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Adds an aggregate, all of it free.
    ///
    /// # Errors
    /// It overlaps one that is there.
    pub fn add(&mut self, aggregate: Prefix) -> Result<(), Overlap> {
        let space = self.of_mut(aggregate.family());
        space.enter(aggregate)?;
        space.release(aggregate);
        Ok(())
    }

    /// Adds an aggregate with nothing of it free, as a store is read.
    ///
    /// # Errors
    /// It overlaps one that is there.
    pub fn enter(&mut self, aggregate: Prefix) -> Result<(), Overlap> {
        self.of_mut(aggregate.family()).enter(aggregate)
    }

    /// Makes a block free exactly as it is, as a store is read: it is not joined with a buddy ([`Space::join`] does so).
    ///
    /// # Errors
    /// It lies in no aggregate ([`Refused::Outside`]), or some of it is free already ([`Refused::Free`]).
    pub fn enter_free(&mut self, block: Prefix) -> Result<(), Refused> {
        let space = self.of_mut(block.family());
        space.may_be_freed(block)?;
        space.release(block);
        Ok(())
    }

    /// Removes an aggregate that is one free block.
    ///
    /// # Errors
    /// There is none such ([`Refused::Unknown`]), or it is not one free block ([`Refused::Held`]).
    pub fn withdraw(&mut self, aggregate: &Prefix) -> Result<(), Refused> {
        self.of_mut(aggregate.family()).withdraw(*aggregate)
    }

    /// Takes a block of the wanted length: from the smallest free block that is big enough, among equal ones from that
    /// with the highest address, and of that block the highest part. It is the choice of pfxm3, which keeps big blocks
    /// whole. `None` if no free block is big enough, or if there is no such length.
    pub fn take(&mut self, want: Want) -> Option<Cut> {
        self.of_mut(want.family).take(want.length)
    }

    /// Takes a block of the wanted length, or else of the next longer one that there is, up to `longest` (inclusive).
    pub fn take_at_most(&mut self, want: Want, longest: u8) -> Option<Cut> {
        let space = self.of_mut(want.family);
        // Where nothing is big enough for the wanted length, the largest free blocks decide which is the next.
        let length = space.largest()?.max(want.length);
        if length > want.length.max(longest) {
            return None;
        }
        space.take(length)
    }

    /// Takes exactly this block. `None` unless all of it lies in one free block.
    pub fn take_exactly(&mut self, block: Prefix) -> Option<Cut> {
        self.of_mut(block.family()).take_exactly(block)
    }

    /// Gives a block back and joins it with its free buddies as far as its aggregate reaches.
    ///
    /// # Errors
    /// It lies in no aggregate ([`Refused::Outside`]), or some of it is free already ([`Refused::Free`]).
    pub fn free(&mut self, block: Prefix) -> Result<Joined, Refused> {
        self.of_mut(block.family()).free(block)
    }

    /// Joins all free buddies of one aggregate that [`Space::enter_free`] left apart, in the order returned. Both halves
    /// are `absorbed`. Costs a pass over all free blocks.
    pub fn join(&mut self) -> Vec<Joined> {
        let mut joined = self.v4.join();
        joined.append(&mut self.v6.join());
        joined
    }

    /// Whether [`Space::take`] would find a block.
    #[must_use]
    pub fn can(&self, want: Want) -> bool {
        want.length <= want.family.bits() && self.largest(want.family).is_some_and(|shortest| shortest <= want.length)
    }

    /// Length of the largest free blocks, the shortest that can be taken.
    #[must_use]
    pub fn largest(&self, family: Family) -> Option<u8> {
        self.of(family).largest()
    }

    /// The free blocks in order.
    pub fn free_blocks(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.v4.free_blocks().chain(self.v6.free_blocks())
    }

    /// The free blocks inside a block, in order. None if the block is itself a part of a larger free one.
    pub fn free_within(&self, block: &Prefix) -> impl Iterator<Item = Prefix> + '_ {
        self.of(block.family()).free_within(*block)
    }

    /// The free block that a block lies in.
    #[must_use]
    pub fn free_around(&self, block: &Prefix) -> Option<Prefix> {
        self.of(block.family()).free_around(*block)
    }

    /// Removes an aggregate of which nothing is free; one that is not there, or of which something is, stays as it is.
    pub fn forget(&mut self, aggregate: &Prefix) {
        self.of_mut(aggregate.family()).forget(*aggregate);
    }

    /// The aggregates in order.
    pub fn aggregates(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.v4.aggregates().chain(self.v6.aggregates())
    }

    /// The aggregate that a block lies in.
    #[must_use]
    pub fn aggregate_of(&self, block: &Prefix) -> Option<Prefix> {
        self.of(block.family()).aggregate_of(*block)
    }

    /// An aggregate that shares addresses with a block; of several, the last.
    #[must_use]
    pub fn overlapping(&self, block: &Prefix) -> Option<Prefix> {
        self.of(block.family()).overlapping(*block)
    }

    /// Free addresses, at most `u128::MAX` (which stands for all of IPv6, one more than can be counted).
    #[must_use]
    pub fn measure_free(&self, family: Family) -> u128 {
        self.of(family).measure_free()
    }

    /// Free blocks of a length.
    #[must_use]
    pub fn count_free(&self, family: Family, length: u8) -> usize {
        self.of(family).count_free(length)
    }

    /// Free blocks of all lengths.
    #[must_use]
    pub fn fragments(&self, family: Family) -> usize {
        self.of(family).fragments()
    }

    /// How far the free addresses of a family are scattered, at least 0 and less than 1:
    /// `1 - addresses of a largest free block / free addresses`.
    ///
    /// 0 if they are one block, or if there are none. It nears 1 as the largest block nears nothing. A free half beside a
    /// free quarter gives 1/3, two free aggregates of one size give 1/2: a border counts like a block that is out, for no
    /// request can be served across it. [`Space::fragmentation_of`] does not count borders.
    #[must_use]
    pub fn fragmentation(&self, family: Family) -> f64 {
        let space = self.of(family);
        space.largest().map_or(0.0, |length| scattered(family, length, space.measure_free()))
    }

    /// The same figure for one aggregate alone; `None` if there is none such.
    #[must_use]
    pub fn fragmentation_of(&self, aggregate: &Prefix) -> Option<f64> {
        let (largest, measure) = self.of(aggregate.family()).free_in_aggregate(*aggregate)?;
        Some(largest.map_or(0.0, |length| scattered(aggregate.family(), length, measure)))
    }
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people; 53 bits are more than they read")]
fn scattered(family: Family, largest: u8, free: u128) -> f64 {
    1.0 - Want { family, length: largest }.measure() as f64 / free as f64
}
