//! Somebody on the link without credentials: what a domain under TLS and a group under a shared key make of it (SECURITY.md).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;
mod hostile;
mod support_tls;

use fabric::*;
use grasp::net::{ByteStream, Network};
use grasp::substrate::quads::GroupKey;
use grasp::substrate::{Quads, Substrate};
use grasp::wire::{Answer, Limits, Locator, Message, TaggedObjective, Transport};
use grasp::{Asa, Grasp, Negotiated, Registration};
use hostile::*;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use support_tls::outsider;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

fn granting(asa: Asa) {
    actix::spawn(async move {
        while let Ok((session, _)) = asa.listen_negotiate(&neg(NAME)).await {
            let _ = session.end_negotiate(true, None).await;
        }
    });
}

async fn negotiates(asa: &Asa, with_whom: &Grasp) -> bool {
    let at = at(with_whom).await;
    let result = asa.request_negotiate(&with(&neg(NAME), 1), Some(&at), s(10)).await;
    matches!(result, Ok(Negotiated::Accepted(_)))
}

/// Everything an outsider may want to say.
fn lies(own: std::net::IpAddr) -> Vec<Vec<u8>> {
    let locator = Locator::tcp(own, 7_017);
    let (session_id, initiator, objective) = (7, own, neg(NAME));
    vec![
        flood(1, own, vec![text("32473:lie", 1, "lie")]),
        flood(2, nobody(), vec![text("32473:lie", 6, "lie")]),
        Message::Discovery { session_id, initiator, objective: objective.clone() }.encode(),
        Message::Response { session_id, initiator, ttl: 0, answer: Answer::Locators(vec![locator]), objective: None }
            .encode(),
        Message::RequestNegotiation { session_id, objective: with(&objective, 1) }.encode(),
        Message::RequestSynchronization { session_id, objective: syn(NAME) }.encode(),
        Message::Synch { session_id, objective: with(&syn(NAME), 1) }.encode(),
        vec![0xff; 300],
    ]
}

/// Forged floods, discoveries, answers and requests, by multicast and in clear on every port: nothing is believed, answered
/// or opened, all is counted, and the members go on.
#[test]
fn nothing_that_an_outsider_says_is_believed() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let (a, b) = (domain.start("a", &[link]), domain.start("b", &[link]));
        let outsider = Attacker::on(&domain.fabric, link);
        granting(asa_with(&a, "S", &neg(NAME), Registration { discoverable: true, ..Registration::default() }).await);
        let lie = asa(&a, "L", &syn("32473:lie")).await;
        let buyer = asa(&b, "B", &neg(NAME)).await;
        let neighbours = outsider.neighbours_port(&a).await;
        sleep(s(10)).await;
        // The port from which announcements come takes answers in an instance that asks by multicast.
        let twin = loop {
            let (_, source) = outsider.sockets.multicast.receive().await.unwrap();
            if source.ip() == neighbours.ip() {
                break source;
            }
        };
        for bytes in lies(outsider.own) {
            outsider.sockets.multicast.send(&bytes).unwrap();
            for to in [neighbours, twin, requests_port(&a).await] {
                let mut stream = outsider.dial(to).await;
                let _ = stream.write_all(&bytes).await;
                let mut answer = Vec::new();
                let _ = timeout(s(30), stream.read_to_end(&mut answer)).await.expect("an end");
                // An alert of TLS at most.
                assert!(answer.len() < 40, "{answer:?}");
                assert!(answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");
            }
        }
        assert!(lie.get_flood(&syn("32473:lie")).await.unwrap().is_empty());
        let status = a.status().await.unwrap();
        assert_eq!((status.flood_cache, status.discovery_cache, status.sessions), (0, 0, 0));
        assert!(counted(&a, "strangers").await >= 7);
        assert!(counted(&a, "tls_failed").await >= 14);
        assert_eq!(members(&a).await, ["b"]);
        assert!(negotiates(&buyer, &a).await);
    });
}

/// Takes down what is written.
struct Recording(ByteStream, Arc<Mutex<Vec<u8>>>);

mod recording {
    use super::Recording;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    impl AsyncRead for Recording {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Recording {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let written = ready!(Pin::new(&mut self.0).poll_write(cx, bytes))?;
            self.1.lock().unwrap().extend(&bytes[..written]);
            Poll::Ready(Ok(written))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}

/// A whole connection of a member, recorded and sent again, opens nothing; neither does a half of it.
#[test]
fn recorded_bytes_open_nothing() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let a = domain.start("a", &[link]);
        granting(asa(&a, "S", &neg(NAME)).await);
        let outsider = Attacker::on(&domain.fabric, link);
        let neighbours = outsider.neighbours_port(&a).await;
        let liar = domain.substrate("member");
        let mut records = Vec::new();
        let request = Message::RequestNegotiation { session_id: 9, objective: with(&neg(NAME), 1) }.encode();
        let told = flood(9, nobody(), vec![text("32473:told", 1, "told")]);
        for (to, bytes) in [(requests_port(&a).await, request), (neighbours, told)] {
            let record = Arc::default();
            let stream: ByteStream = Box::new(Recording(outsider.dial(to).await, Arc::clone(&record)));
            let mut stream = liar.connect(stream, to).await.unwrap().stream;
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
            assert_ne!(stream.read(&mut [0; 64]).await.unwrap(), 0);
            records.push((to, record.lock().unwrap().clone()));
        }
        sleep(s(5)).await;
        let before = (counted(&a, "messages_received").await, counted(&a, "tls_handshakes").await);
        for (to, record) in records {
            assert!(record.len() > 500);
            for piece in [&record[..], &record[..record.len() / 2], &record[..200]] {
                let mut stream = outsider.dial(to).await;
                let _ = stream.write_all(piece).await;
                let _ = stream.shutdown().await;
                let _ = timeout(s(30), stream.read_to_end(&mut Vec::new())).await.expect("an end");
            }
        }
        sleep(s(1)).await;
        assert_eq!((counted(&a, "messages_received").await, counted(&a, "tls_handshakes").await), before);
        assert_eq!(a.status().await.unwrap().sessions, 0);
    });
}

/// Certificates of another authority, and of another domain under the same one, at the port of neighbours.
#[test]
fn no_foreign_certificate_becomes_a_neighbour() {
    paused(async {
        let (domain, other) = (Domain::new(), support_tls::Authority::new("another root"));
        let link = domain.link();
        let (a, b) = (domain.start("a", &[link]), domain.start("b", &[link]));
        let outsider = Attacker::on(&domain.fabric, link);
        let neighbours = outsider.neighbours_port(&a).await;
        let foreign = domain.authority.issue(support_tls::named("x", "0@other.example.com"));
        let expired =
            domain.authority.issue(support_tls::Order { valid: (-7_200, -3_600), ..support_tls::member("x") });
        for identity in [other.issue(support_tls::member("x")), foreign, expired] {
            let certificate = identity.certificate.der().clone();
            let client = outsider::client(Some(outsider::Shows::new(certificate, &identity)));
            outsider::serve(client, outsider.dial(neighbours).await).await;
        }
        sleep(s(10)).await;
        assert_eq!((members(&a).await, members(&b).await), (vec!["b".to_owned()], vec!["a".to_owned()]));
        assert_eq!(counted(&a, "tls_refused").await, 3);
        assert!(counted(&a, "strangers").await >= 3);
    });
}

/// Announcements by the thousand that lead nowhere: candidates are bounded, and a new neighbour is found all the same.
#[test]
fn forged_announcements_keep_no_neighbour_out() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let a = domain.start("a", &[link]);
        sleep(s(1)).await;
        let outsiders: Vec<_> = (0..10).map(|_| Attacker::on(&domain.fabric, link)).collect();
        let storm = actix::spawn(async move {
            for id in 0..60_000_u32 {
                let outsider = &outsiders[id as usize % outsiders.len()];
                let port = u16::try_from(id % 50_000).unwrap() + 1;
                let std::net::IpAddr::V6(address) = outsider.own else { panic!("IPv6") };
                let locator = Some(Locator::Ipv6 { address, transport: Transport::Tcp, port });
                let objective = text("AN_ACP", 1, "GRASP-TLS");
                let objectives = vec![TaggedObjective { objective, locator }];
                let flood = Message::Flood { session_id: id, initiator: outsider.own, ttl: 210_000, objectives };
                outsider.sockets.multicast.send(&flood.encode()).unwrap();
                sleep(ms(5)).await;
            }
        });
        sleep(s(10)).await;
        let b = domain.start("b", &[link]);
        sleep(s(30)).await;
        assert!(!storm.is_finished());
        assert_eq!((members(&a).await, members(&b).await), (vec!["b".to_owned()], vec!["a".to_owned()]));
        // Each of the ten addresses has few places, and their pauses.
        assert!((80..2_000).contains(&adjacency(&a, "refused").await), "{}", adjacency(&a, "refused").await);
        storm.abort();
    });
}

/// A thousand handshakes begun and held open, at the port of neighbours and at that of requests: members get in meanwhile.
#[test]
fn handshakes_held_open_keep_no_member_out() {
    paused(async {
        let domain = Domain::new();
        let link = domain.link();
        let a = domain.start("a", &[link]);
        granting(asa(&a, "S", &neg(NAME)).await);
        let outsider = Attacker::on(&domain.fabric, link);
        let (neighbours, requests) = (outsider.neighbours_port(&a).await, requests_port(&a).await);
        let mut hello = Vec::new();
        outsider::client(None).write_tls(&mut hello).unwrap();
        let storm = actix::spawn(async move {
            let mut open = std::collections::VecDeque::new();
            for n in 0_usize.. {
                let mut stream = outsider.dial([neighbours, requests][n % 2]).await;
                let _ = stream.write_all(if n % 3 == 0 { &hello[..40] } else { &hello }).await;
                open.push_back(stream);
                if open.len() > 2_000 {
                    open.pop_front();
                }
            }
        });
        sleep(s(20)).await;
        let b = domain.start("b", &[link]);
        let buyer = asa(&b, "B", &neg(NAME)).await;
        for _ in 0..20 {
            assert!(negotiates(&buyer, &a).await);
            sleep(s(1)).await;
        }
        assert_eq!(members(&a).await, ["b"]);
        assert!(counted(&a, "connections_refused").await > 500, "strangers are turned away before any arithmetic");
        storm.abort();
    });
}

/// Ten thousand connections that say nothing: bounded, and requests are served all the while, on each substrate.
#[test]
fn ten_thousand_silent_connections_keep_no_request_out() {
    paused(async {
        for secure in [true, false] {
            let domain = Domain::new();
            let link = domain.link();
            let start = |name: &'static str| {
                let lab: Arc<dyn Substrate> = Arc::new(grasp::substrate::InsecureLab);
                let substrate = if secure { domain.substrate(name) } else { lab };
                domain.start_in(name, &[link], substrate, |_| {})
            };
            let (a, b) = (start("a"), start("b"));
            granting(asa(&a, "S", &neg(NAME)).await);
            let buyer = asa(&b, "B", &neg(NAME)).await;
            let outsider = Attacker::on(&domain.fabric, link);
            sleep(SOON).await;
            let to = requests_port(&a).await;
            let mut open = Vec::new();
            for n in 0..10_000 {
                open.push(outsider.place.connect(to).await);
                if n % 1_000 == 0 {
                    assert!(negotiates(&buyer, &a).await, "{secure} {n}");
                }
            }
            let (refused, evicted) =
                (counted(&a, "connections_refused").await, counted(&a, "connections_evicted").await);
            let timed_out = counted(&a, "connections_timed_out").await;
            assert!(refused + evicted + timed_out >= 8_900, "{secure}: {refused} {evicted} {timed_out}");
            assert_eq!(refused > 5_000, secure);
        }
    });
}

fn group(key: u8) -> Arc<Quads> {
    Arc::new(Quads::new(GroupKey::from_bytes([key; 32]), Limits::default()))
}

/// Ciphertexts that nobody of the group has made: under another key, random, flipped, cut and pasted. Whatever block is
/// changed, the multicast is no message or another one; it is never taken for the one that was sent.
#[test]
fn spoiled_multicasts_under_a_shared_key_are_dropped_or_are_other_messages() {
    paused(async {
        let lan = Lan::new();
        let a = lan.node_in("a", group(1)).await;
        let ear = asa(&a, "E", &syn(NAME)).await;
        let outsider = Attacker::on(&lan.fabric, lan.link);
        // A byte string may hold anything; in a text most changes would break the encoding.
        let value = grasp::Value::from_encoded([&[0x58, 200][..], &[7; 200]].concat()).unwrap();
        let secret = syn(NAME).with_value(value.clone()).with_loop_count(1);
        let sealed = group(1).seal(1, flood(1, nobody(), vec![secret]));
        let mut spoiled = vec![
            group(2).seal(1, flood(2, nobody(), vec![text(NAME, 1, "x")])),
            vec![0x5a; 160],
            sealed[16..].to_vec(),
        ];
        for at in 0..sealed.len() {
            let mut one = sealed.clone();
            one[at] ^= 1 << (at % 8);
            spoiled.push(one);
        }
        let blocks = sealed.chunks(16).map(<[u8]>::to_vec).collect::<Vec<_>>();
        for n in 0..blocks.len() {
            let mut swapped = blocks.clone();
            swapped.swap(n, (n + 3) % blocks.len());
            spoiled.push(swapped.concat());
            spoiled.push([&blocks[..n], &blocks[n + 1..]].concat().concat());
        }
        let total = spoiled.len() as u64;
        for one in spoiled {
            outsider.sockets.multicast.send(&one).unwrap();
            sleep(ms(20)).await;
        }
        sleep(SOON).await;
        // Without integrity some of them are messages with another value: that is what the substrate does not promise.
        let altered = ear.get_flood(&syn(NAME)).await.unwrap();
        assert!(altered.iter().all(|copy| copy.objective.value.as_ref() != Some(&value)));
        let dropped = counted(&a, "undecryptable_multicasts").await + counted(&a, "decode_errors").await;
        assert!(dropped > 0 && dropped < total, "{dropped} of {total}: some are dropped, some are not");
        assert_eq!(counted(&a, "panics_contained").await, 0);
    });
}

/// What a shared key without freshness cannot stop. A flood sent again is dropped only while it is remembered, two minutes;
/// after that an old value takes the place of a newer one. A request sent again opens a session again.
#[test]
fn a_replay_under_a_shared_key_is_stopped_only_while_it_is_remembered() {
    paused(async {
        let lan = Lan::new();
        let (a, b) = (lan.node_in("a", group(1)).await, lan.node_in("b", group(1)).await);
        let (ear, teller) = (asa(&a, "E", &syn(NAME)).await, asa(&b, "T", &syn(NAME)).await);
        let outsider = Attacker::on(&lan.fabric, lan.link);
        teller.flood(600_000, vec![(with(&syn(NAME), 1), None)]).await.unwrap();
        let (recorded, _) = outsider.sockets.multicast.receive().await.unwrap();
        let known = async || number(&ear.get_flood(&syn(NAME)).await.unwrap()[0].objective);
        teller.flood(600_000, vec![(with(&syn(NAME), 2), None)]).await.unwrap();
        sleep(SOON).await;
        outsider.sockets.multicast.send(&recorded).unwrap();
        sleep(SOON).await;
        assert_eq!(known().await, 2, "it is remembered");
        sleep(s(125)).await;
        outsider.sockets.multicast.send(&recorded).unwrap();
        sleep(SOON).await;
        assert_eq!(known().await, 1, "it is not any more");
        let sold = neg("32473:sold");
        let seller = asa(&a, "S", &sold).await;
        let request = Message::RequestNegotiation { session_id: 9, objective: with(&sold, 5) }.encode();
        let recorded = group(1).seal(1, request);
        for _ in 0..2 {
            let to = SocketAddr::new(at(&a).await.locator.address().unwrap(), at(&a).await.locator.port().unwrap());
            let mut stream = outsider.dial(to).await;
            stream.write_all(&recorded).await.unwrap();
            let (session, asked) = timeout(s(5), seller.listen_negotiate(&sold)).await.unwrap().unwrap();
            assert_eq!(number(&asked), 5);
            session.end_negotiate(false, None).await.unwrap();
            sleep(s(5)).await;
        }
    });
}
