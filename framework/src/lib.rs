//! Autonomic Service Agents (RFC 9222): classes, roles, manifests.

pub mod class;
pub mod manifest;
