//! Calls that are given up: whatever moment that is, nothing stays behind on either side (T-58).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fabric;

use fabric::*;
use grasp::wire::Message;
use grasp::{Asa, ErrorCode, Grasp, Negotiated, Session};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::{sleep, timeout};

/// Every moment at which a call may be given up: after so many polls, at once or when the next would have brought
/// something.
fn moments() -> impl Iterator<Item = (usize, bool)> {
    (0..8).flat_map(|polls| [(polls, false), (polls, true)])
}

/// Runs a future on its own and drops it at a moment; returns its result if it is faster.
async fn give_up<F: Future + 'static>(future: F, (polls, woken): (usize, bool)) -> Option<F::Output>
where
    F::Output: 'static,
{
    let mut future = Box::pin(future);
    let mut pending = 0;
    let mut dropped = false;
    let some_polls = poll_fn(move |cx| {
        if dropped || (pending == polls && !woken && polls == 0) {
            return Poll::Ready(None);
        }
        match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => {
                pending += 1;
                dropped = pending > polls || (pending == polls && !woken);
                if dropped && !woken { Poll::Ready(None) } else { Poll::Pending }
            }
        }
    });
    actix::spawn(timeout(s(3), some_polls)).await.unwrap().ok().flatten()
}

/// What is left at the end of a scene: no session, and every connection the peer saw is closed.
async fn nothing_is_left(node: &Grasp, door: &Door, moment: (usize, bool)) {
    assert_eq!(sessions(node).await, 0, "{moment:?}");
    while let Ok(mut talk) = timeout(ms(10), door.accept()).await {
        let ended = timeout(s(1), async { while talk.next().await.is_some() {} }).await;
        assert!(ended.is_ok(), "{moment:?}: the peer was not told");
    }
}

async fn scene() -> (Lan, Grasp, Asa, Door) {
    let lan = Lan::new();
    let node = lan.node("node").await;
    let asa = asa(&node, "A", &neg(NAME)).await;
    let door = lan.puppet().listen();
    (lan, node, asa, door)
}

/// A-GEN-15: a negotiation request that is given up is taken back, connected or not.
#[test]
fn a_request_given_up_ends_the_session() {
    for moment in moments() {
        paused(async {
            let (_lan, node, asa, door) = scene().await;
            let (asker, at) = (asa.clone(), door.at.clone());
            let asking = async move { asker.request_negotiate(&neg(NAME), Some(&at), s(60)).await };
            assert!(give_up(asking, moment).await.is_none());
            nothing_is_left(&node, &door, moment).await;
            // With an answer on its way.
            let (asker, at) = (asa.clone(), door.at.clone());
            let answering = async {
                let Ok((mut talk, sent)) = timeout(s(2), door.request()).await else { return };
                let objective = with(&neg(NAME), 1).with_loop_count(5);
                talk.try_send(&Message::Negotiate { session_id: sent.session_id().unwrap(), objective }).await;
                let ended = timeout(s(5), async { while talk.next().await.is_some() {} }).await;
                assert!(ended.is_ok(), "{moment:?}: the peer was not told");
            };
            let asking = async move { asker.request_negotiate(&neg(NAME), Some(&at), s(60)).await.map(drop) };
            tokio::join!(
                async {
                    give_up(asking, moment).await;
                },
                async {
                    let _ = timeout(s(5), answering).await;
                }
            );
            nothing_is_left(&node, &door, moment).await;
        });
    }
}

/// A-GEN-15: the peer of a request that is given up while it waits hears a decline; one that is still connecting, the end.
#[test]
fn the_peer_of_a_waiting_request_hears_a_decline() {
    paused(async {
        let (lan, node, asa, door) = scene().await;
        let asking = async { timeout(s(1), asa.request_negotiate(&neg(NAME), Some(&door.at), s(60))).await };
        let (result, mut talk) = tokio::join!(async { asking.await.is_err() }, async { door.request().await.0 });
        assert!(result);
        assert_eq!(talk.declined().await, "abandoned");
        assert_eq!(sessions(&node).await, 0);
        // Nobody is there, and nobody says so.
        let puppet = lan.puppet();
        let far = puppet.listen();
        lan.fabric.partition(&[&puppet.0]);
        assert!(timeout(s(1), asa.request_negotiate(&neg(NAME), Some(&far.at), s(60))).await.is_err());
        assert_eq!(sessions(&node).await, 0);
    });
}

/// A step that is given up declines.
#[test]
fn a_step_given_up_declines() {
    for moment in moments() {
        paused(async {
            let (lan, node, asa, door) = scene().await;
            let puppet = lan.puppet();
            let asked = with(&neg(NAME), 1);
            let listening = actix::spawn(async move { (asa.listen_negotiate(&neg(NAME)).await.unwrap().0, asa) });
            sleep(SOON).await;
            let mut talk = puppet.say(&node, &Message::RequestNegotiation { session_id: 9, objective: asked }).await;
            let (session, _asa) = listening.await.unwrap();
            let session = Rc::new(session);
            let stepping: Rc<Session> = session.clone();
            let step = async move { stepping.negotiate_step(&neg(NAME), s(60)).await };
            assert!(give_up(step, moment).await.is_none());
            if moment.0 == 0 && !moment.1 {
                // Never begun: still ours.
                drop(session);
                assert_eq!(talk.declined().await, "abandoned");
            } else {
                let mut messages = Vec::new();
                while let Some(message) = talk.next().await {
                    messages.push(message);
                }
                assert!(matches!(messages.last(), Some(Message::End { .. })), "{moment:?}: {messages:?}");
                assert_eq!(code(session.negotiate_step(&neg(NAME), s(60)).await), ErrorCode::NoSession);
            }
            nothing_is_left(&node, &door, moment).await;
        });
    }
}

/// T-43: a listen that is given up loses no request: it waits for the next listen, or its sender is told.
#[test]
fn a_listen_given_up_strands_no_request() {
    for moment in moments() {
        paused(async {
            let (lan, node, asa, door) = scene().await;
            let (puppet, listener) = (lan.puppet(), asa.clone());
            let listen = async move { listener.listen_negotiate(&neg(NAME)).await.map(drop) };
            let request = Message::RequestNegotiation { session_id: 9, objective: with(&neg(NAME), 1) };
            let (_, mut talk) = tokio::join!(give_up(listen, moment), async {
                sleep(ms(100)).await;
                puppet.say(&node, &request).await
            });
            match sessions(&node).await {
                // It never began to listen, or it was given the request.
                0 => while talk.next().await.is_some() {},
                _ => {
                    let (session, _) = timeout(s(1), asa.listen_negotiate(&neg(NAME))).await.unwrap().unwrap();
                    session.end_negotiate(true, None).await.unwrap();
                    assert!(matches!(talk.next().await, Some(Message::End { .. })), "{moment:?}");
                }
            }
            nothing_is_left(&node, &door, moment).await;
        });
    }
}

/// A synchronization that is given up closes its connection.
#[test]
fn a_synchronization_given_up_closes() {
    for moment in moments() {
        paused(async {
            let (_lan, node, asa, door) = scene().await;
            let (asker, at) = (asa.clone(), door.at.clone());
            let asking = async move { asker.synchronize(&syn("32473:s"), Some(&at), s(60)).await };
            assert!(give_up(asking, moment).await.is_none());
            nothing_is_left(&node, &door, moment).await;
            let asker = asa.clone();
            let asking = async move { asker.synchronize(&syn("32473:s"), None, s(60)).await };
            assert!(give_up(asking, moment).await.is_none());
            nothing_is_left(&node, &door, moment).await;
        });
    }
}

/// A discovery that is given up is not repeated, whichever call asked.
#[test]
fn a_discovery_given_up_is_not_repeated() {
    for moment in moments() {
        for call in 0..3 {
            paused(async {
                let (lan, node, asa, _door) = scene().await;
                let other = lan.node("other").await;
                let asking = async move {
                    match call {
                        0 => drop(asa.discover(&neg(NAME), s(60), None).await),
                        1 => drop(asa.request_negotiate(&neg(NAME), None, s(60)).await),
                        _ => drop(asa.synchronize(&syn("32473:s"), None, s(60)).await),
                    }
                    asa
                };
                assert!(give_up(asking, moment).await.is_none());
                sleep(SOON).await;
                let heard = counted(&other, "messages_received").await;
                sleep(s(70)).await;
                assert_eq!(counted(&other, "messages_received").await, heard, "{moment:?}");
                assert_eq!(node.status().await.unwrap().sessions, 0);
            });
        }
    }
}

/// A-REG-04: a registration that is given up leaves no ASA behind.
#[test]
fn a_registration_given_up_registers_nothing() {
    for moment in moments() {
        paused(async {
            let lan = Lan::new();
            let node = lan.node("node").await;
            let registrar = node.clone();
            drop(give_up(async move { registrar.register_asa("A").await }, moment).await);
            sleep(SOON).await;
            assert!(node.status().await.unwrap().asas.is_empty(), "{moment:?}");
        });
    }
}

/// A flood that is given up disturbs nothing.
#[test]
fn a_flood_given_up_disturbs_nothing() {
    for moment in moments() {
        paused(async {
            let (lan, _node, asa, _door) = scene().await;
            let other = lan.node("other").await;
            let reader = other.register_asa("reader").await.unwrap();
            asa.register_objective(&syn("32473:s"), grasp::Registration::default()).await.unwrap();
            let flooder = asa.clone();
            let flood = async move { flooder.flood(0, vec![(with(&syn("32473:s"), 1), None)]).await };
            give_up(flood, moment).await;
            sleep(s(5)).await;
            asa.flood(0, vec![(with(&syn("32473:s"), 2), None)]).await.unwrap();
            sleep(SOON).await;
            assert_eq!(number(&reader.get_flood(&syn("32473:s")).await.unwrap()[0].objective), 2);
        });
    }
}

/// The last handle of a session declines, also one that nobody looked at.
#[test]
fn a_session_that_is_dropped_declines() {
    paused(async {
        let (_lan, node, asa, door) = scene().await;
        let asking = actix::spawn(async move {
            let at = door.at.clone();
            let (result, mut talk) = tokio::join!(
                async {
                    let result = asa.request_negotiate(&neg(NAME), Some(&at), s(9)).await.unwrap();
                    assert!(matches!(result, Negotiated::Offered(..)));
                },
                async {
                    let (mut talk, sent) = door.request().await;
                    let objective = with(&neg(NAME), 1).with_loop_count(5);
                    talk.send(&Message::Negotiate { session_id: sent.session_id().unwrap(), objective }).await;
                    talk
                }
            );
            assert_eq!(result, ());
            assert_eq!(talk.declined().await, "abandoned");
        });
        asking.await.unwrap();
        assert_eq!(sessions(&node).await, 0);
    });
}

/// An instance that is shut down declines its sessions, closes its port and lets its calls fail.
#[test]
fn a_shutdown_leaves_nothing_open() {
    paused(async {
        let (lan, node, asa, door) = scene().await;
        let puppet = lan.puppet();
        let port = at(&node).await;
        let (listener, other) = (asa.clone(), asa.clone());
        let listening = actix::spawn(async move { listener.listen_negotiate(&neg(NAME)).await.unwrap().0 });
        sleep(SOON).await;
        let request = |session_id| Message::RequestNegotiation { session_id, objective: with(&neg(NAME), 1) };
        let mut talk = puppet.say(&node, &request(1)).await;
        let session = listening.await.unwrap();
        let waiting = actix::spawn(async move { other.listen_negotiate(&neg(NAME)).await.map(drop) });
        let asking =
            actix::spawn(async move { asa.request_negotiate(&neg(NAME), Some(&door.at), s(60)).await.map(drop) });
        sleep(SOON).await;
        node.shutdown(s(5)).await;
        assert_eq!(talk.declined().await, "abandoned");
        assert_eq!(code(session.end_negotiate(true, None).await), ErrorCode::NoSession);
        assert_eq!(code(waiting.await.unwrap()), ErrorCode::Unspecified);
        assert_eq!(code(asking.await.unwrap()), ErrorCode::NoSession);
        assert_eq!(code(node.status().await), ErrorCode::Unspecified);
        assert_eq!(code(node.register_asa("B").await), ErrorCode::Unspecified);
        sleep(SOON).await;
        let (Some(ip), Some(port)) = (port.locator.address(), port.locator.port()) else { panic!("{port:?}") };
        let refused = grasp::net::Network::connect(&puppet.0, (ip, port).into()).await;
        assert!(refused.is_err(), "the port is free again");
    });
}
