//! A pool with a disk and clocks that obey, and everything it says.

use asa_framework::machine::{Machine, Time};
use asa_framework::roles::backoff::BackoffPlan;
use asa_framework::roles::store::{Change, StoreError, apply};
use asa_prefix::pool::record::{Deal, Dealt, Record, State};
use asa_prefix::pool::{Answer, Census, Input, Level, Output, PoolCore, PoolError, PoolPlan, Request, Stamp, Verdict};
use asa_prefix::prefix::{Prefix, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) const HOLD: Duration = Duration::from_secs(600);

pub(crate) type Reply = Result<Answer, PoolError>;

pub(crate) struct Bench {
    pub(crate) core: PoolCore,
    pub(crate) plan: PoolPlan,
    pub(crate) disk: BTreeSet<Record>,
    /// What waits for the disk.
    pub(crate) batch: Option<Vec<Change<Record>>>,
    pub(crate) loading: bool,
    pub(crate) replies: BTreeMap<u64, Reply>,
    pub(crate) alarms: Vec<String>,
    pub(crate) ended: Vec<Prefix>,
    pub(crate) level: Option<Level>,
    pub(crate) now: Time,
    /// Which boot this is, and when it was.
    pub(crate) boot: u32,
    pub(crate) booted: Time,
    pub(crate) wall: u32,
    pub(crate) next: u64,
    pub(crate) commits: usize,
}

pub(crate) fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(crate) fn want(length: u8) -> Want {
    Want::new(p("::/0").family(), length).unwrap()
}

pub(crate) fn deal(session: u32) -> Deal {
    Deal { session, peer: "fe80::2".into() }
}

pub(crate) fn hold(session: u32, length: u8) -> Request {
    Request::Hold { deal: deal(session), want: want(length), longest: length, dry: None }
}

pub(crate) fn ask(session: u32, length: u8) -> Request {
    Request::Ask { deal: deal(session), want: want(length) }
}

pub(crate) fn accept(session: u32, block: &str) -> Request {
    Request::Accept { deal: deal(session), block: p(block) }
}

pub(crate) fn plan() -> PoolPlan {
    let backoff = BackoffPlan { first: Duration::from_secs(1), cap: Duration::from_secs(8) };
    PoolPlan { initial: vec![p("2001:db8::/56")], hold: HOLD, backoff, ..PoolPlan::default() }
}

impl Bench {
    pub(crate) fn new(plan: PoolPlan) -> Self {
        let mut bench = Self::stopped(plan);
        bench.start();
        bench.settle();
        bench
    }

    pub(crate) fn stopped(plan: PoolPlan) -> Self {
        Self {
            core: PoolCore::new(plan.clone()),
            plan,
            disk: BTreeSet::new(),
            batch: None,
            loading: false,
            replies: BTreeMap::new(),
            alarms: Vec::new(),
            ended: Vec::new(),
            level: None,
            now: Time(Duration::from_secs(100)),
            boot: 1,
            booted: Time::default(),
            wall: 1_000_000,
            next: 0,
            commits: 0,
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let uptime = u32::try_from(self.now.since(self.booted).as_secs()).unwrap();
        Stamp { wall: self.wall, uptime, boot: self.boot }
    }

    pub(crate) fn feed(&mut self, input: Input) {
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
                Output::Reply(id, reply) => assert!(self.replies.insert(id, reply).is_none(), "one answer each"),
                Output::Level(level) => self.level = Some(level),
                Output::Ended(blocks) => self.ended.extend(blocks),
                Output::Alarm(text) => self.alarms.push(text),
            }
        }
    }

    /// What is on the disk after a batch: a bug if it does not fit.
    pub(crate) fn write(&mut self) {
        let batch = self.batch.clone().unwrap();
        apply(&mut self.disk, &batch).unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// The disk does the next thing that it is asked for.
    pub(crate) fn step(&mut self) -> bool {
        if std::mem::take(&mut self.loading) {
            self.feed(Input::Loaded(Ok(self.disk.iter().cloned().collect())));
        } else if self.batch.is_some() {
            self.write();
            self.batch = None;
            self.feed(Input::Committed(Ok(())));
        } else {
            return false;
        }
        true
    }

    pub(crate) fn settle(&mut self) {
        while self.step() {}
    }

    /// The batch under way is reported as failed; it was made all the same, or was not.
    pub(crate) fn fail(&mut self, made: bool) {
        if self.batch.is_some() {
            if made {
                self.write();
            }
            self.batch = None;
            self.feed(Input::Committed(Err(StoreError::Ordered)));
        }
    }

    /// Waits until the store is tried again, and has answered everything.
    pub(crate) fn recover(&mut self) {
        self.pass(Duration::from_secs(8));
        self.settle();
    }

    pub(crate) fn send(&mut self, request: Request) -> u64 {
        self.next += 1;
        self.feed(Input::Asked(self.next, self.stamp(), request));
        self.next
    }

    pub(crate) fn ask(&mut self, request: Request) -> Reply {
        let id = self.send(request);
        self.settle();
        self.replies.remove(&id).expect("an answer")
    }

    pub(crate) fn block(&mut self, request: Request) -> Prefix {
        match self.ask(request) {
            Ok(Answer::Block(block) | Answer::Again(block)) => block,
            other => panic!("{other:?}"),
        }
    }

    /// A block that has been offered.
    pub(crate) fn offered(&mut self, session: u32, length: u8) -> Prefix {
        let block = self.block(hold(session, length));
        assert_eq!(self.ask(Request::Offer(deal(session))), Ok(Answer::Done));
        block
    }

    /// A block that is being taken.
    pub(crate) fn accepting(&mut self, session: u32, block: &str) -> Prefix {
        self.ask(ask(session, p(block).length())).unwrap();
        self.ask(accept(session, block)).unwrap();
        p(block)
    }

    /// A block that was acquired.
    pub(crate) fn acquired(&mut self, session: u32, block: &str) -> Prefix {
        let block = self.accepting(session, block);
        self.ask(Request::Adopt(deal(session))).unwrap();
        block
    }

    pub(crate) fn verdict(&mut self, request: Request) -> Verdict {
        match self.ask(request) {
            Ok(Answer::Verdict(verdict)) => verdict,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn census(&mut self) -> Census {
        match self.ask(Request::Census) {
            Ok(Answer::Census(census)) => *census,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn free(&mut self) -> u128 {
        self.census().free[&want(0).family]
    }

    pub(crate) fn records(&mut self) -> Vec<Record> {
        match self.ask(Request::Records) {
            Ok(Answer::Records(records)) => records,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn blocks(&mut self) -> Vec<(Prefix, State)> {
        match self.ask(Request::Blocks { after: None, within: None, states: vec![], limit: usize::MAX }) {
            Ok(Answer::Blocks(blocks, false)) => blocks,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn state(&mut self, block: Prefix) -> Option<State> {
        self.blocks().into_iter().find(|(held, _)| *held == block).map(|(_, state)| state)
    }

    /// The name of a block's state; of the one around it if it is none itself; empty if it is not there.
    pub(crate) fn name(&mut self, block: Prefix) -> &'static str {
        self.blocks().into_iter().find(|(held, _)| held.contains(&block)).map_or("", |(_, state)| state.name())
    }

    /// A new life with what is on the disk.
    pub(crate) fn start(&mut self) {
        (self.batch, self.loading) = (None, false);
        self.replies.clear();
        self.core = PoolCore::new(self.plan.clone());
        self.feed(Input::Started(self.stamp()));
    }

    /// The process dies, and begins anew.
    pub(crate) fn restart(&mut self) {
        self.start();
        self.settle();
    }

    /// The machine begins anew.
    pub(crate) fn reboot(&mut self) {
        self.boot += 1;
        self.booted = self.now;
        self.restart();
    }

    /// Lets time pass; the disk answers nothing.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.core.wake(self.now);
        self.drain();
    }

    /// Lets time pass, and the disk work.
    pub(crate) fn spend(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
        self.settle();
    }
}

pub(crate) fn dealt_of(record: &Record) -> Option<&Dealt> {
    match record {
        Record::Block { state, .. } => state.dealt(),
        Record::Life(_) | Record::Aggregate { .. } | Record::Session { .. } => None,
    }
}

/// PM-S-01: blocks are disjoint, and those of each aggregate make it up.
pub(crate) fn sound(disk: &BTreeSet<Record>) {
    let (mut aggregates, mut blocks) = (Vec::new(), Vec::new());
    for record in disk {
        match record {
            Record::Aggregate { block, .. } => aggregates.push(*block),
            Record::Block { block, state } => blocks.push((*block, state)),
            Record::Life(_) | Record::Session { .. } => {}
        }
    }
    blocks.sort_by_key(|(block, _)| *block);
    for pair in blocks.windows(2) {
        assert!(!pair[0].0.overlaps(&pair[1].0), "{pair:?}");
    }
    for (block, state) in &blocks {
        let home = aggregates.iter().find(|aggregate| aggregate.overlaps(block));
        assert_eq!(home.is_none(), state.is_foreign(), "{block} {state:?} {home:?}");
        assert!(home.is_none_or(|home| home.contains(block)), "{block} crosses {home:?}");
    }
    for aggregate in aggregates {
        let inside = blocks.iter().filter(|(block, _)| aggregate.contains(block));
        assert_eq!(inside.map(|(block, _)| block.measure()).sum::<u128>(), aggregate.measure(), "{aggregate}");
    }
}
