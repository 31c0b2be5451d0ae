//! One negotiation: RFC 8990 §2.5.5, §2.8.6 to §2.8.9; RFC 8991 §2.3.5.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::error::{Error, ErrorCode};
use grasp::protocol::Machine;
use grasp::protocol::negotiation::Negotiation;
use grasp::protocol::session::{Call, Input, Note, Outcome, Output, SessionConfig};
use grasp::wire::{EndOption, Flags, Message, Objective, Value};
use std::time::Duration;
use support::negotiating::*;
use support::*;

/// G-NEG-01, G-NEG-02, G-NEG-03, G-NEG-08, G-SID-02: the request leaves once the connection stands, complete.
#[test]
fn request_leaves_with_the_connection() {
    let mut node = Driver::new(Negotiation::initiator(config(), o(47)));
    assert!(node.feed(request(o(47), 2_000)).is_empty());
    let expected = Message::RequestNegotiation { session_id: SID, objective: o(47) };
    assert_eq!(sent(&node.feed(Input::Connected)), std::slice::from_ref(&expected));
    let mut other = Driver::new(Negotiation::initiator(config(), o(47)));
    assert!(other.feed(Input::Connected).is_empty());
    assert_eq!(sent(&other.feed(request(o(47), 2_000))), [expected]);
    assert_eq!(o(47).loop_count, 6);
    assert_eq!(code(&node.feed(request(o(47), 2_000))), ErrorCode::Unspecified);
}

/// G-NEG-04, G-OBJ-03: without a value null is sent, in requests and in steps; unassigned flags are not sent.
#[test]
fn missing_value_is_null() {
    let bare = Objective { flags: Flags(3 | 1 << 7), ..Objective::negotiation("EX3") };
    let expected = Objective::negotiation("EX3").with_value(Value::null());
    let mut node = Driver::new(Negotiation::initiator(config(), bare.clone()));
    node.feed(Input::Connected);
    let request = sent(&node.feed(request(bare.clone(), 9))).remove(0);
    assert_eq!(request, Message::RequestNegotiation { session_id: SID, objective: expected.clone() });
    let step = sent(&responder(o(1)).feed(step(bare))).remove(0);
    assert_eq!(step, Message::Negotiate { session_id: SID, objective: expected.with_loop_count(5) });
}

/// G-NEG-05, G-NEG-06, G-NEG-36, A-NEG-15: silence ends the negotiation at the timeout; what comes later is ignored.
#[test]
fn silence_fails_at_the_timeout() {
    let mut node = initiated(o(1));
    assert!(node.run_to(at(1_999)).is_empty());
    let outputs: Vec<_> = node.run_to(at(2_000)).into_iter().map(|(_, output)| output).collect();
    assert_eq!((code(&outputs), closed(&outputs)), (ErrorCode::NoNegotiationReply, true));
    assert!(node.feed_at(at(3_000), neg(o(2))).is_empty());
    assert_eq!(node.core.deadline(), None);
}

/// A-NEG-01: no connection in time, or none at all, is a socket error.
#[test]
fn failed_connection_is_reported() {
    for input in [None, Some(Input::ConnectFailed("refused".into())), Some(Input::SendFailed("reset".into()))] {
        let mut node = Driver::new(Negotiation::initiator(config(), o(1)));
        node.feed(request(o(1), 2_000));
        let outputs = match input {
            Some(input) => node.feed(input),
            None => node.jump(),
        };
        assert_eq!((code(&outputs), closed(&outputs)), (ErrorCode::SocketNegotiationRequest, true));
    }
}

/// G-NEG-40, T-22: the responder too gives up when the initiator falls silent; each step has its own time.
#[test]
fn responder_gives_up_as_well() {
    let mut node = responder(o(1));
    assert_eq!(node.core.deadline(), None);
    node.feed_at(at(10_000), step(o(2)));
    assert_eq!(node.core.deadline(), Some(at(12_000)));
    let outputs = node.jump();
    assert_eq!((code(&outputs), closed(&outputs)), (ErrorCode::NoNegotiationReply, true));
}

/// G-NEG-11, G-NEG-18, G-NEG-20, G-NEG-21, A-NEG-02, A-NEG-14: an accept settles on what its receiver sent last.
#[test]
fn accept_settles_on_the_receivers_value() {
    let mut node = responder(o(47));
    let outputs = node.feed(Input::Call(3, Call::Accept));
    assert_eq!(sent(&outputs), [Message::End { session_id: SID, option: EndOption::Accept }]);
    assert!(reply(&outputs).unwrap().is_ok() && closed(&outputs));
    let outputs = initiated(o(47)).feed(end(EndOption::Accept));
    assert_eq!(reply(&outputs), Some(Ok(Outcome::Accepted(o(47)))));
    assert!(sent(&outputs).is_empty() && !closed(&outputs), "its holder has time to make that last");
}

/// G-NEG-19, G-NEG-22, G-OPT-06, A-NEG-04: either side declines, with or without a reason; an empty one is none.
#[test]
fn decline_carries_its_reason() {
    for (reason, option) in [(Some("zu wenig für uns"), Some("zu wenig für uns")), (Some(""), None), (None, None)] {
        let decline = Call::Decline(reason.map(Into::into));
        let outputs = responder(o(1)).feed(Input::Call(3, decline));
        let option = EndOption::Decline(option.map(Into::into));
        assert_eq!(sent(&outputs), [Message::End { session_id: SID, option: option.clone() }]);
        let error = reply(&initiated(o(1)).feed(end(option))).unwrap().unwrap_err();
        assert_eq!(error, Error::new(ErrorCode::Declined, reason.unwrap_or_default()));
    }
}

/// G-NEG-13, G-NEG-14, G-NEG-15, G-NEG-37, A-NEG-03, A-NEG-09, A-NEG-12: Appendix A.5 on both sides, with strict loop
/// counts; the wait changes neither turn nor count.
#[test]
fn appendix_a5_on_both_sides() {
    let (mut left, mut right) = (initiated(o(410)), responder(o(410)));
    let pass = |outputs: &[Output]| Input::Received(sent(outputs).remove(0));
    let first = right.feed(step(o(80)));
    assert_eq!(sent(&first), [Message::Negotiate { session_id: SID, objective: o(80).with_loop_count(5) }]);
    assert_eq!(offered(&left.feed(pass(&first))), o(80).with_loop_count(5));
    let second = left.feed(step(o(307).with_loop_count(5)));
    assert_eq!(sent(&second), [Message::Negotiate { session_id: SID, objective: o(307).with_loop_count(4) }]);
    assert_eq!(offered(&right.feed(pass(&second))), o(307).with_loop_count(4));
    let patience = right.feed(Input::Call(4, Call::Wait(ms(34_965))));
    assert_eq!(sent(&patience), [Message::Wait { session_id: SID, waiting_time: 34_965 }]);
    assert!(left.feed(pass(&patience)).is_empty());
    let third = right.feed_at(at(1_000), step(o(120).with_loop_count(4)));
    assert_eq!(sent(&third), [Message::Negotiate { session_id: SID, objective: o(120).with_loop_count(3) }]);
    assert_eq!(offered(&left.feed_at(at(1_000), pass(&third))), o(120).with_loop_count(3));
    let fourth = left.feed(step(o(246)));
    assert_eq!(sent(&fourth), [Message::Negotiate { session_id: SID, objective: o(246).with_loop_count(2) }]);
    right.feed_at(at(1_000), pass(&fourth));
    let last = right.feed(Input::Call(5, Call::Decline(Some("Insufficient funds".into()))));
    let error = reply(&left.feed(pass(&last))).unwrap().unwrap_err();
    assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Declined, "Insufficient funds"));
}

/// G-NEG-15, T-18: loop count 6 is answered with 5, and 4 with 3; one that rises or is 0 is noted and does not fail.
#[test]
fn loop_count_is_lowered_by_the_sender() {
    let mut node = responder(o(1));
    assert!(
        matches!(&sent(&node.feed(step(o(2))))[0], Message::Negotiate { objective, .. } if objective.loop_count == 5)
    );
    node.feed(neg(o(3).with_loop_count(4)));
    assert!(
        matches!(&sent(&node.feed(step(o(4))))[0], Message::Negotiate { objective, .. } if objective.loop_count == 3)
    );
    let outputs = node.feed(neg(o(5).with_loop_count(200)));
    assert!(noted(&outputs, Note::LoopCount));
    assert_eq!(offered(&outputs).loop_count, 3);
    node.feed(step(o(6)));
    assert!(noted(&node.feed(neg(o(7).with_loop_count(0))), Note::LoopCount));
    assert_eq!(code(&node.feed(step(o(8)))), ErrorCode::LoopExhausted);
}

/// G-NEG-16, G-NEG-17, A-NEG-05, T-19: with loop count 1 no step is sent, `#21`; declining is still possible.
#[test]
fn exhausted_loop_count_sends_nothing() {
    let mut node = responder(o(1).with_loop_count(1));
    let outputs = node.feed(step(o(2)));
    assert_eq!((code(&outputs), outputs.len()), (ErrorCode::LoopExhausted, 1));
    assert_eq!(sent(&node.feed(Input::Call(3, Call::Decline(None)))).len(), 1);
}

/// G-NEG-23: a counter-proposal may hold null.
#[test]
fn null_is_delivered() {
    let objective = Objective::negotiation("EX3").with_value(Value::null()).with_loop_count(5);
    assert_eq!(offered(&initiated(o(1)).feed(neg(objective.clone()))), objective);
}

/// G-NEG-32, G-NEG-34, G-NEG-36: a wait replaces the timer: 2 s, then 5000 ms at 1 s, is failure at 6 s; 500 is sooner.
#[test]
fn wait_replaces_the_timer() {
    for (millis, failure) in [(5_000, 6_000), (500, 1_500), (0, 1_000)] {
        let mut node = initiated(o(1));
        let mut outputs = node.feed_at(at(1_000), wait(millis));
        outputs.extend(node.run_to(at(failure)).into_iter().map(|(_, output)| output));
        assert_eq!((code(&outputs), node.now, closed(&outputs)), (ErrorCode::NoNegotiationReply, at(failure), true));
        let mut early = initiated(o(1));
        early.feed_at(at(1_000), wait(millis.max(1)));
        assert!(early.run_to(at(failure.max(1_001) - 1)).is_empty());
    }
    let mut patient = initiated(o(1));
    for time in [1_000, 2_500, 4_000] {
        assert!(patient.feed_at(at(time), wait(1_800)).is_empty());
    }
    assert_eq!(patient.core.deadline(), Some(at(5_800)));
}

/// A-NEG-17, T-23: waits are granted up to a total; what goes beyond leaves the timer where it was.
#[test]
fn waits_can_be_capped() {
    let capped = SessionConfig { wait_cap: Some(ms(3_000)), ..config() };
    let mut node = Driver::new(Negotiation::initiator(capped, o(1)));
    node.feed(request(o(1), 2_000));
    node.feed(Input::Connected);
    for (time, waiting, deadline) in [(1_000, 3_000, 4_000), (2_000, 60_000, 5_000), (3_000, 60_000, 5_000)] {
        node.feed_at(at(time), wait(waiting));
        assert_eq!(node.core.deadline(), Some(at(deadline)));
    }
}

/// G-NEG-07, T-22: with a limit on the session as a whole, waits and steps do not carry it further; the peer is told.
#[test]
fn session_as_a_whole_can_be_limited() {
    let limited = SessionConfig { session_cap: Some(ms(3_000)), ..config() };
    let mut node = Driver::new(Negotiation::initiator(limited, o(1)));
    node.feed(request(o(1), 2_000));
    node.feed(Input::Connected);
    node.feed_at(at(1_000), wait(60_000));
    let outputs = node.jump();
    assert_eq!(node.now, at(3_000));
    assert_eq!(code(&outputs), ErrorCode::NoNegotiationReply);
    let reason = Some("the negotiation takes too long".to_owned());
    assert_eq!(sent(&outputs), [Message::End { session_id: SID, option: EndOption::Decline(reason) }]);
    assert!(outputs.contains(&Output::Close));
    assert_eq!(node.core.deadline(), None);
}

/// G-NEG-33, G-NEG-35, A-NEG-13, T-23: our own wait: 0 is the default time, less than a millisecond is one, and one
/// that passes is noted.
#[test]
fn own_wait_is_sent_and_watched() {
    for (time, millis) in [(Duration::ZERO, 60_000), (Duration::from_micros(1), 1), (Duration::MAX, u32::MAX)] {
        let outputs = responder(o(1)).feed(Input::Call(3, Call::Wait(time)));
        assert_eq!(sent(&outputs), [Message::Wait { session_id: SID, waiting_time: millis }]);
    }
    let mut node = responder(o(1));
    node.feed(Input::Call(3, Call::Wait(ms(500))));
    assert!(noted(&node.jump(), Note::Overdue) && node.now == at(500));
    assert_eq!(code(&initiated(o(1)).feed(Input::Call(3, Call::Wait(ms(1))))), ErrorCode::Unspecified);
}

/// T-59, G-NEG-32: messages without an answer between them keep 300 ms apart; after an answer nothing waits.
#[test]
fn unanswered_messages_keep_their_distance() {
    let mut node = responder(o(1));
    node.feed(Input::Call(3, Call::Wait(ms(9_000))));
    assert!(sent(&node.feed_at(at(100), step(o(2)))).is_empty());
    let later: Vec<_> = node.run_to(at(1_000)).into_iter().filter(|(_, o)| matches!(o, Output::Send(_))).collect();
    assert_eq!(later.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [at(300)]);
    node.feed(neg(o(3).with_loop_count(4)));
    assert_eq!(sent(&node.feed(step(o(4)))).len(), 1);
    let mut early = initiated(o(1));
    assert!(sent(&early.feed(Input::Call(3, Call::Decline(None)))).is_empty());
    assert!(matches!(&early.jump()[..], [Output::Send(_), Output::Close]) && early.now == at(300));
}

/// T-46: waits of our own cannot pile up.
#[test]
fn queued_messages_are_bounded() {
    let mut node = responder(o(1));
    let refused = (0..100).filter(|_| reply(&node.feed(Input::Call(3, Call::Wait(ms(9_000))))).unwrap().is_err());
    assert_eq!(refused.count(), 91);
}

/// G-NEG-03: 2048 bytes are sent, 2049 are not, in a request, in a step, in a reason.
#[test]
fn largest_message_has_2048_bytes() {
    let text = |len: usize| Objective::negotiation("EX3").with_value(Value::item(&"v".repeat(len)).unwrap());
    let head = Message::Negotiate { session_id: SID, objective: text(1_000).with_loop_count(5) }.encode().len() - 1_000;
    let mut node = responder(o(1));
    assert_eq!(code(&node.feed(step(text(2_049 - head)))), ErrorCode::Unspecified);
    let outputs = node.feed(step(text(2_048 - head)));
    assert!(matches!(&outputs[..], [Output::Send(raw)] if raw.len() == 2_048));
    let mut node = Driver::new(Negotiation::initiator(config(), text(0)));
    node.feed(Input::Connected);
    assert_eq!(code(&node.feed(request(text(2_049 - head), 9))), ErrorCode::Unspecified);
    let mut node = responder(o(1));
    assert_eq!(code(&node.feed(Input::Call(3, Call::Decline(Some("x".repeat(2_048)))))), ErrorCode::Unspecified);
    assert!(reply(&node.feed(Input::Call(3, Call::Accept))).unwrap().is_ok());
}
