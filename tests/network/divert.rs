//! Answers from the discovery cache (RFC 8990 §2.5.4.3, §2.9.2).

use std::time::{Duration, Instant};

use grasp::{Locator, Objective};

use super::{
    NAME, QUIET, Running, SOON, answer, assert_quiet_and_alive, config, disc, elements, fields, head, number, place,
    respond, star,
};
use crate::lab::topology::ula;
use crate::lab::{Peer, in_namespaces, msg, poll};

/// G-DCAC-03, G-DCAC-04, G-DCAC-11, G-DCAC-13, G-DREL-04, G-DRSP-09, G-DRSP-10, G-DIVT-01, G-DIVT-03, G-DIVT-09, T-35:
/// a relay remembers what it passed on, and tells it on other links than that where it learned it, for as long as it
/// lives.
#[test]
fn what_was_relayed_is_answered_from_memory() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation("32473:held"));
        let sid = msg::sid();
        peers[0].multicast(&disc(sid, peers[0].ula(), NAME));
        let heard = peers[1].hear(SOON, |_| true);
        let locator = msg::locator(ula(2, 50), msg::TCP, 1000);
        respond(&peers[1], heard.source, &msg::response(sid, peers[0].ula(), 1_500, vec![locator.clone()], None));
        let learned = Instant::now();
        answer(&peers[0], sid);
        let sid = msg::sid();
        std::thread::sleep(Duration::from_millis(300));
        peers[0].multicast(&disc(sid, peers[0].ula(), NAME));
        let response = answer(&peers[0], sid);
        let told = fields(&response.bytes);
        assert_eq!(told[4], msg::divert(vec![locator]));
        let (ttl, age) = (number(&told[3]), learned.elapsed());
        assert!(0 < ttl && ttl <= 1_200, "{ttl} ms left after {age:?}");
        assert!(peers[1].heard(QUIET / 4).is_empty(), "known, so not relayed");
        // Where it was learned it is not told; the question goes on instead.
        let sid = msg::sid();
        peers[1].multicast(&disc(sid, peers[1].ula(), NAME));
        assert_eq!(head(&peers[0].hear(SOON, |_| true).bytes), (sid, peers[1].ula(), 5));
        assert_quiet_and_alive(&[&peers[0], &peers[1]], "32473:held");
        // Afterwards all begins anew.
        std::thread::sleep(Duration::from_millis(1_600).saturating_sub(learned.elapsed()));
        let sid = msg::sid();
        peers[0].multicast(&disc(sid, peers[0].ula(), NAME));
        assert_eq!(head(&peers[1].hear(SOON, |_| true).bytes), (sid, peers[0].ula(), 5));
        assert!(peers[0].responses(QUIET / 4).is_empty());
    });
}

/// G-DRSP-10, G-DRSP-11, G-GEN-10: on the link where it was learned a locator is not told to others.
#[test]
fn what_was_learned_on_a_link_is_not_told_there() {
    in_namespaces(|lab| {
        let hosts = lab.lan(3);
        let (one, two) = (Peer::new(&hosts[1], "e0"), Peer::new(&hosts[2], "e0"));
        let node = Running::start(&hosts[0], config("n"));
        let asa = node.holder("A", Objective::negotiation("32473:held"));
        let found = node.begin(move |_| async move {
            let found = asa.discover(&Objective::negotiation(NAME), Duration::from_millis(300), None).await.unwrap();
            (found, asa)
        });
        let heard = one.hear(SOON, |_| true);
        two.hear(SOON, |_| true);
        let (sid, initiator, _) = head(&heard.bytes);
        let locator = msg::locator(one.ula(), msg::TCP, 1000);
        respond(&one, heard.source, &msg::response(sid, initiator, 60_000, vec![locator], None));
        let (found, _asa) = found.wait(SOON);
        assert_eq!(found[0].locator, Locator::tcp(one.ula().into(), 1000));
        // From here on the others hear what one of them asks.
        two.multicast(&disc(msg::sid(), two.ula(), NAME));
        one.hear(SOON, |datagram| *datagram.source.ip() == two.lla());
        assert_quiet_and_alive(&[&two], "32473:held");
        assert_eq!(node.count("discovery_discarded"), 1);
    });
}

/// G-DIVT-08, G-DIVT-10, G-DCAC-07, G-TRN-22, G-GEN-07: a request goes to the very target of a divert, wherever that is;
/// and to a locator made by hand, without any discovery.
#[test]
fn a_request_goes_to_the_target_of_a_divert() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let objective = Objective::negotiation(NAME).with_value(grasp::Value::null());
        let asa = node.registered("A", objective.clone(), grasp::Registration::default());
        let asking = asa.clone();
        let found = node.begin(move |_| async move {
            asking.discover(&Objective::negotiation(NAME), Duration::from_millis(300), None).await.unwrap()
        });
        let heard = peers[0].hear(SOON, |_| true);
        let (sid, initiator, _) = head(&heard.bytes);
        let listener = peers[1].listen();
        let target = msg::locator(peers[1].ula(), msg::TCP, listener.port());
        respond(&peers[0], heard.source, &msg::response(sid, initiator, 0, vec![msg::divert(vec![target])], None));
        let found = found.wait(SOON);
        assert!(found[0].diverted);
        peers.iter().for_each(|peer| drop(peer.heard(Duration::ZERO)));
        let by_hand = grasp::AsaLocator::known(found[0].locator.clone(), 0);
        for peer in [found[0].clone(), by_hand] {
            let (asa, objective) = (asa.clone(), objective.clone());
            let asked = node.begin(move |_| async move {
                asa.request_negotiate(&objective, Some(&peer), Duration::from_secs(3)).await.map(drop)
            });
            let mut conn = listener.accept(SOON).expect("the request");
            let request = fields(&conn.recv_item(SOON).bytes());
            assert_eq!((number(&request[0]), &elements(&request[2])[0]), (3, &NAME.into()));
            conn.send(&msg::end_accept(u32::try_from(number(&request[1])).unwrap()));
            asked.wait(SOON).unwrap();
        }
        assert!(peers.iter().all(|peer| peer.heard(Duration::ZERO).is_empty()), "no discovery is needed");
    });
}

/// G-DCAC-05, G-DRSP-06, T-24: where any port will do, it may be another one tomorrow, so its lifetime is short.
#[test]
fn a_port_that_may_change_is_told_for_a_short_time() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let mut any = config("n");
        any.port = 0;
        let node = Running::start(&n, any);
        let long = grasp::Registration { discoverable: true, ttl: 0, ..grasp::Registration::default() };
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let _long = node.registered("B", Objective::negotiation("32473:long"), long);
        let status = node.status();
        assert!(!status.stable_port && status.port != 7017);
        for name in [NAME, "32473:long"] {
            let told = fields(&super::assert_answered(&peers[0], name).bytes);
            assert_eq!(number(&told[3]), 30_000);
            assert_eq!(place(&told[4]).port(), status.port);
        }
        poll("the port is open", SOON, || {
            peers[0].try_connect(place(&fields(&super::assert_answered(&peers[0], NAME).bytes)[4])).ok()
        });
    });
}
