//! What an operator meets: stores that are in use, missing or damaged, programs that are run for clients, blocks out of use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use asa_prefix::prefix::Prefix;
use serde_json::json;

use super::node::{BOUND, Node, Reply, block, give, stop, text};
use crate::lab::{Lab, in_namespaces, poll};

const STOCK: &str = r#"prefixes=["2001:db8::/32"]"#;

/// An origin with a store, on a link of its own.
fn origin(lab: &mut Lab, state: &Path, parameters: &[&str]) -> Node {
    let host = lab.lan(2).swap_remove(0);
    let node = Node::new(&host, "origin", "origin", state, &[&[STOCK], parameters].concat());
    node.init();
    node
}

fn granted(reply: Reply) -> Prefix {
    match reply {
        Reply::Done(answer) => block(&answer),
        other => panic!("{other:?}"),
    }
}

/// PM-S-16, GAP-25
#[test]
fn a_store_that_is_in_use_is_not_opened_by_a_second_process() {
    in_namespaces(|lab| {
        let state = tempfile::tempdir().unwrap();
        let node = origin(lab, state.path(), &[]);
        let first = node.start();
        let mine = granted(node.take("one", 64));
        // Another node, on another host, that was given the same directory by mistake.
        let other = node.elsewhere(&lab.get("h2"), state.path());
        let second = other.spawn();
        let status = second.finish(BOUND);
        assert_eq!(status.code(), Some(1), "{}", second.output());
        let said = second.output();
        assert!(said.contains("in use by another process") && said.contains("end that one first"), "{said}");
        for command in ["fsck", "repair", "export"] {
            let output = node.offline(&[command]);
            assert_eq!(output.status.code(), Some(1), "{command}: {}", text(&output));
            assert!(text(&output).contains("in use by another process"), "{command}: {}", text(&output));
        }
        assert_eq!(granted(node.take("one", 64)), mine, "the first process has been disturbed");
        stop(&first);
    });
}

/// PM-S-16
#[test]
fn an_origin_without_a_store_says_what_to_do() {
    in_namespaces(|lab| {
        let state = tempfile::tempdir().unwrap();
        let host = lab.lan(2).swap_remove(0);
        let node = Node::new(&host, "origin", "origin", state.path(), &[STOCK]);
        let refused = node.spawn();
        let status = refused.finish(BOUND);
        assert_eq!(status.code(), Some(1), "{}", refused.output());
        assert!(refused.output().contains("run: asa pool init"), "{}", refused.output());
        node.init();
        let again = node.offline(&["init"]);
        assert_eq!(again.status.code(), Some(1));
        assert!(text(&again).contains("not overwritten"), "{}", text(&again));
        let child = node.start();
        granted(node.take("one", 64));
        stop(&child);
    });
}

/// PM-S-16, GAP-25: nothing is served from a damaged store; when it is repaired all that was acknowledged is there.
#[test]
fn a_damaged_store_is_refused_until_it_is_repaired() {
    in_namespaces(|lab| {
        let state = tempfile::tempdir().unwrap();
        let node = origin(lab, state.path(), &[]);
        let child = node.start();
        let mine: Vec<Prefix> = (0..20).map(|client| granted(node.take(&format!("c{client}"), 64))).collect();
        stop(&child);
        let tables = node.store().join("sled/db");
        let mut bytes = fs::read(&tables).unwrap();
        let length = bytes.len();
        bytes[..length / 2].fill(0x5a);
        fs::write(&tables, &bytes).unwrap();

        assert!(node.faults().is_some(), "fsck sees nothing");
        let refused = node.spawn();
        let status = refused.finish(BOUND);
        assert_eq!(status.code(), Some(1), "{}", refused.output());
        assert!(refused.output().contains("asa pool repair"), "{}", refused.output());
        let repaired = node.offline(&["repair"]);
        assert!(repaired.status.success(), "{}", text(&repaired));
        assert_eq!(node.faults(), None);
        let child = node.start();
        for (client, block) in mine.iter().enumerate() {
            assert_eq!(granted(node.take(&format!("c{client}"), 64)), *block);
        }
        stop(&child);
    });
}

/// A program that writes its arguments to a file, and fails as long as there is another file.
fn hook(directory: &Path) -> String {
    let path = directory.join("hook");
    let (log, broken) = (directory.join("log"), directory.join("broken"));
    let script = format!(
        "#!/bin/sh\nif [ -e {} ]; then echo no route >&2; exit 3; fi\necho \"$*\" >> {}\n",
        broken.display(),
        log.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// PM-D-06: before use and after release; if the program fails, the client gets nothing, and the block is free again.
#[test]
fn programs_are_run_before_use_and_after_release() {
    in_namespaces(|lab| {
        let state = tempfile::tempdir().unwrap();
        let hook = hook(state.path());
        let (before, after) = (format!("hook_before_use={hook}"), format!("hook_after_release={hook}"));
        let node = origin(lab, state.path(), &[&before, &after]);
        let log = || fs::read_to_string(state.path().join("log")).unwrap_or_default();
        let child = node.start();
        let mine = granted(node.take("a b;$(c)", 64));
        assert_eq!(log(), format!("use {mine} a b;$(c)\n"), "the program has run before the client hears of it");
        node.answer(&give("a b;$(c)", mine));
        poll("the release is told", BOUND, || log().ends_with(&format!("release {mine}\n")).then_some(()));

        fs::write(state.path().join("broken"), "").unwrap();
        let told = log();
        match node.take("two", 64) {
            Reply::Refused(why) => assert!(why.contains("no route"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(node.blocks(&["delegated", "cooling"]), []);
        child.wait_line("is not used for two", BOUND);
        fs::remove_file(state.path().join("broken")).unwrap();
        let second = granted(node.take("two", 64));
        assert_eq!(log(), format!("{told}use {second} two\n"), "nothing is released that was never used");
        stop(&child);
    });
}

/// PM-D-05, PM-D-06: a client that uses its block does not lose it to another one since the program fails when it asks again.
#[test]
fn a_program_that_fails_later_does_not_free_a_block_in_use() {
    in_namespaces(|lab| {
        let state = tempfile::tempdir().unwrap();
        let hook = hook(state.path());
        let node = origin(lab, state.path(), &[&format!("hook_before_use={hook}")]);
        let child = node.start();
        let mine = granted(node.take("one", 64));
        fs::write(state.path().join("broken"), "").unwrap();
        assert!(matches!(node.take("one", 64), Reply::Refused(_)));
        fs::remove_file(state.path().join("broken")).unwrap();
        assert_ne!(granted(node.take("two", 64)), mine);
        assert_eq!(granted(node.take("one", 64)), mine);
        stop(&child);
    });
}

/// PM-D-07, PM-T-06: what is excluded or withdrawn is offered neither to clients nor to peers.
#[test]
fn what_is_excluded_or_withdrawn_is_not_offered() {
    in_namespaces(|lab| {
        let state = tempfile::tempdir().unwrap();
        let hosts = lab.lan(2);
        let stock = r#"prefixes=["2001:db8::/60", "2001:db8:1::/60"]"#;
        let origin = Node::new(&hosts[0], "origin", "origin", state.path(), &[stock]);
        let needs = ["ipv6_ask=64", "ipv6_need=0"];
        let edge = Node::new(&hosts[1], "edge", "delegator", state.path(), &needs);
        origin.init();
        let children = [origin.start(), edge.start()];
        let [out, gone, left]: [Prefix; 3] =
            ["2001:db8::/61", "2001:db8:1::/60", "2001:db8:0:8::/61"].map(|text| text.parse().unwrap());
        origin.answer(&json!({ "command": "exclude", "block": out }));
        origin.answer(&json!({ "command": "withdraw", "block": gone }));
        // Eight blocks are left: half of them for a peer, and half for clients.
        for client in 0..4 {
            let given = poll("the peer obtains one", BOUND, || match edge.take(&format!("e{client}"), 64) {
                Reply::Done(answer) => Some(block(&answer)),
                Reply::Refused(_) | Reply::Unknown(_) => None,
            });
            assert!(left.contains(&given), "{given}");
        }
        let mut own = 0;
        while let Reply::Done(answer) = origin.take(&format!("o{own}"), 64) {
            assert!(left.contains(&block(&answer)), "{answer}");
            own += 1;
        }
        assert_eq!(origin.blocks(&["free"]), []);
        // What it has asked for beyond the need of its clients.
        let mut spare = 0;
        while let Reply::Done(answer) = edge.take(&format!("s{spare}"), 64) {
            assert!(left.contains(&block(&answer)), "{answer}");
            spare += 1;
        }
        assert_eq!(4 + own + spare, 8);
        // Back in use.
        origin.answer(&json!({ "command": "include", "block": out }));
        assert!(out.contains(&granted(origin.take("more", 64))));
        children.iter().for_each(stop);
    });
}
