//! The parts that an ASA is assembled from; each a core that decides and an actor that moves.

pub mod backoff;
pub mod delegator;
pub mod flooder;
pub mod negotiator;
pub mod peers;
pub mod pool;
pub mod resource;
pub mod store;

use actix::{Handler, Message};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use supervision::Child;

/// A part of an ASA: runs under guard, can be set up and down, and tells what it has in hand.
pub trait Role: Child + Handler<Control> + Handler<Outstanding> {}

impl<A: Child + Handler<Control> + Handler<Outstanding>> Role for A {}

/// What a role is told (RFC 9222 section 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Message)]
#[serde(rename_all = "snake_case")]
#[rtype(result = "()")]
pub enum Control {
    /// Take up new work.
    Activate,
    /// Take no new work; keep promises, bring open sessions to their end, answer queries.
    Deactivate,
    /// Decline open sessions now: the instance ends. The supervisor ends the role itself.
    Stop,
}

/// Asks a role what it has in hand.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Load")]
pub struct Outstanding;

/// What a role has in hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct Load {
    /// Sessions and other work that will end by itself.
    pub busy: usize,
    /// Promises to others that outlast a session, such as blocks granted.
    pub promises: usize,
}

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

/// Whether an instance is to work now; shared by its roles, so that one that is restarted begins as the others are.
#[derive(Debug, Clone)]
pub struct Activity(Arc<AtomicBool>);

impl Default for Activity {
    fn default() -> Self {
        Self::new(true)
    }
}

impl Activity {
    /// Begins active or not.
    #[must_use]
    pub fn new(active: bool) -> Self {
        Self(Arc::new(AtomicBool::new(active)))
    }

    /// Whether new work is taken.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// In what mode a role begins.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.is_active() { Mode::Active } else { Mode::Inactive }
    }

    pub(crate) fn set(&self, active: bool) {
        self.0.store(active, Ordering::Release);
    }
}
