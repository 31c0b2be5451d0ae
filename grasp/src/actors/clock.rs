//! The node's clock.

use crate::net::Network;
use crate::protocol::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Reads the time since the node started: the runtime's clock, which tests can pause, plus suspended time (T-25).
#[derive(Clone)]
pub(crate) struct Clock {
    start: Instant,
    network: Arc<dyn Network>,
}

impl Clock {
    pub(crate) fn start(network: Arc<dyn Network>) -> Self {
        Self { start: Instant::now(), network }
    }

    pub(crate) fn now(&self) -> Time {
        Time(self.start.elapsed().saturating_add(self.network.suspended()))
    }

    /// How long from now until `time`.
    pub(crate) fn until(&self, time: Time) -> Duration {
        time.since(self.now())
    }
}
