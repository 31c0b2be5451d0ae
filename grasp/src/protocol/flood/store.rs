//! The flood cache (RFC 8990 §2.8.11).

use crate::protocol::dull::{COPIES_PER_SOURCE, LONGEST};
use crate::protocol::{AsaLocator, LinkId, Time};
use crate::wire::{Objective, SessionId, TaggedObjective};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// One flooded objective as an ASA sees it (RFC 8991 §2.3.2.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flooded {
    /// The objective with its value.
    pub objective: Objective,
    /// Its tag; `None` is the empty one.
    pub locator: Option<AsaLocator>,
    /// The node that flooded it, as it says itself. Without a locator this is where the objective is (RFC 8994 §6.4).
    pub initiator: IpAddr,
    /// Interface over which it was heard.
    pub link: LinkId,
    /// When it was heard.
    pub heard: Time,
    /// End of its lifetime; `None` is never.
    pub expires: Option<Time>,
}

/// The flood that brought a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brought {
    /// Its initiator.
    pub initiator: IpAddr,
    /// Its session id.
    pub session_id: SessionId,
    /// Its lifetime in milliseconds; 0 for ever.
    pub ttl: u32,
    /// The interface over which it came.
    pub link: LinkId,
}

#[derive(Debug)]
struct Copied {
    flooded: Flooded,
    brought: Brought,
    /// It has been heard more than once.
    confirmed: bool,
}

/// What tells two copies of a name apart: the encoded tag, and the link if its address is link-local (T-55); in a DULL instance
/// the initiator too, since a locator may be left out there and neighbours shall not overwrite each other (RFC 8994 §6.4).
type Tag = (Vec<u8>, LinkId, Option<IpAddr>);

/// Flooded objectives by name and tag, bounded per name and in total.
///
/// On the hostile link of a DULL instance addresses cost nothing. There each of them has a few places; when all are taken a
/// newcomer gets that of the oldest copy that was heard only once, and none if there is no such: neighbours repeat what they
/// flood, so those that are known stay. No lifetime is longer than [`LONGEST`].
#[derive(Debug)]
pub struct FloodStore {
    capacity: usize,
    per_name: usize,
    hostile: bool,
    entries: BTreeMap<String, BTreeMap<Tag, Copied>>,
    /// Live copies thrown out for want of room.
    pub evicted: u64,
    /// Copies that found no room.
    pub no_room: u64,
}

fn alive(flooded: &Flooded, now: Time) -> bool {
    flooded.expires.is_none_or(|expires| expires > now)
}

impl FloodStore {
    pub(super) fn new(capacity: usize, per_name: usize, hostile: bool) -> Self {
        let (capacity, per_name) = (capacity.max(1), per_name.max(1));
        Self { capacity, per_name, hostile, entries: BTreeMap::new(), evicted: 0, no_room: 0 }
    }

    fn tag(&self, flooded: &Flooded) -> Tag {
        let initiator = self.hostile.then_some(flooded.initiator);
        let Some(l) = &flooded.locator else { return (Vec::new(), 0, initiator) };
        (l.locator.encode(), if l.locator.is_link_local() { l.interface } else { 0 }, initiator)
    }

    /// Stores a copy; the same name and tag is overwritten, its lifetime included.
    pub(super) fn insert(&mut self, now: Time, brought: Brought, tagged: TaggedObjective) -> Flooded {
        let Brought { ttl, link, initiator, .. } = brought;
        let mut lifetime = (ttl != 0).then(|| Duration::from_millis(ttl.into()));
        if self.hostile {
            lifetime = Some(lifetime.map_or(LONGEST, |stated| stated.min(LONGEST)));
        }
        let expires = lifetime.map(|lifetime| now + lifetime);
        let locator = tagged.locator.map(|locator| AsaLocator { locator, interface: link, expires, diverted: false });
        let flooded = Flooded { objective: tagged.objective, locator, initiator, link, heard: now, expires };
        let key = self.tag(&flooded);
        let name = flooded.objective.name.clone();
        let known = self.entries.get(&name).is_some_and(|copies| copies.contains_key(&key));
        if !known && !self.make_room(now, &name, initiator) {
            self.no_room += 1;
            return flooded;
        }
        let copied = Copied { flooded: flooded.clone(), brought, confirmed: known };
        self.entries.entry(name).or_default().insert(key, copied);
        flooded
    }

    /// Every unexpired copy of a name, latest first.
    #[must_use]
    pub fn get(&self, now: Time, name: &str) -> Vec<Flooded> {
        let copies = self.entries.get(name).into_iter().flat_map(BTreeMap::values).map(|copied| &copied.flooded);
        let mut found: Vec<_> = copies.filter(|flooded| alive(flooded, now)).cloned().collect();
        found.sort_by_key(|flooded| std::cmp::Reverse(flooded.heard));
        found
    }

    /// The names with an unexpired copy.
    #[must_use]
    pub fn names(&self, now: Time) -> Vec<String> {
        let living = |copies: &BTreeMap<Tag, Copied>| copies.values().any(|copied| alive(&copied.flooded, now));
        self.entries.iter().filter(|(_, copies)| living(copies)).map(|(name, _)| name.clone()).collect()
    }

    /// Every unexpired copy with the flood that brought it, by name and tag.
    pub fn all(&self, now: Time) -> impl Iterator<Item = (&Flooded, &Brought)> {
        let copies = self.entries.values().flat_map(BTreeMap::values);
        copies.filter(move |copied| alive(&copied.flooded, now)).map(|copied| (&copied.flooded, &copied.brought))
    }

    /// Copies held, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.values().map(BTreeMap::len).sum()
    }

    /// Tells whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets the copy unless a newer value has taken its place.
    pub(super) fn expire(&mut self, flooded: &Flooded) {
        let held = self.entries.get(&flooded.objective.name).and_then(|c| c.get(&self.tag(flooded)));
        if held.is_some_and(|held| held.flooded.objective.value == flooded.objective.value) {
            self.remove(flooded);
        }
    }

    fn remove(&mut self, flooded: &Flooded) {
        let (name, key) = (&flooded.objective.name, self.tag(flooded));
        if let Some(copies) = self.entries.get_mut(name) {
            copies.remove(&key);
            if copies.is_empty() {
                self.entries.remove(name);
            }
        }
    }

    /// Makes room for a copy from `source`; tells whether there is any.
    fn make_room(&mut self, now: Time, name: &str, source: IpAddr) -> bool {
        let from = |copied: &Copied| copied.brought.initiator == source;
        let full = self.len() >= self.capacity;
        if full || self.of_name(name) >= self.per_name || (self.hostile && self.count(from) >= COPIES_PER_SOURCE) {
            self.entries.retain(|_, copies| {
                copies.retain(|_, copied| alive(&copied.flooded, now));
                !copies.is_empty()
            });
        }
        // Who has taken all its places makes room for itself, and for nobody else.
        while self.hostile && self.count(from) >= COPIES_PER_SOURCE {
            self.evict(from);
        }
        let (hostile, per_name, capacity) = (self.hostile, self.per_name, self.capacity);
        let loose = |copied: &Copied| !hostile || !copied.confirmed;
        while self.of_name(name) >= per_name {
            if !self.evict(|copied| copied.flooded.objective.name == name && loose(copied)) {
                return false;
            }
        }
        while self.len() >= capacity {
            if !self.evict(loose) {
                return false;
            }
        }
        true
    }

    fn of_name(&self, name: &str) -> usize {
        self.entries.get(name).map_or(0, BTreeMap::len)
    }

    fn count(&self, of: impl Fn(&Copied) -> bool) -> usize {
        self.entries.values().flat_map(BTreeMap::values).filter(|copied| of(copied)).count()
    }

    /// Throws out the oldest of some copies; tells whether there was any.
    fn evict(&mut self, of: impl Fn(&Copied) -> bool) -> bool {
        let candidates = self.entries.values().flat_map(BTreeMap::values).filter(|copied| of(copied));
        let Some(oldest) = candidates.map(|copied| &copied.flooded).min_by_key(|flooded| flooded.heard).cloned() else {
            return false;
        };
        self.remove(&oldest);
        self.evicted += 1;
        true
    }
}
