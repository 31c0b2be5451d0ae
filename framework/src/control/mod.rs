//! Speaking with a running node: a socket in the file system, one JSON request and one JSON reply a line.
//!
//! `docs/control.md` describes the protocol for programs in other languages.

mod message;
mod report;

pub use message::{Command, Dump, Failure, FailureCode, MAX_LINE, Reply, Request, VERSION};
pub use report::{
    Change, ChangeKind, Described, DrillReport, Health, InstanceStatus, LinkStatus, MoveReport, NodeStatus, Origin,
    Plan, Readiness, ReplaceReport, StatusReport,
};
