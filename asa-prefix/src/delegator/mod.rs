//! The delegator: serves the clients of this node and the peers that negotiate, and knows when others are to be asked.

mod actor;
mod core;
mod hooks;
mod limits;
mod plan;
mod question;

pub use actor::{Delegator, DelegatorArgs, Explain, Give, Take};
pub use core::{DelegatorCore, Explained, Input, Output};
pub use hooks::Hooks;
pub use plan::{DelegatorPlan, FamilyPlan};
pub(crate) use question::write;
pub use question::{Question, Response};
