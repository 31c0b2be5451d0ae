//! Who may hear and be heard: the security and transport substrate under GRASP (RFC 8990 §2.5.1).

mod open;
pub mod quads;
pub mod tls;

pub use open::{Dull, InsecureLab, Unprotected};
pub use quads::Quads;

use crate::constants::MAX_MULTICAST_SIZE;
use crate::net::ByteStream;
use crate::protocol::{LinkId, Member};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

/// The secure environment of one GRASP instance; every byte to or from the network passes through it.
pub trait Substrate: Send + Sync {
    /// Name as in the manifest and in status.
    fn name(&self) -> &'static str;

    /// Whether members are authenticated and messages protected against reading, forging and replay.
    fn is_secure(&self) -> bool;

    /// Whether GRASP may speak and listen now; if not, calls fail with `#16`.
    fn is_ready(&self) -> bool;

    /// How discoveries and floods travel between neighbours.
    fn carrier(&self) -> Carrier {
        Carrier::Multicast
    }

    /// Bytes of the longest discovery or flood.
    fn multicast_size(&self) -> usize {
        MAX_MULTICAST_SIZE
    }

    /// Messages of so many bytes may come on connections from now on: an objective with such messages was registered.
    fn expect_size(&self, _size: usize) {}

    /// Prepares a multicast for a link.
    fn seal(&self, link: LinkId, message: Vec<u8>) -> Vec<u8>;

    /// Gives back the message of a received multicast; `None` if it does not come from a member.
    fn open(&self, link: LinkId, datagram: Vec<u8>) -> Option<Vec<u8>>;

    /// Protects a connection that this node has opened to `to`.
    fn connect(&self, stream: ByteStream, to: SocketAddr) -> BoxFuture<'static, io::Result<Secured>>;

    /// Protects a connection that this node has accepted.
    fn accept(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<Secured>>;

    /// What there is to say about it, for status.
    fn standing(&self) -> Standing {
        Standing::default()
    }

    /// Counters by name.
    fn counters(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// How discoveries and floods travel (RFC 8990 §2.5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// As link-local UDP multicasts.
    Multicast,
    /// As copies on connections to the members at the other ends of a link, found there by DULL floods (RFC 8994 §6.9.2).
    Connections,
}

/// A protected connection.
pub struct Secured {
    /// What is written is protected, what is read comes from the peer. Writing no bytes passes through (see [`Stream`](crate::net::Stream)).
    pub stream: ByteStream,
    /// Who the peer is; `None` if the substrate cannot tell one member from another.
    pub member: Option<Member>,
}

/// How a substrate stands, for whoever operates the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// What it does not promise although one might think so, in a few words.
    pub caveat: Option<&'static str>,
    /// What is good to know, by name: names of this node, end of its certificate.
    pub facts: BTreeMap<String, String>,
    /// What somebody should do something about.
    pub warnings: Vec<String>,
}
