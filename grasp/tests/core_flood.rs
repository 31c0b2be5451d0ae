//! Flooding, relaying and keeping floods: RFC 8990 §2.5.6.2, §2.8.11; RFC 8991 §2.3.6.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::error::ErrorCode;
use grasp::protocol::flood::{Flood, Input, Output};
use grasp::protocol::{Machine, Topology};
use grasp::wire::{Flags, Locator, Message, Objective, TaggedObjective, Transport, Value};
use std::net::{IpAddr, Ipv6Addr};
use support::flooding::*;
use support::*;

const V03: &str =
    "85091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050282704578616d706c6520312076616c75653d186480";
const V24: &str = "86091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050601808284634558320503028418675020010db8f000baaaf000baaaf000baaa06191b69";
const V25: &str = "86091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050501808284634558320503028418675020010db8f000baaaf000baaaf000baaa06191b69";
const V26: &str = "85091a00bc4e4f50fe80000000000000c0011001feef00001a00033450828466414e5f414350040165494b45763284186750fe80000000000000c0011001feef000011193a98";

fn refusal(outputs: &[Output]) -> Option<ErrorCode> {
    let [Output::Sent { result, .. }] = outputs else { return None };
    result.as_ref().err().map(|error| error.code)
}

fn values(node: &Driver<Flood>, name: &str) -> Vec<Option<Value>> {
    node.core.store().get(node.now, name).into_iter().map(|copy| copy.objective.value).collect()
}

fn of(ns: &[u64]) -> Vec<Option<Value>> {
    ns.iter().map(|n| Some(value(*n))).collect()
}

/// G-FLD-01, G-FLD-02, G-FLD-03, G-FLD-04, G-FLD-05, G-FLD-06, G-FLD-07, G-FLD-19, A-FLD-01: one copy on each link, the
/// pairs with their tags, the ttl and loop count as given; without a call nothing is sent.
#[test]
fn flood_goes_to_every_link() {
    let mut node = Driver::flood(&[A, B]);
    assert!(node.drain().is_empty() && node.core.deadline().is_none());
    let pairs = [(o("EX1", 1), None), (o("EX2", 2), Some(tcp(gua(5), 80)))];
    let outputs = send(&mut node, 7, 10_000, pairs.to_vec());
    let expected = flooded(7, 1, 10_000, &pairs).encode();
    assert_eq!(floods(&outputs), [(A, expected.clone()), (B, expected)]);
    assert_eq!(outputs.last(), Some(&Output::Sent { request: 1, result: Ok(()) }));
    assert_eq!(pairs[0].0.loop_count, 6);
}

/// G-FLD-04, G-FCAC-06, A-FLD-02: ttl 0 is sent as 0 and lasts for ever.
#[test]
fn ttl_zero_is_for_ever() {
    let mut node = Driver::flood(&[A]);
    let raw = floods(&send(&mut node, 7, 0, vec![(o("x", 1), None)])).remove(0).1;
    assert!(matches!(message(&raw), Message::Flood { ttl: 0, .. }));
    node.hear_raw(A, &flooded(9, 9, 0, &[(o("y", 2), None)]).encode());
    node.run_to(at(86_400_000 * 365));
    assert_eq!((values(&node, "x"), values(&node, "y")), (of(&[1]), of(&[2])));
}

/// G-OBJ-03, G-OBJ-05, T-09: an objective without a value is flooded with null, and only with flags that are assigned.
#[test]
fn missing_value_is_flooded_as_null() {
    let mut node = Driver::flood(&[A]);
    let bare = Objective { flags: Flags(5 | 1 << 40), ..Objective::synchronization("x") };
    let raw = floods(&send(&mut node, 7, 9, vec![(bare, None)])).remove(0).1;
    let Message::Flood { objectives, .. } = message(&raw) else { unreachable!() };
    assert_eq!(objectives[0].objective, Objective::synchronization("x").with_value(Value::null()));
}

/// G-FLD-17, G-FLD-09, A-FLD-03, T-52: `::` becomes each link's own address, as initiator too, with loop count 1.
#[test]
fn unspecified_locator_is_each_links_own() {
    let mut node = Driver::flood(&[A, B]);
    let own = Some(Locator::Ipv6 { address: Ipv6Addr::UNSPECIFIED, transport: Transport::Udp, port: 15_000 });
    let outputs = send(&mut node, 7, 9, vec![(o("x", 1), own.clone()), (o("y", 1), own)]);
    for ((link, raw), (expected, address)) in floods(&outputs).into_iter().zip([(A, lla(0x101)), (B, lla(0x102))]) {
        let Message::Flood { initiator, objectives, .. } = message(&raw) else { unreachable!() };
        assert_eq!((link, initiator), (expected, IpAddr::V6(address)));
        for tagged in objectives {
            assert_eq!(tagged.objective.loop_count, 1);
            assert_eq!(tagged.locator, Some(Locator::Ipv6 { address, transport: Transport::Udp, port: 15_000 }));
        }
    }
    assert_eq!(floods(&outputs).len(), 2);
}

/// T-52: objectives for the link cannot share a flood with others.
#[test]
fn mixed_list_is_refused() {
    let mut node = Driver::flood(&[A]);
    for other in [None, Some(tcp(gua(1), 80))] {
        let pairs = vec![(o("x", 1), other), (o("y", 1), Some(tcp(Ipv6Addr::UNSPECIFIED, 80)))];
        assert_eq!(refusal(&send(&mut node, 7, 9, pairs)), Some(ErrorCode::InvalidLocator));
    }
    assert!(node.core.store().is_empty());
}

/// T-11: a node without a global address floods to its link only.
#[test]
fn without_global_address_floods_stay_on_the_link() {
    let mut node = Driver::flood(&[A]);
    node.feed(Input::Topology(Topology { global: None, ..topology(&[A]) }));
    let raw = floods(&send(&mut node, 7, 9, vec![(o("x", 1), None)])).remove(0).1;
    let Message::Flood { initiator, objectives, .. } = message(&raw) else { unreachable!() };
    assert_eq!((initiator, objectives[0].objective.loop_count), (IpAddr::V6(lla(0x101)), 1));
}

/// G-FLD-10, T-11, T-56: a link-local initiator demands loop count 1 in every objective; such a flood is not relayed.
#[test]
fn link_local_flood_from_afar_is_discarded() {
    let mut node = Driver::flood(&[A, B]);
    let from = |sid, counts: [u8; 2]| {
        let objectives = counts.map(|n| TaggedObjective { objective: o("x", 1).with_loop_count(n), locator: None });
        Message::Flood { session_id: sid, initiator: IpAddr::V6(lla(9)), ttl: 9, objectives: objectives.to_vec() }
    };
    for (sid, counts) in [(1, [2, 2]), (2, [1, 2]), (3, [0, 1])] {
        assert!(node.hear(A, &from(sid, counts)).is_empty());
    }
    assert_eq!(node.core.counters().far_link_local, 3);
    assert!(node.core.store().is_empty());
    assert!(floods(&node.hear(A, &from(4, [1, 1]))).is_empty());
    assert_eq!(node.core.store().len(), 1);
    node.hear_raw(A, &bytes(V26));
    assert_eq!(node.core.store().get(node.now, "AN_ACP").len(), 1);
}

/// G-FLD-12, A-FLD-09: an objective is flooded every 3 s on average, ten times at once, each on its own; a
/// name with many tags in one flood counts once, and a refused flood takes nothing from the others in it.
#[test]
fn flooding_is_paced() {
    let mut node = Driver::flood(&[A]);
    let sent = |node: &mut Driver<Flood>, sid| send(node, sid, 9, vec![(o("x", 1), None)]).len() > 1;
    assert_eq!((0..50).filter(|sid| sent(&mut node, *sid)).count(), 10);
    for _ in 0..20 {
        let both = vec![(o("a", 1), None), (o("x", 1), None)];
        assert_eq!(refusal(&send(&mut node, 60, 9, both)), Some(ErrorCode::Unspecified));
    }
    let many = (0..15).map(|n| (o("a", 1), Some(tcp(gua(n), 80)))).collect();
    assert!(send(&mut node, 70, 9, many).len() > 1);
    let mut later = 0;
    for n in 1..=300 {
        node.run_to(at(n * 100));
        later += usize::from(sent(&mut node, 1_000));
    }
    assert_eq!(later, 10);
    assert_eq!(node.core.counters().too_often, 40 + 20 + 290);
}

/// G-FLD-18: a flood is answered by nothing.
#[test]
fn flood_has_no_response() {
    let mut node = Driver::flood(&[A]);
    let outputs = node.hear_raw(A, &bytes(V03));
    assert!(matches!(&outputs[..], [Output::Flooded(_)]));
}

/// G-FLD-21, T-21, A-FLD-05: what cannot be flooded is refused by its code and not sent.
#[test]
fn impossible_floods_are_refused() {
    let tagged = |locator| vec![(o("x", 1), Some(locator))];
    let fqdn = Locator::Fqdn { name: String::new(), transport: Transport::Tcp, port: 1 };
    let uri = Locator::Uri { uri: String::new(), transport: None, port: None };
    let ip = |text: &str| Locator::tcp(text.parse().unwrap(), 1);
    let cases = [
        (vec![], ErrorCode::Unspecified),
        (vec![(Objective::negotiation("x"), None)], ErrorCode::NotSynchronizable),
        (vec![(o("y", 1), None), (Objective::discovery("x"), None)], ErrorCode::NotSynchronizable),
        (vec![(o("x", 1).with_loop_count(0), None)], ErrorCode::Unspecified),
        (tagged(fqdn), ErrorCode::InvalidLocator),
        (tagged(uri), ErrorCode::InvalidLocator),
        (tagged(ip("ff02::13")), ErrorCode::InvalidLocator),
        (tagged(ip("::1")), ErrorCode::InvalidLocator),
        (tagged(ip("0.0.0.0")), ErrorCode::InvalidLocator),
    ];
    for (pairs, code) in cases {
        let mut node = Driver::flood(&[A]);
        assert_eq!(refusal(&send(&mut node, 7, 9, pairs.clone())), Some(code), "{pairs:?}");
        assert!(node.core.store().is_empty());
    }
}

/// T-05: a flood of 1232 bytes is sent, one of 1233 is not.
#[test]
fn largest_flood_has_1232_bytes() {
    let of_size = |n: usize| {
        let sized = |len: usize| o("x", 1).with_value(Value::item(&"v".repeat(len)).unwrap());
        let head = flooded(u32::MAX, 1, 9, &[(sized(1000), None)]).encode().len() - 1000;
        vec![(sized(n - head), None)]
    };
    let mut node = Driver::flood(&[A]);
    let sent = floods(&send(&mut node, u32::MAX, 9, of_size(1232)));
    assert_eq!(sent[0].1.len(), 1232);
    assert_eq!(refusal(&send(&mut node, u32::MAX - 1, 9, of_size(1233))), Some(ErrorCode::Unspecified));
}

/// T-40, G-FLD-16: own floods are visible here, also when no link is up; nothing need be registered.
#[test]
fn own_floods_are_visible_locally() {
    for links in [&[A, B][..], &[]] {
        let mut node = Driver::flood(links);
        let outputs = send(&mut node, 7, 2_000, vec![(o("x", 1), None)]);
        assert_eq!(outputs.iter().filter(|output| matches!(output, Output::Flooded(_))).count(), 1);
        assert_eq!(values(&node, "x"), of(&[1]));
        node.run_to(at(2_000));
        assert!(values(&node, "x").is_empty());
    }
}

/// G-FREL-01 to G-FREL-06, G-FREL-10, G-FREL-11, T-20: V-24 goes out on all other links as V-25, known or not.
#[test]
fn flood_is_relayed_with_one_loop_count_less() {
    for link in [A, B] {
        let mut node = Driver::flood(&[A, B, C]);
        let outputs = node.hear_raw(link, &bytes(V24));
        let others: Vec<_> = [A, B, C].into_iter().filter(|l| *l != link).map(|l| (l, bytes(V25))).collect();
        assert_eq!(floods(&outputs), others);
        assert_eq!(node.core.store().len(), 2);
    }
}

/// G-FREL-07, G-ERR-07, T-20: the first loop count decides; 1 and 0 are kept here and not relayed.
#[test]
fn exhausted_flood_is_kept_and_not_relayed() {
    let mut node = Driver::flood(&[A, B]);
    for (sid, first) in [(1, 1), (2, 0)] {
        let pairs = [(o("x", 1).with_loop_count(first), None), (o("y", 1).with_loop_count(3), None)];
        assert!(floods(&node.hear(A, &flooded(sid, 9, 9_000, &pairs))).is_empty());
        assert_eq!(node.core.store().len(), 2);
    }
}

/// G-FREL-08, G-FREL-09: relayed once in two minutes, whatever link it comes back on.
#[test]
fn flood_is_relayed_once() {
    let mut node = Driver::flood(&[A, B, C]);
    assert_eq!(floods(&node.hear_raw(A, &bytes(V24))).len(), 2);
    for (time, link) in [(0, A), (1_000, C), (119_000, C), (119_999, B)] {
        node.run_to(at(time));
        assert!(node.hear_raw(link, &bytes(V25)).is_empty());
    }
    assert_eq!((node.core.counters().duplicates, node.core.counters().relayed), (4, 1));
    assert_eq!(floods(&node.hear(A, &flooded(0x0035_7b4e, 8, 9, &[(o("x", 1), None)]))).len(), 2, "G-SID-10");
}

/// G-FREL-12, T-13: the node's own flood is neither relayed nor kept again.
#[test]
fn own_flood_is_not_relayed() {
    let mut node = Driver::flood(&[A, B]);
    let raw = floods(&send(&mut node, 7, 9_000, vec![(o("x", 1), None)])).remove(0).1;
    for link in [A, B] {
        assert!(node.hear_raw(link, &raw).is_empty());
    }
}

/// G-FREL-10: a value that no re-encoding would keep crosses the relay byte by byte.
#[test]
fn values_cross_the_relay_untouched() {
    let at_loop = |lc: &str| bytes(&format!("8509015020010db8f000baaa28ccdc4c970367810082846178051818{lc}80"));
    let (raw, out) = (at_loop("f93c00"), bytes("8509015020010db8f000baaa28ccdc4c9703678100828461780517f93c0080"));
    assert_eq!(floods(&Driver::flood(&[A, B]).hear_raw(A, &raw)), [(B, out)]);
}

/// G-ERR-21: anything else, and anything from a link that is not there, is dropped and counted.
#[test]
fn what_is_no_flood_is_dropped() {
    let mut node = Driver::flood(&[A]);
    assert!(node.hear(A, &disc(1, gua(9), "x", 6)).is_empty());
    assert!(node.hear(C, &flooded(1, 9, 0, &[(o("x", 1), None)])).is_empty());
    assert_eq!(node.core.counters().unexpected, 2);
}
