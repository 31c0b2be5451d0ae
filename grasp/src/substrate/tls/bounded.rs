//! A map that forgets the oldest.

use std::collections::BTreeMap;

/// Holds at most so many entries; the one that was put in first makes room.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
    most: usize,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { entries: BTreeMap::new(), order: BTreeMap::new(), next: 0, most }
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.most == 0 {
            return;
        }
        self.take(&key);
        if self.entries.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.order.insert(self.next, key.clone());
        self.entries.insert(key, (self.next, value));
        self.next += 1;
    }

    pub(super) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn take<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (at, value) = self.entries.remove(key)?;
        self.order.remove(&at);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Bounded;

    #[test]
    fn the_oldest_makes_room() {
        let mut bounded = Bounded::new(2);
        for key in [1, 2, 1, 3] {
            bounded.put(key, key * 10);
        }
        assert_eq!([1, 2, 3].map(|key| bounded.get(&key).copied()), [Some(10), None, Some(30)]);
        assert_eq!(bounded.take(&1), Some(10));
        bounded.put(4, 40);
        assert_eq!([3, 4].map(|key| bounded.get(&key).copied()), [Some(30), Some(40)]);
        assert_eq!((bounded.entries.len(), bounded.order.len()), (2, 2));
    }
}
