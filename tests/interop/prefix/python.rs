//! The Python prefix managers as processes, and what they say.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use asa_prefix::prefix::Prefix;

use super::super::quads::{self, Group};
use super::START;
use super::talk::said;
use crate::lab::{Child, Host};

/// Their own pauses, such as the 10 s between two rounds of asking, are so much shorter.
const SCALE: &str = "0.05";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Program {
    Pfxm3,
    Pfxm4,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pfxm3 => "pfxm3",
            Self::Pfxm4 => "pfxm4",
        })
    }
}

impl Program {
    /// Those it can be asked about.
    pub(super) fn objectives(self) -> [&'static str; 2] {
        [if self == Self::Pfxm3 { "PrefixManager" } else { "PrefixManagerT" }, "PrefixManager.Params"]
    }

    /// The form of our requests.
    pub(super) fn form(self) -> &'static str {
        if self == Self::Pfxm3 { "F2" } else { "F5" }
    }

    pub(super) fn tagged(self) -> &'static str {
        if self == Self::Pfxm3 { "false" } else { "true" }
    }

    /// What it says when it has got the parameters.
    pub(super) fn params(self) -> &'static str {
        "Results for PrefixManager.Params : [[['role', 'RSG'], ['prefix_length', 34]], [['role', 'ASG'], \
         ['prefix_length', 44]], [['role', 'CSG'], ['prefix_length', 56]]]"
    }
}

/// A running Python prefix manager.
pub(super) struct Python {
    pub(super) child: Child,
}

impl Python {
    /// One that asks, with a client who wants a /64 and a /26 whenever it has any.
    pub(super) fn delegator(host: &Host, outside: &Path, program: Program, limit: Duration) -> Self {
        Self::delegator_in(None, host, outside, program, limit)
    }

    pub(super) fn delegator_in(group: Group, host: &Host, outside: &Path, program: Program, limit: Duration) -> Self {
        Self::start_in(group, host, outside, program, "N;64;Y", SCALE, limit)
    }

    /// One that gives of 2001:db8::/32 and 10.0.0.0/8. It has IPv4 unless it is told "Y" when it asks for that.
    pub(super) fn origin(host: &Host, outside: &Path, program: Program, limit: Duration) -> Self {
        Self::origin_in(None, host, outside, program, limit)
    }

    pub(super) fn origin_in(group: Group, host: &Host, outside: &Path, program: Program, limit: Duration) -> Self {
        let origin = Self::start_in(group, host, outside, program, "Y;64;N;N", SCALE, limit);
        origin.child.wait_line("Ready to negotiate", START);
        origin
    }

    fn start_in(
        group: Group,
        host: &Host,
        outside: &Path,
        program: Program,
        answers: &str,
        scale: &str,
        limit: Duration,
    ) -> Self {
        let runner = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/runner.py");
        let (program, seconds) = (program.to_string(), (limit + START * 2).as_secs().to_string());
        let arguments = [runner, "--sleep-scale", scale, "--seconds", &seconds, "--answers", answers, &program];
        let command = quads::python_in(group, host.command("python3").args(arguments));
        Self { child: command.env("ASA_INTEROP_OUTSIDE", outside).spawn() }
    }

    /// What it says that it has obtained.
    pub(super) fn obtained(&self) -> Vec<Prefix> {
        let texts = said(&self.child).into_iter().map(|(_, text)| text);
        texts.filter_map(|text| text.strip_prefix("Obtained ")?.parse().ok()).collect()
    }

    /// What it says that it has given. Each negotiation has a thread of its own.
    pub(super) fn given(&self) -> Vec<Prefix> {
        let said = said(&self.child);
        let succeeded = said.iter().enumerate().filter(|(_, (_, text))| text == "Negotiation succeeded");
        let offered = |(at, (thread, _)): (usize, &(String, String))| {
            let own = said[..at].iter().rev().filter(|(other, _)| other == thread);
            own.filter_map(|(_, text)| text.strip_prefix("Offering ")).next()?.parse().ok()
        };
        succeeded.filter_map(offered).collect()
    }

    fn count(&self, starts: &[&str]) -> usize {
        said(&self.child).iter().filter(|(_, text)| starts.iter().any(|start| text.starts_with(start))).count()
    }

    /// Negotiations that ended by a decline.
    pub(super) fn declined(&self) -> usize {
        self.count(&["Peer declined:", "Refused prefix"])
    }

    /// Negotiations that ended without a last word.
    pub(super) fn failed(&self) -> usize {
        self.count(&["req_negotiate error:"])
    }

    /// Ends it in the pause between two rounds, so that nothing is under way.
    pub(super) fn stop_at_rest(&self) {
        let before = self.child.lines().len();
        self.child.wait_line_from(before, "IPv4 pool size", START);
        self.child.kill();
    }
}
