//! The guarantees, checked on the disks of all nodes, by code that shares nothing with the pool's own.

use super::lab::{Inner, Lab};
use asa_prefix::pool::record::{Record, Source, State, Way};
use asa_prefix::prefix::{Family, Prefix};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Whether who has a block in this state may use it, or will without asking anybody.
pub(crate) fn is_usable(state: &State) -> bool {
    matches!(
        state,
        State::Free | State::Held(_) | State::Delegated(_) | State::Cooling(_) | State::Dry(_) | State::Excluded
    )
}

/// Who may use which block now (PM-S-02).
#[derive(Default)]
pub(crate) struct Usable {
    blocks: BTreeMap<(Prefix, usize), ()>,
    lengths: BTreeMap<(Family, u8), usize>,
}

impl Usable {
    pub(crate) fn remove(&mut self, node: usize, block: &Prefix) {
        if self.blocks.remove(&(*block, node)).is_some() {
            *self.lengths.entry((block.family(), block.length())).or_default() -= 1;
        }
    }

    /// Enters a block; returns another one that overlaps it.
    pub(crate) fn insert(&mut self, node: usize, block: Prefix) -> Option<(usize, Prefix)> {
        let found = self.overlapping(&block);
        if self.blocks.insert((block, node), ()).is_none() {
            *self.lengths.entry((block.family(), block.length())).or_default() += 1;
        }
        found
    }

    fn overlapping(&self, block: &Prefix) -> Option<(usize, Prefix)> {
        let inside = self.blocks.range((*block, 0)..).next().filter(|((other, _), ())| block.contains(other));
        if let Some(((other, node), ())) = inside {
            return Some((*node, *other));
        }
        let shorter = self
            .lengths
            .iter()
            .filter(|((family, length), count)| **count > 0 && *family == block.family() && *length < block.length());
        for ((_, length), _) in shorter {
            let outer = Prefix::of(block.address(), *length)?;
            if let Some(((_, node), ())) = self.blocks.range((outer, 0)..=(outer, usize::MAX)).next() {
                return Some((*node, outer));
            }
        }
        None
    }
}

fn sum(blocks: impl Iterator<Item = Prefix>) -> BTreeMap<Family, u128> {
    let mut sums = BTreeMap::new();
    for block in blocks {
        *sums.entry(block.family()).or_default() += block.measure();
    }
    sums
}

/// One store by itself (PM-S-01): disjoint, and every aggregate covered exactly.
fn sound(node: usize, set: &BTreeSet<Record>) -> Result<(), String> {
    let mut blocks = Vec::new();
    let mut aggregates = Vec::new();
    for record in set {
        match record {
            Record::Block { block, state } => blocks.push((*block, state)),
            Record::Aggregate { block, .. } => aggregates.push(*block),
            Record::Life(_) | Record::Session { .. } => {}
        }
    }
    blocks.sort_by_key(|(block, _)| *block);
    aggregates.sort_unstable();
    for pair in blocks.windows(2) {
        if pair[0].0.overlaps(&pair[1].0) {
            return Err(format!(
                "n{node} has {} ({}) and {} ({})",
                pair[0].0,
                pair[0].1.name(),
                pair[1].0,
                pair[1].1.name()
            ));
        }
    }
    if let Some(pair) = aggregates.windows(2).find(|pair| pair[0].overlaps(&pair[1])) {
        return Err(format!("n{node} has aggregates {} and {}", pair[0], pair[1]));
    }
    let own = blocks.iter().filter(|(_, state)| !state.is_foreign()).map(|(block, _)| *block);
    let mut covered: BTreeMap<Prefix, u128> = BTreeMap::new();
    for block in own {
        let home = aggregates.iter().find(|aggregate| aggregate.contains(&block));
        let home = home.ok_or_else(|| format!("n{node} has {block} in no aggregate"))?;
        *covered.entry(*home).or_default() += block.measure();
    }
    for aggregate in aggregates {
        let found = covered.get(&aggregate).copied().unwrap_or_default();
        if found != aggregate.measure() {
            return Err(format!("n{node}: the blocks of {aggregate} make up {found} of {}", aggregate.measure()));
        }
    }
    Ok(())
}

/// The two sides of every negotiation (PM-S-02, PM-S-18).
fn matched(inner: &Inner) -> Result<(), String> {
    let mut takers: BTreeMap<(Prefix, u32), Vec<usize>> = BTreeMap::new();
    let mut givers: BTreeMap<(Prefix, u32), Vec<usize>> = BTreeMap::new();
    let (mut owned, mut granted, mut returning) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (node, disk) in inner.disks.iter().enumerate() {
        for record in &disk.set {
            match record {
                Record::Aggregate { block, source: Source::Peer(dealt), .. } => {
                    takers.entry((*block, dealt.deal.session)).or_default().push(node);
                    owned.push((node, *block, dealt.deal.session));
                }
                Record::Block { block, state } => match state {
                    State::Accepting(dealt) | State::Doubt { dealt, way: Way::In, .. } => {
                        takers.entry((*block, dealt.deal.session)).or_default().push(node);
                    }
                    State::Granted(dealt) => {
                        givers.entry((*block, dealt.deal.session)).or_default().push(node);
                        granted.push((node, *block, dealt.deal.session));
                    }
                    State::Offered(dealt) | State::Doubt { dealt, way: Way::Out, .. } => {
                        givers.entry((*block, dealt.deal.session)).or_default().push(node);
                    }
                    State::Returning => drop(returning.insert((node, *block))),
                    _ => {}
                },
                Record::Aggregate { .. } | Record::Life(_) | Record::Session { .. } => {}
            }
        }
    }
    for (node, block, session) in owned {
        let from = givers.get(&(block, session)).map_or(0, Vec::len);
        if from != 1 && !(from == 0 && returning.contains(&(node, block))) {
            return Err(format!("n{node} has {block} of session {session:08x}, which {from} nodes have given"));
        }
    }
    for (node, block, session) in granted {
        let to = takers.get(&(block, session)).map_or(0, Vec::len);
        if to != 1 {
            return Err(format!("lost: n{node} has granted {block} in session {session:08x}, and {to} nodes have it"));
        }
    }
    Ok(())
}

/// What clients believe (PM-S-12, PM-S-13, PM-D-05).
pub(crate) fn clients(inner: &Inner) -> Result<(), String> {
    let now = Instant::now();
    let mut believed: Vec<(Prefix, String)> = Vec::new();
    for ((node, client, want), holding) in &inner.clients {
        if holding.until.is_some_and(|until| until <= now) {
            continue;
        }
        believed.push((holding.block, format!("{client} of n{node}")));
        let kept = inner.disks[*node].set.iter().any(|record| match record {
            Record::Block { block, state: State::Delegated(lease) } => {
                *block == holding.block && *lease.client == **client
            }
            _ => false,
        });
        if !kept {
            return Err(format!("{client} of n{node} has {} for {want}, which is not delegated to it", holding.block));
        }
    }
    believed.sort();
    match believed.windows(2).find(|pair| pair[0].0.overlaps(&pair[1].0)) {
        Some(pair) => Err(format!("{:?} and {:?} overlap", pair[0], pair[1])),
        None => Ok(()),
    }
}

/// What one peer has, or may have, of one provider's (PM-O-12).
fn quotas(inner: &Inner, quota: u128) -> Result<(), String> {
    for (node, disk) in inner.disks.iter().enumerate() {
        let mut peers: BTreeMap<&str, u128> = BTreeMap::new();
        for record in &disk.set {
            let Record::Block { block, state } = record else { continue };
            let (State::Granted(dealt) | State::Offered(dealt) | State::Doubt { dealt, way: Way::Out, .. }) = state
            else {
                continue;
            };
            if block.family() == Family::V6 {
                *peers.entry(&dealt.deal.peer).or_default() += block.measure();
            }
        }
        if let Some((peer, sum)) = peers.into_iter().find(|(_, sum)| *sum > quota) {
            return Err(format!("n{node} has given {peer} {sum} addresses; {quota} are allowed"));
        }
    }
    Ok(())
}

/// What holds at every instant, whatever has just happened.
pub(crate) fn always(lab: &Lab) -> Result<(), String> {
    let inner = lab.lock();
    if let Some(violation) = &inner.violation {
        return Err(violation.clone());
    }
    for (node, disk) in inner.disks.iter().enumerate() {
        sound(node, &disk.set)?;
    }
    matched(&inner)?;
    if let Some(quota) = lab.quota {
        quotas(&inner, quota)?;
    }
    clients(&inner)
}

/// What is still open; nothing, once all has been quiet for long enough.
pub(crate) fn unsettled(lab: &Lab) -> Vec<String> {
    let inner = lab.lock();
    let mut open = Vec::new();
    for (node, disk) in inner.disks.iter().enumerate() {
        if !disk.up {
            open.push(format!("n{node} is down"));
        }
        for record in &disk.set {
            if let Record::Block { block, state } = record
                && matches!(
                    state,
                    State::Held(_)
                        | State::Offered(_)
                        | State::Accepting(_)
                        | State::Doubt { .. }
                        | State::Returning
                        | State::Dry(_)
                )
            {
                open.push(format!("n{node}: {block} is {}", super::label::name(state)));
            }
        }
    }
    open
}

/// What holds when all has come to rest: every address of the origins is in use at exactly one node.
pub(crate) fn at_rest(lab: &Lab, origins: &[Prefix]) -> Result<(), String> {
    always(lab)?;
    let inner = lab.lock();
    let all = inner.disks.iter().flat_map(|disk| &disk.set).filter_map(|record| match record {
        Record::Block { block, state } if is_usable(state) => Some(*block),
        _ => None,
    });
    let (found, whole) = (sum(all), sum(origins.iter().copied()));
    if found != whole {
        return Err(format!(
            "conservation: all nodes together have {found:?} addresses, the origins began with {whole:?}"
        ));
    }
    // Nobody gives to itself, and the addresses of peers are those of the nodes.
    for (node, disk) in inner.disks.iter().enumerate() {
        let own = lab.places[node].global().map(|address| address.to_string()).unwrap_or_default();
        for record in &disk.set {
            let Record::Aggregate { block, source: Source::Peer(dealt), .. } = record else { continue };
            let giver = inner.disks.iter().enumerate().find(|(_, disk)| {
                disk.set.iter().any(|record| {
                    matches!(record, Record::Block { block: given, state: State::Granted(theirs) }
                        if given == block && theirs.deal.session == dealt.deal.session && theirs.deal.peer == own)
                })
            });
            let theirs = giver.and_then(|(giver, _)| lab.places[giver].global()).map(|address| address.to_string());
            if theirs.as_ref() != Some(&dealt.deal.peer) {
                return Err(format!("n{node} has {block} from {}, but {theirs:?} gave it", dealt.deal.peer));
            }
        }
    }
    Ok(())
}
