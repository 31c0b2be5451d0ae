//! What a node tells of itself.

use crate::lifecycle::{Move, Phase};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use supervision::ChildStatus;

/// Whether the node can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Everything does what it should.
    Ready,
    /// Something does not, and the rest works; or something has been restarted a short while ago.
    Degraded,
    /// The node cannot do what it is for.
    Failing,
}

/// Readiness with the reasons for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The verdict.
    pub readiness: Readiness,
    /// Why it is not better; empty if it is ready.
    pub reasons: Vec<String>,
}

/// The answer to `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusReport {
    /// The verdict.
    pub health: Health,
    /// The GRASP node.
    pub node: NodeStatus,
    /// The instances, by name.
    pub instances: Vec<InstanceStatus>,
    /// The actor tree, in the order in which the actors were started.
    pub actors: Vec<ChildStatus>,
    /// Seconds since the node started.
    pub uptime_s: f64,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Instances rebuilt because restarting their roles did not help.
    pub escalations: u64,
    /// Threads given up because they were blocked.
    pub abandoned_threads: u64,
}

/// The GRASP node of a status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its substrate.
    pub substrate: String,
    /// Whether that protects anything.
    pub secure: bool,
    /// What that does not promise although one might think so.
    #[serde(default)]
    pub caveat: Option<String>,
    /// What is good to know about it, by name.
    #[serde(default)]
    pub substrate_facts: BTreeMap<String, String>,
    /// What somebody should do something about.
    #[serde(default)]
    pub substrate_warnings: Vec<String>,
    /// Whether GRASP may speak.
    pub ready: bool,
    /// Members at the other ends of the links, where the substrate keeps connections to them.
    #[serde(default)]
    pub neighbours: Vec<NeighbourStatus>,
    /// Links that are up.
    pub links: Vec<LinkStatus>,
    /// Interfaces of the manifest that are not there.
    pub missing_interfaces: Vec<String>,
    /// Address in the domain.
    pub global: Option<String>,
    /// TCP port of requests.
    pub port: u16,
    /// Sessions open now.
    pub sessions: usize,
    /// Locators in the discovery cache.
    pub discovery_cache: usize,
    /// Copies in the flood cache.
    pub flood_cache: usize,
    /// Counters by name.
    pub counters: BTreeMap<String, u64>,
}

/// A neighbour of a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourStatus {
    /// The interface.
    pub interface: String,
    /// Its link-local address, and the port at its end.
    pub address: String,
    /// Its name, as its certificate says.
    pub member: String,
}

/// A link of a status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The interface.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// Its link-local address.
    pub address: String,
}

/// An instance of a status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its name in the manifest.
    pub name: String,
    /// Its class.
    pub class: String,
    /// The version that runs, or would run.
    pub version: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Where the manifest wants it.
    pub wanted: Phase,
    /// What is being done with it now.
    pub operation: Option<String>,
    /// Its role.
    pub role: String,
    /// Sessions and other work in hand.
    pub busy: usize,
    /// Promises outstanding, such as blocks granted.
    pub promises: usize,
    /// How often it was built, the first time included.
    pub incarnations: u64,
    /// Why it is not where the manifest wants it.
    pub error: Option<String>,
}

/// The instance manifest of RFC 9222 section 7.2.3: what an instance says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// The instance.
    pub instance: String,
    /// The node.
    pub node: String,
    /// Its class.
    pub class: String,
    /// Its version.
    pub version: String,
    /// The name under which it is registered with GRASP.
    pub asa: Option<String>,
    /// Its role.
    pub role: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// The objectives that it takes part in.
    pub objectives: Vec<String>,
    /// What it manages.
    pub resources: Vec<String>,
    /// What it measures.
    pub metrics: Vec<String>,
    /// What it can be told to do.
    pub actions: Vec<String>,
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// Where each setting comes from that is not a default.
    pub origins: Vec<Origin>,
}

/// A setting that is not a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Its key.
    pub key: String,
    /// Where it comes from.
    pub origin: String,
}

/// What a move came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveReport {
    /// The instance.
    pub instance: String,
    /// The move.
    #[serde(rename = "move")]
    pub step: Move,
    /// Where the instance is now.
    pub phase: Phase,
    /// Work that was still in hand when the time for it was over.
    pub abandoned: usize,
    /// Promises outstanding when it was uninstalled by force.
    pub promises: usize,
    /// Files and directories removed.
    pub purged: Vec<String>,
}

/// What a replacement came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplaceReport {
    /// The instance.
    pub instance: String,
    /// The version before.
    pub from: String,
    /// The version now.
    pub to: String,
    /// Milliseconds until the new one was healthy.
    pub healthy_after_ms: f64,
    /// Milliseconds until the old one had ended its work.
    pub drained_after_ms: f64,
    /// Work of the old one that was still in hand when the time for it was over.
    pub abandoned: usize,
}

/// What a reload does or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Whether it has been applied.
    pub applied: bool,
    /// One entry for each instance concerned, and for settings of the node.
    pub changes: Vec<Change>,
}

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The instance, or `node`.
    pub what: String,
    /// What is done.
    pub kind: ChangeKind,
    /// The keys that differ.
    pub keys: Vec<String>,
    /// What came of it, once it has been applied, if it did not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A new instance.
    Starts,
    /// An instance is not in the manifest any more.
    Stops,
    /// It is moved through its life or changed while it runs.
    Changes,
    /// It is replaced by one with the new settings, make before break.
    Restarts,
    /// It takes effect when the process is started the next time.
    NextStart,
}

/// One drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// The instance, or `node`.
    pub instance: String,
    /// The role.
    pub role: String,
    /// The life that was hit.
    pub life: u64,
    /// What happened, as the supervisor saw it.
    pub happened: String,
    /// Milliseconds from the fault until the role served again; `None` if it did not in time.
    pub recovered_after_ms: Option<f64>,
}
