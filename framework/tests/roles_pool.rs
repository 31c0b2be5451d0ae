//! The pool: what it holds stays whole whatever happens, and nobody hears of anything that the store does not have.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "pool/bench.rs"]
mod bench;
#[path = "pool/properties.rs"]
mod properties;

use asa_framework::machine::Machine;
use asa_framework::roles::Control;
use asa_framework::roles::pool::{Answer, Input, PoolError, PoolPlan, Record, Request, State, Ticket, Way};
use asa_framework::roles::resource::{Range, Resource};
use asa_framework::roles::store::StoreError;
use bench::{Bench, HOLD, WHOLE, doubt, plan, reserve};
use std::time::Duration;

/// Architecture section 6, PM-O-07: a block is set aside for one negotiation, and for no other until that one has ended.
#[test]
fn no_block_is_in_two_open_negotiations() {
    let mut bench = Bench::new(plan());
    // A hundred peers ask at the same instant; there is room for 64.
    let ids: Vec<u64> = (0..100).map(|_| bench.send(reserve(1))).collect();
    bench.settle();
    let mut offered = Vec::new();
    for id in ids {
        match bench.replies.remove(&id).unwrap() {
            Ok(Answer::Reserved(_, block)) => offered.push(block),
            other => assert_eq!(other, Err(PoolError::Empty)),
        }
    }
    assert_eq!(offered.len(), 64);
    offered.sort();
    assert!(offered.windows(2).all(|pair| !pair[0].overlaps(&pair[1])), "{offered:?}");
    assert_eq!(bench.core.load().busy, 64);
}

/// PM-S-03: the answer follows the disk, and who waits together shares one batch.
#[test]
fn answers_come_after_the_disk_and_those_who_wait_share_a_batch() {
    let mut bench = Bench::new(plan());
    bench.commits = 0;
    let ids: Vec<u64> = (0..10).map(|_| bench.send(reserve(1))).collect();
    let query = bench.send(Request::Query);
    assert_eq!((bench.replies.len(), bench.commits), (0, 1));
    bench.settle();
    assert!(ids.iter().all(|id| bench.replies[id].is_ok()) && bench.replies[&query].is_ok());
    assert_eq!(bench.commits, 2, "the first goes alone, nine wait together");
}

/// PM-S-04 to PM-S-07: what becomes of an offered block.
#[test]
fn an_offer_ends_as_granted_free_or_in_doubt() {
    let mut bench = Bench::new(plan());
    let (ticket, block) = bench.reserve(8);
    assert_eq!(bench.state(block), State::Offered { to: "peer".into() });
    bench.ask(Request::Confirm(ticket)).unwrap();
    assert_eq!(bench.state(block), State::Granted { to: "peer".into() });
    assert_eq!(bench.ask(Request::Release(ticket)), Err(PoolError::NoTicket), "a grant is not taken back by mistake");
    let (ticket, _) = bench.reserve(8);
    bench.ask(Request::Release(ticket)).unwrap();
    let (ticket, lost) = bench.reserve(8);
    bench.ask(Request::Doubt(ticket)).unwrap();
    assert_eq!(bench.state(lost), doubt(Way::Out));
    let (counter, _) = bench.reserve(8);
    let again = Request::Reserve { want: 40, to: "peer".into(), instead: Some(counter) };
    assert!(matches!(bench.ask(again), Ok(Answer::Reserved(_, block)) if block.measure() == 40), "the old one is free");
}

/// PM-S-18: a doubt ends by word, never by age.
#[test]
fn a_doubt_lasts_until_it_is_resolved() {
    let mut bench = Bench::new(plan());
    let (_, forgotten) = bench.reserve(8);
    bench.pass(HOLD);
    bench.settle();
    assert_eq!(bench.state(forgotten), doubt(Way::Out), "nobody has told how it ended");
    bench.pass(HOLD * 10_000);
    bench.settle();
    bench.crash();
    bench.settle();
    assert_eq!(bench.state(forgotten), doubt(Way::Out));
    for _ in 0..7 {
        assert!(!bench.reserve(8).1.overlaps(&forgotten));
    }
    assert_eq!(bench.ask(reserve(1)), Err(PoolError::Empty));
    bench.ask(Request::Resolve { block: forgotten, ours: false }).unwrap();
    assert_eq!(bench.state(forgotten), State::Granted { to: "peer".into() });
    assert!(bench.ask(Request::Resolve { block: forgotten, ours: true }).is_err(), "it is not in doubt any more");
}

/// PM-S-05, PM-S-08, the crash table: whatever may be on the wire is in doubt after a crash, and nothing else is.
#[test]
fn a_restart_doubts_what_may_be_on_the_wire() {
    let mut bench = Bench::new(plan());
    let (ticket, granted) = bench.reserve(4);
    bench.ask(Request::Confirm(ticket)).unwrap();
    let (late, offered) = bench.reserve(4);
    let taken = Range::new(100, 110);
    bench.ask(Request::Accept { block: taken, from: "peer".into() }).unwrap();
    let unwritten = bench.send(reserve(4));
    bench.crash();
    bench.settle();
    assert!(!bench.replies.contains_key(&unwritten));
    assert_eq!(bench.state(granted), State::Granted { to: "peer".into() });
    assert_eq!((bench.state(offered), bench.state(taken)), (doubt(Way::Out), doubt(Way::In)));
    assert_eq!(bench.census().free, 56, "what was never written down is free");
    assert_eq!(bench.ask(Request::Confirm(late)), Err(PoolError::NoTicket), "tickets of an earlier life mean nothing");
    let (ticket, _) = bench.reserve(1);
    assert_ne!(ticket, late);
    bench.ask(Request::Resolve { block: taken, ours: true }).unwrap();
    bench.ask(Request::Resolve { block: offered, ours: true }).unwrap();
    assert_eq!(bench.census().free, 56 + 4 + 10 - 1);
}

/// PM-S-08 to PM-S-11: what is taken is the pool's own when its negotiation has ended, and not before.
#[test]
fn what_is_accepted_is_used_only_when_it_is_owned() {
    let mut bench = Bench::new(PoolPlan { initial: vec![], ..plan() });
    let block = Range::new(10, 20);
    let accept = || Request::Accept { block, from: "peer".into() };
    assert_eq!(bench.ask(accept()), Ok(Answer::Accepting(block)));
    assert_eq!(bench.ask(reserve(1)), Err(PoolError::Empty));
    bench.ask(Request::Refuse(block)).unwrap();
    bench.ask(accept()).unwrap();
    bench.ask(Request::Adopt(block)).unwrap();
    assert_eq!(bench.reserve(10).1, block);
    let again = bench.ask(Request::Accept { block: Range::new(19, 30), from: "other".into() });
    assert!(matches!(again, Err(PoolError::Overlap { .. })), "PM-R-05: {again:?}");
}

/// PM-S-12: a client that asks again gets the same block again, also after a crash.
#[test]
fn a_client_that_asks_again_gets_the_same() {
    let mut bench = Bench::new(plan());
    let grant = |to: &str| Request::Grant { want: 8, to: to.into() };
    let first = bench.ask(grant("one"));
    bench.crash();
    bench.settle();
    assert_eq!(bench.ask(grant("one")), first);
    let Ok(Answer::Granted(block)) = first else { panic!("{first:?}") };
    assert_ne!(bench.ask(grant("two")), Ok(Answer::Granted(block)));
    // PM-T-04: nobody gives back what was granted to somebody else.
    assert!(bench.ask(Request::TakeBack { block, from: "two".into() }).is_err());
    bench.ask(Request::TakeBack { block, from: "one".into() }).unwrap();
    assert_eq!(bench.census().free, 56);
}

/// PM-S-15: the initial stock is taken in once; PM-T-03: what is given back is gone.
#[test]
fn the_initial_stock_is_taken_in_once() {
    let mut bench = Bench::new(plan());
    bench.ask(Request::Return(WHOLE)).unwrap();
    assert_eq!(bench.ask(reserve(1)), Err(PoolError::Empty));
    bench.ask(Request::Returned { block: WHOLE, gone: true }).unwrap();
    bench.crash();
    bench.settle();
    let census = bench.census();
    assert_eq!((census.free, census.blocks, census.aggregates), (0, vec![], vec![]));
}

/// PM-O-05, PM-O-06: best fit, of equal blocks the highest; siblings come together again, but not over a border.
#[test]
fn the_best_fit_is_split_and_comes_together_again() {
    let initial = vec![Range::new(0, 16), Range::new(16, 24), Range::new(30, 38)];
    let mut bench = Bench::new(PoolPlan { initial: initial.clone(), ..plan() });
    let (one, block) = bench.reserve(5);
    assert_eq!(block, Range::new(30, 35));
    let (two, block) = bench.reserve(3);
    assert_eq!(block, Range::new(35, 38));
    assert_eq!(bench.reserve(20).1.measure(), 10, "PM-O-02: the next smaller that is there");
    bench.ask(Request::Release(one)).unwrap();
    bench.ask(Request::Release(two)).unwrap();
    assert_eq!(bench.state(Range::new(30, 38)), State::Free);
    assert_eq!(bench.state(Range::new(16, 24)), State::Free, "the border to 0..16 stands");
}

/// PM-O-12: one party alone does not drain the pool.
#[test]
fn a_quota_holds_for_each_party() {
    let mut bench = Bench::new(PoolPlan { quota: Some(8), ..plan() });
    bench.reserve(8);
    assert_eq!(bench.ask(reserve(1)), Err(PoolError::Quota("peer".into())));
    assert!(bench.ask(Request::Grant { want: 8, to: "another".into() }).is_ok());
}

/// PM-S-19: a store that fails stops grants at once and is tried again after growing pauses; one alarm, and questions are
/// answered.
#[test]
fn a_failing_store_makes_the_pool_read_only() {
    let mut bench = Bench::new(plan());
    let (one, two) = (bench.send(reserve(4)), bench.send(reserve(4)));
    bench.fail(false);
    for id in [one, two] {
        assert_eq!(bench.replies.remove(&id), Some(Err(PoolError::Store(StoreError::Ordered))));
    }
    assert!(matches!(bench.ask(reserve(1)), Err(PoolError::Store(_))));
    assert!(!bench.census().writable);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let pause = bench.core.deadline().unwrap().since(bench.now);
        pauses.push(pause);
        bench.pass(pause);
        assert!(std::mem::take(&mut bench.loading));
        bench.feed(Input::Loaded(Err(StoreError::Ordered)));
    }
    assert!(pauses.windows(2).take(3).all(|pair| pair[1] > pair[0]), "{pauses:?}");
    assert_eq!(bench.alarms.len(), 1, "{:?}", bench.alarms);
    bench.pass(Duration::from_secs(8));
    bench.settle();
    assert_eq!(bench.reserve(64).1, WHOLE, "what nobody had heard of is free");
}

/// A grant whose writing failed is not handed out again, whether the disk has it or not.
#[test]
fn the_end_of_a_promise_that_could_not_be_written_leaves_a_doubt() {
    for (end, written, expected) in [
        (Request::Confirm as fn(Ticket) -> _, false, doubt(Way::Out)),
        (Request::Confirm, true, State::Granted { to: "peer".into() }),
        (Request::Doubt, false, doubt(Way::Out)),
    ] {
        let mut bench = Bench::new(plan());
        let (ticket, block) = bench.reserve(4);
        let (open, still) = bench.reserve(4);
        bench.send(end(ticket));
        bench.fail(written);
        bench.pass(Duration::from_secs(2));
        bench.settle();
        assert_eq!(bench.state(block), expected);
        assert_eq!(bench.state(still), State::Offered { to: "peer".into() }, "an open negotiation goes on");
        bench.ask(Request::Confirm(open)).unwrap();
    }
}

/// PM-S-01, PM-S-16: what cannot be is not served.
#[test]
fn a_store_that_is_not_sound_is_not_served() {
    let block = |start, end, state| Record::Block { block: Range::new(start, end), state };
    let aggregate = Record::Aggregate { block: WHOLE, from: "initial".into() };
    for (records, problem) in [
        (vec![aggregate.clone(), block(0, 64, State::Free)], "no mark of a first start"),
        (vec![Record::Life(1), aggregate.clone(), block(0, 63, State::Free)], "measure 64, their blocks 63"),
        (vec![Record::Life(1), aggregate.clone(), block(0, 33, State::Free), block(32, 63, State::Free)], "overlaps"),
        (vec![Record::Life(1), aggregate, block(100, 164, State::Returning), block(100, 164, State::Free)], "twice"),
    ] {
        let mut bench = Bench::new(plan());
        bench.disk = records.into_iter().collect();
        bench.crash();
        bench.settle();
        let error = bench.ask(reserve(1)).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
        assert!(bench.alarms.iter().any(|alarm| alarm.contains(problem)), "{:?}", bench.alarms);
    }
}

/// ASA-L-08: deactivated, nothing new is given, but what is open ends and questions are answered.
#[test]
fn a_deactivated_pool_gives_nothing_new() {
    let mut bench = Bench::new(plan());
    let (ticket, block) = bench.reserve(4);
    bench.feed(Input::Control(Control::Deactivate));
    assert_eq!(bench.ask(reserve(1)), Err(PoolError::Inactive));
    assert_eq!(bench.core.load().busy, 1);
    bench.ask(Request::Confirm(ticket)).unwrap();
    assert_eq!(bench.core.load().busy, 0, "drained");
    assert_eq!(bench.state(block), State::Granted { to: "peer".into() });
    bench.feed(Input::Control(Control::Activate));
    bench.reserve(1);
}
