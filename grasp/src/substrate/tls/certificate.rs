//! What a certificate says beside what path validation looks at. Pure.

use super::node_name::{NodeName, NodeNameError};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// id-on-AcpNodeName (RFC 8994 §6.2.2.1).
const ACP_NODE_NAME: &str = "1.3.6.1.5.5.7.8.10";
/// Kinds of keys.
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const CURVES: [&str; 2] = ["1.2.840.10045.3.1.7", "1.3.132.0.34"];
/// Bits of the smallest RSA key (RFC 8994 §6.2.1).
const MIN_RSA: usize = 2_048;
/// Names of a certificate that are taken, and the bytes of the longest.
const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 255;
/// DER tags: what is in an otherName, and a string of ASCII characters.
const TAG_OTHER_NAME: u8 = 0xa0;
const TAG_IA5_STRING: u8 = 0x16;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    /// Common name of the subject, if it is fit to be a name.
    pub(super) common_name: Option<String>,
    /// DNS names of the subject.
    pub(super) dns_names: Vec<String>,
    /// As RFC 8994 §6.2.2 has it.
    pub(super) node_name: Result<NodeName, NameFault>,
    /// Serial number in hexadecimal digits.
    pub(super) serial: String,
    /// First and last second of its life, since 1970.
    pub(super) valid: (u64, u64),
    /// What is wrong with its key.
    pub(super) key: Result<(), KeyFault>,
}

/// Why a certificate gives its node no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// It has no such field.
    #[error("it has no acp-node-name (an otherName 1.3.6.1.5.5.7.8.10 in subjectAltName, RFC 8994 section 6.2.2)")]
    Missing,
    /// It has several.
    #[error("it has more than one acp-node-name")]
    Several,
    /// The field is not what it should be.
    #[error("its acp-node-name is no IA5String")]
    Encoding,
    /// The name is none.
    #[error("its acp-node-name is malformed: {0}")]
    Syntax(#[from] NodeNameError),
}

/// Why a key is not taken (RFC 8994 §6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Too easily broken.
    #[error("its RSA key has {0} bits; at least 2048 are needed (RFC 8994 section 6.2.1)")]
    SmallRsa(usize),
    /// A kind that is forbidden or not implemented.
    #[error("its key is neither RSA nor ECDSA on P-256 or P-384")]
    Kind,
}

impl Contents {
    /// Reads a certificate; `None` if it is none.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        rest.is_empty().then(|| Self::of(&certificate))
    }

    fn of(certificate: &X509Certificate<'_>) -> Self {
        let common_name = certificate.subject().iter_common_name().next();
        let mut dns_names = Vec::new();
        let mut node_names = Vec::new();
        for extension in certificate.extensions() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                for name in &names.general_names {
                    if let GeneralName::DNSName(name) = name {
                        dns_names.extend(fit(name));
                    } else if let GeneralName::OtherName(kind, value) = name
                        && kind.to_id_string() == ACP_NODE_NAME
                    {
                        node_names.push(node_name(value));
                    }
                }
            }
        }
        dns_names.truncate(MAX_NAMES);
        let several = node_names.len() > 1;
        let node_name = node_names.pop().unwrap_or(Err(NameFault::Missing));
        let validity = certificate.validity();
        let second = |time: i64| u64::try_from(time).unwrap_or(0);
        Self {
            common_name: common_name.and_then(|name| name.as_str().ok()).and_then(fit),
            dns_names,
            node_name: if several { Err(NameFault::Several) } else { node_name },
            serial: certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            valid: (second(validity.not_before.timestamp()), second(validity.not_after.timestamp())),
            key: key(certificate.public_key()),
        }
    }

    /// All names, the one for logs first: the common name, the DNS names, the acp-node-name.
    pub(super) fn names(&self, node_name: &NodeName) -> Vec<String> {
        self.common_name.iter().chain(&self.dns_names).cloned().chain([node_name.to_string()]).collect()
    }
}

/// A name that can stand in logs and patterns; others are left out.
fn fit(name: &str) -> Option<String> {
    (!name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)).then(|| name.to_owned())
}

fn node_name(value: &[u8]) -> Result<NodeName, NameFault> {
    let text = tagged(TAG_OTHER_NAME, value).and_then(|inner| tagged(TAG_IA5_STRING, inner));
    Ok(NodeName::parse(text.filter(|text| text.is_ascii()).ok_or(NameFault::Encoding)?)?)
}

/// What is in a DER item of this tag that fills `bytes`, if it is shorter than 64 kB.
fn tagged(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (length, content) = match bytes {
        [first, length @ 0..=0x7f, content @ ..] if *first == tag => (usize::from(*length), content),
        [first, 0x81, length @ 0x80..=0xff, content @ ..] if *first == tag => (usize::from(*length), content),
        [first, 0x82, high @ 1..=0xff, low, content @ ..] if *first == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), content)
        }
        _ => return None,
    };
    (content.len() == length).then_some(content)
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> Result<(), KeyFault> {
    if let Ok(PublicKey::RSA(key)) = info.parsed() {
        let bits = bits(key.modulus);
        return if bits < MIN_RSA { Err(KeyFault::SmallRsa(bits)) } else { Ok(()) };
    }
    let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let known = curve.is_some_and(|curve| CURVES.contains(&curve.to_id_string().as_str()));
    if info.algorithm.algorithm.to_id_string() == EC_PUBLIC_KEY && known { Ok(()) } else { Err(KeyFault::Kind) }
}

fn bits(modulus: &[u8]) -> usize {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let significant = &modulus[zeros..];
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}
