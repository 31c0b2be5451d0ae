//! The substrate `tls`: who is a member, and what a connection between members is like.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support_tls;

use grasp::substrate::tls::TlsSubstrate;
use grasp::substrate::{Carrier, Substrate};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use std::net::SocketAddr;
use std::time::Duration;
use support_tls::outsider::{self, serve};
use support_tls::wire::{ANYWHERE, bytes, connected, count, dial, dial_at, pipe, refused};
use support_tls::{Authority, DAY, DOMAIN, HOUR, Order, Wall, member, named};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn address() -> SocketAddr {
    ANYWHERE.parse().unwrap()
}

/// RFC 8994 §6.2.3, G-DSG-04: both ends prove who they are, and learn the names of the other.
#[tokio::test(start_paused = true)]
async fn two_members_know_each_other_by_name() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let mut order = member("a");
    order.dns_name = Some("a.example.com".into());
    let (a, b) = (authority.substrate(order, &wall), authority.substrate(member("b"), &wall));
    let (mut there, mut here) = connected(&a, &b).await;
    assert_eq!(there.member.unwrap().names(), ["b", "0@acp.example.com"]);
    assert_eq!(here.member.unwrap().names(), ["a", "a.example.com", "0@acp.example.com"]);
    there.stream.write_all(b"question").await.unwrap();
    let mut heard = [0; 8];
    here.stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"question");
    here.stream.write_all(b"answer").await.unwrap();
    here.stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    there.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"answer");
    assert_eq!((a.name(), a.is_secure(), a.carrier()), ("tls", true, Carrier::Connections));
    assert_eq!(a.open(1, b"datagram".to_vec()), None);
}

/// G-PRV-02: nothing that is said can be read on the wire, and neither can who says it to whom beyond the server's greeting.
#[tokio::test(start_paused = true)]
async fn no_cleartext_is_on_the_wire() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, b) = (authority.substrate(member("alpha"), &wall), authority.substrate(member("beta"), &wall));
    for _ in 0..2 {
        let (dialled, accepted, written) = dial_at(&a, &b, ANYWHERE).await;
        let (mut there, mut here) = (dialled.unwrap().stream, accepted.unwrap().stream);
        there.write_all(b"32473:objective").await.unwrap();
        here.read_exact(&mut [0; 15]).await.unwrap();
        here.write_all(b"32473:objective").await.unwrap();
        there.read_exact(&mut [0; 15]).await.unwrap();
        for written in written {
            let written = bytes(&written);
            for secret in ["32473", "objective", "alpha", "beta", DOMAIN, "invalid"] {
                let found = written.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} can be read");
            }
        }
    }
    assert_eq!(count(&b, "tls_handshakes{resumed}"), 1);
}

/// RFC 8994 §6.2.3 point 4: the domain is compared in lower case, and the rest of the name does not matter.
#[tokio::test(start_paused = true)]
async fn the_domain_is_compared_in_lower_case() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let a = authority.substrate(member("a"), &wall);
    for name in ["@ACP.Example.COM", "0+area51.research@acp.EXAMPLE.com", "++ext@acp.example.com"] {
        let b = authority.substrate(named("b", name), &wall);
        connected(&a, &b).await;
        connected(&b, &a).await;
    }
}

/// RFC 8994 §6.2.3, G-DSG-02: whoever is no member is refused on either side, for a reason that is named and counted.
#[tokio::test(start_paused = true)]
async fn outsiders_are_refused_in_both_directions() {
    let (authority, foreign, wall) = (Authority::new("root"), Authority::new("root"), Wall::default());
    let (ours, gone) = (authority.issue(member("ours")), authority.issue(member("gone")));
    let list = authority.revoke(&[&gone]);
    let ours = TlsSubstrate::new(ours.credentials(&authority, Some(&list)).unwrap(), wall.settings()).unwrap();
    let lasting = |name, from, until| Order { valid: (from, until), ..member(name) };
    let (hour, month) = (HOUR as i64, 30 * DAY as i64);
    let nameless = Order { node_names: Vec::new(), ..member("nameless") };
    let twice = Order { node_names: vec![format!("0@{DOMAIN}"); 2], ..member("twice") };
    let useless = Order { purposes: vec![ExtendedKeyUsagePurpose::EmailProtection], ..member("useless") };
    let own = Authority::new("myself");
    let cases = [
        (foreign.issue(member("foreign")), "untrusted", "leads to none of the domain's trust anchors"),
        (own.issue(member("self-made")), "untrusted", "leads to none of the domain's trust anchors"),
        (
            authority.issue(named("other", "0@other.example.com")),
            "other domain",
            "it belongs to the domain other.example.com, this node to acp.example.com",
        ),
        (authority.issue(lasting("late", -month, -hour)), "expired", "has expired at 2030-06-15T11:00:00Z"),
        (authority.issue(lasting("early", hour, month)), "not yet valid", "not valid before 2030-06-15T13:00:00Z"),
        (gone, "revoked", "has been revoked"),
        (authority.issue(useless), "purpose", "extendedKeyUsage leaves out"),
        (authority.issue(nameless), "no node name", "it has no acp-node-name"),
        (authority.issue(named("bad", "nobody")), "no node name", "its acp-node-name is malformed"),
        (authority.issue(twice), "no node name", "more than one acp-node-name"),
    ];
    let mut refusals = std::collections::BTreeMap::new();
    for (stranger, reason, text) in cases {
        let [(near, _), (far, _)] = pipe();
        let (dialled, _) = tokio::join!(ours.connect(near, address()), serve(outsider::server(&stranger), far));
        let error = refused(dialled);
        assert!(error.contains(text), "{reason}: {error}");
        let [(near, _), (far, _)] = pipe();
        let shown = outsider::Shows::new(stranger.certificate.der().clone(), &stranger);
        let (accepted, heard) = tokio::join!(ours.accept(near), serve(outsider::client(Some(shown)), far));
        let error = refused(accepted);
        assert!(error.contains(text), "{reason}: {error}");
        assert!(heard.contains("fatal alert"), "{reason}: {heard}");
        *refusals.entry(format!("tls_refused{{{reason}}}")).or_insert(0) += 2;
        assert_eq!(ours.counters(), refusals, "{reason}");
    }
    let [(near, _), (far, _)] = pipe();
    let (accepted, heard) = tokio::join!(ours.accept(near), serve(outsider::client(None), far));
    assert_eq!(refused(accepted), "it has shown no certificate");
    assert!(heard.contains("fatal alert"), "{heard}");
    assert_eq!(count(&ours, "tls_refused{no certificate}"), 1);
}

/// RFC 8994 §6.2.1: whoever could be forged by breaking a key is no member.
#[tokio::test(start_paused = true)]
async fn weak_keys_are_refused() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let ours = authority.substrate(member("ours"), &wall);
    let identity = authority.issue(member("weak"));
    for (key, text) in
        [(outsider::Rsa(1_024), "its RSA key has 1024 bits"), (outsider::Rsa(2_047), "its RSA key has 2047 bits")]
    {
        let weak = authority.certify(&identity.order, &key);
        let [(near, _), (far, _)] = pipe();
        let shown = outsider::Shows::new(weak.der().clone(), &identity);
        let (accepted, _) = tokio::join!(ours.accept(near), serve(outsider::client(Some(shown)), far));
        let error = refused(accepted);
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(count(&ours, "tls_refused{weak key}"), 2);
    // One of 2048 bits passes, and fails at the proof that its key is there.
    let fine = authority.certify(&identity.order, &outsider::Rsa(2_048));
    let [(near, _), (far, _)] = pipe();
    let shown = outsider::Shows::new(fine.der().clone(), &identity);
    let (accepted, _) = tokio::join!(ours.accept(near), serve(outsider::client(Some(shown)), far));
    refused(accepted);
    assert_eq!(count(&ours, "tls_refused{weak key}"), 2);
    let ed25519 = authority.issue_for(member("ed"), KeyPair::generate_for(&PKCS_ED25519).unwrap());
    let fault = ed25519.credentials(&authority, None).unwrap_err().to_string();
    assert!(fault.contains("its key is neither RSA nor ECDSA on P-256 or P-384"), "{fault}");
}

/// RFC 8994 §6.2.3 point 1: a member's certificate without its key proves nothing.
#[tokio::test(start_paused = true)]
async fn a_certificate_without_its_key_is_refused() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let ours = authority.substrate(member("ours"), &wall);
    let (victim, thief) = (authority.issue(member("victim")), authority.issue(member("thief")));
    let [(near, _), (far, _)] = pipe();
    let shown = outsider::Shows::new(victim.certificate.der().clone(), &thief);
    let (accepted, _) = tokio::join!(ours.accept(near), serve(outsider::client(Some(shown)), far));
    let error = refused(accepted);
    assert!(error.contains("signature of the handshake"), "{error}");
}

/// A client of TLS 1.3 is done before the server has looked at its certificate; it hears at its first read what is wrong.
#[tokio::test(start_paused = true)]
async fn a_refused_client_hears_why_at_its_first_read() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (ours, gone) = (authority.issue(member("ours")), authority.issue(member("gone")));
    let list = authority.revoke(&[&gone]);
    let ours = TlsSubstrate::new(ours.credentials(&authority, Some(&list)).unwrap(), wall.settings()).unwrap();
    let gone = TlsSubstrate::new(gone.credentials(&authority, None).unwrap(), wall.settings()).unwrap();
    let (dialled, accepted) = dial(&gone, &ours).await;
    refused(accepted);
    let error = dialled.unwrap().stream.read(&mut [0; 8]).await.unwrap_err().to_string();
    assert_eq!(error, "the peer does not take this node for a member: it says that our certificate has been revoked");
    assert_eq!(count(&gone, "tls_refused_by_peer{revoked}"), 1);
}

/// RFC 8994 §6.2.3 point 2: a certificate that leaves a role out is not used in it; one that names both is.
#[tokio::test(start_paused = true)]
async fn a_certificate_is_used_only_for_its_purpose() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let ours = authority.substrate(member("ours"), &wall);
    let order = Order { purposes: vec![ExtendedKeyUsagePurpose::ClientAuth], ..member("client only") };
    let identity = authority.issue(order);
    let fault = identity.credentials(&authority, None).unwrap_err();
    assert!(fault.to_string().contains("certificate file: its extendedKeyUsage must allow both"), "{fault}");
    let [(near, _), (far, _)] = pipe();
    let (dialled, _) = tokio::join!(ours.connect(near, address()), serve(outsider::server(&identity), far));
    assert!(refused(dialled).contains("extendedKeyUsage leaves out"));
    let [(near, _), (far, _)] = pipe();
    let shown = outsider::Shows::new(identity.certificate.der().clone(), &identity);
    let (accepted, _) = tokio::join!(ours.accept(near), serve(outsider::client(Some(shown)), far));
    assert!(accepted.is_ok());
    let purposes = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let both = authority.substrate(Order { purposes, ..member("both") }, &wall);
    connected(&ours, &both).await;
    connected(&both, &ours).await;
}

/// RFC 8994 §6.2.1, §6.2.4: P-384 beside P-256, and up to two authorities between a member and the anchor.
#[tokio::test(start_paused = true)]
async fn intermediate_authorities_and_both_curves_are_supported() {
    let (root, wall) = (Authority::new("root"), Wall::default());
    let middle = root.below("middle");
    let low = middle.below("low");
    let identity = low.issue_for(member("deep"), KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap());
    let chain = [identity.certificate.pem(), low.pem(), middle.pem()].concat();
    let key = identity.key.serialize_pem();
    let credentials = |chain: &str| {
        let (chain, key, anchors) = (chain.as_bytes(), key.as_bytes(), root.pem());
        grasp::substrate::tls::Credentials::from_pem(chain, key, anchors.as_bytes(), None, wall.now())
    };
    let fault = credentials(&identity.certificate.pem()).unwrap_err().to_string();
    assert!(fault.contains("it leads to none of the trust anchors"), "{fault}");
    let deep = TlsSubstrate::new(credentials(&chain).unwrap(), wall.settings()).unwrap();
    let flat = root.substrate(member("flat"), &wall);
    connected(&deep, &flat).await;
    connected(&flat, &deep).await;
}

/// RFC 8994 §6.2.1: members and authorities with RSA keys of 2048 bits.
#[tokio::test(start_paused = true)]
async fn rsa_keys_are_supported() {
    let wall = Wall::default();
    let rsa = || KeyPair::from_pem(include_str!("support_tls/rsa.pem")).unwrap();
    let authority = Authority::with_key("root", rsa());
    let identity = authority.issue_for(member("rsa"), rsa());
    let (a, b) = (identity.credentials(&authority, None).unwrap(), authority.substrate(member("ecdsa"), &wall));
    let a = TlsSubstrate::new(a, wall.settings()).unwrap();
    connected(&a, &b).await;
    connected(&b, &a).await;
}

/// A member must not answer for another's address: the acp-address of its certificate is held against what was dialled.
#[tokio::test(start_paused = true)]
async fn a_member_answers_only_at_its_own_address() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let own = "fd89b714f3db00000200000064000000";
    let ours = authority.substrate(member("ours"), &wall);
    let theirs = authority.substrate(named("theirs", &format!("{own}@{DOMAIN}")), &wall);
    // Its own address, others of its set (RFC 8994 §6.11.3), link-local ones, this host.
    let good = ["[fd89:b714:f3db:0:200:0:6400:0]:1", "[fd89:b714:f3db:5:200:0:6400:1]:1", "[fe80::1]:1", "[::1]:1"];
    for at in good {
        let (dialled, accepted, _) = dial_at(&ours, &theirs, at).await;
        assert!(dialled.is_ok() && accepted.is_ok(), "{at}");
    }
    for at in ["[fd89:b714:f3db:0:200:0:6400:2]:1", "[2001:db8::1]:1", "192.0.2.1:1"] {
        // Also when the session is resumed.
        for _ in 0..2 {
            let (dialled, _, _) = dial_at(&ours, &theirs, at).await;
            let error = refused(dialled);
            assert!(error.starts_with("theirs has answered at "), "{error}");
        }
    }
    assert_eq!(count(&ours, "tls_refused{other address}"), 6);
    // Nothing is said about addresses by "0", or by none.
    let (dialled, _, _) = dial_at(&theirs, &ours, "[2001:db8::1]:1").await;
    assert!(dialled.is_ok());
}

/// An attacker can end TCP; only the peer can end TLS.
#[tokio::test(start_paused = true)]
async fn the_end_of_tcp_alone_is_no_clean_end() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, b) = (authority.substrate(member("a"), &wall), authority.substrate(member("b"), &wall));
    let [(near, _), (far, _)] = pipe();
    let (mut cut, relay) = tokio::io::duplex(65_536);
    let between = tokio::spawn(async move {
        let (mut near, mut relay) = (near, relay);
        let _ = timeout(Duration::from_millis(300), tokio::io::copy_bidirectional(&mut near, &mut relay)).await;
    });
    let (dialled, accepted) = tokio::join!(
        async {
            let mut secured =
                a.connect(Box::new(std::mem::replace(&mut cut, tokio::io::duplex(1).0)), address()).await.unwrap();
            secured.stream.write_all(b"half a mess").await.unwrap();
            secured
        },
        async {
            let mut secured = b.accept(far).await.unwrap();
            secured.stream.read_exact(&mut [0; 11]).await.unwrap();
            secured
        }
    );
    between.await.unwrap();
    let mut here = accepted.stream;
    let error = here.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    drop(dialled);
    // A connection that is dropped in order ends in order.
    let (there, mut here) = connected(&a, &b).await;
    drop(there);
    assert_eq!(here.stream.read(&mut [0; 8]).await.unwrap(), 0);
}

/// The probe for a reset: writing no bytes reaches the transport, and only that.
#[tokio::test(start_paused = true)]
async fn writing_no_bytes_passes_through() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, b) = (authority.substrate(member("a"), &wall), authority.substrate(member("b"), &wall));
    let (dialled, accepted, [sent, _]) = dial_at(&a, &b, ANYWHERE).await;
    let mut there = dialled.unwrap().stream;
    let before = sent.lock().unwrap().len();
    assert_eq!(there.write(&[]).await.unwrap(), 0);
    let seen = sent.lock().unwrap().clone();
    assert_eq!(&seen[before..], [Vec::<u8>::new()]);
    drop(accepted);
}

/// The last flight of a handshake leaves with the request, the ticket with the answer.
#[tokio::test(start_paused = true)]
async fn the_first_bytes_leave_with_the_last_flight() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, b) = (authority.substrate(member("a"), &wall), authority.substrate(member("b"), &wall));
    let [(near, sent), (far, answered)] = pipe();
    tokio::join!(
        async {
            let mut stream = a.connect(near, address()).await.unwrap().stream;
            stream.write_all(b"request").await.unwrap();
            stream.read_exact(&mut [0; 6]).await.unwrap();
        },
        async {
            let mut stream = b.accept(far).await.unwrap().stream;
            stream.read_exact(&mut [0; 7]).await.unwrap();
            stream.write_all(b"answer").await.unwrap();
        }
    );
    // Greeting; certificate, request. Greeting with certificate; ticket, answer; the end, which the client does not await.
    assert_eq!(sent.lock().unwrap().len(), 2);
    assert_eq!(answered.lock().unwrap().len(), 3);
}

/// What does not fit into TLS and transport waits, and all of it arrives.
#[tokio::test(start_paused = true)]
async fn much_more_than_fits_arrives_in_order() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, b) = (authority.substrate(member("a"), &wall), authority.substrate(member("b"), &wall));
    let (there, here) = connected(&a, &b).await;
    let all: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7) as u8).collect();
    let both = [(there.stream, &all), (here.stream, &all)].map(|(stream, all)| async move {
        let (mut source, mut sink) = tokio::io::split(stream);
        let mut heard = vec![0; all.len()];
        let (sent, read) = tokio::join!(
            async {
                sink.write_all(all).await?;
                sink.flush().await
            },
            source.read_exact(&mut heard)
        );
        sent.unwrap();
        read.unwrap();
        assert_eq!(&heard, all);
    });
    timeout(Duration::from_secs(30), futures_util::future::join_all(both)).await.unwrap();
}
