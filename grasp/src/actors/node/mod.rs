//! The node: registry, session ids and objectives of one GRASP instance; it starts and wires the other actors.

mod arrivals;
mod books;
mod calls;
mod links;
mod lists;
mod message;

pub(crate) use message::*;

use super::discovery::{self, Discovery};
use super::flood::Flood;
use super::interfaces::{Interfaces, Look};
use super::ledger::{Occupant, Slot};
use super::link::Wiring;
use super::lives::{End, Lives};
use super::objective::{self, Objective};
use super::outlook::{Offer, Outlook, Port};
use super::reception::Reception;
use super::session::Target;
use super::surroundings::Surroundings;
use crate::api::Grasp;
use crate::api::dump::Kind;
use crate::config::NodeConfig;
use crate::error::{Error, ErrorCode};
use crate::net::Listener;
use crate::protocol::session::SessionConfig;
use crate::protocol::session_id::Maker;
use crate::protocol::{LinkId, Topology, discovery as discovering};
use crate::wire::SessionId;
use actix::prelude::*;
use books::Books;
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;
use supervision::{Lifetime, Mailbox, Probe, Supervisor};

/// The actor.
pub(crate) struct Node {
    config: NodeConfig,
    around: Surroundings,
    supervisor: Supervisor,
    outlook: Outlook,
    random: ChaCha12Rng,
    wiring: Wiring,
    interfaces: Option<Mailbox<Interfaces>>,
    lives: Lives,
    books: Books,
    topology: Topology,
    links: BTreeMap<LinkId, OpenLink>,
    objectives: BTreeMap<String, Mailbox<Objective>>,
    parked: usize,
    /// The next life begins with nothing.
    forgot: bool,
}

/// A link whose sockets are open.
struct OpenLink {
    name: String,
    address: Ipv6Addr,
    port: Port,
    /// The DULL instance on the same link, if this node carries one.
    dull: Option<Grasp>,
}

/// What a node is made of.
pub(crate) struct Parts {
    pub(crate) config: NodeConfig,
    pub(crate) around: Surroundings,
    pub(crate) supervisor: Supervisor,
    pub(crate) random: ChaCha12Rng,
    /// And whether its port is the same when the process starts again.
    pub(crate) listener: Option<(Arc<dyn Listener>, bool)>,
}

/// Starts the actors of a node; returns those that the API speaks to.
pub(crate) fn start(mut parts: Parts) -> Wiring {
    parts.config = affordable(parts.config, parts.around.network.descriptors());
    let (supervisor, around, outlook) = (parts.supervisor.clone(), parts.around.clone(), Outlook::default());
    let topology = parts.listener.as_ref().map(|(listener, stable_port)| {
        let (port, stable_port) = (listener.port(), *stable_port);
        Topology { port, stable_port, ..Topology::default() }
    });
    outlook.view().topology = topology.unwrap_or_default();
    let make = (parts.config.discovery.clone(), around.clone(), outlook.clone());
    let discovery = supervisor.child("discovery", Lifetime::Permanent, move |_| Discovery::new(make.0, make.1, make.2));
    let make = (parts.config.flood.clone(), around, outlook.clone());
    let flood = supervisor.child("flood", Lifetime::Permanent, move |_| Flood::new(make.0, make.1, make.2));
    let others = (discovery.clone(), flood.clone());
    let node = supervisor.child("node", Lifetime::Permanent, move |node| {
        let (discovery, flood) = others;
        Node::new(parts, outlook, Wiring { node, discovery, flood })
    });
    Wiring { node, discovery, flood }
}

impl Node {
    fn new(parts: Parts, outlook: Outlook, wiring: Wiring) -> Self {
        let Parts { config, around, supervisor, mut random, listener } = parts;
        let books = Books::new(&config, around.clock.clone(), &mut random);
        let topology = outlook.view().topology.clone();
        let mut node = Self {
            config,
            around,
            supervisor,
            outlook,
            random,
            wiring,
            interfaces: None,
            lives: Lives::default(),
            books,
            topology,
            links: BTreeMap::new(),
            objectives: BTreeMap::new(),
            parked: 0,
            forgot: false,
        };
        if node.around.substrate.is_ready() {
            node.open(listener);
        }
        node
    }

    /// Begins to take requests and to look for links.
    fn open(&mut self, listener: Option<(Arc<dyn Listener>, bool)>) {
        let (around, node) = (self.around.clone(), self.wiring.node.clone());
        if let Some((listener, _)) = listener {
            let (capacity, timeout) = (self.config.connections, self.config.first_message_timeout);
            let make = move |_| Reception::new(listener, around, node, capacity, timeout);
            self.supervisor.child("reception", Lifetime::Permanent, make);
        }
        let (network, node) = (self.around.network.clone(), self.wiring.node.clone());
        let selection = self.config.interfaces.clone();
        let make = move |_| Interfaces::new(network, selection, node);
        self.interfaces = Some(self.supervisor.child("interfaces", Lifetime::Permanent, make));
    }

    /// Has the interfaces listed.
    fn look(&self) {
        if let Some(interfaces) = &self.interfaces {
            interfaces.do_send(Look);
        }
    }

    /// No call that could lead to a message works without a substrate (RFC 8991 Appendix A).
    fn secured(&self) -> Result<(), Error> {
        if self.around.substrate.is_ready() {
            return Ok(());
        }
        let detail = "no substrate is configured; choose one in the manifest, [grasp] substrate: \"tls\" with certificates of a domain \
             (asa keys makes them), \"quads\" to talk with graspy, \"insecure-lab\" in a laboratory";
        Err(Error::new(ErrorCode::NoSecurity, detail))
    }

    /// Takes a place for a session.
    fn slot(&mut self, session_id: SessionId, maker: Maker, peer: Target, objective: &str, kind: Kind) -> Slot {
        let (key, since, objective) = (self.around.key(), self.around.clock.now(), objective.to_owned());
        self.books.ledger.take(key, maker, Occupant { session_id, objective, kind, peer, since, owner: None })
    }

    fn session_config(&self, session_id: SessionId, name: &str) -> SessionConfig {
        SessionConfig {
            session_id,
            message_size: self.books.registry.registration(name).map_or(self.config.message.size, |r| r.message_size),
            gap: self.config.message_gap,
            wait_cap: self.config.wait_cap,
            session_cap: self.config.session_cap,
        }
    }

    /// Tells the others what has become of an objective.
    fn announce(&mut self, name: &str) {
        let registry = &self.books.registry;
        let announcement = registry.announcement(name);
        let registered = registry.registration(name).is_some();
        let (served, listening) = (registry.served(name), registry.negotiators(name).collect());
        let offers = &mut self.outlook.view().offers;
        if registered {
            offers.insert(name.to_owned(), Offer { announcement: announcement.clone(), served, listening });
        } else {
            offers.remove(name);
        }
        let input = discovering::Input::Local { name: name.to_owned(), announcement };
        self.wiring.discovery.do_send(discovery::Feed(input));
        if !registered && let Some(objective) = self.objectives.remove(name) {
            objective.do_send(objective::Close);
        }
    }

    fn objective(&mut self, name: &str) -> Mailbox<Objective> {
        if let Some(objective) = self.objectives.get(name).filter(|objective| objective.connected()) {
            return objective.clone();
        }
        let (around, outlook) = (self.around.clone(), self.outlook.clone());
        let (capacity, own) = (self.config.request_queue, name.to_owned());
        let make = move |_| Objective::new(own, around, outlook, capacity);
        let objective = self.supervisor.child(&format!("objective {name}"), Lifetime::Transient, make);
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
        self.lives.begin();
        ctx.set_mailbox_capacity(4_096);
        let substrate = &self.around.substrate;
        if !substrate.is_ready() {
            tracing::warn!(node = self.config.name, "no substrate: this node neither speaks nor listens");
        } else if !substrate.is_secure() && self.config.dull.is_none() {
            let (node, name) = (&self.config.name, substrate.name());
            match substrate.standing().caveat {
                Some(caveat) => tracing::warn!(node, substrate = name, "INSECURE: {caveat}"),
                None => {
                    tracing::warn!(
                        node,
                        substrate = name,
                        "INSECURE: anyone on these links can read and forge GRASP messages"
                    );
                }
            }
        }
        self.catch_up(ctx);
    }
}

impl Supervised for Node {
    /// What the node keeps for others is kept, unless that may be what this life fell over.
    fn restarting(&mut self, _: &mut Context<Self>) {
        // Connections that were kept in silence have gone with the life.
        self.parked = 0;
        if self.lives.end(self.around.clock.now()) == End::Drop {
            self.forget_all();
        }
    }
}

impl Handler<Probe> for Node {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Context<Self>) {
        supervision::answer();
    }
}
