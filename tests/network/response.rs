//! The responder: who is answered, where, and with what (RFC 8990 §2.8.5).

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use ciborium::Value;
use grasp::{Objective, Registration};

use super::capture::Capture;
use super::{NAME, QUIET, Running, SOON, answer, ask, assert_answered, config, disc, fields, number, place, star};
use crate::lab::topology::ula;
use crate::lab::{Peer, Received, in_namespaces, msg, poll};

/// An address that nobody has.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0xfd5a, 0x1e57, 0xa1b0, 0x77, 0, 0, 0, 0x99);

/// G-DRSP-01, G-DRSP-04, G-DRSP-05, G-DRSP-07, G-DRSP-08, G-DRSP-12, G-TRN-03, G-TRN-04, G-TRN-14, G-TRN-16, G-CON-02,
/// G-OPT-07, G-OPT-08, G-SID-11, T-14, T-33: every byte of the answer; it goes by TCP to address and port of the datagram,
/// not to the initiator, and the connection is closed.
#[test]
fn a_discovery_is_answered_at_its_transport_source() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let mut capture = Capture::new(peers[0].host());
        let (sid, port) = (msg::sid(), node.status().port);
        peers[0].multicast(&disc(sid, NOBODY, NAME));
        let response = answer(&peers[0], sid);
        let expected = msg::response(sid, NOBODY, 60_000, vec![msg::locator(n.ula("a"), msg::TCP, port)], None);
        assert_eq!(msg::to_hex(&response.bytes), msg::to_hex(&expected));
        assert_eq!(*response.from.ip(), n.lla("a"));
        assert!(response.closed_after.is_some(), "the connection is closed after the answer");
        // The same question once more is a question of its own, and is answered as well.
        peers[0].multicast(&disc(sid, NOBODY, NAME));
        assert_eq!(answer(&peers[0], sid).bytes, expected);
        let packets = capture.packets();
        let own = [n.lla("a"), n.ula("a")];
        let mut from_n = packets.iter().filter(|packet| own.contains(&packet.source()));
        assert!(!from_n.any(|packet| packet.is_udp() || (packet.is_syn() && packet.port() != peers[0].port())));
        assert!(packets.iter().all(|packet| packet.destination() != NOBODY));
    });
}

/// G-DRSP-05, G-DRSP-06, G-DRSP-13, G-DRSP-18, G-OPT-09, G-RAPD-04, G-RAPD-05, T-15, T-24, T-34, G-DREL-01, G-DREL-04:
/// lifetime and address follow the registration, also on the second link and for a loop count of 1; a value in the
/// discovery is no request for rapid mode.
#[test]
fn the_answer_follows_the_registration() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let port = node.status().port;
        let discoverable = Registration { discoverable: true, ..Registration::default() };
        let short = Registration { ttl: 1234, ..discoverable.clone() };
        let long = Registration { ttl: 0, ..discoverable.clone() };
        let local = Registration { local: true, ..discoverable };
        let value = grasp::Value::item(&7).unwrap();
        let held = node.registered("short", Objective::synchronization("EX1").with_value(value.clone()), short);
        let served = held.clone();
        node.run(move |_| async move {
            served.listen_synchronize(&Objective::synchronization("EX1").with_value(value)).await.unwrap();
        });
        let _long = node.registered("long", Objective::negotiation("32473:long"), long);
        let _local = node.registered("local", Objective::negotiation("32473:local"), local);
        for (peer, interface) in peers.iter().zip(["a", "b"]) {
            for (name, ttl, address) in
                [("EX1", 1234, n.ula("a")), ("32473:long", 0, n.ula("a")), ("32473:local", 60_000, n.lla(interface))]
            {
                for (flags, loop_count) in [(msg::F_DISC | msg::F_NEG, 1), (msg::F_DISC | msg::F_SYNCH, 6)] {
                    let sid = msg::sid();
                    let value = Some(Value::from(0));
                    peer.multicast(&msg::discovery(sid, peer.ula(), name, flags, loop_count, value));
                    let locator = msg::locator(address, msg::TCP, port);
                    let expected = msg::response(sid, peer.ula(), ttl, vec![locator], None);
                    let answer = answer(peer, sid);
                    assert_eq!(msg::to_hex(&answer.bytes), msg::to_hex(&expected), "{name} on {interface}");
                    assert_eq!(*answer.from.ip(), n.lla(interface));
                }
            }
        }
        for peer in &peers {
            assert!(peer.heard(QUIET / 4).is_empty(), "what is supported is not relayed");
        }
    });
}

/// G-DRSP-02, G-DRSP-03, G-DRSP-11, G-GEN-10, G-GEN-11, G-HA-07: only what is available now is answered, and
/// the rest is discarded in silence.
#[test]
fn only_what_is_available_is_answered() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let peer = &peers[0];
        let node = Running::start(&n, config("n"));
        let quiet = |why: &str, names: &[&str]| {
            for name in names {
                peer.multicast(&disc(msg::sid(), peer.ula(), name));
            }
            let responses = peer.responses(QUIET);
            assert!(responses.is_empty(), "{why}: {responses:?}");
            assert!(peer.heard(Duration::ZERO).is_empty(), "{why}");
        };
        let holder = node.holder("holder", Objective::discovery("32473:held"));
        let asa = node.registered("A", Objective::negotiation(NAME), Registration::default());
        let seeker = asa.clone();
        let seeking = node.begin(move |_| async move {
            seeker.discover(&Objective::negotiation("32473:sought"), Duration::from_millis(300), None).await.unwrap()
        });
        peer.hear(SOON, |_| true);
        quiet("neither known nor listened for nor held", &["32473:other", NAME, "32473:sought"]);
        assert!(seeking.wait(SOON).is_empty());
        let listening = asa.clone();
        let _waiting = node.begin(move |_| async move {
            let _ = listening.listen_negotiate(&Objective::negotiation(NAME)).await;
        });
        poll("it is listened for", SOON, || {
            ask(peer, NAME);
            peer.responses(Duration::from_millis(50)).pop()
        });
        assert_answered(peer, "32473:held");
        let stopping = asa.clone();
        node.run(move |_| async move {
            stopping.stop_listen_negotiate(&Objective::negotiation(NAME)).await.unwrap();
        });
        drop(holder);
        poll("the holder has gone", SOON, || (node.status().asas == ["A"]).then_some(()));
        // Answers to what was asked before may still be on their way.
        peer.responses(QUIET / 2);
        quiet("not any more", &[NAME, "32473:held"]);
    });
}

/// G-DRSP-17: the instance answers for all ASAs.
#[test]
fn the_objectives_of_twenty_asas_are_answered() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let node = Running::start(&n, config("n"));
        let asas = node.run(|grasp| async move {
            let mut asas = Vec::new();
            for i in 0..20 {
                let asa = grasp.register_asa(&format!("asa {i}")).await.unwrap();
                let registration = Registration { discoverable: true, ttl: 1000 + i, ..Registration::default() };
                asa.register_objective(&Objective::negotiation(format!("32473:{i}")), registration).await.unwrap();
                asas.push(asa);
            }
            asas
        });
        assert_eq!(asas.len(), 20);
        let mut asked: Vec<u32> = (0..20).map(|i| ask(&peers[0], &format!("32473:{i}"))).collect();
        let mut answered: Vec<(u32, u64)> = (0..20)
            .map(|_| {
                let fields = fields(&peers[0].response(SOON).bytes);
                (u32::try_from(number(&fields[1])).unwrap(), number(&fields[3]))
            })
            .collect();
        answered.sort_by_key(|(_, ttl)| *ttl);
        assert_eq!(answered.iter().map(|(_, ttl)| *ttl).collect::<Vec<_>>(), (1000..1020).collect::<Vec<_>>());
        assert_eq!(answered.into_iter().map(|(sid, _)| sid).collect::<Vec<_>>(), std::mem::take(&mut asked));
    });
}

/// G-SOCK-09, T-14, T-30: the interface of a datagram is kept, so that peers with the same link-local address on two links
/// each get their own answer.
#[test]
fn equal_link_local_addresses_on_two_links_are_told_apart() {
    in_namespaces(|lab| {
        let n = lab.host("n");
        let same = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77);
        let mut peers = Vec::new();
        for (name, interface) in [("p1", "a"), ("p2", "b")] {
            let host = lab.host(name);
            lab.link(&[("n", interface), (name, "e0")]);
            host.delete_address("e0", host.lla("e0"), 64);
            host.add_address("e0", same, 64);
            host.wait_ready("e0");
            peers.push(Peer::new(&host, "e0"));
        }
        assert!(peers.iter().all(|peer| peer.lla() == same));
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let asked: Vec<u32> = peers.iter().map(|peer| ask(peer, NAME)).collect();
        for ((peer, sid), interface) in peers.iter().zip(asked).zip(["a", "b"]) {
            let response = peer.response(SOON);
            assert_eq!(number(&fields(&response.bytes)[1]), u64::from(sid));
            assert_eq!(*response.from.ip(), n.lla(interface));
        }
    });
}

/// G-DRSP-15, G-DRSP-16, G-TRN-15: a discovery that came over a connection is answered on it and closed; nothing is
/// multicast, and one that cannot be answered is closed without a word.
#[test]
fn a_discovery_over_a_connection_is_answered_on_it() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let port = node.status().port;
        let at = SocketAddrV6::new(n.ula("a"), port, 0, 0);
        let sid = msg::sid();
        let mut conn = peers[0].connect(at);
        conn.send(&disc(sid, NOBODY, NAME));
        let expected = msg::response(sid, NOBODY, 60_000, vec![msg::locator(n.ula("a"), msg::TCP, port)], None);
        assert_eq!(conn.recv_item(SOON), Received::Bytes(expected));
        assert_eq!(conn.recv(SOON), Received::Closed);
        let mut conn = peers[0].connect(at);
        conn.send(&disc(sid, NOBODY, "32473:unknown"));
        assert_eq!(conn.recv(SOON), Received::Closed);
        for peer in &peers {
            assert!(peer.responses(QUIET / 4).is_empty());
            assert!(peer.heard(Duration::ZERO).is_empty(), "what came by unicast is not relayed");
        }
        assert_answered(&peers[0], NAME);
    });
}

/// G-TRN-19, G-HA-01: an answer that cannot be delivered is no trouble, and is not tried again.
#[test]
fn a_peer_that_refuses_the_answer_is_left_alone() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let peer = &peers[0];
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let source = peer.host().lla_at("e0", 0);
        let deaf = peer.host().run(|| UdpSocket::bind(source)).unwrap();
        let deaf_port = deaf.local_addr().unwrap().port();
        let mut capture = Capture::new(peer.host());
        for _ in 0..3 {
            deaf.send_to(
                &disc(msg::sid(), peer.lla(), NAME),
                SocketAddrV6::new(crate::lab::peer::GROUP, crate::lab::peer::PORT, 0, peer.host().index("e0")),
            )
            .unwrap();
        }
        assert!(peer.responses(QUIET).is_empty());
        let attempts = capture.packets().iter().filter(|p| p.is_syn() && p.port() == deaf_port).count();
        assert_eq!(attempts, 3, "one attempt for each question");
        assert_eq!(node.count("discovery_unanswerable"), 3);
        assert_answered(peer, NAME);
    });
}

/// G-DRSP-14, G-HA-04, T-12, G-FLD-03: after renumbering, answers, discoveries and floods have the new address at once.
#[test]
fn renumbering_changes_what_is_said() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let peer = &peers[0];
        let node = Running::start(&n, config("n"));
        let asa = node.holder("A", Objective::synchronization(NAME));
        assert_eq!(*place(&fields(&assert_answered(peer, NAME).bytes)[4]).ip(), ula(1, 1));
        n.add_address("a", ula(9, 9), 64);
        assert_eq!(*place(&fields(&assert_answered(peer, NAME).bytes)[4]).ip(), ula(1, 1), "no reason to change");
        n.delete_address("a", ula(1, 1), 64);
        poll("the new address", Duration::from_secs(2), || (node.status().global == Some(ula(9, 9))).then_some(()));
        assert_eq!(*place(&fields(&assert_answered(peer, NAME).bytes)[4]).ip(), ula(9, 9));
        let asking = asa.clone();
        let found = node.begin(move |_| async move {
            let wanted = Objective::negotiation("32473:other");
            let found = asking.discover(&wanted, Duration::from_millis(100), None).await.unwrap();
            let flooded = Objective::synchronization(NAME).with_value(grasp::Value::null());
            asking.flood(1000, vec![(flooded, None)]).await.unwrap();
            found
        });
        for kind in [1, 9] {
            let heard = peer.hear(SOON, |datagram| number(&fields(&datagram.bytes)[0]) == kind);
            assert_eq!(super::head(&heard.bytes).1, ula(9, 9));
            assert_eq!(*heard.source.ip(), n.lla("a"));
        }
        assert!(found.wait(SOON).is_empty());
    });
}
