//! What a node lists of what it holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod fabric;

use fabric::*;
use grasp::api::dump::{Kind, ObjectiveEntry, SessionState, Side};
use grasp::net::Network;
use grasp::net::memory::{Conditions, FabricLink};
use grasp::wire::{Message, TaggedObjective};
use grasp::{Grasp, Locator, NodeConfig, Registration, Value};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

/// The states of a node's sessions, in their order.
async fn states(node: &Grasp) -> Vec<(SessionState, Option<u8>)> {
    node.sessions().await.unwrap().into_iter().map(|session| (session.state, session.loop_count)).collect()
}

/// EX-T-03, PM-L-04: a locator is listed with where it was heard, whether it was diverted, and for how long it holds.
#[test]
fn the_discovery_cache_is_listed() {
    paused(async {
        let lan = Lan::new();
        let far = lan.fabric.link(Conditions { latency: ms(5), ..Conditions::default() });
        let start =
            async |name: &str, links: &[FabricLink]| lan.node_on(name, Arc::new(lan.fabric.node(links)), |_| {}).await;
        let (node, relay, other) =
            (start("n", &[lan.link]).await, start("r", &[lan.link, far]).await, start("f", &[far]).await);
        let discoverable = Registration { discoverable: true, ttl: 30_000, ..Registration::default() };
        let near = asa_with(&relay, "N", &neg("32473:near"), discoverable.clone()).await;
        let distant = asa_with(&other, "D", &neg("32473:far"), discoverable).await;
        let asker = node.register_asa("A").await.unwrap();
        for name in ["32473:near", "32473:far"] {
            assert_eq!(asker.discover(&neg(name), s(1), None).await.unwrap().len(), 1);
        }
        sleep(s(10)).await;
        let listed = node.discovery_cache().await.unwrap();
        let text: Vec<_> = listed.iter().map(|entry| (entry.objective.as_str(), entry.diverted)).collect();
        assert_eq!(text, [("32473:far", true), ("32473:near", false)]);
        for (entry, at) in listed.iter().zip([at(&other).await, at(&relay).await]) {
            assert_eq!(entry.locator, at.locator.to_string());
            assert!(entry.remaining_ms > 15_000 && entry.remaining_ms <= 20_000, "{entry:?}");
            let status = node.status().await.unwrap();
            assert_eq!(
                (entry.interface, entry.interface_name.clone()),
                (status.links[0].0, Some(status.links[0].1.clone()))
            );
        }
        assert_eq!(serde_json::to_value(&listed).unwrap()[0]["objective"], "32473:far");
        sleep(s(30)).await;
        assert!(node.discovery_cache().await.unwrap().is_empty(), "what has expired is not listed");
        drop((near, distant));
    });
}

/// EX-T-03, PM-L-04: a flood is listed with its value, origin, session id, tag, loop count as received, and lifetime.
#[test]
fn the_flood_cache_is_listed() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node("n").await;
        let puppet = lan.puppet();
        let initiator = IpAddr::V6(puppet.address());
        let tag = Locator::tcp(initiator, 7017);
        let value = Value::item(&("Example", 1)).unwrap();
        let objective = syn("32473:b").with_value(value).with_loop_count(3);
        let objectives = vec![TaggedObjective { objective, locator: Some(tag.clone()) }];
        let flood = Message::Flood { session_id: 99, initiator, ttl: 10_000, objectives };
        let sockets = puppet.0.open_link(&puppet.0.interfaces().unwrap()[0]).unwrap();
        sockets.multicast.send(&flood.encode()).unwrap();
        let asa = asa(&node, "A", &syn("32473:a")).await;
        asa.flood(0, vec![(with(&syn("32473:a"), 7), None)]).await.unwrap();
        sleep(s(4)).await;
        let listed = node.flood_cache().await.unwrap();
        assert_eq!(listed.len(), 2);
        let own = &listed[0];
        assert_eq!((own.objective.as_str(), own.value.as_deref(), own.remaining_ms), ("32473:a", Some("7"), None));
        let status = node.status().await.unwrap();
        assert_eq!((own.origin, own.locator.as_ref()), (IpAddr::V6(status.global.unwrap()), None));
        let heard = &listed[1];
        assert!(heard.remaining_ms.is_some_and(|left| left > 5_000 && left <= 6_100), "{heard:?}");
        assert!(heard.age_ms >= 3_900 && heard.age_ms <= 4_100, "{heard:?}");
        let mut json = serde_json::to_value(heard).unwrap();
        for varying in ["age_ms", "remaining_ms"] {
            json.as_object_mut().unwrap().remove(varying);
        }
        let expected = json!({
            "objective": "32473:b", "value": "[\"Example\", 1]", "origin": initiator, "session_id": 99,
            "locator": tag.to_string(), "interface": status.links[0].0, "interface_name": status.links[0].1,
            "loop_count": 3, "instance": "n", "ttl_ms": 10_000, "what": null, "odd": [],
        });
        assert_eq!(json, expected);
    });
}

/// EX-T-03, PM-L-04: a session is listed through all its states, on both sides, with owner, peer, loop count and limits.
#[test]
fn sessions_are_listed_as_they_stand() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node("n").await;
        let (asa, puppet) = (asa(&node, "A", &neg(NAME)).await, lan.puppet());
        // Responder: queued behind an ASA that listens seldom, then ours, then waiting, then theirs.
        let objective = neg(NAME);
        let request = |session_id| Message::RequestNegotiation { session_id, objective: with(&neg(NAME), 1) };
        let opening = request(71);
        let (mut first, listened) = tokio::join!(puppet.say(&node, &opening), asa.listen_negotiate(&objective));
        let (session, _) = listened.unwrap();
        let _second = puppet.say(&node, &request(72)).await;
        sleep(SOON).await;
        let listed = node.sessions().await.unwrap();
        let brief: Vec<_> =
            listed.iter().map(|l| (l.session_id, l.asa.as_deref(), l.side, l.state, l.loop_count)).collect();
        let ours = (71, Some("A"), Side::Responder, SessionState::OurTurn, Some(6));
        assert_eq!(brief, [ours, (72, None, Side::Responder, SessionState::Queued, None)]);
        assert!(listed[0].peer.contains(&puppet.address().to_string()), "{listed:?}");
        assert!(listed[0].age_ms >= 500 && listed[0].key < listed[1].key && listed[0].kind == Kind::Negotiation);
        session.negotiate_wait(s(9)).await.unwrap();
        assert_eq!(states(&node).await[0], (SessionState::Waiting, Some(6)));
        let step = with(&neg(NAME), 2);
        let theirs = async {
            sleep(s(1)).await;
            let listed = node.sessions().await.unwrap();
            assert_eq!((listed[0].state, listed[0].loop_count), (SessionState::TheirTurn, Some(5)));
            assert!(listed[0].remaining_ms.is_some_and(|left| left > 18_000 && left <= 19_000), "{listed:?}");
            first.send(&Message::Wait { session_id: 71, waiting_time: 60_000 }).await;
            sleep(SOON).await;
            assert_eq!(states(&node).await[0].0, SessionState::Waiting);
            first.send(&Message::Negotiate { session_id: 71, objective: with(&neg(NAME), 3).with_loop_count(4) }).await;
        };
        let (stepped, ()) = tokio::join!(session.negotiate_step(&step, s(20)), theirs);
        stepped.unwrap();
        assert_eq!(states(&node).await[0], (SessionState::OurTurn, Some(4)));
        drop(session);
        sleep(s(1)).await;
        assert_eq!(states(&node).await, [(SessionState::Queued, None)]);
    });
}

/// EX-T-03, PM-L-04: also a session that this node has requested is listed, while it is dialled and after.
#[test]
fn requested_sessions_are_listed() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node("n").await;
        let (asa, puppet) = (asa(&node, "A", &syn(NAME)).await, lan.puppet());
        let door = puppet.listen();
        let objective = syn(NAME);
        let look = async {
            sleep(ms(1)).await;
            let dialling = node.sessions().await.unwrap();
            assert_eq!((dialling[0].state, dialling[0].side), (SessionState::Dialling, Side::Initiator));
            let (mut talk, request) = door.request().await;
            let listed = node.sessions().await.unwrap();
            assert_eq!(listed.len(), 1);
            assert_eq!((listed[0].state, listed[0].kind), (SessionState::TheirTurn, Kind::Synchronization));
            assert_eq!((listed[0].asa.as_deref(), Some(listed[0].session_id)), (Some("A"), request.session_id()));
            let locator = &door.at.locator;
            assert_eq!(listed[0].peer, format!("[{}]:{}", locator.address().unwrap(), locator.port().unwrap()));
            talk.send(&Message::Synch { session_id: listed[0].session_id, objective: with(&objective, 1) }).await;
        };
        let (value, ()) = tokio::join!(asa.synchronize(&objective, Some(&door.at), s(5)), look);
        assert_eq!(number(&value.unwrap()), 1);
        sleep(SOON).await;
        assert!(node.sessions().await.unwrap().is_empty());
    });
}

/// EX-T-03, PM-L-04: thousands of sessions are listed whole, in order, within the second that is allowed.
#[test]
fn two_thousand_sessions_are_listed_in_time() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node_with("n", |config| config.request_queue = 10).await;
        let (asa, puppet) = (asa(&node, "A", &neg(NAME)).await, lan.puppet());
        let (objective, mut held) = (neg(NAME), Vec::new());
        for session_id in 1..=2_000 {
            let request = Message::RequestNegotiation { session_id, objective: with(&objective, 1) };
            let (talk, listened) = tokio::join!(puppet.say(&node, &request), asa.listen_negotiate(&objective));
            held.push((talk, listened.unwrap()));
        }
        let before = Instant::now();
        let listed = node.sessions().await.unwrap();
        assert!(before.elapsed() <= s(1));
        assert_eq!(listed.len(), 2_000);
        assert!(listed.iter().all(|session| session.state == SessionState::OurTurn));
        assert!(listed.is_sorted_by_key(|session| session.key));
    });
}

/// EX-T-03, PM-L-04: an objective is listed with who holds it, whether it is taken care of, and its value.
#[test]
fn objectives_are_listed() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node_with("n", |config: &mut NodeConfig| config.request_queue = 5).await;
        let one = node.register_asa("one").await.unwrap();
        let two = node.register_asa("two").await.unwrap();
        let overlap = Registration { overlap: true, message_size: 4_096, ..Registration::default() };
        one.register_objective(&syn("32473:s"), overlap.clone()).await.unwrap();
        two.register_objective(&syn("32473:s"), overlap).await.unwrap();
        two.listen_synchronize(&syn("32473:s").with_value(Value::item("v").unwrap())).await.unwrap();
        one.register_objective(&neg(NAME).dry_run().with_loop_count(9), Registration::default()).await.unwrap();
        let expected = |name: &str| ObjectiveEntry {
            name: name.into(),
            asas: vec!["one".into()],
            kind: Kind::DryRun,
            listening: false,
            serving: false,
            announced: false,
            queued: 0,
            sessions: 0,
            loop_count: 9,
            message_size: 2_048,
            value: None,
        };
        let synchronized = ObjectiveEntry {
            asas: vec!["one".into(), "two".into()],
            kind: Kind::Synchronization,
            serving: true,
            announced: true,
            loop_count: 6,
            message_size: 4_096,
            value: Some("\"v\"".into()),
            ..expected("32473:s")
        };
        assert_eq!(node.objectives().await.unwrap(), [synchronized.clone(), expected(NAME)]);
        // One request is taken, three wait.
        let (puppet, objective) = (lan.puppet(), neg(NAME).dry_run());
        let request = |session_id| Message::RequestNegotiation { session_id, objective: with(&objective, 1) };
        let opening = request(1);
        let (_talk, listened) = tokio::join!(puppet.say(&node, &opening), one.listen_negotiate(&objective));
        let mut waiting = Vec::new();
        for session_id in 2..=4 {
            waiting.push(puppet.say(&node, &request(session_id)).await);
        }
        sleep(SOON).await;
        let busy = ObjectiveEntry { listening: true, announced: true, queued: 3, sessions: 4, ..expected(NAME) };
        assert_eq!(node.objectives().await.unwrap(), [synchronized, busy]);
        drop(listened);
    });
}
