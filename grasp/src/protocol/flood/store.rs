//! The flood cache (RFC 8990 §2.8.11).

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
}

/// What tells two copies of a name apart: the encoded tag, and the link if its address is link-local (T-55).
type Tag = (Vec<u8>, LinkId);

/// Flooded objectives by name and tag, bounded per name and in total.
#[derive(Debug)]
pub struct FloodStore {
    capacity: usize,
    per_name: usize,
    entries: BTreeMap<String, BTreeMap<Tag, Copied>>,
    /// Live copies thrown out for want of room.
    pub evicted: u64,
}

fn tag(locator: Option<&AsaLocator>) -> Tag {
    locator.map_or((Vec::new(), 0), |l| (l.locator.encode(), if l.locator.is_link_local() { l.interface } else { 0 }))
}

fn alive(flooded: &Flooded, now: Time) -> bool {
    flooded.expires.is_none_or(|expires| expires > now)
}

impl FloodStore {
    pub(super) fn new(capacity: usize, per_name: usize) -> Self {
        Self { capacity: capacity.max(1), per_name: per_name.max(1), entries: BTreeMap::new(), evicted: 0 }
    }

    /// Stores a copy; the same name and tag is overwritten, its lifetime included.
    pub(super) fn insert(&mut self, now: Time, brought: Brought, tagged: TaggedObjective) -> Flooded {
        let Brought { ttl, link, .. } = brought;
        let expires = (ttl != 0).then(|| now + Duration::from_millis(ttl.into()));
        let locator = tagged.locator.map(|locator| AsaLocator { locator, interface: link, expires, diverted: false });
        let key = tag(locator.as_ref());
        let flooded = Flooded { objective: tagged.objective, locator, link, heard: now, expires };
        let name = flooded.objective.name.clone();
        let known = self.entries.get(&name).is_some_and(|copies| copies.contains_key(&key));
        if !known {
            self.make_room(now, &name);
        }
        self.entries.entry(name).or_default().insert(key, Copied { flooded: flooded.clone(), brought });
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
        let held = self.entries.get(&flooded.objective.name).and_then(|c| c.get(&tag(flooded.locator.as_ref())));
        if held.is_some_and(|held| held.flooded.objective.value == flooded.objective.value) {
            self.remove(flooded);
        }
    }

    fn remove(&mut self, flooded: &Flooded) {
        let name = &flooded.objective.name;
        if let Some(copies) = self.entries.get_mut(name) {
            copies.remove(&tag(flooded.locator.as_ref()));
            if copies.is_empty() {
                self.entries.remove(name);
            }
        }
    }

    fn make_room(&mut self, now: Time, name: &str) {
        if self.len() >= self.capacity || self.entries.get(name).is_some_and(|copies| copies.len() >= self.per_name) {
            self.entries.retain(|_, copies| {
                copies.retain(|_, copied| alive(&copied.flooded, now));
                !copies.is_empty()
            });
        }
        while self.entries.get(name).is_some_and(|copies| copies.len() >= self.per_name) {
            self.evict(|candidate| candidate == name);
        }
        while self.len() >= self.capacity {
            self.evict(|_| true);
        }
    }

    fn evict(&mut self, of: impl Fn(&str) -> bool) {
        let held = self.entries.values().flat_map(BTreeMap::values).map(|copied| &copied.flooded);
        let candidates = held.filter(|f| of(&f.objective.name));
        if let Some(oldest) = candidates.min_by_key(|flooded| flooded.heard).cloned() {
            self.remove(&oldest);
            self.evicted += 1;
        }
    }
}
