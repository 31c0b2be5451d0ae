//! A changed manifest: shown, applied make before break, refused as a whole, tried again.

use super::*;

pub(crate) async fn reload(harness: &Harness, plan: bool) -> Result<Plan, Failure> {
    harness.execute("mall", Command::Reload { plan }).await.map(|plan| serde_json::from_value(plan).unwrap())
}

fn kinds(plan: &Plan) -> Vec<(&str, ChangeKind)> {
    plan.changes.iter().map(|change| (change.what.as_str(), change.kind)).collect()
}

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
        let waits = [("node", ChangeKind::NextStart)];
        assert_eq!(
            kinds(&reload(&harness, true).await.unwrap()),
            waits,
            "what waits for the next start is not forgotten"
        );
    });
}

/// ASA-L-08, ASA-P-03: what the operator has set down by hand stays so over a reload that changes something else about it.
#[test]
fn what_was_done_by_hand_stands_over_a_reload() {
    testing::run(6, async |harness| {
        harness.node("mall", &CLASSES, ONE).await;
        moved(&harness, "mall", "one", Move::Deactivate).await.unwrap();
        harness.rewrite("mall", &format!("{ONE}parameters.flood_every_ms = 5000\n"));
        assert_eq!(kinds(&reload(&harness, false).await.unwrap()), [("one", ChangeKind::Restarts)]);
        let one = harness.instance("mall", "one").await;
        assert_eq!((one.phase, one.wanted, one.incarnations), (Phase::Instantiated, Phase::Instantiated, 2));
        harness.rewrite("mall", &format!("{ONE}parameters.flood_every_ms = 5000\nstate = 'installed'\n"));
        reload(&harness, false).await.unwrap();
        assert_eq!(harness.instance("mall", "one").await.phase, Phase::Installed);
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
