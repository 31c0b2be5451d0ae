//! What rustls asks about peers, answered by membership alone: no name of a host is checked, the group is the authority.

use super::Now;
use super::calendar::seconds;
use super::membership::{Membership, Purpose, Refusal, SIGNATURES};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use webpki::ring as algorithms;

/// Signatures in handshakes; see [`SIGNATURES`].
const SCHEMES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: SIGNATURES,
    mapping: &[
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[algorithms::ECDSA_P256_SHA256]),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[algorithms::ECDSA_P384_SHA384]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        // For certificates only: TLS 1.3 has no such signatures in its handshake.
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithms::RSA_PKCS1_2048_8192_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithms::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithms::RSA_PKCS1_2048_8192_SHA512]),
    ],
};

/// The algorithms of RFC 8994 §6.1: symmetric ones of 256 bits; P-256 and P-384, which every node has. X25519 comes first, since it
/// takes two thirds of the time of P-256; a node without it asks for another once, which is remembered. Messages are short, so that the
/// key schedule counts more than the cipher: SHA-256, for which processors have instructions, makes a handshake a third shorter.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![ring::kx_group::X25519, ring::kx_group::SECP256R1, ring::kx_group::SECP384R1],
        signature_verification_algorithms: SCHEMES,
        ..ring::default_provider()
    }
}

/// The clock for rustls.
pub(super) struct Time(pub(super) Now);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds((self.0)()))))
    }
}

/// Checks the membership of whoever is at the other end.
pub(super) struct Verifier(pub(super) Arc<Membership>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn check(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<_> = [own].into_iter().chain(above).cloned().collect();
        self.0
            .check(&chain, purpose, now.as_secs())
            .map(drop)
            .map_err(|refusal| Error::InvalidCertificate(as_alert(refusal, now)))
    }
}

/// As what becomes the fitting alert, so that the other end knows what is wrong with it.
#[expect(clippy::wildcard_enum_match_arm, reason = "for all others there is only certificate_unknown")]
fn as_alert(refusal: Refusal, time: UnixTime) -> CertificateError {
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    match refusal {
        Refusal::Expired(last) => CertificateError::ExpiredContext { time, not_after: at(last) },
        Refusal::NotYetValid(first) => CertificateError::NotValidYetContext { time, not_before: at(first) },
        Refusal::Revoked => CertificateError::Revoked,
        Refusal::Untrusted(_) => CertificateError::UnknownIssuer,
        Refusal::Purpose => CertificateError::InvalidPurpose,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}

/// What the check has said, if that is what has ended a handshake.
#[expect(clippy::wildcard_enum_match_arm, reason = "what the check does not say is not its refusal")]
pub(super) fn refusal(error: &Error) -> Option<Refusal> {
    let error = match error {
        Error::InvalidCertificate(error) => error,
        Error::NoCertificatesPresented => return Some(Refusal::NoCertificate),
        _ => return None,
    };
    Some(match error {
        CertificateError::ExpiredContext { not_after, .. } => Refusal::Expired(not_after.as_secs()),
        CertificateError::NotValidYetContext { not_before, .. } => Refusal::NotYetValid(not_before.as_secs()),
        CertificateError::Revoked => Refusal::Revoked,
        CertificateError::UnknownIssuer => Refusal::Untrusted("unknown issuer, or a wrong signature".into()),
        CertificateError::InvalidPurpose => Refusal::Purpose,
        CertificateError::Other(OtherError(cause)) => return cause.downcast_ref::<Refusal>().cloned(),
        CertificateError::BadSignature => Refusal::Malformed("it does not fit the signature of the handshake".into()),
        other => Refusal::Malformed(other.to_string()),
    })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, Purpose::Server, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &SCHEMES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    /// No hints: they would tell every stranger which domain this is, and members have one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates, Purpose::Client, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &SCHEMES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.supported_schemes()
    }
}
