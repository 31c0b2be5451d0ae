//! Nodes whose discoveries and floods travel on connections to the members at the other ends of their links
//! (RFC 8994 §6.9.2), found there by DULL floods. On the fabric, with a substrate that only exchanges names.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use futures_util::future::BoxFuture;
use grasp::net::memory::{Conditions, Fabric, FabricLink};
use grasp::net::{ByteStream, MulticastSocket, Network};
use grasp::protocol::authorization::{Act, Authorization};
use grasp::protocol::{LinkId, Member};
use grasp::substrate::{Carrier, Secured, Substrate};
use grasp::wire::{Message, decode};
use grasp::{Grasp, Negotiated, NodeConfig, Objective, Rapid, Registration, Value};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

/// Members tell each other their names; whoever says "stranger" is none.
struct Badge(&'static str);

async fn shake(mut stream: ByteStream, own: &'static str) -> io::Result<Secured> {
    stream.write_all(&[u8::try_from(own.len()).unwrap()]).await?;
    stream.write_all(own.as_bytes()).await?;
    let mut name = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut name).await?;
    let name = String::from_utf8(name).map_err(|_| io::ErrorKind::InvalidData)?;
    if name == "stranger" {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(Secured { stream, member: Some(Member::new(vec![name])) })
}

impl Substrate for Badge {
    fn name(&self) -> &'static str {
        "badge"
    }

    fn is_secure(&self) -> bool {
        true
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn carrier(&self) -> Carrier {
        Carrier::Connections
    }

    fn multicast_size(&self) -> usize {
        32_768
    }

    fn seal(&self, _: LinkId, _: Vec<u8>) -> Vec<u8> {
        panic!("a multicast under a substrate that has none")
    }

    fn open(&self, _: LinkId, _: Vec<u8>) -> Option<Vec<u8>> {
        panic!("a multicast under a substrate that has none")
    }

    fn connect(&self, stream: ByteStream, _: SocketAddr) -> BoxFuture<'static, io::Result<Secured>> {
        self.accept(stream)
    }

    fn accept(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<Secured>> {
        Box::pin(shake(stream, self.0))
    }
}

struct World {
    fabric: Fabric,
}

impl World {
    fn new() -> Self {
        Self { fabric: Fabric::new(11) }
    }

    fn link(&self) -> FabricLink {
        self.fabric.link(Conditions { latency: ms(5), ..Conditions::default() })
    }

    fn start(&self, name: &'static str, links: &[FabricLink]) -> Grasp {
        self.start_with(name, links, Authorization::default())
    }

    fn start_with(&self, name: &'static str, links: &[FabricLink], authorization: Authorization) -> Grasp {
        let mut seed = [0; 32];
        seed[..name.len()].copy_from_slice(name.as_bytes());
        let config = NodeConfig { name: name.into(), seed: Some(seed), authorization, ..NodeConfig::default() };
        Grasp::start(config, Arc::new(self.fabric.node(links)), Arc::new(Badge(name))).unwrap()
    }
}

async fn members(node: &Grasp) -> Vec<String> {
    let mut names: Vec<_> = node.neighbours().await.unwrap().0.into_iter().map(|one| one.member).collect();
    names.sort_unstable();
    names
}

/// Three nodes in a line: a, relay, b.
async fn line(world: &World) -> (Grasp, Grasp, Grasp) {
    let (left, right) = (world.link(), world.link());
    let nodes = (world.start("a", &[left]), world.start("relay", &[left, right]), world.start("b", &[right]));
    sleep(s(10)).await;
    nodes
}

/// ASA-S-06, G-TRN-01: neighbours find each other by DULL floods, one connection a pair.
#[test]
fn neighbours_find_each_other() {
    paused(async {
        let world = World::new();
        let (a, relay, b) = line(&world).await;
        assert_eq!((members(&a).await, members(&b).await), (vec!["relay".to_owned()], vec!["relay".to_owned()]));
        assert_eq!(members(&relay).await, ["a", "b"]);
        let counted = a.neighbours().await.unwrap().1;
        assert_eq!(counted["e0"]["dialled"].as_u64().unwrap() + counted["e0"]["accepted"].as_u64().unwrap(), 1);
    });
}

/// G-TRN-08, G-TRN-15: a discovery goes from neighbour to neighbour, the answer comes back on the connections that asked;
/// the negotiation is from end to end.
#[test]
fn discovery_and_negotiation_across_a_relay() {
    paused(async {
        let world = World::new();
        let (a, _relay, b) = line(&world).await;
        let (seller, buyer) = (asa(&b, "S", &neg(NAME)).await, asa(&a, "B", &neg(NAME)).await);
        let serving = actix::spawn(async move {
            let (session, asked) = seller.listen_negotiate(&neg(NAME)).await.unwrap();
            session.end_negotiate(true, None).await.unwrap();
            number(&asked)
        });
        sleep(SOON).await;
        let found = buyer.discover(&neg(NAME).with_loop_count(6), s(2), None).await.unwrap();
        let own = at(&b).await;
        assert_eq!(found.iter().map(|found| &found.locator).collect::<Vec<_>>(), [&own.locator]);
        let result = buyer.request_negotiate(&with(&neg(NAME), 7), Some(&found[0]), DEFAULT).await.unwrap();
        assert!(matches!(result, Negotiated::Accepted(_)), "{result:?}");
        assert_eq!(serving.await.unwrap(), 7);
    });
}

/// G-TRN-07: a flood of 20 kB passes a relay, which a multicast could not carry.
#[test]
fn a_flood_of_twenty_kilobytes_is_delivered() {
    paused(async {
        let world = World::new();
        let (a, _relay, b) = line(&world).await;
        let (from, to) = (asa(&a, "F", &syn(NAME)).await, asa(&b, "T", &syn(NAME)).await);
        let value = Value::item(&"x".repeat(20_000)).unwrap();
        from.flood(60_000, vec![(syn(NAME).with_value(value.clone()), None)]).await.unwrap();
        sleep(SOON).await;
        let copies = to.get_flood(&syn(NAME)).await.unwrap();
        assert_eq!(copies.into_iter().map(|copy| copy.objective.value).collect::<Vec<_>>(), [Some(value)]);
    });
}

/// G-PRV-02, G-DULL-12: nothing but announcements is ever multicast, and they are as RFC 8994 §6.4 wants them.
#[test]
fn nothing_is_multicast_but_announcements() {
    paused(async {
        let world = World::new();
        let (left, right) = (world.link(), world.link());
        let ear = world.fabric.node(&[left]);
        let interface = ear.interfaces().unwrap().remove(0);
        let sockets = ear.open_link(&interface).unwrap();
        let (a, _relay) = (world.start("a", &[left]), world.start("relay", &[left, right]));
        let busy = asa(&a, "B", &syn(NAME)).await;
        let listening = actix::spawn(listen(sockets.multicast));
        for _ in 0..20 {
            let _ = busy.flood(60_000, vec![(with(&syn(NAME), 1), None)]).await;
            let _ = busy.discover(&syn(NAME), s(1), None).await;
            sleep(s(5)).await;
        }
        let heard = listening.await.unwrap();
        assert!(heard.len() >= 6, "{}", heard.len());
        for (message, source) in heard {
            let Message::Flood { initiator, ttl, objectives, .. } = message else { panic!("{message:?}") };
            assert_eq!((initiator, ttl, objectives.len()), (source.ip(), 210_000, 1));
            let Objective { name, loop_count, value, .. } = &objectives[0].objective;
            assert_eq!((name.as_str(), *loop_count), ("AN_ACP", 1));
            assert_eq!(value.as_ref().unwrap().decode::<String>().unwrap(), "GRASP-TLS");
            assert_eq!(objectives[0].locator.as_ref().unwrap().address(), Some(source.ip()));
        }
    });
}

async fn listen(socket: Box<dyn MulticastSocket>) -> Vec<(Message, SocketAddr)> {
    let mut heard = Vec::new();
    let until = tokio::time::Instant::now() + s(100);
    while let Ok(Ok((bytes, source))) = tokio::time::timeout_at(until, socket.receive()).await {
        heard.push((decode(&bytes, &grasp::wire::Limits::default()).unwrap(), source));
    }
    heard
}

/// G-DSG-02: who cannot prove membership becomes nobody's neighbour, and is counted.
#[test]
fn a_stranger_is_no_neighbour() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let (a, b) = (world.start("a", &[link]), world.start("b", &[link]));
        let stranger = world.start("stranger", &[link]);
        sleep(s(30)).await;
        assert_eq!((members(&a).await, members(&b).await), (vec!["b".to_owned()], vec!["a".to_owned()]));
        let outside = asa(&stranger, "X", &syn(NAME)).await;
        outside.flood(60_000, vec![(with(&syn(NAME), 666), None)]).await.unwrap();
        sleep(SOON).await;
        let reader = asa(&a, "R", &syn(NAME)).await;
        assert!(reader.get_flood(&syn(NAME)).await.unwrap().is_empty());
        let refused: u64 =
            counted(&a, "strangers").await + a.neighbours().await.unwrap().1["e0"]["refused"].as_u64().unwrap();
        assert!(refused > 0);
    });
}

/// ASA-S-07, ASA-S-08: a link that goes takes its neighbours with it; when it comes back, so do they.
#[test]
fn neighbours_go_and_come_with_their_link() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let place = world.fabric.node(&[link]);
        let config = NodeConfig { name: "a".into(), seed: Some([1; 32]), ..NodeConfig::default() };
        let a = Grasp::start(config, Arc::new(place.clone()), Arc::new(Badge("a"))).unwrap();
        let b = world.start("b", &[link]);
        sleep(s(10)).await;
        assert_eq!(members(&a).await, ["b"]);
        place.attach(1, None);
        sleep(s(10)).await;
        assert_eq!(members(&a).await.len() + members(&b).await.len(), 0);
        // Its own ASAs still find each other.
        let (one, other) = (shared(&a, "1").await, shared(&a, "2").await);
        one.flood(60_000, vec![(with(&syn("32473:own"), 5), None)]).await.unwrap();
        assert_eq!(other.get_flood(&syn("32473:own")).await.unwrap().len(), 1);
        place.attach(1, Some(link));
        sleep(s(80)).await;
        assert_eq!((members(&a).await, members(&b).await), (vec!["b".to_owned()], vec!["a".to_owned()]));
    });
}

async fn shared(node: &Grasp, name: &str) -> grasp::Asa {
    asa_with(node, name, &syn("32473:own"), Registration { overlap: true, ..Registration::default() }).await
}

/// ASA-S-04: who may not is denied, counted, and told nothing; others are served.
#[test]
fn rights_by_name_are_kept() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let allow = |act, names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Authorization { rules: [(NAME.to_owned(), [(act, names)].into())].into() }
        };
        let server = world.start_with("server", &[link], allow(Act::Request, &["friend*"]));
        let serving = asa(&server, "S", &syn(NAME)).await;
        serving.listen_synchronize(&with(&syn(NAME), 42)).await.unwrap();
        let (friend, other) = (world.start("friend1", &[link]), world.start("other", &[link]));
        let picky = world.start_with("picky", &[link], allow(Act::Answer, &["nobody"]));
        let deaf = world.start_with("deaf", &[link], allow(Act::Flood, &["friend*"]));
        sleep(s(10)).await;
        let there = at(&server).await;
        let read = async |node: &Grasp| {
            let asa = asa(node, "R", &syn(NAME)).await;
            asa.synchronize(&syn(NAME), Some(&there), s(5)).await.map(|objective| number(&objective))
        };
        assert_eq!(read(&friend).await.unwrap(), 42);
        assert!(read(&other).await.is_err());
        assert!(read(&picky).await.is_err(), "picky takes no answer from server");
        assert_eq!((counted(&server, "denied").await, counted(&picky, "denied").await), (1, 1));
        let ear = asa(&deaf, "E", &syn(NAME)).await;
        let heard = async || {
            ear.get_flood(&syn(NAME)).await.unwrap().iter().map(|copy| number(&copy.objective)).collect::<Vec<_>>()
        };
        for (node, value) in [(&other, 1), (&friend, 2)] {
            let asa = asa(node, "F", &syn(NAME)).await;
            asa.flood(60_000, vec![(with(&syn(NAME), value), None)]).await.unwrap();
            sleep(SOON).await;
        }
        assert_eq!((heard().await, counted(&deaf, "denied").await), (vec![2], 1));
    });
}

/// T-11, G-ERR-24: a neighbour that sends without end is read no faster than the pace, and nobody else waits for it.
#[test]
fn a_storm_of_one_neighbour_leaves_the_others_alone() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let (a, b) = (world.start("a", &[link]), world.start("b", &[link]));
        sleep(s(10)).await;
        // A member by its badge, with a connection of its own to a's port for neighbours.
        let liar = world.fabric.node(&[link]);
        let interface = liar.interfaces().unwrap().remove(0);
        let sockets = liar.open_link(&interface).unwrap();
        let until = tokio::time::Instant::now() + s(90);
        let target = loop {
            let heard = tokio::time::timeout_at(until, sockets.multicast.receive()).await.expect("an announcement");
            let (bytes, source) = heard.unwrap();
            let Ok(Message::Flood { objectives, .. }) = decode(&bytes, &grasp::wire::Limits::default()) else {
                continue;
            };
            let port = objectives[0].locator.as_ref().unwrap().port().unwrap();
            let mut at = source;
            at.set_port(port);
            break at;
        };
        let stream = liar.connect(target).await.unwrap();
        let Secured { mut stream, .. } = shake(stream, "liar").await.unwrap();
        let storm = actix::spawn(async move {
            for id in 0..20_000_u32 {
                let objective = with(&syn("32473:storm"), id.into()).with_loop_count(1);
                let tagged = grasp::wire::TaggedObjective { objective, locator: None };
                let initiator = "fd00::66".parse().unwrap();
                let flood = Message::Flood { session_id: id, initiator, ttl: 60_000, objectives: vec![tagged] };
                if stream.write_all(&flood.encode()).await.is_err() {
                    break;
                }
            }
        });
        sleep(s(1)).await;
        let (teller, hearer) = if target.ip() == link_local(&a).await { (&b, &a) } else { (&a, &b) };
        let (teller, hearer) = (asa(teller, "T", &syn(NAME)).await, asa(hearer, "H", &syn(NAME)).await);
        teller.flood(60_000, vec![(with(&syn(NAME), 1), None)]).await.unwrap();
        sleep(SOON).await;
        assert_eq!(hearer.get_flood(&syn(NAME)).await.unwrap().len(), 1);
        let status = hearer.grasp().status().await.unwrap();
        assert!(status.flood_cache <= 33, "{}", status.flood_cache);
        let read = counted(hearer.grasp(), "messages_received").await;
        assert!(read < 1600, "{read} messages in less than two seconds");
        storm.abort();
    });
}

async fn link_local(node: &Grasp) -> std::net::IpAddr {
    node.status().await.unwrap().links[0].2.into()
}

/// ASA-S-04: a value does not leave with the answer to a discovery for whoever may discover and not request.
#[test]
fn rapid_answers_give_no_value_to_who_may_not_request() {
    paused(async {
        for rapid in [Rapid::Response, Rapid::Synch] {
            let world = World::new();
            let link = world.link();
            let rules = [(NAME.to_owned(), [(Act::Request, vec!["friend".to_owned()])].into())].into();
            let server = world.start_with("server", &[link], Authorization { rules });
            let registration = Registration { rapid, ..Registration::default() };
            let serving = asa_with(&server, "S", &syn(NAME), registration).await;
            serving.listen_synchronize(&with(&syn(NAME), 42)).await.unwrap();
            let (friend, other) = (world.start("friend", &[link]), world.start("other", &[link]));
            sleep(s(10)).await;
            let read = async |node: &Grasp| {
                let asa = asa(node, "R", &syn(NAME)).await;
                let found = asa.discover(&syn(NAME), s(1), None).await.unwrap();
                let value = asa.synchronize_rapidly(&syn(NAME), None, s(5), true).await;
                (found.len(), value.ok().map(|objective| number(&objective)))
            };
            assert_eq!(read(&friend).await.1, Some(42), "{rapid:?}");
            assert_eq!(read(&other).await, (1, None), "{rapid:?}");
        }
    });
}
