//! Rate limits for what this node multicasts on behalf of others (RFC 8990 §2.5.4.4, §2.5.6.2, T-42).

use super::{LinkId, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// A token bucket: `burst` at once, one more each `interval`.
#[derive(Debug, Clone)]
pub struct Bucket {
    interval: Duration,
    burst: u32,
    /// The time at which the bucket would be full again.
    full_at: Time,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst: burst.max(1), full_at: Time::default() }
    }

    /// Tells whether a token is there, without taking it.
    #[must_use]
    pub fn has_token(&self, now: Time) -> bool {
        self.full_at.since(now).saturating_add(self.interval) <= self.interval.saturating_mul(self.burst)
    }

    /// Tells whether nothing has been taken lately.
    #[must_use]
    pub fn is_full(&self, now: Time) -> bool {
        self.full_at <= now
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        let free = self.has_token(now);
        if free {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        free
    }
}

/// Bounds of relaying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayRate {
    /// Multicasts relayed a second in the long run, over all links and peers.
    pub per_second: u32,
    /// Multicasts relayed at once.
    pub burst: u32,
}

impl Default for RelayRate {
    fn default() -> Self {
        Self { per_second: 50, burst: 100 }
    }
}

/// Limits the total, and keeps any one neighbour to half of it, so that a noisy one does not starve the others.
#[derive(Debug)]
pub struct RelayLimiter {
    total: Bucket,
    share: Bucket,
    neighbours: BTreeMap<(LinkId, IpAddr), Bucket>,
    /// Multicasts not relayed because of the limit.
    pub refused: u64,
}

/// Neighbours whose share is tracked; further ones share the total only.
const NEIGHBOURS: usize = 1024;

impl RelayLimiter {
    /// A limiter with full buckets.
    #[must_use]
    pub fn new(rate: RelayRate) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Self {
            total: Bucket::new(interval, rate.burst),
            share: Bucket::new(interval * 2, rate.burst.div_ceil(2)),
            neighbours: BTreeMap::new(),
            refused: 0,
        }
    }

    /// Tells whether one more multicast from this neighbour may be relayed now, and counts it.
    pub fn admit(&mut self, now: Time, link: LinkId, from: IpAddr) -> bool {
        if self.neighbours.len() >= NEIGHBOURS && !self.neighbours.contains_key(&(link, from)) {
            self.neighbours.retain(|_, bucket| bucket.full_at > now);
        }
        let fair = if self.neighbours.len() < NEIGHBOURS || self.neighbours.contains_key(&(link, from)) {
            let bucket = self.neighbours.entry((link, from)).or_insert_with(|| self.share.clone());
            self.total.has_token(now) && bucket.take(now)
        } else {
            true
        };
        let admitted = fair && self.total.take(now);
        self.refused += u64::from(!admitted);
        admitted
    }
}
