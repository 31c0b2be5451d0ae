//! How the negotiations of the customers went, as their node's events tell.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::node::Running;

/// The customers' view.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    pub(super) begun: usize,
    pub(super) ended: usize,
    pub(super) accepted: usize,
    pub(super) declined: usize,
    /// Ended by a lost connection or a time limit, and followed by another negotiation of the same customer.
    pub(super) retried: usize,
    /// What should not have been.
    pub(super) unexplained: Vec<String>,
    /// Customers whose last negotiation has failed, with the failure.
    failed: BTreeMap<String, String>,
}

impl Ends {
    pub(super) fn of(customers: &Running) -> Self {
        let mut ends = Self::default();
        let lines = customers.child.lines();
        for event in lines.iter().filter_map(|line| serde_json::from_str::<Value>(&line.text).ok()) {
            ends.count(&event);
        }
        ends
    }

    fn count(&mut self, event: &Value) {
        let asa = event["asa"].as_str().unwrap_or_default();
        match event["event"].as_str() {
            Some("negotiation_requested") => {
                self.begun += 1;
                if self.failed.remove(asa).is_some() {
                    self.retried += 1;
                }
            }
            Some("negotiation_ended") => {
                self.ended += 1;
                match event["outcome"].as_str() {
                    Some("accepted") => self.accepted += 1,
                    Some("declined") => self.declined += 1,
                    _ => drop(self.failed.insert(asa.to_owned(), event["reason"].to_string())),
                }
            }
            _ => {}
        }
    }
}

/// Waits until so many negotiations have ended.
pub(super) fn wait_for(customers: &Running, ended: usize, bound: Duration) -> Ends {
    wait_until(customers, bound, |ends| ends.ended >= ended)
}

/// Waits until this is so; returns what is so when the time is up.
pub(super) fn wait_until(customers: &Running, bound: Duration, done: impl Fn(&Ends) -> bool) -> Ends {
    let deadline = Instant::now() + bound;
    loop {
        let ends = Ends::of(customers);
        if done(&ends) || Instant::now() >= deadline {
            return ends;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Judges the whole run, once the customers have stopped: every negotiation has ended, and what failed was tried again unless
/// the end of the run prevented it. `hung`: a side that hangs cannot say so, and its peers fall back on their time limits.
pub(super) fn conclude(customers: &Running, hung: bool) -> Ends {
    let mut ends = Ends::of(customers);
    // Those that looked for a bank in vain had no negotiation; those that had one must know how it ended.
    let events: Vec<Value> =
        customers.child.lines().iter().filter_map(|line| serde_json::from_str(&line.text).ok()).collect();
    let of = |name: &str| -> Vec<(Value, Value)> {
        let named = events.iter().filter(|event| event["event"] == name);
        named.map(|event| (event["asa"].clone(), event["session_id"].clone())).collect()
    };
    let ended = of("negotiation_ended");
    for started in of("negotiation_started") {
        if !ended.contains(&started) {
            ends.unexplained.push(format!("never ended: {started:?}"));
        }
    }
    for event in &events {
        let reason = event["reason"].as_str().unwrap_or_default();
        // A time limit would mean that somebody was left waiting.
        if !hung && event["event"] == "negotiation_ended" && event["outcome"] == "failed" && reason.contains("#27") {
            ends.unexplained.push(event.to_string());
        }
    }
    ends
}
