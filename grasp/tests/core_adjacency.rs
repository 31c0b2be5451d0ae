//! Neighbours on one link: whom to dial, whom to keep (RFC 8994 §6.9.2).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use grasp::protocol::adjacency::{Adjacency, AdjacencyConfig, Input, Output};
use grasp::protocol::{Machine, Time};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

fn at(host: u16, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host), port, 0, 3)
}

fn t(milliseconds: u64) -> Time {
    Time(Duration::from_millis(milliseconds))
}

const OWN: (u16, u16) = (5, 500);

struct Bench {
    core: Adjacency,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with(AdjacencyConfig::default())
    }

    fn with(config: AdjacencyConfig) -> Self {
        Self { core: Adjacency::new(config, at(OWN.0, OWN.1), 7, t(0)), now: 0 }
    }

    fn say(&mut self, input: Input) -> Vec<Output> {
        self.core.handle(t(self.now), input);
        self.heard()
    }

    fn announce(&mut self, host: u16, port: u16) -> Vec<Output> {
        self.say(Input::Announced { at: at(host, port), lifetime: Some(Duration::from_secs(210)) })
    }

    fn heard(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.core.poll()).collect()
    }

    /// Lets time pass, timer by timer; returns what was said and when.
    fn pass(&mut self, milliseconds: u64) -> Vec<(u64, Output)> {
        let end = self.now + milliseconds;
        let mut said = Vec::new();
        for _ in 0..100_000 {
            let due = self.core.deadline().map(|due| u64::try_from(due.0.as_millis()).unwrap());
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.core.wake(t(self.now));
            said.extend(self.heard().into_iter().map(|output| (self.now, output)));
        }
        self.now = end;
        said
    }
}

fn announcements(said: &[(u64, Output)]) -> Vec<u64> {
    said.iter().filter(|(_, output)| *output == Output::Announce).map(|(when, _)| *when).collect()
}

fn dials(said: &[Output]) -> Vec<SocketAddrV6> {
    let dial = |output: &Output| if let Output::Dial(at) = output { Some(*at) } else { None };
    said.iter().filter_map(dial).collect()
}

/// G-DULL-13: at once, a few times soon, and then every 60 s.
#[test]
fn it_announces_itself_every_minute() {
    assert_eq!(announcements(&Bench::new().pass(200_000)), [0, 1000, 4000, 13_000, 73_000, 133_000, 193_000]);
}

#[test]
fn a_newcomer_is_told_soon_but_not_for_each_of_many() {
    let mut bench = Bench::new();
    bench.pass(100_000);
    for host in 100..200 {
        bench.announce(host, 1);
    }
    let told = announcements(&bench.pass(10_000));
    assert!(told.len() <= 1 && bench.core.candidates() == 100, "{told:?}");
}

/// Of two nodes the one with the lower address and port dials; two instances on one host tell each other by the port.
#[test]
fn the_lower_address_dials() {
    let mut bench = Bench::new();
    assert_eq!(dials(&bench.announce(9, 1)), [at(9, 1)]);
    assert_eq!(dials(&bench.announce(5, 501)), [at(5, 501)]);
    assert_eq!(dials(&bench.announce(4, 1)), []);
    assert_eq!(dials(&bench.announce(5, 499)), []);
    assert_eq!(dials(&bench.announce(OWN.0, OWN.1)), [], "dialled itself");
}

#[test]
fn the_higher_address_dials_only_if_it_waits_in_vain() {
    let mut bench = Bench::new();
    bench.announce(4, 1);
    let said: Vec<Output> = bench.pass(6000).into_iter().map(|(_, output)| output).collect();
    assert_eq!(dials(&said), [at(4, 1)]);
    let mut bench = Bench::new();
    bench.announce(4, 1);
    bench.say(Input::Accepted { from: *at(4, 0).ip(), connection: 7 });
    let said: Vec<Output> = bench.pass(60_000).into_iter().map(|(_, output)| output).collect();
    assert_eq!(dials(&said), []);
    // A second instance at that address has not dialled.
    bench.announce(4, 2);
    bench.say(Input::Heard { connection: 7 });
    let said: Vec<Output> = bench.pass(6000).into_iter().map(|(_, output)| output).collect();
    // Which of the two has connected cannot be told; a connection too many does no harm.
    assert!(dials(&said).contains(&at(4, 2)), "{said:?}");
}

#[test]
fn pauses_between_attempts_double_up_to_a_minute() {
    let mut bench = Bench::new();
    bench.announce(9, 1);
    let mut tried = vec![0];
    for _ in 0..9 {
        bench.say(Input::Refused { at: at(9, 1) });
        bench.announce(9, 1);
        let from = bench.now;
        let next = (1..=70_000).find(|_| bench.pass(1).iter().any(|(_, output)| matches!(output, Output::Dial(_))));
        tried.push(next.unwrap_or_else(|| panic!("no attempt after {from}")));
    }
    assert_eq!(tried[1..], [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
}

/// A peer that does not take this node for a member says so only after the connection is made: it ends it, and that counts as a
/// refusal.
#[test]
fn a_connection_that_ends_before_anything_has_come_is_a_refusal() {
    let mut bench = Bench::new();
    bench.announce(9, 1);
    let mut pauses = Vec::new();
    for connection in 1..=7 {
        bench.say(Input::Dialled { at: at(9, 1), connection });
        if connection == 6 {
            bench.say(Input::Heard { connection });
        }
        bench.say(Input::Closed { connection });
        bench.announce(9, 1);
        let next = (1..=70_000).find(|_| bench.pass(1).iter().any(|(_, output)| matches!(output, Output::Dial(_))));
        pauses.push(next.unwrap());
    }
    assert_eq!(pauses, [1000, 2000, 4000, 8000, 16_000, 1000, 2000]);
}

/// G-ERR-24: a storm of announcements that lead nowhere is bounded, and a neighbour that announces itself as it does is dialled all
/// the same, sooner or later; one that was a member before at once.
#[test]
fn a_storm_of_announcements_keeps_no_neighbour_out() {
    let config = AdjacencyConfig::default();
    let mut bench = Bench::new();
    // Somebody was here before, and has been started anew on another port.
    bench.say(Input::Accepted { from: *at(8, 0).ip(), connection: 1 });
    bench.say(Input::Closed { connection: 1 });
    let mut dialled: Vec<(u64, SocketAddrV6)> = Vec::new();
    let mut pending: Vec<(u64, SocketAddrV6)> = Vec::new();
    for millisecond in 0..120_000_u64 {
        bench.now = millisecond;
        let mut said = Vec::new();
        // A stranger to this node, which hears announcements and therefore announces itself every 3 s.
        let turn = millisecond / 3000;
        if millisecond == turn * 3000 + turn * turn * 37 % 1000 {
            said.extend(bench.announce(9, 1));
        }
        // A thousand a second, from addresses that do not exist: each attempt fails after three seconds.
        said.extend(bench.announce(u16::try_from(1000 + millisecond % 60_000).unwrap(), 1));
        while pending.first().is_some_and(|(due, _)| *due <= millisecond) {
            let (_, at) = pending.remove(0);
            said.extend(bench.say(Input::Refused { at }));
        }
        if millisecond == 20_000 {
            said.extend(bench.announce(8, 77));
        }
        for at in dials(&said) {
            dialled.push((millisecond, at));
            pending.push((millisecond + 3000, at));
        }
        assert!(bench.core.candidates() <= config.candidates);
    }
    let first = |place: SocketAddrV6| dialled.iter().find(|(_, at)| *at == place).map(|(when, _)| *when);
    assert!(first(at(8, 77)).is_some_and(|when| when <= 25_000), "{:?}", first(at(8, 77)));
    assert!(first(at(9, 1)).is_some(), "a neighbour was kept out for two minutes");
    assert!(bench.core.counters().newcomers_refused > 0);
}

/// Places announced at one address are as few as connections from it.
#[test]
fn one_address_has_few_places() {
    let mut bench = Bench::new();
    for port in 1..1000 {
        bench.announce(9, port);
        bench.pass(20);
    }
    assert_eq!(bench.core.candidates(), AdjacencyConfig::default().per_address);
}

#[test]
fn no_more_attempts_than_allowed_at_once() {
    let mut bench = Bench::with(AdjacencyConfig { dials: 16, ..AdjacencyConfig::default() });
    let dialled: Vec<SocketAddrV6> = (100..200).flat_map(|host| dials(&bench.announce(host, 1))).collect();
    assert_eq!(dialled.len(), 16);
    assert_eq!(dials(&bench.say(Input::Refused { at: dialled[3] })).len(), 1, "the end of one lets the next begin");
}

/// ASA-S-08: a neighbour that has gone is seen within 95 s, one that lives is kept by signs of life every 30 s.
#[test]
fn a_silent_connection_is_closed_and_a_living_one_is_kept() {
    let mut bench = Bench::new();
    bench.announce(9, 1);
    bench.say(Input::Dialled { at: at(9, 1), connection: 1 });
    for _ in 0..10 {
        let said = bench.pass(30_000);
        assert!(said.iter().any(|(_, output)| *output == Output::KeepAlive(1)));
        bench.say(Input::Heard { connection: 1 });
    }
    let said = bench.pass(96_000);
    assert!(said.iter().any(|(_, output)| *output == Output::Close(1)), "{said:?}");
    assert_eq!((bench.core.counters().silent, bench.core.connections()), (1, 0));
}

#[test]
fn a_closed_connection_is_made_again_while_the_neighbour_announces_itself() {
    let mut bench = Bench::new();
    bench.announce(9, 1);
    bench.say(Input::Dialled { at: at(9, 1), connection: 1 });
    bench.say(Input::Closed { connection: 1 });
    let said: Vec<Output> = bench.pass(1000).into_iter().map(|(_, output)| output).collect();
    assert_eq!(dials(&said), [at(9, 1)]);
    bench.say(Input::Refused { at: at(9, 1) });
    let said: Vec<Output> = bench.pass(400_000).into_iter().map(|(_, output)| output).collect();
    assert_eq!(dials(&said), [at(9, 1)]);
    bench.say(Input::Refused { at: at(9, 1) });
    assert_eq!(bench.core.candidates(), 0, "an announcement that has run out is forgotten");
}

/// G-ERR-24: a member that connects again and again holds a bounded number of connections, its oldest goes.
#[test]
fn one_address_cannot_hold_all_connections() {
    let mut bench = Bench::new();
    let mut closed = Vec::new();
    for connection in 0..1000 {
        closed.extend(bench.say(Input::Accepted { from: *at(8, 0).ip(), connection }));
    }
    let config = AdjacencyConfig::default();
    assert_eq!(bench.core.connections(), config.per_address);
    assert_eq!(closed.iter().filter(|output| matches!(output, Output::Close(_))).count(), 1000 - config.per_address);
    bench.say(Input::Accepted { from: *at(9, 0).ip(), connection: 5000 });
    assert_eq!(bench.core.connections(), config.per_address + 1);
}

fn input() -> impl Strategy<Value = (u64, Input)> {
    let place = || (0..12_u16, 498..503_u16).prop_map(|(host, port)| at(host, port));
    let input = prop_oneof![
        4 => (place(), prop::option::of(0..300_u64)).prop_map(|(at, lifetime)| Input::Announced {
            at,
            lifetime: lifetime.map(Duration::from_secs),
        }),
        2 => (place(), 0..40_u64).prop_map(|(at, connection)| Input::Dialled { at, connection }),
        2 => place().prop_map(|at| Input::Refused { at }),
        2 => (place(), 0..40_u64).prop_map(|(at, connection)| Input::Accepted { from: *at.ip(), connection }),
        2 => (0..40_u64).prop_map(|connection| Input::Heard { connection }),
        1 => (0..40_u64).prop_map(|connection| Input::Closed { connection }),
    ];
    (0..20_000_u64, input)
}

proptest! {
    /// Whatever is heard: bounds hold, nobody is dialled twice at once, the core asks to be woken in time and comes to rest.
    #[test]
    fn any_sequence_keeps_the_bounds(inputs in prop::collection::vec(input(), 1..300)) {
        let config = AdjacencyConfig {
            candidates: 6, dials: 2, connections: 5, per_address: 2, ..AdjacencyConfig::default()
        };
        let mut bench = Bench::with(config.clone());
        let mut dialling: BTreeSet<SocketAddrV6> = BTreeSet::new();
        let mut open: BTreeMap<u64, ()> = BTreeMap::new();
        let mut next = 100;
        for (pause, mut input) in inputs {
            let mut said: Vec<Output> = bench.pass(pause).into_iter().map(|(_, output)| output).collect();
            match &mut input {
                // The actor numbers its connections once, and reports only attempts that were wanted.
                Input::Dialled { at, connection } => {
                    if !dialling.remove(at) { continue }
                    *connection = next;
                    open.insert(next, ());
                    next += 1;
                }
                Input::Refused { at } => if !dialling.remove(at) { continue },
                Input::Accepted { connection, .. } => {
                    *connection = next;
                    open.insert(next, ());
                    next += 1;
                }
                Input::Closed { connection } => drop(open.remove(connection)),
                Input::Announced { .. } | Input::Heard { .. } => {}
            }
            said.extend(bench.say(input));
            for output in said {
                match output {
                    Output::Dial(at) => prop_assert!(dialling.insert(at), "{at} is dialled twice"),
                    Output::Close(id) => drop(open.remove(&id)),
                    Output::Announce | Output::KeepAlive(_) => {}
                }
            }
            prop_assert!(dialling.len() <= config.dials);
            prop_assert!(bench.core.candidates() <= config.candidates);
            prop_assert!(bench.core.connections() <= config.connections);
            prop_assert!(bench.core.deadline().is_none_or(|due| due > t(bench.now)), "woken without end");
        }
    }
}
