//! What holds after any sequence of requests, crashes and failures of the disk.

use super::bench::{Bench, plan, reserve};
use asa_framework::roles::pool::{Answer, Census, Request, State, Ticket, Way};
use asa_framework::roles::resource::{Coins, Range, Resource, laws};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Op {
    Reserve(u32),
    Grant(u32, u8),
    /// Of the promise with this index: confirm, release, doubt, counter.
    End(u8, u8),
    TakeBack(u8),
    Resolve(u8, bool),
    Offer(u32, u8),
    Taken(u8, u8),
    Disk,
    Fail(bool),
    Crash,
    Time(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..20_u32).prop_map(Op::Reserve),
        3 => (1..10_u32, 0..4_u8).prop_map(|(want, client)| Op::Grant(want, client)),
        6 => (any::<u8>(), 0..4_u8).prop_map(|(index, how)| Op::End(index, how)),
        2 => any::<u8>().prop_map(Op::TakeBack),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(index, ours)| Op::Resolve(index, ours)),
        2 => (60..120_u32, 1..9_u8).prop_map(|(start, size)| Op::Offer(start, size)),
        2 => (any::<u8>(), 0..3_u8).prop_map(|(index, how)| Op::Taken(index, how)),
        8 => Just(Op::Disk),
        1 => any::<bool>().prop_map(Op::Fail),
        1 => Just(Op::Crash),
        2 => (0..400_u16).prop_map(Op::Time),
    ]
}

/// What the world outside may rightly believe to own.
#[derive(Default)]
struct World {
    theirs: Vec<(Range, String)>,
    tickets: Vec<(Ticket, Range)>,
    taking: Vec<Range>,
    grants: BTreeMap<u64, String>,
}

impl World {
    /// Somebody hears of a block: nobody else may own a part of it.
    fn hears(&mut self, block: Range, who: String) {
        let same = (block, who);
        if !self.theirs.contains(&same) {
            let clash = self.theirs.iter().find(|(other, _)| other.overlaps(&block));
            assert!(clash.is_none(), "{same:?} was promised while {clash:?} may own it");
            self.theirs.push(same);
        }
    }

    fn listen(&mut self, bench: &mut Bench) {
        for (id, reply) in std::mem::take(&mut bench.replies) {
            match reply {
                Ok(Answer::Reserved(ticket, block)) => {
                    self.hears(block, format!("{ticket:?}"));
                    self.tickets.push((ticket, block));
                }
                Ok(Answer::Granted(block)) => self.hears(block, self.grants[&id].clone()),
                Ok(Answer::Accepting(block)) => self.taking.push(block),
                Ok(Answer::Done | Answer::Census(_)) | Err(_) => {}
            }
        }
    }

    fn forget(&mut self, block: Range) {
        self.theirs.retain(|(other, _)| *other != block);
    }

    fn play(&mut self, bench: &mut Bench, op: Op) {
        let pick = |index: u8, count: usize| (count > 0).then(|| usize::from(index) % count.max(1));
        match op {
            Op::Reserve(want) => drop(bench.send(reserve(want))),
            Op::Grant(want, client) => {
                let to = format!("client {client}");
                let id = bench.send(Request::Grant { want, to: to.clone() });
                self.grants.insert(id, to);
            }
            Op::End(index, how) => {
                let Some(index) = pick(index, self.tickets.len()) else { return };
                let (ticket, block) = self.tickets.remove(index);
                // The peer has certainly given up its claim before these two are sent.
                if how == 1 || how == 3 {
                    self.forget(block);
                }
                bench.send(match how {
                    0 => Request::Confirm(ticket),
                    1 => Request::Release(ticket),
                    2 => Request::Doubt(ticket),
                    _ => Request::Reserve { want: 3, to: "peer".into(), instead: Some(ticket) },
                });
            }
            Op::TakeBack(index) => {
                // A client that waits for an answer does not know what it has.
                if bench.batch.is_some() || bench.loading {
                    return;
                }
                let clients: Vec<_> =
                    self.theirs.iter().filter(|(_, who)| who.starts_with("client")).cloned().collect();
                let Some(index) = pick(index, clients.len()) else { return };
                let (block, from) = clients[index].clone();
                self.forget(block);
                bench.send(Request::TakeBack { block, from });
            }
            Op::Resolve(index, ours) => {
                if bench.batch.is_some() || bench.loading {
                    return;
                }
                let census = bench.census();
                let doubts = census.blocks.iter().filter(|(_, state)| matches!(state, State::Doubt { .. }));
                let doubts: Vec<_> = doubts.cloned().collect();
                let Some(index) = pick(index, doubts.len()) else { return };
                let (block, state) = doubts[index].clone();
                if ours && matches!(state, State::Doubt { way: Way::Out, .. }) {
                    self.forget(block);
                }
                bench.send(Request::Resolve { block, ours });
            }
            Op::Offer(start, size) => {
                let block = Range::new(start, start + u32::from(size));
                bench.send(Request::Accept { block, from: "peer".into() });
            }
            Op::Taken(index, how) => {
                let Some(index) = pick(index, self.taking.len()) else { return };
                let block = self.taking.remove(index);
                bench.send(match how {
                    0 => Request::Adopt(block),
                    1 => Request::Refuse(block),
                    _ => Request::DoubtTaken(block),
                });
            }
            Op::Disk => bench.settle(),
            Op::Fail(written) => bench.fail(written),
            Op::Crash => {
                bench.crash();
                (self.tickets, self.taking) = (Vec::new(), Vec::new());
            }
            Op::Time(seconds) => bench.pass(Duration::from_secs(seconds.into())),
        }
    }
}

fn foreign(state: &State) -> bool {
    matches!(state, State::Accepting { .. } | State::Doubt { way: Way::In, .. })
}

/// PM-S-01, from outside.
fn check(census: &Census<Range>) {
    let blocks: Vec<Range> = census.blocks.iter().map(|(block, _)| *block).collect();
    for (index, block) in blocks.iter().enumerate() {
        assert!(blocks[index + 1..].iter().all(|other| !other.overlaps(block)), "{census:?}");
    }
    let own = census.blocks.iter().filter(|(_, state)| !foreign(state)).map(|(block, _)| block.measure());
    let whole = census.aggregates.iter().map(|(block, _)| block.measure());
    assert_eq!(own.sum::<u128>(), whole.sum::<u128>(), "{census:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// PM-S-01, PM-S-02, PM-S-14, PM-S-21: with crashes and failing disks at any moment, blocks stay disjoint, nothing is
    /// lost, and nobody is promised what somebody else may own.
    #[test]
    fn blocks_are_conserved_and_never_promised_twice(ops in proptest::collection::vec(op(), 1..120)) {
        let (mut bench, mut world) = (Bench::new(plan()), World::default());
        for op in ops {
            world.play(&mut bench, op);
            world.listen(&mut bench);
        }
        bench.pass(Duration::from_secs(8));
        bench.settle();
        world.listen(&mut bench);
        check(&bench.census());
        prop_assert!(bench.alarms.iter().all(|alarm| !alarm.contains("not served")), "{:?}", bench.alarms);
        // Whoever may own something finds it in the ledger, not among what is free.
        for (block, who) in &world.theirs {
            let free = bench.census().blocks.into_iter().find(|(held, state)| *state == State::Free && held.overlaps(block));
            prop_assert!(free.is_none(), "{free:?} is free while {who} may own {block:?}");
        }
        bench.crash();
        bench.settle();
        check(&bench.census());
    }

    /// The laws of the resources that come with the framework.
    #[test]
    fn ranges_obey_the_laws(a in 0..40_u32, b in 0..40_u32, c in 0..40_u32, sizes in [0..12_u32, 0..12, 0..12], want in 0..14_u32) {
        let range = |start, size| Range::new(start, start + size);
        laws([&range(a, sizes[0]), &range(b, sizes[1]), &range(c, sizes[2])], &want).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn coins_obey_the_laws(firsts in [0..30_u64, 0..30, 0..30], accounts in [0..2_u32, 0..2, 0..2], amounts in [0..12_u64, 0..12, 0..12], want in 0..14_u64) {
        let coins = |i: usize| Coins { account: accounts[i], first: firsts[i], amount: amounts[i] };
        laws([&coins(0), &coins(1), &coins(2)], &want).map_err(TestCaseError::fail)?;
    }
}

/// A resource that breaks its laws is found out.
#[test]
fn a_broken_resource_breaks_a_law() {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
    struct Leaky(u32);
    impl Resource for Leaky {
        type Want = u32;
        fn measure(&self) -> u128 {
            self.0.into()
        }
        fn size(want: &u32) -> u128 {
            (*want).into()
        }
        fn split(&self, want: &u32) -> Option<(Self, Vec<Self>)> {
            (*want < self.0).then(|| (Self(*want), vec![Self(self.0 - want - 1)]))
        }
        fn merge(&self, _: &Self) -> Option<Self> {
            None
        }
        fn overlaps(&self, other: &Self) -> bool {
            self == other
        }
    }
    let error = laws([&Leaky(9), &Leaky(3), &Leaky(4)], &5).unwrap_err();
    assert!(error.starts_with("a split conserves"), "{error}");
}
