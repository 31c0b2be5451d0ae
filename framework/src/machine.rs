//! The law that a core decides and an actor moves, for roles: what the protocol's own actors are built on.

pub use grasp::protocol::{Machine, Time};
pub use grasp::shell::{Clock, Pump, Pumped};
