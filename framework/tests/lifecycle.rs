//! The life of an instance as an operator leads it: moves, reloads, drills, and what the node says of itself.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may fail loudly")]

mod agents;

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

async fn reload(harness: &Harness, plan: bool) -> Result<Plan, Failure> {
    harness.execute("mall", Command::Reload { plan }).await.map(|plan| serde_json::from_value(plan).unwrap())
}

fn kinds(plan: &Plan) -> Vec<(&str, ChangeKind)> {
    plan.changes.iter().map(|change| (change.what.as_str(), change.kind)).collect()
}

const CLASSES: [&(dyn Class + 'static); 3] = [&SHOP, &SHOP_2, &PANICS];

/// ASA-L-05, ASA-R-11
#[test]
fn a_reload_shows_its_plan_and_applies_it_make_before_break() {
    testing::run(5, async |harness| {
        let two = "[asa.two]\nclass = 'shop'\nversion = '1.0.0'\n";
        let old = format!("{ONE}{two}[asa.three]\nclass = 'shop'\nversion = '1.0.0'\n");
        harness.node("mall", &CLASSES, &old).await;
        let peer = customer(&harness, "peer").await;
        let place = find(&peer).await.remove(0);
        assert_eq!(kinds(&reload(&harness, true).await.unwrap()), []);
        // One is changed, two is moved, three goes, four comes; the port waits for the next start.
        let four = "[asa.four]\nclass = 'shop'\n[grasp]\nport = 7018\n";
        let new = format!("{ONE}parameters.flood_every_ms = 5000\n{two}state = 'instantiated'\n{four}");
        harness.rewrite("mall", &new);
        let expected = [
            ("node", ChangeKind::NextStart),
            ("four", ChangeKind::Starts),
            ("one", ChangeKind::Restarts),
            ("three", ChangeKind::Stops),
            ("two", ChangeKind::Changes),
        ];
        let shown = reload(&harness, true).await.unwrap();
        assert_eq!((kinds(&shown), shown.applied), (expected.to_vec(), false));
        let names = || async {
            let all = harness.status("mall").await.instances;
            all.into_iter().map(|one| (one.name, one.phase, one.incarnations)).collect::<Vec<_>>()
        };
        let up = Phase::Operational;
        let of = |name: &str, phase, number| (name.to_owned(), phase, number);
        assert_eq!(names().await, [of("one", up, 1), of("three", up, 1), of("two", up, 1)], "it was only shown");
        let applied = async {
            let plan = reload(&harness, false).await.unwrap();
            assert_eq!((kinds(&plan), plan.applied), (expected.to_vec(), true));
            assert!(plan.changes.iter().all(|change| change.error.is_none()), "{plan:?}");
        };
        let asked = async {
            for _ in 0..300 {
                buy(&peer, &place).await.unwrap_or_else(|error| panic!("{error}\n{}", harness.story()));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        futures_util::join!(applied, asked);
        assert_eq!(names().await, [of("four", up, 1), of("one", up, 2), of("two", Phase::Instantiated, 1)]);
        assert_eq!(kinds(&reload(&harness, true).await.unwrap()), []);
    });
}

/// ASA-R-11
#[test]
fn an_invalid_change_leaves_the_running_state_untouched() {
    testing::run(6, async |harness| {
        harness.node("mall", &CLASSES, ONE).await;
        let before = harness.instance("mall", "one").await;
        let two = "[asa.two]\nclass = 'shop'\n";
        for (wrong, why) in [
            (format!("{ONE}parameters.flood_every_ms = 1\n{two}"), "flood_every_ms"),
            (format!("{ONE}colour = 'red'\n{two}"), "colour"),
            (format!("{two}[asa.three]\nclass = 'stall'\n"), "stall"),
            ("not TOML".to_owned(), "mall.toml"),
        ] {
            harness.rewrite("mall", &wrong);
            for plan in [true, false] {
                let failure = reload(&harness, plan).await.unwrap_err();
                assert_eq!(failure.code, FailureCode::Refused);
                assert!(failure.message.contains("nothing has changed") && failure.message.contains(why), "{failure}");
            }
        }
        let status = harness.status("mall").await;
        assert_eq!(status.instances.len(), 1);
        let after = &status.instances[0];
        assert_eq!((after.phase, after.incarnations), (before.phase, before.incarnations));
        assert_eq!(status.health.readiness, Readiness::Ready);
    });
}

/// ASA-R-11: what cannot be applied is said, the old one carries on, and the next reload tries again.
#[test]
fn a_change_that_fails_leaves_what_runs_and_is_tried_again() {
    testing::run(7, async |harness| {
        harness.node("mall", &CLASSES, ONE).await;
        harness.rewrite("mall", &ONE.replace("1.0.0", "1.0.1"));
        for _ in 0..2 {
            let plan = reload(&harness, false).await.unwrap();
            assert_eq!(kinds(&plan), [("one", ChangeKind::Restarts)]);
            let error = plan.changes[0].error.as_deref().expect("that version panics");
            assert!(error.contains("the old one carries on"), "{error}");
            let status = harness.instance("mall", "one").await;
            assert_eq!((status.phase, status.version.as_str()), (Phase::Operational, "1.0.0"));
        }
        let health = harness.status("mall").await.health;
        assert_eq!(health.readiness, Readiness::Degraded);
        assert!(health.reasons.iter().any(|reason| reason.contains("did not become healthy")), "{health:?}");
        harness.rewrite("mall", &ONE.replace("1.0.0", "2.0.0"));
        assert_eq!(reload(&harness, false).await.unwrap().changes[0].error, None);
        assert_eq!(harness.instance("mall", "one").await.version, "2.0.0");
        assert_eq!(harness.status("mall").await.health.readiness, Readiness::Ready);
    });
}

/// ASA-L-07
#[test]
fn an_instance_describes_itself_to_its_operator_and_if_switched_on_to_the_network() {
    testing::run(8, async |harness| {
        let manifest = format!("{ONE}describe = true\nresources = ['shelf']\nparameters.promises = 1\n");
        harness.node("mall", &CLASSES, &format!("{manifest}[asa.two]\nclass = 'shop'\n")).await;
        let described = async |instance: Option<&str>| -> Result<Vec<Described>, Failure> {
            let command = Command::Describe { instance: instance.map(str::to_owned) };
            harness.execute("mall", command).await.map(|value| serde_json::from_value(value).unwrap())
        };
        let one = described(Some("one")).await.unwrap().remove(0);
        assert_eq!((one.class.as_str(), one.version.as_str(), one.node.as_str()), ("shop", "1.0.0", "mall"));
        assert_eq!(
            (one.objectives, one.resources),
            (vec!["32473:sold".into(), "32473:told".into()], vec!["shelf".into()])
        );
        assert_eq!(
            (one.metrics, one.actions, one.phase),
            (vec!["sales".into()], vec!["haggle".into()], Phase::Operational)
        );
        assert!(
            one.origins.iter().any(|origin| origin.key == "parameters.promises" && origin.origin.contains("mall.toml"))
        );
        assert_eq!(described(None).await.unwrap().len(), 2);
        let peer = harness.peer("peer").await;
        let asked = async |name: &str| {
            let objective = Objective::synchronization(&format!("{DESCRIPTION_OBJECTIVE}{name}"));
            let answer = peer.synchronize(&objective, None, 2 * SECOND).await?;
            Ok::<Described, grasp::Error>(answer.value.unwrap().decode().unwrap())
        };
        let read = asked("one").await.unwrap();
        assert_eq!(
            (read.version.as_str(), read.phase, read.resources),
            ("1.0.0", Phase::Operational, vec!["shelf".into()])
        );
        assert!(read.parameters.is_empty() && read.origins.is_empty(), "those are the operator's business");
        assert_eq!(asked("two").await.unwrap_err().code, ErrorCode::NotFloodedNorDiscovered);
        // What it says follows what becomes of it.
        moved(&harness, "mall", "one", Move::Deactivate).await.unwrap();
        assert_eq!(asked("one").await.unwrap().phase, Phase::Instantiated);
        let command = Command::Replace { instance: "one".into(), with: "shop@2.0.0".into() };
        harness.execute("mall", command).await.unwrap();
        assert_eq!(asked("one").await.unwrap().version, "2.0.0");
        moved(&harness, "mall", "one", Move::Revoke).await.unwrap();
        assert!(asked("one").await.is_err());
        assert_eq!(described(Some("one")).await.unwrap_err().code, FailureCode::Refused);
        assert_eq!(described(Some("six")).await.unwrap_err().code, FailureCode::Unknown);
    });
}

/// ASA-R-10, ASA-M-03
#[test]
fn drills_are_refused_unless_allowed_and_then_tell_how_long_the_recovery_took() {
    testing::run(9, async |harness| {
        harness.node("mall", &CLASSES, &format!("{ONE}[asa.two]\nclass = 'shop'\n")).await;
        let drill = async |role: &str, fault, instance: Option<&str>| -> Result<Vec<DrillReport>, Failure> {
            let instance = instance.map(str::to_owned);
            let command = Command::Drill { role: role.into(), fault, instance, count: 2 };
            harness.execute("mall", command).await.map(|value| serde_json::from_value(value).unwrap())
        };
        let failure = drill("book", Fault::Panic, Some("one")).await.unwrap_err();
        assert!(failure.code == FailureCode::Refused && failure.message.contains("control.drills"), "{failure}");
        assert_eq!(harness.incidents().len(), 0);
        harness.rewrite("mall", &format!("[control]\ndrills = true\n{ONE}[asa.two]\nclass = 'shop'\n"));
        reload(&harness, false).await.unwrap();
        assert_eq!(drill("book", Fault::Panic, None).await.unwrap_err().code, FailureCode::Refused);
        assert_eq!(drill("broom", Fault::Panic, None).await.unwrap_err().code, FailureCode::Unknown);
        assert_eq!(drill("book", Fault::Panic, Some("six")).await.unwrap_err().code, FailureCode::Unknown);
        for (role, fault) in [("book", Fault::Panic), ("negotiator", Fault::Stop), ("flooder", Fault::Hang)] {
            tokio::time::sleep(60 * SECOND).await;
            let reports = drill(role, fault, Some("one")).await.unwrap();
            assert_eq!(reports.len(), 2);
            for report in reports {
                let took = report.recovered_after_ms.expect("it recovers");
                let most = if fault == Fault::Hang { 15_000.0 } else { 1000.0 };
                assert!((50.0..most).contains(&took), "{report:?}");
            }
        }
        assert_eq!(harness.instance("mall", "two").await.incarnations, 1);
    });
}

struct Levels(Mutex<String>);

impl LogLevels for Levels {
    fn current(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn set(&self, directives: &str) -> Result<(), String> {
        if directives == "loud" {
            return Err("loud is no level".into());
        }
        directives.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

#[test]
fn the_log_level_is_shown_and_changed_where_the_program_can() {
    testing::run(10, async |harness| {
        let level = async |node: &str, level: Option<&str>| {
            harness.execute(node, Command::LogLevel { level: level.map(str::to_owned) }).await
        };
        harness.node("mute", &[], "").await;
        assert_eq!(level("mute", None).await.unwrap_err().code, FailureCode::Refused);
        let levels: Arc<dyn LogLevels> = Arc::new(Levels(Mutex::new("info".into())));
        harness.try_node("mall", &[], "", |stage| stage.levels = Some(levels)).await.unwrap();
        assert_eq!(level("mall", None).await.unwrap()["level"], "info");
        assert_eq!(level("mall", Some("debug")).await.unwrap()["level"], "debug");
        assert!(level("mall", Some("loud")).await.unwrap_err().message.contains("no level"));
        harness.rewrite("mall", "[log]\nlevel = 'warn'\n");
        reload(&harness, false).await.unwrap();
        assert_eq!(level("mall", None).await.unwrap()["level"], "warn");
    });
}

/// ASA-M-08
#[test]
fn health_is_degraded_with_the_reason_while_a_fault_is_fresh_and_ready_afterwards() {
    testing::run(11, async |harness| {
        harness.node("mall", &CLASSES, &format!("{ONE}restart.first_pause_ms = 2000\n")).await;
        let health = async || harness.status("mall").await.health;
        assert_eq!((health().await.readiness, health().await.reasons), (Readiness::Ready, vec![]));
        let injected = harness.inject("mall", "one", "negotiator", Fault::Panic, 1);
        harness.nudge("mall", "one", "negotiator");
        tokio::time::sleep(SECOND / 10).await;
        let hurt = health().await;
        assert_eq!(hurt.readiness, Readiness::Degraded);
        assert!(hurt.reasons.contains(&"negotiator of one is being restarted".to_owned()), "{hurt:?}");
        harness.assert_recovers(&injected, 5 * SECOND).await;
        let fresh = health().await;
        assert!(fresh.reasons.iter().any(|r| r.contains("negotiator of one was restarted")), "{fresh:?}");
        assert!(fresh.reasons.iter().any(|r| r.contains("drill: panic")), "{fresh:?}");
        let status = harness.status("mall").await;
        let child = status.actors.iter().find(|child| child.role == "negotiator").unwrap();
        assert_eq!((child.life, child.restarts), (2, 1));
        assert!(child.last_recovery_ms.is_some_and(|ms| (1500.0..=2600.0).contains(&ms)), "{child:?}");
        // How long ago it was is told by the wall clock, which no test moves.
        let later = |status: &StatusReport| {
            let at = status.actors.iter().filter_map(|child| child.last_error.as_ref()).map(|exit| exit.at).last();
            assess(&status.node, &status.instances, &status.actors, 0, at.unwrap() + 31.0)
        };
        assert_eq!(later(&status).reasons, Vec::<String>::new());
        // A hang is seen by the watchdog, whose age tells that it looks.
        let injected = harness.inject("mall", "one", "book", Fault::Hang, 1);
        harness.nudge("mall", "one", "book");
        let begun = harness.now();
        while later(&harness.status("mall").await).readiness == Readiness::Ready {
            assert!(harness.now() - begun <= 10 * SECOND, "nobody sees it: {}", harness.story());
            tokio::time::sleep(SECOND / 10).await;
        }
        harness.assert_recovers(&injected, 10 * SECOND).await;
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(later(&harness.status("mall").await).readiness, Readiness::Ready);
        let ages: Vec<_> = harness.status("mall").await.actors.into_iter().map(|child| child.watchdog_age_ms).collect();
        assert!(ages.iter().flatten().count() >= 4 && ages.iter().flatten().all(|age| *age <= 5000), "{ages:?}");
    });
}

#[test]
fn tables_can_be_dumped() {
    testing::run(12, async |harness| {
        harness.node("mall", &CLASSES, ONE).await;
        let peer = customer(&harness, "peer").await;
        let place = find(&peer).await.remove(0);
        let open = haggle(&peer, &place).await.unwrap();
        let rows =
            async |table| harness.execute("mall", Command::Dump { table }).await.unwrap().as_array().unwrap().len();
        assert_eq!((rows(Dump::Sessions).await, rows(Dump::Objectives).await), (1, 2));
        assert_eq!((rows(Dump::Discovery).await, rows(Dump::Floods).await), (0, 1));
        settle(open).await.unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(rows(Dump::Sessions).await, 0);
    });
}
