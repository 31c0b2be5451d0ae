//! One synchronization, on the side that asks: RFC 8990 §2.5.6.1, §2.8.6, §2.8.10.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::error::{Error, ErrorCode};
use grasp::protocol::Machine;
use grasp::protocol::session::{Call, Input, Note, Outcome, Output, SessionConfig};
use grasp::protocol::synchronization::Synchronization;
use grasp::wire::{EndOption, Limits, Message, Objective, Value, decode};
use support::*;

const SID: u32 = 0x003d_a10e;
const V29: &str = "83041a003da10e84634558320505f6";
const V05: &str = "83081a003da10e8463455832050582704578616d706c6520322076616c75653d18c8";

fn core() -> Driver<Synchronization> {
    let config = SessionConfig { session_id: SID, message_size: 2048, gap: ms(300), wait_cap: None, session_cap: None };
    Driver::new(Synchronization::new(config, "EX2"))
}

fn request(objective: Objective) -> Input {
    Input::Call(1, Call::Request { objective, timeout: ms(2_000) })
}

fn ex2() -> Objective {
    Objective::synchronization("EX2").with_loop_count(5)
}

/// A session whose request is on its way.
fn asked() -> Driver<Synchronization> {
    let mut node = core();
    node.feed(request(ex2()));
    node.feed(Input::Connected);
    node
}

fn result(outputs: &[Output]) -> Result<Outcome, Error> {
    let [Output::Reply(1, result), Output::Close] = outputs else { panic!("{outputs:?}") };
    result.clone()
}

fn code(outputs: &[Output]) -> ErrorCode {
    result(outputs).unwrap_err().code
}

fn undecodable(hex: &str) -> Input {
    Input::Undecodable(decode(&bytes(hex), &Limits::default()).unwrap_err())
}

/// G-SYN-01, G-SYN-02, G-SYN-13, G-OBJ-05, T-48: the request is V-29, whatever value the caller's objective has.
#[test]
fn request_carries_null() {
    for objective in [ex2(), ex2().with_value(value(7))] {
        let mut node = core();
        assert!(node.feed(request(objective.clone())).is_empty());
        assert_eq!(node.feed(Input::Connected), [Output::Send(bytes(V29))]);
        let mut connected = core();
        assert!(connected.feed(Input::Connected).is_empty());
        assert_eq!(connected.feed(request(objective)), [Output::Send(bytes(V29))]);
    }
    assert_eq!(Objective::synchronization("EX2").loop_count, 6);
}

/// G-SYN-05, G-SYN-07, G-SID-02: V-05 is the answer; then the session is over and nothing more is sent or heard.
#[test]
fn value_ends_the_session() {
    let mut node = asked();
    let Message::Synch { objective, .. } = message(&bytes(V05)) else { unreachable!() };
    let outputs = node.feed(Input::Received(message(&bytes(V05))));
    assert_eq!(result(&outputs), Ok(Outcome::Synchronized(objective)));
    assert!(node.feed(Input::Received(message(&bytes(V05)))).is_empty());
    assert!(node.feed(Input::Disconnected { mid_message: false, reset: false }).is_empty());
    assert_eq!(node.core.deadline(), None);
    assert!(
        matches!(&node.feed(request(ex2()))[..], [Output::Reply(1, Err(error))] if error.code == ErrorCode::NoSession)
    );
}

/// G-SYN-03, G-SYN-04, A-SYN-03: silence is `#36` at the timeout, no connection `#34`; M_NOOP prolongs neither.
#[test]
fn silence_fails_at_the_timeout() {
    let mut node = asked();
    assert!(node.feed_at(at(1_900), Input::Received(Message::Noop)).is_empty());
    let outputs = node.jump();
    assert_eq!((code(&outputs), node.now), (ErrorCode::NoSynchronizationReply, at(2_000)));
    let mut unconnected = core();
    unconnected.feed(request(ex2()));
    assert_eq!(code(&unconnected.jump()), ErrorCode::SocketSynchronizationRequest);
    for input in [Input::ConnectFailed("refused".into()), Input::SendFailed("reset".into())] {
        let mut node = core();
        node.feed(request(ex2()));
        assert_eq!(code(&node.feed(input)), ErrorCode::SocketSynchronizationRequest);
    }
}

/// G-SYN-06, A-SYN-03: an answer about something else, or of another kind, is `#37`.
#[test]
fn other_answers_are_invalid() {
    let named = Objective::synchronization("EX3").with_value(value(1));
    let session_id = SID;
    for answer in [
        Message::Synch { session_id, objective: named.clone() },
        Message::Negotiate { session_id, objective: named },
        Message::End { session_id, option: EndOption::Decline(None) },
        Message::Invalid { session_id, content: None },
    ] {
        assert_eq!(code(&asked().feed(Input::Received(answer))), ErrorCode::NoValidSynch);
    }
    assert_eq!(code(&asked().feed(undecodable("83081a003da10e83634558320505"))), ErrorCode::NoValidSynch);
}

/// A-SYN-03, G-ERR-02, G-ERR-23, T-44: broken CBOR is `#24`, an end without an answer `#35`, inside one `#24`.
#[test]
fn broken_answers_and_ends_are_told_apart() {
    assert_eq!(code(&asked().feed(undecodable("83081a003da10e8463455832"))), ErrorCode::CborFail);
    assert_eq!(code(&asked().feed(Input::Disconnected { mid_message: false, reset: false })), ErrorCode::NoListener);
    assert_eq!(code(&asked().feed(Input::Disconnected { mid_message: true, reset: false })), ErrorCode::CborFail);
}

/// G-SID-13, G-SID-14: messages with another session id are dropped, decodable or not.
#[test]
fn other_session_ids_are_dropped() {
    let mut node = asked();
    let objective = ex2().with_value(value(1));
    let other = Message::Synch { session_id: SID + 1, objective };
    for input in [Input::Received(other), undecodable("83081a003da10f83634558320505")] {
        assert_eq!(node.feed(input), [Output::Noted(Note::OtherSession)]);
    }
    assert!(result(&node.feed(Input::Received(message(&bytes(V05))))).is_ok());
}

/// A-SYN-03, T-09: what is no synchronization objective is `#32`, without a connection; too long a name is refused.
#[test]
fn impossible_requests_are_refused() {
    assert_eq!(code(&core().feed(request(Objective::negotiation("EX2")))), ErrorCode::NotSynchronizable);
    let config = SessionConfig { session_id: SID, message_size: 2048, gap: ms(300), wait_cap: None, session_cap: None };
    let head = Message::RequestSynchronization { session_id: SID, objective: named(1_000) }.encode().len() - 1_000;
    for (size, fits) in [(2_048, true), (2_049, false)] {
        let objective = named(size - head);
        let mut node = Driver::new(Synchronization::new(config.clone(), &objective.name));
        node.feed(Input::Connected);
        let outputs = node.feed(request(objective));
        assert_eq!(matches!(&outputs[..], [Output::Send(raw)] if raw.len() == 2_048), fits);
    }
}

fn named(len: usize) -> Objective {
    Objective::synchronization("n".repeat(len)).with_value(Value::null())
}

/// T-58: an abandoned session closes and answers nobody.
#[test]
fn abandoned_session_closes() {
    let mut node = asked();
    assert_eq!(node.feed(Input::Abandoned), [Output::Close]);
    assert!(node.feed(Input::Abandoned).is_empty() && node.core.deadline().is_none());
}
