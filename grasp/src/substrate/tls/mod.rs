//! Mutual TLS 1.3 with domain certificates: the profile of RFC 8994 §6.9.2 and §6.1 for unicast GRASP, and the same protection for
//! the connections between neighbours.
//!
//! Reading order: `node_name` and `certificate` read what a certificate says, `membership` decides who belongs to the domain
//! (RFC 8994 §6.2.3), `credentials` turns files into what a node needs, `state` holds it and replaces it on a reload, `handshake` and
//! `stream` move bytes.
//!
//! Only TLS 1.3 is spoken. RFC 8994 §6.1 requires TLS 1.2 beside it for nodes whose stacks are old; there it would hide neither the
//! certificates nor keep the rules for resumption as short as they are here. Keys on P-521, which §6.2.1 recommends, are not
//! supported by the arithmetic underneath.
//!
//! No ALPN is offered or demanded, since neither RFC gives GRASP a name there; a foreign node that offers one is served all the
//! same. No server name is sent: the group is the authority, not a host. Sessions are resumed with a fresh key exchange, and
//! nothing is sent before the handshake ends, so that nothing can be replayed.

mod bounded;
mod calendar;
mod certificate;
mod counts;
mod credentials;
mod handshake;
mod membership;
pub mod node_name;
mod state;
mod stream;
mod tickets;
mod verifier;

pub use certificate::{KeyFault, NameFault};
pub use credentials::{Credentials, CredentialsError, Fault, File};
pub use membership::Refusal;

use super::{Carrier, Secured, Standing, Substrate};
use crate::net::ByteStream;
use crate::protocol::LinkId;
use calendar::{DAY, rfc3339};
use futures_util::future::BoxFuture;
use state::Shared;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Bytes of the longest discovery or flood. A connection has no natural limit (RFC 8990 §2.5.3 speaks of datagrams only); with this
/// one the messages that wait for a slow neighbour stay below 4 MB.
pub const MULTICAST_SIZE: usize = 32_768;

/// Reads the wall clock.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What can be set about the substrate.
#[derive(Clone)]
pub struct Settings {
    /// The wall clock.
    pub clock: Now,
    /// How long before the end of a certificate there is a warning.
    pub warn_before: Duration,
    /// Sessions that are remembered to be resumed, as server and as client each; the oldest makes room. With 0 every
    /// handshake is a full one.
    pub sessions: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { clock: Arc::new(SystemTime::now), warn_before: Duration::from_secs(30 * DAY), sessions: 4_096 }
    }
}

/// The substrate `tls`. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct TlsSubstrate(Arc<Shared>);

impl TlsSubstrate {
    /// A substrate of the members of the domain that the credentials name.
    ///
    /// # Errors
    ///
    /// A key or certificate that TLS cannot use, or that has ended since it was read.
    pub fn new(credentials: Credentials, settings: Settings) -> Result<Self, CredentialsError> {
        Ok(Self(Arc::new(Shared::new(credentials, settings)?)))
    }

    /// Replaces certificate, key, anchors and revocation lists at once. Remembered sessions are forgotten. Open connections go on,
    /// as long as their peers are members by the new credentials; the others end at their next read or write.
    ///
    /// # Errors
    ///
    /// As for [`TlsSubstrate::new`]; the old credentials stay in force then.
    pub fn reload(&self, credentials: Credentials) -> Result<(), CredentialsError> {
        self.0.replace(credentials)
    }
}

impl Substrate for TlsSubstrate {
    fn name(&self) -> &'static str {
        "tls"
    }

    fn is_secure(&self) -> bool {
        true
    }

    /// Not while this node's own certificate is not valid: then it is no member (RFC 8994 §6.2.5.5), and calls fail with `#16`
    /// until a reload brings a new one.
    fn is_ready(&self) -> bool {
        self.0.current().check_own(self.0.now()).is_ok()
    }

    fn carrier(&self) -> Carrier {
        Carrier::Connections
    }

    fn multicast_size(&self) -> usize {
        MULTICAST_SIZE
    }

    /// Never used: nothing travels as a datagram.
    fn seal(&self, _: LinkId, _: Vec<u8>) -> Vec<u8> {
        Vec::new()
    }

    /// A datagram proves nothing about its sender.
    fn open(&self, _: LinkId, _: Vec<u8>) -> Option<Vec<u8>> {
        None
    }

    fn connect(&self, stream: ByteStream, to: SocketAddr) -> BoxFuture<'static, io::Result<Secured>> {
        Box::pin(handshake::connect(self.0.clone(), stream, to))
    }

    fn accept(&self, stream: ByteStream) -> BoxFuture<'static, io::Result<Secured>> {
        Box::pin(handshake::accept(self.0.clone(), stream))
    }

    fn standing(&self) -> Standing {
        let (current, now) = (self.0.current(), self.0.now());
        let parts = current.credentials.parts();
        let anchors: Vec<_> = parts.anchors.iter().map(|one| one.subject.as_str()).collect();
        let revoked: usize = parts.lists.iter().map(|list| list.revoked).sum();
        let facts = [
            ("names", current.credentials.names().join(", ")),
            ("domain", parts.name.domain.clone()),
            ("serial", parts.contents.serial.clone()),
            ("certificate valid until", rfc3339(current.own_valid().1)),
            ("trust anchors", anchors.join("; ")),
            ("revoked certificates", revoked.to_string()),
        ];
        Standing {
            caveat: None,
            facts: facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect(),
            warnings: state::warnings(&current, now, self.0.settings.warn_before.as_secs()),
        }
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.0.counts.read()
    }
}
