//! The law that a core decides and an actor moves, for roles.

pub use grasp::protocol::{Machine, Time};

use actix::{Actor, AsyncContext, Context};
use tokio::time::Instant;

/// A role's core with its clock and its timer.
pub(crate) struct Pump<M> {
    machine: M,
    start: Instant,
    armed: Option<Time>,
}

impl<M> Pump<M> {
    pub(crate) fn new(machine: M) -> Self {
        Self { machine, start: Instant::now(), armed: None }
    }

    fn now(&self) -> Time {
        Time(self.start.elapsed())
    }
}

/// An actor around a core: feed, drain, set the timer.
pub(crate) trait Role: Actor<Context = Context<Self>> {
    /// Its core.
    type Core: Machine;

    /// Its pump.
    fn pump(&mut self) -> &mut Pump<Self::Core>;

    /// Does what the core wants done.
    fn act(&mut self, output: <Self::Core as Machine>::Output, ctx: &mut Context<Self>);

    /// Hands an input to the core and does what follows.
    fn feed(&mut self, input: <Self::Core as Machine>::Input, ctx: &mut Context<Self>) {
        let now = self.pump().now();
        self.pump().machine.handle(now, input);
        self.drain(ctx);
    }

    /// Does what the core wants done, and sees to it that it is woken in time; too early a wake-up does nothing.
    fn drain(&mut self, ctx: &mut Context<Self>) {
        while let Some(output) = self.pump().machine.poll() {
            self.act(output, ctx);
        }
        let pump = self.pump();
        let Some(deadline) = pump.machine.deadline() else { return };
        if pump.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        pump.armed = Some(deadline);
        ctx.run_later(deadline.since(pump.now()), move |actor, ctx| {
            let pump = actor.pump();
            if pump.armed == Some(deadline) {
                pump.armed = None;
            }
            let now = pump.now();
            pump.machine.wake(now);
            actor.drain(ctx);
        });
    }
}
