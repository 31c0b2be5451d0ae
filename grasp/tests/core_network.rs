//! Discovery over random networks of cores, each edge a link of its own: RFC 8990 §2.5.4.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::protocol::discovery::{Discovery, Input, Output, Question, Scope};
use grasp::protocol::{Announcement, AsaHandle, LinkId, LinkInfo, Topology};
use grasp::wire::Objective;
use proptest::prelude::*;
use support::*;

struct Network {
    nodes: Vec<Driver<Discovery>>,
    edges: Vec<(usize, usize)>,
    /// From which node, on which link, what.
    wire: Vec<(usize, LinkId, Vec<u8>)>,
    /// Links that have carried a multicast, by node; a link appears once only.
    multicasts: Vec<Vec<LinkId>>,
}

fn number(n: usize) -> u16 {
    u16::try_from(n).unwrap() + 1
}

impl Network {
    fn new(count: usize, edges: Vec<(usize, usize)>, asker_has_address: bool) -> Self {
        let nodes = (0..count).map(|n| {
            let mine = (1u32..).zip(&edges).filter(|(_, (a, b))| *a == n || *b == n);
            let links = mine.map(|(id, _)| LinkInfo { id, address: lla(number(n)) }).collect();
            let global = (n != 0 || asker_has_address).then(|| gua(number(n)));
            let mut node = Driver::discovery(&[]);
            node.feed(Input::Topology(Topology { links, global, port: 7017, stable_port: true }));
            node
        });
        Self { nodes: nodes.collect(), edges, wire: Vec::new(), multicasts: vec![Vec::new(); count] }
    }

    fn take(&mut self, who: usize, outputs: Vec<Output>) -> Result<(), TestCaseError> {
        for output in outputs {
            match output {
                Output::Multicast { link, bytes } => {
                    prop_assert!(!self.multicasts[who].contains(&link), "node {who} relays twice on {link}");
                    self.multicasts[who].push(link);
                    self.wire.push((who, link, bytes));
                }
                Output::Respond { link, bytes, .. } => self.wire.push((who, link, bytes)),
                Output::Found { .. } | Output::Release(_) => {}
            }
        }
        Ok(())
    }

    /// Delivers in order, or in an order that `seed` shuffles.
    fn run(&mut self, mut seed: u64) -> Result<(), TestCaseError> {
        let mut moved = 0;
        while !self.wire.is_empty() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005);
            let pick = usize::try_from(seed >> 33).unwrap() % self.wire.len();
            let (from, link, raw) = self.wire.remove(pick);
            let (a, b) = self.edges[link as usize - 1];
            let to = if a == from { b } else { a };
            let outputs = self.nodes[to].hear_raw(link, source(number(from), link), &raw);
            self.take(to, outputs)?;
            moved += 1;
            prop_assert!(moved < 2_000, "the network does not go quiet");
        }
        Ok(())
    }

    fn distances(&self) -> Vec<usize> {
        let mut distance = vec![usize::MAX; self.nodes.len()];
        distance[0] = 0;
        for _ in 0..self.nodes.len() {
            for (a, b) in self.edges.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]) {
                distance[b] = distance[b].min(distance[a].saturating_add(1));
            }
        }
        distance
    }
}

proptest! {
    /// G-DREL-08, G-DREL-10, G-DREL-12, G-DREL-14, G-DREL-18, G-DISC-19, G-DISC-21, G-DIVT-04: on any network a question
    /// goes quiet, is multicast at most once on each link by each node, and finds who is within its loop count.
    #[test]
    fn question_finds_what_is_in_range_and_goes_quiet(
        count in 2usize..8,
        raw in prop::collection::vec((0usize..8, 0usize..8), 1..14),
        target in 1usize..8,
        loop_count in 1u8..7,
        asker_has_address in any::<bool>(),
        order in prop_oneof![Just(0u64), any::<u64>()],
    ) {
        let edges: Vec<_> = raw.into_iter().map(|(a, b)| (a % count, b % count)).filter(|(a, b)| a != b).collect();
        let mut network = Network::new(count, edges, asker_has_address);
        let target = target.min(count - 1);
        let announcement = Announcement { ttl: 60_000, local: false, asas: [AsaHandle(9)].into(), rapid: None };
        network.nodes[target].feed(Input::Local { name: "x".into(), announcement: Some(announcement) });
        let outputs = network.nodes[0].feed(Input::Discover(Question {
            request: 1,
            asker: AsaHandle(1),
            objective: Objective::discovery("x").with_loop_count(loop_count),
            session_ids: vec![7],
            timeout: ms(10_000),
            minimum_ttl: None,
            scope: Scope::All,
            direct_only: false,
        }));
        network.take(0, outputs)?;
        network.run(order)?;
        let distance = network.distances()[target];
        let results: Vec<_> = network.nodes[0].run_to(at(10_000)).into_iter().map(|(_, output)| output).collect();
        let locators: Vec<_> = found(&results).remove(0).1.locators.into_iter().map(|l| l.locator).collect();
        prop_assert!(locators.iter().all(|locator| *locator == tcp(gua(number(target)), 7017)));
        prop_assert!(locators.is_empty() || distance <= usize::from(loop_count));
        if order == 0 {
            prop_assert_eq!(!locators.is_empty(), distance <= usize::from(loop_count), "distance {}", distance);
        }
    }
}
