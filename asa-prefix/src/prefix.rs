//! Prefixes: blocks of IPv6 or IPv4 addresses.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address family, with the number that stands for it on the wire (RFC 8992 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Bits of an address, which is also the longest prefix length.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// What is wanted: any prefix of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Want {
    /// The family.
    pub family: Family,
    /// Prefix length, 0 to [`Family::bits`].
    pub length: u8,
}

impl Want {
    /// What is wanted, if there is such a length.
    #[must_use]
    pub fn new(family: Family, length: u8) -> Option<Self> {
        (length <= family.bits()).then_some(Self { family, length })
    }

    /// Addresses in it, at most `u128::MAX` (which stands for `::/0`, one more than can be counted).
    #[must_use]
    pub fn measure(self) -> u128 {
        measure(self.family, self.length)
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /{}", self.family, self.length)
    }
}

/// A length beyond the family's, which [`Want`]'s open fields allow, counts as the longest.
fn measure(family: Family, length: u8) -> u128 {
    1_u128.checked_shl(u32::from(family.bits().saturating_sub(length))).unwrap_or(u128::MAX)
}

/// A prefix without any bit set beyond its length.
///
/// Ordered by family, address and length: what contains another stands before it, and nothing that is disjoint from both
/// stands between.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "IpNet", into = "IpNet")]
pub struct Prefix(IpNet);

/// A prefix has bits beyond its length, or its length is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PrefixError(String);

impl TryFrom<IpNet> for Prefix {
    type Error = PrefixError;

    fn try_from(net: IpNet) -> Result<Self, PrefixError> {
        if net == net.trunc() {
            return Ok(Self(net));
        }
        Err(PrefixError(format!("{net} has bits beyond its length; {} has none", net.trunc())))
    }
}

impl From<Prefix> for IpNet {
    fn from(prefix: Prefix) -> Self {
        prefix.0
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `2001:db8::/32`; an address alone is one of full length.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let wrong = || PrefixError(format!("{text:?} is no prefix such as 2001:db8::/32 or 10.0.0.0/8"));
        match text.parse::<IpNet>() {
            Ok(net) => Self::try_from(net),
            Err(_) => text.parse::<IpAddr>().map(|address| Self(address.into())).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Prefix {
    /// The one that stands before all others.
    pub const LOWEST: Self = Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)));

    /// The prefix of this length that an address is in; `None` if there is no such length.
    #[must_use]
    pub fn of(address: IpAddr, length: u8) -> Option<Self> {
        IpNet::new(address, length).ok().map(|net| Self(net.trunc()))
    }

    /// The prefix of this family that begins at an address given as a number.
    fn at(family: Family, address: u128, length: u8) -> Option<Self> {
        let net: IpNet = match family {
            Family::V4 => Ipv4Net::new(Ipv4Addr::from(u32::try_from(address).ok()?), length).ok()?.into(),
            Family::V6 => Ipv6Net::new(Ipv6Addr::from(address), length).ok()?.into(),
        };
        Self::try_from(net).ok()
    }

    /// The prefix of this family and length that an address given as a number is in; whatever is out of range counts as
    /// the highest that there is.
    pub(crate) fn clamped(family: Family, address: u128, length: u8) -> Self {
        let length = length.min(family.bits());
        Self(match family {
            Family::V4 => {
                let address = Ipv4Addr::from(u32::try_from(address).unwrap_or(u32::MAX));
                Ipv4Net::new(address, length).unwrap_or_default().trunc().into()
            }
            Family::V6 => Ipv6Net::new(Ipv6Addr::from(address), length).unwrap_or_default().trunc().into(),
        })
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        match self.0 {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        }
    }

    /// The length in bits.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.0.prefix_len()
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    /// The first address as a number: IPv4 addresses are below 2^32.
    #[must_use]
    pub fn number(&self) -> u128 {
        match self.0 {
            IpNet::V4(net) => u32::from(net.addr()).into(),
            IpNet::V6(net) => net.addr().into(),
        }
    }

    /// The last address as a number.
    #[must_use]
    pub fn last_number(&self) -> u128 {
        self.number() | self.measure_wrapping().wrapping_sub(1)
    }

    /// Addresses in it modulo 2^128: 0 for `::/0`.
    pub(crate) fn measure_wrapping(&self) -> u128 {
        1_u128.checked_shl(u32::from(self.family().bits() - self.length())).unwrap_or(0)
    }

    /// Any prefix of the same size.
    #[must_use]
    pub fn want(&self) -> Want {
        Want { family: self.family(), length: self.length() }
    }

    /// Addresses in it, at most `u128::MAX` (which stands for `::/0`, one more than can be counted).
    #[must_use]
    pub fn measure(&self) -> u128 {
        measure(self.family(), self.length())
    }

    /// Whether another one is in it, or is the same.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            (IpNet::V4(outer), IpNet::V4(inner)) => outer.contains(&inner),
            (IpNet::V6(outer), IpNet::V6(inner)) => outer.contains(&inner),
            _ => false,
        }
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether they share an address: then one contains the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// The prefix one bit shorter that this is a half of; `None` for length 0.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.supernet().map(Self)
    }

    /// The lower and the upper half; `None` for a single address.
    #[must_use]
    pub fn halves(&self) -> Option<(Self, Self)> {
        let length = self.length().checked_add(1).filter(|length| *length <= self.family().bits())?;
        let low = Self::at(self.family(), self.number(), length)?;
        let upper = self.number() | (1_u128 << (self.family().bits() - length));
        Some((low, Self::at(self.family(), upper, length)?))
    }

    /// The other half of the parent; `None` for length 0.
    #[must_use]
    pub fn buddy(&self) -> Option<Self> {
        let (low, high) = self.parent()?.halves()?;
        Some(if low == *self { high } else { low })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_prefix_has_no_bits_beyond_its_length() {
        assert!("2001:db8::1/64".parse::<Prefix>().unwrap_err().to_string().contains("2001:db8::/64 has none"));
        assert!("2001:db8::/129".parse::<Prefix>().is_err());
        assert_eq!(p("10.1.2.3").length(), 32);
        assert!(serde_json::from_str::<Prefix>("\"10.0.0.1/8\"").is_err());
        assert_eq!(serde_json::to_string(&p("::/0")).unwrap(), "\"::/0\"");
    }

    #[test]
    fn halves_are_buddies() {
        for text in ["::/0", "2001:db8::/32", "0.0.0.0/0", "10.255.240.0/20", "10.0.0.2/31"] {
            let (low, high) = p(text).halves().unwrap();
            assert_eq!((low.buddy(), high.buddy()), (Some(high), Some(low)));
            assert_eq!((low.parent(), high.parent()), (Some(p(text)), Some(p(text))));
            assert!(!low.overlaps(&high) && p(text).contains(&low) && p(text).contains(&high) && low < high);
        }
        assert_eq!((p("::1").halves(), p("::/0").buddy(), p("::/0").measure()), (None, None, u128::MAX));
        assert!(!p("::/0").overlaps(&p("0.0.0.0/0")));
    }

    #[test]
    fn numbers_out_of_range_are_brought_into_it() {
        assert_eq!(Prefix::clamped(Family::V4, u128::MAX, 200), p("255.255.255.255/32"));
        assert_eq!(Prefix::clamped(Family::V4, 0x0a01_0203, 8), p("10.0.0.0/8"));
        assert_eq!(Prefix::clamped(Family::V6, u128::MAX, 1), p("8000::/1"));
        assert_eq!((p("::/0").last_number(), p("0.0.0.0/0").last_number()), (u128::MAX, u128::from(u32::MAX)));
        assert_eq!((p("10.0.0.0/31").last_number(), p("::5/128").last_number()), (0x0a00_0001, 5));
        assert_eq!(Want { family: Family::V4, length: 200 }.measure(), 1);
    }
}
