//! Autonomic Service Agents (RFC 9222): classes, roles, manifests, and how they come to life on a GRASP node.

pub mod class;
pub mod control;
pub mod deploy;
pub mod event;
pub mod health;
pub mod lifecycle;
pub mod machine;
pub mod manifest;
mod node_config;
pub mod notify;
mod protection;
pub mod roles;
mod root;
pub mod secret;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use protection::Prompt;
pub use root::{DESCRIPTION_OBJECTIVE, Fatal, LogLevels, Reread};
