//! The objectives by which the infrastructure of an autonomic network finds itself: `AN_ACP` and `SRV.est` (RFC 8994),
//! `AN_Proxy` and `AN_join_registrar` (RFC 8995). Pure.
//!
//! Names are compared byte by byte: `AN_proxy`, as the demos of graspy spell it, is another objective (ASA-I-07).

mod explain;
mod method;

pub use explain::{Sight, oddities, purpose};
pub use method::{DTLS, GRASP_TLS, IKEV2, Offer, OfferError, is_method_name};

use crate::wire::{Flags, Locator, Objective, Transport, Value};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Least and usual time between two floods of the same announcement (RFC 8994 §6.2.5.1, §6.4; RFC 8995 §4.3).
pub const PERIOD: Duration = Duration::from_secs(60);
/// The protocols of a registrar that every proxy understands (RFC 8995 §4.3).
pub const EST_TLS: &str = "EST-TLS";

/// One of the objectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `AN_ACP`: a candidate neighbour of the ACP on the link, by DULL (RFC 8994 §6.4).
    AnAcp,
    /// `AN_Proxy`: a join proxy on the link, by DULL (RFC 8995 §4.1.1).
    AnProxy,
    /// `AN_join_registrar`: a registrar in the ACP, for proxies (RFC 8995 §4.3).
    AnJoinRegistrar,
    /// `SRV.est`: a server that renews certificates, in the ACP (RFC 8994 §6.2.5.1).
    SrvEst,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AnAcp, Self::AnProxy, Self::AnJoinRegistrar, Self::SrvEst];

    /// The one of this name, byte by byte.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnAcp => "AN_ACP",
            Self::AnProxy => "AN_Proxy",
            Self::AnJoinRegistrar => "AN_join_registrar",
            Self::SrvEst => "SRV.est",
        }
    }

    /// Whether it belongs to the insecure service of a link.
    #[must_use]
    pub const fn is_dull(self) -> bool {
        matches!(self, Self::AnAcp | Self::AnProxy)
    }

    /// The loop count of its floods as they begin.
    #[must_use]
    pub const fn loop_count(self) -> u8 {
        if self.is_dull() { 1 } else { 255 }
    }

    /// The lifetime of its floods in milliseconds: 3.5 periods in RFC 8994, 3 in RFC 8995.
    #[must_use]
    pub const fn ttl(self) -> u32 {
        match self {
            Self::AnAcp | Self::SrvEst => 210_000,
            Self::AnProxy | Self::AnJoinRegistrar => 180_000,
        }
    }

    /// The objective without a value; its only flag is that of synchronization.
    #[must_use]
    pub fn objective(self) -> Objective {
        let objective = Objective::synchronization(self.name()).with_loop_count(self.loop_count());
        // It is not to be discovered.
        Objective { flags: Flags::SYNCH, ..objective }
    }
}

/// An objective with its locator, as [`Asa::flood`](crate::Asa::flood) takes them.
pub type Tagged = (Objective, Option<Locator>);

/// `AN_ACP` for each method: its offer, and where it is to be had on each link; nothing for a method that has a port of its own,
/// as IKEv2 has. Flooded together, with [`Kind::ttl`], every [`PERIOD`] (RFC 8994 §6.4).
#[must_use]
pub fn an_acp<'a>(methods: impl IntoIterator<Item = (&'a Offer, Option<(Transport, u16)>)>) -> Vec<Tagged> {
    let one = |(offer, at): (&Offer, Option<(Transport, u16)>)| {
        (Kind::AnAcp.objective().with_value(offer.value()), at.map(|(transport, port)| own(transport, port)))
    };
    methods.into_iter().map(one).collect()
}

/// `AN_Proxy`: this node passes on to a registrar what comes to the port (RFC 8995 §4.1.1).
#[must_use]
pub fn an_proxy(transport: Transport, port: u16) -> Tagged {
    (Kind::AnProxy.objective().with_value(text("")), Some(own(transport, port)))
}

/// `AN_join_registrar`: a registrar at an address of the ACP, with its protocols such as [`EST_TLS`] (RFC 8995 §4.3).
///
/// TCP must be among the announced ones; others, such as 41 without a port, come as objectives of their own.
#[must_use]
pub fn an_join_registrar(protocols: &str, at: Locator) -> Tagged {
    (Kind::AnJoinRegistrar.objective().with_value(text(protocols)), Some(at))
}

/// `SRV.est`: a server that renews certificates, at an address of the ACP; the value says nothing (RFC 8994 §6.2.5.1).
#[must_use]
pub fn srv_est(address: Ipv6Addr, port: u16) -> Tagged {
    (Kind::SrvEst.objective().with_value(Value::null()), Some(Locator::tcp(address.into(), port)))
}

/// What `AN_join_registrar` says of a registrar's protocols; `None` if it is no text. What is unknown in it is to be ignored.
#[must_use]
pub fn registrar_protocols(value: &Value) -> Option<String> {
    value.decode::<String>().ok()
}

/// Where what is announced is to be found: IPv6 address, protocol number, and port unless the protocol has none.
///
/// Without a locator it is at the initiator, at the port that the protocol is known to have. `None` if the locator is none that
/// this objective may have: one of `AN_ACP` and `AN_Proxy` is the initiator's link-local address (RFC 8994 §6.4, RFC 8995
/// §4.1.1), all are IPv6.
#[must_use]
pub fn place(kind: Kind, initiator: IpAddr, locator: Option<&Locator>) -> Option<Place> {
    let IpAddr::V6(from) = initiator else { return None };
    let Some(locator) = locator else { return Some(Place { address: from, protocol: None, port: None }) };
    let IpAddr::V6(address) = locator.address()? else { return None };
    if kind.is_dull() && (address != from || !address.is_unicast_link_local()) {
        return None;
    }
    Some(Place { address, protocol: locator.protocol(), port: locator.port() })
}

/// See [`place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub address: Ipv6Addr,
    /// IANA protocol number; `None` if there is no locator.
    pub protocol: Option<u8>,
    /// Port; `None` for a protocol without any, or if there is no locator.
    pub port: Option<u16>,
}

/// `::` stands for the address of each link.
fn own(transport: Transport, port: u16) -> Locator {
    Locator::Ipv6 { address: Ipv6Addr::UNSPECIFIED, transport, port }
}

fn text(text: &str) -> Value {
    // Text is always CBOR.
    Value::item(text).unwrap_or_else(|_| Value::null())
}
