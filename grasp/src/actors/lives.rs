//! What one life of an actor leaves to the next: everything the first time, nothing if it falls again soon.

use crate::protocol::Time;
use std::time::Duration;

/// An actor that fails so soon after a restart may have fallen over what it was left.
const AGAIN: Duration = Duration::from_secs(30);

/// How a life ended, as far as the next one is concerned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It never began: what it was left is untouched.
    Unbegun,
    /// After a quiet time: what it held is kept.
    Keep,
    /// Soon after the last restart: what it held may be what made it fall.
    Drop,
}

/// The lives of one actor.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    running: bool,
    ended: Option<Time>,
}

impl Lives {
    /// A life begins.
    pub(crate) fn begin(&mut self) {
        self.running = true;
    }

    /// A life has ended; may be called any number of times before the next one begins.
    pub(crate) fn end(&mut self, now: Time) -> End {
        if !std::mem::take(&mut self.running) {
            return End::Unbegun;
        }
        match self.ended.replace(now) {
            Some(last) if now.since(last) < AGAIN => End::Drop,
            _ => End::Keep,
        }
    }
}
