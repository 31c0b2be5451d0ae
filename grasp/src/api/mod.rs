//! The verbs of RFC 8991, on handles that can be cloned.
//!
//! Every waiting call is cancel-safe: dropping its future frees the session and the socket behind it.

mod asa;
pub mod dump;
mod neighbours;
mod session;
mod synchronization;

pub use asa::{Asa, Negotiated};
pub use neighbours::Neighbour;
pub use session::{Session, Step};

use crate::actors::discovery::{self, Discovery};
use crate::actors::flood::{self, Flood};
use crate::actors::link::Wiring;
use crate::actors::node::{self, Node, Parts};
use crate::actors::surroundings::{OWNER, Surroundings};
use crate::config::{Failure, Interfaces, NodeConfig, OnFailure};
use crate::error::{Error, ErrorCode};
use crate::net::{Listener, Network};
use crate::protocol::AsaHandle;
use crate::substrate::{Standing, Substrate};
use actix::dev::MessageResponse;
use actix::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::io;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Escalated, Mailbox, Placement, RestartStrategy, Supervisor};
use tokio::time::{Instant, timeout, timeout_at};

/// A running GRASP instance. Cloning gives another handle; the instance runs until [`Grasp::shutdown`].
#[derive(Clone)]
pub struct Grasp {
    node: Mailbox<Node>,
    discovery: Mailbox<Discovery>,
    flood: Mailbox<Flood>,
    supervisor: Supervisor,
    default_timeout: Duration,
}

/// What a node says about itself.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its substrate.
    pub substrate: &'static str,
    /// Whether that authenticates members and protects messages.
    pub secure: bool,
    /// What else there is to say about it.
    pub standing: Standing,
    /// Whether GRASP may speak now.
    pub ready: bool,
    /// Links that are up: interface index, name, link-local address.
    pub links: Vec<(u32, String, Ipv6Addr)>,
    /// Members at the other ends of the links, where the substrate keeps connections to them.
    pub neighbours: Vec<Neighbour>,
    /// Address in the domain.
    pub global: Option<Ipv6Addr>,
    /// TCP port of unicast requests.
    pub port: u16,
    /// Whether that port is the same after a restart.
    pub stable_port: bool,
    /// Names of the registered ASAs.
    pub asas: Vec<String>,
    /// Sessions open now.
    pub sessions: usize,
    /// Session ids in use, those of questions included.
    pub session_ids: usize,
    /// Locators in the discovery cache, expired ones included.
    pub discovery_cache: usize,
    /// Copies in the flood cache, expired ones included.
    pub flood_cache: usize,
    /// Counters by name.
    pub counters: std::collections::BTreeMap<String, u64>,
}

/// Times that an actor is asked again for what it can be asked any number of times.
const TRIES: usize = 5;
/// How long the actors have to end, at least.
const END: Duration = Duration::from_secs(1);

/// An actor of the node does not answer; the only place that says why.
fn gone<A: Actor>(actor: &Mailbox<A>) -> Error {
    let detail = if actor.connected() {
        "the GRASP node has failed over this and is restarting; try again"
    } else {
        "the GRASP node has been shut down"
    };
    Error::new(ErrorCode::Unspecified, detail)
}

/// Asks an actor of the node.
async fn answer<A, M>(actor: &Mailbox<A>, message: M) -> Result<M::Result, Error>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result: MessageResponse<A, M> + Send> + Send + 'static,
{
    actor.send(message).await.map_err(|_| gone(actor))
}

/// Asks an actor of the node what it may be asked any number of times: its restart is not noticed.
async fn answer_again<A, M>(actor: &Mailbox<A>, message: impl Fn() -> M) -> Result<M::Result, Error>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result: MessageResponse<A, M> + Send> + Send + 'static,
{
    let mut answered = answer(actor, message()).await;
    for _ in 1..TRIES {
        if answered.is_ok() || !actor.connected() {
            break;
        }
        // What is sent now waits for its next life.
        answered = answer(actor, message()).await;
    }
    answered
}

/// Hears when the node's actors are given up.
struct Boss(Option<OnFailure>);

impl Actor for Boss {
    type Context = Context<Self>;
}

impl Handler<Escalated> for Boss {
    type Result = ();

    fn handle(&mut self, escalated: Escalated, _: &mut Context<Self>) {
        if let Some(tell) = &self.0 {
            tell(Failure::GaveUp(escalated));
        }
    }
}

impl Grasp {
    /// Starts an instance in the current actix system.
    ///
    /// It listens for unicast requests on the configured port if that is free, else on one that follows from the node's
    /// name, else on any; in the last case discovery responses state a short lifetime.
    ///
    /// # Errors
    ///
    /// Those of the system, if it cannot listen at all; for a DULL instance also if it has not exactly one interface, or that
    /// is not there.
    pub fn start(config: NodeConfig, network: Arc<dyn Network>, substrate: Arc<dyn Substrate>) -> io::Result<Self> {
        let mut config = config;
        // What a multicast can hold is for the substrate to say.
        config.discovery.multicast_size = substrate.multicast_size();
        config.flood.multicast_size = substrate.multicast_size();
        if let Some(rules) = &config.carries_dull {
            config.flood.left_to_dull.clone_from(&rules.objectives);
        }
        let listener = if substrate.is_ready() { Some(listen(&config, &*network)?) } else { None };
        let listener = listener.map(|(listener, stable)| (Arc::from(listener), stable));
        let default_timeout = config.default_timeout;
        let tree = config.tree.clone().unwrap_or_default();
        let mut random = ChaCha12Rng::from_seed(config.seed.unwrap_or_else(rand::random));
        let boss = Boss(config.on_failure.clone()).start().recipient();
        let policy = (RestartStrategy::OneForOne, config.restart);
        let owner = if config.dull.is_some() { config.name.as_str() } else { OWNER };
        let supervisor = Supervisor::start(owner, &tree, Placement::Here, policy, random.random(), boss);
        let around = Surroundings::new(&config, network, substrate, &supervisor);
        let parts = Parts { config, around, supervisor: supervisor.clone(), random, listener };
        let Wiring { node, discovery, flood } = node::start(parts);
        Ok(Self { node, discovery, flood, supervisor, default_timeout })
    }

    /// Registers an ASA (RFC 8991 §2.3.3); it is deregistered when the last clone of the result is dropped.
    ///
    /// # Errors
    ///
    /// `#04` registry full, `#05` name in use.
    pub async fn register_asa(&self, name: &str) -> Result<Asa, Error> {
        let registered = answer(&self.node, node::RegisterAsa { name: name.to_owned() }).await??;
        let (handle, registration) = (registered.handle, Some(Arc::new(registered)));
        Ok(Asa { handle, grasp: self.clone(), _registration: registration })
    }

    /// The calls of an ASA under a handle given elsewhere; an unknown handle makes every call fail with `#06`.
    #[must_use]
    pub fn asa(&self, handle: AsaHandle) -> Asa {
        Asa { handle, grasp: self.clone(), _registration: None }
    }

    /// Deregisters an ASA with everything it registered (RFC 8991 §2.3.3); its open sessions are declined.
    ///
    /// # Errors
    ///
    /// `#06` unknown handle, `#07` the name is not that of the handle.
    pub async fn deregister_asa(&self, handle: AsaHandle, name: &str) -> Result<(), Error> {
        answer(&self.node, node::DeregisterAsa { asa: handle, name: name.to_owned() }).await?
    }

    /// What the node says about itself.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn status(&self) -> Result<Status, Error> {
        let node = answer_again(&self.node, || node::Describe {}).await?;
        let discovery::Known(discovery, discovery_cache) = answer_again(&self.discovery, || discovery::Inspect).await?;
        let flood::Known(flood, flood_cache) = answer_again(&self.flood, || flood::Inspect).await?;
        let (neighbours, adjacencies) = self.neighbours().await?;
        let mut counters = node.counters;
        for (interface, counted) in adjacencies {
            let counted = counted.as_object().into_iter().flatten();
            counters.extend(
                counted.map(|(name, n)| (format!("adjacency_{name}{{{interface}}}"), n.as_u64().unwrap_or_default())),
            );
        }
        counters.insert("session_id_clashes".into(), node.session_id_clashes);
        for (prefix, value) in
            [("discovery", serde_json::to_value(&discovery)), ("flood", serde_json::to_value(&flood))]
        {
            if let Ok(serde_json::Value::Object(fields)) = value {
                counters.extend(fields.iter().map(|(k, v)| (format!("{prefix}_{k}"), v.as_u64().unwrap_or_default())));
            }
        }
        Ok(Status {
            name: node.name,
            substrate: node.substrate,
            secure: node.secure,
            standing: node.standing,
            ready: node.ready,
            links: node.links,
            neighbours,
            global: node.global,
            port: node.port,
            stable_port: node.stable_port,
            asas: node.asas,
            sessions: node.sessions,
            session_ids: node.session_ids,
            discovery_cache,
            flood_cache,
            counters,
        })
    }

    /// Names of which the flood cache holds an unexpired copy.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn flooded_names(&self) -> Result<Vec<String>, Error> {
        answer_again(&self.flood, || flood::Names).await
    }

    /// Declines open sessions, deregisters all ASAs, and ends the instance when the sessions are gone or after `limit`.
    pub async fn shutdown(&self, limit: Duration) {
        let deadline = Instant::now() + limit.max(END);
        // A node that has failed may rest before it hears of it.
        let left = timeout_at(deadline, answer_again(&self.node, || node::Leave {})).await;
        let deadline = Instant::now() + limit;
        while let Ok(Ok(())) = left
            && Instant::now() < deadline
        {
            match timeout(END, self.node.send(node::Describe {})).await {
                Ok(Ok(description)) if description.sessions == 0 => break,
                Ok(Err(_)) if !self.node.connected() => break,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        self.supervisor.stop(limit.max(END)).await;
    }
}

/// Ports that follow from a node's name: below those that systems give to whoever asks for any.
const NAMED_PORTS: u16 = 17_017;
const NAMED_PORTS_COUNT: u16 = 15_000;

/// Tries the preferred port, then one that follows from the name, then any; tells whether it will be the same again.
///
/// A DULL instance listens on the address of its link, so that nobody who is not there reaches it.
fn listen(config: &NodeConfig, network: &dyn Network) -> io::Result<(Box<dyn Listener>, bool)> {
    if config.dull.is_some() {
        let Interfaces::Named(names) = &config.interfaces else { return Err(io::ErrorKind::InvalidInput.into()) };
        let [name] = names.as_slice() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let interface = network.interfaces()?.into_iter().find(|interface| interface.name == *name);
        let interface = interface.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {name} for a DULL instance"))
        })?;
        return Ok((network.listen_on(&interface)?, false));
    }
    let named = NAMED_PORTS + fnv(&config.name) % NAMED_PORTS_COUNT;
    let ports = if config.port == 0 { vec![0] } else { vec![config.port, named, 0] };
    let listener = network.listen(&ports)?;
    let stable = config.port != 0 && [config.port, named].contains(&listener.port());
    Ok((listener, stable))
}

/// A small hash that is the same in every build (FNV-1a, folded to 16 bits).
fn fnv(name: &str) -> u16 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    ((hash >> 16) ^ (hash & 0xffff)) as u16
}
