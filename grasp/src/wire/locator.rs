//! Locator options: where an objective can be reached (RFC 8990 §2.9.5).

use super::scan::Element;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Option numbers of the locators (RFC 8990 §2.9.5); note that 103 is IPv6 and 104 is IPv4.
pub(super) const IPV6: u64 = 103;
pub(super) const IPV4: u64 = 104;
pub(super) const FQDN: u64 = 105;
pub(super) const URI: u64 = 106;

/// Transport protocol of a locator (RFC 8990 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// IPPROTO_TCP, 6.
    Tcp,
    /// IPPROTO_UDP, 17.
    Udp,
}

impl Transport {
    /// The IANA protocol number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    fn from_number(n: u64) -> Option<Self> {
        match n {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }
}

/// One locator option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locator {
    /// `O_IPv6_LOCATOR` (103).
    Ipv6 {
        /// Global or unique-local address; link-local only for local objectives.
        address: Ipv6Addr,
        /// Protocol to use.
        transport: Transport,
        /// Port, 0 to 65535.
        port: u16,
    },
    /// `O_IPv4_LOCATOR` (104).
    Ipv4 {
        /// Address.
        address: Ipv4Addr,
        /// Protocol to use.
        transport: Transport,
        /// Port, 0 to 65535.
        port: u16,
    },
    /// `O_FQDN_LOCATOR` (105).
    Fqdn {
        /// Fully qualified domain name.
        name: String,
        /// Protocol to use.
        transport: Transport,
        /// Port, 0 to 65535.
        port: u16,
    },
    /// `O_URI_LOCATOR` (106).
    Uri {
        /// The URI.
        uri: String,
        /// Protocol, or null if the URI tells.
        transport: Option<Transport>,
        /// Port, or null if the URI tells.
        port: Option<u16>,
    },
    /// `O_IPv6_LOCATOR` or `O_IPv4_LOCATOR` of another protocol, as RFC 8995 §4.3 floods them; read in floods only.
    ///
    /// RFC 8990 §4 knows TCP and UDP alone, so this node neither connects to one nor takes it from a response (G-FRM-17).
    Other {
        /// Address.
        address: IpAddr,
        /// The IANA protocol number, neither 6 nor 17; 41 is IPv6 in IPv6.
        protocol: u8,
        /// Port, or null for a protocol without any.
        port: Option<u16>,
    },
}

impl Locator {
    /// An IPv6 or IPv4 locator over TCP.
    #[must_use]
    pub fn tcp(address: IpAddr, port: u16) -> Self {
        match address {
            IpAddr::V6(address) => Self::Ipv6 { address, transport: Transport::Tcp, port },
            IpAddr::V4(address) => Self::Ipv4 { address, transport: Transport::Tcp, port },
        }
    }

    /// The IP address, if this locator holds one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Ipv6 { address, .. } => Some((*address).into()),
            Self::Ipv4 { address, .. } => Some((*address).into()),
            Self::Other { address, .. } => Some(*address),
            Self::Fqdn { .. } | Self::Uri { .. } => None,
        }
    }

    /// The port, if one is given.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ipv6 { port, .. } | Self::Ipv4 { port, .. } | Self::Fqdn { port, .. } => Some(*port),
            Self::Uri { port, .. } | Self::Other { port, .. } => *port,
        }
    }

    /// Tells whether the address means something on one link only (RFC 8990 §2.9.5.1; 169.254/16 for IPv4).
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        match self {
            Self::Ipv6 { address, .. } => address.is_unicast_link_local(),
            Self::Ipv4 { address, .. } => address.is_link_local(),
            Self::Other { address: IpAddr::V6(address), .. } => address.is_unicast_link_local(),
            Self::Other { address: IpAddr::V4(address), .. } => address.is_link_local(),
            Self::Fqdn { .. } | Self::Uri { .. } => false,
        }
    }

    /// The IANA number of its protocol, if one is given.
    #[must_use]
    pub fn protocol(&self) -> Option<u8> {
        match self {
            Self::Ipv6 { transport, .. } | Self::Ipv4 { transport, .. } | Self::Fqdn { transport, .. } => {
                Some(transport.number())
            }
            Self::Uri { transport, .. } => transport.map(Transport::number),
            Self::Other { protocol, .. } => Some(*protocol),
        }
    }

    /// Reads the locator of a flooded objective: as elsewhere, or an IP address with another protocol (RFC 8995 §4.3), so that
    /// the objectives beside it are not lost.
    pub(super) fn read_tag(option: Element<'_>) -> Option<Self> {
        Self::read(option).or_else(|| Self::read_other(option))
    }

    fn read_other(option: Element<'_>) -> Option<Self> {
        let mut elements = option.elements()?;
        let number = elements.next()?.unsigned()?;
        let (subject, protocol, port) = (elements.next()?, elements.next()?, elements.next()?);
        if elements.next().is_some() {
            return None;
        }
        let bytes = subject.byte_string()?;
        let address = match number {
            IPV6 => <[u8; 16]>::try_from(&bytes[..]).ok()?.into(),
            IPV4 => <[u8; 4]>::try_from(&bytes[..]).ok()?.into(),
            _ => return None,
        };
        let protocol = protocol.unsigned().filter(|number| Transport::from_number(*number).is_none())?;
        let port = if port.is_null() { None } else { Some(u16::try_from(port.unsigned()?).ok()?) };
        Some(Self::Other { address, protocol: u8::try_from(protocol).ok()?, port })
    }

    /// Reads a locator option; `None` if it is none, or one outside the CDDL.
    pub(super) fn read(option: Element<'_>) -> Option<Self> {
        let mut elements = option.elements()?;
        let number = elements.next()?.unsigned()?;
        let (subject, transport, port) = (elements.next()?, elements.next()?, elements.next()?);
        if elements.next().is_some() {
            return None;
        }
        let proto = || Transport::from_number(transport.unsigned()?);
        let numbered = || u16::try_from(port.unsigned()?).ok();
        match number {
            IPV6 => {
                let bytes: [u8; 16] = subject.byte_string()?[..].try_into().ok()?;
                Some(Self::Ipv6 { address: bytes.into(), transport: proto()?, port: numbered()? })
            }
            IPV4 => {
                let bytes: [u8; 4] = subject.byte_string()?[..].try_into().ok()?;
                Some(Self::Ipv4 { address: bytes.into(), transport: proto()?, port: numbered()? })
            }
            FQDN => Some(Self::Fqdn { name: subject.text()?, transport: proto()?, port: numbered()? }),
            URI => Some(Self::Uri {
                uri: subject.text()?,
                transport: if transport.is_null() { None } else { Some(proto()?) },
                port: if port.is_null() { None } else { Some(numbered()?) },
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv6 { address, port, .. } => write!(f, "[{address}]:{port}"),
            Self::Ipv4 { address, port, .. } => write!(f, "{address}:{port}"),
            Self::Fqdn { name, port, .. } => write!(f, "{name}:{port}"),
            Self::Uri { uri, .. } => f.write_str(uri),
            Self::Other { address: IpAddr::V6(address), port: Some(port), .. } => write!(f, "[{address}]:{port}"),
            Self::Other { address: IpAddr::V4(address), port: Some(port), .. } => write!(f, "{address}:{port}"),
            Self::Other { address, port: None, .. } => write!(f, "{address}"),
        }
    }
}
