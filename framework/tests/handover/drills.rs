//! Drills on every role under load, and what a crash of each leaves behind.

use super::{SECOND, start};
use crate::traffic::{Books, Stranger, Traffic, audit};
use crate::vlans::Lab;
use asa_framework::control::{Command, DrillReport};
use asa_framework::lifecycle::Phase;
use asa_framework::roles::delegator::Take;
use asa_framework::testing::{self, Harness};
use std::rc::Rc;
use std::time::Duration;
use supervision::Fault;

const ROLES: [&str; 3] = ["pool", "delegator", "negotiator"];
/// A reservation that nobody ends is given up for lost after 600 s.
const HOLD: Duration = Duration::from_secs(700);
const OFTEN: &str = "restart.restarts = 1000\nrestart.within_ms = 1000\nrestart.longest_pause_ms = 400\n";

async fn drill(harness: &Harness, key: &str, role: &str, fault: Fault, count: u32) -> Vec<DrillReport> {
    let command = Command::Drill { role: role.into(), fault, instance: Some(key.into()), count };
    serde_json::from_value(harness.execute(key, command).await.unwrap()).unwrap()
}

/// ASA-M-04, ASA-R-10, ASA-R-13, PM-S-18: three times each fault on each role of both nodes.
fn nothing_is_owned_twice_or_lost(strategy: &str) {
    let base = tempfile::tempdir().unwrap();
    testing::run_on(7, Default::default(), 24 * testing::LIMIT, async |harness| {
        let lab = Lab::default();
        start(&harness, &lab, base.path(), &format!("{OFTEN}restart.strategy = '{strategy}'\n")).await;
        let (stranger, books) =
            (Rc::new(Stranger::arrive(&harness, &lab, "stranger").await), Rc::new(Books::default()));
        let (mut before, mut pause) = ((0, 0), 900);
        for role in ROLES {
            for key in ["core", "edge"] {
                for fault in [Fault::Panic, Fault::Stop, Fault::Hang, Fault::StoreError] {
                    if fault == Fault::StoreError && role != "pool" {
                        let command = Command::Drill { role: role.into(), fault, instance: Some(key.into()), count: 1 };
                        let refusal = harness.execute(key, command).await.expect_err("there is no store");
                        assert!(refusal.message.contains("has no store"), "{refusal}");
                        continue;
                    }
                    let traffic = Traffic::begin(&lab, &stranger, &books);
                    for _ in 0..3 {
                        pause = 700 + (pause + 137) % 900;
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                        let report = drill(&harness, key, role, fault, 1).await.remove(0);
                        assert!(!report.happened.contains("not back"), "{report:?}\n{}", harness.story());
                        assert!(fault == Fault::StoreError || report.recovered_after_ms.is_some(), "{report:?}");
                    }
                    tokio::time::sleep(2 * SECOND).await;
                    traffic.end().await;
                    tokio::time::sleep(HOLD).await;
                    let audit = audit(&lab, &books).await;
                    let doubts = audit.doubts();
                    println!(
                        "{strategy}: 3 x {fault:?} of the {role} of the {key}: {} and {} doubts, {} negotiated; failures {:?}",
                        doubts.0 - before.0,
                        doubts.1 - before.1,
                        books.negotiated.take(),
                        books.failures()
                    );
                    // As many as were being negotiated at most: three by the stranger, one by the edge.
                    let (struck, other) = match key {
                        "core" => (doubts.0 - before.0, doubts.1 - before.1),
                        _ => (doubts.1 - before.1, doubts.0 - before.0),
                    };
                    assert!(struck <= 12 && other <= 3, "{struck} and {other}");
                    // The delegator has nothing of its own, and without a store no store fails.
                    let alone = role == "delegator" && strategy == "one-for-one";
                    assert!((!alone && (fault != Fault::StoreError || role == "pool")) || (struck, other) == (0, 0));
                    before = doubts;
                }
            }
        }
        assert!(before.0 > 0 && before.1 > 0, "too little was at stake");
        let doubtful = audit(&lab, &books).await;
        doubtful.resolve(&lab).await;
        let settled = audit(&lab, &books).await;
        assert_eq!(settled.doubts(), (0, 0));
        assert!(settled.core.free > doubtful.core.free, "what never arrived is free again");
        for key in ["core", "edge"] {
            assert_eq!(harness.instance(key, key).await.phase, Phase::Operational);
            assert_eq!(harness.status(key).await.escalations, 0);
            // One after the other, even so.
            let users = lab.users(key);
            assert!(users.windows(2).all(|pair| pair[0] < pair[1]), "{users:?}");
        }
    });
}

#[test]
fn drills_of_every_role_one_for_one() {
    nothing_is_owned_twice_or_lost("one-for-one");
}

#[test]
fn drills_of_every_role_rest_for_one() {
    nothing_is_owned_twice_or_lost("rest-for-one");
}

/// PM-Q-03, ASA-M-04: a delegator asks for more when its pool is low, whoever of the two was restarted how often.
#[test]
fn a_delegator_hears_its_pool_after_restarts_of_either() {
    for strategy in ["one-for-one", "rest-for-one"] {
        for role in ["pool", "delegator"] {
            let base = tempfile::tempdir().unwrap();
            testing::run(8, async |harness| {
                let lab = Lab::default();
                start(&harness, &lab, base.path(), &format!("{OFTEN}restart.strategy = '{strategy}'\n")).await;
                let free = async || lab.places("edge")[0].census().await.unwrap().free;
                assert_eq!(free().await, 64);
                drill(&harness, "edge", role, Fault::Panic, 20).await;
                tokio::time::sleep(5 * SECOND).await;
                // So much is left that nobody waits, and too little to stay so.
                let take = Take { want: 40, client: "client".into() };
                lab.places("edge")[0].delegator.send(take).await.unwrap().unwrap();
                assert_eq!(free().await, 24);
                tokio::time::sleep(5 * SECOND).await;
                assert_eq!(free().await, 64, "after 20 restarts of the {role}, {strategy}");
            });
        }
    }
}
