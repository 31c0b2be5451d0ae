//! Which aggregate is not needed any more (PM-T-01).

use crate::pool::record::Source;
use crate::pool::{AggregateCensus, Census};
use crate::prefix::{Family, Prefix, Want};
use asa_framework::machine::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Since when acquired aggregates have been idle.
#[derive(Debug, Default)]
pub(super) struct Idle {
    since: BTreeMap<Prefix, Time>,
    /// How many had been acquired at the last look.
    acquired: u64,
}

fn is_idle(aggregate: &AggregateCensus) -> bool {
    let unused = |name: &String| name == "free" || aggregate.withdrawn && name == "excluded";
    matches!(aggregate.source, Source::Peer(_)) && aggregate.states.keys().all(unused)
}

impl Idle {
    /// The next aggregate to hand back: one that the operator has withdrawn and that is drained, or one that has been idle
    /// for `after` while enough is at hand without it: twice the need, so that it is not asked for again at once.
    pub(super) fn next(
        &mut self,
        now: Time,
        census: &Census,
        after: Option<Duration>,
        keep: &BTreeMap<Family, (Want, u128)>,
    ) -> Option<Prefix> {
        let idle: Vec<&AggregateCensus> = census.aggregates.iter().filter(|aggregate| is_idle(aggregate)).collect();
        let acquired = census.counters.get("acquired").copied().unwrap_or_default();
        if acquired != std::mem::replace(&mut self.acquired, acquired) {
            // A node that is asking for more has nothing to spare; else it would hand back and ask in turns.
            self.since.clear();
        }
        self.since.retain(|block, _| idle.iter().any(|aggregate| aggregate.block == *block));
        for aggregate in &idle {
            self.since.entry(aggregate.block).or_insert(now);
        }
        if let Some(drained) = idle.iter().find(|aggregate| aggregate.withdrawn) {
            return Some(drained.block);
        }
        let after = after?;
        let enough = |block: &Prefix| {
            let free = census.free.get(&block.family()).copied().unwrap_or_default();
            let keep = keep.get(&block.family()).map_or(0, |(want, need)| want.measure().saturating_mul(2 * need));
            free.saturating_sub(block.measure()) >= keep
        };
        let old = self.since.iter().filter(|(_, since)| now.since(**since) >= after);
        // The smallest first: it makes the least difference.
        old.map(|(block, _)| *block).filter(enough).min_by_key(Prefix::measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Tally;
    use crate::pool::record::{Deal, Dealt};

    fn aggregate(block: &str, states: &[&str], withdrawn: bool) -> AggregateCensus {
        let source = Source::Peer(Dealt { deal: Deal { session: 1, peer: "p".into() }, since: 0 });
        let states = states.iter().map(|name| ((*name).to_owned(), Tally::default())).collect();
        AggregateCensus {
            block: block.parse().unwrap(),
            source,
            withdrawn,
            states,
            fragmentation: 0.0,
            map: String::new(),
        }
    }

    /// PM-T-01
    #[test]
    fn what_is_idle_goes_back_as_long_as_enough_is_left() {
        let want = Want { family: Family::V6, length: 64 };
        let keep = BTreeMap::from([(Family::V6, (want, 32))]);
        let (hour, mut idle) = (Duration::from_secs(3600), Idle::default());
        let all = vec![
            aggregate("2001:db8::/57", &["free"], false),
            aggregate("2001:db8:1::/56", &["free", "delegated"], false),
            aggregate("2001:db8:2::/58", &["free"], false),
        ];
        let free = |blocks: u128| BTreeMap::from([(Family::V6, want.measure() * blocks)]);
        let mut census = Census { aggregates: all, free: free(192), ..Census::default() };
        let start = Time::default();
        assert_eq!(idle.next(start, &census, Some(hour), &keep), None);
        assert_eq!(idle.next(start + hour, &census, None, &keep), None);
        let next = idle.next(start + hour, &census, Some(hour), &keep);
        assert_eq!(next, Some("2001:db8:2::/58".parse().unwrap()));
        census.counters.insert("acquired".into(), 1);
        assert_eq!(idle.next(start + hour, &census, Some(hour), &keep), None, "it has just asked for more");
        assert!(idle.next(start + 2 * hour, &census, Some(hour), &keep).is_some());
        census.free = free(127);
        assert_eq!(idle.next(start + hour, &census, Some(hour), &keep), None);
        census.aggregates.push(aggregate("2001:db8:3::/64", &["excluded"], true));
        assert_eq!(idle.next(start, &census, None, &keep), Some("2001:db8:3::/64".parse().unwrap()));
    }
}
