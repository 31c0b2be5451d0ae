//! Counters of a node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts by name and label; shared by the actors of a node.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<BTreeMap<(&'static str, String), u64>>>);

impl Tally {
    /// Counts one more.
    pub(crate) fn count(&self, name: &'static str, label: impl Into<String>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((name, label.into())).or_default() += 1;
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
