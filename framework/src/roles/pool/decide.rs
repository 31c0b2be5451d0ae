//! What each request does to the blocks.

use super::core::PoolCore;
use super::record::{Answer, PoolError, Request, State, Ticket, Way};
use crate::machine::Time;
use crate::roles::resource::Resource;

type Decision<R> = Result<Answer<R>, PoolError>;

impl<R: Resource> PoolCore<R> {
    pub(super) fn decide(&mut self, now: Time, request: Request<R>) -> Decision<R> {
        let fresh = matches!(request, Request::Reserve { .. } | Request::Grant { .. } | Request::Accept { .. });
        if fresh && !self.active {
            return Err(PoolError::Inactive);
        }
        match request {
            Request::Reserve { want, to, instead } => self.reserve(now, &want, to, instead),
            Request::Confirm(ticket) => self.end(ticket, |to| Some(State::Granted { to })),
            Request::Release(ticket) => self.end(ticket, |_| None),
            Request::Doubt(ticket) => self.end(ticket, |with| Some(State::Doubt { with, way: Way::Out })),
            Request::Grant { want, to } => self.grant(&want, to),
            Request::TakeBack { block, from } => {
                self.expect(&block, &State::Granted { to: from })?;
                self.space.release(&block);
                Ok(Answer::Done)
            }
            Request::Accept { block, from } => {
                self.newcomer(&block)?;
                self.space.put(block.clone(), State::Accepting { from });
                self.accepting.insert(block.clone(), now + self.plan().hold);
                Ok(Answer::Accepting(block))
            }
            Request::Adopt(block) => self.taken(block, |pool, block, from| pool.space.add(block, from)),
            Request::Refuse(block) => self.taken(block, |_, _, _| ()),
            Request::DoubtTaken(block) => {
                self.taken(block, |pool, block, with| pool.space.put(block, State::Doubt { with, way: Way::In }))
            }
            Request::Resolve { block, ours } => self.resolve(block, ours),
            Request::Add { block, from } => {
                self.newcomer(&block)?;
                self.space.add(block, from);
                Ok(Answer::Done)
            }
            Request::Return(block) => {
                if !self.space.aggregates.contains_key(&block) {
                    return Err(PoolError::State(format!("{block:?} is no aggregate")));
                }
                self.expect(&block, &State::Free)?;
                self.space.turn(&block, State::Returning);
                Ok(Answer::Done)
            }
            Request::Returned { block, gone } => {
                self.expect(&block, &State::Returning)?;
                if gone {
                    self.space.withdraw(&block)
                } else {
                    self.space.turn(&block, State::Free)
                }
                Ok(Answer::Done)
            }
            Request::Query => Ok(Answer::Census(self.census())),
        }
    }

    fn expect(&self, block: &R, state: &State) -> Result<(), PoolError> {
        match self.space.blocks.get(block) {
            Some(found) if found == state => Ok(()),
            Some(found) => Err(PoolError::State(format!("{block:?} is {found:?}, not {state:?}"))),
            None => Err(PoolError::State(format!("{block:?} is not here in one piece"))),
        }
    }

    fn newcomer(&self, block: &R) -> Result<(), PoolError> {
        if block.measure() == 0 {
            return Err(PoolError::State(format!("{block:?} is empty")));
        }
        self.space.touches(block)
    }

    fn affordable(&self, want: &R::Want, to: &str) -> Result<(), PoolError> {
        let Some(quota) = self.plan().quota else { return Ok(()) };
        let held = self.space.held_by(to).saturating_add(R::size(want));
        if held > quota { Err(PoolError::Quota(to.to_owned())) } else { Ok(()) }
    }

    fn reserve(&mut self, now: Time, want: &R::Want, to: String, instead: Option<Ticket>) -> Decision<R> {
        if let Some(ticket) = instead {
            self.end(ticket, |_| None)?;
        }
        self.affordable(want, &to)?;
        let block = self.space.take(want, State::Offered { to }, true)?;
        let ticket = self.ticket(now, &block);
        Ok(Answer::Reserved(ticket, block))
    }

    fn grant(&mut self, want: &R::Want, to: String) -> Decision<R> {
        let granted = State::Granted { to };
        let mut has =
            self.space.blocks.iter().filter(|(block, state)| **state == granted && block.measure() == R::size(want));
        if let Some((block, _)) = has.next() {
            return Ok(Answer::Granted(block.clone()));
        }
        if let State::Granted { to } = &granted {
            self.affordable(want, to)?;
        }
        self.space.take(want, granted, false).map(Answer::Granted)
    }

    /// Ends a reservation: the block gets a state made from the name of the other side, or is free.
    fn end(&mut self, ticket: Ticket, state: impl FnOnce(String) -> Option<State>) -> Decision<R> {
        let (block, _) = self.tickets.remove(&ticket).ok_or(PoolError::NoTicket)?;
        let Some(State::Offered { to }) = self.space.blocks.get(&block).cloned() else {
            return Err(PoolError::NoTicket);
        };
        self.ended.push(block.clone());
        match state(to) {
            Some(state) => self.space.turn(&block, state),
            None => self.space.release(&block),
        }
        Ok(Answer::Done)
    }

    /// Ends an acceptance.
    fn taken(&mut self, block: R, then: impl FnOnce(&mut Self, R, String)) -> Decision<R> {
        let Some(State::Accepting { from }) = self.space.blocks.get(&block).cloned() else {
            return Err(PoolError::State(format!("{block:?} is not being accepted")));
        };
        self.ended.push(block.clone());
        self.accepting.remove(&block);
        self.space.remove(&block);
        then(self, block, from);
        Ok(Answer::Done)
    }

    fn resolve(&mut self, block: R, ours: bool) -> Decision<R> {
        match self.space.blocks.get(&block).cloned() {
            Some(State::Doubt { way: Way::Out, .. }) if ours => self.space.release(&block),
            Some(State::Doubt { with, way: Way::Out }) => self.space.turn(&block, State::Granted { to: with }),
            Some(State::Doubt { with, way: Way::In }) => {
                self.space.remove(&block);
                if ours {
                    self.space.add(block, with);
                }
            }
            _ => return Err(PoolError::State(format!("{block:?} is not in doubt"))),
        }
        Ok(Answer::Done)
    }
}
