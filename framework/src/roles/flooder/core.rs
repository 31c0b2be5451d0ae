//! When to flood.

use crate::machine::{Machine, Time};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// How an objective is made known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Pause between floods; `None` only serves those who ask.
    pub period: Option<Duration>,
    /// Also serve those who ask (RFC 8990 §2.5.6.2).
    pub serve: bool,
}

impl Plan {
    /// Lifetime of a flooded copy in milliseconds: three and a half periods, so that it outlives lost repetitions.
    #[must_use]
    pub fn ttl(&self) -> u32 {
        let ttl = self.period.unwrap_or_default().as_millis() * 7 / 2;
        u32::try_from(ttl).unwrap_or(u32::MAX).max(1)
    }
}

/// What the core hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Everything is registered.
    Started {
        /// Whether to flood now.
        active: bool,
    },
    /// Flood from now on.
    Activated,
    /// Flood no more; who asks is still answered.
    Deactivated,
    /// The last flood has been sent, or could not be.
    Sent {
        /// Whether it was sent.
        ok: bool,
    },
}

/// What the core wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Serve the current value from now on.
    Serve,
    /// Flood the current value with this lifetime in milliseconds.
    Flood(u32),
}

/// Pause before a flood that failed is tried again; it doubles up to the period.
const RETRY: Duration = Duration::from_secs(4);

/// The core.
#[derive(Debug)]
pub struct FlooderCore {
    plan: Plan,
    next: Option<Time>,
    failures: u32,
    outputs: VecDeque<Output>,
}

impl FlooderCore {
    /// A core that waits for [`Input::Started`].
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { plan, next: None, failures: 0, outputs: VecDeque::new() }
    }

    fn flood(&mut self, now: Time) {
        let Some(period) = self.plan.period else { return };
        if self.plan.serve {
            self.outputs.push_back(Output::Serve);
        }
        self.outputs.push_back(Output::Flood(self.plan.ttl()));
        self.next = Some(now + period);
    }
}

impl Machine for FlooderCore {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Started { active: true } | Input::Activated if self.plan.period.is_some() => self.flood(now),
            Input::Started { .. } | Input::Activated if self.plan.serve => self.outputs.push_back(Output::Serve),
            Input::Started { .. } | Input::Activated => {}
            Input::Deactivated => self.next = None,
            Input::Sent { ok: true } => self.failures = 0,
            Input::Sent { ok: false } if self.next.is_none() => {}
            Input::Sent { ok: false } => {
                let period = self.plan.period.unwrap_or(RETRY);
                let pause = RETRY.saturating_mul(1 << self.failures.min(16)).min(period);
                self.failures += 1;
                self.next = Some(now + pause);
            }
        }
    }

    fn wake(&mut self, now: Time) {
        if self.next.is_some_and(|next| next <= now) {
            self.flood(now);
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        self.next
    }
}
