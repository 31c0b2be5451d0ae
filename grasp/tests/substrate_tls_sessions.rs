//! The substrate `tls` over time: sessions that are resumed, credentials that are replaced, certificates that end.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support_tls;

use grasp::substrate::Substrate;
use grasp::substrate::tls::{Settings, TlsSubstrate};
use std::net::SocketAddr;
use std::time::Duration;
use support_tls::outsider::{self, serve};
use support_tls::wire::{ANYWHERE, connected, count, dial, dial_at, pipe, refused};
use support_tls::{Authority, DAY, HOUR, Identity, NOON, Order, Wall, member};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FULL: &str = "tls_handshakes{full}";
const RESUMED: &str = "tls_handshakes{resumed}";

fn address() -> SocketAddr {
    ANYWHERE.parse().unwrap()
}

/// A connection on which something is said in both directions, so that a ticket has arrived.
async fn talk(client: &TlsSubstrate, server: &TlsSubstrate) {
    let (mut there, mut here) = connected(client, server).await;
    there.stream.write_all(b"request").await.unwrap();
    here.stream.read_exact(&mut [0; 7]).await.unwrap();
    here.stream.write_all(b"answer").await.unwrap();
    there.stream.read_exact(&mut [0; 6]).await.unwrap();
}

fn substrate(identity: &Identity, authority: &Authority, wall: &Wall) -> TlsSubstrate {
    TlsSubstrate::new(identity.credentials(authority, None).unwrap(), wall.settings()).unwrap()
}

/// The second connection to a peer resumes the session of the first; the peer is known by name all the same.
#[tokio::test(start_paused = true)]
async fn sessions_are_resumed_for_each_peer_and_port() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, b) = (authority.substrate(member("a"), &wall), authority.substrate(member("b"), &wall));
    for _ in 0..5 {
        talk(&a, &b).await;
    }
    assert_eq!([FULL, RESUMED].map(|name| count(&a, name)), [1, 4]);
    assert_eq!([FULL, RESUMED].map(|name| count(&b, name)), [1, 4]);
    let (there, here) = connected(&a, &b).await;
    assert_eq!((there.member.unwrap().name(), here.member.unwrap().name()), ("b", "a"));
    // Somebody else at another port is not offered that session.
    let c = authority.substrate(member("c"), &wall);
    let (dialled, accepted, _) = dial_at(&a, &c, "[::1]:7018").await;
    assert_eq!(dialled.unwrap().member.unwrap().name(), "c");
    accepted.unwrap();
    assert_eq!(count(&a, FULL), 2);
    // And one that does not know it makes a new one.
    let (dialled, accepted, _) = dial_at(&a, &c, ANYWHERE).await;
    assert_eq!(dialled.unwrap().member.unwrap().name(), "c");
    accepted.unwrap();
    assert_eq!(count(&a, FULL), 3);
}

/// A resumed session is no way around the membership check: the end of the client's certificate ends it, on the server's clock.
#[tokio::test(start_paused = true)]
async fn a_resumed_session_does_not_outlast_the_certificate() {
    let authority = Authority::new("root");
    let (wall, slow) = (Wall::default(), Wall::default());
    let short = authority.issue(Order { valid: (-60, HOUR as i64), ..member("short") });
    let long = authority.issue(member("long"));
    let (client, server) = (substrate(&short, &authority, &slow), substrate(&long, &authority, &wall));
    talk(&client, &server).await;
    talk(&client, &server).await;
    assert_eq!(count(&server, RESUMED), 1);
    wall.set(NOON + HOUR + 1);
    let (_, accepted) = dial(&client, &server).await;
    assert!(refused(accepted).contains("has expired at 2030-06-15T13:00:00Z"));
    // The other way round: the client's clock goes on and the server's stands still.
    let (wall, slow) = (Wall::default(), Wall::default());
    let (client, server) = (substrate(&long, &authority, &wall), substrate(&short, &authority, &slow));
    talk(&client, &server).await;
    wall.set(NOON + HOUR + 1);
    let (dialled, _) = dial(&client, &server).await;
    assert!(refused(dialled).contains("has expired at 2030-06-15T13:00:00Z"));
    assert_eq!([FULL, RESUMED, "tls_refused{expired}"].map(|name| count(&client, name)), [1, 0, 1]);
}

/// After a reload no old ticket is worth anything, and a revoked peer gets in neither with one nor without.
#[tokio::test(start_paused = true)]
async fn a_reload_voids_all_tickets() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (ours, theirs) = (authority.issue(member("ours")), authority.issue(member("theirs")));
    let (a, b) = (substrate(&ours, &authority, &wall), substrate(&theirs, &authority, &wall));
    talk(&b, &a).await;
    talk(&b, &a).await;
    talk(&a, &b).await;
    a.reload(ours.credentials(&authority, None).unwrap()).unwrap();
    talk(&b, &a).await;
    talk(&a, &b).await;
    assert_eq!([FULL, RESUMED].map(|name| count(&a, name)), [4, 1]);
    talk(&b, &a).await;
    assert_eq!(count(&a, RESUMED), 2);
    let list = authority.revoke(&[&theirs]);
    a.reload(ours.credentials(&authority, Some(&list)).unwrap()).unwrap();
    let (_, accepted) = dial(&b, &a).await;
    assert!(refused(accepted).contains("revoked"));
    let (dialled, _) = dial(&a, &b).await;
    assert!(refused(dialled).contains("revoked"));
    assert_eq!([FULL, RESUMED].map(|name| count(&a, name)), [4, 2]);
    assert_eq!(a.standing().facts["revoked certificates"], "1");
}

/// G-DSG-02: a revoked peer is cut off. What it has sent before and after is not handed on, and nothing is sent to it.
#[tokio::test(start_paused = true)]
async fn a_reload_cuts_off_the_open_connections_of_who_is_revoked() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let ours = authority.issue(member("ours"));
    let (gone, stays) = (authority.issue(member("gone")), authority.issue(member("stays")));
    let a = substrate(&ours, &authority, &wall);
    let (b, c) = (substrate(&gone, &authority, &wall), substrate(&stays, &authority, &wall));
    let (mut to_gone, mut at_gone) = connected(&a, &b).await;
    let (mut at_stays, mut to_stays) = connected(&c, &a).await;
    at_gone.stream.write_all(b"bytes that are under way").await.unwrap();
    at_stays.stream.write_all(b"bytes").await.unwrap();
    to_gone.stream.read_exact(&mut [0; 5]).await.unwrap();
    let list = authority.revoke(&[&gone]);
    a.reload(ours.credentials(&authority, Some(&list)).unwrap()).unwrap();
    let error = to_gone.stream.read(&mut [0; 64]).await.unwrap_err();
    assert!(error.to_string().contains("has been revoked"), "{error}");
    let error = to_gone.stream.write(b"secret").await.unwrap_err();
    assert!(error.to_string().contains("has been revoked"), "{error}");
    to_stays.stream.read_exact(&mut [0; 5]).await.unwrap();
    assert_eq!(count(&a, "tls_cut_off{revoked}"), 2);
    // The domain itself can change as well.
    let other = authority.issue(support_tls::named("ours", "0@other.example.com"));
    a.reload(other.credentials(&authority, None).unwrap()).unwrap();
    let error = to_stays.stream.read(&mut [0; 64]).await.unwrap_err();
    assert!(error.to_string().contains("belongs to the domain acp.example.com"), "{error}");
}

/// An open connection ends with the certificate of its peer, or with our own.
#[tokio::test(start_paused = true)]
async fn open_connections_end_with_the_certificates() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let short = authority.issue(Order { valid: (-60, HOUR as i64), ..member("short") });
    let long = authority.issue(member("long"));
    let (a, b) = (substrate(&long, &authority, &wall), substrate(&short, &authority, &wall));
    let (mut at_a, mut at_b) = connected(&a, &b).await;
    at_b.stream.write_all(b"in time, but read too late").await.unwrap();
    wall.set(NOON + HOUR);
    at_a.stream.read_exact(&mut [0; 7]).await.unwrap();
    wall.set(NOON + HOUR + 1);
    let error = at_a.stream.read(&mut [0; 64]).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    let error = at_b.stream.write(b"more").await.unwrap_err();
    assert!(error.to_string().contains("this node's own certificate is not valid now"), "{error}");
    assert_eq!(count(&a, "tls_cut_off{expired}"), 1);
    assert_eq!(count(&b, "tls_cut_off{own certificate}"), 1);
}

/// RFC 8994 §6.2.5.5: a node whose own certificate has ended is no member. It says so, and a reload makes it one again.
#[tokio::test(start_paused = true)]
async fn a_node_whose_certificate_has_ended_is_not_ready_until_a_reload() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let old = Order { valid: (-(DAY as i64), HOUR as i64), ..member("a") };
    let a = authority.substrate(old.clone(), &wall);
    let b = authority.substrate(Order { valid: (-(DAY as i64), 90 * DAY as i64), ..member("b") }, &wall);
    assert!(a.is_ready());
    assert!(b.standing().warnings.is_empty(), "{:?}", b.standing());
    let warnings = a.standing().warnings;
    assert_eq!(warnings, ["the certificate of this node, or one above it, ends at 2030-06-15T13:00:00Z: renew it"]);
    wall.set(NOON + 2 * HOUR);
    assert!(!a.is_ready() && b.is_ready());
    assert!(a.standing().warnings[0].starts_with("the certificate of this node has expired at 2030-06-15T13:00:00Z"));
    let (dialled, accepted) = dial(&a, &b).await;
    assert!(refused(dialled).contains("this node's own certificate is not valid now"));
    assert!(accepted.is_err());
    let (_, accepted) = dial(&b, &a).await;
    assert!(refused(accepted).contains("this node's own certificate is not valid now"));
    let renewed = authority.issue(Order { valid: (0, 90 * DAY as i64), ..old });
    a.reload(renewed.credentials_at(&authority, None, NOON + 2 * HOUR).unwrap()).unwrap();
    assert!(a.is_ready());
    connected(&a, &b).await;
    assert_eq!(a.standing().facts["certificate valid until"], "2030-09-13T12:00:00Z");
}

/// Status says what somebody should do something about.
#[tokio::test(start_paused = true)]
async fn anchors_and_revocation_lists_that_end_are_warned_of() {
    let (authority, wall) = (Authority::lasting("old root", 6), Wall::default());
    let identity = authority.issue(Order { valid: (-(DAY as i64), 180 * DAY as i64), ..member("a") });
    let list = authority.revoke(&[]);
    let credentials = identity.credentials(&authority, Some(&list)).unwrap();
    let settings = Settings { warn_before: Duration::from_secs(10 * DAY), ..wall.settings() };
    let a = TlsSubstrate::new(credentials, settings).unwrap();
    let standing = a.standing();
    assert_eq!(standing.warnings, Vec::<String>::new());
    assert_eq!(standing.facts["trust anchors"], "CN=old root");
    assert_eq!(standing.facts["names"], "a, 0@acp.example.com");
    assert_eq!(standing.facts["domain"], "acp.example.com");
    wall.set(NOON + 2 * DAY);
    let late = "the revocation list of CN=old root should have been renewed at 2030-06-17T00:00:00Z: fetch a new one";
    assert_eq!(a.standing().warnings, [late]);
    // 2030-12-12: the certificate ends before the anchor does, which ends with the year.
    wall.set(NOON + 175 * DAY);
    assert_eq!(a.standing().warnings.len(), 2, "{:?}", a.standing().warnings);
    wall.set(NOON + 195 * DAY);
    let warnings = a.standing().warnings.join("; ");
    assert!(warnings.contains("the trust anchor CN=old root ends at 2031-01-01T00:00:00Z"), "{warnings}");
}

/// RFC 8446 §8: nothing is sent or taken before the handshake ends, so that nothing can be replayed.
#[tokio::test(start_paused = true)]
async fn no_early_data_is_taken() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, stranger) = (authority.substrate(member("a"), &wall), authority.issue(member("b")));
    let shown = outsider::Shows::new(stranger.certificate.der().clone(), &stranger);
    let mut config = outsider::client_config(Some(shown));
    config.enable_early_data = true;
    let config = std::sync::Arc::new(config);
    for round in 0..2 {
        let [(near, _), (far, _)] = pipe();
        let mut tls = outsider::client_of(&config);
        if let rustls::Connection::Client(client) = &mut tls {
            assert!(client.early_data().is_none(), "round {round}: there is a ticket for early data");
        }
        let (accepted, _) = tokio::join!(
            async {
                let mut secured = a.accept(near).await.unwrap();
                secured.stream.write_all(b"hello").await.unwrap();
                secured.stream.flush().await.unwrap();
                secured
            },
            serve(tls, far)
        );
        drop(accepted);
    }
    assert_eq!([FULL, RESUMED].map(|name| count(&a, name)), [1, 1]);
}

/// A foreign node may speak ALPN and ask for many tickets; it gets one for each connection.
#[tokio::test(start_paused = true)]
async fn a_foreign_node_with_alpn_and_a_server_name_is_served() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, foreign) = (authority.substrate(member("a"), &wall), authority.issue(member("foreign")));
    let shown = outsider::Shows::new(foreign.certificate.der().clone(), &foreign);
    let mut config = outsider::client_config(Some(shown));
    config.alpn_protocols = vec![b"grasp".to_vec()];
    let [(near, _), (far, _)] = pipe();
    let (accepted, _) = tokio::join!(a.accept(near), serve(outsider::client_of(&std::sync::Arc::new(config)), far));
    assert_eq!(accepted.unwrap().member.unwrap().name(), "foreign");
    let [(near, _), (far, _)] = pipe();
    let (dialled, _) = tokio::join!(a.connect(near, address()), serve(outsider::server(&foreign), far));
    assert_eq!(dialled.unwrap().member.unwrap().name(), "foreign");
}
