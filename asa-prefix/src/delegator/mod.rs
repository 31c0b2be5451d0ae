//! The delegator: serves the clients of this node and the peers that negotiate, and knows when others are to be asked.

mod actor;
mod core;
mod hooks;
mod limits;
mod message;
mod plan;
mod question;
mod supply;

pub use actor::{Delegator, DelegatorArgs, Explain, Give, Take};
pub use core::DelegatorCore;
pub use hooks::Hooks;
pub use message::{Explained, Input, Output};
pub use plan::{DelegatorPlan, FamilyPlan};
pub(crate) use question::write;
pub use question::{Question, Response};
