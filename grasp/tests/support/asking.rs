//! Questions, announcements and answers of discovery.

use super::{gua, ms};
use grasp::protocol::discovery::{Input, Question, Scope};
use grasp::protocol::{Announcement, AsaHandle};
use grasp::wire::{Answer, Locator, Message, Objective};
use std::net::IpAddr;

pub const ASKER: AsaHandle = AsaHandle(1);

pub fn announce(ttl: u32) -> Announcement {
    Announcement { ttl, local: false, asas: [AsaHandle(2)].into(), rapid: None }
}

pub fn local(name: &str, announcement: Announcement) -> Input {
    Input::Local { name: name.into(), announcement: Some(announcement) }
}

pub fn ask(session_ids: &[u32], timeout: u64) -> Question {
    Question {
        request: 1,
        asker: ASKER,
        objective: Objective::discovery("EX1"),
        session_ids: session_ids.to_vec(),
        timeout: ms(timeout),
        minimum_ttl: None,
        scope: Scope::All,
        direct_only: false,
    }
}

pub fn response(session_id: u32, ttl: u32, answer: Answer) -> Message {
    Message::Response { session_id, initiator: IpAddr::V6(gua(1)), ttl, answer, objective: None }
}

pub fn direct(session_id: u32, ttl: u32, locator: Locator) -> Message {
    response(session_id, ttl, Answer::Locators(vec![locator]))
}
