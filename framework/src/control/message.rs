//! Requests and replies.

use crate::lifecycle::Move;
use serde::{Deserialize, Serialize};
use supervision::Fault;

/// The version of the protocol; a node refuses any other.
pub const VERSION: u32 = 1;
/// The longest reply, in bytes, without its line end.
pub const MAX_LINE: usize = 16 << 20;
/// The longest request, in bytes, without its line end.
pub const MAX_REQUEST: usize = 1 << 20;
/// The most drills that one request can ask for.
pub const MAX_DRILLS: u32 = 100;

/// One request: a line of JSON such as `{"version":1,"command":"status"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is wanted.
    #[serde(flatten)]
    pub command: Command,
}

impl Request {
    /// A request of this version.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { version: VERSION, command }
    }
}

/// What can be asked of a running node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// How the node is: [`StatusReport`](super::StatusReport).
    Status,
    /// The instance manifests: a list of [`Described`](super::Described).
    Describe {
        /// One instance, or all.
        #[serde(default)]
        instance: Option<String>,
    },
    /// A table of the GRASP instance: a list of objects.
    Dump {
        /// Which.
        table: Dump,
    },
    /// Moves an instance through its life: [`MoveReport`](super::MoveReport).
    Move {
        /// The move.
        #[serde(rename = "move")]
        step: Move,
        /// The instance.
        instance: String,
        /// Uninstall although promises are outstanding.
        #[serde(default)]
        force: bool,
        /// Remove state and keys as well when uninstalling.
        #[serde(default)]
        purge: bool,
    },
    /// Puts another version in an instance's place without a gap: [`ReplaceReport`](super::ReplaceReport).
    Replace {
        /// The instance.
        instance: String,
        /// `CLASS@VERSION`.
        with: String,
    },
    /// Reads the manifest again and applies what has changed: [`Plan`](super::Plan).
    Reload {
        /// Only says what would be done.
        #[serde(default)]
        plan: bool,
    },
    /// Lets something go wrong: a list of [`DrillReport`](super::DrillReport).
    Drill {
        /// The role, such as `negotiator`; of the node `discovery`, `flood` and so on.
        role: String,
        /// What goes wrong.
        fault: Fault,
        /// The instance, or `node`; needed if several have such a role.
        #[serde(default)]
        instance: Option<String>,
        /// How often, 1 to [`MAX_DRILLS`], each time after the last recovery.
        count: u32,
    },
    /// Asks an instance something in words of its own class; the answer is whatever the class says.
    Query {
        /// The instance; if this is empty, the only one that answers queries.
        #[serde(default)]
        instance: String,
        /// What its class understands.
        query: serde_json::Value,
    },
    /// Shows or changes the log level: `{"level": "..."}`.
    LogLevel {
        /// Directives such as `info,grasp::actors=debug`; none only shows what is in force.
        #[serde(default)]
        level: Option<String>,
    },
}

/// The tables that can be dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dump {
    /// The discovery cache.
    Discovery,
    /// The flood cache.
    Floods,
    /// Open sessions.
    Sessions,
    /// Registered objectives.
    Objectives,
}

/// One reply: `{"version":1,"ok":...}` or `{"version":1,"error":{...}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`].
    pub version: u32,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<serde_json::Value>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl Reply {
    /// Makes a reply of a result.
    #[must_use]
    pub fn new(result: Result<serde_json::Value, Failure>) -> Self {
        match result {
            Ok(value) => Self { version: VERSION, ok: Some(value), error: None },
            Err(failure) => Self { version: VERSION, ok: None, error: Some(failure) },
        }
    }
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub code: FailureCode,
    /// For people: what was wrong, and what to do.
    pub message: String,
}

impl Failure {
    /// Makes a failure.
    #[must_use]
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// The line is no request of this version.
    Malformed,
    /// There is no such instance, role or class.
    Unknown,
    /// It is not allowed now, or not at all.
    Refused,
    /// Another operation on the same instance is under way.
    Busy,
    /// It was tried and did not work; what ran before still runs.
    Failed,
}
