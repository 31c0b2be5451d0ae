//! What happened, in words, for whoever has to find out why a test failed.

use super::Harness;
use std::fmt::Write;
use std::time::Duration;

/// Lines told of each log.
const LAST: usize = 20;

impl Harness {
    /// The actors of all nodes with their last errors, then the last decisions of the supervisors and the last events.
    #[must_use]
    pub fn story(&self) -> String {
        let mut story = format!("after {} of simulated time, seed {}:\n", seconds(self.now()), self.0.seed);
        for node in self.nodes() {
            for child in self.deployment(&node).tree().status() {
                let error = child.last_error.map(|exit| format!("; {}", exit.error)).unwrap_or_default();
                let who = format!("{}/{}", child.asa, child.role);
                let condition = format!("{:?}", child.condition).to_lowercase();
                let (life, waiting) = (child.life, child.mailbox);
                let _ = writeln!(story, "  {node:<8} {who:<28} {condition:<8} life {life}, {waiting} waiting{error}");
            }
        }
        let incidents = self.incidents();
        for entry in last(&incidents) {
            let (at, node, one) = (seconds(entry.at), &entry.node, &entry.what);
            let (owner, role, life) = (&one.owner, &one.role, one.life);
            let _ = writeln!(story, "  {at} {node}: {owner}/{role} life {life}: {:?}; {:?}", one.exit, one.decision);
        }
        let events = self.events();
        for entry in last(&events) {
            let told = serde_json::to_string(&entry.what).unwrap_or_default();
            let _ = writeln!(story, "  {} {}: {told}", seconds(entry.at), entry.node);
        }
        for entry in self.fatal() {
            let _ = writeln!(story, "  {} {} wanted its process ended: {}", seconds(entry.at), entry.node, entry.what);
        }
        story
    }
}

fn last<T>(all: &[T]) -> &[T] {
    &all[all.len().saturating_sub(LAST)..]
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
