//! Which offers are fit to be taken.

use crate::prefix::{Family, Prefix, Want};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the operator lets this node take. Private IPv4 and unique local IPv6 space is always allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Aggregates: every prefix, of either family, has to be in one of them. If there are none, any prefix will do.
    pub permitted: Vec<Prefix>,
    /// The shortest lengths.
    pub shortest: Shortest,
    /// Whether documentation prefixes are allowed, as laboratories have them.
    pub documentation: bool,
}

/// The shortest prefix lengths that are taken: no peer gives away more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shortest {
    /// IPv4, 0 to 32.
    #[serde(rename = "ipv4")]
    pub v4: u8,
    /// IPv6, 0 to 128.
    #[serde(rename = "ipv6")]
    pub v6: u8,
}

impl Default for Shortest {
    /// The size of private network 10 (RFC 1918), and a 65536th of all IPv6.
    fn default() -> Self {
        Self { v4: 8, v6: 16 }
    }
}

impl Shortest {
    /// That of a family.
    #[must_use]
    pub const fn of(self, family: Family) -> u8 {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// Space that is not for handing out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Special {
    /// No address at all, and "this network" (RFC 1122).
    Unspecified,
    /// The node itself.
    Loopback,
    /// One link.
    LinkLocal,
    /// Groups.
    Multicast,
    /// All nodes of an IPv4 link.
    Broadcast,
    /// IPv4 addresses written as IPv6 addresses.
    Ipv4Mapped,
    /// Examples in documents (RFC 3849, RFC 9637, RFC 5737).
    Documentation,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Ipv4Mapped => "IPv4-mapped",
            Self::Documentation => "documentation",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(a: u16, b: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0))
}

/// The registries of special-purpose addresses (RFC 6890), as far as they hold what no node may ever be given.
const SPECIAL: [(IpAddr, u8, Special); 15] = [
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128, Special::Unspecified),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128, Special::Loopback),
    (IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0)), 96, Special::Ipv4Mapped),
    (v6(0xfe80, 0), 10, Special::LinkLocal),
    (v6(0xff00, 0), 8, Special::Multicast),
    (v6(0x2001, 0xdb8), 32, Special::Documentation),
    (v6(0x3fff, 0), 20, Special::Documentation),
    (v4(0, 0, 0, 0), 8, Special::Unspecified),
    (v4(127, 0, 0, 0), 8, Special::Loopback),
    (v4(169, 254, 0, 0), 16, Special::LinkLocal),
    (v4(224, 0, 0, 0), 4, Special::Multicast),
    (v4(255, 255, 255, 255), 32, Special::Broadcast),
    (v4(192, 0, 2, 0), 24, Special::Documentation),
    (v4(198, 51, 100, 0), 24, Special::Documentation),
    (v4(203, 0, 113, 0), 24, Special::Documentation),
];

/// Why an offered prefix is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// It is special-purpose space, or has some in it.
    #[error("{offer} overlaps the {special} prefix {with}")]
    Special {
        /// The offer.
        offer: Prefix,
        /// What it overlaps.
        with: Prefix,
        /// What that is.
        special: Special,
    },
    /// It is larger than the operator lets this node take.
    #[error("{offer} is shorter than the configured bound of /{shortest}")]
    TooShort {
        /// The offer.
        offer: Prefix,
        /// The bound of its family.
        shortest: u8,
    },
    /// It is in none of the operator's aggregates.
    #[error("{offer} is outside the permitted aggregates")]
    NotPermitted {
        /// The offer.
        offer: Prefix,
    },
}

impl Limits {
    /// Says whether a prefix may be taken from a peer, whoever asked for it and whatever this node has already.
    ///
    /// # Errors
    ///
    /// [`Implausible`] names the reason.
    pub fn check(&self, offer: &Prefix) -> Result<(), Implausible> {
        let offer = *offer;
        let special = |touches: fn(&Prefix, &Prefix) -> bool| {
            SPECIAL
                .iter()
                .filter(|(_, _, special)| !(self.documentation && *special == Special::Documentation))
                .filter_map(|(address, length, special)| Some((Prefix::of(*address, *length)?, *special)))
                .find(|(with, _)| touches(with, &offer))
                .map_or(Ok(()), |(with, special)| Err(Implausible::Special { offer, with, special }))
        };
        // What lies inside special space is called by its name; of what is far too large, the size is the reason.
        special(Prefix::contains)?;
        let shortest = self.shortest.of(offer.family());
        if offer.length() < shortest {
            return Err(Implausible::TooShort { offer, shortest });
        }
        special(Prefix::overlaps)?;
        if !self.permitted.is_empty() && !self.permitted.iter().any(|aggregate| aggregate.contains(&offer)) {
            return Err(Implausible::NotPermitted { offer });
        }
        Ok(())
    }
}

/// Says whether an offer is an answer to what was asked (RFC 8992 section 4.1).
///
/// A prefix of the length asked for or a shorter one always is. A longer one is if it still covers the present need: if
/// it is no longer than `flexible`, the longest length that does; `None` accepts nothing longer than asked. Another
/// family never is.
///
/// # Errors
///
/// A reason that is fit for the decline.
pub fn acceptable(asked: Want, offered: &Prefix, flexible: Option<u8>) -> Result<(), String> {
    let offer = offered.want();
    if offer.family != asked.family {
        return Err(format!("asked for {asked}, offered {offer}: another address family"));
    }
    if offer.length <= flexible.map_or(asked.length, |longest| longest.max(asked.length)) {
        return Ok(());
    }
    Err(match flexible {
        Some(longest) if longest > asked.length => {
            format!("insufficient offer: asked for {asked}, offered {offer}, and /{longest} is the least that helps")
        }
        _ => format!("insufficient offer: asked for {asked}, offered {offer}"),
    })
}
