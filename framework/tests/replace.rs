//! Another version in the place of one that runs: nobody who asks notices, and one that is no good takes nothing along.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may fail loudly")]

mod agents;

use agents::{FALLS, NEVER, PANICS, SHOP, SHOP_2, SILENT, Tardy, buy, customer, find, haggle, settle};
use asa_framework::class::Class;
use asa_framework::control::{Command, Failure, FailureCode, Readiness, ReplaceReport};
use asa_framework::lifecycle::Phase;
use asa_framework::testing::{self, Harness};
use grasp::{Asa, AsaLocator};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

const CLASSES: [&(dyn Class + 'static); 6] = [&SHOP, &SHOP_2, &PANICS, &NEVER, &SILENT, &FALLS];
const ONE: &str = "[asa.one]\nclass = 'shop'\nversion = '1.0.0'\nhealthy_ms = 4000\n";
const SECOND: Duration = Duration::from_secs(1);

async fn replace(harness: &Harness, with: &str) -> Result<ReplaceReport, Failure> {
    let command = Command::Replace { instance: "one".into(), with: format!("shop@{with}") };
    harness.execute("mall", command).await.map(|report| serde_json::from_value(report).unwrap())
}

/// What requesters that never stop asking have seen.
#[derive(Default)]
struct Seen {
    asked: Cell<u32>,
    served: Cell<u32>,
    trouble: RefCell<Vec<String>>,
    enough: Cell<bool>,
}

impl Seen {
    fn note(&self, at: Duration, what: &str, result: Result<(), grasp::Error>) {
        self.asked.set(self.asked.get() + 1);
        match result {
            Ok(()) => self.served.set(self.served.get() + 1),
            Err(error) => self.trouble.borrow_mut().push(format!("{what} at {at:?}: {error}")),
        }
    }
}

/// Asks again and again: quick negotiations, and slow ones that are open for a second.
fn never_stops(harness: &Harness, peer: &Asa, place: &AsaLocator) -> Rc<Seen> {
    let seen = Rc::new(Seen::default());
    for lane in 0..9u64 {
        let (harness, peer, place, seen) = (harness.clone(), peer.clone(), place.clone(), seen.clone());
        actix::spawn(async move {
            while !seen.enough.get() {
                tokio::time::sleep(Duration::from_millis(7 + 3 * lane)).await;
                let asked = harness.now();
                if lane < 3 {
                    seen.note(asked, "a quick one", buy(&peer, &place).await);
                } else {
                    let slow = async {
                        let session = haggle(&peer, &place).await?;
                        tokio::time::sleep(SECOND).await;
                        settle(session).await
                    };
                    seen.note(asked, "a slow one", slow.await);
                }
            }
        });
    }
    seen
}

/// ASA-L-10, ASA-L-13, ASA-R-11
#[test]
fn twenty_replacements_lose_nothing_though_some_fail() {
    testing::run(1, async |harness| {
        harness.node("mall", &CLASSES, ONE).await;
        let peer = customer(&harness, "peer").await;
        let place = find(&peer).await.remove(0);
        let seen = never_stops(&harness, &peer, &place);
        tokio::time::sleep(SECOND).await;
        let mut good = 0;
        for turn in 0..20 {
            let bad = match turn {
                5 => Some("1.0.1"),
                9 => Some("1.0.2"),
                13 => Some("1.0.3"),
                _ => None,
            };
            let with = bad.unwrap_or(if turn % 2 == 0 { "2.0.0" } else { "1.0.0" });
            let before = harness.instance("mall", "one").await;
            let replaced = replace(&harness, with).await;
            let after = harness.instance("mall", "one").await;
            assert_eq!((after.phase, after.operation.clone(), after.error.clone()), (Phase::Operational, None, None));
            if bad.is_some() {
                let failure = replaced.expect_err("it is no good");
                assert_eq!(failure.code, FailureCode::Failed);
                assert!(failure.message.ends_with("the old one carries on"), "{failure}");
                assert_eq!(after.version, before.version);
            } else {
                let report = replaced.unwrap();
                assert_eq!((report.to.as_str(), after.version.as_str(), report.abandoned), (with, with, 0));
                good += 1;
            }
            assert_eq!(harness.deployment("mall").grasp().status().await.unwrap().asas.len(), 1, "the other has left");
            tokio::time::sleep(Duration::from_millis(1300)).await;
        }
        seen.enough.set(true);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(*seen.trouble.borrow(), Vec::<String>::new(), "{}", harness.story());
        assert_eq!((seen.asked.get(), good), (seen.served.get(), 17));
        assert!(seen.asked.get() > 1000, "{} asked", seen.asked.get());
        let status = harness.status("mall").await;
        assert_eq!((status.node.sessions, status.escalations, harness.fatal().len()), (0, 0, 0));
        let refused: Vec<_> =
            status.node.counters.iter().filter(|(name, count)| name.contains("refused") && **count > 0).collect();
        assert_eq!(refused, Vec::<(&String, &u64)>::new());
        // One incarnation's actors are left, and no place of the others.
        let actors = status.actors.iter().filter(|child| child.asa == "one").count();
        assert_eq!(actors, 4, "{}", harness.story());
    });
}

/// ASA-L-11
#[test]
fn what_fails_to_become_healthy_says_why_and_leaves_nothing() {
    for (with, why) in [
        ("1.0.1", "panicked: a defect of this version"),
        ("1.0.2", "not assembled within 4000 ms"),
        ("1.0.3", "a role does not answer"),
        ("1.0.4", "panicked: a defect at work"),
    ] {
        // Even where the first failure would be one too many for an instance that serves.
        for restarts in [0, 5] {
            testing::run(2, async |harness| {
                harness.node("mall", &CLASSES, &format!("{ONE}restart.restarts = {restarts}\n")).await;
                let peer = customer(&harness, "peer").await;
                let place = find(&peer).await.remove(0);
                let open = haggle(&peer, &place).await.unwrap();
                let tree = harness.deployment("mall").tree().clone();
                let before = tree.status().len();
                let failure = replace(&harness, with).await.unwrap_err();
                assert!(failure.message.contains(why), "{failure}");
                tokio::time::sleep(SECOND).await;
                assert_eq!(tree.status().len(), before, "{}", harness.story());
                let status = harness.status("mall").await;
                assert_eq!((status.escalations, status.health.readiness), (0, Readiness::Ready), "{:?}", status.health);
                assert_eq!(harness.deployment("mall").grasp().status().await.unwrap().asas, ["one"]);
                settle(open).await.expect("the old one has not noticed");
                buy(&peer, &place).await.unwrap();
            });
        }
    }
}

#[test]
fn what_cannot_be_a_replacement_is_refused_at_once() {
    testing::run(3, async |harness| {
        harness.node("mall", &CLASSES, &format!("{ONE}[asa.two]\nclass = 'shop'\nstate = 'installed'\n")).await;
        let refusal = async |instance: &str, with: &str| {
            let command = Command::Replace { instance: instance.into(), with: with.into() };
            let failure = harness.execute("mall", command).await.unwrap_err();
            (failure.code, failure.message)
        };
        assert_eq!(refusal("one", "shop").await.0, FailureCode::Malformed);
        let (code, message) = refusal("one", "shop@9").await;
        assert_eq!(code, FailureCode::Unknown);
        assert!(message.contains("there are shop@1.0.0, shop@2.0.0"), "{message}");
        assert_eq!(refusal("one", "stall@1").await.0, FailureCode::Unknown);
        assert_eq!(refusal("three", "shop@2").await.0, FailureCode::Unknown);
        let (code, message) = refusal("two", "shop@2").await;
        assert_eq!(code, FailureCode::Refused);
        assert!(message.contains("two is installed: there is nothing to replace"), "{message}");
        // One thing at a time.
        let both = futures_util::join!(replace(&harness, "2.0.0"), replace(&harness, "2.0.0"));
        assert_eq!((both.0.is_ok(), both.1.unwrap_err().code), (true, FailureCode::Busy));
        assert_eq!(harness.instance("mall", "one").await.version, "2.0.0");
    });
}

/// ASA-L-10: what is set down stays set down.
#[test]
fn a_replacement_is_as_active_as_what_it_replaces() {
    testing::run(4, async |harness| {
        harness.node("mall", &CLASSES, &format!("{ONE}state = 'instantiated'\n")).await;
        let peer = customer(&harness, "peer").await;
        replace(&harness, "2.0.0").await.unwrap();
        let status = harness.instance("mall", "one").await;
        assert_eq!((status.phase, status.version.as_str()), (Phase::Instantiated, "2.0.0"));
        let error = match find(&peer).await.first() {
            None => return,
            Some(place) => buy(&peer, place).await.unwrap_err(),
        };
        panic!("found, and answered {error}");
    });
}

/// ASA-R-11
#[test]
fn a_successor_that_dies_while_it_is_proven_takes_nothing_along() {
    testing::run(5, async |harness| {
        harness.node("mall", &CLASSES, &format!("{ONE}restart.restarts = 0\n")).await;
        let peer = customer(&harness, "peer").await;
        let place = find(&peer).await.remove(0);
        let dies = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            // Two bear the name by now; the younger one is hit.
            let _ = harness.inject("mall", "one", "negotiator", supervision::Fault::Panic, 1);
            harness.nudge("mall", "one", "negotiator");
        };
        let (replaced, ()) = futures_util::join!(replace(&harness, "2.0.0"), dies);
        assert!(replaced.unwrap_err().message.contains("negotiator panicked"));
        buy(&peer, &place).await.unwrap();
        let status = harness.instance("mall", "one").await;
        assert_eq!((status.version.as_str(), status.incarnations), ("1.0.0", 2));
        assert_eq!(harness.status("mall").await.escalations, 0);
    });
}

/// ASA-R-11: the one that runs gives up while its successor is proven, and is built anew before that is done or after.
#[test]
fn a_predecessor_that_dies_is_succeeded_all_the_same() {
    let tardy: &'static Tardy = Box::leak(Box::new(Tardy(AtomicU32::new(0))));
    for version in ["1.0.0", "3.0.0"] {
        testing::run(6, async |harness| {
            let manifest = ONE.replace("1.0.0", version);
            harness.node("mall", &[&SHOP, &SHOP_2, tardy], &format!("{manifest}restart.restarts = 0\n")).await;
            let peer = customer(&harness, "peer").await;
            let place = find(&peer).await.remove(0);
            let _ = harness.inject("mall", "one", "negotiator", supervision::Fault::Panic, 1);
            let asks = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                buy(&peer, &place).await
            };
            let (replaced, lost) = futures_util::join!(replace(&harness, "2.0.0"), asks);
            assert!(lost.is_err(), "that one died with it");
            assert_eq!(replaced.unwrap().to, "2.0.0");
            tokio::time::sleep(5 * SECOND).await;
            buy(&peer, &place).await.unwrap();
            let status = harness.instance("mall", "one").await;
            assert_eq!((status.version.as_str(), status.phase, status.error), ("2.0.0", Phase::Operational, None));
            assert_eq!(harness.deployment("mall").grasp().status().await.unwrap().asas.len(), 1);
            assert_eq!(harness.status("mall").await.actors.iter().filter(|child| child.asa == "one").count(), 4);
        });
    }
}
