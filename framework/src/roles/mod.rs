//! The parts that an ASA is assembled from; each a core that decides and an actor that moves.

pub mod flooder;
pub mod negotiator;

use actix::Message;

/// Ends a role; its open sessions are declined.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;
