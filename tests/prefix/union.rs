//! What holds over all nodes together when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use asa_prefix::pool::record::{Record, Source, State};
use asa_prefix::prefix::Prefix;
use asa_prefix::store::check;

use super::load::{Claim, Notes};

/// The records of all nodes, by name.
pub(super) type Union = BTreeMap<&'static str, Vec<Record>>;

fn blocks(records: &[Record]) -> impl Iterator<Item = (Prefix, &State)> {
    records.iter().filter_map(|record| match record {
        Record::Block { block, state } => Some((*block, state)),
        Record::Life(_) | Record::Aggregate { .. } | Record::Session { .. } => None,
    })
}

/// Whether a node, and nobody else, may use a block in this state.
fn owned(state: &State) -> bool {
    matches!(state, State::Free | State::Delegated(_) | State::Cooling(_) | State::Excluded)
}

/// Everything that is wrong with a network whose origins began with `stock`.
pub(super) fn faults(union: &Union, stock: &[Prefix]) -> Vec<String> {
    let mut faults = Vec::new();
    for (node, records) in union {
        faults.extend(check(records).iter().map(|problem| format!("{node}: {problem}")));
        let open = blocks(records).filter(|(_, state)| !owned(state) && !matches!(state, State::Granted(_)));
        faults.extend(open.map(|(block, state)| format!("{node}: {block} is {}", state.name())));
    }
    faults.extend(twice(union));
    faults.extend(transfers(union));
    let all = union.values().flat_map(|records| blocks(records)).filter(|(_, state)| owned(state));
    let have = all.fold(0_u128, |sum, (block, _)| sum + block.measure());
    let began = stock.iter().map(Prefix::measure).sum::<u128>();
    if have != began {
        faults.push(format!("conservation: all nodes together have {have} addresses, and began with {began}"));
    }
    faults
}

/// PM-S-02: no address is at two nodes.
fn twice(union: &Union) -> Vec<String> {
    let mut all: Vec<(Prefix, &str)> = Vec::new();
    for (node, records) in union {
        all.extend(blocks(records).filter(|(_, state)| owned(state)).map(|(block, _)| (block, *node)));
    }
    all.sort_unstable();
    let mut faults = Vec::new();
    // Those that contain what comes now.
    let mut around: Vec<(Prefix, &str)> = Vec::new();
    for (block, node) in all {
        around.retain(|(outer, _)| outer.contains(&block));
        faults.extend(around.iter().map(|(outer, owner)| format!("{block} is at {node}, and {outer} at {owner}")));
        around.push((block, node));
    }
    faults
}

/// What came from a peer was granted there in the same negotiation, and what was granted has come.
fn transfers(union: &Union) -> Vec<String> {
    let (mut given, mut taken) = (BTreeMap::new(), BTreeMap::new());
    let mut faults = Vec::new();
    let mut doubled = |what: &str, before: Option<&str>, node: &str, key: (Prefix, u32)| {
        faults.extend(before.map(|other| format!("{what} at {node} and at {other}: {key:?}")));
    };
    for (node, records) in union {
        for record in records {
            match record {
                Record::Block { block, state: State::Granted(dealt) } => {
                    let key = (*block, dealt.deal.session);
                    doubled("granted", given.insert(key, *node), node, key);
                }
                Record::Aggregate { block, source: Source::Peer(dealt), .. } => {
                    let key = (*block, dealt.deal.session);
                    doubled("taken", taken.insert(key, *node), node, key);
                }
                Record::Aggregate { .. } | Record::Block { .. } | Record::Life(_) | Record::Session { .. } => {}
            }
        }
    }
    let given: BTreeSet<_> = given.into_keys().collect();
    let taken: BTreeSet<_> = taken.into_keys().collect();
    faults.extend(given.difference(&taken).map(|key| format!("granted, and nobody has it: {key:?}")));
    faults.extend(taken.difference(&given).map(|key| format!("taken, and nobody has granted it: {key:?}")));
    faults
}

/// Blocks that came from peers.
pub(super) fn moved(union: &Union) -> usize {
    let from_peer = |record: &&Record| matches!(record, Record::Aggregate { source: Source::Peer(_), .. });
    union.values().flatten().filter(from_peer).count()
}

/// Acknowledged delegations that are not there, and acknowledged releases that have not happened (PM-S-03, PM-S-12).
pub(super) fn lost(records: &[Record], notes: &Notes) -> Vec<String> {
    let mut leases: BTreeMap<&str, Vec<Prefix>> = BTreeMap::new();
    for (block, state) in blocks(records) {
        if let State::Delegated(lease) = state {
            leases.entry(&lease.client).or_default().push(block);
        }
    }
    let mut faults = notes.wrong.clone();
    for (client, claim) in &notes.clients {
        let has = leases.remove(client.as_str()).unwrap_or_default();
        match claim {
            Claim::Held(block) if has == [*block] => {}
            Claim::Released(_) if has.is_empty() => {}
            Claim::Unknown if has.len() <= 1 => {}
            claim => faults.push(format!("{client}: {claim:?}, but the store says {has:?}")),
        }
    }
    faults.extend(leases.into_keys().map(|client| format!("{client} has a block, and nobody has asked for that")));
    faults
}
