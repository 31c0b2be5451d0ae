//! Handing blocks back, and settling doubts with the other side.
//!
//! The provider's ledger is the judge: what it says was granted was granted. If both sides are in doubt, the block goes back
//! to the provider, and the taker lets go of it before the provider hears so. Nothing is decided by age (PM-S-18).

use super::core::PoolCore;
use super::decide::Decision;
use super::record::{Part, Source, State, Way};
use super::request::{Answer, PoolError, Request, Verdict};
use crate::prefix::Prefix;

impl PoolCore {
    pub(super) fn begin_return(&mut self, block: Prefix) -> Decision {
        let Some(belonging) = self.book.aggregates.get(&block) else {
            return Err(PoolError::State(format!("{block} is not an aggregate of this pool")));
        };
        if !matches!(belonging.source, Source::Peer(_)) {
            return Err(PoolError::State(format!("{block} did not come from a peer")));
        }
        let withdrawn = belonging.withdrawn;
        match self.book.blocks.get(&block) {
            Some(State::Returning) => return Ok(Answer::Done),
            Some(State::Excluded) if withdrawn => {
                self.book.turn(&block, State::Returning);
                return Ok(Answer::Done);
            }
            Some(_) | None => {}
        }
        let idle = |state: &State| withdrawn && *state == State::Excluded;
        if let Some((used, state)) = self.book.within(&block).find(|(_, state)| !idle(state)) {
            return Err(PoolError::State(format!("{used} is {}, so {block} cannot be handed back", state.name())));
        }
        // In an aggregate that is withdrawn the pieces lie about as they were freed.
        let pieces: Vec<Prefix> = self.book.within(&block).map(|(piece, _)| *piece).collect();
        for piece in pieces {
            self.book.free_again(&piece);
        }
        self.book.take_exactly(block, State::Returning)?;
        Ok(Answer::Done)
    }

    pub(super) fn returned(&mut self, block: &Prefix, gone: bool) -> Decision {
        match self.book.blocks.get(block) {
            Some(State::Returning) if gone => {
                self.book.drop_aggregate(block);
                self.count("handed_back");
            }
            Some(State::Returning) => self.free(block),
            _ => return Err(PoolError::State(format!("{block} is not being handed back"))),
        }
        Ok(Answer::Done)
    }

    /// The provider's side of handing back (PM-T-03, PM-T-04).
    pub(super) fn take_back(&mut self, session: u32, block: Prefix) -> Decision {
        if session == 0 {
            return Err(PoolError::State(format!(
                "{block} was not granted in a negotiation; only an operator reclaims it"
            )));
        }
        let around = self.book.within(&block).next().map(|(outer, state)| (*outer, state.clone()));
        let granted = match around {
            Some((outer, State::Granted(dealt) | State::Doubt { dealt, way: Way::Out, .. }))
                if dealt.deal.session == session && outer.contains(&block) =>
            {
                Some((outer, dealt))
            }
            _ => None,
        };
        let Some((outer, dealt)) = granted else {
            let void = |part: Option<Prefix>| part.is_some_and(|part| part.contains(&block));
            let known = self.book.remembered(session, Part::Provider).any(|(_, it)| void(it.void));
            if known {
                return Ok(Answer::Done);
            }
            self.count("returns_refused");
            return Err(PoolError::State(format!("{block} was not granted in that session")));
        };
        if outer != block {
            // Who hands back a part has had it all.
            self.book.turn(&outer, State::Granted(dealt.clone()));
            self.book.carve(&outer, &block);
        }
        self.kept(block, &dealt.deal);
        self.free(&block);
        self.count("taken_back");
        Ok(Answer::Done)
    }

    /// Whether what a peer wants to know, or to hand back, is its business: who is known to this side as a party of that
    /// negotiation is the peer, or nobody is known.
    pub(super) fn party(&mut self, peer: &str, request: &Request) -> Result<(), PoolError> {
        let (session, block) = match request {
            Request::TakeBack { session, block }
            | Request::Examine { session, block, .. }
            | Request::Settle { session, block, .. } => (*session, *block),
            _ => return Err(PoolError::State("that is not a peer's business".into())),
        };
        let states = self.book.within(&block).filter_map(|(_, state)| state.dealt());
        let source = self.book.aggregates.get(&block).map(|belonging| &belonging.source);
        let source = source.and_then(|source| if let Source::Peer(dealt) = source { Some(dealt) } else { None });
        let deals = states.chain(source).map(|dealt| &dealt.deal);
        let remembered = [Part::Asker, Part::Provider].into_iter().flat_map(|part| self.book.remembered(session, part));
        let parties = deals.filter(|deal| deal.session == session).chain(remembered.map(|(_, it)| &it.deal));
        let (mut known, mut its) = (false, false);
        for deal in parties {
            (known, its) = (true, its || deal.peer == peer);
        }
        if its || !known {
            return Ok(());
        }
        self.count("strangers_refused");
        self.alarms.push(format!("{peer} speaks about {block} of session {session:08x}, which was with somebody else"));
        Err(PoolError::State("that negotiation was not with you".into()))
    }

    pub(super) fn unsettled(&self, limit: usize) -> Answer {
        let all = self.book.doubts.iter().chain(&self.book.returning);
        let states = all.filter_map(|block| Some((*block, self.book.blocks.get(block)?.clone())));
        let mut blocks: Vec<(Prefix, State)> = states.take(limit.saturating_add(1)).collect();
        let more = blocks.len() > limit;
        blocks.truncate(limit);
        Answer::Blocks(blocks, more)
    }

    /// A taker is gone for good: the operator takes the block back.
    pub(super) fn reclaim(&mut self, block: Prefix) -> Decision {
        let Some(State::Granted(dealt)) = self.book.blocks.get(&block).cloned() else {
            return Err(PoolError::State(format!("{block} is not granted to a peer")));
        };
        self.kept(block, &dealt.deal);
        self.free(&block);
        self.count("reclaimed");
        Ok(Answer::Done)
    }

    pub(super) fn examine(&mut self, session: u32, block: Prefix, asker: Part) -> Verdict {
        match asker {
            Part::Asker => self.examine_given(session, block),
            Part::Provider => self.examine_taken(session, block),
        }
    }

    /// The taker asks its provider. What is answered with [`Verdict::Kept`] is not granted in that negotiation afterwards,
    /// unless the taker itself says that it has it.
    fn examine_given(&mut self, session: u32, block: Prefix) -> Verdict {
        match self.book.blocks.get(&block) {
            Some(State::Granted(dealt)) if dealt.deal.session == session => return Verdict::Moved,
            Some(State::Held(dealt) | State::Offered(dealt)) if dealt.deal.session == session => return Verdict::Open,
            // The taker lets go of it; until it has told so, this side stays in doubt.
            Some(State::Doubt { dealt, way: Way::Out, .. }) if dealt.deal.session == session => {
                let deal = dealt.deal.clone();
                self.kept(block, &deal);
                return Verdict::Kept;
            }
            _ => {}
        }
        let void = self.book.remembered(session, Part::Provider).any(|(_, it)| it.void == Some(block));
        if void || self.is_in_hand(block) { Verdict::Kept } else { Verdict::Unknown }
    }

    /// Whether a block is in this pool's hands, all of it: then nobody else has it. A part that was given away, or may have
    /// been, in whatever session, may have been given on; so may what has gone back to where it came from.
    fn is_in_hand(&self, block: Prefix) -> bool {
        let elsewhere = |state: &State| {
            matches!(state, State::Granted(_) | State::Offered(_) | State::Doubt { .. } | State::Returning)
        };
        self.book.space.aggregate_of(&block).is_some() && !self.book.within(&block).any(|(_, state)| elsewhere(state))
    }

    /// The provider asks its taker. What is answered with [`Verdict::Kept`] can never be accepted afterwards.
    fn examine_taken(&mut self, session: u32, block: Prefix) -> Verdict {
        let source = self.book.aggregates.get(&block).map(|belonging| &belonging.source);
        if matches!(source, Some(Source::Peer(dealt)) if dealt.deal.session == session) {
            return Verdict::Moved;
        }
        match self.book.blocks.get(&block) {
            Some(State::Accepting(dealt)) if dealt.deal.session == session => return Verdict::Open,
            Some(State::Doubt { dealt, way: Way::In, .. }) if dealt.deal.session == session => {
                let deal = dealt.deal.clone();
                self.book.remove(&block);
                self.asking_over(&deal);
                return Verdict::Kept;
            }
            _ => {}
        }
        let fits = |want: crate::prefix::Want| want.family == block.family();
        let asked = self.book.remembered(session, Part::Asker).filter(|(_, it)| fits(it.want));
        let numbers: Vec<u64> = asked.map(|(number, _)| number).collect();
        if numbers.is_empty() {
            return Verdict::Unknown;
        }
        numbers.into_iter().for_each(|number| self.book.over(number));
        Verdict::Kept
    }

    pub(super) fn inquire(&mut self, block: Prefix) -> Decision {
        match self.book.blocks.get(&block) {
            Some(State::Doubt { dealt, way, .. }) => {
                let (deal, way) = (dealt.deal.clone(), *way);
                if way == Way::Out {
                    self.kept(block, &deal);
                }
                Ok(Answer::Done)
            }
            Some(state) => Err(PoolError::State(format!("{block} is {}, not in doubt", state.name()))),
            None => Err(PoolError::State(format!("{block} is not in doubt"))),
        }
    }

    /// Whether a block is with the taker of a session, or on its way there, though not in doubt.
    fn has_moved(&self, session: u32, block: &Prefix, state: Option<&State>) -> bool {
        let source = self.book.aggregates.get(block).map(|belonging| &belonging.source);
        let owned = matches!(source, Some(Source::Peer(dealt)) if dealt.deal.session == session);
        let given = match state {
            Some(State::Accepting(dealt) | State::Granted(dealt)) => dealt.deal.session == session,
            _ => false,
        };
        owned || given
    }

    /// Ends a doubt; what is not in doubt is left as it is, so that the same again does no harm. An operator names no session.
    pub(super) fn settle(&mut self, block: &Prefix, session: Option<u32>, moved: bool) -> Decision {
        let (dealt, way) = match self.book.blocks.get(block) {
            Some(State::Doubt { dealt, way, .. }) if session.is_none_or(|session| session == dealt.deal.session) => {
                (dealt.clone(), *way)
            }
            // Who answers that a block was let go lets the other side use it: never while it is, or may become, somebody else's.
            state if session.is_some_and(|session| !moved && self.has_moved(session, block, state)) => {
                return Err(PoolError::State(format!("{block} has changed hands in that session, or may yet")));
            }
            _ if session.is_some() => return Ok(Answer::Done),
            // Nobody takes it back who could say so: whether the provider has it.
            Some(State::Returning) => return self.returned(block, moved),
            Some(state) => return Err(PoolError::State(format!("{block} is {}, not in doubt", state.name()))),
            None => return Err(PoolError::State(format!("{block} is not in doubt"))),
        };
        match (way, moved) {
            (Way::Out, true) => self.book.turn(block, State::Granted(dealt)),
            (Way::Out, false) => {
                self.kept(*block, &dealt.deal);
                self.free(block);
            }
            (Way::In, true) => self.take_over(*block, &dealt.deal),
            (Way::In, false) => {
                self.book.remove(block);
                self.asking_over(&dealt.deal);
            }
        }
        self.count("settled");
        Ok(Answer::Done)
    }
}
