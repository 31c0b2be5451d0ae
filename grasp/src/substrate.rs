//! Who may hear and be heard: the security and transport substrate under GRASP (RFC 8990 §2.5.1).

use crate::net::ByteStream;
use crate::protocol::LinkId;
use futures_util::future::BoxFuture;
use std::io;

/// The secure environment of one GRASP instance; every byte to or from the network passes through it.
pub trait Substrate: Send + Sync {
    /// Name as in the manifest and in status.
    fn name(&self) -> &'static str;

    /// Whether members are authenticated and messages protected.
    fn is_secure(&self) -> bool;

    /// Whether GRASP may speak and listen now; if not, calls fail with `#16`.
    fn is_ready(&self) -> bool;

    /// Prepares a multicast for a link.
    fn seal(&self, link: LinkId, message: Vec<u8>) -> Vec<u8>;

    /// Gives back the message of a received multicast; `None` if it does not come from a member.
    fn open(&self, link: LinkId, datagram: Vec<u8>) -> Option<Vec<u8>>;

    /// Protects a connection that this node has opened.
    fn connect(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<ByteStream>>;

    /// Protects a connection that this node has accepted.
    fn accept(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<ByteStream>>;
}

/// No protection at all, for laboratories; an explicit choice, logged and shown in status.
#[derive(Debug, Clone, Copy, Default)]
pub struct InsecureLab;

/// No substrate is configured: the node neither sends nor listens (RFC 8990 §2.2, §3).
#[derive(Debug, Clone, Copy, Default)]
pub struct Unprotected;

macro_rules! pass_through {
    ($substrate:ty, $name:literal, $ready:literal) => {
        impl Substrate for $substrate {
            fn name(&self) -> &'static str {
                $name
            }

            fn is_secure(&self) -> bool {
                false
            }

            fn is_ready(&self) -> bool {
                $ready
            }

            fn seal(&self, _: LinkId, message: Vec<u8>) -> Vec<u8> {
                message
            }

            fn open(&self, _: LinkId, datagram: Vec<u8>) -> Option<Vec<u8>> {
                $ready.then_some(datagram)
            }

            fn connect(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<ByteStream>> {
                Box::pin(async { if $ready { Ok(stream) } else { Err(io::ErrorKind::PermissionDenied.into()) } })
            }

            fn accept(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<ByteStream>> {
                self.connect(stream)
            }
        }
    };
}

pass_through!(InsecureLab, "insecure-lab", true);
pass_through!(Unprotected, "none", false);
