//! The blocks of a pool: how one is chosen, split and merged, and what changes in the store thereby.

use super::record::{PoolError, Record, State, Way};
use crate::roles::resource::Resource;
use crate::roles::store::Change;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Blocks with their states, the aggregates they belong to, and the changes not handed to the store yet.
#[derive(Debug)]
pub(super) struct Space<R> {
    pub(super) blocks: BTreeMap<R, State>,
    pub(super) aggregates: BTreeMap<R, String>,
    pub(super) life: u64,
    pub(super) changes: Vec<Change<Record<R>>>,
}

/// What belongs to the other side until it is settled, and is in no aggregate.
fn foreign(state: &State) -> bool {
    matches!(state, State::Accepting { .. } | State::Doubt { way: Way::In, .. })
}

/// A block by size and place, and what it would be split into.
type Fit<'a, R> = ((u128, Reverse<&'a R>), (R, Vec<R>));

fn total<'a, R: Resource>(mut blocks: impl Iterator<Item = &'a R>) -> Result<u128, String> {
    let total = blocks.try_fold(0_u128, |sum, block| sum.checked_add(block.measure()));
    total.ok_or_else(|| "more than can be counted".into())
}

impl<R: Resource> Space<R> {
    pub(super) fn empty() -> Self {
        Self { blocks: BTreeMap::new(), aggregates: BTreeMap::new(), life: 0, changes: Vec::new() }
    }

    /// Reads what a store holds.
    ///
    /// # Errors
    ///
    /// The first thing in it that cannot be: overlaps, or blocks that do not make up their aggregates (PM-S-01).
    pub(super) fn read(records: Vec<Record<R>>) -> Result<Self, String> {
        let (mut space, mut lives, some) = (Self::empty(), 0, !records.is_empty());
        for record in records {
            let doubled = match record {
                Record::Life(life) => {
                    (space.life, lives) = (life, lives + 1);
                    lives > 1
                }
                Record::Aggregate { block, from } => space.aggregates.insert(block, from).is_some(),
                Record::Block { block, state } => space.blocks.insert(block, state).is_some(),
            };
            if doubled {
                return Err("a block or a life is there twice".into());
            }
        }
        if some && lives == 0 {
            return Err("there are blocks, but no mark of a first start".into());
        }
        space.sound().map(|()| space)
    }

    /// Checks conservation and disjointness.
    pub(super) fn sound(&self) -> Result<(), String> {
        let apart = |blocks: Vec<&R>| {
            let touching = blocks.windows(2).find(|pair| pair[0].overlaps(pair[1]));
            touching.map_or(Ok(()), |pair| Err(format!("{:?} overlaps {:?}", pair[0], pair[1])))
        };
        apart(self.blocks.keys().collect())?;
        apart(self.aggregates.keys().collect())?;
        let foreign = self.blocks.iter().filter(|(_, state)| foreign(state)).map(|(block, _)| block);
        let mut outer: Vec<&R> = self.aggregates.keys().chain(foreign).collect();
        outer.sort();
        apart(outer)?;
        let whole = total(self.aggregates.keys())?;
        let own = self.blocks.iter().filter(|(_, state)| !self::foreign(state));
        let parts = total(own.map(|(block, _)| block))?;
        if whole == parts { Ok(()) } else { Err(format!("the aggregates measure {whole}, their blocks {parts}")) }
    }

    pub(super) fn free(&self) -> u128 {
        let free = self.blocks.iter().filter(|(_, state)| **state == State::Free);
        free.fold(0, |sum, (block, _)| sum.saturating_add(block.measure()))
    }

    pub(super) fn put(&mut self, block: R, state: State) {
        self.changes.push(Change::Put(Record::Block { block: block.clone(), state: state.clone() }));
        self.blocks.insert(block, state);
    }

    pub(super) fn remove(&mut self, block: &R) -> Option<State> {
        let state = self.blocks.remove(block)?;
        self.changes.push(Change::Delete(Record::Block { block: block.clone(), state: state.clone() }));
        Some(state)
    }

    /// Changes the state of a block that is there.
    pub(super) fn turn(&mut self, block: &R, state: State) {
        if self.remove(block).is_some() {
            self.put(block.clone(), state);
        }
    }

    /// Writes down that another life begins.
    pub(super) fn begin_life(&mut self) {
        if self.life > 0 {
            self.changes.push(Change::Delete(Record::Life(self.life)));
        }
        self.life += 1;
        self.changes.push(Change::Put(Record::Life(self.life)));
    }

    /// The best fit: the smallest block from which it can be taken, of equal ones the highest (PM-O-05).
    pub(super) fn choose(&self, want: &R::Want) -> Option<(R, R, Vec<R>)> {
        let mut best: Option<Fit<'_, R>> = None;
        for (block, state) in &self.blocks {
            let key = (block.measure(), Reverse(block));
            let better = best.as_ref().is_none_or(|(least, _)| key < *least);
            if *state == State::Free
                && better
                && key.0 >= R::size(want)
                && let Some(parts) = block.split(want)
            {
                best = Some((key, parts));
            }
        }
        best.map(|((_, Reverse(block)), (part, rest))| (block.clone(), part, rest))
    }

    /// Takes what is wanted, or the next smaller thing, out of what is free.
    pub(super) fn take(&mut self, want: &R::Want, state: State, less: bool) -> Result<R, PoolError> {
        let mut want = want.clone();
        loop {
            if let Some((block, part, rest)) = self.choose(&want) {
                self.remove(&block);
                for left in rest {
                    self.put(left, State::Free);
                }
                self.put(part.clone(), state);
                return Ok(part);
            }
            match R::reduced(&want).filter(|smaller| less && R::size(smaller) < R::size(&want)) {
                Some(smaller) => want = smaller,
                None => return Err(PoolError::Empty),
            }
        }
    }

    fn aggregate_of(&self, block: &R) -> Option<&R> {
        self.aggregates.keys().find(|aggregate| aggregate.overlaps(block))
    }

    /// Frees a block, and merges it with what is free in the same aggregate.
    pub(super) fn release(&mut self, block: &R) {
        if self.remove(block).is_none() {
            return;
        }
        let home = self.aggregate_of(block).cloned();
        let mut whole = block.clone();
        loop {
            let mut free = self.blocks.iter().filter(|(_, state)| **state == State::Free).map(|(other, _)| other);
            let found = free.find_map(|other| {
                let merged = whole.merge(other)?;
                (self.aggregate_of(other) == home.as_ref()).then(|| (other.clone(), merged))
            });
            let Some((other, merged)) = found else { break };
            self.remove(&other);
            whole = merged;
        }
        self.put(whole, State::Free);
    }

    /// Adds an aggregate as one free block; what touches anything that is here must have been refused before.
    pub(super) fn add(&mut self, block: R, from: String) {
        self.changes.push(Change::Put(Record::Aggregate { block: block.clone(), from: from.clone() }));
        self.aggregates.insert(block.clone(), from);
        self.put(block, State::Free);
    }

    /// Removes an aggregate with its only block.
    pub(super) fn withdraw(&mut self, block: &R) {
        if let Some(from) = self.aggregates.remove(block) {
            self.changes.push(Change::Delete(Record::Aggregate { block: block.clone(), from }));
            self.remove(block);
        }
    }

    /// What of the pool, or on its way into it, a new block would touch (PM-R-05).
    pub(super) fn touches(&self, new: &R) -> Result<(), PoolError> {
        let old = self.blocks.keys().chain(self.aggregates.keys()).find(|old| old.overlaps(new));
        old.map_or(Ok(()), |old| Err(PoolError::Overlap { new: format!("{new:?}"), old: format!("{old:?}") }))
    }

    /// Measure of all that one party holds, or may hold.
    pub(super) fn held_by(&self, party: &str) -> u128 {
        let its = |state: &State| match state {
            State::Offered { to } | State::Granted { to } => to == party,
            State::Doubt { with, way } => with == party && *way == Way::Out,
            State::Free | State::Accepting { .. } | State::Returning => false,
        };
        let held = self.blocks.iter().filter(|(_, state)| its(state));
        held.fold(0, |sum, (block, _)| sum.saturating_add(block.measure()))
    }
}
