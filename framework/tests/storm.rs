//! A storm of a thousand crashes at random points of random roles, under negotiation load, from one seed: afterwards
//! everything works, nothing has grown, and the counts add up.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test may fail loudly")]

mod agents;

use agents::{SHOP, asking, buy, customer, find, haggle, settle};
use asa_framework::event::Event;
use asa_framework::lifecycle::Phase;
use asa_framework::testing::{self, Harness, Storm};
use grasp::net::memory::Conditions;
use grasp::{Asa, AsaLocator, Error, ErrorCode};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use supervision::{Condition, Decision, Exit, Fault};

const SECOND: Duration = Duration::from_secs(1);
const SEED: u64 = 20_260;
/// The longest that a request may take: its own time limit.
const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    /// Drills that have struck as a panic on this thread: the whole of a simulation runs on one.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the drill's panics instead of writing a thousand of them.
fn count_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() == Some(&"drill: panic") {
            PANICS.with(|panics| panics.set(panics.get() + 1));
        } else {
            usual(info);
        }
    }));
}

/// What became of the requests of those who never stop asking.
#[derive(Default)]
struct Books {
    asked: Cell<u32>,
    accepted: Cell<u32>,
    declined: Cell<u32>,
    failed: Cell<u32>,
    longest: Cell<Duration>,
    enough: Cell<bool>,
}

impl Books {
    fn enter(&self, result: &Result<(), Error>, took: Duration) {
        let count = match result {
            Ok(()) => &self.accepted,
            Err(error) if error.code == ErrorCode::Declined => &self.declined,
            Err(_) => &self.failed,
        };
        count.set(count.get() + 1);
        self.longest.set(self.longest.get().max(took));
    }
}

/// Asks without end: quick negotiations, long ones, and some that are left open to die by the caps.
fn load(harness: &Harness, peer: &Asa, places: &[AsaLocator]) -> Rc<Books> {
    let books = Rc::new(Books::default());
    for lane in 0..4u64 {
        let (harness, peer, places, books) = (harness.clone(), peer.clone(), places.to_vec(), books.clone());
        actix::spawn(async move {
            let mut turn = 0usize;
            while !books.enough.get() {
                tokio::time::sleep(Duration::from_millis(90 + 20 * lane)).await;
                turn += 1;
                let place = &places[turn % places.len()];
                let begun = harness.now();
                books.asked.set(books.asked.get() + 1);
                let result = match (lane, turn % 10) {
                    (0 | 1, _) => buy(&peer, place).await,
                    (2, _) => {
                        let slow = async {
                            let session = haggle(&peer, place).await?;
                            tokio::time::sleep(Duration::from_millis(700)).await;
                            settle(session).await
                        };
                        slow.await
                    }
                    _ => peer.request_negotiate(&asking(-1), Some(place), PATIENCE).await.map(drop),
                };
                books.enter(&result, harness.now() - begun);
            }
        });
    }
    books
}

const LIMITS: &str = "restart.restarts = 1000\nrestart.within_ms = 1000\nrestart.longest_pause_ms = 400\n";
const NODE: &str = "[supervision]\nrebuilds = 1000\n[grasp]\nsession_cap_ms = 60000\n";

fn manifests(limits: &str) -> (String, String) {
    let mall = format!("[asa.one]\nclass = 'shop'\n{limits}{NODE}");
    let home = format!(
        "[asa.two]\nclass = 'shop'\n{limits}[asa.buyer]\nclass = 'shop'\n{limits}parameters.buys_every_ms = 250\n{NODE}"
    );
    (mall, home)
}

/// What may not have grown when all is quiet again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Size {
    actors: Vec<(String, String)>,
    waiting: u64,
    sessions: usize,
    asas: usize,
    objectives: usize,
    flood_cache: usize,
    discovery_cache: bool,
    busy: usize,
}

async fn size(harness: &Harness, node: &str) -> Size {
    let deployment = harness.deployment(node);
    let status = harness.status(node).await;
    let grasp = deployment.grasp();
    Size {
        actors: status.actors.iter().map(|child| (child.asa.clone(), child.role.clone())).collect(),
        waiting: status.actors.iter().map(|child| child.mailbox).filter(|waiting| *waiting > 4).sum(),
        sessions: status.node.sessions,
        asas: grasp.status().await.unwrap().asas.len(),
        objectives: grasp.objectives().await.unwrap().len(),
        flood_cache: status.node.flood_cache,
        discovery_cache: status.node.discovery_cache <= 2,
        busy: status.instances.iter().map(|one| one.busy).sum(),
    }
}

fn sorted(mut size: Size) -> Size {
    size.actors.sort();
    size
}

/// Waits until everybody has had the time to end what was open.
async fn calm(harness: &Harness, books: &Books) {
    books.enough.set(true);
    // The buyer goes on, so sessions come and go; none may be older than the cap.
    tokio::time::sleep(70 * SECOND).await;
    assert_eq!(books.asked.get(), books.accepted.get() + books.declined.get() + books.failed.get(), "one is stuck");
    for node in harness.nodes() {
        for child in harness.deployment(&node).tree().status() {
            assert_eq!(child.condition, Condition::Running, "{}", harness.story());
        }
    }
}

/// ASA-M-04, ASA-R-10, ASA-R-14
#[test]
fn a_thousand_crashes_leave_everything_as_it_was() {
    count_panics();
    let conditions = Conditions { latency: Duration::from_millis(2), ..Conditions::default() };
    testing::run_on(SEED, conditions, 24 * testing::LIMIT, async |harness| {
        let (mall, home) = manifests(LIMITS);
        harness.node("mall", &[&SHOP], &mall).await;
        harness.node("home", &[&SHOP], &home).await;
        let peer = customer(&harness, "peer").await;
        let places = find(&peer).await;
        assert_eq!(places.len(), 2);
        tokio::time::sleep(15 * SECOND).await;
        let idle = (sorted(size(&harness, "mall").await), sorted(size(&harness, "home").await));
        let books = load(&harness, &peer, &places);
        let storm = Storm {
            faults: 1600,
            kinds: vec![(Fault::Panic, 90), (Fault::Stop, 4), (Fault::Hang, 3), (Fault::StoreError, 3)],
            pause: (Duration::from_millis(100), Duration::from_millis(900)),
            ..Storm::default()
        };
        let report = harness.storm(&storm).await;
        calm(&harness, &books).await;
        let panics = PANICS.with(Cell::get);
        assert!(panics >= 1000, "{panics} panics");

        // Each panic was seen, and led to a restart; none too many were, and nothing was built anew.
        let incidents = harness.incidents();
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        let mut restarts: BTreeMap<(String, String), u64> = BTreeMap::new();
        for entry in &incidents {
            let what = match &entry.what.exit {
                Exit::Panicked(text) => text.as_str(),
                Exit::Hung => "hung",
                Exit::Normal => "stopped",
            };
            *seen.entry(what).or_default() += 1;
            let Decision::Restart { children, .. } = &entry.what.decision else { panic!("{:?}", entry.what) };
            // Those started after it are restarted with it.
            let roles = ["book", "negotiator", "flooder"];
            for role in &roles[roles.len() - children.len()..] {
                *restarts.entry((entry.what.owner.clone(), (*role).to_owned())).or_default() += 1;
            }
        }
        // One that strikes while a sibling's failure has restarted it already ends a life that nobody waits for.
        let counted = seen["drill: panic"];
        assert!(counted <= panics && counted + panics / 50 >= panics, "{counted} of {panics} were seen: {seen:?}");
        for node in harness.nodes() {
            for child in harness.deployment(&node).tree().status() {
                let ordered = restarts.get(&(child.asa.clone(), child.role.clone())).copied().unwrap_or(0);
                assert_eq!(child.restarts, ordered, "{}/{}: each order is one restart", child.asa, child.role);
                assert_eq!(child.life, ordered + 1);
            }
            let status = harness.status(&node).await;
            assert_eq!((status.escalations, status.abandoned_threads), (0, 0));
            assert!(status.instances.iter().all(|one| one.phase == Phase::Operational && one.incarnations == 1));
        }

        // It works, for everybody, and nobody had to wait longer than a time limit.
        let served = f64::from(books.accepted.get()) / f64::from(books.asked.get());
        assert!(books.asked.get() > 3000 && served > 0.5, "{} of {}", books.accepted.get(), books.asked.get());
        assert!(books.longest.get() <= PATIENCE + 2 * SECOND, "{:?}", books.longest.get());
        for place in &places {
            buy(&peer, place).await.unwrap();
            settle(haggle(&peer, place).await.unwrap()).await.unwrap();
        }
        let before = harness.events().len();
        tokio::time::sleep(5 * SECOND).await;
        let after = harness.events();
        let bought = |e: &&testing::Entry<Event>| matches!(&e.what, Event::NegotiationEnded { asa, outcome: asa_framework::event::Ending::Accepted, .. } if asa == "buyer");
        assert!(after[before..].iter().filter(bought).count() >= 5, "the buyer buys again\n{}", harness.story());

        // Nothing has grown. What is open now is the buyer's, and young.
        assert_eq!(without_work(sorted(size(&harness, "mall").await)), without_work(idle.0));
        assert_eq!(without_work(sorted(size(&harness, "home").await)), without_work(idle.1));
        assert!(peer.grasp().status().await.unwrap().sessions == 0);
        println!(
            "{} faults injected, {panics} panics, seen {seen:?}; {} asked, {} accepted, {} declined, {} failed; longest {:?}; {:?} of simulated time",
            report.injected.len(),
            books.asked.get(),
            books.accepted.get(),
            books.declined.get(),
            books.failed.get(),
            books.longest.get(),
            report.took
        );
    });
}

/// The buyer's own negotiation may be open at any moment.
fn without_work(size: Size) -> Size {
    assert!(size.sessions <= 1 && size.busy <= 2, "{size:?}");
    Size { sessions: 0, busy: 0, ..size }
}

/// ASA-R-01, ASA-M-03: with the limits that a manifest has by default, so that instances are rebuilt again and again.
#[test]
fn a_storm_that_escalates_is_survived_too() {
    count_panics();
    testing::run_on(SEED + 1, Conditions::default(), 24 * testing::LIMIT, async |harness| {
        let (mall, home) = manifests("");
        harness.node("mall", &[&SHOP], &mall).await;
        harness.node("home", &[&SHOP], &home).await;
        let peer = customer(&harness, "peer").await;
        let places = find(&peer).await;
        tokio::time::sleep(15 * SECOND).await;
        let idle = (sorted(size(&harness, "mall").await), sorted(size(&harness, "home").await));
        let books = load(&harness, &peer, &places);
        let storm = Storm {
            faults: 300,
            kinds: vec![(Fault::Panic, 8), (Fault::Hang, 1), (Fault::Stop, 1)],
            ..Storm::default()
        };
        harness.storm(&storm).await;
        calm(&harness, &books).await;
        let (mall, home) = (harness.status("mall").await, harness.status("home").await);
        assert!(mall.escalations + home.escalations >= 5, "{} and {}", mall.escalations, home.escalations);
        for status in [&mall, &home] {
            let built: u64 = status.instances.iter().map(|one| one.incarnations - 1).sum();
            assert_eq!(built, status.escalations, "each escalation is one rebuild");
            assert!(status.instances.iter().all(|one| one.phase == Phase::Operational && one.error.is_none()));
        }
        let escalated = harness.incidents().iter().filter(|e| e.what.decision == Decision::Escalate).count();
        assert_eq!(escalated as u64, mall.escalations + home.escalations);
        assert_eq!(harness.fatal().len(), 0);
        for place in &places {
            buy(&peer, place).await.unwrap();
        }
        assert_eq!(without_work(sorted(size(&harness, "mall").await)), without_work(idle.0));
        assert_eq!(without_work(sorted(size(&harness, "home").await)), without_work(idle.1));
    });
}
