//! The verbs of RFC 8991, on handles that can be cloned.
//!
//! Every waiting call is cancel-safe: dropping its future frees the session and the socket behind it.

use crate::actors::discovery::{self, Discovery};
use crate::actors::flood::{self, Flood};
use crate::actors::node::{self, Node};
use crate::actors::session::{Abandon, Ask, Handed, Held, Session as SessionActor, Target};
use crate::config::NodeConfig;
use crate::constants::GRASP_DEF_TIMEOUT;
use crate::error::{Error, ErrorCode};
use crate::net::{Listener, Network};
use crate::protocol::discovery::{Found, Input, Scope};
use crate::protocol::flood::Flooded;
use crate::protocol::registry::Registration;
use crate::protocol::session::{Call, Outcome};
use crate::protocol::{AsaHandle, AsaLocator, reach};
use crate::substrate::Substrate;
use crate::wire::{Locator, Objective, SessionId, Value};
use actix::prelude::*;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Copies of a flooded objective that a slow watcher may be behind.
const WATCH_QUEUE: usize = 64;

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

fn gone() -> Error {
    Error::new(ErrorCode::Unspecified, "the GRASP node has been shut down")
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
        let registered = self.node.send(node::RegisterAsa { name: name.to_owned() }).await.map_err(|_| gone())??;
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
        self.node.send(node::DeregisterAsa { asa: handle, name: name.to_owned() }).await.map_err(|_| gone())?
    }

    /// What the node says about itself.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn status(&self) -> Result<Status, Error> {
        let node = self.node.send(node::Describe {}).await.map_err(|_| gone())?;
        let (discovery, discovery_cache) = self.discovery.send(discovery::Inspect).await.map_err(|_| gone())?;
        let (flood, flood_cache) = self.flood.send(flood::Inspect).await.map_err(|_| gone())?;
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
        self.flood.send(flood::Names).await.map_err(|_| gone())
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

/// Tries the preferred port, then one that follows from the name, then any; tells whether it will be the same again.
fn listen(config: &NodeConfig, network: &dyn Network) -> io::Result<(Box<dyn Listener>, bool)> {
    let named = 49_152 + (fnv(&config.name) % 16_000);
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

/// A registered ASA: everything that RFC 8991 lets it do.
#[derive(Clone)]
pub struct Asa {
    handle: AsaHandle,
    grasp: Grasp,
    _registration: Option<Arc<node::Registered>>,
}

/// What a request or a step led to; a decline is the error `#01`.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one short-lived value a request")]
pub enum Negotiated {
    /// The peer accepted this; the session is over.
    Accepted(Objective),
    /// The peer proposes this.
    Offered(Session, Objective),
}

impl Asa {
    /// The handle (RFC 8991 §2.3.2.7).
    #[must_use]
    pub fn handle(&self) -> AsaHandle {
        self.handle
    }

    /// The instance.
    #[must_use]
    pub fn grasp(&self) -> &Grasp {
        &self.grasp
    }

    async fn call<M, T>(&self, message: M) -> Result<T, Error>
    where
        Node: Handler<M>,
        M: Message<Result = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        self.grasp.node.send(message).await.map_err(|_| gone())?
    }

    fn timeout(&self, timeout: Duration) -> Duration {
        let default = if self.grasp.default_timeout.is_zero() { GRASP_DEF_TIMEOUT } else { self.grasp.default_timeout };
        if timeout.is_zero() { default } else { timeout }
    }

    /// Registers an objective (RFC 8991 §2.3.3); needed for every objective whose value this ASA sends.
    ///
    /// # Errors
    ///
    /// `#06`, `#08`, `#09`, `#11`, `#12`, `#16`; `#03` for a loop count of 0 or a name that is not allowed here.
    pub async fn register_objective(&self, objective: &Objective, registration: Registration) -> Result<(), Error> {
        self.call(node::RegisterObjective { asa: self.handle, objective: objective.clone(), registration }).await
    }

    /// Deregisters an objective (RFC 8991 §2.3.3).
    ///
    /// # Errors
    ///
    /// `#06`, `#13` another ASA's, `#14` unknown, `#16`.
    pub async fn deregister_objective(&self, objective: &Objective) -> Result<(), Error> {
        self.call(node::DeregisterObjective { asa: self.handle, name: objective.name.clone() }).await
    }

    /// Discovers who supports an objective (RFC 8991 §2.3.4).
    ///
    /// Waits the whole `timeout` and returns everything known then, best first; nothing found is no error. A `timeout` of
    /// zero only looks into the cache. Cached locators that live no longer than `minimum_ttl` are deleted first; zero
    /// deletes all of them, `None` leaves the cache as it is.
    ///
    /// # Errors
    ///
    /// `#06`, `#16`; `#03` if the message would not fit into a multicast.
    pub async fn discover(
        &self,
        objective: &Objective,
        timeout: Duration,
        minimum_ttl: Option<Duration>,
    ) -> Result<Vec<AsaLocator>, Error> {
        Ok(self.find(objective, timeout, minimum_ttl, Scope::All, false).await?.locators)
    }

    /// As [`Asa::discover`], without answers from third parties (RFC 8990 §2.9.2).
    ///
    /// # Errors
    ///
    /// As [`Asa::discover`].
    pub async fn discover_direct(
        &self,
        objective: &Objective,
        timeout: Duration,
        minimum_ttl: Option<Duration>,
    ) -> Result<Vec<AsaLocator>, Error> {
        Ok(self.find(objective, timeout, minimum_ttl, Scope::All, true).await?.locators)
    }

    async fn find(
        &self,
        objective: &Objective,
        timeout: Duration,
        minimum_ttl: Option<Duration>,
        scope: Scope,
        direct_only: bool,
    ) -> Result<Found, Error> {
        let (asa, objective) = (self.handle, objective.clone());
        let call = node::Discover { asa, objective, timeout, minimum_ttl, scope, direct_only };
        let (_asking, found) = self.call(call).await?;
        found.await.map_err(|_| gone())
    }

    /// Requests a negotiation (RFC 8991 §2.3.5). With no `peer` one is discovered; a dead locator is skipped for the next.
    ///
    /// # Errors
    ///
    /// `#01` declined, with the peer's reason; `#06`, `#13`, `#14`, `#15`, `#16`, `#17` nobody found, `#18`, `#23` to
    /// `#28`.
    pub async fn request_negotiate(
        &self,
        objective: &Objective,
        peer: Option<&AsaLocator>,
        timeout: Duration,
    ) -> Result<Negotiated, Error> {
        self.call(node::MayNegotiate { asa: self.handle, objective: objective.clone() }).await?;
        let deadline = Instant::now() + self.timeout(timeout);
        let nobody = ErrorCode::NoDiscoveryReply;
        let (session, outcome) = match peer {
            Some(peer) => self.request(objective, peer, deadline, true).await?,
            None => {
                let found = self.find_first(objective, deadline).await?;
                self.request_any(objective, &found.locators, deadline, true, nobody).await?
            }
        };
        session.negotiated(outcome)
    }

    /// As [`Asa::request_negotiate`] with a known peer; tells `opened` the session id and the peer's address before anything
    /// is sent, since a request that is accepted or declined at once leaves no [`Session`] to ask (an extension).
    ///
    /// # Errors
    ///
    /// As [`Asa::request_negotiate`].
    pub async fn request_negotiate_noted(
        &self,
        objective: &Objective,
        peer: &AsaLocator,
        timeout: Duration,
        opened: impl FnOnce(SessionId, Option<SocketAddr>),
    ) -> Result<Negotiated, Error> {
        self.call(node::MayNegotiate { asa: self.handle, objective: objective.clone() }).await?;
        let deadline = Instant::now() + self.timeout(timeout);
        let (session, call) = self.open(objective, peer, deadline, true).await?;
        opened(session.session_id, session.peer);
        let outcome = session.ask(call).await?;
        session.negotiated(outcome)
    }

    /// Looks for anyone who supports the objective, until there is one or the time is up.
    async fn find_first(&self, objective: &Objective, deadline: Instant) -> Result<Found, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        // The value belongs into the request; null is understood also by peers that cannot do without one (T-48).
        let wanted = objective.clone().with_value(Value::null());
        self.find(&wanted, left, None, Scope::First, false).await
    }

    async fn request_any(
        &self,
        objective: &Objective,
        locators: &[AsaLocator],
        deadline: Instant,
        negotiation: bool,
        nobody: ErrorCode,
    ) -> Result<(Session, Outcome), Error> {
        let unreachable =
            if negotiation { ErrorCode::SocketNegotiationRequest } else { ErrorCode::SocketSynchronizationRequest };
        let mut last = Error::from(nobody);
        for locator in locators {
            match self.request(objective, locator, deadline, negotiation).await {
                Err(error) if error.code == unreachable => {
                    let (name, locator) = (objective.name.clone(), locator.locator.clone());
                    self.grasp.discovery.do_send(discovery::Feed(Input::Dead { name, locator }));
                    last = error;
                }
                other => return other,
            }
        }
        Err(last)
    }

    async fn request(
        &self,
        objective: &Objective,
        peer: &AsaLocator,
        deadline: Instant,
        negotiation: bool,
    ) -> Result<(Session, Outcome), Error> {
        let (session, call) = self.open(objective, peer, deadline, negotiation).await?;
        let outcome = session.ask(call).await?;
        Ok((session, outcome))
    }

    /// Opens a session, and returns the call that makes its request.
    async fn open(
        &self,
        objective: &Objective,
        peer: &AsaLocator,
        deadline: Instant,
        negotiation: bool,
    ) -> Result<(Session, Call), Error> {
        let target = target(peer).ok_or_else(|| {
            let code =
                if negotiation { ErrorCode::SocketNegotiationRequest } else { ErrorCode::SocketSynchronizationRequest };
            Error::new(code, format!("{} cannot be connected to", peer.locator))
        })?;
        let peer = match &target {
            Target::Address(address) => Some(*address),
            Target::Name(..) => None,
        };
        let (asa, objective) = (self.handle, objective.clone());
        let open = node::Open { asa, objective: objective.clone(), target, negotiation };
        let (actor, session_id) = self.call(open).await?;
        let session =
            Session { actor, session_id, peer, objective: objective.clone(), asa: self.grasp.asa(self.handle) };
        let timeout = deadline.saturating_duration_since(Instant::now());
        Ok((session, Call::Request { objective, timeout }))
    }

    /// Waits for a negotiation request (RFC 8991 §2.3.5); from the first call on, until
    /// [`Asa::stop_listen_negotiate`], the objective is announced and requests are queued.
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#15`, `#16`; `#03` when listening is stopped meanwhile.
    pub async fn listen_negotiate(&self, objective: &Objective) -> Result<(Session, Objective), Error> {
        let handed = self.call(node::Listen { asa: self.handle, objective: objective.clone() }).await?;
        let handed = handed.await.map_err(|_| Error::new(ErrorCode::Unspecified, "listening has been stopped"))??;
        let Handed { session, session_id, peer, objective, .. } = handed;
        let session = Session {
            actor: session,
            session_id,
            peer: Some(peer),
            objective: objective.clone(),
            asa: self.grasp.asa(self.handle),
        };
        Ok((session, objective))
    }

    /// Stops listening (RFC 8991 §2.3.5): waiting calls fail, queued and new requests are closed.
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#15`, `#16`.
    pub async fn stop_listen_negotiate(&self, objective: &Objective) -> Result<(), Error> {
        self.call(node::StopListen { asa: self.handle, objective: objective.clone(), negotiation: true }).await
    }

    /// Reads the value of a synchronization objective (RFC 8991 §2.3.6).
    ///
    /// With no `peer` a flooded copy is returned at once if there is one; else a peer is discovered and asked.
    ///
    /// # Errors
    ///
    /// `#06`, `#16`, `#24`, `#32` to `#37`.
    pub async fn synchronize(
        &self,
        objective: &Objective,
        peer: Option<&AsaLocator>,
        timeout: Duration,
    ) -> Result<Objective, Error> {
        self.synchronize_rapidly(objective, peer, timeout, false).await
    }

    /// As [`Asa::synchronize`]; with `rapid`, a value that comes with the answer to the discovery is taken (an extension,
    /// RFC 8990 §2.5.6.3).
    ///
    /// # Errors
    ///
    /// As [`Asa::synchronize`].
    pub async fn synchronize_rapidly(
        &self,
        objective: &Objective,
        peer: Option<&AsaLocator>,
        timeout: Duration,
        rapid: bool,
    ) -> Result<Objective, Error> {
        self.call(node::MaySynchronize { asa: self.handle, objective: objective.clone() }).await?;
        let deadline = Instant::now() + self.timeout(timeout);
        let result = match peer {
            Some(peer) => self.request(objective, peer, deadline, false).await,
            None => {
                let flooded = self.grasp.flood.send(flood::Get(objective.name.clone())).await.map_err(|_| gone())?;
                if let Some(latest) = flooded.into_iter().next() {
                    return Ok(latest.objective);
                }
                let found = self.find_first(objective, deadline).await?;
                if let Some(value) = found.rapid.filter(|_| rapid) {
                    return Ok(value);
                }
                let nobody = ErrorCode::NotFloodedNorDiscovered;
                self.request_any(objective, &found.locators, deadline, false, nobody).await
            }
        };
        match result?.1 {
            Outcome::Synchronized(objective) => Ok(objective),
            Outcome::Offered(_) | Outcome::Accepted(_) | Outcome::Sent => Err(ErrorCode::NoValidSynch.into()),
        }
    }

    /// Serves this value to those who ask (RFC 8991 §2.3.6); may be called again with a new one. Announces the objective.
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#16`, `#32`.
    pub async fn listen_synchronize(&self, objective: &Objective) -> Result<(), Error> {
        self.call(node::ServeValue { asa: self.handle, objective: objective.clone() }).await
    }

    /// Stops serving the value (RFC 8991 §2.3.6).
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#16`, `#32`.
    pub async fn stop_listen_synchronize(&self, objective: &Objective) -> Result<(), Error> {
        self.call(node::StopListen { asa: self.handle, objective: objective.clone(), negotiation: false }).await
    }

    /// Floods objectives with their tags (RFC 8991 §2.3.6); `ttl` in milliseconds, 0 for ever.
    ///
    /// The address `::` in a tag stands for that of each link; such a flood goes one hop.
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#16`, `#32`, `#38`; `#03` if it would not fit into a multicast or comes too often.
    pub async fn flood(&self, ttl: u32, objectives: Vec<(Objective, Option<Locator>)>) -> Result<(), Error> {
        self.call(node::FloodOut { asa: self.handle, ttl, objectives }).await?.await.map_err(|_| gone())?
    }

    /// Every unexpired flooded copy of an objective, latest first (RFC 8991 §2.3.6).
    ///
    /// # Errors
    ///
    /// `#06`, `#16`, `#32`.
    pub async fn get_flood(&self, objective: &Objective) -> Result<Vec<Flooded>, Error> {
        self.call(node::MaySynchronize { asa: self.handle, objective: objective.clone() }).await?;
        self.grasp.flood.send(flood::Get(objective.name.clone())).await.map_err(|_| gone())
    }

    /// Tells of every copy of an objective that is flooded from now on (an extension).
    ///
    /// # Errors
    ///
    /// `#06`, `#16`, `#32`.
    pub async fn watch_flood(&self, objective: &Objective) -> Result<mpsc::Receiver<Flooded>, Error> {
        self.call(node::MaySynchronize { asa: self.handle, objective: objective.clone() }).await?;
        let (watcher, copies) = mpsc::channel(WATCH_QUEUE);
        self.grasp.flood.send(flood::Watch(objective.name.clone(), watcher)).await.map_err(|_| gone())?;
        Ok(copies)
    }

    /// Expires exactly this flooded copy in the local cache (RFC 8991 §2.3.6).
    ///
    /// # Errors
    ///
    /// `#06`, `#16`; `#14` if it is not there.
    pub async fn expire_flood(&self, flooded: &Flooded) -> Result<(), Error> {
        let copies = self.get_flood(&flooded.objective).await?;
        if !copies.iter().any(|copy| copy.locator == flooded.locator && copy.link == flooded.link) {
            return Err(Error::new(ErrorCode::NotObjective, flooded.objective.name.as_str()));
        }
        let input = crate::protocol::flood::Input::Expire(flooded.clone());
        self.grasp.flood.send(flood::Feed(input)).await.map_err(|_| gone())
    }
}

fn target(peer: &AsaLocator) -> Option<Target> {
    match &peer.locator {
        Locator::Fqdn { name, transport: crate::wire::Transport::Tcp, port } => Some(Target::Name(name.clone(), *port)),
        locator @ (Locator::Ipv6 { .. } | Locator::Ipv4 { .. } | Locator::Fqdn { .. } | Locator::Uri { .. }) => {
            reach(locator, peer.interface).map(Target::Address)
        }
    }
}

/// An open negotiation (RFC 8991 §2.3.2.8). Dropping it declines, if it is not over.
pub struct Session {
    actor: Held,
    session_id: SessionId,
    peer: Option<SocketAddr>,
    objective: Objective,
    /// Without its guard: a session does not keep its ASA registered.
    asa: Asa,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { session_id, peer, objective, .. } = self;
        let (id, name) = (session_id, &objective.name);
        f.debug_struct("Session").field("session_id", id).field("peer", peer).field("objective", name).finish()
    }
}

impl Session {
    /// The session id on the wire.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The peer's address, port and interface; `None` if it was reached by name.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The objective as it was first requested.
    #[must_use]
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// The ASA that negotiates.
    #[must_use]
    pub fn asa(&self) -> &Asa {
        &self.asa
    }

    async fn ask(&self, call: Call) -> Result<Outcome, Error> {
        let (reply, outcome) = oneshot::channel();
        let waits = matches!(call, Call::Request { .. } | Call::Step { .. });
        // A caller that goes away while it waits for the peer gives the session up.
        let guard = AbandonGuard { actor: &self.actor.0, armed: waits };
        self.actor.0.send(Ask { call, reply }).await.map_err(|_| Error::from(ErrorCode::NoSession))?;
        let outcome = outcome.await.map_err(|_| Error::from(ErrorCode::NoSession));
        guard.disarm();
        outcome?
    }

    fn negotiated(self, outcome: Outcome) -> Result<Negotiated, Error> {
        match outcome {
            Outcome::Accepted(objective) => Ok(Negotiated::Accepted(objective)),
            Outcome::Offered(objective) => Ok(Negotiated::Offered(self, objective)),
            Outcome::Synchronized(_) | Outcome::Sent => Err(ErrorCode::NoValidStep.into()),
        }
    }

    /// Sends a counter-proposal and waits for the answer (RFC 8991 §2.3.5). The loop count goes down by itself.
    ///
    /// # Errors
    ///
    /// `#01` declined; `#19`, `#20`, `#21` loop count exhausted, nothing sent and still this side's turn; `#22` to `#28`;
    /// `#25` another name or dry-run flag; `#03` not this side's turn or message too long.
    pub async fn negotiate_step(&self, objective: &Objective, timeout: Duration) -> Result<Step, Error> {
        let timeout = self.asa.timeout(timeout);
        match self.ask(Call::Step { objective: objective.clone(), timeout }).await? {
            Outcome::Accepted(objective) => Ok(Step::Accepted(objective)),
            Outcome::Offered(objective) => Ok(Step::Offered(objective)),
            Outcome::Synchronized(_) | Outcome::Sent => Err(ErrorCode::NoValidStep.into()),
        }
    }

    /// Asks the peer to wait so long for the next message (RFC 8991 §2.3.5); zero is the default of 60 s.
    ///
    /// # Errors
    ///
    /// `#19`, `#20`, `#29`; `#03` not this side's turn.
    pub async fn negotiate_wait(&self, time: Duration) -> Result<(), Error> {
        self.ask(Call::Wait(time)).await.map(drop)
    }

    /// Ends the negotiation (RFC 8991 §2.3.5): accepts the peer's last proposal, or declines with an optional reason.
    ///
    /// # Errors
    ///
    /// `#19`, `#20`, `#30`; `#03` for accepting when it is not this side's turn.
    pub async fn end_negotiate(&self, accept: bool, reason: Option<&str>) -> Result<(), Error> {
        let call = if accept { Call::Accept } else { Call::Decline(reason.map(str::to_owned)) };
        self.ask(call).await.map(drop)
    }

    /// Tells the peer that its last message was not understood, and stops the session (RFC 8991 §2.3.7).
    ///
    /// # Errors
    ///
    /// `#19`, `#20`, `#30`.
    pub async fn send_invalid(&self, info: Option<&[u8]>) -> Result<(), Error> {
        let content = match info {
            None => None,
            Some(bytes) => {
                Some(Value::item(&ByteString(bytes)).map_err(|e| Error::new(ErrorCode::Unspecified, e.to_string()))?)
            }
        };
        self.ask(Call::Invalid(content)).await.map(drop)
    }
}

/// Bytes as a CBOR byte string.
struct ByteString<'a>(&'a [u8]);

impl serde::Serialize for ByteString<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// What a step led to; a decline is the error `#01`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The peer accepted this; the session is over.
    Accepted(Objective),
    /// The peer proposes this.
    Offered(Objective),
}

struct AbandonGuard<'a> {
    actor: &'a Addr<SessionActor>,
    armed: bool,
}

impl AbandonGuard<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for AbandonGuard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.actor.do_send(Abandon);
        }
    }
}
