//! Negotiates as an ASA's [`Strategy`] says, in any number of sessions at once, on either side (RFC 8990 §2.5.5).

mod actor;
mod core;
mod open;
mod plan;
mod seek;
mod strategy;

pub use actor::{Advisor, Consult, Negotiator, NegotiatorArgs, StrategyFactory};
pub use core::NegotiatorCore;
pub use plan::{Counsel, Failure, Input, NegotiatorPlan, Opened, Output, Proposal};
pub use strategy::{Act, Dialogue, Ended, Heard, Strategy, Task, Turn};
