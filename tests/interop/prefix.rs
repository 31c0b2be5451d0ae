//! Prefix managers against the Python programs pfxm3, which follows RFC 8992, and pfxm4, which has the tags of RFC 9164.
//!
//! What `ASA_INTEROP_SESSIONS` counts here are prefixes that changed hands in each family.

mod cable;
mod late;
mod manager;
mod python;
mod unusual;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use asa_prefix::pool::record::State;
use asa_prefix::prefix::{Family, Prefix};

use super::asked;
use super::quads::Group;
use super::talk;
use super::wire::{self, Wire};
use crate::lab::{Lab, in_namespaces};
use manager::Manager;
pub(super) use python::Program;
use python::Python;

/// How long a program may take until it is ready.
const START: Duration = Duration::from_secs(60);
/// How long it may take until a prefix has changed hands.
const SESSION: Duration = Duration::from_secs(20);

/// Both families, as our origin has them.
const STOCK: [(&str, &str); 3] =
    [("prefixes", r#"["2001:db8::/32", "10.0.0.0/8"]"#), ("ipv4", "true"), ("prefix_manager_t", "true")];

/// PM-W-03, PM-W-12, PM-W-13, PM-P-13: both families, and the parameters.
#[test]
fn python_delegators_obtain_from_our_origin() {
    cells(&[(Program::Pfxm3, None), (Program::Pfxm4, None)], python_asks);
}

/// PM-W-03, PM-W-05, PM-P-04: both families; the parameters of the Python origin count.
#[test]
fn our_delegator_obtains_from_python_origins() {
    cells(&[(Program::Pfxm3, None), (Program::Pfxm4, None)], we_ask);
}

/// PM-W-13: one pool serves both dialects at once, and nothing is given twice.
#[test]
fn two_python_delegators_share_one_pool_of_ours() {
    cells(&[()], |(), count, outside| share(count, outside));
}

fn in_group(group: Group) -> &'static str {
    if group.is_some() { " in a group" } else { "" }
}

/// Runs cells side by side, each in a laboratory of its own.
pub(super) fn cells<T: Copy + Sync>(what: &[T], run: fn(T, usize, &Path) -> Vec<String>) {
    let Some(asked) = asked("prefix managers") else { return };
    in_namespaces(|_| {
        let outside = fs::read_link("/proc/self/ns/net").unwrap();
        let problems: Vec<String> = thread::scope(|scope| {
            let outside = &outside;
            let cells = what.iter().map(|one| scope.spawn(move || run(*one, asked.sessions, outside)));
            let cells: Vec<_> = cells.collect();
            cells.into_iter().flat_map(|cell| cell.join().unwrap()).collect()
        });
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

fn limit(count: usize) -> Duration {
    START + SESSION * u32::try_from(count).unwrap()
}

fn of(family: Family, blocks: &[Prefix]) -> usize {
    blocks.iter().filter(|block| block.family() == family).count()
}

fn enough(count: usize, blocks: &[Prefix]) -> bool {
    Family::ALL.into_iter().all(|family| of(family, blocks) >= count)
}

/// The problems of blocks that should not overlap.
fn overlaps(blocks: &[Prefix]) -> Vec<String> {
    let mut sorted = blocks.to_vec();
    sorted.sort();
    let pairs = sorted.windows(2).filter(|pair| pair[0].contains(&pair[1]));
    pairs.map(|pair| format!("{} and {} were both given", pair[0], pair[1])).collect()
}

/// A line of the table: who asks whom, what changed hands in each family, and how often it did not.
fn report(cell: &str, gained: &[Prefix], declined: usize, failed: usize) {
    let (v6, v4) = (of(Family::V6, gained), of(Family::V4, gained));
    let line = format!("| {cell} | {v6} | {v4} | {declined} | {failed} |\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("ASA_INTEROP_REPORT") {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Keeps what was said and what passed.
fn keep(cell: &str, logs: &[(&str, String)], passed: &[wire::Passed]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(cell);
    fs::create_dir_all(&directory).unwrap();
    for (name, log) in logs {
        fs::write(directory.join(format!("{name}.log")), log).unwrap();
    }
    fs::write(directory.join("wire.log"), passed.iter().map(|one| one.to_string() + "\n").collect::<String>()).unwrap();
    directory
}

/// Waits; gives a problem when that takes longer than `bound`.
#[must_use]
fn wait_until(what: &str, bound: Duration, mut ready: impl FnMut() -> bool) -> Vec<String> {
    let deadline = Instant::now() + bound;
    while !ready() {
        if Instant::now() > deadline {
            return vec![format!("not within {bound:?}: {what}")];
        }
        thread::sleep(Duration::from_millis(50));
    }
    Vec::new()
}

pub(super) fn python_asks((program, group): (Program, Group), count: usize, outside: &Path) -> Vec<String> {
    let cell = format!("{program} asks ours{}", in_group(group));
    let mut lab = Lab::new();
    let hosts = lab.lan(2);
    let tap = Wire::tap_in(&hosts[0], group);
    let origin = Manager::start_in(group, &hosts[0], "origin", &STOCK);
    let asker = Python::delegator_in(group, &hosts[1], outside, program, limit(count));
    let mut problems = wait_until("enough obtained", limit(count), || enough(count, &asker.obtained()));
    asker.stop_at_rest();
    let (log, records) = origin.end();
    let passed = tap.stop();

    let obtained = asker.obtained();
    problems.extend(wire::faults(&passed, &wire::addresses(&hosts[0]), &program.objectives()));
    problems.extend(talk::python_trouble(&asker.child));
    problems.extend(overlaps(&obtained));
    problems.extend(records.differences(&obtained));
    if !asker.child.output().contains(program.params()) {
        problems.push("the Python delegator has not got our parameters".to_owned());
    }
    report(&cell, &obtained, asker.declined(), asker.failed());
    let directory = keep(&cell, &[("python", asker.child.output()), ("ours", log)], &passed);
    problems.into_iter().map(|problem| format!("{cell}: {problem} (see {})", directory.display())).collect()
}

pub(super) fn we_ask((program, group): (Program, Group), count: usize, outside: &Path) -> Vec<String> {
    let cell = format!("ours asks {program}{}", in_group(group));
    let mut lab = Lab::new();
    let hosts = lab.lan(2);
    let tap = Wire::tap_in(&hosts[0], group);
    let giver = Python::origin_in(group, &hosts[1], outside, program, limit(count));
    let (v6_need, v4_need) = ((count * 16).to_string(), count.to_string());
    let parameters = [
        ("ipv4", "true"),
        ("ipv6_ask", "60"),
        ("ipv6_need", &v6_need),
        ("ipv4_ask", "24"),
        ("ipv4_need", &v4_need),
        ("prefix_manager_t", program.tagged()),
        ("ask_form", program.form()),
    ];
    let asker = Manager::start_in(group, &hosts[0], "delegator", &parameters);
    let mut problems = wait_until("enough obtained", limit(count), || enough(count, &giver.given()));
    // The last acceptance is settled, and nothing more is wanted.
    thread::sleep(Duration::from_secs(2));
    let (log, records) = asker.end();
    let passed = tap.stop();

    let given = giver.given();
    problems.extend(wire::faults(&passed, &wire::addresses(&hosts[0]), &program.objectives()));
    problems.extend(talk::python_trouble(&giver.child));
    problems.extend(overlaps(&given));
    let (acquired, given_set): (BTreeSet<_>, BTreeSet<_>) =
        (records.acquired().into_iter().collect(), given.iter().copied().collect());
    if acquired != given_set {
        problems.push(format!("{program} gave {given_set:?}, we have {acquired:?}"));
    }
    if !records.in_state("in-doubt").is_empty() {
        problems.push(format!("in doubt: {:?}", records.in_state("in-doubt")));
    }
    let (declined, failed) = manager::unsuccessful(&log);
    report(&cell, &given, declined, failed);
    let directory = keep(&cell, &[("python", giver.child.output()), ("ours", log)], &passed);
    problems.into_iter().map(|problem| format!("{cell}: {problem} (see {})", directory.display())).collect()
}

fn share(count: usize, outside: &Path) -> Vec<String> {
    let cell = "pfxm3 and pfxm4 ask ours";
    let mut lab = Lab::new();
    let hosts = lab.lan(3);
    let tap = Wire::tap(&hosts[0]);
    let origin = Manager::start(&hosts[0], "origin", &STOCK);
    let askers = [(1, Program::Pfxm3), (2, Program::Pfxm4)]
        .map(|(host, program)| Python::delegator(&hosts[host], outside, program, limit(count)));
    let mut problems = Vec::new();
    for asker in &askers {
        problems.extend(wait_until("enough obtained", limit(count), || enough(count, &asker.obtained())));
    }
    askers.iter().for_each(Python::stop_at_rest);
    let (log, records) = origin.end();
    let passed = tap.stop();

    let obtained: Vec<Prefix> = askers.iter().flat_map(Python::obtained).collect();
    problems.extend(wire::faults(&passed, &wire::addresses(&hosts[0]), &["PrefixManager", "PrefixManagerT"]));
    problems.extend(askers.iter().flat_map(|asker| talk::python_trouble(&asker.child)));
    problems.extend(overlaps(&obtained));
    problems.extend(records.differences(&obtained));
    for (asker, host) in askers.iter().zip(&hosts[1..]) {
        let theirs = wire::addresses(host);
        let granted = records.blocks(|state| {
            let State::Granted(dealt) = state else { return false };
            dealt.deal.peer.parse().is_ok_and(|peer| theirs.contains(&peer))
        });
        let got: BTreeSet<Prefix> = asker.obtained().into_iter().collect();
        if granted.iter().copied().collect::<BTreeSet<_>>() != got {
            problems.push(format!("{} has {got:?}, the ledger says {granted:?}", host.name()));
        }
    }
    let (declined, failed) = (askers.iter().map(Python::declined).sum(), askers.iter().map(Python::failed).sum());
    report(cell, &obtained, declined, failed);
    let logs = [("pfxm3", askers[0].child.output()), ("pfxm4", askers[1].child.output()), ("ours", log)];
    let directory = keep(cell, &logs, &passed);
    problems.into_iter().map(|problem| format!("{cell}: {problem} (see {})", directory.display())).collect()
}
