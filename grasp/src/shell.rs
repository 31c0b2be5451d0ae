//! The shell that every actor around a core shares: clock, pump, timer, recorder.

use crate::net::Network;
use crate::protocol::{Machine, Time};
use crate::recorder::{Event, Record, Recorder};
use actix::{Actor, AsyncContext, Context};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Reads the time since the node started: the runtime's clock, which tests can pause, plus suspended time (T-25).
#[derive(Clone)]
pub struct Clock {
    start: Instant,
    network: Option<Arc<dyn Network>>,
}

impl Clock {
    /// A clock that counts suspended time as the network knows it.
    #[must_use]
    pub fn start(network: Arc<dyn Network>) -> Self {
        Self { start: Instant::now(), network: Some(network) }
    }

    /// A clock for what need not outlast a suspended machine.
    #[must_use]
    pub fn of_the_runtime() -> Self {
        Self { start: Instant::now(), network: None }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Time {
        let suspended = self.network.as_ref().map_or(Duration::ZERO, |network| network.suspended());
        Time(self.start.elapsed().saturating_add(suspended))
    }

    /// How long from now until `time`.
    #[must_use]
    pub fn until(&self, time: Time) -> Duration {
        time.since(self.now())
    }
}

/// A core with its clock, its timer and its recorder.
pub struct Pump<M> {
    machine: M,
    clock: Clock,
    recorder: Option<Recorder>,
    node: String,
    core: String,
    armed: Option<Time>,
}

impl<M> Pump<M> {
    /// A core under this name, with what it hears and says taken down if there is a recorder.
    #[must_use]
    pub fn new(machine: M, clock: Clock, recorder: Option<Recorder>, node: &str, core: String) -> Self {
        Self { machine, clock, recorder, node: node.to_owned(), core, armed: None }
    }

    /// The core, to be read.
    #[must_use]
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The core, to be ended.
    #[must_use]
    pub fn into_machine(self) -> M {
        self.machine
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    fn record(&self, at: Time, event: impl FnOnce() -> Event) {
        if let Some(recorder) = &self.recorder {
            recorder(&Record { node: self.node.clone(), core: self.core.clone(), at, event: event() });
        }
    }
}

/// An actor around a core.
pub trait Pumped: Actor<Context = Context<Self>> {
    /// Its core.
    type Core: Machine<Input: Serialize, Output: Serialize>;

    /// Its pump.
    fn pump(&mut self) -> &mut Pump<Self::Core>;

    /// Does what the core wants done.
    fn act(&mut self, output: <Self::Core as Machine>::Output, ctx: &mut Context<Self>);

    /// Hands an input to the core and does what follows.
    fn feed(&mut self, input: <Self::Core as Machine>::Input, ctx: &mut Context<Self>) {
        supervision::strike();
        let pump = self.pump();
        let now = pump.clock.now();
        pump.record(now, || Event::Input(serde_json::to_value(&input).unwrap_or_default()));
        pump.machine.handle(now, input);
        self.drain(ctx);
    }

    /// Does what the core wants done, and sees to it that it is woken in time.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        while let Some(output) = self.pump().machine.poll() {
            supervision::strike();
            let pump = self.pump();
            pump.record(pump.clock.now(), || Event::Output(serde_json::to_value(&output).unwrap_or_default()));
            self.act(output, ctx);
        }
        self.arm(ctx);
    }

    /// Sets a timer unless an earlier one is set; waking a core too early does nothing, so none is ever cancelled.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let pump = self.pump();
        let Some(deadline) = pump.machine.deadline() else { return };
        if pump.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        pump.armed = Some(deadline);
        ctx.run_later(pump.clock.until(deadline), move |actor, ctx| {
            let pump = actor.pump();
            if pump.armed == Some(deadline) {
                pump.armed = None;
            }
            let now = pump.clock.now();
            pump.record(now, || Event::Wake);
            pump.machine.wake(now);
            actor.drain(ctx);
        });
    }
}
