//! Pools of several nodes that help each other, over the fabric and under a paused clock.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use actix::Actor;
use asa_framework::class::{Agent, Class, ClassInfo, Site};
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::Event;
use asa_framework::manifest::{Manifest, Problem, Sources};
use asa_framework::roles::delegator::{Delegator, DelegatorArgs, DelegatorPlan, Give, Plain, PoolStrategy, Take};
use asa_framework::roles::negotiator::{Negotiator, NegotiatorArgs, NegotiatorPlan};
use asa_framework::roles::pool::{Answer, Ask, Census, Pool, PoolArgs, PoolPlan, Request, State, Way};
use asa_framework::roles::resource::{Range, Resource};
use asa_framework::roles::store::{FaultStore, MemStore};
use asa_framework::roles::{Activity, Control, Outstanding};
use futures_util::future::LocalBoxFuture;
use grasp::net::memory::{Conditions, Fabric, FabricLink};
use grasp::{Asa, ErrorCode, Interfaces, Negotiated, Objective, Registration, Value};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervision::Mailbox;
use tokio::time::Instant;

fn vlans() -> Objective {
    Objective::negotiation("32473:vlans")
}

fn ask(value: impl serde::Serialize) -> Objective {
    vlans().with_value(Value::item(&value).unwrap())
}

fn paused<F: Future>(future: F) -> F::Output {
    actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(future)
}

struct World {
    fabric: Fabric,
    log: Arc<Mutex<Vec<Event>>>,
}

struct Node {
    deployment: Deployment,
    store: FaultStore<asa_framework::roles::pool::Record<Range>>,
    pool: Mailbox<Pool<Range>>,
    delegator: Mailbox<Delegator<Range>>,
    negotiator: Mailbox<Negotiator>,
}

type Roles = (Mailbox<Pool<Range>>, Mailbox<Delegator<Range>>, Mailbox<Negotiator>);

/// The agent of one node; hands its roles to the test.
struct Vlans {
    initial: Vec<Range>,
    plan: DelegatorPlan,
    timeout: u64,
    store: FaultStore<asa_framework::roles::pool::Record<Range>>,
    made: Arc<Mutex<Option<Roles>>>,
}

impl ClassInfo for Vlans {
    fn name(&self) -> &'static str {
        "vlans"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn summary(&self) -> &'static str {
        "shares ranges"
    }

    fn defaults(&self) -> &'static str {
        ""
    }

    fn check(&self, _: &serde_json::Value) -> Vec<Problem> {
        Vec::new()
    }
}

impl Class for Vlans {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, grasp::Error>> {
        let (initial, plan, store, timeout) = (self.initial.clone(), self.plan, self.store.clone(), self.timeout);
        let low = if plan.target > 0 { 8 } else { 0 };
        let pool = PoolArgs::new(&site, Arc::new(store), PoolPlan { initial, low, ..PoolPlan::default() });
        let pool = site.role("pool", move |_| Pool::new(pool));
        let delegator = DelegatorArgs::new(&site, &pool, plan);
        let delegator = site.role("delegator", move |_| Delegator::new(delegator));
        let made = self.made.clone();
        Box::pin(async move {
            let asa = site.register().await?;
            asa.register_objective(&vlans(), Registration::default()).await?;
            let want = |shortfall| u32::try_from(shortfall).unwrap_or(u32::MAX);
            let strategy = PoolStrategy::<Range>::factory(Plain { objective: vlans(), want });
            let plan = NegotiatorPlan { request_timeout: Duration::from_secs(timeout), ..NegotiatorPlan::default() };
            let (listens, advisor) = (Some(vlans()), Some(delegator.recipient()));
            let args = NegotiatorArgs { listens, advisor, plan, ..NegotiatorArgs::new(&asa, &site, strategy) };
            let negotiator = site.role("negotiator", move |_| Negotiator::new(args));
            *made.lock().unwrap() = Some((pool, delegator, negotiator));
            Ok(Agent::new(asa))
        })
    }
}

/// An origin has a stock and asks nobody; the others keep 16 at hand.
fn origin() -> (Vec<Range>, DelegatorPlan) {
    (vec![Range::new(0, 64)], DelegatorPlan { upstream: false, ..DelegatorPlan::default() })
}

fn delegator() -> (Vec<Range>, DelegatorPlan) {
    (vec![], DelegatorPlan { target: 16, ..DelegatorPlan::default() })
}

/// Keeps nothing at hand: asks only when somebody waits.
fn bare() -> (Vec<Range>, DelegatorPlan) {
    (vec![], DelegatorPlan::default())
}

impl World {
    fn new() -> Self {
        Self { fabric: Fabric::new(1), log: Arc::default() }
    }

    fn link(&self) -> FabricLink {
        self.fabric.link(Conditions { latency: Duration::from_millis(5), ..Conditions::default() })
    }

    async fn bare_node(&self, links: &[FabricLink]) -> Deployment {
        self.deploy(links, "", &[]).await
    }

    async fn deploy(&self, links: &[FabricLink], agents: &str, classes: &[&'static dyn Class]) -> Deployment {
        let text = format!("[grasp]\nsubstrate = 'insecure-lab'\nlink_local_locators = true\nrelay = false\n{agents}");
        let sources = Sources { path: Some("test.toml".into()), content: Some(text.into()), ..Sources::default() };
        let infos: Vec<&dyn ClassInfo> = classes.iter().map(|class| *class as &dyn ClassInfo).collect();
        let loaded = Manifest::load(sources, &infos).unwrap_or_else(|problems| panic!("{problems}"));
        let log = self.log.clone();
        let events = Arc::new(move |event| log.lock().unwrap().push(event));
        let stage = Stage::new(Arc::new(self.fabric.node(links)), classes, events).simulated([1; 32]);
        Deployment::start(loaded, stage, |config| config.interfaces = Interfaces::All).await.unwrap()
    }

    async fn node(&self, links: &[FabricLink], (initial, plan): (Vec<Range>, DelegatorPlan), timeout: u64) -> Node {
        let store = FaultStore::new(Arc::new(MemStore::default()));
        let class: &'static Vlans =
            Box::leak(Box::new(Vlans { initial, plan, timeout, store: store.clone(), made: Arc::default() }));
        let deployment = self.deploy(links, "[asa.vlans]\nclass = 'vlans'\n", &[class]).await;
        let (pool, delegator, negotiator) = class.made.lock().unwrap().take().unwrap();
        Node { deployment, store, pool, delegator, negotiator }
    }

    /// A node whose ASA is played by the test.
    async fn stranger(&self, link: FabricLink) -> (Deployment, Asa) {
        let deployment = self.bare_node(&[link]).await;
        let asa = deployment.grasp().register_asa("stranger").await.unwrap();
        asa.register_objective(&vlans(), Registration::default()).await.unwrap();
        (deployment, asa)
    }
}

impl Node {
    async fn census(&self) -> Census<Range> {
        match self.pool.send(Ask(Request::Query)).await.unwrap() {
            Ok(Answer::Census(census)) => census,
            other => panic!("{other:?}"),
        }
    }

    async fn take(&self, want: u32, client: &str) -> Result<Range, String> {
        self.delegator.send(Take { want, client: client.into() }).await.unwrap()
    }
}

fn is_doubt(state: &State) -> bool {
    matches!(state, State::Doubt { .. } | State::Offered { .. } | State::Accepting { .. })
}

/// PM-S-02: what a node may use, no other may; nothing is in doubt when all is quiet.
async fn check(nodes: &[&Node]) {
    let mut used = Vec::new();
    for node in nodes {
        let census = node.census().await;
        assert!(census.blocks.iter().all(|(_, state)| !is_doubt(state)), "{census:?}");
        let to_client = |state: &State| matches!(state, State::Granted { to } if to.starts_with("client"));
        let its = census.blocks.into_iter().filter(|(_, state)| *state == State::Free || to_client(state));
        used.extend(its.map(|(block, _)| block));
    }
    used.sort();
    assert!(used.windows(2).all(|pair| !pair[0].overlaps(&pair[1])), "{used:?}");
    assert_eq!(used.iter().map(Resource::measure).sum::<u128>(), 64, "{used:?}");
}

async fn rest(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A delegator keeps its stock, serves its clients, takes back what they give, and asks again when it runs low.
#[test]
fn two_pools_exchange_ranges() {
    paused(async {
        let (world, begun) = (World::new(), Instant::now());
        let link = world.link();
        let origin = world.node(&[link], origin(), 60).await;
        let other = world.node(&[link], delegator(), 60).await;
        rest(5).await;
        assert_eq!(other.census().await.free, 16, "the stock comes without any client");
        let first = other.take(10, "one").await.unwrap();
        assert_eq!(other.take(10, "one").await, Ok(first), "PM-S-12");
        rest(5).await;
        assert!(other.census().await.free >= 16, "low, so it has asked for more");
        let second = other.take(30, "two").await.unwrap();
        assert!(!first.overlaps(&second));
        other.delegator.send(Give { block: first, client: "one".into() }).await.unwrap().unwrap();
        let wrong = Give { block: second, client: "one".into() };
        assert!(other.delegator.send(wrong).await.unwrap().is_err(), "PM-T-04");
        let error = other.take(64, "greedy").await.unwrap_err();
        assert!(error.contains("nobody helps"), "{error}");
        rest(60).await;
        check(&[&origin, &other]).await;
        let ledger = origin.census().await.blocks;
        for (block, _) in other.census().await.aggregates {
            let granted = |(held, state): &(Range, State)| *held == block && matches!(state, State::Granted { .. });
            assert!(ledger.iter().any(granted), "{block:?} is not in {ledger:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(200));
    });
}

/// PM-O-04, PM-R-02: whoever has to ask others first makes the asker wait, before its second is over and again.
#[test]
fn a_chain_of_three_waits_for_its_last() {
    paused(async {
        let world = World::new();
        let (near, far) = (world.link(), world.link());
        let source = world.node(&[far], origin(), 60).await;
        let middle = world.node(&[far, near], bare(), 60).await;
        // Gives up after one second unless it is asked to wait.
        let leaf = world.node(&[near], bare(), 1).await;
        source.store.delay(Duration::from_secs(13));
        let begun = Instant::now();
        let block = leaf.take(6, "one").await.unwrap();
        assert_eq!(block.measure(), 6);
        assert!(begun.elapsed() > Duration::from_secs(13), "{:?}", begun.elapsed());
        source.store.delay(Duration::ZERO);
        rest(60).await;
        check(&[&source, &middle, &leaf]).await;
    });
}

/// PM-R-11: two that have nothing do not wait for each other.
#[test]
fn two_empty_nodes_do_not_wait_for_each_other() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let (one, two) = (world.node(&[link], bare(), 60).await, world.node(&[link], bare(), 60).await);
        rest(1).await;
        let begun = Instant::now();
        let (first, second) = futures_util::join!(one.take(4, "a"), two.take(4, "b"));
        assert!(first.is_err() && second.is_err());
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert!(one.take(4, "c").await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(31), "{:?}", begun.elapsed());
        assert_eq!(
            one.delegator.send(Outstanding).await.unwrap().busy + two.delegator.send(Outstanding).await.unwrap().busy,
            0
        );
    });
}

/// PM-S-09: an offer that cannot be written down in time is not accepted, and nobody loses it.
#[test]
fn an_offer_that_takes_too_long_to_write_is_not_accepted() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let origin = world.node(&[link], origin(), 60).await;
        let slow = world.node(&[link], bare(), 60).await;
        rest(1).await;
        slow.store.delay(Duration::from_millis(1_200));
        let error = slow.take(4, "one").await.unwrap_err();
        assert!(error.contains("nobody helps"), "{error}");
        rest(5).await;
        check(&[&origin, &slow]).await;
        slow.store.delay(Duration::ZERO);
        assert!(slow.take(4, "one").await.is_ok(), "and works again");
    });
}

/// PM-O-01, PM-O-10, PM-S-07, PM-Y-01: what a stranger does with an offer decides over the block.
#[test]
fn a_strangers_answer_decides_over_the_block() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let origin = world.node(&[link], origin(), 60).await;
        let (_deployment, stranger) = world.stranger(link).await;
        let limit = Duration::from_secs(5);
        for senseless in [ask("many"), ask((1, 2)), ask(-1), vlans(), ask(4).dry_run()] {
            let error = stranger.request_negotiate(&senseless, None, limit).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::Declined, "{error}");
            assert!(!error.detail.is_empty(), "with a reason");
        }
        let offered = || async {
            match stranger.request_negotiate(&ask(4), None, limit).await.unwrap() {
                Negotiated::Offered(session, offer) => (session, offer),
                Negotiated::Accepted(agreed) => panic!("{agreed:?}"),
            }
        };
        let free = || async {
            rest(1).await;
            origin.census().await.free
        };
        let (session, _) = offered().await;
        assert_eq!(free().await, 60, "set aside");
        session.end_negotiate(false, Some("no")).await.unwrap();
        assert_eq!(free().await, 64, "declined: free");
        let (session, _) = offered().await;
        session.negotiate_step(&ask(8), limit).await.unwrap();
        assert_eq!(free().await, 56, "countered: the first is free, the second set aside");
        session.end_negotiate(true, None).await.unwrap();
        assert_eq!(free().await, 56, "accepted: granted");
        let (session, offer) = offered().await;
        // Silence: the time limit of a step is a minute.
        rest(70).await;
        let block: Range = offer.value.unwrap().decode().unwrap();
        let doubt = |(held, state): &(Range, State)| {
            *held == block && matches!(state, State::Doubt { way: Way::Out, with } if with.starts_with("peer "))
        };
        let census = origin.census().await;
        assert!(census.blocks.iter().any(doubt), "{census:?}");
        assert_eq!(census.free, 52);
        drop(session);
    });
}

/// ASA-L-08: deactivated, an instance is not found and drains; activated, it is there again.
#[test]
fn a_deactivated_instance_drains_and_comes_back() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let origin = world.node(&[link], origin(), 60).await;
        let (_deployment, stranger) = world.stranger(link).await;
        let limit = Duration::from_secs(2);
        let Negotiated::Offered(session, _) = stranger.request_negotiate(&ask(4), None, limit).await.unwrap() else {
            panic!("no offer")
        };
        for control in [Control::Deactivate, Control::Activate, Control::Deactivate] {
            origin.negotiator.send(control).await.unwrap();
        }
        origin.delegator.send(Control::Deactivate).await.unwrap();
        origin.pool.send(Control::Deactivate).await.unwrap();
        assert_eq!(origin.negotiator.send(Outstanding).await.unwrap().busy, 1, "an open session goes on");
        assert_eq!(stranger.discover(&vlans(), limit, Some(Duration::ZERO)).await.unwrap(), [], "not announced");
        assert_eq!(origin.take(1, "one").await, Err("not active".into()));
        session.end_negotiate(true, None).await.unwrap();
        rest(1).await;
        let busy = [
            origin.negotiator.send(Outstanding).await.unwrap().busy,
            origin.delegator.send(Outstanding).await.unwrap().busy,
            origin.pool.send(Outstanding).await.unwrap().busy,
        ];
        // The delegator still holds no question of an origin's negotiator: one who is ready waits for no one.
        assert_eq!(busy, [0, 0, 0], "drained");
        assert_eq!(origin.census().await.free, 60, "questions are answered");
        origin.pool.send(Control::Activate).await.unwrap();
        origin.delegator.send(Control::Activate).await.unwrap();
        origin.negotiator.send(Control::Activate).await.unwrap();
        assert_eq!(stranger.discover(&vlans(), limit, Some(Duration::ZERO)).await.unwrap().len(), 1);
        assert!(matches!(stranger.request_negotiate(&ask(4), None, limit).await.unwrap(), Negotiated::Offered(..)));
    });
}

/// PM-S-21: a pool that starts anew over the same store has forgotten nothing and trusts nothing that was open.
#[test]
fn a_fresh_pool_begins_with_what_the_store_has() {
    paused(async {
        let world = World::new();
        let link = world.link();
        let origin = world.node(&[link], origin(), 60).await;
        let mine = origin.take(8, "one").await.unwrap();
        let (_deployment, stranger) = world.stranger(link).await;
        let open = stranger.request_negotiate(&ask(4), None, Duration::from_secs(5)).await.unwrap();
        let (instance, store) = ("again".into(), Arc::new(origin.store.clone()));
        let plan = PoolPlan { initial: vec![Range::new(0, 64)], ..PoolPlan::default() };
        let (permit, activity) = (Arc::new(tokio::sync::Semaphore::new(1)), Activity::default());
        let first = Pool::new(PoolArgs { instance, events: Arc::new(|_| ()), store, permit, activity, plan });
        let again = supervision::Fresh::fresh(&first).start();
        let Ok(Answer::Census(census)) = again.send(Ask(Request::Query)).await.unwrap() else { panic!() };
        assert!(census.blocks.contains(&(mine, State::Granted { to: "client one".into() })), "{census:?}");
        assert_eq!(census.blocks.iter().filter(|(_, state)| matches!(state, State::Doubt { .. })).count(), 1);
        assert_eq!(census.free, 52);
        drop(open);
        origin.deployment.stop(Duration::ZERO).await;
    });
}
