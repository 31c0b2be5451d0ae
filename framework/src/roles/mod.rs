//! The parts that an ASA is assembled from; each a core that decides and an actor that moves.

pub mod backoff;
pub mod delegator;
pub mod flooder;
pub mod negotiator;
pub mod peers;
pub mod pool;
pub mod resource;
pub mod store;

use actix::Message;
use serde::Serialize;

/// Ends a role; its open sessions are declined.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

/// Steers a role through the life cycle of its instance (RFC 9222 §7.3, ASA-L-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Message)]
#[serde(rename_all = "snake_case")]
#[rtype(result = "()")]
pub enum Control {
    /// Takes up its work.
    Activate,
    /// Starts no work of its own and takes no new work; what is open runs to its end, and questions are answered.
    Deactivate,
    /// As [`Stop`].
    Stop,
}

/// Asks a role how much is still open: sessions, promises, requests. Zero after [`Control::Deactivate`] is drained.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "usize")]
pub struct Busy;

/// Whether a role works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does.
    #[default]
    Active,
    /// It waits to be activated.
    Inactive,
}
