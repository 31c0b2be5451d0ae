//! The operator's programs, with real ones (PM-D-06).

use crate::nodes::{Lab, node, p, v6};
use asa_framework::testing::Harness;
use grasp::net::memory::Conditions;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Longest that a program may take to be run.
const LIMIT: Duration = Duration::from_secs(30);

/// Notes its arguments, and fails as long as there is a file of the name `broken` beside it.
const PROGRAM: &str = r#"#!/bin/sh
here=$(dirname "$0")
{ printf '%s|' "$@"; echo; } >> "$here/log"
if [ -e "$here/broken" ]; then echo 'no route' >&2; exit 3; fi
"#;

/// A program, and what it has been run with.
struct Tool {
    directory: TempDir,
}

impl Tool {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let text = directory.path().join("text");
        std::fs::write(&text, PROGRAM).unwrap();
        let tool = Self { directory };
        // Written by another process: a descriptor of this one could be inherited by a child of another test, and then the
        // system does not run the program.
        let installed = Command::new("install").args(["-m", "755"]).arg(text).arg(tool.program()).status().unwrap();
        assert!(installed.success());
        tool
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.path("program")
    }

    fn breaks(&self, broken: bool) {
        let flag = self.path("broken");
        if broken { std::fs::write(flag, "").unwrap() } else { std::fs::remove_file(flag).unwrap() }
    }

    /// How it has been run so far.
    fn log(&self) -> Vec<String> {
        std::fs::read_to_string(self.path("log")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The same, as soon as it has been run so often.
    async fn runs(&self, times: usize) -> Vec<String> {
        let waits = async {
            while self.log().len() < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let ended = tokio::time::timeout(LIMIT, waits).await;
        assert!(ended.is_ok(), "not run {times} times within {LIMIT:?}: {:?}", self.log());
        self.log()
    }
}

/// Runs a test in real time, as programs do, with an origin whose programs these are.
fn run(before_use: &Path, after_release: &Path, test: impl AsyncFnOnce(&'static Lab)) {
    actix::System::new().block_on(async {
        let harness = Harness::new(1, Conditions::default());
        let (lab, class) = Lab::new();
        let (before, after) = (before_use.display(), after_release.display());
        let hooks = format!("hook_before_use = '{before}'\nhook_after_release = '{after}'");
        node(&harness, class, "origin", "origin", &format!("prefixes = ['2001:db8::/48']\n{hooks}")).await;
        tokio::time::timeout(LIMIT * 2, test(lab)).await.unwrap();
        harness.stop().await;
    });
}

/// PM-D-06: a block is put to use before its client hears of it, and taken out of use after it is no longer the client's.
#[test]
fn a_block_is_put_to_use_before_and_taken_out_of_use_after() {
    let tool = Tool::new();
    run(&tool.program(), &tool.program(), async |lab| {
        // No shell ever sees what a client calls itself.
        let client = "cpe 1; touch $(pwd)/x | *";
        let block = lab.take("origin", client, v6(64)).await.unwrap();
        let used = format!("use|{block}|{client}|");
        assert_eq!(tool.log(), std::slice::from_ref(&used));
        lab.give("origin", client, block).await.unwrap();
        assert_eq!(tool.runs(2).await, [used, format!("release|{block}|")]);
        assert_eq!(lab.blocks("origin").await, []);
    });
}

/// PM-D-06: a block that cannot be put to use is not the client's, and is free.
#[test]
fn a_program_that_fails_leaves_the_client_without_a_block() {
    let tool = Tool::new();
    run(&tool.program(), &tool.program(), async |lab| {
        tool.breaks(true);
        let why = lab.take("origin", "cpe", v6(64)).await.unwrap_err();
        assert!(why.contains("no route") && why.contains("program"), "{why}");
        assert_eq!(tool.log().iter().filter(|line| line.starts_with("use|")).count(), 1);
        assert_eq!(lab.blocks("origin").await, []);
        tool.breaks(false);
        let block = lab.take("origin", "cpe", v6(64)).await.unwrap();
        assert_eq!(lab.only("origin").await, Some((block, "delegated")));
    });
}

/// PM-D-06, PM-D-05: a client that has its block already keeps it when the program fails later.
#[test]
fn a_client_keeps_what_it_has_when_the_program_fails_later() {
    let tool = Tool::new();
    run(&tool.program(), &tool.program(), async |lab| {
        let block = lab.take("origin", "cpe", v6(64)).await.unwrap();
        tool.breaks(true);
        lab.take("origin", "cpe", v6(64)).await.unwrap_err();
        assert_eq!(lab.only("origin").await, Some((block, "delegated")));
        tool.breaks(false);
        assert_eq!(lab.take("origin", "cpe", v6(64)).await, Ok(block));
        let used = format!("use|{block}|cpe|");
        assert_eq!(tool.log(), [used.clone(), used.clone(), used]);
    });
}

/// PM-D-06: so does one that is not there; one that cannot take a block out of use does not keep it from others.
#[test]
fn a_program_that_is_missing_is_one_that_fails() {
    let tool = Tool::new();
    run(&tool.path("missing"), &tool.program(), async |lab| {
        let why = lab.take("origin", "cpe", v6(64)).await.unwrap_err();
        assert!(why.contains("cannot be started"), "{why}");
        assert_eq!(lab.blocks("origin").await, []);
    });
    run(&tool.program(), &tool.path("missing"), async |lab| {
        let all = lab.take("origin", "cpe", v6(48)).await.unwrap();
        lab.give("origin", "cpe", all).await.unwrap();
        assert_eq!(lab.take("origin", "another", v6(48)).await, Ok(p("2001:db8::/48")));
    });
}
