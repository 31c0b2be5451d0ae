//! Answering questions: RFC 8990 §2.5.4.3, §2.8.5.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::protocol::discovery::{DiscoveryConfig, DiscoverySettings, Input, Output};
use grasp::protocol::{Announcement, LinkInfo, Rapid, Topology};
use grasp::wire::{Answer, Message, Objective};
use std::net::{IpAddr, SocketAddr};
use support::asking::*;
use support::*;

const V01: &str = "84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050200";

/// G-DRSP-01, G-DRSP-04, G-DRSP-05, G-DRSP-08, G-DRSP-12, G-DIVT-09, G-RAPD-04, G-RAPD-05, T-14, T-33, T-34: a plain
/// response with the node's global address goes to the transport source, ids unchanged, without the objective.
#[test]
fn supported_objective_is_answered_to_the_sender() {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(local("EX1", announce(1234)));
    let outputs = node.hear_raw(A, source(9, A), &bytes(V01));
    let Message::Discovery { session_id, initiator, .. } = message(&bytes(V01)) else { unreachable!() };
    let answer = Answer::Locators(vec![tcp(gua(1), 7017)]);
    let expected = Message::Response { session_id, initiator, ttl: 1234, answer, objective: None };
    assert_eq!(responses(&outputs), [(A, source(9, A), expected)]);
    assert_eq!(outputs.len(), 1, "answered, so not relayed");
}

/// G-DRSP-06, T-24: 0 is sent only if registered; a port that changes on restart is not promised for long.
#[test]
fn ttl_is_the_registered_one_unless_the_port_is_unstable() {
    for (stable_port, registered, sent) in
        [(true, 0, 0), (true, 60_000, 60_000), (false, 60_000, 30_000), (false, 5_000, 5_000), (false, 0, 30_000)]
    {
        let mut node = Driver::discovery(&[A]);
        node.feed(Input::Topology(Topology { stable_port, ..topology(&[A]) }));
        node.feed(local("EX1", announce(registered)));
        let (_, _, answer) = responses(&node.hear(A, 2, &disc(7, gua(2), "EX1", 6))).remove(0);
        assert!(matches!(answer, Message::Response { ttl, .. } if ttl == sent), "{answer:?}");
    }
}

/// G-DRSP-03, G-DRSP-11, G-OBJ-01: what is unknown, be it by one letter, is met with silence on a single link.
#[test]
fn unknown_objective_is_met_with_silence() {
    let mut node = Driver::discovery(&[A]);
    node.feed(local("EX1", announce(1)));
    for name in ["EX2", "ex1", "EX1 ", ""] {
        assert!(node.hear(A, 2, &disc(7, gua(2), name, 6)).is_empty(), "{name}");
    }
    node.feed(Input::Local { name: "EX1".into(), announcement: None });
    assert!(node.hear(A, 2, &disc(8, gua(2), "EX1", 6)).is_empty());
}

/// G-DRSP-13, A-REG-14, T-15: a local objective is announced with the address of the link that asked.
#[test]
fn local_objective_has_the_links_address() {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(local("EX1", Announcement { local: true, ..announce(1) }));
    for (link, address) in [(A, lla(0x101)), (B, lla(0x102))] {
        let (out, _, answer) = responses(&node.hear(link, 2, &disc(7, gua(2), "EX1", 6))).remove(0);
        let Message::Response { answer, .. } = answer else { unreachable!() };
        assert_eq!((out, answer), (link, Answer::Locators(vec![tcp(address, 7017)])));
    }
}

/// G-DRSP-14: after renumbering the answer shows the new address.
#[test]
fn answer_follows_renumbering() {
    let mut node = Driver::discovery(&[A]);
    node.feed(local("EX1", announce(1)));
    node.feed(Input::Topology(Topology { global: Some(gua(0x99)), ..topology(&[A]) }));
    let (_, _, answer) = responses(&node.hear(A, 2, &disc(7, gua(2), "EX1", 6))).remove(0);
    let Message::Response { answer, .. } = answer else { unreachable!() };
    assert_eq!(answer, Answer::Locators(vec![tcp(gua(0x99), 7017)]));
}

/// T-15: a node without a global address announces ordinary objectives only if told to; it relays neither way.
#[test]
fn link_local_answers_need_permission() {
    for (link_local_locators, count) in [(false, 0), (true, 1)] {
        let settings = DiscoverySettings { link_local_locators, ..DiscoverySettings::default() };
        let config = DiscoveryConfig { settings, ..DiscoveryConfig::default() };
        let mut node = Driver::discovery_with(&[A, B], config);
        node.feed(Input::Topology(Topology { global: None, ..topology(&[A, B]) }));
        node.feed(local("EX1", announce(1)));
        let outputs = node.hear(A, 2, &disc(7, gua(2), "EX1", 6));
        assert_eq!((outputs.len(), responses(&outputs).len()), (count, count));
    }
}

/// G-SID-09: questions with one session id and two initiators are both answered, each with its own initiator.
#[test]
fn initiators_with_equal_ids_are_kept_apart() {
    let mut node = Driver::discovery(&[A]);
    node.feed(local("EX1", announce(1)));
    for n in [2, 3] {
        let (_, to, answer) = responses(&node.hear(A, n, &disc(7, gua(n), "EX1", 6))).remove(0);
        assert_eq!(to, source(n, A));
        assert!(matches!(answer, Message::Response { initiator, .. } if initiator == IpAddr::V6(gua(n))));
    }
}

/// G-DRSP-18, G-ERR-07, T-19: loop counts of 1 and 0 stop relaying, not answering.
#[test]
fn low_loop_counts_are_answered() {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(local("EX1", announce(1)));
    for (sid, loop_count) in [(7, 1), (8, 0)] {
        assert_eq!(responses(&node.hear(A, 2, &disc(sid, gua(2), "EX1", loop_count))).len(), 1);
    }
}

/// G-RAPD-03: with rapid mode on, a synchronization question is answered by M_SYNCH.
#[test]
fn rapid_synchronization_answers_with_the_value() {
    let current = Objective::synchronization("EX1").with_value(value(5));
    let mut node = Driver::discovery(&[A]);
    node.feed(local("EX1", Announcement { rapid: Some((Rapid::Synch, current.clone())), ..announce(1) }));
    let (_, _, answer) = responses(&node.hear_raw(A, source(2, A), &bytes(V01))).remove(0);
    assert_eq!(answer, Message::Synch { session_id: 0x00d4_d748, objective: current });
    let (_, _, plain) = responses(&node.hear(A, 2, &disc(7, gua(2), "EX1", 6))).remove(0);
    assert!(matches!(plain, Message::Response { .. }), "a discovery objective gets a response");
}

/// G-DIVT-03, T-06: answers stay within the largest message, however much is known; a big copy of a value is left out.
#[test]
fn answers_fit_into_a_message() {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(Input::Discover(ask(&[7], 1000)));
    for n in 2..400 {
        node.hear(B, 2, &direct(7, 60_000, tcp(gua(n), 80)));
    }
    let outputs = node.hear(A, 3, &disc(9, gua(3), "EX1", 6));
    let [Output::Respond { bytes: raw, .. }] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(raw.len() <= 2048 && raw.len() > 1900, "{}", raw.len());
    let big = Objective::synchronization("EX1").with_value(grasp::wire::Value::item(&"x".repeat(3000)).unwrap());
    for mode in [Rapid::Response, Rapid::Synch] {
        node.feed(local("EX1", Announcement { rapid: Some((mode, big.clone())), ..announce(1) }));
        let (_, _, answer) = responses(&node.hear_raw(A, source(2, A), &bytes(V01))).remove(0);
        assert!(matches!(answer, Message::Response { objective: None, .. }));
    }
}

/// V-23: a peer over IPv4 is a source like any other.
#[test]
fn ipv4_source_is_answered() {
    let mut node = Driver::discovery(&[A]);
    node.feed(local("EX1", announce(1)));
    node.feed(Input::Topology(Topology { links: vec![LinkInfo { id: A, address: lla(1) }], ..topology(&[A]) }));
    let v23 = bytes("84010144c000020184634558310506f6");
    let from: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    let (_, to, answer) = responses(&node.hear_raw(A, from, &v23)).remove(0);
    assert_eq!(to, from);
    assert!(matches!(answer, Message::Response { initiator: IpAddr::V4(_), session_id: 1, .. }));
}

/// G-DRSP-15, G-DRSP-16: a discovery by unicast comes on no link; it is answered, and never relayed.
#[test]
fn unicast_question_is_answered_and_not_relayed() {
    let mut node = Driver::discovery(&[A, B]);
    node.feed(local("EX1", announce(1)));
    assert_eq!(responses(&node.hear(0, 2, &disc(7, gua(2), "EX1", 6))).len(), 1);
    assert!(node.hear(0, 2, &disc(8, gua(2), "EX2", 6)).is_empty());
}
