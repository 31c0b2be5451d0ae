//! Bounds of the cores against a neighbour that lies (SECURITY.md).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::protocol::cache::{DiscoveryCache, Entry};
use grasp::protocol::flood::{FloodConfig, Input};
use grasp::protocol::{Heard, Time};
use grasp::wire::{Locator, Objective, Transport, Value};
use support::flooding::*;
use support::*;

fn sized(name: &str, bytes: usize) -> Objective {
    Objective::synchronization(name).with_value(Value::item(&"x".repeat(bytes)).unwrap())
}

/// Hears a flood of one objective from a neighbour.
fn hear(node: &mut Driver<grasp::protocol::flood::Flood>, from: u16, id: u32, ttl: u32, objective: Objective) {
    let message = flooded(id, from, ttl, &[(objective, None)]);
    node.feed(Input::Heard(Heard {
        link: A,
        source: source(from, A),
        raw: message.encode(),
        message,
        restricted: false,
    }));
}

/// Copies together hold no more bytes than allowed, also when values are replaced by longer ones or expire; what is longer
/// than all room is not kept.
#[test]
fn the_flood_cache_keeps_its_bytes() {
    let config = FloodConfig { bytes: 100_000, ..FloodConfig::default() };
    let mut node = Driver::flood_with(&[A], config);
    for id in 0..2_000_u32 {
        node.run_to(at(u64::from(id) * 10));
        let (name, bytes) = (format!("n{}", id % 97), (id as usize * 7_919) % 30_000);
        hear(&mut node, 9, id, [0, 50, 60_000][id as usize % 3], sized(&name, bytes));
        let store = node.core.store();
        let held: usize =
            store.all(Time::default()).map(|(copy, _)| copy.objective.value.as_ref().unwrap().as_bytes().len()).sum();
        assert!(held <= store.bytes() && store.bytes() <= 100_000, "{held} {}", store.bytes());
    }
    let evicted = node.core.counters().evicted_for_bytes;
    assert!(evicted > 100 && evicted <= node.core.counters().evicted, "{evicted}");
    hear(&mut node, 9, 5_000, 0, sized("huge", 100_000));
    assert!(node.core.store().get(node.now, "huge").is_empty());
    assert_eq!(node.core.counters().no_room, 1);
    let expiring: Vec<_> = node.core.store().all(node.now).map(|(copy, _)| copy.clone()).collect();
    expiring.into_iter().for_each(|copy| drop(node.feed(Input::Expire(copy))));
    node.run_to(at(1_000_000));
    hear(&mut node, 9, 6_000, 0, sized("last", 10));
    assert_eq!((node.core.store().len(), node.core.store().bytes() < 400), (1, true));
}

/// One neighbour fills the cache, in number and in bytes and under one name: what others have brought stays.
#[test]
fn no_neighbour_pushes_out_what_others_have_flooded() {
    let config = FloodConfig { capacity: 50, per_name: 8, bytes: 100_000, ..FloodConfig::default() };
    let mut node = Driver::flood_with(&[A], config);
    for quiet in 1..4_u16 {
        hear(&mut node, quiet, quiet.into(), 0, sized(&format!("quiet{quiet}"), 100));
    }
    let shared =
        |from: u16, id: u32| flooded(id, from, 0, &[(o("shared", id.into()), Some(tcp(gua(from + id as u16), 80)))]);
    let message = shared(1, 20);
    node.feed(Input::Heard(Heard { link: A, source: source(1, A), raw: message.encode(), message, restricted: false }));
    for id in 100..400_u32 {
        hear(&mut node, 66, id, 0, sized(&format!("noise{id}"), if id % 2 == 0 { 10 } else { 20_000 }));
        let message = shared(66, id);
        node.feed(Input::Heard(Heard {
            link: A,
            source: source(66, A),
            raw: message.encode(),
            message,
            restricted: false,
        }));
    }
    for quiet in 1..4 {
        assert_eq!(node.core.store().get(node.now, &format!("quiet{quiet}")).len(), 1);
    }
    assert!(node.core.store().get(node.now, "shared").iter().any(|copy| copy.objective.value == Some(value(20))));
    assert!(node.core.store().get(node.now, "shared").len() <= 8);
    // Nor does a neighbour that speaks in many names.
    for id in 1_000..1_200_u32 {
        let message = flooded(id, id as u16, 0, &[(o(&format!("forged{id}"), 1), None)]);
        node.feed(Input::Heard(Heard {
            link: A,
            source: source(66, A),
            raw: message.encode(),
            message,
            restricted: false,
        }));
    }
    assert_eq!(node.core.store().get(node.now, "quiet1").len(), 1);
    assert!(node.core.store().len() <= 50);
}

/// T-53: the same flood with another loop count, higher or lower, is the same flood; it is relayed once, one hop shorter.
#[test]
fn another_loop_count_makes_no_new_flood() {
    let mut node = Driver::flood(&[A, B]);
    let mut relayed = Vec::new();
    for loop_count in [255, 254, 1, 7, 255] {
        let objective = o("x", 1).with_loop_count(loop_count);
        for link in [A, B] {
            relayed.extend(floods(&node.hear(link, &flooded(1, 9, 0, &[(objective.clone(), None)]))));
        }
    }
    assert_eq!(relayed.len(), 1);
    let grasp::wire::Message::Flood { objectives, .. } = message(&relayed[0].1) else { panic!("a flood") };
    assert_eq!(objectives[0].objective.loop_count, 254);
}

/// One name takes a quarter of the cache, long names and locators none of it, and the count is right whatever happens.
#[test]
fn the_discovery_cache_keeps_its_bounds() {
    let mut cache = DiscoveryCache::new(400);
    let entry = |n: u32, heard: u64, locator: Option<Locator>| Entry {
        locator: locator.unwrap_or_else(|| tcp(gua(n as u16), 80)),
        link: A,
        diverted: false,
        heard: at(heard),
        expires: at(if n.is_multiple_of(5) { heard + 10 } else { 1_000_000 }),
    };
    for n in 0..10 {
        cache.insert(at(0), &format!("quiet{n}"), entry(1, 0, None));
    }
    for n in 0..2_000 {
        cache.insert(at(n.into()), "loud", entry(n, n.into(), None));
        assert!(cache.len() <= 110);
    }
    let all = cache.all(at(0)).count();
    assert_eq!((cache.len(), all), (110, 110));
    for n in 0..10 {
        assert_eq!(cache.get(at(2_000), &format!("quiet{n}")).len(), 1);
    }
    let uri =
        Locator::Uri { uri: "coap://".to_owned() + &"x".repeat(3_000), transport: Some(Transport::Tcp), port: None };
    cache.insert(at(3_000), "quiet1", entry(1, 3_000, Some(uri)));
    cache.insert(at(3_000), &"x".repeat(3_000), entry(1, 3_000, None));
    assert_eq!((cache.too_long, cache.len()), (2, 110));
    for n in 0..2_000_u32 {
        cache.insert(at(4_000), &format!("n{n}"), entry(1, u64::from(n), None));
        assert!(cache.len() <= 400);
    }
    cache.remove("n1999", &tcp(gua(1), 80));
    cache.flush(at(4_000), "n1998", std::time::Duration::ZERO);
    assert_eq!(cache.len(), cache.all(at(0)).count());
    assert_eq!(cache.len(), 398);
}
