//! What holds after any sequence of requests, crashes and failures of the disk.

use super::bench::*;
use asa_prefix::pool::record::{Deal, Record, Source, State};
use asa_prefix::pool::{Answer, Lifetimes, PoolPlan, Request};
use asa_prefix::prefix::Prefix;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
enum Op {
    Hold {
        session: u32,
        length: u8,
        dry: bool,
    },
    Offer(u32),
    /// Confirm, release, doubt.
    End(u32, u8),
    Ask(u32),
    Accept(u32, u8),
    /// Adopt, refuse, doubt.
    Taken(u32, u8),
    Delegate {
        client: u8,
        length: u8,
        valid: Option<u32>,
    },
    GiveBack(u8, bool),
    TakeBack(u8, bool),
    Return(u8),
    Returned(u8, bool),
    Settle(u8, bool),
    Inquire(u8),
    Order(u8, u8),
    Disk,
    Fail(bool),
    Crash {
        made: bool,
        reboot: bool,
    },
    Time(u16),
}

fn op() -> impl Strategy<Value = Op> {
    let session = || 0..12_u32;
    prop_oneof![
        8 => (session(), 58..62_u8, prop::bool::weighted(0.1)).prop_map(|(session, length, dry)| Op::Hold { session, length, dry }),
        8 => session().prop_map(Op::Offer),
        8 => (session(), 0..3_u8).prop_map(|(session, how)| Op::End(session, how)),
        4 => session().prop_map(Op::Ask),
        4 => (session(), 0..8_u8).prop_map(|(session, at)| Op::Accept(session, at)),
        5 => (session(), 0..3_u8).prop_map(|(session, how)| Op::Taken(session, how)),
        4 => (0..4_u8, 59..63_u8, prop::option::of(1..900_u32))
            .prop_map(|(client, length, valid)| Op::Delegate { client, length, valid }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(index, unused)| Op::GiveBack(index, unused)),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(index, part)| Op::TakeBack(index, part)),
        1 => (0..8_u8).prop_map(Op::Return),
        1 => (0..8_u8, any::<bool>()).prop_map(|(at, gone)| Op::Returned(at, gone)),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(index, moved)| Op::Settle(index, moved)),
        1 => any::<u8>().prop_map(Op::Inquire),
        1 => (any::<u8>(), 0..3_u8).prop_map(|(at, what)| Op::Order(at, what)),
        16 => Just(Op::Disk),
        2 => any::<bool>().prop_map(Op::Fail),
        2 => (any::<bool>(), prop::bool::weighted(0.3)).prop_map(|(made, reboot)| Op::Crash { made, reboot }),
        3 => (0..400_u16).prop_map(Op::Time),
    ]
}

/// Peers that are asked or ask, by session.
fn deal_of(session: u32) -> Deal {
    Deal { session, peer: format!("fe80::{}", session % 3) }
}

/// A block that somebody else has to offer.
fn foreign(at: u8) -> Prefix {
    p(&format!("2001:db8:{at}::/60"))
}

/// What somebody outside may rightly rely on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// A peer may have accepted the block, or has (true).
    Given(Deal, bool),
    /// The acceptance may count.
    Taking(Deal),
    /// It is the pool's own.
    Owned(Deal),
    /// A client has it until that time, in seconds.
    Client(String, Option<u64>),
}

#[derive(Default)]
struct World {
    /// By block, and whether it is taken from somebody or given to somebody; it may be both.
    claims: BTreeMap<(Prefix, bool), Claim>,
    /// What the requests under way are about.
    asked: BTreeMap<u64, (Request, u64)>,
    held: BTreeMap<Deal, Prefix>,
    /// Blocks whose client has asked for an end of another kind (none, or one at all) and has not heard since.
    unsure: BTreeSet<Prefix>,
}

impl World {
    fn send(&mut self, bench: &mut Bench, request: Request) {
        let at = bench.now.0.as_secs();
        // A number is known before the answer, which may come at once.
        self.asked.insert(bench.next + 1, (request.clone(), at));
        bench.send(request);
        self.listen(bench);
    }

    fn listen(&mut self, bench: &mut Bench) {
        for (id, reply) in std::mem::take(&mut bench.replies) {
            // What has ended by now is nobody's any more, also if its answer came late.
            let now = bench.now.0.as_secs();
            self.forget(|claim| matches!(claim, Claim::Client(_, Some(until)) if *until <= now));
            let Some((request, at)) = self.asked.remove(&id) else { continue };
            let Ok(answer) = reply else { continue };
            match (request, answer) {
                (Request::Hold { deal, dry: None, .. }, Answer::Block(block)) => drop(self.held.insert(deal, block)),
                (Request::Offer(deal), _) => {
                    let block = self.held[&deal];
                    // Unless the session has come to its end meanwhile: then the offer does not leave.
                    if !self.is_ending(&deal) {
                        self.claim(block, Claim::Given(deal, false));
                    }
                }
                (Request::Confirm(deal), _) => {
                    let block = self.held[&deal];
                    let given = self.claims.get(&(block, false)) == Some(&Claim::Given(deal.clone(), false));
                    if given {
                        self.claims.insert((block, false), Claim::Given(deal, true));
                    }
                }
                (Request::Accept { deal, block }, _) if !self.is_ending(&deal) => {
                    let void = |old: &Claim| matches!(old, Claim::Taking(old) if old.peer == deal.peer);
                    self.claims.retain(|(other, _), old| !(other.overlaps(&block) && void(old)));
                    self.claim(block, Claim::Taking(deal));
                }
                (Request::Adopt(deal), _) => {
                    let taken = self.claims.iter().find(|(_, claim)| **claim == Claim::Taking(deal.clone()));
                    if let Some(key) = taken.map(|(key, _)| *key) {
                        self.claims.insert(key, Claim::Owned(deal));
                    }
                }
                (Request::Delegate { client, lifetimes, .. }, Answer::Block(block) | Answer::Again(block)) => {
                    let until = lifetimes.map(|lifetimes| at + u64::from(lifetimes.valid));
                    let unsure = self.unsure.remove(&block);
                    let until = match self.claims.get(&(block, false)) {
                        Some(Claim::Client(_, Some(old))) if !unsure => until.map(|until| until.max(*old)),
                        _ => until,
                    };
                    self.claim(block, Claim::Client(client.clone(), until));
                    let later = self.asked.range(id..).filter_map(|(_, (request, at))| match request {
                        Request::Delegate { client: it, want, lifetimes } if *it == client => {
                            Some((want.length, lifetimes.map(|lifetimes| at + u64::from(lifetimes.valid))))
                        }
                        _ => None,
                    });
                    for (length, until) in later.collect::<Vec<_>>() {
                        self.wish(&client, length, until);
                    }
                }
                _ => {}
            }
        }
    }

    fn is_ending(&self, deal: &Deal) -> bool {
        self.asked.values().any(|(request, _)| match request {
            Request::Confirm(it) | Request::Release(it) | Request::Doubt(it) | Request::Adopt(it) => it == deal,
            Request::Refuse(it) | Request::DoubtTaken { deal: it, .. } | Request::Hold { deal: it, .. } => it == deal,
            _ => false,
        })
    }

    fn claim(&mut self, block: Prefix, claim: Claim) {
        let foreign = matches!(claim, Claim::Taking(_));
        let clash = self.claims.iter().find(|((other, taken), old)| {
            let renewed = matches!((old, &claim), (Claim::Client(old, _), Claim::Client(new, _)) if old == new);
            // What was taken may be given on when it is owned; whether it is will be seen in the store.
            let given_on = *taken && !foreign && other.contains(&block);
            other.overlaps(&block) && !given_on && !(renewed && *other == block)
        });
        assert!(clash.is_none(), "{block} goes to {claim:?} while {clash:?}");
        self.claims.insert((block, foreign), claim);
    }

    /// Whoever asks gives up what the answer, which may be lost, would take from him.
    fn wish(&mut self, client: &str, length: u8, wanted: Option<u64>) {
        for ((block, _), claim) in &mut self.claims {
            let Claim::Client(it, until) = claim else { continue };
            if *it != *client || block.length() != length {
                continue;
            }
            let unsure = self.unsure.contains(block);
            match (*until, wanted) {
                (None, Some(_)) => *until = wanted,
                (Some(told), Some(end)) if unsure => *until = Some(told.min(end)),
                (Some(_), None) => {}
                _ => continue,
            }
            self.unsure.insert(*block);
        }
    }

    fn pick(&self, index: u8, of: impl Fn(&Claim) -> bool) -> Option<(Prefix, Claim)> {
        let its: Vec<_> = self.claims.iter().filter(|(_, claim)| of(claim)).collect();
        let index = usize::from(index).checked_rem(its.len())?;
        its.get(index).map(|((block, _), claim)| (*block, (*claim).clone()))
    }

    fn forget(&mut self, of: impl Fn(&Claim) -> bool) {
        self.claims.retain(|_, claim| !of(claim));
    }

    #[allow(clippy::too_many_lines)]
    fn play(&mut self, bench: &mut Bench, op: Op) {
        // Who waits for an answer does nothing else with what it is about.
        let quiet = bench.batch.is_none() && !bench.loading && self.asked.is_empty();
        match op {
            Op::Hold { session, length, dry } => {
                let deal = deal_of(session);
                let accepted = self.claims.values().any(|claim| *claim == Claim::Given(deal.clone(), true));
                let open = self.asked.values().any(|(request, _)| *request == Request::Offer(deal.clone()));
                if accepted || open {
                    return;
                }
                // Only a peer that turns down what it was offered asks again in the same session.
                if self.claims.values().any(|claim| *claim == Claim::Given(deal.clone(), false)) {
                    let in_doubt = bench.disk.iter().any(|record| match record {
                        Record::Block { state: State::Doubt { dealt, .. }, .. } => dealt.deal == deal,
                        _ => false,
                    });
                    if in_doubt || !quiet {
                        return;
                    }
                    self.forget(|claim| *claim == Claim::Given(deal.clone(), false));
                }
                let dry = dry.then_some(100);
                self.send(bench, Request::Hold { deal, want: want(length), longest: 61, dry });
            }
            Op::Offer(session) => {
                let deal = deal_of(session);
                if self.held.contains_key(&deal) {
                    self.send(bench, Request::Offer(deal));
                }
            }
            Op::End(session, how) => {
                let deal = deal_of(session);
                if how == 1 {
                    self.forget(|claim| *claim == Claim::Given(deal.clone(), false));
                }
                let request = match how {
                    0 => Request::Confirm(deal),
                    1 => Request::Release(deal),
                    _ => Request::Doubt(deal),
                };
                self.send(bench, request);
            }
            Op::Ask(session) => self.send(bench, Request::Ask { deal: deal_of(session), want: want(60) }),
            Op::Accept(session, at) => {
                let (deal, block) = (deal_of(session), foreign(at));
                // A provider that offers it once more has not counted an earlier acceptance.
                let void = |old: &Claim| matches!(old, Claim::Taking(old) if old.peer == deal.peer && *old != deal);
                self.claims.retain(|(other, _), old| !(other.overlaps(&block) && void(old)));
                self.send(bench, Request::Accept { deal, block });
            }
            Op::Taken(session, how) => {
                let deal = deal_of(session);
                let request = match how {
                    0 => Request::Adopt(deal),
                    1 => {
                        self.forget(|claim| *claim == Claim::Taking(deal.clone()));
                        Request::Refuse(deal)
                    }
                    _ => Request::DoubtTaken { deal, reset: false },
                };
                self.send(bench, request);
            }
            Op::Delegate { client, length, valid } => {
                let lifetimes = valid.map(|valid| Lifetimes { preferred: valid / 2, valid });
                let client = format!("client {client}");
                let now = bench.now.0.as_secs();
                self.wish(&client, length, valid.map(|valid| now + u64::from(valid)));
                self.send(bench, Request::Delegate { client, want: want(length), lifetimes });
            }
            Op::GiveBack(index, unused) => {
                let Some((block, Claim::Client(client, until))) =
                    self.pick(index, |claim| matches!(claim, Claim::Client(..))).filter(|_| quiet)
                else {
                    return;
                };
                // Who has used it may go on until its time has come, unless it may have been told no end.
                if unused || until.is_none() || self.unsure.contains(&block) {
                    self.claims.remove(&(block, false));
                }
                self.send(bench, Request::GiveBack { client, block, unused });
            }
            Op::TakeBack(index, part) => {
                let Some((block, Claim::Given(deal, _))) =
                    self.pick(index, |claim| matches!(claim, Claim::Given(_, true))).filter(|_| quiet)
                else {
                    return;
                };
                self.claims.remove(&(block, false));
                let back = block.halves().filter(|_| part).map_or(block, |(low, _)| low);
                self.send(bench, Request::TakeBack { session: deal.session, block: back });
            }
            Op::Return(at) => self.send(bench, Request::Return(foreign(at))),
            Op::Returned(at, gone) => {
                let block = foreign(at);
                let returning = bench.disk.contains(&Record::Block { block, state: State::Returning });
                if returning && quiet {
                    if gone {
                        self.claims.remove(&(block, true));
                    }
                    self.send(bench, Request::Returned { block, gone });
                }
            }
            Op::Settle(index, moved) => {
                let doubts = bench.disk.iter().filter_map(|record| match record {
                    Record::Block { block, state: State::Doubt { dealt, .. } } => Some((*block, dealt.deal.clone())),
                    _ => None,
                });
                let doubts: Vec<_> = doubts.collect();
                let Some(at) = usize::from(index).checked_rem(doubts.len()).filter(|_| quiet) else { return };
                let (block, deal) = doubts[at].clone();
                if !moved {
                    let its = [Claim::Given(deal.clone(), false), Claim::Taking(deal.clone())];
                    self.claims.retain(|(other, _), claim| *other != block || !its.contains(claim));
                }
                self.send(bench, Request::Settle { block, session: deal.session, moved });
            }
            Op::Inquire(index) => {
                if let Some((block, _)) = self.pick(index, |_| true) {
                    self.send(bench, Request::Inquire(block));
                }
            }
            Op::Order(at, what) => {
                let block = p(&format!("2001:db8:0:{:x}::/62", at & 0xfc));
                match what {
                    0 => self.send(bench, Request::Exclude(block)),
                    1 => self.send(bench, Request::Include(block)),
                    // What is withdrawn ends use, but breaks no promise.
                    _ => self.send(bench, Request::Withdraw(foreign(at % 8))),
                }
            }
            Op::Disk => {
                bench.settle();
                self.listen(bench);
            }
            Op::Fail(made) => {
                bench.fail(made);
                self.listen(bench);
            }
            Op::Crash { made, reboot } => {
                if made && bench.batch.is_some() {
                    bench.write();
                }
                self.asked.clear();
                if reboot {
                    (bench.boot, bench.booted) = (bench.boot + 1, bench.now);
                }
                bench.start();
            }
            Op::Time(seconds) => {
                bench.pass(std::time::Duration::from_secs(seconds.into()));
                self.listen(bench);
            }
        }
        self.check(bench);
    }

    /// Whoever may rely on a block finds it in the store as his.
    fn check(&mut self, bench: &Bench) {
        let (now, disk) = (bench.now.0.as_secs(), &bench.disk);
        self.forget(|claim| matches!(claim, Claim::Client(_, Some(until)) if *until <= now));
        sound(disk);
        for ((claimed, taken), claim) in &self.claims {
            let its: Vec<_> = disk
                .iter()
                .filter_map(|record| match record {
                    Record::Block { block, state } if block.overlaps(claimed) => Some((*block, state)),
                    _ => None,
                })
                .collect();
            let home = disk.iter().find_map(|record| match record {
                Record::Aggregate { block, source: Source::Peer(dealt), .. } if block == claimed => Some(&dealt.deal),
                _ => None,
            });
            assert_eq!(*taken, matches!(claim, Claim::Taking(_) | Claim::Owned(_)));
            let whole = its.len() == 1 && its[0].0 == *claimed;
            let fits = match (claim, its.first().map(|(_, state)| *state)) {
                (Claim::Given(deal, true), Some(State::Granted(dealt))) => whole && dealt.deal == *deal,
                (
                    Claim::Given(deal, false),
                    Some(State::Offered(dealt) | State::Granted(dealt) | State::Doubt { dealt, .. }),
                ) => whole && dealt.deal == *deal,
                (Claim::Taking(deal), Some(State::Accepting(dealt) | State::Doubt { dealt, .. })) => {
                    (whole && dealt.deal == *deal) || home == Some(deal)
                }
                (Claim::Taking(deal) | Claim::Owned(deal), _) => home == Some(deal),
                (Claim::Client(client, _), Some(State::Delegated(lease) | State::Cooling(lease))) => {
                    whole && *lease.client == **client
                }
                _ => false,
            };
            assert!(fits, "{claimed} is claimed as {claim:?}, the store says {its:?} {home:?}");
        }
    }
}

fn run(ops: Vec<Op>, plan: PoolPlan) {
    let (mut bench, mut world) = (Bench::new(plan), World::default());
    for op in ops {
        let after_disk = matches!(op, Op::Disk);
        world.play(&mut bench, op);
        if after_disk && bench.level.is_some_and(|level| level.writable) {
            let records = bench.records();
            assert_eq!(records, bench.disk.iter().cloned().collect::<Vec<_>>());
            world.listen(&mut bench);
        }
    }
    for _ in 0..2 {
        bench.recover();
        world.listen(&mut bench);
        world.check(&bench);
        bench.restart();
    }
    world.check(&bench);
    assert!(bench.census().trouble.is_none());
    assert!(bench.alarms.iter().all(|alarm| !alarm.contains("not served")), "{:?}", bench.alarms);
    // Nothing is open for ever: what is left are doubts, and after the last lifetime no client has anything with an end.
    bench.spend(700);
    bench.spend(2000);
    let open = ["held", "offered", "accepting", "dry", "cooling"];
    let left: Vec<_> = bench.blocks().into_iter().filter(|(_, state)| open.contains(&state.name())).collect();
    assert_eq!((left, bench.core.load().busy), (vec![], 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// PM-S-01, PM-S-02, PM-S-03, PM-S-14, PM-S-21: with crashes and failing disks at any moment, blocks stay disjoint,
    /// nothing that was answered is lost, nobody is given what somebody else may own, and memory agrees with the store.
    #[test]
    fn blocks_are_conserved_and_never_promised_twice(ops in proptest::collection::vec(op(), 1..150)) {
        run(ops, PoolPlan { sessions: 8, exclude: vec![p("2001:db8:0:40::/61")], ..plan() });
    }
}
