//! The places that unicast sessions take in a node's books.

use super::session_id::Maker;
use std::collections::BTreeMap;

/// The sessions of a node, each by a key that is used once only; what leaves twice, or was never there, changes nothing.
#[derive(Debug)]
pub struct Places<T> {
    taken: BTreeMap<u64, (Maker, T)>,
    /// How many each maker has, the same as counting above.
    of: BTreeMap<Maker, usize>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { taken: BTreeMap::new(), of: BTreeMap::new() }
    }
}

impl<T> Places<T> {
    /// Takes a place for a session whose id `maker` made; a key that is taken already gets the new occupant.
    pub fn take(&mut self, key: u64, maker: Maker, occupant: T) {
        self.leave(key);
        self.taken.insert(key, (maker, occupant));
        *self.of.entry(maker).or_default() += 1;
    }

    /// Gives the place back, if it is taken.
    pub fn leave(&mut self, key: u64) -> Option<(Maker, T)> {
        let (maker, occupant) = self.taken.remove(&key)?;
        if let Some(count) = self.of.get_mut(&maker) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&maker);
            }
        }
        Some((maker, occupant))
    }

    /// The occupant of a place.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        self.taken.get_mut(&key).map(|(_, occupant)| occupant)
    }

    /// Every place, by key.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Maker, &T)> {
        self.taken.iter().map(|(key, (maker, occupant))| (*key, *maker, occupant))
    }

    /// Places taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Tells whether none is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Places taken by sessions whose id this maker made.
    #[must_use]
    pub fn of(&self, maker: Maker) -> usize {
        self.of.get(&maker).copied().unwrap_or_default()
    }
}
