//! The handshake: bounded in bytes; whoever calls bounds its time by dropping it, which frees everything.

use super::membership::{Purpose, Refusal};
use super::state::{Shared, Watched};
use super::stream::{TlsStream, pull, push};
use super::verifier;
use crate::net::ByteStream;
use crate::substrate::Secured;
use rustls::{AlertDescription, ClientConnection, Connection, Error, HandshakeKind, ServerConnection};
use rustls_pki_types::{DnsName, ServerName};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Bytes that a peer may send before it has proved membership: twice the longest sensible chain of certificates.
const MAX_RECEIVED: usize = 32 * 1_024;

/// Proves and demands membership on a connection that this node has opened to `to`.
///
/// The last flight of the handshake stays with the stream and leaves with the first bytes that are written.
pub(super) async fn connect(shared: Arc<Shared>, io: ByteStream, to: SocketAddr) -> io::Result<Secured> {
    let current = shared.current();
    current.check_own(shared.now()).map_err(|refusal| refused(&shared, refusal))?;
    let connection = ClientConnection::new(current.client.clone(), name_of(to)?).map_err(io::Error::other)?;
    secure(shared, io, connection.into(), Purpose::Server, Some(to.ip())).await
}

/// Proves and demands membership on a connection that this node has accepted.
pub(super) async fn accept(shared: Arc<Shared>, io: ByteStream) -> io::Result<Secured> {
    let current = shared.current();
    current.check_own(shared.now()).map_err(|refusal| refused(&shared, refusal))?;
    let connection = ServerConnection::new(current.server.clone()).map_err(io::Error::other)?;
    secure(shared, io, connection.into(), Purpose::Client, None).await
}

/// The name under which sessions with a peer are remembered; it is neither sent nor checked.
fn name_of(to: SocketAddr) -> io::Result<ServerName<'static>> {
    let scope = if let SocketAddr::V6(to) = to { to.scope_id() } else { 0 };
    let address = match to.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let name = format!("a{:032x}.p{}.s{scope}.invalid", u128::from(address), to.port());
    DnsName::try_from(name).map(ServerName::DnsName).map_err(io::Error::other)
}

/// Counts a handshake that was given up.
struct Underway<'a>(Option<&'a Shared>);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.counts.count("tls_failed", "given up");
        }
    }
}

async fn secure(
    shared: Arc<Shared>,
    mut io: ByteStream,
    mut tls: Connection,
    purpose: Purpose,
    at: Option<IpAddr>,
) -> io::Result<Secured> {
    let mut underway = Underway(Some(&shared));
    let mut received = 0;
    let shaken = poll_fn(|cx| shake(&mut io, &mut tls, &mut received, cx)).await;
    underway.0 = None;
    shaken.map_err(|failure| failed(&shared, failure))?;
    let chain = tls.peer_certificates().unwrap_or_default();
    let watched = Watched::new(shared.clone(), purpose, at, chain).map_err(|refusal| refused(&shared, refusal))?;
    let kind = if tls.handshake_kind() == Some(HandshakeKind::Resumed) { "resumed" } else { "full" };
    shared.counts.count("tls_handshakes", kind);
    let member = Some(watched.peer.member.clone());
    Ok(Secured { stream: Box::new(TlsStream::new(io, tls, shared.clone(), watched)), member })
}

/// How a handshake fails.
enum Failure {
    Tls(Error),
    Transport(io::Error),
    TooLong,
}

fn shake(
    io: &mut ByteStream,
    tls: &mut Connection,
    received: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    while tls.is_handshaking() {
        if tls.wants_write() {
            ready!(push(io, tls, cx)).map_err(Failure::Transport)?;
            continue;
        }
        let read = ready!(pull(io, tls, cx)).map_err(Failure::Transport)?;
        if read == 0 {
            return Poll::Ready(Err(Failure::Transport(io::ErrorKind::UnexpectedEof.into())));
        }
        *received += read;
        if let Err(error) = tls.process_new_packets() {
            // The alert, as far as it goes.
            let _ = push(io, tls, cx);
            return Poll::Ready(Err(Failure::Tls(error)));
        }
        if tls.is_handshaking() && *received > MAX_RECEIVED {
            return Poll::Ready(Err(Failure::TooLong));
        }
    }
    Poll::Ready(Ok(()))
}

fn refused(shared: &Shared, refusal: Refusal) -> io::Error {
    shared.refused(&refusal);
    io::Error::new(io::ErrorKind::PermissionDenied, refusal)
}

fn failed(shared: &Shared, failure: Failure) -> io::Error {
    let error = match failure {
        Failure::Transport(error) => {
            shared.counts.count("tls_failed", "connection lost");
            return io::Error::new(
                error.kind(),
                format!("the connection was lost before membership was proved: {error}"),
            );
        }
        Failure::TooLong => {
            shared.counts.count("tls_failed", "too long");
            return io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer has sent more than 32 kB without proving membership",
            );
        }
        Failure::Tls(error) => error,
    };
    if let Some(refusal) = verifier::refusal(&error) {
        return refused(shared, refusal);
    }
    alerted(shared, &error).unwrap_or_else(|| {
        shared.counts.count("tls_failed", "protocol");
        io::Error::new(io::ErrorKind::InvalidData, format!("no proof of membership: {error}"))
    })
}

/// What it means that the peer has ended the handshake, or the connection right after it.
pub(super) fn alerted(shared: &Shared, error: &Error) -> Option<io::Error> {
    let Error::AlertReceived(alert) = error else { return None };
    let (label, meaning) = meaning(*alert);
    shared.counts.count("tls_refused_by_peer", label);
    let text = format!("the peer does not take this node for a member: {meaning}");
    Some(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others mean that TLS itself has failed")]
fn meaning(alert: AlertDescription) -> (&'static str, String) {
    match alert {
        AlertDescription::CertificateExpired => ("expired", "it says that our certificate is not valid now".into()),
        AlertDescription::CertificateRevoked => ("revoked", "it says that our certificate has been revoked".into()),
        AlertDescription::UnknownCA => ("untrusted", "it does not trust the anchor of our certificate".into()),
        AlertDescription::UnsupportedCertificate => ("purpose", "our certificate is not for this use".into()),
        AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            ("no member", "it finds no acp-node-name of its domain in our certificate".into())
        }
        other => ("protocol", format!("TLS alert {other:?}")),
    }
}
