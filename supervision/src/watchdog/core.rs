//! Who has to answer by when. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// When the watchdog asks, and when it has seen enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    /// Time between two questions.
    pub every: Duration,
    /// Time for the answer; at most [`every`](Self::every).
    pub deadline: Duration,
    /// Misses in a row that are a hang.
    pub misses: u32,
}

impl Default for WatchLimits {
    /// A question every 3 s, 2 s for the answer, two misses are a hang: seen within 8 s.
    fn default() -> Self {
        Self { every: Duration::from_secs(3), deadline: Duration::from_secs(2), misses: 2 }
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Ask this child.
    Ask(u64),
    /// This one hangs; said once a life.
    Hung(u64),
}

/// A child as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Sign {
    /// Its id.
    pub id: u64,
    /// The number of its life.
    pub life: u64,
    /// When it last answered.
    pub beat: Option<Duration>,
    /// It rests between two lives, or has ended: nobody waits for it.
    pub excused: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    life: u64,
    since: Option<Duration>,
    misses: u32,
    condemned: bool,
}

/// The watchdog's memory; it forgets children that are gone.
#[derive(Debug)]
pub struct Watch {
    limits: WatchLimits,
    asked: BTreeMap<u64, Asked>,
    ask_at: Duration,
    check_at: Option<Duration>,
}

impl Watch {
    /// Asks for the first time one period after `now`.
    #[must_use]
    pub fn new(limits: WatchLimits, now: Duration) -> Self {
        Self { limits, asked: BTreeMap::new(), ask_at: now + limits.every, check_at: None }
    }

    /// When to look again.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.check_at.map_or(self.ask_at, |check| check.min(self.ask_at))
    }

    /// Whether everyone who was asked has answered in time.
    #[must_use]
    pub fn all_answered(&self) -> bool {
        self.asked.values().all(|asked| asked.misses == 0)
    }

    /// Looks at all children; call it at the deadline, or earlier without harm.
    pub fn look(&mut self, now: Duration, signs: &[Sign]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let check = self.check_at.is_some_and(|at| at <= now);
        let ask = self.ask_at <= now;
        self.asked.retain(|id, _| signs.iter().any(|sign| sign.id == *id));
        for sign in signs {
            let asked = self.asked.entry(sign.id).or_default();
            if asked.life != sign.life || sign.excused {
                *asked = Asked { life: sign.life, ..Asked::default() };
            }
            if asked.since.is_some_and(|since| sign.beat.is_some_and(|beat| beat >= since)) {
                (asked.since, asked.misses) = (None, 0);
            }
            if check && asked.since.is_some() {
                asked.misses += 1;
                if asked.misses >= self.limits.misses && !asked.condemned {
                    asked.condemned = true;
                    findings.push(Finding::Hung(sign.id));
                }
            }
            // One question at a time: a mailbox that is not emptied does not fill with questions.
            if ask && asked.since.is_none() && !sign.excused {
                asked.since = Some(now);
                findings.push(Finding::Ask(sign.id));
            }
        }
        if check {
            self.check_at = None;
        }
        if ask {
            self.ask_at = now + self.limits.every;
            self.check_at = Some(now + self.limits.deadline.min(self.limits.every));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(beat: Option<u64>) -> Sign {
        Sign { id: 7, life: 1, beat: beat.map(Duration::from_millis), excused: false }
    }

    fn run(watch: &mut Watch, until: u64, mut sign_at: impl FnMut(Duration, &mut Sign)) -> Vec<(u64, Finding)> {
        let (mut found, mut sign) = (Vec::new(), sign(None));
        while watch.deadline() <= Duration::from_millis(until) {
            let now = watch.deadline();
            sign_at(now, &mut sign);
            for finding in watch.look(now, &[sign]) {
                if let Finding::Ask(_) = finding {
                    sign_at(now, &mut sign);
                }
                found.push((u64::try_from(now.as_millis()).unwrap(), finding));
            }
        }
        found
    }

    #[test]
    fn a_hang_is_seen_within_ten_seconds_wherever_it_begins() {
        for begins in (0..6000).step_by(50) {
            let mut watch = Watch::new(WatchLimits::default(), Duration::ZERO);
            let found = run(&mut watch, 30_000, |now, sign| {
                if now < Duration::from_millis(begins) {
                    sign.beat = Some(now);
                }
            });
            let hung: Vec<_> = found.iter().filter(|(_, finding)| matches!(finding, Finding::Hung(_))).collect();
            assert_eq!(hung.len(), 1, "begins at {begins}");
            assert!(hung[0].0 - begins <= 8_000, "begun at {begins}, seen at {}", hung[0].0);
        }
    }

    #[test]
    fn who_answers_is_asked_every_period_and_never_condemned() {
        let mut watch = Watch::new(WatchLimits::default(), Duration::ZERO);
        let found = run(&mut watch, 30_000, |now, sign| sign.beat = Some(now));
        assert_eq!(found.len(), 10);
        assert!(found.iter().all(|(_, finding)| *finding == Finding::Ask(7)));
        assert!(watch.all_answered());
    }

    #[test]
    fn who_does_not_answer_is_asked_once() {
        let mut watch = Watch::new(WatchLimits::default(), Duration::ZERO);
        let found = run(&mut watch, 30_000, |_, _| {});
        assert_eq!(found, [(3_000, Finding::Ask(7)), (8_000, Finding::Hung(7))]);
        assert!(!watch.all_answered());
    }

    #[test]
    fn who_rests_between_two_lives_is_not_expected_to_answer() {
        let mut watch = Watch::new(WatchLimits::default(), Duration::ZERO);
        assert_eq!(run(&mut watch, 30_000, |_, sign| sign.excused = true), []);
        assert!(watch.all_answered());
    }
}
