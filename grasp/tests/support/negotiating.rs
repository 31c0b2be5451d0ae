//! Shorthand for the tests of negotiations.

use super::{Driver, bytes, message, ms, value};
use grasp::error::{Error, ErrorCode};
use grasp::protocol::negotiation::Negotiation;
use grasp::protocol::session::{Call, Input, Note, Outcome, Output, SessionConfig};
use grasp::wire::{DecodeError, EndOption, Limits, Message, Objective, decode};

pub const SID: u32 = 0x000c_3ffd;

pub fn config() -> SessionConfig {
    SessionConfig { session_id: SID, message_size: 2048, gap: ms(300), wait_cap: None, session_cap: None }
}

pub fn o(n: u64) -> Objective {
    Objective::negotiation("EX3").with_value(value(n))
}

pub fn request(objective: Objective, timeout: u64) -> Input {
    Input::Call(1, Call::Request { objective, timeout: ms(timeout) })
}

pub fn step(objective: Objective) -> Input {
    Input::Call(2, Call::Step { objective, timeout: ms(2_000) })
}

pub fn neg(objective: Objective) -> Input {
    Input::Received(Message::Negotiate { session_id: SID, objective })
}

pub fn end(option: EndOption) -> Input {
    Input::Received(Message::End { session_id: SID, option })
}

pub fn wait(waiting_time: u32) -> Input {
    Input::Received(Message::Wait { session_id: SID, waiting_time })
}

pub fn undecodable(hex: &str) -> Input {
    let error: DecodeError = decode(&bytes(hex), &Limits::default()).unwrap_err();
    Input::Undecodable(error)
}

pub fn sent(outputs: &[Output]) -> Vec<Message> {
    outputs.iter().filter_map(|o| if let Output::Send(raw) = o { Some(message(raw)) } else { None }).collect()
}

pub fn reply(outputs: &[Output]) -> Option<Result<Outcome, Error>> {
    outputs.iter().find_map(|o| if let Output::Reply(_, result) = o { Some(result.clone()) } else { None })
}

pub fn code(outputs: &[Output]) -> ErrorCode {
    reply(outputs).expect("a reply").expect_err("an error").code
}

pub fn noted(outputs: &[Output], note: Note) -> bool {
    outputs.contains(&Output::Noted(note))
}

pub fn closed(outputs: &[Output]) -> bool {
    outputs.contains(&Output::Close)
}

/// An initiator whose request for `objective` is on its way, with 2 s to go.
pub fn initiated(objective: Objective) -> Driver<Negotiation> {
    let mut node = Driver::new(Negotiation::initiator(config(), objective.clone()));
    node.feed(request(objective, 2_000));
    node.feed(Input::Connected);
    node
}

pub fn responder(objective: Objective) -> Driver<Negotiation> {
    Driver::new(Negotiation::responder(config(), objective))
}

pub fn offered(outputs: &[Output]) -> Objective {
    let Some(Ok(Outcome::Offered(objective))) = reply(outputs) else { panic!("{outputs:?}") };
    objective
}
