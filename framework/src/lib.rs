//! Autonomic Service Agents (RFC 9222): classes, roles, manifests.
