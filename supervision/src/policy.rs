//! Who is restarted, after which pause, and when it is enough. Pure.

use crate::guard::Exit;
use crate::supervisor::Lifetime;
use std::collections::VecDeque;
use std::time::Duration;

/// Which children are restarted together with one that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartStrategy {
    /// That one alone.
    OneForOne,
    /// That one and all that were started after it, since they may depend on it.
    RestForOne,
    /// All of them.
    OneForAll,
}

/// How often and how fast children are restarted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartLimits {
    /// Restarts within the window, of all children together; one more escalates.
    pub restarts: u32,
    /// The window; older restarts are forgotten.
    pub within: Duration,
    /// Pause before the first restart of a child in a window; it doubles with each further one of that child.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// By how much a pause is lengthened or shortened at random, as a share of it from 0 to 1.
    pub jitter: f64,
}

impl Default for RestartLimits {
    /// 5 restarts in 30 s; 100 ms doubling to 30 s, 25 % jitter.
    fn default() -> Self {
        Self {
            restarts: 5,
            within: Duration::from_secs(30),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(30),
            jitter: 0.25,
        }
    }
}

/// What the end of a child leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It was meant to end.
    Ignore,
    /// These children, in the order in which they were started, begin anew.
    Restart {
        /// Their ids.
        children: Vec<u64>,
        /// How long they rest before.
        after: Duration,
    },
    /// Restarting does not help; whoever built the children decides.
    Escalate,
}

/// The policy of one supervisor.
#[derive(Debug, Clone)]
pub struct Policy {
    strategy: RestartStrategy,
    limits: RestartLimits,
    /// When the last restarts were ordered and for whom, oldest first; never more than the limit allows.
    recent: VecDeque<(Duration, u64)>,
}

impl Policy {
    /// A policy that has seen nothing yet.
    #[must_use]
    pub fn new(strategy: RestartStrategy, limits: RestartLimits) -> Self {
        Self { strategy, limits, recent: VecDeque::new() }
    }

    /// Decides what follows from the end of child `who`.
    ///
    /// `now` never goes back; `order` holds the children as they were started; `roll` is a random number from 0 to 1.
    /// A normal end of a permanent child is a failure like any other: it was to run for ever.
    pub fn exited(
        &mut self,
        now: Duration,
        order: &[u64],
        who: u64,
        exit: &Exit,
        lifetime: Lifetime,
        roll: f64,
    ) -> Decision {
        let Some(place) = order.iter().position(|id| *id == who) else { return Decision::Ignore };
        if *exit == Exit::Normal && lifetime == Lifetime::Transient {
            return Decision::Ignore;
        }
        while self.recent.front().is_some_and(|(restart, _)| now.saturating_sub(*restart) > self.limits.within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.limits.restarts as usize {
            return Decision::Escalate;
        }
        // All count together towards giving up, but nobody rests longer for the falls of others.
        let own = self.recent.iter().filter(|(_, child)| *child == who).count();
        let doublings = u32::try_from(own).unwrap_or(u32::MAX).min(31);
        self.recent.push_back((now, who));
        let pause = self.limits.first_pause.saturating_mul(1 << doublings).min(self.limits.longest_pause);
        let spread = 1.0 + self.limits.jitter.clamp(0.0, 1.0) * (2.0 * roll.clamp(0.0, 1.0) - 1.0);
        let children = match self.strategy {
            RestartStrategy::OneForOne => vec![who],
            RestartStrategy::RestForOne => order[place..].to_vec(),
            RestartStrategy::OneForAll => order.to_vec(),
        };
        Decision::Restart { children, after: pause.mul_f64(spread) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PANIC: Exit = Exit::Panicked(String::new());

    fn after(decision: &Decision) -> Duration {
        let Decision::Restart { after, .. } = decision else { panic!("{decision:?}") };
        *after
    }

    fn policy(strategy: RestartStrategy) -> Policy {
        Policy::new(strategy, RestartLimits::default())
    }

    fn panicked(policy: &mut Policy, at: Duration, who: u64) -> Decision {
        policy.exited(at, &[1, 2, 3], who, &PANIC, Lifetime::Permanent, 0.5)
    }

    #[test]
    fn dependents_restart_in_rest_for_one() {
        for (strategy, expected) in [
            (RestartStrategy::OneForOne, vec![2]),
            (RestartStrategy::RestForOne, vec![2, 3]),
            (RestartStrategy::OneForAll, vec![1, 2, 3]),
        ] {
            let Decision::Restart { children, .. } = panicked(&mut policy(strategy), Duration::ZERO, 2) else {
                panic!()
            };
            assert_eq!(children, expected, "{strategy:?}");
        }
    }

    #[test]
    fn backoff_doubles_and_forgets() {
        let mut policy = policy(RestartStrategy::OneForOne);
        let mut now = Duration::from_secs(100);
        for pause in [100, 200, 400, 800, 1600] {
            assert_eq!(after(&panicked(&mut policy, now, 1)), Duration::from_millis(pause));
            now += Duration::from_secs(1);
        }
        now += Duration::from_secs(60);
        assert_eq!(after(&panicked(&mut policy, now, 1)), Duration::from_millis(100));
    }

    #[test]
    fn the_sixth_crash_escalates() {
        let mut policy = policy(RestartStrategy::OneForOne);
        for crash in 0..5 {
            let decision = panicked(&mut policy, Duration::from_secs(crash), crash % 3 + 1);
            assert!(matches!(decision, Decision::Restart { .. }), "crash {crash}");
        }
        assert_eq!(panicked(&mut policy, Duration::from_secs(29), 1), Decision::Escalate);
        // The first of the five is forgotten 30 s after it.
        assert!(matches!(panicked(&mut policy, Duration::from_millis(30_001), 1), Decision::Restart { .. }));
    }

    #[test]
    fn nobody_rests_longer_for_the_falls_of_others() {
        let mut policy = policy(RestartStrategy::OneForOne);
        for (who, pause) in [(1, 100), (2, 100), (1, 200), (3, 100), (1, 400)] {
            assert_eq!(
                after(&panicked(&mut policy, Duration::from_secs(1), who)),
                Duration::from_millis(pause),
                "{who}"
            );
        }
        assert_eq!(panicked(&mut policy, Duration::from_secs(2), 2), Decision::Escalate, "they count together");
    }

    #[test]
    fn a_transient_child_may_end_and_a_permanent_one_may_not() {
        let mut policy = policy(RestartStrategy::OneForOne);
        let mut end = |lifetime| policy.exited(Duration::ZERO, &[1], 1, &Exit::Normal, lifetime, 0.5);
        assert_eq!(end(Lifetime::Transient), Decision::Ignore);
        assert!(matches!(end(Lifetime::Permanent), Decision::Restart { .. }));
    }

    proptest! {
        /// Whatever happens when, no pause leaves its bounds and no window holds more restarts than allowed.
        #[test]
        fn restarts_stay_within_their_bounds(gaps in prop::collection::vec((0u64..20_000, 0.0..1.0f64), 1..200)) {
            let limits = RestartLimits { longest_pause: Duration::from_millis(700), ..RestartLimits::default() };
            let mut policy = Policy::new(RestartStrategy::RestForOne, limits);
            let (mut now, mut restarts) = (Duration::ZERO, Vec::new());
            for (gap, roll) in gaps {
                now += Duration::from_millis(gap);
                if let Decision::Restart { after, .. } = policy.exited(now, &[7, 8], 7, &PANIC, Lifetime::Permanent, roll) {
                    prop_assert!(after >= Duration::from_millis(75) && after <= Duration::from_millis(875));
                    restarts.push(now);
                }
                let recent = restarts.iter().filter(|at| now - **at <= limits.within).count();
                prop_assert!(recent <= 5);
            }
        }
    }
}
