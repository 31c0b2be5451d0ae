//! Certification authorities and members for the tests of the substrate `tls`.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod outsider;
pub mod wire;

use grasp::substrate::tls::{Credentials, CredentialsError, Settings, TlsSubstrate};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SerialNumber, date_time_ymd,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const DOMAIN: &str = "acp.example.com";
/// Noon of 2030-06-15: the time at which tests begin.
pub const NOON: u64 = 1_907_755_200;
pub const HOUR: u64 = 3_600;
pub const DAY: u64 = 86_400;

/// A wall clock that a test can set.
#[derive(Clone)]
pub struct Wall(Arc<AtomicU64>);

impl Default for Wall {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(NOON)))
    }
}

impl Wall {
    pub fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    pub fn settings(&self) -> Settings {
        let wall = self.clone();
        Settings { clock: Arc::new(move || wall.now()), ..Settings::default() }
    }
}

/// What a certificate is to say.
#[derive(Clone)]
pub struct Order {
    pub common_name: Option<String>,
    pub dns_name: Option<String>,
    /// The acp-node-names.
    pub node_names: Vec<String>,
    /// Valid from and until, in seconds from [`NOON`].
    pub valid: (i64, i64),
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    pub serial: u64,
}

/// A member of the domain under this common name, for a day on either side of noon.
pub fn member(name: &str) -> Order {
    named(name, &format!("0@{DOMAIN}"))
}

/// The same with another acp-node-name.
pub fn named(name: &str, node_name: &str) -> Order {
    Order {
        common_name: Some(name.into()),
        dns_name: None,
        node_names: vec![node_name.into()],
        valid: (-(DAY as i64), DAY as i64),
        purposes: Vec::new(),
        serial: name.bytes().fold(7, |all, byte| all * 31 % 1_000_003 + u64::from(byte)),
    }
}

/// A certification authority.
pub struct Authority {
    pub certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Identity {
    pub order: Order,
    pub certificate: Certificate,
    pub key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::lasting(name, 40)
    }

    pub fn with_key(name: &str, key: KeyPair) -> Self {
        Self::of(authority_params(name, 2065), key)
    }

    /// One that ends so many years after the beginning of 2025.
    pub fn lasting(name: &str, years: i32) -> Self {
        Self::of(authority_params(name, 2025 + years), KeyPair::generate().unwrap())
    }

    fn of(params: CertificateParams, key: KeyPair) -> Self {
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// An authority below this one.
    pub fn below(&self, name: &str) -> Self {
        let (params, key) = (authority_params(name, 2060), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, order: Order) -> Identity {
        self.issue_for(order, KeyPair::generate().unwrap())
    }

    pub fn issue_for(&self, order: Order, key: KeyPair) -> Identity {
        let certificate = self.certify(&order, &key);
        Identity { order, certificate, key }
    }

    /// A certificate for any public key.
    pub fn certify(&self, order: &Order, key: &impl PublicKeyData) -> Certificate {
        params(order).signed_by(key, &self.issuer).unwrap()
    }

    /// A revocation list with these serial numbers, in PEM.
    pub fn revoke(&self, identities: &[&Identity]) -> String {
        let revoked = |one: &&Identity| RevokedCertParams {
            serial_number: one.order.serial.into(),
            revocation_time: date_time_ymd(2030, 6, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2030, 6, 1),
            next_update: date_time_ymd(2030, 6, 17),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: identities.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Credentials of a new member.
    pub fn credentials(&self, order: Order) -> Credentials {
        self.issue(order).credentials(self, None).unwrap()
    }

    /// A substrate of a new member.
    pub fn substrate(&self, order: Order, wall: &Wall) -> TlsSubstrate {
        TlsSubstrate::new(self.credentials(order), wall.settings()).unwrap()
    }
}

impl Identity {
    pub fn credentials(&self, authority: &Authority, lists: Option<&str>) -> Result<Credentials, CredentialsError> {
        self.credentials_at(authority, lists, NOON)
    }

    pub fn credentials_at(
        &self,
        authority: &Authority,
        lists: Option<&str>,
        now: u64,
    ) -> Result<Credentials, CredentialsError> {
        let (chain, key) = (self.certificate.pem(), self.key.serialize_pem());
        let now = UNIX_EPOCH + Duration::from_secs(now);
        Credentials::from_pem(
            chain.as_bytes(),
            key.as_bytes(),
            authority.pem().as_bytes(),
            lists.map(str::as_bytes),
            now,
        )
    }
}

fn authority_params(name: &str, until: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(Some(name));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params
}

fn subject(name: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if let Some(name) = name {
        subject.push(DnType::CommonName, name);
    }
    subject
}

fn params(order: &Order) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(order.common_name.as_deref());
    params.serial_number = Some(order.serial.into());
    let noon = date_time_ymd(2030, 6, 15) + Duration::from_secs(12 * HOUR);
    let at = |offset: i64| {
        let span = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 { noon - span } else { noon + span }
    };
    (params.not_before, params.not_after) = (at(order.valid.0), at(order.valid.1));
    params.extended_key_usages = order.purposes.clone();
    let names = order.node_names.iter().map(|name| other_name(name.as_bytes()));
    let names = names.chain(order.dns_name.iter().map(|name| tlv(0x82, name.as_bytes())));
    let names: Vec<u8> = names.flatten().collect();
    if !names.is_empty() {
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], tlv(0x30, &names))];
    }
    params
}

/// An otherName of the kind id-on-AcpNodeName with an IA5String in it.
pub fn other_name(name: &[u8]) -> Vec<u8> {
    let kind = [0x06, 8, 0x2b, 6, 1, 5, 5, 7, 8, 10];
    let value = tlv(0xa0, &tlv(0x16, name));
    tlv(0xa0, &[kind.as_slice(), &value].concat())
}

/// A DER item.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut item = vec![tag];
    match length {
        0..0x80 => item.push(length as u8),
        0x80..0x100 => item.extend([0x81, length as u8]),
        _ => item.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    item.extend(content);
    item
}
