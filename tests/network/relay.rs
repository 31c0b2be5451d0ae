//! Relaying discoveries and their answers (RFC 8990 §2.5.4.4).

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use grasp::Objective;

use super::{
    NAME, QUIET, Running, SOON, answer, assert_quiet_and_alive, config, disc, elements, fields, head, number, place,
    respond, star,
};
use crate::lab::topology::ula;
use crate::lab::{Peer, in_namespaces, msg};

/// V-01 and V-22 of the conformance checklist, up to the loop count, and the value after it.
const V01: &str = "84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050200";
const V22: &str = "84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050100";

/// Head of a discovery of "EX1" with flags 5, up to the loop count.
fn exotic(sid: u32, loop_count: &str, value: &str) -> Vec<u8> {
    let address = "50 20010db8f000baaa28ccdc4c97036781";
    msg::hex(&format!("84 01 1a{sid:08x} {address} 84 63455831 05 {loop_count} {value}"))
}

/// G-DREL-01, G-DREL-02, G-DREL-03, G-DREL-05, G-DREL-07, G-DREL-17, G-GEN-02, G-TRN-08, T-03: a discovery that nobody
/// here can answer goes to the other links with a lower loop count, and every other byte as it was.
#[test]
fn an_unknown_discovery_is_relayed_byte_for_byte() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 3);
        let node = Running::start(&n, config("n"));
        // A map with a float, a tag, undefined, a long form of 1, and text and array of indefinite length.
        let value = "a5 01 fa3fc00000 02 c11a514b67b0 03 f7 04 1b0000000000000001 05 9f 7f 6161 6162 ff ff";
        let cases = [
            (msg::hex(V01), msg::hex(V22)),
            (exotic(7, "06", value), exotic(7, "05", value)),
            (exotic(8, "1818", value), exotic(8, "17", value)),
            (exotic(9, "18ff", "f6"), exotic(9, "18fe", "f6")),
        ];
        for (sent, expected) in &cases {
            peers[0].multicast(sent);
            for (peer, interface) in peers[1..].iter().zip(["b", "c"]) {
                let heard = peer.hear(SOON, |_| true);
                assert_eq!(msg::to_hex(&heard.bytes), msg::to_hex(expected));
                assert_eq!(*heard.source.ip(), n.lla(interface));
            }
        }
        assert!(peers[0].heard(QUIET).is_empty(), "never back");
        assert!(peers[1..].iter().all(|peer| peer.heard(Duration::ZERO).is_empty()), "once each");
        assert!(peers[0].responses(Duration::ZERO).is_empty());
        assert_eq!(node.count("discovery_relayed"), 4);
    });
}

/// G-DREL-08, G-DISC-07, G-DRSP-18, G-ERR-07: the last hop is the last; no count wraps around.
#[test]
fn a_loop_count_of_one_or_zero_goes_no_further() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        for loop_count in ["01", "00", "190100", "20"] {
            peers[0].multicast(&exotic(msg::sid(), loop_count, "f6"));
        }
        assert_quiet_and_alive(&[&peers[0], &peers[1]], NAME);
        assert_eq!(node.count("discovery_discarded"), 2);
    });
}

/// G-DREL-09, G-DREL-10, T-26: a discovery is relayed once, whichever link it comes back on, also after its
/// relay has timed out; another initiator with the same session id is another discovery.
#[test]
fn a_discovery_is_relayed_once() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 3);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let sid = msg::sid();
        let message = |initiator| msg::discovery(sid, initiator, "32473:other", 3, 2, None);
        peers[0].multicast(&message(ula(1, 2)));
        peers[1].hear(SOON, |_| true);
        peers[2].hear(SOON, |_| true);
        peers[2].multicast(&message(ula(1, 2)));
        peers[0].multicast(&message(ula(1, 2)));
        // Meanwhile the relay of one hop times out.
        assert_quiet_and_alive(&[&peers[0], &peers[1], &peers[2]], NAME);
        peers[0].multicast(&message(ula(1, 2)));
        assert_quiet_and_alive(&[&peers[0], &peers[1], &peers[2]], NAME);
        assert_eq!(node.count("discovery_duplicates"), 3);
        peers[0].multicast(&message(ula(1, 99)));
        assert_eq!(head(&peers[1].hear(SOON, |_| true).bytes), (sid, ula(1, 99), 1));
    });
}

/// G-DREL-06, G-DREL-11, G-DREL-12, G-DREL-13, G-DREL-14, G-DREL-15, G-DIVT-01, G-DIVT-03, G-DIVT-09, T-36, T-37: what comes back to
/// the source of a relayed discovery goes to its asker at once as a flat divert, from every responder, under the
/// original session id and initiator; what comes after the timeout of the relay does not.
#[test]
fn every_answer_is_passed_back_as_a_divert() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 3);
        let _node = Running::start(&n, config("n"));
        let (sid, initiator) = (msg::sid(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9));
        peers[0].multicast(&disc(sid, initiator, NAME));
        let at = |host, port| msg::locator(ula(9, host), msg::TCP, port);
        let copies = [peers[1].hear(SOON, |_| true), peers[2].hear(SOON, |_| true)];
        let expected = |peer: &Peer, source, options, passed| {
            respond(peer, source, &msg::response(sid, initiator, 5_000, options, None));
            let response = answer(&peers[0], sid);
            let divert = msg::response(sid, initiator, 5_000, vec![msg::divert(passed)], None);
            assert_eq!(msg::to_hex(&response.bytes), msg::to_hex(&divert));
            assert_eq!(*response.from.ip(), n.lla("a"));
            assert!(response.closed_after.is_some());
        };
        expected(&peers[1], copies[0].source, vec![at(1, 10)], vec![at(1, 10)]);
        expected(&peers[2], copies[1].source, vec![at(2, 10), at(3, 10)], vec![at(2, 10), at(3, 10)]);
        expected(&peers[1], copies[0].source, vec![msg::divert(vec![at(4, 10)])], vec![at(4, 10)]);
        let responses = peers[0].responses(QUIET);
        assert!(responses.is_empty(), "{responses:?}");
        std::thread::sleep(Duration::from_millis(500).saturating_sub(copies[0].at.elapsed()));
        respond(&peers[1], copies[0].source, &msg::response(sid, initiator, 5_000, vec![at(5, 10)], None));
        assert!(peers[0].responses(QUIET).is_empty(), "the relay is over");
    });
}

/// G-DREL-16, G-DIVT-04, G-DIVT-05, G-DIVT-06, G-DIVT-07, T-15: what means something else elsewhere is not passed on.
#[test]
fn what_is_valid_only_nearby_is_not_passed_on() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let mut settings = config("n");
        settings.discovery.settings.internal_nat4 = true;
        let _node = Running::start(&n, settings);
        let uri = |uri: &str| msg::array([106.into(), uri.into(), ciborium::Value::Null, ciborium::Value::Null]);
        let v4 = || msg::array([104.into(), ciborium::Value::Bytes(vec![192, 0, 2, 1]), 6.into(), 80.into()]);
        let near = || {
            vec![
                msg::locator(peers[1].lla(), msg::TCP, 1),
                v4(),
                msg::fqdn_locator("printer.local", msg::TCP, 1),
                uri("http://printer.local/"),
                uri("http://[fe80::1]/"),
            ]
        };
        let far = || vec![msg::fqdn_locator("a.example.com", msg::TCP, 1), uri("coap://a.example.com/")];
        for (options, passed) in [(near(), vec![]), ([near(), far()].concat(), far())] {
            let sid = msg::sid();
            peers[0].multicast(&disc(sid, peers[0].ula(), &format!("32473:{sid}")));
            let heard = peers[1].hear(SOON, |_| true);
            respond(&peers[1], heard.source, &msg::response(sid, peers[0].ula(), 0, options, None));
            let responses = peers[0].responses(QUIET);
            let diverts: Vec<_> = responses.iter().map(|response| fields(&response.bytes)[4].clone()).collect();
            let expected = if passed.is_empty() { vec![] } else { vec![msg::divert(passed)] };
            assert_eq!(diverts, expected);
            // Nor is it told from the cache.
            peers[0].multicast(&disc(msg::sid(), peers[0].ula(), &format!("32473:{sid}")));
            let responses = peers[0].responses(QUIET);
            let diverts: Vec<_> = responses.iter().map(|response| fields(&response.bytes)[4].clone()).collect();
            assert_eq!(diverts, expected);
        }
    });
}

/// G-DREL-18, G-DISC-07, G-DISC-21, G-TRN-08, G-GEN-02: along a chain of relays each hop repeats the procedure, as far as
/// the loop count goes.
#[test]
fn a_chain_of_relays_finds_what_is_at_its_end() {
    in_namespaces(|lab| {
        let hosts = lab.line(5);
        let (asker, responder) = (Peer::new(&hosts[0], "right"), Peer::new(&hosts[4], "left"));
        let _nodes: Vec<Running> = ["h2", "h3", "h4"]
            .iter()
            .zip(&hosts[1..4])
            .map(|(name, host)| Running::start(host, config(name)))
            .collect();
        let sid = msg::sid();
        asker.multicast(&msg::discovery(sid, asker.ula(), NAME, 3, 2, None));
        assert!(responder.heard(QUIET).is_empty(), "two hops are too few");
        let sid = msg::sid();
        asker.multicast(&disc(sid, asker.ula(), NAME));
        let heard = responder.hear(SOON, |_| true);
        assert_eq!(head(&heard.bytes), (sid, asker.ula(), 3));
        assert_eq!(*heard.source.ip(), hosts[3].lla("right"));
        let locator = msg::locator(responder.ula(), msg::TCP, responder.port());
        respond(&responder, heard.source, &msg::response(sid, asker.ula(), 60_000, vec![locator], None));
        let response = answer(&asker, sid);
        assert_eq!(*response.from.ip(), hosts[1].lla("left"));
        let fields = fields(&response.bytes);
        let [kind, locator] = elements(&fields[4]) else { panic!("{fields:?}") };
        assert_eq!((number(kind), place(locator).ip()), (100, &responder.ula()));
    });
}

/// G-DISC-21, G-DREL-10, G-FREL-09, G-FREL-12, G-FCAC-09, T-53: in a ring every link carries a discovery or flood at most
/// once from either end, every node takes the flood once, and then it is quiet.
#[test]
fn a_ring_of_relays_falls_silent() {
    in_namespaces(|lab| {
        let hosts = lab.ring(4);
        let ears: Vec<Peer> = hosts.iter().map(|host| Peer::new(host, "right")).collect();
        let nodes: Vec<Running> = ["h1", "h2", "h3", "h4"]
            .iter()
            .zip(&hosts)
            .map(|(name, host)| Running::start(host, config(name)))
            .collect();
        let objective = Objective::synchronization("EX1");
        let asa = nodes[0].holder("A", objective.clone());
        let watching: Vec<_> = nodes[1..]
            .iter()
            .map(|node| {
                let (asa, objective) = (node.asa("W"), objective.clone());
                node.run(move |_| async move { (asa.watch_flood(&objective).await.unwrap(), asa) })
            })
            .collect();
        let flooded = objective.with_value(grasp::Value::item(&1).unwrap());
        nodes[0].run(move |_| async move {
            let wanted = Objective::negotiation("32473:nowhere").with_loop_count(255);
            asa.discover(&wanted, Duration::from_millis(200), None).await.unwrap();
            asa.flood(60_000, vec![(flooded.with_loop_count(255), None)]).await.unwrap();
        });
        let heard: Vec<Vec<_>> = ears.iter().map(|ear| ear.heard(QUIET / 4)).collect();
        for kind in [1, 9] {
            let of_kind = |datagram: &&crate::lab::Datagram| number(&fields(&datagram.bytes)[0]) == kind;
            let copies: Vec<usize> = heard.iter().map(|link| link.iter().filter(of_kind).count()).collect();
            // Two from the origin, one from each of its neighbours, and one from the node that is furthest away.
            assert_eq!(copies.iter().sum::<usize>(), 5, "message {kind}: {copies:?}");
            assert!(copies.iter().all(|count| (1..=2).contains(count)), "message {kind}: {copies:?}");
            let of_one = heard.iter().flatten().filter(of_kind).map(|datagram| head(&datagram.bytes).0);
            assert_eq!(of_one.collect::<BTreeSet<_>>().len(), 1);
        }
        assert!(ears.iter().all(|ear| ear.heard(QUIET / 4).is_empty()));
        for (mut copies, _asa) in watching {
            assert_eq!(copies.try_recv().unwrap().objective.name, "EX1");
            assert!(copies.try_recv().is_err(), "once");
        }
    });
}
