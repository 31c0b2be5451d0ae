//! A node without a substrate, and one whose substrate cannot be set up.

use std::process::Command;

use super::domain::{ASA, Domain};

fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(ASA).args(args).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// G-SEC-01: a node with no substrate refuses, and says how to choose one.
#[test]
fn a_node_without_a_substrate_refuses_and_says_what_to_choose() {
    let (code, said) = run(&["run", "config/gray.toml", "--interface", "lo", "--set", "grasp.substrate=none"]);
    assert_eq!(code, Some(2), "{said}");
    for part in ["\"tls\"", "asa keys", "\"quads\"", "\"insecure-lab\""] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
}

/// What keeps a substrate from being set up is named with its key, its file, and what to do.
#[test]
fn credentials_that_cannot_be_used_are_named() {
    let (domain, other) = (Domain::new("one.example"), Domain::new("two.example"));
    let (member, stranger) = (domain.member("n1"), other.member("n2"));
    let settings = member.settings();
    let refused = |change: String, parts: &[&str]| {
        let mut args = vec!["run", "config/gray.toml", "--interface", "lo", "--set", "control.enabled=false"];
        for setting in settings.iter().chain([&change]) {
            args.extend(["--set", setting.as_str()]);
        }
        let (code, said) = run(&args);
        assert_eq!(code, Some(1), "{change}: {said}");
        for part in parts {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        assert!(!said.contains("PRIVATE"), "{said}");
    };
    let of = |file: &str| stranger.directory.join(file).display().to_string();
    refused("grasp.tls.certificate=/nowhere.crt".into(), &["grasp.tls.certificate", "/nowhere.crt"]);
    refused(format!("grasp.tls.key={}", of("n2.key")), &["key"]);
    refused(format!("grasp.tls.anchors={}", of("domain.crt")), &["anchor"]);
    refused(format!("grasp.tls.revocations={}", of("revoked.crl")), &["revocation"]);
    let key = member.directory.join("n1.key");
    Command::new("chmod").arg("644").arg(&key).status().unwrap();
    refused("grasp.tls.warn_days=1".into(), &["grasp.tls.key", "chmod 600"]);
}
