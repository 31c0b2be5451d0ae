//! Our prefix manager as a process, and what its store says after its end.

use std::collections::BTreeSet;
use std::time::Duration;

use asa_prefix::pool::record::{Record, Source, State};
use asa_prefix::prefix::Prefix;
use asa_prefix::store::{Options, SledStore, check, export, parse_export};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::super::quads::{self, Group};
use super::START;
use crate::lab::{Child, Host};

/// A running prefix manager of ours, whose pool is on disk.
pub(super) struct Manager {
    pub(super) child: Child,
    directory: TempDir,
}

impl Manager {
    pub(super) fn start(host: &Host, role: &str, parameters: &[(&str, &str)]) -> Self {
        Self::start_in(None, host, role, parameters)
    }

    pub(super) fn start_in(group: Group, host: &Host, role: &str, parameters: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let manager = Self::begin(group, host, role, parameters, directory);
        manager.child.wait_line("\"ready\"", START);
        manager
    }

    fn begin(group: Group, host: &Host, role: &str, parameters: &[(&str, &str)], directory: TempDir) -> Self {
        if role == "origin" {
            drop(SledStore::create(&directory.path().join("prefix"), Options::default()).unwrap());
        }
        let manifest = format!("{}/config/prefix-{role}.toml", env!("CARGO_MANIFEST_DIR"));
        let state = format!("node.state_directory={}", directory.path().display());
        let arguments = ["run", &manifest, "--interface", "e0", "--log-format", "json", "--set", &state];
        let mut command = host.command(env!("CARGO_BIN_EXE_asa")).args(arguments);
        for (key, value) in parameters {
            command = command.args(["--set", &format!("asa.prefix.parameters.{key}={value}")]);
        }
        let child = quads::ours_in(group, command).env("XDG_RUNTIME_DIR", directory.path()).spawn();
        Self { child, directory }
    }

    /// Ends it in order; gives what it has said, and what it has kept.
    pub(super) fn end(self) -> (String, Records) {
        self.child.signal(Signal::SIGTERM);
        let status = self.child.finish(Duration::from_secs(10));
        assert!(status.success(), "our manager: {status}\n{}", self.child.output());
        let mut text = Vec::new();
        export(&self.directory.path().join("prefix"), Options::default(), &mut text).unwrap();
        (self.child.output(), Records(parse_export(&text[..]).unwrap()))
    }
}

/// Negotiations that were declined, and those that failed, in what one of ours has said.
pub(super) fn unsuccessful(log: &str) -> (usize, usize) {
    let events = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let ended: Vec<_> = events.filter(|event| event["event"] == "negotiation_ended").collect();
    let count = |outcome: &str| ended.iter().filter(|event| event["outcome"] == outcome).count();
    (count("declined"), count("failed"))
}

/// What a store holds.
pub(super) struct Records(Vec<Record>);

impl Records {
    /// Blocks whose state is so.
    pub(super) fn blocks(&self, wanted: impl Fn(&State) -> bool) -> Vec<Prefix> {
        let wanted = |record: &Record| match record {
            Record::Block { block, state } if wanted(state) => Some(*block),
            _ => None,
        };
        self.0.iter().filter_map(wanted).collect()
    }

    pub(super) fn in_state(&self, name: &str) -> Vec<Prefix> {
        self.blocks(|state| state.name() == name)
    }

    /// What came from peers.
    pub(super) fn acquired(&self) -> Vec<Prefix> {
        let acquired = |record: &Record| match record {
            Record::Aggregate { block, source: Source::Peer(_), .. } => Some(*block),
            _ => None,
        };
        self.0.iter().filter_map(acquired).collect()
    }

    /// What is wrong with a pool that gave exactly this, and with the store itself.
    pub(super) fn differences(&self, given: &[Prefix]) -> Vec<String> {
        let mut problems: Vec<String> = check(&self.0).iter().map(|problem| format!("{problem:?}")).collect();
        let granted: BTreeSet<Prefix> = self.in_state("granted").into_iter().collect();
        let given: BTreeSet<Prefix> = given.iter().copied().collect();
        if granted != given {
            let (lost, more) = (given.difference(&granted), granted.difference(&given));
            let (lost, more): (Vec<_>, Vec<_>) = (lost.collect(), more.collect());
            problems.push(format!("obtained but not in our ledger: {lost:?}; in our ledger only: {more:?}"));
        }
        for name in ["in-doubt", "held", "offered"] {
            let left = self.in_state(name);
            if !left.is_empty() {
                problems.push(format!("{name}: {left:?}"));
            }
        }
        problems
    }
}
