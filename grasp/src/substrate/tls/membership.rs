//! Who is a member of the domain: the check of RFC 8994 §6.2.3, points 2 to 4. Point 1, that the peer has the key, is TLS's.

use super::bounded::Bounded;
use super::calendar::rfc3339;
use super::certificate::{Contents, KeyFault, NameFault};
use super::node_name::NodeName;
use crate::protocol::Member;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use webpki::ring as algorithms;
use webpki::{
    CertRevocationList, EndEntityCert, Error as PathError, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

/// Signatures on certificates (RFC 8994 §6.2.1): RSA from 2048 bits, ECDSA on P-256 and P-384. Ed25519 is left out, since the
/// order of its group has less than 256 bits.
pub(super) const SIGNATURES: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    algorithms::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    algorithms::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
];
/// Certificates of the longest chain: the member's own, and more intermediate ones than RFC 8994 §6.2.4 asks for.
pub(super) const MAX_CHAIN: usize = 8;
/// Members that have been checked and are remembered, so that the next check costs little.
const REMEMBERED: usize = 4_096;
/// Bytes of the longest certificate of a member that is remembered.
const REMEMBERED_SIZE: usize = 4_096;

/// What a peer's certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// It has connected to this node.
    Client,
    /// This node has connected to it.
    Server,
}

/// Why a peer is not taken for a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No certificate at all.
    #[error("it has shown no certificate")]
    NoCertificate,
    /// Longer than any sensible chain.
    #[error("its certificate comes with too many others; at most 7 are taken")]
    LongChain,
    /// Not a certificate.
    #[error("its certificate cannot be read: {0}")]
    Malformed(String),
    /// The chain leads to none of the anchors of the domain.
    #[error("its certificate leads to none of the domain's trust anchors ({0})")]
    Untrusted(String),
    /// Over, at this second since 1970.
    #[error("its certificate, or one above it, has expired at {}", rfc3339(*.0))]
    Expired(u64),
    /// Too early, or the clock is wrong: valid from this second since 1970.
    #[error("its certificate, or one above it, is not valid before {}; are the clocks right?", rfc3339(*.0))]
    NotYetValid(u64),
    /// On a revocation list.
    #[error("its certificate, or one above it, has been revoked")]
    Revoked,
    /// Key usage forbids it.
    #[error("its certificate is not for this use: extendedKeyUsage leaves out the TLS role that it plays")]
    Purpose,
    /// See [`KeyFault`].
    #[error("its certificate is too weak: {0}")]
    Key(KeyFault),
    /// See [`NameFault`].
    #[error("its certificate names no node: {0}")]
    Name(NameFault),
    /// A member of another domain under the same anchor.
    #[error("it belongs to the domain {theirs}, this node to {ours}")]
    OtherDomain {
        /// That of the peer.
        theirs: String,
        /// Our own.
        ours: String,
    },
    /// A member has answered at an address that is not in the address set of its certificate.
    #[error("{name} has answered at {at}, which is not its address")]
    OtherAddress {
        /// The member.
        name: String,
        /// The address that was dialled.
        at: IpAddr,
    },
    /// Our own certificate is over or not valid yet.
    #[error("this node's own certificate is not valid now ({0}); renew it")]
    OwnCertificate(String),
}

impl Refusal {
    /// A short name for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no certificate",
            Self::LongChain | Self::Malformed(_) => "malformed",
            Self::Untrusted(_) => "untrusted",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not yet valid",
            Self::Revoked => "revoked",
            Self::Purpose => "purpose",
            Self::Key(_) => "weak key",
            Self::Name(_) => "no node name",
            Self::OtherDomain { .. } => "other domain",
            Self::OtherAddress { .. } => "other address",
            Self::OwnCertificate(_) => "own certificate",
        }
    }
}

/// A member whose certificate has been checked.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) member: Member,
    pub(super) node_name: NodeName,
    /// First and last second of the path from its certificate to the anchor.
    pub(super) valid: (u64, u64),
}

impl Peer {
    /// Tells whether all certificates of the path are valid now; nothing else about a path changes while anchors and revocation
    /// lists stay.
    pub(super) fn check(&self, now: u64) -> Result<(), Refusal> {
        let (first, last) = self.valid;
        if now < first {
            return Err(Refusal::NotYetValid(first));
        }
        if now > last {
            return Err(Refusal::Expired(last));
        }
        Ok(())
    }

    /// A member answers only for its own addresses: one whose certificate has an acp-address is refused when it answers at an
    /// address of the domain that is not in its address set. Link-local and loopback addresses are nobody's in particular.
    pub(super) fn check_address(&self, at: IpAddr) -> Result<(), Refusal> {
        let at = at.to_canonical();
        let nobodys = at.is_loopback() || matches!(at, IpAddr::V6(at) if at.is_unicast_link_local());
        if nobodys || self.node_name.address.covers(at) {
            return Ok(());
        }
        Err(Refusal::OtherAddress { name: self.member.name().to_owned(), at })
    }
}

/// A trust anchor of the domain (RFC 8994 §6.2.4).
#[derive(Debug, Clone)]
pub(super) struct Anchor {
    pub(super) anchor: TrustAnchor<'static>,
    /// First and last second of its certificate.
    pub(super) valid: (u64, u64),
    /// Its subject, for status.
    pub(super) subject: String,
}

/// Peers by what their certificate is used for, and its bytes.
type Checked = Bounded<(Purpose, Vec<u8>), Arc<Peer>>;

/// What is needed to check membership; never changes, a reload makes another.
///
/// Revocation is known from the lists that the operator provides; neither CRL distribution points nor OCSP responders are asked. An
/// extendedKeyUsage has to name the role itself: anyExtendedKeyUsage alone is not enough.
pub(super) struct Membership {
    domain: String,
    anchors: Vec<Anchor>,
    revocations: Vec<Arc<CertRevocationList<'static>>>,
    checked: Mutex<Checked>,
}

impl Membership {
    pub(super) fn new(
        domain: String,
        anchors: Vec<Anchor>,
        revocations: Vec<Arc<CertRevocationList<'static>>>,
    ) -> Self {
        Self { domain, anchors, revocations, checked: Mutex::new(Bounded::new(REMEMBERED)) }
    }

    /// Checks a peer's certificates, its own first, at a time in seconds since 1970.
    pub(super) fn check(&self, chain: &[CertificateDer<'_>], purpose: Purpose, now: u64) -> Result<Arc<Peer>, Refusal> {
        let (own, above) = chain.split_first().ok_or(Refusal::NoCertificate)?;
        let key = (purpose, own.to_vec());
        let known = self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(peer) = known {
            return peer.check(now).map(|()| peer);
        }
        let peer = Arc::new(self.check_anew(own, above, purpose, now)?);
        if own.len() <= REMEMBERED_SIZE {
            self.checked.lock().unwrap_or_else(PoisonError::into_inner).put(key, peer.clone());
        }
        Ok(peer)
    }

    fn check_anew(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        purpose: Purpose,
        now: u64,
    ) -> Result<Peer, Refusal> {
        if above.len() >= MAX_CHAIN {
            return Err(Refusal::LongChain);
        }
        let unreadable = || Refusal::Malformed("it is no X.509 certificate".into());
        let contents = Contents::read(own).ok_or_else(unreadable)?;
        contents.key.map_err(Refusal::Key)?;
        let valid = self.check_path(own, above, purpose, now, contents.valid)?;
        let node_name = contents.node_name.clone().map_err(Refusal::Name)?;
        if node_name.domain != self.domain {
            return Err(Refusal::OtherDomain { theirs: node_name.domain, ours: self.domain.clone() });
        }
        let member = Member::new(contents.names(&node_name));
        Ok(Peer { member, node_name, valid })
    }

    /// Path validation (RFC 5280 §6) to an anchor that is valid itself, with the revocation lists that there are. A list that
    /// should have been renewed still counts: whom it names is revoked (RFC 8994 §6.2.3 point 3 asks for no more than what is
    /// available). Returns the time at which all of the path is valid.
    fn check_path(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        purpose: Purpose,
        now: u64,
        valid: (u64, u64),
    ) -> Result<(u64, u64), Refusal> {
        let in_force = self.anchors.iter().filter(|one| one.valid.0 <= now && now <= one.valid.1);
        let anchors: Vec<_> = in_force.map(|one| one.anchor.clone()).collect();
        let lists: Vec<_> = self.revocations.iter().map(AsRef::as_ref).collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Ignore)
                .build()
        });
        let usage = match purpose {
            Purpose::Client => KeyUsage::client_auth(),
            Purpose::Server => KeyUsage::server_auth(),
        };
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let certificate = EndEntityCert::try_from(own).map_err(|error| refusal(&error))?;
        let path = certificate
            .verify_for_usage(SIGNATURES, &anchors, above, time, usage, revocation, None)
            .map_err(|error| refusal(&error))?;
        let anchor = self.anchors.iter().find(|one| &one.anchor == path.anchor()).map(|one| one.valid);
        let intermediate = path.intermediate_certificates().filter_map(|one| Contents::read(&one.der()));
        let all = intermediate.map(|one| one.valid).chain(anchor);
        Ok(all.fold(valid, |all, one| (all.0.max(one.0), all.1.min(one.1))))
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open, and what is left is a path that leads nowhere")]
fn refusal(error: &PathError) -> Refusal {
    match error {
        PathError::CertExpired { not_after, .. } => Refusal::Expired(not_after.as_secs()),
        PathError::CertNotValidYet { not_before, .. } => Refusal::NotYetValid(not_before.as_secs()),
        PathError::CertRevoked => Refusal::Revoked,
        PathError::RequiredEkuNotFoundContext(_) | PathError::EmptyEkuExtension => Refusal::Purpose,
        PathError::BadDer | PathError::BadDerTime | PathError::TrailingData(_) => Refusal::Malformed(error.to_string()),
        other => Refusal::Untrusted(other.to_string()),
    }
}
