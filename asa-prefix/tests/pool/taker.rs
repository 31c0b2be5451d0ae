//! Taking blocks from peers, and handing them back.

use super::bench::*;
use asa_prefix::pool::record::{Deal, Record, Source};
use asa_prefix::pool::{Answer, PoolError, PoolPlan, Request};

fn nothing() -> PoolPlan {
    PoolPlan { initial: vec![], ..plan() }
}

/// PM-S-08: only what was asked for can be accepted, once, and not after it is over.
#[test]
fn asking_comes_before_accepting() {
    let mut bench = Bench::new(nothing());
    assert!(matches!(bench.ask(accept(1, "2001:db8::/64")), Err(PoolError::State(_))));
    bench.accepting(1, "2001:db8::/64");
    let again = bench.ask(accept(1, "2001:db8:1::/64"));
    assert!(matches!(&again, Err(PoolError::State(why)) if why.contains("already")), "{again:?}");
    bench.ask(Request::Refuse(deal(1))).unwrap();
    let late = bench.ask(accept(1, "2001:db8::/64"));
    assert!(matches!(&late, Err(PoolError::State(why)) if why.contains("over")), "{late:?}");
    assert_eq!(bench.blocks(), []);
    let other = Deal { session: 2, peer: "fe80::9".into() };
    bench.ask(ask(2, 64)).unwrap();
    assert!(bench.ask(Request::Accept { deal: other, block: p("2001:db8::/64") }).is_err(), "another peer's session");
}

/// PM-S-11: what is taken is an aggregate with its session when the store has it, and of no use before.
#[test]
fn what_is_adopted_is_an_aggregate_of_its_session() {
    let mut bench = Bench::new(nothing());
    let block = bench.accepting(7, "2001:db8::/60");
    assert_eq!(bench.ask(hold(1, 64)), Err(PoolError::Empty));
    bench.ask(Request::Adopt(deal(7))).unwrap();
    assert_eq!(bench.ask(Request::Adopt(deal(7))), Err(PoolError::NoDeal));
    let source = |record: &Record| match record {
        Record::Aggregate { block: it, source: Source::Peer(dealt), withdrawn: false } => {
            *it == block && dealt.deal == deal(7)
        }
        _ => false,
    };
    assert!(bench.disk.iter().any(source), "{:?}", bench.disk);
    bench.restart();
    assert_eq!(bench.offered(1, 60), block);
}

/// PM-R-05: what overlaps anything here is declined, and the operator learns of both sources.
#[test]
fn an_overlap_names_both_sources() {
    let mut bench = Bench::new(plan());
    bench.acquired(1, "2001:db8:1::/48");
    bench.accepting(2, "2001:db8:2::/48");
    let other = Deal { session: 3, peer: "fe80::3".into() };
    bench.ask(Request::Ask { deal: other.clone(), want: want(48) }).unwrap();
    for (block, old, whose) in [
        ("2001:db8:0:1::/64", "2001:db8::/56", "of the manifest"),
        ("2001:db8:1:1::/64", "2001:db8:1::/48", "from fe80::2"),
        ("2001:db8::/40", "2001:db8:1::/48", "from fe80::2"),
        ("2001:db8:2:1::/64", "2001:db8:2::/48", "accepting with fe80::2"),
        ("2001:db8:2::/47", "2001:db8:2::/48", "accepting with fe80::2"),
    ] {
        let refused = bench.ask(Request::Accept { deal: other.clone(), block: p(block) });
        let Err(PoolError::Overlap { new, old: found, whose: found_whose }) = refused else { panic!("{refused:?}") };
        assert_eq!((new, found, found_whose.as_str()), (p(block), p(old), whose));
        let alarm = bench.alarms.pop().expect("an alarm");
        assert!(["fe80::3", block, old, whose].iter().all(|part| alarm.contains(part)), "{alarm}");
    }
}

/// PM-S-08, PM-S-18: an acceptance of which nothing is heard is in doubt, and stays so.
#[test]
fn an_acceptance_of_which_nothing_is_heard_is_in_doubt() {
    let mut bench = Bench::new(nothing());
    let block = bench.accepting(1, "2001:db8::/64");
    bench.spend(600);
    assert_eq!(bench.name(block), "in-doubt");
    assert_eq!((bench.free(), bench.census().foreign["in-doubt"].blocks), (0, 1));
    bench.ask(Request::Adopt(deal(1))).unwrap();
    assert_eq!(bench.name(block), "free", "its good end was heard of late");
}

/// A question of which nothing more is heard is over: the memory of them does not grow.
#[test]
fn a_question_of_which_nothing_is_heard_is_over() {
    let mut bench = Bench::new(nothing());
    bench.ask(ask(1, 64)).unwrap();
    bench.spend(600);
    assert!(matches!(bench.ask(accept(1, "2001:db8::/64")), Err(PoolError::State(_))));
    let over = |record: &Record| matches!(record, Record::Session { over: true, .. });
    assert_eq!(bench.disk.iter().filter(|record| over(record)).count(), 1);
}

/// What is remembered is bounded, also where no negotiation is over, and after the bound was lowered.
#[test]
fn only_so_many_negotiations_are_remembered() {
    let sessions = |bench: &Bench| bench.disk.iter().filter(|r| matches!(r, Record::Session { .. })).count();
    let mut bench = Bench::new(PoolPlan { sessions: 10, ..nothing() });
    bench.accepting(1, "2001:db8::/64");
    (2..30).for_each(|session| drop(bench.ask(ask(session, 64))));
    assert_eq!(sessions(&bench), 10);
    assert!(bench.ask(accept(5, "2001:db8:5::/64")).is_err(), "forgotten");
    bench.ask(accept(29, "2001:db8:29::/64")).unwrap();
    bench.ask(Request::Adopt(deal(1))).unwrap();
    bench.plan.sessions = 3;
    bench.restart();
    bench.ask(ask(40, 64)).unwrap();
    assert_eq!((sessions(&bench), bench.census().counters["sessions_forgotten"]), (3, 8));
    bench.restart();
    assert_eq!(bench.records(), bench.disk.iter().cloned().collect::<Vec<_>>());
}

/// PM-T-03: a whole acquired aggregate goes out of use before it is offered back, and comes back if it is not wanted.
#[test]
fn an_acquired_aggregate_is_handed_back_as_a_whole() {
    let mut bench = Bench::new(plan());
    let block = bench.acquired(1, "2001:db8:1::/60");
    assert!(bench.ask(Request::Return(p("2001:db8::/56"))).is_err(), "it did not come from a peer");
    assert!(bench.ask(Request::Return(p("2001:db8:1::/64"))).is_err(), "a part");
    let client = bench.block(Request::Delegate { client: "c".into(), want: want(60), lifetimes: None });
    let used = bench.ask(Request::Return(block));
    assert!(client != block || matches!(used, Err(PoolError::State(_))));
    bench.ask(Request::GiveBack { client: "c".into(), block: client, unused: true }).unwrap();
    for _ in 0..2 {
        bench.ask(Request::Return(block)).unwrap();
        assert_eq!((bench.name(block), bench.level.unwrap().returning), ("returning", 1));
        bench.restart();
    }
    bench.ask(Request::Returned { block, gone: false }).unwrap();
    assert_eq!(bench.name(block), "free");
    assert!(bench.ask(Request::Returned { block, gone: true }).is_err());
    bench.ask(Request::Return(block)).unwrap();
    bench.ask(Request::Returned { block, gone: true }).unwrap();
    assert_eq!((bench.name(block), bench.census().aggregates.len()), ("", 1));
    bench.restart();
    assert_eq!(bench.acquired(2, "2001:db8:1::/60"), block, "it may come again");
}

/// PM-T-03, PM-T-04: what was granted in a session is taken back in that session only; parts too, and any number of times.
#[test]
fn a_grant_is_taken_back_in_its_session_only() {
    let mut bench = Bench::new(plan());
    let block = bench.offered(1, 60);
    bench.ask(Request::Confirm(deal(1))).unwrap();
    let part = block.halves().unwrap().0.halves().unwrap().1;
    let take = |session, block| Request::TakeBack { session, block };
    for stranger in [take(2, block), take(1, p("2001:db8::/56")), take(1, p("2001:db8:9::/60"))] {
        assert!(bench.ask(stranger).is_err());
    }
    assert_eq!(bench.census().counters["returns_refused"], 3);
    for _ in 0..2 {
        assert_eq!(bench.ask(take(1, part)), Ok(Answer::Done));
        bench.restart();
    }
    assert_eq!(bench.name(part), "free");
    let granted = bench.blocks().into_iter().filter(|(_, state)| state.name() == "granted");
    assert_eq!(granted.map(|(block, _)| block.measure()).sum::<u128>(), block.measure() - part.measure());
    assert!(bench.ask(take(1, block)).is_err(), "the whole is not theirs any more");
    for rest in [block.halves().unwrap().1, part.buddy().unwrap()] {
        bench.ask(take(1, rest)).unwrap();
    }
    assert_eq!(bench.name(p("2001:db8::/56")), "free");
    assert_eq!(bench.offered(3, 56), p("2001:db8::/56"));
    assert_eq!(bench.ask(take(1, part)), Ok(Answer::Done), "a message of long ago");
    assert_eq!(bench.name(part), "offered");
}
