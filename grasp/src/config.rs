//! The settings of a GRASP instance, checked by whoever reads them.

use crate::constants::{GRASP_DEF_TIMEOUT, GRASP_LISTEN_PORT, MESSAGE_GAP};
use crate::protocol::authorization::Authorization;
use crate::protocol::discovery::DiscoveryConfig;
use crate::protocol::flood::FloodConfig;
use crate::protocol::registry::RegistryLimits;
use crate::protocol::{Dull, dull};
use crate::recorder::Recorder;
use crate::wire::Limits;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Escalated, RestartLimits, Tree};

/// Which interfaces GRASP uses (RFC 8990 §2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interfaces {
    /// All that have a link-local address.
    All,
    /// These, by name; others are invisible to GRASP.
    Named(Vec<String>),
}

/// What a node cannot mend by itself.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Its actors have failed too often and are stopped: every call fails with `#03`. Only a new instance helps.
    GaveUp(Escalated),
    /// It has failed twice in a row and gone on with nothing that it knew: ASAs get `#06` and must register anew; their
    /// sessions have been declined.
    Forgot,
}

/// Hears of failures; must neither block nor panic.
pub type OnFailure = Arc<dyn Fn(Failure) + Send + Sync>;

/// Everything that can be set about a node.
#[derive(Clone)]
pub struct NodeConfig {
    /// Name of the node, in logs and records; its unicast port follows from it if the preferred one is taken.
    pub name: String,
    /// The interfaces to use.
    pub interfaces: Interfaces,
    /// Preferred TCP port of unicast requests; 0 for any.
    pub port: u16,
    /// Bounds on what is received.
    pub message: Limits,
    /// Bounds of the registry.
    pub registry: RegistryLimits,
    /// Settings of discovery.
    pub discovery: DiscoveryConfig,
    /// Settings of flooding.
    pub flood: FloodConfig,
    /// Which members may do what; everything that is not said is allowed to all.
    pub authorization: Authorization,
    /// The rules under which this is a DULL instance, on its one interface (RFC 8990 §2.5.2).
    pub dull: Option<Dull>,
    /// The rules of the DULL instances that this instance carries, one for each of its links; none if it carries none.
    pub carries_dull: Option<Dull>,
    /// Time limit where a call gives none.
    pub default_timeout: Duration,
    /// Longest total extension of a negotiation by M_WAIT that a peer is granted.
    pub wait_cap: Option<Duration>,
    /// Longest time that a negotiation may take as a whole.
    pub session_cap: Option<Duration>,
    /// Least pause between two messages in one direction of a session.
    pub message_gap: Duration,
    /// Sessions at once; never more than three quarters of the descriptors that the process may have open.
    pub sessions: usize,
    /// Sessions at once that one peer has requested; never more than a quarter of all, so that none keeps others out.
    pub peer_sessions: usize,
    /// Accepted connections that have not sent a request yet; the oldest makes room. Never more
    /// than an eighth of the descriptors that the process may have open.
    pub connections: usize,
    /// Time limit for that first request.
    pub first_message_timeout: Duration,
    /// Requests that wait for a listening ASA, for each objective.
    pub request_queue: usize,
    /// Seed of everything random; `None` takes it from the system, as a real node must.
    pub seed: Option<[u8; 32]>,
    /// Takes down every input and output of the cores.
    pub recorder: Option<Recorder>,
    /// What the node's actors become part of, as children of `node`; `None` for a tree of its own, which nobody watches.
    pub tree: Option<Tree>,
    /// How often and how fast its actors are restarted, all of them together.
    pub restart: RestartLimits,
    /// Whom it tells of what restarts do not mend.
    pub on_failure: Option<OnFailure>,
}

impl NodeConfig {
    /// The settings of a DULL instance on one interface (RFC 8990 §2.5.2).
    #[must_use]
    pub fn dull(interface: &str, rules: Dull) -> Self {
        let mut config = Self {
            name: format!("dull {interface}"),
            interfaces: Interfaces::Named(vec![interface.to_owned()]),
            port: 0,
            dull: Some(rules.clone()),
            ..Self::default()
        };
        (config.discovery.cache_capacity, config.discovery.seen_capacity) = (dull::LOCATORS, dull::SEEN);
        (config.discovery.settings.relay, config.flood.relay) = (false, false);
        (config.flood.capacity, config.flood.per_name) = (dull::COPIES, dull::COPIES / 2);
        config.flood.seen_capacity = dull::SEEN;
        config.discovery.dull = Some(rules.clone());
        config.flood.dull = Some(rules);
        config
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: "asa".into(),
            interfaces: Interfaces::All,
            port: GRASP_LISTEN_PORT,
            message: Limits::default(),
            registry: RegistryLimits::default(),
            discovery: DiscoveryConfig::default(),
            flood: FloodConfig::default(),
            authorization: Authorization::default(),
            dull: None,
            carries_dull: None,
            default_timeout: GRASP_DEF_TIMEOUT,
            wait_cap: None,
            session_cap: None,
            message_gap: MESSAGE_GAP,
            sessions: 20_000,
            peer_sessions: 5_000,
            connections: 1_024,
            first_message_timeout: Duration::from_secs(5),
            request_queue: 64,
            seed: None,
            recorder: None,
            tree: None,
            restart: RestartLimits::default(),
            on_failure: None,
        }
    }
}
