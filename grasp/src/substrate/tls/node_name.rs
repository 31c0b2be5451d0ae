//! The name of a node in its domain certificate: acp-node-name (RFC 8994 §6.2.2). Pure.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of the longest name that is read.
const MAX_NAME: usize = 1_024;
/// Bytes of the longest domain name and of its longest label (RFC 1034 §3.1).
const MAX_DOMAIN: usize = 255;
const MAX_LABEL: usize = 63;
/// Characters of an extension beside letters and digits (RFC 8994 §6.2.2, etext).
const MARKS: &[u8] = b"!#$%&'*-/=?^_`{|}~";

/// What the acp-address field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcpAddress {
    /// Nothing: the node has none (network management).
    Omitted,
    /// `0`: the node has one and learns it by other means.
    Elsewhere,
    /// The address of the node.
    Is(Ipv6Addr),
}

impl AcpAddress {
    /// Tells whether a member with this field may answer at `address`.
    ///
    /// With an address it may answer there, and at the other addresses of the set that the addressing sub-scheme gives to the
    /// same node (RFC 8994 §6.11.3, §6.11.5): any Zone-ID and V bit, or any V bits of a Vlong address. Without one the
    /// certificate says nothing about addresses, and it may answer anywhere.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        let Self::Is(own) = self else { return true };
        let IpAddr::V6(asked) = address.to_canonical() else { return false };
        own == &asked || node_bits(*own).is_some_and(|bits| u128::from(*own) & bits == u128::from(asked) & bits)
    }
}

/// The bits that tell one node from another under the addressing sub-scheme of an address as certificates carry it, with V bits
/// of zero; `None` if it is of no such scheme.
fn node_bits(address: Ipv6Addr) -> Option<u128> {
    const PREFIX: u128 = u128::MAX << 78; // fd, the hash and the type: 50 bits
    const Z: u128 = 1 << 77;
    const NODE: u128 = u64::MAX as u128;
    let bits = u128::from(address);
    let (virtual_bits, node) = match (bits >> 78) & 3 {
        0 if bits & Z == 0 => (1, PREFIX | Z | (NODE & !1)),
        1 if bits & (1 << 31) == 0 => (0xff, !0xff),
        1 => (0xffff, !0xffff),
        _ => return None,
    };
    (bits >> 120 == 0xfd && bits & virtual_bits == 0).then_some(node)
}

/// A syntactically valid acp-node-name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName {
    /// The ACP address.
    pub address: AcpAddress,
    /// The routing subdomain below the domain; empty if there is none.
    pub rsub: String,
    /// Extensions, which are ignored (RFC 8994 §6.2.2).
    pub extensions: Vec<String>,
    /// The acp-domain-name in lower case: which group the node belongs to.
    pub domain: String,
}

/// What is wrong with an acp-node-name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeNameError {
    /// Longer than any sensible name.
    #[error("it is longer than 1024 bytes")]
    TooLong,
    /// Not exactly one `@`.
    #[error("it needs exactly one \"@\", between the local part and the domain name")]
    At,
    /// Neither 32 hexadecimal digits nor 0 nor nothing.
    #[error("its acp-address is neither 32 hexadecimal digits nor \"0\" nor left out")]
    Address,
    /// Not a domain name of RFC 1034.
    #[error("its routing subdomain is no domain name")]
    Subdomain,
    /// Empty, or with a character that is not allowed.
    #[error("one of its extensions is empty or has a character that is not allowed there")]
    Extension,
    /// Not a domain name of RFC 1034.
    #[error("its domain is no domain name (RFC 1034 section 3.5)")]
    Domain,
}

impl NodeName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// What does not follow RFC 8994 §6.2.2.
    pub fn parse(text: &[u8]) -> Result<Self, NodeNameError> {
        if text.len() > MAX_NAME {
            return Err(NodeNameError::TooLong);
        }
        let mut halves = text.split(|byte| *byte == b'@');
        let (Some(local), Some(domain), None) = (halves.next(), halves.next(), halves.next()) else {
            return Err(NodeNameError::At);
        };
        let mut fields = local.split(|byte| *byte == b'+');
        let address = parse_address(fields.next().unwrap_or_default())?;
        let rsub = match fields.next() {
            None | Some([]) => String::new(),
            Some(name) => domain_name(name).ok_or(NodeNameError::Subdomain)?,
        };
        let extensions = fields.map(extension).collect::<Option<_>>().ok_or(NodeNameError::Extension)?;
        let domain = domain_name(domain).ok_or(NodeNameError::Domain)?;
        Ok(Self { address, rsub, extensions, domain })
    }
}

impl fmt::Display for NodeName {
    /// The recommended form: hexadecimal digits and domain in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            AcpAddress::Omitted => {}
            AcpAddress::Elsewhere => f.write_str("0")?,
            AcpAddress::Is(address) => write!(f, "{:032x}", u128::from(address))?,
        }
        if !self.rsub.is_empty() || !self.extensions.is_empty() {
            write!(f, "+{}", self.rsub)?;
        }
        for extension in &self.extensions {
            write!(f, "+{extension}")?;
        }
        write!(f, "@{}", self.domain)
    }
}

fn parse_address(field: &[u8]) -> Result<AcpAddress, NodeNameError> {
    match field {
        [] => Ok(AcpAddress::Omitted),
        b"0" => Ok(AcpAddress::Elsewhere),
        // `from_str_radix` alone would take a sign.
        digits if digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit) => str::from_utf8(digits)
            .ok()
            .and_then(|digits| u128::from_str_radix(digits, 16).ok())
            .map(|bits| AcpAddress::Is(bits.into()))
            .ok_or(NodeNameError::Address),
        _ => Err(NodeNameError::Address),
    }
}

fn extension(text: &[u8]) -> Option<String> {
    let valid = !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || MARKS.contains(byte));
    valid.then(|| String::from_utf8_lossy(text).into_owned())
}

/// A domain name in lower case: labels of letters, digits and hyphens that begin with a letter and end with no hyphen.
fn domain_name(name: &[u8]) -> Option<String> {
    let is_label = |label: &[u8]| {
        label.len() <= MAX_LABEL
            && label.first().is_some_and(u8::is_ascii_alphabetic)
            && label.last().is_some_and(u8::is_ascii_alphanumeric)
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    let valid = name.len() <= MAX_DOMAIN && name.split(|byte| *byte == b'.').all(is_label);
    valid.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}
