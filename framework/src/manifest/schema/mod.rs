//! The settings as typed values, each with its default and the reason for it.
//!
//! The bounds of each key stand in `keys.rs`; a test holds the two together.

mod grasp;
mod instance;
mod operation;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use grasp::{Dull, Grasp, Limits, Quads, Rules, Substrate, Tls};
pub use instance::{Instance, Restart, RestartStrategy, State};
pub use operation::{Control, Log, LogFormat, Supervision};

/// What one node runs: its GRASP instance and its autonomic service agents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The node itself.
    pub node: Node,
    /// The socket by which operators speak with the running node.
    pub control: Control,
    /// How the actors of the node are watched and restarted.
    pub supervision: Supervision,
    /// What is logged, and how.
    pub log: Log,
    /// The GRASP instance of the node.
    pub grasp: Grasp,
    /// The agents by the name of the instance.
    pub asa: BTreeMap<String, Instance>,
}

impl Manifest {
    /// Returns the directory where this instance keeps its state; none means that it keeps no state.
    ///
    /// That is the instance's own `state_directory`, else a directory of its name below `node.state_directory`. An
    /// unknown instance has none.
    #[must_use]
    pub fn state_directory(&self, instance: &str) -> Option<PathBuf> {
        let own = &self.asa.get(instance)?.state_directory;
        match (own.as_str(), self.node.state_directory.as_str()) {
            ("", "") => None,
            ("", node) => Some(PathBuf::from(node).join(instance)),
            (own, _) => Some(own.into()),
        }
    }

    /// Returns the path of the control socket; none if there is to be none.
    ///
    /// Without `control.socket` that is `asa/<node.name>.sock` below the first of `$RUNTIME_DIRECTORY`,
    /// `$XDG_RUNTIME_DIR` and `/run` that `env` names as an absolute path. A `$RUNTIME_DIRECTORY` that is called `asa`
    /// already, as `RuntimeDirectory=asa` of systemd makes it, is not extended by another `asa`. Only `control.socket`
    /// is held to the length that the system allows; whoever binds a path that comes from the environment must be
    /// ready for an error.
    pub fn control_socket(&self, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        if !self.control.enabled {
            return None;
        }
        if !self.control.socket.is_empty() {
            return Some(self.control.socket.clone().into());
        }
        // systemd separates several directories by colons; the first one is the main one.
        let directory = |name: &str| {
            let value = env(name)?;
            let path = PathBuf::from(value.split(':').next().unwrap_or_default());
            path.is_absolute().then_some(path)
        };
        let file = format!("{}.sock", self.node.name);
        match directory("RUNTIME_DIRECTORY") {
            Some(path) if path.file_name().is_some_and(|name| name == "asa") => Some(path.join(file)),
            path => {
                let base = path.or_else(|| directory("XDG_RUNTIME_DIR")).unwrap_or_else(|| "/run".into());
                Some(base.join("asa").join(file))
            }
        }
    }
}

/// The node itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The name in logs and in status: 1 to 63 characters of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Where instances keep their state unless they name their own directory: an absolute path, or empty for no state.
    /// Empty by default, since where a system keeps state is for its operator to say.
    pub state_directory: String,
    /// The name of a flooded objective whose value sets parameters of instances where the manifest leaves them at their
    /// defaults (RFC 9222 section 4.4). Empty by default: policy from the network has to be wanted.
    pub policy_objective: String,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: "asa".to_owned(), state_directory: String::new(), policy_objective: String::new() }
    }
}

/// Several nodes in one process, joined by one link of the in-memory fabric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// The link that joins the nodes.
    pub fabric: Fabric,
    /// The nodes by name; `node.name` is that name unless the file says otherwise.
    pub nodes: BTreeMap<String, Manifest>,
}

/// How the in-memory link treats what passes over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fabric {
    /// The time that everything takes from one node to another, in milliseconds.
    pub latency_ms: u32,
    /// The most that is added to the latency at random, in milliseconds.
    pub jitter_ms: u32,
    /// The probability that a datagram is lost, 0 to 1.
    pub loss: f64,
    /// The probability that a datagram arrives twice, 0 to 1.
    pub duplicate: f64,
    /// The probability that a datagram is overtaken by the next, 0 to 1.
    pub reorder: f64,
}

impl Default for Fabric {
    fn default() -> Self {
        Self { latency_ms: 5, jitter_ms: 0, loss: 0.0, duplicate: 0.0, reorder: 0.0 }
    }
}
