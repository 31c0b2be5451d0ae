//! Stores that fail, lie, or hold what cannot be.

use super::bench::*;
use asa_framework::machine::Machine;
use asa_framework::roles::store::{Fault, FaultStore, MemStore, Store, StoreError};
use asa_prefix::pool::record::{Record, Source, State};
use asa_prefix::pool::{Answer, Input, PoolError, Request};
use futures_util::FutureExt;
use std::sync::Arc;

fn delegate(client: &str) -> Request {
    Request::Delegate { client: client.into(), want: want(64), lifetimes: None }
}

/// PM-S-03: who waits together shares a batch, and nobody is answered before it is durable.
#[test]
fn those_who_wait_share_a_batch() {
    let mut bench = Bench::new(plan());
    bench.commits = 0;
    let ids: Vec<u64> = (0..10).map(|client| bench.send(delegate(&client.to_string()))).collect();
    assert_eq!((bench.replies.len(), bench.commits), (0, 1));
    bench.settle();
    assert!(ids.iter().all(|id| bench.replies[id].is_ok()));
    assert_eq!(bench.commits, 2, "the first goes alone, nine wait together");
    assert_eq!(bench.level.unwrap().v6, (256 - 10) << 64);
}

/// The level is told also while requests never cease.
#[test]
fn the_level_is_told_under_load() {
    let mut bench = Bench::new(plan());
    let before = bench.level;
    bench.send(delegate("a"));
    bench.send(delegate("b"));
    bench.step();
    assert!(bench.batch.is_some() && bench.level != before);
}

/// PM-S-19: read-only at once, one alarm, growing pauses, questions answered, and recovery.
#[test]
fn a_failing_store_makes_the_pool_read_only() {
    let mut bench = Bench::new(plan());
    let ids = [bench.send(delegate("a")), bench.send(delegate("b"))];
    bench.fail(false);
    assert!(ids.iter().all(|id| matches!(bench.replies.remove(id), Some(Err(PoolError::Store(_))))));
    assert!(matches!(bench.ask(hold(1, 64)), Err(PoolError::Store(_))));
    let census = bench.census();
    assert!(!census.writable && census.trouble.is_some() && !bench.level.unwrap().writable);
    assert!(bench.ask(Request::Blocks { after: None, within: None, states: vec![], limit: 9 }).is_ok());
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let pause = bench.core.deadline().unwrap().since(bench.now);
        pauses.push(pause);
        bench.pass(pause);
        let waits = bench.send(delegate("c"));
        assert!(std::mem::take(&mut bench.loading));
        bench.feed(Input::Loaded(Err(StoreError::Ordered)));
        assert!(matches!(bench.replies.remove(&waits), Some(Err(PoolError::Store(_)))));
    }
    assert!(pauses.windows(2).take(3).all(|pair| pair[1] > pair[0]), "{pauses:?}");
    assert_eq!(bench.alarms.len(), 1, "{:?}", bench.alarms);
    bench.recover();
    assert_eq!((bench.free(), bench.level.unwrap().writable), (256 << 64, true));
    bench.ask(delegate("a")).unwrap();
}

/// PM-S-06, PM-S-07, PM-S-11: an end that could not be written leaves what the store has, or a doubt; what is open goes on.
#[test]
fn an_end_that_could_not_be_written_leaves_a_doubt() {
    for made in [false, true] {
        for (end, written) in
            [(Request::Confirm as fn(_) -> _, "granted"), (Request::Doubt, "in-doubt"), (Request::Release, "free")]
        {
            let mut bench = Bench::new(plan());
            let (block, still) = (bench.offered(1, 60), bench.offered(2, 60));
            bench.send(end(deal(1)));
            bench.fail(made);
            // Nor can it be written the next time.
            bench.recover();
            bench.fail(false);
            bench.recover();
            assert_eq!(bench.name(block), if made { written } else { "in-doubt" });
            assert_eq!(bench.name(still), "offered");
            bench.ask(Request::Confirm(deal(2))).unwrap();
            bench.restart();
            assert_eq!(bench.name(still), "granted");
        }
        for (end, written) in [(Request::Adopt as fn(_) -> _, "free"), (Request::Refuse, "")] {
            let mut bench = Bench::new(plan());
            let block = bench.accepting(1, "2001:db8:1::/64");
            bench.send(end(deal(1)));
            bench.fail(made);
            bench.recover();
            assert_eq!(bench.name(block), if made { written } else { "in-doubt" });
        }
    }
}

/// PM-S-05: an offer is in doubt until the store has it otherwise, however often it fails.
#[test]
fn a_doubt_that_cannot_be_written_is_not_forgotten() {
    let mut bench = Bench::new(plan());
    let block = bench.offered(1, 56);
    bench.send(Request::Doubt(deal(1)));
    for _ in 0..4 {
        bench.fail(false);
        bench.pass(std::time::Duration::from_secs(8));
        assert!(bench.loading);
        bench.step();
        assert!(bench.batch.is_some(), "the doubt is to be written");
    }
    bench.settle();
    assert_eq!(bench.name(block), "in-doubt");
}

/// PM-S-05: what was refused was not promised: it is free, whether the disk has it or not.
#[test]
fn an_offer_that_was_refused_is_free() {
    for made in [false, true] {
        let mut bench = Bench::new(plan());
        bench.ask(ask(7, 64)).unwrap();
        bench.block(hold(1, 60));
        let ids = [bench.send(Request::Offer(deal(1))), bench.send(accept(7, "2001:db8:7::/64"))];
        if made {
            bench.step();
            bench.replies.clear();
            // The second is in a batch of its own.
        }
        bench.fail(made);
        assert!(ids[1..].iter().all(|id| bench.replies[id].is_err()));
        bench.recover();
        assert_eq!(bench.name(p("2001:db8:7::/64")), "");
        assert_eq!(bench.name(p("2001:db8::/57")), "free");
    }
    let mut bench = Bench::new(plan());
    bench.block(hold(1, 60));
    bench.send(Request::Offer(deal(1)));
    bench.fail(true);
    bench.recover();
    assert_eq!((bench.name(p("2001:db8::/56")), bench.core.load().busy), ("free", 0));
}

/// PM-S-01, PM-S-16: what cannot be is not served.
#[test]
fn a_store_that_is_not_sound_is_not_served() {
    let block = |block: &str, state| Record::Block { block: p(block), state };
    let aggregate = || Record::Aggregate { block: p("2001:db8::/56"), source: Source::Manifest, withdrawn: false };
    let session = |over| Record::Session {
        number: 1,
        deal: deal(1),
        part: asa_prefix::pool::record::Part::Asker,
        want: want(64),
        void: None,
        over,
    };
    for (records, problem) in [
        (vec![aggregate(), block("2001:db8::/56", State::Free)], "0 marks of a first start"),
        (vec![Record::Life(1), Record::Life(2)], "2 marks"),
        (vec![Record::Life(1), aggregate()], "make up 0"),
        (vec![Record::Life(1), aggregate(), block("2001:db8::/57", State::Free)], "make up"),
        (
            vec![
                Record::Life(1),
                aggregate(),
                block("2001:db8::/56", State::Free),
                block("2001:db8::/57", State::Excluded),
            ],
            "overlap",
        ),
        (vec![Record::Life(1), block("2001:db8::/57", State::Free)], "in no aggregate"),
        (vec![Record::Life(1), session(true), session(false)], "number 1"),
    ] {
        let mut bench = Bench::stopped(plan());
        bench.disk = records.into_iter().collect();
        bench.start();
        let queued = bench.send(hold(1, 64));
        bench.settle();
        for reply in [bench.replies.remove(&queued).unwrap(), bench.ask(delegate("c"))] {
            assert!(matches!(&reply, Err(PoolError::Unsound(why)) if why.contains(problem)), "{reply:?}");
        }
        assert!(bench.alarms.iter().any(|alarm| alarm.contains(problem)), "{:?}", bench.alarms);
        assert!(bench.census().trouble.is_some());
    }
}

/// Drives a core with a store of the framework.
struct Shop {
    bench: Bench,
    store: FaultStore<Record>,
    memory: MemStore<Record>,
}

impl Shop {
    fn new() -> Self {
        let memory = MemStore::default();
        let mut shop = Self { bench: Bench::stopped(plan()), store: FaultStore::new(Arc::new(memory.clone())), memory };
        shop.bench.start();
        shop.run();
        shop
    }

    fn run(&mut self) {
        loop {
            if std::mem::take(&mut self.bench.loading) {
                let loaded = self.store.load().now_or_never().unwrap();
                self.bench.feed(Input::Loaded(loaded));
            } else if let Some(batch) = self.bench.batch.take() {
                let committed = self.store.commit(batch).now_or_never().unwrap();
                self.bench.feed(Input::Committed(committed));
            } else {
                return;
            }
        }
    }

    fn ask(&mut self, request: Request) -> Result<Answer, PoolError> {
        let id = self.bench.send(request);
        self.run();
        self.bench.replies.remove(&id).unwrap()
    }

    fn wait(&mut self) {
        self.bench.pass(std::time::Duration::from_secs(9));
        self.run();
    }

    fn own(&self, name: &str) -> usize {
        let state = |record: &Record| matches!(record, Record::Block { state, .. } if state.name() == name);
        self.memory.entries().iter().filter(|record| state(record)).count()
    }
}

/// PM-S-01, PM-S-19: a commit that was made, was not made, or of which nobody knows, neither loses nor doubles anything.
#[test]
fn a_store_that_fails_neither_loses_nor_doubles() {
    for fault in [Fault::Refuse, Fault::Doubt, Fault::Dead] {
        let mut shop = Shop::new();
        let Ok(Answer::Block(first)) = shop.ask(delegate("a")) else { panic!() };
        shop.store.order(fault);
        assert!(shop.ask(delegate("b")).is_err());
        shop.wait();
        shop.store.order(Fault::None);
        shop.wait();
        assert_eq!(shop.ask(delegate("a")), Ok(Answer::Again(first)), "{fault:?}");
        let Ok(Answer::Block(second) | Answer::Again(second)) = shop.ask(delegate("b")) else { panic!() };
        assert!(second != first && shop.own("delegated") == 2);
        sound(&shop.memory.entries().into_iter().collect());
    }
}

/// PM-S-16: a store that has forgotten what it acknowledged is found out, and then nothing more is promised from it.
#[test]
fn a_store_that_forgets_is_found_out() {
    let mut shop = Shop::new();
    shop.store.order(Fault::Forget);
    let Ok(Answer::Block(first)) = shop.ask(delegate("a")) else { panic!() };
    shop.store.order(Fault::None);
    let second = shop.ask(delegate("b"));
    assert!(second.is_err(), "{second:?} beside {first}");
    shop.wait();
    assert!(matches!(shop.ask(delegate("b")), Err(PoolError::Unsound(_))));
    assert!(shop.bench.alarms.iter().any(|alarm| alarm.contains("not as it was left")), "{:?}", shop.bench.alarms);
    let census = shop.ask(Request::Census);
    assert!(matches!(census, Ok(Answer::Census(census)) if census.trouble.is_some()));
}

/// PM-S-06: a grant that the store has lost again is in doubt at least: only what was refused is known not to be promised.
#[test]
fn an_offer_that_should_be_a_grant_is_in_doubt() {
    let mut shop = Shop::new();
    let Ok(Answer::Block(block)) = shop.ask(hold(1, 60)) else { panic!() };
    shop.ask(Request::Offer(deal(1))).unwrap();
    shop.store.order(Fault::Forget);
    shop.ask(Request::Confirm(deal(1))).unwrap();
    shop.store.order(Fault::Refuse);
    shop.ask(delegate("a")).unwrap_err();
    shop.store.order(Fault::None);
    shop.wait();
    let Ok(Answer::Blocks(blocks, _)) =
        shop.ask(Request::Blocks { after: None, within: Some(block), states: vec![], limit: 1 })
    else {
        panic!()
    };
    assert_eq!(blocks[0].1.name(), "in-doubt");
}
