//! Growing pauses after failures, spread at random so that nodes do not fall into step (ASA-R-01, ASA-R-03, ASA-R-17).

use crate::machine::Time;
use std::time::Duration;

/// How pauses grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffPlan {
    /// The longest first pause; zero never pauses.
    pub first: Duration,
    /// The longest pause of all.
    pub cap: Duration,
}

impl BackoffPlan {
    /// Never pauses, for those who keep pauses of their own.
    pub const NONE: Self = Self { first: Duration::ZERO, cap: Duration::ZERO };
}

impl Default for BackoffPlan {
    /// From 1 s to 5 min.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), cap: Duration::from_secs(300) }
    }
}

/// The failures in a row of one undertaking, and when it may be tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    until: Option<Time>,
}

impl Backoff {
    /// Counts a failure; the pause that begins now is twice as long as the last, of which `draw` takes up to half away.
    ///
    /// `draw` is a number drawn evenly from the whole range. The pause is over half of its bound and never above it, so that
    /// each pause is longer than the one before until the cap is reached. Returns the pause.
    pub fn failed(&mut self, now: Time, plan: &BackoffPlan, draw: u64) -> Duration {
        let bound = plan.first.saturating_mul(1 << self.failures.min(30)).min(plan.cap);
        self.failures = self.failures.saturating_add(1);
        let half = u64::try_from(bound.as_micros() / 2).unwrap_or(u64::MAX);
        let taken = Duration::from_micros(u64::try_from((u128::from(half) * u128::from(draw)) >> 64).unwrap_or(half));
        let pause = bound - taken.min(bound);
        self.until = (!pause.is_zero()).then(|| now + pause);
        pause
    }

    /// Forgets all failures.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the pause ends, if it has not ended yet.
    #[must_use]
    pub fn until(&self, now: Time) -> Option<Time> {
        self.until.filter(|until| *until > now)
    }
}
