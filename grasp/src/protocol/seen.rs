//! The once-only filter: which multicasts have been seen (RFC 8990 §2.5.4.4, §2.5.6.2, T-53).

use super::{LinkId, Time};
use crate::constants::RELAY_MEMORY;
use crate::wire::SessionId;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// What identifies a multicast: its session id and initiator, and the link if the initiator means something there only.
pub type Origin = (SessionId, IpAddr, LinkId);

/// The key of a message heard or sent on `link`.
#[must_use]
pub fn origin(session_id: SessionId, initiator: IpAddr, link: LinkId) -> Origin {
    let local = matches!(initiator, IpAddr::V6(v6) if v6.is_unicast_link_local());
    (session_id, initiator, if local { link } else { 0 })
}

/// Remembers origins for 120 s, at most `capacity` of them; the oldest are forgotten first.
#[derive(Debug)]
pub struct Seen {
    capacity: usize,
    until: BTreeMap<Origin, Time>,
    order: VecDeque<Origin>,
    /// Origins forgotten before their time, for want of room.
    pub evicted: u64,
}

impl Seen {
    /// An empty filter.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), until: BTreeMap::new(), order: VecDeque::new(), evicted: 0 }
    }

    /// Notes the origin; tells whether it is new.
    pub fn insert(&mut self, now: Time, origin: Origin) -> bool {
        while self.order.front().is_some_and(|oldest| self.until.get(oldest).is_none_or(|until| *until <= now)) {
            if let Some(oldest) = self.order.pop_front() {
                self.until.remove(&oldest);
            }
        }
        if self.until.contains_key(&origin) {
            return false;
        }
        if self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.until.remove(&oldest);
            self.evicted += 1;
        }
        self.until.insert(origin, now + RELAY_MEMORY);
        self.order.push_back(origin);
        true
    }

    /// Tells whether the origin is remembered.
    #[must_use]
    pub fn contains(&self, now: Time, origin: &Origin) -> bool {
        self.until.get(origin).is_some_and(|until| *until > now)
    }
}
