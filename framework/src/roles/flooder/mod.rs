//! Floods an objective from time to time, and serves it to those who ask (RFC 8990 §2.5.6).

mod actor;
mod core;

pub use actor::{Content, Flooder, FlooderArgs};
pub use core::{FlooderCore, Input, Output, Plan};
