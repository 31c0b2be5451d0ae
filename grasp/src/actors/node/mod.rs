//! The node: registry, session ids and objectives of one GRASP instance; it starts and wires the other actors.

mod arrivals;
mod calls;
mod links;
mod lists;
mod message;

pub(crate) use message::*;

use super::discovery::{self, Discovery};
use super::flood::Flood;
use super::interfaces::Interfaces;
use super::link::Link;
use super::objective::{Objective, Serve};
use super::reception::Reception;
use super::session::{Session, Slot, Target};
use super::surroundings::Surroundings;
use crate::api::dump::Kind;
use crate::config::NodeConfig;
use crate::error::{Error, ErrorCode};
use crate::net::{Listener, Network};
use crate::protocol::places::Places;
use crate::protocol::registry::Registry;
use crate::protocol::session::SessionConfig;
use crate::protocol::session_id::{Maker, SessionIds};
use crate::protocol::{AsaHandle, LinkId, Time, Topology, discovery as discovering};
use crate::substrate::Substrate;
use crate::wire::SessionId;
use actix::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The actor.
pub(crate) struct Node {
    config: NodeConfig,
    around: Surroundings,
    registry: Registry,
    ids: SessionIds,
    topology: Topology,
    listener: Option<Box<dyn Listener>>,
    discovery: Addr<Discovery>,
    flood: Addr<Flood>,
    interfaces: Option<Addr<Interfaces>>,
    reception: Option<Addr<Reception>>,
    links: BTreeMap<LinkId, OpenLink>,
    objectives: BTreeMap<String, Addr<Objective>>,
    places: Places<Occupant>,
    parked: usize,
}

/// A session that holds a place.
struct Occupant {
    session_id: SessionId,
    objective: String,
    kind: Kind,
    peer: Target,
    since: Time,
    /// A request waits for its owner; the answer to a synchronization never has one.
    owner: Option<(AsaHandle, Addr<Session>)>,
}

impl Occupant {
    /// The session's actor, if it belongs to this ASA.
    fn owned_by(&self, asa: AsaHandle) -> Option<&Addr<Session>> {
        self.owner.as_ref().filter(|(owner, _)| *owner == asa).map(|(_, actor)| actor)
    }
}

/// A link whose sockets are open.
struct OpenLink {
    name: String,
    address: Ipv6Addr,
    actor: Addr<Link>,
}

impl Node {
    pub(crate) fn new(
        config: NodeConfig,
        network: Arc<dyn Network>,
        substrate: Arc<dyn Substrate>,
        listener: Option<(Box<dyn Listener>, bool)>,
        address: Addr<Self>,
    ) -> Self {
        let config = affordable(config, network.descriptors());
        let around = Surroundings {
            name: config.name.clone(),
            clock: crate::shell::Clock::start(network.clone()),
            recorder: config.recorder.clone(),
            network,
            substrate,
            tally: super::tally::Tally::default(),
            depth: config.message.depth,
            size: Arc::new(AtomicUsize::new(config.message.size)),
            keys: Arc::default(),
            node: address.downgrade(),
        };
        let seed = config.seed.unwrap_or_else(rand::random);
        let mut random = ChaCha12Rng::from_seed(seed);
        let mut handles = ChaCha12Rng::from_rng(&mut random);
        let (port, stable_port) = listener.as_ref().map_or((0, false), |(listener, stable)| (listener.port(), *stable));
        let discovery = discovering::Discovery::new(config.discovery.clone());
        let flood = crate::protocol::flood::Flood::new(config.flood.clone());
        Self {
            registry: Registry::new(config.registry, move || handles.next_u32()),
            ids: SessionIds::new(move || random.next_u32()),
            topology: Topology { port, stable_port, ..Topology::default() },
            listener: listener.map(|(listener, _)| listener),
            discovery: Discovery::new(discovery, around.clone()).start(),
            flood: Flood::new(flood, around.clone()).start(),
            interfaces: None,
            reception: None,
            links: BTreeMap::new(),
            objectives: BTreeMap::new(),
            places: Places::default(),
            parked: 0,
            config,
            around,
        }
    }

    /// The actors that answer by themselves what is only read.
    pub(crate) fn caches(&self) -> (Addr<Discovery>, Addr<Flood>) {
        (self.discovery.clone(), self.flood.clone())
    }

    /// No call that could lead to a message works without a substrate (RFC 8991 Appendix A).
    fn secured(&self) -> Result<(), Error> {
        if self.around.substrate.is_ready() {
            return Ok(());
        }
        let detail =
            "no substrate is configured; choose one in the manifest, [grasp] substrate = \"insecure-lab\" in a lab";
        Err(Error::new(ErrorCode::NoSecurity, detail))
    }

    /// Takes a place for a session.
    fn slot(&mut self, session_id: SessionId, maker: Maker, peer: Target, objective: &str, kind: Kind) -> Slot {
        let (key, since, objective) = (self.around.key(), self.around.clock.now(), objective.to_owned());
        self.places.take(key, maker, Occupant { session_id, objective, kind, peer, since, owner: None });
        Slot { key, session_id, node: self.around.node.clone() }
    }

    fn session_config(&self, session_id: SessionId, name: &str) -> SessionConfig {
        SessionConfig {
            session_id,
            message_size: self.registry.registration(name).map_or(self.config.message.size, |r| r.message_size),
            gap: self.config.message_gap,
            wait_cap: self.config.wait_cap,
            session_cap: self.config.session_cap,
        }
    }

    /// Tells the others what has become of an objective.
    fn announce(&mut self, name: &str) {
        let announcement = self.registry.announcement(name);
        let input = discovering::Input::Local { name: name.to_owned(), announcement };
        self.discovery.do_send(discovery::Feed(input));
        if self.registry.registration(name).is_none() {
            self.objectives.remove(name);
        } else if let Some(objective) = self.objectives.get(name) {
            objective.do_send(Serve(self.registry.served(name)));
        }
    }

    fn objective(&mut self, name: &str) -> Addr<Objective> {
        if let Some(objective) = self.objectives.get(name).filter(|objective| objective.connected()) {
            return objective.clone();
        }
        let objective = Objective::new(self.around.clone(), self.config.request_queue).start();
        objective.do_send(Serve(self.registry.served(name)));
        self.objectives.insert(name.to_owned(), objective.clone());
        objective
    }
}

/// Lowers the bounds on connections to what the process can have open, and keeps some for the rest of the node.
fn affordable(mut config: NodeConfig, descriptors: Option<usize>) -> NodeConfig {
    if let Some(limit) = descriptors {
        let (sessions, connections) = (limit / 4 * 3, limit / 8);
        if sessions < config.sessions || connections < config.connections {
            let node = &config.name;
            tracing::info!(node, limit, "fewer sessions and connections than configured: so many files may be open");
        }
        config.sessions = config.sessions.min(sessions);
        config.connections = config.connections.min(connections);
    }
    config.peer_sessions = config.peer_sessions.min(config.sessions.div_ceil(4));
    config
}

impl Actor for Node {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(4_096);
        let substrate = &self.around.substrate;
        if !substrate.is_ready() {
            tracing::warn!(node = self.config.name, "no substrate: this node neither speaks nor listens");
            return;
        }
        if !substrate.is_secure() {
            let (node, name) = (&self.config.name, substrate.name());
            tracing::warn!(node, substrate = name, "INSECURE: anyone on these links can read and forge GRASP messages");
        }
        if let Some(listener) = self.listener.take() {
            let (capacity, timeout) = (self.config.connections, self.config.first_message_timeout);
            let reception = Reception::new(listener, self.around.clone(), ctx.address(), capacity, timeout);
            self.reception = Some(reception.start());
        }
        self.tell_topology();
        let selection = self.config.interfaces.clone();
        let interfaces = Interfaces::new(self.around.network.clone(), selection, ctx.address());
        self.interfaces = Some(interfaces.start());
    }
}
