//! The links and addresses of the node, as the kernel or the fabric reported them last.

use crate::wire::Locator;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An interface, by its index; 0 stands for no interface.
pub type LinkId = u32;

/// One link that GRASP uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkInfo {
    /// Interface index.
    pub id: LinkId,
    /// The node's link-local address there.
    pub address: Ipv6Addr,
}

/// What the node knows of its own place in the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// The links that are up.
    pub links: Vec<LinkInfo>,
    /// The node's address in the domain: unique local or global.
    pub global: Option<Ipv6Addr>,
    /// TCP port of unicast requests.
    pub port: u16,
    /// Whether that port will be the same after a restart.
    pub stable_port: bool,
}

impl Topology {
    /// The initiator address for a message sent on `link` (RFC 8990 §2.8.4).
    #[must_use]
    pub fn initiator(&self, link: &LinkInfo) -> Ipv6Addr {
        self.global.unwrap_or(link.address)
    }

    /// Finds a link that is up.
    #[must_use]
    pub fn link(&self, id: LinkId) -> Option<&LinkInfo> {
        self.links.iter().find(|link| link.id == id)
    }
}

/// The socket address behind a locator over TCP; link-local ones get the interface as their scope.
///
/// `None` for names, URIs and UDP.
#[must_use]
pub fn reach(locator: &Locator, interface: LinkId) -> Option<SocketAddr> {
    match locator {
        Locator::Ipv6 { address, transport: crate::wire::Transport::Tcp, port } => {
            let scope = if address.is_unicast_link_local() { interface } else { 0 };
            Some(SocketAddrV6::new(*address, *port, 0, scope).into())
        }
        Locator::Ipv4 { address, transport: crate::wire::Transport::Tcp, port } => {
            Some(SocketAddr::new(IpAddr::V4(*address), *port))
        }
        Locator::Ipv6 { .. }
        | Locator::Ipv4 { .. }
        | Locator::Fqdn { .. }
        | Locator::Uri { .. }
        | Locator::Other { .. } => None,
    }
}
