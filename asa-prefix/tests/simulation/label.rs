//! What a batch does, in words: the moments at which a node can be struck.

use asa_framework::roles::store::Change;
use asa_prefix::pool::record::{Part, Record, Source, State, Way};
use asa_prefix::prefix::Prefix;
use std::collections::{BTreeMap, BTreeSet};

/// Every row of the crash table, and every other step of a block: each has to be struck in a run.
pub(crate) const REQUIRED: &[&str] = &[
    "life",
    "asked",
    "free>held",
    "free>offered",
    "held>offered",
    "offered>granted",
    "offered>free",
    "offered>doubt-out",
    "doubt-out>granted",
    "doubt-out>free",
    "void",
    "none>accepting",
    "accepting>owned",
    "accepting>none",
    "accepting>doubt-in",
    "doubt-in>owned",
    "doubt-in>none",
    "free>delegated",
    "delegated>free",
    "delegated>cooling",
    "cooling>free",
    "free>returning",
    "returning>gone",
    "granted>free",
];

/// The name of a state, with the way that a doubt is about.
pub(crate) fn name(state: &State) -> &'static str {
    match state {
        State::Doubt { way: Way::In, .. } => "doubt-in",
        State::Doubt { way: Way::Out, .. } => "doubt-out",
        _ => state.name(),
    }
}

/// What remains of a batch when what it undoes itself is left out.
pub(crate) fn net(changes: &[Change<Record>]) -> (Vec<Record>, Vec<Record>) {
    let mut sum: BTreeMap<&Record, i32> = BTreeMap::new();
    for change in changes {
        match change {
            Change::Put(record) => *sum.entry(record).or_default() += 1,
            Change::Delete(record) => *sum.entry(record).or_default() -= 1,
        }
    }
    let of = |sign: i32| sum.iter().filter(|(_, n)| **n == sign).map(|(record, _)| (*record).clone()).collect();
    (of(-1), of(1))
}

type Blocks<'a> = Vec<(&'a Prefix, &'a State)>;

fn blocks(records: &[Record]) -> Blocks<'_> {
    records
        .iter()
        .filter_map(|record| match record {
            Record::Block { block, state } => Some((block, state)),
            _ => None,
        })
        .collect()
}

/// The steps that a batch makes durable, each with the block that takes it.
pub(crate) fn steps(deleted: &[Record], put: &[Record]) -> BTreeSet<(String, Option<Prefix>)> {
    let mut steps = BTreeSet::new();
    let (mut taken, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for record in put {
        match record {
            Record::Life(_) => drop(steps.insert(("life".to_owned(), None))),
            Record::Session { part: Part::Asker, over: false, .. } => drop(steps.insert(("asked".to_owned(), None))),
            Record::Session { part: Part::Provider, void: Some(block), .. } => {
                steps.insert(("void".to_owned(), Some(*block)));
            }
            Record::Aggregate { block, source: Source::Peer(_), .. } => drop(taken.insert(*block)),
            Record::Session { .. } | Record::Aggregate { .. } | Record::Block { .. } => {}
        }
    }
    for record in deleted {
        if let Record::Aggregate { block, .. } = record {
            gone.insert(*block);
        }
    }
    let (before, after) = (blocks(deleted), blocks(put));
    let used = |(_, state): &&(&Prefix, &State)| **state != State::Free;
    for (block, state) in after.iter().filter(used) {
        let from = before.iter().filter(|(old, _)| old.overlaps(block));
        let from = from.map(|(_, state)| name(state)).max_by_key(|name| *name != "free").unwrap_or("none");
        steps.insert((format!("{from}>{}", name(state)), Some(**block)));
    }
    for (block, state) in before.iter().filter(used) {
        if after.iter().any(|(new, state)| new.overlaps(block) && **state != State::Free) {
            continue;
        }
        let to = if taken.contains(*block) {
            "owned"
        } else if gone.contains(*block) {
            "gone"
        } else if after.iter().any(|(new, _)| new.overlaps(block)) {
            "free"
        } else {
            "none"
        };
        steps.insert((format!("{}>{to}", name(state)), Some(**block)));
    }
    steps
}
