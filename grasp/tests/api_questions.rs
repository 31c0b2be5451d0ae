//! What nodes of their own seeds put into their questions, seen through the recorder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, missing_docs)]

mod fabric;

use fabric::{Lan, SOON, asa_with, ms, neg, paused, s, syn, with};
use grasp::recorder::Event;
use grasp::wire::{Limits, Message, decode};
use grasp::{Grasp, Rapid, Registration, Value, hex};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

type Sent = Arc<Mutex<Vec<Message>>>;

/// A node seeded by the system, and every multicast that its cores want sent.
async fn unseeded(lan: &Lan, name: &str) -> (Grasp, Sent) {
    let sent = Sent::default();
    let taken = sent.clone();
    let node = lan
        .node_with(name, |config| {
            config.seed = None;
            config.recorder = Some(Arc::new(move |record| {
                let Event::Output(output) = &record.event else { return };
                if let Some(digits) = output["multicast"]["bytes"].as_str() {
                    let message = decode(&hex::decode(digits).unwrap(), &Limits::default()).unwrap();
                    taken.lock().unwrap().push(message);
                }
            }));
        })
        .await;
    (node, sent)
}

/// G-SID-04: clones of one configuration, started together, and restarts of one node never share a session id.
#[test]
fn equal_nodes_make_different_session_ids() {
    let mut seen = BTreeSet::new();
    let mut asked = 0;
    for _ in 0..20 {
        let ids: Vec<u32> = paused(async {
            let lan = Lan::new();
            let mut nodes = Vec::new();
            for _ in 0..5 {
                nodes.push(unseeded(&lan, "clone").await);
            }
            for (node, _) in &nodes {
                let asa = node.register_asa("A").await.unwrap();
                assert!(asa.discover(&neg("32473:nobody"), ms(100), None).await.unwrap().is_empty());
            }
            nodes.iter().flat_map(|(_, sent)| sent.lock().unwrap().clone()).filter_map(|m| m.session_id()).collect()
        });
        asked += ids.len();
        seen.extend(ids);
    }
    assert_eq!((seen.len(), asked), (100, 100));
}

/// G-RAPD-01, G-RAPD-08: the discovery of a rapid synchronization holds the one objective with the default loop count,
/// also when it is repeated.
#[test]
fn a_rapid_question_has_one_objective_and_a_loop_count() {
    paused(async {
        let lan = Lan::new();
        let (node, sent) = unseeded(&lan, "asker").await;
        let asa = node.register_asa("A").await.unwrap();
        assert!(asa.synchronize_rapidly(&syn("32473:x"), None, s(3), true).await.is_err());
        let sent = sent.lock().unwrap();
        assert!(sent.len() > 1);
        for message in sent.iter() {
            let Message::Discovery { objective, .. } = message else { panic!("{message:?}") };
            assert_eq!((objective.name.as_str(), objective.flags.0, objective.loop_count), ("32473:x", 5, 6));
        }
    });
}

/// G-OBJ-04: the flags are independent bits; what is registered goes out as registered, dry run included.
#[test]
fn flags_go_out_as_they_are() {
    paused(async {
        let lan = Lan::new();
        let (node, sent) = unseeded(&lan, "asker").await;
        let asa = node.register_asa("A").await.unwrap();
        for objective in
            [grasp::Objective::discovery("32473:x"), neg("32473:x"), neg("32473:x").dry_run(), syn("32473:x")]
        {
            assert!(asa.discover(&objective, ms(50), None).await.unwrap().is_empty());
        }
        let flags = |message: &Message| match message {
            Message::Discovery { objective, .. } => Some(objective.flags.0),
            _ => None,
        };
        assert_eq!(sent.lock().unwrap().iter().filter_map(flags).collect::<Vec<_>>(), [1, 3, 11, 5]);
    });
}

/// G-SEC-02: two instances share neither registry nor caches.
#[test]
fn instances_keep_their_data_apart() {
    paused(async {
        let (lan, other) = (Lan::new(), Lan::new());
        let (node, apart) = (lan.node("a").await, other.node("b").await);
        let registration = Registration { rapid: Rapid::Off, ..Registration::default() };
        let asa = asa_with(&node, "A", &syn("32473:x"), registration.clone()).await;
        asa.flood(0, vec![(with(&syn("32473:x"), 1), None)]).await.unwrap();
        let same = asa_with(&apart, "A", &syn("32473:x"), registration).await;
        tokio::time::sleep(SOON).await;
        assert_eq!(asa.get_flood(&syn("32473:x")).await.unwrap().len(), 1);
        assert!(same.get_flood(&syn("32473:x")).await.unwrap().is_empty());
    });
}

/// G-SYN-14, A-SYN-04: a synchronization request is served whatever it holds in place of a value.
#[test]
fn a_request_is_served_whatever_its_value() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node("a").await;
        let asa = asa_with(&node, "A", &syn("32473:x"), Registration::default()).await;
        asa.listen_synchronize(&with(&syn("32473:x"), 9)).await.unwrap();
        let puppet = lan.puppet();
        let values = [None, Some(Value::null()), Some(Value::item(&0).unwrap()), Some(Value::item("dummy").unwrap())];
        for (session_id, value) in (1..).zip(values) {
            let objective = grasp::Objective { value, ..syn("32473:x") };
            let mut talk = puppet.say(&node, &Message::RequestSynchronization { session_id, objective }).await;
            let answer = talk.next().await.unwrap();
            assert_eq!(answer, Message::Synch { session_id, objective: with(&syn("32473:x"), 9) });
        }
    });
}
