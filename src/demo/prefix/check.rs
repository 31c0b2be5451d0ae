//! Whether every address has one owner, read from what the nodes have on their disks.

use std::collections::BTreeMap;

use asa_prefix::pool::record::{Record, State};
use asa_prefix::prefix::Prefix;

/// What a node has, in addresses by state.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Holdings {
    pub(super) states: BTreeMap<&'static str, u128>,
    pub(super) aggregates: Vec<Prefix>,
}

/// Sums up the records of a node.
pub(super) fn holdings(records: &[Record]) -> Holdings {
    let mut sum = Holdings::default();
    for record in records {
        match record {
            Record::Block { block, state } => {
                let addresses = sum.states.entry(state.name()).or_default();
                *addresses = addresses.saturating_add(block.measure());
            }
            Record::Aggregate { block, .. } => sum.aggregates.push(*block),
            Record::Life(_) | Record::Session { .. } => {}
        }
    }
    sum
}

/// An address that two nodes have for themselves (PM-S-02), if there is one.
pub(super) fn doubled<'a>(nodes: impl Iterator<Item = (&'a str, &'a [Record])>) -> Option<String> {
    let mut owned: Vec<(Prefix, &str, &'static str)> = Vec::new();
    for (name, records) in nodes {
        for record in records {
            if let Record::Block { block, state } = record
                && matches!(state, State::Free | State::Delegated(_) | State::Cooling(_))
            {
                owned.push((*block, name, state.name()));
            }
        }
    }
    owned.sort_unstable();
    // What contains another stands right before it, or before others that it contains as well.
    let pair = owned.windows(2).find(|pair| pair[0].0.overlaps(&pair[1].0))?;
    let [(one, first, state), (other, second, its)] = pair else { return None };
    Some(format!("{one} is {state} on {first}, and {other} is {its} on {second}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PM-S-02
    #[test]
    fn an_address_with_two_owners_is_found() {
        let record = |block: &str, state| Record::Block { block: block.parse().unwrap(), state };
        let one = [record("2001:db8::/48", State::Free), record("2001:db8:1::/48", State::Excluded)];
        let other = [record("2001:db8:1::/48", State::Free), record("2001:db8:2::/64", State::Free)];
        let nodes = || [("one", &one[..]), ("other", &other[..])].into_iter();
        assert_eq!(doubled(nodes()), None);
        let third = [record("2001:db8:0:1::/64", State::Free)];
        let found = doubled(nodes().chain([("third", &third[..])])).unwrap();
        assert_eq!(found, "2001:db8::/48 is free on one, and 2001:db8:0:1::/64 is free on third");
        assert_eq!(holdings(&other).states["free"], (1 << 80) + (1 << 64));
    }
}
