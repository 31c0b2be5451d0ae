//! What becomes of open negotiations and of leases when the store is read, and when their time comes.

use super::core::{Key, PoolCore};
use super::record::{Lease, Part, Span, State, Way};
use super::request::Request;
use crate::prefix::Prefix;
use asa_framework::machine::Time;

/// Leases of earlier boots that one life writes down anew, at most: this bounds its first batch.
const REWRITTEN: usize = 10_000;

/// How far ahead the ends of leases are listed, in seconds.
const AHEAD: u32 = 600;

/// What a client's valid lifetime is prolonged by before its block may be anybody else's, in seconds: the client counts from
/// when it hears of its block, which is later than the decision by the rounding of the clock, by what the core takes to answer, and by the
/// operator's program (10 s).
const GRACE: u32 = 15;

impl PoolCore {
    /// Seconds since 1970, as the wall clock last said.
    pub(super) fn wall(&self) -> u32 {
        self.stamp.wall
    }

    /// Seconds since boot.
    pub(super) fn uptime(&self, now: Time) -> u32 {
        let passed = u32::try_from(now.since(self.stamped).as_secs()).unwrap_or(u32::MAX);
        self.stamp.uptime.saturating_add(passed)
    }

    /// A span that begins now.
    pub(super) fn span(&self, now: Time, seconds: u32) -> Span {
        Span { seconds, began: self.uptime(now), boot: self.stamp.boot }
    }

    /// When a span ends, in seconds since boot: if it began in another boot, the whole of it begins anew with this life
    /// (PM-S-22). It is later than the client believes (PM-D-05). The answer is the same throughout a life.
    pub(super) fn end_of(&self, span: &Span) -> u32 {
        let began = if self.is_of_this_boot(span) { span.began } else { self.began };
        began.saturating_add(span.seconds).saturating_add(GRACE)
    }

    pub(super) fn is_of_this_boot(&self, span: &Span) -> bool {
        span.boot == self.stamp.boot
    }

    /// Makes the open negotiations in the store agree with those that are known to be open.
    pub(super) fn settle_open(&mut self) {
        let unsettled = std::mem::take(&mut self.unsettled);
        let all: Vec<(Prefix, State)> = self
            .book
            .blocks
            .iter()
            .filter(|(_, state)| {
                matches!(state, State::Held(_) | State::Offered(_) | State::Accepting(_) | State::Dry(_))
            })
            .map(|(block, state)| (*block, state.clone()))
            .collect();
        for (block, state) in all {
            let Some(dealt) = state.dealt().cloned() else { continue };
            let part = super::book::part_of(&state);
            let key = (part, dealt.deal.clone());
            let known = self.promised.contains(&key);
            let open = self.begun && known && !unsettled.contains(&key);
            let promised = known || !self.unmade.contains(&key);
            let dealt = Box::new(dealt);
            match state {
                State::Offered(_) | State::Accepting(_) if open => {}
                State::Offered(_) if promised => {
                    self.book.turn(&block, State::Doubt { dealt, way: Way::Out, reset: false });
                }
                State::Accepting(_) if promised => {
                    self.book.turn(&block, State::Doubt { dealt, way: Way::In, reset: false });
                }
                State::Accepting(_) => drop(self.book.remove(&block)),
                _ => self.free(&block),
            }
        }
        let book = &self.book;
        let open = |(part, deal): &Key| {
            let state = book.block_of(*part, deal).and_then(|block| book.blocks.get(&block));
            matches!(state, Some(State::Offered(_) | State::Accepting(_)))
        };
        // They are promises until the store has it that they are none: if it fails again they are met here again.
        self.steps.extend(self.promised.iter().filter(|key| !open(key)).map(|key| (key.clone(), false)));
        let asking = |(part, deal): &Key| *part == Part::Asker && book.is_asking(deal);
        self.open.retain(|key, _| open(key) || asking(key));
        if !self.begun {
            // Nothing that was asked in an earlier life can still come to a good end, but for what is in doubt.
            let numbers: Vec<u64> = self.book.sessions.iter().filter(|(_, s)| !s.over).map(|(n, _)| *n).collect();
            for number in numbers {
                let deal = self.book.sessions.get(&number).map(|session| session.deal.clone());
                if deal.is_some_and(|deal| self.book.block_of(Part::Asker, &deal).is_none()) {
                    self.book.over(number);
                }
            }
        }
        // Whether a batch that failed was made is known now: who has lost a block hears of it.
        for block in std::mem::take(&mut self.lapsed) {
            if !matches!(self.book.blocks.get(&block), Some(State::Delegated(_))) {
                self.retired.push(block);
            }
        }
    }

    /// Prepares for the end of every lease. Those of earlier boots begin anew now, and are written down so: otherwise every
    /// further life would prolong them.
    pub(super) fn arm(&mut self, now: Time) {
        let strange = self.book.blocks.iter().filter_map(|(block, state)| Some((*block, state.lease()?.valid?)));
        let strange = strange.filter(|(_, span)| !self.is_of_this_boot(span)).take(REWRITTEN);
        for (block, Span { seconds, .. }) in strange.collect::<Vec<_>>() {
            let span = self.span(now, seconds);
            let anew = |lease: &Lease| Box::new(Lease { valid: Some(span), ..lease.clone() });
            let state = match self.book.blocks.get(&block) {
                Some(State::Delegated(lease)) => State::Delegated(anew(lease)),
                Some(State::Cooling(lease)) => State::Cooling(anew(lease)),
                _ => continue,
            };
            self.book.turn(&block, state);
        }
        self.look_ahead(now);
    }

    /// Enters the leases that end soon. A million of leases that are renewed in time need no place in the list.
    fn look_ahead(&mut self, now: Time) {
        let horizon = self.uptime(now).saturating_add(AHEAD);
        let leases = self.book.blocks.iter().filter_map(|(block, state)| Some((state.lease()?.valid?, *block)));
        let (soon, later): (Vec<_>, usize) = leases.fold((Vec::new(), 0), |(mut soon, later), (span, block)| {
            let end = self.end_of(&span);
            if end <= horizon {
                soon.push((end, block));
            }
            (soon, later + usize::from(end > horizon))
        });
        self.ends = soon.into_iter().collect();
        self.horizon = (later > 0).then_some(horizon);
    }

    /// A lease has an end.
    pub(super) fn expect_end(&mut self, now: Time, end: u32, block: Prefix) {
        let horizon = self.uptime(now).saturating_add(AHEAD);
        if end <= *self.horizon.get_or_insert(horizon) {
            self.ends.insert((end, block));
        }
    }

    pub(super) fn wake_ready(&mut self, now: Time) {
        let lost: Vec<Key> = self.open.iter().filter(|(_, due)| **due <= now).map(|(key, _)| key.clone()).collect();
        for (part, deal) in lost {
            self.open.remove(&(part, deal.clone()));
            let state = self.book.block_of(part, &deal).and_then(|block| self.book.blocks.get(&block));
            let request = match (part, state) {
                (Part::Provider, Some(State::Held(_) | State::Dry(_))) => Request::Release(deal),
                (Part::Provider, Some(State::Offered(_))) => Request::Doubt(deal),
                (Part::Asker, Some(State::Accepting(_))) => Request::DoubtTaken { deal, reset: false },
                (Part::Asker, None) if self.book.is_asking(&deal) => Request::Refuse(deal),
                _ => continue,
            };
            self.count("negotiations_lost");
            // Nobody waits for the answer.
            let _ = self.decide(now, request);
            self.urgent = true;
        }
        let uptime = self.uptime(now);
        if self.horizon.is_some_and(|horizon| horizon <= uptime) {
            self.look_ahead(now);
        }
        while let Some((end, block)) = self.ends.first().copied().filter(|(end, _)| *end <= uptime) {
            self.ends.remove(&(end, block));
            // It may have been given for longer since.
            match self.book.blocks.get(&block).and_then(|state| state.lease()?.valid) {
                Some(span) if self.end_of(&span) <= uptime => {
                    self.lease_over(&block);
                    self.urgent = true;
                }
                Some(span) => self.expect_end(now, self.end_of(&span), block),
                None => {}
            }
        }
    }
}
