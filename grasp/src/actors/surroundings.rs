//! What the actors of a node share.

use super::tally::Tally;
use crate::config::NodeConfig;
use crate::net::Network;
use crate::protocol::Member;
use crate::protocol::authorization::{Act, Authorization, member_name};
use crate::recorder::Recorder;
use crate::shell::Clock;
use crate::substrate::Substrate;
use crate::wire::{Limits, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use supervision::{Supervisor, Vitals};

/// What the actors of a node share; it outlasts each of their lives.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) name: String,
    pub(crate) clock: Clock,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) substrate: Arc<dyn Substrate>,
    pub(crate) authorization: Arc<Authorization>,
    pub(crate) tally: Tally,
    pub(crate) depth: usize,
    /// This is a DULL instance: it has one link and takes no requests.
    pub(crate) dull: bool,
    /// Largest message received; objectives that allow more raise it.
    pub(crate) size: Arc<AtomicUsize>,
    /// The last key that was given to a session, a question or a flood.
    pub(crate) keys: Arc<AtomicU64>,
    /// Where failures of sessions are counted.
    pub(crate) sessions: Arc<Vitals>,
}

/// Whose children the actors of a node are, unless it is a DULL instance that another carries.
pub(crate) const OWNER: &str = "node";
/// What all its sessions together are called.
const SESSIONS: &str = "session";

impl Surroundings {
    pub(crate) fn new(
        config: &NodeConfig,
        network: Arc<dyn Network>,
        substrate: Arc<dyn Substrate>,
        supervisor: &Supervisor,
    ) -> Self {
        Self {
            name: config.name.clone(),
            clock: Clock::start(network.clone()),
            recorder: config.recorder.clone(),
            network,
            substrate,
            authorization: Arc::new(config.authorization.clone()),
            tally: Tally::default(),
            depth: config.message.depth,
            dull: config.dull.is_some(),
            size: Arc::new(AtomicUsize::new(config.message.size)),
            keys: Arc::default(),
            sessions: supervisor.shared(SESSIONS),
        }
    }

    /// Tells whether the peer may do that; counts and logs if not.
    pub(crate) fn permits(&self, act: Act, objective: &str, member: Option<&Member>) -> bool {
        let permitted = self.authorization.permits(act, objective, member);
        if !permitted {
            let (node, act, member) = (&self.name, act.name(), member_name(member));
            tracing::warn!(node, act, objective, member, "denied");
            self.tally.count("denied", format!("{act} {objective}"));
        }
        permitted
    }

    /// Tells whether whoever sends this discovery may not have the value of what it asks for: then it is told where the objective
    /// is, and will be denied there.
    pub(crate) fn restricts(&self, message: &Message, member: Option<&Member>) -> bool {
        let Message::Discovery { objective, .. } = message else { return false };
        !self.authorization.permits(Act::Request, &objective.name, member)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { size: self.size.load(Ordering::Relaxed), depth: self.depth }
    }

    /// A key that nothing in this node has had before, in whatever life of its actors.
    pub(crate) fn key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed) + 1
    }
}
