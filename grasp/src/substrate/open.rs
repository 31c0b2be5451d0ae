//! The substrates that protect nothing.

use super::{Secured, Substrate};
use crate::net::ByteStream;
use crate::protocol::LinkId;
use futures_util::future::BoxFuture;
use std::io;
use std::net::SocketAddr;

/// No protection at all, for laboratories; an explicit choice, logged and shown in status.
#[derive(Debug, Clone, Copy, Default)]
pub struct InsecureLab;

/// No substrate is configured: the node neither sends nor listens (RFC 8990 §2.2, §3).
#[derive(Debug, Clone, Copy, Default)]
pub struct Unprotected;

/// Under a DULL instance, which is insecure by its nature and confined to one link by its rules (RFC 8990 §2.5.2).
#[derive(Debug, Clone, Copy, Default)]
pub struct Dull;

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

            fn connect(&self, stream: ByteStream, _: SocketAddr) -> BoxFuture<'static, io::Result<Secured>> {
                self.accept(stream)
            }

            fn accept(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<Secured>> {
                let secured = Secured { stream, member: None };
                Box::pin(async { if $ready { Ok(secured) } else { Err(io::ErrorKind::PermissionDenied.into()) } })
            }
        }
    };
}

pass_through!(InsecureLab, "insecure-lab", true);
pass_through!(Unprotected, "none", false);
pass_through!(Dull, "dull", true);
