//! One negotiation where something goes wrong: RFC 8990 §2.5.5, §2.8.8, §2.8.12; RFC 8991 §2.3.5.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::error::{ErrorCode, StreamEnd};
use grasp::protocol::Machine;
use grasp::protocol::negotiation::Negotiation;
use grasp::protocol::session::{Call, Input, Note, Output};
use grasp::wire::{EndOption, Flags, Message, Objective};
use support::negotiating::*;
use support::*;

/// G-NEG-24, G-NEG-27, A-NEG-06: another name, kind or dry-run bit ends the session with `#25` and M_INVALID.
#[test]
fn other_objective_or_mode_is_invalid() {
    let named = Objective { name: "EX4".into(), ..o(1) };
    let synch = Objective { flags: Flags(5), ..o(1) };
    for other in [named, synch, o(1).dry_run()] {
        let mut node = initiated(o(1));
        let outputs = node.feed(neg(other.with_loop_count(5)));
        assert_eq!((code(&outputs), closed(&outputs)), (ErrorCode::InvalidNegotiate, true));
        assert!(matches!(sent(&outputs)[..], [Message::Invalid { session_id: SID, content: Some(_) }]));
    }
}

/// G-NEG-27, G-NEG-41, A-NEG-06: this side cannot mix live and dry either; nothing is sent and the session goes on.
#[test]
fn mixed_step_is_refused_here() {
    let mut node = responder(o(1).dry_run());
    let outputs = node.feed(step(o(2)));
    assert_eq!((code(&outputs), outputs.len()), (ErrorCode::InvalidNegotiate, 1));
    let named = Objective { name: "EX4".into(), ..o(1).dry_run() };
    assert_eq!(code(&node.feed(step(named))), ErrorCode::InvalidNegotiate);
    assert!(
        matches!(&sent(&node.feed(step(o(2).dry_run())))[0], Message::Negotiate { objective, .. } if objective.is_dry_run())
    );
}

/// G-NEG-12, G-NEG-39, A-NEG-16, T-46: steps alternate. The peer's second is dropped, its third answered once with
/// M_INVALID, our second is refused.
#[test]
fn steps_alternate() {
    let mut node = initiated(o(1));
    node.feed(neg(o(2).with_loop_count(5)));
    assert_eq!(node.feed(neg(o(3).with_loop_count(4))), [Output::Noted(Note::OutOfPlace)]);
    let answers: usize = (0..50).map(|_| sent(&node.feed(neg(o(3)))).len()).sum();
    assert_eq!(answers, 1);
    node.run_to(at(1_000));
    assert!(
        matches!(&sent(&node.feed(step(o(4))))[0], Message::Negotiate { objective, .. } if objective.loop_count == 4)
    );
    for call in [Call::Accept, Call::Wait(ms(5)), Call::Step { objective: o(5), timeout: ms(5) }] {
        let outputs = node.feed(Input::Call(3, call));
        assert_eq!((code(&outputs), outputs.len()), (ErrorCode::Unspecified, 1));
    }
}

/// G-NEG-21, T-46: what comes before our queued proposal has left is no answer to it.
#[test]
fn unsent_proposal_cannot_be_answered() {
    let mut node = responder(o(1));
    node.feed(Input::Call(3, Call::Wait(ms(9_000))));
    node.feed(step(o(2)));
    assert_eq!(node.feed(neg(o(3).with_loop_count(4))), [Output::Noted(Note::OutOfPlace)]);
    assert_eq!(code(&node.feed(end(EndOption::Accept))), ErrorCode::InvalidEnd);
}

/// T-47: an accept of one's own proposal is `#26`, told to the next call; a decline is normal at any time.
#[test]
fn out_of_turn_ends() {
    let mut node = initiated(o(1));
    node.feed(neg(o(2).with_loop_count(5)));
    assert!(closed(&node.feed(end(EndOption::Accept))));
    assert_eq!(code(&node.feed(step(o(3)))), ErrorCode::InvalidEnd);
    assert_eq!(code(&node.feed(step(o(3)))), ErrorCode::NoSession);
    let mut node = responder(o(1));
    assert!(closed(&node.feed(end(EndOption::Decline(None)))));
    assert_eq!(code(&node.feed(step(o(3)))), ErrorCode::Declined);
}

/// G-NEG-43, G-SID-13, G-SID-14: messages of other sessions are no steps of this one.
#[test]
fn other_session_ids_are_dropped() {
    let mut node = initiated(o(1));
    let other = SID + 1;
    let option = EndOption::Accept;
    for message in [
        Message::Negotiate { session_id: other, objective: o(2).with_loop_count(5) },
        Message::End { session_id: other, option },
        Message::Wait { session_id: other, waiting_time: 0 },
        Message::Invalid { session_id: other, content: None },
    ] {
        assert_eq!(node.feed(Input::Received(message)), [Output::Noted(Note::OtherSession)]);
    }
    assert_eq!(node.core.deadline(), Some(at(2_000)));
}

/// G-NOOP-05: M_NOOP neither restarts the timer nor does anything else.
#[test]
fn noop_does_nothing() {
    let mut node = initiated(o(1));
    for time in [500, 1_000, 1_900] {
        assert!(node.feed_at(at(time), Input::Received(Message::Noop)).is_empty());
    }
    assert_eq!(node.core.deadline(), Some(at(2_000)));
}

/// G-ERR-26, G-ERR-22, G-NEG-38, G-SYN-12: legal messages out of place change nothing.
#[test]
fn misplaced_types_are_dropped() {
    let mut node = initiated(o(1));
    let (session_id, objective) = (SID, o(2));
    for message in [
        Message::RequestSynchronization { session_id, objective: objective.clone() },
        Message::RequestNegotiation { session_id, objective },
        disc(SID, gua(1), "EX3", 6),
        Message::Flood { session_id, initiator: gua(1).into(), ttl: 0, objectives: vec![] },
    ] {
        assert_eq!(node.feed(Input::Received(message)), [Output::Noted(Note::OutOfPlace)]);
    }
    assert_eq!(offered(&node.feed(neg(o(3).with_loop_count(5)))).loop_count, 5);
}

/// G-ERR-14, G-ERR-15, G-ERR-16, G-ERR-04, G-NEG-42, G-DIVT-02: undecodable messages by what could be read of them.
#[test]
fn undecodable_messages_fail_by_their_kind() {
    for (hex, expected) in [
        ("82061a000c3ffd", ErrorCode::InvalidEnd),
        ("83061a000c3ffd8118c8", ErrorCode::InvalidEnd),
        ("83061a000c3ffd8218648418675020010db8f000baaaf000baaaf000baaa0619c123", ErrorCode::InvalidEnd),
        ("83051a000c3ffd83634558330305", ErrorCode::InvalidNegotiate),
        ("83051a000c3ffd846345583303", ErrorCode::CborFail),
    ] {
        let outputs = initiated(o(1)).feed(undecodable(hex));
        assert_eq!((code(&outputs), closed(&outputs)), (expected, true), "{hex}");
        assert_eq!(sent(&outputs).len() + usize::from(expected == ErrorCode::CborFail), 1, "{hex}");
    }
    for (hex, note) in [
        ("82071a000c3ffd", Note::Undecodable),
        ("83071a000c3ffd20", Note::Undecodable),
        ("8305208463455833030501", Note::Undecodable),
        ("82061a000c3ffe", Note::OtherSession),
    ] {
        let mut node = initiated(o(1));
        assert_eq!(node.feed(undecodable(hex)), [Output::Noted(note)], "{hex}");
        assert_eq!(node.core.deadline(), Some(at(2_000)));
    }
}

/// T-50: a received M_INVALID ends the session; ours is sent on demand, and nothing answers one.
#[test]
fn invalid_ends_the_session() {
    let outputs = initiated(o(1)).feed(Input::Received(Message::Invalid { session_id: SID, content: None }));
    assert_eq!((code(&outputs), sent(&outputs).len(), closed(&outputs)), (ErrorCode::NoValidStep, 0, true));
    let outputs = responder(o(1)).feed(Input::Call(3, Call::Invalid(Some(value(1)))));
    assert_eq!(sent(&outputs), [Message::Invalid { session_id: SID, content: Some(value(1)) }]);
}

/// G-ERR-02, G-ERR-23, T-44: the end of the connection, by when it comes.
#[test]
fn lost_connections_are_reported() {
    let mut waiting = initiated(o(1));
    assert_eq!(code(&waiting.feed(Input::Disconnected { mid_message: false, reset: false })), ErrorCode::NoPeer);
    let mut cut = initiated(o(1));
    assert_eq!(code(&cut.feed(Input::Disconnected { mid_message: true, reset: false })), ErrorCode::CborFail);
    let mut ours = responder(o(1));
    assert!(closed(&ours.feed(Input::Disconnected { mid_message: false, reset: false })));
    assert_eq!(code(&ours.feed(step(o(2)))), ErrorCode::NoSocket);
    let mut requesting = initiated(o(1));
    assert_eq!(code(&requesting.feed(Input::SendFailed("reset".into()))), ErrorCode::SocketNegotiationRequest);
    let mut stepping = responder(o(1));
    stepping.feed(step(o(2)));
    assert_eq!(code(&stepping.feed(Input::SendFailed("reset".into()))), ErrorCode::SocketNegotiationStep);
}

/// PM-S-07: only the end of a connection in order, after whole messages, tells that the peer has sent nothing more.
#[test]
fn an_orderly_end_is_told_from_every_other_one() {
    let ends = [
        (false, false, StreamEnd::Orderly),
        (true, false, StreamEnd::Unclear),
        (false, true, StreamEnd::Reset),
        (true, true, StreamEnd::Reset),
    ];
    for (mid_message, reset, ending) in ends {
        let error = |outputs: Vec<Output>| reply(&outputs).unwrap().unwrap_err();
        let mut theirs = responder(o(1));
        theirs.feed(step(o(2)));
        assert_eq!(error(theirs.feed(Input::Disconnected { mid_message, reset })).ending, Some(ending));
        // Also in this side's turn, as soon as it moves.
        let mut ours = responder(o(1));
        ours.feed(Input::Disconnected { mid_message, reset });
        let moved = error(ours.feed(Input::Call(3, Call::Accept)));
        assert_eq!((moved.code, moved.ending), (ErrorCode::NoSocket, Some(ending)));
        // What could not be understood may have been anything.
        let mut garbled = initiated(o(1));
        garbled.feed(undecodable("8118ff"));
        let dropped = error(garbled.feed(Input::Disconnected { mid_message, reset })).ending;
        assert_eq!(dropped, Some(if reset { StreamEnd::Reset } else { StreamEnd::Unclear }));
    }
    let mut late = initiated(o(1));
    let outputs: Vec<Output> = late.run_to(at(2_000)).into_iter().map(|(_, output)| output).collect();
    let timed_out = reply(&outputs).unwrap().unwrap_err();
    assert_eq!((timed_out.code, timed_out.ending), (ErrorCode::NoNegotiationReply, None));
}

/// A-REG-03, T-58: an abandoned session declines, whoever's turn it is, and closes.
#[test]
fn abandoned_session_declines() {
    for mut node in [responder(o(1)), initiated(o(1))] {
        let mut outputs = node.feed_at(at(400), Input::Abandoned);
        outputs.extend(node.drain());
        assert!(matches!(&sent(&outputs)[..], [Message::End { option: EndOption::Decline(Some(_)), .. }]));
        assert!(closed(&outputs) && reply(&outputs).is_none() && node.core.deadline().is_none());
    }
    let mut dialling = Driver::new(Negotiation::initiator(config(), o(1)));
    dialling.feed(request(o(1), 2_000));
    assert_eq!(dialling.feed(Input::Abandoned), [Output::Close]);
}
