//! The responder's side: our own objectives, and diverts to those of others (RFC 8990 §2.8.5, §2.9.2).

use super::Discovery;
use super::event::Output;
use crate::constants::GRASP_DEF_MAX_SIZE;
use crate::protocol::cache::Entry;
use crate::protocol::dull::LOOP_COUNT;
use crate::protocol::{Announcement, LinkId, Rapid, Time};
use crate::wire::{Answer, Locator, Message, Objective, SessionId};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest lifetime, in milliseconds, that is stated for a port that changes when the node restarts.
const UNSTABLE_PORT_TTL: u32 = 30_000;
/// Bytes of a response besides its locators, at most: arrays, type, session id, initiator, ttl, option number.
const RESPONSE_HEAD: usize = 40;

/// A discovery as it was heard.
pub(super) struct Asked {
    pub(super) session_id: SessionId,
    pub(super) initiator: IpAddr,
    pub(super) objective: Objective,
    pub(super) link: LinkId,
    pub(super) source: SocketAddr,
    /// A value in the answer would be more than whoever asks may have.
    pub(super) restricted: bool,
}

impl Discovery {
    /// Answers if this node supports the objective or knows who does; tells whether it did.
    pub(super) fn answer(&mut self, now: Time, asked: &Asked) -> bool {
        let message = if let Some(announcement) = self.local.get(&asked.objective.name) {
            let message = self.own_response(asked, announcement);
            self.counters.answered += u64::from(message.is_some());
            // An objective that cannot be announced here is still supported, so there is no relaying either.
            let Some(message) = message else { return true };
            message
        } else {
            let Some(divert) = self.divert(now, asked) else { return false };
            self.counters.diverted += 1;
            divert
        };
        self.outputs.push_back(Output::Respond { link: asked.link, to: asked.source, bytes: message.encode() });
        true
    }

    fn own_response(&self, asked: &Asked, announcement: &Announcement) -> Option<Message> {
        let Asked { session_id, initiator, .. } = *asked;
        let (mut objective, dull) = (None, self.config.dull.is_some());
        match announcement.rapid.as_ref().filter(|_| !asked.restricted) {
            Some((Rapid::Synch, _)) if dull => {}
            Some((Rapid::Response, current)) if dull => objective = Some(current.clone().with_loop_count(LOOP_COUNT)),
            Some((Rapid::Synch, current)) if asked.objective.is_synchronizable() && current.value.is_some() => {
                let synch = Message::Synch { session_id, objective: current.clone() };
                if synch.encode().len() <= GRASP_DEF_MAX_SIZE {
                    return Some(synch);
                }
            }
            Some((Rapid::Response, current)) => objective = Some(current.clone()),
            _ => {}
        }
        let link = self.topology.link(asked.link);
        let address = match self.topology.global {
            Some(global) if !announcement.local => global,
            None if !dull && !announcement.local && !self.config.settings.link_local_locators => return None,
            _ => link?.address,
        };
        let ttl = match announcement.ttl {
            ttl if self.topology.stable_port => ttl,
            // 0 means long (T-24).
            0 => UNSTABLE_PORT_TTL,
            ttl => ttl.min(UNSTABLE_PORT_TTL),
        };
        let answer = Answer::Locators(vec![Locator::tcp(address.into(), self.topology.port)]);
        let respond = |objective| Message::Response { session_id, initiator, ttl, answer: answer.clone(), objective };
        let response = respond(objective);
        Some(if response.encode().len() <= GRASP_DEF_MAX_SIZE { response } else { respond(None) })
    }

    /// Entries learned on the asking link are not told there (RFC 8990 §2.5.4.3, T-35).
    fn divert(&self, now: Time, asked: &Asked) -> Option<Message> {
        if self.config.dull.is_some() {
            return None;
        }
        let entries = self.cache.get(now, &asked.objective.name);
        let told: Vec<_> =
            entries.into_iter().filter(|e| e.link != asked.link && self.divertible(&e.locator)).collect();
        let remaining = told.iter().map(|entry| entry.expires.since(now)).min()?;
        let locators = dedup(told.into_iter().map(|entry: &Entry| entry.locator.clone()).collect());
        Some(Message::Response {
            session_id: asked.session_id,
            initiator: asked.initiator,
            ttl: divert_ttl(remaining),
            answer: Answer::Divert(messagefuls(locators).into_iter().next()?),
            objective: None,
        })
    }

    /// What may stand in a divert (RFC 8990 §2.9.5): nothing that means something else elsewhere in the network.
    pub(super) fn divertible(&self, locator: &Locator) -> bool {
        match locator {
            Locator::Ipv6 { .. } => !locator.is_link_local(),
            Locator::Ipv4 { .. } => !locator.is_link_local() && !self.config.settings.internal_nat4,
            Locator::Fqdn { name, .. } => !is_local_name(name),
            // Of no use to those who ask: they read responses by the CDDL of RFC 8990.
            Locator::Other { .. } => false,
            Locator::Uri { uri, .. } => {
                let host = uri_host(uri);
                match host.parse::<IpAddr>() {
                    Ok(address) => !address.is_loopback() && self.divertible(&Locator::tcp(address, 0)),
                    Err(_) => !is_local_name(host),
                }
            }
        }
    }

    /// The sender of a discovery refused the answer: it gets no more for that question (T-36).
    pub(super) fn unanswerable(&mut self, source: SocketAddr) {
        self.counters.unanswerable += 1;
        self.relayed.retain(|_, relayed| relayed.source != source);
    }
}

/// Never 0 by rounding, since 0 means ten minutes (T-24).
pub(super) fn divert_ttl(remaining: Duration) -> u32 {
    u32::try_from(remaining.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// Keeps the first of equal locators.
pub(super) fn dedup(locators: Vec<Locator>) -> Vec<Locator> {
    let mut kept = Vec::with_capacity(locators.len());
    for locator in locators {
        if !kept.contains(&locator) {
            kept.push(locator);
        }
    }
    kept
}

/// Splits locators into as many responses as the largest message needs (RFC 8990 §2.8.3).
pub(super) fn messagefuls(locators: Vec<Locator>) -> Vec<Vec<Locator>> {
    let room = GRASP_DEF_MAX_SIZE - RESPONSE_HEAD;
    let mut parts: Vec<Vec<Locator>> = Vec::new();
    let mut left = 0;
    for locator in locators {
        let size = locator.encode().len();
        match parts.last_mut() {
            Some(part) if size <= left => part.push(locator),
            _ if size > room => continue,
            _ => {
                parts.push(vec![locator]);
                left = room;
            }
        }
        left -= size;
    }
    parts
}

/// A name of multicast DNS, or of the node that reads it.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let top = name.rsplit('.').next().unwrap_or_default();
    top == "local" || top == "localhost"
}

fn uri_host(uri: &str) -> &str {
    let authority = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(literal) => literal.split([']', '%']).next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}
