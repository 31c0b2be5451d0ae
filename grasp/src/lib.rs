//! GRASP: the GeneRic Autonomic Signaling Protocol (RFC 8990) and its API (RFC 8991), as actors around pure cores.
//!
//! Reading order: [`wire`] turns bytes into messages, `protocol` decides, `actors` move, [`api`](crate) is what an
//! Autonomic Service Agent calls.

pub mod constants;
pub mod error;
pub mod hex;
pub mod protocol;
pub mod wire;
