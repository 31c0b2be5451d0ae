//! Giving blocks to peers.

use super::bench::*;
use asa_framework::machine::Machine;
use asa_framework::roles::Control;
use asa_prefix::pool::record::{Deal, Way};
use asa_prefix::pool::{Answer, PoolError, PoolPlan, Request};
use std::collections::BTreeMap;
use std::time::Duration;

/// PM-S-04 to PM-S-06: each step of an offer is in the store before it is answered, but for what is only held.
#[test]
fn a_block_is_held_then_offered_then_granted() {
    let mut bench = Bench::new(plan());
    let id = bench.send(hold(1, 60));
    let Some(Ok(Answer::Block(block))) = bench.replies.remove(&id) else { panic!("at once") };
    assert!(bench.batch.is_none(), "nobody outside hears of what is held");
    assert_eq!(bench.name(block), "held");
    let id = bench.send(Request::Offer(deal(1)));
    assert!(!bench.replies.contains_key(&id), "not before the store has it");
    bench.settle();
    assert_eq!(bench.replies.remove(&id), Some(Ok(Answer::Done)));
    assert!(bench.disk.iter().any(|record| dealt_of(record).is_some_and(|dealt| dealt.deal == deal(1))));
    assert_eq!((bench.name(block), bench.core.load().busy), ("offered", 1));
    bench.ask(Request::Confirm(deal(1))).unwrap();
    assert_eq!((bench.name(block), bench.core.load().busy, bench.core.load().promises), ("granted", 0, 1));
    assert_eq!(bench.ask(Request::Release(deal(1))), Err(PoolError::NoDeal), "a grant is not taken back by mistake");
    assert_eq!(bench.ask(Request::Confirm(deal(1))), Err(PoolError::NoDeal));
    assert_eq!(bench.ask(Request::Offer(deal(2))), Err(PoolError::NoDeal));
}

/// PM-S-04, crash table rows 1 and 2: nothing of it has left, so it is free.
#[test]
fn what_was_held_is_free_after_a_restart() {
    let mut bench = Bench::new(plan());
    bench.block(hold(1, 60));
    bench.restart();
    assert_eq!(bench.name(p("2001:db8::/56")), "free", "the store never had it");
    bench.block(hold(2, 60));
    bench.block(Request::Delegate { client: "c".into(), want: want(64), lifetimes: None });
    bench.restart();
    assert!(bench.blocks().iter().all(|(_, state)| state.name() != "held"), "the store had it");
    assert_eq!(bench.free(), (256 - 1) << 64);
}

/// PM-S-05, PM-S-08, crash table rows 3, 4 and 7: whatever may be on the wire is in doubt, and stays so.
#[test]
fn what_was_offered_or_being_accepted_is_in_doubt_after_a_restart() {
    let mut bench = Bench::new(plan());
    let offered = bench.offered(1, 60);
    let accepting = bench.accepting(2, "2001:db8:f::/64");
    bench.restart();
    for _ in 0..2 {
        assert_eq!((bench.name(offered), bench.name(accepting)), ("in-doubt", "in-doubt"));
        bench.spend(1_000_000);
        bench.reboot();
    }
    assert_eq!(bench.level.unwrap().doubts, 2);
    while let Ok(Answer::Block(block)) = bench.ask(hold(bench.next as u32 + 100, 64)) {
        assert!(!block.overlaps(&offered) && !block.overlaps(&accepting));
    }
    assert!(bench.state(offered).is_some());
}

/// PM-S-07: a decline frees; so does a counter-proposal, whatever becomes of it.
#[test]
fn a_decline_or_a_counter_proposal_frees() {
    let mut bench = Bench::new(plan());
    let whole = p("2001:db8::/56");
    assert_eq!(bench.offered(1, 56), whole);
    bench.ask(Request::Release(deal(1))).unwrap();
    assert_eq!((bench.name(whole), bench.offered(2, 56)), ("free", whole));
    assert_eq!(bench.offered(2, 57).parent(), Some(whole));
    assert_eq!(bench.ask(hold(2, 55)), Err(PoolError::Empty));
    assert_eq!(bench.name(whole), "free");
    bench.ask(Request::Census).unwrap();
    assert_eq!(bench.core.load().busy, 0, "the negotiation has nothing left");
    assert_eq!(bench.ask(Request::Confirm(deal(2))), Err(PoolError::NoDeal));
}

/// PM-S-07, PM-S-18: silence makes a doubt, and age does not end it; a late acceptance is honoured.
#[test]
fn an_offer_of_which_nothing_is_heard_is_in_doubt() {
    let mut bench = Bench::new(plan());
    let (lost, told) = (bench.offered(1, 60), bench.offered(2, 60));
    bench.ask(Request::Doubt(deal(2))).unwrap();
    bench.ask(Request::Doubt(deal(2))).unwrap();
    assert_eq!(bench.core.load().busy, 1, "a doubt is not an open negotiation");
    let due = bench.core.deadline().unwrap();
    assert_eq!(due.since(bench.now), HOLD);
    bench.spend(600);
    assert_eq!((bench.name(lost), bench.name(told), bench.core.load().busy), ("in-doubt", "in-doubt", 0));
    bench.ask(Request::Confirm(deal(1))).unwrap();
    bench.ask(Request::Release(deal(2))).unwrap();
    assert_eq!((bench.name(lost), bench.name(told)), ("granted", "free"));
}

/// PM-S-06, crash table row 4: the pool has lived anew, the negotiation has not.
#[test]
fn a_confirmation_after_a_restart_of_the_pool_grants() {
    let mut bench = Bench::new(plan());
    let block = bench.offered(1, 60);
    bench.restart();
    assert!(matches!(bench.ask(hold(1, 60)), Err(PoolError::State(_))), "the old offer is still in doubt");
    bench.ask(Request::Confirm(deal(1))).unwrap();
    bench.restart();
    assert_eq!(bench.name(block), "granted");
}

/// PM-O-07: a block is set aside for one negotiation, and for no other until that one has ended.
#[test]
fn two_open_negotiations_never_have_the_same_block() {
    let mut bench = Bench::new(plan());
    let ids: Vec<u64> = (0..300).map(|session| bench.send(hold(session, 64))).collect();
    for session in 0..300 {
        bench.send(Request::Offer(deal(session)));
    }
    bench.settle();
    let mut blocks = Vec::new();
    for id in ids {
        match bench.replies.remove(&id).unwrap() {
            Ok(Answer::Block(block)) => blocks.push(block),
            other => assert_eq!(other, Err(PoolError::Empty)),
        }
    }
    blocks.sort();
    blocks.dedup();
    assert_eq!((blocks.len(), bench.core.load().busy), (256, 256));
}

/// PM-S-03: what begins and ends in one batch leaves no promise behind.
#[test]
fn a_promise_that_ends_before_it_is_answered_is_none() {
    let mut bench = Bench::new(plan());
    bench.send(Request::Delegate { client: "c".into(), want: want(64), lifetimes: None });
    bench.send(hold(1, 64));
    for request in [Request::Offer(deal(1)), Request::Release(deal(1))] {
        bench.send(request);
    }
    bench.send(hold(2, 64));
    for request in [Request::Offer(deal(2)), Request::Release(deal(2)), hold(2, 64), Request::Offer(deal(2))] {
        bench.send(request);
    }
    bench.settle();
    assert_eq!(bench.core.load().busy, 1, "of the second, which was offered anew");
}

/// PM-O-02: a longer prefix if there is none of that length, up to a limit; else nothing.
#[test]
fn the_next_longer_prefix_is_offered() {
    let mut bench = Bench::new(plan());
    let ask = |session, longest| Request::Hold { deal: deal(session), want: want(48), longest, dry: None };
    assert_eq!(bench.ask(ask(1, 55)), Err(PoolError::Empty));
    assert_eq!(bench.block(ask(1, 64)), p("2001:db8::/56"));
}

/// PM-O-05, PM-O-06: siblings come together again, but not over the border of two aggregates.
#[test]
fn siblings_merge_inside_borders() {
    let initial = vec![p("2001:db8::/57"), p("2001:db8:0:80::/57")];
    let mut bench = Bench::new(PoolPlan { initial: initial.clone(), ..plan() });
    for session in 0..4 {
        bench.offered(session, 58);
    }
    assert_eq!(bench.free(), 0);
    (0..4).for_each(|session| drop(bench.ask(Request::Release(deal(session)))));
    let free: Vec<_> = bench.blocks().into_iter().map(|(block, state)| (block, state.name())).collect();
    assert_eq!(free, [(initial[0], "free"), (initial[1], "free")]);
    assert_eq!(bench.ask(hold(9, 56)), Err(PoolError::Empty));
}

/// PM-O-12: one peer alone does not drain the pool, and what it gives back counts no more.
#[test]
fn a_quota_holds_for_each_peer() {
    let family = want(0).family;
    let mut bench = Bench::new(PoolPlan { quota: BTreeMap::from([(family, 2 << 64)]), ..plan() });
    let block = bench.offered(1, 64);
    bench.ask(Request::Confirm(deal(1))).unwrap();
    bench.offered(2, 64);
    bench.ask(Request::Doubt(deal(2))).unwrap();
    assert_eq!(bench.ask(hold(3, 64)), Err(PoolError::Quota("fe80::2".into())));
    bench.restart();
    assert_eq!(bench.ask(hold(3, 64)), Err(PoolError::Quota("fe80::2".into())));
    let other = Deal { session: 1, peer: "fe80::3".into() };
    assert!(bench.ask(Request::Hold { deal: other, want: want(64), longest: 64, dry: None }).is_ok());
    bench.ask(Request::TakeBack { session: 1, block }).unwrap();
    bench.offered(3, 64);
    assert_eq!(bench.block(hold(3, 64)).length(), 64, "a counter-proposal does not count twice");
}

fn dry(session: u32, peer: &str, length: u8) -> Request {
    let deal = Deal { session, peer: peer.into() };
    Request::Hold { deal, want: want(length), longest: length, dry: Some(60) }
}

/// PM-Y-02: a live run of the same peer and length gets what the dry run has set aside.
#[test]
fn a_dry_run_sets_a_block_aside_for_a_while() {
    let mut bench = Bench::new(plan());
    let aside = bench.block(dry(1, "fe80::2", 60));
    assert_eq!(bench.name(aside), "dry");
    assert_ne!(bench.block(dry(1, "fe80::3", 60)), aside);
    assert_ne!(bench.offered(2, 61), aside);
    assert_eq!(bench.offered(3, 60), aside);
    bench.spend(60);
    assert_eq!(bench.name(aside), "offered", "the dry run has no say any more");
    let aside = bench.block(dry(4, "fe80::2", 60));
    bench.spend(59);
    assert_eq!(bench.name(aside), "dry");
    bench.spend(1);
    assert_eq!(bench.name(aside), "free");
}

/// PM-Y-03: a dry run moves nothing, and after a crash there is nothing of it.
#[test]
fn a_dry_run_never_grants() {
    let mut bench = Bench::new(plan());
    bench.block(dry(1, "fe80::2", 60));
    assert_eq!(bench.ask(Request::Offer(deal(1))), Err(PoolError::NoDeal));
    assert_eq!(bench.ask(Request::Confirm(deal(1))), Err(PoolError::NoDeal));
    bench.block(dry(2, "fe80::2", 60));
    bench.ask(Request::Doubt(deal(2))).unwrap();
    bench.restart();
    assert_eq!(bench.name(p("2001:db8::/56")), "free");
}

/// ASA-L-08: deactivated, nothing new is given, but what is open ends and questions are answered.
#[test]
fn a_deactivated_pool_gives_nothing_new() {
    let mut bench = Bench::new(plan());
    let block = bench.offered(1, 60);
    bench.feed(asa_prefix::pool::Input::Control(Control::Deactivate));
    assert_eq!(bench.ask(hold(2, 60)), Err(PoolError::Inactive));
    assert_eq!(bench.ask(ask(2, 60)), Err(PoolError::Inactive));
    bench.ask(Request::Confirm(deal(1))).unwrap();
    assert_eq!((bench.name(block), bench.core.load().busy), ("granted", 0));
    bench.feed(asa_prefix::pool::Input::Control(Control::Activate));
    bench.offered(2, 60);
}

/// Too many at once are refused, and nobody else is.
#[test]
fn too_many_requests_are_refused() {
    let mut bench = Bench::new(PoolPlan { requests: 3, ..plan() });
    let delegate = |client: &str| Request::Delegate { client: client.into(), want: want(64), lifetimes: None };
    let ids: Vec<u64> = ["a", "b", "c", "d"].into_iter().map(|client| bench.send(delegate(client))).collect();
    assert_eq!(bench.replies.remove(&ids[3]), Some(Err(PoolError::Busy)));
    bench.settle();
    assert!(ids[..3].iter().all(|id| bench.replies[id].is_ok()));
    bench.pass(Duration::from_secs(1));
    bench.ask(delegate("d")).unwrap();
}

/// PM-S-18: an operator's word ends a doubt, in either way.
#[test]
fn an_operator_ends_doubts() {
    let mut bench = Bench::new(plan());
    let blocks = [bench.offered(1, 60), bench.offered(2, 60)];
    let taken = [bench.accepting(3, "2001:db8:3::/64"), bench.accepting(4, "2001:db8:4::/64")];
    assert!(bench.ask(Request::Resolve { block: blocks[0], moved: true }).is_err(), "it is open");
    bench.restart();
    let doubt = bench.state(taken[0]).unwrap();
    assert!(matches!(doubt, asa_prefix::pool::record::State::Doubt { way: Way::In, .. }));
    for (block, moved) in [(blocks[0], true), (blocks[1], false), (taken[0], true), (taken[1], false)] {
        bench.ask(Request::Resolve { block, moved }).unwrap();
        assert!(bench.ask(Request::Resolve { block, moved }).is_err(), "it is not in doubt any more");
    }
    let names: Vec<_> = blocks.into_iter().chain(taken).map(|block| bench.name(block)).collect();
    assert_eq!(names, ["granted", "free", "free", ""]);
}
