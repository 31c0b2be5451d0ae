//! What an agent on the framework may rely on, each guarantee of the architecture under its name.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may fail loudly")]

mod agents;

use agents::{Flaky, SHOP, asking, buy, customer, find, haggle, moved, settle, sold};
use asa_framework::class::Class;
use asa_framework::control::{Command, StatusReport};
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::Event;
use asa_framework::lifecycle::{Move, Phase};
use asa_framework::manifest::{Manifest, Sources};
use asa_framework::testing::{self, Harness, Injected};
use grasp::net::memory::{Conditions, Fabric};
use grasp::{Asa, ErrorCode, Interfaces, Registration};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use supervision::{Condition, Exit, Fault};

const ONE: &str = "[asa.one]\nclass = 'shop'\n";
const SECOND: Duration = Duration::from_secs(1);

async fn shop(harness: &Harness, manifest: &str) -> (Asa, grasp::AsaLocator) {
    harness.node("mall", &[&SHOP], manifest).await;
    let peer = customer(harness, "peer").await;
    let found = find(&peer).await;
    assert_eq!(found.len(), 1, "{}", harness.story());
    (peer, found[0].clone())
}

fn strike(harness: &Harness, role: &str, fault: Fault) -> Injected {
    let injected = harness.inject("mall", "one", role, fault, 1);
    harness.nudge("mall", "one", role);
    injected
}

async fn crash(harness: &Harness, role: &str) -> testing::Recovery {
    let injected = strike(harness, role, Fault::Panic);
    harness.assert_recovers(&injected, 40 * SECOND).await
}

/// ASA-L-12
#[test]
fn a_dead_asa_is_deregistered() {
    testing::run(1, async |harness| {
        let (peer, _) = shop(&harness, ONE).await;
        let names = async || harness.deployment("mall").grasp().status().await.unwrap().asas;
        assert_eq!(names().await, ["one"]);
        moved(&harness, "mall", "one", Move::Deactivate).await.unwrap();
        moved(&harness, "mall", "one", Move::Revoke).await.unwrap();
        assert_eq!(names().await, Vec::<String>::new());
        assert_eq!(find(&peer).await, []);
        assert!(harness.deployment("mall").grasp().objectives().await.unwrap().is_empty());
        // It dies without being asked, and again with nobody to build it anew.
        moved(&harness, "mall", "one", Move::Instantiate).await.unwrap();
        moved(&harness, "mall", "one", Move::Activate).await.unwrap();
        assert_eq!((names().await, find(&peer).await.len()), (vec!["one#2".to_owned()], 1));
        harness.end("mall").await;
        assert_eq!(find(&peer).await, []);
        let mortal = format!("{ONE}restart.restarts = 0\n[supervision]\nrebuilds = 1\n");
        harness.node("mall", &[&SHOP], &mortal).await;
        assert!(crash(&harness, "book").await.rebuilt);
        assert_eq!(names().await, ["one#2"]);
        strike(&harness, "book", Fault::Panic);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(harness.fatal().len(), 1);
        assert_eq!(names().await, Vec::<String>::new());
        assert_eq!(find(&peer).await, []);
    });
}

/// A customer that has been asked to wait and waits for the answer.
async fn left_waiting(harness: &Harness, manifest: &str, role: &str) -> (Duration, grasp::Error) {
    let (peer, place) = shop(harness, manifest).await;
    let waiting = async { peer.request_negotiate(&asking(-1), Some(&place), 60 * SECOND).await };
    let struck = async {
        tokio::time::sleep(SECOND).await;
        assert_eq!(harness.instance("mall", "one").await.busy, 1);
        strike(harness, role, Fault::Panic);
        harness.now()
    };
    let (answer, struck) = futures_util::join!(waiting, struck);
    (harness.now() - struck, answer.expect_err("nothing can have been agreed"))
}

/// ASA-M-04
#[test]
fn a_peer_is_never_left_waiting_by_our_crash() {
    // The role that negotiates, a role that it depends on, and the whole instance.
    let escalates = format!("{ONE}restart.restarts = 0\n");
    for (manifest, role) in [(ONE, "negotiator"), (ONE, "book"), (&escalates, "negotiator"), (&escalates, "flooder")] {
        testing::run(2, async |harness| {
            let (took, error) = left_waiting(&harness, manifest, role).await;
            assert_eq!(error.code, ErrorCode::Declined, "{role}: {error}\n{}", harness.story());
            assert!(took <= SECOND, "{role}: told after {took:?}");
            tokio::time::sleep(2 * SECOND).await;
            assert_eq!(harness.status("mall").await.node.sessions, 0);
        });
    }
}

/// ASA-M-04
#[test]
fn state_is_fresh_after_restart() {
    testing::run(3, async |harness| {
        let (peer, place) = shop(&harness, ONE).await;
        let open = [haggle(&peer, &place).await.unwrap(), haggle(&peer, &place).await.unwrap()];
        assert_eq!(harness.instance("mall", "one").await.busy, 2);
        assert_eq!(crash(&harness, "negotiator").await.life, 2);
        assert_eq!(
            harness.instance("mall", "one").await.busy,
            0,
            "the new life knows nothing of the sessions of the old"
        );
        for session in open {
            assert_eq!(settle(session).await.unwrap_err().code, ErrorCode::Declined);
        }
        buy(&peer, &place).await.unwrap();
        // The same instance, registered once, with the same address.
        let found = find(&peer).await.remove(0);
        assert_eq!((found.locator, harness.instance("mall", "one").await.incarnations), (place.locator, 1));
    });
}

/// ASA-M-04
#[test]
fn a_queued_message_survives_a_restart() {
    testing::run(4, async |harness| {
        let manifest = format!("{ONE}restart.first_pause_ms = 3000\nrestart.jitter_percent = 0\n");
        let (peer, place) = shop(&harness, &manifest).await;
        let injected = strike(&harness, "negotiator", Fault::Panic);
        tokio::time::sleep(SECOND).await;
        let asked = harness.now();
        let answers = futures_util::future::join_all((0..20).map(|_| buy(&peer, &place))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}\n{}", harness.story());
        assert!(harness.now() - asked >= 2 * SECOND, "they waited for the next life");
        assert_eq!(harness.assert_recovers(&injected, SECOND).await.life, 2);
    });
}

/// ASA-R-13, ASA-M-03
#[test]
fn a_hang_is_seen_within_ten_seconds() {
    for role in ["book", "negotiator", "flooder"] {
        for lead in [0, 1500, 2900] {
            testing::run(5, async |harness| {
                let (peer, place) = shop(&harness, ONE).await;
                tokio::time::sleep(Duration::from_millis(lead)).await;
                let begun = harness.now();
                let injected = strike(&harness, role, Fault::Hang);
                let recovery = harness.assert_recovers(&injected, 15 * SECOND).await;
                assert_eq!((recovery.life, recovery.rebuilt), (2, false));
                let seen = harness.incidents().into_iter().find(|one| one.what.exit == Exit::Hung).unwrap();
                assert_eq!(seen.what.role, role);
                assert!(seen.at - begun <= 10 * SECOND, "seen after {:?}", seen.at - begun);
                buy(&peer, &place).await.unwrap();
            });
        }
    }
}

/// ASA-R-13, ASA-M-03: the same with a thread for each instance, and one of them blocked.
#[test]
fn a_blocked_thread_is_left_behind_and_the_instance_serves_on_a_new_one() {
    actix::System::new().block_on(async {
        tokio::time::timeout(60 * SECOND, blocked_thread()).await.expect("within a minute");
    });
}

async fn blocked_thread() {
    let fabric = Fabric::new(6);
    let link = fabric.link(Conditions::default());
    let start = async |name: &str, manifest: String, classes: &[&'static dyn Class]| {
        let content = format!(
            "[node]\nname = '{name}'\n[grasp]\nsubstrate = 'insecure-lab'\nlink_local_locators = true\nport = 0\n\
             [supervision]\nthreads = true\nping_every_ms = 200\nping_deadline_ms = 200\n{manifest}"
        );
        let sources = Sources { path: Some("t".into()), content: Some(content.into_bytes()), ..Sources::default() };
        let loaded = Manifest::load(sources, &[&SHOP]).unwrap_or_else(|problems| panic!("{problems}"));
        let stage = Stage::new(Arc::new(fabric.node(&[link])), classes, Arc::new(drop));
        Deployment::start(loaded, stage, |config| config.interfaces = Interfaces::All).await.unwrap()
    };
    let two = format!("{ONE}[asa.two]\nclass = 'shop'\n");
    let mall = start("mall", two, &[&SHOP]).await;
    let other = start("peer", String::new(), &[]).await;
    let peer = other.grasp().register_asa("peer").await.unwrap();
    peer.register_objective(&sold(), Registration::default()).await.unwrap();
    let place = find(&peer).await.remove(0);
    buy(&peer, &place).await.unwrap();
    let before = mall.tree().find("one", "negotiator").unwrap();
    assert!(mall.tree().arm("one", "negotiator", Fault::Hang, 1) && mall.tree().nudge("one", "negotiator"));
    let begun = tokio::time::Instant::now();
    let status =
        async || -> StatusReport { serde_json::from_value(mall.execute(Command::Status).await.unwrap()).unwrap() };
    loop {
        let now = mall.tree().find("one", "negotiator");
        if now.is_some_and(|now| !Arc::ptr_eq(&now, &before) && now.condition() == Condition::Running) {
            break;
        }
        assert!(begun.elapsed() < 10 * SECOND, "not rebuilt: {:?}", mall.tree().status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let report = status().await;
    assert_eq!((report.escalations, report.abandoned_threads), (1, 1));
    let incarnations: Vec<u64> = report.instances.iter().map(|one| one.incarnations).collect();
    assert_eq!(incarnations, [2, 1], "the other one is left alone");
    assert!(report.instances.iter().all(|one| one.phase == Phase::Operational));
    assert!(report.health.reasons.iter().any(|reason| reason.contains("thread")), "{:?}", report.health);
    let mut asas = mall.grasp().status().await.unwrap().asas;
    asas.sort();
    assert_eq!(asas, ["one#2", "two"]);
    for _ in 0..20 {
        buy(&peer, &place).await.unwrap();
    }
    other.stop(SECOND).await;
    mall.stop(SECOND).await;
}

/// ASA-R-01, ASA-M-03
#[test]
fn the_sixth_crash_escalates() {
    testing::run(7, async |harness| {
        let (peer, place) = shop(&harness, ONE).await;
        let rebuilt = || harness.events().into_iter().filter(|e| matches!(e.what, Event::Rebuilt { .. })).count();
        for rebuild in 1..=3 {
            for life in 2..=6 {
                let recovery = crash(&harness, "negotiator").await;
                assert_eq!((recovery.life, recovery.rebuilt), (life, false));
            }
            let recovery = crash(&harness, "negotiator").await;
            assert_eq!((recovery.life, recovery.rebuilt), (1, true));
            tokio::time::sleep(SECOND).await;
            assert_eq!(rebuilt(), rebuild);
            let status = harness.instance("mall", "one").await;
            assert_eq!((status.phase, status.incarnations), (Phase::Operational, rebuild as u64 + 1));
            buy(&peer, &place).await.unwrap();
            tokio::time::sleep(40 * SECOND).await;
        }
        assert_eq!(harness.fatal().len(), 0);
        for _ in 0..5 {
            crash(&harness, "negotiator").await;
        }
        strike(&harness, "negotiator", Fault::Panic);
        tokio::time::sleep(5 * SECOND).await;
        let fatal = harness.fatal();
        assert_eq!(fatal.len(), 1, "the fourth rebuild in ten minutes is one too many");
        assert!(fatal[0].what.contains("rebuilt too often"), "{}", fatal[0].what);
        assert_eq!(rebuilt(), 3);
    });
}

/// ASA-R-01
#[test]
fn dependents_restart_in_rest_for_one() {
    testing::run(8, async |harness| {
        let _ = shop(&harness, ONE).await;
        crash(&harness, "negotiator").await;
        let life = |role: &str| harness.deployment("mall").tree().find("one", role).unwrap().life();
        assert_eq!((life("book"), life("negotiator"), life("flooder")), (1, 2, 2));
        crash(&harness, "book").await;
        tokio::time::sleep(SECOND).await;
        assert_eq!((life("book"), life("negotiator"), life("flooder")), (2, 3, 3));
    });
}

/// ASA-R-10
#[test]
fn a_neighbour_does_not_notice() {
    testing::run(9, async |harness| {
        harness.node("mall", &[&SHOP], &format!("{ONE}restart.restarts = 2\n[asa.two]\nclass = 'shop'\n")).await;
        let peer = customer(&harness, "peer").await;
        let place = find(&peer).await.remove(0);
        let before: Vec<_> = ["book", "negotiator", "flooder"]
            .map(|role| harness.deployment("mall").tree().find("two", role).unwrap())
            .to_vec();
        for _ in 0..7 {
            crash(&harness, "negotiator").await;
            buy(&peer, &place).await.unwrap();
        }
        assert_eq!(harness.instance("mall", "one").await.incarnations, 3);
        assert_eq!(harness.instance("mall", "two").await.incarnations, 1);
        assert!(before.iter().all(|vitals| vitals.life() == 1 && vitals.last_exit().is_none()));
    });
}

/// ASA-R-01, ASA-M-03
#[test]
fn an_instance_that_cannot_be_built_anew_is_tried_again() {
    let flaky: &'static Flaky = Box::leak(Box::new(Flaky(AtomicU32::new(0))));
    testing::run(12, async |harness| {
        harness.node("mall", &[flaky], "[asa.one]\nclass = 'flaky'\nrestart.restarts = 0\n").await;
        let peer = customer(&harness, "peer").await;
        let place = find(&peer).await.remove(0);
        flaky.0.store(2, Ordering::Relaxed);
        strike(&harness, "book", Fault::Panic);
        tokio::time::sleep(SECOND).await;
        let status = harness.instance("mall", "one").await;
        assert_eq!((status.phase, status.wanted), (Phase::Installed, Phase::Operational));
        assert!(status.error.is_some_and(|error| error.contains("not today")));
        let health = harness.status("mall").await.health;
        assert!(health.reasons.iter().any(|reason| reason.contains("one is installed")), "{health:?}");
        assert_eq!(buy(&peer, &place).await.unwrap_err().code, ErrorCode::NoPeer);
        // Once more in vain, then it works.
        tokio::time::sleep(35 * SECOND).await;
        assert_eq!(harness.instance("mall", "one").await.phase, Phase::Installed);
        tokio::time::sleep(30 * SECOND).await;
        let status = harness.instance("mall", "one").await;
        assert_eq!((status.phase, status.error), (Phase::Operational, None));
        buy(&peer, &place).await.unwrap();
        assert_eq!(harness.deployment("mall").grasp().status().await.unwrap().asas.len(), 1);
    });
}

/// ASA-M-03: whoever watches over all others cannot be mended from inside.
#[test]
fn a_root_that_fails_ends_the_process() {
    testing::run(13, async |harness| {
        harness.node("mall", &[&SHOP], ONE).await;
        let _ = harness.inject("mall", "node", "root", Fault::Panic, 1);
        harness.nudge("mall", "node", "root");
        tokio::time::sleep(SECOND).await;
        let fatal = harness.fatal();
        assert_eq!(fatal.len(), 1);
        assert!(fatal[0].what.contains("the root of the node has ended"), "{}", fatal[0].what);
        assert!(harness.execute("mall", Command::Status).await.unwrap_err().message.contains("gone"));
    });
}

/// What two nodes and a customer go through while faults strike.
fn history(seed: u64) -> String {
    let conditions = Conditions {
        latency: Duration::from_millis(3),
        jitter: Duration::from_millis(9),
        loss: 0.05,
        ..Conditions::default()
    };
    testing::run_on(seed, conditions, testing::LIMIT, async |harness| {
        harness.node("mall", &[&SHOP], ONE).await;
        let buyer = "[asa.buyer]\nclass = 'shop'\nparameters.buys_every_ms = 300\n";
        harness.node("home", &[&SHOP], buyer).await;
        let storm = testing::Storm {
            faults: 80,
            kinds: vec![(Fault::Panic, 3), (Fault::Stop, 1), (Fault::Hang, 1)],
            ..testing::Storm::default()
        };
        let report = harness.storm(&storm).await;
        let events: Vec<String> =
            harness.events().iter().map(|e| format!("{:?} {} {:?}", e.at, e.node, e.what)).collect();
        let incidents: Vec<String> =
            harness.incidents().iter().map(|e| format!("{:?} {} {:?}", e.at, e.node, e.what)).collect();
        assert!(events.len() > 20 && incidents.len() > 10, "{}", harness.story());
        format!("{:?}\n{}\n{}", report.injected, events.join("\n"), incidents.join("\n"))
    })
}

#[test]
fn the_simulation_is_deterministic_per_seed() {
    let first = history(10);
    let again = history(10);
    if let Some((a, b)) = first.lines().zip(again.lines()).find(|(a, b)| a != b) {
        panic!("{a}\n{b}");
    }
    assert_eq!(first, again);
    assert_ne!(first, history(11));
}
