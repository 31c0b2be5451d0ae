//! What a fresh core takes over from one that has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, missing_docs)]

mod support;

use grasp::protocol::Machine;
use grasp::protocol::discovery::{self, Discovery, DiscoveryConfig};
use grasp::protocol::flood::{self, Flood, FloodConfig};
use proptest::prelude::*;
use support::asking::*;
use support::flooding::*;
use support::*;

const NAMES: [&str; 3] = ["x", "y", "z"];

fn restarted_discovery(node: Driver<Discovery>, config: DiscoveryConfig) -> Driver<Discovery> {
    let mut fresh = Driver::new(Discovery::with(config, node.core.keep()));
    fresh.now = node.now;
    assert!(fresh.feed(discovery::Input::Topology(topology(&[A, B]))).is_empty());
    fresh
}

fn restarted_flood(node: Driver<Flood>, config: FloodConfig) -> Driver<Flood> {
    let mut fresh = Driver::new(Flood::with(config, node.core.keep()));
    fresh.now = node.now;
    assert!(fresh.feed(flood::Input::Topology(topology(&[A, B]))).is_empty());
    fresh
}

/// The running question is lost, the answers that it had are not, and its own discovery is still known for its own.
#[test]
fn a_discovery_core_leaves_its_cache_and_its_memory() {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(discovery::Input::Discover(ask(&[7], 1_000)));
    node.hear(A, 9, &direct(7, 60_000, tcp(gua(9), 7017)));
    node.hear(A, 8, &disc(31, gua(8), "far", 4));
    let config = DiscoveryConfig::default();
    let mut fresh = restarted_discovery(node, config);
    assert_eq!(fresh.core.deadline(), None, "no question runs");
    let counters = fresh.core.counters();
    assert_eq!(counters.relayed, 1);
    assert!(fresh.hear(B, 8, &disc(31, gua(8), "far", 4)).is_empty(), "relayed twice");
    assert!(fresh.hear(B, 8, &disc(7, gua(1), "EX1", 4)).is_empty(), "answered its own discovery");
    assert_eq!(fresh.core.counters().own_heard, 1);
    let found = fresh.feed(discovery::Input::Discover(ask(&[], 0)));
    let locators = |outputs: &[discovery::Output]| -> Vec<_> {
        let found = outputs.iter().filter_map(|output| match output {
            discovery::Output::Found { found, .. } => Some(found.locators.clone()),
            _ => None,
        });
        found.flatten().map(|found| found.locator).collect()
    };
    assert_eq!(locators(&found), [tcp(gua(9), 7017)]);
}

/// T-13, T-26, T-53: what was heard before a restart is not passed on after it, and the pace of own floods is kept.
#[test]
fn a_flooding_core_leaves_its_memory_and_its_pace() {
    let config = FloodConfig { burst: 1, ..FloodConfig::default() };
    let mut node = Driver::flood_with(&[A, B], config.clone());
    let heard = flooded(3, 9, 60_000, &[(o("x", 1).with_loop_count(4), None)]);
    assert!(node.hear(A, &heard).iter().any(|output| matches!(output, flood::Output::Multicast { .. })));
    send(&mut node, 4, 60_000, vec![(o("y", 1), None)]);
    let mut fresh = restarted_flood(node, config);
    assert!(fresh.hear(B, &heard).is_empty());
    let refused = send(&mut fresh, 5, 60_000, vec![(o("y", 2), None)]);
    assert!(matches!(refused.as_slice(), [flood::Output::Sent { result: Err(_), .. }]), "{refused:?}");
    let counters = fresh.core.counters();
    assert_eq!((counters.sent, counters.relayed, counters.duplicates, counters.too_often), (1, 1, 1, 1));
}

proptest! {
    /// A restart changes no answer from the discovery cache, now or later.
    #[test]
    fn a_restart_changes_no_discovery(
        heard in prop::collection::vec((0..3_usize, 1..40_u16, 1..100_000_u32, any::<bool>(), 0..2_000_u64), 0..40),
        capacity in 1..12_usize,
        later in 0..100_000_u64,
    ) {
        let config = DiscoveryConfig { cache_capacity: capacity, ..DiscoveryConfig::default() };
        let mut node = Driver::discovery_with(&[A, B], config.clone());
        for (id, (name, peer, ttl, other_link, pause)) in (1..).zip(heard) {
            node.run_to(node.now + ms(pause));
            let mut question = ask(&[id], 1_000);
            question.objective.name = NAMES[name].into();
            question.request = id.into();
            node.feed(discovery::Input::Discover(question));
            node.hear(if other_link { B } else { A }, peer, &direct(id, ttl, tcp(gua(peer), 7017)));
        }
        let known = |node: &Driver<Discovery>| {
            let time = node.now + ms(later);
            let entries = |name: &&str| node.core.cache().get(time, name).into_iter().cloned().collect::<Vec<_>>();
            (NAMES.iter().map(entries).collect::<Vec<_>>(), node.core.cache().len(), node.core.counters())
        };
        let before = known(&node);
        prop_assert_eq!(known(&restarted_discovery(node, config)), before);
    }

    /// A restart changes no answer from the flood cache, and no flood is passed on twice.
    #[test]
    fn a_restart_changes_no_flood(
        heard in prop::collection::vec((0..3_usize, 1..9_u16, 0..50_000_u32, 1..9_u64, any::<bool>()), 0..40),
        capacity in 1..12_usize,
        later in 0..100_000_u64,
    ) {
        let config = FloodConfig { capacity, per_name: 4, ..FloodConfig::default() };
        let mut node = Driver::flood_with(&[A, B], config.clone());
        let floods: Vec<_> = (1..).zip(heard).map(|(id, (name, initiator, ttl, n, tagged))| {
            let tag = tagged.then(|| tcp(gua(initiator), 7017));
            flooded(id, initiator + 1, ttl, &[(o(NAMES[name], n).with_loop_count(3), tag)])
        }).collect();
        for flood in &floods {
            node.hear(A, flood);
        }
        let known = |node: &Driver<Flood>| {
            let time = node.now + ms(later);
            let copies = |name: &&str| node.core.store().get(time, name);
            let all: Vec<_> = node.core.store().all(time).map(|(copy, brought)| (copy.clone(), *brought)).collect();
            (NAMES.iter().map(copies).collect::<Vec<_>>(), all, node.core.store().names(time), node.core.counters())
        };
        let before = known(&node);
        let mut fresh = restarted_flood(node, config);
        prop_assert_eq!(known(&fresh), before);
        for flood in &floods {
            prop_assert!(fresh.hear(B, flood).is_empty());
        }
    }
}
