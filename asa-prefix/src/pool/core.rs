//! Decides over the blocks, and lets nobody hear of it before the store has it.
//!
//! # What a restart makes of an open negotiation
//!
//! A block that was only held is free again: nothing of it has left. A block that was offered may be in the hands of a peer
//! who believes that it owns it, since nobody acknowledges the end of a negotiation: it is in doubt. The same holds for a
//! block that was being accepted. Only when the pool itself lives on, and merely reads its store again after a failed commit,
//! does it know which promises were never made: those blocks are free. A promise whose end could not be written down is in
//! doubt too, whatever that end was.

use super::book::Book;
use super::plan::{Input, Output, PoolPlan, Stamp};
use super::record::{Deal, Part, Record, Source, State};
use super::request::{Answer, Level, PoolError, Request};
use crate::prefix::{Family, Prefix};
use asa_framework::machine::{Machine, Time};
use asa_framework::roles::backoff::Backoff;
use asa_framework::roles::store::StoreError;
use asa_framework::roles::{Control, Load, Mode};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

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

/// A client is told of a lifetime no later than this after the decision; if the store takes longer, it has to ask again.
const PROMPT: Duration = Duration::from_secs(4);

/// The number of a request, when its answer is void, and the answer.
type Reply = (u64, Option<Time>, Result<Answer, PoolError>);

/// A negotiation by its side and its deal.
pub(super) type Key = (Part, Deal);

/// The core.
pub struct PoolCore {
    pub(super) plan: PoolPlan,
    phase: Phase,
    pub(super) book: Book,
    pub(super) active: bool,
    /// The first batch of this life is durable.
    pub(super) begun: bool,
    /// Something waits for the next batch; what is only held can wait for others.
    pub(super) urgent: bool,
    /// What the clocks said, and when.
    pub(super) stamp: Stamp,
    pub(super) stamped: Time,
    /// Open negotiations, with the time at which they are given up for lost.
    pub(super) open: BTreeMap<Key, Time>,
    /// Leases that end by themselves up to the horizon, in seconds since boot.
    pub(super) ends: BTreeSet<(u32, Prefix)>,
    /// When all leases are looked through for those that end soon; `None` if no other has an end.
    pub(super) horizon: Option<u32>,
    /// Seconds since boot when this life began: from then on the leases of earlier boots count anew.
    pub(super) began: u32,
    /// Negotiations of which somebody outside has heard in this life, while they are open.
    pub(super) promised: BTreeSet<Key>,
    /// Promises that begin (true) and end (false), in order: in the next batch, and in the one under way.
    pub(super) steps: Vec<(Key, bool)>,
    stepping: Vec<(Key, bool)>,
    /// Promises whose end is in a batch that failed.
    pub(super) unsettled: BTreeSet<Key>,
    /// Promises that were refused since their beginning is in a batch that failed, until one has succeeded.
    pub(super) unmade: BTreeSet<Key>,
    /// Blocks that clients do not have any more: in the next batch, in the one under way, in one that failed.
    pub(super) retired: Vec<Prefix>,
    retiring: Vec<Prefix>,
    pub(super) lapsed: Vec<Prefix>,
    /// Requests that wait for the store to be read.
    queue: VecDeque<(u64, Request)>,
    /// Answers that wait for the batch under way, and for the next one.
    flying: Option<Vec<Reply>>,
    gathered: Vec<Reply>,
    pub(super) counters: BTreeMap<&'static str, u64>,
    pub(super) alarms: Vec<String>,
    told: Option<Level>,
    backoff: Backoff,
    random: ChaCha12Rng,
    now: Time,
    outputs: VecDeque<Output>,
}

/// What somebody outside will rely on when the request is answered.
fn promise(request: &Request) -> Option<Key> {
    match request {
        Request::Offer(deal) => Some((Part::Provider, deal.clone())),
        Request::Accept { deal, .. } => Some((Part::Asker, deal.clone())),
        _ => None,
    }
}

impl PoolCore {
    /// A core that waits for [`Input::Started`].
    #[must_use]
    pub fn new(plan: PoolPlan) -> Self {
        Self {
            active: plan.mode == Mode::Active,
            random: ChaCha12Rng::seed_from_u64(plan.seed),
            plan,
            phase: Phase::Loading,
            book: Book::default(),
            begun: false,
            urgent: false,
            stamp: Stamp::default(),
            stamped: Time::default(),
            open: BTreeMap::new(),
            ends: BTreeSet::new(),
            horizon: None,
            began: 0,
            promised: BTreeSet::new(),
            steps: Vec::new(),
            stepping: Vec::new(),
            unsettled: BTreeSet::new(),
            unmade: BTreeSet::new(),
            retired: Vec::new(),
            retiring: Vec::new(),
            lapsed: Vec::new(),
            queue: VecDeque::new(),
            flying: None,
            gathered: Vec::new(),
            counters: BTreeMap::new(),
            alarms: Vec::new(),
            told: None,
            backoff: Backoff::default(),
            now: Time::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Open negotiations and requests, and blocks that others have been given or may have been given.
    #[must_use]
    pub fn load(&self) -> Load {
        let given = |state: &&State| {
            matches!(state, State::Granted(_) | State::Doubt { .. } | State::Delegated(_) | State::Cooling(_))
        };
        let waiting = self.queue.len() + self.gathered.len() + self.flying.as_ref().map_or(0, Vec::len);
        Load { busy: self.promised.len() + waiting, promises: self.book.blocks.values().filter(given).count() }
    }

    /// How much is free, as last told.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.told
    }

    pub(super) fn count(&mut self, name: &'static str) {
        *self.counters.entry(name).or_default() += 1;
    }

    pub(super) fn is_writable(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        match &self.phase {
            Phase::Ready => None,
            Phase::Loading => Some("the store is being read".into()),
            Phase::Failed(error, _) => Some(error.to_string()),
            Phase::Unsound(why) => Some(why.clone()),
        }
    }

    fn asked(&mut self, now: Time, id: u64, request: Request) {
        let waiting = self.queue.len() + self.gathered.len() + self.flying.as_ref().map_or(0, Vec::len);
        let refusal = match &self.phase {
            _ if waiting >= self.plan.requests => Some(PoolError::Busy),
            Phase::Loading => {
                self.queue.push_back((id, request));
                return;
            }
            // Questions are answered all the same (PM-S-19).
            Phase::Failed(..) | Phase::Unsound(_)
                if matches!(request, Request::Census | Request::Blocks { .. } | Request::Records) =>
            {
                None
            }
            Phase::Failed(error, _) => Some(PoolError::from(error)),
            Phase::Unsound(why) => Some(PoolError::Unsound(why.clone())),
            Phase::Ready => None,
        };
        if let Some(error) = refusal {
            if error == PoolError::Busy {
                self.count("requests_refused");
            }
            self.outputs.push_back(Output::Reply(id, Err(error)));
            return;
        }
        self.take_up(now, id, request);
        self.write();
    }

    fn take_up(&mut self, now: Time, id: u64, request: Request) {
        // Of a block that is only held nobody outside hears: its record goes with the next batch.
        let quiet = matches!(request, Request::Hold { dry: None, .. });
        let promise = promise(&request);
        let void = matches!(request, Request::Delegate { lifetimes: Some(_), .. }).then(|| now + PROMPT);
        let answer = self.decide(now, request);
        if quiet {
            self.outputs.push_back(Output::Reply(id, answer));
            return;
        }
        self.steps.extend(promise.filter(|_| answer.is_ok()).map(|key| (key, true)));
        self.gathered.push((id, void, answer));
        self.urgent = true;
    }

    /// Hands what has gathered to the store, unless a batch is under way: those who come meanwhile share the next one.
    fn write(&mut self) {
        self.outputs.extend(std::mem::take(&mut self.alarms).into_iter().map(Output::Alarm));
        if self.flying.is_some() || !self.is_writable() {
            if !self.is_writable() {
                let answers = std::mem::take(&mut self.gathered);
                self.reply(answers);
            }
            return;
        }
        if !self.urgent {
            return;
        }
        self.urgent = false;
        let replies = std::mem::take(&mut self.gathered);
        self.stepping = std::mem::take(&mut self.steps);
        self.retiring = std::mem::take(&mut self.retired);
        if self.book.changes.is_empty() {
            self.durable(replies);
            return;
        }
        self.flying = Some(replies);
        self.outputs.push_back(Output::Commit(std::mem::take(&mut self.book.changes)));
    }

    fn reply(&mut self, replies: Vec<Reply>) {
        for (id, void, answer) in replies {
            let late = void.is_some_and(|void| void < self.now);
            let late = late.then(|| PoolError::Store("it took too long to write this down: ask again".into()));
            self.outputs.push_back(Output::Reply(id, late.map_or(answer, Err)));
        }
    }

    /// What was decided before is in the store: everybody may hear of it.
    fn durable(&mut self, replies: Vec<Reply>) {
        for (key, begins) in std::mem::take(&mut self.stepping) {
            if begins {
                self.promised.insert(key);
            } else {
                self.promised.remove(&key);
            }
        }
        let retired = std::mem::take(&mut self.retiring);
        if !retired.is_empty() {
            self.outputs.push_back(Output::Ended(retired));
        }
        self.reply(replies);
    }

    fn committed(&mut self, now: Time, result: Result<(), StoreError>) {
        let flying = self.flying.take().unwrap_or_default();
        match result {
            Ok(()) => {
                self.backoff.succeeded();
                self.begun = true;
                self.unmade.clear();
                self.count("commits");
                self.durable(flying);
                self.write();
                self.tell();
            }
            Err(error) => {
                self.count("commits_failed");
                for (id, ..) in flying.into_iter().chain(std::mem::take(&mut self.gathered)) {
                    self.outputs.push_back(Output::Reply(id, Err(PoolError::from(&error))));
                }
                self.book.changes.clear();
                for (key, begins) in self.stepping.drain(..).chain(self.steps.drain(..)) {
                    if begins {
                        self.unmade.insert(key)
                    } else {
                        self.unsettled.insert(key)
                    };
                }
                self.lapsed.extend(self.retiring.drain(..).chain(self.retired.drain(..)));
                match error {
                    // What was acknowledged is not there: to go on from that would be to promise it once more (PM-S-16).
                    StoreError::Conflict(problem) => self.unsound(format!("it is not as it was left: {problem}")),
                    StoreError::Io { .. }
                    | StoreError::Damaged { .. }
                    | StoreError::Missing { .. }
                    | StoreError::Exists { .. }
                    | StoreError::Locked { .. }
                    | StoreError::Ordered => self.fail(now, error),
                }
            }
        }
    }

    fn tell(&mut self) {
        let level = Level {
            v4: self.book.space.measure_free(Family::V4),
            v6: self.book.space.measure_free(Family::V6),
            doubts: self.book.doubts.len(),
            returning: self.book.returning.len(),
            writable: self.is_writable(),
        };
        if self.told != Some(level) {
            self.told = Some(level);
            self.outputs.push_back(Output::Level(level));
        }
    }

    /// Nothing is granted or accepted from now on until the store has been read again (PM-S-19).
    fn fail(&mut self, now: Time, error: StoreError) {
        if self.backoff.failures() == 0 {
            let advice =
                "nothing is granted or accepted until its disk can be written again, which is tried from time to time";
            self.outputs.push_back(Output::Alarm(format!("the pool is read-only: {error}; {advice}")));
        }
        let pause = self.backoff.failed(now, &self.plan.backoff, self.random.random());
        for (id, _) in std::mem::take(&mut self.queue) {
            self.outputs.push_back(Output::Reply(id, Err(PoolError::from(&error))));
        }
        self.phase = Phase::Failed(error, now + pause);
        self.tell();
    }

    /// Nothing is granted or accepted any more: the store has to be repaired first.
    fn unsound(&mut self, why: String) {
        self.outputs.push_back(Output::Alarm(format!("the pool is not served: {why}")));
        for (id, _) in std::mem::take(&mut self.queue) {
            self.outputs.push_back(Output::Reply(id, Err(PoolError::Unsound(why.clone()))));
        }
        self.phase = Phase::Unsound(why);
        self.tell();
    }

    fn loaded(&mut self, now: Time, records: Result<Vec<Record>, StoreError>) {
        let book = match records {
            Ok(records) => Book::read(records),
            Err(error) => return self.fail(now, error),
        };
        match book {
            Ok(book) => self.book = book,
            Err(why) => return self.unsound(why),
        }
        self.phase = Phase::Ready;
        if self.book.life == 0 {
            for block in self.plan.initial.clone() {
                if let Err(error) = self.book.add(block, Source::Manifest) {
                    self.alarms.push(format!("not taken in: {error}"));
                }
            }
        }
        if !self.begun {
            self.book.begin_life();
            for block in self.plan.exclude.clone() {
                self.exclude(&block);
            }
        }
        self.settle_open();
        self.arm(now);
        self.urgent = true;
        for (id, request) in std::mem::take(&mut self.queue) {
            self.take_up(now, id, request);
        }
        self.write();
        if self.flying.is_none() {
            self.tell();
        }
    }
}

impl Machine for PoolCore {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        if let Input::Started(stamp) | Input::Asked(_, stamp, _) = &input {
            (self.stamp, self.stamped) = (*stamp, now);
        }
        if let Input::Started(stamp) = &input {
            self.began = stamp.uptime;
        }
        self.now = now;
        self.wake(now);
        match input {
            Input::Started(_) => self.outputs.push_back(Output::Load),
            Input::Control(Control::Activate) => self.active = true,
            Input::Control(Control::Deactivate | Control::Stop) => self.active = false,
            Input::Asked(id, _, request) => self.asked(now, id, request),
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
        if self.is_writable() && self.begun {
            self.wake_ready(now);
            self.write();
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Failed(_, due) => Some(*due),
            Phase::Ready if self.begun => {
                let end = self.ends.first().map(|(end, _)| *end).into_iter().chain(self.horizon).min();
                let lease = end.map(|end| {
                    let left = end.saturating_sub(self.stamp.uptime);
                    self.stamped + Duration::from_secs(left.into())
                });
                self.open.values().min().copied().into_iter().chain(lease).min()
            }
            Phase::Ready | Phase::Loading | Phase::Unsound(_) => None,
        }
    }
}
