//! What a run has done, in numbers.

use super::lab::Moment;
use super::label::REQUIRED;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Counters of one run, or of many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) runs: u64,
    pub(crate) simulated: Duration,
    pub(crate) commits: u64,
    counters: BTreeMap<&'static str, u64>,
    /// Steps that blocks have taken.
    steps: BTreeMap<String, u64>,
    crashes: BTreeMap<(String, Moment), u64>,
    digest: u64,
}

impl Report {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counters.entry(what).or_default() += 1;
    }

    pub(crate) fn commit<'a>(&mut self, labels: impl Iterator<Item = &'a str>) {
        self.commits += 1;
        for label in labels {
            match self.steps.get_mut(label) {
                Some(count) => *count += 1,
                None => drop(self.steps.insert(label.to_owned(), 1)),
            }
        }
    }

    pub(crate) fn crash(&mut self, label: &str, moment: Moment) {
        *self.crashes.entry((label.to_owned(), moment)).or_default() += 1;
    }

    /// Mixes a line into what tells one course of events from another.
    pub(crate) fn digest(&mut self, line: &str) {
        let mut hasher = DefaultHasher::new();
        (self.digest, line).hash(&mut hasher);
        self.digest = hasher.finish();
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.digest
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.simulated += other.simulated;
        self.commits += other.commits;
        for (name, count) in &other.counters {
            *self.counters.entry(name).or_default() += count;
        }
        for (name, count) in &other.steps {
            *self.steps.entry(name.clone()).or_default() += count;
        }
        for (key, count) in &other.crashes {
            *self.crashes.entry(key.clone()).or_default() += count;
        }
        self.digest = self.digest.wrapping_add(other.digest);
    }

    /// Steps of the crash table at which no node was struck.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        let hit = |label: &str| self.crashes.keys().any(|(name, _)| name == label);
        REQUIRED.iter().copied().filter(|label| !hit(label)).collect()
    }

    /// The numbers as a table.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let (runs, hours) = (self.runs, self.simulated.as_secs_f64() / 3600.0);
        let crashes: u64 = self.crashes.values().sum();
        let _ =
            writeln!(text, "{runs} runs, {hours:.1} h simulated, {} commits, {crashes} crashes at steps", self.commits);
        for (name, count) in &self.counters {
            let _ = writeln!(text, "  {name:<28} {count:>10}");
        }
        let _ = writeln!(text, "  {:<24} {:>10} {:>8} {:>8} {:>8}", "step", "taken", "before", "after", "soon");
        let mut names: Vec<&str> = self.steps.keys().map(String::as_str).collect();
        names.extend(REQUIRED);
        names.sort_unstable();
        names.dedup();
        for name in names {
            let taken = self.steps.get(name).copied().unwrap_or_default();
            let of = |moment| self.crashes.get(&(name.to_owned(), moment)).copied().unwrap_or_default();
            let (before, after, soon) = (of(Moment::Before), of(Moment::After), of(Moment::Soon));
            let _ = writeln!(text, "  {name:<24} {taken:>10} {before:>8} {after:>8} {soon:>8}");
        }
        text
    }
}
