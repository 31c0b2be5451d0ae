//! Flooding on a fabric without latency: what a hop costs, and how many floods a second pass a relay.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark fails loudly, prints its results and exports nothing"
)]

#[path = "common/domain.rs"]
mod domain;

use actix::System;
use criterion::{Criterion, criterion_group, criterion_main};
use grasp::net::memory::{Conditions, Fabric, FabricNode};
use grasp::protocol::discovery::DiscoveryConfig;
use grasp::protocol::flood::{FloodConfig, Flooded};
use grasp::protocol::rate::RelayRate;
use grasp::substrate::quads::GroupKey;
use grasp::substrate::{Carrier, InsecureLab, Quads, Substrate};
use grasp::wire::Limits;
use grasp::{Asa, Grasp, NodeConfig, Objective, Registration, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

/// Relays in the long line.
const RELAYS: usize = 10;
/// Floods under way at once where the number in a second is measured.
const BURST: u64 = 32;
/// Batches of which the median is printed.
const BATCHES: usize = 101;

fn node(name: &str, place: &FabricNode, substrate: Arc<dyn Substrate>) -> Grasp {
    // As fast as it can: no limits of rate.
    let fast = RelayRate { per_second: 1_000_000_000, burst: u32::MAX };
    let flood =
        FloodConfig { relay_rate: fast, interval: Duration::from_nanos(1), burst: u32::MAX, ..FloodConfig::default() };
    let discovery = DiscoveryConfig { relay_rate: fast, ..DiscoveryConfig::default() };
    let config = NodeConfig { name: name.into(), flood, discovery, ..NodeConfig::default() };
    Grasp::start(config, Arc::new(place.clone()), substrate).unwrap()
}

fn objective() -> Objective {
    Objective::synchronization("32473:bf").with_loop_count(32)
}

/// A line of two ends and relays between them.
struct Line {
    from: Asa,
    to: Asa,
    heard: Receiver<Flooded>,
    count: u64,
}

impl Line {
    /// Nodes whose messages are protected by the two substrates in turn.
    async fn new(relays: usize, substrates: &[Arc<dyn Substrate>; 2]) -> Self {
        let of = |at: usize| substrates[at % 2].clone();
        let fabric = Fabric::new(1);
        let links: Vec<_> = (0..=relays).map(|_| fabric.link(Conditions::default())).collect();
        let from = node("from", &fabric.node(&links[..1]), of(0));
        let mut between = Vec::new();
        for (at, pair) in links.windows(2).enumerate() {
            between.push(node("relay", &fabric.node(pair), of(at + 1)));
        }
        let to = node("to", &fabric.node(&links[relays..]), of(relays + 1));
        if substrates[0].carrier() == Carrier::Connections {
            for (node, neighbours) in between.iter().map(|relay| (relay, 2)).chain([(&from, 1), (&to, 1)]) {
                while node.neighbours().await.unwrap().0.len() < neighbours {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        let (from, to) = (from.register_asa("from").await.unwrap(), to.register_asa("to").await.unwrap());
        from.register_objective(&objective(), Registration::default()).await.unwrap();
        let heard = to.watch_flood(&objective()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        Self { from, to, heard, count: 0 }
    }

    /// Floods `count` values together and waits until the other end has the last.
    async fn flood(&mut self, count: u64) -> Duration {
        let begin = Instant::now();
        for _ in 0..count {
            self.count += 1;
            let value = objective().with_value(Value::item(&self.count).unwrap());
            self.from.flood(60_000, vec![(value, None)]).await.unwrap();
        }
        for _ in 0..count {
            self.heard.recv().await.unwrap();
        }
        let copies = self.to.get_flood(&objective()).await.unwrap();
        let time = begin.elapsed();
        assert_eq!(copies[0].objective.value.as_ref().unwrap().decode::<u64>().unwrap(), self.count);
        time
    }

    /// The median time of one flood out of batches of `count`.
    async fn typical(&mut self, count: u64) -> f64 {
        let mut times = Vec::new();
        for _ in 0..BATCHES {
            times.push(self.flood(count).await);
        }
        times.sort_unstable();
        times[BATCHES / 2].as_secs_f64() * 1e6 / count as f64
    }
}

fn flood(criterion: &mut Criterion) {
    let system = System::new();
    let clear = [0; 2].map(|_| Arc::new(InsecureLab) as Arc<dyn Substrate>);
    let [mut none, mut one, mut many] = system
        .block_on(async { [Line::new(0, &clear).await, Line::new(1, &clear).await, Line::new(RELAYS, &clear).await] });
    if std::env::args().any(|argument| argument == "--bench") {
        let quads = [0; 2]
            .map(|_| Arc::new(Quads::new(GroupKey::from_bytes([7; 32]), Limits::default())) as Arc<dyn Substrate>);
        let mut clear_hop = None;
        for (kind, substrates) in [("clear text", &clear), ("QUADS", &quads), ("TLS", &domain::members(64))] {
            let (near, far) = system.block_on(async {
                let (mut none, mut many) = (Line::new(0, substrates).await, Line::new(RELAYS, substrates).await);
                (none.typical(1).await, many.typical(1).await)
            });
            let hop = (far - near) / RELAYS as f64;
            let of = hop / *clear_hop.get_or_insert(hop);
            println!(
                "FLOOD to get-flood, {kind}: {near:.1} us without a relay, {far:.1} us across {RELAYS}, {hop:.2} us each, {of:.2} of clear text"
            );
        }
        let (near, far) = system.block_on(async { (none.typical(BURST).await, one.typical(BURST).await) });
        let (line, relay) = (1e6 / far, 1e6 / (far - near));
        println!(
            "FLOOD rate: {line:.0}/s through a line with one relay, ends included; {relay:.0}/s for the relay alone"
        );
    }
    let mut group = criterion.benchmark_group("flood");
    group.bench_function(format!("to get-flood across {RELAYS} relays"), |bencher| {
        bencher.iter_custom(|count| {
            system.block_on(async {
                let mut time = Duration::ZERO;
                for _ in 0..count {
                    time += many.flood(1).await;
                }
                time
            })
        });
    });
    group.throughput(criterion::Throughput::Elements(BURST));
    group.bench_function("through one relay", |bencher| {
        bencher.iter_custom(|count| {
            system.block_on(async {
                let mut time = Duration::ZERO;
                for _ in 0..count {
                    time += one.flood(BURST).await;
                }
                time
            })
        });
    });
    group.finish();
}

criterion_group!(
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2)).configure_from_args();
    targets = flood
);
criterion_main!(benches);
