//! Autonomic Service Agents (RFC 9222): classes, roles, manifests, and how they come to life on a GRASP node.

pub mod class;
pub mod control;
pub mod deploy;
pub mod event;
pub mod lifecycle;
pub mod machine;
pub mod manifest;
pub mod notify;
pub mod roles;
pub mod telemetry;
