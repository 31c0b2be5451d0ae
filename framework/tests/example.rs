//! The example does what its documentation says, and stays short.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may fail loudly")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const SOURCE: &str = include_str!("../examples/vlan_pool.rs");

/// The example beside this test: `cargo test` builds the examples of a package together with its tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile =
        test.parent().and_then(|deps| deps.parent()).expect("tests are two levels below the target directory");
    let program = profile.join("examples").join("vlan_pool");
    assert!(
        program.exists(),
        "{} is missing: with `--test` cargo builds no examples; build it with `cargo build -p asa-framework --example vlan_pool`",
        program.display()
    );
    program
}

/// What one line of the example's output says: who may use which ids.
fn said(line: &str) -> Option<(String, u32, u32)> {
    let (client, range) = line.split_once(" may use the VLANs ")?;
    let (first, last) = range.split_once(" to ")?;
    Some((client.to_owned(), first.parse().ok()?, last.parse().ok()?))
}

/// PM-S-12: from a manifest in `config/`, two nodes negotiate, and the same client gets the same again.
#[tokio::test]
async fn the_example_shares_ids_between_two_nodes() {
    let mut command = Command::new(program());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let run = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
    let output = run.expect("it ends within 30 s").unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{}\n{out}{err}", output.status);
    let given: Vec<_> = out.lines().map(|line| said(line).expect(line)).collect();
    let clients: Vec<_> = given.iter().map(|(client, first, last)| (client.as_str(), last - first + 1)).collect();
    assert_eq!(clients, [("bridge-1", 10), ("bridge-2", 20), ("bridge-3", 40), ("bridge-1", 10)]);
    assert_eq!(given[0], given[3], "who asks again gets the same");
    for (at, one) in given[..3].iter().enumerate() {
        assert!(one.1 >= 2 && one.2 <= 4094, "{one:?}");
        for other in &given[at + 1..3] {
            assert!(one.2 < other.1 || other.2 < one.1, "{one:?} and {other:?}");
        }
    }
    // The edge has none of its own: everything came out of negotiations.
    assert!(err.contains("Accepted"), "{err}");
}

/// An agent of its own is short: under a hundred lines without comments and blank lines.
#[test]
fn the_example_is_short() {
    let code = SOURCE.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(code < 100, "{code} lines");
}
