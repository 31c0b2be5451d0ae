//! The flood cache (RFC 8990 §2.8.11).

use crate::protocol::dull::{COPIES_PER_SOURCE, LONGEST};
use crate::protocol::{AsaLocator, LinkId, Time};
use crate::wire::{Objective, SessionId, TaggedObjective};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The neighbour that it came from.
    source: IpAddr,
    /// Its place in the order of arrival.
    serial: u64,
    size: usize,
}

/// What a copy takes beside its name, value and locator, about.
const OVERHEAD: usize = 256;

/// What tells two copies of a name apart: the encoded tag, and the link if its address is link-local (T-55); in a DULL instance
/// the initiator too, since a locator may be left out there and neighbours shall not overwrite each other (RFC 8994 §6.4).
type Tag = (Vec<u8>, LinkId, Option<IpAddr>);

/// Bounds of the cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Copies in total.
    pub(super) capacity: usize,
    /// Copies of one name.
    pub(super) per_name: usize,
    /// Bytes in total.
    pub(super) bytes: usize,
}

/// What has come from one neighbour.
#[derive(Debug, Default)]
struct Share {
    /// Its copies in the order of arrival.
    order: BTreeMap<u64, (String, Tag)>,
    bytes: usize,
}

/// Flooded objectives by name and tag, bounded per name, in total and in bytes. A copy more costs hardly more in a full cache
/// than in an empty one: a flood can bring hundreds. When there is no room the oldest copy of the neighbour that has brought most
/// makes it, so that none pushes out what the others have said.
///
/// On the hostile link of a DULL instance addresses cost nothing. There each of them has a few places; when all are taken a
/// newcomer gets that of the oldest copy that was heard only once, and none if there is no such: neighbours repeat what they
/// flood, so those that are known stay. No lifetime is longer than [`LONGEST`].
#[derive(Debug)]
pub struct FloodStore {
    bounds: Bounds,
    hostile: bool,
    entries: BTreeMap<String, BTreeMap<Tag, Copied>>,
    /// All copies in the order of arrival.
    order: BTreeMap<u64, (String, Tag)>,
    /// Those whose lifetime ends, by its end.
    ends: BTreeSet<(Time, u64)>,
    /// By the neighbour that they came from.
    shares: BTreeMap<IpAddr, Share>,
    serial: u64,
    bytes: usize,
    /// Live copies thrown out for want of room.
    pub evicted: u64,
    /// Those of them that made room for the bytes of another.
    pub evicted_for_bytes: u64,
    /// Copies that found no room.
    pub no_room: u64,
}

fn alive(flooded: &Flooded, now: Time) -> bool {
    flooded.expires.is_none_or(|expires| expires > now)
}

impl FloodStore {
    pub(super) fn new(bounds: Bounds, hostile: bool) -> Self {
        let bounds = Bounds { capacity: bounds.capacity.max(1), per_name: bounds.per_name.max(1), ..bounds };
        let (entries, order, ends, shares) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let (serial, bytes, evicted, evicted_for_bytes, no_room) = (0, 0, 0, 0, 0);
        Self { bounds, hostile, entries, order, ends, shares, serial, bytes, evicted, evicted_for_bytes, no_room }
    }

    fn tag(&self, flooded: &Flooded) -> Tag {
        let initiator = self.hostile.then_some(flooded.initiator);
        let Some(l) = &flooded.locator else { return (Vec::new(), 0, initiator) };
        (l.locator.encode(), if l.locator.is_link_local() { l.interface } else { 0 }, initiator)
    }

    /// Stores a copy that came from a neighbour; the same name and tag is overwritten, its lifetime included.
    pub(super) fn insert(&mut self, now: Time, source: IpAddr, brought: Brought, tagged: TaggedObjective) -> Flooded {
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
        let size =
            name.len() + key.0.len() + flooded.objective.value.as_ref().map_or(0, |v| v.as_bytes().len()) + OVERHEAD;
        let confirmed = self.remove(&name, &key);
        if !self.make_room(now, &name, initiator, size) {
            self.no_room += 1;
            return flooded;
        }
        self.serial += 1;
        self.bytes += size;
        self.order.insert(self.serial, (name.clone(), key.clone()));
        let share = self.shares.entry(source).or_default();
        share.bytes += size;
        share.order.insert(self.serial, (name.clone(), key.clone()));
        self.ends.extend(expires.map(|end| (end, self.serial)));
        let copied = Copied { flooded: flooded.clone(), brought, confirmed, source, serial: self.serial, size };
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
        self.order.len()
    }

    /// Bytes held, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tells whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets the copy unless a newer value has taken its place.
    pub(super) fn expire(&mut self, flooded: &Flooded) {
        let (name, tag) = (&flooded.objective.name, self.tag(flooded));
        let held = self.entries.get(name).and_then(|copies| copies.get(&tag));
        if held.is_some_and(|held| held.flooded.objective.value == flooded.objective.value) {
            self.remove(name, &tag);
        }
    }

    /// Forgets a copy; tells whether it was there.
    fn remove(&mut self, name: &str, tag: &Tag) -> bool {
        let Some(copies) = self.entries.get_mut(name) else { return false };
        let Some(copied) = copies.remove(tag) else { return false };
        if copies.is_empty() {
            self.entries.remove(name);
        }
        self.order.remove(&copied.serial);
        if let Some(share) = self.shares.get_mut(&copied.source) {
            share.order.remove(&copied.serial);
            share.bytes = share.bytes.saturating_sub(copied.size);
            if share.order.is_empty() {
                self.shares.remove(&copied.source);
            }
        }
        if let Some(end) = copied.flooded.expires {
            self.ends.remove(&(end, copied.serial));
        }
        self.bytes = self.bytes.saturating_sub(copied.size);
        true
    }

    /// Makes room for a copy from `source`; tells whether there is any.
    fn make_room(&mut self, now: Time, name: &str, source: IpAddr, size: usize) -> bool {
        let Bounds { capacity, per_name, bytes } = self.bounds;
        if size > bytes {
            return false;
        }
        self.bury(now);
        let hostile = self.hostile;
        // Who has taken all its places makes room for itself, and for nobody else.
        let from = |copied: &Copied| copied.brought.initiator == source;
        while hostile
            && self.entries.values().flat_map(BTreeMap::values).filter(|c| from(c)).count() >= COPIES_PER_SOURCE
        {
            self.evict(from);
        }
        while self.entries.get(name).map_or(0, BTreeMap::len) >= per_name {
            let Some(tag) = self.least_of(name) else { return false };
            self.remove(name, &tag);
            self.evicted += 1;
        }
        while self.len() >= capacity {
            if !self.make_place(|share| share.order.len()) {
                return false;
            }
        }
        while self.bytes + size > bytes {
            if !self.make_place(|share| share.bytes) {
                return false;
            }
            self.evicted_for_bytes += 1;
        }
        true
    }

    /// The copy of a name that has to go when there are too many.
    fn least_of(&self, name: &str) -> Option<Tag> {
        let copies = self.entries.get(name)?;
        let mut brought: BTreeMap<IpAddr, usize> = BTreeMap::new();
        copies.values().for_each(|copied| *brought.entry(copied.source).or_default() += 1);
        let most =
            if self.hostile { None } else { brought.iter().max_by_key(|(_, count)| **count).map(|(from, _)| *from) };
        let may_go = |copied: &Copied| most.map_or(!copied.confirmed, |most| copied.source == most);
        let candidates = copies.iter().filter(|(_, copied)| may_go(copied));
        candidates.min_by_key(|(_, copied)| copied.serial).map(|(tag, _)| tag.clone())
    }

    /// Throws out the oldest copy of the neighbour that has brought most; on a hostile link, where addresses cost nothing, the
    /// oldest that was heard only once.
    fn make_place(&mut self, much: impl Fn(&Share) -> usize) -> bool {
        if self.hostile {
            return self.evict(|copied| !copied.confirmed);
        }
        let most = self.shares.values().max_by_key(|share| much(share));
        let Some((name, tag)) = most.and_then(|share| share.order.values().next()).cloned() else { return false };
        self.evicted += 1;
        self.remove(&name, &tag)
    }

    /// Forgets what has expired.
    fn bury(&mut self, now: Time) {
        while let Some((end, serial)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.ends.remove(&(end, serial));
            if let Some((name, tag)) = self.order.get(&serial).cloned() {
                self.remove(&name, &tag);
            }
        }
    }

    /// Throws out the oldest of some copies; tells whether there was any.
    fn evict(&mut self, of: impl Fn(&Copied) -> bool) -> bool {
        let copied = |(name, tag): &(String, Tag)| self.entries.get(name).and_then(|copies| copies.get(tag));
        let oldest = self.order.values().find(|place| copied(place).is_some_and(&of)).cloned();
        let Some((name, tag)) = oldest else { return false };
        self.evicted += 1;
        self.remove(&name, &tag)
    }
}
