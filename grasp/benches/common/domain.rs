//! Two members of a domain, for the benchmarks that compare TLS with clear text.

use grasp::substrate::Substrate;
use grasp::substrate::tls::{Credentials, Settings, TlsSubstrate};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::sync::Arc;
use std::time::SystemTime;

/// A subjectAltName with the acp-node-name `0@acp.example.com`.
const NAMES: &[u8] = b"\x30\x21\xa0\x1f\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x0a\xa0\x13\x16\x110@acp.example.com";

/// Substrates of two members with keys on P-256 that remember so many sessions.
pub(crate) fn members(sessions: usize) -> [Arc<dyn Substrate>; 2] {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let anchor = root.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(root, key);
    [1_u64, 2].map(|serial| {
        let mut params = CertificateParams::default();
        params.serial_number = Some(serial.into());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], NAMES.to_vec())];
        let key = KeyPair::generate().unwrap();
        let (chain, key) = (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem());
        let now = SystemTime::now();
        let credentials =
            Credentials::from_pem(chain.as_bytes(), key.as_bytes(), anchor.as_bytes(), None, now).unwrap();
        let settings = Settings { sessions, ..Settings::default() };
        Arc::new(TlsSubstrate::new(credentials, settings).unwrap()) as Arc<dyn Substrate>
    })
}
