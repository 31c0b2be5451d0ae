//! The pool: which blocks there are, and what has become of each.
//!
//! A core decides, [`Pool`] carries its decisions to the store and its answers back.

#![allow(clippy::wildcard_enum_match_arm, reason = "each question concerns a few states; all others are alike to it")]

mod actor;
mod book;
mod core;
mod decide;
mod map;
mod order;
mod plan;
pub mod record;
mod reopen;
mod request;
mod sessions;
mod settle;

pub use actor::{Ask, Clocks, Ended, Pool, PoolArgs, Subscribe};
pub use core::PoolCore;
pub use plan::{Input, Output, PoolPlan, Stamp};
pub use request::{AggregateCensus, Answer, Census, Level, Lifetimes, Planned, PoolError, Request, Tally, Verdict};
