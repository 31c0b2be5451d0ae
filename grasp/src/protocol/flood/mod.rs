//! Flooding (RFC 8990 §2.5.6.2, §2.8.11): sending, remembering, relaying.

mod event;
mod store;

pub use event::{FloodConfig, FloodCounters, Input, Output};
pub use store::{Brought, FloodStore, Flooded};

use store::Bounds;

use super::rate::{Bucket, RelayLimiter};
use super::seen::{Seen, origin};
use super::{Heard, LinkId, LinkInfo, Machine, Time, Topology};
use crate::error::{Error, ErrorCode};
use crate::wire::{Locator, Message, Objective, SessionId, TaggedObjective, Value, with_loop_count};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Objectives whose flooding rate is tracked; the registry bounds how many there are.
const PACED: usize = 4_096;

/// The flooding core of one node.
#[derive(Debug)]
pub struct Flood {
    config: FloodConfig,
    topology: Topology,
    store: FloodStore,
    seen: Seen,
    limiter: RelayLimiter,
    pace: BTreeMap<String, Bucket>,
    counters: FloodCounters,
    outputs: VecDeque<Output>,
}

/// What a core leaves to the one that takes its place: what has been flooded, seen, paced and counted.
#[derive(Debug)]
pub struct Kept {
    store: FloodStore,
    seen: Seen,
    limiter: RelayLimiter,
    pace: BTreeMap<String, Bucket>,
    counters: FloodCounters,
}

impl Flood {
    /// A core that knows no link yet.
    #[must_use]
    pub fn new(config: FloodConfig) -> Self {
        let kept = Kept {
            store: FloodStore::new(
                Bounds { capacity: config.capacity, per_name: config.per_name, bytes: config.bytes },
                config.dull.is_some(),
            ),
            seen: Seen::new(config.seen_capacity),
            limiter: RelayLimiter::new(config.relay_rate),
            pace: BTreeMap::new(),
            counters: FloodCounters::default(),
        };
        Self::with(config, kept)
    }

    /// A core that knows no link yet, but what another has kept under the same settings.
    #[must_use]
    pub fn with(config: FloodConfig, kept: Kept) -> Self {
        let Kept { store, seen, limiter, pace, counters } = kept;
        let (topology, outputs) = (Topology::default(), VecDeque::new());
        Self { config, topology, store, seen, limiter, pace, counters, outputs }
    }

    /// Ends the core.
    #[must_use]
    pub fn keep(self) -> Kept {
        let Self { store, seen, limiter, pace, counters, .. } = self;
        Kept { store, seen, limiter, pace, counters }
    }

    /// What has been flooded, as far as it has been heard here.
    #[must_use]
    pub fn store(&self) -> &FloodStore {
        &self.store
    }

    /// What has been counted so far.
    #[must_use]
    pub fn counters(&self) -> FloodCounters {
        FloodCounters {
            relays_refused: self.limiter.refused,
            evicted: self.store.evicted,
            evicted_for_bytes: self.store.evicted_for_bytes,
            no_room: self.store.no_room,
            seen_evicted: self.seen.evicted,
            ..self.counters.clone()
        }
    }

    fn heard(&mut self, now: Time, heard: Heard) {
        if let Some(Err(refusal)) = self.config.dull.as_ref().map(|dull| dull.admits(&heard)) {
            self.counters.dull.count(refusal);
            return;
        }
        let Heard { link, source, raw, message, .. } = heard;
        let Message::Flood { session_id, initiator, ttl, objectives } = message else {
            self.counters.unexpected += 1;
            return;
        };
        if self.topology.link(link).is_none() {
            self.counters.unexpected += 1;
            return;
        }
        // A flood from a link-local initiator must not have come from further away (T-11).
        let link_only = matches!(initiator, IpAddr::V6(v6) if v6.is_unicast_link_local())
            || matches!(initiator, IpAddr::V4(v4) if v4.is_link_local());
        if link_only && objectives.iter().any(|tagged| tagged.objective.loop_count != 1) {
            self.counters.far_link_local += 1;
            return;
        }
        if !self.seen.insert(now, origin(session_id, initiator, link)) {
            self.counters.duplicates += 1;
            return;
        }
        let first = objectives.first().map_or(0, |tagged| tagged.objective.loop_count);
        let brought = Brought { initiator, session_id, ttl, link };
        for tagged in objectives {
            if self.config.left_to_dull.contains(&tagged.objective.name) {
                self.counters.left_to_dull += 1;
            } else {
                self.remember(now, source.ip(), brought, tagged);
            }
        }
        self.relay(now, link, source, &raw, first);
    }

    /// Stores a synchronization objective and tells the watchers; anything else in a flood is only relayed (T-54).
    fn remember(&mut self, now: Time, source: IpAddr, brought: Brought, tagged: TaggedObjective) {
        if !tagged.objective.is_synchronizable() {
            self.counters.not_synchronizable += 1;
            return;
        }
        let flooded = self.store.insert(now, source, brought, tagged);
        self.outputs.push_back(Output::Flooded(flooded));
    }

    fn relay(&mut self, now: Time, link: LinkId, source: SocketAddr, raw: &[u8], loop_count: u8) {
        let others: Vec<LinkId> = self.topology.links.iter().map(|l| l.id).filter(|id| *id != link).collect();
        let Some(left) = loop_count.checked_sub(1).filter(|left| *left > 0) else { return };
        if others.is_empty() || !self.config.relay || self.config.dull.is_some() {
            return;
        }
        let Ok(bytes) = with_loop_count(raw, left) else { return };
        if bytes.len() > self.config.multicast_size {
            self.counters.too_long += 1;
            return;
        }
        if !self.limiter.admit(now, link, source.ip()) {
            return;
        }
        self.counters.relayed += 1;
        for link in others {
            self.outputs.push_back(Output::Multicast { link, bytes: bytes.clone() });
        }
    }

    fn flood(
        &mut self,
        now: Time,
        session_id: SessionId,
        ttl: u32,
        objectives: &[(Objective, Option<Locator>)],
    ) -> Result<(), Error> {
        if let Some(dull) = &self.config.dull {
            dull.may_flood(objectives, self.topology.links.first().map(|link| link.address))?;
        }
        let local = objectives.iter().filter(|(_, tag)| is_own_link(tag)).count();
        if self.config.dull.is_none() && local != 0 && local != objectives.len() {
            let detail = "objectives for the link only and for the whole domain cannot share a flood";
            return Err(Error::new(ErrorCode::InvalidLocator, detail));
        }
        check(objectives)?;
        let link_only = local != 0 || self.topology.global.is_none();
        let mut messages = Vec::with_capacity(self.topology.links.len());
        for link in &self.topology.links {
            let initiator = IpAddr::V6(if local != 0 { link.address } else { self.topology.initiator(link) });
            let objectives: Vec<_> = objectives.iter().map(|o| self.tagged(o, link, link_only)).collect();
            let bytes = Message::Flood { session_id, initiator, ttl, objectives: objectives.clone() }.encode();
            if bytes.len() > self.config.multicast_size {
                let detail = format!("{} bytes; a flood holds at most {}", bytes.len(), self.config.multicast_size);
                return Err(Error::new(ErrorCode::Unspecified, detail));
            }
            messages.push((link.id, initiator, bytes, objectives));
        }
        self.admit(now, objectives)?;
        self.counters.sent += 1;
        for (link, initiator, bytes, _) in &messages {
            self.seen.insert(now, origin(session_id, *initiator, *link));
            self.outputs.push_back(Output::Multicast { link: *link, bytes: bytes.clone() });
        }
        // Readers on this node see its own floods too (T-40), also when no link is up.
        let (link, initiator, tagged) = match messages.into_iter().next() {
            Some((link, initiator, _, tagged)) => (link, initiator, tagged),
            None => {
                let nowhere = LinkInfo { id: 0, address: Ipv6Addr::LOCALHOST };
                let tagged: Vec<_> = objectives.iter().map(|o| self.tagged(o, &nowhere, link_only)).collect();
                (0, IpAddr::V6(self.topology.initiator(&nowhere)), tagged)
            }
        };
        let brought = Brought { initiator, session_id, ttl, link };
        tagged.into_iter().for_each(|one| self.remember(now, Ipv6Addr::UNSPECIFIED.into(), brought, one));
        Ok(())
    }

    /// The copy for one link: its own address in place of `::`, and one hop only where the initiator is link-local.
    fn tagged(
        &self,
        (objective, tag): &(Objective, Option<Locator>),
        link: &LinkInfo,
        link_only: bool,
    ) -> TaggedObjective {
        let locator = match tag {
            Some(Locator::Ipv6 { address, transport, port }) if address.is_unspecified() => {
                Some(Locator::Ipv6 { address: link.address, transport: *transport, port: *port })
            }
            Some(Locator::Other { address, protocol, port }) if address.is_unspecified() => {
                Some(Locator::Other { address: link.address.into(), protocol: *protocol, port: *port })
            }
            other => other.clone(),
        };
        let mut objective = objective.clone().with_assigned_flags();
        // Only a discovery objective has no value (RFC 8990 §2.10.3).
        objective.value.get_or_insert_with(Value::null);
        if link_only {
            objective.loop_count = 1;
        }
        TaggedObjective { objective, locator }
    }

    fn admit(&mut self, now: Time, objectives: &[(Objective, Option<Locator>)]) -> Result<(), Error> {
        if self.pace.len() >= PACED {
            self.pace.retain(|_, bucket| !bucket.is_full(now));
        }
        let (interval, burst) = (self.config.interval, self.config.burst);
        // One flood is one datagram on each link, however many tags a name has in it.
        let names: BTreeSet<&str> = objectives.iter().map(|(objective, _)| objective.name.as_str()).collect();
        if let Some(name) = names.iter().find(|name| self.pace.get(**name).is_some_and(|b| !b.has_token(now))) {
            self.counters.too_often += 1;
            let detail = format!("{name} is flooded too often; on average every {interval:?} is allowed");
            return Err(Error::new(ErrorCode::Unspecified, detail));
        }
        for name in names {
            self.pace.entry(name.to_owned()).or_insert_with(|| Bucket::new(interval, burst)).take(now);
        }
        Ok(())
    }
}

/// The locator `::` stands for the address of each link in turn (RFC 8991 §2.3.6).
fn is_own_link(tag: &Option<Locator>) -> bool {
    match tag {
        Some(Locator::Ipv6 { address, .. }) => address.is_unspecified(),
        Some(Locator::Other { address, .. }) => address.is_ipv6() && address.is_unspecified(),
        None | Some(Locator::Ipv4 { .. } | Locator::Fqdn { .. } | Locator::Uri { .. }) => false,
    }
}

fn check(objectives: &[(Objective, Option<Locator>)]) -> Result<(), Error> {
    if objectives.is_empty() {
        return Err(Error::new(ErrorCode::Unspecified, "a flood holds at least one objective"));
    }
    for (objective, tag) in objectives {
        if !objective.is_synchronizable() {
            return Err(Error::new(ErrorCode::NotSynchronizable, objective.name.as_str()));
        }
        if objective.loop_count == 0 {
            return Err(Error::new(ErrorCode::Unspecified, format!("{}: a loop count is 1 to 255", objective.name)));
        }
        if let Some(locator) = tag
            && !usable(locator)
        {
            return Err(Error::new(ErrorCode::InvalidLocator, format!("{}: {locator}", objective.name)));
        }
    }
    Ok(())
}

fn usable(locator: &Locator) -> bool {
    match locator {
        Locator::Ipv6 { address, .. } => !address.is_multicast() && !address.is_loopback(),
        Locator::Ipv4 { address, .. } => !address.is_multicast() && !address.is_loopback() && !address.is_unspecified(),
        Locator::Fqdn { name, .. } => !name.is_empty(),
        Locator::Uri { uri, .. } => !uri.is_empty(),
        Locator::Other { address: IpAddr::V6(address), .. } => !address.is_multicast() && !address.is_loopback(),
        Locator::Other { address: IpAddr::V4(address), .. } => {
            !address.is_multicast() && !address.is_loopback() && !address.is_unspecified()
        }
    }
}

impl Machine for Flood {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Topology(topology) => {
                self.topology = topology;
                if self.config.dull.is_some() {
                    // All that it says is about its link (RFC 8990 §2.5.2).
                    self.topology.global = None;
                }
            }
            Input::Heard(heard) => self.heard(now, heard),
            Input::Flood { request, session_id, ttl, objectives } => {
                let result = self.flood(now, session_id, ttl, &objectives);
                self.outputs.push_back(Output::Sent { request, result });
            }
            Input::Expire(flooded) => self.store.expire(&flooded),
        }
    }

    fn wake(&mut self, _now: Time) {}

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        None
    }
}
