//! The verbs of RFC 8991, on handles that can be cloned.
//!
//! Every waiting call is cancel-safe: dropping its future frees the session and the socket behind it.

mod asa;
pub mod dump;
mod session;
mod synchronization;

pub use asa::{Asa, Negotiated};
pub use session::{Session, Step};

use crate::actors::discovery::{self, Discovery};
use crate::actors::flood::{self, Flood};
use crate::actors::node::{self, Node};
use crate::config::NodeConfig;
use crate::error::{Error, ErrorCode};
use crate::net::{Listener, Network};
use crate::protocol::AsaHandle;
use crate::substrate::Substrate;
use actix::prelude::*;
use std::io;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A running GRASP instance. Cloning gives another handle; the instance runs until [`Grasp::shutdown`].
#[derive(Clone)]
pub struct Grasp {
    node: Addr<Node>,
    discovery: Addr<Discovery>,
    flood: Addr<Flood>,
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
    /// Whether GRASP may speak now.
    pub ready: bool,
    /// Links that are up: interface index, name, link-local address.
    pub links: Vec<(u32, String, Ipv6Addr)>,
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
    /// Locators in the discovery cache, expired ones included.
    pub discovery_cache: usize,
    /// Copies in the flood cache, expired ones included.
    pub flood_cache: usize,
    /// Counters by name.
    pub counters: std::collections::BTreeMap<String, u64>,
}

/// An actor of the node does not answer; the only place that says why.
fn gone() -> Error {
    Error::new(ErrorCode::Unspecified, "the GRASP node has been shut down")
}

/// Asks an actor of the node.
async fn answer<A, M>(actor: &Addr<A>, message: M) -> Result<M::Result, Error>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result: Send> + Send + 'static,
{
    actor.send(message).await.map_err(|_| gone())
}

impl Grasp {
    /// Starts an instance in the current actix system.
    ///
    /// It listens for unicast requests on the configured port if that is free, else on one that follows from the node's
    /// name, else on any; in the last case discovery responses state a short lifetime.
    ///
    /// # Errors
    ///
    /// Those of the system, if it cannot listen at all.
    pub fn start(config: NodeConfig, network: Arc<dyn Network>, substrate: Arc<dyn Substrate>) -> io::Result<Self> {
        let listener = if substrate.is_ready() { Some(listen(&config, &*network)?) } else { None };
        let default_timeout = config.default_timeout;
        let mut parts = None;
        let node = Node::create(|ctx| {
            let node = Node::new(config, network, substrate, listener, ctx.address());
            parts = Some(node.caches());
            node
        });
        let (discovery, flood) = parts.ok_or_else(|| io::Error::other("the node did not start"))?;
        Ok(Self { node, discovery, flood, default_timeout })
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
        let node = answer(&self.node, node::Describe {}).await?;
        let (discovery, discovery_cache) = answer(&self.discovery, discovery::Inspect).await?;
        let (flood, flood_cache) = answer(&self.flood, flood::Inspect).await?;
        let mut counters = node.counters;
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
            ready: node.ready,
            links: node.links,
            global: node.global,
            port: node.port,
            stable_port: node.stable_port,
            asas: node.asas,
            sessions: node.sessions,
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
        answer(&self.flood, flood::Names).await
    }

    /// Declines open sessions, deregisters all ASAs, and ends the instance when the sessions are gone or after `limit`.
    pub async fn shutdown(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        if self.node.send(node::Leave {}).await.is_err() {
            return;
        }
        while Instant::now() < deadline {
            match self.node.send(node::Describe {}).await {
                Ok(description) if description.sessions > 0 => tokio::time::sleep(Duration::from_millis(10)).await,
                _ => break,
            }
        }
        let _ = self.node.send(node::Stop {}).await;
    }
}

/// Ports that follow from a node's name: below those that systems give to whoever asks for any.
const NAMED_PORTS: u16 = 17_017;
const NAMED_PORTS_COUNT: u16 = 15_000;

/// Tries the preferred port, then one that follows from the name, then any; tells whether it will be the same again.
fn listen(config: &NodeConfig, network: &dyn Network) -> io::Result<(Box<dyn Listener>, bool)> {
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
