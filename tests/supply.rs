//! What comes in from other people: every locked crate has a known source, an allowed licence and no open advisory.
//!
//! `deny.toml` is the policy. cargo-deny applies it where it is installed; these tests apply it with the toolchain alone, to
//! `Cargo.lock` and `grasp/fuzz/Cargo.lock`. They need no network: advisories come from `tests/data/advisories.json`, the facts of
//! the RustSec database (CC0) about the locked crates on one day. Whether a version was yanked is left to `cargo deny check`.
//!
//! Renew the snapshot when a crate is added and before a release:
//!
//! ```text
//! git clone --depth 1 https://github.com/rustsec/advisory-db /tmp/advisory-db; ASA_ADVISORY_DB=/tmp/advisory-db cargo test -p asa --test system supply::renew -- --ignored
//! ```

mod advisories;
mod licences;
mod lock;
mod policy;
mod renew;

use std::path::{Path, PathBuf};

use advisories::Snapshot;
use lock::Lock;
use policy::Policy;

/// The one line that renews the snapshot.
const RENEW: &str = "git clone --depth 1 https://github.com/rustsec/advisory-db /tmp/advisory-db; \
     ASA_ADVISORY_DB=/tmp/advisory-db cargo test -p asa --test system supply::renew -- --ignored";

/// The two lock files, each with the manifest it belongs to.
const LOCKED: [(&str, &str); 2] = [("Cargo.lock", "Cargo.toml"), ("grasp/fuzz/Cargo.lock", "grasp/fuzz/Cargo.toml")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn policy() -> Policy {
    Policy::parse(&read("deny.toml"))
}

fn snapshot_path() -> PathBuf {
    root().join("tests/data/advisories.json")
}

fn snapshot() -> Snapshot {
    serde_json::from_str(&read("tests/data/advisories.json")).unwrap_or_else(|error| panic!("advisories.json: {error}"))
}

fn locks() -> Vec<(&'static str, Lock)> {
    LOCKED.map(|(path, _)| (path, Lock::parse(&read(path)))).into()
}

/// The names of the packages whose source is this repository.
fn ours() -> Vec<String> {
    let workspace: toml::Table = toml::from_str(&read("Cargo.toml")).unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let mut folders: Vec<&str> = members.iter().map(|member| member.as_str().unwrap()).collect();
    folders.push("grasp/fuzz");
    let name = |folder: &str| -> String {
        let manifest: toml::Table = toml::from_str(&read(&format!("{folder}/Cargo.toml"))).unwrap();
        manifest["package"]["name"].as_str().unwrap().to_owned()
    };
    folders.into_iter().map(name).collect()
}

#[track_caller]
fn assert_none(problems: &[String], what_to_do: &str) {
    assert!(problems.is_empty(), "\n  {}\n{what_to_do}", problems.join("\n  "));
}

#[test]
fn every_locked_package_is_ours_or_comes_from_crates_io_with_a_checksum() {
    let (policy, ours) = (policy(), ours());
    for (path, lock) in locks() {
        let problems = lock.strangers(&ours, &policy.sources.allow_registry);
        assert_none(&problems, &format!("{path}: a source is allowed in deny.toml, [sources], by a person"));
    }
}

#[test]
fn no_banned_crate_is_locked() {
    for (path, lock) in locks() {
        let problems = lock.banned(&policy().bans.deny);
        assert_none(
            &problems,
            &format!("{path}: find who brings it with `cargo tree -i CRATE` and turn that feature off"),
        );
    }
}

#[test]
fn every_licence_is_allowed_or_an_exception_of_that_crate() {
    let policy = policy();
    for (_, manifest) in LOCKED {
        let packages = licences::packages(manifest, &policy.target());
        assert!(packages.len() > 20, "{manifest}: cargo metadata tells of {} packages only", packages.len());
        let problems = licences::refused(&packages, &policy.licenses);
        assert_none(
            &problems,
            &format!("{manifest}: decide, then name the crate in deny.toml, [licenses], with the reason"),
        );
    }
}

#[test]
fn a_crate_is_built_in_one_version_or_the_others_have_a_reason() {
    let policy = policy();
    let packages = licences::packages("Cargo.toml", &policy.target());
    let problems = lock::duplicates(&packages, &policy.bans.skip);
    assert_none(
        &problems,
        "find who brings them with `cargo tree -d`; what must stay goes into deny.toml, skip, with the reason",
    );
}

#[test]
fn every_exception_says_why() {
    assert_none(
        &policy::without_reason(&read("deny.toml")),
        "deny.toml: an exception without a reason cannot be reviewed",
    );
}

#[test]
fn no_locked_version_has_an_advisory_that_is_not_ignored_by_name() {
    let (policy, snapshot) = (policy(), snapshot());
    for (path, lock) in locks() {
        let problems = snapshot.open(&lock, &policy.advisories.ignore);
        assert_none(
            &problems,
            &format!("{path}: `cargo update -p CRATE`; or deny.toml, [advisories], why it cannot bite"),
        );
    }
}

#[test]
fn every_ignored_advisory_still_concerns_a_locked_version() {
    let locks: Vec<Lock> = locks().into_iter().map(|(_, lock)| lock).collect();
    assert_none(&snapshot().idle(&locks, &policy().advisories.ignore), "deny.toml, [advisories]: take the entry out");
}

#[test]
fn every_locked_crate_was_looked_up_in_the_snapshot() {
    for (path, lock) in locks() {
        assert_none(
            &snapshot().unknown(&lock),
            &format!("{path}: the snapshot of advisories does not know them. Run\n{RENEW}"),
        );
    }
}

#[test]
fn every_exception_names_a_crate_that_is_locked() {
    let locks: Vec<Lock> = locks().into_iter().map(|(_, lock)| lock).collect();
    assert_none(&policy().idle(&locks), "deny.toml: take the entry out");
}
