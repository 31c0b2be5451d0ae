//! Decides over the blocks, and lets nobody hear of it before the store has it.
//!
//! # What a restart makes of an open negotiation
//!
//! A block is written down as offered before the offer can leave, and there is no other record of what has left. So after a
//! restart every offered block may be in the hands of a peer who believes that it owns it, since nobody acknowledges the end
//! of a negotiation: it is in doubt. The same holds for a block that was being accepted. Only when the pool itself lives on,
//! and merely reads its store again after a failed commit, does it know which promises were never made: those blocks are
//! free. A promise whose end could not be written down is in doubt too, whatever that end was.

use super::plan::{Input, Output, PoolPlan};
use super::record::{Answer, Census, Level, PoolError, Record, Request, State, Ticket, Way};
use super::space::Space;
use crate::machine::{Machine, Time};
use crate::roles::backoff::Backoff;
use crate::roles::resource::Resource;
use crate::roles::store::StoreError;
use crate::roles::{Control, Load, Mode};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Whether decisions can be made.
enum Phase {
    /// The store is being read.
    Loading,
    /// They can.
    Ready,
    /// The store has failed and will be tried again.
    Failed(StoreError, Time),
    /// The store holds what cannot be.
    Unsound(String),
}

type Reply<R> = (u64, Result<Answer<R>, PoolError>);

/// The core.
pub struct PoolCore<R: Resource> {
    plan: PoolPlan<R>,
    phase: Phase,
    pub(super) space: Space<R>,
    pub(super) active: bool,
    /// The first batch of this life is durable.
    begun: bool,
    /// Reservations, with the time at which they are given up for lost.
    pub(super) tickets: BTreeMap<Ticket, (R, Time)>,
    next_ticket: u64,
    /// Blocks that are being accepted, with the time at which they are given up for lost.
    pub(super) accepting: BTreeMap<R, Time>,
    /// Blocks of which somebody outside has heard in this life, while their negotiations are open.
    promised: BTreeSet<R>,
    /// Of these, those whose negotiations have ended: in the next batch, in the one under way, in one that failed.
    pub(super) ended: Vec<R>,
    ending: Vec<R>,
    unsettled: BTreeSet<R>,
    /// Requests that wait for the store to be read.
    queue: VecDeque<(u64, Request<R>)>,
    /// Answers that wait for the batch under way, and for the next one.
    flying: Option<Vec<Reply<R>>>,
    gathered: Vec<Reply<R>>,
    told: Option<Level>,
    backoff: Backoff,
    random: ChaCha12Rng,
    outputs: VecDeque<Output<R>>,
}

impl<R: Resource> PoolCore<R> {
    /// A core that waits for [`Input::Started`].
    #[must_use]
    pub fn new(plan: PoolPlan<R>) -> Self {
        Self {
            active: plan.mode == Mode::Active,
            random: ChaCha12Rng::seed_from_u64(plan.seed),
            plan,
            phase: Phase::Loading,
            space: Space::empty(),
            begun: false,
            tickets: BTreeMap::new(),
            next_ticket: 0,
            accepting: BTreeMap::new(),
            promised: BTreeSet::new(),
            ended: Vec::new(),
            ending: Vec::new(),
            unsettled: BTreeSet::new(),
            queue: VecDeque::new(),
            flying: None,
            gathered: Vec::new(),
            told: None,
            backoff: Backoff::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Open negotiations and requests, and blocks that others have been given or may have been given.
    #[must_use]
    pub fn load(&self) -> Load {
        let given = |state: &State| matches!(state, State::Granted { .. } | State::Doubt { .. });
        let promises = self.census().blocks.iter().filter(|(_, state)| given(state)).count();
        Load { busy: self.promised.len() + self.waiting(), promises }
    }

    fn waiting(&self) -> usize {
        self.queue.len() + self.gathered.len() + self.flying.as_ref().map_or(0, Vec::len)
    }

    /// How much is free, as last told.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.told
    }

    /// The bounds and marks.
    pub(super) fn plan(&self) -> &PoolPlan<R> {
        &self.plan
    }

    pub(super) fn ticket(&mut self, now: Time, block: &R) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket((self.space.life << 32) | self.next_ticket);
        self.tickets.insert(ticket, (block.clone(), now + self.plan.hold));
        ticket
    }

    pub(super) fn census(&self) -> Census<R> {
        Census {
            blocks: self.space.blocks.iter().map(|(block, state)| (block.clone(), state.clone())).collect(),
            aggregates: self.space.aggregates.iter().map(|(block, from)| (block.clone(), from.clone())).collect(),
            free: self.space.free(),
            writable: matches!(self.phase, Phase::Ready),
        }
    }

    fn asked(&mut self, now: Time, id: u64, request: Request<R>) {
        let refusal = match &self.phase {
            _ if self.waiting() >= self.plan.requests => Some(PoolError::Busy),
            Phase::Loading => {
                self.queue.push_back((id, request));
                return;
            }
            Phase::Failed(..) | Phase::Unsound(_) if request == Request::Query => {
                let census = Answer::Census(self.census());
                self.outputs.push_back(Output::Reply(id, Ok(census)));
                return;
            }
            Phase::Failed(error, _) => Some(PoolError::Store(error.clone())),
            Phase::Unsound(why) => Some(PoolError::Unsound(why.clone())),
            Phase::Ready => None,
        };
        if let Some(error) = refusal {
            self.outputs.push_back(Output::Reply(id, Err(error)));
            return;
        }
        let answer = self.decide(now, request);
        self.gathered.push((id, answer));
        self.write();
    }

    /// Hands what has gathered to the store, unless a batch is under way: those who come meanwhile share the next one.
    fn write(&mut self) {
        if self.flying.is_some() || !matches!(self.phase, Phase::Ready) {
            return;
        }
        let replies = std::mem::take(&mut self.gathered);
        if self.space.changes.is_empty() {
            self.reply(replies);
            return;
        }
        self.flying = Some(replies);
        self.ending = std::mem::take(&mut self.ended);
        self.outputs.push_back(Output::Commit(std::mem::take(&mut self.space.changes)));
    }

    fn reply(&mut self, replies: Vec<Reply<R>>) {
        for (id, answer) in replies {
            if let Ok(Answer::Reserved(_, block) | Answer::Accepting(block)) = &answer {
                self.promised.insert(block.clone());
            }
            self.outputs.push_back(Output::Reply(id, answer));
        }
    }

    fn committed(&mut self, now: Time, result: Result<(), StoreError>) {
        let flying = self.flying.take().unwrap_or_default();
        match result {
            Ok(()) => {
                self.backoff.succeeded();
                self.begun = true;
                for block in std::mem::take(&mut self.ending) {
                    self.promised.remove(&block);
                }
                self.reply(flying);
                self.write();
                if self.flying.is_none() {
                    self.tell();
                }
            }
            Err(error) => {
                let lost = flying.into_iter().chain(std::mem::take(&mut self.gathered));
                for (id, _) in lost {
                    self.outputs.push_back(Output::Reply(id, Err(PoolError::Store(error.clone()))));
                }
                self.space.changes.clear();
                self.unsettled.extend(self.ending.drain(..).chain(self.ended.drain(..)));
                self.fail(now, error);
            }
        }
    }

    fn tell(&mut self) {
        let free = self.space.free();
        let level = Level { free, low: free < self.plan.low };
        if self.told != Some(level) {
            self.told = Some(level);
            self.outputs.push_back(Output::Level(level));
        }
    }

    /// Nothing is granted or accepted from now on until the store has been read again (PM-S-19).
    fn fail(&mut self, now: Time, error: StoreError) {
        if self.backoff.failures() == 0 {
            self.outputs.push_back(Output::Alarm(format!("the pool is read-only: {error}")));
        }
        let pause = self.backoff.failed(now, &self.plan.backoff, self.random.random());
        for (id, _) in std::mem::take(&mut self.queue) {
            self.outputs.push_back(Output::Reply(id, Err(PoolError::Store(error.clone()))));
        }
        self.phase = Phase::Failed(error, now + pause);
    }

    fn loaded(&mut self, now: Time, records: Result<Vec<Record<R>>, StoreError>) {
        let space = match records {
            Ok(records) => Space::read(records),
            Err(error) => return self.fail(now, error),
        };
        match space {
            Ok(space) => self.space = space,
            Err(why) => {
                self.outputs.push_back(Output::Alarm(format!("the pool is not served: {why}")));
                for (id, _) in std::mem::take(&mut self.queue) {
                    self.outputs.push_back(Output::Reply(id, Err(PoolError::Unsound(why.clone()))));
                }
                self.phase = Phase::Unsound(why);
                return;
            }
        }
        self.phase = Phase::Ready;
        if self.space.life == 0 {
            for block in self.plan.initial.clone() {
                match self.space.touches(&block) {
                    Ok(()) => self.space.add(block, "initial".into()),
                    Err(error) => self.outputs.push_back(Output::Alarm(format!("not taken in: {error}"))),
                }
            }
        }
        if !self.begun {
            self.space.begin_life();
        }
        self.settle();
        for (id, request) in std::mem::take(&mut self.queue) {
            let answer = self.decide(now, request);
            self.gathered.push((id, answer));
        }
        self.write();
        if self.flying.is_none() {
            self.tell();
        }
    }

    /// Makes the open negotiations in the store agree with those that are known to be open.
    fn settle(&mut self) {
        let all: Vec<(R, State)> =
            self.space.blocks.iter().map(|(block, state)| (block.clone(), state.clone())).collect();
        let unsettled = std::mem::take(&mut self.unsettled);
        for (block, state) in all {
            let promised = !self.begun || self.promised.contains(&block);
            let open = self.begun && promised && !unsettled.contains(&block);
            match state {
                State::Offered { .. } | State::Accepting { .. } if open => {}
                State::Offered { to } if promised => self.space.turn(&block, State::Doubt { with: to, way: Way::Out }),
                State::Accepting { from } if promised => {
                    self.space.turn(&block, State::Doubt { with: from, way: Way::In });
                }
                State::Offered { .. } => self.space.release(&block),
                State::Accepting { .. } => drop(self.space.remove(&block)),
                State::Free | State::Granted { .. } | State::Doubt { .. } | State::Returning => {}
            }
        }
        let space = &self.space;
        let open = |block: &R| matches!(space.blocks.get(block), Some(State::Offered { .. } | State::Accepting { .. }));
        self.promised.retain(open);
        self.tickets.retain(|_, (block, _)| open(block));
        self.accepting.retain(|block, _| open(block));
    }
}

impl<R: Resource> Machine for PoolCore<R> {
    type Input = Input<R>;
    type Output = Output<R>;

    fn handle(&mut self, now: Time, input: Input<R>) {
        self.wake(now);
        match input {
            Input::Started => self.outputs.push_back(Output::Load),
            Input::Control(Control::Activate) => self.active = true,
            Input::Control(Control::Deactivate | Control::Stop) => self.active = false,
            Input::Asked(id, request) => self.asked(now, id, request),
            Input::Loaded(records) => self.loaded(now, records),
            Input::Committed(result) => self.committed(now, result),
        }
    }

    fn wake(&mut self, now: Time) {
        if let Phase::Failed(_, due) = &self.phase {
            if *due <= now {
                self.phase = Phase::Loading;
                self.outputs.push_back(Output::Load);
            }
            return;
        }
        if !matches!(self.phase, Phase::Ready) {
            return;
        }
        let lost: Vec<Ticket> =
            self.tickets.iter().filter(|(_, (_, due))| *due <= now).map(|(ticket, _)| *ticket).collect();
        for ticket in lost {
            // Nobody waits for the answer.
            let _ = self.decide(now, Request::Doubt(ticket));
        }
        let lost: Vec<R> =
            self.accepting.iter().filter(|(_, due)| **due <= now).map(|(block, _)| block.clone()).collect();
        for block in lost {
            self.accepting.remove(&block);
            let _ = self.decide(now, Request::DoubtTaken(block));
        }
        self.write();
    }

    fn poll(&mut self) -> Option<Output<R>> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Failed(_, due) => Some(*due),
            Phase::Ready => self.tickets.values().map(|(_, due)| due).chain(self.accepting.values()).min().copied(),
            Phase::Loading | Phase::Unsound(_) => None,
        }
    }
}
