//! Negotiates as an ASA's [`Strategy`] says, in any number of sessions at once, on either side (RFC 8990 §2.5.5).

mod actor;
mod core;
mod strategy;

pub use actor::{Negotiator, NegotiatorArgs, StrategyMaker};
pub use core::{Failure, Input, NegotiatorCore, NegotiatorPlan, Output, Proposal};
pub use strategy::{Act, Dialogue, Ended, Heard, Strategy, Task, Turn};
