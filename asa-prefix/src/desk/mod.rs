//! The desk: answers what an operator asks of a pool, over the control socket of the node.
//!
//! `docs/prefix.md` describes queries and answers for programs in other languages.

#![allow(clippy::wildcard_enum_match_arm, reason = "each question has one kind of answer; all others are alike to it")]

mod actor;
mod answer;
mod command;
mod plan;

pub use actor::{Desk, DeskArgs};
pub use answer::{Blocks, Checked, Exported, Fault, Given, Listed, Overview, Resolved};
pub use command::{Fate, PoolCommand};
pub use plan::{PlanError, read_plan, write_plan};
