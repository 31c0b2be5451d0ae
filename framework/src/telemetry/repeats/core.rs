//! Which of many equal events are written, and how many were not: the decisions alone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use grasp::protocol::Time;

/// How often the same event may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Times it is written in one interval; at least 1.
    pub burst: u32,
    /// The length of an interval, which begins with the first event in it.
    pub every: Duration,
    /// Different events that are remembered, at least 1; past that, the one that was seen longest ago is forgotten.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { burst: 5, every: Duration::from_secs(10), entries: 1024 }
    }
}

/// What to do about one event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decision<K> {
    /// A count to be written first: that of the interval before; of another event only if too many of them wait.
    pub(super) before: Option<Held<K>>,
    /// Whether the event itself is written.
    pub(super) write: bool,
}

/// An event that was held back `times` times in an interval that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held<K> {
    pub(super) key: Arc<K>,
    pub(super) times: u64,
}

/// Counts equal events, which are those of an equal key.
#[derive(Debug)]
pub(super) struct Repeats<K> {
    limits: Limits,
    entries: HashMap<Arc<K>, Entry>,
    /// By when they were seen last, which is also the order of everything that goes over all of them.
    order: BTreeMap<u64, Arc<K>>,
    /// Counts of forgotten events, which wait until [`Repeats::ended`] is asked; at most `entries`.
    waiting: VecDeque<Held<K>>,
    next: u64,
    forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    since: Time,
    written: u32,
    held: u64,
    seen: u64,
}

impl<K: Hash + Eq> Repeats<K> {
    pub(super) fn new(limits: Limits) -> Self {
        let limits = Limits { burst: limits.burst.max(1), entries: limits.entries.max(1), ..limits };
        Self {
            limits,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            waiting: VecDeque::new(),
            next: 0,
            forgotten: 0,
        }
    }

    /// Takes one event into account.
    pub(super) fn event(&mut self, now: Time, key: K) -> Decision<K> {
        let seen = self.next;
        self.next += 1;
        let Some(entry) = self.entries.get_mut(&key) else {
            let before = if self.entries.len() >= self.limits.entries { self.forget() } else { None };
            let key = Arc::new(key);
            self.order.insert(seen, key.clone());
            self.entries.insert(key, Entry { since: now, written: 1, held: 0, seen });
            return Decision { before, write: true };
        };
        let key = self.order.remove(&entry.seen).unwrap_or_else(|| Arc::new(key));
        self.order.insert(seen, key.clone());
        entry.seen = seen;
        let mut before = None;
        if ended(self.limits, entry, now) {
            before = (entry.held > 0).then_some(Held { key, times: entry.held });
            (entry.since, entry.written, entry.held) = (now, 0, 0);
        }
        let write = entry.written < self.limits.burst;
        if write {
            entry.written += 1;
        } else {
            entry.held = entry.held.saturating_add(1);
        }
        Decision { before, write }
    }

    /// Forgets the intervals that have ended, and returns what was held back in them and what else waits.
    pub(super) fn ended(&mut self, now: Time) -> Vec<Held<K>> {
        self.take(|limits, entry| ended(limits, entry, now))
    }

    /// Forgets everything, and returns what was held back.
    pub(super) fn all(&mut self) -> Vec<Held<K>> {
        self.take(|_, _| true)
    }

    /// Events that were forgotten, because there were too many different ones.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn take(&mut self, which: impl Fn(Limits, &Entry) -> bool) -> Vec<Held<K>> {
        let mut taken = Vec::from(std::mem::take(&mut self.waiting));
        let Self { order, entries, limits, .. } = self;
        order.retain(|_, key| {
            let Some(entry) = entries.get(key).filter(|entry| which(*limits, entry)) else { return true };
            if entry.held > 0 {
                taken.push(Held { key: key.clone(), times: entry.held });
            }
            entries.remove(key);
            false
        });
        taken
    }

    /// Makes room for another event, and returns a count for which there is none.
    fn forget(&mut self) -> Option<Held<K>> {
        let (_, key) = self.order.pop_first()?;
        self.forgotten += 1;
        let entry = self.entries.remove(&key)?;
        if entry.held > 0 {
            self.waiting.push_back(Held { key, times: entry.held });
        }
        if self.waiting.len() > self.limits.entries { self.waiting.pop_front() } else { None }
    }
}

fn ended(limits: Limits, entry: &Entry, now: Time) -> bool {
    now.0.saturating_sub(entry.since.0) >= limits.every
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { burst: 2, every: Duration::from_secs(10), entries: 3 };

    fn at(seconds: u64) -> Time {
        Time(Duration::from_secs(seconds))
    }

    fn held(key: u8, times: u64) -> Held<u8> {
        Held { key: Arc::new(key), times }
    }

    #[test]
    fn past_the_burst_an_event_is_held_until_it_recurs_after_the_interval() {
        let mut repeats = Repeats::new(LIMITS);
        let write: Vec<_> = (0..5).map(|second| repeats.event(at(second), 7).write).collect();
        assert_eq!(write, [true, true, false, false, false]);
        assert_eq!(repeats.event(at(10), 7), Decision { before: Some(held(7, 3)), write: true });
        assert_eq!(repeats.event(at(11), 7), Decision { before: None, write: true });
    }

    #[test]
    fn the_count_comes_out_when_the_interval_ends_and_only_once() {
        let mut repeats = Repeats::new(LIMITS);
        (0..4).for_each(|_| drop(repeats.event(at(0), 7)));
        repeats.event(at(5), 8);
        assert_eq!(repeats.ended(at(9)), []);
        assert_eq!(repeats.ended(at(10)), [held(7, 2)]);
        assert_eq!(repeats.ended(at(20)), []);
        assert_eq!(repeats.event(at(20), 7), Decision { before: None, write: true });
    }

    #[test]
    fn the_event_seen_longest_ago_makes_room_and_its_count_comes_out() {
        let mut repeats = Repeats::new(LIMITS);
        for key in [1, 2, 3, 1, 1] {
            repeats.event(at(0), key);
        }
        assert_eq!(repeats.event(at(1), 4).before, None);
        assert_eq!((repeats.forgotten(), repeats.event(at(1), 3).before), (1, None));
        assert_eq!(repeats.event(at(1), 5).before, None);
        assert_eq!((repeats.forgotten(), repeats.ended(at(1))), (2, vec![held(1, 1)]));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Event(u8),
        Wait(u64),
        Sweep,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![8 => (0..6_u8).prop_map(Step::Event), 1 => (0..12_u64).prop_map(Step::Wait), 1 => Just(Step::Sweep)]
    }

    proptest! {
        /// Whatever happens, each event is either written or counted, and the table keeps its bound.
        #[test]
        fn nothing_is_lost_from_the_count(steps in prop::collection::vec(step(), 0..400)) {
            let mut repeats = Repeats::new(LIMITS);
            let (mut now, mut happened, mut accounted) = (0, [0_u64; 6], [0_u64; 6]);
            for step in steps {
                match step {
                    Step::Event(key) => {
                        happened[usize::from(key)] += 1;
                        let Decision { before, write } = repeats.event(at(now), key);
                        before.into_iter().for_each(|held| accounted[usize::from(*held.key)] += held.times);
                        accounted[usize::from(key)] += u64::from(write);
                    }
                    Step::Wait(seconds) => now += seconds,
                    Step::Sweep => {
                        repeats.ended(at(now)).iter().for_each(|held| accounted[usize::from(*held.key)] += held.times);
                    }
                }
                prop_assert!(repeats.entries.len() <= LIMITS.entries && repeats.waiting.len() <= LIMITS.entries);
                prop_assert_eq!(repeats.entries.len(), repeats.order.len());
            }
            repeats.all().iter().for_each(|held| accounted[usize::from(*held.key)] += held.times);
            prop_assert_eq!(happened, accounted);
        }

        /// One event alone is never written more than `burst` times within an interval.
        #[test]
        fn no_interval_has_more_than_a_burst(pauses in prop::collection::vec(0..4_u64, 1..200)) {
            let mut repeats = Repeats::new(LIMITS);
            let (mut now, mut written) = (0, Vec::new());
            for pause in pauses {
                now += pause;
                if repeats.event(at(now), 0).write {
                    written.push(now);
                }
            }
            // Two bursts may touch where one interval ends and the next begins, three may not.
            for window in written.windows(2 * 2 + 1) {
                prop_assert!(window[4] - window[0] >= 10, "{:?}", written);
            }
        }
    }
}
