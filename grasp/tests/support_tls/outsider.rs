//! Peers that use rustls as they like.

use super::{Identity, tlv};
use grasp::net::ByteStream;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server with a certificate that asks nobody for theirs.
pub fn server(identity: &Identity) -> Connection {
    server_with(provider(), identity)
}

pub fn server_with(provider: Arc<rustls::crypto::CryptoProvider>, identity: &Identity) -> Connection {
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.der().clone()], key(identity))
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap().into()
}

/// A client that trusts everybody, and shows what it is given.
pub fn client(resolver: Option<Arc<dyn rustls::client::ResolvesClientCert>>) -> Connection {
    client_of(&Arc::new(client_config(resolver)))
}

pub fn client_of(config: &Arc<ClientConfig>) -> Connection {
    ClientConnection::new(config.clone(), ServerName::try_from("any.example").unwrap()).unwrap().into()
}

pub fn client_config(resolver: Option<Arc<dyn rustls::client::ResolvesClientCert>>) -> ClientConfig {
    client_config_with(provider(), resolver)
}

pub fn client_config_with(
    provider: Arc<rustls::crypto::CryptoProvider>,
    resolver: Option<Arc<dyn rustls::client::ResolvesClientCert>>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    match resolver {
        None => builder.with_no_client_auth(),
        Some(resolver) => builder.with_client_cert_resolver(resolver),
    }
}

/// Shows a certificate, and signs with a key that need not be its own.
#[derive(Debug)]
pub struct Shows(pub Arc<rustls::sign::CertifiedKey>);

impl Shows {
    pub fn new(certificate: CertificateDer<'static>, identity: &Identity) -> Arc<Self> {
        let signer = rustls::crypto::ring::sign::any_supported_type(&key(identity)).unwrap();
        Arc::new(Self(Arc::new(rustls::sign::CertifiedKey::new(vec![certificate], signer))))
    }
}

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Speaks until the peer ends the connection; returns what TLS says at the end.
pub async fn serve(mut tls: Connection, mut io: ByteStream) -> String {
    let talk = async {
        loop {
            while tls.wants_write() {
                let mut out = Vec::new();
                tls.write_tls(&mut out).unwrap();
                if io.write_all(&out).await.is_err() {
                    return "cannot write".to_owned();
                }
            }
            let mut chunk = vec![0; 4_096];
            match io.read(&mut chunk).await {
                Ok(0) | Err(_) => return "closed".to_owned(),
                Ok(read) => {
                    let mut rest = &chunk[..read];
                    while !rest.is_empty() {
                        tls.read_tls(&mut rest).unwrap();
                        if let Err(error) = tls.process_new_packets() {
                            return error.to_string();
                        }
                        // Says back what it hears.
                        let mut heard = Vec::new();
                        let _ = tls.reader().read_to_end(&mut heard);
                        tls.writer().write_all(&heard).unwrap();
                    }
                }
            }
        }
    };
    timeout(Duration::from_secs(5), talk).await.unwrap_or_else(|_| "nothing more".to_owned())
}

/// A public key of so many bits that nobody has the private key of.
pub struct Rsa(pub usize);

impl rcgen::PublicKeyData for Rsa {
    fn der_bytes(&self) -> &[u8] {
        let mut modulus = vec![0x5a; self.0.div_ceil(8)];
        let top = (self.0 - 1) % 8;
        modulus[0] = 1 << top;
        if top == 7 {
            modulus.insert(0, 0);
        }
        *modulus.last_mut().unwrap() |= 1;
        let numbers = [tlv(2, &modulus), tlv(2, &[1, 0, 1])].concat();
        tlv(0x30, &numbers).leak()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

/// Believes everything.
#[derive(Debug)]
struct Credulous;

impl rustls::client::danger::ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
