//! Storms: many faults at random points of random roles, from one seed.

use super::Harness;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::time::Duration;
use supervision::Fault;
use tokio::time::Instant;

/// A role that a storm may strike: node, instance, role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The node.
    pub node: String,
    /// The instance.
    pub instance: String,
    /// The role.
    pub role: String,
}

/// How a storm blows.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Faults to inject.
    pub faults: u32,
    /// Which, each with its weight among the others.
    pub kinds: Vec<(Fault, u32)>,
    /// Shortest and longest pause between two faults, of simulated time.
    pub pause: (Duration, Duration),
    /// A fault strikes at one of so many next messages, at least 1.
    pub at_message: u32,
    /// How long a fault may wait for its message before a probe brings it on.
    pub patience: Duration,
}

impl Default for Storm {
    /// 1 000 panics, one every 50 to 500 ms, each at one of the next 8 messages or after a second.
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            faults: 1000,
            kinds: vec![(Fault::Panic, 1)],
            pause: (millis(50), millis(500)),
            at_message: 8,
            patience: Duration::from_secs(1),
        }
    }
}

/// What a storm has done.
#[derive(Debug, Clone, Default)]
pub struct StormReport {
    /// What was injected where, in order.
    pub injected: Vec<(Target, Fault)>,
    /// Faults whose role was struck or rebuilt while they waited, by this one or another.
    pub ended_a_life: u32,
    /// Simulated time that it took.
    pub took: Duration,
}

impl Harness {
    /// Lets faults strike all roles of all instances at random; what is random follows from the seed of the test.
    ///
    /// Faults do not wait for the recovery from the one before.
    pub async fn storm(&self, storm: &Storm) -> StormReport {
        let begun = Instant::now();
        let mut random = ChaCha12Rng::seed_from_u64(self.0.seed ^ 0x5707_3a11);
        let mut report = StormReport::default();
        let total: u32 = storm.kinds.iter().map(|(_, weight)| weight).sum();
        let mut waiting = Vec::new();
        for _ in 0..storm.faults {
            let (shortest, longest) = storm.pause;
            let span = longest.saturating_sub(shortest);
            tokio::time::sleep(shortest + span.mul_f64(random.random::<f64>())).await;
            waiting.retain(|(target, injected, since): &(Target, super::Injected, Instant)| {
                if injected.has_ended_a_life() {
                    report.ended_a_life += 1;
                    return false;
                }
                if since.elapsed() < storm.patience {
                    return true;
                }
                for _ in 0..storm.at_message {
                    let _ = self.deployment(&target.node).tree().nudge(&target.instance, &target.role);
                }
                since.elapsed() < storm.patience * 2
            });
            let targets = self.targets();
            if targets.is_empty() || total == 0 {
                continue;
            }
            let target = targets[random.random_range(0..targets.len())].clone();
            let mut roll = random.random_range(0..total);
            let kind = storm.kinds.iter().find(|(_, weight)| {
                let here = roll < *weight;
                roll = roll.saturating_sub(*weight);
                here
            });
            let Some((fault, _)) = kind else { continue };
            let at = random.random_range(1..=storm.at_message.max(1));
            let Target { node, instance, role } = &target;
            let injected = self.inject(node, instance, role, *fault, at);
            report.injected.push((target.clone(), *fault));
            if *fault != Fault::StoreError {
                waiting.push((target, injected, Instant::now()));
            }
        }
        // The last ones have not struck yet.
        for (target, ..) in &waiting {
            for _ in 0..storm.at_message {
                let _ = self.deployment(&target.node).tree().nudge(&target.instance, &target.role);
            }
        }
        tokio::time::sleep(storm.patience).await;
        report.ended_a_life += waiting.iter().filter(|(_, injected, _)| injected.has_ended_a_life()).count() as u32;
        report.took = begun.elapsed();
        report
    }

    /// The roles of all instances that run now; neither supervisors nor the actors of the nodes themselves.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for node in self.nodes() {
            for child in self.deployment(&node).tree().status() {
                if child.asa != crate::deploy::NODE && child.role != "supervisor" {
                    targets.push(Target { node: node.clone(), instance: child.asa, role: child.role });
                }
            }
        }
        targets.sort();
        targets.dedup();
        targets
    }
}
