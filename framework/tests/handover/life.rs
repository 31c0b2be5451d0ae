//! An instance is set down and up again, its node ends and begins again, and it is removed: promises stay.

use super::{SECOND, manifest, start};
use crate::traffic::{Books, Stranger, Traffic, audit};
use crate::vlans::{Lab, classes};
use asa_framework::control::{Command, Failure, FailureCode, MoveReport};
use asa_framework::lifecycle::{Move, Phase};
use asa_framework::roles::delegator::{Give, Take};
use asa_framework::roles::pool::State;
use asa_framework::roles::resource::Range;
use asa_framework::testing::{self, Harness};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

async fn moved(harness: &Harness, step: Move, force: bool, purge: bool) -> Result<MoveReport, Failure> {
    let command = Command::Move { step, instance: "core".into(), force, purge };
    harness.execute("core", command).await.map(|report| serde_json::from_value(report).unwrap())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What the core has promised.
async fn promised(lab: &Lab) -> BTreeMap<Range, State> {
    let blocks = lab.places("core")[0].census().await.unwrap().blocks.into_iter();
    blocks.filter(|(_, state)| matches!(state, State::Granted { .. } | State::Doubt { .. })).collect()
}

/// ASA-L-08, ASA-L-09, ASA-L-14: set down, set up, stopped in the middle of the work, started again, removed.
#[test]
fn what_is_promised_stays_promised() {
    let base = tempfile::tempdir().unwrap();
    testing::run(10, async |harness| {
        let lab = Lab::default();
        start(&harness, &lab, base.path(), "drain_ms = 5000\n").await;
        let (stranger, books) = (Rc::new(Stranger::arrive(&harness, &lab, "one").await), Rc::new(Books::default()));
        let extra = || "extra".to_owned();
        let delegator = lab.places("core")[0].delegator.clone();
        let block = delegator.send(Take { want: 9, client: extra() }).await.unwrap().unwrap();
        for _ in 0..3 {
            let traffic = Traffic::begin(&lab, &stranger, &books);
            tokio::time::sleep(3 * SECOND).await;
            moved(&harness, Move::Deactivate, false, false).await.unwrap();
            // What is in hand ends.
            tokio::time::sleep(3 * SECOND).await;
            let before = promised(&lab).await;
            let refused = delegator.send(Take { want: 9, client: extra() }).await.unwrap();
            assert_eq!(refused, Err("not active".into()));
            assert_eq!(harness.instance("core", "core").await.promises, before.len());
            tokio::time::sleep(10 * SECOND).await;
            assert_eq!(promised(&lab).await, before, "no new promises, and none is forgotten");
            moved(&harness, Move::Activate, false, false).await.unwrap();
            let taken = books.taken.get();
            tokio::time::sleep(3 * SECOND).await;
            assert!(books.taken.get() > taken + 20);
            traffic.end().await;
            let failures = books.failures();
            let refusals = ["core take: not active", "core take: the pool is not active", "stranger: "];
            let justified = |why: &&String| refusals.iter().any(|refusal| why.starts_with(refusal));
            assert!(failures.keys().all(|why| justified(&why)), "{failures:?}");
        }
        // What is given back is taken back even now.
        moved(&harness, Move::Deactivate, false, false).await.unwrap();
        delegator.send(Give { block, client: extra() }).await.unwrap().unwrap();
        moved(&harness, Move::Activate, false, false).await.unwrap();
        assert_eq!(audit(&lab, &books).await.doubts(), (0, 0));

        // The process ends in the middle of the work, and another begins on the same directory.
        drop(delegator);
        let (mut stranger, mut home) = (stranger, base.path().to_owned());
        for round in 0..3 {
            let traffic = Traffic::begin(&lab, &stranger, &books);
            tokio::time::sleep(3 * SECOND).await;
            harness.end("core").await;
            lab.forget("core");
            tokio::time::sleep(SECOND).await;
            // The next process sees what is on the disk, and none of the locks of this one.
            let next = base.path().join(format!("{round}"));
            copy(&home.join("core").join("core"), &next.join("core").join("core"));
            home = next;
            harness.node("core", &classes(&lab), &manifest(&home, "core", "drain_ms = 5000\n")).await;
            let taken = books.taken.get();
            tokio::time::sleep(5 * SECOND).await;
            assert!(books.taken.get() > taken + 50, "it serves");
            traffic.end().await;
            // The other end of what was cut off notices in its own time.
            tokio::time::sleep(700 * SECOND).await;
            let audit = audit(&lab, &books).await;
            println!("ended and started: {:?} doubts, failures {:?}", audit.doubts(), books.failures());
            assert_eq!(harness.instance("core", "core").await.promises, promised(&lab).await.len());
            // It has another address now.
            stranger = Rc::new(Stranger::arrive(&harness, &lab, ["two", "three", "four"][round]).await);
        }

        // ASA-L-09
        let promises = promised(&lab).await.len();
        assert!(promises > 20);
        let state = home.join("core").join("core");
        assert!(state.join("pool.journal").exists());
        moved(&harness, Move::Deactivate, false, false).await.unwrap();
        moved(&harness, Move::Revoke, false, false).await.unwrap();
        for purge in [false, true] {
            let failure = moved(&harness, Move::Uninstall, false, purge).await.unwrap_err();
            assert_eq!(failure.code, FailureCode::Refused);
            assert!(failure.message.contains(&format!("{promises} promises outstanding")), "{failure}");
        }
        assert!(state.join("pool.journal").exists());
        lab.forget("core");
        let report = moved(&harness, Move::Uninstall, true, true).await.unwrap();
        assert_eq!((report.promises, report.phase), (promises, Phase::Undeployed));
        assert!(!state.exists());
    });
}
