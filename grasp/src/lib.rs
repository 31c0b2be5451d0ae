//! GRASP: the GeneRic Autonomic Signaling Protocol (RFC 8990) and its API (RFC 8991), as actors around pure cores.
//!
//! Reading order: [`wire`] turns bytes into messages, [`protocol`] decides, the actors around it move ([`shell`] is what they
//! share), [`api`] is what an Autonomic Service Agent calls.

mod actors;
pub mod api;
pub mod config;
pub mod constants;
pub mod error;
pub mod hex;
pub mod infrastructure;
pub mod net;
pub mod protocol;
pub mod recorder;
pub mod shell;
pub mod substrate;
pub mod wire;

pub use api::{Asa, Grasp, Negotiated, Session, Status, Step};
pub use config::{Failure, Interfaces, NodeConfig, OnFailure};
pub use error::{Error, ErrorCode, StreamEnd};
pub use protocol::registry::Registration;
pub use protocol::session::Farewell;
pub use protocol::{AsaHandle, AsaLocator, Rapid};
pub use wire::{Locator, Objective, Value};
