//! Nodes of a domain on the fabric, and an attacker beside them who speaks by hand.

// Each test binary uses a part.
#![allow(dead_code)]

use crate::fabric::*;
use crate::support_tls::{Authority, Wall, member};
use grasp::net::memory::{Conditions, Fabric, FabricLink, FabricNode};
use grasp::net::{ByteStream, LinkSockets, Network};
use grasp::protocol::authorization::{Act, Authorization};
use grasp::substrate::Substrate;
use grasp::substrate::tls::TlsSubstrate;
use grasp::wire::{Limits, Locator, Message, Objective, TaggedObjective, Value, decode};
use grasp::{Grasp, NodeConfig};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

/// A fabric, and the authority of a domain.
pub(crate) struct Domain {
    pub(crate) fabric: Fabric,
    pub(crate) authority: Authority,
    pub(crate) wall: Wall,
}

impl Domain {
    pub(crate) fn new() -> Self {
        Self { fabric: Fabric::new(13), authority: Authority::new("root"), wall: Wall::default() }
    }

    pub(crate) fn link(&self) -> FabricLink {
        self.fabric.link(Conditions { latency: ms(5), ..Conditions::default() })
    }

    pub(crate) fn substrate(&self, name: &str) -> Arc<TlsSubstrate> {
        Arc::new(self.authority.substrate(member(name), &self.wall))
    }

    pub(crate) fn start(&self, name: &str, links: &[FabricLink]) -> Grasp {
        self.start_with(name, links, |_| {})
    }

    pub(crate) fn start_with(&self, name: &str, links: &[FabricLink], change: impl FnOnce(&mut NodeConfig)) -> Grasp {
        self.start_in(name, links, self.substrate(name), change)
    }

    pub(crate) fn start_in(
        &self,
        name: &str,
        links: &[FabricLink],
        substrate: Arc<dyn Substrate>,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Grasp {
        let mut seed = [0; 32];
        seed[..name.len()].copy_from_slice(name.as_bytes());
        let mut config = NodeConfig { name: name.into(), seed: Some(seed), ..NodeConfig::default() };
        change(&mut config);
        Grasp::start(config, Arc::new(self.fabric.node(links)), substrate).unwrap()
    }
}

/// Rules for one objective.
pub(crate) fn allow(name: &str, act: Act, names: &[&str]) -> Authorization {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Authorization { rules: [(name.to_owned(), [(act, names)].into())].into() }
}

/// An attacker with an interface on a link.
pub(crate) struct Attacker {
    pub(crate) place: FabricNode,
    pub(crate) sockets: LinkSockets,
    pub(crate) own: IpAddr,
}

impl Attacker {
    pub(crate) fn on(fabric: &Fabric, link: FabricLink) -> Self {
        let place = fabric.node(&[link]);
        let interface = place.interfaces().unwrap().remove(0);
        let sockets = place.open_link(&interface).unwrap();
        let own = interface.link_local.unwrap().into();
        Self { place, sockets, own }
    }

    /// Where a node takes connections of neighbours, as it announces within 90 s.
    pub(crate) async fn neighbours_port(&self, node: &Grasp) -> SocketAddr {
        let victim = link_local(node).await;
        let until = Instant::now() + s(90);
        loop {
            let heard = timeout_at(until, self.sockets.multicast.receive()).await.expect("an announcement");
            let (bytes, mut source) = heard.unwrap();
            let Ok(Message::Flood { objectives, .. }) = decode(&bytes, &Limits::default()) else { continue };
            if source.ip() == victim
                && let Some(port) = objectives[0].locator.as_ref().and_then(Locator::port)
            {
                source.set_port(port);
                return source;
            }
        }
    }

    /// A connection to a port of a node, in clear.
    pub(crate) async fn dial(&self, to: SocketAddr) -> ByteStream {
        self.place.connect(to).await.unwrap()
    }

    /// A connection that a member makes.
    pub(crate) async fn dial_as(&self, substrate: &TlsSubstrate, to: SocketAddr) -> ByteStream {
        let mut stream = substrate.connect(self.dial(to).await, to).await.unwrap().stream;
        stream.flush().await.unwrap();
        stream
    }
}

pub(crate) async fn link_local(node: &Grasp) -> IpAddr {
    loop {
        if let Some((_, _, address)) = node.status().await.unwrap().links.first() {
            return (*address).into();
        }
        tokio::time::sleep(ms(5)).await;
    }
}

/// Where a node takes requests.
pub(crate) async fn requests_port(node: &Grasp) -> SocketAddr {
    let at = at(node).await.locator;
    SocketAddr::new(at.address().unwrap(), at.port().unwrap())
}

pub(crate) async fn members(node: &Grasp) -> Vec<String> {
    let mut names: Vec<_> = node.neighbours().await.unwrap().0.into_iter().map(|one| one.member).collect();
    names.sort_unstable();
    names
}

/// Counted about the neighbours on the first link.
pub(crate) async fn adjacency(node: &Grasp, name: &str) -> u64 {
    node.neighbours().await.unwrap().1["e0"][name].as_u64().unwrap()
}

/// A flood of these objectives without locators.
pub(crate) fn flood(id: u32, initiator: IpAddr, objectives: Vec<Objective>) -> Vec<u8> {
    let tagged = |objective| TaggedObjective { objective, locator: None };
    let objectives = objectives.into_iter().map(tagged).collect();
    Message::Flood { session_id: id, initiator, ttl: 600_000, objectives }.encode()
}

pub(crate) fn text(name: &str, loop_count: u8, value: &str) -> Objective {
    syn(name).with_value(Value::item(value).unwrap()).with_loop_count(loop_count)
}

/// An address that nobody has.
pub(crate) fn nobody() -> IpAddr {
    "fd00::66".parse().unwrap()
}
