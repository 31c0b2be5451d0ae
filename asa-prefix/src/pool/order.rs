//! What operators order, and what they are told.

use super::core::PoolCore;
use super::decide::Decision;
use super::map::Map;
use super::record::{Deal, Lease, Source, State};
use super::request::{AggregateCensus, Answer, Census, Planned, PoolError, Tally};
use crate::prefix::{Family, Prefix};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Blocks in one answer, at most.
const BLOCKS: usize = 10_000;
/// Aggregates that are drawn, at most.
const MAPS: usize = 256;

fn add(tallies: &mut BTreeMap<String, Tally>, name: &str, block: &Prefix) {
    let tally = tallies.entry(name.to_owned()).or_default();
    tally.blocks += 1;
    tally.addresses = tally.addresses.saturating_add(block.measure());
}

impl PoolCore {
    /// Keeps what is free in a block out of use; returns what is in use there.
    pub(super) fn exclude(&mut self, block: &Prefix) -> Vec<(Prefix, State)> {
        let around = self.book.free_around(block).map(|_| *block);
        let free = around.map_or_else(|| self.book.free_within(block), |block| vec![block]);
        for free in free {
            // It is free, so it can be taken.
            let _ = self.book.take_exactly(free, State::Excluded);
        }
        self.in_use(block)
    }

    /// What the plan keeps out of use stays so when it is freed, or comes in later (PM-D-07).
    pub(super) fn exclude_as_planned(&mut self, near: &Prefix) {
        let planned: Vec<Prefix> = self.plan.exclude.iter().filter(|block| block.overlaps(near)).copied().collect();
        for block in planned {
            self.exclude(&block);
        }
    }

    fn in_use(&self, block: &Prefix) -> Vec<(Prefix, State)> {
        let used = self.book.within(block).filter(|(_, state)| **state != State::Excluded);
        used.take(BLOCKS).map(|(block, state)| (*block, state.clone())).collect()
    }

    /// Takes back that an aggregate is withdrawn.
    pub(super) fn reinstate(&mut self, block: &Prefix) -> Decision {
        if self.book.reinstate(block) {
            return Ok(Answer::Done);
        }
        Err(PoolError::State(format!(
            "{block} is not an aggregate that is being withdrawn, or is on its way back already"
        )))
    }

    pub(super) fn include(&mut self, block: &Prefix) -> Answer {
        let excluded: Vec<Prefix> = self
            .book
            .within(block)
            .filter(|(_, state)| **state == State::Excluded)
            .map(|(inner, _)| *inner)
            // What is withdrawn stays out of use.
            .filter(|inner| {
                let home = self.book.space.aggregate_of(inner).and_then(|home| self.book.aggregates.get(&home));
                home.is_some_and(|home| !home.withdrawn)
            })
            .collect();
        let mut freed = Vec::new();
        for inner in excluded {
            self.book.carve(&inner, block);
            let inner = if inner.contains(block) { *block } else { inner };
            self.book.free(&inner);
            freed.push((inner, State::Free));
        }
        freed.truncate(BLOCKS);
        Answer::Blocks(freed, false)
    }

    pub(super) fn withdraw(&mut self, block: &Prefix) -> Decision {
        if !self.book.aggregates.contains_key(block) {
            let home = self.book.space.aggregate_of(block);
            let advice = home.map_or_else(
                || "it is not in this pool".to_owned(),
                |home| format!("it is a part of {home}: withdraw that, or exclude this"),
            );
            return Err(PoolError::State(format!("{block} is not an aggregate; {advice}")));
        }
        self.book.withdraw(block);
        self.drained(block);
        Ok(Answer::Blocks(self.in_use(block), false))
    }

    pub(super) fn import(&mut self, planned: &[Planned]) -> Decision {
        self.possible(planned)?;
        let wall = self.wall();
        for line in planned {
            if let Planned::Aggregate(block) = line {
                self.book.add(*block, Source::Operator)?;
            }
        }
        for line in planned {
            let (block, state) = match line {
                Planned::Aggregate(_) => continue,
                Planned::Delegated { block, client } => {
                    let lease = Lease { client: client.as_str().into(), preferred: u32::MAX, valid: None, since: wall };
                    (block, State::Delegated(Box::new(lease)))
                }
                Planned::Granted { block, peer } => {
                    let deal = Deal { session: 0, peer: peer.clone() };
                    (block, State::Granted(super::book::dealt(&deal, wall)))
                }
                Planned::Excluded(block) => (block, State::Excluded),
            };
            self.book.take_exactly(*block, state)?;
        }
        for line in planned {
            if let Planned::Aggregate(block) = line {
                self.exclude_as_planned(block);
            }
        }
        Ok(Answer::Done)
    }

    /// Checks a whole plan before anything of it is done.
    fn possible(&self, planned: &[Planned]) -> Result<(), PoolError> {
        let (mut new, mut used) = (Vec::new(), Vec::new());
        for line in planned {
            match line {
                Planned::Aggregate(block) => new.push(*block),
                Planned::Delegated { block, .. } | Planned::Granted { block, .. } | Planned::Excluded(block) => {
                    used.push(*block);
                }
            }
        }
        for list in [&mut new, &mut used] {
            list.sort_unstable();
            if let Some(pair) = list.windows(2).find(|pair| pair[0].overlaps(&pair[1])) {
                return Err(PoolError::State(format!("{} and {} of the plan overlap", pair[0], pair[1])));
            }
        }
        for block in &new {
            self.book.newcomer(block)?;
        }
        for block in &used {
            // Disjoint ones are ordered so that only the last that does not come after it can contain it.
            let after = new.partition_point(|aggregate| aggregate <= block);
            let fresh = after.checked_sub(1).and_then(|at| new.get(at)).is_some_and(|home| home.contains(block));
            if !fresh && self.book.free_around(block).is_none() {
                return Err(PoolError::State(format!(
                    "{block} of the plan is not free, and in no aggregate of the plan"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn census(&self) -> Census {
        let mut census = Census {
            writable: self.is_writable(),
            trouble: self.trouble(),
            lives: self.book.life,
            counters: self.counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..Census::default()
        };
        let mut states: BTreeMap<Prefix, BTreeMap<String, Tally>> = BTreeMap::new();
        let mapped = self.book.aggregates.keys().take(MAPS);
        let mut maps: BTreeMap<Prefix, Map> = mapped.map(|home| (*home, Map::new(*home))).collect();
        for (block, state) in &self.book.blocks {
            match self.book.space.aggregate_of(block) {
                Some(home) => {
                    add(states.entry(home).or_default(), state.name(), block);
                    if let Some(map) = maps.get_mut(&home) {
                        map.add(block, state.letter());
                    }
                }
                None => add(&mut census.foreign, state.name(), block),
            }
        }
        for block in self.book.space.free_blocks() {
            let home = self.book.space.aggregate_of(&block).unwrap_or(block);
            add(states.entry(home).or_default(), State::Free.name(), &block);
            if let Some(map) = maps.get_mut(&home) {
                map.add(&block, State::Free.letter());
            }
            *census.lengths.entry(block.family()).or_default().entry(block.length()).or_default() += 1;
        }
        for (block, belonging) in &self.book.aggregates {
            census.aggregates.push(AggregateCensus {
                block: *block,
                source: belonging.source.clone(),
                withdrawn: belonging.withdrawn,
                states: states.remove(block).unwrap_or_default(),
                fragmentation: self.book.space.fragmentation_of(block).unwrap_or_default(),
                map: maps.get(block).map(Map::draw).unwrap_or_default(),
            });
        }
        for family in Family::ALL {
            census.free.insert(family, self.book.space.measure_free(family));
            census.fragmentation.insert(family, self.book.space.fragmentation(family));
        }
        census
    }

    pub(super) fn list(
        &self,
        after: Option<Prefix>,
        within: Option<Prefix>,
        states: &[String],
        limit: usize,
    ) -> Answer {
        let limit = limit.clamp(1, BLOCKS);
        let wanted = |name: &str| states.is_empty() || states.iter().any(|state| state == name);
        let near = |block: &Prefix| {
            after.is_none_or(|after| *block > after) && within.is_none_or(|within| within.overlaps(block))
        };
        let mut free = self.book.space.free_blocks().filter(|block| near(block) && wanted("free")).peekable();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let others = self
            .book
            .blocks
            .range((from, Bound::Unbounded))
            .filter(|(block, state)| near(block) && wanted(state.name()));
        let mut others = others.peekable();
        let mut found = Vec::new();
        while found.len() < limit {
            let first = match (free.peek(), others.peek()) {
                (Some(block), Some((other, _))) => block < *other,
                (free, other) if free.is_none() && other.is_none() => return Answer::Blocks(found, false),
                (free, _) => free.is_some(),
            };
            let next = if first {
                free.next().map(|block| (block, State::Free))
            } else {
                others.next().map(|(block, state)| (*block, state.clone()))
            };
            found.extend(next);
        }
        let more = free.peek().is_some() || others.peek().is_some();
        Answer::Blocks(found, more)
    }
}
