//! Links that come, go and change while a node runs (RFC 8990 §2.2).

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use grasp::{Interfaces, Objective};

use super::capture::Capture;
use super::{NAME, QUIET, Running, SOON, assert_answered, config, disc, head, star};
use crate::lab::peer::GROUP;
use crate::lab::topology::ula;
use crate::lab::{Peer, in_namespaces, msg};

/// How long the node may take to follow; the interfaces are polled every five seconds, so the kernel must have told it.
const TOLD: Duration = Duration::from_secs(2);

/// Waits until the node uses exactly these links, and asserts that it did not have to wait for the poll.
fn follows(node: &Running, links: &[&str]) {
    let began = Instant::now();
    node.wait_links(links);
    let took = began.elapsed();
    assert!(took < TOLD, "{links:?} after {took:?}");
}

/// Lets the node ask, and gives the links, by the number of their peer, where the question was heard.
fn heard_by(node: &Running, peers: &[&Peer]) -> Vec<usize> {
    let asa = node.asa("heard_by");
    let wanted = format!("32473:{}", msg::sid());
    let objective = Objective::negotiation(wanted.clone());
    node.run(move |_| async move { asa.discover(&objective, Duration::from_millis(100), None).await.unwrap() });
    let heard = |peer: &Peer| {
        let datagrams = peer.heard(Duration::from_millis(50));
        datagrams.iter().any(|d| d.bytes.windows(wanted.len()).any(|w| w == wanted.as_bytes()))
    };
    peers.iter().enumerate().filter(|(_, peer)| heard(peer)).map(|(i, _)| i).collect()
}

/// G-HA-05, G-HA-13, G-SOCK-17, G-CON-01, G-SOCK-08, T-29: while a link is down the others work on; when it is back the
/// group is joined anew and it is used in both directions, without a restart and without waiting for the poll.
#[test]
fn a_link_that_returns_is_used_again() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let (one, two) = (&peers[0], &peers[1]);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        assert_eq!(heard_by(&node, &[one, two]), [0, 1]);
        for _ in 0..2 {
            let mut capture = Capture::new(one.host());
            n.set_up("a", false);
            follows(&node, &["b"]);
            assert_eq!(heard_by(&node, &[one, two]), [1]);
            assert_answered(two, NAME);
            n.set_up("a", true);
            follows(&node, &["a", "b"]);
            capture.wait("a report of membership", |packet| packet.reports(GROUP));
            assert_answered(one, NAME);
            assert_answered(two, NAME);
            assert_eq!(heard_by(&node, &[one, two]), [0, 1]);
        }
        // The other end of the cable goes down and comes back.
        one.host().set_up("e0", false);
        assert_answered(two, NAME);
        one.host().set_up("e0", true);
        n.wait_ready("a");
        follows(&node, &["a", "b"]);
        let one = Peer::new(one.host(), "e0");
        assert_answered(&one, NAME);
        assert_eq!(heard_by(&node, &[&one, two]), [0, 1]);
    });
}

/// G-HA-08, G-GEN-04, T-29: links that appear are used if they may be, and a deleted one is given up, while the others
/// work on.
#[test]
fn links_are_plugged_in_and_removed() {
    in_namespaces(|lab| {
        let (n, mut peers) = star(lab, 1);
        let mut settings = config("n");
        settings.discovery.settings.relay = false;
        let node = Running::start(&n, settings);
        let mut settings = config("choosy");
        settings.interfaces = Interfaces::Named(vec!["a".into(), "c".into()]);
        let choosy = Running::start(&n, settings);
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let _choosy = choosy.holder("A", Objective::negotiation("32473:choosy"));
        for (name, interface) in [("p2", "b"), ("p3", "c")] {
            let host = lab.host(name);
            lab.link(&[("n", interface), (name, "e0")]);
            peers.push(Peer::new(&host, "e0"));
        }
        follows(&node, &["a", "b", "c"]);
        follows(&choosy, &["a", "c"]);
        let all: Vec<&Peer> = peers.iter().collect();
        assert_eq!(heard_by(&node, &all), [0, 1, 2]);
        assert_eq!(heard_by(&choosy, &all), [0, 2]);
        for peer in &peers {
            assert_answered(peer, NAME);
        }
        for peer in [&peers[0], &peers[2]] {
            assert_answered(peer, "32473:choosy");
        }
        // It is relayed to the new link, too.
        let sid = msg::sid();
        peers[0].multicast(&disc(sid, peers[0].ula(), "32473:other"));
        peers[2].hear(SOON, |datagram| head(&datagram.bytes) == (sid, ula(1, 2), 5));
        n.delete_interface("c");
        follows(&node, &["a", "b"]);
        follows(&choosy, &["a"]);
        assert_answered(&peers[0], "32473:choosy");
        assert_answered(&peers[1], NAME);
        assert_eq!(heard_by(&node, &[&peers[0], &peers[1]]), [0, 1]);
    });
}

/// G-HA-04, G-HA-05, G-TRN-25, T-12: when the link-local address changes, discoveries leave from the new one, and answers
/// come to it.
#[test]
fn a_link_local_address_may_change() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let node = Running::start(&n, config("n"));
        let local = grasp::Registration { discoverable: true, local: true, ..grasp::Registration::default() };
        let _asa = node.registered("A", Objective::negotiation(NAME), local);
        let (old, new) = (n.lla("a"), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99));
        for address in [old, new] {
            if address == new {
                n.add_address("a", new, 64);
                n.delete_address("a", old, 64);
                crate::lab::poll("the new address", TOLD, || (node.status().links.first()?.2 == new).then_some(()));
            }
            let response = assert_answered(&peers[0], NAME);
            assert_eq!(*response.from.ip(), address);
            assert_eq!(*super::place(&super::fields(&response.bytes)[4]).ip(), address);
            let asa = node.asa("B");
            let found = node.begin(move |_| async move {
                let flush = Some(Duration::ZERO);
                asa.discover(&Objective::negotiation("32473:b"), Duration::from_millis(200), flush).await.unwrap()
            });
            let heard = peers[0].hear(SOON, |_| true);
            assert_eq!(*heard.source.ip(), address);
            let (sid, initiator, _) = head(&heard.bytes);
            let locator = msg::locator(ula(1, 50), msg::TCP, 1);
            super::respond(&peers[0], heard.source, &msg::response(sid, initiator, 1_000, vec![locator], None));
            assert_eq!(found.wait(SOON).len(), 1);
        }
    });
}

/// G-HA-05, G-SOCK-15: an address that duplicate address detection holds back is waited for.
#[test]
fn a_tentative_address_is_waited_for() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        n.set_up("a", false);
        follows(&node, &["b"]);
        for (key, value) in [("accept_dad", "1"), ("dad_transmits", "1")] {
            n.sysctl(&format!("ipv6/conf/a/{key}"), value).unwrap();
        }
        n.set_up("a", true);
        follows(&node, &["a", "b"]);
        assert_answered(&peers[0], NAME);
        assert!(node.count("link_open_errors{a}") > 0, "the test has seen a tentative address");
        assert_eq!(heard_by(&node, &[&peers[0], &peers[1]]), [0, 1]);
    });
}

/// G-HA-01, G-HA-05, G-HA-13: a link that flaps, under traffic, leaves no trace.
#[test]
fn a_flapping_link_does_no_harm() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let asa = node.holder("A", Objective::synchronization(NAME));
        let busy = node.begin(move |_| async move {
            let value = Objective::synchronization(NAME).with_value(grasp::Value::null());
            for i in 0..40 {
                let wanted = Objective::negotiation(format!("32473:{i}"));
                asa.discover(&wanted, Duration::from_millis(15), None).await.unwrap();
                // Some come too often; none fails otherwise.
                let _ = asa.flood(1000, vec![(value.clone(), None)]).await;
            }
            asa
        });
        for _ in 0..4 {
            n.set_up("a", false);
            peers[1].multicast(&disc(msg::sid(), peers[1].ula(), "32473:relayed"));
            n.set_up("a", true);
        }
        let _asa = busy.wait(SOON);
        follows(&node, &["a", "b"]);
        for peer in &peers {
            peer.heard(Duration::ZERO);
            assert_answered(peer, NAME);
        }
        assert_eq!(heard_by(&node, &[&peers[0], &peers[1]]), [0, 1]);
        assert!(peers[0].heard(QUIET / 4).is_empty());
    });
}
