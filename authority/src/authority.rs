//! The authority of a domain: certificates of nodes, and lists of those that are revoked.

use std::fmt;
use std::str::FromStr;

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    RevokedCertParams, SerialNumber, SignatureAlgorithm, SigningKey, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

use crate::names::{AcpNodeName, Domain, NodeName};
use crate::{Error, inspect, profile};

/// From when until when something holds, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: OffsetDateTime,
    /// The last moment.
    pub until: OffsetDateTime,
}

impl Validity {
    /// Refuses what ends before it begins, and years that certificates cannot say (RFC 5280, section 4.1.2.5).
    fn check(self) -> Result<(), Error> {
        if self.until <= self.from {
            return Err(Error::Validity(format!("it would end at {} and begin at {}", self.until, self.from)));
        }
        // No time of this library is after 9999.
        if self.from.year() < 1950 {
            return Err(Error::Validity("it would begin before 1950".to_owned()));
        }
        Ok(())
    }
}

/// The serial number of a certificate: 16 octets, positive, the first never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub(crate) [u8; 16]);

impl Serial {
    /// Makes a serial number of random octets; two bits of them are settled, so that all are positive and equally long.
    #[must_use]
    pub const fn from_random(mut octets: [u8; 16]) -> Self {
        octets[0] = octets[0] & 0x7f | 0x40;
        Self(octets)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = Error;

    /// Reads 32 hexadecimal digits, which may stand in pairs with colons between, as openssl writes them.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = if text.contains(':') && text.split(':').all(|pair| pair.len() == 2) {
            text.replace(':', "")
        } else {
            text.to_owned()
        };
        let hexadecimal = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let serial = hexadecimal.then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
        match serial.map(u128::to_be_bytes) {
            Some(octets) if Self::from_random(octets).0 == octets => Ok(Self(octets)),
            Some(_) | None => {
                Err(Error::Certificate("a serial number of this authority has 32 hexadecimal digits".to_owned()))
            }
        }
    }
}

/// A certificate that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose.
    pub node: NodeName,
    /// Its acp-node-name; it has to be in the domain of the authority.
    pub name: AcpNodeName,
    /// Its number: random, and never used before.
    pub serial: Serial,
    /// How long it is valid; not longer than the authority itself.
    pub validity: Validity,
}

/// A certificate with its key.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PKCS#8 as PEM.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A certificate that is valid no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Its number.
    pub serial: Serial,
    /// Since when.
    pub at: OffsetDateTime,
}

/// A revocation list that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocations {
    /// Its number: greater than that of every list before (RFC 5280, section 5.2.3).
    pub number: u64,
    /// thisUpdate and nextUpdate.
    pub validity: Validity,
    /// What is in it.
    pub revoked: Vec<Revoked>,
}

/// A key that is cleared when it is dropped, as far as the library lets it: ring keeps a copy that it does not clear.
struct Key(KeyPair);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}

/// A new key of ECDSA on P-256.
fn generate() -> Result<Key, Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Key).map_err(signing)
}

#[allow(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn signing(error: rcgen::Error) -> Error {
    Error::Signing(error.to_string())
}

/// The authority of one domain.
pub struct Authority {
    issuer: Issuer<'static, Key>,
    domain: Domain,
    certificate: String,
    validity: Validity,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl Authority {
    /// Founds a domain: a new key with a certificate that vouches for itself. Returns the key as PKCS#8 PEM too.
    ///
    /// # Errors
    ///
    /// If the validity is none, or the library fails.
    pub fn create(domain: Domain, serial: Serial, validity: Validity) -> Result<(Self, Zeroizing<String>), Error> {
        validity.check()?;
        let key = generate()?;
        let secret = Zeroizing::new(key.0.serialize_pem());
        let params = profile::authority(&domain, serial, validity);
        let certificate = params.self_signed(&key).map_err(signing)?.pem();
        Ok((Self { issuer: Issuer::new(params, key), domain, certificate, validity }, secret))
    }

    /// Takes up the authority of a domain again.
    ///
    /// # Errors
    ///
    /// If the certificate or the key cannot be read, do not belong together, or are not those of this domain.
    pub fn load(domain: Domain, certificate: &str, key: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Err(Error::Certificate(format!("the certificate of the authority {why}")));
        let der = inspect::only_certificate(certificate)?;
        let Ok((_, read)) = X509Certificate::from_der(&der) else { return wrong("cannot be read") };
        if !read.is_ca() {
            return wrong("is none of an authority");
        }
        let expected = profile::authority_name(&domain);
        let name = read.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
        if name != expected {
            let name: String = name.chars().take(100).collect();
            return wrong(&format!("is for {name:?}, and this domain needs {expected:?}"));
        }
        let key = inspect::private_key(key).map(Key)?;
        if key.0.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(Error::Key("the key of the authority is not of ECDSA on P-256".to_owned()));
        }
        if key.subject_public_key_info() != read.public_key().raw {
            return Err(Error::Key("the key of the authority does not belong to its certificate".to_owned()));
        }
        let bounds = read.validity();
        let validity = Validity { from: bounds.not_before.to_datetime(), until: bounds.not_after.to_datetime() };
        let issuer = Issuer::from_ca_cert_der(&der.into(), key);
        let issuer =
            issuer.map_err(|error| Error::Certificate(format!("the certificate of the authority: {error}")))?;
        Ok(Self { issuer, domain, certificate: certificate.to_owned(), validity })
    }

    /// Its domain.
    #[must_use]
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Its own certificate, PEM: the trust anchor of the domain.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// How long it is valid itself.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Makes a key for a node, with its certificate.
    ///
    /// # Errors
    ///
    /// If the name is of another domain, the certificate would outlive the authority, or the library fails.
    pub fn issue(&self, request: &Request) -> Result<Issued, Error> {
        let key = generate()?;
        let certificate = self.certify(request, &key)?;
        Ok(Issued { certificate, key: Zeroizing::new(key.0.serialize_pem()) })
    }

    /// Makes another certificate for the key of one that this authority has made before.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue); and if the old certificate is not of this authority or not of this node.
    pub fn renew(&self, request: &Request, old: &str) -> Result<String, Error> {
        let wrong = |why: &str| Err(Error::Certificate(format!("the certificate to renew {why}")));
        let der = inspect::only_certificate(old)?;
        let Ok((_, read)) = X509Certificate::from_der(&der) else { return wrong("cannot be read") };
        let anchor = inspect::only_certificate(&self.certificate)?;
        let Ok((_, anchor)) = X509Certificate::from_der(&anchor) else {
            return wrong("cannot be compared with that of the authority");
        };
        if read.verify_signature(Some(anchor.public_key())).is_err() {
            return wrong("was not made by this authority");
        }
        let name = read.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        if name != Some(request.node.as_str()) {
            return wrong("is not that of the node");
        }
        let key = SubjectPublicKeyInfo::from_der(read.public_key().raw);
        let key = key.map_err(|error| Error::Key(format!("the public key of the certificate: {error}")))?;
        self.certify(request, &key)
    }

    fn certify(&self, request: &Request, key: &impl PublicKeyData) -> Result<String, Error> {
        request.validity.check()?;
        if request.name.domain != self.domain {
            let why = format!("{} is not in the domain {}", request.name, self.domain);
            return Err(Error::Certificate(why));
        }
        if request.validity.until > self.validity.until || request.validity.from < self.validity.from {
            let (from, until) = (self.validity.from, self.validity.until);
            let why = format!("the authority is valid from {from} until {until}, and no certificate can outlive it");
            return Err(Error::Validity(why));
        }
        let params = profile::node(request, &request.name);
        Ok(params.signed_by(key, &self.issuer).map_err(signing)?.pem())
    }

    /// Signs a revocation list and returns it as PEM.
    ///
    /// # Errors
    ///
    /// If its validity is none, or the library fails.
    pub fn revocations(&self, list: &Revocations) -> Result<String, Error> {
        list.validity.check()?;
        let revoked = list.revoked.iter().map(|revoked| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&revoked.serial.0),
            revocation_time: revoked.at,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: list.validity.from,
            next_update: list.validity.until,
            crl_number: SerialNumber::from_slice(&list.number.to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).and_then(|signed| signed.pem()).map_err(signing)
    }
}
