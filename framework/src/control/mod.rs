//! Speaking with a running node: a socket in the file system, one JSON request and one JSON reply a line.
//!
//! `docs/control.md` describes the protocol for programs in other languages.

mod conversation;
mod listening;
mod message;
mod parse;
mod report;
mod server;

pub use conversation::{IDLE_LIMIT, WRITE_LIMIT};
pub use listening::ServeError;
pub use message::{Command, Dump, Failure, FailureCode, MAX_DRILLS, MAX_LINE, MAX_REQUEST, Reply, Request, VERSION};
pub use report::{
    Change, ChangeKind, Described, DrillReport, Health, InstanceStatus, LinkStatus, MoveReport, NeighbourStatus,
    NodeStatus, Origin, Plan, Readiness, ReplaceReport, StatusReport,
};
pub use server::{Handler, MAX_CONNECTIONS, MAX_OPERATIONS, OWNER, Server, serve};
