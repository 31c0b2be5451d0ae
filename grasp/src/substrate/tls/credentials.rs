//! What a node proves its membership with, and what it checks that of others with: from PEM to checked credentials.

use super::calendar::{rfc3339, seconds};
use super::certificate::{Contents, KeyFault, NameFault};
use super::membership::{Anchor, MAX_CHAIN, Membership, Purpose, Refusal};
use super::node_name::NodeName;
use super::verifier::provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{CertificateRevocationList as Parsed, FromDer, X509Certificate};

/// Bytes of the longest file of each kind that is read.
const MAX_FILE: usize = 1 << 20;
const MAX_REVOCATIONS: usize = 16 << 20;
/// Anchors, and revocation lists: RFC 8994 §6.2.4 asks for two anchors.
const MAX_ANCHORS: usize = 32;
const MAX_LISTS: usize = 32;
/// Characters of the label of a PEM section that are shown.
const MAX_LABEL: usize = 40;

/// One of the files that credentials are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The node's certificate, followed by those between it and the anchor.
    Certificate,
    /// The private key of that certificate.
    Key,
    /// The trust anchors of the domain.
    Anchors,
    /// The certificate revocation lists.
    Revocations,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate file",
            Self::Key => "key file",
            Self::Anchors => "trust anchor file",
            Self::Revocations => "revocation list file",
        })
    }
}

/// What is wrong with credentials, and in which file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct CredentialsError {
    /// Which file.
    pub file: File,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a file, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Too long to be what it should be.
    #[error("longer than {0} bytes; is it the right file?")]
    TooLong(usize),
    /// PEM that is broken off or has wrong characters.
    #[error("not readable as PEM ({0}); write it anew")]
    Pem(String),
    /// Nothing of the kind in it.
    #[error("there is no {0} in it; it needs PEM text that begins with -----BEGIN {1}-----")]
    Empty(&'static str, &'static str),
    /// More than is taken.
    #[error("there are more than {0} entries in it")]
    TooMany(usize),
    /// An entry, counted from 1, that is not what it says.
    #[error("entry {0} is damaged: {1}; fetch it again")]
    Damaged(usize, String),
    /// A key that cannot be used.
    #[error(
        "the key cannot be used ({0}); it needs an RSA key of 2048 bits or more, or an ECDSA key on P-256 or P-384"
    )]
    Key(String),
    /// The key is another one's.
    #[error("the key does not belong to the certificate; give the key with which the certificate was requested")]
    OtherKey,
    /// See [`KeyFault`].
    #[error("{0}; request a certificate for another key")]
    WeakKey(KeyFault),
    /// See [`NameFault`].
    #[error("{0}; request one that names the node and its domain")]
    Name(NameFault),
    /// Over.
    #[error("expired at {0}; renew it")]
    Expired(String),
    /// Too early, or the clock is wrong.
    #[error("not valid before {0}; is the clock of this machine right?")]
    NotYetValid(String),
    /// An anchor that may not sign certificates.
    #[error("entry {0} is not the certificate of a certification authority")]
    NoAuthority(usize),
    /// No path to an anchor.
    #[error(
        "it leads to none of the trust anchors ({0}); put the certificates between it and the anchor behind it, or the anchor into the trust anchor file"
    )]
    NoPath(String),
    /// A list that nobody of the domain has signed.
    #[error(
        "list {0} is signed by no trust anchor and by no authority in the certificate file; take one from an authority of the domain"
    )]
    ForeignList(usize),
    /// The certificate itself is on a list.
    #[error("the certificate has been revoked; enrol this node anew")]
    Revoked,
    /// The certificate can be used in one role only.
    #[error("its extendedKeyUsage must allow both serverAuth and clientAuth, or be left out")]
    Purpose,
}

/// Everything that a node needs to prove its membership and to check that of others. Cloning is cheap.
#[derive(Clone)]
pub struct Credentials(Arc<Parts>);

pub(super) struct Parts {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) contents: Contents,
    pub(super) name: NodeName,
    pub(super) anchors: Vec<Anchor>,
    pub(super) lists: Vec<List>,
}

/// A revocation list.
pub(super) struct List {
    pub(super) list: Arc<CertRevocationList<'static>>,
    pub(super) issuer: String,
    /// When there should be a newer one, in seconds since 1970.
    pub(super) next_update: Option<u64>,
    pub(super) revoked: usize,
}

impl fmt::Debug for Credentials {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads and checks credentials, each in PEM: the node's certificate with those between it and an anchor, its private key
    /// (PKCS#8, PKCS#1 or SEC1), the trust anchors, and revocation lists if there are any. `now` is the wall clock.
    ///
    /// # Errors
    ///
    /// What is wrong, in which of the files, and what to do. Whatever would keep other members from accepting this node is an
    /// error here already.
    pub fn from_pem(
        certificate_chain: &[u8],
        private_key: &[u8],
        anchors: &[u8],
        revocations: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<Self, CredentialsError> {
        let now = seconds(now);
        let in_file = |file| move |fault| CredentialsError { file, fault };
        let anchors = read_anchors(anchors, now).map_err(in_file(File::Anchors))?;
        let (chain, contents, name) = read_chain(certificate_chain, now).map_err(in_file(File::Certificate))?;
        let key = read_key(private_key, &chain).map_err(in_file(File::Key))?;
        let lists = match revocations {
            None => Vec::new(),
            Some(pem) => read_lists(pem, &chain, &anchors).map_err(in_file(File::Revocations))?,
        };
        let anchors = anchors.into_iter().map(|(anchor, _)| anchor).collect();
        let credentials = Self(Arc::new(Parts { chain, key, contents, name, anchors, lists }));
        credentials.check_own(now).map_err(in_file(File::Certificate))?;
        Ok(credentials)
    }

    /// The name of the node.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.0.name
    }

    /// All names of the node, as other members see them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.contents.names(&self.0.name)
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    pub(super) fn membership(&self) -> Membership {
        let lists = self.0.lists.iter().map(|one| one.list.clone()).collect();
        Membership::new(self.0.name.domain.clone(), self.0.anchors.clone(), lists)
    }

    /// Checks this node as its peers will.
    fn check_own(&self, now: u64) -> Result<(), Fault> {
        let membership = self.membership();
        for purpose in [Purpose::Client, Purpose::Server] {
            membership.check(&self.0.chain, purpose, now).map_err(|refusal| match refusal {
                Refusal::Revoked => Fault::Revoked,
                Refusal::Purpose => Fault::Purpose,
                Refusal::Expired(last) => Fault::Expired(rfc3339(last)),
                Refusal::NotYetValid(first) => Fault::NotYetValid(rfc3339(first)),
                Refusal::Key(fault) => Fault::WeakKey(fault),
                Refusal::Name(fault) => Fault::Name(fault),
                Refusal::Untrusted(detail) => Fault::NoPath(detail),
                other @ (Refusal::NoCertificate
                | Refusal::LongChain
                | Refusal::Malformed(_)
                | Refusal::OtherDomain { .. }
                | Refusal::OtherAddress { .. }
                | Refusal::OwnCertificate(_)) => Fault::Damaged(1, other.to_string()),
            })?;
        }
        Ok(())
    }
}

/// The entries of one kind in a file; entries of other kinds are left alone.
fn entries<T: PemObject>(
    pem: &[u8],
    bytes: usize,
    most: usize,
    (what, label): (&'static str, &'static str),
) -> Result<Vec<T>, Fault> {
    if pem.len() > bytes {
        return Err(Fault::TooLong(bytes));
    }
    let found: Vec<T> =
        T::pem_slice_iter(pem).take(most + 1).collect::<Result<_, _>>().map_err(|error| Fault::Pem(broken(&error)))?;
    match found.len() {
        0 => Err(Fault::Empty(what, label)),
        count if count > most => Err(Fault::TooMany(most)),
        _ => Ok(found),
    }
}

/// What is wrong with PEM, in words. The library shows bytes as numbers; and what stands in a file of keys is not repeated.
fn broken(error: &pem::Error) -> String {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the others say by themselves what is wrong")]
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            // A label may be anything that stood in the file.
            let label = String::from_utf8_lossy(end_marker);
            let label: String = label.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_LABEL).collect();
            format!("the section {label} has no end: the file is cut")
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins with -----BEGIN does not end with -----: the file is cut or damaged".to_owned()
        }
        pem::Error::Base64Decode(_) => "a section is not in base64: the file is damaged".to_owned(),
        other => other.to_string(),
    }
}

const CERTIFICATE: (&str, &str) = ("certificate", "CERTIFICATE");

/// The anchors with their certificates.
fn read_anchors(pem: &[u8], now: u64) -> Result<Vec<(Anchor, CertificateDer<'static>)>, Fault> {
    let found: Vec<CertificateDer<'static>> = entries(pem, MAX_FILE, MAX_ANCHORS, CERTIFICATE)?;
    let mut anchors = Vec::new();
    for (at, der) in found.into_iter().enumerate() {
        let damaged = |detail: String| Fault::Damaged(at + 1, detail);
        let contents = Contents::read(&der).ok_or_else(|| damaged("no X.509 certificate".into()))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| damaged(error.to_string()))?;
        if !parsed.is_ca() {
            return Err(Fault::NoAuthority(at + 1));
        }
        contents.key.map_err(|fault| damaged(fault.to_string()))?;
        let subject = parsed.subject().to_string();
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| damaged(error.to_string()))?.to_owned();
        anchors.push((Anchor { anchor, valid: contents.valid, subject }, der));
    }
    // Old ones may stay beside new ones (RFC 8994 §6.2.4), but one has to be in force.
    let latest = anchors.iter().map(|(one, _)| one.valid.1).max().unwrap_or_default();
    if latest < now {
        return Err(Fault::Expired(rfc3339(latest)));
    }
    Ok(anchors)
}

type Chain = (Vec<CertificateDer<'static>>, Contents, NodeName);

fn read_chain(pem: &[u8], now: u64) -> Result<Chain, Fault> {
    let chain: Vec<CertificateDer<'static>> = entries(pem, MAX_FILE, MAX_CHAIN, CERTIFICATE)?;
    let own = chain.first().ok_or(Fault::Empty(CERTIFICATE.0, CERTIFICATE.1))?;
    let contents = Contents::read(own).ok_or_else(|| Fault::Damaged(1, "no X.509 certificate".into()))?;
    contents.key.map_err(Fault::WeakKey)?;
    let name = contents.node_name.clone().map_err(Fault::Name)?;
    let (first, last) = contents.valid;
    if now > last {
        return Err(Fault::Expired(rfc3339(last)));
    }
    if now < first {
        return Err(Fault::NotYetValid(rfc3339(first)));
    }
    Ok((chain, contents, name))
}

fn read_key(pem: &[u8], chain: &[CertificateDer<'static>]) -> Result<PrivateKeyDer<'static>, Fault> {
    let mut keys: Vec<PrivateKeyDer<'static>> = entries(pem, MAX_FILE, 1, ("private key", "PRIVATE KEY"))?;
    let key = keys.pop().ok_or(Fault::Empty("private key", "PRIVATE KEY"))?;
    let signer =
        provider().key_provider.load_private_key(key.clone_key()).map_err(|error| Fault::Key(error.to_string()))?;
    match CertifiedKey::new(chain.to_vec(), signer).keys_match() {
        Ok(()) => Ok(key),
        Err(_) => Err(Fault::OtherKey),
    }
}

/// The lists, each signed by an anchor or by an authority between the node and its anchor.
fn read_lists(
    pem: &[u8],
    chain: &[CertificateDer<'static>],
    anchors: &[(Anchor, CertificateDer<'static>)],
) -> Result<Vec<List>, Fault> {
    let kind = ("revocation list", "X509 CRL");
    let found: Vec<CertificateRevocationListDer<'static>> = entries(pem, MAX_REVOCATIONS, MAX_LISTS, kind)?;
    let signers: Vec<_> = chain.iter().skip(1).chain(anchors.iter().map(|(_, der)| der)).collect();
    let mut lists = Vec::new();
    for (at, der) in found.into_iter().enumerate() {
        let damaged = |detail: String| Fault::Damaged(at + 1, detail);
        let (rest, parsed) = Parsed::from_der(&der).map_err(|error| damaged(error.to_string()))?;
        if !rest.is_empty() {
            return Err(damaged("there is something behind it".into()));
        }
        let is_signer = |der: &&&CertificateDer<'static>| {
            X509Certificate::from_der(der).is_ok_and(|(_, signer)| {
                signer.subject().as_raw() == parsed.issuer().as_raw()
                    && parsed.verify_signature(signer.public_key()).is_ok()
            })
        };
        if !signers.iter().any(|der| is_signer(&der)) {
            return Err(Fault::ForeignList(at + 1));
        }
        let list = OwnedCertRevocationList::from_der(&der).map_err(|error| damaged(error.to_string()))?;
        let next_update = parsed.next_update().and_then(|time| u64::try_from(time.timestamp()).ok());
        let (issuer, revoked) = (parsed.issuer().to_string(), parsed.iter_revoked_certificates().count());
        lists.push(List { list: Arc::new(list.into()), issuer, next_update, revoked });
    }
    Ok(lists)
}
