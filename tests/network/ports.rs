//! Ports, several nodes on one host, and what is there before the first message (RFC 8990 §2.3, §2.8.4).

use std::net::{Ipv6Addr, SocketAddrV6, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use grasp::substrate::Unprotected;
use grasp::{ErrorCode, Interfaces, Negotiated, Objective, Registration, Step};

use super::capture::Capture;
use super::{
    NAME, QUIET, Running, SOON, answer, ask, assert_answered, config, disc, fields, head, number, place, star,
};
use crate::lab::peer::GROUP;
use crate::lab::topology::ula;
use crate::lab::{Received, in_namespaces, msg, poll};

/// G-GEN-05, G-GEN-06, G-SEC-02, G-TRN-13, G-SOCK-06, G-SOCK-07, G-DISC-19, G-CON-03, T-13, T-57: two nodes on one host
/// both hear every multicast, also each other's; they have ports, registries and caches of their own, and none hears
/// itself.
#[test]
fn two_nodes_share_a_host() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let peer = &peers[0];
        let (one, two) = (Running::start(&n, config("one")), Running::start(&n, config("two")));
        let registration = Registration { discoverable: true, ttl: 2222, ..Registration::default() };
        let shared = Objective::synchronization(NAME);
        let asa = one.holder("A", shared.clone());
        let other = two.registered("A", shared.clone(), registration);
        let only = two.holder("B", Objective::negotiation("32473:only"));
        let ports = [one.status().port, two.status().port];
        assert_eq!(ports[0], 7017);
        assert!(
            two.status().stable_port && (17_017..32_017).contains(&ports[1]),
            "a port that follows from the name: {ports:?}"
        );

        // One question, two answers, each with the port of its node.
        let sid = ask(peer, NAME);
        let mut answers: Vec<_> = [answer(peer, sid), answer(peer, sid)]
            .iter()
            .map(|response| (place(&fields(&response.bytes)[4]).port(), number(&fields(&response.bytes)[3])))
            .collect();
        answers.sort_unstable();
        assert_eq!(answers, [(ports[0], 60_000), (ports[1], 2222)]);
        let sid = ask(peer, "32473:only");
        assert_eq!(place(&fields(&answer(peer, sid).bytes)[4]).port(), ports[1]);
        assert!(peer.responses(QUIET / 4).is_empty());
        for port in ports {
            let sid = msg::sid();
            let mut conn = peer.connect(SocketAddrV6::new(n.ula("a"), port, 0, 0));
            conn.send(&disc(sid, peer.ula(), NAME));
            assert_eq!(place(&fields(&conn.recv_item(SOON).bytes())[4]).port(), port, "the right instance");
        }

        // One flood, two caches.
        let pair = (msg::objective(NAME, 4, 1, Some(1.into())), None);
        peer.multicast(&msg::flood(msg::sid(), peer.ula(), 60_000, vec![pair]));
        for (node, asa) in [(&one, &asa), (&two, &other)] {
            poll("the flood is cached", SOON, || {
                let (asa, objective) = (asa.clone(), shared.clone());
                let copies = node.run(move |_| async move { asa.get_flood(&objective).await.unwrap() });
                (copies.len() == 1).then_some(())
            });
        }

        // Each finds the other, and not itself, by questions from ports of their own.
        let asking = asa.clone();
        let found = one.run(move |_| async move {
            let only = Objective::negotiation("32473:only");
            asking.discover(&only, Duration::from_millis(200), None).await.unwrap()
        });
        assert_eq!(found.iter().map(|found| found.locator.port()).collect::<Vec<_>>(), [Some(ports[1])]);
        let first = peer.hear(SOON, |_| true);
        let asking = only.clone();
        let found = two.run(move |_| async move {
            asking.discover(&Objective::synchronization(NAME), Duration::from_millis(200), None).await.unwrap()
        });
        assert!(found.iter().any(|found| found.locator.port() == Some(ports[0])), "{found:?}");
        let second = peer.hear(SOON, |_| true);
        assert_eq!(first.source.ip(), second.source.ip());
        assert_ne!(first.source.port(), second.source.port());
        for node in [&one, &two] {
            assert_eq!(node.count("discovery_own_heard"), 0);
            assert_eq!(node.count("decode_errors"), 0);
        }
    });
}

/// G-TRN-13, G-SOCK-13, G-DRSP-05, T-24: a port that is taken is passed over for one that follows from the name, which is
/// the same after a restart; when that is taken too, any port will do, and is told for a short time.
#[test]
fn a_taken_port_is_passed_over() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let take = |port| n.run(|| TcpListener::bind(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0))).unwrap();
        let _preferred = take(7017);
        let start = || {
            let node = Running::start(&n, config("restarting"));
            let asa = node.holder("A", Objective::negotiation(NAME));
            let told = fields(&assert_answered(&peers[0], NAME).bytes);
            (node, asa, place(&told[4]), number(&told[3]))
        };
        let (node, _asa, named, ttl) = start();
        assert!((17_017..32_017).contains(&named.port()));
        assert_eq!(ttl, 60_000);
        // A connection that outlives the node must not keep the port.
        let mut open = peers[0].connect(named);
        open.send(&[0x83]);
        node.stop();
        let (node, _asa, again, _) = start();
        assert_eq!(again, named);
        node.stop();
        let _named = take(named.port());
        let (node, _asa, any, ttl) = start();
        assert!(![7017, named.port()].contains(&any.port()));
        assert_eq!(ttl, 30_000);
        assert!(!node.status().stable_port);
    });
}

/// G-TRN-13, G-SOCK-15, T-27: where the TCP twin of a UDP port is taken, another pair is found.
#[test]
fn twin_ports_are_found_among_taken_ones() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        // Half of the few ports there are, so that a first choice is taken as often as not.
        let range = (20_000, 20_015);
        n.sysctl("ipv4/ip_local_port_range", &format!("{} {}", range.0, range.1)).unwrap();
        let lla = n.lla_at("a", 0);
        let taken: Vec<TcpListener> = (range.0..=range.1)
            .filter(|port| port % 4 != 0)
            .map(|port| {
                let mut at = lla;
                at.set_port(port);
                n.run(move || TcpListener::bind(at)).unwrap()
            })
            .collect();
        assert_eq!(taken.len(), 12);
        for _ in 0..3 {
            let node = Running::start(&n, config("n"));
            let asa = node.asa("A");
            let found = node.begin(move |_| async move {
                asa.discover(&Objective::negotiation(NAME), Duration::from_millis(200), None).await.unwrap()
            });
            let heard = peers[0].hear(SOON, |_| true);
            assert_eq!(heard.source.port() % 4, 0);
            let (sid, initiator, _) = head(&heard.bytes);
            let locator = msg::locator(ula(1, 50), msg::TCP, 1);
            super::respond(&peers[0], heard.source, &msg::response(sid, initiator, 0, vec![locator], None));
            assert_eq!(found.wait(SOON).len(), 1);
            node.stop();
        }
    });
}

/// G-GEN-01, G-FLD-14, G-FLD-15, G-SEC-01, G-SEC-04, G-HA-09, T-32: without a substrate nothing leaves the node and nothing
/// is taken, and every call that could lead to a message is refused.
#[test]
fn without_a_substrate_nothing_moves() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let mut capture = Capture::new(peers[0].host());
        let node = Running::start_in(&n, config("n"), Arc::new(Unprotected));
        let status = node.status();
        assert_eq!((status.ready, status.secure, status.port, status.links.len()), (false, false, 0, 0));
        let asa = node.asa("A");
        let refused = node.run(move |_| async move {
            let (neg, syn) = (Objective::negotiation(NAME), Objective::synchronization("32473:s"));
            let valued = syn.clone().with_value(grasp::Value::null());
            let peer = grasp::AsaLocator::known(grasp::Locator::tcp(ula(1, 2).into(), 7017), 0);
            let short = Duration::from_millis(100);
            let copy = grasp::protocol::flood::Flooded {
                objective: valued.clone(),
                locator: None,
                initiator: Ipv6Addr::LOCALHOST.into(),
                link: 1,
                heard: grasp::protocol::Time::default(),
                expires: None,
            };
            [
                asa.register_objective(&neg, Registration::default()).await.err(),
                asa.deregister_objective(&neg).await.err(),
                asa.discover(&neg, short, None).await.err(),
                asa.request_negotiate(&neg, None, short).await.err(),
                asa.request_negotiate(&neg, Some(&peer), short).await.err(),
                asa.listen_negotiate(&neg).await.err(),
                asa.stop_listen_negotiate(&neg).await.err(),
                asa.synchronize(&syn, None, short).await.err(),
                asa.synchronize(&syn, Some(&peer), short).await.err(),
                asa.listen_synchronize(&valued).await.err(),
                asa.stop_listen_synchronize(&syn).await.err(),
                asa.flood(1000, vec![(valued, None)]).await.err(),
                asa.get_flood(&syn).await.err(),
                asa.watch_flood(&syn).await.err(),
                asa.expire_flood(&copy).await.err(),
            ]
        });
        for (i, error) in refused.into_iter().enumerate() {
            assert_eq!(error.map(|error| error.code), Some(ErrorCode::NoSecurity), "call {i}");
        }
        peers[0].multicast(&disc(msg::sid(), peers[0].ula(), NAME));
        let pair = (msg::objective("32473:s", 4, 1, Some(1.into())), None);
        peers[0].multicast(&msg::flood(msg::sid(), peers[0].ula(), 60_000, vec![pair]));
        assert!(peers[0].try_connect(SocketAddrV6::new(n.ula("a"), 7017, 0, 0)).is_err());
        assert!(peers[0].responses(QUIET).is_empty());
        let status = node.status();
        assert_eq!((status.flood_cache, status.discovery_cache), (0, 0));
        let own = [n.lla("a"), n.ula("a")];
        let packets = capture.packets();
        assert!(!packets.iter().any(|p| own.contains(&p.source()) && (p.is_udp() || p.is_syn() || p.reports(GROUP))));
    });
}

/// G-HA-09, G-TRN-09, T-40: on a node without any link, ASAs find each other and negotiate.
#[test]
fn asas_of_one_node_need_no_link() {
    in_namespaces(|lab| {
        let n = lab.host("n");
        let node = Running::start(&n, config("n"));
        assert!(node.status().links.is_empty());
        let objective = Objective::negotiation(NAME);
        let responder =
            node.registered("R", objective.clone(), Registration { overlap: true, ..Registration::default() });
        let initiator =
            node.registered("I", objective.clone(), Registration { overlap: true, ..Registration::default() });
        let served = objective.clone();
        let answering = node.begin(move |_| async move {
            let (session, asked) = responder.listen_negotiate(&served).await.unwrap();
            let offer = asked.clone().with_value(grasp::Value::item(&50).unwrap());
            let step = session.negotiate_step(&offer, SOON).await;
            (asked, step)
        });
        let wanted = objective.with_value(grasp::Value::item(&100).unwrap());
        let got = node.begin(move |_| async move {
            let Negotiated::Offered(session, offer) = initiator.request_negotiate(&wanted, None, SOON).await.unwrap()
            else {
                panic!("accepted at once")
            };
            session.end_negotiate(true, None).await.unwrap();
            offer.value.unwrap().decode::<u64>().unwrap()
        });
        assert_eq!(got.wait(SOON), 50);
        let (asked, step) = answering.wait(SOON);
        assert_eq!(asked.value.unwrap().decode::<u64>().unwrap(), 100);
        assert!(matches!(step, Ok(Step::Accepted(_))), "{step:?}");
    });
}

/// G-GEN-04, G-CON-01, G-SOCK-08, G-SOCK-17, T-28: an interface that is not configured is silent, deaf, and not even
/// reported as a member of the group; the others are.
#[test]
fn an_interface_that_is_not_configured_is_invisible() {
    in_namespaces(|lab| {
        let n = lab.host("n");
        for (name, interface) in [("p1", "a"), ("p2", "b"), ("p3", "c")] {
            lab.host(name);
            lab.link(&[("n", interface), (name, "e0")]);
        }
        let mut captures: Vec<Capture> = ["p1", "p2", "p3"].iter().map(|name| Capture::new(&lab.get(name))).collect();
        let mut settings = config("n");
        settings.interfaces = Interfaces::Named(vec!["a".into(), "b".into()]);
        let node = Running::start(&n, settings);
        for capture in &mut captures[..2] {
            capture.wait("a report of membership", |packet| packet.reports(GROUP));
        }
        let peers: Vec<_> = ["p1", "p2", "p3"].iter().map(|name| crate::lab::Peer::new(&lab.get(name), "e0")).collect();
        let asa = node.holder("A", Objective::synchronization(NAME));
        let (own, foreign) = (disc(msg::sid(), peers[2].ula(), NAME), disc(msg::sid(), peers[2].ula(), "32473:other"));
        let pair = (msg::objective("32473:flooded", 4, 6, Some(1.into())), None);
        let flood = msg::flood(msg::sid(), peers[2].ula(), 60_000, vec![pair]);
        for message in [&own, &foreign, &flood] {
            peers[2].multicast(message);
        }
        let flooding = asa.clone();
        node.run(move |_| async move {
            let other = Objective::negotiation("32473:more");
            flooding.discover(&other, Duration::from_millis(100), None).await.unwrap();
            let flooded = Objective::synchronization(NAME).with_value(grasp::Value::null());
            flooding.flood(1000, vec![(flooded, None)]).await.unwrap();
        });
        assert!(peers[2].responses(QUIET).is_empty());
        let own = [n.lla("c"), n.ula("c")];
        let leaked = captures[2].packets().iter().any(|packet| {
            own.contains(&packet.source()) && (packet.is_udp() || packet.is_syn() || packet.reports(GROUP))
        });
        assert!(!leaked);
        for peer in &peers[..2] {
            let kinds: Vec<u64> = peer.heard(Duration::ZERO).iter().map(|d| number(&fields(&d.bytes)[0])).collect();
            assert_eq!(kinds, [1, 9], "the node's own, nothing from the third link");
            assert_answered(peer, NAME);
        }
        assert_eq!(node.status().counters.get("messages_received{M_FLOOD}"), None);
    });
}

/// G-SOCK-07, T-28: the group is not served by unicast, and a connection to the twin of a link brings answers only.
#[test]
fn the_sockets_of_a_link_serve_nothing_else() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let asa = node.asa("B");
        let seeking = node.begin(move |_| async move {
            asa.discover(&Objective::negotiation("32473:other"), Duration::from_millis(100), None).await.unwrap()
        });
        let twin = peers[0].hear(SOON, |_| true).source;
        seeking.wait(SOON);
        peers[0].send_to(&disc(msg::sid(), peers[0].ula(), NAME), SocketAddrV6::new(n.lla("a"), 7017, 0, 0));
        let mut conn = peers[0].connect(twin);
        conn.send(&disc(msg::sid(), peers[0].ula(), NAME));
        conn.send(&msg::reqneg(msg::sid(), msg::objective(NAME, 3, 6, Some(1.into()))));
        conn.shutdown_write();
        assert_eq!(conn.recv(SOON), Received::Closed);
        assert!(peers[0].responses(QUIET).is_empty());
        assert_answered(&peers[0], NAME);
    });
}
