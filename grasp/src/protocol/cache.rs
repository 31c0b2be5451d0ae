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

/// Locators by objective name, bounded in total; the oldest make room for new ones.
#[derive(Debug)]
pub struct DiscoveryCache {
    capacity: usize,
    entries: BTreeMap<String, Vec<Entry>>,
    /// Live entries thrown out for want of room.
    pub evicted: u64,
}

impl DiscoveryCache {
    /// An empty cache for `capacity` locators.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), entries: BTreeMap::new(), evicted: 0 }
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
        if self.len() >= self.capacity {
            self.expire(now);
        }
        if self.len() >= self.capacity {
            self.evict_oldest();
        }
        self.entries.entry(name.to_owned()).or_default().push(entry);
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
        if let Some(list) = self.entries.get_mut(name) {
            list.retain(|entry| !minimum.is_zero() && entry.expires > now + minimum);
            if list.is_empty() {
                self.entries.remove(name);
            }
        }
    }

    /// Deletes one locator that turned out to be dead.
    pub fn remove(&mut self, name: &str, locator: &Locator) {
        if let Some(list) = self.entries.get_mut(name) {
            list.retain(|entry| entry.locator != *locator);
            if list.is_empty() {
                self.entries.remove(name);
            }
        }
    }

    /// Entries held, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.values().map(Vec::len).sum()
    }

    /// Tells whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn expire(&mut self, now: Time) {
        self.entries.retain(|_, list| {
            list.retain(|entry| entry.expires > now);
            !list.is_empty()
        });
    }

    fn evict_oldest(&mut self) {
        let oldest = self.entries.iter().flat_map(|(name, list)| {
            list.iter().map(move |entry| (entry.heard, name.clone(), entry.locator.clone(), entry.link))
        });
        if let Some((_, name, locator, link)) = oldest.min()
            && let Some(list) = self.entries.get_mut(&name)
        {
            list.retain(|entry| !(entry.locator == locator && entry.link == link));
            if list.is_empty() {
                self.entries.remove(&name);
            }
            self.evicted += 1;
        }
    }
}
