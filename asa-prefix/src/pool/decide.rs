//! What each request does to the blocks.

use super::book::dealt;
use super::core::PoolCore;
use super::record::{Deal, Lease, Part, Source, State, Way};
use super::request::{Answer, Lifetimes, PoolError, Request};
use super::sessions::Remembered;
use crate::prefix::{Prefix, Want};
use asa_framework::machine::Time;
use std::time::Duration;

pub(super) type Decision = Result<Answer, PoolError>;

impl PoolCore {
    pub(super) fn decide(&mut self, now: Time, request: Request) -> Decision {
        let fresh = matches!(
            request,
            Request::Hold { .. } | Request::Ask { .. } | Request::Accept { .. } | Request::Delegate { .. }
        );
        if fresh && !self.active {
            return Err(PoolError::Inactive);
        }
        match request {
            Request::Hold { deal, want, longest, dry } => self.hold(now, deal, want, longest, dry),
            Request::Offer(deal) => self.offer(&deal),
            Request::Confirm(deal) => self.confirm(&deal),
            Request::Release(deal) => self.release(&deal),
            Request::Doubt(deal) => self.doubt(&deal),
            Request::Ask { deal, want } => Ok(self.ask(now, deal, want)),
            Request::Accept { deal, block } => self.accept(now, deal, block),
            Request::Adopt(deal) => self.adopt(&deal),
            Request::Refuse(deal) => self.refuse(&deal),
            Request::DoubtTaken { deal, reset } => self.doubt_taken(&deal, reset),
            Request::Delegate { client, want, lifetimes } => self.delegate(now, client, want, lifetimes),
            Request::GiveBack { client, block, unused } => self.give_back(now, &client, block, unused),
            Request::Return(block) => self.begin_return(block),
            Request::Returned { block, gone } => self.returned(&block, gone),
            Request::TakeBack { session, block } => self.take_back(session, block),
            Request::Examine { session, block, asker } => Ok(Answer::Verdict(self.examine(session, block, asker))),
            Request::Inquire(block) => self.inquire(block),
            Request::Reclaim(block) => self.reclaim(block),
            Request::From { peer, request } => {
                self.party(&peer, &request)?;
                self.decide(now, *request)
            }
            Request::Settle { block, session, moved } => self.settle(&block, Some(session), moved),
            Request::Resolve { block, moved } => self.settle(&block, None, moved),
            Request::Import(planned) => self.import(&planned),
            Request::Exclude(block) => Ok(Answer::Blocks(self.exclude(&block), false)),
            Request::Include(block) => Ok(self.include(&block)),
            Request::Withdraw(block) => self.withdraw(&block),
            Request::Reinstate(block) => self.reinstate(&block),
            Request::Census => Ok(Answer::Census(Box::new(self.census()))),
            Request::Blocks { after, within, states, limit } => Ok(self.list(after, within, &states, limit)),
            Request::Unsettled { limit } => Ok(self.unsettled(limit)),
            Request::Records => Ok(Answer::Records(self.book.records())),
        }
    }

    pub(super) fn remember(&mut self, remembered: Remembered) {
        let forgotten = self.book.remember(remembered, self.plan.sessions);
        if forgotten > 0 {
            *self.counters.entry("sessions_forgotten").or_default() += forgotten;
        }
    }

    /// Frees a block; an aggregate that is withdrawn goes when nothing of it is in use any more.
    pub(super) fn free(&mut self, block: &Prefix) {
        let home = self.book.space.aggregate_of(block);
        self.book.free(block);
        self.exclude_as_planned(block);
        if let Some(home) = home {
            self.drained(&home);
        }
    }

    pub(super) fn drained(&mut self, home: &Prefix) {
        let Some(belonging) = self.book.aggregates.get(home) else { return };
        // What came from a peer is handed back instead.
        let ours = belonging.withdrawn && !matches!(belonging.source, Source::Peer(_));
        if ours && self.book.within(home).all(|(_, state)| *state == State::Excluded) {
            self.book.drop_aggregate(home);
        }
    }

    fn state_of(&self, part: Part, deal: &Deal) -> Option<(Prefix, State)> {
        let block = self.book.block_of(part, deal)?;
        Some((block, self.book.blocks.get(&block)?.clone()))
    }

    fn hold(&mut self, now: Time, deal: Deal, want: Want, longest: u8, dry: Option<u32>) -> Decision {
        // A counter-proposal turns down what was offered before (PM-S-07).
        match self.state_of(Part::Provider, &deal) {
            Some((block, State::Held(_) | State::Offered(_) | State::Dry(_))) => {
                self.free(&block);
                self.end(Part::Provider, &deal);
            }
            Some((block, _)) => return Err(PoolError::State(format!("{block} of that session is in doubt"))),
            None => {}
        }
        let key = (Part::Provider, deal.clone());
        let hold = dry.map_or(self.plan.hold, |seconds| Duration::from_secs(seconds.into()));
        let held = dealt(&deal, self.wall());
        let state = if dry.is_some() { State::Dry(held) } else { State::Held(held) };
        let block = match self.set_aside(&deal.peer, want).filter(|_| dry.is_none()) {
            Some((block, earlier)) => {
                self.book.turn(&block, state);
                self.open.remove(&(Part::Provider, earlier));
                block
            }
            None => {
                self.affordable(&deal.peer, want)?;
                self.book.take(want, longest, state)?
            }
        };
        self.open.insert(key, now + hold);
        Ok(Answer::Block(block))
    }

    /// What a dry run has set aside for the same peer (PM-Y-02).
    fn set_aside(&self, peer: &str, want: Want) -> Option<(Prefix, Deal)> {
        self.book.dries.iter().filter(|block| block.want() == want).find_map(|block| {
            let deal = &self.book.blocks.get(block)?.dealt()?.deal;
            (deal.peer == peer).then(|| (*block, deal.clone()))
        })
    }

    fn affordable(&mut self, peer: &str, want: Want) -> Result<(), PoolError> {
        let Some(quota) = self.plan.quota.get(&want.family) else { return Ok(()) };
        if self.book.held_by(peer, want.family).saturating_add(want.measure()) <= *quota {
            return Ok(());
        }
        self.count("quota_refusals");
        Err(PoolError::Quota(peer.to_owned()))
    }

    fn offer(&mut self, deal: &Deal) -> Decision {
        let Some((block, State::Held(dealt))) = self.state_of(Part::Provider, deal) else {
            return Err(PoolError::NoDeal);
        };
        self.book.turn(&block, State::Offered(dealt));
        Ok(Answer::Done)
    }

    fn end(&mut self, part: Part, deal: &Deal) {
        let key = (part, deal.clone());
        self.open.remove(&key);
        self.steps.push((key, false));
    }

    fn confirm(&mut self, deal: &Deal) -> Decision {
        match self.state_of(Part::Provider, deal) {
            // The taker has been asked, or has been told that it has not got it: now its word counts.
            Some((block, State::Doubt { .. })) if self.book.is_void(deal, block) => Err(PoolError::NoDeal),
            // In doubt if this pool, but not the negotiation, has lived anew meanwhile.
            Some((block, State::Offered(_) | State::Doubt { .. })) => {
                let granted = dealt(deal, self.wall());
                self.book.turn(&block, State::Granted(granted));
                self.end(Part::Provider, deal);
                self.count("grants");
                Ok(Answer::Done)
            }
            _ => Err(PoolError::NoDeal),
        }
    }

    fn release(&mut self, deal: &Deal) -> Decision {
        match self.state_of(Part::Provider, deal) {
            Some((block, State::Offered(_) | State::Doubt { .. })) => {
                self.kept(block, deal);
                self.free(&block);
            }
            Some((block, State::Held(_) | State::Dry(_))) => self.free(&block),
            _ => return Err(PoolError::NoDeal),
        }
        self.end(Part::Provider, deal);
        Ok(Answer::Done)
    }

    /// An offer was made and nothing came of it: the other side may ask.
    pub(super) fn kept(&mut self, block: Prefix, deal: &Deal) {
        if self.book.is_void(deal, block) {
            return;
        }
        let (deal, part, want) = (deal.clone(), Part::Provider, block.want());
        self.remember(Remembered { deal, part, want, void: Some(block), over: true });
    }

    fn doubt(&mut self, deal: &Deal) -> Decision {
        match self.state_of(Part::Provider, deal) {
            Some((block, State::Offered(dealt))) => {
                self.book.turn(&block, State::Doubt { dealt, way: Way::Out, reset: false });
                self.count("doubts");
            }
            // Nothing of it has left.
            Some((block, State::Held(_) | State::Dry(_))) => self.free(&block),
            Some((_, State::Doubt { .. })) => {}
            _ => return Err(PoolError::NoDeal),
        }
        self.end(Part::Provider, deal);
        Ok(Answer::Done)
    }

    fn ask(&mut self, now: Time, deal: Deal, want: Want) -> Answer {
        self.open.insert((Part::Asker, deal.clone()), now + self.plan.hold);
        if !self.book.is_asking(&deal) {
            let (part, void, over) = (Part::Asker, None, false);
            self.remember(Remembered { deal, part, want, void, over });
        }
        Answer::Done
    }

    fn accept(&mut self, now: Time, deal: Deal, block: Prefix) -> Decision {
        if !self.book.is_asking(&deal) {
            return Err(PoolError::State("that negotiation is over".into()));
        }
        if self.book.block_of(Part::Asker, &deal).is_some() {
            return Err(PoolError::State("a block is being accepted in that negotiation already".into()));
        }
        self.disclaim(&deal, &block);
        if let Err(error) = self.book.newcomer(&block) {
            self.count("overlaps");
            self.alarms.push(format!("{} offers what cannot be its own: {error}; it is declined", deal.peer));
            return Err(error);
        }
        let accepting = State::Accepting(dealt(&deal, self.wall()));
        self.book.put(block, accepting);
        self.open.insert((Part::Asker, deal), now + self.plan.hold);
        Ok(Answer::Done)
    }

    /// A provider that offers a block once more has not counted an earlier acceptance of it, and its ledger is the judge: the
    /// claims to it that are in doubt with this peer are dropped (PM-S-09, PM-S-18).
    fn disclaim(&mut self, deal: &Deal, block: &Prefix) {
        let claim = |(claimed, state): (&Prefix, &State)| match state {
            State::Doubt { dealt, way: Way::In, .. } if !deal.peer.is_empty() && dealt.deal.peer == deal.peer => {
                Some((*claimed, dealt.deal.clone()))
            }
            _ => None,
        };
        let claims: Vec<(Prefix, Deal)> = self.book.within(block).filter_map(claim).collect();
        for (claimed, earlier) in claims {
            self.book.remove(&claimed);
            self.asking_over(&earlier);
            self.count("settled");
        }
    }

    /// The negotiations of this deal in which this side asked are over.
    pub(super) fn asking_over(&mut self, deal: &Deal) {
        let its = self.book.remembered(deal.session, Part::Asker).filter(|(_, remembered)| remembered.deal == *deal);
        let numbers: Vec<u64> = its.map(|(number, _)| number).collect();
        numbers.into_iter().for_each(|number| self.book.over(number));
    }

    fn adopt(&mut self, deal: &Deal) -> Decision {
        match self.state_of(Part::Asker, deal) {
            Some((block, State::Accepting(_) | State::Doubt { .. })) => {
                self.take_over(block, deal);
                self.end(Part::Asker, deal);
                Ok(Answer::Done)
            }
            _ => Err(PoolError::NoDeal),
        }
    }

    pub(super) fn take_over(&mut self, block: Prefix, deal: &Deal) {
        let source = Source::Peer(*dealt(deal, self.wall()));
        let Some(state) = self.book.remove(&block) else { return };
        if let Err(error) = self.book.add(block, source) {
            // It was checked when it was entered, and nothing can have come into its place since.
            self.alarms.push(format!("{block} cannot be taken in: {error}"));
            self.book.put(block, state);
            return;
        }
        self.exclude_as_planned(&block);
        self.asking_over(deal);
        self.count("acquired");
    }

    fn refuse(&mut self, deal: &Deal) -> Decision {
        if let Some((block, State::Accepting(_) | State::Doubt { .. })) = self.state_of(Part::Asker, deal) {
            self.book.remove(&block);
        }
        self.asking_over(deal);
        self.end(Part::Asker, deal);
        Ok(Answer::Done)
    }

    fn doubt_taken(&mut self, deal: &Deal, reset: bool) -> Decision {
        match self.state_of(Part::Asker, deal) {
            Some((block, State::Accepting(dealt) | State::Doubt { dealt, .. })) => {
                self.book.turn(&block, State::Doubt { dealt, way: Way::In, reset });
                self.count("doubts");
            }
            _ => return Err(PoolError::NoDeal),
        }
        self.asking_over(deal);
        self.end(Part::Asker, deal);
        Ok(Answer::Done)
    }

    fn delegate(&mut self, now: Time, client: String, want: Want, lifetimes: Option<Lifetimes>) -> Decision {
        let mut valid = lifetimes.map(|lifetimes| self.span(now, lifetimes.valid));
        let preferred = lifetimes.map_or(u32::MAX, |lifetimes| lifetimes.preferred);
        let mut lease = Lease { client: client.into(), preferred, valid, since: self.wall() };
        let (block, answer) = match self.book.of_client(&lease.client, want) {
            Some(block) => {
                let old = self.book.blocks.get(&block).and_then(State::lease);
                let (since, until) = old.map_or((lease.since, None), |old| (old.since, old.valid));
                if let Some(span) = until {
                    self.ends.remove(&(self.end_of(&span), block));
                    // The answer may be lost: then the client relies on what it was told before (PM-D-05).
                    valid = valid.map(|new| if self.end_of(&span) > self.end_of(&new) { span } else { new });
                }
                (lease.since, lease.valid) = (since, valid);
                self.book.turn(&block, State::Delegated(Box::new(lease)));
                (block, Answer::Again(block))
            }
            None => {
                let block = self.book.take(want, want.length, State::Delegated(Box::new(lease)))?;
                self.count("delegations");
                (block, Answer::Block(block))
            }
        };
        if let Some(span) = valid {
            self.expect_end(now, self.end_of(&span), block);
        }
        Ok(answer)
    }

    fn give_back(&mut self, now: Time, client: &str, block: Prefix, unused: bool) -> Decision {
        let lease = match self.book.blocks.get(&block) {
            Some(State::Delegated(lease)) if *lease.client == *client => lease.clone(),
            Some(State::Cooling(lease)) if *lease.client == *client => return Ok(Answer::Done),
            Some(state) => {
                return Err(PoolError::State(format!("{block} is {}, not delegated to {client}", state.name())));
            }
            None => return Err(PoolError::State(format!("{block} is not delegated to {client}"))),
        };
        let end = lease.valid.map(|span| self.end_of(&span));
        if end.is_none_or(|end| end <= self.uptime(now)) || unused {
            self.ends.remove(&(end.unwrap_or_default(), block));
            self.free(&block);
        } else {
            self.book.turn(&block, State::Cooling(lease));
        }
        if !unused {
            self.retired.push(block);
        }
        Ok(Answer::Done)
    }

    /// The valid lifetime of a client has passed.
    pub(super) fn lease_over(&mut self, block: &Prefix) {
        match self.book.blocks.get(block) {
            Some(State::Delegated(_)) => {
                self.free(block);
                self.retired.push(*block);
                self.count("leases_ended");
            }
            Some(State::Cooling(_)) => self.free(block),
            _ => {}
        }
    }
}
