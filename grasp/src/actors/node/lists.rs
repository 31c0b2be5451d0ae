//! What the node holds, for operators.

use super::{ListObjectives, ListSessions, Listed, Node};
use crate::actors::ledger::Occupant;
use crate::actors::session::Target;
use crate::api::dump::{Kind, ObjectiveEntry, SessionEntry, SessionState, Side};
use crate::protocol::session_id::Maker;
use crate::wire::diagnostic;
use actix::prelude::*;
use std::collections::BTreeMap;

impl Handler<ListSessions> for Node {
    type Result = Vec<Listed>;

    fn handle(&mut self, _: ListSessions, _: &mut Context<Self>) -> Vec<Listed> {
        supervision::strike();
        let now = self.around.clock.now();
        let entries = self.books.ledger.entries();
        let listed = |(key, maker, occupant): (u64, Maker, &Occupant)| Listed {
            entry: SessionEntry {
                key,
                session_id: occupant.session_id,
                kind: occupant.kind,
                objective: occupant.objective.clone(),
                asa: occupant
                    .owner
                    .as_ref()
                    .and_then(|(asa, _)| self.books.registry.name(*asa).ok())
                    .map(str::to_owned),
                peer: match &occupant.peer {
                    Target::Address(address) => address.to_string(),
                    Target::Name(name, port) => format!("{name}:{port}"),
                },
                side: if maker == Maker::Us { Side::Initiator } else { Side::Responder },
                state: match (&occupant.owner, occupant.kind) {
                    (Some(_), _) => SessionState::Unknown,
                    (None, Kind::Synchronization) => SessionState::Answering,
                    (None, _) => SessionState::Queued,
                },
                loop_count: None,
                age_ms: u64::try_from(now.since(occupant.since).as_millis()).unwrap_or(u64::MAX),
                remaining_ms: None,
            },
            actor: occupant.owner.as_ref().map(|(_, actor)| actor.clone()),
        };
        entries.places.iter().map(listed).collect()
    }
}

impl Handler<ListObjectives> for Node {
    type Result = Vec<ObjectiveEntry>;

    fn handle(&mut self, _: ListObjectives, _: &mut Context<Self>) -> Vec<ObjectiveEntry> {
        supervision::strike();
        // All sessions, and those of them that wait in a queue.
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let entries = self.books.ledger.entries();
        for (_, _, occupant) in entries.places.iter() {
            let (sessions, queued) = counts.entry(&occupant.objective).or_default();
            *sessions += 1;
            *queued += usize::from(occupant.owner.is_none() && occupant.kind != Kind::Synchronization);
        }
        let entry = |name: &str| {
            let (sessions, queued) = counts.get(name).copied().unwrap_or_default();
            let objective = self.books.registry.holders(name).next()?.1;
            let served = self.books.registry.served(name);
            Some(ObjectiveEntry {
                name: name.to_owned(),
                asas: self.books.registry.holders(name).map(|(asa, _)| asa.to_owned()).collect(),
                kind: Kind::of(objective),
                listening: self.books.registry.negotiates(name),
                serving: served.is_some(),
                announced: self
                    .books
                    .registry
                    .announcement(name)
                    .is_some_and(|announcement| !announcement.asas.is_empty()),
                queued,
                sessions,
                loop_count: objective.loop_count,
                message_size: self
                    .books
                    .registry
                    .registration(name)
                    .map_or(self.config.message.size, |r| r.message_size),
                value: served.and_then(|objective| objective.value).map(|value| diagnostic(value.as_bytes())),
            })
        };
        self.books.registry.objectives().filter_map(entry).collect()
    }
}
