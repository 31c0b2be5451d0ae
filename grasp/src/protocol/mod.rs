//! The decisions of RFC 8990. Pure: time is an argument, randomness is handed in, nothing here waits or moves.

pub mod adjacency;
pub mod authorization;
pub mod cache;
pub mod discovery;
pub mod doorman;
pub mod dull;
pub mod flood;
mod heard;
mod machine;
pub mod negotiation;
mod objective;
pub mod places;
pub mod rate;
pub mod registry;
pub mod seen;
pub mod session;
pub mod session_id;
pub mod synchronization;
mod time;
mod topology;

pub use authorization::Member;
pub use dull::Dull;
pub use heard::Heard;
pub use machine::Machine;
pub use objective::{Announcement, AsaHandle, AsaLocator, Rapid};
pub use time::Time;
pub use topology::{LinkId, LinkInfo, Topology, reach};
