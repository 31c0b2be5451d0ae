//! What all connections of a substrate share, and what a reload replaces.

use super::Settings;
use super::calendar::{rfc3339, seconds};
use super::counts::Counts;
use super::credentials::{Credentials, CredentialsError, Fault, File};
use super::membership::{Membership, Peer, Purpose, Refusal};
use super::tickets::Tickets;
use super::verifier::{Time, Verifier, provider};
use rustls::client::Resumption;
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, ServerConfig};
use rustls_pki_types::CertificateDer;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What lasts as long as the substrate.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) counts: Counts,
    current: RwLock<Arc<Current>>,
    /// That of `current`, to be compared at every read and write.
    generation: AtomicU64,
}

/// What one set of credentials gives: all of it is replaced at once, so that no ticket outlasts the credentials under which it
/// was given.
pub(super) struct Current {
    pub(super) credentials: Credentials,
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
    membership: Arc<Membership>,
    /// This node, as its peers see it.
    own: Arc<Peer>,
    generation: u64,
}

impl Current {
    fn new(credentials: Credentials, settings: &Settings, generation: u64) -> Result<Self, CredentialsError> {
        let membership = Arc::new(credentials.membership());
        let now = seconds((settings.clock)());
        let parts = credentials.parts();
        let damaged = |refusal: Refusal| CredentialsError {
            file: File::Certificate,
            fault: Fault::Damaged(1, refusal.to_string()),
        };
        let own = membership.check(&parts.chain, Purpose::Client, now).map_err(damaged)?;
        let unusable = |error: Error| CredentialsError { file: File::Key, fault: Fault::Key(error.to_string()) };
        let (provider, verifier) = (Arc::new(provider()), Arc::new(Verifier(membership.clone())));
        let time = Arc::new(Time(settings.clock.clone()));
        let mut server = ServerConfig::builder_with_details(provider.clone(), time.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(parts.chain.clone(), parts.key.clone_key())
            .map_err(unusable)?;
        server.session_storage = Arc::new(Tickets::new(settings.sessions));
        server.send_tls13_tickets = settings.sessions.min(1);
        let mut client = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(parts.chain.clone(), parts.key.clone_key())
            .map_err(unusable)?;
        client.enable_sni = false;
        client.enable_early_data = false;
        client.resumption = match settings.sessions {
            0 => Resumption::disabled(),
            sessions => Resumption::in_memory_sessions(sessions),
        };
        let (client, server) = (Arc::new(client), Arc::new(server));
        Ok(Self { credentials, client, server, membership, own, generation })
    }

    /// Tells whether this node is a member itself now. One whose certificate has expired is a candidate for enrolment again and
    /// no longer part of the ACP (RFC 8994 §6.2.5.5).
    pub(super) fn check_own(&self, now: u64) -> Result<(), Refusal> {
        self.own.check(now).map_err(|refusal| Refusal::OwnCertificate(refusal.to_string()))
    }

    /// First and last second of the certificates from this node's to the anchor.
    pub(super) fn own_valid(&self) -> (u64, u64) {
        self.own.valid
    }
}

impl Shared {
    pub(super) fn new(credentials: Credentials, settings: Settings) -> Result<Self, CredentialsError> {
        let current = RwLock::new(Arc::new(Current::new(credentials, &settings, 0)?));
        Ok(Self { settings, counts: Counts::default(), current, generation: AtomicU64::new(0) })
    }

    pub(super) fn replace(&self, credentials: Credentials) -> Result<(), CredentialsError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let generation = current.generation + 1;
        *current = Arc::new(Current::new(credentials, &self.settings, generation)?);
        self.generation.store(generation, Ordering::Release);
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Wall clock in seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        seconds((self.settings.clock)())
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.counts.count("tls_refused", refusal.reason());
    }
}

/// The peer of one connection, whose membership is looked at again at every read and write.
pub(super) struct Watched {
    shared: Arc<Shared>,
    purpose: Purpose,
    /// What was dialled.
    at: Option<IpAddr>,
    current: Arc<Current>,
    pub(super) peer: Arc<Peer>,
}

impl Watched {
    /// Checks the peer after a handshake. After one that has resumed a session this is the only check.
    pub(super) fn new(
        shared: Arc<Shared>,
        purpose: Purpose,
        at: Option<IpAddr>,
        chain: &[CertificateDer<'static>],
    ) -> Result<Self, Refusal> {
        let (current, now) = (shared.current(), shared.now());
        let peer = Self::check_under(&current, purpose, at, chain, now)?;
        Ok(Self { shared, purpose, at, current, peer })
    }

    fn check_under(
        current: &Current,
        purpose: Purpose,
        at: Option<IpAddr>,
        chain: &[CertificateDer<'static>],
        now: u64,
    ) -> Result<Arc<Peer>, Refusal> {
        current.check_own(now)?;
        let peer = current.membership.check(chain, purpose, now)?;
        at.map_or(Ok(()), |at| peer.check_address(at))?;
        Ok(peer)
    }

    /// Checks the peer again: in full after a reload, else only whether its certificate and our own are still valid.
    pub(super) fn check(&mut self, chain: Option<&[CertificateDer<'static>]>) -> Result<(), Refusal> {
        let now = self.shared.now();
        let checked = if self.shared.generation.load(Ordering::Acquire) == self.current.generation {
            self.current.check_own(now).and_then(|()| self.peer.check(now))
        } else {
            let current = self.shared.current();
            let checked = Self::check_under(&current, self.purpose, self.at, chain.unwrap_or_default(), now);
            checked.map(|peer| (self.current, self.peer) = (current, peer))
        };
        checked.inspect_err(|refusal| {
            self.shared.counts.count("tls_cut_off", refusal.reason());
            let name = self.peer.member.name();
            tracing::warn!(member = name, %refusal, "a connection ends: its peer is no member any more");
        })
    }
}

/// For status: what somebody should do something about.
pub(super) fn warnings(current: &Current, now: u64, soon: u64) -> Vec<String> {
    let parts = current.credentials.parts();
    let mut warnings = Vec::new();
    let (first, last) = current.own_valid();
    if now > last {
        let at = rfc3339(last);
        warnings.push(format!("the certificate of this node has expired at {at}: GRASP is silent until it is renewed"));
    } else if now < first {
        let at = rfc3339(first);
        warnings.push(format!("the certificate of this node is not valid before {at}: is the clock right?"));
    } else if last - now < soon {
        warnings.push(format!("the certificate of this node, or one above it, ends at {}: renew it", rfc3339(last)));
    }
    for anchor in &parts.anchors {
        let (subject, last) = (&anchor.subject, anchor.valid.1);
        if now > last {
            warnings.push(format!("the trust anchor {subject} has ended at {}", rfc3339(last)));
        } else if last - now < soon {
            warnings.push(format!("the trust anchor {subject} ends at {}: add its successor", rfc3339(last)));
        }
    }
    for list in &parts.lists {
        if let Some(at) = list.next_update.filter(|at| *at < now) {
            let (issuer, at) = (&list.issuer, rfc3339(at));
            warnings.push(format!("the revocation list of {issuer} should have been renewed at {at}: fetch a new one"));
        }
    }
    warnings
}
