//! The crash table: both sides come to the same end, whoever asks first, however often.

use super::bench::*;
use asa_prefix::pool::record::Part;
use asa_prefix::pool::{Answer, PoolPlan, Request, Verdict};
use asa_prefix::prefix::Prefix;

/// Provider and taker of session 1.
struct Pair {
    sides: [Bench; 2],
    block: Prefix,
}

const GIVER: usize = 0;
const TAKER: usize = 1;

impl Pair {
    /// An offer has been made and has arrived.
    fn offered() -> Self {
        let mut sides = [Bench::new(plan()), Bench::new(PoolPlan { initial: vec![], ..plan() })];
        sides[TAKER].ask(ask(1, 60)).unwrap();
        let block = sides[GIVER].offered(1, 60);
        Self { sides, block }
    }

    fn accepted() -> Self {
        let mut pair = Self::offered();
        let accept = Request::Accept { deal: deal(1), block: pair.block };
        pair.sides[TAKER].ask(accept).unwrap();
        pair
    }

    fn names(&mut self) -> (&'static str, &'static str) {
        let block = self.block;
        (self.sides[GIVER].name(block), self.sides[TAKER].name(block))
    }

    /// One side asks the other, and acts on the answer.
    fn settle(&mut self, side: usize) -> Option<Verdict> {
        let block = self.block;
        if self.sides[side].name(block) != "in-doubt" {
            return None;
        }
        self.sides[side].ask(Request::Inquire(block)).unwrap();
        let asker = if side == GIVER { Part::Provider } else { Part::Asker };
        let verdict = self.sides[1 - side].verdict(Request::Examine { session: 1, block, asker });
        if let Verdict::Moved | Verdict::Kept = verdict {
            let moved = verdict == Verdict::Moved;
            self.sides[side].ask(Request::Settle { block, session: 1, moved }).unwrap();
            let settled = self.sides[side].records();
            self.sides[side].ask(Request::Settle { block, session: 1, moved }).unwrap();
            let _ = self.sides[side].ask(Request::Settle { block, session: 1, moved: !moved });
            assert_eq!(self.sides[side].records(), settled, "a message too late does no harm");
        }
        Some(verdict)
    }
}

/// Settles in every order, with repetitions and restarts between, and expects the same end.
fn ends(make: impl Fn() -> Pair, moved: bool) {
    for order in [[GIVER, TAKER], [TAKER, GIVER]] {
        for restarts in [false, true] {
            for lost in [None, Some(GIVER), Some(TAKER)] {
                let mut pair = make();
                if let Some(side) = lost {
                    // The question comes through, the answer does not.
                    let (block, asker) = (pair.block, if side == GIVER { Part::Provider } else { Part::Asker });
                    if pair.sides[side].ask(Request::Inquire(block)).is_ok() {
                        pair.sides[1 - side].verdict(Request::Examine { session: 1, block, asker });
                    }
                }
                for _ in 0..3 {
                    for side in order {
                        pair.settle(side);
                        if restarts {
                            pair.sides[side].restart();
                        }
                    }
                }
                let expected = if moved { ("granted", "free") } else { ("free", "") };
                assert_eq!(pair.names(), expected, "{order:?} {restarts} {lost:?}");
                let owner = &mut pair.sides[usize::from(moved)];
                assert_eq!(owner.offered(9, 60), pair.block, "it can be used again");
            }
        }
    }
}

fn crashed(mut pair: Pair, sides: &[usize]) -> Pair {
    sides.iter().for_each(|side| pair.sides[*side].restart());
    pair
}

/// Crash table row 3, PM-S-05: the provider dies with an offer on the wire; the taker drops it.
#[test]
fn a_provider_that_died_with_its_offer_has_the_block_again() {
    ends(|| crashed(Pair::offered(), &[GIVER]), false);
    // The taker has given up already.
    ends(
        || {
            let mut pair = crashed(Pair::offered(), &[GIVER]);
            pair.sides[TAKER].ask(Request::Refuse(deal(1))).unwrap();
            pair
        },
        false,
    );
    // What the provider has been told is kept cannot be accepted any more.
    let mut pair = crashed(Pair::offered(), &[GIVER]);
    assert_eq!(pair.settle(GIVER), Some(Verdict::Kept));
    let accept = Request::Accept { deal: deal(1), block: pair.block };
    assert!(pair.sides[TAKER].ask(accept).is_err());
}

/// Crash table row 4, PM-S-06: the provider dies between the acceptance and the grant; the taker owns the block.
#[test]
fn a_provider_that_died_before_the_grant_has_granted() {
    ends(
        || {
            let mut pair = crashed(Pair::accepted(), &[GIVER]);
            pair.sides[TAKER].ask(Request::Adopt(deal(1))).unwrap();
            pair
        },
        true,
    );
}

/// Crash table row 5.
#[test]
fn a_grant_outlives_its_provider() {
    let make = || {
        let mut pair = Pair::accepted();
        pair.sides[GIVER].ask(Request::Confirm(deal(1))).unwrap();
        pair.sides[TAKER].ask(Request::Adopt(deal(1))).unwrap();
        crashed(pair, &[GIVER, TAKER])
    };
    ends(make, true);
    let mut pair = make();
    let block = pair.block;
    for (side, asker) in [(GIVER, Part::Asker), (TAKER, Part::Provider)] {
        assert_eq!(pair.sides[side].verdict(Request::Examine { session: 1, block, asker }), Verdict::Moved);
    }
}

/// Crash table row 6: the taker dies before it accepts; the provider reads an orderly end, or a reset.
#[test]
fn a_taker_that_died_before_it_accepted_has_nothing() {
    for end in [Request::Release as fn(_) -> _, Request::Doubt] {
        ends(
            || {
                let mut pair = crashed(Pair::offered(), &[TAKER]);
                pair.sides[GIVER].ask(end(deal(1))).unwrap();
                pair
            },
            false,
        );
    }
}

/// Crash table row 7: the taker dies with its acceptance written and not sent.
#[test]
fn a_taker_that_died_before_its_acceptance_left_drops_the_claim() {
    for end in [Request::Release as fn(_) -> _, Request::Doubt] {
        ends(
            || {
                let mut pair = crashed(Pair::accepted(), &[TAKER]);
                pair.sides[GIVER].ask(end(deal(1))).unwrap();
                pair
            },
            false,
        );
    }
    ends(|| crashed(Pair::accepted(), &[GIVER, TAKER]), false);
}

/// Crash table row 8: the taker dies with its acceptance sent.
#[test]
fn a_taker_that_died_after_its_acceptance_owns_the_block() {
    ends(
        || {
            let mut pair = crashed(Pair::accepted(), &[TAKER]);
            pair.sides[GIVER].ask(Request::Confirm(deal(1))).unwrap();
            pair
        },
        true,
    );
}

/// Crash table row 9: the net is cut at the acceptance.
#[test]
fn a_cut_at_the_acceptance_is_decided_by_the_provider() {
    for reset in [false, true] {
        let cut = |confirmed: bool| {
            move || {
                let mut pair = Pair::accepted();
                let end = if confirmed { Request::Confirm(deal(1)) } else { Request::Doubt(deal(1)) };
                pair.sides[GIVER].ask(end).unwrap();
                pair.sides[TAKER].ask(Request::DoubtTaken { deal: deal(1), reset }).unwrap();
                pair
            }
        };
        ends(cut(true), true);
        ends(cut(false), false);
    }
}

/// While a negotiation is open nothing is decided about it.
#[test]
fn what_is_open_is_not_settled() {
    let mut pair = crashed(Pair::accepted(), &[TAKER]);
    assert_eq!(pair.settle(TAKER), Some(Verdict::Open));
    pair.sides[GIVER].spend(600);
    assert_eq!(pair.settle(TAKER), Some(Verdict::Kept));
    let mut pair = crashed(Pair::accepted(), &[GIVER]);
    assert_eq!(pair.settle(GIVER), Some(Verdict::Open));
    pair.sides[TAKER].spend(600);
    assert_eq!(pair.settle(GIVER), Some(Verdict::Kept));
    assert_eq!(pair.sides[TAKER].ask(Request::Adopt(deal(1))), Err(asa_prefix::pool::PoolError::NoDeal));
}

/// PM-S-18: once the taker has been told that it has nothing, a confirmation comes too late, over a restart too; but what
/// the taker says that it has, it has.
#[test]
fn a_confirmation_after_the_verdict_does_not_count() {
    for adopts in [false, true] {
        let mut pair = crashed(Pair::accepted(), &[GIVER]);
        let block = pair.block;
        pair.sides[TAKER].ask(Request::DoubtTaken { deal: deal(1), reset: false }).unwrap();
        let examine = Request::Examine { session: 1, block, asker: Part::Asker };
        assert_eq!(pair.sides[GIVER].verdict(examine), Verdict::Kept);
        pair.sides[GIVER].restart();
        assert!(pair.sides[GIVER].ask(Request::Confirm(deal(1))).is_err());
        if adopts {
            // It heard of the good end before the verdict arrived.
            pair.sides[TAKER].ask(Request::Adopt(deal(1))).unwrap();
        }
        let let_go = pair.sides[TAKER].ask(Request::Settle { block, session: 1, moved: false });
        assert_eq!(let_go.is_err(), adopts, "the provider must not hear that it was let go");
        pair.settle(GIVER);
        assert_eq!(pair.names(), if adopts { ("granted", "free") } else { ("free", "") });
    }
}

/// PM-S-18: once the taker has been asked its answer decides, whenever it arrives: it may have let go of the block.
#[test]
fn a_confirmation_after_the_question_does_not_count() {
    let mut pair = crashed(Pair::accepted(), &[GIVER, TAKER]);
    let block = pair.block;
    assert!(pair.sides[GIVER].ask(Request::Inquire(p("2001:db8::/64"))).is_err(), "not in doubt");
    pair.sides[GIVER].ask(Request::Inquire(block)).unwrap();
    let examine = Request::Examine { session: 1, block, asker: Part::Provider };
    assert_eq!(pair.sides[TAKER].verdict(examine), Verdict::Kept);
    pair.sides[GIVER].restart();
    assert!(pair.sides[GIVER].ask(Request::Confirm(deal(1))).is_err());
    assert_eq!((pair.settle(GIVER), pair.names()), (Some(Verdict::Kept), ("free", "")));
}

/// PM-S-02: nobody says that he has let go of what he has, or of what he is about to have.
#[test]
fn what_has_changed_hands_is_not_said_to_be_kept() {
    let mut pair = Pair::accepted();
    let let_go = Request::Settle { block: pair.block, session: 1, moved: false };
    assert!(pair.sides[TAKER].ask(let_go.clone()).is_err(), "the acceptance may be on its way");
    pair.sides[TAKER].ask(Request::Adopt(deal(1))).unwrap();
    pair.sides[GIVER].ask(Request::Confirm(deal(1))).unwrap();
    for side in &mut pair.sides {
        assert!(side.ask(let_go.clone()).is_err());
        let other = Request::Settle { block: p("2001:db8:9::/64"), session: 1, moved: false };
        assert!(side.ask(other).is_ok(), "what is not here does no harm");
    }
    assert_eq!(pair.names(), ("granted", "free"));
}

/// A verdict is durable before it is told.
#[test]
fn a_verdict_is_durable_before_it_is_told() {
    let mut pair = crashed(Pair::accepted(), &[GIVER, TAKER]);
    for (side, asker) in [(GIVER, Part::Asker), (TAKER, Part::Provider)] {
        let id = pair.sides[side].send(Request::Examine { session: 1, block: pair.block, asker });
        assert!(!pair.sides[side].replies.contains_key(&id) && pair.sides[side].batch.is_some());
        pair.sides[side].settle();
        assert_eq!(pair.sides[side].replies[&id], Ok(Answer::Verdict(Verdict::Kept)));
    }
}

/// PM-S-18: who knows nothing says so; a provider that has a block, and has not given it away in that session, says so too.
#[test]
fn only_who_knows_gives_a_verdict() {
    let mut bench = Bench::new(plan());
    let mut examine = |session, block: &str, asker| bench.verdict(Request::Examine { session, block: p(block), asker });
    assert_eq!(examine(1, "2001:db8:9::/64", Part::Asker), Verdict::Unknown);
    assert_eq!(examine(1, "2001:db8:9::/64", Part::Provider), Verdict::Unknown);
    assert_eq!(examine(1, "2001:db8::/64", Part::Asker), Verdict::Kept);
    let block = bench.offered(5, 60);
    bench.ask(Request::Confirm(deal(5))).unwrap();
    let part = block.halves().unwrap().0;
    let examine = |block| Request::Examine { session: 5, block, asker: Part::Asker };
    assert_eq!(bench.verdict(examine(part)), Verdict::Unknown, "of the whole it would have been told");
    assert_eq!(bench.verdict(examine(p("2001:db8::/56"))), Verdict::Unknown);
}

/// PM-T-03: handing back, with crashes on both sides and each message repeated.
#[test]
fn handing_back_survives_crashes() {
    let mut pair = Pair::accepted();
    let block = pair.block;
    pair.sides[TAKER].ask(Request::Adopt(deal(1))).unwrap();
    // The provider has not heard of the acceptance: the return is refused as long as it is open, and serves as one then.
    pair.sides[TAKER].ask(Request::Return(block)).unwrap();
    assert!(pair.sides[GIVER].ask(Request::TakeBack { session: 1, block }).is_err());
    let mut pair = crashed(pair, &[GIVER, TAKER]);
    assert_eq!(pair.names(), ("in-doubt", "returning"));
    for _ in 0..2 {
        pair.sides[GIVER].ask(Request::TakeBack { session: 1, block }).unwrap();
        pair = crashed(pair, &[GIVER, TAKER]);
    }
    pair.sides[TAKER].ask(Request::Returned { block, gone: true }).unwrap();
    assert_eq!(pair.names(), ("free", ""));
    let examine = Request::Examine { session: 1, block, asker: Part::Provider };
    assert_eq!(pair.sides[TAKER].verdict(examine), Verdict::Kept);
}

/// PM-S-18: who has given a block away, or may have, does not speak for whoever has given a part of it on.
#[test]
fn nobody_says_kept_of_what_it_has_given_to_others() {
    let examine = |block: Prefix| Request::Examine { session: 9, block, asker: Part::Asker };
    let mut bench = Bench::new(plan());
    let around = bench.offered(1, 60);
    let (part, _) = around.halves().unwrap();
    assert_eq!(bench.verdict(examine(part)), Verdict::Unknown);
    bench.ask(Request::Confirm(deal(1))).unwrap();
    assert_eq!(bench.verdict(examine(part)), Verdict::Unknown);
    assert_eq!(bench.verdict(examine(around.parent().unwrap())), Verdict::Unknown);
    assert_eq!(bench.verdict(examine(around.buddy().unwrap())), Verdict::Kept, "it is at hand here");
    let returning = bench.acquired(2, "2001:db8:8::/60");
    bench.ask(Request::Return(returning)).unwrap();
    assert_eq!(bench.verdict(examine(returning)), Verdict::Unknown, "it may be back already, and given to others");
}

/// PM-T-04, PM-X-03: who was no party of a negotiation is not answered about it, and hands nothing back.
#[test]
fn a_stranger_hands_nothing_back_and_settles_nothing() {
    let mut pair = Pair::offered();
    let block = pair.block;
    let from = |peer: &str, request| Request::From { peer: peer.into(), request: Box::new(request) };
    let back = || Request::TakeBack { session: 1, block };
    let settle = || Request::Settle { block, session: 1, moved: false };
    let examine = || Request::Examine { session: 1, block, asker: Part::Asker };
    pair.sides[GIVER].ask(Request::Doubt(deal(1))).unwrap();
    let its = deal(1).peer;
    for request in [back(), settle(), examine()] {
        assert!(pair.sides[GIVER].ask(from("fd00::bad", request)).is_err());
    }
    assert!(pair.sides[GIVER].ask(Request::Resolve { block, moved: true }).is_ok(), "still in doubt");
    assert!(pair.sides[GIVER].ask(from("fd00::bad", back())).is_err());
    assert!(pair.sides[GIVER].ask(from(&its, Request::Withdraw(block))).is_err(), "that is no peer's business");
    assert_eq!(pair.sides[GIVER].ask(from(&its, back())), Ok(Answer::Done));
}

/// PM-S-03, PM-T-03: a return that could not be written down is not told to those who would ask the provider to take it back.
#[test]
fn what_is_not_durable_is_not_handed_back() {
    let mut pair = Pair::accepted();
    let block = pair.block;
    pair.sides[TAKER].ask(Request::Adopt(deal(1))).unwrap();
    let id = pair.sides[TAKER].send(Request::Return(block));
    pair.sides[TAKER].fail(false);
    assert!(pair.sides[TAKER].replies[&id].is_err());
    assert!(pair.sides[TAKER].ask(Request::Unsettled { limit: 10 }).is_err(), "nothing is durable now");
}
