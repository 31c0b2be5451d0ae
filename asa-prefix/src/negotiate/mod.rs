//! How prefixes are negotiated: who speaks for the pool, as the one that asks and as the one that is asked.

mod asker;
mod giver;
mod strategy;

pub use strategy::{PrefixStrategy, Speech};

use crate::delegator::Response;
use crate::pool::record::Deal;
use asa_framework::roles::negotiator::{Act, Turn};
use grasp::Value;
use grasp::wire::SessionId;
use std::net::SocketAddr;

fn turn(act: Act) -> Turn {
    Turn { say: Vec::new(), act }
}

fn decline(reason: impl Into<String>) -> Turn {
    turn(Act::Decline(reason.into()))
}

fn read(answer: Result<Value, String>) -> Result<Response, String> {
    answer?.decode().map_err(|error| format!("the delegator's answer cannot be read: {error}"))
}

/// A negotiation as both sides name it. A peer that was reached by name has no address here.
fn deal(session: SessionId, peer: Option<SocketAddr>) -> Deal {
    Deal { session, peer: peer.map(|peer| peer.ip().to_string()).unwrap_or_default() }
}
