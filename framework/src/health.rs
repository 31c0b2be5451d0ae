//! Whether a node can be relied on, and why not. Pure.

use crate::control::{Health, InstanceStatus, NodeStatus, Readiness};
use supervision::{ChildStatus, Condition};

/// How long a restart shows, in seconds: the window in which restarts are counted.
const FRESH_S: f64 = 30.0;

/// Judges a node; `now` is the wall clock in seconds since 1970.
#[must_use]
pub fn assess(
    node: &NodeStatus,
    instances: &[InstanceStatus],
    actors: &[ChildStatus],
    abandoned_threads: u64,
    now: f64,
) -> Health {
    let mut found: Vec<(Readiness, String)> = Vec::new();
    let mut note = |readiness, reason: String| found.push((readiness, reason));
    if !node.ready {
        let why = node.substrate_warnings.first().map_or("no substrate is configured", String::as_str);
        note(Readiness::Failing, format!("{why}: GRASP does not speak"));
    } else if node.links.is_empty() && !node.missing_interfaces.is_empty() {
        note(Readiness::Failing, format!("none of its interfaces is up: {}", node.missing_interfaces.join(", ")));
    } else {
        for interface in &node.missing_interfaces {
            note(Readiness::Degraded, format!("interface {interface} is not up"));
        }
    }
    if node.ready {
        node.substrate_warnings.iter().for_each(|warning| note(Readiness::Degraded, warning.clone()));
    }
    for instance in instances {
        let InstanceStatus { name, phase, wanted, operation, error, .. } = instance;
        if phase != wanted && operation.is_none() {
            let why = error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
            note(Readiness::Degraded, format!("{name} is {phase} and should be {wanted}{why}"));
        } else if let Some(error) = error {
            note(Readiness::Degraded, format!("{name}: {error}"));
        }
    }
    for child in actors {
        let who = format!("{} of {}", child.role, child.asa);
        match child.condition {
            Condition::Hung => note(Readiness::Degraded, format!("{who} does not answer")),
            Condition::Pausing => note(Readiness::Degraded, format!("{who} is being restarted")),
            Condition::Stopped => note(Readiness::Degraded, format!("{who} has been given up")),
            Condition::Starting | Condition::Running => {
                if let Some(exit) = child.last_error.as_ref().filter(|exit| now - exit.at < FRESH_S) {
                    note(
                        Readiness::Degraded,
                        format!("{who} was restarted {:.0} s ago: {}", now - exit.at, exit.error),
                    );
                }
            }
        }
    }
    if abandoned_threads > 0 {
        note(
            Readiness::Degraded,
            format!("{abandoned_threads} blocked thread was given up; restart the process when you can"),
        );
    }
    let readiness = found.iter().map(|(readiness, _)| *readiness).max().unwrap_or(Readiness::Ready);
    Health { readiness, reasons: found.into_iter().map(|(_, reason)| reason).collect() }
}
