//! The free blocks of one family, as numbers.

use super::starts::Starts;
use super::{Cut, Joined, Overlap, Refused};
use crate::prefix::{Family, Prefix};
use std::collections::BTreeMap;
use std::ops::Bound::Included;

#[derive(Debug, Clone)]
struct Aggregate {
    length: u8,
    /// Free addresses in it, modulo 2^128.
    free: u128,
}

#[derive(Debug, Clone)]
pub(super) struct FamilySpace {
    family: Family,
    /// By first address. They are disjoint, as the free blocks are, so a first address names one.
    aggregates: BTreeMap<u128, Aggregate>,
    /// Lengths of the free blocks, by first address.
    free: BTreeMap<u128, u8>,
    /// First addresses of the same blocks, for each length there is.
    sizes: Vec<Starts>,
    /// Free addresses, modulo 2^128: all of IPv6 is one more than can be counted, and nothing else wraps.
    measure: u128,
}

impl FamilySpace {
    pub(super) fn new(family: Family) -> Self {
        Self {
            family,
            aggregates: BTreeMap::new(),
            free: BTreeMap::new(),
            sizes: (0..=family.bits()).map(|length| Starts::new(family, length)).collect(),
            measure: 0,
        }
    }

    /// Addresses in a block, modulo 2^128.
    fn size(&self, length: u8) -> u128 {
        1_u128.checked_shl(u32::from(self.family.bits().saturating_sub(length))).unwrap_or(0)
    }

    fn last(&self, at: u128, length: u8) -> u128 {
        at | self.size(length).wrapping_sub(1)
    }

    /// First address of the block of this length that an address is in.
    fn first(&self, address: u128, length: u8) -> u128 {
        address & !self.size(length).wrapping_sub(1)
    }

    fn prefix(&self, at: u128, length: u8) -> Prefix {
        Prefix::clamped(self.family, at, length)
    }

    /// The free block that shares addresses with a block; of several, the last.
    fn touching(&self, block: Prefix) -> Option<Prefix> {
        let (at, length) = self.free.range(..=block.last_number()).next_back()?;
        (self.last(*at, *length) >= block.number()).then(|| self.prefix(*at, *length))
    }

    pub(super) fn free_around(&self, block: Prefix) -> Option<Prefix> {
        self.touching(block).filter(|free| free.contains(&block))
    }

    pub(super) fn forget(&mut self, aggregate: Prefix) {
        let (at, length) = (aggregate.number(), aggregate.length());
        if self.aggregates.get(&at).is_some_and(|known| known.length == length && known.free == 0) {
            self.aggregates.remove(&at);
        }
    }

    pub(super) fn overlapping(&self, block: Prefix) -> Option<Prefix> {
        let (at, aggregate) = self.aggregates.range(..=block.last_number()).next_back()?;
        (self.last(*at, aggregate.length) >= block.number()).then(|| self.prefix(*at, aggregate.length))
    }

    pub(super) fn aggregate_of(&self, block: Prefix) -> Option<Prefix> {
        self.overlapping(block).filter(|aggregate| aggregate.contains(&block))
    }

    pub(super) fn enter(&mut self, aggregate: Prefix) -> Result<(), Overlap> {
        if let Some(old) = self.overlapping(aggregate) {
            return Err(Overlap { new: aggregate, old });
        }
        self.aggregates.insert(aggregate.number(), Aggregate { length: aggregate.length(), free: 0 });
        Ok(())
    }

    pub(super) fn withdraw(&mut self, aggregate: Prefix) -> Result<(), Refused> {
        let (at, length) = (aggregate.number(), aggregate.length());
        if self.aggregates.get(&at).is_none_or(|known| known.length != length) {
            return Err(Refused::Unknown { aggregate });
        }
        if self.free.get(&at) != Some(&length) {
            return Err(Refused::Held { aggregate });
        }
        self.erase(at, length);
        self.measure = self.measure.wrapping_sub(self.size(length));
        self.aggregates.remove(&at);
        Ok(())
    }

    /// The aggregate of a block of which no address is free.
    pub(super) fn may_be_freed(&self, block: Prefix) -> Result<Prefix, Refused> {
        let aggregate = self.aggregate_of(block).ok_or(Refused::Outside { block })?;
        match self.touching(block) {
            Some(free) => Err(Refused::Free { block, free }),
            None => Ok(aggregate),
        }
    }

    /// Lists and counts a free block; that it may be one was seen to.
    pub(super) fn release(&mut self, block: Prefix) {
        self.list(block.number(), block.length());
        self.count(block.number(), |free| free.wrapping_add(block.measure_wrapping()));
    }

    pub(super) fn take(&mut self, length: u8) -> Option<Cut> {
        let fitting = self.sizes.get(..=usize::from(length))?.iter().rposition(|size| size.len() > 0)?;
        let at = self.sizes.get(fitting)?.last()?;
        let fitting = u8::try_from(fitting).ok()?;
        let highest = self.first(self.last(at, fitting), length);
        Some(self.carve(self.prefix(at, fitting), self.prefix(highest, length)))
    }

    pub(super) fn take_exactly(&mut self, block: Prefix) -> Option<Cut> {
        let from = self.free_around(block)?;
        Some(self.carve(from, block))
    }

    /// Halves a free block until a block that lies in it is left over.
    fn carve(&mut self, from: Prefix, block: Prefix) -> Cut {
        self.erase(from.number(), from.length());
        let rest = (from.length() + 1..=block.length())
            .map(|length| {
                let sibling = self.first(block.number(), length) ^ self.size(length);
                self.list(sibling, length);
                self.prefix(sibling, length)
            })
            .collect();
        self.count(block.number(), |free| free.wrapping_sub(block.measure_wrapping()));
        Cut { block, from, rest }
    }

    pub(super) fn free(&mut self, block: Prefix) -> Result<Joined, Refused> {
        let border = self.may_be_freed(block)?.length();
        let (mut at, mut length) = (block.number(), block.length());
        let mut absorbed = Vec::new();
        while length > border {
            let buddy = at ^ self.size(length);
            if self.free.get(&buddy) != Some(&length) {
                break;
            }
            self.erase(buddy, length);
            absorbed.push(self.prefix(buddy, length));
            length -= 1;
            at = self.first(at, length);
        }
        self.list(at, length);
        self.count(at, |free| free.wrapping_add(block.measure_wrapping()));
        Ok(Joined { absorbed, whole: self.prefix(at, length) })
    }

    pub(super) fn join(&mut self) -> Vec<Joined> {
        let mut joined = Vec::new();
        for length in (1..=self.family.bits()).rev() {
            let starts = self.sizes.get(usize::from(length)).map(Starts::to_vec).unwrap_or_default();
            let pairs = starts.windows(2).filter_map(|pair| {
                let (low, high) = (self.prefix(*pair.first()?, length), self.prefix(*pair.last()?, length));
                let buddies = low.parent() == high.parent() && self.aggregate_of(low) == self.aggregate_of(high);
                buddies.then_some([low, high])
            });
            let pairs: Vec<_> = pairs.collect();
            for [low, high] in pairs {
                self.erase(low.number(), length);
                self.erase(high.number(), length);
                self.list(low.number(), length - 1);
                joined.push(Joined { absorbed: vec![low, high], whole: self.prefix(low.number(), length - 1) });
            }
        }
        joined
    }

    fn list(&mut self, at: u128, length: u8) {
        self.free.insert(at, length);
        if let Some(size) = self.sizes.get_mut(usize::from(length)) {
            size.insert(at);
        }
    }

    fn erase(&mut self, at: u128, length: u8) {
        self.free.remove(&at);
        if let Some(size) = self.sizes.get_mut(usize::from(length)) {
            size.remove(at);
        }
    }

    /// Changes the count of free addresses, of all and of the aggregate that an address is in.
    fn count(&mut self, at: u128, change: impl Fn(u128) -> u128) {
        self.measure = change(self.measure);
        if let Some((_, aggregate)) = self.aggregates.range_mut(..=at).next_back() {
            aggregate.free = change(aggregate.free);
        }
    }

    pub(super) fn largest(&self) -> Option<u8> {
        self.sizes.iter().position(|size| size.len() > 0).and_then(|length| u8::try_from(length).ok())
    }

    pub(super) fn free_blocks(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.free.iter().map(|(at, length)| self.prefix(*at, *length))
    }

    pub(super) fn free_within(&self, block: Prefix) -> impl Iterator<Item = Prefix> + '_ {
        let inside = self.free.range((Included(block.number()), Included(block.last_number())));
        inside.map(|(at, length)| self.prefix(*at, *length)).filter(move |free| block.contains(free))
    }

    pub(super) fn aggregates(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.aggregates.iter().map(|(at, aggregate)| self.prefix(*at, aggregate.length))
    }

    pub(super) fn measure_free(&self) -> u128 {
        if self.measure == 0 && !self.free.is_empty() { u128::MAX } else { self.measure }
    }

    pub(super) fn count_free(&self, length: u8) -> usize {
        self.sizes.get(usize::from(length)).map_or(0, Starts::len)
    }

    pub(super) fn fragments(&self) -> usize {
        self.free.len()
    }

    /// Length of the largest free blocks of an aggregate, and its free addresses, at most `u128::MAX`.
    pub(super) fn free_in_aggregate(&self, aggregate: Prefix) -> Option<(Option<u8>, u128)> {
        let (at, last) = (aggregate.number(), aggregate.last_number());
        let known = self.aggregates.get(&at).filter(|known| known.length == aggregate.length())?;
        let mut lengths = (aggregate.length()..).zip(self.sizes.iter().skip(usize::from(aggregate.length())));
        let largest = lengths.find(|(_, size)| size.any(at, last)).map(|(length, _)| length);
        let measure = if known.free == 0 && largest.is_some() { u128::MAX } else { known.free };
        Some((largest, measure))
    }
}
