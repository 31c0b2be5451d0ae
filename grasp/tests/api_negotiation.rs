//! Negotiation from API to API, and against scripted peers (RFC 8991 §2.3.5).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use grasp::wire::{EndOption, Message};
use grasp::{
    Asa, AsaLocator, ErrorCode, Grasp, Locator, Negotiated, Objective, Registration, Session, Step, StreamEnd, Value,
};
use std::net::Ipv6Addr;
use tokio::time::{Instant, sleep};

fn request(session_id: u32, objective: &Objective) -> Message {
    Message::RequestNegotiation { session_id, objective: objective.clone() }
}

fn offer(session_id: u32, objective: &Objective) -> Message {
    Message::Negotiate { session_id, objective: objective.clone() }
}

fn end(session_id: u32, accept: bool) -> Message {
    Message::End { session_id, option: if accept { EndOption::Accept } else { EndOption::Decline(None) } }
}

/// A node with a registered ASA, and a puppet's listener.
async fn asker() -> (Lan, Grasp, Asa, Door) {
    let lan = Lan::new();
    let node = lan.node("node").await;
    let asa = asa(&node, "A", &neg(NAME)).await;
    let door = lan.puppet().listen();
    (lan, node, asa, door)
}

/// A session in the node's turn, with the puppet's end of it.
async fn responder(request_objective: &Objective) -> (Lan, Grasp, Asa, Session, Talk) {
    let (lan, node, asa, _) = asker().await;
    let puppet = lan.puppet();
    let listener = asa.clone();
    let listening = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.unwrap() });
    sleep(SOON).await;
    let talk = puppet.say(&node, &request(77, request_objective)).await;
    let (session, requested) = listening.await.unwrap();
    assert_eq!(&requested, request_objective);
    (lan, node, asa, session, talk)
}

/// Accepts every request for the objective after asking for this much patience.
fn serve(asa: &Asa, objective: &Objective, patience: std::time::Duration) {
    let (asa, objective) = (asa.clone(), objective.clone());
    actix::spawn(async move {
        while let Ok((session, _)) = asa.listen_negotiate(&objective).await {
            actix::spawn(async move {
                if !patience.is_zero() {
                    session.negotiate_wait(patience).await.unwrap();
                    sleep(patience - ms(100)).await;
                }
                session.end_negotiate(true, None).await.unwrap();
            });
        }
    });
}

/// A-GEN-04, G-CON-04, G-NEG-05, G-SYN-03: 0 is 60 s, for every call that waits for a peer.
#[test]
fn a_time_limit_of_zero_is_a_minute() {
    paused(async {
        let (_lan, node, asa, door) = asker().await;
        let before = Instant::now();
        assert_eq!(
            code(asa.request_negotiate(&neg(NAME), Some(&door.at), DEFAULT).await),
            ErrorCode::NoNegotiationReply
        );
        assert!((s(60)..s(61)).contains(&before.elapsed()), "{:?}", before.elapsed());
        let before = Instant::now();
        let result = asa.synchronize(&syn("32473:s"), Some(&door.at), DEFAULT).await;
        assert_eq!(code(result), ErrorCode::NoSynchronizationReply);
        assert!((s(60)..s(61)).contains(&before.elapsed()));
        let before = Instant::now();
        assert_eq!(code(asa.request_negotiate(&neg(NAME), None, DEFAULT).await), ErrorCode::NoDiscoveryReply);
        assert!((s(60)..s(61)).contains(&before.elapsed()));
        assert_eq!(sessions(&node).await, 0);
        let (_lan, node, _asa, session, mut talk) = responder(&with(&neg(NAME), 1)).await;
        let before = Instant::now();
        assert_eq!(code(session.negotiate_step(&neg(NAME), DEFAULT).await), ErrorCode::NoNegotiationReply);
        assert!((s(60)..s(61)).contains(&before.elapsed()));
        // G-NEG-40: freed although its holder still holds it.
        assert_eq!(sessions(&node).await, 0);
        assert!(matches!(talk.next().await, Some(Message::Negotiate { .. })));
        assert_eq!(talk.next().await, None);
        let (_lan, _node, _asa, session, mut talk) = responder(&with(&neg(NAME), 1)).await;
        session.negotiate_wait(DEFAULT).await.unwrap();
        assert_eq!(talk.next().await, Some(Message::Wait { session_id: 77, waiting_time: 60_000 }));
    });
}

/// A-GEN-01: the longest times of the API are served without overflow.
#[test]
fn the_longest_times_work() {
    paused(async {
        let (lan, node, asa, door) = asker().await;
        let long = ms(u64::from(u32::MAX));
        let objective = neg(NAME);
        let result = asa.request_negotiate(&objective, Some(&door.at), long);
        assert!(tokio::time::timeout(s(86_400), result).await.is_err());
        let (_talk, _) = door.request().await;
        let registration = Registration { ttl: u32::MAX, discoverable: true, ..Registration::default() };
        let _far = asa_with(&lan.node("far").await, "far", &neg("32473:far"), registration).await;
        assert_eq!(asa.discover(&neg("32473:far"), s(1), Some(long)).await.unwrap().len(), 1);
        let (_lan, _node, _asa, session, mut talk) = responder(&with(&neg(NAME), 1)).await;
        session.negotiate_wait(std::time::Duration::MAX).await.unwrap();
        assert_eq!(talk.next().await, Some(Message::Wait { session_id: 77, waiting_time: u32::MAX }));
        assert_eq!(sessions(&node).await, 0);
    });
}

/// A-NEG-01, G-CON-05, G-NEG-01, G-NEG-02, G-NEG-03, G-NEG-04, G-TRN-22: without a peer one is looked for; then the request goes there.
#[test]
fn without_a_peer_one_is_discovered() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let (asker, server) = (asa(&node, "A", &neg(NAME)).await, asa(&other, "B", &neg(NAME)).await);
        assert_eq!(code(asker.request_negotiate(&neg(NAME), None, s(3)).await), ErrorCode::NoDiscoveryReply);
        let before = Instant::now();
        let (listener, objective) = (server.clone(), neg(NAME));
        let waiting = actix::spawn(async move {
            sleep(s(2)).await;
            listener.listen_negotiate(&objective).await.unwrap()
        });
        let asking = actix::spawn(async move { asker.request_negotiate(&neg(NAME), None, s(30)).await });
        let (session, requested) = waiting.await.unwrap();
        assert_eq!(requested.value, Some(Value::null()), "no value is null");
        assert_eq!(requested.loop_count, 6);
        session.end_negotiate(true, None).await.unwrap();
        let Ok(Negotiated::Accepted(agreed)) = asking.await.unwrap() else { panic!("not accepted") };
        assert_eq!(agreed, requested);
        assert!(before.elapsed() < s(10), "the discovery is repeated, not waited out");
    });
}

/// A-NEG-02, A-NEG-03, A-NEG-04, A-NEG-12, A-NEG-14, G-NEG-11, G-NEG-15, G-NEG-18, G-NEG-21, G-NEG-22: what the answers mean.
#[test]
fn answers_are_told_apart() {
    paused(async {
        let (_lan, node, asa, door) = asker().await;
        let ask = with(&neg(NAME), 47);
        let asking = || {
            let (asa, ask, at) = (asa.clone(), ask.clone(), door.at.clone());
            actix::spawn(async move { asa.request_negotiate(&ask, Some(&at), s(30)).await })
        };
        let accepted = asking();
        let (mut talk, sent) = door.request().await;
        let id = sent.session_id().unwrap();
        assert_eq!(sent, request(id, &ask));
        talk.send(&end(id, true)).await;
        let Negotiated::Accepted(agreed) = accepted.await.unwrap().unwrap() else { panic!("no accept") };
        assert_eq!(agreed, ask);
        assert_eq!(talk.next().await, None, "G-NEG-20, G-TRN-17");

        let declined = asking();
        let (mut talk, sent) = door.request().await;
        let session_id = sent.session_id().unwrap();
        let option = EndOption::Decline(Some("недостаточно".into()));
        talk.send(&Message::End { session_id, option }).await;
        let error = declined.await.unwrap().unwrap_err();
        assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Declined, "недостаточно"));
        assert_eq!(talk.next().await, None);

        let declined = asking();
        let (mut talk, sent) = door.request().await;
        talk.send(&end(sent.session_id().unwrap(), false)).await;
        let error = declined.await.unwrap().unwrap_err();
        assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Declined, ""));

        let offered = asking();
        let (mut talk, sent) = door.request().await;
        let id = sent.session_id().unwrap();
        talk.send(&offer(id, &with(&neg(NAME), 80).with_loop_count(5))).await;
        let Negotiated::Offered(session, first) = offered.await.unwrap().unwrap() else { panic!("no offer") };
        assert_eq!((number(&first), first.loop_count), (80, 5));
        assert_eq!((session.session_id(), session.objective()), (id, &ask));
        let counter = with(&neg(NAME), 307);
        let (step, ()) = tokio::join!(session.negotiate_step(&counter, s(5)), async {
            assert_eq!(talk.next().await, Some(offer(id, &counter.clone().with_loop_count(4))));
            talk.send(&end(id, true)).await;
        });
        assert_eq!(step.unwrap(), Step::Accepted(counter.with_loop_count(4)), "what was sent last is agreed");
        assert_eq!(code(session.end_negotiate(true, None).await), ErrorCode::NoSession);
        assert_eq!(talk.next().await, None);
        assert_eq!(sessions(&node).await, 0);
    });
}

/// A-NEG-05, A-NEG-09, G-NEG-15, G-NEG-16, G-CON-07, G-NEG-08: loop counts go down to 1 and no further.
#[test]
fn loop_counts_go_down_by_themselves() {
    paused(async {
        let (_lan, node, _asa, session, mut talk) = responder(&with(&neg(NAME), 1).with_loop_count(4)).await;
        let step = with(&neg(NAME), 2);
        let (result, ()) = tokio::join!(session.negotiate_step(&step, s(5)), async {
            assert_eq!(talk.next().await, Some(offer(77, &step.clone().with_loop_count(3))));
            talk.send(&offer(77, &with(&neg(NAME), 3).with_loop_count(2))).await;
        });
        assert_eq!(result.unwrap(), Step::Offered(with(&neg(NAME), 3).with_loop_count(2)));
        let (result, ()) = tokio::join!(session.negotiate_step(&step, s(5)), async {
            assert_eq!(talk.next().await, Some(offer(77, &step.clone().with_loop_count(1))));
            talk.send(&offer(77, &with(&neg(NAME), 5).with_loop_count(1))).await;
        });
        assert!(result.is_ok());
        assert_eq!(code(session.negotiate_step(&step, s(5)).await), ErrorCode::LoopExhausted);
        assert!(talk.is_silent(s(20)).await, "nothing is sent");
        assert_eq!(node.status().await.unwrap().sessions, 1, "the ASA may still accept");
        session.end_negotiate(true, None).await.unwrap();
        assert_eq!(talk.next().await, Some(end(77, true)));
        assert_eq!(talk.next().await, None);
        let (_lan, _node, asa, door) = asker().await;
        let twelve = with(&neg(NAME), 1).with_loop_count(12);
        let (result, sent) = tokio::join!(asa.request_negotiate(&twelve, Some(&door.at), s(5)), async {
            let (_talk, sent) = door.request().await;
            sent
        });
        assert_eq!(code(result), ErrorCode::NoPeer);
        assert_eq!(sent, request(sent.session_id().unwrap(), &twelve));
    });
}

/// A-NEG-06, G-NEG-24, G-NEG-27, T-21: a session keeps its name, kind and dry-run flag; a step that differs is not sent.
#[test]
fn a_step_that_changes_the_objective_is_refused() {
    paused(async {
        let (_lan, _node, _asa, session, mut talk) = responder(&with(&neg(NAME), 1)).await;
        for (step, expected) in [
            (neg(NAME).dry_run(), ErrorCode::InvalidNegotiate),
            (neg("32473:y"), ErrorCode::InvalidNegotiate),
            (syn(NAME), ErrorCode::NotNegotiable),
            (neg(NAME).with_loop_count(0), ErrorCode::LoopExhausted),
        ] {
            assert_eq!(code(session.negotiate_step(&step, s(1)).await), expected);
        }
        assert!(talk.is_silent(s(1)).await);
        session.end_negotiate(false, Some("")).await.unwrap();
        assert_eq!(talk.declined().await, "");
    });
}

/// G-NEG-41, A-NEG-06: a dry run is delivered as one and stays one.
#[test]
fn a_dry_run_stays_one() {
    paused(async {
        let dry = with(&neg(NAME).dry_run(), 1);
        let (_lan, _node, _asa, session, mut talk) = responder(&dry).await;
        assert_eq!(code(session.negotiate_step(&neg(NAME), s(1)).await), ErrorCode::InvalidNegotiate);
        let (result, ()) = tokio::join!(session.negotiate_step(&dry, s(5)), async {
            let Some(Message::Negotiate { objective, .. }) = talk.next().await else { panic!("no step") };
            assert!(objective.is_dry_run());
            talk.send(&offer(77, &with(&neg(NAME), 2).with_loop_count(4))).await;
        });
        assert_eq!(code(result), ErrorCode::InvalidNegotiate, "a live answer to a dry run");
    });
}

/// A-NEG-16, G-NEG-39, T-46: steps alternate; out of turn nothing but a decline may be said.
#[test]
fn out_of_turn_calls_are_refused_locally() {
    paused(async {
        let (_lan, node, _asa, session, mut talk) = responder(&with(&neg(NAME), 1)).await;
        let session = std::rc::Rc::new(session);
        let stepping = session.clone();
        let step = actix::spawn(async move { stepping.negotiate_step(&neg(NAME), s(30)).await });
        assert!(matches!(talk.next().await, Some(Message::Negotiate { .. })));
        assert_eq!(code(session.negotiate_step(&neg(NAME), s(30)).await), ErrorCode::Unspecified);
        assert_eq!(code(session.negotiate_wait(s(1)).await), ErrorCode::Unspecified);
        assert_eq!(code(session.end_negotiate(true, None).await), ErrorCode::Unspecified);
        assert!(talk.is_silent(s(1)).await);
        session.end_negotiate(false, Some("enough")).await.unwrap();
        assert_eq!(talk.declined().await, "enough");
        assert_eq!(code(step.await.unwrap()), ErrorCode::NoSession);
        assert_eq!(sessions(&node).await, 0);
    });
}

/// A-NEG-10, A-NEG-11, T-43: several listens wait side by side, each gets one request, in order.
#[test]
fn five_listens_get_five_requests() {
    paused(async {
        let (lan, node, asa, _) = asker().await;
        let (puppet, mut listening, mut talks) = (lan.puppet(), Vec::new(), Vec::new());
        for _ in 0..5 {
            let asa = asa.clone();
            listening.push(actix::spawn(async move { asa.listen_negotiate(&neg(NAME)).await.unwrap().0 }));
        }
        sleep(SOON).await;
        for id in 1..=5 {
            talks.push(puppet.say(&node, &request(id, &with(&neg(NAME), 1))).await);
        }
        let mut sessions = Vec::new();
        for listen in listening {
            sessions.push(listen.await.unwrap());
        }
        assert_eq!(sessions.iter().map(Session::session_id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    });
}

/// T-43, G-RATE-06: between two listens requests wait, as many as allowed; one more is closed at once.
#[test]
fn requests_wait_between_two_listens() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node_with("node", |config| config.request_queue = 3).await;
        let (asa, puppet) = (asa(&node, "A", &neg(NAME)).await, lan.puppet());
        let listener = asa.clone();
        let first = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.unwrap().0 });
        sleep(SOON).await;
        let mut talks = Vec::new();
        for id in 1..=4 {
            talks.push(puppet.say(&node, &request(id, &with(&neg(NAME), 1))).await);
        }
        assert_eq!(first.await.unwrap().session_id(), 1);
        sleep(s(2)).await;
        let mut refused = puppet.say(&node, &request(5, &with(&neg(NAME), 1))).await;
        let before = Instant::now();
        assert_eq!(refused.next().await, None);
        assert!(before.elapsed() < ms(100));
        for id in 2..=4 {
            let (session, _) = asa.listen_negotiate(&neg(NAME)).await.unwrap();
            assert_eq!(session.session_id(), id);
            session.end_negotiate(true, None).await.unwrap();
            assert_eq!(talks[id as usize - 1].next().await, Some(end(id, true)));
        }
        asa.stop_listen_negotiate(&neg(NAME)).await.unwrap();
        assert_eq!(puppet.say(&node, &request(6, &with(&neg(NAME), 1))).await.next().await, None);
        assert_eq!(sessions(&node).await, 0);
    });
}

/// G-NEG-25, G-NEG-32, G-NEG-34, A-NEG-13, A-GEN-12: fifty negotiations at once, half of them in a wait beyond their limit.
#[test]
fn fifty_negotiations_at_once() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let (quick, slow) = (neg("32473:quick"), neg("32473:slow"));
        let (asker, server) = (asa(&node, "A", &quick).await, asa(&other, "B", &quick).await);
        asker.register_objective(&slow, Registration::default()).await.unwrap();
        server.register_objective(&slow, Registration::default()).await.unwrap();
        serve(&server, &quick, DEFAULT);
        serve(&server, &slow, s(40));
        sleep(SOON).await;
        let peer = at(&other).await;
        let before = Instant::now();
        let tasks: Vec<_> = (0..50)
            .map(|i| {
                let (asker, peer, objective) = (asker.clone(), peer.clone(), if i % 2 == 0 { &quick } else { &slow });
                let ask = with(objective, i);
                actix::spawn(async move {
                    let result = asker.request_negotiate(&ask, Some(&peer), s(10)).await.unwrap();
                    (Instant::now(), ask, result)
                })
            })
            .collect();
        sleep(s(5)).await;
        assert_eq!(node.status().await.unwrap().sessions, 25, "those in a wait");
        for (i, task) in tasks.into_iter().enumerate() {
            let (done, ask, Negotiated::Accepted(agreed)) = task.await.unwrap() else { panic!("no accept") };
            assert_eq!(agreed, ask, "sessions do not mix");
            let expected = if i % 2 == 0 { s(0)..s(2) } else { s(39)..s(42) };
            assert!(expected.contains(&(done - before)), "{i}: {:?}", done - before);
        }
        assert_eq!((sessions(&node).await, sessions(&other).await), (0, 0));
    });
}

/// G-NEG-26, A-GEN-12, G-NEG-43: two sessions with one peer about one objective stay apart.
#[test]
fn two_sessions_with_the_same_peer_stay_apart() {
    paused(async {
        let (lan, node, asa, _) = asker().await;
        let puppet = lan.puppet();
        let listener = asa.clone();
        let listening = actix::spawn(async move {
            let one = listener.listen_negotiate(&neg(NAME)).await.unwrap();
            (one, listener.listen_negotiate(&neg(NAME)).await.unwrap())
        });
        sleep(SOON).await;
        let mut talk_1 = puppet.say(&node, &request(1, &with(&neg(NAME), 1))).await;
        let mut talk_2 = puppet.say(&node, &request(2, &with(&neg(NAME), 2))).await;
        let ((one, asked_1), (two, asked_2)) = listening.await.unwrap();
        assert_eq!((number(&asked_1), number(&asked_2)), (1, 2));
        let step = with(&neg(NAME), 9);
        let (result, ()) = tokio::join!(two.negotiate_step(&step, s(5)), async {
            assert!(matches!(talk_2.next().await, Some(Message::Negotiate { session_id: 2, .. })));
            // The id of the other session on this connection means nothing.
            talk_2.send(&end(1, true)).await;
            talk_2.send(&offer(1, &with(&neg(NAME), 8).with_loop_count(4))).await;
            talk_2.send(&offer(2, &with(&neg(NAME), 7).with_loop_count(4))).await;
        });
        assert_eq!(result.unwrap(), Step::Offered(with(&neg(NAME), 7).with_loop_count(4)));
        one.end_negotiate(true, None).await.unwrap();
        assert_eq!(talk_1.next().await, Some(end(1, true)));
        two.end_negotiate(false, None).await.unwrap();
        assert_eq!(talk_2.declined().await, "");
    });
}

/// G-NEG-31: requests that cross are two sessions.
#[test]
fn crossing_requests_are_two_sessions() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let (a, b) = (asa(&node, "A", &neg(NAME)).await, asa(&other, "B", &neg(NAME)).await);
        serve(&a, &neg(NAME), DEFAULT);
        serve(&b, &neg(NAME), DEFAULT);
        sleep(SOON).await;
        let (to_a, to_b) = (at(&node).await, at(&other).await);
        let (one, two) = (with(&neg(NAME), 1), with(&neg(NAME), 2));
        let (from_a, from_b) =
            tokio::join!(a.request_negotiate(&one, Some(&to_b), s(5)), b.request_negotiate(&two, Some(&to_a), s(5)));
        assert!(matches!(from_a.unwrap(), Negotiated::Accepted(agreed) if agreed == one));
        assert!(matches!(from_b.unwrap(), Negotiated::Accepted(agreed) if agreed == two));
        assert_eq!((sessions(&node).await, sessions(&other).await), (0, 0));
    });
}

/// T-40: ASAs of one node find and negotiate with each other, and never with themselves.
#[test]
fn asas_of_one_node_negotiate_with_each_other() {
    paused(async {
        let lan = Lan::new();
        let node = lan.node("node").await;
        let shared = Registration { overlap: true, ..Registration::default() };
        let one = asa_with(&node, "1", &neg(NAME), shared.clone()).await;
        serve(&one, &neg(NAME), DEFAULT);
        sleep(SOON).await;
        assert!(one.discover(&neg(NAME), s(1), None).await.unwrap().is_empty());
        assert_eq!(code(one.request_negotiate(&neg(NAME), None, s(1)).await), ErrorCode::NoDiscoveryReply);
        let two = asa_with(&node, "2", &neg(NAME), shared).await;
        assert_eq!(two.discover(&neg(NAME), DEFAULT, None).await.unwrap().len(), 1, "known without asking");
        let result = two.request_negotiate(&with(&neg(NAME), 5), None, s(5)).await.unwrap();
        assert!(matches!(result, Negotiated::Accepted(agreed) if number(&agreed) == 5));
        let value = asa(&node, "3", &syn("32473:s")).await;
        value.listen_synchronize(&with(&syn("32473:s"), 3)).await.unwrap();
        assert_eq!(number(&two.synchronize(&syn("32473:s"), None, s(5)).await.unwrap()), 3);
        assert_eq!(sessions(&node).await, 0);
    });
}

/// G-NEG-29, G-NEG-30, G-SYN-11, T-10, T-49: a request with an active id is met with silence; the same id from elsewhere is served.
#[test]
fn a_clashing_session_id_meets_silence() {
    paused(async {
        let (lan, node, asa, door) = asker().await;
        let (puppet, other) = (lan.puppet(), lan.puppet());
        serve(&asa, &neg(NAME), s(30));
        asa.register_objective(&syn("32473:s"), Registration::default()).await.unwrap();
        asa.listen_synchronize(&with(&syn("32473:s"), 1)).await.unwrap();
        let asker = asa.clone();
        let at = door.at.clone();
        let own = actix::spawn(async move { asker.request_negotiate(&neg(NAME), Some(&at), s(90)).await });
        let (mut talk, sent) = door.request().await;
        let id = sent.session_id().unwrap();
        let before = Instant::now();
        for message in [
            request(id, &with(&neg(NAME), 1)),
            Message::RequestSynchronization { session_id: id, objective: with(&syn("32473:s"), 0) },
        ] {
            assert!(puppet.say(&node, &message).await.is_silent(s(20)).await, "{message:?}");
        }
        // Twice from the same peer: delivered once.
        let mut first = puppet.say(&node, &request(5, &with(&neg(NAME), 1))).await;
        assert!(matches!(first.next().await, Some(Message::Wait { session_id: 5, .. })));
        let mut second = puppet.say(&node, &request(5, &with(&neg(NAME), 1))).await;
        assert!(second.is_silent(s(5)).await);
        let mut elsewhere = other.say(&node, &request(5, &with(&neg(NAME), 1))).await;
        assert!(matches!(elsewhere.next().await, Some(Message::Wait { session_id: 5, .. })));
        assert_eq!(first.next().await, Some(end(5, true)));
        assert_eq!(elsewhere.next().await, Some(end(5, true)));
        assert_eq!(node.status().await.unwrap().counters["session_id_clashes"], 3);
        talk.send(&end(id, true)).await;
        assert!(own.await.unwrap().is_ok(), "the node's own session is unharmed");
        assert_eq!(second.next().await, None, "it is closed in the end");
        assert!(before.elapsed() < s(120));
        // An id that is free again is served.
        let mut again = puppet.say(&node, &request(5, &with(&neg(NAME), 1))).await;
        assert!(matches!(again.next().await, Some(Message::Wait { session_id: 5, .. })));
    });
}

/// A-NEG-17, T-23: a wait replaces the timer; beyond the configured total no more is granted.
#[test]
fn waits_are_granted_up_to_a_cap() {
    paused(async {
        let lan = Lan::new();
        for (cap, seconds) in [(None, 33), (Some(s(10)), 12)] {
            let node = lan.node_with("node", |config| config.wait_cap = cap).await;
            let (asa, door) = (asa(&node, "A", &neg(NAME)).await, lan.puppet().listen());
            let before = Instant::now();
            let (result, _talk) = tokio::join!(
                async { (asa.request_negotiate(&neg(NAME), Some(&door.at), s(2)).await, before.elapsed()) },
                async {
                    let (mut talk, sent) = door.request().await;
                    let session_id = sent.session_id().unwrap();
                    for _ in 0..4 {
                        sleep(s(1)).await;
                        // A no-op changes nothing (G-NOOP-05).
                        talk.try_send(&Message::Noop).await;
                        talk.try_send(&Message::Wait { session_id, waiting_time: 8_000 }).await;
                        sleep(s(6)).await;
                    }
                    talk
                }
            );
            assert_eq!(code(result.0), ErrorCode::NoNegotiationReply);
            // The last of four waits came after 22 s.
            let expected = if cap.is_some() { seconds } else { 30 };
            assert!((s(expected)..s(expected + 1)).contains(&result.1), "{cap:?}: {:?}", result.1);
        }
    });
}

/// T-41: a locator where nobody answers is skipped for the next, and forgotten.
#[test]
fn a_dead_locator_is_skipped_for_the_next() {
    paused(async {
        let lan = Lan::new();
        let (node, dead, alive) = (lan.node("node").await, lan.node("dead").await, lan.node("alive").await);
        let asker = asa(&node, "A", &neg(NAME)).await;
        let live = asa(&alive, "B", &neg(NAME)).await;
        serve(&live, &neg(NAME), DEFAULT);
        let discoverable = Registration { discoverable: true, ..Registration::default() };
        let gone = asa_with(&dead, "C", &neg(NAME), discoverable).await;
        assert_eq!(asker.discover(&neg(NAME), s(1), None).await.unwrap().len(), 2);
        drop(gone);
        dead.shutdown(s(1)).await;
        sleep(SOON).await;
        for _ in 0..2 {
            let result = asker.request_negotiate(&with(&neg(NAME), 5), None, s(20)).await.unwrap();
            assert!(matches!(result, Negotiated::Accepted(agreed) if number(&agreed) == 5));
        }
        let left = asker.discover(&neg(NAME), DEFAULT, None).await.unwrap();
        assert_eq!(left.iter().map(|l| l.locator.clone()).collect::<Vec<_>>(), [at(&alive).await.locator]);
        // What cannot be connected to at all fails at once.
        for locator in [
            Locator::Uri { uri: "http://[fd00::1]/".into(), transport: None, port: None },
            Locator::Fqdn { name: "nowhere.invalid".into(), transport: grasp::wire::Transport::Tcp, port: 9 },
            Locator::Ipv6 { address: Ipv6Addr::LOCALHOST, transport: grasp::wire::Transport::Udp, port: 9 },
        ] {
            let peer = AsaLocator::known(locator, 0);
            let result = asker.request_negotiate(&neg(NAME), Some(&peer), s(20)).await;
            assert_eq!(code(result), ErrorCode::SocketNegotiationRequest);
        }
        assert_eq!(sessions(&node).await, 0);
    });
}

/// A-INV-01, A-INV-02, T-50: send_invalid says so with its diagnostics, and ends the session; the peer's ends ours.
#[test]
fn invalid_ends_the_session_on_both_sides() {
    paused(async {
        for info in [None, Some(&[1_u8, 2, 3][..])] {
            let (_lan, node, _asa, session, mut talk) = responder(&with(&neg(NAME), 1)).await;
            session.send_invalid(info).await.unwrap();
            let content = info.map(|_| Value::from_encoded(vec![0x43, 1, 2, 3]).unwrap());
            assert_eq!(talk.next().await, Some(Message::Invalid { session_id: 77, content }));
            assert_eq!(talk.next().await, None);
            assert_eq!(code(session.negotiate_step(&neg(NAME), s(1)).await), ErrorCode::NoSession);
            assert_eq!(sessions(&node).await, 0);
        }
        let (_lan, node, asa, door) = asker().await;
        let asking = actix::spawn(async move {
            let at = door.at.clone();
            tokio::join!(async { code(asa.request_negotiate(&neg(NAME), Some(&at), s(9)).await) }, async {
                let (mut talk, sent) = door.request().await;
                talk.send(&Message::Invalid { session_id: sent.session_id().unwrap(), content: None }).await;
                assert_eq!(talk.next().await, None, "G-INV-05: no answer");
            })
        });
        assert_eq!(asking.await.unwrap().0, ErrorCode::NoValidStep);
        assert_eq!(sessions(&node).await, 0);
    });
}

/// A-GEN-11, A-NEG-07, A-NEG-15: a session that is over says so; then a new one may be started.
#[test]
fn after_an_end_a_new_request_may_be_made() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let (a, b) = (asa(&node, "A", &neg(NAME)).await, asa(&other, "B", &neg(NAME)).await);
        let listener = b.clone();
        actix::spawn(async move {
            for accept in [false, true] {
                let (session, _) = listener.listen_negotiate(&neg(NAME)).await.unwrap();
                let Ok(Step::Offered(_)) = session.negotiate_step(&neg(NAME), s(5)).await else { panic!("no offer") };
                session.end_negotiate(accept, Some("reason")).await.unwrap();
            }
        });
        let mut ids = Vec::new();
        for accept in [false, true] {
            let Ok(Negotiated::Offered(session, _)) = a.request_negotiate(&neg(NAME), None, s(5)).await else {
                panic!("no offer")
            };
            ids.push(session.session_id());
            let step = session.negotiate_step(&neg(NAME), s(5)).await;
            assert_eq!(step.is_ok(), accept);
            for result in [
                session.negotiate_wait(s(1)).await,
                session.end_negotiate(true, None).await,
                session.send_invalid(None).await,
            ] {
                assert_eq!(code(result), ErrorCode::NoSession);
            }
        }
        assert_ne!(ids[0], ids[1], "G-SID-12");
        assert_eq!((sessions(&node).await, sessions(&other).await), (0, 0));
    });
}

/// A-NEG-18: a peer is reached over its link-local address, and the session names it with its interface.
#[test]
fn link_local_peers_work() {
    paused(async {
        let lan = Lan::new();
        let (node, other) = (lan.node("node").await, lan.node("other").await);
        let local = Registration { local: true, ..Registration::default() };
        let (a, b) = (asa(&node, "A", &neg(NAME)).await, asa_with(&other, "B", &neg(NAME), local).await);
        let listener = b.clone();
        let listening = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.unwrap().0 });
        sleep(SOON).await;
        let asking = actix::spawn(async move { a.request_negotiate(&neg(NAME), None, s(5)).await });
        let session = listening.await.unwrap();
        let Some(std::net::SocketAddr::V6(peer)) = session.peer() else { panic!("{session:?}") };
        assert!(peer.ip().is_unicast_link_local() && peer.scope_id() == 1, "{peer}");
        assert_eq!(*peer.ip(), node.status().await.unwrap().links[0].2);
        session.end_negotiate(true, None).await.unwrap();
        assert!(asking.await.unwrap().is_ok());
    });
}

/// PM-S-03, PM-S-04: nothing reaches the peer before the preparation is over, not even the connection.
#[test]
fn a_request_leaves_after_it_was_prepared() {
    paused(async {
        let (_lan, node, asa, door) = asker().await;
        let before = Instant::now();
        let (told, named) = tokio::sync::oneshot::channel();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let at = door.at.clone();
        let asking = actix::spawn(async move {
            let prepare = async |session_id, peer| {
                told.send((session_id, peer)).unwrap();
                released.await.unwrap();
                Ok(())
            };
            asa.request_negotiate_prepared(&with(&neg(NAME), 5), &at, s(10), prepare).await
        });
        let (session_id, peer) = named.await.unwrap();
        assert_eq!(peer.map(|peer| peer.port()), door.at.locator.port());
        assert!(door.is_quiet(s(3)).await);
        assert_eq!(sessions(&node).await, 1);
        release.send(()).unwrap();
        let (mut talk, asked) = door.request().await;
        assert_eq!(asked, request(session_id, &with(&neg(NAME), 5)));
        // The time of the preparation counts.
        assert_eq!(code(asking.await.unwrap()), ErrorCode::NoNegotiationReply);
        assert!((ms(9_990)..ms(10_100)).contains(&before.elapsed()), "{:?}", before.elapsed());
        assert_eq!(talk.next().await, None);
    });
}

/// PM-S-03, PM-S-19: a preparation that fails, or takes too long, ends the call with nothing sent.
#[test]
fn a_request_that_is_not_prepared_does_not_leave() {
    paused(async {
        let (_lan, node, asa, door) = asker().await;
        let failed = grasp::Error::new(ErrorCode::AsaFull, "disk full");
        let result = asa
            .request_negotiate_prepared(&with(&neg(NAME), 5), &door.at, s(10), async |_, _| Err(failed.clone()))
            .await;
        assert_eq!(result.unwrap_err(), failed);
        let before = Instant::now();
        let never = async |_, _| std::future::pending().await;
        let result = asa.request_negotiate_prepared(&with(&neg(NAME), 5), &door.at, s(10), never).await;
        assert_eq!((code(result), before.elapsed()), (ErrorCode::Unspecified, s(10)));
        assert!(door.is_quiet(s(3)).await);
        assert_eq!(sessions(&node).await, 0);
    });
}

/// PM-S-07: an orderly end reaches the ASA as such, whether it waits for the peer or is about to move.
#[test]
fn an_orderly_end_is_reported() {
    paused(async {
        // Whoever closes without having read everything resets the connection.
        for (reads, ending) in [(true, StreamEnd::Orderly), (false, StreamEnd::Reset)] {
            let (_lan, _node, _asa, session, mut talk) = responder(&with(&neg(NAME), 1)).await;
            let stepping = actix::spawn(async move { session.negotiate_step(&with(&neg(NAME), 2), DEFAULT).await });
            sleep(SOON).await;
            if reads {
                assert!(matches!(talk.next().await, Some(Message::Negotiate { .. })));
            }
            drop(talk);
            let error = stepping.await.unwrap().unwrap_err();
            assert_eq!((error.code, error.ending), (ErrorCode::NoPeer, Some(ending)));
        }
        let (_lan, _node, _asa, session, talk) = responder(&with(&neg(NAME), 1)).await;
        drop(talk);
        sleep(SOON).await;
        let error = session.end_negotiate(true, None).await.unwrap_err();
        assert_eq!((error.code, error.ending), (ErrorCode::NoSocket, Some(StreamEnd::Orderly)));
    });
}
