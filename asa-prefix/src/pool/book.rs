//! The blocks of a pool with everything that is looked up about them, and the changes that the store has not been given yet.

use super::record::{Deal, Dealt, Part, Record, Source, State, Way};
use super::request::PoolError;
use super::sessions::{Remembered, record};
use crate::prefix::{Family, Prefix, Want};
use crate::space::{Cut, Space};
use asa_framework::roles::store::Change;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Where an aggregate is from, and whether it is on its way out of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Belonging {
    pub(super) source: Source,
    pub(super) withdrawn: bool,
}

/// What one peer has been given, or may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Holding {
    v4: u128,
    v6: u128,
    blocks: usize,
}

/// The blocks.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) space: Space,
    /// All that are not free.
    pub(super) blocks: BTreeMap<Prefix, State>,
    pub(super) aggregates: BTreeMap<Prefix, Belonging>,
    pub(super) sessions: BTreeMap<u64, Remembered>,
    pub(super) numbers: BTreeMap<(u32, Part), Vec<u64>>,
    /// Of the remembered ones, those that are over.
    pub(super) overs: BTreeSet<u64>,
    /// Blocks in negotiations that are open or in doubt.
    deals: BTreeMap<(Part, Deal), Prefix>,
    clients: BTreeSet<([u8; 4], Prefix)>,
    holdings: BTreeMap<String, Holding>,
    /// Blocks that are in doubt, and those that are on their way back.
    pub(super) doubts: BTreeSet<Prefix>,
    pub(super) returning: BTreeSet<Prefix>,
    /// Blocks that dry runs have set aside.
    pub(super) dries: BTreeSet<Prefix>,
    pub(super) life: u64,
    pub(super) changes: Vec<Change<Record>>,
}

fn hash_of(client: &str) -> [u8; 4] {
    let mut hasher = DefaultHasher::new();
    client.hash(&mut hasher);
    // Only to find a few candidates: the names themselves are compared. Bytes, since they need no padding.
    ((hasher.finish() >> 32) as u32).to_be_bytes()
}

/// Which side of the negotiation this pool is on, for a block that is in one.
pub(super) fn part_of(state: &State) -> Part {
    match state {
        State::Accepting(_) | State::Doubt { way: Way::In, .. } => Part::Asker,
        _ => Part::Provider,
    }
}

/// Whether a block is in a negotiation that is not over and settled.
fn is_open(state: &State) -> bool {
    matches!(state, State::Held(_) | State::Offered(_) | State::Accepting(_) | State::Doubt { .. } | State::Dry(_))
}

impl Book {
    /// Reads what a store holds; the changes stay empty.
    ///
    /// # Errors
    ///
    /// The first thing in it that cannot be (PM-S-01).
    pub(super) fn read(records: Vec<Record>) -> Result<Self, String> {
        let (mut book, mut lives, some) = (Self::default(), 0, !records.is_empty());
        let mut later = Vec::new();
        for record in records {
            match record {
                Record::Life(life) => (book.life, lives) = (life, lives + 1),
                Record::Aggregate { block, source, withdrawn } => {
                    book.space.enter(block).map_err(|error| error.to_string())?;
                    book.aggregates.insert(block, Belonging { source, withdrawn });
                }
                Record::Session { number, deal, part, want, void, over } => {
                    if book.sessions.contains_key(&number) {
                        return Err(format!("two sessions have number {number}"));
                    }
                    book.keep(number, Remembered { deal, part, want, void, over });
                }
                Record::Block { block, state } => later.push((block, state)),
            }
        }
        if some && lives != 1 {
            return Err(format!("there are records, but {lives} marks of a first start"));
        }
        book.fill(later)?;
        Ok(book)
    }

    fn fill(&mut self, mut blocks: Vec<(Prefix, State)>) -> Result<(), String> {
        blocks.sort_unstable_by_key(|(block, _)| *block);
        if let Some(pair) = blocks.windows(2).find(|pair| pair[0].0.overlaps(&pair[1].0)) {
            return Err(format!("{} and {} overlap", pair[0].0, pair[1].0));
        }
        let mut covered: BTreeMap<Prefix, u128> = BTreeMap::new();
        for (block, state) in blocks {
            if state.is_foreign() {
                if let Some(aggregate) = self.space.overlapping(&block) {
                    return Err(format!("{block} is still its provider's, but overlaps the aggregate {aggregate}"));
                }
            } else {
                let home = self.space.aggregate_of(&block).ok_or_else(|| format!("{block} is in no aggregate"))?;
                let sum = covered.entry(home).or_default();
                *sum = sum.wrapping_add(block.measure_wrapping());
            }
            if state == State::Free {
                self.space.enter_free(block).map_err(|error| error.to_string())?;
            } else {
                self.index(block, &state, true);
                self.blocks.insert(block, state);
            }
        }
        for aggregate in self.aggregates.keys() {
            let sum = covered.get(aggregate).copied();
            // What is disjoint, inside, and as much as the whole is the whole; all of IPv6 counts as 0 here, as nothing does.
            if sum != Some(aggregate.measure_wrapping()) {
                let (sum, whole) = (sum.unwrap_or_default(), aggregate.measure());
                return Err(format!("the blocks of {aggregate} make up {sum} of its {whole} addresses"));
            }
        }
        Ok(())
    }

    fn index(&mut self, block: Prefix, state: &State, there: bool) {
        if let Some(dealt) = state.dealt().filter(|_| is_open(state)) {
            let key = (part_of(state), dealt.deal.clone());
            if there {
                self.deals.insert(key, block);
            } else if self.deals.get(&key) == Some(&block) {
                self.deals.remove(&key);
            }
        }
        if let State::Delegated(lease) = state {
            let key = (hash_of(&lease.client), block);
            if there {
                self.clients.insert(key)
            } else {
                self.clients.remove(&key)
            };
        }
        let set = match state {
            State::Doubt { .. } => Some(&mut self.doubts),
            State::Returning => Some(&mut self.returning),
            State::Dry(_) => Some(&mut self.dries),
            _ => None,
        };
        if let Some(set) = set {
            if there {
                set.insert(block)
            } else {
                set.remove(&block)
            };
        }
        let given = match state {
            State::Held(dealt) | State::Offered(dealt) | State::Granted(dealt) | State::Dry(dealt) => Some(dealt),
            State::Doubt { dealt, way: Way::Out, .. } => Some(dealt),
            _ => None,
        };
        if let Some(dealt) = given {
            self.hold(&dealt.deal.peer, block, there);
        }
    }

    fn hold(&mut self, peer: &str, block: Prefix, there: bool) {
        let holding = self.holdings.entry(peer.to_owned()).or_default();
        let sum = match block.family() {
            Family::V4 => &mut holding.v4,
            Family::V6 => &mut holding.v6,
        };
        if there {
            *sum = sum.saturating_add(block.measure());
            holding.blocks += 1;
        } else {
            *sum = sum.saturating_sub(block.measure());
            holding.blocks = holding.blocks.saturating_sub(1);
            if holding.blocks == 0 {
                self.holdings.remove(peer);
            }
        }
    }

    /// Addresses of a family that a peer has, or may have.
    pub(super) fn held_by(&self, peer: &str, family: Family) -> u128 {
        let holding = self.holdings.get(peer).copied().unwrap_or_default();
        match family {
            Family::V4 => holding.v4,
            Family::V6 => holding.v6,
        }
    }

    pub(super) fn note(&mut self, change: Change<Record>) {
        self.changes.push(change);
    }

    fn put_free(&mut self, block: Prefix) {
        self.note(Change::Put(Record::Block { block, state: State::Free }));
    }

    fn delete_free(&mut self, block: Prefix) {
        self.note(Change::Delete(Record::Block { block, state: State::Free }));
    }

    fn cut(&mut self, cut: &Cut) {
        self.delete_free(cut.from);
        for rest in &cut.rest {
            self.put_free(*rest);
        }
    }

    /// Enters a block that is not free; it is not there yet.
    pub(super) fn put(&mut self, block: Prefix, state: State) {
        self.index(block, &state, true);
        self.note(Change::Put(Record::Block { block, state: state.clone() }));
        self.blocks.insert(block, state);
    }

    /// Removes a block that is not free.
    pub(super) fn remove(&mut self, block: &Prefix) -> Option<State> {
        let state = self.blocks.remove(block)?;
        self.index(*block, &state, false);
        self.note(Change::Delete(Record::Block { block: *block, state: state.clone() }));
        Some(state)
    }

    /// Changes the state of a block that is not free, into another that is not.
    pub(super) fn turn(&mut self, block: &Prefix, state: State) {
        if self.remove(block).is_some() {
            self.put(*block, state);
        }
    }

    /// Takes the best fit out of what is free; a longer prefix, up to `longest`, if there is none.
    pub(super) fn take(&mut self, want: Want, longest: u8, state: State) -> Result<Prefix, PoolError> {
        let cut = self.space.take_at_most(want, longest).ok_or(PoolError::Empty)?;
        self.cut(&cut);
        self.put(cut.block, state);
        Ok(cut.block)
    }

    /// Cuts a block out of one that is not free: what is around it stays as it was, in the largest pieces there are.
    pub(super) fn carve(&mut self, outer: &Prefix, block: &Prefix) {
        if outer == block || !outer.contains(block) {
            return;
        }
        let Some(state) = self.remove(outer) else { return };
        let mut around = *outer;
        while around != *block {
            let Some((low, high)) = around.halves() else { break };
            let (inner, other) = if low.contains(block) { (low, high) } else { (high, low) };
            self.put(other, state.clone());
            around = inner;
        }
        self.put(*block, state);
    }

    /// Takes exactly this block out of what is free.
    pub(super) fn take_exactly(&mut self, block: Prefix, state: State) -> Result<(), PoolError> {
        let Some(cut) = self.space.take_exactly(block) else {
            return Err(PoolError::State(format!("{block} is not free")));
        };
        self.cut(&cut);
        self.put(block, state);
        Ok(())
    }

    /// Frees a block, and merges it with its free buddies; in an aggregate that is withdrawn it stays out of use.
    pub(super) fn free(&mut self, block: &Prefix) {
        let home = self.space.aggregate_of(block);
        if home.and_then(|home| self.aggregates.get(&home)).is_some_and(|home| home.withdrawn) {
            self.turn(block, State::Excluded);
            return;
        }
        self.free_again(block);
    }

    fn join(&mut self, block: &Prefix) {
        match self.space.free(*block) {
            Ok(joined) => {
                for absorbed in joined.absorbed {
                    self.delete_free(absorbed);
                }
                self.put_free(joined.whole);
            }
            // What is read and changed here is disjoint and inside aggregates: this cannot be, and must not lose the block.
            Err(error) => {
                tracing::error!(%block, %error, "a block cannot be freed and is kept out of use");
                self.put(*block, State::Excluded);
            }
        }
    }

    /// Frees a block also in an aggregate that is withdrawn.
    pub(super) fn free_again(&mut self, block: &Prefix) {
        if self.remove(block).is_some() {
            self.join(block);
        }
    }

    /// Takes an aggregate in, all of it free.
    ///
    /// # Errors
    ///
    /// [`PoolError::Overlap`] with what it touches.
    pub(super) fn add(&mut self, block: Prefix, source: Source) -> Result<(), PoolError> {
        self.newcomer(&block)?;
        if let Err(error) = self.space.add(block) {
            return Err(PoolError::State(error.to_string()));
        }
        self.note(Change::Put(Record::Aggregate { block, source: source.clone(), withdrawn: false }));
        self.aggregates.insert(block, Belonging { source, withdrawn: false });
        self.put_free(block);
        Ok(())
    }

    /// Takes back that an aggregate is withdrawn; what is out of use in it stays so. Tells whether it was.
    pub(super) fn reinstate(&mut self, block: &Prefix) -> bool {
        if self.within(block).any(|(_, state)| *state == State::Returning) {
            return false;
        }
        let Some(belonging) = self.aggregates.get_mut(block).filter(|belonging| belonging.withdrawn) else {
            return false;
        };
        belonging.withdrawn = false;
        let source = belonging.source.clone();
        self.note(Change::Delete(Record::Aggregate { block: *block, source: source.clone(), withdrawn: true }));
        self.note(Change::Put(Record::Aggregate { block: *block, source, withdrawn: false }));
        true
    }

    /// Marks an aggregate as withdrawn: all that is free in it is out of use from now on.
    pub(super) fn withdraw(&mut self, block: &Prefix) {
        let Some(belonging) = self.aggregates.get_mut(block).filter(|belonging| !belonging.withdrawn) else { return };
        belonging.withdrawn = true;
        let source = belonging.source.clone();
        self.note(Change::Delete(Record::Aggregate { block: *block, source: source.clone(), withdrawn: false }));
        self.note(Change::Put(Record::Aggregate { block: *block, source, withdrawn: true }));
        for free in self.free_within(block) {
            // It is free, so it can be taken.
            let _ = self.take_exactly(free, State::Excluded);
        }
    }

    /// Removes an aggregate of which nothing is in use any more.
    pub(super) fn drop_aggregate(&mut self, block: &Prefix) {
        let within: Vec<Prefix> = self.within(block).map(|(inner, _)| *inner).collect();
        for inner in within {
            self.remove(&inner);
        }
        for free in self.free_within(block) {
            let _ = self.space.take_exactly(free);
            self.delete_free(free);
        }
        // All of it is taken out, so the space has nothing of it but the border.
        self.space.forget(block);
        if let Some(Belonging { source, withdrawn }) = self.aggregates.remove(block) {
            self.note(Change::Delete(Record::Aggregate { block: *block, source, withdrawn }));
        }
    }

    /// Blocks that are not free and share an address with this one, in order.
    pub(super) fn within(&self, block: &Prefix) -> impl Iterator<Item = (&Prefix, &State)> {
        let around = self.blocks.range(..block).next_back().filter(|(outer, _)| outer.contains(block));
        let inside = self.blocks.range(block..);
        let block = *block;
        around.into_iter().chain(inside.take_while(move |(inner, _)| block.contains(inner)))
    }

    /// Free blocks that are in this one.
    pub(super) fn free_within(&self, block: &Prefix) -> Vec<Prefix> {
        self.space.free_within(block).collect()
    }

    /// The free block that an address or block is in.
    pub(super) fn free_around(&self, block: &Prefix) -> Option<Prefix> {
        self.space.free_around(block)
    }

    /// What of the pool, or on its way into it, a new block would touch (PM-R-05).
    pub(super) fn newcomer(&self, new: &Prefix) -> Result<(), PoolError> {
        let (old, whose) = if let Some(old) = self.space.overlapping(new) {
            let source = self.aggregates.get(&old).map(|belonging| &belonging.source);
            let whose = match source {
                Some(Source::Peer(dealt)) => format!("from {}", dealt.deal.peer),
                Some(Source::Manifest) => "of the manifest".into(),
                Some(Source::Operator) | None => "of the operator".into(),
            };
            (old, whose)
        } else if let Some((old, state)) = self.within(new).next() {
            let peer = state.dealt().map(|dealt| dealt.deal.peer.as_str()).unwrap_or_default();
            (*old, format!("{} with {peer}", state.name()))
        } else {
            return Ok(());
        };
        Err(PoolError::Overlap { new: *new, old, whose })
    }

    /// The block of a negotiation that is open or in doubt.
    pub(super) fn block_of(&self, part: Part, deal: &Deal) -> Option<Prefix> {
        self.deals.get(&(part, deal.clone())).copied()
    }

    /// A block of this size that a client has.
    pub(super) fn of_client(&self, client: &str, want: Want) -> Option<Prefix> {
        let hash = hash_of(client);
        let near = self.clients.range((hash, Prefix::LOWEST)..).take_while(|(other, _)| *other == hash);
        let mut its = near.map(|(_, block)| *block).filter(|block| block.want() == want);
        its.find(|block| match self.blocks.get(block) {
            Some(State::Delegated(lease)) => *lease.client == *client,
            _ => false,
        })
    }

    /// Writes down that another life begins.
    pub(super) fn begin_life(&mut self) {
        if self.life > 0 {
            self.note(Change::Delete(Record::Life(self.life)));
        }
        self.life = self.life.saturating_add(1);
        self.note(Change::Put(Record::Life(self.life)));
    }

    /// Everything that the store should hold once it has been given the changes.
    pub(super) fn records(&self) -> Vec<Record> {
        let life = (self.life > 0).then_some(Record::Life(self.life));
        let aggregates = self.aggregates.iter().map(|(block, belonging)| {
            let Belonging { source, withdrawn } = belonging.clone();
            Record::Aggregate { block: *block, source, withdrawn }
        });
        let free = self.space.free_blocks().map(|block| Record::Block { block, state: State::Free });
        let others = self.blocks.iter().map(|(block, state)| Record::Block { block: *block, state: state.clone() });
        let sessions = self.sessions.iter().map(|(number, remembered)| record(*number, remembered));
        let mut all: Vec<Record> =
            life.into_iter().chain(aggregates).chain(free).chain(others).chain(sessions).collect();
        all.sort();
        all
    }
}

/// A negotiation with the time since when a block is in it.
pub(super) fn dealt(deal: &Deal, wall: u32) -> Box<Dealt> {
    Box::new(Dealt { deal: deal.clone(), since: wall })
}
