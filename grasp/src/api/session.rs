//! An open negotiation (RFC 8991 §2.3.5, §2.3.7).

use super::{Asa, Negotiated};
use crate::actors::session::{Abandon, Ask, Held, Session as SessionActor};
use crate::error::{Error, ErrorCode};
use crate::protocol::session::{Call, Farewell, Outcome};
use crate::wire::{Objective, SessionId, Value};
use actix::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long after the peer's close a reset of the connection is waited for.
const SETTLE: Duration = Duration::from_millis(100);

/// An open negotiation (RFC 8991 §2.3.2.8). Dropping it declines, if it is not over. When the peer has accepted, the
/// connection stays until this is dropped, for 5 s at most: the peer takes the close as the receipt, so what must be durable
/// by then can be written before.
pub struct Session {
    pub(super) actor: Held,
    pub(super) session_id: SessionId,
    pub(super) peer: Option<SocketAddr>,
    pub(super) objective: Objective,
    /// Without its guard: a session does not keep its ASA registered.
    pub(super) asa: Asa,
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

    pub(super) async fn ask(&self, call: Call) -> Result<Outcome, Error> {
        let (reply, outcome) = oneshot::channel();
        let waits = matches!(call, Call::Request { .. } | Call::Step { .. } | Call::AcceptHeard { .. });
        // A caller that goes away while it waits for the peer gives the session up.
        let guard = AbandonGuard { actor: &self.actor.0, armed: waits };
        self.actor.0.send(Ask { call, reply }).await.map_err(|_| Error::from(ErrorCode::NoSession))?;
        let outcome = outcome.await.map_err(|_| Error::from(ErrorCode::NoSession));
        guard.disarm();
        outcome?
    }

    /// Makes the request of a session that has just been opened.
    pub(super) async fn request(&self, deadline: Instant) -> Result<Outcome, Error> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        self.ask(Call::Request { objective: self.objective.clone(), timeout }).await
    }

    pub(super) fn negotiated(self, outcome: Outcome) -> Result<Negotiated, Error> {
        match outcome {
            Outcome::Accepted(objective) => Ok(Negotiated::Accepted(objective)),
            Outcome::Offered(objective) => Ok(Negotiated::Offered(self, objective)),
            Outcome::Synchronized(_) | Outcome::Sent | Outcome::Parted(_) => Err(ErrorCode::NoValidStep.into()),
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
            Outcome::Synchronized(_) | Outcome::Sent | Outcome::Parted(_) => Err(ErrorCode::NoValidStep.into()),
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

    /// Accepts the peer's last proposal, and listens what becomes of that (an extension): the connection stays open until the
    /// peer has closed it, `limit` has passed without that (zero is the default time limit), or it is reset. A reset is
    /// waited for during `settle` after the peer's close (zero is 100 ms; more than the round-trip time is needed) and twice
    /// the time that passed between the acceptance and that close, since that is how a connection answers that was closed
    /// before the acceptance arrived.
    ///
    /// # Errors
    ///
    /// `#20` if the peer had closed before the acceptance left, which is then not sent ([`Error::ending`] tells how);
    /// `#01` if the peer's decline crossed it; `#19`, `#24`, `#28`; `#03` not this side's turn.
    pub async fn accept_heard(&self, limit: Duration, settle: Duration) -> Result<Farewell, Error> {
        let limit = self.asa.timeout(limit);
        let settle = if settle.is_zero() { SETTLE } else { settle };
        match self.ask(Call::AcceptHeard { limit, settle }).await? {
            Outcome::Parted(farewell) => Ok(farewell),
            Outcome::Accepted(_) | Outcome::Offered(_) | Outcome::Synchronized(_) | Outcome::Sent => {
                Err(ErrorCode::NoValidStep.into())
            }
        }
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
