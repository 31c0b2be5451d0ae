//! The contract between a core, which decides, and its actor, which moves.

use super::Time;

/// A core: a plain state machine that an actor feeds and drains.
///
/// After each [`handle`](Machine::handle) or [`wake`](Machine::wake) the actor drains [`poll`](Machine::poll) to
/// `None`, then sees to it that `wake` is called at [`deadline`](Machine::deadline). Waking too early does nothing.
pub trait Machine {
    /// What can happen to it.
    type Input;
    /// What it wants done.
    type Output;

    /// Takes one input; due timers fire first.
    fn handle(&mut self, now: Time, input: Self::Input);
    /// Lets due timers fire.
    fn wake(&mut self, now: Time);
    /// Returns the next thing to do, oldest first.
    fn poll(&mut self) -> Option<Self::Output>;
    /// The next point in time at which something is due; may change with every call above.
    fn deadline(&self) -> Option<Time>;
}
