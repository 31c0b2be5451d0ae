//! Floods, heard and sent.

use super::{Driver, gua, value};
use grasp::protocol::flood::{Flood, Input, Output};
use grasp::wire::{Locator, Message, Objective, TaggedObjective};
use std::net::IpAddr;

pub fn o(name: &str, n: u64) -> Objective {
    Objective::synchronization(name).with_value(value(n))
}

pub fn flooded(session_id: u32, initiator: u16, ttl: u32, pairs: &[(Objective, Option<Locator>)]) -> Message {
    let tag = |(objective, locator): &(Objective, Option<Locator>)| TaggedObjective {
        objective: objective.clone(),
        locator: locator.clone(),
    };
    Message::Flood {
        session_id,
        initiator: IpAddr::V6(gua(initiator)),
        ttl,
        objectives: pairs.iter().map(tag).collect(),
    }
}

pub fn send(node: &mut Driver<Flood>, sid: u32, ttl: u32, pairs: Vec<(Objective, Option<Locator>)>) -> Vec<Output> {
    node.feed(Input::Flood { request: 1, session_id: sid, ttl, objectives: pairs })
}
