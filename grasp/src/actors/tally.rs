//! Counters of a node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Labels of all counters together; what comes after them is counted under [`OTHER`].
const LABELS: usize = 1_024;
/// Bytes of a label; one that is longer is counted under [`OTHER`] too.
const LONGEST: usize = 128;
/// A label for what has none of its own. Labels may hold names that a peer has chosen.
const OTHER: &str = "other";

/// Counts by name and label, bounded; shared by the actors of a node.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<(&'static str, String), u64>>>);

impl Tally {
    /// Counts one more.
    pub(crate) fn count(&self, name: &'static str, label: impl Into<String>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (name, label.into());
        if key.1.len() > LONGEST || (counts.len() >= LABELS && !counts.contains_key(&key)) {
            OTHER.clone_into(&mut key.1);
        }
        *counts.entry(key).or_default() += 1;
    }

    /// All counts, as `name{label}`.
    pub(crate) fn read(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |(name, label): &(&str, String)| {
            if label.is_empty() { (*name).to_owned() } else { format!("{name}{{{label}}}") }
        };
        counts.iter().map(|(key, count)| (text(key), *count)).collect()
    }
}
