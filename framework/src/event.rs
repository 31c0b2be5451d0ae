//! What a running node tells its operator.

use grasp::wire::{SessionId, diagnostic};
use grasp::{Objective, Value};
use serde::Serialize;
use std::sync::Arc;

/// Which side of a negotiation an ASA is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// It made the request.
    Initiator,
    /// It was asked.
    Responder,
}

/// How a negotiation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// By agreement.
    Accepted,
    /// One side declined.
    Declined,
    /// By a time limit, a lost connection or a broken rule.
    Failed,
}

/// Something that happened; serialised as one JSON object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Everything listens.
    Ready {
        /// The node.
        node: String,
        /// Its substrate.
        substrate: &'static str,
        /// Whether that protects anything.
        secure: bool,
    },
    /// An ASA has something to say to people.
    Said {
        /// The instance.
        asa: String,
        /// The negotiation it is about, if any.
        session_id: Option<SessionId>,
        /// One line.
        text: String,
    },
    /// An instance wants to negotiate and looks for a peer.
    NegotiationRequested {
        /// The instance.
        asa: String,
        /// Name of the objective.
        objective: String,
        /// The value asked for.
        value: serde_json::Value,
    },
    /// A peer has answered, or has asked.
    NegotiationStarted {
        /// The instance.
        asa: String,
        /// Name of the objective.
        objective: String,
        /// Session id on the wire.
        session_id: SessionId,
        /// The peer's address and port.
        peer: String,
        /// Which side the instance is on.
        role: Side,
        /// The value asked for.
        value: serde_json::Value,
    },
    /// A negotiation has ended.
    NegotiationEnded {
        /// The instance.
        asa: String,
        /// Name of the objective.
        objective: String,
        /// Session id on the wire; `None` if it never came to a session.
        session_id: Option<SessionId>,
        /// The peer's address and port, if there was one.
        peer: Option<String>,
        /// Which side the instance was on.
        role: Side,
        /// How it ended.
        outcome: Ending,
        /// The value agreed, or the one last proposed by either side.
        value: serde_json::Value,
        /// Why it was declined or failed.
        reason: Option<String>,
    },
    /// An ASA has done all it was told to do.
    Finished {
        /// The instance.
        asa: String,
    },
    /// Restarting the roles of an instance did not help, so it is built anew.
    Rebuilt {
        /// The instance.
        asa: String,
        /// The role that failed, and how.
        reason: String,
    },
    /// The node has ended.
    Stopped {
        /// The node.
        node: String,
    },
}

/// Takes events, in order.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// A value as JSON: decoded if JSON can express it, else its diagnostic notation as a string.
#[must_use]
pub fn json_value(value: Option<&Value>) -> serde_json::Value {
    let Some(value) = value else { return serde_json::Value::Null };
    value.decode::<serde_json::Value>().unwrap_or_else(|_| diagnostic(value.as_bytes()).into())
}

/// The value of an objective as JSON.
#[must_use]
pub fn json_of(objective: &Objective) -> serde_json::Value {
    json_value(objective.value.as_ref())
}
