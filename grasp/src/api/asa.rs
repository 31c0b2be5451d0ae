//! What an ASA asks of its node: registration, discovery, negotiation (RFC 8991 §2.3.3 to §2.3.5).

use super::{Grasp, Session, answer, answer_again, gone};
use crate::actors::discovery;
use crate::actors::node::{self, Node};
use crate::actors::session::{Handed, Target};
use crate::constants::GRASP_DEF_TIMEOUT;
use crate::error::{Error, ErrorCode};
use crate::protocol::discovery::{Found, Input, Scope};
use crate::protocol::registry::Registration;
use crate::protocol::session::Outcome;
use crate::protocol::{AsaHandle, AsaLocator, reach};
use crate::wire::{Locator, Objective, SessionId, Value};
use actix::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Times that a question is asked if the actor that has it fails.
const TRIES: usize = 4;
/// First pause before something is asked again of an actor that has failed.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A registered ASA: everything that RFC 8991 lets it do.
#[derive(Clone)]
pub struct Asa {
    pub(super) handle: AsaHandle,
    pub(super) grasp: Grasp,
    pub(super) _registration: Option<Arc<node::Registered>>,
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

    pub(super) async fn call<M, T>(&self, message: M) -> Result<T, Error>
    where
        Node: Handler<M>,
        M: Message<Result = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        answer(&self.grasp.node, message).await?
    }

    /// As [`Asa::call`], for what may be done any number of times.
    pub(super) async fn call_again<M, T>(&self, message: impl Fn() -> M) -> Result<T, Error>
    where
        Node: Handler<M>,
        M: Message<Result = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        answer_again(&self.grasp.node, message).await?
    }

    pub(super) fn timeout(&self, timeout: Duration) -> Duration {
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

    pub(super) async fn find(
        &self,
        objective: &Objective,
        timeout: Duration,
        minimum_ttl: Option<Duration>,
        scope: Scope,
        direct_only: bool,
    ) -> Result<Found, Error> {
        let deadline = Instant::now() + timeout;
        let mut left = timeout;
        for _ in 0..TRIES {
            let (asa, timeout) = (self.handle, left);
            let call = || {
                let objective = objective.clone();
                node::Discover { asa, objective, timeout, minimum_ttl, scope, direct_only }
            };
            let (mut asking, found) = self.call_again(call).await?;
            if let Ok(found) = found.await {
                asking.answered = true;
                return Ok(found);
            }
            // The actor that had the question has failed.
            tokio::time::sleep(PAUSE.min(left)).await;
            left = deadline.saturating_duration_since(Instant::now());
        }
        Err(gone(&self.grasp.discovery))
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
        self.call_again(|| node::MayNegotiate { asa: self.handle, objective: objective.clone() }).await?;
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
        let prepare = async |session_id, peer| {
            opened(session_id, peer);
            Ok(())
        };
        self.request_negotiate_prepared(objective, peer, timeout, prepare).await
    }

    /// As [`Asa::request_negotiate`] with a known peer; awaits `prepare`, with the session id and the peer's address (`None`
    /// if it is to be reached by name), before the peer is even connected to: what must be durable before the request is
    /// visible can be written there (an extension). The time that takes counts against the time limit.
    ///
    /// # Errors
    ///
    /// That of `prepare`, with nothing sent; `#03` if it takes longer than the time limit, with nothing sent either;
    /// else as [`Asa::request_negotiate`].
    pub async fn request_negotiate_prepared(
        &self,
        objective: &Objective,
        peer: &AsaLocator,
        timeout: Duration,
        prepare: impl AsyncFnOnce(SessionId, Option<SocketAddr>) -> Result<(), Error>,
    ) -> Result<Negotiated, Error> {
        self.call_again(|| node::MayNegotiate { asa: self.handle, objective: objective.clone() }).await?;
        let deadline = Instant::now() + self.timeout(timeout);
        let session = self.open(objective, peer, true).await?;
        let prepared = tokio::time::timeout_at(deadline, prepare(session.session_id, session.peer)).await;
        prepared
            .map_err(|_| Error::new(ErrorCode::Unspecified, "the request was not prepared within its time limit"))??;
        let outcome = session.request(deadline).await?;
        session.negotiated(outcome)
    }

    /// Looks for anyone who supports the objective, until there is one or the time is up.
    pub(super) async fn find_first(&self, objective: &Objective, deadline: Instant) -> Result<Found, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        // The value belongs into the request; null is understood also by peers that cannot do without one (T-48).
        let wanted = objective.clone().with_value(Value::null());
        self.find(&wanted, left, None, Scope::First, false).await
    }

    pub(super) async fn request_any(
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

    pub(super) async fn request(
        &self,
        objective: &Objective,
        peer: &AsaLocator,
        deadline: Instant,
        negotiation: bool,
    ) -> Result<(Session, Outcome), Error> {
        let session = self.open(objective, peer, negotiation).await?;
        let outcome = session.request(deadline).await?;
        Ok((session, outcome))
    }

    /// Opens a session; its peer is connected to when the request is made.
    pub(super) async fn open(
        &self,
        objective: &Objective,
        peer: &AsaLocator,
        negotiation: bool,
    ) -> Result<Session, Error> {
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
        Ok(Session { actor, session_id, peer, objective, asa: self.grasp.asa(self.handle) })
    }

    /// Waits for a negotiation request (RFC 8991 §2.3.5); from the first call on, until
    /// [`Asa::stop_listen_negotiate`], the objective is announced and requests are queued.
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#15`, `#16`; `#03` when listening is stopped meanwhile.
    pub async fn listen_negotiate(&self, objective: &Objective) -> Result<(Session, Objective), Error> {
        let handed = self.handed(objective).await?;
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

    /// Waits for a request, in as many lives of the objective's actor as it takes.
    async fn handed(&self, objective: &Objective) -> Result<Handed, Error> {
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            let handed = self.call_again(|| node::Listen { asa: self.handle, objective: objective.clone() }).await?;
            if let Ok(handed) = handed.await {
                return handed;
            }
            // The actor has failed: at once at first, then ever more seldom while it goes on failing.
            if since.elapsed() > LONGEST_PAUSE {
                pause = Duration::ZERO;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).clamp(PAUSE, LONGEST_PAUSE);
        }
    }

    /// Stops listening (RFC 8991 §2.3.5): waiting calls fail, queued and new requests are closed.
    ///
    /// # Errors
    ///
    /// `#06`, `#13`, `#14`, `#15`, `#16`.
    pub async fn stop_listen_negotiate(&self, objective: &Objective) -> Result<(), Error> {
        let (asa, negotiation) = (self.handle, true);
        self.call_again(|| node::StopListen { asa, objective: objective.clone(), negotiation }).await
    }
}

fn target(peer: &AsaLocator) -> Option<Target> {
    match &peer.locator {
        Locator::Fqdn { name, transport: crate::wire::Transport::Tcp, port } => Some(Target::Name(name.clone(), *port)),
        locator @ (Locator::Ipv6 { .. }
        | Locator::Ipv4 { .. }
        | Locator::Fqdn { .. }
        | Locator::Uri { .. }
        | Locator::Other { .. }) => reach(locator, peer.interface).map(Target::Address),
    }
}
