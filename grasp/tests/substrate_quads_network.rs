//! Nodes of two groups on one link, and what an outsider learns from them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::{DEFAULT, Lan, NAME, SOON, asa, at, code, counted, ms, neg, number, paused, s, sessions, syn, with};
use grasp::net::Network;
use grasp::substrate::quads::{FAILURE_DELAY, GroupKey};
use grasp::substrate::{Quads, Substrate};
use grasp::wire::{Limits, Message};
use grasp::{Asa, ErrorCode, Grasp, Negotiated, Registration, Value};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

fn group(key: u8) -> Quads {
    Quads::new(GroupKey::from_bytes([key; 32]), Limits::default())
}

async fn member(lan: &Lan, name: &str, key: u8) -> Grasp {
    lan.node_in(name, Arc::new(group(key))).await
}

/// Grants half of what is asked for, once.
async fn grant(asa: Asa) {
    let (session, request) = asa.listen_negotiate(&neg(NAME)).await.unwrap();
    session.negotiate_step(&with(&neg(NAME), number(&request) / 2), DEFAULT).await.unwrap();
}

async fn ask(asa: &Asa, value: u64) -> u64 {
    let asked = asa.request_negotiate(&with(&neg(NAME), value), None, DEFAULT).await.unwrap();
    let Negotiated::Offered(session, offer) = asked else { panic!("accepted at once") };
    session.end_negotiate(true, None).await.unwrap();
    number(&offer)
}

/// EX-Q-01, EX-Q-03: the members of a group find each other and talk; the other group on the link is as if it were not there.
#[test]
fn two_groups_on_one_link_do_not_meet() {
    paused(async {
        let lan = Lan::new();
        let (a, b) = (member(&lan, "a", 1).await, member(&lan, "b", 1).await);
        let (other, third) = (member(&lan, "other", 2).await, member(&lan, "third", 2).await);
        let mut groups = Vec::new();
        for (first, second) in [(&a, &b), (&other, &third)] {
            let (asks, gives) = (asa(first, "asks", &neg(NAME)).await, asa(second, "gives", &neg(NAME)).await);
            let value = syn("32473:value");
            for asa in [&asks, &gives] {
                asa.register_objective(&value, Registration::default()).await.unwrap();
            }
            actix::spawn(grant(gives.clone()));
            groups.push((asks, gives, value));
        }
        sleep(SOON).await;
        for (worth, (asks, gives, value)) in (1..).zip(&groups) {
            let found = asks.discover(&neg(NAME), s(2), None).await.unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(ask(asks, 100 * worth).await, 50 * worth);
            gives.listen_synchronize(&with(value, worth)).await.unwrap();
            assert_eq!(number(&asks.synchronize(value, None, DEFAULT).await.unwrap()), worth);
            gives.flood(60_000, vec![(with(value, 10 * worth), None)]).await.unwrap();
            sleep(SOON).await;
        }
        for (worth, (asks, _, value)) in (1..).zip(&groups) {
            let copies = asks.get_flood(value).await.unwrap();
            assert_eq!(copies.iter().map(|copy| number(&copy.objective)).collect::<Vec<_>>(), [10 * worth]);
        }
        for node in [&a, &b, &other, &third] {
            assert_eq!(sessions(node).await, 0);
            assert_eq!(counted(node, "undecryptable_streams").await, 0);
            assert_eq!(counted(node, "decode_errors").await, 0);
            let foreign = counted(node, "undecryptable_multicasts").await;
            assert!(foreign >= 2, "{foreign}");
            assert_eq!(foreign, counted(node, "strangers").await);
            let status = node.status().await.unwrap();
            assert_eq!((status.substrate, status.secure, status.ready), ("quads", false, true));
        }
    });
}

/// EX-Q-03: who connects with another key learns nothing and disturbs nobody.
#[test]
fn a_request_under_another_key_fails_on_both_sides() {
    paused(async {
        let lan = Lan::new();
        let (a, other) = (member(&lan, "a", 1).await, member(&lan, "other", 2).await);
        let (gives, asks) = (asa(&a, "gives", &neg(NAME)).await, asa(&other, "asks", &neg(NAME)).await);
        actix::spawn(grant(gives));
        let peer = at(&a).await;
        let asked = asks.request_negotiate(&with(&neg(NAME), 100), Some(&peer), DEFAULT).await;
        assert_eq!(code(asked), ErrorCode::NoPeer);
        assert_eq!(counted(&a, "undecryptable_streams").await, 1);
        assert_eq!((sessions(&a).await, sessions(&other).await), (0, 0));
        let friend = member(&lan, "friend", 1).await;
        assert_eq!(ask(&asa(&friend, "asks", &neg(NAME)).await, 100).await, 50);
    });
}

/// EX-R-05: a relay of the group lowers the loop count inside the ciphertext.
#[test]
fn a_relay_of_the_group_passes_on_what_it_can_open() {
    paused(async {
        let lan = Lan::new();
        let far = lan.fabric.link(Default::default());
        let start = async |name: &str, place, key| {
            let config =
                grasp::NodeConfig { name: name.into(), seed: Some([name.len() as u8; 32]), ..Default::default() };
            let node = Grasp::start(config, Arc::new(place), Arc::new(group(key))).unwrap();
            sleep(ms(10)).await;
            node
        };
        let relay = start("relay", lan.fabric.node(&[lan.link, far]), 1).await;
        let foreign = start("foreign", lan.fabric.node(&[lan.link, far]), 2).await;
        let (a, b) = (start("a", lan.place(), 1).await, start("bb", lan.fabric.node(&[far]), 1).await);
        let value = syn("32473:value");
        let (gets, gives) = (asa(&a, "gets", &value).await, asa(&b, "gives", &value).await);
        gives.flood(60_000, vec![(with(&value, 7), None)]).await.unwrap();
        sleep(SOON).await;
        let copies = gets.get_flood(&value).await.unwrap();
        assert_eq!((copies.len(), number(&copies[0].objective), copies[0].objective.loop_count), (1, 7, 5));
        gives.listen_synchronize(&with(&value, 8)).await.unwrap();
        assert_eq!(number(&gets.synchronize(&value, None, DEFAULT).await.unwrap()), 7);
        assert_eq!(counted(&relay, "flood_relayed").await, 1);
        assert_eq!(counted(&foreign, "flood_relayed").await, 0);
    });
}

/// An objective with longer messages than usual has them in a group as well.
#[test]
fn an_objective_may_have_longer_messages() {
    paused(async {
        let lan = Lan::new();
        let (a, b) = (member(&lan, "a", 1).await, member(&lan, "b", 1).await);
        let value = syn("32473:long");
        let long = Registration { message_size: 9000, ..Registration::default() };
        let gets = fabric::asa_with(&a, "gets", &value, long.clone()).await;
        let gives = fabric::asa_with(&b, "gives", &value, long).await;
        let text = "x".repeat(8000);
        gives.listen_synchronize(&value.clone().with_value(Value::item(&text).unwrap())).await.unwrap();
        let got = gets.synchronize(&value, Some(&at(&b).await), DEFAULT).await.unwrap();
        assert_eq!(got.value.unwrap().decode::<String>().unwrap(), text);
        assert_eq!(counted(&a, "undecryptable_streams").await, 0);
    });
}

/// What an outsider sees of a connection: the bytes of the answer, the end, and when it comes.
async fn outside_view(lan: &Lan, node: &Grasp, pieces: &[&[u8]], shut: bool) -> (Vec<u8>, String, Duration) {
    let to = at(node).await.locator;
    let to = SocketAddr::new(to.address().unwrap(), to.port().unwrap());
    let mut stream = lan.place().connect(to).await.unwrap();
    let started = Instant::now();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        sleep(ms(20)).await;
    }
    if shut {
        stream.shutdown().await.unwrap();
    }
    let mut answer = Vec::new();
    let end = timeout(s(600), stream.read_to_end(&mut answer)).await.expect("an end");
    (answer, format!("{:?}", end.map_err(|error| error.kind()).map(|_| ())), started.elapsed())
}

/// EX-Q-05: whatever is wrong with a first message, the connection shows the same: the same end at the same time, and no answer.
#[test]
fn an_outsider_cannot_tell_one_failure_from_another() {
    paused(async {
        let lan = Lan::new();
        let (a, quads) = (member(&lan, "a", 1).await, group(1));
        actix::spawn(grant(asa(&a, "gives", &neg(NAME)).await));
        let seal = |clear: &[u8]| quads.seal(1, clear.to_vec());
        let request = Message::RequestNegotiation { session_id: 9, objective: with(&neg(NAME), 100) }.encode();
        let good = seal(&request);
        let mut bad_padding = good.clone();
        let last = bad_padding.len() - 17;
        bad_padding[last] ^= 1;
        let cases: [(&str, Vec<u8>); 7] = [
            ("padding", bad_padding),
            ("no item", seal(&[0xff; 30])),
            ("no message", seal(&[0x78, 25, 64, 64, 64])),
            ("a message that would be answered on another substrate", seal(&[0x82, 0x18, 0x2a, 7])),
            ("another key", group(2).seal(1, request.clone())),
            ("clear", request.clone()),
            ("cut", good[..good.len() - 16].to_vec()),
        ];
        for shut in [false, true] {
            let mut views = Vec::new();
            for (what, bytes) in &cases {
                // The rest of it, and more, comes when it has failed already.
                let pieces = [&bytes[..1], &bytes[1..], &[0; 700], &[0; 900], &[0; 5000]];
                views.push((what, outside_view(&lan, &a, &pieces[..2], shut).await));
                views.push((what, outside_view(&lan, &a, &pieces[..4], shut).await));
                // More than any message has: some is left unread, of all alike.
                let flooded = outside_view(&lan, &a, &pieces, shut).await;
                assert_eq!(flooded.0, [0_u8; 0], "{what}");
                assert_eq!(flooded.1, "Err(ConnectionReset)", "{what}");
            }
            for (what, (answer, end, time)) in &views {
                assert_eq!((answer, end), (&Vec::new(), &"Ok(())".to_owned()), "{what} {shut}");
                assert_eq!(time, &views[0].1.2, "{what} {shut}");
                assert!(*time >= FAILURE_DELAY && *time < FAILURE_DELAY + ms(50), "{time:?}");
            }
        }
        assert_eq!(counted(&a, "undecryptable_streams").await, 6 * 7);
        assert_eq!(counted(&a, "messages_received").await, 0);
        let (answer, ..) = outside_view(&lan, &a, &[&good], false).await;
        assert_ne!(answer, [0; 0], "what is right is answered");
    });
}
