//! What a node says of itself and its instances, and what drills on it show.

use super::*;
use crate::reload::reload;

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
            (vec!["sales".into()], vec!["deactivate".into(), "haggle".into()], Phase::Operational)
        );
        assert!(
            one.origins.iter().any(|origin| origin.key == "parameters.promises" && origin.origin.contains("mall.toml"))
        );
        assert_eq!(described(None).await.unwrap().len(), 2);
        let peer = harness.peer("peer").await;
        let asked = async |name: &str| {
            let objective = Objective::synchronization(format!("{DESCRIPTION_OBJECTIVE}{name}"));
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
            let at = status
                .actors
                .iter()
                .filter_map(|child| child.last_error.as_ref())
                .map(|exit| exit.at)
                .fold(0.0, f64::max);
            assess(&status.node, &status.instances, &status.actors, 0, at + 31.0)
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
