//! What has to be true of the records of a pool, whatever has happened.

use crate::pool::record::{Record, Source, State};
use crate::prefix::{Family, Prefix};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Problems that are listed at most; a damaged store can have as many as it has blocks.
const LISTED: usize = 1_000;

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// `birth`, tables and ledger do not belong to one store, or one of them has lost its identity.
    Birth,
    /// The tables cannot be read, or are not what their last batch left.
    Tables,
    /// The ledger is damaged.
    Ledger,
    /// Tables and ledger do not hold the same.
    Legs,
    /// Two blocks share addresses.
    Overlap,
    /// Two aggregates share addresses.
    AggregateOverlap,
    /// Part of an aggregate is in no block (PM-S-01).
    Gap,
    /// A block is in no aggregate, though it is not one that is only being taken in.
    Stray,
    /// A block that still belongs to somebody else shares addresses with an aggregate.
    Foreign,
    /// A block is on its way back, and is not a whole aggregate that came from a peer.
    Returning,
    /// Two sessions have one number.
    Session,
    /// There are records, but none that counts the lives of the pool, or several.
    Life,
    /// More problems than are listed.
    More,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Birth => "birth",
            Self::Tables => "tables",
            Self::Ledger => "ledger",
            Self::Legs => "legs",
            Self::Overlap => "overlap",
            Self::AggregateOverlap => "aggregate-overlap",
            Self::Gap => "gap",
            Self::Stray => "stray",
            Self::Foreign => "foreign",
            Self::Returning => "returning",
            Self::Session => "session",
            Self::Life => "life",
            Self::More => "more",
        })
    }
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// Where, and how.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.what)
    }
}

/// Problems, as many as are listed.
#[derive(Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub(super) fn add(&mut self, code: Code, what: String) {
        if self.list.len() < LISTED {
            self.list.push(Problem { code, what });
        } else {
            self.more += 1;
        }
    }

    pub(super) fn extend(&mut self, problems: Vec<Problem>) {
        for Problem { code, what } in problems {
            self.add(code, what);
        }
    }

    pub(super) fn into_list(mut self) -> Vec<Problem> {
        if self.more > 0 {
            let what = format!("{} more problems are not listed", self.more);
            self.list.push(Problem { code: Code::More, what });
        }
        self.list
    }
}

/// Checks the records of a pool: conservation (PM-S-01), no overlap, nothing astray. For a store that is open and for one that is
/// not; the order of the records does not matter.
///
/// Returns at most 1 000 problems, and one that counts the rest.
#[must_use]
pub fn check(records: &[Record]) -> Vec<Problem> {
    let mut problems = Problems::default();
    let (mut lives, mut sessions) = (0, BTreeSet::new());
    let (mut aggregates, mut blocks) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Life(_) => lives += 1,
            Record::Aggregate { block, source, .. } => aggregates.push((*block, source)),
            Record::Block { block, state } => blocks.push((*block, state)),
            Record::Session { number, .. } => {
                if !sessions.insert(*number) {
                    problems.add(Code::Session, format!("there are several sessions with number {number}"));
                }
            }
        }
    }
    if lives != 1 && !records.is_empty() {
        problems.add(Code::Life, format!("{lives} records count the lives of the pool; there has to be one"));
    }
    aggregates.sort();
    blocks.sort();
    // What contains another stands before it, with nothing disjoint in between.
    for pair in overlapping(aggregates.iter().map(|(block, _)| *block)) {
        problems.add(Code::AggregateOverlap, format!("the aggregates {} and {} overlap", pair.0, pair.1));
    }
    for pair in overlapping(blocks.iter().map(|(block, _)| *block)) {
        problems.add(Code::Overlap, format!("the blocks {} and {} overlap", pair.0, pair.1));
    }
    let (foreign, own): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|(_, state)| state.is_foreign());
    for (block, state) in foreign {
        let after = aggregates.partition_point(|(aggregate, _)| *aggregate <= block);
        let beside =
            [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|place| aggregates.get(place));
        for (aggregate, _) in beside.filter(|(aggregate, _)| aggregate.overlaps(&block)) {
            let name = state.name();
            problems.add(Code::Foreign, format!("{block} is {name}, and overlaps the aggregate {aggregate}"));
        }
    }
    let mut rest = own.as_slice();
    for (aggregate, source) in aggregates {
        let before = rest.partition_point(|(block, _)| *block < aggregate);
        let within = rest[before..].partition_point(|(block, _)| aggregate.contains(block));
        stray(&rest[..before], &mut problems);
        let (parts, others) = rest[before..].split_at(within);
        rest = others;
        cover(aggregate, parts, &mut problems);
        let returned = parts.iter().filter(|(_, state)| **state == State::Returning);
        for (block, _) in returned.filter(|(block, _)| *block != aggregate || !matches!(source, Source::Peer(_))) {
            let what = format!("{block} is returning, and is not a whole aggregate that came from a peer");
            problems.add(Code::Returning, what);
        }
    }
    stray(rest, &mut problems);
    problems.into_list()
}

fn overlapping(sorted: impl Iterator<Item = Prefix>) -> Vec<(Prefix, Prefix)> {
    let (mut outer, mut pairs): (Option<Prefix>, _) = (None, Vec::new());
    for block in sorted {
        match outer {
            Some(outer) if outer.contains(&block) => pairs.push((outer, block)),
            Some(_) | None => outer = Some(block),
        }
    }
    pairs
}

fn stray(blocks: &[(Prefix, &State)], problems: &mut Problems) {
    for (block, state) in blocks {
        problems.add(Code::Stray, format!("{block} is {}, and in no aggregate", state.name()));
    }
}

/// The number after the last address; `None` if there is no such number.
fn end(block: &Prefix) -> Option<u128> {
    let host = block.family().bits() - block.length();
    1_u128.checked_shl(host.into()).and_then(|size| block.number().checked_add(size))
}

/// All of an aggregate is in its blocks, which are in the order of addresses.
fn cover(aggregate: Prefix, parts: &[(Prefix, &State)], problems: &mut Problems) {
    let mut next = Some(aggregate.number());
    for (block, _) in parts {
        // What overlaps has been told.
        if next.is_some_and(|next| block.number() > next) {
            problems.add(Code::Gap, format!("in the aggregate {aggregate}, what is before {block} is in no block"));
        }
        if next.is_some_and(|next| end(block).is_none_or(|end| end > next)) {
            next = end(block);
        }
    }
    if next.is_some_and(|next| end(&aggregate).is_none_or(|end| end > next)) {
        let after = parts.last().map_or_else(|| "all of it".into(), |(block, _)| format!("what is after {block}"));
        problems.add(Code::Gap, format!("in the aggregate {aggregate}, {after} is in no block"));
    }
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amount {
    /// Blocks.
    pub blocks: u64,
    /// Addresses, at most `u128::MAX`; decimal digits in JSON.
    #[serde(with = "crate::decimal")]
    pub addresses: u128,
}

/// How much there is in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateAmount {
    /// The family.
    pub family: Family,
    /// The name of the state.
    pub state: &'static str,
    /// How much.
    #[serde(flatten)]
    pub amount: Amount,
}

/// What there is in a pool, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// Blocks.
    pub blocks: u64,
    /// Aggregates.
    pub aggregates: u64,
    /// Remembered negotiations.
    pub sessions: u64,
    /// Lives that the pool has had.
    pub life: Option<u64>,
    /// What there is in each state, of each family.
    pub states: Vec<StateAmount>,
}

impl Figures {
    /// Of some records.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let mut figures = Self::default();
        let mut states: BTreeMap<(Family, &'static str), Amount> = BTreeMap::new();
        for record in records {
            match record {
                Record::Life(life) => figures.life = Some(*life),
                Record::Aggregate { .. } => figures.aggregates += 1,
                Record::Session { .. } => figures.sessions += 1,
                Record::Block { block, state } => {
                    figures.blocks += 1;
                    let amount = states.entry((block.family(), state.name())).or_default();
                    amount.blocks += 1;
                    amount.addresses = amount.addresses.saturating_add(block.measure());
                }
            }
        }
        let one = |((family, state), amount)| StateAmount { family, state, amount };
        figures.states = states.into_iter().map(one).collect();
        figures
    }
}
