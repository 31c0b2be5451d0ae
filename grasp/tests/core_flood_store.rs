//! Keeping floods, and flooding whole networks: RFC 8990 §2.5.6.2, §2.8.11.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::protocol::flood::{Flood, FloodConfig, Flooded, Input, Output};
use grasp::protocol::rate::RelayRate;
use grasp::protocol::{Heard, LinkId, LinkInfo, Topology};
use grasp::wire::{Flags, Locator, Message, Objective, Transport, Value};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::net::IpAddr;
use support::flooding::*;
use support::*;

const V03: &str =
    "85091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050282704578616d706c6520312076616c75653d186480";
const V24: &str = "86091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050601808284634558320503028418675020010db8f000baaaf000baaaf000baaa06191b69";

fn values(node: &Driver<Flood>, name: &str) -> Vec<Option<Value>> {
    node.core.store().get(node.now, name).into_iter().map(|copy| copy.objective.value).collect()
}

fn of(ns: &[u64]) -> Vec<Option<Value>> {
    ns.iter().map(|n| Some(value(*n))).collect()
}

/// G-FCAC-01, G-FCAC-02, A-FLD-06: every pair is kept with its tag, link and lifetime.
#[test]
fn objectives_are_kept_with_their_tags() {
    let mut node = Driver::flood(&[A]);
    node.hear_raw(A, &bytes(V03));
    let copy = node.core.store().get(at(9_999), "EX1").remove(0);
    assert_eq!((copy.locator, copy.link, copy.expires), (None, A, Some(at(10_000))));
    assert_eq!(copy.objective.value.unwrap().decode::<(String, u64)>().unwrap(), ("Example 1 value=".into(), 100));
    let mut node = Driver::flood(&[A]);
    node.hear_raw(A, &bytes(V24));
    assert!(
        node.core.store().get(at(0), "EX2")[0].locator.as_ref().is_some_and(|tag| tag.locator.port() == Some(7017))
    );
    assert_eq!(node.core.store().names(at(0)), ["EX1", "EX2"]);
}

/// G-FCAC-03, G-FCAC-05, G-FCAC-07: the same name and tag is overwritten, its lifetime with it.
#[test]
fn same_tag_overwrites() {
    let mut node = Driver::flood(&[A]);
    node.hear(A, &flooded(1, 9, 60_000, &[(o("x", 1), None)]));
    node.hear(A, &flooded(2, 9, 2_000, &[(o("x", 2), None)]));
    assert_eq!(values(&node, "x"), of(&[2]));
    node.run_to(at(2_500));
    assert!(values(&node, "x").is_empty() && node.core.store().names(node.now).is_empty());
    node.hear(A, &flooded(3, 9, 2_000, &[(o("x", 3), None)]));
    node.hear(A, &flooded(4, 9, 60_000, &[(o("x", 4), None)]));
    node.run_to(at(10_000));
    assert_eq!(values(&node, "x"), of(&[4]));
}

/// G-FCAC-04, G-FCAC-08, G-OBJ-01, T-55: address, port, protocol, kind, the case of a name, and the link of a link-local
/// address make another copy.
#[test]
fn other_tag_is_another_copy() {
    let mut node = Driver::flood(&[A, B]);
    let udp = Locator::Ipv6 { address: gua(2), transport: Transport::Udp, port: 1000 };
    let fqdn = Locator::Fqdn { name: "a".into(), transport: Transport::Tcp, port: 1000 };
    let tags = [None, Some(tcp(gua(2), 1000)), Some(tcp(gua(2), 1001)), Some(tcp(gua(3), 1000)), Some(udp), Some(fqdn)];
    for (n, tag) in (1..).zip(tags) {
        node.hear(A, &flooded(n, 9, 0, &[(o("x", n.into()), tag)]));
    }
    assert_eq!(values(&node, "x").len(), 6);
    node.hear(A, &flooded(50, 9, 0, &[(o("X", 1), None)]));
    assert_eq!(values(&node, "X").len(), 1);
    for (sid, link, tag) in [(60, A, lla(2)), (61, B, lla(2)), (62, A, gua(2)), (63, B, gua(2))] {
        node.hear(link, &flooded(sid, 9, 0, &[(o("l", sid.into()), Some(tcp(tag, 80)))]));
    }
    assert_eq!(values(&node, "l").len(), 3);
}

/// G-FCAC-09, T-53: a duplicate does not bring an old value back.
#[test]
fn duplicate_does_not_overwrite_a_newer_value() {
    let mut node = Driver::flood(&[A, B]);
    let old = flooded(1, 9, 0, &[(o("x", 1), None)]);
    node.hear(A, &old);
    node.hear(A, &flooded(2, 9, 0, &[(o("x", 2), None)]));
    assert!(node.hear(B, &old).is_empty());
    assert_eq!(values(&node, "x"), of(&[2]));
}

/// G-FCAC-10, G-NEG-38, T-54: no discovery flag and no value are fine; what is no synchronization objective is relayed
/// and not kept.
#[test]
fn only_synchronization_objectives_are_kept() {
    let mut node = Driver::flood(&[A, B]);
    let flags = |bits| Objective { flags: Flags(bits), ..Objective::discovery("x") };
    for (sid, bits, kept) in [(1, 4, 1), (2, 20, 1), (3, 2, 0), (4, 3, 0), (5, 1, 0)] {
        let mut node = Driver::flood(&[A, B]);
        let outputs = node.hear(A, &flooded(sid, 9, 0, &[(flags(bits), None)]));
        assert_eq!((node.core.store().len(), floods(&outputs).len()), (kept, 1), "flags {bits}");
    }
    let v = Message::Flood { session_id: 1, initiator: IpAddr::V6(gua(9)), ttl: 0, objectives: vec![] };
    let heard = Heard { link: A, source: source(9, A), raw: v.encode(), message: v, restricted: false };
    assert!(floods(&node.feed(Input::Heard(heard))).is_empty());
}

/// A-FLD-08: exactly the given copy is expired, also one without end, unless a newer value has replaced it.
#[test]
fn one_copy_can_be_expired() {
    let mut node = Driver::flood(&[A]);
    node.hear(A, &flooded(1, 9, 0, &[(o("x", 1), None), (o("x", 2), Some(tcp(gua(2), 80)))]));
    let copies: Vec<Flooded> = node.core.store().get(node.now, "x");
    let stale = copies.iter().find(|copy| copy.locator.is_some()).unwrap().clone();
    node.feed(Input::Expire(stale.clone()));
    assert_eq!(values(&node, "x"), of(&[1]));
    node.hear(A, &flooded(2, 9, 0, &[(o("x", 3), Some(tcp(gua(2), 80)))]));
    node.feed(Input::Expire(stale));
    assert_eq!(values(&node, "x").len(), 2);
}

/// T-54, G-RATE-06: copies are bounded by name and in total, the expired and the oldest go first, and it is counted.
#[test]
fn store_is_bounded() {
    let config = FloodConfig { capacity: 5, per_name: 3, ..FloodConfig::default() };
    let mut node = Driver::flood_with(&[A], config);
    for n in 0..6u16 {
        node.run_to(at(n.into()));
        node.hear(A, &flooded(n.into(), 9, 0, &[(o("x", n.into()), Some(tcp(gua(n), 80)))]));
    }
    assert_eq!(values(&node, "x"), of(&[5, 4, 3]));
    assert_eq!(node.core.counters().evicted, 3);
    for n in 6..10u32 {
        node.run_to(at(n.into()));
        node.hear(A, &flooded(n, 9, 50, &[(o(&format!("y{n}"), 1), None)]));
        assert!(node.core.store().len() <= 5);
    }
    assert_eq!((values(&node, "x"), node.core.counters().evicted), (of(&[5]), 5));
    node.run_to(at(1_000));
    node.hear(A, &flooded(100, 9, 50, &[(o("z", 1), None)]));
    assert_eq!((node.core.store().len(), node.core.counters().evicted), (2, 5));
}

/// G-RATE-02, T-42, T-54: floods over the relaying rate are kept and remembered, only not relayed; the filter is bounded.
#[test]
fn relaying_is_limited_and_keeping_is_not() {
    let relay_rate = RelayRate { per_second: 10, burst: 20 };
    let config = FloodConfig { relay_rate, per_name: 2_000, seen_capacity: 500, ..FloodConfig::default() };
    let mut node = Driver::flood_with(&[A, B], config);
    let mut relayed = 0;
    for n in 0..1_000u16 {
        node.run_to(at(n.into()));
        relayed += floods(&node.hear(A, &flooded(n.into(), 9, 0, &[(o("x", 1), Some(tcp(gua(n), 80)))]))).len();
    }
    assert!((10..=30).contains(&relayed), "{relayed}");
    let counters = node.core.counters();
    assert_eq!((node.core.store().len(), counters.relayed + counters.relays_refused), (1_000, 1_000));
    assert_eq!(counters.seen_evicted, 500);
}

/// Nodes of a random graph; each edge is a link of its own, numbered from 1.
fn run_graph(nodes: usize, edges: &[(usize, usize)], loop_count: u8, order: u64) -> Result<(), TestCaseError> {
    let mut cores: Vec<Driver<Flood>> = Vec::new();
    for n in 0..nodes {
        let mine = (1u32..).zip(edges).filter(|(_, (a, b))| *a == n || *b == n);
        let id = u16::try_from(n).unwrap();
        let links = mine.map(|(id2, _)| LinkInfo { id: id2, address: lla(id + 1) }).collect();
        let mut core = Driver::flood(&[]);
        core.feed(Input::Topology(Topology { links, global: Some(gua(id + 1)), port: 7017, stable_port: true }));
        cores.push(core);
    }
    let mut distance = vec![usize::MAX; nodes];
    distance[0] = 0;
    for _ in 0..nodes {
        for (a, b) in edges.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]) {
            distance[b] = distance[b].min(distance[a].saturating_add(1));
        }
    }
    let mut wire: VecDeque<(usize, LinkId, Vec<u8>)> = VecDeque::new();
    let mut kept = vec![0usize; nodes];
    let first = send(&mut cores[0], 7, 0, vec![(o("x", 1).with_loop_count(loop_count), None)]);
    wire.extend(floods(&first).into_iter().map(|(link, raw)| (0, link, raw)));
    let (mut moved, mut seed) = (0, order);
    while !wire.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // In-order delivery finds shortest paths; any other order may use the loop count up on a detour.
        let pick = if order == 0 { 0 } else { usize::try_from(seed >> 33).unwrap() % wire.len() };
        let (from, link, raw) = wire.remove(pick).unwrap();
        let (a, b) = edges[link as usize - 1];
        let to = if a == from { b } else { a };
        let outputs = cores[to].hear_raw(link, &raw);
        kept[to] += outputs.iter().filter(|output| matches!(output, Output::Flooded(_))).count();
        wire.extend(floods(&outputs).into_iter().map(|(link, raw)| (to, link, raw)));
        moved += 1;
        prop_assert!(moved <= 2 * edges.len(), "every link carries the flood at most once each way");
    }
    for n in 1..nodes {
        prop_assert!(kept[n] <= 1 && cores[n].core.counters().relayed <= 1);
        if order == 0 {
            prop_assert_eq!(kept[n] == 1, distance[n] <= usize::from(loop_count), "node {}", n);
        }
        prop_assert_eq!(cores[n].core.store().len(), kept[n]);
    }
    prop_assert_eq!(kept[0], 0);
    Ok(())
}

proptest! {
    /// G-DISC-21, G-FREL-07, G-FREL-09, G-FREL-12: on any graph a flood goes quiet, no node relays or keeps it twice, and
    /// exactly the nodes within its loop count keep it.
    #[test]
    fn flood_reaches_its_range_once_and_goes_quiet(
        nodes in 2usize..9,
        raw in prop::collection::vec((0usize..9, 0usize..9), 1..16),
        loop_count in 1u8..7,
        order in prop_oneof![Just(0u64), any::<u64>()],
    ) {
        let edges: Vec<_> = raw.into_iter().map(|(a, b)| (a % nodes, b % nodes)).filter(|(a, b)| a != b).collect();
        run_graph(nodes, &edges, loop_count, order)?;
    }
}
