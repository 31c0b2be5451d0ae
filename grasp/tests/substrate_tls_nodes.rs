//! Whole nodes over the substrate `tls`, on the fabric and on a paused clock.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;
mod support_tls;

use fabric::{DEFAULT, Puppet, asa, code, counted, ms, neg, number, paused, s, syn, with};
use grasp::net::memory::{Conditions, Fabric, FabricLink, FabricNode};
use grasp::net::{ByteStream, Interface, LinkSockets, Listener, Network};
use grasp::substrate::Substrate;
use grasp::substrate::tls::TlsSubstrate;
use grasp::wire::Message;
use grasp::{AsaLocator, ErrorCode, Grasp, Locator, Negotiated, NodeConfig, Value};
use std::sync::{Arc, Mutex};
use support_tls::{Authority, Identity, NOON, Order, Wall, member};
use tokio::time::sleep;

/// A node over its own substrate, and that substrate.
struct Member {
    node: Grasp,
    tls: TlsSubstrate,
    identity: Identity,
    place: FabricNode,
}

/// A domain on a fabric.
struct Domain {
    fabric: Fabric,
    authority: Authority,
    wall: Wall,
}

impl Domain {
    fn new() -> Self {
        Self { fabric: Fabric::new(11), authority: Authority::new("root"), wall: Wall::default() }
    }

    fn link(&self) -> FabricLink {
        self.fabric.link(Conditions { latency: ms(5), ..Conditions::default() })
    }

    fn member(&self, name: &str, links: &[FabricLink]) -> Member {
        self.member_by(&self.authority, member(name), links, |place| Arc::new(place.clone()))
    }

    fn member_by(
        &self,
        authority: &Authority,
        order: Order,
        links: &[FabricLink],
        network: impl FnOnce(&FabricNode) -> Arc<dyn Network>,
    ) -> Member {
        let name = order.common_name.clone().unwrap();
        let mut seed = [0; 32];
        seed[..name.len()].copy_from_slice(name.as_bytes());
        let identity = authority.issue(order);
        let credentials = identity.credentials(authority, None).unwrap();
        let tls = TlsSubstrate::new(credentials, self.wall.settings()).unwrap();
        let config = NodeConfig { name, seed: Some(seed), ..NodeConfig::default() };
        let place = self.fabric.node(links);
        let node = Grasp::start(config, network(&place), Arc::new(tls.clone())).unwrap();
        Member { node, tls, identity, place }
    }
}

/// The names of a node's neighbours, sorted.
async fn neighbours(node: &Grasp) -> Vec<String> {
    let mut names: Vec<_> = node.neighbours().await.unwrap().0.into_iter().map(|one| one.member).collect();
    names.sort_unstable();
    names
}

/// Where a member takes requests.
async fn at(member: &Member) -> AsaLocator {
    let status = member.node.status().await.unwrap();
    AsaLocator::known(Locator::tcp(member.place.global().unwrap().into(), status.port), 0)
}

/// Accepts whatever is asked for.
async fn serve(node: &Grasp, name: &str) {
    let asa = asa(node, name, &neg("32473:money")).await;
    actix::spawn(async move {
        while let Ok((session, _)) = asa.listen_negotiate(&neg("32473:money")).await {
            let _ = session.end_negotiate(true, None).await;
        }
    });
}

/// RFC 8994 §6.9.2, G-TRN-26: neighbours find each other by DULL, discovery goes over their connections, and the negotiation over
/// one of its own between the addresses of the domain.
#[test]
fn members_find_each_other_and_negotiate() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let (a, b) = (domain.member("a", &[link]), domain.member("b", &[link]));
        serve(&b.node, "B").await;
        let asking = asa(&a.node, "A", &neg("32473:money")).await;
        sleep(s(10)).await;
        assert_eq!((neighbours(&a.node).await, neighbours(&b.node).await), (vec!["b".into()], vec!["a".into()]));
        for _ in 0..3 {
            let ask = with(&neg("32473:money"), 100);
            let result = asking.request_negotiate(&ask, None, DEFAULT).await.unwrap();
            assert!(matches!(result, Negotiated::Accepted(agreed) if number(&agreed) == 100));
        }
        let status = a.node.status().await.unwrap();
        assert_eq!((status.substrate, status.secure, status.ready), ("tls", true, true));
        assert_eq!(status.standing.facts["names"], "a, 0@acp.example.com");
        // One with the neighbour, one for the first negotiation; the others have resumed it.
        assert_eq!(status.counters["tls_handshakes{full}"], 2, "{:?}", status.counters);
        assert_eq!(status.counters["tls_handshakes{resumed}"], 2);
    });
}

/// G-TRN-07, G-TRN-15, G-TRN-26: three members in a line. The middle one passes on what it hears on one link to the other, a flood of
/// 20 kB too, and answers come on the connection that carried the question.
#[test]
fn discovery_and_flood_pass_a_relay_over_connections() {
    paused(async {
        let domain = Domain::new();
        let (left, right) = (domain.link(), domain.link());
        let (a, b) = (domain.member("a", &[left]), domain.member("b", &[right]));
        let relay = domain.member("relay", &[left, right]);
        let asking = asa(&a.node, "A", &syn("32473:value")).await;
        let serving = asa(&b.node, "B", &syn("32473:value")).await;
        sleep(s(20)).await;
        assert_eq!(neighbours(&relay.node).await, ["a", "b"]);
        assert_eq!(
            (neighbours(&a.node).await, neighbours(&b.node).await),
            (vec!["relay".into()], vec!["relay".into()])
        );
        serving.listen_synchronize(&with(&syn("32473:value"), 7)).await.unwrap();
        let got = asking.synchronize(&syn("32473:value"), None, DEFAULT).await.unwrap();
        assert_eq!(number(&got), 7);
        let before = counted(&a.node, "tls_handshakes").await;
        let long = Value::item(&"x".repeat(20_000)).unwrap();
        serving.flood(60_000, vec![(syn("32473:value").with_value(long.clone()), None)]).await.unwrap();
        sleep(s(1)).await;
        let copies = asking.get_flood(&syn("32473:value")).await.unwrap();
        assert_eq!(copies.len(), 1);
        assert_eq!(copies[0].objective.value, Some(long));
        // It came on the connection that was there.
        assert_eq!(counted(&a.node, "tls_handshakes").await, before);
        // A question that is answered needs no connection either: nobody has dialled back.
        let other = asa(&b.node, "C", &syn("32473:other")).await;
        other.listen_synchronize(&with(&syn("32473:other"), 8)).await.unwrap();
        let asked = a.node.register_asa("D").await.unwrap();
        asked.register_objective(&syn("32473:other"), grasp::Registration::default()).await.unwrap();
        let found = asked.discover(&syn("32473:other"), s(1), None).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(counted(&a.node, "tls_handshakes").await, before);
    });
}

/// What crosses the connections of a node, in both directions.
struct Listening(FabricNode, Arc<Mutex<Vec<u8>>>);

impl Network for Listening {
    fn interfaces(&self) -> std::io::Result<Vec<Interface>> {
        self.0.interfaces()
    }

    fn changed(&self) -> futures_util::future::BoxFuture<'_, ()> {
        self.0.changed()
    }

    fn open_link(&self, interface: &Interface) -> std::io::Result<LinkSockets> {
        self.0.open_link(interface)
    }

    fn listen_on(&self, interface: &Interface) -> std::io::Result<Box<dyn Listener>> {
        Ok(Box::new(ListeningDoor(self.0.listen_on(interface)?, self.1.clone())))
    }

    fn listen(&self, ports: &[u16]) -> std::io::Result<Box<dyn Listener>> {
        Ok(Box::new(ListeningDoor(self.0.listen(ports)?, self.1.clone())))
    }

    fn connect(&self, to: std::net::SocketAddr) -> futures_util::future::BoxFuture<'_, std::io::Result<ByteStream>> {
        Box::pin(async move { Ok(support_tls::wire::overheard(self.0.connect(to).await?, self.1.clone())) })
    }

    fn resolve(
        &self,
        name: &str,
        port: u16,
    ) -> futures_util::future::BoxFuture<'_, std::io::Result<Vec<std::net::SocketAddr>>> {
        self.0.resolve(name, port)
    }
}

struct ListeningDoor(Box<dyn Listener>, Arc<Mutex<Vec<u8>>>);

impl Listener for ListeningDoor {
    fn port(&self) -> u16 {
        self.0.port()
    }

    fn accept(&self) -> futures_util::future::BoxFuture<'_, std::io::Result<(ByteStream, std::net::SocketAddr)>> {
        Box::pin(async {
            let (stream, peer) = self.0.accept().await?;
            Ok((support_tls::wire::overheard(stream, self.1.clone()), peer))
        })
    }
}

/// G-PRV-02: whoever listens on the connections of a node, of which there are some to neighbours and some of sessions, learns no
/// name of an objective and no value.
#[test]
fn nothing_of_grasp_can_be_read_on_the_connections_of_a_node() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let overheard = Arc::<Mutex<Vec<u8>>>::default();
        let ear = overheard.clone();
        let a = domain
            .member_by(&domain.authority, member("a"), &[link], move |place| Arc::new(Listening(place.clone(), ear)));
        let b = domain.member("b", &[link]);
        serve(&b.node, "B").await;
        let asking = asa(&a.node, "A", &neg("32473:money")).await;
        sleep(s(10)).await;
        let value = Value::item("a secret value").unwrap();
        asking.request_negotiate(&neg("32473:money").with_value(value.clone()), None, DEFAULT).await.unwrap();
        let flooding = asa(&a.node, "F", &syn("32473:news")).await;
        flooding.flood(60_000, vec![(syn("32473:news").with_value(value), None)]).await.unwrap();
        let hearing = asa(&b.node, "F", &syn("32473:news")).await;
        sleep(s(1)).await;
        assert_eq!(hearing.get_flood(&syn("32473:news")).await.unwrap().len(), 1);
        let overheard = overheard.lock().unwrap().clone();
        assert!(overheard.len() > 2_000, "{} bytes", overheard.len());
        for secret in ["32473", "money", "news", "secret"] {
            let found = overheard.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} can be read");
        }
    });
}

/// G-DSG-02: strangers on the link, members of another domain and nodes without protection reach neither the engine nor its floods.
#[test]
fn strangers_on_the_link_never_reach_the_engine() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let foreign = Authority::new("foreign");
        let (a, b) = (domain.member("a", &[link]), domain.member("b", &[link]));
        let c = domain.member_by(&foreign, member("c"), &[link], |place| Arc::new(place.clone()));
        let hearing = asa(&a.node, "A", &syn("32473:news")).await;
        let flooding = asa(&c.node, "C", &syn("32473:news")).await;
        sleep(s(30)).await;
        assert_eq!(neighbours(&a.node).await, ["b"]);
        assert_eq!(neighbours(&b.node).await, ["a"]);
        assert_eq!(neighbours(&c.node).await, Vec::<String>::new());
        flooding.flood(60_000, vec![(with(&syn("32473:news"), 6), None)]).await.unwrap();
        // One that speaks GRASP in the clear to the port of a.
        let puppet = Puppet(domain.fabric.node(&[link]));
        let flood = with(&syn("32473:news"), 6);
        let flood = Message::Flood {
            session_id: 6,
            initiator: puppet.address().into(),
            ttl: 60_000,
            objectives: vec![grasp::wire::TaggedObjective { objective: flood, locator: None }],
        };
        let mut talk = puppet.connect(&a.node).await;
        talk.send(&flood).await;
        sleep(s(10)).await;
        assert_eq!(hearing.get_flood(&syn("32473:news")).await.unwrap(), []);
        assert!(counted(&a.node, "tls_refused").await + counted(&a.node, "tls_refused_by_peer").await > 0);
        assert!(counted(&a.node, "tls_failed").await > 0);
        // Both sides give up more and more rarely.
        let attempts = counted(&a.node, "tls_refused").await + counted(&a.node, "tls_refused_by_peer").await;
        sleep(s(600)).await;
        let later = counted(&a.node, "tls_refused").await + counted(&a.node, "tls_refused_by_peer").await;
        assert!(later - attempts <= 40, "{} attempts in ten minutes", later - attempts);
    });
}

/// G-DSG-02: a member that is revoked loses its neighbours and its sessions, and comes back with a new certificate.
#[test]
fn a_revoked_member_is_cut_off_and_comes_back_with_a_new_certificate() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let (a, b) = (domain.member("a", &[link]), domain.member("b", &[link]));
        serve(&a.node, "A").await;
        let asking = asa(&b.node, "B", &neg("32473:money")).await;
        sleep(s(10)).await;
        let ask = with(&neg("32473:money"), 1);
        let to = at(&a).await;
        asking.request_negotiate(&ask, Some(&to), DEFAULT).await.unwrap();
        let list = domain.authority.revoke(&[&b.identity]);
        a.tls.reload(a.identity.credentials(&domain.authority, Some(&list)).unwrap()).unwrap();
        let refused = asking.request_negotiate(&ask, Some(&to), DEFAULT).await;
        assert_ne!(code(refused), ErrorCode::NoSecurity);
        sleep(s(100)).await;
        assert_eq!(neighbours(&a.node).await, Vec::<String>::new());
        // b believes in a for as long as a handshake takes, and does not try for ever at the same pace.
        let attempts = counted(&b.node, "tls_refused_by_peer").await;
        assert!(attempts > 0);
        sleep(s(600)).await;
        let later = counted(&b.node, "tls_refused_by_peer").await - attempts;
        assert!(later <= 40, "{later} attempts in ten minutes");
        let mut order = b.identity.order.clone();
        order.serial += 1;
        let renewed = domain.authority.issue(order);
        b.tls.reload(renewed.credentials(&domain.authority, None).unwrap()).unwrap();
        sleep(s(130)).await;
        assert_eq!((neighbours(&a.node).await, neighbours(&b.node).await), (vec!["b".into()], vec!["a".into()]));
        asking.request_negotiate(&ask, Some(&to), DEFAULT).await.unwrap();
    });
}

/// RFC 8994 §6.2.5.5: calls of a node whose certificate has ended fail with `#16`, and work again after a reload.
#[test]
fn a_node_whose_certificate_has_ended_fails_calls_until_a_reload() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let short = Order { valid: (-60, 60), ..member("a") };
        let a = domain.member_by(&domain.authority, short.clone(), &[link], |place| Arc::new(place.clone()));
        let b = domain.member("b", &[link]);
        serve(&b.node, "B").await;
        let asking = asa(&a.node, "A", &neg("32473:money")).await;
        let (ask, to) = (with(&neg("32473:money"), 1), at(&b).await);
        asking.request_negotiate(&ask, Some(&to), DEFAULT).await.unwrap();
        domain.wall.set(NOON + 61);
        assert_eq!(code(asking.request_negotiate(&ask, Some(&to), DEFAULT).await), ErrorCode::NoSecurity);
        assert!(!a.node.status().await.unwrap().ready);
        let renewed = domain.authority.issue(Order { valid: (0, 3_600), ..short });
        a.tls.reload(renewed.credentials_at(&domain.authority, None, NOON + 61).unwrap()).unwrap();
        asking.request_negotiate(&ask, Some(&to), DEFAULT).await.unwrap();
        assert!(a.tls.is_ready());
    });
}
