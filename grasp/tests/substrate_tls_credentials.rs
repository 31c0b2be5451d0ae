//! The substrate `tls`: files that become credentials, names in certificates, and bytes of strangers.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support_tls;

use grasp::substrate::Substrate;
use grasp::substrate::tls::node_name::{AcpAddress, NodeName, NodeNameError};
use grasp::substrate::tls::{Credentials, CredentialsError, Fault, File, TlsSubstrate};
use proptest::prelude::*;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;
use support_tls::wire::{ANYWHERE, bytes, connected, count, dial_at, pipe, refused};
use support_tls::{Authority, DAY, HOUR, Identity, NOON, Order, Wall, member, named, outsider};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// What files there are, to be spoiled one by one.
#[derive(Clone)]
struct Files {
    chain: String,
    key: String,
    anchors: String,
    lists: Option<String>,
}

impl Files {
    fn of(identity: &Identity, authority: &Authority) -> Self {
        let (chain, key) = (identity.certificate.pem(), identity.key.serialize_pem());
        Self { chain, key, anchors: authority.pem(), lists: None }
    }

    fn read(&self) -> Result<Credentials, CredentialsError> {
        let lists = self.lists.as_deref().map(str::as_bytes);
        let now = Wall::default().now();
        Credentials::from_pem(self.chain.as_bytes(), self.key.as_bytes(), self.anchors.as_bytes(), lists, now)
    }

    fn fault(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

/// Each file that is wrong is named, with what is wrong and what to do.
#[test]
fn what_is_wrong_with_credentials_is_named_with_the_file() {
    let (authority, foreign) = (Authority::new("root"), Authority::new("root"));
    let identity = authority.issue(member("a"));
    let good = Files::of(&identity, &authority);
    assert_eq!(good.read().unwrap().names(), ["a", "0@acp.example.com"]);
    let lasting = |from, until| Files::of(&authority.issue(Order { valid: (from, until), ..member("a") }), &authority);
    let (hour, day) = (HOUR as i64, DAY as i64);
    let cut = |text: &str| text[..text.len() - 40].to_owned();
    let damaged = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines[2] = lines[2].chars().rev().collect();
        lines.join("\n")
    };
    let cases: Vec<(Files, &str)> = vec![
        (Files { chain: String::new(), ..good.clone() }, "certificate file: there is no certificate in it"),
        (Files { chain: good.key.clone(), ..good.clone() }, "certificate file: there is no certificate in it"),
        (Files { chain: cut(&good.chain), ..good.clone() }, "certificate file: not readable as PEM"),
        (Files { chain: "x".repeat((1 << 20) + 1), ..good.clone() }, "certificate file: longer than 1048576 bytes"),
        (Files { chain: good.chain.repeat(9), ..good.clone() }, "certificate file: there are more than 8 entries"),
        (Files { chain: damaged(&good.chain), ..good.clone() }, "certificate file: "),
        (lasting(-2 * day, -hour), "certificate file: expired at 2030-06-15T11:00:00Z; renew it"),
        (lasting(hour, day), "certificate file: not valid before 2030-06-15T13:00:00Z; is the clock"),
        (
            Files::of(&authority.issue(Order { node_names: vec![], ..member("a") }), &authority),
            "certificate file: it has no acp-node-name",
        ),
        (
            Files::of(&authority.issue(named("a", "1@acp.example.com")), &authority),
            "certificate file: its acp-node-name is malformed: its acp-address is neither",
        ),
        (
            Files::of(
                &authority.issue(Order { purposes: vec![ExtendedKeyUsagePurpose::ServerAuth], ..member("a") }),
                &authority,
            ),
            "certificate file: its extendedKeyUsage must allow both",
        ),
        (Files { anchors: foreign.pem(), ..good.clone() }, "certificate file: it leads to none of the trust anchors"),
        (Files { key: String::new(), ..good.clone() }, "key file: there is no private key in it"),
        (Files { key: cut(&good.key), ..good.clone() }, "key file: not readable as PEM"),
        (Files { key: good.key.repeat(2), ..good.clone() }, "key file: there are more than 1 entries"),
        (
            Files { key: KeyPair::generate().unwrap().serialize_pem(), ..good.clone() },
            "key file: the key does not belong to the certificate",
        ),
        (
            Files { key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".into(), ..good.clone() },
            "key file: the key cannot be used",
        ),
        (Files { anchors: String::new(), ..good.clone() }, "trust anchor file: there is no certificate in it"),
        (
            Files { anchors: good.chain.clone(), ..good.clone() },
            "trust anchor file: entry 1 is not the certificate of a",
        ),
        (
            Files { lists: Some(String::new()), ..good.clone() },
            "revocation list file: there is no revocation list in it",
        ),
        (
            Files { lists: Some(foreign.revoke(&[])), ..good.clone() },
            "revocation list file: list 1 is signed by no trust anchor",
        ),
        (
            Files { lists: Some(authority.revoke(&[]) + &foreign.revoke(&[])), ..good.clone() },
            "revocation list file: list 2 is signed by no trust anchor",
        ),
        (
            Files { lists: Some(authority.revoke(&[&identity])), ..good.clone() },
            "certificate file: the certificate has been revoked",
        ),
    ];
    for (files, text) in cases {
        let fault = files.fault();
        assert!(fault.starts_with(text), "{fault}\n  instead of\n{text}");
    }
    let over = Authority::lasting("short", 4);
    let fault = Files { anchors: over.pem(), ..good.clone() }.fault();
    assert!(fault.starts_with("trust anchor file: expired at 2029-01-01T00:00:00Z"), "{fault}");
    // An old anchor beside its successor is good enough (RFC 8994 §6.2.4).
    assert!(Files { anchors: over.pem() + &good.anchors, ..good.clone() }.read().is_ok());
    let error = Files { key: String::new(), ..good }.read().unwrap_err();
    assert_eq!((error.file, error.fault), (File::Key, Fault::Empty("private key", "PRIVATE KEY")));
}

/// A file that is cut or has wrong characters is called so in words, without lists of bytes and without what stands in it.
#[test]
fn broken_pem_is_told_in_words() {
    let authority = Authority::new("root");
    let good = Files::of(&authority.issue(member("a")), &authority);
    let good = Files { lists: Some(authority.revoke(&[])), ..good };
    assert!(good.read().is_ok());
    let cut = |text: &str| text[..text.len() - 40].to_owned();
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let list = good.lists.clone().unwrap();
    let hostile = format!("{}-----BEGIN \u{1b}[2J{}-----\nAAAA\n", good.chain, "X".repeat(1000));
    for (files, text) in [
        (Files { chain: cut(&good.chain), ..good.clone() }, "certificate file: the section CERTIFICATE has no end"),
        (Files { key: half(&good.key), ..good.clone() }, "key file: the section PRIVATE KEY has no end"),
        (
            Files { anchors: half(&good.anchors), ..good.clone() },
            "trust anchor file: the section CERTIFICATE has no end",
        ),
        (Files { lists: Some(cut(&list)), ..good.clone() }, "revocation list file: the section X509 CRL has no end"),
        (Files { chain: hostile, ..good.clone() }, "certificate file: the section [2JXXX"),
        (Files { key: good.key[..20].to_owned(), ..good.clone() }, "key file: a line that begins with -----BEGIN does"),
        (
            Files { anchors: good.anchors.replace('M', "!"), ..good.clone() },
            "trust anchor file: a section is not in base64",
        ),
    ] {
        let fault = files.fault();
        assert_eq!(fault.replace("not readable as PEM (", "").find(text), Some(0), "{fault}");
        assert!(fault.ends_with("; write it anew") && fault.len() < 200, "{fault}");
        assert!(!fault.contains(", ") && !fault.contains(char::is_control), "{fault}");
        assert!(good.key.lines().skip(1).all(|line| !fault.contains(&line[..line.len().min(8)])), "{fault}");
    }
}

/// The key is in no text.
#[test]
fn credentials_do_not_show_their_key() {
    let authority = Authority::new("root");
    let credentials = authority.credentials(member("a"));
    let text = format!("{credentials:?}");
    assert!(text.contains("acp.example.com") && !text.to_lowercase().contains("key"), "{text}");
}

/// RFC 8994 §6.2.2: the syntax of acp-node-name.
#[test]
fn node_names_follow_the_grammar() {
    let text = "fd89b714f3db00000200000064000000+area51.research@acp.example.com";
    let name = NodeName::parse(text.as_bytes()).unwrap();
    assert_eq!(name.address, AcpAddress::Is("fd89:b714:f3db:0:200:0:6400:0".parse().unwrap()));
    assert_eq!((name.rsub.as_str(), name.domain.as_str()), ("area51.research", "acp.example.com"));
    assert_eq!(name.to_string(), text);
    let good = [
        ("@example.com", "@example.com"),
        ("0@Example.COM", "0@example.com"),
        ("+a.b@c", "+a.b@c"),
        ("++x!#$%&'*-/=?^_`{|}~9@c", "++x!#$%&'*-/=?^_`{|}~9@c"),
        ("0++x+y@c", "0++x+y@c"),
        ("0+@c", "0@c"),
        ("FD89B714F3DB00000200000064000000@c", "fd89b714f3db00000200000064000000@c"),
    ];
    for (text, canonical) in good {
        assert_eq!(NodeName::parse(text.as_bytes()).map(|name| name.to_string()), Ok(canonical.to_owned()), "{text}");
    }
    let label = "a".repeat(64);
    let bad = [
        ("", NodeNameError::At),
        ("example.com", NodeNameError::At),
        ("0@a@b", NodeNameError::At),
        ("00@c", NodeNameError::Address),
        ("+0a@c", NodeNameError::Subdomain),
        ("-d89b714f3db00000200000064000000@c", NodeNameError::Address),
        ("fd89b714f3db000002000000640000000@c", NodeNameError::Address),
        ("0+a..b@c", NodeNameError::Subdomain),
        ("0++@c", NodeNameError::Extension),
        ("0++a b@c", NodeNameError::Extension),
        ("0@", NodeNameError::Domain),
        ("0@ ", NodeNameError::Domain),
        ("0@-a", NodeNameError::Domain),
        ("0@a-", NodeNameError::Domain),
        ("0@a.", NodeNameError::Domain),
        ("0@1a", NodeNameError::Domain),
        ("0@a_b", NodeNameError::Domain),
        (&format!("0@{label}"), NodeNameError::Domain),
    ];
    for (text, error) in bad {
        assert_eq!(NodeName::parse(text.as_bytes()), Err(error), "{text}");
    }
    assert_eq!(NodeName::parse(&[b'a'; 1_025]), Err(NodeNameError::TooLong));
    assert!(NodeName::parse("0@b\u{fc}cher".as_bytes()).is_err());
}

/// RFC 8994 §6.11.3, §6.11.5: the addresses of one node under each addressing sub-scheme.
#[test]
fn an_address_covers_the_address_set_of_its_node() {
    let covers = |own: &str, asked: &str| AcpAddress::Is(own.parse().unwrap()).covers(asked.parse::<IpAddr>().unwrap());
    let cases = [
        // Zone: any zone, any V bit; not another node, not another prefix.
        ("fd00:0:1:0:200:0:6400:0", "fd00:0:1:1fff:200:0:6400:1", true),
        ("fd00:0:1:0:200:0:6400:0", "fd00:0:1:2000:200:0:6400:0", false),
        ("fd00:0:1:0:200:0:6400:0", "fd00:0:1:0:200:0:6400:2", false),
        ("fd00:0:1:0:200:0:6400:0", "fd00:0:2:0:200:0:6400:0", false),
        // Vlong with 8 and with 16 bits.
        ("fd00:0:1:4000:200:0:0:100", "fd00:0:1:4000:200:0:0:1ff", true),
        ("fd00:0:1:4000:200:0:0:100", "fd00:0:1:4000:200:0:0:200", false),
        ("fd00:0:1:4000:200:0:8001:0", "fd00:0:1:4000:200:0:8001:ffff", true),
        ("fd00:0:1:4000:200:0:8001:0", "fd00:0:1:4000:200:0:8002:0", false),
        // No scheme: the address itself.
        ("2001:db8::1", "2001:db8::1", true),
        ("2001:db8::1", "2001:db8::2", false),
        ("fd00:0:1:8000::", "fd00:0:1:8000::1", false),
        ("fd00::3", "fd00::2", false),
        ("fd00::2", "192.0.2.1", false),
    ];
    for (own, asked, covered) in cases {
        assert_eq!(covers(own, asked), covered, "{own} {asked}");
    }
    for silent in [AcpAddress::Omitted, AcpAddress::Elsewhere] {
        assert!(silent.covers("192.0.2.1".parse().unwrap()));
    }
}

/// A node of RFC 8994 offers nothing below 256 bits (§6.1), nobody gets TLS 1.2, and no server name is told.
#[tokio::test(start_paused = true)]
async fn only_tls_13_with_256_bits_is_spoken() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, b) = (authority.substrate(member("a"), &wall), authority.substrate(member("b"), &wall));
    let (dialled, accepted, [sent, _]) = dial_at(&a, &b, ANYWHERE).await;
    assert!(dialled.is_ok() && accepted.is_ok());
    let hello = bytes(&sent);
    // Behind record, handshake header, version, random and session id there are the suites.
    let suites = &hello[5 + 4 + 2 + 32 + 33..];
    let count_of_suites = usize::from(suites[1]) / 2;
    let offered: Vec<_> = suites[2..2 + 2 * count_of_suites].chunks(2).map(|two| [two[0], two[1]]).collect();
    // The last one is a signal that renegotiation is safe, which is no suite.
    let known = [[0x13, 0x03], [0x13, 0x02], [0x00, 0xff]];
    assert_eq!(offered[..2], known[..2], "the quicker one first, and the one that each node has");
    assert!(offered.iter().all(|suite| known.contains(suite)), "{offered:?}");
    // A greeting of TLS 1.2: no supported_versions, a suite of 1.2.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x30, 1, 0]);
    let error = greeted_with(&b, &hello).await;
    assert!(error.contains("no proof of membership"), "{error}");
    // One that allows only 128 bits.
    let identity = authority.issue(member("c"));
    let shown = outsider::Shows::new(identity.certificate.der().clone(), &identity);
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let config = outsider::client_config_with(provider.into(), Some(shown));
    let [(near, _), (far, _)] = pipe();
    let tls = outsider::client_of(&std::sync::Arc::new(config));
    let (accepted, heard) = tokio::join!(b.accept(near), outsider::serve(tls, far));
    refused(accepted);
    assert!(heard.contains("fatal alert"), "{heard}");
}

/// RFC 8994 §6.1: a node that has no more than the curves that every node must have is a peer all the same.
#[tokio::test(start_paused = true)]
async fn nodes_with_only_the_curves_of_rfc_8994_are_served() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let (a, foreign) = (authority.substrate(member("a"), &wall), authority.issue(member("foreign")));
    for group in [rustls::crypto::ring::kx_group::SECP256R1, rustls::crypto::ring::kx_group::SECP384R1] {
        let mut provider = rustls::crypto::ring::default_provider();
        provider.kx_groups = vec![group];
        let provider = std::sync::Arc::new(provider);
        let shown = outsider::Shows::new(foreign.certificate.der().clone(), &foreign);
        let tls = outsider::client_of(&outsider::client_config_with(provider.clone(), Some(shown)).into());
        let [(near, _), (far, _)] = pipe();
        let (accepted, _) = tokio::join!(a.accept(near), outsider::serve(tls, far));
        assert_eq!(accepted.unwrap().member.unwrap().name(), "foreign");
        let [(near, _), (far, _)] = pipe();
        let tls = outsider::server_with(provider, &foreign);
        let to: SocketAddr = ANYWHERE.parse().unwrap();
        let (dialled, _) = tokio::join!(a.connect(near, to), outsider::serve(tls, far));
        assert_eq!(dialled.unwrap().member.unwrap().name(), "foreign");
    }
}

/// What a stranger sends before anything else, and the error that follows within the time limit.
async fn greeted_with(substrate: &TlsSubstrate, greeting: &[u8]) -> String {
    let [(near, _), (mut far, _)] = pipe();
    let (accepted, ()) = tokio::join!(timeout(Duration::from_secs(5), substrate.accept(near)), async {
        let _ = far.write_all(greeting).await;
        let _ = far.shutdown().await;
        let _ = timeout(Duration::from_secs(5), far.read_to_end(&mut Vec::new())).await;
    });
    refused(accepted.expect("an end"))
}

/// Plain GRASP, other protocols, and silence get nowhere; a handshake that is given up leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn what_is_no_tls_is_refused() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let a = authority.substrate(member("a"), &wall);
    let noop = grasp::wire::Message::Noop.encode();
    for greeting in [noop.as_slice(), b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"] {
        greeted_with(&a, greeting).await;
    }
    let error = greeted_with(&a, &[0x16, 3, 1]).await;
    assert!(error.contains("lost before membership was proved"), "{error}");
    assert_eq!(count(&a, "tls_failed{connection lost}"), 1, "{:?}", a.counters());
    assert_eq!(count(&a, "tls_failed{protocol}"), 3);
    // Half a handshake, and then nothing: the caller's time limit ends it.
    let [(near, _), (_far, _)] = pipe();
    assert!(timeout(Duration::from_secs(5), a.accept(near)).await.is_err());
    assert_eq!(count(&a, "tls_failed{given up}"), 1);
    let [(near, _), (_far, _)] = pipe();
    let to: SocketAddr = ANYWHERE.parse().unwrap();
    assert!(timeout(Duration::from_secs(5), a.connect(near, to)).await.is_err());
    assert_eq!(count(&a, "tls_failed{given up}"), 2);
}

/// A stranger cannot make a node hold more than 32 kB, whatever it begins.
#[tokio::test(start_paused = true)]
async fn a_handshake_is_bounded_in_bytes() {
    let (authority, wall) = (Authority::new("root"), Wall::default());
    let a = authority.substrate(member("a"), &wall);
    // A greeting that says to be 65535 bytes long, in records of 16 kB, followed by more.
    let mut flood = Vec::new();
    let mut greeting = vec![1, 0, 0xff, 0xff];
    greeting.resize(200_000, 0);
    for record in greeting.chunks(16_384) {
        flood.extend([0x16, 3, 1, (record.len() >> 8) as u8, record.len() as u8]);
        flood.extend(record);
    }
    let error = greeted_with(&a, &flood).await;
    assert_eq!(error, "the peer has sent more than 32 kB without proving membership");
    assert_eq!(count(&a, "tls_failed{too long}"), 1);
}

/// Everything one member sends another in a handshake and after it, to be spoiled.
static CONVERSATION: LazyLock<(Authority, Vec<u8>)> = LazyLock::new(|| {
    // On a thread of its own: whoever is the first to ask may be in a runtime already.
    let recorded = std::thread::spawn(|| {
        let (authority, wall) = (Authority::new("root"), Wall::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sent = runtime.block_on(async {
            let (a, b) = (authority.substrate(member("a"), &wall), authority.substrate(member("b"), &wall));
            connected(&a, &b).await;
            let (dialled, _, [sent, _]) = dial_at(&a, &b, ANYWHERE).await;
            drop(dialled);
            bytes(&sent)
        });
        (authority, sent)
    });
    recorded.join().unwrap()
});

fn survives(greeting: Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let a = CONVERSATION.0.substrate(member("a"), &Wall::default());
        greeted_with(&a, &greeting).await;
        let [(near, _), (mut far, _)] = pipe();
        let to: SocketAddr = ANYWHERE.parse().unwrap();
        let (dialled, _) = tokio::join!(timeout(Duration::from_secs(5), a.connect(near, to)), async {
            let _ = far.write_all(&greeting).await;
            let _ = far.shutdown().await;
            timeout(Duration::from_secs(5), far.read_to_end(&mut Vec::new())).await
        });
        refused(dialled.expect("an end"));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a stranger sends, a handshake ends with an error and not with a panic.
    #[test]
    fn arbitrary_bytes_end_a_handshake(greeting in prop::collection::vec(any::<u8>(), 0..2_000)) {
        survives(greeting);
    }

    /// The same for a handshake that is real but for a few bytes.
    #[test]
    fn a_spoiled_handshake_ends(spoilt in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut greeting = CONVERSATION.1.clone();
        for (at, byte) in spoilt {
            let at = at.index(greeting.len());
            greeting[at] = byte;
        }
        survives(greeting);
    }

    /// Files full of anything are refused, and whatever is between PEM lines too.
    #[test]
    fn arbitrary_files_are_refused(noise in prop::collection::vec(any::<u8>(), 0..600), at in any::<prop::sample::Index>()) {
        let identity = CONVERSATION.0.issue(member("a"));
        let files = Files::of(&identity, &CONVERSATION.0);
        let now = Wall::default().now();
        prop_assert!(Credentials::from_pem(&noise, &noise, &noise, Some(&noise), now).is_err());
        let mut der = identity.certificate.der().to_vec();
        let at = at.index(der.len());
        der.splice(at..at, noise.iter().copied());
        let label = |label: &str| pem(label, &der).into_bytes();
        let (chain, key, anchors) = (files.chain.as_bytes(), files.key.as_bytes(), files.anchors.as_bytes());
        // With nothing put in it is the certificate itself.
        let result = Credentials::from_pem(&label("CERTIFICATE"), key, anchors, None, now);
        prop_assert!(result.is_err() || noise.is_empty());
        prop_assert!(Credentials::from_pem(chain, &label("PRIVATE KEY"), anchors, None, now).is_err());
        prop_assert!(Credentials::from_pem(chain, key, &label("CERTIFICATE"), None, now).is_err());
        prop_assert!(Credentials::from_pem(chain, key, anchors, Some(&label("X509 CRL")), now).is_err());
    }

    /// What is read as a name is written as one that reads the same.
    #[test]
    fn node_names_survive_a_round_trip(text in "[0a-fA-F+@.!a-z-]{0,60}") {
        if let Ok(name) = NodeName::parse(text.as_bytes()) {
            prop_assert_eq!(NodeName::parse(name.to_string().as_bytes()), Ok(name));
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = if at <= three.len() { char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]) } else { '=' };
            text.push(digit);
        }
    }
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// The moments around which certificates of tests are made.
#[test]
fn noon_is_noon() {
    let authority = Authority::new("root");
    let a = authority.substrate(Order { valid: (-1, 0), ..member("a") }, &Wall::default());
    assert_eq!(a.standing().facts["certificate valid until"], "2030-06-15T12:00:00Z");
    assert_eq!(NOON % DAY, DAY / 2);
}
