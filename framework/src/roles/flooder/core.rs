//! When to flood.

use crate::machine::{Machine, Time};
use crate::roles::backoff::{Backoff, BackoffPlan};
use crate::roles::{Control, Mode};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
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
    /// Whether it works from the start on.
    pub mode: Mode,
    /// Where the choice of pauses after failures starts.
    pub seed: u64,
}

impl Plan {
    /// Floods at once and then every `period`, if there is one; serves those who ask, if `serve`.
    #[must_use]
    pub fn new(period: Option<Duration>, serve: bool) -> Self {
        Self { period, serve, mode: Mode::Active, seed: 0 }
    }

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
    Started,
    /// The life cycle of the instance goes on.
    Control(Control),
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

/// The longest pause before a flood that failed is tried again; it doubles up to the period.
const RETRY: Duration = Duration::from_secs(4);

/// The core.
#[derive(Debug)]
pub struct FlooderCore {
    plan: Plan,
    next: Option<Time>,
    backoff: Backoff,
    random: ChaCha12Rng,
    active: bool,
    outputs: VecDeque<Output>,
}

impl FlooderCore {
    /// A core that waits for [`Input::Started`].
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let (random, active) = (ChaCha12Rng::seed_from_u64(plan.seed), plan.mode == Mode::Active);
        Self { plan, next: None, backoff: Backoff::default(), random, active, outputs: VecDeque::new() }
    }

    fn begin(&mut self, now: Time) {
        if self.plan.period.is_some() {
            self.flood(now);
        } else if self.plan.serve {
            self.outputs.push_back(Output::Serve);
        }
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
            Input::Started if self.active => self.begin(now),
            Input::Control(Control::Activate) if !self.active => {
                self.active = true;
                self.begin(now);
            }
            // The value stays there for those who ask.
            Input::Control(Control::Deactivate | Control::Stop) => (self.active, self.next) = (false, None),
            Input::Started | Input::Control(Control::Activate) => {}
            Input::Sent { ok: true } => self.backoff.succeeded(),
            Input::Sent { ok: false } if self.active => {
                let plan = BackoffPlan { first: RETRY, cap: self.plan.period.unwrap_or(RETRY) };
                let pause = self.backoff.failed(now, &plan, self.random.random());
                self.next = Some(now + pause);
            }
            Input::Sent { ok: false } => {}
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
