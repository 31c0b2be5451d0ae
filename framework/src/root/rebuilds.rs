//! How often instances may be rebuilt before the process gives up. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// The rebuilds of a node within a window.
#[derive(Debug, Clone)]
pub(super) struct Rebuilds {
    limit: usize,
    within: Duration,
    recent: VecDeque<Duration>,
}

impl Rebuilds {
    pub(super) fn new(limit: u32, within: Duration) -> Self {
        Self { limit: limit as usize, within, recent: VecDeque::new() }
    }

    /// Enters one more rebuild; tells whether it is still allowed.
    pub(super) fn allowed(&mut self, now: Duration) -> bool {
        while self.recent.front().is_some_and(|at| now.saturating_sub(*at) > self.within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.limit {
            return false;
        }
        self.recent.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_rebuild_in_ten_minutes_is_one_too_many() {
        let mut rebuilds = Rebuilds::new(3, Duration::from_secs(600));
        let at = |minute: u64| Duration::from_secs(60 * minute);
        assert!(rebuilds.allowed(at(0)) && rebuilds.allowed(at(1)) && rebuilds.allowed(at(2)));
        assert!(!rebuilds.allowed(at(10)));
        assert!(rebuilds.allowed(at(10) + Duration::from_millis(1)), "the first is forgotten");
    }
}
