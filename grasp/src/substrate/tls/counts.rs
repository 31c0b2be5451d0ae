//! What has been counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counters by name and label.
#[derive(Default)]
pub(super) struct Counts(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Counts {
    pub(super) fn count(&self, name: &'static str, label: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((name, label)).or_default() += 1;
    }

    /// All counts, as `name{label}`.
    pub(super) fn read(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((name, label), count)| (format!("{name}{{{label}}}"), *count)).collect()
    }
}
