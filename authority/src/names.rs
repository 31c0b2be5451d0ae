//! Names of domains and nodes, and the acp-node-name that binds them (RFC 8994, section 6.2.2).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Octets of a domain name as text, at most (RFC 1035, section 2.3.4: 255 with the lengths of the labels).
pub const MAX_DOMAIN: usize = 253;
/// Octets of a label, at most (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;
/// Octets of the name of a node, at most.
pub const MAX_NODE: usize = 63;
/// Octets of an acp-node-name that is read, at most: an address, a routing subdomain and a domain need 541.
pub const MAX_ACP_NODE_NAME: usize = 1024;

/// How a name breaks its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {why}")]
pub struct NameError {
    what: &'static str,
    text: String,
    why: String,
}

impl NameError {
    fn new(what: &'static str, text: &str, why: impl Into<String>) -> Self {
        // A hostile text may be long; its beginning is enough to find it.
        Self { what, text: text.chars().take(80).collect(), why: why.into() }
    }
}

/// Checks `<subdomain>` of RFC 1034, section 3.5: labels of letters, digits and hyphens.
fn subdomain(what: &'static str, text: &str) -> Result<String, NameError> {
    let wrong = |why: String| Err(NameError::new(what, text, why));
    if text.is_empty() {
        return wrong("it is empty".to_owned());
    }
    if text.len() > MAX_DOMAIN {
        return wrong(format!("it has {} characters, and {MAX_DOMAIN} are allowed", text.len()));
    }
    for label in text.split('.') {
        let (first, last) = (label.bytes().next(), label.bytes().last());
        if label.is_empty() {
            return wrong("a label is empty: no dot may stand at an end or beside another".to_owned());
        }
        if let Some(bad) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
            return wrong(format!(
                "{bad:?} is not allowed: only letters, digits, hyphens, and dots between labels are"
            ));
        }
        if label.len() > MAX_LABEL {
            return wrong(format!("a label has {} characters, and {MAX_LABEL} are allowed", label.len()));
        }
        if !first.is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return wrong(format!("the label {label:?} has to begin with a letter (RFC 1034, section 3.5)"));
        }
        if last == Some(b'-') {
            return wrong(format!("the label {label:?} may not end with a hyphen"));
        }
    }
    Ok(text.to_ascii_lowercase())
}

/// The acp-domain-name: `<domain>` of RFC 1034, section 3.5, in lower case, which is how domains are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        subdomain("domain", text).map(Self)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A routing subdomain: several of them let one domain have several address prefixes (RFC 8994, section 6.11.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rsub(String);

impl Rsub {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Rsub {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        subdomain("routing subdomain", text).map(Self)
    }
}

impl fmt::Display for Rsub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a node, as `node.name` of a manifest: 1 to 63 letters, digits, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the node in the DNS, if the name of the node can be part of one (RFC 1123, section 2.1).
    #[must_use]
    pub fn in_dns(&self, domain: &Domain) -> Option<String> {
        let label = |label: &str| {
            label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !(label.is_empty() || label.starts_with('-') || label.ends_with('-'))
        };
        let name = format!("{}.{domain}", self.0);
        (self.0.split('.').all(label) && name.len() <= MAX_DOMAIN).then_some(name)
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |why: String| Err(NameError::new("node name", text, why));
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
            return wrong(format!("{bad:?} is not allowed: only A-Z, a-z, 0-9, '.', '_' and '-' are"));
        }
        if !(1..=MAX_NODE).contains(&text.len()) {
            return wrong(format!("it has {} characters, and 1 to {MAX_NODE} are allowed", text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands for the address in an acp-node-name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcpAddress {
    /// Nothing: a member of the domain that has no secure channels.
    Omitted,
    /// `0`: the node gets its address in another way.
    Zero,
    /// The address, as 32 hexadecimal digits.
    Address(Ipv6Addr),
}

/// An acp-node-name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AcpNodeName {
    /// The address.
    pub address: AcpAddress,
    /// The routing subdomain.
    pub rsub: Option<Rsub>,
    /// Extensions that nobody has defined yet; they are kept and ignored.
    pub extensions: Vec<String>,
    /// The domain.
    pub domain: Domain,
}

impl AcpNodeName {
    /// A name without extensions; `0` stands for an address that is not given.
    #[must_use]
    pub fn new(address: Option<Ipv6Addr>, rsub: Option<Rsub>, domain: Domain) -> Self {
        let address = address.map_or(AcpAddress::Zero, AcpAddress::Address);
        Self { address, rsub, extensions: Vec::new(), domain }
    }

    /// The address, if there is one.
    #[must_use]
    pub const fn address(&self) -> Option<Ipv6Addr> {
        match self.address {
            AcpAddress::Address(address) => Some(address),
            AcpAddress::Zero | AcpAddress::Omitted => None,
        }
    }
}

impl FromStr for AcpNodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |why: &str| NameError::new("acp-node-name", text, why);
        if text.len() > MAX_ACP_NODE_NAME {
            return Err(wrong("it is longer than any that RFC 8994 describes"));
        }
        let (local, domain) = text.split_once('@').ok_or_else(|| wrong("an @ has to stand before the domain"))?;
        let domain: Domain = domain.parse().map_err(|error: NameError| wrong(&error.to_string()))?;
        let mut parts = local.split('+');
        let address = match parts.next().unwrap_or_default() {
            "" => AcpAddress::Omitted,
            "0" => AcpAddress::Zero,
            digits if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                let bits = u128::from_str_radix(digits, 16).map_err(|error| wrong(&error.to_string()))?;
                AcpAddress::Address(Ipv6Addr::from_bits(bits))
            }
            _ => return Err(wrong("the address has to be 32 hexadecimal digits, or 0, or nothing")),
        };
        let rsub = parts.next().filter(|rsub| !rsub.is_empty()).map(str::parse).transpose();
        let rsub = rsub.map_err(|error: NameError| wrong(&error.to_string()))?;
        let extensions: Vec<String> = parts.map(str::to_owned).collect();
        let etext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*-/=?^_`{|}~".contains(&byte);
        if extensions.iter().any(|extension| extension.is_empty() || !extension.bytes().all(etext)) {
            return Err(wrong("an extension is empty or has a character that is not allowed"));
        }
        // The grammar allows the local part to be empty, which identifies nobody but is a member.
        Ok(Self { address, rsub, extensions, domain })
    }
}

impl fmt::Display for AcpNodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            AcpAddress::Omitted => {}
            AcpAddress::Zero => f.write_str("0")?,
            AcpAddress::Address(address) => write!(f, "{:032x}", address.to_bits())?,
        }
        match &self.rsub {
            Some(rsub) => write!(f, "+{rsub}")?,
            None if !self.extensions.is_empty() => f.write_str("+")?,
            None => {}
        }
        for extension in &self.extensions {
            write!(f, "+{extension}")?;
        }
        write!(f, "@{}", self.domain)
    }
}
