//! Registration of ASAs and objectives (RFC 8991 §2.3.3).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use grasp::substrate::Unprotected;
use grasp::wire::{Message, Transport};
use grasp::{AsaHandle, AsaLocator, ErrorCode, Grasp, Locator, NodeConfig, Objective, Registration, Session, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::sleep;

async fn is_found(asker: &grasp::Asa, name: &str) -> bool {
    !asker.discover(&Objective::discovery(name), s(1), Some(DEFAULT)).await.unwrap().is_empty()
}

fn request(session_id: u32, objective: &Objective) -> Message {
    Message::RequestNegotiation { session_id, objective: with(objective, 1) }
}

fn question(session_id: u32, objective: &Objective) -> Message {
    Message::RequestSynchronization { session_id, objective: with(objective, 0) }
}

/// Every call of an ASA with this handle that could be refused for it.
async fn every_call(node: &Grasp, handle: AsaHandle) -> Vec<ErrorCode> {
    let (asa, n, y) = (node.asa(handle), neg("32473:n"), with(&syn("32473:s"), 1));
    let peer = AsaLocator::known(Locator::tcp(std::net::Ipv6Addr::LOCALHOST.into(), 9), 0);
    let flooded = grasp::protocol::flood::Flooded {
        objective: y.clone(),
        locator: None,
        initiator: std::net::Ipv6Addr::LOCALHOST.into(),
        link: 0,
        heard: grasp::protocol::Time::default(),
        expires: None,
    };
    vec![
        code(asa.register_objective(&n, Registration::default()).await),
        code(asa.deregister_objective(&n).await),
        code(asa.discover(&n, DEFAULT, None).await),
        code(asa.discover_direct(&n, s(1), None).await),
        code(asa.request_negotiate(&n, None, s(1)).await),
        code(asa.request_negotiate(&n, Some(&peer), s(1)).await),
        code(asa.listen_negotiate(&n).await),
        code(asa.stop_listen_negotiate(&n).await),
        code(asa.synchronize(&y, None, s(1)).await),
        code(asa.synchronize(&y, Some(&peer), s(1)).await),
        code(asa.listen_synchronize(&y).await),
        code(asa.stop_listen_synchronize(&y).await),
        code(asa.flood(0, vec![(y.clone(), None)]).await),
        code(asa.get_flood(&y).await),
        code(asa.watch_flood(&y).await),
        code(asa.expire_flood(&flooded).await),
    ]
}

/// A-GEN-09, A-REG-01, A-REG-02: no call works with a handle that was not given, or not any more.
#[test]
fn an_unknown_handle_fails_every_call() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node("node").await;
        let asa = asa(&node, "A", &neg("32473:n")).await;
        let handle = asa.handle();
        assert_eq!(every_call(&node, AsaHandle(handle.0 ^ 1)).await, [ErrorCode::NoAsa; 16]);
        assert_eq!(code(node.deregister_asa(AsaHandle(0), "A").await), ErrorCode::NoAsa);
        node.deregister_asa(handle, "A").await.unwrap();
        assert_eq!(every_call(&node, handle).await, [ErrorCode::NoAsa; 16]);
    });
}

/// A-GEN-20: without a substrate nothing that could lead to a message works, and nothing is sent or accepted.
#[test]
fn without_a_substrate_every_call_fails() {
    paused(async {
        let lan = Lan::new();
        let place = lan.place();
        let node = Grasp::start(NodeConfig::default(), Arc::new(place), Arc::new(Unprotected)).unwrap();
        let asa = node.register_asa("A").await.unwrap();
        assert_eq!(every_call(&node, asa.handle()).await, [ErrorCode::NoSecurity; 16]);
        let status = node.status().await.unwrap();
        assert!(!status.ready && !status.secure && status.links.is_empty(), "{status:?}");
        node.deregister_asa(asa.handle(), "A").await.unwrap();
    });
}

/// A-GEN-10: handles do not follow from each other.
#[test]
fn handles_are_unpredictable() {
    paused(async {
        let node = Lan::new().node("node").await;
        let mut handles = BTreeSet::new();
        let mut asas = Vec::new();
        for i in 0..50 {
            let asa = node.register_asa(&i.to_string()).await.unwrap();
            assert!(handles.insert(asa.handle().0) && asa.handle().0 != 0);
            asas.push(asa);
        }
        let steps: BTreeSet<u32> = asas.windows(2).map(|w| w[1].handle().0.wrapping_sub(w[0].handle().0)).collect();
        assert_eq!(steps.len(), 49, "no step occurs twice");
        assert!(handles.iter().any(|h| *h > u32::MAX / 2) && handles.iter().any(|h| *h < u32::MAX / 2));
    });
}

/// A-REG-05: the name must be that of the handle, else nothing changes.
#[test]
fn a_mismatched_deregistration_changes_nothing() {
    paused(async {
        let node = Lan::new().node("node").await;
        let asa = asa(&node, "A", &neg(NAME)).await;
        assert_eq!(code(node.deregister_asa(asa.handle(), "B").await), ErrorCode::NotYourAsa);
        assert_eq!(node.status().await.unwrap().asas, ["A"]);
        asa.deregister_objective(&neg(NAME)).await.unwrap();
    });
}

/// G-RATE-06, G-HA-11: one peer cannot take all the places for sessions; its excess is refused, others are served.
#[test]
fn one_peer_leaves_places_for_others() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node_with("node", |config| config.sessions = 40).await;
        let asa = asa_with(&node, "A", &neg(NAME), Registration::default()).await;
        let listener = asa.clone();
        actix::spawn(async move {
            let mut held = Vec::new();
            while let Ok((session, _)) = listener.listen_negotiate(&neg(NAME)).await {
                held.push(session);
            }
        });
        sleep(SOON).await;
        let (greedy, modest) = (lan.puppet(), lan.puppet());
        let mut talks = Vec::new();
        for id in 0..30 {
            talks.push(greedy.say(&node, &request(id, &neg(NAME))).await);
        }
        assert_eq!(sessions(&node).await, 10);
        assert_eq!(counted(&node, "requests_refused").await, 20);
        let mut served = modest.say(&node, &request(99, &neg(NAME))).await;
        assert!(served.is_silent(SOON).await);
        assert_eq!(sessions(&node).await, 11);
        drop(talks);
        assert_eq!(sessions(&node).await, 1);
        let _again = greedy.say(&node, &request(100, &neg(NAME))).await;
        assert_eq!(sessions(&node).await, 2);
    });
}

/// A-REG-15: deregistering one objective ends the negotiations about it, and those about another go on.
#[test]
fn the_end_of_an_objective_ends_its_sessions_only() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node("node").await;
        let asa = asa_with(&node, "A", &neg(NAME), Registration::default()).await;
        asa.register_objective(&neg("32473:y"), Registration::default()).await.unwrap();
        let mut talks = Vec::new();
        let puppet = lan.puppet();
        for (session_id, name) in [(1, NAME), (2, "32473:y")] {
            let listener = asa.clone();
            let listening = actix::spawn(async move { listener.listen_negotiate(&neg(name)).await.unwrap().0 });
            sleep(SOON).await;
            let talk = puppet.say(&node, &request(session_id, &neg(name))).await;
            talks.push((talk, listening.await.unwrap()));
        }
        asa.deregister_objective(&neg(NAME)).await.unwrap();
        assert_eq!(talks[0].0.declined().await, "abandoned");
        assert!(talks[1].0.is_silent(SOON).await);
        assert_eq!(sessions(&node).await, 1);
    });
}

/// A-REG-03, A-REG-04, G-HA-07, T-58: whatever ends an ASA ends all that it had, and its peers are told.
#[test]
fn the_end_of_an_asa_ends_its_sessions_listeners_and_answers() {
    for way in ["deregistered", "dropped", "panicked"] {
        paused(async {
            let lan = Lan::new();
            let (node, other) = (lan.node("node").await, lan.node("other").await);
            let asker = other.register_asa("asker").await.unwrap();
            let gone = node.register_asa("A").await.unwrap();
            gone.register_objective(&neg(NAME), Registration::default()).await.unwrap();
            gone.register_objective(&syn("32473:s"), Registration::default()).await.unwrap();
            gone.listen_synchronize(&with(&syn("32473:s"), 1)).await.unwrap();
            let (puppet, listener) = (lan.puppet(), gone.clone());
            let listening = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.unwrap().0 });
            sleep(SOON).await;
            let mut open = puppet.say(&node, &request(1, &neg(NAME))).await;
            let session: Session = listening.await.unwrap();
            // No one takes this one any more.
            let mut queued = puppet.say(&node, &request(2, &neg(NAME))).await;
            sleep(SOON).await;
            assert_eq!(node.status().await.unwrap().sessions, 2);
            assert!(is_found(&asker, NAME).await && is_found(&asker, "32473:s").await);
            match way {
                "deregistered" => {
                    node.deregister_asa(gone.handle(), "A").await.unwrap();
                    assert_eq!(code(session.negotiate_step(&neg(NAME), DEFAULT).await), ErrorCode::NoSession);
                }
                "dropped" => drop(gone),
                _ => {
                    let task = actix::spawn(async move {
                        let _gone = gone;
                        panic!("the ASA of this test fails");
                    });
                    assert!(task.await.is_err());
                }
            }
            assert_eq!(open.declined().await, "abandoned", "{way}");
            assert_eq!(queued.next().await, None);
            assert_eq!(sessions(&node).await, 0);
            assert!(!is_found(&asker, NAME).await && !is_found(&asker, "32473:s").await);
            let mut late = puppet.say(&node, &request(3, &neg(NAME))).await;
            assert_eq!(late.next().await, None);
            let mut late = puppet.say(&node, &question(4, &syn("32473:s"))).await;
            assert_eq!(late.next().await, None);
            assert!(node.status().await.unwrap().asas.is_empty());
            node.register_asa("A").await.unwrap();
        });
    }
}

/// G-HA-13, A-NEG-15: an ASA that panics takes nothing of another one with it.
#[test]
fn a_panicking_asa_spares_the_others() {
    paused(async {
        let lan = Lan::new();
        let (node, puppet) = (lan.node("node").await, lan.puppet());
        let shared = Registration { overlap: true, ..Registration::default() };
        let (one, two) =
            (asa_with(&node, "1", &neg(NAME), shared.clone()).await, asa_with(&node, "2", &neg(NAME), shared).await);
        let failing = actix::spawn(async move {
            let (_session, _) = one.listen_negotiate(&neg(NAME)).await.unwrap();
            panic!("the ASA of this test fails");
        });
        let listener = two.clone();
        let listening = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.unwrap().0 });
        sleep(SOON).await;
        let mut first = puppet.say(&node, &request(1, &neg(NAME))).await;
        let mut second = puppet.say(&node, &request(2, &neg(NAME))).await;
        let session = listening.await.unwrap();
        assert!(failing.await.is_err());
        assert_eq!(first.declined().await, "abandoned");
        assert!(second.is_silent(s(5)).await);
        session.end_negotiate(true, None).await.unwrap();
        assert!(matches!(second.next().await, Some(Message::End { session_id: 2, .. })));
        let mut third = puppet.say(&node, &request(3, &neg(NAME))).await;
        assert!(third.is_silent(s(5)).await, "the other ASA still listens");
        assert_eq!(two.listen_negotiate(&neg(NAME)).await.unwrap().0.session_id(), 3);
    });
}

/// A-REG-06, A-REG-07, A-DISC-01, T-51: what sends a value needs a registration, what only reads does not.
#[test]
fn only_senders_of_values_need_a_registration() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let server = asa(&other, "server", &syn(NAME)).await;
        server.listen_synchronize(&with(&syn(NAME), 7)).await.unwrap();
        let reader = node.register_asa("reader").await.unwrap();
        assert_eq!(reader.discover(&syn(NAME), s(1), None).await.unwrap().len(), 1);
        assert_eq!(number(&reader.synchronize(&syn(NAME), None, DEFAULT).await.unwrap()), 7);
        assert!(reader.get_flood(&syn(NAME)).await.unwrap().is_empty());
        let unknown = ErrorCode::NotObjective;
        assert_eq!(code(reader.request_negotiate(&neg("32473:n"), None, s(1)).await), unknown);
        assert_eq!(code(reader.listen_negotiate(&neg("32473:n")).await), unknown);
        assert_eq!(code(reader.listen_synchronize(&syn("32473:n")).await), unknown);
        assert_eq!(code(reader.flood(0, vec![(syn("32473:n"), None)]).await), unknown);
        let _owner = asa(&node, "owner", &neg("32473:n")).await;
        assert_eq!(code(reader.request_negotiate(&neg("32473:n"), None, s(1)).await), ErrorCode::NotYourObjective);
    });
}

/// A-REG-08, A-REG-09, A-NEG-08, A-NEG-11, A-SYN-04, A-SYN-05: answers start with listening, or at once if so registered.
#[test]
fn discovery_answers_follow_listening() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let asker = other.register_asa("asker").await.unwrap();
        let owner = asa(&node, "owner", &neg(NAME)).await;
        owner.register_objective(&syn("32473:s"), Registration::default()).await.unwrap();
        assert!(!is_found(&asker, NAME).await && !is_found(&asker, "32473:s").await);
        let listener = owner.clone();
        let waiting = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await });
        owner.listen_synchronize(&with(&syn("32473:s"), 1)).await.unwrap();
        assert!(is_found(&asker, NAME).await && is_found(&asker, "32473:s").await);
        sleep(s(100)).await;
        assert!(!waiting.is_finished(), "it returns on a request only");
        owner.stop_listen_negotiate(&neg(NAME)).await.unwrap();
        assert_eq!(code(waiting.await.unwrap()), ErrorCode::Unspecified);
        owner.stop_listen_synchronize(&syn("32473:s")).await.unwrap();
        assert!(!is_found(&asker, NAME).await && !is_found(&asker, "32473:s").await);
        let puppet = lan.puppet();
        assert_eq!(puppet.say(&node, &request(1, &neg(NAME))).await.next().await, None);
        assert_eq!(puppet.say(&node, &question(2, &syn("32473:s"))).await.next().await, None);
        let at_once = Registration { discoverable: true, ..Registration::default() };
        owner.register_objective(&Objective::discovery("32473:d"), at_once).await.unwrap();
        assert!(is_found(&asker, "32473:d").await);
        owner.deregister_objective(&Objective::discovery("32473:d")).await.unwrap();
        assert!(!is_found(&asker, "32473:d").await);
    });
}

/// A-REG-10, A-REG-14: the registration's lifetime and kind of address are what others learn.
#[test]
fn answers_carry_the_registered_lifetime_and_address() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node_with("node", |config| config.port = 7017).await, lan.node("other").await);
        let asker = other.register_asa("asker").await.unwrap();
        let base = Registration { discoverable: true, ..Registration::default() };
        let owner = asa_with(&node, "A", &neg("32473:d"), base.clone()).await;
        owner.register_objective(&neg("32473:t"), Registration { ttl: 5_000, ..base.clone() }).await.unwrap();
        owner.register_objective(&neg("32473:l"), Registration { local: true, ..base }).await.unwrap();
        let found = |name: &'static str| {
            let asker = asker.clone();
            async move { asker.discover(&neg(name), ms(500), None).await.unwrap() }
        };
        for (name, seconds) in [("32473:d", 60), ("32473:t", 5)] {
            let before = tokio::time::Instant::now();
            let locators = found(name).await;
            let [one] = &locators[..] else { panic!("{locators:?}") };
            // A-DISC-08.
            let status = node.status().await.unwrap();
            assert_eq!(one.locator, Locator::tcp(status.global.unwrap().into(), status.port));
            assert!(one.interface == 1 && !one.diverted);
            sleep(before + s(seconds) - ms(100) - tokio::time::Instant::now()).await;
            assert_eq!(asker.discover(&neg(name), DEFAULT, None).await.unwrap().len(), 1, "{name} is known");
            sleep(ms(400)).await;
            assert!(asker.discover(&neg(name), DEFAULT, None).await.unwrap().is_empty(), "{name} is forgotten");
        }
        let [one] = &found("32473:l").await[..] else { panic!("one") };
        assert!(one.locator.is_link_local() && one.interface == 1);
        let Locator::Ipv6 { transport, .. } = one.locator else { panic!("{one:?}") };
        assert_eq!(transport, Transport::Tcp);
    });
}

/// A-REG-11, A-REG-12, A-REG-15: overlap only if all say so, each time.
#[test]
fn overlap_is_all_or_nothing() {
    paused(async {
        let node = Lan::new().node("node").await;
        let (one, two) = (node.register_asa("1").await.unwrap(), node.register_asa("2").await.unwrap());
        let (yes, no) = (Registration { overlap: true, ..Registration::default() }, Registration::default());
        let taken = ErrorCode::ObjectiveRegistered;
        for (first, second, result) in
            [(&yes, &yes, None), (&no, &yes, Some(taken)), (&yes, &no, Some(taken)), (&no, &no, Some(taken))]
        {
            one.register_objective(&neg(NAME), first.clone()).await.unwrap();
            let second = two.register_objective(&neg(NAME), second.clone()).await;
            assert_eq!(second.err().map(|error| error.code), result);
            one.deregister_objective(&neg(NAME)).await.unwrap();
            if result.is_none() {
                assert_eq!(code(one.deregister_objective(&neg(NAME)).await), ErrorCode::NotYourObjective);
                two.deregister_objective(&neg(NAME)).await.unwrap();
            }
            assert_eq!(code(two.deregister_objective(&neg(NAME)).await), ErrorCode::NotObjective);
        }
        one.register_objective(&neg(NAME), yes.clone()).await.unwrap();
        assert_eq!(code(one.register_objective(&neg(NAME), yes).await), taken, "not twice by the same ASA");
        assert_eq!(code(node.register_asa("1").await), ErrorCode::DuplicateAsa);
    });
}

/// A-REG-11: the ASAs that share an objective each get their requests; the value of the last one is served.
#[test]
fn overlapping_asas_serve_side_by_side() {
    paused(async {
        let lan = Lan::new();
        let (node, puppet) = (lan.node("node").await, lan.puppet());
        let shared = Registration { overlap: true, ..Registration::default() };
        let one = asa_with(&node, "1", &neg(NAME), shared.clone()).await;
        let two = asa_with(&node, "2", &neg(NAME), shared.clone()).await;
        let (a, b) = (one.clone(), two.clone());
        let first = actix::spawn(async move { a.listen_negotiate(&neg(NAME)).await.unwrap().0 });
        let second = actix::spawn(async move { b.listen_negotiate(&neg(NAME)).await.unwrap().0 });
        sleep(SOON).await;
        let _talks =
            (puppet.say(&node, &request(1, &neg(NAME))).await, puppet.say(&node, &request(2, &neg(NAME))).await);
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!((first.asa().handle(), second.asa().handle()), (one.handle(), two.handle()));
        // One of them stops: the other goes on listening.
        one.stop_listen_negotiate(&neg(NAME)).await.unwrap();
        let mut talk = puppet.say(&node, &request(3, &neg(NAME))).await;
        assert!(talk.is_silent(s(1)).await);
        let (third, _) = two.listen_negotiate(&neg(NAME)).await.unwrap();
        assert_eq!(third.session_id(), 3);
        for (asa, value) in [(&one, 1), (&two, 2)] {
            asa.register_objective(&syn("32473:s"), shared.clone()).await.unwrap();
            asa.listen_synchronize(&with(&syn("32473:s"), value)).await.unwrap();
            let mut talk = puppet.say(&node, &question(9, &syn("32473:s"))).await;
            let Some(Message::Synch { objective, .. }) = talk.next().await else { panic!("no value") };
            assert_eq!(number(&objective), value);
        }
    });
}

/// A-GEN-05, G-OBJ-07, G-OBJ-08, G-OBJ-09, T-17, T-21: what an objective may be.
#[test]
fn impossible_objectives_are_refused() {
    paused(async {
        let node = Lan::new().node("node").await;
        let asa = node.register_asa("A").await.unwrap();
        let both = Objective { flags: neg("b").flags.with(syn("b").flags), ..neg("b") };
        for (objective, expected) in [
            (both, ErrorCode::NotBoth),
            (syn("s").dry_run(), ErrorCode::NotDry),
            (Objective::discovery("d").dry_run(), ErrorCode::NotDry),
            (neg(""), ErrorCode::Unspecified),
            (neg("EX0"), ErrorCode::Unspecified),
            (neg("EX9"), ErrorCode::Unspecified),
            (neg("l").with_loop_count(0), ErrorCode::Unspecified),
        ] {
            let refused = asa.register_objective(&objective, Registration::default()).await;
            assert_eq!(code(refused), expected, "{objective:?}");
        }
        for name in ["EX10", "ex1", "EX", " ", "a:EX1"] {
            asa.register_objective(&neg(name), Registration::default()).await.unwrap();
        }
        asa.register_objective(&neg("dry").dry_run(), Registration::default()).await.unwrap();
    });
}

/// G-OBJ-01, G-OBJ-02: names are bytes.
#[test]
fn names_are_compared_byte_by_byte() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let asker = other.register_asa("asker").await.unwrap();
        let at_once = Registration { discoverable: true, ..Registration::default() };
        let _owner = asa_with(&node, "A", &neg("32473:Caf\u{e9}"), at_once).await;
        assert!(is_found(&asker, "32473:Caf\u{e9}").await);
        for other in ["32473:caf\u{e9}", "32473:Cafe\u{301}", " 32473:Caf\u{e9}", "Caf\u{e9}", "32474:Caf\u{e9}"] {
            assert!(!is_found(&asker, other).await, "{other}");
        }
    });
}

/// A-GEN-19, G-RATE-06, G-OBJ-10: beyond a cap there is an error, and the rest goes on.
#[test]
fn caps_refuse_and_spare_the_rest() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node_with("node", |config| config.sessions = 2).await;
        let (owner, puppet) = (asa(&node, "A", &neg(NAME)).await, lan.puppet());
        for i in 0..100 {
            owner.register_objective(&neg(&format!("32473:{i}")), Registration::default()).await.unwrap();
        }
        let door = puppet.listen();
        let ask = || async { owner.request_negotiate(&neg(NAME), Some(&door.at), s(30)).await };
        let (first, second, third, ()) = tokio::join!(ask(), ask(), ask(), async {
            sleep(SOON).await;
            // Two are open: one from here is refused, and one from outside is closed at once.
            let listener = owner.clone();
            let listening = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.is_ok() });
            sleep(SOON).await;
            assert_eq!(puppet.say(&node, &request(1, &neg(NAME))).await.next().await, None);
            listening.abort();
            for _ in 0..2 {
                let (mut talk, request) = door.request().await;
                let session_id = request.session_id().unwrap();
                talk.send(&Message::End { session_id, option: grasp::wire::EndOption::Accept }).await;
            }
        });
        let (accepted, refused): (Vec<_>, Vec<_>) = [first, second, third].into_iter().partition(Result::is_ok);
        assert_eq!((accepted.len(), refused.len()), (2, 1));
        assert_eq!(code(refused.into_iter().next().unwrap()), ErrorCode::Unspecified);
        assert_eq!(sessions(&node).await, 0);
    });
}

/// A-GEN-08, G-FRM-27, G-CON-06: a message is as long as the objective allows and no longer.
#[test]
fn message_size_follows_the_registration() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let large = Registration { message_size: 8_192, overlap: true, ..Registration::default() };
        let bytes = |length: usize| Value::embedded(&vec![7; length]);
        for (name, registration, longest, over) in
            [("32473:default", Registration::default(), 2_015, 2_050), ("32473:large", large, 8_000, 8_192)]
        {
            let asker = asa_with(&node, name, &neg(name), registration.clone()).await;
            let listener = asa_with(&other, name, &neg(name), registration.clone()).await;
            let peer = at(&other).await;
            let fits = neg(name).with_value(bytes(longest));
            let too_long = neg(name).with_value(bytes(over));
            let before = counted(&other, "messages_received").await;
            assert_eq!(code(asker.request_negotiate(&too_long, Some(&peer), s(1)).await), ErrorCode::Unspecified);
            sleep(SOON).await;
            assert_eq!(counted(&other, "messages_received").await, before, "nothing is sent");
            let (objective, answer, refused) = (neg(name), fits.clone(), too_long.clone());
            let serving = actix::spawn(async move {
                let (session, request) = listener.listen_negotiate(&objective).await.unwrap();
                assert_eq!(code(session.negotiate_step(&refused, s(1)).await), ErrorCode::Unspecified);
                assert_eq!(request.value, answer.value);
                session.end_negotiate(true, None).await.unwrap();
            });
            sleep(SOON).await;
            assert!(asker.request_negotiate(&fits, Some(&peer), s(5)).await.is_ok());
            serving.await.unwrap();
            let synch = format!("{name}:s");
            let server = asa_with(&other, &synch, &syn(&synch), registration).await;
            server.listen_synchronize(&syn(&synch).with_value(bytes(longest))).await.unwrap();
            let refused = server.listen_synchronize(&syn(&synch).with_value(bytes(over))).await;
            assert_eq!(code(refused), ErrorCode::Unspecified);
            let got = asker.synchronize(&syn(&synch), Some(&peer), s(5)).await.unwrap();
            assert_eq!(got.value, Some(bytes(longest)), "the value before is still served");
        }
        let small = Registration { message_size: 2_047, ..Registration::default() };
        let asa = node.register_asa("small").await.unwrap();
        assert_eq!(code(asa.register_objective(&neg("32473:small"), small).await), ErrorCode::Unspecified);
    });
}
