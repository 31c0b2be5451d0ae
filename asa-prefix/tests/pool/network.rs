//! Several nodes that take from each other, over a net that loses and delays: in the end all agree on who has what.

use super::bench::*;
use asa_prefix::pool::record::{Deal, Part, Record, Source, State, Way};
use asa_prefix::pool::{Answer, PoolPlan, Request, Verdict};
use asa_prefix::prefix::Prefix;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A provider with a stock, and nodes that have none: the first takes from it, the next ones from any before them.
const NODES: usize = 4;

#[derive(Debug, Clone)]
enum Op {
    Begin {
        taker: u8,
        giver: u8,
        length: u8,
    },
    /// The next step of a negotiation, or what becomes of it instead.
    Step(u8, Fate),
    Crash {
        node: u8,
        made: bool,
    },
    Fail {
        node: u8,
        made: bool,
    },
    Disk(u8),
    Time(u16),
    Question(u8, Fate),
    Answer(u8),
    /// An acceptance arrives after the taker, or the giver, has given up waiting.
    Late(u8),
    Return(u8, u8),
    Client(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
    Declined,
}

fn op() -> impl Strategy<Value = Op> {
    let fate = || prop_oneof![8 => Just(Fate::Arrives), 2 => Just(Fate::Lost), 1 => Just(Fate::Declined)];
    prop_oneof![
        6 => (1..NODES as u8, any::<u8>(), 58..64_u8).prop_map(|(taker, giver, length)| Op::Begin { taker, giver, length }),
        24 => (any::<u8>(), fate()).prop_map(|(index, fate)| Op::Step(index, fate)),
        2 => (0..NODES as u8, any::<bool>()).prop_map(|(node, made)| Op::Crash { node, made }),
        1 => (0..NODES as u8, any::<bool>()).prop_map(|(node, made)| Op::Fail { node, made }),
        16 => (0..NODES as u8).prop_map(Op::Disk),
        2 => (0..400_u16).prop_map(Op::Time),
        5 => (any::<u8>(), fate()).prop_map(|(index, fate)| Op::Question(index, fate)),
        5 => any::<u8>().prop_map(Op::Answer),
        3 => any::<u8>().prop_map(Op::Late),
        2 => (0..NODES as u8, any::<u8>()).prop_map(|(node, index)| Op::Return(node, index)),
        1 => (0..NODES as u8).prop_map(Op::Client),
    ]
}

/// Where a negotiation stands: what is waited for, by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The taker's store, before the request leaves.
    Asking(u64),
    Requested,
    Holding(u64),
    Offering(u64, Prefix),
    Offered(Prefix),
    Accepting(u64, Prefix),
    /// The acceptance is on its way, or in the giver's hands (true).
    Accepted(Prefix, bool),
    Over,
}

#[derive(Debug)]
struct Talk {
    session: u32,
    giver: usize,
    taker: usize,
    want: u8,
    stage: Stage,
}

/// A question or its answer under way.
#[derive(Debug, Clone)]
enum Letter {
    /// Waits for the asker's store.
    Written {
        id: u64,
        from: usize,
        to: usize,
        block: Prefix,
        session: u32,
        asker: Part,
    },
    Question {
        from: usize,
        to: usize,
        block: Prefix,
        session: u32,
        asker: Part,
    },
    /// Waits for the other side's store.
    Examined {
        id: u64,
        from: usize,
        to: usize,
        block: Prefix,
        session: u32,
    },
    Answer {
        to: usize,
        block: Prefix,
        session: u32,
        verdict: Verdict,
    },
}

struct Net {
    nodes: Vec<Bench>,
    talks: Vec<Talk>,
    letters: Vec<Letter>,
    /// Acceptances on their way, with the side that gives.
    late: Vec<(usize, Deal)>,
    sessions: u32,
}

fn name(node: usize) -> String {
    format!("fe80::{node}")
}

fn number(peer: &str) -> usize {
    peer.trim_start_matches("fe80::").parse().unwrap()
}

impl Net {
    fn new() -> Self {
        let node = |number| {
            let initial = if number == 0 { vec![p("2001:db8::/56")] } else { vec![] };
            Bench::new(PoolPlan { initial, seed: number as u64, ..plan() })
        };
        Self { nodes: (0..NODES).map(node).collect(), talks: vec![], letters: vec![], late: vec![], sessions: 0 }
    }

    fn deal(talk: &Talk, side: usize) -> Deal {
        let peer = if side == talk.giver { talk.taker } else { talk.giver };
        Deal { session: talk.session, peer: name(peer) }
    }

    fn begin(&mut self, taker: usize, giver: usize, want: u8) {
        self.sessions += 1;
        let talk = Talk { session: self.sessions, giver, taker, want, stage: Stage::Over };
        let deal = Self::deal(&talk, taker);
        let id = self.nodes[taker].send(Request::Ask { deal, want: super::bench::want(want) });
        self.talks.push(Talk { stage: Stage::Asking(id), ..talk });
    }

    /// The connection is gone: each side does what it must with what it knows.
    fn cut(&mut self, index: usize) {
        let talk = &mut self.talks[index];
        let stage = std::mem::replace(&mut talk.stage, Stage::Over);
        let (giver, taker) = (Self::deal(talk, talk.giver), Self::deal(talk, talk.taker));
        let (at, by) = (talk.giver, talk.taker);
        let offered = !matches!(stage, Stage::Asking(_) | Stage::Requested | Stage::Over);
        if offered {
            self.nodes[at].send(Request::Doubt(giver.clone()));
        }
        if matches!(stage, Stage::Accepted(_, false)) {
            self.late.push((at, giver));
        }
        match stage {
            Stage::Accepting(..) | Stage::Accepted(..) => {
                self.nodes[by].send(Request::DoubtTaken { deal: taker, reset: true });
            }
            Stage::Over => {}
            Stage::Asking(_) | Stage::Requested | Stage::Holding(_) | Stage::Offering(..) | Stage::Offered(_) => {
                self.nodes[by].send(Request::Refuse(taker));
            }
        }
    }

    /// The taker declines: the giver knows for certain.
    fn decline(&mut self, index: usize) {
        let talk = &mut self.talks[index];
        talk.stage = Stage::Over;
        let (giver, taker) = (Self::deal(talk, talk.giver), Self::deal(talk, talk.taker));
        let (at, by) = (talk.giver, talk.taker);
        self.nodes[by].send(Request::Refuse(taker));
        self.nodes[at].send(Request::Release(giver));
    }

    fn step(&mut self, index: usize, fate: Fate) {
        if fate == Fate::Lost {
            return self.cut(index);
        }
        let talk = &self.talks[index];
        let (at, by, length) = (talk.giver, talk.taker, talk.want);
        let (giver, taker) = (Self::deal(talk, at), Self::deal(talk, by));
        let stage = match talk.stage {
            Stage::Asking(id) => match self.nodes[by].replies.remove(&id) {
                Some(Ok(_)) => Stage::Requested,
                Some(Err(_)) => return self.cut(index),
                None => return,
            },
            Stage::Requested => {
                let want = want(length);
                Stage::Holding(self.nodes[at].send(Request::Hold { deal: giver, want, longest: 64, dry: None }))
            }
            Stage::Holding(id) => match self.nodes[at].replies.remove(&id) {
                Some(Ok(Answer::Block(block))) => Stage::Offering(self.nodes[at].send(Request::Offer(giver)), block),
                Some(_) => return self.cut(index),
                None => return,
            },
            Stage::Offering(id, block) => match self.nodes[at].replies.remove(&id) {
                Some(Ok(_)) => Stage::Offered(block),
                Some(Err(_)) => return self.cut(index),
                None => return,
            },
            Stage::Offered(_) if fate == Fate::Declined => return self.decline(index),
            Stage::Offered(block) => {
                Stage::Accepting(self.nodes[by].send(Request::Accept { deal: taker, block }), block)
            }
            Stage::Accepting(id, block) => match self.nodes[by].replies.remove(&id) {
                Some(Ok(_)) => Stage::Accepted(block, false),
                Some(Err(_)) => return self.decline(index),
                None => return,
            },
            // The acceptance arrives: whatever the pool makes of it, the stack has read it.
            Stage::Accepted(block, false) => {
                self.nodes[at].send(Request::Confirm(giver));
                Stage::Accepted(block, true)
            }
            // The connection is closed in good order.
            Stage::Accepted(_, true) => {
                self.nodes[by].send(Request::Adopt(taker));
                Stage::Over
            }
            Stage::Over => return,
        };
        self.talks[index].stage = stage;
    }

    fn doubts(&self, node: usize) -> Vec<(Prefix, Deal, Way)> {
        let doubt = |record: &Record| match record {
            Record::Block { block, state: State::Doubt { dealt, way, .. } } => Some((*block, dealt.deal.clone(), *way)),
            _ => None,
        };
        self.nodes[node].disk.iter().filter_map(doubt).collect()
    }

    /// A node asks about one of its doubts.
    fn question(&mut self, node: usize, doubt: (Prefix, Deal, Way)) {
        let (block, deal, way) = doubt;
        let asker = if way == Way::Out { Part::Provider } else { Part::Asker };
        let id = self.nodes[node].send(Request::Inquire(block));
        let (from, to, session) = (node, number(&deal.peer), deal.session);
        self.letters.push(Letter::Written { id, from, to, block, session, asker });
    }

    /// A letter goes one step further.
    fn carry(&mut self, index: usize, fate: Fate) {
        let letter = self.letters.remove(index);
        if fate == Fate::Lost {
            return;
        }
        // Sometimes it arrives twice.
        if fate == Fate::Declined && matches!(letter, Letter::Question { .. } | Letter::Answer { .. }) {
            self.letters.push(letter.clone());
        }
        let next = match letter.clone() {
            Letter::Written { id, from, to, block, session, asker } => match self.nodes[from].replies.remove(&id) {
                Some(Ok(_)) => Some(Letter::Question { from, to, block, session, asker }),
                Some(Err(_)) => None,
                None => Some(letter),
            },
            Letter::Question { from, to, block, session, asker } => {
                let id = self.nodes[to].send(Request::Examine { session, block, asker });
                Some(Letter::Examined { id, from, to, block, session })
            }
            Letter::Examined { id, from, to, block, session } => match self.nodes[to].replies.remove(&id) {
                Some(Ok(Answer::Verdict(verdict))) => Some(Letter::Answer { to: from, block, session, verdict }),
                Some(_) => None,
                None => Some(letter),
            },
            Letter::Answer { to, block, session, verdict } => {
                if let Verdict::Moved | Verdict::Kept = verdict {
                    let moved = verdict == Verdict::Moved;
                    self.nodes[to].send(Request::Settle { block, session, moved });
                }
                None
            }
        };
        self.letters.extend(next);
    }

    /// A node hands an aggregate back that is wholly free: all at once, since its crashes are tested elsewhere.
    fn hand_back(&mut self, node: usize, index: u8) {
        if self.nodes.iter().any(|node| node.batch.is_some() || node.loading) {
            return;
        }
        let acquired = |record: &Record| match record {
            Record::Aggregate { block, source: Source::Peer(dealt), .. } => Some((*block, dealt.deal.clone())),
            _ => None,
        };
        let acquired: Vec<_> = self.nodes[node].disk.iter().filter_map(acquired).collect();
        let Some(at) = usize::from(index).checked_rem(acquired.len()) else { return };
        let (block, deal) = acquired[at].clone();
        if self.nodes[node].ask(Request::Return(block)).is_err() {
            return;
        }
        let taken = self.nodes[number(&deal.peer)].ask(Request::TakeBack { session: deal.session, block });
        let _ = self.nodes[node].ask(Request::Returned { block, gone: taken.is_ok() });
    }

    fn play(&mut self, op: Op) {
        let pick = |index: u8, count: usize| usize::from(index).checked_rem(count);
        match op {
            Op::Begin { taker, giver, length } => {
                let taker = usize::from(taker);
                self.begin(taker, usize::from(giver) % taker, length);
            }
            Op::Step(index, fate) => {
                self.talks.retain(|talk| talk.stage != Stage::Over);
                if let Some(index) = pick(index, self.talks.len()) {
                    self.step(index, fate);
                }
            }
            Op::Crash { node, made } => {
                let number = usize::from(node);
                let node = &mut self.nodes[number];
                if made && node.batch.is_some() {
                    node.write();
                }
                node.start();
                // Its own side of what it was in is forgotten; the other side sees a reset.
                for index in 0..self.talks.len() {
                    let talk = &mut self.talks[index];
                    let (giver, taker) = (Self::deal(talk, talk.giver), Self::deal(talk, talk.taker));
                    if talk.stage == Stage::Over || (talk.giver != number && talk.taker != number) {
                        continue;
                    }
                    let stage = std::mem::replace(&mut talk.stage, Stage::Over);
                    let accepts = matches!(stage, Stage::Accepting(..) | Stage::Accepted(..));
                    let (at, by) = (talk.giver, talk.taker);
                    if matches!(stage, Stage::Accepted(_, false)) {
                        self.late.push((at, giver.clone()));
                    }
                    if at != number && !matches!(stage, Stage::Asking(_) | Stage::Requested) {
                        // What has been read counts, though nobody is left to hear so.
                        if !matches!(stage, Stage::Accepted(_, true)) {
                            self.nodes[at].send(Request::Doubt(giver));
                        }
                    } else if by != number {
                        // The system of a process that has died closes its connections in good order.
                        let taken = if stage_is_read(stage) {
                            Request::Adopt(taker)
                        } else if accepts {
                            Request::DoubtTaken { deal: taker, reset: true }
                        } else {
                            Request::Refuse(taker)
                        };
                        self.nodes[by].send(taken);
                    }
                }
                self.letters.retain(|letter| match letter {
                    Letter::Written { from, .. } => *from != number,
                    Letter::Examined { to, .. } => *to != number,
                    Letter::Question { .. } | Letter::Answer { .. } => true,
                });
            }
            Op::Fail { node, made } => self.nodes[usize::from(node)].fail(made),
            Op::Disk(node) => self.nodes[usize::from(node)].settle(),
            Op::Time(seconds) => {
                self.nodes.iter_mut().for_each(|node| node.pass(std::time::Duration::from_secs(seconds.into())));
            }
            Op::Question(index, fate) => {
                let doubts: Vec<_> =
                    (0..NODES).flat_map(|node| self.doubts(node).into_iter().map(move |doubt| (node, doubt))).collect();
                if let Some(at) = pick(index, doubts.len()).filter(|_| fate == Fate::Arrives) {
                    let (node, doubt) = doubts[at].clone();
                    self.question(node, doubt);
                }
            }
            Op::Answer(index) => {
                if let Some(at) = pick(index, self.letters.len()) {
                    let fate = [Fate::Arrives, Fate::Arrives, Fate::Arrives, Fate::Declined, Fate::Lost];
                    self.carry(at, fate[usize::from(index) % fate.len()]);
                }
            }
            Op::Late(index) => {
                if let Some(at) = pick(index, self.late.len()) {
                    let (node, deal) = self.late.remove(at);
                    self.nodes[node].send(Request::Confirm(deal));
                }
            }
            Op::Return(node, index) => self.hand_back(usize::from(node), index),
            Op::Client(node) => {
                let delegate = Request::Delegate { client: "c".into(), want: want(64), lifetimes: None };
                self.nodes[usize::from(node)].send(delegate);
            }
        }
        self.safe();
    }

    /// PM-S-02, at any time: what one node may use no other may.
    fn safe(&self) {
        let mut used: Vec<(Prefix, usize)> = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            sound(&node.disk);
            used.extend(node.disk.iter().filter_map(|record| match record {
                Record::Block { block, state: State::Free | State::Delegated(_) | State::Held(_) } => {
                    Some((*block, number))
                }
                _ => None,
            }));
        }
        used.sort_unstable();
        for pair in used.windows(2) {
            assert!(!pair[0].0.overlaps(&pair[1].0), "{pair:?} are used by two");
        }
    }

    /// All questions are asked until none is left.
    fn quiet(&mut self) {
        self.letters.clear();
        for _ in 0..NODES + 3 {
            self.nodes.iter_mut().for_each(|node| node.spend(700));
            for node in 0..NODES {
                for doubt in self.doubts(node) {
                    let session = doubt.1.session;
                    self.question(node, doubt);
                    for step in 0..4 {
                        self.nodes.iter_mut().for_each(Bench::settle);
                        // The acceptance may arrive at any moment of it.
                        let late = self.late.iter().position(|(_, deal)| deal.session == session);
                        if let Some(at) = late.filter(|_| step == session % 5) {
                            let (node, deal) = self.late.remove(at);
                            let _ = self.nodes[node].ask(Request::Confirm(deal));
                        }
                        if !self.letters.is_empty() {
                            self.carry(0, Fate::Arrives);
                        }
                    }
                    self.nodes.iter_mut().for_each(Bench::settle);
                    assert!(self.letters.is_empty());
                    self.safe();
                }
            }
        }
    }

    /// Each grant is an aggregate of exactly one taker with that session, and conversely.
    fn agreed(&mut self) {
        let (mut granted, mut owned) = (BTreeMap::new(), BTreeMap::new());
        for (number_here, node) in self.nodes.iter_mut().enumerate() {
            node.settle();
            for record in &node.disk {
                match record {
                    Record::Block { block, state: State::Granted(dealt) } => {
                        granted.insert((number_here, *block, dealt.deal.session), number(&dealt.deal.peer));
                    }
                    Record::Aggregate { block, source: Source::Peer(dealt), .. } => {
                        owned.insert((number(&dealt.deal.peer), *block, dealt.deal.session), number_here);
                    }
                    Record::Block { block, state } => {
                        let name = state.name();
                        assert!(["free", "delegated"].contains(&name), "{block} is {name} at {number_here}");
                    }
                    Record::Life(_) | Record::Aggregate { .. } | Record::Session { .. } => {}
                }
            }
            assert!(node.alarms.iter().all(|alarm| alarm.contains("read-only")), "{:?}", node.alarms);
        }
        assert_eq!(granted, owned, "what the givers say, and what the takers say");
    }
}

fn stage_is_read(stage: Stage) -> bool {
    matches!(stage, Stage::Accepted(_, true))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// PM-S-02, PM-S-18, the crash table: with messages lost, late and twice, and crashes anywhere, no address is used on
    /// two nodes at any time, and settling leaves no doubt and loses nothing.
    #[test]
    fn nodes_agree_in_the_end(ops in proptest::collection::vec(op(), 1..250)) {
        let mut net = Net::new();
        for op in ops {
            net.play(op);
        }
        for index in 0..net.talks.len() {
            net.cut(index);
        }
        net.quiet();
        net.agreed();
    }
}
