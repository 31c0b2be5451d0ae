//! The life of an instance as an operator leads it: moves, reloads, drills, and what the node says of itself.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may fail loudly")]

#[path = "../agents/mod.rs"]
mod agents;
mod queries;
mod reload;
mod reports;

use agents::{PANICS, SHOP, SHOP_2, buy, customer, find, haggle, moved, removed, settle, told};
use asa_framework::DESCRIPTION_OBJECTIVE;
use asa_framework::LogLevels;
use asa_framework::class::Class;
use asa_framework::control::{
    ChangeKind, Command, Described, DrillReport, Dump, Failure, FailureCode, Plan, Readiness, StatusReport,
};
use asa_framework::health::assess;
use asa_framework::lifecycle::{Move, Phase};
use asa_framework::testing::{self, Harness};
use grasp::{ErrorCode, Objective};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervision::Fault;

const ONE: &str = "[asa.one]\nclass = 'shop'\nversion = '1.0.0'\n";
const CLASSES: [&(dyn Class + 'static); 3] = [&SHOP, &SHOP_2, &PANICS];
const SECOND: Duration = Duration::from_secs(1);

async fn phase(harness: &Harness) -> Phase {
    harness.instance("mall", "one").await.phase
}

/// Brings the instance into a phase by legal moves.
async fn bring(harness: &Harness, to: Phase) {
    for step in asa_framework::lifecycle::way(phase(harness).await, to) {
        moved(harness, "mall", "one", step).await.unwrap();
    }
}

/// ASA-L-01
#[test]
fn the_six_moves_go_where_the_figure_says_and_all_others_are_refused() {
    testing::run(1, async |harness| {
        harness.node("mall", &[&SHOP], ONE).await;
        for from in [Phase::Operational, Phase::Instantiated, Phase::Installed, Phase::Undeployed] {
            for step in Move::ALL {
                bring(&harness, from).await;
                let result = moved(&harness, "mall", "one", step).await;
                match step.from(from) {
                    Ok(to) => {
                        let report = result.unwrap();
                        assert_eq!((report.phase, report.step, report.instance.as_str()), (to, step, "one"));
                        assert_eq!(phase(&harness).await, to);
                    }
                    Err(illegal) => {
                        let failure = result.unwrap_err();
                        assert_eq!((failure.code, failure.message), (FailureCode::Refused, format!("one: {illegal}")));
                        assert_eq!(phase(&harness).await, from, "a refused move changes nothing");
                    }
                }
                let running = harness.deployment("mall").grasp().status().await.unwrap().asas.len();
                assert_eq!(running, usize::from(phase(&harness).await >= Phase::Instantiated));
                let health = harness.status("mall").await.health;
                assert_eq!(health.readiness, Readiness::Ready, "{health:?}");
            }
        }
        assert_eq!(moved(&harness, "mall", "two", Move::Install).await.unwrap_err().code, FailureCode::Unknown);
    });
}

/// ASA-L-08
#[test]
fn a_deactivated_instance_keeps_its_promises_and_takes_nothing_new() {
    testing::run(2, async |harness| {
        harness.node("mall", &[&SHOP], ONE).await;
        let peer = customer(&harness, "peer").await;
        let place = find(&peer).await.remove(0);
        let open = [haggle(&peer, &place).await.unwrap(), haggle(&peer, &place).await.unwrap()];
        moved(&harness, "mall", "one", Move::Deactivate).await.unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(harness.instance("mall", "one").await.busy, 2);
        let refused = buy(&peer, &place).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NoPeer, "{refused}");
        // Queries are answered.
        let value = peer.synchronize(&told(), None, 5 * SECOND).await.unwrap();
        assert_eq!(value.value.unwrap().decode::<String>().unwrap(), "news");
        for session in open {
            settle(session).await.expect("what was begun is brought to its end");
        }
        assert_eq!(harness.instance("mall", "one").await.busy, 0);
        moved(&harness, "mall", "one", Move::Activate).await.unwrap();
        buy(&peer, &place).await.unwrap();
    });
}

/// ASA-L-14
#[test]
fn a_revoked_instance_ends_its_work_within_its_time_and_no_later() {
    for (drain, abandoned) in [(5000, 0), (500, 1)] {
        testing::run(3, async |harness| {
            harness.node("mall", &[&SHOP], &format!("{ONE}drain_ms = {drain}\n")).await;
            let peer = customer(&harness, "peer").await;
            let place = find(&peer).await.remove(0);
            let session = haggle(&peer, &place).await.unwrap();
            moved(&harness, "mall", "one", Move::Deactivate).await.unwrap();
            let settled = async {
                tokio::time::sleep(2 * SECOND).await;
                settle(session).await
            };
            let begun = harness.now();
            let revoked = async {
                let report = moved(&harness, "mall", "one", Move::Revoke).await.unwrap();
                (report.abandoned, harness.now() - begun)
            };
            let (settled, (left, took)) = futures_util::join!(settled, revoked);
            assert_eq!(left, abandoned);
            match settled {
                Ok(()) => assert_eq!(abandoned, 0),
                Err(error) => assert_eq!((error.code, abandoned), (ErrorCode::Declined, 1)),
            }
            assert!(took <= Duration::from_millis(drain + 100), "{took:?}");
            assert_eq!(harness.status("mall").await.node.sessions, 0);
        });
    }
}

/// ASA-L-09
#[test]
fn uninstall_refuses_while_promises_are_outstanding_unless_forced_and_purges_when_told() {
    let base = tempfile::tempdir().unwrap();
    testing::run(4, async |harness| {
        let state = base.path().join("one");
        let manifest = format!("[node]\nstate_directory = '{}'\n{ONE}parameters.promises = 3\n", base.path().display());
        harness.node("mall", &[&SHOP], &manifest).await;
        assert!(state.is_dir());
        std::fs::write(state.join("key"), "secret").unwrap();
        assert_eq!(harness.instance("mall", "one").await.promises, 3);
        bring(&harness, Phase::Installed).await;
        assert_eq!(harness.instance("mall", "one").await.promises, 3, "what does not run keeps its promises");
        for purge in [false, true] {
            let failure = removed(&harness, "mall", "one", Move::Uninstall, false, purge).await.unwrap_err();
            assert_eq!(failure.code, FailureCode::Refused);
            assert!(failure.message.contains("3 promises outstanding"), "{failure}");
        }
        assert!(state.join("key").exists());
        let status = harness.status("mall").await;
        assert_eq!(status.health.readiness, Readiness::Ready, "a refusal is no fault: {:?}", status.health);
        // What cannot be purged stays installed, and can be instantiated.
        std::fs::write(state.join(".asa-instance"), "other\n").unwrap();
        let failure = removed(&harness, "mall", "one", Move::Uninstall, true, true).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Failed);
        assert!(failure.message.contains("cannot purge"), "{failure}");
        assert_eq!(phase(&harness).await, Phase::Installed);
        std::fs::write(state.join(".asa-instance"), "one\n").unwrap();
        bring(&harness, Phase::Operational).await;
        bring(&harness, Phase::Installed).await;
        let report = removed(&harness, "mall", "one", Move::Uninstall, true, true).await.unwrap();
        assert_eq!(report.promises, 3);
        assert_eq!(report.purged.len(), 2, "{:?}", report.purged);
        assert!(!state.exists());
        assert_eq!(phase(&harness).await, Phase::Undeployed);
        // Without a purge the state waits for whoever comes next.
        bring(&harness, Phase::Installed).await;
        bring(&harness, Phase::Operational).await;
        bring(&harness, Phase::Installed).await;
        let report = removed(&harness, "mall", "one", Move::Uninstall, true, false).await.unwrap();
        assert_eq!((report.purged.len(), state.exists()), (0, true));
    });
}
