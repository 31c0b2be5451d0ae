//! The node's own actors fall and begin anew; each guarantee under its name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod fabric;

use fabric::*;
use grasp::net::Network;
use grasp::net::memory::Conditions;
use grasp::wire::Message;
use grasp::{Asa, ErrorCode, Failure, Grasp, Negotiated, NodeConfig, Registration, Session};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervision::watchdog::{WatchLimits, watch};
use supervision::{Fault, Tree};
use tokio::time::{Instant, sleep, timeout};

/// Longer than the first pause of a restart.
const BACK: Duration = Duration::from_millis(300);

/// A node whose actors can be made to fall.
struct Subject {
    node: Grasp,
    tree: Tree,
    failures: Arc<Mutex<Vec<Failure>>>,
}

impl Subject {
    async fn new(lan: &Lan) -> Self {
        Self::with(lan, |_| {}).await
    }

    async fn with(lan: &Lan, change: impl FnOnce(&mut NodeConfig)) -> Self {
        let (tree, failures) = (Tree::with(true, None), Arc::new(Mutex::new(Vec::new())));
        let told = failures.clone();
        let node = lan.node_with("subject", |config| {
            config.tree = Some(tree.clone());
            config.on_failure = Some(Arc::new(move |failure| told.lock().unwrap().push(failure)));
            change(config);
        });
        Self { node: node.await, tree, failures }
    }

    /// The next thing that this actor hears makes it fall.
    fn arm(&self, role: &str) {
        assert!(self.tree.arm("node", role, Fault::Panic, 1), "{role}");
    }

    /// Makes it fall at once.
    async fn fell(&self, role: &str) {
        self.arm(role);
        assert!(self.tree.nudge("node", role), "{role}");
        sleep(ms(1)).await;
    }

    fn restarts(&self, role: &str) -> u64 {
        self.tree.find("node", role).unwrap().restarts()
    }

    fn failures(&self) -> Vec<Failure> {
        self.failures.lock().unwrap().clone()
    }
}

/// An open negotiation: the subject's ASA has a request of the puppet before it.
async fn open(asa: &Asa, puppet: &Puppet, node: &Grasp, session_id: u32) -> (Talk, Session) {
    let request = Message::RequestNegotiation { session_id, objective: with(&neg(NAME), 1) };
    let objective = neg(NAME);
    let (talk, listened) = tokio::join!(puppet.say(node, &request), asa.listen_negotiate(&objective));
    (talk, listened.unwrap().0)
}

/// ASA-R-10: the flood that is being relayed is lost; those before and after it pass.
#[test]
fn a_panic_while_relaying_loses_one_message() {
    paused(async {
        let lan = Lan::new();
        let far = lan.fabric.link(Conditions { latency: ms(5), ..Conditions::default() });
        let tree = Tree::with(true, None);
        let place = lan.fabric.node(&[lan.link, far]);
        let relay = lan.node_on("relay", Arc::new(place), |config| config.tree = Some(tree.clone())).await;
        let origin = lan.node("origin").await;
        let end = lan.node_on("end", Arc::new(lan.fabric.node(&[far])), |_| {}).await;
        let asa = origin.register_asa("A").await.unwrap();
        for (name, falls) in [("32473:a", false), ("32473:b", true), ("32473:c", false)] {
            asa.register_objective(&syn(name), Registration::default()).await.unwrap();
            if falls {
                assert!(tree.arm("node", "flood", Fault::Panic, 1));
            }
            asa.flood(0, vec![(with(&syn(name), 1), None)]).await.unwrap();
            sleep(ms(20)).await;
        }
        sleep(SOON).await;
        assert_eq!(end.flooded_names().await.unwrap(), ["32473:a", "32473:c"]);
        assert_eq!(
            relay.flooded_names().await.unwrap(),
            ["32473:a", "32473:c"],
            "what it knew, and what came in its pause"
        );
        assert_eq!(tree.find("node", "flood").unwrap().restarts(), 1);
        // The same for discovery: the question is asked again by its origin, and relayed then.
        let _theirs =
            asa_with(&end, "B", &neg(NAME), Registration { discoverable: true, ..Registration::default() }).await;
        assert!(tree.arm("node", "discovery", Fault::Panic, 1));
        assert_eq!(asa.discover(&neg(NAME), s(5), None).await.unwrap().len(), 1);
        assert_eq!(tree.find("node", "discovery").unwrap().restarts(), 1);
        assert_eq!(tree.find("node", "node").unwrap().restarts(), 0, "its neighbour does not notice");
    });
}

/// ASA-R-10: what others have flooded is still there after a flood of one's own has failed; that is sent all the same.
#[test]
fn a_panic_while_flooding_keeps_the_flood_cache() {
    paused(async {
        let lan = Lan::new();
        let (subject, other) = (Subject::new(&lan).await, lan.node("other").await);
        let theirs = asa(&other, "B", &syn("32473:theirs")).await;
        theirs.flood(0, vec![(with(&syn("32473:theirs"), 1), None)]).await.unwrap();
        let ours = asa(&subject.node, "A", &syn("32473:ours")).await;
        sleep(SOON).await;
        subject.arm("flood");
        ours.flood(0, vec![(with(&syn("32473:ours"), 2), None)]).await.unwrap();
        sleep(SOON).await;
        assert_eq!(subject.restarts("flood"), 1);
        assert_eq!(subject.node.flooded_names().await.unwrap(), ["32473:ours", "32473:theirs"]);
        assert_eq!(other.flooded_names().await.unwrap(), ["32473:ours", "32473:theirs"], "it knows its links");
    });
}

/// ASA-R-10: a new life knows the links and the objectives at once, and what it had learned.
#[test]
fn a_restarted_discovery_answers_for_what_is_registered() {
    paused(async {
        let lan = Lan::new();
        let (subject, other) = (Subject::new(&lan).await, lan.node("other").await);
        let registration = Registration { discoverable: true, ..Registration::default() };
        let ours = asa_with(&subject.node, "A", &neg(NAME), registration.clone()).await;
        let theirs = asa_with(&other, "B", &neg("32473:theirs"), registration.clone()).await;
        assert_eq!(ours.discover(&neg("32473:theirs"), s(1), None).await.unwrap().len(), 1);
        subject.fell("discovery").await;
        // While it rests: word of it is heard only then.
        ours.register_objective(&neg("32473:late"), registration).await.unwrap();
        sleep(BACK).await;
        for name in [NAME, "32473:late"] {
            assert_eq!(theirs.discover(&neg(name), s(1), None).await.unwrap().len(), 1, "{name}");
        }
        let cached = ours.discover(&neg("32473:theirs"), DEFAULT, None).await.unwrap();
        assert_eq!((cached.len(), subject.restarts("discovery")), (1, 1));
        // Also if it falls while it begins.
        subject.fell("discovery").await;
        subject.arm("discovery");
        sleep(s(1)).await;
        assert_eq!(subject.restarts("discovery"), 3);
        assert_eq!(theirs.discover_direct(&neg(NAME), s(1), Some(DEFAULT)).await.unwrap().len(), 1);
    });
}

/// ASA-R-10: what comes while a link rests waits in its socket.
#[test]
fn a_restarted_link_hears_again() {
    paused(async {
        let lan = Lan::new();
        let (subject, other) = (Subject::new(&lan).await, lan.node("other").await);
        let theirs = other.register_asa("B").await.unwrap();
        for name in ["32473:a", "32473:b"] {
            theirs.register_objective(&syn(name), Registration::default()).await.unwrap();
        }
        subject.fell("link e0").await;
        theirs.flood(0, vec![(with(&syn("32473:a"), 1), None)]).await.unwrap();
        sleep(ms(50)).await;
        assert!(subject.node.flooded_names().await.unwrap().is_empty(), "it rests");
        sleep(BACK).await;
        theirs.flood(0, vec![(with(&syn("32473:b"), 1), None)]).await.unwrap();
        sleep(BACK).await;
        assert_eq!(subject.node.flooded_names().await.unwrap(), ["32473:a", "32473:b"]);
        // It speaks, and hears the answers that come to the port it speaks from.
        let registration = Registration { discoverable: true, ..Registration::default() };
        theirs.register_objective(&neg(NAME), registration).await.unwrap();
        let ours = subject.node.register_asa("A").await.unwrap();
        assert_eq!(ours.discover(&neg(NAME), s(1), None).await.unwrap().len(), 1);
        assert_eq!(subject.restarts("link e0"), 1);
    });
}

/// ASA-R-10: the port is the same, and connections that come meanwhile wait.
#[test]
fn a_restarted_reception_accepts_again() {
    paused(async {
        let lan = Lan::new();
        let (subject, puppet) = (Subject::new(&lan).await, lan.puppet());
        let ours = asa(&subject.node, "A", &syn(NAME)).await;
        ours.listen_synchronize(&with(&syn(NAME), 5)).await.unwrap();
        let port = subject.node.status().await.unwrap().port;
        subject.arm("reception");
        let begun = Instant::now();
        assert_eq!(puppet.connect(&subject.node).await.next().await, None, "closed at once");
        assert!(begun.elapsed() < ms(50), "{:?}", begun.elapsed());
        let request = Message::RequestSynchronization { session_id: 1, objective: syn(NAME) };
        let answer = puppet.say(&subject.node, &request).await.next().await;
        assert_eq!(answer, Some(Message::Synch { session_id: 1, objective: with(&syn(NAME), 5) }));
        assert!(begun.elapsed() > ms(70), "it has waited");
        assert_eq!((subject.node.status().await.unwrap().port, subject.restarts("reception")), (port, 1));
    });
}

/// ASA-R-10: requests and listeners that wait are served by the next life.
#[test]
fn a_restarted_objective_goes_on_listening_and_serves_what_waited() {
    paused(async {
        let lan = Lan::new();
        let (subject, puppet) = (Subject::new(&lan).await, lan.puppet());
        let (ours, role) = (asa(&subject.node, "A", &neg(NAME)).await, format!("objective {NAME}"));
        let (mut first, session) = open(&ours, &puppet, &subject.node, 1).await;
        // Nobody waits for this one.
        let request = Message::RequestNegotiation { session_id: 2, objective: with(&neg(NAME), 2) };
        let mut second = puppet.say(&subject.node, &request).await;
        sleep(ms(50)).await;
        subject.fell(&role).await;
        assert!(second.is_silent(BACK).await, "it waits on");
        let (waited, objective) = ours.listen_negotiate(&neg(NAME)).await.unwrap();
        assert_eq!(number(&objective), 2);
        // The session of the first has not noticed.
        session.end_negotiate(true, None).await.unwrap();
        waited.end_negotiate(true, None).await.unwrap();
        assert!(matches!(first.next().await, Some(Message::End { .. })));
        assert!(matches!(second.next().await, Some(Message::End { .. })));
        // One who listens already does not notice either; it stops by itself, and begins anew.
        for (round, fault) in [Fault::Panic, Fault::Stop].into_iter().enumerate() {
            sleep(s(31)).await;
            let listening = async {
                let (session, _) = ours.listen_negotiate(&neg(NAME)).await.unwrap();
                session.end_negotiate(true, None).await.unwrap();
            };
            let id = 3 + u32::try_from(round).unwrap();
            tokio::join!(listening, async {
                sleep(ms(10)).await;
                assert!(subject.tree.arm("node", &role, fault, 1) && subject.tree.nudge("node", &role));
                sleep(BACK).await;
                let request = Message::RequestNegotiation { session_id: id, objective: with(&neg(NAME), 3) };
                assert!(matches!(puppet.say(&subject.node, &request).await.next().await, Some(Message::End { .. })));
            });
        }
        assert_eq!(sessions(&subject.node).await, 0);
        // It goes with its objective.
        ours.deregister_objective(&neg(NAME)).await.unwrap();
        sleep(SOON).await;
        assert!(subject.tree.find("node", &role).is_none());
    });
}

/// ASA-R-10: an objective that falls over the word that nobody listens any more still closes what waits.
#[test]
fn what_is_stopped_while_an_objective_falls_stays_stopped() {
    paused(async {
        let lan = Lan::new();
        let (subject, puppet) = (Subject::new(&lan).await, lan.puppet());
        let ours = asa(&subject.node, "A", &neg(NAME)).await;
        let (_talk, _session) = open(&ours, &puppet, &subject.node, 1).await;
        let request = Message::RequestNegotiation { session_id: 2, objective: with(&neg(NAME), 2) };
        let mut waits = puppet.say(&subject.node, &request).await;
        sleep(ms(50)).await;
        subject.arm("objective 32473:x");
        ours.stop_listen_negotiate(&neg(NAME)).await.unwrap();
        let begun = Instant::now();
        assert_eq!(waits.next().await, None, "closed, as by a stop that is heard");
        assert!(begun.elapsed() < s(1), "{:?}", begun.elapsed());
        assert_eq!(subject.restarts("objective 32473:x"), 1);
        // A listener that is let go so is told.
        let listening = neg(NAME);
        let (listened, ()) = tokio::join!(ours.listen_negotiate(&listening), async {
            sleep(s(31)).await;
            subject.arm("objective 32473:x");
            ours.stop_listen_negotiate(&listening).await.unwrap();
        });
        assert_eq!(code(listened), ErrorCode::Unspecified);
    });
}

/// ASA-R-10: registrations, announcements and open sessions outlive the node's own life; what was let go meanwhile is gone.
#[test]
fn a_restarted_node_knows_its_asas() {
    paused(async {
        let lan = Lan::new();
        let (subject, puppet) = (Subject::new(&lan).await, lan.puppet());
        let (ours, leaver) = (asa(&subject.node, "A", &neg(NAME)).await, subject.node.register_asa("B").await.unwrap());
        let (mut talk, session) = open(&ours, &puppet, &subject.node, 1).await;
        subject.arm("node");
        // The word that this one leaves is what the node falls over.
        drop(leaver);
        sleep(ms(1)).await;
        assert_eq!(subject.tree.find("node", "node").unwrap().condition(), supervision::Condition::Pausing);
        // A call waits for the next life.
        let status = subject.node.status().await.unwrap();
        assert_eq!((status.asas.as_slice(), status.sessions, status.links.len()), (["A".to_owned()].as_slice(), 1, 1));
        assert_eq!((subject.node.objectives().await.unwrap().len(), subject.restarts("node")), (1, 1));
        // A call that makes it fall is made again if that does no harm, and else an error that says so.
        sleep(s(31)).await;
        subject.arm("node");
        assert_eq!(subject.node.status().await.unwrap().sessions, 1);
        sleep(s(31)).await;
        subject.arm("node");
        let error = ours.register_objective(&syn("32473:s"), Registration::default()).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unspecified);
        assert!(error.to_string().contains("try again"), "{error}");
        ours.register_objective(&syn("32473:s"), Registration::default()).await.unwrap();
        session.end_negotiate(true, None).await.unwrap();
        assert!(matches!(talk.next().await, Some(Message::End { .. })));
        assert_eq!((sessions(&subject.node).await, subject.restarts("node")), (0, 3));
        assert!(subject.failures().is_empty());
    });
}

/// ASA-R-10: a question that is being asked is asked again; the caller notices nothing.
#[test]
fn a_question_survives_the_restart_of_discovery() {
    paused(async {
        let lan = Lan::new();
        let (subject, other) = (Subject::new(&lan).await, lan.node("other").await);
        let ours = subject.node.register_asa("A").await.unwrap();
        let begun = Instant::now();
        let objective = neg(NAME);
        let (found, _theirs) = tokio::join!(ours.discover(&objective, s(5), None), async {
            sleep(s(1)).await;
            subject.fell("discovery").await;
            asa_with(&other, "B", &neg(NAME), Registration { discoverable: true, ..Registration::default() }).await
        });
        assert_eq!((found.unwrap().len(), subject.restarts("discovery")), (1, 1));
        assert!(begun.elapsed() < ms(5_300), "{:?}", begun.elapsed());
        assert_eq!(subject.node.status().await.unwrap().session_ids, 0, "the ids of both questions are free");
    });
}

/// ASA-R-10: who watches floods goes on hearing of them, whatever becomes of the cache.
#[test]
fn a_watcher_survives_the_restart_of_flood() {
    paused(async {
        let lan = Lan::new();
        let (subject, other) = (Subject::new(&lan).await, lan.node("other").await);
        let (ours, theirs) = (subject.node.register_asa("A").await.unwrap(), asa(&other, "B", &syn(NAME)).await);
        let mut copies = ours.watch_flood(&syn(NAME)).await.unwrap();
        for value in 1..4 {
            theirs.flood(0, vec![(with(&syn(NAME), value), None)]).await.unwrap();
            let copy = timeout(s(1), copies.recv()).await.expect("word of it").expect("still watching");
            assert_eq!(number(&copy.objective), value);
            subject.fell("flood").await;
        }
        assert_eq!(subject.restarts("flood"), 3);
        // Also when the word of it is what the actor falls over.
        sleep(s(31)).await;
        subject.arm("flood");
        assert!(ours.watch_flood(&syn(NAME)).await.is_ok());
    });
}

/// ASA-R-10: whichever actor has the peer's request when it falls, the peer hears of it within a second.
#[test]
fn a_peer_is_never_left_waiting_by_our_crash() {
    paused(async {
        for role in ["node", "objective 32473:x", "session"] {
            let lan = Lan::new();
            let (subject, puppet) = (Subject::new(&lan).await, lan.puppet());
            let ours = asa(&subject.node, "A", &neg(NAME)).await;
            let (mut talk, session) = open(&ours, &puppet, &subject.node, 1).await;
            let request = Message::RequestNegotiation { session_id: 2, objective: with(&neg(NAME), 2) };
            let mut other = puppet.connect(&subject.node).await;
            subject.arm(role);
            let begun = Instant::now();
            if role == "session" {
                talk.send(&Message::Negotiate { session_id: 1, objective: with(&neg(NAME), 2) }).await;
                assert_eq!(talk.declined().await, "this side has failed");
                assert_eq!(code(session.end_negotiate(true, None).await), ErrorCode::NoSession);
            } else {
                other.send(&request).await;
                assert_eq!(other.declined().await, "this side has failed");
                // The one before is not touched.
                session.end_negotiate(true, None).await.unwrap();
                assert!(matches!(talk.next().await, Some(Message::End { .. })));
            }
            assert!(begun.elapsed() < s(1), "{role}: {:?}", begun.elapsed());
            assert_eq!(subject.restarts(role), 1, "{role}");
            drop(other);
            let status = {
                sleep(SOON).await;
                subject.node.status().await.unwrap()
            };
            assert_eq!((status.sessions, status.session_ids), (0, 0), "{role}");
        }
        // A request that has not been read yet: see a_restarted_reception_accepts_again.
    });
}

/// ASA-R-10: what is kept might be what an actor falls over; so it is kept once.
#[test]
fn a_second_crash_in_a_row_starts_empty() {
    paused(async {
        let lan = Lan::new();
        let (subject, other) = (Subject::new(&lan).await, lan.node("other").await);
        let theirs = asa(&other, "B", &syn(NAME)).await;
        let known = async || subject.node.flooded_names().await.unwrap().len();
        for (pause, left) in [(0, 1), (31, 1), (1, 0)] {
            theirs.flood(0, vec![(with(&syn(NAME), 1), None)]).await.unwrap();
            sleep(s(pause) + ms(50)).await;
            subject.fell("flood").await;
            assert_eq!(known().await, left, "after {pause} s");
        }
        assert_eq!(subject.node.status().await.unwrap().counters["caches_dropped{flood}"], 1);
        // An objective's queue: those that wait are declined, and the ASA goes on listening.
        sleep(s(31)).await;
        let (puppet, ours) = (lan.puppet(), asa(&subject.node, "A", &neg("32473:x")).await);
        let (_talk, _session) = open(&ours, &puppet, &subject.node, 1).await;
        let request = Message::RequestNegotiation { session_id: 2, objective: with(&neg(NAME), 2) };
        let mut waits = puppet.say(&subject.node, &request).await;
        sleep(ms(50)).await;
        subject.fell("objective 32473:x").await;
        assert!(waits.is_silent(BACK).await);
        subject.fell("objective 32473:x").await;
        assert_eq!(waits.declined().await, "this side has failed");
        // The node: nobody is registered any more, and whoever built the ASAs hears of it.
        sleep(s(31)).await;
        let (mut talk, _session) = open(&ours, &puppet, &subject.node, 3).await;
        subject.fell("node").await;
        assert!(talk.is_silent(s(1)).await);
        assert!(subject.failures().is_empty());
        let begun = Instant::now();
        subject.fell("node").await;
        talk.declined().await;
        assert!(begun.elapsed() < s(1));
        assert_eq!(code(ours.listen_negotiate(&neg(NAME)).await), ErrorCode::NoAsa);
        assert!(matches!(subject.failures()[..], [Failure::Forgot]), "{:?}", subject.failures());
        sleep(SOON).await;
        let status = subject.node.status().await.unwrap();
        assert_eq!((status.asas.len(), status.sessions, status.session_ids, status.links.len()), (0, 0, 0, 1));
        // It works for those who come now, also under the old names.
        drop(ours);
        let registration = Registration { discoverable: true, ..Registration::default() };
        let ours = asa_with(&subject.node, "A", &neg(NAME), registration).await;
        let (_talk, _session) = open(&ours, &puppet, &subject.node, 4).await;
        let other = asa(&other, "C", &neg("32473:y")).await;
        assert_eq!(other.discover(&neg(NAME), s(1), None).await.unwrap().len(), 1);
    });
}

/// ASA-R-10: five restarts within 30 s are the limit; then the sessions are declined, and whoever built the node hears of it.
#[test]
fn the_sixth_crash_of_the_node_is_reported() {
    paused(async {
        let lan = Lan::new();
        let (subject, puppet) = (Subject::new(&lan).await, lan.puppet());
        let ours = asa(&subject.node, "A", &neg(NAME)).await;
        let (mut talk, _session) = open(&ours, &puppet, &subject.node, 1).await;
        for _ in 0..5 {
            subject.fell("interfaces").await;
            sleep(s(2)).await;
        }
        assert!(subject.failures().is_empty() && subject.node.status().await.is_ok());
        subject.fell("interfaces").await;
        talk.declined().await;
        let failures = subject.failures();
        let [Failure::GaveUp(escalated)] = &failures[..] else { panic!("{failures:?}") };
        assert_eq!((escalated.owner.as_str(), escalated.role.as_str()), ("node", "interfaces"));
        let error = subject.node.status().await.unwrap_err();
        assert!(error.to_string().contains("shut down"), "{error}");
        subject.node.shutdown(s(1)).await;
        assert!(left(&subject.tree).is_empty(), "{:?}", left(&subject.tree));
        // The port is free for another.
        let again = lan.node("again").await;
        assert!(again.status().await.is_ok());
    });
}

/// What is left in a tree, but for the count that all sessions of all nodes in it share.
fn left(tree: &Tree) -> Vec<String> {
    let status = tree.status();
    status.into_iter().filter(|child| child.role != "session").map(|child| child.role).collect()
}

/// ASA-R-10: a node that has been shut down is gone, also while some of its actors rest.
#[test]
fn shutting_down_leaves_no_actor() {
    paused(async {
        let lan = Lan::new();
        for falls in [None, Some("node"), Some("discovery"), Some("link e0"), Some("objective 32473:x")] {
            let (subject, puppet) = (Subject::new(&lan).await, lan.puppet());
            let ours = asa(&subject.node, "A", &neg(NAME)).await;
            let (mut talk, _session) = open(&ours, &puppet, &subject.node, 1).await;
            let locator = at(&subject.node).await.locator;
            let door = SocketAddr::new(locator.address().unwrap(), locator.port().unwrap());
            let mut roles = left(&subject.tree);
            roles.sort();
            let all =
                ["discovery", "flood", "interfaces", "link e0", "node", "objective 32473:x", "reception", "supervisor"];
            assert_eq!(roles, all);
            if let Some(role) = falls {
                subject.fell(role).await;
            }
            subject.node.shutdown(s(1)).await;
            talk.declined().await;
            assert!(left(&subject.tree).is_empty(), "{falls:?}: {:?}", left(&subject.tree));
            assert!(subject.tree.status().is_empty());
            assert_eq!(code(subject.node.status().await), ErrorCode::Unspecified);
            assert!(puppet.0.connect(door).await.is_err(), "{falls:?}: nobody listens");
        }
    });
}

/// ASA-R-10: whichever actor ends in whichever way, everything works again soon.
#[test]
fn whatever_ends_however_begins_anew() {
    for fault in [Fault::Panic, Fault::Stop, Fault::Hang] {
        for role in ["node", "discovery", "flood", "interfaces", "reception", "link e0", "objective 32473:x"] {
            paused(async {
                let lan = Lan::new();
                let (subject, other) = (Subject::new(&lan).await, lan.node("other").await);
                let watching = actix::spawn(watch(subject.tree.clone(), WatchLimits::default(), |_| {}));
                let ours = asa(&subject.node, "A", &neg(NAME)).await;
                ours.register_objective(&syn("32473:s"), Registration::default()).await.unwrap();
                let theirs = asa(&other, "B", &neg(NAME)).await;
                let server = actix::spawn(async move {
                    loop {
                        let (session, _) = ours.listen_negotiate(&neg(NAME)).await.unwrap();
                        let _ = session.end_negotiate(true, None).await;
                        let _ = ours.flood(0, vec![(with(&syn("32473:s"), 1), None)]).await;
                    }
                });
                sleep(s(1)).await;
                assert!(subject.tree.arm("node", role, fault, 1) && subject.tree.nudge("node", role));
                sleep(s(12)).await;
                let wanted = with(&neg(NAME), 1);
                let outcome = theirs.request_negotiate(&wanted, None, s(5)).await;
                assert!(matches!(outcome, Ok(Negotiated::Accepted(_))), "{role} {fault:?}: {outcome:?}");
                sleep(SOON).await;
                assert_eq!(other.flooded_names().await.unwrap(), ["32473:s"], "{role} {fault:?}");
                let fallen = subject.tree.find("node", role).unwrap();
                // An objective that has ended by itself is made anew.
                let expected = if fault == Fault::Stop && role.starts_with("objective") { 0 } else { 1 };
                assert_eq!(fallen.restarts(), expected, "{role} {fault:?}");
                assert!(subject.failures().is_empty());
                server.abort();
                watching.abort();
            });
        }
    }
}
