//! The initiator: what a node asks, and which answers it takes (RFC 8990 §2.5.4, §2.8.4).

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use ciborium::Value;
use grasp::wire::Transport;
use grasp::{Asa, AsaLocator, Locator, Objective};

use super::capture::Capture;
use super::{
    NAME, Pending, QUIET, Running, SOON, assert_answered, config, elements, fields, head, number, respond, star,
};
use crate::lab::peer::GROUP;
use crate::lab::topology::ula;
use crate::lab::{Addresses, Host, Peer, in_namespaces, msg, poll};

/// Lets an ASA discover for so many milliseconds.
fn discover(node: &Running, asa: &Asa, objective: Objective, milliseconds: u64) -> Pending<Vec<AsaLocator>> {
    let asa = asa.clone();
    node.begin(
        move |_| async move { asa.discover(&objective, Duration::from_millis(milliseconds), None).await.unwrap() },
    )
}

/// The ports bound to an address, as the kernel lists them.
fn bound(host: &Host, table: &'static str, address: Ipv6Addr) -> BTreeSet<u16> {
    let listing = host.run(move || fs::read_to_string(format!("/proc/thread-self/net/{table}"))).unwrap();
    let words: String =
        address.octets().chunks(4).map(|w| format!("{:08X}", u32::from_ne_bytes(w.try_into().unwrap()))).collect();
    let local = listing.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(1)?.split_once(':'));
    local.filter(|(ip, _)| *ip == words).map(|(_, port)| u16::from_str_radix(port, 16).unwrap()).collect()
}

/// G-TRN-10, G-TRN-24, G-TRN-25, G-DISC-01, G-DISC-02, G-DISC-03, G-DISC-05, G-DISC-06, G-GEN-03, G-CON-05, G-SOCK-01 to
/// G-SOCK-05, G-SID-11, T-29: one datagram on each link, from that link's own address, with hop limit 1, and no other
/// packets to find anything out.
#[test]
fn a_discovery_leaves_each_link_from_its_own_address() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let mut captures: Vec<Capture> = peers.iter().map(|peer| Capture::new(peer.host())).collect();
        let node = Running::start(&n, config("n"));
        let asa = node.asa("A");
        let objective = Objective::negotiation("EX1").with_value(grasp::Value::item(&0).unwrap());
        let found = discover(&node, &asa, objective, 300);
        assert!(found.wait(SOON).is_empty());
        let mut copies = BTreeSet::new();
        for ((peer, capture), interface) in peers.iter().zip(&mut captures).zip(["a", "b"]) {
            let heard = peer.heard(Duration::from_millis(50));
            assert_eq!(heard.len(), 1, "{heard:?}");
            let (sid, initiator, _) = head(&heard[0].bytes);
            assert_eq!(initiator, ula(1, 1));
            assert_eq!(heard[0].bytes, msg::discovery(sid, ula(1, 1), "EX1", 3, 6, Some(Value::from(0))));
            assert_eq!(*heard[0].source.ip(), n.lla(interface));
            copies.insert(heard[0].bytes.clone());
            let (lla, ula) = (n.lla(interface), n.ula(interface));
            let packets = capture.packets();
            let from_n: Vec<_> = packets.iter().filter(|p| [lla, ula].contains(&p.source())).collect();
            let datagrams: Vec<_> = from_n.iter().filter(|packet| packet.is_udp()).collect();
            assert_eq!(datagrams.len(), 1);
            assert_eq!((datagrams[0].destination(), datagrams[0].port()), (GROUP, 7017));
            assert_eq!(datagrams[0].hop_limit(), 1);
            assert!(!from_n.iter().any(|packet| packet.is_tcp()));
        }
        assert_eq!(copies.len(), 1, "the same message on each link");
    });
}

/// G-TRN-11, G-TRN-13, G-SOCK-04, G-SOCK-12, G-SOCK-14, G-SOCK-15, T-27: on each link a UDP socket and a TCP listener have
/// the same port before the first discovery, which comes from there; an answer sent there reaches the ASA.
#[test]
fn answers_are_awaited_on_the_port_of_the_discovery() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let before: Vec<u16> = ["a", "b"]
            .map(|interface| {
                let (udp, tcp) = (bound(&n, "udp6", n.lla(interface)), bound(&n, "tcp6", n.lla(interface)));
                assert_eq!(udp.len(), 1, "{udp:?}");
                assert_eq!(udp, tcp);
                *udp.first().unwrap()
            })
            .to_vec();
        let asa = node.asa("A");
        let found = discover(&node, &asa, Objective::negotiation(NAME), 500);
        for ((peer, port), host) in peers.iter().zip(before).zip(1..) {
            let heard = peer.hear(SOON, |_| true);
            assert_eq!(heard.source.port(), port);
            let (sid, initiator, _) = head(&heard.bytes);
            let locator = msg::locator(ula(host, 7), msg::TCP, 1000);
            respond(peer, heard.source, &msg::response(sid, initiator, 60_000, vec![locator], None));
        }
        let found = found.wait(SOON);
        let mut expected: Vec<_> = [1, 2].map(|link| Locator::tcp(ula(link, 7).into(), 1000)).to_vec();
        expected.sort();
        let mut locators: Vec<_> = found.iter().map(|found| found.locator.clone()).collect();
        locators.sort();
        assert_eq!(locators, expected);
        assert_eq!(
            found.iter().map(|found| found.interface).collect::<BTreeSet<_>>(),
            BTreeSet::from([n.index("a"), n.index("b")])
        );
    });
}

/// G-DISC-13, G-DISC-16, G-DISC-17, G-DISC-18, G-DCAC-01, G-DCAC-06, G-DCAC-07, G-DCAC-12, G-DIVT-03, G-DIVT-04, G-DIVT-10,
/// G-DISC-20, G-SID-13, G-OPT-03, G-ERR-09, G-ERR-10, T-37, T-38: every answer to the question counts until the
/// timeout, whatever its shape; answers to no question do not, nor do unusable options.
#[test]
fn all_answers_until_the_timeout_count_and_no_others() {
    in_namespaces(|lab| {
        let hosts = lab.lan(3);
        let (one, two) = (Peer::new(&hosts[1], "e0"), Peer::new(&hosts[2], "e0"));
        let node = Running::start(&hosts[0], config("n"));
        let asa = node.asa("A");
        let objective = Objective::synchronization("EX1");
        let began = Instant::now();
        let found = discover(&node, &asa, objective.clone(), 900);
        let heard = one.hear(SOON, |_| true);
        two.hear(SOON, |_| true);
        let (sid, initiator, _) = head(&heard.bytes);
        let to = heard.source;
        let at = |port| msg::locator(ula(1, 50), msg::TCP, port);
        let copy = || Some(msg::objective("EX1", 5, 2, Some(Value::from(0))));
        let fqdn = || msg::fqdn_locator("a.example.com", msg::TCP, 49443);
        let response = |options, copy| msg::response(sid, initiator, 60_000, options, copy);
        // V-18, V-19 and V-17 shapes, an unknown option and a bad locator beside a good one, and one answer twice.
        respond(&one, to, &response(vec![at(1), fqdn()], None));
        respond(&one, to, &response(vec![at(2)], copy()));
        thread::sleep(Duration::from_millis(50));
        respond(&two, to, &response(vec![msg::divert(vec![at(3), msg::locator(one.lla(), msg::TCP, 9)])], None));
        respond(&two, to, &response(vec![msg::array([107.into(), 1.into()]), at(4)], None));
        respond(
            &two,
            to,
            &response(vec![msg::array([103.into(), Value::Bytes(vec![1]), 6.into(), 1.into()]), at(5)], None),
        );
        respond(&two, to, &response(vec![at(1)], None));
        // To no question of this node, or nothing usable.
        respond(&one, to, &msg::response(sid, two.ula(), 60_000, vec![at(101)], None));
        respond(&one, to, &msg::response(sid ^ 1, initiator, 60_000, vec![at(102)], None));
        respond(&one, to, &response(vec![], None));
        respond(&one, to, &response(vec![], copy()));
        respond(&one, to, &response(vec![msg::divert(vec![])], None));
        respond(&one, to, &response(vec![msg::divert(vec![msg::array([at(103), at(104)])])], None));
        for out_of_place in [
            msg::neg(sid, msg::objective("EX1", 3, 6, Some(Value::from(1)))),
            msg::synch(sid ^ 2, msg::objective("EX1", 5, 6, Some(Value::from(1)))),
            msg::end_accept(sid),
            msg::wait(sid, 1),
        ] {
            respond(&one, to, &out_of_place);
        }
        let found = found.wait(SOON);
        assert!(began.elapsed() >= Duration::from_millis(900), "the whole time is waited");
        let index = hosts[0].index("e0");
        assert!(found.iter().all(|found| found.interface == index));
        let mut locators: Vec<_> = found.into_iter().map(|found| (found.locator, found.diverted)).collect();
        locators.sort();
        let known = |port| Locator::tcp(ula(1, 50).into(), port);
        let name = Locator::Fqdn { name: "a.example.com".into(), transport: Transport::Tcp, port: 49443 };
        let mut expected: Vec<_> = [1, 2, 4, 5].map(|port| (known(port), false)).to_vec();
        expected.extend([(known(3), true), (name, false)]);
        expected.sort();
        assert_eq!(locators, expected);
        // Too late, it disturbs nothing.
        respond(&one, to, &response(vec![at(200)], None));
        let cached = discover(&node, &asa, objective, 0).wait(SOON);
        assert_eq!(cached.len(), 6, "{cached:?}");
    });
}

/// G-DISC-15: diverts may be ignored.
#[test]
fn diverts_may_be_ignored() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let node = Running::start(&n, config("n"));
        let asa = node.asa("A");
        let found = node.begin(move |_| async move {
            asa.discover_direct(&Objective::negotiation(NAME), Duration::from_millis(400), None).await.unwrap()
        });
        let heard = peers[0].hear(SOON, |_| true);
        let (sid, initiator, _) = head(&heard.bytes);
        let at = |port| msg::locator(ula(1, 50), msg::TCP, port);
        respond(&peers[0], heard.source, &msg::response(sid, initiator, 0, vec![msg::divert(vec![at(1)])], None));
        respond(&peers[0], heard.source, &msg::response(sid, initiator, 0, vec![at(2)], None));
        let found = found.wait(SOON);
        assert_eq!(
            found.into_iter().map(|found| found.locator).collect::<Vec<_>>(),
            [Locator::tcp(ula(1, 50).into(), 2)]
        );
    });
}

/// G-DISC-08, G-DISC-10, G-DISC-11, G-SID-12, G-DISC-07, G-CON-07: a question without an answer is repeated under new
/// session ids, at doubling distances, with the loop count that was asked for, and ends in time.
#[test]
fn a_silent_link_is_asked_again_ever_more_rarely() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let node = Running::start(&n, config("n"));
        let asa = node.asa("A");
        let began = Instant::now();
        let found = discover(&node, &asa, Objective::negotiation(NAME).with_loop_count(1), 1_000);
        assert!(found.wait(SOON).is_empty());
        let took = began.elapsed();
        assert!(Duration::from_millis(1_000) <= took && took < Duration::from_millis(1_300), "{took:?}");
        let heard = peers[0].heard(Duration::from_millis(50));
        let ids: BTreeSet<u32> = heard.iter().map(|datagram| head(&datagram.bytes).0).collect();
        assert_eq!((heard.len(), ids.len()), (4, 4), "at 0, 100, 300 and 700 ms");
        assert!(heard.iter().all(|datagram| head(&datagram.bytes).2 == 1));
        let gaps: Vec<_> = heard.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at)).collect();
        for (gap, expected) in gaps.iter().zip([100, 200, 400].map(Duration::from_millis)) {
            assert!(gap.abs_diff(expected) < Duration::from_millis(60), "{gaps:?}");
        }
    });
}

/// G-DISC-19, G-FREL-12, T-13: a node knows its own multicasts when they come back, on whatever link.
#[test]
fn own_multicasts_that_come_back_are_ignored() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let asa = node.holder("A", Objective::synchronization(NAME));
        let asking = asa.clone();
        node.run(move |_| async move {
            // Also for what it holds itself.
            let objective = Objective::synchronization(NAME);
            assert!(asking.discover(&objective, Duration::from_millis(100), None).await.unwrap().is_empty());
            let other = Objective::negotiation("32473:other");
            assert!(asking.discover(&other, Duration::from_millis(100), None).await.unwrap().is_empty());
            asking.flood(60_000, vec![(objective.with_value(grasp::Value::null()), None)]).await.unwrap();
        });
        let own = peers[0].heard(Duration::from_millis(50));
        assert_eq!(own.len(), 3, "{own:?}");
        peers[1].heard(Duration::ZERO);
        for datagram in &own {
            peers.iter().for_each(|peer| peer.multicast(&datagram.bytes));
        }
        super::assert_quiet_and_alive(&[&peers[0], &peers[1]], NAME);
        assert_eq!((node.count("discovery_own_heard"), node.count("flood_duplicates")), (4, 2));
        assert_eq!(node.count("discovery_answered"), 2);
    });
}

/// G-DISC-04, G-OPT-08, T-11, T-15, G-FLD-09, G-SOCK-03: without an address in the domain the initiator is the link's own
/// address, floods go one hop, and only local objectives are answered unless link-local locators are allowed.
#[test]
fn a_node_without_a_global_address_keeps_to_its_links() {
    in_namespaces(|lab| {
        let (n, p) = (lab.host("n"), lab.host("p"));
        lab.link_with(&[("n", "a"), ("p", "a")], Addresses::LlaOnly);
        lab.link_with(&[("n", "b"), ("p", "b")], Addresses::LlaOnly);
        let peers = [Peer::new(&p, "a"), Peer::new(&p, "b")];
        let node = Running::start(&n, config("n"));
        assert_eq!(node.status().global, None);
        let asa = node.holder("A", Objective::synchronization(NAME));
        let local = grasp::Registration { discoverable: true, local: true, ..grasp::Registration::default() };
        let _local = node.registered("local", Objective::negotiation("32473:local"), local);
        let flooding = asa.clone();
        node.run(move |_| async move {
            let wanted = Objective::negotiation("32473:other");
            flooding.discover(&wanted, Duration::from_millis(100), None).await.unwrap();
            let value = Objective::synchronization(NAME).with_value(grasp::Value::null());
            flooding.flood(60_000, vec![(value, None)]).await.unwrap();
        });
        for (peer, interface) in peers.iter().zip(["a", "b"]) {
            let heard = peer.heard(Duration::from_millis(100));
            let heads: Vec<_> = heard.iter().map(|datagram| head(&datagram.bytes)).collect();
            assert_eq!(heads.iter().map(|(_, initiator, _)| *initiator).collect::<Vec<_>>(), [n.lla(interface); 2]);
            assert_eq!(heads.iter().map(|(_, _, loop_count)| *loop_count).collect::<Vec<_>>(), [6, 1]);
            peer.multicast(&super::disc(msg::sid(), peer.lla(), NAME));
            let response = assert_answered(peer, "32473:local");
            let place = super::place(&fields(&response.bytes)[4]);
            assert_eq!(*place.ip(), n.lla(interface));
            assert!(peer.responses(QUIET / 4).is_empty(), "there is no address to give");
        }
        drop(asa);
        node.stop();
        let mut allowed = config("n");
        allowed.discovery.settings.link_local_locators = true;
        let node = Running::start(&n, allowed);
        let _asa = node.holder("A", Objective::synchronization(NAME));
        for (peer, interface) in peers.iter().zip(["a", "b"]) {
            let response = assert_answered(peer, NAME);
            assert_eq!(*super::place(&fields(&response.bytes)[4]).ip(), n.lla(interface));
        }
    });
}

/// G-OPT-14, T-15, G-DCAC-02, G-DCAC-08, G-DCAC-10, G-TRN-22, G-HA-02, T-41: a request without a peer goes to the locator
/// that was discovered, a link-local one over its link; a dead one is given up for the next.
#[test]
fn a_request_goes_where_discovery_points() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let objective = Objective::negotiation(NAME).with_value(grasp::Value::item(&1).unwrap());
        let asa = node.registered("A", objective.clone(), grasp::Registration::default());
        let found = discover(&node, &asa, Objective::negotiation(NAME), 300);
        let heard = peers[1].hear(SOON, |_| true);
        let (sid, initiator, _) = head(&heard.bytes);
        let (alive, dead) = (peers[1].listen(), peers[1].listen().port());
        let locators = vec![msg::locator(peers[1].lla(), msg::TCP, alive.port())];
        respond(&peers[1], heard.source, &msg::response(sid, initiator, 0, locators, None));
        thread::sleep(Duration::from_millis(50));
        let locators = vec![msg::locator(peers[1].ula(), msg::TCP, dead)];
        respond(&peers[1], heard.source, &msg::response(sid, initiator, 0, locators, None));
        assert_eq!(found.wait(SOON).len(), 2);
        peers.iter().for_each(|peer| drop(peer.heard(Duration::ZERO)));
        let (asking, wanted) = (asa.clone(), objective.clone());
        let asked = node.begin(move |_| async move {
            asking.request_negotiate(&wanted, None, Duration::from_secs(3)).await.map(drop).map_err(|error| error.code)
        });
        let mut conn = alive.accept(SOON).expect("the request");
        let request = fields(&conn.recv_item(SOON).bytes());
        assert_eq!(number(&request[0]), 3);
        assert_eq!(elements(&request[2])[0], Value::from(NAME));
        conn.send(&msg::end_accept(u32::try_from(number(&request[1])).unwrap()));
        assert_eq!(asked.wait(SOON), Ok(()));
        assert!(peers.iter().all(|peer| peer.heard(Duration::ZERO).is_empty()), "the cache served");
        let asking = asa.clone();
        let cached = node.run(move |_| async move {
            asking.discover(&Objective::negotiation(NAME), Duration::ZERO, None).await.unwrap()
        });
        assert_eq!(cached.len(), 1, "the dead locator is forgotten");
        drop((alive, conn));
        let asked = node.begin(move |_| async move {
            let deadline = Duration::from_millis(800);
            asa.request_negotiate(&objective, Some(&cached[0]), deadline).await.map(drop).map_err(|error| error.code)
        });
        assert_eq!(asked.wait(SOON), Err(grasp::ErrorCode::SocketNegotiationRequest));
        assert!(node.status().ready);
    });
}

/// G-TRN-23, G-OPT-11: a domain name is resolved before it is connected to.
#[test]
fn a_domain_name_is_resolved() {
    in_namespaces(|lab| {
        let (n, _peers) = star(lab, 1);
        let node = Running::start(&n, config("n"));
        let objective = Objective::negotiation(NAME).with_value(grasp::Value::item(&1).unwrap());
        let asa = node.registered("A", objective.clone(), grasp::Registration::default());
        // The name is in every hosts file; it names the node's own host, so another program must listen there.
        let listener = n.run(|| TcpListener::bind("[::]:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let locator = Locator::Fqdn { name: "localhost".into(), transport: Transport::Tcp, port };
        let asked = node.begin(move |_| async move {
            let peer = AsaLocator::known(locator, 0);
            asa.request_negotiate(&objective, Some(&peer), Duration::from_secs(3)).await.map(drop).map_err(|e| e.code)
        });
        listener.set_nonblocking(true).unwrap();
        let (mut conn, _) = poll("the request", SOON, || listener.accept().ok());
        conn.set_nonblocking(false).unwrap();
        conn.set_read_timeout(Some(SOON)).unwrap();
        let mut request = [0; 2048];
        let length = conn.read(&mut request).unwrap();
        let request = fields(&request[..length]);
        conn.write_all(&msg::end_accept(u32::try_from(number(&request[1])).unwrap())).unwrap();
        assert_eq!(asked.wait(SOON), Ok(()));
    });
}
