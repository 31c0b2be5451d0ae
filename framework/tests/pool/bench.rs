//! A pool with a disk that obeys, and everything it says.

use asa_framework::machine::{Machine, Time};
use asa_framework::roles::backoff::BackoffPlan;
use asa_framework::roles::pool::{
    Answer, Census, Input, Output, PoolCore, PoolError, PoolPlan, Record, Request, State, Ticket, Way,
};
use asa_framework::roles::resource::Range;
use asa_framework::roles::store::{Change, StoreError, apply};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) const WHOLE: Range = Range { start: 0, end: 64 };
pub(crate) const HOLD: Duration = Duration::from_secs(600);

pub(crate) type Reply = Result<Answer<Range>, PoolError>;

/// A pool with a store that obeys, and what everybody has heard.
pub(crate) struct Bench {
    pub(crate) core: PoolCore<Range>,
    pub(crate) plan: PoolPlan<Range>,
    pub(crate) disk: BTreeSet<Record<Range>>,
    /// Batches that wait for the disk.
    pub(crate) batch: Option<Vec<Change<Record<Range>>>>,
    pub(crate) loading: bool,
    pub(crate) replies: BTreeMap<u64, Reply>,
    pub(crate) alarms: Vec<String>,
    pub(crate) now: Time,
    pub(crate) next: u64,
    pub(crate) commits: usize,
}

pub(crate) fn plan() -> PoolPlan<Range> {
    let backoff = BackoffPlan { first: Duration::from_secs(1), cap: Duration::from_secs(8) };
    PoolPlan { initial: vec![WHOLE], low: 8, hold: HOLD, backoff, ..PoolPlan::default() }
}

impl Bench {
    pub(crate) fn new(plan: PoolPlan<Range>) -> Self {
        let (core, disk) = (PoolCore::new(plan.clone()), BTreeSet::new());
        let (replies, alarms, now) = (BTreeMap::new(), Vec::new(), Time::default());
        let mut bench =
            Self { core, plan, disk, batch: None, loading: false, replies, alarms, now, next: 0, commits: 0 };
        bench.feed(Input::Started);
        bench.settle();
        bench
    }

    pub(crate) fn feed(&mut self, input: Input<Range>) {
        self.core.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Load => self.loading = true,
                Output::Commit(changes) => {
                    assert!(self.batch.replace(changes).is_none(), "one batch at a time");
                    self.commits += 1;
                }
                Output::Reply(id, reply) => {
                    assert!(self.replies.insert(id, reply).is_none(), "one answer each");
                }
                Output::Level(_) => {}
                Output::Alarm(text) => self.alarms.push(text),
            }
        }
    }

    /// What is on the disk after a batch: a bug if it does not fit.
    pub(crate) fn write(&mut self) {
        let batch = self.batch.clone().unwrap();
        apply(&mut self.disk, &batch).unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// The disk answers everything until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        while self.loading || self.batch.is_some() {
            if std::mem::take(&mut self.loading) {
                self.feed(Input::Loaded(Ok(self.disk.iter().cloned().collect())));
            } else {
                self.write();
                self.batch = None;
                self.feed(Input::Committed(Ok(())));
            }
        }
    }

    pub(crate) fn fail(&mut self, written: bool) {
        if self.batch.is_some() {
            if written {
                self.write();
            }
            self.batch = None;
            self.feed(Input::Committed(Err(StoreError::Ordered)));
        }
    }

    pub(crate) fn send(&mut self, request: Request<Range>) -> u64 {
        self.next += 1;
        self.feed(Input::Asked(self.next, request));
        self.next
    }

    pub(crate) fn ask(&mut self, request: Request<Range>) -> Reply {
        let id = self.send(request);
        self.settle();
        self.replies.remove(&id).expect("an answer")
    }

    pub(crate) fn reserve(&mut self, want: u32) -> (Ticket, Range) {
        match self.ask(reserve(want)) {
            Ok(Answer::Reserved(ticket, block)) => (ticket, block),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn census(&mut self) -> Census<Range> {
        match self.ask(Request::Query) {
            Ok(Answer::Census(census)) => census,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn state(&mut self, block: Range) -> State {
        let census = self.census();
        census.blocks.iter().find(|(held, _)| *held == block).expect("the block").1.clone()
    }

    /// The process dies and begins anew with what is on the disk.
    pub(crate) fn crash(&mut self) {
        (self.batch, self.loading) = (None, false);
        self.replies.clear();
        self.core = PoolCore::new(self.plan.clone());
        self.feed(Input::Started);
    }

    /// Lets time pass, and the disk work.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.core.wake(self.now);
        self.drain();
    }
}

pub(crate) fn reserve(want: u32) -> Request<Range> {
    Request::Reserve { want, to: "peer".into(), instead: None }
}

pub(crate) fn doubt(way: Way) -> State {
    State::Doubt { with: "peer".into(), way }
}
