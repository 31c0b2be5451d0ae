//! A message that came from a link, as the cores for discovery and flooding hear it.

use super::LinkId;
use crate::wire::Message;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A decoded message with its bytes and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Where; 0 for no link.
    pub link: LinkId,
    /// Transport source.
    pub source: SocketAddr,
    /// The message as it came.
    #[serde(with = "crate::hex::text")]
    pub raw: Vec<u8>,
    /// The message.
    pub message: Message,
    /// Whoever sent it may ask who supports the objective, but not for its value.
    #[serde(default)]
    pub restricted: bool,
}
