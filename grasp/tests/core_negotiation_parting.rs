//! The end of an accepted negotiation: what whoever accepts learns from the connection, and how long it is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::error::{Error, ErrorCode, StreamEnd};
use grasp::protocol::negotiation::Negotiation;
use grasp::protocol::session::{Call, Farewell, Input, Note, Outcome, Output, Phase};
use grasp::protocol::{Machine, Time};
use grasp::wire::{EndOption, Message};
use support::negotiating::*;
use support::*;

const ORDERLY: Input = Input::Disconnected { mid_message: false, reset: false };
const RESET: Input = Input::Disconnected { mid_message: false, reset: true };

fn accept() -> Input {
    Input::Call(3, Call::AcceptHeard { limit: ms(1_000), settle: ms(100) })
}

/// A responder that has accepted and listens.
fn listening() -> Driver<Negotiation> {
    let mut node = responder(o(1));
    let outputs = node.feed(accept());
    assert_eq!(sent(&outputs), [Message::End { session_id: SID, option: EndOption::Accept }]);
    assert_eq!((outputs.len(), node.core.standing().phase), (1, Phase::Over), "it neither answers nor closes yet");
    node
}

fn parted(outputs: &[Output]) -> Option<Farewell> {
    match reply(outputs)? {
        Ok(Outcome::Parted(farewell)) => {
            assert!(closed(outputs));
            Some(farewell)
        }
        other => panic!("{other:?}"),
    }
}

fn failed(outputs: &[Output]) -> Error {
    assert!(closed(outputs));
    reply(outputs).unwrap().unwrap_err()
}

fn all(outputs: Vec<(Time, Output)>) -> Vec<Output> {
    outputs.into_iter().map(|(_, output)| output).collect()
}

/// PM-S-10: the end of the stream alone proves nothing; the connection is asked one settling time later, and so much more
/// that TCP has repeated an acceptance that was lost.
#[test]
fn a_clean_farewell_takes_the_close_and_no_reset_after_it() {
    for (reset, farewell) in [(false, Farewell::Clean), (true, Farewell::Reset)] {
        let mut node = listening();
        assert_eq!(node.feed_at(at(400), ORDERLY), []);
        assert_eq!(node.run_to(at(2_000)), [(at(400 + 100 + 2 * 400), Output::Probe)]);
        assert_eq!(parted(&node.feed(Input::Probed { reset })), Some(farewell));
        assert_eq!(node.core.deadline(), None);
    }
}

/// PM-S-10: a reset alone, or a message that cannot be written, is a reset; nothing at all is silence.
#[test]
fn resets_and_silence_are_told_apart() {
    assert_eq!(parted(&listening().feed(RESET)), Some(Farewell::Reset));
    assert_eq!(parted(&listening().feed(Input::SendFailed("broken".into()))), Some(Farewell::Reset));
    let mut silent = listening();
    let outputs = silent.run_to(at(60_000));
    assert_eq!(outputs.first().unwrap().0, at(1_000));
    assert_eq!(parted(&all(outputs)), Some(Farewell::Silent));
    // An answer to a question that was never asked is none.
    let mut early = listening();
    assert_eq!(early.feed(Input::Probed { reset: false }), []);
}

/// PM-S-09: no acceptance leaves after the peer has closed its side.
#[test]
fn nothing_is_accepted_of_a_peer_that_has_closed() {
    let mut node = responder(o(1));
    node.feed(ORDERLY);
    let outputs = node.feed(accept());
    let error = reply(&outputs).unwrap().unwrap_err();
    assert_eq!((error.code, error.ending), (ErrorCode::NoSocket, Some(StreamEnd::Orderly)));
    assert!(sent(&outputs).is_empty());
    // Also if it waits for the gap to the message before.
    let mut paced = responder(o(1));
    paced.feed(Input::Call(2, Call::Wait(ms(5_000))));
    assert_eq!(paced.feed_at(at(10), accept()), []);
    let outputs = paced.feed_at(at(20), ORDERLY);
    let error = failed(&outputs);
    assert_eq!((error.code, error.ending), (ErrorCode::NoSocket, Some(StreamEnd::Orderly)));
    assert!(sent(&outputs).is_empty() && paced.run_to(at(60_000)).is_empty());
}

/// The peer's time begins when the acceptance leaves.
#[test]
fn the_limit_begins_with_the_acceptance() {
    let mut paced = responder(o(1));
    paced.feed(Input::Call(2, Call::Wait(ms(5_000))));
    paced.feed_at(at(10), accept());
    let outputs = paced.run_to(at(60_000));
    let times: Vec<Time> = outputs.iter().map(|(time, _)| *time).collect();
    assert_eq!((times[0], times[1]), (at(300), at(1_300)), "{outputs:?}");
    assert_eq!(parted(&all(outputs)), Some(Farewell::Silent));
}

/// PM-S-10: a decline that crosses the acceptance voids it, and nothing is said after an acceptance.
#[test]
fn what_crosses_an_acceptance() {
    let declined = failed(&listening().feed(end(EndOption::Decline(Some("late".into())))));
    assert_eq!((declined.code, declined.detail.as_str()), (ErrorCode::Declined, "late"));
    let mut node = listening();
    for _ in 0..3 {
        assert_eq!(node.feed(neg(o(2))), [Output::Noted(Note::OutOfPlace)]);
    }
    assert_eq!(node.feed(wait(60_000)), [Output::Noted(Note::OutOfPlace)]);
    assert_eq!(node.core.deadline(), Some(at(1_000)), "the limit stands");
    assert_eq!(code(&node.feed(Input::Call(4, Call::Accept))), ErrorCode::Unspecified);
    let cut = failed(&node.feed(Input::Disconnected { mid_message: true, reset: false }));
    assert_eq!((cut.code, cut.ending), (ErrorCode::CborFail, Some(StreamEnd::Unclear)));
    let mut given_up = listening();
    assert_eq!(given_up.feed(Input::Abandoned), [Output::Close]);
}

/// PM-S-06: who was accepted keeps the connection until it lets go of the session, for 5 s at most.
#[test]
fn an_accepted_session_is_closed_when_its_holder_lets_go() {
    let accepted = || {
        let mut node = initiated(o(47));
        let outputs = node.feed(end(EndOption::Accept));
        assert_eq!(outputs, [Output::Reply(1, Ok(Outcome::Accepted(o(47))))]);
        node
    };
    assert_eq!(accepted().feed_at(at(70), Input::Abandoned), [Output::Close]);
    assert_eq!(accepted().run_to(at(60_000)), [(at(5_000), Output::Close)]);
    assert_eq!(accepted().feed(ORDERLY), [Output::Close]);
    assert_eq!(code(&accepted().feed(Input::Call(4, Call::Accept))), ErrorCode::NoSession);
}
