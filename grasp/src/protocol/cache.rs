//! The discovery cache (RFC 8990 §2.5.4.3).

use super::{AsaLocator, LinkId, Time};
use crate::wire::Locator;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// One way to reach an objective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where.
    pub locator: Locator,
    /// Interface over which it was heard.
    pub link: LinkId,
    /// Learned through a divert option.
    pub diverted: bool,
    /// When it was heard last.
    pub heard: Time,
    /// End of its lifetime.
    pub expires: Time,
}

impl Entry {
    /// The entry as an ASA sees it.
    #[must_use]
    pub fn asa_locator(&self) -> AsaLocator {
        let expires = Some(self.expires);
        AsaLocator { locator: self.locator.clone(), interface: self.link, expires, diverted: self.diverted }
    }
}

/// Bytes of the longest name and locator that are remembered together; a name and a URI may be as long as a message.
const LONGEST: usize = 2_048;
/// The share of one name: who answers for one name does not push out what is known of all others.
const SHARE: usize = 4;
/// Locators of one name, at least.
const LEAST: usize = 16;

/// Locators by objective name, bounded in total and for each name; the oldest make room for new ones.
#[derive(Debug)]
pub struct DiscoveryCache {
    capacity: usize,
    entries: BTreeMap<String, Vec<Entry>>,
    len: usize,
    /// Live entries thrown out for want of room.
    pub evicted: u64,
    /// Entries that were not remembered because they are too long.
    pub too_long: u64,
}

impl DiscoveryCache {
    /// An empty cache for `capacity` locators.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), entries: BTreeMap::new(), len: 0, evicted: 0, too_long: 0 }
    }

    /// Stores an entry; the same locator heard again on the same link is refreshed, not doubled.
    pub fn insert(&mut self, now: Time, name: &str, entry: Entry) {
        let same = |old: &Entry| old.locator == entry.locator && old.link == entry.link;
        let known = self.entries.get_mut(name).and_then(|list| list.iter_mut().find(|old| same(old)));
        if let Some(old) = known {
            // First-hand knowledge is not replaced by hearsay while it lives.
            if old.diverted || !entry.diverted || old.expires <= now {
                *old = entry;
            }
            return;
        }
        if name.len() + length(&entry.locator) > LONGEST {
            self.too_long += 1;
            return;
        }
        let per_name = (self.capacity / SHARE).max(LEAST);
        if self.len >= self.capacity || self.of_name(name) >= per_name {
            self.expire(now);
        }
        if self.of_name(name) >= per_name {
            self.evict_oldest(Some(name));
        } else if self.len >= self.capacity {
            self.evict_oldest(None);
        }
        self.entries.entry(name.to_owned()).or_default().push(entry);
        self.len += 1;
    }

    /// Unexpired entries, best first: not diverted before diverted, then latest heard (T-41).
    #[must_use]
    pub fn get(&self, now: Time, name: &str) -> Vec<&Entry> {
        let mut found: Vec<_> = self.entries.get(name).into_iter().flatten().filter(|e| e.expires > now).collect();
        found.sort_by_key(|entry| (entry.diverted, std::cmp::Reverse(entry.heard)));
        found
    }

    /// Unexpired entries of every name, by name, each best first.
    pub fn all(&self, now: Time) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.keys().flat_map(move |name| self.get(now, name).into_iter().map(|entry| (name.as_str(), entry)))
    }

    /// Deletes what lives no longer than `minimum` from now; 0 deletes all (RFC 8991 §2.3.4, T-39).
    pub fn flush(&mut self, now: Time, name: &str, minimum: Duration) {
        self.retain(name, |entry| !minimum.is_zero() && entry.expires > now + minimum);
    }

    /// Deletes one locator that turned out to be dead.
    pub fn remove(&mut self, name: &str, locator: &Locator) {
        self.retain(name, |entry| entry.locator != *locator);
    }

    /// Entries held, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn of_name(&self, name: &str) -> usize {
        self.entries.get(name).map_or(0, Vec::len)
    }

    fn retain(&mut self, name: &str, keep: impl Fn(&Entry) -> bool) {
        let Some(list) = self.entries.get_mut(name) else { return };
        let before = list.len();
        list.retain(keep);
        self.len -= before - list.len();
        if list.is_empty() {
            self.entries.remove(name);
        }
    }

    fn expire(&mut self, now: Time) {
        self.entries.retain(|_, list| {
            list.retain(|entry| entry.expires > now);
            !list.is_empty()
        });
        self.len = self.entries.values().map(Vec::len).sum();
    }

    /// Throws out the oldest entry, of one name or of all.
    fn evict_oldest(&mut self, of: Option<&str>) {
        let names = self.entries.iter().filter(|(name, _)| of.is_none_or(|of| name.as_str() == of));
        let places =
            names.flat_map(|(name, list)| list.iter().enumerate().map(move |(at, entry)| (entry.heard, name, at)));
        if let Some((name, at)) = places.min().map(|(_, name, at)| (name.clone(), at))
            && let Some(list) = self.entries.get_mut(&name)
        {
            list.remove(at);
            if list.is_empty() {
                self.entries.remove(&name);
            }
            self.len -= 1;
            self.evicted += 1;
        }
    }
}

/// Bytes of what a locator holds in text.
fn length(locator: &Locator) -> usize {
    match locator {
        Locator::Fqdn { name, .. } => name.len(),
        Locator::Uri { uri, .. } => uri.len(),
        Locator::Ipv6 { .. } | Locator::Ipv4 { .. } | Locator::Other { .. } => 0,
    }
}
