//! When a pool will be exhausted, if its use goes on as it has (PM-L-03).
//!
//! The rate is the median of the slopes between all pairs of samples (Theil and Sen): neither a single large grant nor the
//! rhythm of the samples moves it much. What comes into the pool as a whole, such as another aggregate, begins the
//! observation anew.

use crate::prefix::{Family, Want};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Samples that are kept; beyond them every second one of the older half goes.
const KEPT: usize = 360;
/// Seconds between samples, at least.
const PAUSE: u64 = 10;
/// Seconds that samples are kept.
const AGE: u64 = 7 * 86_400;
/// Samples below which nothing is said.
const FEWEST: usize = 6;
/// Seconds below which nothing is said.
const SHORTEST: u64 = 60;
/// What lasts longer does not count as growing.
const FOREVER: f64 = 100.0 * 365.25 * 86_400.0;

/// So much was free at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    /// Seconds since any fixed moment.
    at: u64,
    /// Addresses.
    free: u128,
}

/// How the free addresses of a family have developed: at most 360 samples, the newer the denser, of at most seven days.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples {
    kept: VecDeque<Sample>,
    /// The latest, if it came too soon after the one before.
    latest: Option<Sample>,
    most: u128,
}

/// A forecast with its basis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Free addresses now; decimal digits in JSON.
    #[serde(with = "crate::decimal")]
    pub free: u128,
    /// Samples that it rests on.
    pub samples: usize,
    /// Seconds that they span.
    pub span_s: u64,
    /// Prefix length of the blocks that use is counted in.
    pub length: u8,
    /// Such blocks used in an hour; `None` if nothing can be said, negative if use declines.
    pub blocks_per_hour: Option<f64>,
    /// Seconds until nothing is free; `None` without a forecast.
    pub exhausted_in_s: Option<u64>,
    /// The forecast in words, or why there is none.
    pub basis: String,
}

impl Samples {
    /// Notes how much is free, at a time that does not go backwards.
    pub fn note(&mut self, at: u64, free: u128) {
        let sample = Sample { at, free };
        if let Some(last) = self.latest.or(self.kept.back().copied())
            && free > last.free
            && free - last.free > self.most / 4
        {
            // Not somebody who gives a block back, but another pool.
            *self = Self::default();
        }
        self.most = self.most.max(free);
        match self.kept.back() {
            Some(last) if at < last.at.saturating_add(PAUSE) => self.latest = Some(sample),
            Some(_) | None => {
                let latest = self.latest.take();
                self.kept.extend(latest.into_iter().chain([sample]));
            }
        }
        self.thin(at);
    }

    fn thin(&mut self, now: u64) {
        while self.kept.front().is_some_and(|first| first.at.saturating_add(AGE) < now) && self.kept.len() > FEWEST {
            self.kept.pop_front();
        }
        if self.kept.len() > KEPT {
            let mut place = 0;
            self.kept.retain(|_| {
                place += 1;
                place > KEPT / 2 || place % 2 == 1
            });
        }
    }

    /// Whether nothing was ever free.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.most == 0
    }

    /// What is to be expected at a time, in blocks of that size.
    #[must_use]
    pub fn forecast(&self, now: u64, unit: Want) -> Forecast {
        let mut all: Vec<Sample> = self.kept.iter().copied().chain(self.latest).collect();
        let free = all.last().map_or(0, |last| last.free);
        // Nothing has changed since the last one.
        if let Some(last) = all.last().copied().filter(|last| last.at < now) {
            all.push(Sample { at: now, ..last });
        }
        let span_s = all.first().map_or(0, |first| now.saturating_sub(first.at));
        let said = |blocks_per_hour, exhausted_in_s, basis| Forecast {
            free,
            samples: all.len(),
            span_s,
            length: unit.length,
            blocks_per_hour,
            exhausted_in_s,
            basis,
        };
        if free == 0 {
            return said(None, Some(0), "nothing is free".into());
        }
        if all.len() < FEWEST || span_s < SHORTEST {
            let (seen, span) = (all.len(), words(span_s));
            let why = format!("fewer than {FEWEST} changes within at least {SHORTEST} s are known ({seen} in {span})");
            return said(None, None, format!("no forecast: {why}"));
        }
        let per_second = -slope(&all);
        let blocks = per_second * 3_600.0 / float(unit.measure());
        let left = float(free) / per_second;
        if per_second <= 0.0 || left > FOREVER {
            return said(Some(blocks), None, format!("no forecast: use has not grown over the last {}", words(span_s)));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and at most a century")]
        let left = left as u64;
        let basis =
            format!("at {} over the last {}: exhausted in about {}", rate(blocks, unit), words(span_s), words(left));
        said(Some(blocks), Some(left), basis)
    }
}

/// The median of the slopes between all pairs, in addresses a second.
fn slope(samples: &[Sample]) -> f64 {
    let mut slopes = Vec::with_capacity(samples.len() * samples.len() / 2);
    for (place, later) in samples.iter().enumerate() {
        for earlier in &samples[..place] {
            let time = later.at.saturating_sub(earlier.at);
            if time > 0 {
                let rise = if later.free >= earlier.free {
                    float(later.free - earlier.free)
                } else {
                    -float(earlier.free - later.free)
                };
                slopes.push(rise / float(time.into()));
            }
        }
    }
    let middle = slopes.len() / 2;
    if slopes.is_empty() {
        return 0.0;
    }
    let (_, median, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
    *median
}

#[allow(clippy::cast_precision_loss, reason = "53 bits are more than a forecast is worth")]
fn float(number: u128) -> f64 {
    number as f64
}

fn rate(per_hour: f64, unit: Want) -> String {
    let (number, period) = match per_hour {
        _ if per_hour >= 600.0 => (per_hour / 60.0, "minute"),
        _ if per_hour >= 1.0 => (per_hour, "hour"),
        _ => (per_hour * 24.0, "day"),
    };
    let number = if number >= 9.95 { format!("{number:.0}") } else { format!("{number:.2}") };
    format!("{number} blocks of /{} per {period}", unit.length)
}

/// A time in its largest unit of which there are at least two.
fn words(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(365 * 86_400, "years"), (86_400, "days"), (3_600, "h"), (60, "min")];
    let unit = UNITS.iter().find(|(size, _)| seconds >= 2 * size);
    unit.map_or_else(|| format!("{seconds} s"), |(size, name)| format!("{} {name}", (seconds + size / 2) / size))
}

/// The size of block that a family is counted in if nothing else is known.
#[must_use]
pub const fn usual(family: Family) -> Want {
    match family {
        Family::V4 => Want { family, length: 24 },
        Family::V6 => Want { family, length: 64 },
    }
}
