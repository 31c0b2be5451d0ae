//! Serves the clients of a node and, through a negotiator, other nodes from a pool; asks others when the pool runs low.
//!
//! The negotiator runs [`PoolStrategy`] with the [`Delegator`] as its advisor. The advisor's first question to answer is when
//! others are to be asked, so that each actor knows only those that were started before it.

mod actor;
mod core;
mod question;
mod strategy;

pub use actor::{Delegator, DelegatorArgs, Give, Take};
pub use core::{DelegatorCore, DelegatorPlan, Input, Output};
pub use question::{Question, Response};
pub use strategy::{Dialect, Plain, PoolStrategy};
