//! Discovery (RFC 8990 §2.5.4, §2.8.4, §2.8.5): asking, answering, relaying, remembering.

mod answer;
mod ask;
mod event;
mod relay;

pub use event::{DiscoveryConfig, DiscoveryCounters, DiscoverySettings, Found, Input, Output, Question, Scope};

use super::cache::DiscoveryCache;
use super::rate::RelayLimiter;
use super::seen::{Origin, Seen};
use super::{Announcement, Heard, Machine, Time, Topology};
use crate::wire::Message;
use ask::Running;
use relay::Relayed;
use std::collections::{BTreeMap, VecDeque};

/// The discovery core of one node.
#[derive(Debug)]
pub struct Discovery {
    config: DiscoveryConfig,
    topology: Topology,
    local: BTreeMap<String, Announcement>,
    cache: DiscoveryCache,
    running: BTreeMap<u64, Running>,
    relayed: BTreeMap<Origin, Relayed>,
    /// What this node has asked itself.
    own: Seen,
    /// What it has relayed.
    seen: Seen,
    limiter: RelayLimiter,
    counters: DiscoveryCounters,
    outputs: VecDeque<Output>,
}

/// What a core leaves to the one that takes its place: what has been learned and counted, not what is being asked.
#[derive(Debug)]
pub struct Kept {
    cache: DiscoveryCache,
    own: Seen,
    seen: Seen,
    limiter: RelayLimiter,
    counters: DiscoveryCounters,
}

impl Discovery {
    /// A core that knows no link yet.
    #[must_use]
    pub fn new(config: DiscoveryConfig) -> Self {
        let kept = Kept {
            cache: DiscoveryCache::new(config.cache_capacity),
            own: Seen::new(config.seen_capacity),
            seen: Seen::new(config.seen_capacity),
            limiter: RelayLimiter::new(config.relay_rate),
            counters: DiscoveryCounters::default(),
        };
        Self::with(config, kept)
    }

    /// A core that knows no link and no local objective yet, but what another has kept under the same settings.
    #[must_use]
    pub fn with(config: DiscoveryConfig, kept: Kept) -> Self {
        let Kept { cache, own, seen, limiter, counters } = kept;
        let (topology, local, outputs) = (Topology::default(), BTreeMap::new(), VecDeque::new());
        let (running, relayed) = (BTreeMap::new(), BTreeMap::new());
        Self { config, topology, local, cache, running, relayed, own, seen, limiter, counters, outputs }
    }

    /// Ends the core; its running and relayed questions are given up.
    #[must_use]
    pub fn keep(self) -> Kept {
        let Self { cache, own, seen, limiter, counters, .. } = self;
        Kept { cache, own, seen, limiter, counters }
    }

    /// What has been counted so far.
    #[must_use]
    pub fn counters(&self) -> DiscoveryCounters {
        DiscoveryCounters {
            relays_refused: self.limiter.refused,
            cache_evicted: self.cache.evicted,
            cache_too_long: self.cache.too_long,
            seen_evicted: self.own.evicted + self.seen.evicted,
            ..self.counters.clone()
        }
    }

    /// The cache, for status and tests.
    #[must_use]
    pub fn cache(&self) -> &DiscoveryCache {
        &self.cache
    }

    fn heard(&mut self, now: Time, heard: Heard) {
        if let Some(Err(refusal)) = self.config.dull.as_ref().map(|dull| dull.admits(&heard)) {
            self.counters.dull.count(refusal);
            return;
        }
        let Heard { link, source, raw, message, restricted } = heard;
        match message {
            Message::Discovery { session_id, initiator, objective } => {
                let origin = ask::everywhere(session_id, initiator);
                if self.own.contains(now, &origin) {
                    self.counters.own_heard += 1;
                    return;
                }
                // A discovery by unicast comes on no link.
                if link != 0 && self.topology.link(link).is_none() {
                    self.counters.unexpected += 1;
                    return;
                }
                // What has been passed on and comes back by another way is not answered from what has been learned since:
                // the answer would only travel round to the relay that gave it.
                if self.seen.contains(now, &origin) && !self.local.contains_key(&objective.name) {
                    self.counters.duplicates += 1;
                    return;
                }
                let asked = answer::Asked { session_id, initiator, objective, link, source, restricted };
                if !self.answer(now, &asked) {
                    self.relay(now, &asked, origin, &raw);
                }
            }
            Message::Response { session_id, initiator, ttl, answer, objective } => {
                let response = ask::Response { session_id, initiator, ttl, answer, objective, link };
                let ours = self.response(now, &response);
                let passed = self.forward(now, &response);
                self.counters.unexpected += u64::from(!ours && !passed);
            }
            Message::Synch { session_id, objective } => self.rapid_synch(now, session_id, objective),
            Message::Noop => {}
            Message::RequestNegotiation { .. }
            | Message::RequestSynchronization { .. }
            | Message::Negotiate { .. }
            | Message::End { .. }
            | Message::Wait { .. }
            | Message::Flood { .. }
            | Message::Invalid { .. } => self.counters.unexpected += 1,
        }
    }
}

impl Machine for Discovery {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        self.wake(now);
        match input {
            Input::Topology(topology) => {
                self.topology = topology;
                if self.config.dull.is_some() {
                    // All that it says is about its link (RFC 8990 §2.5.2).
                    self.topology.global = None;
                }
            }
            Input::Local { name, announcement } => {
                match announcement {
                    Some(announcement) => self.local.insert(name, announcement),
                    None => self.local.remove(&name),
                };
            }
            Input::Heard(heard) => self.heard(now, heard),
            Input::Discover(question) => self.discover(now, question),
            Input::Cancel { request } => self.cancel(request),
            Input::Flush { name } => self.cache.flush(now, &name, std::time::Duration::ZERO),
            Input::Dead { name, locator } => self.cache.remove(&name, &locator),
            Input::Unanswerable { source } => self.unanswerable(source),
        }
    }

    fn wake(&mut self, now: Time) {
        self.expire_relays(now);
        self.expire_questions(now);
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        let questions = self.running.values().map(Running::deadline);
        let relays = self.relayed.values().map(|relayed| relayed.until);
        questions.chain(relays).min()
    }
}
