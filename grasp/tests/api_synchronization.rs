//! Synchronization, flooding and discovery through the API (RFC 8991 §2.3.4, §2.3.6).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use grasp::net::memory::Conditions;
use grasp::wire::{Form, Message, Transport};
use grasp::{Asa, AsaLocator, ErrorCode, Locator, Negotiated, Objective, Rapid, Registration, Value};
use std::net::Ipv6Addr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const S: &str = "32473:s";

/// An ASA that serves a number.
async fn server(node: &grasp::Grasp, value: u64) -> Asa {
    let asa = asa(node, "server", &syn(S)).await;
    asa.listen_synchronize(&with(&syn(S), value)).await.unwrap();
    asa
}

fn tag(port: u16) -> Option<Locator> {
    Some(Locator::tcp("fd00::77".parse::<Ipv6Addr>().unwrap().into(), port))
}

async fn copies(asa: &Asa) -> Vec<u64> {
    asa.get_flood(&syn(S)).await.unwrap().iter().map(|copy| number(&copy.objective)).collect()
}

/// A-SYN-01, A-SYN-02: without a peer a flooded copy is taken at once; a given peer is asked all the same.
#[test]
fn a_flooded_copy_is_preferred_unless_a_peer_is_given() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let (server, reader) = (server(&other, 1).await, node.register_asa("reader").await.unwrap());
        assert_eq!(number(&reader.synchronize(&syn(S), None, s(5)).await.unwrap()), 1);
        server.flood(0, vec![(with(&syn(S), 2), None)]).await.unwrap();
        sleep(SOON).await;
        let before = (counted(&other, "messages_received").await, Instant::now());
        assert_eq!(number(&reader.synchronize(&syn(S), None, s(5)).await.unwrap()), 2);
        assert_eq!((counted(&other, "messages_received").await, Instant::now()), before, "nothing is sent");
        assert_eq!(number(&reader.synchronize(&syn(S), Some(&at(&other).await), s(5)).await.unwrap()), 1);
    });
}

/// G-SYN-01, G-SYN-02, G-SYN-05, G-SYN-07, G-SYN-13, G-TRN-18, T-48, A-SYN-04: one request with null, one answer with the value of now.
#[test]
fn one_request_and_one_answer() {
    paused(async {
        let lan = Lan::new();
        let (node, puppet) = (lan.node("node").await, lan.puppet());
        let server = server(&node, 1).await;
        let (door, wanted) = (puppet.listen(), syn("32473:t"));
        let (result, ()) = tokio::join!(server.synchronize(&wanted, Some(&door.at), s(5)), async {
            let (mut talk, request) = door.request().await;
            let Message::RequestSynchronization { session_id, objective } = request else { panic!("{request:?}") };
            assert_eq!(objective, syn("32473:t").with_value(Value::null()));
            talk.send(&Message::Synch { session_id, objective: with(&syn("32473:t"), 9) }).await;
            assert_eq!(talk.next().await, None);
        });
        assert_eq!(number(&result.unwrap()), 9);
        // Absent, null or a dummy: all are served.
        for (session_id, value) in [(1, None), (2, Some(Value::null())), (3, Some(Value::item(&0).unwrap()))] {
            let objective = Objective { value, ..syn(S) };
            server.listen_synchronize(&with(&syn(S), u64::from(session_id))).await.unwrap();
            let mut talk = puppet.say(&node, &Message::RequestSynchronization { session_id, objective }).await;
            let objective = with(&syn(S), u64::from(session_id));
            assert_eq!(talk.next().await, Some(Message::Synch { session_id, objective }));
            assert_eq!(talk.next().await, None);
        }
        assert_eq!(sessions(&node).await, 0);
    });
}

/// G-SYN-06, G-SYN-10, G-SYN-12, G-NEG-28, G-NEG-38: what is not for synchronization is not served as such, and the other way round.
#[test]
fn kinds_do_not_mix() {
    paused(async {
        let lan = Lan::new();
        let (node, puppet) = (lan.node("node").await, lan.puppet());
        let server = server(&node, 1).await;
        server.register_objective(&neg(NAME), Registration::default()).await.unwrap();
        let listener = server.clone();
        actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.map(drop) });
        sleep(SOON).await;
        let objective = |name: &str| Objective { flags: syn(name).flags.with(neg(name).flags), ..with(&neg(name), 1) };
        for message in [
            Message::RequestNegotiation { session_id: 1, objective: objective(S) },
            Message::RequestSynchronization { session_id: 2, objective: objective(NAME) },
            Message::RequestNegotiation { session_id: 3, objective: objective("32473:unknown") },
            Message::RequestSynchronization { session_id: 4, objective: objective("32473:unknown") },
        ] {
            let before = Instant::now();
            assert_eq!(puppet.say(&node, &message).await.next().await, None, "{message:?}");
            assert!(before.elapsed() < ms(100));
        }
        for (result, expected) in [
            (server.listen_synchronize(&syn(NAME)).await.err(), ErrorCode::NotSynchronizable),
            (server.stop_listen_synchronize(&syn(NAME)).await.err(), ErrorCode::NotSynchronizable),
            (server.get_flood(&neg(S)).await.err(), ErrorCode::NotSynchronizable),
            (server.watch_flood(&neg(S)).await.err(), ErrorCode::NotSynchronizable),
            (server.synchronize(&neg(S), None, s(1)).await.err(), ErrorCode::NotSynchronizable),
            (server.listen_negotiate(&neg(S)).await.err(), ErrorCode::NotNegotiable),
            (server.stop_listen_negotiate(&neg(S)).await.err(), ErrorCode::NotNegotiable),
            (server.request_negotiate(&neg(S), None, s(1)).await.err(), ErrorCode::NotNegotiable),
            (server.flood(0, vec![(neg(NAME), None)]).await.err(), ErrorCode::NotSynchronizable),
        ] {
            assert_eq!(result.expect("an error").code, expected);
        }
    });
}

/// G-RAPD: rapid synchronization in both forms, only where both sides want it.
#[test]
fn rapid_synchronization_needs_both_sides() {
    for (mode, rapid, requests) in
        [(Rapid::Off, true, 1), (Rapid::Response, false, 1), (Rapid::Response, true, 0), (Rapid::Synch, true, 0)]
    {
        paused(async {
            let lan = Lan::new();
            let (node, other) = (lan.node("node").await, lan.node("other").await);
            let server =
                asa_with(&other, "server", &syn(S), Registration { rapid: mode, ..Registration::default() }).await;
            server.listen_synchronize(&with(&syn(S), 3)).await.unwrap();
            let reader = node.register_asa("reader").await.unwrap();
            let got = reader.synchronize_rapidly(&syn(S), None, s(10), rapid).await.unwrap();
            assert_eq!(number(&got), 3);
            let asked = other.status().await.unwrap().counters.get("messages_received{M_REQ_SYN}").copied();
            assert_eq!(asked.unwrap_or_default(), requests, "{mode:?} {rapid}");
        });
    }
}

/// A-GEN-06, T-01, T-02, G-FRM-25, G-ERR-25: values pass unchanged, whatever they mean.
#[test]
fn values_pass_unchanged() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let (server, reader) = (server(&other, 1).await, node.register_asa("reader").await.unwrap());
        let peer = at(&other).await;
        for bytes in [
            // An unknown tag, a float that could be shorter, undefined, an unassigned simple value, duplicate keys, an
            // indefinite array, an integer that could be shorter, a small bignum.
            &[0xd9, 0x12, 0x67, 0x01][..],
            &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
            &[0xf7],
            &[0xf8, 99],
            &[0xa2, 1, 2, 1, 3],
            &[0x9f, 1, 0xff],
            &[0x1b, 0, 0, 0, 0, 0, 0, 0, 5],
            &[0xc2, 0x41, 5],
        ] {
            let value = Value::from_encoded(bytes.to_vec()).unwrap();
            server.listen_synchronize(&syn(S).with_value(value)).await.unwrap();
            let got = reader.synchronize(&syn(S), Some(&peer), s(5)).await.unwrap().value.unwrap();
            assert_eq!((got.as_bytes(), got.form()), (bytes, Form::Item(bytes.to_vec().into())));
        }
        for inner in [&[0x82, 0x63, b'N', b'Z', b'D', 0x18, 47][..], &[0x82, 1, 0xff], b"-----BEGIN"] {
            server.listen_synchronize(&syn(S).with_value(Value::embedded(inner))).await.unwrap();
            let got = reader.synchronize(&syn(S), Some(&peer), s(5)).await.unwrap().value.unwrap();
            assert_eq!(got.form(), Form::Embedded(inner.to_vec().into()));
        }
    });
}

/// A-FLD-01, A-FLD-06, A-FLD-08: all objectives reach all nodes with their tags; each copy is told and expired by itself.
#[test]
fn floods_reach_every_cache_copy_by_copy() {
    paused(async {
        let lan = Lan::new();
        let (node, near) = (lan.node("node").await, lan.node("near").await);
        let server = server(&node, 0).await;
        server.register_objective(&syn("32473:t"), Registration::default()).await.unwrap();
        let reader = near.register_asa("reader").await.unwrap();
        let objectives = vec![(with(&syn(S), 1), tag(1)), (with(&syn("32473:t"), 2), None), (with(&syn(S), 3), None)];
        server.flood(60_000, objectives).await.unwrap();
        sleep(SOON).await;
        for asa in [&reader, &server] {
            let copies = asa.get_flood(&syn(S)).await.unwrap();
            assert_eq!(copies.len(), 2, "T-40: also on the own node");
            let tagged = copies.iter().find(|copy| copy.locator.is_some()).unwrap();
            assert_eq!((number(&tagged.objective), Some(tagged.locator.clone().unwrap().locator)), (1, tag(1)));
            assert_eq!(asa.get_flood(&syn("32473:t")).await.unwrap()[0].locator, None);
        }
        let copies = reader.get_flood(&syn(S)).await.unwrap();
        let tagged = copies.iter().find(|copy| copy.locator.is_some()).unwrap();
        reader.expire_flood(tagged).await.unwrap();
        assert_eq!(code(reader.expire_flood(tagged).await), ErrorCode::NotObjective);
        let left = reader.get_flood(&syn(S)).await.unwrap();
        assert_eq!(left.iter().map(|copy| number(&copy.objective)).collect::<Vec<_>>(), [3]);
        assert_eq!(server.get_flood(&syn(S)).await.unwrap().len(), 2, "elsewhere it stays");
        assert_eq!(near.flooded_names().await.unwrap(), [S, "32473:t"]);
    });
}

/// A-FLD-02, A-FLD-08, T-24, A-GEN-01: a lifetime of 0 is for ever, any other ends; both can be expired.
#[test]
fn flooded_copies_live_as_long_as_said() {
    paused(async {
        let lan = Lan::new();
        let (node, near) = (lan.node("node").await, lan.node("near").await);
        let (server, reader) = (server(&node, 0).await, near.register_asa("reader").await.unwrap());
        for (port, ttl) in [(1, 0), (2, 10_000), (3, u32::MAX)] {
            server.flood(ttl, vec![(with(&syn(S), u64::from(port)), tag(port))]).await.unwrap();
            sleep(ms(10)).await;
        }
        sleep(s(9)).await;
        assert_eq!(copies(&reader).await, [3, 2, 1], "latest first");
        sleep(s(2)).await;
        assert_eq!(copies(&reader).await, [3, 1]);
        sleep(s(86_400)).await;
        assert_eq!(copies(&reader).await, [3, 1]);
        let forever = reader.get_flood(&syn(S)).await.unwrap().pop().unwrap();
        reader.expire_flood(&forever).await.unwrap();
        assert_eq!(copies(&reader).await, [3]);
    });
}

/// A-FLD-03, A-FLD-04, A-FLD-05, T-52: what a flood may hold; a refused one sends nothing.
#[test]
fn impossible_floods_are_refused_whole() {
    paused(async {
        let lan = Lan::new();
        let (node, near) = (lan.node("node").await, lan.node("near").await);
        let (server, reader) = (server(&node, 0).await, near.register_asa("reader").await.unwrap());
        let _other = asa(&node, "other", &syn("32473:other")).await;
        let tcp = Transport::Tcp;
        let unspecified = Some(Locator::tcp(Ipv6Addr::UNSPECIFIED.into(), 9));
        let multicast = Some(Locator::tcp(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x13).into(), 9));
        let nameless = Some(Locator::Fqdn { name: String::new(), transport: tcp, port: 9 });
        let long = syn(S).with_value(Value::embedded(&[7; 1_300]));
        for (objectives, expected) in [
            (vec![(syn(S), None), (syn("32473:unknown"), None)], ErrorCode::NotObjective),
            (vec![(syn(S), None), (syn("32473:other"), None)], ErrorCode::NotYourObjective),
            (vec![(syn(S), None), (syn(S), multicast)], ErrorCode::InvalidLocator),
            (vec![(syn(S), nameless)], ErrorCode::InvalidLocator),
            (vec![(syn(S), unspecified.clone()), (syn(S), None)], ErrorCode::InvalidLocator),
            (vec![(long, None)], ErrorCode::Unspecified),
            (vec![(syn(S).with_loop_count(0), None)], ErrorCode::Unspecified),
            (vec![], ErrorCode::Unspecified),
        ] {
            assert_eq!(code(server.flood(0, objectives.clone()).await), expected, "{objectives:?}");
        }
        sleep(SOON).await;
        assert!(copies(&reader).await.is_empty());
        server.flood(0, vec![(with(&syn(S), 1), unspecified)]).await.unwrap();
        sleep(SOON).await;
        let copy = reader.get_flood(&syn(S)).await.unwrap().remove(0);
        let own = node.status().await.unwrap().links[0].2;
        assert_eq!(copy.locator.unwrap().locator, Locator::tcp(own.into(), 9), "the address on that link");
        assert_eq!(copy.objective.loop_count, 1);
    });
}

/// A watcher hears every copy from then on, in order; one that is gone is forgotten.
#[test]
fn a_watcher_hears_every_copy() {
    paused(async {
        let lan = Lan::new();
        let (node, near) = (lan.node("node").await, lan.node("near").await);
        let (server, reader) = (server(&node, 0).await, near.register_asa("reader").await.unwrap());
        let mut watch = reader.watch_flood(&syn(S)).await.unwrap();
        drop(reader.watch_flood(&syn(S)).await.unwrap());
        for value in 1..=3 {
            server.flood(0, vec![(with(&syn(S), value), None)]).await.unwrap();
            sleep(s(20)).await;
        }
        for value in 1..=3 {
            assert_eq!(number(&watch.recv().await.unwrap().objective), value);
        }
        assert!(tokio::time::timeout(s(1), watch.recv()).await.is_err());
    });
}

/// A-DISC-02, A-DISC-03, A-DISC-06, T-39: the cache alone, and what minimum_ttl deletes from it.
#[test]
fn minimum_ttl_deletes_what_is_nearly_over() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node_with("other", |config| config.port = 7017).await);
        let (asker, _server) = (node.register_asa("asker").await.unwrap(), server(&other, 1).await);
        let discovered = async |timeout: Duration, minimum: Option<u64>| {
            asker.discover(&syn(S), timeout, minimum.map(s)).await.unwrap().len()
        };
        let silent = counted(&other, "messages_received").await;
        assert_eq!(discovered(DEFAULT, None).await, 0);
        assert_eq!(discovered(DEFAULT, Some(0)).await, 0, "pointless, no error");
        sleep(SOON).await;
        assert_eq!(counted(&other, "messages_received").await, silent, "nothing is sent");
        // The locator lives for 60 s.
        for (minimum, left) in [(None, 1), (Some(30), 1), (Some(90), 0), (None, 0)] {
            if minimum.is_some() || left == 1 {
                assert_eq!(discovered(s(1), None).await, 1);
            }
            assert_eq!(discovered(DEFAULT, minimum).await, left, "{minimum:?}");
        }
        assert_eq!(discovered(s(1), None).await, 1);
        assert_eq!(discovered(DEFAULT, Some(0)).await, 0, "0 deletes all");
    });
}

/// A-DISC-04, A-DISC-05, A-DISC-08, T-38: the whole time is waited for, everyone who answered is told, and nobody is no error.
#[test]
fn a_discovery_waits_its_whole_time_for_all() {
    paused(async {
        let lan = Lan::new();
        let (node, one, two) = (lan.node("node").await, lan.node("one").await, lan.node("two").await);
        let asker = node.register_asa("asker").await.unwrap();
        let before = Instant::now();
        assert!(asker.discover(&syn(S), s(7), None).await.unwrap().is_empty());
        assert!((s(7)..s(8)).contains(&before.elapsed()));
        let _servers = (server(&one, 1).await, server(&two, 2).await);
        let before = Instant::now();
        let found = asker.discover(&syn(S), s(2), None).await.unwrap();
        assert!((s(2)..s(3)).contains(&before.elapsed()));
        let mut locators: Vec<Locator> = found.iter().map(|one| one.locator.clone()).collect();
        locators.sort();
        let mut expected = vec![at(&one).await.locator, at(&two).await.locator];
        expected.sort();
        assert_eq!(locators, expected);
        assert!(found.iter().all(|one| one.interface == 1 && one.expires.is_some() && !one.diverted));
    });
}

/// A-DISC-08: what a third party told is marked, and left out where only first-hand answers are wanted.
#[test]
fn diverted_locators_are_marked() {
    paused(async {
        let lan = Lan::new();
        let right = lan.fabric.link(Conditions::default());
        let node = lan.node("node").await;
        let middle = lan.node_on("middle", std::sync::Arc::new(lan.fabric.node(&[lan.link, right])), |_| {}).await;
        let far = lan.node_on("far", std::sync::Arc::new(lan.fabric.node(&[right])), |_| {}).await;
        let _server = server(&far, 1).await;
        let relay = middle.register_asa("relay").await.unwrap();
        assert_eq!(relay.discover(&syn(S), s(1), None).await.unwrap().len(), 1);
        let asker = node.register_asa("asker").await.unwrap();
        let found = asker.discover(&syn(S), s(1), None).await.unwrap();
        assert_eq!((found.len(), found[0].diverted), (1, true));
        assert!(asker.discover_direct(&syn(S), s(1), None).await.unwrap().is_empty());
        assert_eq!(number(&asker.synchronize(&syn(S), None, s(5)).await.unwrap()), 1);
    });
}

/// A-DISC-07: forgetting a locator does not touch the session that uses it.
#[test]
fn flushing_the_cache_spares_running_sessions() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let (a, b) = (asa(&node, "A", &neg(NAME)).await, asa(&other, "B", &neg(NAME)).await);
        let listener = b.clone();
        let listening = actix::spawn(async move {
            let (session, _) = listener.listen_negotiate(&neg(NAME)).await.unwrap();
            session.negotiate_step(&neg(NAME), s(30)).await.unwrap();
            session.end_negotiate(true, None).await
        });
        sleep(SOON).await;
        let Ok(Negotiated::Offered(session, _)) = a.request_negotiate(&neg(NAME), None, s(5)).await else { panic!() };
        assert!(a.discover(&neg(NAME), DEFAULT, Some(DEFAULT)).await.unwrap().is_empty());
        assert!(session.negotiate_step(&neg(NAME), s(5)).await.is_ok());
        listening.await.unwrap().unwrap();
    });
}

/// T-05, G-TRN-06: a discovery that would not fit into a multicast is refused.
#[test]
fn a_discovery_that_does_not_fit_is_refused() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node("node").await;
        let asker = node.register_asa("asker").await.unwrap();
        let long = syn(&"n".repeat(1_210));
        assert_eq!(code(asker.discover(&long, s(1), None).await), ErrorCode::Unspecified);
        let zero = syn(S).with_loop_count(0);
        assert_eq!(code(asker.discover(&zero, s(1), None).await), ErrorCode::Unspecified);
        let long = syn(S).with_value(Value::embedded(&[7; 1_200]));
        assert_eq!(code(asker.discover(&long, s(1), None).await), ErrorCode::Unspecified);
        assert!(asker.discover(&syn(&"n".repeat(1_150)), s(1), None).await.unwrap().is_empty());
        let fits = syn(S).with_value(Value::embedded(&[7; 1_150]));
        assert!(asker.discover(&fits, s(1), None).await.unwrap().is_empty());
    });
}

/// A locator that an ASA knows by itself is as good as a discovered one.
#[test]
fn a_known_locator_needs_no_discovery() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let (reader, _server) = (node.register_asa("reader").await.unwrap(), server(&other, 4).await);
        let link_local = other.status().await.unwrap();
        let locator = Locator::tcp(link_local.links[0].2.into(), link_local.port);
        let peer = AsaLocator::known(locator, 1);
        assert_eq!(number(&reader.synchronize(&syn(S), Some(&peer), s(5)).await.unwrap()), 4);
    });
}
