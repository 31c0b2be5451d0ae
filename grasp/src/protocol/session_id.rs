//! Session ids: made unpredictable, checked against those in use and lately used (RFC 8990 §2.7).

use super::Time;
use crate::wire::SessionId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// How long an ended session's id is not used again.
const RECENT: Duration = Duration::from_secs(600);
/// Ended sessions remembered at most.
const RECENT_MAX: usize = 16_384;
/// Draws before a used id is taken for a broken generator.
const DRAWS: usize = 1_000;

/// Who made the id of an active session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Maker {
    /// This node.
    Us,
    /// This node, seen from the other end of a connection to itself.
    Itself,
    /// The peer at this address, with its scope if that is link-local.
    Peer(IpAddr, u32),
}

impl Maker {
    /// The same peer, whether its IPv4 address came mapped into IPv6 or not.
    fn canonical(self) -> Self {
        match self {
            Self::Us | Self::Itself => self,
            Self::Peer(address, scope) => Self::Peer(address.to_canonical(), scope),
        }
    }
}

/// The ids that are active, and those that were.
pub struct SessionIds {
    draw: Box<dyn FnMut() -> u32 + Send>,
    active: BTreeMap<SessionId, BTreeSet<Maker>>,
    recent: BTreeMap<SessionId, Time>,
    order: VecDeque<(Time, SessionId)>,
    /// Requests discarded because their id was active.
    pub clashes: u64,
}

impl SessionIds {
    /// Takes its ids from `draw`, which must be cryptographically strong and seeded from the system.
    #[must_use]
    pub fn new(draw: impl FnMut() -> u32 + Send + 'static) -> Self {
        Self {
            draw: Box::new(draw),
            active: BTreeMap::new(),
            recent: BTreeMap::new(),
            order: VecDeque::new(),
            clashes: 0,
        }
    }

    /// Makes an id that is neither active nor lately used, and marks it active. Never 0, which a Python peer ignores.
    pub fn allocate(&mut self, now: Time) -> SessionId {
        self.forget(now);
        for _ in 0..DRAWS {
            let id = (self.draw)();
            if id != 0 && !self.active.contains_key(&id) && !self.recent.contains_key(&id) {
                self.active.insert(id, BTreeSet::from([Maker::Us]));
                return id;
            }
        }
        // Only a generator that repeats itself comes here; the lowest free id is still unique.
        let free = |id: &u32| !self.active.contains_key(id) && !self.recent.contains_key(id);
        let id = (1..=u32::MAX).find(free).unwrap_or(u32::MAX);
        self.active.entry(id).or_default().insert(Maker::Us);
        id
    }

    /// Marks a received request's id active; `false` on a clash, when the request must be discarded.
    ///
    /// A clash is an id of a session that this node initiated, or of an active session with the same peer; equal ids of
    /// different initiators are different sessions (RFC 8990 §2.7 read with §2.8.6, T-10).
    pub fn accept(&mut self, id: SessionId, peer: Maker) -> bool {
        let makers = self.active.entry(id).or_default();
        let free = (peer == Maker::Itself || !makers.contains(&Maker::Us)) && makers.insert(peer.canonical());
        self.clashes += u64::from(!free);
        free
    }

    /// Ends a session; its id goes to the recent ones.
    pub fn release(&mut self, now: Time, id: SessionId, maker: Maker) {
        let Some(makers) = self.active.get_mut(&id) else { return };
        if !makers.remove(&maker.canonical()) {
            return;
        }
        if makers.is_empty() {
            self.active.remove(&id);
        }
        self.forget(now);
        if self.order.len() >= RECENT_MAX
            && let Some((until, oldest)) = self.order.pop_front()
        {
            self.forget_one(until, oldest);
        }
        self.recent.insert(id, now + RECENT);
        self.order.push_back((now + RECENT, id));
    }

    /// Sessions that are active now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.values().map(BTreeSet::len).sum()
    }

    fn forget(&mut self, now: Time) {
        while let Some((until, id)) = self.order.front().copied().filter(|(until, _)| *until <= now) {
            self.order.pop_front();
            self.forget_one(until, id);
        }
    }

    /// An id that was released again since then stays.
    fn forget_one(&mut self, until: Time, id: SessionId) {
        if self.recent.get(&id) == Some(&until) {
            self.recent.remove(&id);
        }
    }
}
