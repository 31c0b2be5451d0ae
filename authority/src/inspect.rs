//! What certificates, private keys and revocation lists say, whoever made them.

use rcgen::{KeyPair, PublicKeyData};
use ring::digest;
use time::OffsetDateTime;
use x509_parser::der_parser::asn1_rs::{Any, Ia5String, TaggedExplicit};
use x509_parser::error::PEMError;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{Oid, asn1_rs::oid};
use x509_parser::pem::Pem;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use zeroize::{Zeroize, Zeroizing};

use crate::Error;
use crate::names::{AcpNodeName, NameError};

/// Blocks of PEM in one text, at most.
const MAX_BLOCKS: usize = 1_000;
/// id-on-AcpNodeName (RFC 8994, section 6.2.2.1).
const ACP_NODE_NAME: Oid<'static> = oid!(1.3.6.1.5.5.7.8.10);

/// One block of a PEM text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A certificate.
    Certificate(Box<Certificate>),
    /// A private key.
    Key(Key),
    /// A revocation list.
    Revocations(List),
}

/// What a certificate says. Nothing in it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Who it is for, as a distinguished name.
    pub subject: String,
    /// The common name of the subject: the name of the node.
    pub common_name: Option<String>,
    /// Who vouches for it, as a distinguished name.
    pub issuer: String,
    /// Its number, hexadecimal.
    pub serial: String,
    /// The first moment at which it is valid.
    pub from: OffsetDateTime,
    /// The last.
    pub until: OffsetDateTime,
    /// Whether it may sign others.
    pub authority: bool,
    /// The acp-node-name as it stands there; none if there is none.
    pub acp_node_name: Option<Result<AcpNodeName, NameError>>,
    /// Names in the DNS.
    pub dns: Vec<String>,
    /// The kind of its key.
    pub key: String,
    /// SHA-256 of its public key, hexadecimal: the same as that of the private key.
    pub key_fingerprint: String,
    /// SHA-256 of the whole, hexadecimal.
    pub fingerprint: String,
    /// What keeps it from being a certificate of a node, or of an authority (RFC 8994, section 6.2.1).
    pub shortcomings: Vec<String>,
}

/// What may be said of a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its kind.
    pub kind: String,
    /// SHA-256 of its public key, hexadecimal.
    pub key_fingerprint: String,
}

/// What a revocation list says. Nothing in it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Who signed it, as a distinguished name.
    pub issuer: String,
    /// Its number, hexadecimal.
    pub number: Option<String>,
    /// When it was made.
    pub from: OffsetDateTime,
    /// Until when it is to be relied on; none if it does not say.
    pub until: Option<OffsetDateTime>,
    /// Numbers of the revoked certificates, hexadecimal, with the time of revocation.
    pub revoked: Vec<(String, OffsetDateTime)>,
}

/// Reads every block of a PEM text.
///
/// # Errors
///
/// If there is none, one is damaged, or one is neither a certificate nor a private key nor a revocation list.
pub fn inspect(text: &str) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    for mut block in blocks(text)? {
        let item = match block.label.as_str() {
            "CERTIFICATE" => certificate(&block.contents).map(|read| Item::Certificate(Box::new(read))),
            "X509 CRL" => list(&block.contents).map(Item::Revocations),
            "PRIVATE KEY" => pkcs8(&block.contents).map(|pair| Item::Key(key(&pair))),
            label => Err(unwanted(label)),
        };
        block.contents.zeroize();
        items.push(item?);
    }
    Ok(items)
}

fn unwanted(label: &str) -> Error {
    match label {
        "EC PRIVATE KEY" | "RSA PRIVATE KEY" => Error::Key(
            "the private key is not in the form PKCS#8; convert it: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
                .to_owned(),
        ),
        "ENCRYPTED PRIVATE KEY" => Error::Key(
            "the private key is encrypted, and a node has nobody to ask for the password; decrypt it: openssl pkcs8 -in OLD \
             -out NEW"
                .to_owned(),
        ),
        other => {
            let other: String = other.chars().take(40).collect();
            Error::Pem(format!("{other:?} is neither a certificate nor a private key nor a revocation list"))
        }
    }
}

fn blocks(text: &str) -> Result<Vec<Pem>, Error> {
    let mut blocks = Vec::new();
    for block in Pem::iter_from_buffer(text.as_bytes()) {
        blocks.push(block.map_err(|error| Error::Pem(broken(text, &error)))?);
        if blocks.len() > MAX_BLOCKS {
            return Err(Error::Pem(format!("it has more than {MAX_BLOCKS} blocks of PEM")));
        }
    }
    if blocks.is_empty() {
        return Err(Error::Pem("it has no block of PEM".to_owned()));
    }
    Ok(blocks)
}

/// What is wrong with a block, and what to do.
fn broken(text: &str, error: &PEMError) -> String {
    match error {
        PEMError::IncompletePEM => {
            // What has no end takes all that follows, so it is the last that begins, or all from there on are cut.
            let start = text.lines().rev().find_map(|line| line.strip_prefix("-----BEGIN "));
            let label = start.and_then(|rest| rest.split('-').next()).unwrap_or_default();
            let label: String = label.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(40).collect();
            format!("the block of PEM {label} has no end: the file is cut; write it anew")
        }
        PEMError::InvalidHeader => {
            "a line that begins with -----BEGIN does not end with -----: the file is cut or damaged; write it anew"
                .to_owned()
        }
        PEMError::Base64DecodeError => "a block of PEM is not in base64: the file is damaged; write it anew".to_owned(),
        PEMError::MissingHeader | PEMError::IOError(_) => format!("a block of PEM is damaged: {error}"),
    }
}

/// The DER of every certificate in a PEM text, in order; other blocks are passed over.
pub(crate) fn certificates(text: &str) -> Result<Vec<Vec<u8>>, Error> {
    labelled(text, "CERTIFICATE")
}

/// The DER of every revocation list in a PEM text.
pub(crate) fn lists(text: &str) -> Result<Vec<Vec<u8>>, Error> {
    labelled(text, "X509 CRL")
}

fn labelled(text: &str, label: &str) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    for mut block in blocks(text)? {
        if block.label == label {
            found.push(block.contents);
        } else {
            block.contents.zeroize();
        }
    }
    Ok(found)
}

/// The DER of the one certificate of a text.
pub(crate) fn only_certificate(text: &str) -> Result<Vec<u8>, Error> {
    let mut found = certificates(text)?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (_, _) => Err(Error::Pem("it has to have exactly one certificate".to_owned())),
    }
}

/// The one private key of a text.
pub(crate) fn private_key(text: &str) -> Result<KeyPair, Error> {
    let blocks = blocks(text)?;
    let found = match &blocks[..] {
        [one] if one.label == "PRIVATE KEY" => pkcs8(&one.contents),
        [one] => Err(unwanted(&one.label)),
        _ => Err(Error::Key("it has to have exactly one private key".to_owned())),
    };
    for block in blocks {
        drop(Zeroizing::new(block.contents));
    }
    found
}

fn pkcs8(der: &[u8]) -> Result<KeyPair, Error> {
    // What the library says of a key might quote it.
    KeyPair::try_from(der).map_err(|_| {
        Error::Key(
            "the private key cannot be read: it has to be PKCS#8, of ECDSA on P-256 or P-384, Ed25519, or RSA"
                .to_owned(),
        )
    })
}

fn key(pair: &KeyPair) -> Key {
    let spki = pair.subject_public_key_info();
    let kind = x509_parser::x509::SubjectPublicKeyInfo::from_der(&spki).map(|(_, spki)| key_kind(&spki));
    Key { kind: kind.unwrap_or_else(|_| "unknown".to_owned()), key_fingerprint: sha256(&spki) }
}

fn key_kind(spki: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &spki.algorithm;
    let curve = algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    match (algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => "ECDSA P-256".to_owned(),
        ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => "ECDSA P-384".to_owned(),
        ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => "ECDSA P-521".to_owned(),
        ("1.2.840.10045.2.1", Some(curve)) => format!("ECDSA on the curve {curve}"),
        ("1.3.101.112", _) => "Ed25519".to_owned(),
        (other, _) => match spki.parsed() {
            Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
            Ok(_) | Err(_) => format!("of the algorithm {other}"),
        },
    }
}

fn sha256(bytes: &[u8]) -> String {
    hexadecimal(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number without the zero that only makes it positive.
fn number(octets: &[u8]) -> String {
    match octets {
        [0, rest @ ..] if !rest.is_empty() => hexadecimal(rest),
        all => hexadecimal(all),
    }
}

fn certificate(der: &[u8]) -> Result<Certificate, Error> {
    let unread = |why: String| Error::Certificate(format!("the certificate cannot be read: {why}"));
    let (rest, read) = X509Certificate::from_der(der).map_err(|error| unread(error.to_string()))?;
    if !rest.is_empty() {
        return Err(unread("something follows it".to_owned()));
    }
    let mut shortcomings = Vec::new();
    let names = read.subject_alternative_name().map_err(|error| unread(error.to_string()))?;
    let (mut acp, mut dns) = (Vec::new(), Vec::new());
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        if let GeneralName::DNSName(name) = name {
            dns.push((*name).to_owned());
        } else if let GeneralName::OtherName(oid, value) = name
            && *oid == ACP_NODE_NAME
        {
            acp.push(ia5(value));
        }
    }
    if acp.len() > 1 {
        shortcomings.push("it has more than one acp-node-name".to_owned());
    }
    let acp_node_name = acp.into_iter().next().map(|text| text.parse());
    shortcomings.extend(short_of(&read, acp_node_name.as_ref()));
    let bounds = read.validity();
    let common_name = read.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    Ok(Certificate {
        subject: read.subject().to_string(),
        common_name: common_name.map(str::to_owned),
        issuer: read.issuer().to_string(),
        serial: number(read.raw_serial()),
        from: bounds.not_before.to_datetime(),
        until: bounds.not_after.to_datetime(),
        authority: read.is_ca(),
        acp_node_name,
        dns,
        key: key_kind(read.public_key()),
        key_fingerprint: sha256(read.public_key().raw),
        fingerprint: sha256(der),
        shortcomings,
    })
}

/// The text of an otherName; what is no IA5String is shown as what it is, and is no acp-node-name then.
fn ia5(value: &[u8]) -> String {
    let inner = TaggedExplicit::<Any<'_>, x509_parser::der_parser::asn1_rs::Error, 0>::from_der(value);
    let inner = inner.map(|(_, inner)| inner.into_inner());
    match inner.map(|inner| (inner.tag(), Ia5String::try_from(inner))) {
        Ok((_, Ok(text))) => text.string(),
        Ok((tag, Err(_))) => format!("(no IA5String but {tag})"),
        Err(_) => "(no IA5String)".to_owned(),
    }
}

/// What RFC 8994 asks for and is not there.
fn short_of(read: &X509Certificate<'_>, acp: Option<&Result<AcpNodeName, NameError>>) -> Vec<String> {
    let mut short = Vec::new();
    let mut lacks = |wanted: bool, what: &str| {
        if !wanted {
            short.push(what.to_owned());
        }
    };
    let usage = read.key_usage().ok().flatten();
    let allows =
        |what: fn(&x509_parser::extensions::KeyUsage) -> bool| usage.as_ref().is_none_or(|set| what(set.value));
    if read.is_ca() {
        lacks(
            allows(x509_parser::extensions::KeyUsage::key_cert_sign),
            "its keyUsage does not let it sign certificates",
        );
        lacks(
            allows(x509_parser::extensions::KeyUsage::crl_sign),
            "its keyUsage does not let it sign revocation lists",
        );
    } else {
        match acp {
            None => lacks(false, "it has no acp-node-name, so it is no certificate of a node of a domain"),
            Some(Err(error)) => lacks(false, &error.to_string()),
            Some(Ok(_)) => {}
        }
        let signs = allows(x509_parser::extensions::KeyUsage::digital_signature);
        lacks(signs, "its keyUsage does not let it sign handshakes (digitalSignature)");
        let purposes = read.extended_key_usage().ok().flatten();
        let has = |what: fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool| {
            purposes.as_ref().is_none_or(|set| set.value.any || what(set.value))
        };
        lacks(has(|set| set.client_auth), "its extendedKeyUsage lacks clientAuth: a node is a client too");
        lacks(has(|set| set.server_auth), "its extendedKeyUsage lacks serverAuth: a node is a server too");
    }
    match read.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) => lacks(rsa.key_size() >= 2048, "its RSA key is shorter than 2048 bits"),
        Ok(PublicKey::EC(point)) => lacks(point.key_size() >= 256, "its elliptic curve is smaller than 256 bits"),
        Ok(_) | Err(_) => {}
    }
    short
}

fn list(der: &[u8]) -> Result<List, Error> {
    let unread = |why: String| Error::Revocations(format!("the revocation list cannot be read: {why}"));
    let (rest, read) = CertificateRevocationList::from_der(der).map_err(|error| unread(error.to_string()))?;
    if !rest.is_empty() {
        return Err(unread("something follows it".to_owned()));
    }
    let crl_number = read.extensions().iter().find_map(|extension| {
        let ParsedExtension::CRLNumber(number) = extension.parsed_extension() else { return None };
        Some(format!("{number:x}"))
    });
    let revoked = read
        .iter_revoked_certificates()
        .map(|revoked| (number(revoked.raw_serial()), revoked.revocation_date.to_datetime()));
    Ok(List {
        issuer: read.issuer().to_string(),
        number: crl_number,
        from: read.last_update().to_datetime(),
        until: read.next_update().map(|until| until.to_datetime()),
        revoked: revoked.collect(),
    })
}
