//! Connections: how they are bounded, and how they end (RFC 8990 §2.5.5, §2.8.6).

use std::time::{Duration, Instant};

use ciborium::Value;
use grasp::{ErrorCode, Objective};

use super::node::*;
use crate::lab::{Conn, Received, in_namespaces, msg};

/// The limit for a first message in these tests.
const LIMIT: Duration = Duration::from_secs(1);

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// COM-13, G-ERR-24: silent connections do not keep a good client waiting, and are closed after the limit.
#[test]
fn two_hundred_silent_connections_delay_nobody() {
    in_namespaces(|lab| {
        let stage = Stage::with(lab, |config| config.first_message_timeout = LIMIT);
        let begun = Instant::now();
        let mut silent: Vec<Conn> = (0..200).map(|_| stage.connect()).collect();
        let before = Instant::now();
        stage.serve_well(Duration::from_millis(500));
        assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
        for conn in &mut silent {
            let left = (begun + LIMIT + Duration::from_secs(2)).saturating_duration_since(Instant::now());
            assert_eq!(conn.recv(left), Received::Closed);
        }
        assert!(begun.elapsed() >= LIMIT);
        stage.serve_well(SOON);
    });
}

/// COM-13, G-ERR-24, G-HA-01: of 1500 silent connections no more are kept than allowed.
#[test]
fn silent_connections_are_bounded_in_number() {
    in_namespaces(|lab| {
        let stage = Stage::with(lab, |config| {
            config.first_message_timeout = Duration::from_secs(60);
            config.connections = 100;
        });
        let before = descriptors();
        let silent: Vec<Conn> = (0..1_500).map(|_| stage.connect()).collect();
        stage.serve_well(SOON);
        let held = descriptors().saturating_sub(before + silent.len());
        // Other tests of this process open and close descriptors too.
        assert!(held < 600, "the node holds {held} descriptors");
        assert_eq!(stage.node.counted("connections_evicted"), 1_401);
        drop(silent);
        stage.serve_well(SOON);
    });
}

/// COM-13: a request that comes byte by byte for too long is a silent connection.
#[test]
fn a_request_that_takes_too_long_is_dropped() {
    in_namespaces(|lab| {
        let stage = Stage::with(lab, |config| config.first_message_timeout = LIMIT);
        let begun = Instant::now();
        let mut conn = stage.connect();
        for byte in ask(1, ACCEPTED, 6, 1) {
            if conn.try_send(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(80));
        }
        assert!(matches!(conn.recv(SOON), Received::Closed | Received::Reset));
        assert!(begun.elapsed() < LIMIT * 4);
    });
}

/// G-NEG-28, G-SYN-10, G-NEG-38, G-SYN-12, COM-14, T-44: a request that nobody listens for is closed at once, without a word.
#[test]
fn unheard_requests_are_closed_at_once() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let value = || Some(Value::from(1));
        for request in [
            msg::reqneg(1, msg::objective("32473:unknown", 3, 6, value())),
            msg::reqneg(1, msg::objective(DEAF, 3, 6, value())),
            msg::reqneg(1, msg::objective(SERVED, 3, 6, value())),
            msg::reqneg(1, msg::objective(SERVED, 5, 6, value())),
            msg::reqsyn(1, msg::objective("32473:unknown", 5, 6, None)),
            msg::reqsyn(1, msg::objective(ACCEPTED, 5, 6, None)),
            msg::reqsyn(1, msg::objective(ACCEPTED, 3, 6, value())),
        ] {
            let mut conn = stage.say(&request);
            let before = Instant::now();
            assert_eq!(conn.recv(SOON), Received::Closed, "{}", msg::to_hex(&request));
            assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
        }
        assert_eq!(stage.node.sessions(), 0);
    });
}

/// G-TRN-20, G-HA-02, G-HA-13: a reset in a negotiation fails it at once; others go on.
#[test]
fn a_reset_fails_the_negotiation_at_once() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        // While the node waits for the answer to its request.
        let (listener, to) = stage.listen();
        let before = Instant::now();
        let answer = stage.node.request(Objective::negotiation(OPEN), to.clone(), SOON);
        let mut conn = listener.accept(SOON).unwrap();
        conn.recv(SOON).bytes();
        conn.reset();
        assert_eq!(code(answer.wait(SOON)), ErrorCode::NoPeer);
        assert!(before.elapsed() < Duration::from_secs(1));
        stage.node.wait_idle();
        // While it waits for the answer to a step, as responder.
        let step = stage.node.respond(|session, _| async move {
            let step = session.negotiate_step(&Objective::negotiation(OPEN), SOON).await;
            (step, session.end_negotiate(true, None).await)
        });
        let mut conn = stage.say(&ask(1, OPEN, 6, 1));
        conn.recv(SOON).bytes();
        let before = Instant::now();
        conn.reset();
        let (step, end) = step.wait(SOON);
        assert_eq!((code(step), code(end)), (ErrorCode::NoPeer, ErrorCode::NoSession));
        assert!(before.elapsed() < Duration::from_secs(1));
        stage.node.wait_idle();
        // In its own turn.
        let answer = stage.node.request(Objective::negotiation(OPEN), to, SOON);
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        conn.send(&offer(sid, OPEN, 5, 1));
        assert!(matches!(answer.wait(SOON), Ok(Offered(_))));
        conn.reset();
        stage.node.wait_idle();
        let step = stage
            .node
            .go_on(|session| async move { session.negotiate_step(&Objective::negotiation(OPEN), SOON).await });
        assert_eq!(code(step.wait(SOON)), ErrorCode::NoSocket);
        stage.serve_well(SOON);
    });
}

/// G-TRN-21, A-SYN-03: a reset or a close after a synchronization request fails it at once.
#[test]
fn a_reset_fails_the_synchronization_at_once() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        for reset in [true, false] {
            let before = Instant::now();
            let value = stage.node.synchronize("32473:v", to.clone(), SOON);
            let mut conn = listener.accept(SOON).unwrap();
            conn.recv(SOON).bytes();
            if reset {
                conn.reset()
            } else {
                conn.close()
            }
            assert_eq!(code(value.wait(SOON)), ErrorCode::NoListener);
            assert!(before.elapsed() < Duration::from_secs(1));
        }
        stage.node.wait_idle();
    });
}

/// G-ERR-02, G-ERR-23: a connection that ends inside a message fails the session as undecodable.
#[test]
fn half_a_message_is_a_decode_failure() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (listener, to) = stage.listen();
        let answer = stage.node.request(Objective::negotiation(OPEN), to.clone(), SOON);
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        let whole = offer(sid, OPEN, 5, 1000);
        conn.send(&whole[..whole.len() / 2]);
        conn.shutdown_write();
        assert_eq!(code(answer.wait(SOON)), ErrorCode::CborFail);
        assert_eq!(conn.recv(SOON), Received::Closed);
        let value = stage.node.synchronize("32473:v", to, SOON);
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        let whole = msg::synch(sid, msg::objective("32473:v", 5, 6, Some(1000.into())));
        conn.send(&whole[..whole.len() - 1]);
        conn.close();
        assert_eq!(code(value.wait(SOON)), ErrorCode::CborFail);
        // A request cut short is no request.
        let whole = ask(1, ACCEPTED, 6, 1000);
        let mut conn = stage.say(&whole[..whole.len() - 1]);
        conn.shutdown_write();
        assert_eq!(conn.recv(SOON), Received::Closed);
        stage.node.wait_idle();
    });
}

/// G-TRN-17, G-NEG-06, G-NEG-36, G-NEG-40: a timeout closes the connection on either side; what comes later is ignored.
#[test]
fn a_timeout_closes_the_connection() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let limit = Duration::from_millis(400);
        let (listener, to) = stage.listen();
        let answer = stage.node.request(Objective::negotiation(OPEN), to, limit);
        let mut conn = listener.accept(SOON).unwrap();
        let sid = sid_of(&conn.recv(SOON).bytes());
        assert_eq!(conn.recv(SOON), Received::Closed);
        assert_eq!(code(answer.wait(SOON)), ErrorCode::NoNegotiationReply);
        let _ = conn.try_send(&offer(sid, OPEN, 5, 1));
        let step = stage.node.respond(move |session, _| async move {
            session.negotiate_step(&Objective::negotiation(OPEN), limit).await
        });
        let mut conn = stage.say(&ask(1, OPEN, 6, 1));
        assert_eq!(type_of(&conn.recv(SOON).bytes()), 5);
        assert_eq!(conn.recv(SOON), Received::Closed);
        assert_eq!(code(step.wait(SOON)), ErrorCode::NoNegotiationReply);
        stage.node.wait_idle();
    });
}

/// G-TRN-23, T-41: a name is resolved before connecting.
#[test]
fn names_are_resolved() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let (name, port) = ("localhost".to_owned(), stage.node.address().port());
        let locator = grasp::Locator::Fqdn { name, transport: grasp::wire::Transport::Tcp, port };
        let to = grasp::AsaLocator::known(locator, 0);
        let answer = stage.node.request(valued(Objective::negotiation(ACCEPTED), 3), to, SOON);
        assert!(matches!(answer.wait(SOON), Ok(Accepted(_))));
    });
}
