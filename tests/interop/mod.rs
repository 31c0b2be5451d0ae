//! Gray and Briggs against their Python namesakes, on one link and across relays of either make; prefix managers against
//! theirs in `prefix`.
//!
//! Needs a checkout of the Python implementation in `GRASPY_DIR`, Python, and its packages `cbor`, `netifaces` and
//! `cryptography`. `ASA_INTEROP_SESSIONS` asks for so many negotiations in each cell of the matrix, at the pace of
//! people as far as the banks are concerned. `ASA_INTEROP_REPORT` names a file to which each cell adds a line.

mod dull;
mod prefix;
mod quads;
mod talk;
mod wire;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Write;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::{Child, Host, Lab, in_namespaces};
use quads::Group;
use talk::{End, Readings};
use wire::{Excuse, Passed, Wire};

/// What customers and banks talk about.
const OBJECTIVES: [&str; 3] = ["EX1", "EX2", "EX3"];
/// Negotiations of each cell, unless the environment asks for more.
const SHORT: usize = 3;
/// How long a program may take until it listens; a Python one shows an introduction first.
const START: Duration = Duration::from_secs(60);
/// How long one negotiation may take, and the readings around it: four pauses of a bank and some more.
const SESSION: Duration = Duration::from_secs(60);
/// How long the bank may take to notice that a customer has given up.
const SETTLE: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    Ours,
    Python,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OneLink,
    OurRelay,
    PythonRelay,
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Cell {
    place: Place,
    gray: Make,
    briggs: Make,
    sessions: usize,
    /// Banks take a tenth of the time.
    fast: bool,
    group: Group,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, gray, briggs, .. } = self;
        write!(f, "{place:?} {gray:?}-{briggs:?}{}", if self.group.is_some() { " in a group" } else { "" })
    }
}

#[test]
fn on_one_link() {
    matrix(Place::OneLink, None);
}

#[test]
fn across_our_relay() {
    matrix(Place::OurRelay, None);
}

#[test]
fn across_the_python_relay() {
    matrix(Place::PythonRelay, None);
}

/// A Python bank listens on another port after each start, and says ten minutes long that the old one is good.
#[test]
fn a_restarted_python_bank_is_found_again() {
    let Some(asked) = asked("restart") else { return };
    in_namespaces(|lab| {
        let outside = fs::read_link("/proc/self/ns/net").unwrap();
        let cell = Cell { place: Place::OneLink, gray: Make::Ours, briggs: Make::Python, fast: true, ..asked };
        let hosts = lab.lan(2);
        let first = cell.bank(&hosts[1], "e0", &outside);
        let gray = ours(&hosts[0], "gray", "e0", "fast", None, None);
        gray.wait_line("negotiation_ended", cell.limit());
        // Between negotiations, so that none is cut off.
        first.kill();
        let second = cell.bank(&hosts[1], "e0", &outside);
        let before = gray.lines().len();
        gray.wait_line_from(before, "negotiation_started", cell.limit());
        gray.wait_line_from(before, "negotiation_ended", cell.limit());
        let broken = talk::our_ends(&gray).into_iter().filter(|end| matches!(end, End::Failed(..)));
        assert_eq!(broken.collect::<Vec<_>>(), [], "{}\n{}", gray.output(), second.output());
    });
}

/// A cell with as many sessions as the environment asks for; says so where nothing can be run.
fn asked(what: &str) -> Option<Cell> {
    if std::env::var_os("GRASPY_DIR").is_none() {
        // Not eprintln!: libtest would swallow the line, since the test passes.
        let line = format!("SKIPPED interop, {what}: GRASPY_DIR names no checkout of the Python implementation\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return None;
    }
    let sessions = std::env::var("ASA_INTEROP_SESSIONS").ok().map(|count| count.parse().unwrap());
    let (sessions, fast) = (sessions.unwrap_or(SHORT), sessions.is_none());
    Some(Cell { place: Place::OneLink, gray: Make::Ours, briggs: Make::Ours, sessions, fast, group: None })
}

/// Runs the cells of one place side by side.
fn matrix(place: Place, group: Group) {
    let Some(asked) = asked(&format!("{place:?}")) else { return };
    in_namespaces(|_| {
        let outside = fs::read_link("/proc/self/ns/net").unwrap();
        let pairs = [(Make::Ours, Make::Python), (Make::Python, Make::Ours), (Make::Ours, Make::Ours)];
        let problems: Vec<String> = thread::scope(|scope| {
            let outside = &outside;
            let cells = pairs.map(|(gray, briggs)| {
                let cell = Cell { place, gray, briggs, group, ..asked };
                scope.spawn(move || cell.run(outside))
            });
            cells.into_iter().flat_map(|cell| cell.join().unwrap()).collect()
        });
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

/// What a cell amounts to.
struct Outcome {
    accepted: usize,
    declined: usize,
    impatient: usize,
    silent: usize,
    unexplained: usize,
    ex1: Readings,
    ex2: Readings,
    fetched: usize,
}

impl Cell {
    /// Gives the problems, each with the name of the cell.
    fn run(self, outside: &Path) -> Vec<String> {
        let mut lab = Lab::new();
        let (mut hosts, gray_interface, briggs_interface) = match self.place {
            Place::OneLink if self.group.is_some() => (lab.lan(4), "e0", "e0"),
            Place::OneLink => (lab.lan(2), "e0", "e0"),
            Place::OurRelay | Place::PythonRelay => (lab.line(3), "right", "left"),
        };
        let strangers =
            if hosts.len() > 3 { quads::strangers(&hosts.split_off(2), outside, self.limit()) } else { vec![] };
        let (first, last) = (&hosts[0], &hosts[hosts.len() - 1]);
        let (near, far) = (Wire::tap_in(first, self.group), Wire::tap_in(last, self.group));
        let ours: BTreeSet<Ipv6Addr> = hosts
            .iter()
            .enumerate()
            .filter(|(at, _)| self.is_ours(*at))
            .flat_map(|(_, h)| wire::addresses(h))
            .collect();

        let relay = match self.place {
            Place::OneLink => None,
            Place::OurRelay => {
                let arguments = ["relay", "--interface", "left", "--interface", "right", "--log-format", "json"];
                let relay = hosts[1].command(env!("CARGO_BIN_EXE_asa")).args(arguments);
                let relay = quads::ours_in(self.group, relay).spawn();
                relay.wait_line("\"ready\"", START);
                Some(relay)
            }
            Place::PythonRelay => {
                let relay = self.python(&hosts[1], outside, "relay", "1");
                relay.wait_line("relay ready", START);
                Some(relay)
            }
        };
        let briggs = self.bank(last, briggs_interface, outside);
        let gray = self.customer(first, gray_interface, outside);
        let gray_ends = self.play(&gray);
        let briggs_ends = self.settle(&briggs);
        let (near, far) = (near.stop(), far.stop());
        let heard = quads::undisturbed(self.group, &strangers);

        let mut problems = wire::faults(&near, &ours, &OBJECTIVES);
        problems.extend(wire::faults(&far, &ours, &OBJECTIVES));
        problems.extend(heard);
        for child in [Some(&gray), Some(&briggs), relay.as_ref()].into_iter().flatten() {
            problems.extend(talk::python_trouble(child));
        }
        let readings = |name| match self.gray {
            Make::Ours => talk::our_readings(&gray, name),
            Make::Python => talk::python_readings(&gray, name),
        };
        let counted = if self.gray == Make::Ours { &gray_ends } else { &briggs_ends };
        let outcome = self.count(counted, readings("EX1"), readings("EX2"), &near);
        problems.extend(self.judge(&outcome, &gray_ends, &briggs_ends, &near));
        self.report(&outcome);
        let files = [("gray", Some(&gray)), ("briggs", Some(&briggs)), ("relay", relay.as_ref())];
        let directory = self.keep(&files, &near);
        problems.into_iter().map(|problem| format!("{self}: {problem} (see {})", directory.display())).collect()
    }

    /// Whether the host of that number runs a program of ours.
    fn is_ours(self, host: usize) -> bool {
        match (host, self.place) {
            (0, _) => self.gray == Make::Ours,
            (1, Place::OurRelay) => true,
            (1, Place::PythonRelay) => false,
            _ => self.briggs == Make::Ours,
        }
    }

    fn limit(self) -> Duration {
        START + SESSION * u32::try_from(self.sessions).unwrap()
    }

    fn bank(self, host: &Host, interface: &str, outside: &Path) -> Child {
        match self.briggs {
            Make::Ours => {
                let pace = if self.fast { "fast" } else { "human" };
                let child = ours(host, "briggs", interface, pace, None, self.group);
                child.wait_line("\"ready\"", START);
                child
            }
            Make::Python => {
                let child = self.python(host, outside, "Briggs", if self.fast { "0.1" } else { "1" });
                child.wait_line("Ready to negotiate EX3", START);
                child
            }
        }
    }

    fn customer(self, host: &Host, interface: &str, outside: &Path) -> Child {
        match self.gray {
            Make::Ours => ours(host, "gray", interface, "fast", Some(self.sessions), self.group),
            Make::Python => self.python(host, outside, "Gray", "0.1"),
        }
    }

    fn python(self, host: &Host, outside: &Path, program: &str, scale: &str) -> Child {
        let runner = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/runner.py");
        let seconds = (self.limit() + START * 2).as_secs().to_string();
        let command = host.command("python3").args([runner, "--sleep-scale", scale, "--seconds", &seconds, program]);
        quads::python_in(self.group, command).env("ASA_INTEROP_OUTSIDE", outside).spawn()
    }

    /// Waits until the customer has had enough.
    fn play(self, gray: &Child) -> Vec<End> {
        match self.gray {
            Make::Ours => {
                let status = gray.finish(self.limit());
                assert!(status.success(), "{self}: our Gray: {status}\n{}", gray.output());
                talk::our_ends(gray)
            }
            Make::Python => {
                let deadline = Instant::now() + self.limit();
                loop {
                    let ends = talk::python_customer_ends(gray);
                    if ends.len() >= self.sessions {
                        gray.kill();
                        return talk::python_customer_ends(gray);
                    }
                    assert!(gray.exit_status().is_none(), "{self}: Gray has ended:\n{}", gray.output());
                    assert!(Instant::now() < deadline, "{self}: not enough sessions:\n{}", gray.output());
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// Waits until the bank knows of all ends, and ends it.
    fn settle(self, briggs: &Child) -> Vec<End> {
        let ends = || match self.briggs {
            Make::Ours => talk::our_ends(briggs),
            Make::Python => talk::python_bank_agreements(briggs),
        };
        let deadline = Instant::now() + if self.briggs == Make::Ours { SETTLE } else { Duration::from_secs(1) };
        while ends().len() < self.sessions && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
        if self.briggs == Make::Ours {
            briggs.signal(Signal::SIGTERM);
            let status = briggs.finish(Duration::from_secs(6));
            assert!(status.success(), "{self}: our Briggs: {status}");
        } else {
            briggs.kill();
        }
        ends()
    }

    fn count(self, ends: &[End], ex1: Readings, ex2: Readings, passed: &[Passed]) -> Outcome {
        let thinking = Duration::from_secs(if self.fast { 1 } else { 10 });
        let excuses = ends.iter().filter_map(|end| match end {
            End::Failed(session, _) => Some(session.and_then(|session| wire::excuse(passed, session, thinking))),
            End::Accepted(..) | End::Declined(_) => None,
        });
        let excuses: Vec<Option<Excuse>> = excuses.collect();
        let excused = |what| excuses.iter().filter(|excuse| **excuse == what).count();
        Outcome {
            accepted: ends.iter().filter(|end| matches!(end, End::Accepted(..))).count(),
            declined: ends.iter().filter(|end| matches!(end, End::Declined(_))).count(),
            impatient: excused(Some(Excuse::Impatience)),
            silent: excused(Some(Excuse::Silence)),
            unexplained: excused(None),
            ex1,
            ex2,
            fetched: wire::fetched(passed, "EX2"),
        }
    }

    /// What is wrong with the outcome.
    fn judge(self, outcome: &Outcome, gray: &[End], briggs: &[End], passed: &[Passed]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |what: &str, holds: bool| {
            if !holds {
                problems.push(format!("not so: {what}"));
            }
        };
        let agreements = |ends: &[End]| {
            let mut all: Vec<End> = ends.iter().filter(|end| matches!(end, End::Accepted(..))).cloned().collect();
            all.sort();
            all
        };
        demand("there were enough sessions", gray.len() >= self.sessions);
        demand("both ends agree on the same values", agreements(gray) == agreements(briggs));
        demand("no session ends by a time limit without an excuse", outcome.unexplained == 0);
        demand("nobody falls silent", outcome.silent == 0);
        if self.briggs == Make::Ours {
            demand("the bank knows of every session", briggs.len() == gray.len());
        }

        let (ex1, ex2) = (&outcome.ex1, &outcome.ex2);
        let good = |readings: &Readings| readings.iter().any(|(read, _)| *read);
        let first = |readings: &Readings| readings.first().is_some_and(|(read, _)| *read);
        demand("EX1 is read", good(ex1));
        demand("EX2 is read", good(ex2));
        demand("EX1 names the bank", ex1.iter().all(|(read, text)| !read || text.ends_with(" UTC from Briggs")));
        demand("EX2 has its value", ex2.iter().all(|(read, text)| !read || text == "[1, \"two\", 3]"));
        if self.place != Place::PythonRelay {
            demand("the first reading of our EX1 succeeds", self.briggs == Make::Python || first(ex1));
            demand("the first reading of EX2 succeeds", first(ex2));
        }
        match self.place {
            Place::OneLink => {
                // The Python customer keeps a value that came with a response; ours asks again.
                demand("a response brings EX2", wire::brought(passed, "EX2"));
                let again = usize::from(self.gray == Make::Ours);
                demand("the first reading of EX2 needs no request", outcome.fetched == again);
            }
            Place::OurRelay | Place::PythonRelay => demand("EX2 is asked for across a relay", outcome.fetched > 0),
        }
        problems
    }

    fn report(self, outcome: &Outcome) {
        let Outcome { accepted, declined, impatient, silent, unexplained, .. } = outcome;
        let read = |readings: &Readings| readings.iter().filter(|(read, _)| *read).count();
        let sessions = accepted + declined + impatient + silent + unexplained;
        let (ex1, ex2) = (read(&outcome.ex1), read(&outcome.ex2));
        let rapid = ex2.saturating_sub(outcome.fetched);
        let line = format!(
            "| {:?}{} | {:?} | {:?} | {sessions} | {accepted} | {declined} | {impatient} | {silent} | {unexplained} | {ex1}/{} | {rapid} | {} |\n",
            self.place,
            if self.group.is_some() { ", quads" } else { "" },
            self.gray,
            self.briggs,
            outcome.ex1.len(),
            outcome.fetched
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
        if let Some(path) = std::env::var_os("ASA_INTEROP_REPORT") {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
    }

    /// Keeps what was said and what passed.
    fn keep(self, files: &[(&str, Option<&Child>)], passed: &[Passed]) -> PathBuf {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(self.to_string());
        fs::create_dir_all(&directory).unwrap();
        for (name, child) in files {
            let output = child.map(Child::output).unwrap_or_default();
            fs::write(directory.join(format!("{name}.log")), output).unwrap();
        }
        let wire = passed.iter().map(|one| one.to_string() + "\n").collect::<String>();
        fs::write(directory.join("wire.log"), wire).unwrap();
        directory
    }
}

/// Starts one of our agents from its manifest.
fn ours(host: &Host, agent: &str, interface: &str, pace: &str, sessions: Option<usize>, group: Group) -> Child {
    let manifest = format!("{}/config/{agent}.toml", env!("CARGO_MANIFEST_DIR"));
    let pace = format!("asa.{agent}.parameters.pace={pace}");
    let arguments = ["run", &manifest, "--interface", interface, "--log-format", "json", "--set", &pace];
    let mut command = host.command(env!("CARGO_BIN_EXE_asa")).args(arguments);
    if let Some(sessions) = sessions {
        command = command.args(["--sessions", &sessions.to_string()]);
    }
    quads::ours_in(group, command).spawn()
}
