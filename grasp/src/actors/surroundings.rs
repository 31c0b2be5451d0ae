//! What the actors of a node share.

use super::node::Node;
use super::tally::Tally;
use crate::net::Network;
use crate::recorder::Recorder;
use crate::shell::Clock;
use crate::substrate::Substrate;
use crate::wire::Limits;
use actix::WeakAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the actors of a node share; it outlasts each of their lives.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) name: String,
    pub(crate) clock: Clock,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) substrate: Arc<dyn Substrate>,
    pub(crate) tally: Tally,
    pub(crate) depth: usize,
    /// Largest message received; objectives that allow more raise it.
    pub(crate) size: Arc<AtomicUsize>,
    /// The last key that was given to a session, a question or a flood.
    pub(crate) keys: Arc<AtomicU64>,
    pub(crate) node: WeakAddr<Node>,
}

impl Surroundings {
    pub(crate) fn limits(&self) -> Limits {
        Limits { size: self.size.load(Ordering::Relaxed), depth: self.depth }
    }

    /// A key that nothing in this node has had before, in whatever life of its actors.
    pub(crate) fn key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed) + 1
    }
}
