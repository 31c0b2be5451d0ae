//! Whether somebody vouches for a certificate or a revocation list: the same checks, by the same library, as in TLS.

use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder, anchor_from_trusted_cert,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::{Error, inspect};

/// Checks a chain, the certificate of the node first, against anchors: signatures, validity, purposes, and, if there is a
/// revocation list, that nothing is revoked. An authority that is an anchor itself is vouched for by being one.
///
/// # Errors
///
/// [`Error::Certificate`] with the reason; others if a text cannot be read.
pub fn chain(text: &str, anchors: &str, revocations: Option<&str>, at: OffsetDateTime) -> Result<(), Error> {
    let chain: Vec<CertificateDer<'_>> = inspect::certificates(text)?.into_iter().map(Into::into).collect();
    let anchors: Vec<CertificateDer<'_>> = inspect::certificates(anchors)?.into_iter().map(Into::into).collect();
    let Some((leaf, others)) = chain.split_first() else {
        return Err(Error::Pem("it has no certificate".to_owned()));
    };
    if anchors.is_empty() {
        return Err(Error::Pem("the anchors have no certificate".to_owned()));
    }
    if anchors.contains(leaf) {
        return is_valid(leaf, at);
    }
    let refused = |error: webpki::Error| Error::Certificate(reason(&error));
    let trusted: Result<Vec<_>, _> = anchors.iter().map(anchor_from_trusted_cert).collect();
    let trusted = trusted.map_err(|error| Error::Certificate(format!("an anchor cannot be used: {error}")))?;
    let leaf = EndEntityCert::try_from(leaf).map_err(refused)?;
    let lists = revocations.map(inspect::lists).transpose()?.unwrap_or_default();
    let unread = |error: webpki::Error| Error::Revocations(format!("the revocation list cannot be used: {error}"));
    let lists: Result<Vec<CertRevocationList<'_>>, _> =
        lists.iter().map(|der| OwnedCertRevocationList::from_der(der).map(Into::into)).collect();
    let lists = lists.map_err(unread)?;
    let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    for usage in [KeyUsage::client_auth(), KeyUsage::server_auth()] {
        let revocation = RevocationOptionsBuilder::new(&lists).ok();
        let revocation = revocation.map(|options| options.with_expiration_policy(ExpirationPolicy::Enforce).build());
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &trusted, others, now, usage, revocation, None)
            .map_err(refused)?;
    }
    Ok(())
}

fn is_valid(der: &[u8], at: OffsetDateTime) -> Result<(), Error> {
    let (_, read) = X509Certificate::from_der(der)
        .map_err(|error| Error::Certificate(format!("the certificate cannot be read: {error}")))?;
    let bounds = read.validity();
    if bounds.not_before.to_datetime() > at || bounds.not_after.to_datetime() < at {
        return Err(Error::Certificate("it is an anchor, but is not valid at this time".to_owned()));
    }
    Ok(())
}

/// Checks that every revocation list of a text was signed by one of the anchors. Whether they are out of date is not checked.
///
/// # Errors
///
/// [`Error::Revocations`] with the reason; others if a text cannot be read.
pub fn revocations(text: &str, anchors: &str) -> Result<(), Error> {
    let anchors = inspect::certificates(anchors)?;
    let anchors: Vec<X509Certificate<'_>> =
        anchors.iter().filter_map(|der| X509Certificate::from_der(der).ok()).map(|(_, read)| read).collect();
    for der in inspect::lists(text)? {
        let (_, list) = CertificateRevocationList::from_der(&der)
            .map_err(|error| Error::Revocations(format!("the revocation list cannot be read: {error}")))?;
        let signed = |anchor: &X509Certificate<'_>| {
            anchor.subject().as_raw() == list.issuer().as_raw() && list.verify_signature(anchor.public_key()).is_ok()
        };
        if !anchors.iter().any(signed) {
            return Err(Error::Revocations("no anchor has signed the revocation list".to_owned()));
        }
    }
    Ok(())
}

/// The commonest reasons in words.
fn reason(error: &webpki::Error) -> String {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the others say by themselves what is wrong")]
    let text = match error {
        webpki::Error::UnknownIssuer => "no anchor vouches for it",
        webpki::Error::CertRevoked => "it is revoked",
        webpki::Error::CertExpired { .. } => "it, or one above it, has expired",
        webpki::Error::CertNotValidYet { .. } => "it, or one above it, is not valid yet",
        webpki::Error::CrlExpired { .. } => "the revocation list is out of date",
        webpki::Error::CaUsedAsEndEntity => "it is that of an authority, and none of the anchors",
        webpki::Error::UnknownRevocationStatus => "no revocation list speaks of its issuer",
        other => return format!("it does not verify: {other}"),
    };
    text.to_owned()
}
