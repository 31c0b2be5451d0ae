//! What stands in the certificates (RFC 8994, sections 6.2.1 and 6.2.2; RFC 5280).

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyUsagePurpose, SerialNumber,
};

use crate::authority::{Request, Serial, Validity};
use crate::names::{AcpNodeName, Domain};

/// What follows the domain in the name of its authority.
const TITLE: &str = " domain authority";
/// Characters of a common name, at most (RFC 5280, appendix A: ub-common-name).
const MAX_COMMON_NAME: usize = 64;
/// subjectAltName.
const SUBJECT_ALT_NAME: [u64; 4] = [2, 5, 29, 17];
/// id-on-AcpNodeName, 1.3.6.1.5.5.7.8.10, as DER.
const ACP_NODE_NAME: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x0a];

/// The common name of the authority of a domain; a domain that is too long for it is cut.
pub(crate) fn authority_name(domain: &Domain) -> String {
    let room = MAX_COMMON_NAME - TITLE.len();
    let domain = domain.as_str();
    if domain.len() <= room {
        return format!("{domain}{TITLE}");
    }
    // A domain is ASCII.
    let cut: String = domain.chars().take(room - 3).collect();
    format!("{cut}...{TITLE}")
}

fn common(name: &str, serial: Serial, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&serial.0));
    params.not_before = validity.from;
    params.not_after = validity.until;
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

/// The authority itself: it signs certificates of nodes, not of further authorities.
pub(crate) fn authority(domain: &Domain, serial: Serial, validity: Validity) -> CertificateParams {
    let mut params = common(&authority_name(domain), serial, validity);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A node.
pub(crate) fn node(request: &Request, name: &AcpNodeName) -> CertificateParams {
    let mut params = common(request.node.as_str(), request.serial, request.validity);
    params.is_ca = IsCa::ExplicitNoCa;
    // keyAgreement: section 6.2.1 asks for it where ECDH may be done with the key itself.
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // By hand: rcgen writes an otherName as UTF8String, and AcpNodeName is an IA5String.
    let names = alternative_names(name, request.node.in_dns(&name.domain).as_deref());
    params.custom_extensions = vec![CustomExtension::from_oid_content(&SUBJECT_ALT_NAME, names)];
    params
}

/// `SubjectAltName` as DER: the acp-node-name, and the name in the DNS if there is one.
fn alternative_names(name: &AcpNodeName, dns: Option<&str>) -> Vec<u8> {
    let oid = der(0x06, &ACP_NODE_NAME);
    let text = der(0x16, name.to_string().as_bytes());
    let mut names = der(0xa0, &[oid, der(0xa0, &text)].concat());
    names.extend(dns.map(|dns| der(0x82, dns.as_bytes())).unwrap_or_default());
    der(0x30, &names)
}

/// One element of DER: tag, length, content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut element = vec![tag];
    match significant {
        [] => element.push(0),
        [short] if *short < 0x80 => element.push(*short),
        long => {
            #[allow(clippy::cast_possible_truncation, reason = "a usize has at most eight octets")]
            element.push(0x80 | long.len() as u8);
            element.extend(long);
        }
    }
    element.extend(content);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_their_shortest_form() {
        for (length, head) in [
            (0, &[4_u8, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
        ] {
            let element = der(4, &vec![7; length]);
            assert_eq!(&element[..head.len()], head);
            assert_eq!(element.len(), head.len() + length);
        }
    }

    #[test]
    fn the_name_of_an_authority_is_never_longer_than_a_common_name() {
        let domain: Domain = "acp.example.com".parse().unwrap();
        assert_eq!(authority_name(&domain), "acp.example.com domain authority");
        for length in [46, 47, 48, 63] {
            let domain: Domain = "a".repeat(length).parse().unwrap();
            let name = authority_name(&domain);
            assert_eq!((name.len() <= MAX_COMMON_NAME, name.contains("...")), (true, length > 47), "{name}");
        }
    }
}
