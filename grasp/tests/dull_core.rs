//! The rules of a DULL instance, in the cores: RFC 8990 §2.5.2, RFC 8994 §6.4.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use grasp::NodeConfig;
use grasp::error::ErrorCode;
use grasp::infrastructure::{Kind, Offer, PERIOD, an_acp, an_proxy};
use grasp::protocol::discovery::{self, Discovery, Question, Scope};
use grasp::protocol::dull::{COPIES, COPIES_PER_SOURCE, LONGEST, Refused, source as near};
use grasp::protocol::flood::{self, Flood};
use grasp::protocol::{Announcement, Dull, Heard, Rapid};
use grasp::wire::{Answer, Locator, Message, Objective, TaggedObjective, Transport, Value};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use support::asking::{announce, ask, local};
use support::flooding::send;
use support::*;

/// The node's own address on link A.
const OWN: u16 = 0x101;
const V26: &str = "85091a00bc4e4f50fe80000000000000c0011001feef00001a00033450828466414e5f414350040165494b45763284186750fe80000000000000c0011001feef000011193a98";

fn config() -> NodeConfig {
    NodeConfig::dull("e0", Dull::infrastructure())
}

fn discovering() -> Driver<Discovery> {
    Driver::discovery_with(&[A], config().discovery)
}

fn flooding() -> Driver<Flood> {
    Driver::flood_with(&[A], config().flood)
}

fn acp(loop_count: u8) -> Objective {
    Objective::synchronization("AN_ACP").with_loop_count(loop_count).with_value(Value::item("IKEv2").unwrap())
}

fn of(objectives: Vec<(Objective, Option<Locator>)>, initiator: Ipv6Addr, session_id: u32, ttl: u32) -> Message {
    let tagged = |(objective, locator)| TaggedObjective { objective, locator };
    let objectives = objectives.into_iter().map(tagged).collect();
    Message::Flood { session_id, initiator: initiator.into(), ttl, objectives }
}

/// A flood as neighbour `peer` may send it.
fn fair(peer: u16, session_id: u32) -> Message {
    of(vec![(acp(1), Some(tcp(lla(peer), 500)))], lla(peer), session_id, 210_000)
}

fn heard(source: SocketAddr, message: Message) -> Heard {
    Heard { link: A, source, raw: message.encode(), message, restricted: false }
}

fn asks(initiator: Ipv6Addr, name: &str, loop_count: u8) -> Message {
    disc(7, initiator, name, loop_count)
}

/// What the counters of a core say, by reason.
fn reasons(refused: &Refused) -> Vec<(String, u64)> {
    let serde_json::Value::Object(all) = serde_json::to_value(refused).unwrap() else { panic!("no object") };
    all.into_iter().filter_map(|(name, count)| Some((name, count.as_u64().filter(|n| *n > 0)?))).collect()
}

/// G-DULL-07, G-DULL-08, G-DULL-11, ASA-I-01, ASA-I-04, EX-D-01: each rule that a flood breaks makes it unheard, as a whole; it is
/// counted by its reason, and the same flood without the fault is heard.
#[test]
fn a_flood_that_breaks_a_rule_is_dropped_in_silence() {
    let proxy = |loop_count| Kind::AnProxy.objective().with_loop_count(loop_count).with_value(Value::item("").unwrap());
    let (peer, tag) = (lla(9), || Some(tcp(lla(9), 500)));
    let from = |address: Ipv6Addr| SocketAddr::new(address.into(), 7017);
    let here = from(peer);
    let flood = |objectives| of(objectives, peer, 5, 9_000);
    let other = |address: IpAddr| Some(Locator::tcp(address, 500));
    let named = |name: &str| Objective { name: name.into(), ..acp(1) };
    let table: Vec<(&str, SocketAddr, Message)> = vec![
        ("dull_source", from(gua(9)), flood(vec![(acp(1), tag())])),
        ("dull_source", SocketAddr::new(Ipv4Addr::new(169, 254, 0, 9).into(), 1), flood(vec![(acp(1), tag())])),
        ("dull_source", source(9, B), flood(vec![(acp(1), tag())])),
        ("dull_source", from(Ipv6Addr::LOCALHOST), flood(vec![(acp(1), None)])),
        ("dull_loop_count", here, flood(vec![(acp(2), tag())])),
        ("dull_loop_count", here, flood(vec![(acp(0), tag())])),
        ("dull_loop_count", here, flood(vec![(acp(255), tag())])),
        ("dull_loop_count", here, flood(vec![(acp(1), tag()), (proxy(2), tag())])),
        ("dull_objective", here, flood(vec![(named("32473:x"), tag())])),
        ("dull_objective", here, flood(vec![(named("AN_acp"), tag())])),
        ("dull_objective", here, flood(vec![(named("AN_proxy"), tag())])),
        ("dull_objective", here, flood(vec![(acp(1), tag()), (named("AN_join_registrar"), tag())])),
        ("dull_initiator", here, of(vec![(acp(1), tag())], gua(9), 5, 9_000)),
        ("dull_initiator", here, of(vec![(acp(1), tag())], lla(8), 5, 9_000)),
        ("dull_locator", here, flood(vec![(acp(1), other(lla(8).into()))])),
        ("dull_locator", here, flood(vec![(acp(1), other(gua(9).into()))])),
        ("dull_locator", here, flood(vec![(acp(1), other(Ipv4Addr::new(10, 0, 0, 1).into()))])),
        ("dull_locator", here, flood(vec![(acp(1), tag()), (proxy(1), other(lla(8).into()))])),
        (
            "dull_locator",
            here,
            flood(vec![(acp(1), Some(Locator::Fqdn { name: "a.b".into(), transport: Transport::Tcp, port: 1 }))]),
        ),
        (
            "dull_locator",
            here,
            flood(vec![(acp(1), Some(Locator::Uri { uri: "a:".into(), transport: None, port: None }))]),
        ),
    ];
    for (reason, source, message) in table {
        let mut node = flooding();
        let outputs = node.feed(flood::Input::Heard(heard(source, message.clone())));
        assert!(outputs.is_empty() && node.core.store().is_empty(), "{reason}: {message:?}");
        assert_eq!(reasons(&node.core.counters().dull), [(reason.to_owned(), 1)], "{message:?}");
    }
    for tag in [tag(), None, Some(Locator::Other { address: peer.into(), protocol: 41, port: None })] {
        let mut node = flooding();
        let outputs = node.feed(flood::Input::Heard(heard(here, flood(vec![(acp(1), tag.clone()), (proxy(1), tag)]))));
        assert_eq!((outputs.len(), node.core.store().len()), (2, 2), "{outputs:?}");
        assert_eq!(floods(&outputs), []);
    }
}

/// G-DULL-07, G-DULL-08, G-DULL-11, ASA-I-01: the same for discoveries; the one without a fault is answered.
#[test]
fn a_discovery_that_breaks_a_rule_is_not_answered() {
    let from = |address: Ipv6Addr| SocketAddr::new(address.into(), 5000);
    let table = [
        ("dull_source", from(gua(9)), asks(lla(9), "AN_ACP", 1)),
        ("dull_source", source(9, B), asks(lla(9), "AN_ACP", 1)),
        ("dull_loop_count", from(lla(9)), asks(lla(9), "AN_ACP", 2)),
        ("dull_loop_count", from(lla(9)), asks(lla(9), "AN_ACP", 0)),
        ("dull_objective", from(lla(9)), asks(lla(9), "32473:x", 1)),
        ("dull_initiator", from(lla(9)), asks(gua(9), "AN_ACP", 1)),
        ("dull_initiator", from(lla(9)), asks(lla(8), "AN_ACP", 1)),
    ];
    for (reason, source, message) in table {
        let mut node = discovering();
        for name in ["AN_ACP", "32473:x"] {
            node.feed(local(name, announce(60_000)));
        }
        assert_eq!(node.feed(discovery::Input::Heard(heard(source, message.clone()))), [], "{reason}: {message:?}");
        assert_eq!(reasons(&node.core.counters().dull), [(reason.to_owned(), 1)], "{message:?}");
        assert_eq!(responses(&node.hear(A, 9, &asks(lla(9), "AN_ACP", 1))).len(), 1);
    }
}

/// G-DULL-09: an answer gives the link-local address of the link, also where the node has a global one; its objective goes one
/// hop. No value is given in place of an answer (EX-D-01).
#[test]
fn an_answer_gives_the_links_own_address() {
    for rapid in [None, Some((Rapid::Synch, acp(6))), Some((Rapid::Response, acp(6)))] {
        let mut node = discovering();
        node.feed(local("AN_ACP", Announcement { rapid: rapid.clone(), ..announce(60_000) }));
        let mut question = asks(lla(9), "AN_ACP", 1);
        if let Message::Discovery { objective, .. } = &mut question {
            *objective = acp(1);
        }
        let told = responses(&node.hear(A, 9, &question));
        let [(link, to, Message::Response { initiator, answer, objective, .. })] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!((*link, *to, *initiator), (A, source(9, A), IpAddr::V6(lla(9))));
        assert_eq!(*answer, Answer::Locators(vec![tcp(lla(OWN), 7017)]));
        let value = rapid.filter(|(how, _)| *how == Rapid::Response).map(|_| acp(1));
        assert_eq!(*objective, value);
    }
}

/// G-DULL-10, G-DULL-05: what has been learned is told to nobody, and nothing is passed on, also with more links than a DULL
/// instance ever has.
#[test]
fn nothing_is_diverted_or_relayed() {
    let mut node = Driver::discovery_with(&[A, B], config().discovery);
    node.feed(discovery::Input::Discover(Question { objective: acp(6), ..ask(&[1], 500) }));
    let answer = |locator| Message::Response {
        session_id: 1,
        initiator: lla(OWN).into(),
        ttl: 60_000,
        answer: Answer::Locators(vec![locator]),
        objective: None,
    };
    node.hear(A, 9, &answer(tcp(lla(9), 1)));
    assert_eq!(node.core.cache().len(), 1);
    for (link, peer) in [(A, 8), (B, 7)] {
        assert_eq!(node.hear(link, peer, &disc(2, lla(peer), "AN_ACP", 1)), []);
    }
    let mut node = Driver::flood_with(&[A, B], config().flood);
    assert_eq!(floods(&node.feed(flood::Input::Heard(heard(source(9, A), fair(9, 3))))), []);
}

/// G-DULL-10, ASA-I-01: of answers only those are believed that speak of their sender; a value in place of one is not.
#[test]
fn an_answer_speaks_of_its_sender() {
    let answer =
        |answer| Message::Response { session_id: 1, initiator: lla(OWN).into(), ttl: 60_000, answer, objective: None };
    let with = |objective| Message::Response {
        session_id: 1,
        initiator: lla(OWN).into(),
        ttl: 60_000,
        answer: Answer::Locators(vec![tcp(lla(9), 1)]),
        objective: Some(objective),
    };
    let (here, near) = (source(9, A), tcp(lla(9), 1));
    let table = [
        ("dull_divert", here, answer(Answer::Divert(vec![near.clone()]))),
        ("dull_locator", here, answer(Answer::Locators(vec![tcp(lla(8), 1)]))),
        ("dull_locator", here, answer(Answer::Locators(vec![near.clone(), tcp(gua(9), 1)]))),
        ("dull_source", SocketAddr::new(gua(9).into(), 1), answer(Answer::Locators(vec![near.clone()]))),
        ("dull_loop_count", here, with(acp(2))),
        ("dull_objective", here, with(Objective { name: "x:y".into(), ..acp(1) })),
        ("dull_kind", here, Message::Synch { session_id: 1, objective: acp(1) }),
    ];
    for (reason, source, message) in table {
        let mut node = discovering();
        let question = Question { objective: acp(6), scope: Scope::First, ..ask(&[1], 500) };
        node.feed(discovery::Input::Discover(question));
        assert_eq!(node.feed(discovery::Input::Heard(heard(source, message.clone()))), [], "{message:?}");
        assert!(node.core.cache().is_empty());
        assert_eq!(reasons(&node.core.counters().dull), [(reason.to_owned(), 1)], "{message:?}");
        let outputs = node.feed(discovery::Input::Heard(heard(here, answer(Answer::Locators(vec![near.clone()])))));
        assert_eq!(found(&outputs).len(), 1);
    }
}

/// G-DULL-03, G-DULL-04: whatever loop count an ASA gives, what is sent has 1 in every objective, and the link's own address.
#[test]
fn what_is_sent_goes_one_hop() {
    let mut node = discovering();
    let outputs = node.feed(discovery::Input::Discover(Question { objective: acp(255), ..ask(&[1, 2, 3], 5_000) }));
    let mut sent = multicasts(&outputs);
    sent.extend(node.run_to(at(5_000)).into_iter().flat_map(|(_, output)| multicasts(&[output])));
    assert_eq!(sent.len(), 3);
    for (link, raw) in sent {
        let Message::Discovery { initiator, objective, .. } = message(&raw) else { panic!("no discovery") };
        assert_eq!((link, initiator, objective.loop_count), (A, IpAddr::V6(lla(OWN)), 1));
    }
    let mut node = flooding();
    let own = Some(tcp(lla(OWN), 9));
    let unspecified = Some(tcp(Ipv6Addr::UNSPECIFIED, 9));
    let outputs = send(&mut node, 7, 9, vec![(acp(6), None), (acp(255), own.clone()), (acp(1), unspecified)]);
    let Message::Flood { initiator, objectives, .. } = message(&floods(&outputs)[0].1) else { panic!("no flood") };
    assert_eq!(initiator, IpAddr::V6(lla(OWN)));
    assert!(objectives.iter().all(|tagged| tagged.objective.loop_count == 1));
    assert_eq!(objectives.iter().map(|tagged| tagged.locator.clone()).collect::<Vec<_>>(), [None, own.clone(), own]);
}

/// G-DULL-08, ASA-I-04: an ASA floods but what is on the list, and only where the node itself is.
#[test]
fn what_may_not_be_believed_is_not_sent() {
    let other = |locator| vec![(acp(1), Some(locator))];
    let table = [
        (vec![(Objective { name: "32473:x".into(), ..acp(1) }, None)], ErrorCode::Unspecified),
        (other(tcp(lla(9), 1)), ErrorCode::InvalidLocator),
        (other(tcp(gua(1), 1)), ErrorCode::InvalidLocator),
        (other(Locator::tcp(Ipv4Addr::UNSPECIFIED.into(), 1)), ErrorCode::InvalidLocator),
        (other(Locator::Uri { uri: "a:".into(), transport: None, port: None }), ErrorCode::InvalidLocator),
    ];
    for (objectives, code) in table {
        let mut node = flooding();
        let outputs = send(&mut node, 7, 9, objectives.clone());
        let [flood::Output::Sent { result: Err(error), .. }] = outputs.as_slice() else { panic!("{outputs:?}") };
        assert_eq!(error.code, code, "{objectives:?}");
    }
}

/// G-DULL-13, ASA-I-03, V-26: the announcement of the ACP is that of the RFC, byte for byte.
#[test]
fn an_acp_is_flooded_as_in_the_rfc() {
    let mut node = flooding();
    let address: Ipv6Addr = "fe80::c001:1001:feef:0".parse().unwrap();
    let mut topology = topology(&[A]);
    topology.links[0].address = address;
    node.feed(flood::Input::Topology(topology));
    let ikev2 = Offer::new("IKEv2").unwrap();
    let pairs = an_acp([(&ikev2, Some((Transport::Udp, 15_000)))]);
    let outputs = send(&mut node, 0x00bc_4e4f, Kind::AnAcp.ttl(), pairs);
    assert_eq!(grasp::hex::encode(&floods(&outputs)[0].1), V26);
    assert_eq!((Kind::AnAcp.ttl(), PERIOD), (210_000, ms(60_000)));
    let mut peer = flooding();
    peer.feed(flood::Input::Heard(heard(SocketAddr::new(address.into(), 7017), message(&bytes(V26)))));
    assert_eq!(peer.core.store().len(), 1);
}

/// RFC 8994 §6.4: both methods and a proxy share one flood, each with its own locator; neighbours that give none do not overwrite
/// each other.
#[test]
fn neighbours_do_not_overwrite_each_other() {
    let mut node = flooding();
    let (ikev2, dtls) = (Offer::new("IKEv2").unwrap(), Offer::new("DTLS").unwrap());
    let mut pairs = an_acp([(&ikev2, None), (&dtls, Some((Transport::Udp, 17_000)))]);
    pairs.push(an_proxy(Transport::Tcp, 4_443));
    let outputs = send(&mut node, 7, 210_000, pairs);
    assert_eq!((floods(&outputs).len(), node.core.store().len()), (1, 3));
    for peer in [8, 9] {
        let flood = of(vec![(acp(1), None)], lla(peer), u32::from(peer), 210_000);
        node.feed(flood::Input::Heard(heard(source(peer, A), flood)));
    }
    let copies = node.core.store().get(node.now, "AN_ACP");
    let from: Vec<_> = copies.iter().map(|copy| copy.initiator).collect();
    assert_eq!(copies.len(), 4, "{from:?}");
    node.feed(flood::Input::Expire(copies.into_iter().find(|copy| copy.initiator == lla(8)).unwrap()));
    assert!(node.core.store().get(node.now, "AN_ACP").iter().all(|copy| copy.initiator != lla(8)));
    assert_eq!(node.core.store().get(node.now, "AN_ACP").len(), 3);
}

/// G-RATE-06, ASA-I-01: one address of the link has a few places in the cache, whatever it floods.
#[test]
fn one_sender_pushes_out_nobody_else() {
    let mut node = flooding();
    for peer in 1..=20 {
        node.feed(flood::Input::Heard(heard(source(peer, A), fair(peer, peer.into()))));
    }
    for n in 0..2_000_u16 {
        let flood = of(vec![(acp(1), Some(tcp(lla(999), n)))], lla(999), 10_000 + u32::from(n), 0);
        node.feed(flood::Input::Heard(heard(source(999, A), flood)));
    }
    assert_eq!(node.core.store().len(), 20 + COPIES_PER_SOURCE);
    assert_eq!(node.core.counters().evicted, 2_000 - COPIES_PER_SOURCE as u64);
    let kept = node.core.store().get(node.now, "AN_ACP");
    assert!((1..=20).all(|peer| kept.iter().any(|copy| copy.initiator == lla(peer))));
}

/// G-RATE-06: many forged addresses push out none that has been heard twice; those who watch hear of everybody; nothing that is
/// flooded lives longer than an hour, so that places become free again.
#[test]
fn forged_senders_do_not_push_out_known_neighbours() {
    let mut node = flooding();
    let known = |node: &Driver<Flood>| {
        let kept = node.core.store().get(node.now, "AN_ACP");
        (1..=20).filter(|peer| kept.iter().any(|copy| copy.initiator == lla(*peer))).count()
    };
    for round in 0..2_u32 {
        for peer in 1..=20_u16 {
            node.feed(flood::Input::Heard(heard(source(peer, A), fair(peer, round * 100 + u32::from(peer)))));
        }
        node.run_to(at(u64::from(round + 1) * 60_000));
    }
    // Each forged address twice, so that they count as known as well.
    let mut told = 0;
    for (n, round) in (1_000..4_000_u16).flat_map(|n| [(n, 0), (n, 1)]) {
        let flood = of(vec![(acp(1), None)], lla(n), u32::from(n) * 2 + round, 0);
        told += node.feed(flood::Input::Heard(heard(source(n, A), flood))).len();
    }
    assert_eq!((known(&node), told), (20, 6_000));
    assert!(node.core.store().len() <= COPIES, "{}", node.core.store().len());
    let counters = node.core.counters();
    assert!(counters.no_room > 0, "{counters:?}");
    node.run_to(at(120_000 + u64::try_from(LONGEST.as_millis()).unwrap()));
    assert_eq!(node.core.store().names(node.now), Vec::<String>::new());
    node.feed(flood::Input::Heard(heard(source(4_500, A), fair(4_500, 9))));
    assert_eq!(node.core.store().get(node.now, "AN_ACP").len(), 1);
}

/// G-DULL-02: an instance that carries DULL leaves the objectives of that to it, though it hears the same link.
#[test]
fn what_belongs_to_dull_is_not_remembered_beside_it() {
    let left_to_dull = Dull::infrastructure().objectives;
    let config = flood::FloodConfig { left_to_dull, ..flood::FloodConfig::default() };
    let mut node = Driver::flood_with(&[A, B], config);
    assert_eq!(node.hear(A, &fair(9, 1)), []);
    assert_eq!((node.core.store().len(), node.core.counters().left_to_dull), (0, 1));
    // One that goes further is relayed whole all the same.
    let other = Objective { name: "32473:x".into(), ..acp(6) };
    let mixed = of(vec![(other, None), (acp(6), None)], gua(9), 2, 9_000);
    assert_eq!(floods(&node.hear(A, &mixed)).len(), 1);
    assert_eq!(node.core.store().names(node.now), ["32473:x"]);
}

/// G-DULL-11: the zone of a source is that of the link, or not told.
#[test]
fn a_source_is_on_the_link() {
    assert_eq!(near(&source(9, A), A), Some(lla(9)));
    assert_eq!(near(&source(9, 0), A), Some(lla(9)));
    for far in [source(9, B), SocketAddr::new(gua(9).into(), 1), SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 1)] {
        assert_eq!(near(&far, A), None, "{far}");
    }
}

fn addresses() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![3 => (8_u16..11).prop_map(lla), 1 => Just(lla(OWN)), 1 => (1_u16..4).prop_map(gua), 1 => Just(Ipv6Addr::UNSPECIFIED)]
}

fn objectives() -> impl Strategy<Value = Objective> {
    let names = prop::sample::select(vec!["AN_ACP", "AN_Proxy", "AN_proxy", "EX1", "AN_join_registrar"]);
    let counts = prop_oneof![3 => Just(1_u8), 1 => any::<u8>()];
    (names, counts, 0_u64..16).prop_map(|(name, loop_count, flags)| {
        let flags = grasp::wire::Flags(flags);
        Objective { name: name.into(), flags, loop_count, value: Some(value(1)) }
    })
}

fn locators() -> impl Strategy<Value = Locator> {
    (addresses(), any::<u16>(), any::<bool>()).prop_map(|(address, port, other)| {
        if other { Locator::Other { address: address.into(), protocol: 41, port: None } } else { tcp(address, port) }
    })
}

fn messages() -> impl Strategy<Value = Message> {
    let pair = (objectives(), prop::option::of(locators()));
    prop_oneof![
        (0_u32..5, addresses(), objectives()).prop_map(|(session_id, initiator, objective)| Message::Discovery {
            session_id,
            initiator: initiator.into(),
            objective
        }),
        (0_u32..5, addresses(), prop::collection::vec(pair, 1..3), prop::sample::select(vec![0, 1, 60_000, u32::MAX]))
            .prop_map(|(session_id, initiator, pairs, ttl)| of(pairs, initiator, session_id, ttl)),
        (0_u32..5, addresses(), prop::collection::vec(locators(), 1..3), any::<bool>(), prop::option::of(objectives()))
            .prop_map(|(session_id, initiator, locators, divert, objective)| {
                let answer = if divert { Answer::Divert(locators) } else { Answer::Locators(locators) };
                Message::Response { session_id, initiator: initiator.into(), ttl: 60_000, answer, objective }
            }),
        (0_u32..5, objectives()).prop_map(|(session_id, objective)| Message::Synch { session_id, objective }),
        (0_u32..5, objectives())
            .prop_map(|(session_id, objective)| Message::RequestNegotiation { session_id, objective }),
        (0_u32..5, objectives())
            .prop_map(|(session_id, objective)| Message::RequestSynchronization { session_id, objective }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// G-DULL-04 to G-DULL-11, G-DULL-15: whatever is heard, from wherever, on one link or two, nothing is sent but answers with
    /// the link's own address to who may ask; own questions and floods go one hop; nothing is kept that breaks a rule.
    #[test]
    fn whatever_is_heard_nothing_leaves_the_link(
        arrivals in prop::collection::vec((messages(), addresses(), 1_u32..3), 1..40),
        asked in 1_u8..=255,
    ) {
        let mut floods_core = Driver::flood_with(&[A, B], config().flood);
        let mut core = Driver::discovery_with(&[A, B], config().discovery);
        core.feed(local("AN_ACP", announce(0)));
        let question = Question { objective: Objective { name: "AN_Proxy".into(), ..acp(asked) }, ..ask(&[1, 2], 60_000) };
        let mut said = core.feed(discovery::Input::Discover(question));
        let own = send(&mut floods_core, 3, 0, vec![(acp(asked), None)]);
        for (_, raw) in floods(&own) {
            let Message::Flood { initiator, objectives, .. } = message(&raw) else { panic!("no flood") };
            prop_assert!([lla(OWN), lla(0x102)].iter().any(|own| initiator == *own));
            prop_assert!(objectives.iter().all(|tagged| tagged.objective.loop_count == 1));
        }
        for (n, (message, from, link)) in arrivals.into_iter().enumerate() {
            let source = SocketAddr::new(from.into(), 5000);
            let heard = Heard { link, source, raw: message.encode(), message, restricted: false };
            let admitted = Dull::infrastructure().admits(&heard).is_ok();
            core.now = at(n as u64 * 50);
            floods_core.now = core.now;
            let before = floods_core.core.store().len();
            let outputs = floods_core.feed(flood::Input::Heard(heard.clone()));
            prop_assert_eq!(floods(&outputs), vec![]);
            prop_assert!(admitted || (outputs.is_empty() && floods_core.core.store().len() == before));
            let outputs = core.feed(discovery::Input::Heard(heard.clone()));
            prop_assert!(admitted || (responses(&outputs).is_empty() && found(&outputs).is_empty()));
            said.extend(outputs);
        }
        for (_, raw) in multicasts(&said) {
            let Message::Discovery { initiator, objective, .. } = message(&raw) else { panic!("no discovery") };
            prop_assert_eq!((objective.loop_count, objective.name.as_str()), (1, "AN_Proxy"));
            prop_assert!([lla(OWN), lla(0x102)].iter().any(|own| initiator == *own));
        }
        for (link, to, answer) in responses(&said) {
            let Message::Response { answer: Answer::Locators(told), initiator, .. } = answer else { panic!("{answer:?}") };
            let own = if link == A { lla(OWN) } else { lla(0x102) };
            prop_assert_eq!(told, vec![tcp(own, 7017)]);
            prop_assert_eq!(initiator, to.ip());
        }
        for (copy, brought) in floods_core.core.store().all(floods_core.now) {
            prop_assert!(Dull::infrastructure().serves(&copy.objective.name) && copy.objective.loop_count == 1);
            let place = copy.locator.as_ref().and_then(|tag| tag.locator.address());
            prop_assert!(place.is_none_or(|place| place == brought.initiator));
            prop_assert!(copy.expires.is_some_and(|end| end.since(copy.heard) <= LONGEST));
        }
    }
}
