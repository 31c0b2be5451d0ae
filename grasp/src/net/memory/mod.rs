//! A network in memory: links with latency, loss, duplication, reordering and partition, all from one seed.
//!
//! It runs on the runtime's clock, so that with a paused clock a simulation of many nodes is fast and repeats itself.

mod link;
mod pipe;
mod power;

pub use link::Conditions;

use super::{ByteStream, Interface, LinkSockets, Listener, MulticastSocket, Network};
use futures_util::future::BoxFuture;
use link::{Datagrams, Wire};
use pipe::{End, Pipe};
use power::{Path, Power, down};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Connections that wait to be accepted.
const BACKLOG: usize = 1024;
/// First port given where any will do.
const FIRST_PORT: u16 = 49_152;

/// Identifies a link of the fabric.
pub type FabricLink = u32;

type Incoming = mpsc::Sender<(ByteStream, SocketAddr)>;

struct State {
    random: ChaCha12Rng,
    links: BTreeMap<FabricLink, Wire>,
    nodes: Vec<Host>,
}

struct Host {
    /// Link of each interface, by interface index from 1.
    interfaces: Vec<Option<FabricLink>>,
    global: Option<Ipv6Addr>,
    listeners: BTreeMap<(Ipv6Addr, u16), Incoming>,
    next_port: u16,
    changed: Arc<Notify>,
    power: Power,
    /// Counts the times it has gone down: whatever belongs to an earlier life is dead.
    life: u64,
    /// The kernel's side of what this life has connected.
    ends: Vec<Weak<End>>,
}

impl Host {
    fn new(interfaces: Vec<Option<FabricLink>>, global: Option<Ipv6Addr>) -> Self {
        Self {
            interfaces,
            global,
            listeners: BTreeMap::new(),
            next_port: FIRST_PORT,
            changed: Arc::default(),
            power: Power::On,
            life: 0,
            ends: Vec::new(),
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.power == Power::On { Ok(()) } else { Err(down()) }
    }

    fn register(&mut self, end: Weak<End>) {
        self.ends.retain(|end| end.strong_count() > 0);
        self.ends.push(end);
    }
}

/// The fabric; cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Fabric(Arc<Mutex<State>>);

/// One node's place on the fabric.
#[derive(Clone)]
pub struct FabricNode {
    fabric: Fabric,
    id: usize,
}

impl Fabric {
    /// An empty fabric; everything random about it follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let random = ChaCha12Rng::seed_from_u64(seed);
        Self(Arc::new(Mutex::new(State { random, links: BTreeMap::new(), nodes: Vec::new() })))
    }

    /// Adds a link.
    #[must_use]
    pub fn link(&self, conditions: Conditions) -> FabricLink {
        let mut state = self.lock();
        let id = u32::try_from(state.links.len()).unwrap_or(u32::MAX) + 1;
        state.links.insert(id, Wire::new(conditions));
        id
    }

    /// Changes a link's conditions from now on.
    pub fn set_conditions(&self, link: FabricLink, conditions: Conditions) {
        if let Some(wire) = self.lock().links.get_mut(&link) {
            wire.conditions = conditions;
        }
    }

    /// Adds a node with an interface on each of `links`, and a unique local address.
    #[must_use]
    pub fn node(&self, links: &[FabricLink]) -> FabricNode {
        let mut state = self.lock();
        let id = state.nodes.len();
        let global = Some(global_address(id));
        let interfaces = links.iter().copied().map(Some).collect();
        state.nodes.push(Host::new(interfaces, global));
        FabricNode { fabric: self.clone(), id }
    }

    /// Cuts the nodes in `apart` off from all others, on every link; an empty set heals everything.
    ///
    /// Datagrams across the cut are lost; connections across it fall silent.
    pub fn partition(&self, apart: &[&FabricNode]) {
        let apart: BTreeSet<usize> = apart.iter().map(|node| node.id).collect();
        for wire in self.lock().links.values_mut() {
            wire.apart.clone_from(&apart);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn global_address(node: usize) -> Ipv6Addr {
    Ipv6Addr::from((0xfd00_u128 << 112) | (node as u128 + 1))
}

fn link_local_address(link: FabricLink, node: usize) -> Ipv6Addr {
    Ipv6Addr::from((0xfe80_u128 << 112) | (u128::from(link) << 32) | (node as u128 + 1))
}

impl FabricNode {
    /// The node's address in the domain.
    #[must_use]
    pub fn global(&self) -> Option<Ipv6Addr> {
        self.fabric.lock().nodes[self.id].global
    }

    /// Replaces the node's address in the domain; `None` leaves it with link-local ones.
    pub fn set_global(&self, global: Option<Ipv6Addr>) {
        self.change(|host| host.global = global);
    }

    /// Takes an interface, by index from 1, off its link, or puts it on one.
    pub fn attach(&self, index: u32, link: Option<FabricLink>) {
        self.change(|host| {
            let at = (index as usize).saturating_sub(1);
            if host.interfaces.len() <= at {
                host.interfaces.resize(at + 1, None);
            }
            host.interfaces[at] = link;
        });
    }

    fn change(&self, apply: impl FnOnce(&mut Host)) {
        let mut state = self.fabric.lock();
        apply(&mut state.nodes[self.id]);
        state.nodes[self.id].changed.notify_one();
    }

    fn bind(&self, address: Ipv6Addr, ports: &[u16]) -> io::Result<FabricListener> {
        let mut state = self.fabric.lock();
        let host = &mut state.nodes[self.id];
        host.check()?;
        host.listeners.retain(|_, incoming| !incoming.is_closed());
        for port in ports {
            let port = if *port == 0 {
                host.next_port = host.next_port.checked_add(1).unwrap_or(FIRST_PORT);
                host.next_port
            } else {
                *port
            };
            if let Entry::Vacant(free) = host.listeners.entry((address, port)) {
                let (incoming, accepted) = mpsc::channel(BACKLOG);
                free.insert(incoming);
                return Ok(FabricListener { port, accepted: tokio::sync::Mutex::new(accepted) });
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// Both ends of a connection that is being made.
struct Dialled {
    ours: Pipe,
    theirs: Pipe,
    source: SocketAddrV6,
    path: Arc<Path>,
    incoming: Incoming,
    latency: Duration,
}

impl FabricNode {
    /// Makes both ends of a connection; `None` if a partition swallows the attempt.
    fn dial(&self, to: &SocketAddrV6) -> io::Result<Option<Dialled>> {
        let mut state = self.fabric.lock();
        state.nodes[self.id].check()?;
        let (peer, link, incoming) = state.find(self.id, to)?;
        let wire = link.and_then(|link| state.links.get(&link));
        if wire.is_some_and(|wire| wire.is_cut(self.id, peer)) {
            return Ok(None);
        }
        let latency = wire.map_or(Duration::ZERO, |wire| wire.conditions.latency);
        let host = &mut state.nodes[self.id];
        host.next_port = host.next_port.checked_add(1).unwrap_or(FIRST_PORT);
        let port = host.next_port;
        let source = match link {
            Some(link) if to.ip().is_unicast_link_local() => {
                let index = state.nodes[peer].interfaces.iter().position(|known| *known == Some(link)).unwrap_or(0) + 1;
                let scope = u32::try_from(index).unwrap_or(0);
                SocketAddrV6::new(link_local_address(link, self.id), port, 0, scope)
            }
            _ => SocketAddrV6::new(state.nodes[self.id].global.unwrap_or(Ipv6Addr::LOCALHOST), port, 0, 0),
        };
        let nodes = [self.id, peer];
        let path =
            Arc::new(Path { fabric: self.fabric.clone(), link, nodes, lives: nodes.map(|id| state.nodes[id].life) });
        let (ours, theirs) = Pipe::pair(latency, &path);
        state.nodes[self.id].register(ours.end());
        state.nodes[peer].register(theirs.end());
        Ok(Some(Dialled { ours, theirs, source, path, incoming, latency }))
    }
}

impl State {
    /// Finds who listens at an address, as seen from a node: the host, the link to it if there is one, and its socket.
    fn find(&self, from: usize, to: &SocketAddrV6) -> io::Result<(usize, Option<FabricLink>, Incoming)> {
        let (id, link) = self.route(from, to).ok_or(io::ErrorKind::ConnectionRefused)?;
        if self.nodes[id].power == Power::Off {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let listeners = &self.nodes[id].listeners;
        let socket = listeners.get(&(*to.ip(), to.port())).or(listeners.get(&(Ipv6Addr::UNSPECIFIED, to.port())));
        let incoming = socket.filter(|incoming| !incoming.is_closed()).cloned();
        Ok((id, link, incoming.ok_or(io::ErrorKind::ConnectionRefused)?))
    }

    /// Finds who has an address, as seen from a node: the host, and the link to it if there is one.
    fn route(&self, from: usize, to: &SocketAddrV6) -> Option<(usize, Option<FabricLink>)> {
        let address = *to.ip();
        if address.is_loopback() || self.nodes[from].global == Some(address) {
            return Some((from, None));
        }
        if address.is_unicast_link_local() {
            let at = (to.scope_id() as usize).checked_sub(1)?;
            let link = (*self.nodes[from].interfaces.get(at)?)?;
            let on_link = |id: &usize| self.nodes[*id].interfaces.contains(&Some(link));
            let id = (0..self.nodes.len()).filter(on_link).find(|id| link_local_address(link, *id) == address)?;
            return Some((id, Some(link)));
        }
        let id = (0..self.nodes.len()).find(|id| self.nodes[*id].global == Some(address))?;
        let shared = self.nodes[from].interfaces.iter().flatten();
        let link = shared.copied().find(|link| self.nodes[id].interfaces.contains(&Some(*link)));
        Some((id, link.or(self.nodes[from].interfaces.iter().flatten().next().copied())))
    }
}

impl Network for FabricNode {
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let state = self.fabric.lock();
        let host = &state.nodes[self.id];
        host.check()?;
        let up = host.interfaces.iter().enumerate().filter_map(|(at, link)| Some((at, (*link)?)));
        Ok(up
            .map(|(at, link)| Interface {
                name: format!("e{at}"),
                index: u32::try_from(at).unwrap_or(u32::MAX) + 1,
                link_local: Some(link_local_address(link, self.id)),
                global: host.global.into_iter().collect(),
            })
            .collect())
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        let changed = self.fabric.lock().nodes[self.id].changed.clone();
        Box::pin(async move { changed.notified().await })
    }

    fn listen_on(&self, interface: &Interface) -> io::Result<Box<dyn Listener>> {
        let address = interface.link_local.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Box::new(self.bind(address, &[0])?))
    }

    fn open_link(&self, interface: &Interface) -> io::Result<LinkSockets> {
        let address = interface.link_local.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let answers = self.bind(address, &[0])?;
        let mut state = self.fabric.lock();
        let at = (interface.index as usize).checked_sub(1).ok_or(io::ErrorKind::InvalidInput)?;
        let link = state.nodes[self.id].interfaces.get(at).copied().flatten().ok_or(io::ErrorKind::NotFound)?;
        let wire = state.links.get_mut(&link).ok_or(io::ErrorKind::NotFound)?;
        let datagrams = wire.join(self.id, interface.index);
        let source = SocketAddrV6::new(address, answers.port, 0, 0);
        let life = state.nodes[self.id].life;
        let multicast = FabricMulticast { node: self.clone(), life, link, source, datagrams };
        Ok(LinkSockets { multicast: Box::new(multicast), answers: Box::new(answers) })
    }

    fn listen(&self, ports: &[u16]) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(self.bind(Ipv6Addr::UNSPECIFIED, ports)?))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<ByteStream>> {
        Box::pin(async move {
            let SocketAddr::V6(to) = to else { return Err(io::ErrorKind::Unsupported.into()) };
            let Some(dialled) = self.dial(&to)? else { return std::future::pending().await };
            if !dialled.latency.is_zero() {
                tokio::time::sleep(dialled.latency * 2).await;
            }
            if !dialled.path.is_whole() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let arrival: (ByteStream, SocketAddr) = (Box::new(dialled.theirs), dialled.source.into());
            dialled.incoming.try_send(arrival).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(dialled.ours) as ByteStream)
        })
    }

    fn resolve(&self, _: &str, _: u16) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
    }
}

struct FabricMulticast {
    node: FabricNode,
    life: u64,
    link: FabricLink,
    source: SocketAddrV6,
    datagrams: Arc<Datagrams>,
}

impl FabricMulticast {
    fn is_dead(&self) -> bool {
        self.node.fabric.lock().nodes[self.node.id].life != self.life
    }
}

impl MulticastSocket for FabricMulticast {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if self.is_dead() {
            return Ok(());
        }
        let mut state = self.node.fabric.lock();
        if !state.nodes[self.node.id].interfaces.contains(&Some(self.link)) {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        let State { random, links, nodes } = &mut *state;
        let Some(wire) = links.get_mut(&self.link) else { return Err(io::ErrorKind::NetworkDown.into()) };
        let (from, link) = (self.node.id, self.link);
        let attached = |id: usize| nodes[id].interfaces.contains(&Some(link));
        wire.multicast(from, &self.datagrams, self.source, bytes, &mut || random.random::<f64>(), &attached);
        Ok(())
    }

    fn receive(&self) -> BoxFuture<'_, io::Result<(Vec<u8>, SocketAddr)>> {
        Box::pin(async {
            let datagram = self.datagrams.next().await;
            if self.is_dead() { std::future::pending().await } else { Ok(datagram) }
        })
    }
}

struct FabricListener {
    port: u16,
    accepted: tokio::sync::Mutex<mpsc::Receiver<(ByteStream, SocketAddr)>>,
}

impl Listener for FabricListener {
    fn port(&self) -> u16 {
        self.port
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(ByteStream, SocketAddr)>> {
        Box::pin(async {
            match self.accepted.lock().await.recv().await {
                Some(arrival) => Ok(arrival),
                // The node has gone down.
                None => std::future::pending().await,
            }
        })
    }
}
