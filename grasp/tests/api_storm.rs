//! Three hundred panics in a node that works: afterwards the books are right and it works as before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod fabric;

use fabric::*;
use grasp::{Asa, Error, ErrorCode, Grasp, Negotiated, NodeConfig, Objective, Registration, Step};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use supervision::{Fault, RestartLimits, Tree};
use tokio::time::{sleep, timeout};

const PANICS: u64 = 300;
const CLIENTS: u64 = 24;
/// Far longer than any call may take.
const EVER: Duration = Duration::from_secs(120);

/// What became of the calls.
#[derive(Default)]
struct Story {
    begun: Cell<u64>,
    ended: RefCell<BTreeMap<String, u64>>,
}

impl Story {
    /// Makes a call, which must end.
    async fn call<T>(&self, what: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.begun.set(self.begun.get() + 1);
        let result = timeout(EVER, call).await.unwrap_or_else(|_| panic!("{what} has not ended"));
        let how = result.as_ref().map_or_else(|error| format!("{:?}", error.code), |_| "Ok".to_owned());
        *self.ended.borrow_mut().entry(format!("{what} {how}")).or_default() += 1;
        result
    }
}

type Shared = (Rc<Story>, Rc<Cell<bool>>);

/// Negotiates until it is over.
async fn client(asa: Asa, objective: Objective, peer: grasp::AsaLocator, (story, over): Shared, seed: u64) {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    while !over.get() {
        sleep(ms(random.random_range(1..60))).await;
        let request = with(&objective, random.random_range(0..10));
        let peer = random.random_bool(0.8).then_some(&peer);
        let Ok(Negotiated::Offered(session, offer)) =
            story.call("request", asa.request_negotiate(&request, peer, s(5))).await
        else {
            continue;
        };
        if random.random_bool(0.5) {
            let _ = story.call("step", session.negotiate_step(&offer, s(5))).await;
        }
        // Those that are not over are declined by being dropped.
    }
}

/// Serves negotiations, and registers anew whenever the node has forgotten it.
async fn server(node: Grasp, objective: Objective, (story, over): Shared) {
    let mut asa = asa(&node, "server", &objective).await;
    while !over.get() {
        let listened = tokio::select! {
            listened = story.call("listen", async { Ok(timeout(s(1), asa.listen_negotiate(&objective)).await) }) => listened,
        };
        match listened {
            Ok(Ok(Ok((session, offer)))) => {
                let story = story.clone();
                actix::spawn(async move {
                    let end = number(&offer).is_multiple_of(2);
                    if end {
                        let _ = story.call("accept", session.end_negotiate(true, None)).await;
                    } else if let Ok(Step::Offered(_)) = story.call("step", session.negotiate_step(&offer, s(5))).await
                    {
                        let _ = story.call("decline", session.end_negotiate(false, None)).await;
                    }
                });
            }
            Ok(Ok(Err(error))) if error.code == ErrorCode::NoAsa || error.code == ErrorCode::NotObjective => {
                if let Ok(again) = story.call("register", node.register_asa("server")).await {
                    asa = again;
                }
                let registration = Registration { discoverable: true, ..Registration::default() };
                let _ = story.call("register", asa.register_objective(&objective, registration)).await;
            }
            _ => sleep(ms(10)).await,
        }
    }
}

/// Asks and floods until it is over.
async fn talker(node: Grasp, (story, over): Shared) {
    let mut count = 0;
    while !over.get() {
        sleep(ms(40)).await;
        count += 1;
        let Ok(asa) = story.call("register", node.register_asa("talker")).await else { continue };
        let _ = story.call("register", asa.register_objective(&syn("32473:s"), Registration::default())).await;
        let _ = story.call("flood", asa.flood(1_000, vec![(with(&syn("32473:s"), count), None)])).await;
        let _ = story.call("discover", asa.discover(&neg(NAME), ms(200), Some(ms(0)))).await;
        let _ = story.call("serve", asa.listen_synchronize(&with(&syn("32473:s"), count))).await;
        let _ = story.call("status", node.status()).await;
        let _ = story.call("sessions", node.sessions()).await;
    }
}

/// ASA-R-10: panics at random inputs of random actors, under load, cost what they hit and no more.
#[test]
fn three_hundred_panics_leave_the_books_right() {
    paused(async {
        let lan = Lan::new();
        let tree = Tree::with(true, None);
        let storm = |config: &mut NodeConfig| {
            config.tree = Some(tree.clone());
            let (first_pause, longest_pause) = (ms(5), ms(20));
            config.restart = RestartLimits { restarts: 100_000, first_pause, longest_pause, ..config.restart };
        };
        let (subject, other) = (lan.node_with("subject", storm).await, lan.node("other").await);
        let shared: Shared = Default::default();
        let objectives = (neg(NAME), neg("32473:theirs"));
        let mut tasks = vec![
            actix::spawn(server(subject.clone(), objectives.0.clone(), shared.clone())),
            actix::spawn(server(other.clone(), objectives.1.clone(), shared.clone())),
            actix::spawn(talker(subject.clone(), shared.clone())),
        ];
        let visitor = asa(&other, "visitor", &objectives.0).await;
        let (there, here) = (at(&subject).await, at(&other).await);
        for seed in 0..CLIENTS {
            let visit = client(visitor.clone(), objectives.0.clone(), there.clone(), shared.clone(), seed);
            tasks.push(actix::spawn(visit));
        }
        // An ASA of the subject that asks others, and is not registered anew when it is forgotten.
        let own = asa(&subject, "own", &objectives.1).await;
        tasks.push(actix::spawn(client(own, objectives.1.clone(), here, shared.clone(), 99)));

        let mut random = ChaCha12Rng::seed_from_u64(1);
        let fallen = || tree.status().iter().map(|child| child.restarts).sum::<u64>();
        let mut struck = BTreeMap::<String, u64>::new();
        // An objective's actor that goes takes its count with it; so what is struck is counted, not what is left.
        while struck.values().sum::<u64>() < PANICS {
            let mut roles: Vec<_> = tree.status().into_iter().map(|child| child.role).collect();
            roles.retain(|role| role != "supervisor");
            let role = &roles[random.random_range(0..roles.len())];
            let vitals = tree.find("node", role).unwrap();
            let before = vitals.restarts();
            assert!(tree.arm("node", role, Fault::Panic, random.random_range(1..6)));
            for _ in 0..100 {
                sleep(ms(random.random_range(5..30))).await;
                if vitals.restarts() > before {
                    break;
                }
                // A quiet one is asked until it falls.
                let _ = tree.nudge("node", role);
            }
            *struck.entry(role.clone()).or_default() += vitals.restarts() - before;
        }
        shared.1.set(true);
        for task in tasks {
            timeout(EVER, task).await.expect("all calls end").unwrap();
        }
        sleep(s(10)).await;
        let (story, _) = &*Rc::new(shared);
        println!("{struck:?}\n{:?}\n{} begun, {} in the tree", story.ended.borrow(), story.begun.get(), fallen());
        assert_eq!(story.begun.get(), story.ended.borrow().values().sum::<u64>(), "each call ended one way or another");
        for node in [&subject, &other] {
            let status = node.status().await.unwrap();
            println!("{:?}", status.counters);
            assert_eq!((status.sessions, status.session_ids), (0, 0), "{}", status.name);
            assert!(node.sessions().await.unwrap().is_empty());
        }
        assert!(struck.len() >= 7, "all kinds of actors: {struck:?}");
        assert!(tree.status().iter().all(|child| child.mailbox <= 1), "{:?}", tree.status());
        // And it works as before, for new ASAs.
        let asa = subject.register_asa("late").await.unwrap();
        let late = neg("32473:late");
        asa.register_objective(&late, Registration { discoverable: true, ..Registration::default() }).await.unwrap();
        visitor.register_objective(&late, Registration::default()).await.unwrap();
        let wanted = with(&late, 1);
        let (asked, listened) = tokio::join!(visitor.request_negotiate(&wanted, None, s(5)), async {
            let (session, _) = asa.listen_negotiate(&late).await?;
            session.end_negotiate(true, None).await
        });
        assert!(matches!(asked, Ok(Negotiated::Accepted(_))), "{asked:?}");
        listened.unwrap();
        drop((asa, visitor));
        subject.shutdown(s(1)).await;
        let left = tree.status();
        assert!(left.iter().all(|child| child.role == "session"), "{left:?}");
    });
}
