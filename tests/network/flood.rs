//! Flooding on real links (RFC 8990 §2.5.6.2, §2.8.11).

use std::net::Ipv6Addr;
use std::time::Duration;

use ciborium::Value;
use grasp::protocol::flood::Flooded;
use grasp::{Asa, ErrorCode, Locator, Objective, Registration};

use super::capture::Capture;
use super::{NAME, QUIET, Running, SOON, assert_answered, assert_quiet_and_alive, config, fields, head, number, star};
use crate::lab::topology::ula;
use crate::lab::{Peer, Received, in_namespaces, msg, poll};

const V03: &str =
    "85091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050282704578616d706c6520312076616c75653d186480";
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The flooded copies of a name, latest first.
fn copies(node: &Running, asa: &Asa, name: &'static str) -> Vec<Flooded> {
    let asa = asa.clone();
    node.run(move |_| async move { asa.get_flood(&Objective::synchronization(name)).await.unwrap() })
}

/// Waits until there are so many copies of a name.
fn wait_copies(node: &Running, asa: &Asa, name: &'static str, count: usize) -> Vec<Flooded> {
    poll(&format!("{count} copies of {name}"), SOON, || {
        Some(copies(node, asa, name)).filter(|copies| copies.len() == count)
    })
}

fn value(flooded: &Flooded) -> u64 {
    flooded.objective.value.as_ref().unwrap().decode().unwrap()
}

/// A flood of one synchronization objective with a number and the null tag, from a distant initiator.
fn numbered(sid: u32, ttl: u32, name: &str, number: u64) -> Vec<u8> {
    msg::flood(sid, FAR, ttl, vec![(msg::objective(name, 4, 6, Some(Value::from(number))), None)])
}

fn send(node: &Running, asa: &Asa, ttl: u32, objectives: Vec<(Objective, Option<Locator>)>) -> Result<(), ErrorCode> {
    let asa = asa.clone();
    node.run(move |_| async move { asa.flood(ttl, objectives).await.map_err(|error| error.code) })
}

/// G-FREL-01 to G-FREL-06, G-FREL-10, G-FREL-11, G-FCAC-01, G-FCAC-02, G-FCAC-10, G-FLD-16, G-FLD-18, G-FLD-19, G-GEN-02,
/// G-GEN-09: a flood goes to the other links with the first loop count lowered and every other byte as it was, and is kept
/// with its tags before any ASA asks; it has no answer.
#[test]
fn a_flood_is_relayed_byte_for_byte_and_kept() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 3);
        let node = Running::start(&n, config("n"));
        let v24 = "86091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050601808284634558320503028418675020010db8f000baaaf000baaaf000baaa06191b69";
        let v25 = v24.replacen("4558310506", "4558310505", 1);
        // Every kind of value: -1, bytes, text, array, map with a repeated key, tag, float, undefined, indefinite lengths.
        let pair = |name: &str, rest: &str| format!("82 {name} {rest} 80");
        let all = "8a 20 4101 6161 80 a200010002 c100 fb3ff199999999999a f7 f8ff 9f5f4101ffff";
        let exotic = |loop_count: &str| {
            let first = pair("84 63455833 04", &format!("{loop_count} {all}"));
            let bare = pair("83 655352562e78", "04 18ff");
            msg::hex(&format!("86 09 01 50 20010db8f000baaa28ccdc4c97036781 190bb8 {first} {bare}"))
        };
        for (sent, expected) in [(msg::hex(v24), msg::hex(&v25)), (exotic("1818"), exotic("17"))] {
            peers[0].multicast(&sent);
            for (peer, interface) in peers[1..].iter().zip(["b", "c"]) {
                let heard = peer.hear(SOON, |_| true);
                assert_eq!(msg::to_hex(&heard.bytes), msg::to_hex(&expected));
                assert_eq!(*heard.source.ip(), n.lla(interface));
            }
        }
        // On the second link as well; the vectors share a session id.
        peers[1].multicast(&msg::hex(&V03.replacen("00357b4e", "00357b4f", 1)));
        peers[0].hear(SOON, |_| true);
        assert!(peers.iter().all(|peer| peer.responses(QUIET / 4).is_empty()), "a flood has no answer");
        assert!(peers[1].heard(Duration::ZERO).is_empty() && peers[0].heard(Duration::ZERO).is_empty(), "never back");

        let asa = node.holder("late", Objective::negotiation(NAME));
        let one = &copies(&node, &asa, "EX1")[0];
        assert_eq!((one.locator.as_ref(), one.link), (None, n.index("b")), "the latest");
        let two = &copies(&node, &asa, "EX2")[0];
        let tag =
            Locator::tcp(Ipv6Addr::new(0x2001, 0xdb8, 0xf000, 0xbaaa, 0xf000, 0xbaaa, 0xf000, 0xbaaa).into(), 7017);
        assert_eq!(two.locator.as_ref().map(|locator| &locator.locator), Some(&tag));
        assert_eq!(value(two), 2);
        let three = &copies(&node, &asa, "EX3")[0];
        assert_eq!(
            msg::to_hex(three.objective.value.as_ref().unwrap().as_bytes()),
            msg::to_hex(value_of(&exotic("17")))
        );
        assert_eq!(copies(&node, &asa, "SRV.x")[0].objective.value, None);
        assert_answered(&peers[0], NAME);
    });
}

/// The value of the first objective of a flood, as it is in the bytes.
fn value_of(flood: &[u8]) -> &[u8] {
    let at = flood.windows(5).position(|window| window == [0x63, 0x45, 0x58, 0x33, 0x04]).unwrap() + 6;
    &flood[at..at + crate::lab::cbor::item_len(&flood[at..]).unwrap()]
}

/// G-FREL-07, G-FREL-09, G-FCAC-03, G-FCAC-09, T-53: a loop count of one or zero goes no further, whatever those
/// of later objectives are; a flood is relayed and kept once, also when it comes back by another way after a newer one.
#[test]
fn a_flood_is_taken_once() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 3);
        let node = Running::start(&n, config("n"));
        let asa = node.holder("A", Objective::negotiation(NAME));
        for first in [0, 1] {
            let pairs = [("32473:one", first), ("32473:two", 3)];
            let pairs = pairs.map(|(name, left)| (msg::objective(name, 4, left, Some(Value::from(1))), None));
            peers[0].multicast(&msg::flood(msg::sid(), FAR, 60_000, pairs.to_vec()));
        }
        assert_quiet_and_alive(&[&peers[0], &peers[1], &peers[2]], NAME);
        let (older, newer) = (numbered(1, 0, "EX1", 1), numbered(2, 0, "EX1", 2));
        for flood in [&older, &newer] {
            peers[0].multicast(flood);
            peers[1].hear(SOON, |_| true);
            peers[2].hear(SOON, |_| true);
        }
        peers[2].multicast(&older);
        peers[0].multicast(&newer);
        assert_quiet_and_alive(&[&peers[0], &peers[1], &peers[2]], NAME);
        assert_eq!(copies(&node, &asa, "EX1").iter().map(value).collect::<Vec<_>>(), [2]);
        assert_eq!(node.count("flood_duplicates"), 2);
        // The same session id from another initiator is another flood.
        let objective = msg::objective("EX1", 4, 6, Some(Value::from(3)));
        peers[0].multicast(&msg::flood(1, ula(1, 2), 0, vec![(objective, None)]));
        peers[1].hear(SOON, |_| true);
        assert_eq!(copies(&node, &asa, "EX1").iter().map(value).collect::<Vec<_>>(), [3]);
    });
}

/// G-FLD-10, T-11: a flood with a link-local initiator counts only if every loop count is one, and is not relayed.
#[test]
fn a_link_local_flood_goes_one_hop() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let asa = node.holder("A", Objective::negotiation(NAME));
        let lla = peers[0].lla();
        let pairs = |counts: &[u8]| {
            counts.iter().map(|left| (msg::objective("EX1", 4, *left, Some(Value::from(1))), None)).collect::<Vec<_>>()
        };
        for counts in [&[2_u8][..], &[1, 2], &[6]] {
            peers[0].multicast(&msg::flood(msg::sid(), lla, 0, pairs(counts)));
        }
        assert_quiet_and_alive(&[&peers[0], &peers[1]], NAME);
        assert!(copies(&node, &asa, "EX1").is_empty());
        assert_eq!(node.count("flood_far_link_local"), 3);
        // V-26.
        let v26 = "85091a00bc4e4f50fe80000000000000c0011001feef00001a00033450828466414e5f414350040165494b45763284186750fe80000000000000c0011001feef000011193a98";
        peers[0].multicast(&msg::hex(v26));
        assert_quiet_and_alive(&[&peers[0], &peers[1]], NAME);
        let kept = &copies(&node, &asa, "AN_ACP")[0];
        assert_eq!(kept.locator.as_ref().map(|locator| locator.interface), Some(n.index("a")));
        // The same address on the other link is another place (T-55), and another initiator.
        peers[1].multicast(&msg::hex(v26));
        assert_eq!(wait_copies(&node, &asa, "AN_ACP", 2)[0].link, n.index("b"));
    });
}

/// G-FCAC-03 to G-FCAC-08: the tag, all of it, tells copies apart; the same tag overwrites, lifetime included.
#[test]
fn copies_are_told_apart_by_their_tags() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let node = Running::start(&n, config("n"));
        let asa = node.asa("A");
        let tagged = |number: u64, ttl, locator| {
            let objective = msg::objective("EX1", 4, 1, Some(Value::from(number)));
            peers[0].multicast(&msg::flood(msg::sid(), FAR, ttl, vec![(objective, Some(locator))]));
        };
        tagged(1, 0, msg::locator(ula(9, 9), msg::TCP, 1000));
        tagged(2, 0, msg::locator(ula(9, 9), msg::TCP, 1001));
        tagged(3, 0, msg::locator(ula(9, 9), msg::UDP, 1000));
        tagged(4, 0, msg::fqdn_locator("a.example.com", msg::TCP, 1000));
        peers[0].multicast(&numbered(msg::sid(), 0, "EX1", 5));
        assert_eq!(wait_copies(&node, &asa, "EX1", 5).iter().map(value).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
        tagged(6, 0, msg::locator(ula(9, 9), msg::TCP, 1000));
        tagged(7, 300, msg::locator(ula(9, 9), msg::TCP, 1001));
        peers[0].multicast(&numbered(msg::sid(), 300, "EX1", 8));
        peers[0].multicast(&numbered(msg::sid(), 60_000, "EX1", 9));
        poll("the last one is kept", SOON, || copies(&node, &asa, "EX1").iter().any(|c| value(c) == 9).then_some(()));
        assert_eq!(wait_copies(&node, &asa, "EX1", 4).iter().map(value).collect::<Vec<_>>(), [9, 6, 4, 3]);
    });
}

/// G-FLD-01 to G-FLD-08, G-CON-05, G-TRN-25, G-FLD-12, G-FLD-21, G-SID-11, T-40: what a local ASA floods, byte for byte, on
/// each link under one new session id; what is no synchronization objective, and what comes too often, is refused.
#[test]
fn a_flood_of_a_local_asa_leaves_on_each_link() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let mut settings = config("n");
        settings.flood.burst = 3;
        let node = Running::start(&n, settings);
        let objective = Objective::synchronization("EX1");
        let asa = node.registered("A", objective.clone(), Registration::default());
        let no_synch = Objective::negotiation(NAME).with_value(grasp::Value::null());
        let asking = asa.clone();
        let registered = no_synch.clone();
        node.run(move |_| async move {
            asking.register_objective(&registered, Registration::default()).await.unwrap();
        });
        assert!(peers[0].heard(QUIET / 4).is_empty(), "never without a call");
        let pair = ("Example 1 value=", 100_u64);
        let flooded = objective.with_value(grasp::Value::item(&pair).unwrap());
        let tag = Locator::tcp(ula(5, 5).into(), 1234);
        let mut ids = std::collections::BTreeSet::new();
        for (ttl, locator) in [(10_000, None), (0, Some(tag)), (0, None)] {
            send(&node, &asa, ttl, vec![(flooded.clone(), locator.clone())]).unwrap();
            let value = msg::array(["Example 1 value=".into(), 100.into()]);
            let option = locator.map(|_| msg::locator(ula(5, 5), msg::TCP, 1234));
            let pairs = vec![(msg::objective("EX1", 5, 6, Some(value)), option)];
            for (peer, interface) in peers.iter().zip(["a", "b"]) {
                let heard = peer.hear(SOON, |_| true);
                let (sid, ..) = head(&heard.bytes);
                ids.insert(sid);
                assert_eq!(heard.bytes, msg::flood(sid, ula(1, 1), ttl, pairs.clone()));
                assert_eq!(*heard.source.ip(), n.lla(interface));
            }
        }
        assert_eq!(ids.len(), 3, "one for each flood");
        assert_eq!(send(&node, &asa, 0, vec![(flooded.clone(), None)]), Err(ErrorCode::Unspecified), "too often");
        assert_eq!(send(&node, &asa, 0, vec![(no_synch, None)]), Err(ErrorCode::NotSynchronizable));
        assert!(peers.iter().all(|peer| peer.heard(QUIET / 4).is_empty()));
        let own = node.asa("reader on the same node");
        assert_eq!(copies(&node, &own, "EX1").len(), 2);
    });
}

/// G-FLD-09, G-FLD-17, T-52: `::` becomes the address of each link, the initiator too, and the flood goes one hop.
#[test]
fn the_unspecified_address_becomes_that_of_each_link() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 3);
        let node = Running::start(&n, config("n"));
        let objective = Objective::synchronization("EX1");
        let asa = node.registered("A", objective.clone(), Registration::default());
        let here = || Some(Locator::tcp(Ipv6Addr::UNSPECIFIED.into(), 1234));
        let one = objective.with_value(grasp::Value::item(&1).unwrap());
        send(&node, &asa, 1000, vec![(one.clone(), here()), (one.clone(), here())]).unwrap();
        for (peer, interface) in peers.iter().zip(["a", "b", "c"]) {
            let heard = peer.hear(SOON, |_| true);
            let lla = n.lla(interface);
            let pair = (msg::objective("EX1", 5, 1, Some(Value::from(1))), Some(msg::locator(lla, msg::TCP, 1234)));
            let expected = msg::flood(head(&heard.bytes).0, lla, 1000, vec![pair.clone(), pair]);
            assert_eq!(msg::to_hex(&heard.bytes), msg::to_hex(&expected));
            // Back on its link it is still the node's own.
            peer.multicast(&heard.bytes);
        }
        assert_eq!(send(&node, &asa, 1000, vec![(one.clone(), here()), (one, None)]), Err(ErrorCode::InvalidLocator));
        assert!(peers.iter().all(|peer| peer.heard(QUIET / 4).is_empty()));
        assert_eq!(node.count("flood_duplicates"), 3);
    });
}

/// G-TRN-05, G-TRN-06, G-HA-01: the largest flood is one packet of 1280 bytes; a longer one is refused, and a received one
/// that is longer is kept but not relayed.
#[test]
fn a_flood_is_never_fragmented() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let mut capture = Capture::new(peers[0].host());
        let node = Running::start(&n, config("n"));
        let objective = Objective::synchronization("EX1");
        let asa = node.registered("A", objective.clone(), Registration::default());
        let sized = |length: usize| objective.clone().with_value(grasp::Value::item(&"x".repeat(length)).unwrap());
        let empty = msg::flood(u32::MAX, FAR, 70_000, vec![(msg::objective("EX1", 5, 6, Some("".into())), None)]).len();
        // A text of that length has two more bytes of head than an empty one.
        let fits = 1232 - empty - 2;
        let mut sent = false;
        // A session id may be shorter than five bytes.
        for _ in 0..3 {
            sent |= send(&node, &asa, 70_000, vec![(sized(fits), None)]).is_ok();
        }
        assert!(sent);
        assert_eq!(send(&node, &asa, 70_000, vec![(sized(fits + 5), None)]), Err(ErrorCode::Unspecified));
        let heard = peers[0].hear(SOON, |datagram| datagram.bytes.len() == 1232);
        peers[1].hear(SOON, |datagram| datagram.bytes == heard.bytes);
        let packets = capture.packets();
        let from_n: Vec<_> = packets.iter().filter(|packet| packet.source() == n.lla("a")).collect();
        assert!(from_n.iter().any(|packet| packet.len() == 1280));
        assert!(from_n.iter().all(|packet| packet.len() <= 1280 && !packet.is_fragment()));
        peers[1].heard(Duration::from_millis(50));
        let long = "x".repeat(1300);
        let pair = (msg::objective("EX2", 4, 6, Some(long.as_str().into())), None);
        peers[0].multicast(&msg::flood(msg::sid(), FAR, 0, vec![pair]));
        wait_copies(&node, &asa, "EX2", 1);
        assert!(peers[1].heard(QUIET / 4).is_empty());
        assert_eq!(node.count("flood_too_long"), 1);
    });
}

/// G-FLD-13, G-FLD-20, T-40: who floods may serve the value as well; who missed the flood discovers and asks.
#[test]
fn who_missed_a_flood_discovers_and_asks() {
    in_namespaces(|lab| {
        let hosts = lab.lan(3);
        let source = Running::start(&hosts[0], config("source"));
        let objective = Objective::synchronization("EX1");
        let asa = source.registered("A", objective.clone(), Registration::default());
        let flooded = objective.clone().with_value(grasp::Value::item(&42).unwrap());
        let (serving, served) = (asa.clone(), flooded.clone());
        source.run(move |_| async move { serving.listen_synchronize(&served).await.unwrap() });
        let peer = Peer::new(&hosts[2], "e0");
        send(&source, &asa, 60_000, vec![(flooded, None)]).unwrap();
        peer.hear(SOON, |_| true);
        let late = Running::start(&hosts[1], config("late"));
        let reader = late.asa("R");
        assert!(copies(&late, &reader, "EX1").is_empty());
        let got = late.run(move |_| async move { reader.synchronize(&objective, None, SOON).await.unwrap() });
        assert_eq!(got.value.unwrap().decode::<u64>().unwrap(), 42);
        let (sid, port) = (msg::sid(), source.status().port);
        let mut conn = peer.connect(std::net::SocketAddrV6::new(hosts[0].ula("e0"), port, 0, 0));
        conn.send(&msg::reqsyn(sid, msg::objective("EX1", 5, 6, Some(Value::Null))));
        let synch = fields(&conn.recv_item(SOON).bytes());
        assert_eq!((number(&synch[0]), number(&synch[1])), (8, u64::from(sid)));
        assert_eq!(conn.recv(SOON), Received::Closed);
    });
}
