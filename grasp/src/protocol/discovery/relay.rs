//! Relaying discoveries and passing the answers back (RFC 8990 §2.5.4.4).

use super::Discovery;
use super::answer::{Asked, dedup, divert_ttl, messagefuls};
use super::ask::{Response, everywhere};
use super::event::Output;
use crate::constants::DISCOVERY_UNIT;
use crate::protocol::seen::Origin;
use crate::protocol::{LinkId, Time};
use crate::wire::{Answer, Locator, Message, with_loop_count};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Locators passed back for one relayed discovery.
const TOLD_MAX: usize = 1_000;

/// A discovery that was passed on and whose answers are awaited.
#[derive(Debug)]
pub(super) struct Relayed {
    name: String,
    link: LinkId,
    pub(super) source: SocketAddr,
    pub(super) until: Time,
    /// Locators already passed back.
    told: BTreeSet<Locator>,
}

impl Discovery {
    /// Multicasts the discovery on the other links with the loop count lowered and every other byte untouched.
    pub(super) fn relay(&mut self, now: Time, asked: &Asked, key: Origin, raw: &[u8]) {
        let Some(loop_count) = asked.objective.loop_count.checked_sub(1).filter(|left| *left > 0) else {
            self.counters.discarded += 1;
            return;
        };
        let others: Vec<LinkId> = self.topology.links.iter().map(|l| l.id).filter(|id| *id != asked.link).collect();
        if others.is_empty() || asked.link == 0 || !self.config.settings.relay || self.config.dull.is_some() {
            self.counters.discarded += 1;
            return;
        }
        if self.seen.contains(now, &key) {
            self.counters.duplicates += 1;
            return;
        }
        if self.relayed.len() >= self.config.relays_max {
            self.counters.relays_full += 1;
            return;
        }
        let Ok(bytes) = with_loop_count(raw, loop_count) else { return };
        if bytes.len() > self.config.multicast_size {
            self.counters.too_long += 1;
            return;
        }
        if !self.limiter.admit(now, asked.link, asked.source.ip()) {
            return;
        }
        self.seen.insert(now, key);
        self.counters.relayed += 1;
        for link in others {
            self.outputs.push_back(Output::Multicast { link, bytes: bytes.clone() });
        }
        let until = now + DISCOVERY_UNIT * u32::from(loop_count);
        let name = asked.objective.name.clone();
        let relayed = Relayed { name, link: asked.link, source: asked.source, until, told: BTreeSet::new() };
        self.relayed.insert(key, relayed);
    }

    /// Passes an answer back as a divert, at once; tells whether it belonged to a relayed discovery.
    pub(super) fn forward(&mut self, now: Time, response: &Response) -> bool {
        let (session_id, initiator) = (response.session_id, response.initiator);
        let key = everywhere(session_id, initiator);
        let Some(name) = self.relayed.get(&key).map(|relayed| relayed.name.clone()) else { return false };
        self.learn(now, &name, response);
        let diverted = response.is_divert();
        let passable = |locator: &&Locator| self.divertible(locator) && self.trusts(locator, diverted);
        let usable = response.answer.locators().iter().filter(passable).cloned().collect();
        let Some(relayed) = self.relayed.get_mut(&key) else { return false };
        let mut news = dedup(usable);
        news.retain(|locator| !relayed.told.contains(locator));
        let room = TOLD_MAX - relayed.told.len();
        self.counters.answers_full += u64::from(news.len() > room);
        news.truncate(room);
        relayed.told.extend(news.iter().cloned());
        let (link, to) = (relayed.link, relayed.source);
        for locators in messagefuls(news) {
            self.counters.forwarded += 1;
            let (ttl, answer) = (divert_ttl(response.lifetime()), Answer::Divert(locators));
            let message = Message::Response { session_id, initiator, ttl, answer, objective: None };
            self.outputs.push_back(Output::Respond { link, to, bytes: message.encode() });
        }
        true
    }

    pub(super) fn expire_relays(&mut self, now: Time) {
        self.relayed.retain(|_, relayed| relayed.until > now);
    }
}
