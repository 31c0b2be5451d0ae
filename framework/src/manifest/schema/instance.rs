//! One agent: what it is, how far it goes, and how it is restarted.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How far an instance goes in its life cycle (RFC 9222 section 5), in ascending order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its code and manifest are there; nothing runs.
    Installed,
    /// It runs and keeps its promises, answers queries, and takes no new work.
    Instantiated,
    /// It works.
    #[default]
    Operational,
}

/// Which roles of an instance are restarted when one of them fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartStrategy {
    /// The one that failed.
    OneForOne,
    /// That one and those started after it, which may depend on it.
    #[default]
    RestForOne,
    /// All.
    OneForAll,
}

/// How the roles of an instance are restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Which roles are restarted.
    pub strategy: RestartStrategy,
    /// Restarts within [`within_ms`](Self::within_ms) before the whole instance is built anew; 0 never restarts a role.
    pub restarts: u32,
    /// The time over which restarts are counted, in milliseconds.
    pub within_ms: u32,
    /// The pause before the first restart, in milliseconds; it doubles with each further one.
    pub first_pause_ms: u32,
    /// The longest pause before a restart, in milliseconds.
    pub longest_pause_ms: u32,
    /// By how many percent a pause is made longer or shorter at random.
    pub jitter_percent: u32,
}

impl Default for Restart {
    /// The numbers of [`Supervision`](super::Supervision), for the same reasons.
    fn default() -> Self {
        Self { strategy: RestartStrategy::default(), ..super::Supervision::default().restart() }
    }
}

/// One agent to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The name of the class; the only key without a default.
    pub class: String,
    /// The versions of the class that will do: `*`, or the leading parts of a version such as `1` or `1.2`. The
    /// highest of them is taken.
    pub version: String,
    /// How far the instance goes.
    pub state: State,
    /// One of the class's roles, never empty if it has any: the first unless the manifest says otherwise.
    pub role: String,
    /// The objectives to take part in: all of the class unless the manifest says otherwise.
    pub objectives: Vec<String>,
    /// Names of what the instance manages, each 1 to 255 bytes; no other instance of the node manages the same.
    pub resources: Vec<String>,
    /// Where the instance keeps its state; read it with [`state_directory`](super::Manifest::state_directory).
    pub state_directory: String,
    /// How long the work in hand may take when the instance is to stop, in milliseconds.
    pub drain_ms: u32,
    /// How long a new incarnation may take until it runs and answers, in milliseconds; a replacement that is not healthy by
    /// then is given up, and the old one carries on.
    pub healthy_ms: u32,
    /// Whether the instance manifest (RFC 9222 section 7.2.3) is offered as a synchronization objective. Off, because
    /// it tells everybody on the network what runs here.
    pub describe: bool,
    /// How its roles are restarted.
    pub restart: Restart,
    /// The parameters: the defaults of the class with the manifest's own above them.
    pub parameters: Map<String, Value>,
}

impl Instance {
    /// Makes an instance of this class with every default but those that come from the class itself.
    #[must_use]
    pub fn new(class: impl Into<String>) -> Self {
        Self {
            class: class.into(),
            version: "*".to_owned(),
            state: State::default(),
            role: String::new(),
            objectives: Vec::new(),
            resources: Vec::new(),
            state_directory: String::new(),
            drain_ms: 30_000,
            healthy_ms: 10_000,
            describe: false,
            restart: Restart::default(),
            parameters: Map::new(),
        }
    }
}
