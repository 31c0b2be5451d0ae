//! Whole nodes in a network where everything fails, at every step of every block: nothing is given to two owners, and
//! nothing is lost (PM-S-01 to PM-S-23, PM-T-01 to PM-T-06, PM-R-11).
//!
//! `ASA_SIM_SEEDS=10000 cargo test --release -p asa-prefix --test simulation` runs so many rings on all cores;
//! `ASA_SIM_SEED` begins at another seed. A violation tells how to replay it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::wildcard_enum_match_arm)]
#![allow(clippy::print_stdout, reason = "what a run has done is for whoever has started it")]

mod check;
mod driver;
mod lab;
mod label;
mod report;
mod scenario;
mod store;
mod world;

use lab::Sabotage;
use report::Report;
use scenario::{Scenario, Topology};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use world::World;

/// What a run has come to.
struct Outcome {
    report: Report,
    violation: Option<String>,
}

fn run(scenario: Scenario) -> Outcome {
    hush();
    let system = actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(async {
        let replay = scenario.replay();
        let world = World::new(scenario);
        world.begin();
        let course = async {
            world.storm().await?;
            world.rest().await
        };
        let result = tokio::time::timeout(Duration::from_secs(7200), course).await;
        let result = result.unwrap_or_else(|_| Err("the run does not end".into()));
        let mut report = world.lab.lock().report.clone();
        report.runs = 1;
        report.simulated = world.lab.begun.elapsed();
        let violation =
            result.err().map(|what| format!("{}\nVIOLATION: {what}\nreplay: {replay}\n", world.lab.story()));
        world.end().await;
        Outcome { report, violation }
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Panics that are ordered are not told of.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<&str>();
            if !text.is_some_and(|text| text.starts_with("drill")) {
                tell(info);
            }
        }));
    });
}

/// Runs seeds on all cores, until the first violation.
fn many(seeds: std::ops::Range<u64>, topology: Topology, sabotage: Sabotage) -> (Report, Option<String>) {
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new((Report::default(), None::<(u64, String)>));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || sum.lock().unwrap().1.is_some() {
                        return;
                    }
                    let begun = std::time::SystemTime::now();
                    let outcome = run(Scenario::new(seed, topology, sabotage));
                    let (took, simulated) = (begun.elapsed().unwrap_or_default(), outcome.report.simulated);
                    println!("{} seed {seed}: {simulated:.1?} in {took:.1?}", topology.name());
                    let mut sum = sum.lock().unwrap();
                    sum.0.add(&outcome.report);
                    if let Some(violation) = outcome.violation
                        && sum.1.as_ref().is_none_or(|(other, _)| seed < *other)
                    {
                        sum.1 = Some((seed, violation));
                    }
                }
            });
        }
    });
    let (report, violation) = sum.into_inner().unwrap();
    (report, violation.map(|(_, text)| text))
}

fn proven(name: &str, topology: Topology, seeds: u64, labels: bool) {
    let first = number("ASA_SIM_SEED").unwrap_or(1);
    // A graph is as much work as many rings.
    let share = if labels { 1 } else { 50 };
    let seeds = number("ASA_SIM_SEEDS").map_or(seeds, |seeds| seeds.div_ceil(share));
    let begun = std::time::SystemTime::now();
    let (report, violation) = many(first..first + seeds, topology, Sabotage::None);
    println!("{name}: {:.1} s\n{}", begun.elapsed().unwrap_or_default().as_secs_f64(), report.table());
    if let Some(violation) = violation {
        panic!("{violation}");
    }
    if labels {
        assert_eq!(report.missed(), Vec::<&str>::new(), "steps at which no node was struck");
    }
}

/// PM-S-01, PM-S-02, PM-S-03 to PM-S-14, PM-S-18, PM-S-19, PM-S-21, PM-S-22, PM-T-03
#[test]
fn rings_lose_nothing_and_give_nothing_twice() {
    proven("rings", Topology::Rings, 60, true);
}

/// PM-S-02
#[test]
fn large_graphs_lose_nothing_and_give_nothing_twice() {
    proven("graphs", Topology::Graph(50), 2, false);
}

fn caught(sabotage: Sabotage) {
    let (report, violation) = many(1..101, Topology::Rings, sabotage);
    let violation = violation.unwrap_or_else(|| panic!("{sabotage:?} is not found within {} runs", report.runs));
    assert!(violation.contains("replay:"), "{violation}");
}

/// PM-S-03: a store that promises too early is found out.
#[test]
fn an_acknowledgement_before_the_disk_has_it_is_found() {
    caught(Sabotage::EarlyAcknowledgement);
}

/// PM-S-05: a restart that forgets its offers is found out.
#[test]
fn offers_that_a_restart_frees_are_found() {
    caught(Sabotage::FreeOnRestart);
}

/// PM-S-18: who decides by age is found out.
#[test]
fn doubts_that_age_ends_in_favour_of_the_provider_are_found() {
    caught(Sabotage::FreeOnTimeout);
}

/// PM-S-18
#[test]
fn doubts_that_age_ends_in_favour_of_the_taker_are_found() {
    caught(Sabotage::TakenOnTimeout);
}

/// The same seed takes the same course.
#[test]
fn a_seed_repeats_itself() {
    let course = || run(Scenario::new(4, Topology::Rings, Sabotage::None)).report.fingerprint();
    assert_eq!(course(), course());
}

/// Runs one seed of `ASA_SIM_SEED` and `ASA_SIM_TOPOLOGY` again.
#[test]
fn replay() {
    let Some(seed) = number("ASA_SIM_SEED") else { return };
    let topology = match std::env::var("ASA_SIM_TOPOLOGY").unwrap_or_default().strip_prefix("graph") {
        Some(nodes) => Topology::Graph(nodes.parse().unwrap()),
        None => Topology::Rings,
    };
    let sabotage = match std::env::var("ASA_SIM_SABOTAGE").as_deref() {
        Ok("EarlyAcknowledgement") => Sabotage::EarlyAcknowledgement,
        Ok("FreeOnRestart") => Sabotage::FreeOnRestart,
        Ok("FreeOnTimeout") => Sabotage::FreeOnTimeout,
        Ok("TakenOnTimeout") => Sabotage::TakenOnTimeout,
        _ => Sabotage::None,
    };
    let outcome = run(Scenario::new(seed, topology, sabotage));
    println!("{}fingerprint {:016x}", outcome.report.table(), outcome.report.fingerprint());
    if let Some(violation) = outcome.violation {
        panic!("{violation}");
    }
}
