//! Tests of agents, for their authors: whole nodes on a network in memory, under a clock that skips all waiting.
//!
//! Wanted with the feature `testing`, as a dev-dependency. A test puts nodes and plain GRASP peers on one link, lets faults
//! strike a role at a chosen message or at random from a seed, and asserts that the role serves again. Everything random
//! follows from the seed, so that what fails once fails again.
//!
//! A fault strikes at an input of a role: a probe of the watchdog, or whatever the role itself marks with
//! [`supervision::strike`]. [`Harness::nudge`] sends a probe at once.
//!
//! # Example
//!
//! An agent that counts, and a test that it is restarted when it crashes:
//!
//! ```
//! use actix::prelude::*;
//! use asa_framework::class::{Agent, Class, ClassInfo, Site};
//! use asa_framework::manifest::Problem;
//! use asa_framework::roles::{Control, Load, Outstanding};
//! use asa_framework::testing;
//! use futures_util::future::LocalBoxFuture;
//! use std::time::Duration;
//! use supervision::{Fault, Fresh, child};
//!
//! struct Counter {
//!     count: usize,
//! }
//!
//! impl Fresh for Counter {
//!     fn fresh(&self) -> Self {
//!         Self { count: 0 }
//!     }
//! }
//!
//! child!(Counter);
//!
//! impl Actor for Counter {
//!     type Context = Context<Self>;
//! }
//!
//! impl Handler<Control> for Counter {
//!     type Result = ();
//!     fn handle(&mut self, _: Control, _: &mut Context<Self>) {}
//! }
//!
//! impl Handler<Outstanding> for Counter {
//!     type Result = Load;
//!     fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
//!         self.count += 1;
//!         Load { busy: 0, promises: self.count }
//!     }
//! }
//!
//! struct Counting;
//!
//! impl ClassInfo for Counting {
//!     fn name(&self) -> &'static str { "counting" }
//!     fn version(&self) -> &'static str { "1.0.0" }
//!     fn summary(&self) -> &'static str { "counts how often it is asked" }
//!     fn defaults(&self) -> &'static str { "" }
//!     fn check(&self, _: &serde_json::Value) -> Vec<Problem> { Vec::new() }
//! }
//!
//! impl Class for Counting {
//!     fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, grasp::Error>> {
//!         Box::pin(async move {
//!             let asa = site.register().await?;
//!             site.role("counter", |_| Counter { count: 0 });
//!             Ok(Agent::new(asa))
//!         })
//!     }
//! }
//!
//! # fn main() {
//! testing::run(7, async |harness| {
//!     harness.node("here", &[&Counting], "[asa.one]\nclass = 'counting'\n").await;
//!     assert_eq!(harness.instance("here", "one").await.promises, 1);
//!     assert_eq!(harness.instance("here", "one").await.promises, 2);
//!     // It crashes at its next message, and is back, with fresh state, within a second.
//!     let fault = harness.inject("here", "one", "counter", Fault::Panic, 1);
//!     harness.nudge("here", "one", "counter");
//!     let recovery = harness.assert_recovers(&fault, Duration::from_secs(1)).await;
//!     assert_eq!((recovery.life, recovery.rebuilt), (2, false));
//!     assert_eq!(harness.instance("here", "one").await.promises, 1);
//! });
//! # }
//! ```

mod fault;
mod node;
mod storm;
mod story;

pub use fault::{Injected, Recovery};
pub use storm::{Storm, StormReport, Target};

use crate::control::{Command, Failure, InstanceStatus, StatusReport};
use crate::event::Event;
use grasp::net::memory::{Conditions, Fabric, FabricLink, FabricNode};
use grasp::{Asa, Grasp, Interfaces};
use node::Node;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use supervision::Incident;
use tokio::time::Instant;

/// Simulated time that a test may take, if it does not say.
pub const LIMIT: Duration = Duration::from_secs(3600);
/// How long nodes may take to end after a test.
const FAREWELL: Duration = Duration::from_secs(2);
/// Entries kept in each log; the oldest go first.
const KEPT: usize = 200_000;

/// Runs a test on a paused clock, on a link without loss and with 1 ms latency; ends all nodes afterwards.
///
/// # Panics
///
/// If the test does, if it takes longer than [`LIMIT`] of simulated time, and if the system gives no runtime.
pub fn run<T>(seed: u64, test: impl AsyncFnOnce(Harness) -> T) -> T {
    let conditions = Conditions { latency: Duration::from_millis(1), ..Conditions::default() };
    run_on(seed, conditions, LIMIT, test)
}

/// As [`run`], on a link of these conditions and within this limit of simulated time.
///
/// # Panics
///
/// As [`run`].
pub fn run_on<T>(seed: u64, conditions: Conditions, limit: Duration, test: impl AsyncFnOnce(Harness) -> T) -> T {
    let system = actix::System::with_tokio_rt(|| {
        let built = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        built.unwrap_or_else(|error| panic!("the system gives no runtime: {error}"))
    });
    system.block_on(async {
        let harness = Harness::new(seed, conditions);
        let ended = tokio::time::timeout(limit, test(harness.clone())).await;
        let Ok(result) = ended else {
            panic!("the test did not end within {limit:?} of simulated time\n{}", harness.story())
        };
        harness.stop().await;
        result
    })
}

/// What happened on a node, and when since the test began.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// Simulated time since the test began.
    pub at: Duration,
    /// The node.
    pub node: String,
    /// What happened.
    pub what: T,
}

type Log<T> = Arc<Mutex<Vec<Entry<T>>>>;

/// A laboratory on one link; cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Harness(Rc<Inner>);

struct Inner {
    seed: u64,
    begun: Instant,
    fabric: Fabric,
    link: FabricLink,
    nodes: RefCell<BTreeMap<String, Node>>,
    peers: RefCell<Vec<Grasp>>,
    events: Log<Event>,
    incidents: Log<Incident>,
    fatal: Log<String>,
}

fn note<T>(log: &Log<T>, entry: Entry<T>) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() >= KEPT {
        log.drain(..KEPT / 2);
    }
    log.push(entry);
}

fn copy<T: Clone>(log: &Log<T>) -> Vec<Entry<T>> {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Harness {
    /// A laboratory without nodes, in an actix system that runs already; [`run`] makes both.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        let fabric = Fabric::new(seed);
        let link = fabric.link(conditions);
        let (events, incidents, fatal) = (Log::default(), Log::default(), Log::default());
        let (nodes, peers) = (RefCell::default(), RefCell::default());
        Self(Rc::new(Inner { seed, begun: Instant::now(), fabric, link, nodes, peers, events, incidents, fatal }))
    }

    /// Simulated time since the test began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Changes the link's conditions from now on.
    pub fn conditions(&self, conditions: Conditions) {
        self.0.fabric.set_conditions(self.0.link, conditions);
    }

    /// An ASA on a plain GRASP node of its own on the link, to talk to the agents under test from outside.
    ///
    /// # Panics
    ///
    /// If its node does not start.
    pub async fn peer(&self, name: &str) -> Asa {
        let mut config = self.peer_config(name);
        config.interfaces = Interfaces::All;
        let place = Arc::new(self.0.fabric.node(&[self.0.link]));
        let started = Grasp::start(config, place, Arc::new(grasp::substrate::InsecureLab));
        let grasp = started.unwrap_or_else(|error| panic!("the peer {name} does not start: {error}"));
        // Its links come up.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.peers.borrow_mut().push(grasp.clone());
        grasp.register_asa(name).await.unwrap_or_else(|error| panic!("the peer {name} cannot register: {error}"))
    }

    /// A machine on the link without a node, for what no GRASP node says: its connections carry any bytes.
    #[must_use]
    pub fn machine(&self) -> FabricNode {
        self.0.fabric.node(&[self.0.link])
    }

    /// Has a node carry out what an operator wants.
    ///
    /// # Errors
    ///
    /// The node's refusal.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub async fn execute(&self, node: &str, command: Command) -> Result<serde_json::Value, Failure> {
        let deployment = self.deployment(node);
        deployment.execute(command).await
    }

    /// The status of a node.
    ///
    /// # Panics
    ///
    /// If there is no such node, or if it does not tell its status.
    pub async fn status(&self, node: &str) -> StatusReport {
        let value = self.execute(node, Command::Status).await;
        let value = value.unwrap_or_else(|failure| panic!("{node} tells no status: {failure}\n{}", self.story()));
        serde_json::from_value(value).unwrap_or_else(|error| panic!("the status of {node} is none: {error}"))
    }

    /// The status of one instance.
    ///
    /// # Panics
    ///
    /// As [`Harness::status`], and if there is no such instance.
    pub async fn instance(&self, node: &str, instance: &str) -> InstanceStatus {
        let found = self.status(node).await.instances.into_iter().find(|one| one.name == instance);
        found.unwrap_or_else(|| panic!("{node} has no instance {instance}\n{}", self.story()))
    }

    /// Everything that the nodes have told, oldest first; of more than 200 000 the latest.
    #[must_use]
    pub fn events(&self) -> Vec<Entry<Event>> {
        copy(&self.0.events)
    }

    /// Everything that the supervisors have decided, oldest first; of more than 200 000 the latest.
    #[must_use]
    pub fn incidents(&self) -> Vec<Entry<Incident>> {
        copy(&self.0.incidents)
    }

    /// Why nodes wanted their process ended, oldest first; in a test they run on.
    #[must_use]
    pub fn fatal(&self) -> Vec<Entry<String>> {
        copy(&self.0.fatal)
    }

    /// Ends all nodes and peers; [`run`] does so after the test.
    pub async fn stop(&self) {
        let nodes = std::mem::take(&mut *self.0.nodes.borrow_mut());
        for node in nodes.into_values() {
            node.deployment.stop(FAREWELL).await;
        }
        let peers = std::mem::take(&mut *self.0.peers.borrow_mut());
        for peer in peers {
            peer.shutdown(FAREWELL).await;
        }
    }
}
