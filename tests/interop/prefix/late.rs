//! Acceptances that come when the other side may have stopped waiting: pfxm3 waits for one second (PM-S-07 to PM-S-10).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use asa_prefix::prefix::Prefix;
use grasp::wire::{EndOption, Message};

use super::cable::{Rule, SlowCable};
use super::manager::Manager;
use super::python::{Program, Python};
use super::wire::{Passed, Wire};
use super::{START, asked, keep, overlaps, report, wait_until};
use crate::lab::{Lab, in_namespaces};

/// When the acceptance arrives after the offer has left.
const DELAYS: [u64; 4] = [900, 990, 1010, 1500];
/// Runs with each delay.
const RUNS: usize = 5;

/// PM-S-09, PM-S-10: what is adopted is exactly what pfxm3 has counted, whenever the acceptance reaches it.
#[test]
fn a_late_acceptance_of_ours_makes_no_second_owner() {
    runs(&DELAYS, we_accept_late);
}

/// PM-S-07: a late acceptance is honoured, or the block stays in doubt; nobody else gets it.
#[test]
fn a_late_acceptance_of_pfxm3_makes_no_second_owner() {
    // Our time limit is 30 s.
    runs(&[900, 990, 1010, 1500, 33_000], pfxm3_accepts_late);
}

fn runs(delays: &[u64], run: fn(Duration, &Path) -> Vec<String>) {
    let Some(asked) = asked("late acceptances") else { return };
    let runs = if asked.sessions > RUNS { RUNS } else { 1 };
    in_namespaces(|_| {
        let outside = fs::read_link("/proc/self/ns/net").unwrap();
        let mut problems = Vec::new();
        for _ in 0..runs {
            problems.extend(thread::scope(|scope| {
                let outside = &outside;
                let cells = delays.iter().map(|delay| scope.spawn(|| run(Duration::from_millis(*delay), outside)));
                let cells: Vec<_> = cells.collect();
                cells.into_iter().flat_map(|cell| cell.join().unwrap()).collect::<Vec<String>>()
            }));
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

/// Holds the first acceptance back.
fn first_acceptance(delay: Duration) -> Rule {
    let mut session = None;
    Box::new(move |passed: &Passed| match &passed.message {
        Some(Message::End { session_id, option: EndOption::Accept }) => {
            (*session.get_or_insert(*session_id) == *session_id).then_some(delay)
        }
        _ => None,
    })
}

fn we_accept_late(delay: Duration, outside: &Path) -> Vec<String> {
    let cell = format!("ours accepts pfxm3 {delay:?} after its offer");
    let mut lab = Lab::new();
    let (hosts, cable) = SlowCable::between(&mut lab, ["ours", "python"], first_acceptance(delay));
    let tap = Wire::tap(&hosts[0]);
    let giver = Python::origin(&hosts[1], outside, Program::Pfxm3, START * 2);
    let asker = Manager::start(&hosts[0], "delegator", &[("ipv6_ask", "60"), ("ipv6_need", "48")]);
    let mut problems = wait_until("three prefixes", START, || giver.given().len() >= 3);
    thread::sleep(Duration::from_secs(2));
    let (log, records) = asker.end();
    let passed = tap.stop();
    drop(cable);

    let (acquired, given) = (records.acquired(), giver.given());
    let unknown = records.in_state("in-doubt");
    problems.extend(overlaps(&given));
    if acquired.iter().collect::<BTreeSet<_>>() != given.iter().collect::<BTreeSet<_>>() {
        problems.push(format!("pfxm3 gave {given:?}, we have {acquired:?}, in doubt {unknown:?}"));
    }
    let refused = giver.child.output().matches("Failed").count();
    let name = format!("{cell}: not counted {refused}, in doubt {}", unknown.len());
    let (declined, failed) = super::manager::unsuccessful(&log);
    report(&name, &acquired, declined, failed);
    let directory = keep(&cell, &[("python", giver.child.output()), ("ours", log)], &passed);
    problems.into_iter().map(|problem| format!("{cell}: {problem} (see {})", directory.display())).collect()
}

fn pfxm3_accepts_late(delay: Duration, outside: &Path) -> Vec<String> {
    let cell = format!("pfxm3 accepts ours {delay:?} after our offer");
    let mut lab = Lab::new();
    let (hosts, cable) = SlowCable::between(&mut lab, ["ours", "python"], first_acceptance(delay));
    let tap = Wire::tap(&hosts[0]);
    let origin = Manager::start(&hosts[0], "origin", &super::STOCK);
    let asker = Python::delegator(&hosts[1], outside, Program::Pfxm3, START * 3);
    let mut problems = wait_until("three prefixes", START * 2, || asker.obtained().len() >= 3);
    asker.stop_at_rest();
    // What was held back has come, and our time limit is over.
    thread::sleep(delay + Duration::from_secs(1));
    let (log, records) = origin.end();
    let passed = tap.stop();
    drop(cable);

    let obtained = asker.obtained();
    problems.extend(overlaps(&obtained));
    let (granted, doubted) = (records.in_state("granted"), records.in_state("in-doubt"));
    let known: BTreeSet<Prefix> = granted.iter().chain(&doubted).copied().collect();
    if known != obtained.iter().copied().collect() {
        problems.push(format!("pfxm3 has {obtained:?}, we say granted {granted:?}, in doubt {doubted:?}"));
    }
    let (declined, failed) = super::manager::unsuccessful(&log);
    report(&format!("{cell}: in doubt {}", doubted.len()), &granted, declined, failed);
    let directory = keep(&cell, &[("python", asker.child.output()), ("ours", log)], &passed);
    problems.into_iter().map(|problem| format!("{cell}: {problem} (see {})", directory.display())).collect()
}
