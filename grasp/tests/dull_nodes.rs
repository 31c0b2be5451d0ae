//! DULL instances as whole nodes, beside the instance that carries them: RFC 8990 §2.5.2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod fabric;

use fabric::*;
use grasp::infrastructure::{EST_TLS, IKEV2, Kind, Offer, an_acp, an_proxy};
use grasp::net::memory::{Conditions, FabricLink, FabricNode};
use grasp::net::{LinkSockets, Network};
use grasp::protocol::Dull;
use grasp::wire::{Limits, Message, MessageType, TaggedObjective, Transport, decode};
use grasp::{Asa, AsaLocator, ErrorCode, Grasp, Locator, NodeConfig, Objective, Registration, Value};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

fn far(lan: &Lan) -> FabricLink {
    lan.fabric.link(Conditions { latency: ms(5), ..Conditions::default() })
}

/// A node that carries DULL on its links, and its network.
async fn carrier(lan: &Lan, name: &str, links: &[FabricLink]) -> (Grasp, FabricNode) {
    let place = lan.fabric.node(links);
    let carries = |config: &mut NodeConfig| config.carries_dull = Some(Dull::infrastructure());
    let node = lan.node_on(name, Arc::new(place.clone()), carries).await;
    sleep(ms(100)).await;
    (node, place)
}

async fn dull(node: &Grasp, interface: &str) -> Grasp {
    let all = node.dull_instances().await.unwrap();
    all.into_iter().find(|(name, _)| name == interface).expect("a DULL instance").1
}

/// An ASA of a DULL instance that has registered both objectives.
async fn announcer(node: &Grasp, name: &str) -> Asa {
    let asa = node.register_asa(name).await.unwrap();
    for kind in [Kind::AnAcp, Kind::AnProxy] {
        let registration = Registration { discoverable: true, overlap: true, ..Registration::default() };
        asa.register_objective(&kind.objective(), registration).await.unwrap();
    }
    asa
}

async fn announce(asa: &Asa, port: u16) {
    let ikev2 = Offer::new(IKEV2).unwrap();
    asa.flood(Kind::AnAcp.ttl(), an_acp([(&ikev2, Some((Transport::Udp, port)))])).await.unwrap();
}

async fn own_address(node: &Grasp) -> Ipv6Addr {
    node.status().await.unwrap().links[0].2
}

async fn names(node: &Grasp) -> Vec<String> {
    node.flood_cache().await.unwrap().into_iter().map(|entry| entry.objective).collect()
}

/// What a socket hears for a while.
async fn heard(sockets: &LinkSockets) -> Vec<(Message, SocketAddr)> {
    let mut all = Vec::new();
    while let Ok(received) = timeout(SOON, sockets.multicast.receive()).await {
        let (bytes, source) = received.unwrap();
        all.push((decode(&bytes, &Limits::default()).unwrap(), source));
    }
    all
}

fn listen(place: &FabricNode, at: usize) -> LinkSockets {
    place.open_link(&place.interfaces().unwrap()[at]).unwrap()
}

/// G-DULL-01, G-DULL-05, G-DULL-02: one instance for each link; what is flooded or asked on one is never seen on the other,
/// nor by the instance of the other.
#[test]
fn floods_and_discoveries_never_cross() {
    paused(async {
        let lan = Lan::new();
        let other = far(&lan);
        let (middle, _) = carrier(&lan, "middle", &[lan.link, other]).await;
        let (left, _) = carrier(&lan, "left", &[lan.link]).await;
        let (right, _) = carrier(&lan, "right", &[other]).await;
        let spy = listen(&lan.fabric.node(&[other]), 0);
        let instances = middle.dull_instances().await.unwrap();
        assert_eq!(instances.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["e0", "e1"]);
        let (here, there) = (dull(&middle, "e0").await, dull(&middle, "e1").await);
        assert_eq!(here.status().await.unwrap().links.len(), 1);
        assert_eq!(here.status().await.unwrap().global, None);

        let (from, to) =
            (announcer(&dull(&left, "e0").await, "L").await, announcer(&dull(&right, "e0").await, "R").await);
        announce(&from, 500).await;
        assert_eq!(from.discover(&Kind::AnProxy.objective(), ms(700), None).await.unwrap(), []);
        assert_eq!(heard(&spy).await, []);
        assert_eq!((names(&here).await, names(&there).await), (vec!["AN_ACP".to_owned()], vec![]));
        assert_eq!(names(to.grasp()).await, Vec::<String>::new());
        let copy = &here.flood_cache().await.unwrap()[0];
        let address = own_address(from.grasp()).await;
        assert_eq!((copy.origin, copy.loop_count), (address.into(), 1));
        assert_eq!(copy.locator.as_deref(), Some(format!("[{address}]:500").as_str()));

        // The middle node supports it on the other link: there it is found, with the address of that link, here it is not.
        let _holder = announcer(&there, "T").await;
        assert_eq!(from.discover(&Kind::AnProxy.objective(), ms(700), None).await.unwrap(), []);
        let found = to.discover_direct(&Kind::AnProxy.objective(), ms(700), None).await.unwrap();
        let found: Vec<_> = found.iter().filter_map(|at| at.locator.address()).collect();
        assert_eq!(found, [std::net::IpAddr::V6(own_address(&there).await)]);
    });
}

/// G-DULL-02, G-SEC-02: registry, caches, sessions and names of ASAs are an instance's own, both ways.
#[test]
fn tables_are_not_shared() {
    paused(async {
        let lan = Lan::new();
        let ((node, _), (peer, _)) = (carrier(&lan, "n", &[lan.link]).await, carrier(&lan, "p", &[lan.link]).await);
        let (below, beside) = (dull(&node, "e0").await, dull(&peer, "e0").await);
        // The registry: the same name twice, and each objective where it was registered.
        let announcing = announcer(&beside, "same").await;
        let secured = asa(&peer, "same", &syn("32473:x")).await;
        let list = async |node: &Grasp| -> Vec<String> {
            node.objectives().await.unwrap().into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(
            (list(&beside).await, list(&peer).await),
            (vec!["AN_ACP".into(), "AN_Proxy".into()], vec!["32473:x".into()])
        );
        assert_eq!(code(beside.asa(secured.handle()).deregister_objective(&syn("32473:x")).await), ErrorCode::NoAsa);
        // The flood caches.
        announce(&announcing, 500).await;
        secured.flood(60_000, vec![(with(&syn("32473:x"), 1), None)]).await.unwrap();
        sleep(SOON).await;
        assert_eq!((names(&below).await, names(&node).await), (vec!["AN_ACP".to_owned()], vec!["32473:x".to_owned()]));
        assert_eq!((names(&beside).await, names(&peer).await), (vec!["AN_ACP".to_owned()], vec!["32473:x".to_owned()]));
        assert!(counted(&below, "flood_dull_loop_count").await > 0, "it is on the same link, and heard it");
        assert!(counted(&node, "flood_left_to_dull").await > 0);
        // What is dumped for people has both, each marked.
        let all = node.flood_caches().await.unwrap();
        let marked: Vec<_> = all.iter().map(|entry| (entry.instance.as_str(), entry.objective.as_str())).collect();
        assert_eq!(marked, [("n", "32473:x"), ("dull e0", "AN_ACP")]);
        assert_eq!((all[1].what.as_deref(), all[1].odd.len()), (Some("an ACP neighbour that offers IKEv2"), 0));
        assert_eq!((all[0].what.as_deref(), all[1].ttl_ms), (None, 210_000));
        // The discovery caches.
        let asker = below.register_asa("A").await.unwrap();
        assert_eq!(asker.discover(&Kind::AnAcp.objective(), SOON, None).await.unwrap().len(), 1);
        assert_eq!(below.discovery_cache().await.unwrap().len(), 1);
        assert_eq!(node.discovery_cache().await.unwrap(), []);
        // What each asks the other does not answer.
        let asker = node.register_asa("A").await.unwrap();
        assert_eq!(asker.discover(&Kind::AnAcp.objective(), SOON, None).await.unwrap(), []);
        let found = below.discovery_cache().await.unwrap().remove(0).locator;
        assert_eq!(found, format!("[{}]:{}", own_address(&beside).await, beside.status().await.unwrap().port));
        assert_eq!((below.sessions().await.unwrap(), node.sessions().await.unwrap()), (vec![], vec![]));
    });
}

/// G-DULL-06, G-DULL-15, G-SEC-04: what would lead to a session is refused before anything is sent, with `#16`; what is not on the
/// list with `#03`.
#[test]
fn sessions_are_refused() {
    paused(async {
        let lan = Lan::new();
        let (node, _) = carrier(&lan, "n", &[lan.link]).await;
        let spy = listen(&lan.place(), 0);
        let asa = announcer(&dull(&node, "e0").await, "A").await;
        let (acp, negotiated) = (Kind::AnAcp.objective(), neg("AN_ACP"));
        let valued = with(&acp, 1);
        let peer = AsaLocator::known(Locator::tcp("fe80::9".parse::<Ipv6Addr>().unwrap().into(), 9), 1);
        let mut codes = vec![
            code(asa.register_objective(&neg("AN_Proxy"), Registration::default()).await),
            code(asa.request_negotiate(&negotiated, None, s(1)).await),
            code(asa.request_negotiate(&negotiated, Some(&peer), s(1)).await),
            code(asa.listen_negotiate(&negotiated).await),
            code(asa.listen_synchronize(&valued).await),
            code(asa.synchronize(&acp, None, s(1)).await),
            code(asa.synchronize(&acp, Some(&peer), s(1)).await),
        ];
        codes.dedup();
        assert_eq!(codes, [ErrorCode::NoSecurity]);
        let foreign = syn("32473:x");
        let refused = [
            code(asa.register_objective(&foreign, Registration::default()).await),
            code(asa.discover(&foreign, s(1), None).await),
        ];
        assert_eq!(refused, [ErrorCode::Unspecified; 2]);
        assert_eq!(code(asa.flood(1, vec![(with(&foreign, 1), None)]).await), ErrorCode::NotObjective);
        let elsewhere = vec![(valued, Some(Locator::tcp("fe80::9".parse::<Ipv6Addr>().unwrap().into(), 9)))];
        assert_eq!(code(asa.flood(1, elsewhere).await), ErrorCode::InvalidLocator);
        assert_eq!(heard(&spy).await, []);
        // What was flooded can be read, which is no session.
        announce(&asa, 500).await;
        assert_eq!(asa.synchronize(&acp, None, s(1)).await.unwrap().name, "AN_ACP");
        let kinds: Vec<_> = heard(&spy).await.into_iter().map(|(message, _)| message.message_type()).collect();
        assert_eq!(kinds, [MessageType::Flood]);
    });
}

/// G-DULL-11, G-DULL-15, T-15: the port that answers give is closed to everybody off the link, and to everybody on it without a
/// byte being read; the port of the carrying instance is another.
#[test]
fn no_request_is_served() {
    paused(async {
        let lan = Lan::new();
        let (node, place) = carrier(&lan, "n", &[lan.link]).await;
        let below = dull(&node, "e0").await;
        let _holder = announcer(&below, "A").await;
        let puppet = lan.puppet();
        let port = below.status().await.unwrap().port;
        assert_ne!(port, node.status().await.unwrap().port);
        let far = SocketAddr::new(place.global().unwrap().into(), port);
        assert!(puppet.0.connect(far).await.is_err(), "nobody listens on the global address");
        let near = SocketAddrV6::new(own_address(&below).await, port, 0, 1);
        let requests = [
            Message::RequestNegotiation { session_id: 1, objective: with(&neg("AN_ACP"), 1) },
            Message::RequestSynchronization { session_id: 2, objective: with(&syn("AN_ACP"), 1) },
            Message::Discovery {
                session_id: 3,
                initiator: near.ip().to_owned().into(),
                objective: Kind::AnAcp.objective(),
            },
        ];
        for request in requests {
            let mut stream = puppet.0.connect(near.into()).await.unwrap();
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &request.encode()).await;
            let mut answer = Vec::new();
            let _ = timeout(s(5), stream.read_to_end(&mut answer)).await.expect("it is closed");
            assert_eq!(answer, [0_u8; 0]);
        }
        assert_eq!(counted(&below, "connections_refused").await, 3);
        assert_eq!(counted(&below, "messages_received").await, 0);
        assert_eq!(below.sessions().await.unwrap(), []);
    });
}

/// G-DULL-07 to G-DULL-09, G-DULL-13: from the wire and back: what breaks a rule is silently dropped, what does not is answered
/// with the link's own address.
#[test]
fn strangers_are_heard_by_the_rules() {
    paused(async {
        let lan = Lan::new();
        let (node, _) = carrier(&lan, "n", &[lan.link]).await;
        let below = dull(&node, "e0").await;
        let _holder = announcer(&below, "A").await;
        let place = lan.place();
        let (sockets, index) = (listen(&place, 0), place.interfaces().unwrap()[0].index);
        let own = place.interfaces().unwrap()[0].link_local.unwrap();
        let ask = |session_id, initiator: Ipv6Addr, name: &str, loop_count| {
            let objective = Objective::discovery(name).with_loop_count(loop_count);
            Message::Discovery { session_id, initiator: initiator.into(), objective }
        };
        let global = place.global().unwrap();
        for message in [ask(1, own, "AN_ACP", 2), ask(2, own, "32473:x", 1), ask(3, global, "AN_ACP", 1)] {
            sockets.multicast.send(&message.encode()).unwrap();
        }
        assert!(timeout(SOON, sockets.answers.accept()).await.is_err(), "silence");
        sockets.multicast.send(&ask(4, own, "AN_ACP", 1).encode()).unwrap();
        let (stream, from) = timeout(SOON, sockets.answers.accept()).await.expect("an answer").unwrap();
        let Some(Message::Response { answer, .. }) = Talk::new(stream).next().await else { panic!("no answer") };
        let place = answer.locators()[0].address();
        assert_eq!(place, Some(own_address(&below).await.into()));
        assert_eq!(from.ip(), own_address(&below).await);
        for reason in ["discovery_dull_loop_count", "discovery_dull_objective", "discovery_dull_initiator"] {
            assert_eq!(counted(&below, reason).await, 1, "{reason}");
        }
        // A flood of a third party's address.
        let flood = |session_id, locator| {
            let objective = Kind::AnProxy.objective().with_value(Value::item("").unwrap());
            let objectives = vec![TaggedObjective { objective, locator: Some(Locator::tcp(locator, 443)) }];
            Message::Flood { session_id, initiator: own.into(), ttl: 180_000, objectives }
        };
        sockets.multicast.send(&flood(5, global.into()).encode()).unwrap();
        sleep(SOON).await;
        assert_eq!((names(&below).await.len(), counted(&below, "flood_dull_locator").await), (0, 1));
        sockets.multicast.send(&flood(6, own.into()).encode()).unwrap();
        sleep(SOON).await;
        let copy = &below.flood_cache().await.unwrap()[0];
        assert_eq!(
            (copy.interface, copy.what.as_deref()),
            (index, Some("a join proxy for nodes without a certificate"))
        );
    });
}

/// G-DULL-01, G-HA-05: an instance goes with its link and comes with it, with empty tables; a registrar's flood is none of its.
#[test]
fn an_instance_lives_as_long_as_its_link() {
    paused(async {
        let lan = Lan::new();
        let other = far(&lan);
        let (node, place) = carrier(&lan, "n", &[lan.link, other]).await;
        let first = dull(&node, "e0").await;
        let asa = announcer(&first, "A").await;
        announce(&asa, 500).await;
        asa.flood(1_000, vec![an_proxy(Transport::Tcp, 4_443)]).await.unwrap();
        assert_eq!(names(&first).await, ["AN_ACP", "AN_Proxy"]);
        let registrar = Kind::AnJoinRegistrar.objective().with_value(Value::item(EST_TLS).unwrap());
        assert_eq!(code(asa.flood(1, vec![(registrar, None)]).await), ErrorCode::NotObjective);
        place.attach(1, None);
        sleep(s(6)).await;
        let left: Vec<_> = node.dull_instances().await.unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["e1"]);
        assert!(first.status().await.is_err(), "it has ended");
        place.attach(1, Some(lan.link));
        sleep(s(6)).await;
        assert_eq!(names(&dull(&node, "e0").await).await, Vec::<String>::new());
        assert!(dull(&node, "e0").await.objectives().await.unwrap().is_empty());
    });
}
