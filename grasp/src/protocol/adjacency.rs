//! The neighbours on one link of a substrate that carries discoveries and floods over connections (RFC 8994 §6.9.2): whom to
//! dial, whom to keep, when to be heard.
//!
//! Each node announces itself on the link by DULL floods. Of two nodes the one with the lower address and port dials, the other
//! one only if it waits in vain. A connection is alive as long as something comes on it; each side sees to that.

use super::rate::Bucket;
use super::{Machine, Time};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::ops::RangeBounds;
use std::time::Duration;

/// Pauses between the first announcements; after them comes [`AdjacencyConfig::announce_every`].
const FIRST_ANNOUNCEMENTS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// Bounds and times of a link's adjacency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjacencyConfig {
    /// Between announcements (RFC 8994 §6.4).
    pub announce_every: Duration,
    /// Least time between two announcements that newcomers call for.
    pub announce_soonest: Duration,
    /// Neighbours known by announcement; when there are more, one of those with the least claim makes room, at random.
    pub candidates: usize,
    /// Attempts to connect at once: enough that a place that does not answer keeps no other waiting.
    pub dials: usize,
    /// Places never heard of before that are taken at once, and the average time for each further one. Addresses at which a member
    /// has been are taken in any case.
    pub newcomers: u32,
    /// See [`AdjacencyConfig::newcomers`].
    pub newcomer_every: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Accepted connections from one address at once, of which the oldest makes room, and places announced at one address.
    pub per_address: usize,
    /// How long the node with the higher address waits to be dialled.
    pub grace: Duration,
    /// Pause after a first failed attempt; it doubles.
    pub first_pause: Duration,
    /// Longest pause between attempts.
    pub longest_pause: Duration,
    /// Between signs of life on a connection.
    pub keep_alive: Duration,
    /// A connection on which nothing has come for so long is dead.
    pub silence: Duration,
}

impl Default for AdjacencyConfig {
    fn default() -> Self {
        Self {
            announce_every: Duration::from_secs(60),
            announce_soonest: Duration::from_secs(3),
            candidates: 1_024,
            dials: 256,
            newcomers: 256,
            newcomer_every: Duration::from_millis(16),
            connections: 256,
            per_address: 8,
            grace: Duration::from_secs(5),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            keep_alive: Duration::from_secs(30),
            silence: Duration::from_secs(95),
        }
    }
}

/// Identifies a connection towards the actor.
pub type ConnectionId = u64;

/// What the core hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A neighbour has announced where it accepts connections.
    Announced {
        /// Its link-local address and port.
        at: SocketAddrV6,
        /// How long that holds; `None` for ever.
        lifetime: Option<Duration>,
    },
    /// A connection that was wanted is there, and the peer is a member.
    Dialled {
        /// To whom.
        at: SocketAddrV6,
        /// The connection.
        connection: ConnectionId,
    },
    /// It could not be made, or the peer is no member.
    Refused {
        /// To whom.
        at: SocketAddrV6,
    },
    /// A member has connected.
    Accepted {
        /// From this address.
        from: Ipv6Addr,
        /// The connection.
        connection: ConnectionId,
    },
    /// Something came on a connection.
    Heard {
        /// The connection.
        connection: ConnectionId,
    },
    /// A connection has ended.
    Closed {
        /// The connection.
        connection: ConnectionId,
    },
}

/// What the core wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Announce this node on the link.
    Announce,
    /// Connect to a neighbour; [`Input::Dialled`] or [`Input::Refused`] follows.
    Dial(SocketAddrV6),
    /// Give a sign of life.
    KeepAlive(ConnectionId),
    /// Close it; nothing follows.
    Close(ConnectionId),
}

/// Counts of what happened; a bound that bites moves one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AdjacencyCounters {
    pub dialled: u64,
    pub accepted: u64,
    pub refused: u64,
    pub silent: u64,
    pub candidates_full: u64,
    pub newcomers_refused: u64,
    pub connections_full: u64,
    pub connections_replaced: u64,
}

#[derive(Debug)]
enum State {
    /// To be dialled at that time.
    Waiting(Time),
    Dialling,
    Connected(ConnectionId),
}

#[derive(Debug)]
struct Candidate {
    state: State,
    failures: u32,
    expires: Option<Time>,
    /// How often it has been announced, up to 2: what a forger says once is not worth as much.
    announced: u8,
    /// Decides among equals; random, so that nobody can choose to be first.
    lot: u64,
    /// Heard of since a connection from its address last ended: it may be the one that has connected now.
    fresh: bool,
}

impl Candidate {
    fn waits_until(&self) -> Option<Time> {
        if let State::Waiting(at) = self.state { Some(at) } else { None }
    }

    fn back_off(&mut self, now: Time, config: &AdjacencyConfig) {
        let pause = config.first_pause.saturating_mul(1 << self.failures.min(16)).min(config.longest_pause);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(now + pause);
    }
}

#[derive(Debug)]
struct Open {
    /// Who is at its other end.
    peer: Ipv6Addr,
    /// Whether that has connected, and not this node.
    accepted: bool,
    heard: Time,
    /// Something has come: the peer takes this node for a member as well.
    alive: bool,
    keep_alive: Time,
}

/// The core of one link.
#[derive(Debug)]
pub struct Adjacency {
    config: AdjacencyConfig,
    own: SocketAddrV6,
    candidates: BTreeMap<(Ipv6Addr, u16), Candidate>,
    open: BTreeMap<ConnectionId, Open>,
    /// Addresses at which somebody has proved membership.
    proven: BTreeSet<Ipv6Addr>,
    /// Where the lots come from.
    random: ChaCha12Rng,
    newcomers: Bucket,
    /// When somebody may be due to be dialled; `None` until an attempt ends.
    next_dial: Option<Time>,
    announced: Option<Time>,
    /// Announcements made of the first ones.
    first: usize,
    announce: Time,
    counters: AdjacencyCounters,
    outputs: VecDeque<Output>,
}

impl Adjacency {
    /// A core that accepts connections at `own` and announces itself as soon as it is woken; `seed` decides among equals.
    #[must_use]
    pub fn new(config: AdjacencyConfig, own: SocketAddrV6, seed: u64, now: Time) -> Self {
        Self {
            own,
            candidates: BTreeMap::new(),
            open: BTreeMap::new(),
            proven: BTreeSet::new(),
            random: ChaCha12Rng::seed_from_u64(seed),
            newcomers: Bucket::new(config.newcomer_every, config.newcomers),
            next_dial: None,
            announced: None,
            first: 0,
            announce: now,
            counters: AdjacencyCounters::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// What has been counted so far.
    #[must_use]
    pub fn counters(&self) -> &AdjacencyCounters {
        &self.counters
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.len()
    }

    /// Neighbours known by announcement.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.candidates.len()
    }

    fn key(at: &SocketAddrV6) -> (Ipv6Addr, u16) {
        (*at.ip(), at.port())
    }

    fn announced(&mut self, now: Time, at: &SocketAddrV6, lifetime: Option<Duration>) {
        let key = Self::key(at);
        if key == Self::key(&self.own) || !at.ip().is_unicast_link_local() || at.port() == 0 {
            return;
        }
        let expires = lifetime.map(|lifetime| now + lifetime);
        if let Some(known) = self.candidates.get_mut(&key) {
            (known.expires, known.fresh, known.announced) = (expires, true, 2);
            return;
        }
        let address = *at.ip();
        let here = (address, 0)..=(address, u16::MAX);
        let places = self.candidates.range(here.clone()).count();
        let proven = self.proven.contains(&address);
        if places == 0 && !proven && !self.newcomers.take(now) {
            self.counters.newcomers_refused += 1;
            return;
        }
        let mut first = if Self::key(&self.own) < key { now } else { now + self.config.grace };
        let mut failures = 0;
        if places >= self.config.per_address {
            let Some(last) = self.give_way(here) else {
                self.counters.candidates_full += 1;
                return;
            };
            // With the place goes the pause: other ports of one address are no way round it. A member's may have changed.
            let pause = if proven { self.config.first_pause } else { self.config.longest_pause };
            first = first.max(last.waits_until().map_or(now, |until| until.min(now + pause)));
            failures = last.failures;
        } else if !self.make_room(now) {
            self.counters.candidates_full += 1;
            return;
        }
        let lot = self.random.random();
        let state = State::Waiting(first);
        self.next_dial = Some(self.next_dial.map_or(first, |next| next.min(first)));
        self.candidates.insert(key, Candidate { state, failures, expires, announced: 1, lot, fresh: true });
        // Who is new has not heard of this node yet.
        let soon = self.announced.map_or(now, |last| last + self.config.announce_soonest).max(now);
        self.announce = self.announce.min(soon);
    }

    /// Removes the one in this range that has the least claim, of those that are neither connected nor being dialled.
    fn give_way(&mut self, range: impl RangeBounds<(Ipv6Addr, u16)>) -> Option<Candidate> {
        let waiting = self.candidates.range(range).filter(|(_, one)| matches!(one.state, State::Waiting(_)));
        let last = waiting.max_by_key(|(key, one)| self.rank(key, one)).map(|(key, _)| *key)?;
        self.candidates.remove(&last)
    }

    /// Sees to it that there is room for one more. Whoever floods the link with places that lead nowhere takes room from others of
    /// the kind: known members and those announced more than once stay.
    fn make_room(&mut self, now: Time) -> bool {
        if self.candidates.len() < self.config.candidates {
            return true;
        }
        self.forget_expired(now);
        if self.candidates.len() < self.config.candidates {
            return true;
        }
        self.counters.candidates_full += 1;
        self.give_way(..).is_some()
    }

    fn forget_expired(&mut self, now: Time) {
        self.candidates.retain(|_, one| {
            !matches!(one.state, State::Waiting(_)) || one.expires.is_none_or(|expires| expires > now)
        });
    }

    /// Who comes first, to be dialled and to stay: known members, those announced more than once, those that have failed less.
    fn rank(&self, key: &(Ipv6Addr, u16), one: &Candidate) -> (bool, bool, u32, u64) {
        (!self.proven.contains(&key.0), one.announced < 2 || one.failures > 0, one.failures, one.lot)
    }

    /// Somebody at the address is a member. The newest take the place of the others when there are too many.
    fn prove(&mut self, address: Ipv6Addr) {
        if self.proven.len() >= self.config.connections && !self.proven.contains(&address) {
            let connected: BTreeSet<Ipv6Addr> = self.open.values().map(|open| open.peer).collect();
            self.proven.retain(|known| connected.contains(known));
        }
        if self.proven.len() < self.config.connections {
            self.proven.insert(address);
        }
    }

    fn opened(&mut self, now: Time, connection: ConnectionId, peer: Ipv6Addr, accepted: bool) {
        let keep_alive = now + self.config.keep_alive;
        self.open.insert(connection, Open { peer, accepted, heard: now, alive: false, keep_alive });
    }

    fn dialled(&mut self, now: Time, at: &SocketAddrV6, connection: ConnectionId) {
        self.next_dial = Some(now);
        let full = self.open.len() >= self.config.connections;
        match self.candidates.get_mut(&Self::key(at)) {
            Some(candidate) if matches!(candidate.state, State::Dialling) && !full => {
                candidate.state = State::Connected(connection);
                self.counters.dialled += 1;
                self.opened(now, connection, *at.ip(), false);
            }
            known => {
                if let Some(candidate) = known {
                    candidate.state = State::Waiting(now + self.config.longest_pause);
                }
                self.counters.connections_full += u64::from(full);
                self.outputs.push_back(Output::Close(connection));
            }
        }
    }

    fn refused(&mut self, now: Time, at: &SocketAddrV6) {
        let config = &self.config;
        let Some(candidate) = self.candidates.get_mut(&Self::key(at)) else { return };
        if !matches!(candidate.state, State::Dialling) {
            return;
        }
        self.counters.refused += 1;
        candidate.back_off(now, config);
        // Where many are heard of, those heard of once are not tried twice.
        if candidate.announced < 2 && self.candidates.len() > config.candidates / 2 && !self.proven.contains(at.ip()) {
            self.candidates.remove(&Self::key(at));
        }
        self.next_dial = Some(now);
    }

    fn accepted(&mut self, now: Time, from: Ipv6Addr, connection: ConnectionId) {
        let from_there = self.open.iter().filter(|(_, open)| open.accepted && open.peer == from);
        let (count, oldest) = (from_there.clone().count(), from_there.min_by_key(|(id, _)| **id).map(|(id, _)| *id));
        if let Some(oldest) = oldest.filter(|_| count >= self.config.per_address) {
            self.counters.connections_replaced += 1;
            self.open.remove(&oldest);
            self.outputs.push_back(Output::Close(oldest));
        } else if self.open.len() >= self.config.connections {
            self.counters.connections_full += 1;
            self.outputs.push_back(Output::Close(connection));
            return;
        }
        self.counters.accepted += 1;
        self.opened(now, connection, from, true);
        self.prove(from);
    }

    fn closed(&mut self, now: Time, connection: ConnectionId) {
        let open = self.open.remove(&connection);
        if let Some(Open { peer: address, accepted: true, .. }) = open {
            self.candidates.range_mut((address, 0)..=(address, u16::MAX)).for_each(|(_, one)| one.fresh = false);
        }
        let its = |candidate: &&mut Candidate| matches!(candidate.state, State::Connected(id) if id == connection);
        if let Some(candidate) = self.candidates.values_mut().find(its) {
            // A peer that ends a connection on which it has said nothing has refused it: this node is done with the proof of
            // membership before the peer is.
            if open.is_some_and(|open| open.alive) {
                candidate.failures = 0;
            }
            candidate.back_off(now, &self.config);
        }
        self.next_dial = Some(now);
    }

    fn announce_if_due(&mut self, now: Time) {
        if self.announce > now {
            return;
        }
        self.outputs.push_back(Output::Announce);
        self.announced = Some(now);
        let pause = FIRST_ANNOUNCEMENTS.get(self.first).copied().unwrap_or(self.config.announce_every);
        self.first = self.first.saturating_add(1);
        self.announce = now + pause;
    }

    /// As many connections from an address as there are candidates at it that this node has not reached: they have dialled.
    fn is_met(&self, address: Ipv6Addr) -> bool {
        let at_address = self.candidates.range((address, 0)..=(address, u16::MAX));
        let missing = at_address.filter(|(_, one)| one.fresh && !matches!(one.state, State::Connected(_))).count();
        self.open.values().filter(|open| open.accepted && open.peer == address).count() >= missing
    }

    fn dial_if_due(&mut self, now: Time) {
        if self.next_dial.is_none_or(|next| next > now) {
            return;
        }
        self.forget_expired(now);
        let mut free = self.config.dials.saturating_sub(self.dialling());
        let due = |(key, one): (&(Ipv6Addr, u16), &Candidate)| {
            one.waits_until().filter(|at| *at <= now).map(|_| (self.rank(key, one), *key))
        };
        let mut due: Vec<_> = self.candidates.iter().filter_map(due).collect();
        due.sort_unstable();
        for (_, key) in due {
            if free == 0 {
                break;
            }
            let met = self.is_met(key.0);
            let Some(candidate) = self.candidates.get_mut(&key) else { continue };
            if met {
                candidate.state = State::Waiting(now + self.config.keep_alive);
            } else {
                free -= 1;
                candidate.state = State::Dialling;
                self.outputs.push_back(Output::Dial(SocketAddrV6::new(key.0, key.1, 0, self.own.scope_id())));
            }
        }
        let waiting = self.candidates.values().filter_map(Candidate::waits_until);
        // With no attempt free, the end of one is awaited.
        self.next_dial = waiting.min().filter(|_| free > 0);
    }

    fn dialling(&self) -> usize {
        self.candidates.values().filter(|one| matches!(one.state, State::Dialling)).count()
    }

    fn look_after_connections(&mut self, now: Time) {
        let dead = |open: &Open| now.since(open.heard) >= self.config.silence;
        let silent: Vec<_> = self.open.iter().filter(|(_, open)| dead(open)).map(|(id, _)| *id).collect();
        for connection in silent {
            self.counters.silent += 1;
            self.outputs.push_back(Output::Close(connection));
            self.closed(now, connection);
        }
        for (id, open) in &mut self.open {
            if open.keep_alive <= now {
                open.keep_alive = now + self.config.keep_alive;
                self.outputs.push_back(Output::KeepAlive(*id));
            }
        }
    }
}

impl Machine for Adjacency {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Announced { at, lifetime } => self.announced(now, &at, lifetime),
            Input::Dialled { at, connection } => self.dialled(now, &at, connection),
            Input::Refused { at } => self.refused(now, &at),
            Input::Accepted { from, connection } => self.accepted(now, from, connection),
            Input::Heard { connection } => {
                if let Some(open) = self.open.get_mut(&connection) {
                    (open.heard, open.alive) = (now, true);
                    let peer = open.peer;
                    self.prove(peer);
                }
            }
            Input::Closed { connection } => self.closed(now, connection),
        }
        self.wake(now);
    }

    fn wake(&mut self, now: Time) {
        self.announce_if_due(now);
        self.look_after_connections(now);
        self.dial_if_due(now);
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        let silence = self.config.silence;
        let connections = self.open.values().map(|open| open.keep_alive.min(open.heard + silence));
        connections.chain(self.next_dial).chain([self.announce]).min()
    }
}
