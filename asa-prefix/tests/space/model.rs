//! A pool kept as plain sets, searched from end to end, and a space that must agree with it.

use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::space::{Cut, Joined, Overlap, Refused, Space};
use proptest::sample::Index;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Any prefix of the same size.
pub(crate) fn want(text: &str) -> Want {
    p(text).want()
}

/// The longest length that [`near`] gives: beyond /64, where addresses are kept in another form, and short of it are both
/// met.
pub(crate) const fn longest(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 68,
    }
}

/// A block among the 256 of 10.0.0.0/24 or 2001:db8::/60.
pub(crate) fn near(family: Family, low: u8, short: u8) -> Prefix {
    let address = match family {
        Family::V4 => Ipv4Addr::new(10, 0, 0, low).into(),
        Family::V6 => Ipv6Addr::from((0x2001_0db8 << 96) | u128::from(low) << 60).into(),
    };
    Prefix::of(address, longest(family) - short).unwrap()
}

/// A part of `block`, chosen by the last bits and the length of another one.
pub(crate) fn inside(block: &Prefix, other: &Prefix) -> Prefix {
    let mut part = *block;
    while part.length() < other.length() {
        let Some((low, high)) = part.halves() else { break };
        part = if other.number() >> (part.length() % 8) & 1 == 0 { low } else { high };
    }
    part
}

/// What a store does with a cut.
pub(crate) fn replay_cut(rows: &mut BTreeSet<Prefix>, cut: &Cut) {
    assert!(rows.remove(&cut.from), "{} was free", cut.from);
    for block in &cut.rest {
        assert!(rows.insert(*block), "{block} is new");
    }
}

/// What a store does with a joining.
pub(crate) fn replay_joined(rows: &mut BTreeSet<Prefix>, joined: &Joined) {
    for block in &joined.absorbed {
        assert!(rows.remove(block), "{block} was free");
    }
    assert!(rows.insert(joined.whole), "{} is new", joined.whole);
}

fn sum<'a>(blocks: impl IntoIterator<Item = &'a Prefix>, family: Family) -> u128 {
    // All of IPv6 counts as 0, which is what it is modulo 2^128.
    let blocks = blocks.into_iter().filter(|block| block.family() == family && block.measure() != u128::MAX);
    blocks.fold(0, |sum, block| sum.wrapping_add(block.measure()))
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) space: Space,
    aggregates: BTreeSet<Prefix>,
    /// Kept by nothing but what the space said that it changed.
    free: BTreeSet<Prefix>,
    taken: BTreeSet<Prefix>,
}

impl Model {
    pub(crate) fn taken(&self, index: &Index) -> Option<Prefix> {
        (!self.taken.is_empty()).then(|| *self.taken.iter().nth(index.index(self.taken.len())).unwrap())
    }

    pub(crate) fn aggregate(&self, index: &Index) -> Option<Prefix> {
        (!self.aggregates.is_empty()).then(|| *self.aggregates.iter().nth(index.index(self.aggregates.len())).unwrap())
    }

    fn enclosing(&self, block: &Prefix) -> Option<Prefix> {
        self.aggregates.iter().find(|aggregate| aggregate.contains(block)).copied()
    }

    pub(crate) fn add(&mut self, aggregate: Prefix) {
        let meets = self.aggregates.iter().any(|other| other.overlaps(&aggregate));
        match self.space.add(aggregate) {
            Ok(()) => {
                assert!(!meets);
                self.aggregates.insert(aggregate);
                self.free.insert(aggregate);
            }
            Err(Overlap { new, old }) => {
                assert!(new == aggregate && self.aggregates.contains(&old) && old.overlaps(&new));
                assert_eq!(self.space.enter(aggregate), Err(Overlap { new, old }));
            }
        }
    }

    /// Best fit: the longest of what is big enough, and of those the highest.
    fn best(&self, want: Want) -> Option<Prefix> {
        let fits = |free: &&Prefix| free.family() == want.family && free.length() <= want.length;
        let possible = want.length <= want.family.bits();
        self.free.iter().filter(fits).max_by_key(|free| (free.length(), free.number())).filter(|_| possible).copied()
    }

    pub(crate) fn take(&mut self, want: Want) {
        let best = self.best(want);
        assert_eq!(self.space.can(want), best.is_some());
        let cut = self.space.take(want);
        assert_eq!(cut.as_ref().map(|cut| cut.from), best);
        if let Some(cut) = cut {
            assert_eq!((cut.block.want(), cut.block.last_number()), (want, cut.from.last_number()), "the highest part");
            self.cut(&cut);
        }
    }

    pub(crate) fn take_at_most(&mut self, want: Want, longest: u8) {
        let mut wants = (want.length..=longest.max(want.length)).map(|length| Want { length, ..want });
        let first = wants.find_map(|want| Some((want, self.best(want)?)));
        let cut = self.space.take_at_most(want, longest);
        assert_eq!(cut.as_ref().map(|cut| (cut.block.want(), cut.from)), first);
        if let Some(cut) = cut {
            self.cut(&cut);
        }
    }

    pub(crate) fn take_exactly(&mut self, block: Prefix) {
        let from = self.free.iter().find(|free| free.contains(&block)).copied();
        let cut = self.space.take_exactly(block);
        assert_eq!(cut.as_ref().map(|cut| (cut.block, cut.from)), from.map(|from| (block, from)));
        if let Some(cut) = cut {
            self.cut(&cut);
        }
    }

    fn cut(&mut self, cut: &Cut) {
        // Giving it back at once undoes it.
        let mut undone = self.space.clone();
        let joined = undone.free(cut.block).unwrap();
        assert_eq!(joined.whole, cut.from);
        assert!(joined.absorbed.iter().eq(cut.rest.iter().rev()));
        assert!(undone.free_blocks().eq(self.free.iter().copied()));
        assert_eq!(undone.measure_free(cut.block.family()), measure(&self.free, cut.block.family()));

        assert!(cut.from.contains(&cut.block));
        replay_cut(&mut self.free, cut);
        assert!(self.taken.insert(cut.block));
    }

    pub(crate) fn free(&mut self, block: Prefix) {
        let meets = self.free.iter().any(|free| free.overlaps(&block));
        match self.space.free(block) {
            Ok(joined) => {
                assert!(!meets && self.enclosing(&block).is_some());
                assert!(joined.whole.contains(&block));
                replay_joined(&mut self.free, &joined);
                self.give_back(block);
            }
            Err(Refused::Outside { block: named }) => assert!(named == block && self.enclosing(&block).is_none()),
            Err(Refused::Free { block: named, free }) => {
                assert!(named == block && self.free.contains(&free) && free.overlaps(&block));
                assert_eq!(self.space.enter_free(block), Err(Refused::Free { block, free }));
            }
            Err(other @ (Refused::Unknown { .. } | Refused::Held { .. })) => panic!("{other}"),
        }
    }

    /// What was given back may be several that were taken, or a part of one: the rest of that stays out.
    fn give_back(&mut self, block: Prefix) {
        self.taken.retain(|taken| !block.contains(taken));
        if let Some(mut outer) = self.taken.iter().find(|taken| taken.contains(&block)).copied() {
            self.taken.remove(&outer);
            while outer != block {
                let (low, high) = outer.halves().unwrap();
                let (inner, stays) = if low.contains(&block) { (low, high) } else { (high, low) };
                self.taken.insert(stays);
                outer = inner;
            }
        }
    }

    pub(crate) fn withdraw(&mut self, aggregate: Prefix) {
        let expected = match (self.aggregates.contains(&aggregate), self.free.contains(&aggregate)) {
            (false, _) => Err(Refused::Unknown { aggregate }),
            (true, false) => Err(Refused::Held { aggregate }),
            (true, true) => Ok(()),
        };
        assert_eq!(self.space.withdraw(&aggregate), expected);
        if expected.is_ok() {
            self.aggregates.remove(&aggregate);
            self.free.remove(&aggregate);
        }
    }

    /// What is so after every step.
    pub(crate) fn check(&self) {
        let free: Vec<Prefix> = self.space.free_blocks().collect();
        assert!(
            free.iter().eq(&self.free),
            "what was named as changed is what changed, and the order is that of prefixes"
        );
        assert!(self.space.aggregates().eq(self.aggregates.iter().copied()));
        for pair in free.windows(2) {
            assert!(!pair[0].overlaps(&pair[1]), "{pair:?} are disjoint");
        }
        for block in &self.taken {
            assert!(!free.iter().any(|free| free.overlaps(block)), "{block} is not both free and out");
            assert!(self.space.aggregate_of(block).is_some());
        }
        for block in &free {
            let aggregate = self.enclosing(block);
            assert!(aggregate.is_some() && self.space.aggregate_of(block) == aggregate, "{block} crosses no border");
            let mates = block.buddy().is_some_and(|buddy| self.free.contains(&buddy));
            assert!(!mates || aggregate == Some(*block) || self.enclosing(&block.buddy().unwrap()) != aggregate);
        }
        for family in Family::ALL {
            let given = sum(&self.free, family).wrapping_add(sum(&self.taken, family));
            assert_eq!(given, sum(&self.aggregates, family), "every address is free or out");
            self.figures(family);
        }
        for aggregate in &self.aggregates {
            assert_eq!(self.space.overlapping(aggregate), Some(*aggregate));
            let within: BTreeSet<Prefix> = self.free.iter().filter(|free| aggregate.contains(free)).copied().collect();
            assert!(self.space.free_within(aggregate).eq(within.iter().copied()));
            let figure = self.space.fragmentation_of(aggregate).unwrap();
            assert_eq!(figure, fragmentation(&within, aggregate.family()));
        }
    }

    fn figures(&self, family: Family) {
        let blocks: BTreeSet<Prefix> = self.free.iter().filter(|free| free.family() == family).copied().collect();
        assert_eq!(self.space.measure_free(family), measure(&blocks, family));
        assert_eq!(self.space.largest(family), blocks.iter().map(Prefix::length).min());
        assert_eq!(self.space.fragments(family), blocks.len());
        for length in 0..=u8::MAX {
            let count = blocks.iter().filter(|free| free.length() == length).count();
            assert_eq!(self.space.count_free(family, length), count);
        }
        assert_eq!(self.space.fragmentation(family), fragmentation(&blocks, family));
    }
}

fn measure(blocks: &BTreeSet<Prefix>, family: Family) -> u128 {
    let blocks = blocks.iter().filter(|block| block.family() == family);
    blocks.fold(0_u128, |sum, block| sum.saturating_add(block.measure()))
}

fn fragmentation(blocks: &BTreeSet<Prefix>, family: Family) -> f64 {
    let largest = blocks.iter().map(Prefix::measure).max();
    largest.map_or(0.0, |largest| 1.0 - largest as f64 / measure(blocks, family) as f64)
}
