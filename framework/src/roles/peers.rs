//! What is known of the peers of one objective: whom to ask first, whom not to ask now, when to look for others.

use super::backoff::{Backoff, BackoffPlan};
use crate::machine::Time;
use grasp::AsaLocator;
use std::time::Duration;

/// Peers remembered at once; beyond them the one that was heard of longest ago is forgotten.
pub const PEERS: usize = 64;

/// How peers are kept and looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeersPlan {
    /// Pauses after failures, for each peer and for the objective as a whole (ASA-R-03).
    pub backoff: BackoffPlan,
    /// Failures in a row after which what was discovered is forgotten and the good peer with it (ASA-R-04); 0 never.
    pub flush_after: u32,
    /// Looks for peers anew after about this time even without failures (ASA-R-05); `None` never.
    pub rediscover: Option<Duration>,
}

impl Default for PeersPlan {
    fn default() -> Self {
        Self { backoff: BackoffPlan::default(), flush_after: 3, rediscover: Some(Duration::from_secs(300)) }
    }
}

impl PeersPlan {
    /// Leaves pauses, flushes and rediscovery to the strategy.
    pub const BY_STRATEGY: Self = Self { backoff: BackoffPlan::NONE, flush_after: 0, rediscover: None };
}

#[derive(Debug)]
struct Peer {
    at: AsaLocator,
    backoff: Backoff,
    /// It could not be reached; so until it is discovered anew.
    dead: bool,
}

/// Who may be asked now.
#[derive(Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The good peer first, then those who have failed least often, then in the order of discovery.
    pub ready: Vec<AsaLocator>,
    /// When the first of those who are left alone for now may be asked again.
    pub later: Option<Time>,
}

/// The peers of one objective. Knows no clock and draws nothing by itself.
#[derive(Debug)]
pub struct Peers {
    plan: PeersPlan,
    known: Vec<Peer>,
    /// Who last helped (ASA-R-04, RFC 9222 Appendix A).
    good: Option<AsaLocator>,
    /// Of the objective as a whole.
    backoff: Backoff,
    /// Failures since the last success or flush.
    failures: u32,
    rediscover: Option<Time>,
    forgotten: u64,
}

/// The same place, however it was learned (PM-R-08).
fn same(a: &AsaLocator, b: &AsaLocator) -> bool {
    a.locator == b.locator && a.interface == b.interface
}

impl Peers {
    /// Knows nobody.
    #[must_use]
    pub fn new(plan: PeersPlan) -> Self {
        let (known, good, backoff) = (Vec::new(), None, Backoff::default());
        Self { plan, known, good, backoff, failures: 0, rediscover: None, forgotten: 0 }
    }

    /// Takes what is in the discovery cache and tells who may be asked; who is no longer there is not the good peer.
    ///
    /// Who is dead or in its pause is passed over (ASA-R-03, ASA-R-16).
    pub fn rank(&mut self, now: Time, found: &[AsaLocator]) -> Ranked {
        if self.good.as_ref().is_some_and(|good| !found.iter().any(|at| same(at, good))) {
            self.good = None;
        }
        let (mut ready, mut later) = (Vec::new(), None);
        for at in found {
            let state = self.known.iter().find(|peer| same(&peer.at, at));
            match state.map(|peer| (peer.dead, peer.backoff.until(now))) {
                Some((true, _)) => {}
                Some((false, Some(until))) => later = Some(later.map_or(until, |least: Time| least.min(until))),
                Some((false, None)) | None => ready.push(at.clone()),
            }
        }
        // Who has failed less often goes first, so that nobody is asked in vain again and again while others are not asked at all.
        let failures = |at: &AsaLocator| {
            let state = self.known.iter().find(|peer| same(&peer.at, at));
            state.map_or(0, |peer| peer.backoff.failures())
        };
        ready.sort_by_key(failures);
        if let Some(place) = ready.iter().position(|at| self.good.as_ref().is_some_and(|good| same(at, good))) {
            let good = ready.remove(place);
            ready.insert(0, good);
        }
        Ranked { ready, later }
    }

    /// A discovery on the network has ended: whoever answers lives. `draw` spreads the next one.
    pub fn discovered(&mut self, now: Time, found: &[AsaLocator], draw: u64) {
        for peer in &mut self.known {
            peer.dead &= !found.iter().any(|at| same(at, &peer.at));
        }
        // Between three quarters of the period and all of it, so that nodes which start together do not stay together.
        self.rediscover = self.plan.rediscover.map(|period| {
            let quarter = u64::try_from(period.as_micros() / 4).unwrap_or(u64::MAX);
            let less = u64::try_from((u128::from(quarter) * u128::from(draw)) >> 64).unwrap_or_default();
            now + (period - Duration::from_micros(less))
        });
    }

    fn entry(&mut self, at: &AsaLocator) -> &mut Peer {
        let place = self.known.iter().position(|peer| same(&peer.at, at));
        let peer = match place {
            Some(place) => self.known.remove(place),
            None => Peer { at: at.clone(), backoff: Backoff::default(), dead: false },
        };
        if self.known.len() >= PEERS {
            self.known.remove(0);
            self.forgotten += 1;
        }
        self.known.push(peer);
        let last = self.known.len() - 1;
        &mut self.known[last]
    }

    /// It helped: it is asked first from now on.
    pub fn succeeded(&mut self, at: &AsaLocator) {
        self.entry(at).backoff.succeeded();
        self.good = Some(at.clone());
        self.backoff.succeeded();
        self.failures = 0;
    }

    /// It declined, or did not answer: it is left alone for a while, and is no longer the good peer.
    pub fn failed(&mut self, now: Time, at: &AsaLocator, draw: u64) {
        let plan = self.plan.backoff;
        self.entry(at).backoff.failed(now, &plan, draw);
        self.forget_good(at);
    }

    /// It cannot be reached: it is passed over until a discovery finds it again.
    pub fn unreachable(&mut self, at: &AsaLocator) {
        self.entry(at).dead = true;
        self.forget_good(at);
    }

    fn forget_good(&mut self, at: &AsaLocator) {
        if self.good.as_ref().is_some_and(|good| same(good, at)) {
            self.good = None;
        }
    }

    /// An attempt as a whole came to nothing; the next may begin after a pause.
    pub fn attempt_failed(&mut self, now: Time, draw: u64) {
        self.failures = self.failures.saturating_add(1);
        self.backoff.failed(now, &self.plan.backoff, draw);
    }

    /// Until when nobody is to be asked.
    #[must_use]
    pub fn pause(&self, now: Time) -> Option<Time> {
        self.backoff.until(now)
    }

    /// Tells whether the discovery cache is to be flushed before the next attempt, and counts anew if so.
    pub fn flush(&mut self) -> bool {
        let due = self.plan.flush_after > 0 && self.failures >= self.plan.flush_after;
        if due {
            self.failures = 0;
            self.good = None;
        }
        due
    }

    /// Tells whether it is time to look for peers on the network although some are known.
    #[must_use]
    pub fn rediscovery_due(&self, now: Time) -> bool {
        self.rediscover.is_some_and(|due| due <= now)
    }

    /// Who is asked first, if there is such a one.
    #[must_use]
    pub fn good(&self) -> Option<&AsaLocator> {
        self.good.as_ref()
    }

    /// Peers remembered, and those forgotten for want of room.
    #[must_use]
    pub fn counts(&self) -> (usize, u64) {
        (self.known.len(), self.forgotten)
    }
}
