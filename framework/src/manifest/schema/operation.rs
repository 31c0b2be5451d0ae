//! How a node is watched, steered and heard.

use serde::{Deserialize, Serialize};

use super::{Restart, RestartStrategy};

/// The socket by which operators speak with the running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Whether there is a socket at all.
    pub enabled: bool,
    /// An absolute path of at most 100 bytes, since the system allows 107; empty for the place that
    /// [`control_socket`](super::Manifest::control_socket) finds.
    pub socket: String,
    /// Whether fault drills may be run on the node. Off, because a drill breaks what works.
    pub drills: bool,
}

impl Default for Control {
    fn default() -> Self {
        Self { enabled: true, socket: String::new(), drills: false }
    }
}

/// How the actors of the node are watched and restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervision {
    /// Restarts of an actor of the node within [`within_ms`](Self::within_ms) before it is given up; 0 never restarts.
    pub restarts: u32,
    /// The time over which restarts are counted, in milliseconds.
    pub within_ms: u32,
    /// The pause before the first restart, in milliseconds; it doubles with each further one.
    pub first_pause_ms: u32,
    /// The longest pause before a restart, in milliseconds.
    pub longest_pause_ms: u32,
    /// By how many percent a pause is made longer or shorter at random, so that restarts do not march in step.
    pub jitter_percent: u32,
    /// The time between the questions whether an actor still answers, in milliseconds.
    pub ping_every_ms: u32,
    /// How long the answer may take, in milliseconds; at most [`ping_every_ms`](Self::ping_every_ms).
    pub ping_deadline_ms: u32,
    /// Answers missed in a row that make a hang.
    pub misses: u32,
    /// Times that an instance is built anew from its manifest within
    /// [`rebuilds_within_ms`](Self::rebuilds_within_ms); the next one ends the process.
    pub rebuilds: u32,
    /// The time over which rebuilds are counted, in milliseconds.
    pub rebuilds_within_ms: u32,
    /// Whether every instance has a thread of its own, so that one that hangs leaves the others alone.
    pub threads: bool,
}

impl Supervision {
    /// Returns how the node's own actors are restarted: each for itself.
    #[must_use]
    pub fn restart(&self) -> Restart {
        Restart {
            strategy: RestartStrategy::OneForOne,
            restarts: self.restarts,
            within_ms: self.within_ms,
            first_pause_ms: self.first_pause_ms,
            longest_pause_ms: self.longest_pause_ms,
            jitter_percent: self.jitter_percent,
        }
    }
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            restarts: 5,
            within_ms: 30_000,
            first_pause_ms: 100,
            longest_pause_ms: 30_000,
            jitter_percent: 25,
            ping_every_ms: 3000,
            ping_deadline_ms: 2000,
            misses: 2,
            rebuilds: 3,
            rebuilds_within_ms: 600_000,
            threads: true,
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// As it suits the place: journald where its socket is standard error, else text.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
    /// The native protocol of the journal of systemd.
    Journald,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A filter of levels and targets such as `info,grasp::actors=debug`.
    pub level: String,
    /// How lines are written.
    pub format: LogFormat,
    /// How often a line that repeats is written within [`repeat_every_ms`](Self::repeat_every_ms); the rest is
    /// counted. 0 sets no limit.
    pub repeat_burst: u32,
    /// The time over which repetitions are counted, in milliseconds.
    pub repeat_every_ms: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto, repeat_burst: 10, repeat_every_ms: 10_000 }
    }
}
