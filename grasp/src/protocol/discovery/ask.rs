//! The initiator's side: questions of local ASAs (RFC 8990 §2.5.4.3, RFC 8991 §2.3.4).

use super::Discovery;
use super::event::{Found, Output, Question, Scope};
use crate::constants::{DISCOVERY_UNIT, LONG_TTL};
use crate::protocol::cache::Entry;
use crate::protocol::dull::LOOP_COUNT;
use crate::protocol::seen::Origin;
use crate::protocol::{AsaLocator, LinkId, Time};
use crate::wire::{Answer, Locator, Message, Objective, SessionId};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Locators taken from one answer; a member has a few, and a liar as many as a message holds.
const LOCATORS_PER_ANSWER: usize = 64;

/// A question on its way.
#[derive(Debug)]
pub(super) struct Running {
    question: Question,
    until: Time,
    /// When to repeat, if nothing has been heard by then.
    retry: Option<Time>,
    tries: usize,
    /// The keys under which its messages went out.
    sent: BTreeSet<Origin>,
    answered: bool,
    rapid: Option<Objective>,
}

impl Running {
    pub(super) fn deadline(&self) -> Time {
        self.retry.map_or(self.until, |retry| retry.min(self.until))
    }
}

/// A response as it was heard.
pub(super) struct Response {
    pub(super) session_id: SessionId,
    pub(super) initiator: IpAddr,
    pub(super) ttl: u32,
    pub(super) answer: Answer,
    pub(super) objective: Option<Objective>,
    pub(super) link: LinkId,
}

impl Response {
    /// The lifetime that its ttl states.
    pub(super) fn lifetime(&self) -> Duration {
        if self.ttl == 0 { LONG_TTL } else { Duration::from_millis(self.ttl.into()) }
    }

    pub(super) fn is_divert(&self) -> bool {
        matches!(self.answer, Answer::Divert(_))
    }
}

impl Discovery {
    pub(super) fn discover(&mut self, now: Time, mut question: Question) {
        if self.config.dull.is_some() {
            question.objective.loop_count = LOOP_COUNT;
        }
        if let Some(minimum) = question.minimum_ttl {
            self.cache.flush(now, &question.objective.name, minimum);
        }
        let request = question.request;
        let mut running = Running {
            until: now + question.timeout,
            retry: None,
            tries: 0,
            sent: BTreeSet::new(),
            answered: false,
            rapid: None,
            question,
        };
        let cached = self.found(now, &running);
        let enough = running.question.scope == Scope::First && !cached.locators.is_empty();
        if running.question.timeout.is_zero() || enough {
            self.outputs.push_back(Output::Release(running.question.session_ids));
            self.outputs.push_back(Output::Found { request, found: cached });
            return;
        }
        self.ask(now, &mut running);
        self.running.insert(request, running);
    }

    /// Sends the discovery on every link under the next session id (RFC 8990 §2.8.4).
    fn ask(&mut self, now: Time, running: &mut Running) {
        let Some(session_id) = running.question.session_ids.get(running.tries).copied() else { return };
        for link in &self.topology.links {
            let initiator = IpAddr::V6(self.topology.initiator(link));
            let objective = running.question.objective.clone().with_assigned_flags();
            let bytes = Message::Discovery { session_id, initiator, objective }.encode();
            if bytes.len() > self.config.multicast_size {
                self.counters.too_long += 1;
                continue;
            }
            let key = everywhere(session_id, initiator);
            self.own.insert(now, key);
            running.sent.insert(key);
            self.outputs.push_back(Output::Multicast { link: link.id, bytes });
        }
        let unit = DISCOVERY_UNIT * u32::from(running.question.objective.loop_count.max(1));
        running.retry =
            (running.tries + 1 < running.question.session_ids.len()).then(|| now + unit * (1 << running.tries.min(16)));
        running.tries += 1;
    }

    /// Takes a response to one of our questions; tells whether it was one.
    pub(super) fn response(&mut self, now: Time, response: &Response) -> bool {
        let key = everywhere(response.session_id, response.initiator);
        let Some(running) = self.running.values_mut().find(|running| running.sent.contains(&key)) else { return false };
        if running.question.direct_only && response.is_divert() {
            return true;
        }
        let name = running.question.objective.name.clone();
        let request = running.question.request;
        let value = response.objective.clone().filter(|o| o.name == name && o.value.is_some() && !response.is_divert());
        let first = running.question.scope == Scope::First;
        if self.learn(now, &name, response) {
            if let Some(running) = self.running.get_mut(&request) {
                running.answered = true;
                running.retry = None;
                running.rapid = running.rapid.take().or(value);
            }
            if first {
                self.finish(now, request);
            }
        }
        true
    }

    /// Stores the usable locators of a response; tells whether there were any.
    pub(super) fn learn(&mut self, now: Time, name: &str, response: &Response) -> bool {
        let diverted = response.is_divert();
        let mut usable = false;
        let told = response.answer.locators();
        self.counters.locators_ignored += told.len().saturating_sub(LOCATORS_PER_ANSWER) as u64;
        for locator in told.iter().take(LOCATORS_PER_ANSWER) {
            if self.is_own(locator, response.link) {
                continue;
            }
            if !self.trusts(locator, diverted) {
                self.counters.distrusted += 1;
                continue;
            }
            usable = true;
            let expires = now + response.lifetime();
            let (locator, link) = (locator.clone(), response.link);
            self.cache.insert(now, name, Entry { locator, link, diverted, heard: now, expires });
        }
        usable
    }

    /// A link-local address in a divert, and an address outside the domain, are not believed (RFC 8990 §2.9.5.1, §3).
    pub(super) fn trusts(&self, locator: &Locator, diverted: bool) -> bool {
        match locator.address() {
            Some(_) if locator.is_link_local() => !diverted,
            Some(IpAddr::V6(address)) => {
                let Some((prefix, length)) = self.config.settings.domain else { return usable_unicast(address) };
                let differing = u128::from(address) ^ u128::from(prefix);
                usable_unicast(address) && differing.leading_zeros() >= u32::from(length)
            }
            Some(IpAddr::V4(address)) => !address.is_unspecified() && !address.is_multicast() && !address.is_loopback(),
            None => true,
        }
    }

    /// This node's own port, told back by a neighbour that remembers it; own ASAs are found without the network.
    fn is_own(&self, locator: &Locator, link: LinkId) -> bool {
        let own = [self.topology.global, self.topology.link(link).map(|link| link.address)];
        locator.port() == Some(self.topology.port)
            && locator.address().is_some_and(|address| own.into_iter().flatten().any(|v6| address == v6))
    }

    /// M_SYNCH in place of a response (RFC 8990 §2.5.6.3); a plain response that came first wins.
    pub(super) fn rapid_synch(&mut self, now: Time, session_id: SessionId, objective: Objective) {
        let ours = |running: &&mut Running| {
            running.sent.iter().any(|(id, _, _)| *id == session_id)
                && running.question.objective.name == objective.name
                && running.question.objective.is_synchronizable()
        };
        match self.running.values_mut().find(ours) {
            Some(running) if !running.answered && running.question.scope == Scope::First => {
                running.rapid = Some(objective);
                let request = running.question.request;
                self.finish(now, request);
            }
            _ => self.counters.unexpected += 1,
        }
    }

    pub(super) fn cancel(&mut self, request: u64) {
        if let Some(running) = self.running.remove(&request) {
            self.outputs.push_back(Output::Release(running.question.session_ids));
        }
    }

    pub(super) fn expire_questions(&mut self, now: Time) {
        let due: Vec<u64> =
            self.running.iter().filter(|(_, running)| running.deadline() <= now).map(|(id, _)| *id).collect();
        for request in due {
            let Some(mut running) = self.running.remove(&request) else { continue };
            let over = running.until <= now;
            if !over {
                self.ask(now, &mut running);
            }
            self.running.insert(request, running);
            if over {
                self.finish(now, request);
            }
        }
    }

    fn finish(&mut self, now: Time, request: u64) {
        let Some(running) = self.running.remove(&request) else { return };
        let found = self.found(now, &running);
        self.outputs.push_back(Output::Release(running.question.session_ids));
        self.outputs.push_back(Output::Found { request, found });
    }

    /// The cache's entries, and this node's own ASAs other than the asker (T-40).
    fn found(&self, now: Time, running: &Running) -> Found {
        let name = &running.question.objective.name;
        let entries = self.cache.get(now, name);
        let own = self.local.get(name).filter(|a| a.asas.iter().any(|asa| *asa != running.question.asker)).map(|_| {
            let on_link = self.topology.links.first().filter(|_| self.config.dull.is_some());
            let (address, link) = match on_link {
                Some(link) => (link.address, link.id),
                None => (self.topology.global.unwrap_or(Ipv6Addr::LOCALHOST), 0),
            };
            AsaLocator::known(Locator::tcp(address.into(), self.topology.port), link)
        });
        let direct = |entry: &&Entry| !running.question.direct_only || !entry.diverted;
        let cached = entries.iter().copied().filter(direct).map(Entry::asa_locator);
        Found { locators: own.into_iter().chain(cached).collect(), rapid: running.rapid.clone() }
    }
}

/// The key of a discovery, the same on every link, so that one from a link-local initiator that comes back over
/// another link is known again.
pub(super) fn everywhere(session_id: SessionId, initiator: IpAddr) -> Origin {
    (session_id, initiator, 0)
}

fn usable_unicast(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && !address.is_loopback()
}
