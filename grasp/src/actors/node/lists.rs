//! What the node holds, for operators.

use super::{ListObjectives, ListSessions, Listed, Node};
use crate::actors::session::Target;
use crate::api::dump::{Kind, ObjectiveEntry, SessionEntry, SessionState, Side};
use crate::protocol::session_id::Maker;
use crate::wire::diagnostic;
use actix::prelude::*;
use std::collections::BTreeMap;

impl Handler<ListSessions> for Node {
    type Result = Vec<Listed>;

    fn handle(&mut self, _: ListSessions, _: &mut Context<Self>) -> Vec<Listed> {
        let now = self.around.clock.now();
        let listed = |(key, maker, occupant): (u64, Maker, &super::Occupant)| Listed {
            entry: SessionEntry {
                key,
                session_id: occupant.session_id,
                kind: occupant.kind,
                objective: occupant.objective.clone(),
                asa: occupant.owner.as_ref().and_then(|(asa, _)| self.registry.name(*asa).ok()).map(str::to_owned),
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
        self.places.iter().map(listed).collect()
    }
}

impl Handler<ListObjectives> for Node {
    type Result = Vec<ObjectiveEntry>;

    fn handle(&mut self, _: ListObjectives, _: &mut Context<Self>) -> Vec<ObjectiveEntry> {
        // All sessions, and those of them that wait in a queue.
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (_, _, occupant) in self.places.iter() {
            let (sessions, queued) = counts.entry(&occupant.objective).or_default();
            *sessions += 1;
            *queued += usize::from(occupant.owner.is_none() && occupant.kind != Kind::Synchronization);
        }
        let entry = |name: &str| {
            let (sessions, queued) = counts.get(name).copied().unwrap_or_default();
            let objective = self.registry.holders(name).next()?.1;
            let served = self.registry.served(name);
            Some(ObjectiveEntry {
                name: name.to_owned(),
                asas: self.registry.holders(name).map(|(asa, _)| asa.to_owned()).collect(),
                kind: Kind::of(objective),
                listening: self.registry.negotiates(name),
                serving: served.is_some(),
                announced: self.registry.announcement(name).is_some_and(|announcement| !announcement.asas.is_empty()),
                queued,
                sessions,
                loop_count: objective.loop_count,
                message_size: self.registry.registration(name).map_or(self.config.message.size, |r| r.message_size),
                value: served.and_then(|objective| objective.value).map(|value| diagnostic(value.as_bytes())),
            })
        };
        self.registry.objectives().filter_map(entry).collect()
    }
}
