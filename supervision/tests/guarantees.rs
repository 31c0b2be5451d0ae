//! What a supervised actor may rely on, each guarantee under its name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly, in its helpers too")]

use actix::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervision::watchdog::{WatchLimits, Watchdog, watch};
use supervision::{
    Condition, Escalated, Fault, Fresh, Lifetime, Mailbox, Placement, RestartLimits, RestartStrategy, Supervisor, Tree,
    child,
};

/// What happened in which life of which actor.
type Diary = Arc<Mutex<Vec<String>>>;

#[derive(Clone)]
struct Args {
    name: &'static str,
    diary: Diary,
    mortal: bool,
}

/// Counts; falls when told to.
struct Worker {
    args: Args,
    count: u32,
}

impl Worker {
    fn new(args: Args) -> Self {
        Self { args, count: 0 }
    }

    fn note(&self, what: &str) {
        self.args.diary.lock().unwrap().push(format!("{} {what}", self.args.name));
    }
}

impl Fresh for Worker {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

child!(Worker);

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.note("started");
        assert!(!self.args.mortal, "cannot even start");
        ctx.run_later(Duration::from_secs(1), |worker, _| worker.note(&format!("timer after {}", worker.count)));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.note("stopped");
    }
}

#[derive(Message)]
#[rtype(result = "u32")]
struct Add(u32);

impl Handler<Add> for Worker {
    type Result = u32;

    fn handle(&mut self, Add(number): Add, _: &mut Context<Self>) -> u32 {
        supervision::strike();
        self.count += number;
        self.count
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Fall(Where);

enum Where {
    Handler,
    Timer,
    Future,
    Nowhere,
}

impl Handler<Fall> for Worker {
    type Result = ();

    fn handle(&mut self, Fall(place): Fall, ctx: &mut Context<Self>) {
        match place {
            Where::Handler => panic!("fell in a handler"),
            Where::Timer => drop(ctx.run_later(Duration::from_millis(1), |_, _| panic!("fell in a timer"))),
            Where::Future => drop(ctx.spawn(async { panic!("fell in a future") }.into_actor(self))),
            Where::Nowhere => ctx.stop(),
        }
    }
}

/// Collects what reaches the root.
struct Root(Rc<RefCell<Vec<Escalated>>>);

impl Actor for Root {
    type Context = Context<Self>;
}

impl Handler<Escalated> for Root {
    type Result = ();

    fn handle(&mut self, escalated: Escalated, _: &mut Context<Self>) {
        self.0.borrow_mut().push(escalated);
    }
}

struct Stage {
    tree: Tree,
    supervisor: Supervisor,
    escalations: Rc<RefCell<Vec<Escalated>>>,
    diary: Diary,
}

impl Stage {
    fn new(tree: Tree, placement: Placement, strategy: RestartStrategy) -> Self {
        let escalations = Rc::new(RefCell::new(Vec::new()));
        let root = Root(escalations.clone()).start().recipient();
        let limits = RestartLimits { jitter: 0.0, ..RestartLimits::default() };
        let supervisor = Supervisor::start("asa", &tree, placement, (strategy, limits), [7; 32], root);
        Self { tree, supervisor, escalations, diary: Diary::default() }
    }

    fn here(strategy: RestartStrategy) -> Self {
        Self::new(Tree::with(true, None), Placement::Here, strategy)
    }

    fn worker(&self, name: &'static str) -> Mailbox<Worker> {
        let args = Args { name, diary: self.diary.clone(), mortal: false };
        self.supervisor.child(name, Lifetime::Permanent, move |_| Worker::new(args))
    }

    fn diary(&self) -> Vec<String> {
        self.diary.lock().unwrap().clone()
    }

    fn count(&self, entry: &str) -> usize {
        self.diary().iter().filter(|line| *line == entry).count()
    }
}

fn paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let runtime = System::with_tokio_rt(|| runtime);
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(3600), test).await.expect("ended within an hour of simulated time");
    });
}

fn real(test: impl Future<Output = ()>) {
    System::new().block_on(async {
        tokio::time::timeout(Duration::from_secs(30), test).await.expect("ended within 30 s");
    });
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

#[test]
fn the_process_is_built_with_unwinding() {
    // Without unwinding the panic of one actor would end all of them.
    let caught = std::panic::catch_unwind(|| panic!("to be caught"));
    assert!(caught.is_err());
}

#[test]
fn an_address_survives_a_restart() {
    for place in [Where::Handler, Where::Timer, Where::Future, Where::Nowhere] {
        paused(async {
            let stage = Stage::here(RestartStrategy::OneForOne);
            let worker = stage.worker("a");
            assert_eq!(worker.send(Add(1)).await, Ok(1));
            worker.do_send(Fall(place));
            settle().await;
            assert!(worker.connected());
            assert_eq!(worker.send(Add(1)).await, Ok(1), "the same address, a new life");
            assert_eq!((worker.vitals().life(), worker.vitals().restarts()), (2, 1));
        });
    }
}

#[test]
fn a_queued_message_survives_a_restart() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        worker.do_send(Fall(Where::Handler));
        let queued: Vec<_> = (0..1000).map(|_| worker.clone()).collect();
        queued.iter().for_each(|worker| worker.do_send(Add(1)));
        let pausing = worker.send(Add(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(worker.vitals().condition(), Condition::Pausing);
        // The one that fell may still be counted.
        assert!((1001..=1002).contains(&worker.vitals().mailbox()), "those that wait are counted");
        worker.do_send(Add(1));
        assert_eq!(pausing.await, Ok(1001), "all of them, each once");
        settle().await;
        assert_eq!(worker.vitals().mailbox(), 0);
    });
}

#[test]
fn the_message_that_panicked_is_not_retried() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        worker.do_send(Fall(Where::Handler));
        settle().await;
        assert_eq!(worker.vitals().restarts(), 1);
        assert_eq!(stage.count("a started"), 2);
        assert!(stage.escalations.borrow().is_empty());
    });
}

#[test]
fn its_sender_gets_closed() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        let (falls, queued) = (worker.send(Fall(Where::Handler)), worker.send(Add(1)));
        let (falls, queued) = futures_util::join!(falls, queued);
        assert_eq!(falls, Err(MailboxError::Closed));
        assert_eq!(queued, Ok(1));
    });
}

#[test]
fn a_neighbour_does_not_notice() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let (worker, neighbour) = (stage.worker("a"), stage.worker("b"));
        assert_eq!(neighbour.send(Add(1)).await, Ok(1));
        worker.do_send(Fall(Where::Handler));
        for expected in 2..50 {
            assert_eq!(neighbour.send(Add(1)).await, Ok(expected));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!((worker.vitals().life(), neighbour.vitals().life()), (2, 1));
    });
}

#[test]
fn dependents_restart_in_rest_for_one() {
    paused(async {
        let stage = Stage::here(RestartStrategy::RestForOne);
        let (a, b, c) = (stage.worker("a"), stage.worker("b"), stage.worker("c"));
        for worker in [&a, &b, &c] {
            assert_eq!(worker.send(Add(1)).await, Ok(1));
        }
        b.do_send(Fall(Where::Handler));
        settle().await;
        assert_eq!((a.send(Add(1)).await, b.send(Add(1)).await, c.send(Add(1)).await), (Ok(2), Ok(1), Ok(1)));
        assert_eq!(stage.count("c stopped"), 1, "a healthy one takes its leave");
        assert_eq!(stage.count("b stopped"), 0, "one that panicked is not asked any more");
    });
}

#[test]
fn backoff_doubles_and_forgets() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        let recovery = async || {
            worker.do_send(Fall(Where::Handler));
            assert!(worker.send(Add(1)).await.is_ok());
            worker.vitals().recovery().unwrap().0.as_millis()
        };
        for expected in [100, 200, 400, 800, 1600] {
            let took = recovery().await;
            assert!((expected..expected + 5).contains(&took), "{took} ms instead of {expected}");
        }
        tokio::time::sleep(Duration::from_secs(31)).await;
        let took = recovery().await;
        assert!((100..105).contains(&took), "{took} ms after a quiet time");
    });
}

#[test]
fn the_sixth_crash_escalates() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let (worker, neighbour) = (stage.worker("a"), stage.worker("b"));
        for _ in 0..5 {
            worker.do_send(Fall(Where::Handler));
            assert!(worker.send(Add(1)).await.is_ok());
        }
        assert!(stage.escalations.borrow().is_empty());
        worker.do_send(Fall(Where::Handler));
        settle().await;
        let escalations = stage.escalations.borrow();
        assert_eq!((escalations.len(), escalations[0].role.as_str(), escalations[0].blocked), (1, "a", false));
        assert!(!worker.connected() && !neighbour.connected(), "all of them are stopped");
        assert_eq!(neighbour.vitals().condition(), Condition::Stopped);
    });
}

#[test]
fn one_that_cannot_start_escalates_too() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let args = Args { name: "a", diary: stage.diary.clone(), mortal: true };
        let worker = stage.supervisor.child("a", Lifetime::Permanent, move |_| Worker::new(args));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(stage.count("a started"), 6);
        assert_eq!(stage.escalations.borrow().len(), 1);
        assert!(!worker.connected());
    });
}

#[test]
fn no_timer_of_the_last_life_fires() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        assert_eq!(worker.send(Add(10)).await, Ok(10));
        tokio::time::sleep(Duration::from_millis(500)).await;
        worker.do_send(Fall(Where::Handler));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let timers: Vec<_> = stage.diary().into_iter().filter(|line| line.contains("timer")).collect();
        assert_eq!(timers, ["a timer after 0"], "only the timer of the second life");
    });
}

#[test]
fn state_is_fresh_after_restart() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        assert_eq!(worker.send(Add(10)).await, Ok(10));
        worker.do_send(Fall(Where::Future));
        settle().await;
        assert_eq!(worker.send(Add(1)).await, Ok(1));
    });
}

#[test]
fn started_runs_once_per_life() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForAll);
        let (a, b) = (stage.worker("a"), stage.worker("b"));
        for _ in 0..3 {
            a.do_send(Fall(Where::Handler));
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        assert_eq!((a.vitals().life(), b.vitals().life()), (4, 4));
        assert_eq!((stage.count("a started"), stage.count("b started")), (4, 4));
    });
}

#[test]
fn what_a_life_held_is_dropped_before_the_pause() {
    struct Holds(Option<tokio::sync::oneshot::Sender<()>>);
    impl Fresh for Holds {
        fn fresh(&self) -> Self {
            Self(None)
        }
    }
    child!(Holds);
    impl Actor for Holds {
        type Context = Context<Self>;
    }
    impl Handler<Fall> for Holds {
        type Result = ();
        fn handle(&mut self, _: Fall, _: &mut Context<Self>) {
            assert!(self.0.is_none(), "fell");
        }
    }
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let (keep, held) = tokio::sync::oneshot::channel();
        let holder = stage.supervisor.child("a", Lifetime::Permanent, move |_| Holds(Some(keep)));
        holder.do_send(Fall(Where::Handler));
        let begun = tokio::time::Instant::now();
        assert!(held.await.is_err());
        assert!(begun.elapsed() < Duration::from_millis(2));
    });
}

#[test]
fn a_transient_child_that_ends_is_forgotten() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForAll);
        let other = stage.worker("b");
        let args = Args { name: "a", diary: stage.diary.clone(), mortal: false };
        let worker = stage.supervisor.child("a", Lifetime::Transient, move |_| Worker::new(args));
        worker.do_send(Fall(Where::Nowhere));
        settle().await;
        assert!(!worker.connected() && stage.tree.find("asa", "a").is_none());
        assert_eq!(other.vitals().life(), 1);
    });
}

#[test]
fn stopping_ends_all_in_reverse_order() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let workers = [stage.worker("a"), stage.worker("b"), stage.worker("c")];
        assert!(workers[2].send(Add(1)).await.is_ok());
        assert!(stage.supervisor.stop(Duration::from_secs(1)).await);
        let stopped: Vec<_> = stage.diary().into_iter().filter(|line| line.ends_with("stopped")).collect();
        assert_eq!(stopped.len(), 3);
        assert!(workers.iter().all(|worker| !worker.connected()));
        assert!(stage.tree.status().is_empty());
    });
}

#[test]
fn a_stalled_child_is_seen_within_ten_seconds_and_replaced() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        let watching = actix::spawn(watch(stage.tree.clone(), WatchLimits::default(), |_| {}));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(worker.vitals().restarts(), 0);
        assert!(stage.tree.arm("asa", "a", Fault::Hang, 1));
        let begun = tokio::time::Instant::now();
        let lost = worker.send(Add(1));
        let kept = worker.send(Add(1));
        let (lost, kept) = futures_util::join!(lost, kept);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!((lost, kept), (Ok(1), Ok(2)), "it stalled after it had handled them");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!((worker.vitals().life(), worker.vitals().condition()), (2, Condition::Running));
        watching.abort();
    });
}

#[test]
fn a_hang_is_seen_within_ten_seconds() {
    real(async {
        let tree = Tree::new();
        let (arbiter, other) = (Arbiter::new(), Arbiter::new());
        let stage = Stage::new(tree.clone(), Placement::Arbiter(arbiter.handle()), RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        let bystander = Stage::new(tree.clone(), Placement::Arbiter(other.handle()), RestartStrategy::OneForOne);
        let alive = bystander.worker("z");
        assert_eq!(worker.send(Add(1)).await, Ok(1));
        let rounds = Arc::new(Mutex::new(Vec::new()));
        let heard = rounds.clone();
        let watchdog = Watchdog::start(tree.clone(), WatchLimits::default(), move |round| {
            heard.lock().unwrap().push(round.clone());
        });
        assert!(tree.arm("asa", "a", Fault::Hang, 1));
        let begun = tokio::time::Instant::now();
        worker.do_send(Add(1));
        while stage.escalations.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(
            stage.escalations.borrow()[0].blocked,
            "{:?}: a blocked thread cannot be used again",
            stage.escalations.borrow()
        );
        assert!(rounds.lock().unwrap().iter().any(|round| !round.all_answered && !round.hung.is_empty()));
        assert_eq!(alive.send(Add(1)).await, Ok(1));
        assert!(bystander.escalations.borrow().is_empty());
        drop(watchdog);
        tree.release();
    });
}

#[test]
fn a_supervisor_that_fails_is_reported() {
    paused(async {
        let stage = Stage::here(RestartStrategy::OneForOne);
        let worker = stage.worker("a");
        assert_eq!(worker.send(Add(1)).await, Ok(1));
        assert!(stage.tree.arm("asa", "supervisor", Fault::Panic, 1) && stage.tree.nudge("asa", "supervisor"));
        settle().await;
        assert_eq!(stage.escalations.borrow()[0].role, "supervisor");
        assert!(!worker.connected(), "nobody is left to watch over it");
    });
}

#[test]
fn an_actor_that_lives_once_takes_nobody_with_it() {
    paused(async {
        let tree = Tree::with(true, None);
        let kind = tree.shared("node", "session");
        let diary = Diary::default();
        let start = |name| {
            let args = Args { name, diary: diary.clone(), mortal: false };
            supervision::contain(&kind, move |_| Worker::new(args))
        };
        let (a, b) = (start("a"), start("b"));
        assert_eq!(a.send(Fall(Where::Timer)).await, Ok(()));
        settle().await;
        assert!(!a.connected());
        assert_eq!(b.send(Add(1)).await, Ok(1));
        assert_eq!(kind.restarts(), 1);
        assert!(kind.last_exit().unwrap().error.contains("fell in a timer"));
    });
}
