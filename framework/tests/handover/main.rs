//! An instance with a store is replaced, drilled, set down and started again under load: nothing is owned twice, nothing is
//! lost, and nobody is refused what is there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a test may fail loudly"
)]

mod drills;
mod life;
mod stores;
mod traffic;
mod vlans;

use asa_framework::control::{Command, Failure, FailureCode, ReplaceReport};
use asa_framework::lifecycle::Phase;
use asa_framework::testing::{self, Harness};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use traffic::{Books, Stranger, Traffic, audit};
use vlans::{Lab, classes};

const SECOND: Duration = Duration::from_secs(1);

fn manifest(base: &Path, key: &str, more: &str) -> String {
    let role = if key == "core" { "origin" } else { "delegator" };
    format!(
        "[node]\nstate_directory = '{}'\n[control]\ndrills = true\n\
         [asa.{key}]\nclass = 'vlans'\nversion = '1.0.0'\nrole = '{role}'\nhealthy_ms = 4000\n{more}",
        base.join(key).display()
    )
}

/// An origin and a delegator on nodes of their own.
async fn start(harness: &Harness, lab: &Lab, base: &Path, more: &str) {
    for key in ["core", "edge"] {
        harness.node(key, &classes(lab), &manifest(base, key, more)).await;
    }
    // The edge fills its stock.
    tokio::time::sleep(5 * SECOND).await;
}

async fn replace(harness: &Harness, key: &str, with: &str) -> Result<ReplaceReport, Failure> {
    let command = Command::Replace { instance: key.into(), with: format!("vlans@{with}") };
    harness.execute(key, command).await.map(|report| serde_json::from_value(report).unwrap())
}

/// ASA-L-10, ASA-L-11: ten replacements of the origin under load, one of which never becomes healthy.
#[test]
fn ten_replacements_hand_the_store_over_and_nobody_notices() {
    let base = tempfile::tempdir().unwrap();
    testing::run(1, async |harness| {
        let lab = Lab::default();
        start(&harness, &lab, base.path(), "").await;
        let (stranger, books) =
            (Rc::new(Stranger::arrive(&harness, &lab, "stranger").await), Rc::new(Books::default()));
        let traffic = Traffic::begin(&lab, &stranger, &books);
        tokio::time::sleep(2 * SECOND).await;
        let mut drained = Vec::new();
        for turn in 0..10 {
            let with = if turn == 4 { "1.0.1" } else { ["2.0.0", "1.0.0"][turn % 2] };
            let before = harness.instance("core", "core").await;
            let taken = books.taken.get();
            let replaced = replace(&harness, "core", with).await;
            let after = harness.instance("core", "core").await;
            assert_eq!((after.phase, after.operation.clone(), after.error.clone()), (Phase::Operational, None, None));
            if turn == 4 {
                let failure = replaced.expect_err("it is no good");
                assert_eq!(failure.code, FailureCode::Failed);
                assert!(failure.message.ends_with("the old one carries on"), "{failure}");
                assert_eq!(after.version, before.version);
            } else {
                let report = replaced.unwrap();
                assert_eq!((report.to.as_str(), after.version.as_str(), report.abandoned), (with, with, 0));
                drained.push(report.drained_after_ms);
            }
            tokio::time::sleep(SECOND).await;
            assert!(books.taken.get() > taken, "it serves");
            let census = lab.places("core")[0].census().await.unwrap();
            assert!(census.writable);
        }
        traffic.end().await;
        assert_eq!(books.failures(), BTreeMap::new(), "{}", harness.story());
        let audit = audit(&lab, &books).await;
        assert_eq!(audit.doubts(), (0, 0));
        // The one that never became healthy, number 5, has never had the store.
        assert_eq!(lab.users("core"), [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]);
        assert_eq!((lab.opened("core"), lab.opened("edge")), (1, 1), "one journal, handed over");
        assert_eq!(harness.status("core").await.escalations, 0);
        println!(
            "{} taken, {} given, {} negotiated, {} declined; replaced after {drained:.0?} ms",
            books.taken.get(),
            books.given.get(),
            books.negotiated.get(),
            books.declined.get()
        );
    });
}
