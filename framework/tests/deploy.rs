//! A node with agents on the fabric, under a paused clock: how it comes to life and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_framework::class::{Agent, Class, ClassInfo, Site};
use asa_framework::deploy::{DeployError, Deployment, Stage};
use asa_framework::event::{Ending, Event, Events};
use asa_framework::manifest::{Manifest, Problem, Sources};
use asa_framework::roles::flooder::{Content, Flooder, FlooderArgs, Plan};
use asa_framework::roles::negotiator::{
    Act, Dialogue, Ended, Negotiator, NegotiatorArgs, NegotiatorPlan, Strategy, Task, Turn,
};
use futures_util::future::LocalBoxFuture;
use grasp::net::memory::{Conditions, Fabric, FabricLink};
use grasp::{Error, ErrorCode, Interfaces, Negotiated, Objective, Registration, Value};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(2);

fn sold() -> Objective {
    Objective::negotiation("32473:sold")
}

fn told() -> Objective {
    Objective::synchronization("32473:told")
}

/// Offers one number and keeps its customers waiting; asks for one itself if it is a buyer.
struct Shop;

struct Haggler;

impl Dialogue for Haggler {
    fn proposed(&mut self, offer: &Objective) -> Turn {
        Turn { say: Vec::new(), act: Act::Propose(offer.clone().with_value(Value::item(&7).unwrap())) }
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        vec![format!("ended {:?}", ended.ending)]
    }
}

struct Keeper {
    buys: bool,
}

impl Strategy for Keeper {
    fn introduces(&mut self) -> Vec<String> {
        vec!["open".into()]
    }

    fn task(&mut self) -> Task {
        if !std::mem::take(&mut self.buys) {
            return Task::Idle;
        }
        let (objective, discovery) = (sold().with_value(Value::item(&1).unwrap()), Duration::from_secs(1));
        Task::Negotiate { objective, discovery, flush: false, dialogue: Box::new(Haggler) }
    }

    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        Box::new(Haggler)
    }
}

impl ClassInfo for Shop {
    fn name(&self) -> &'static str {
        "shop"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn summary(&self) -> &'static str {
        "haggles"
    }

    fn defaults(&self) -> &'static str {
        "buys = false"
    }

    fn check(&self, _: &serde_json::Value) -> Vec<Problem> {
        Vec::new()
    }
}

impl Class for Shop {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        Box::pin(async move {
            let buys = site.mandate.settings.parameters["buys"] == json!(true);
            let asa = site.register().await?;
            // No overlap: a second shop on the node must fail.
            asa.register_objective(&told(), Registration::default()).await?;
            asa.register_objective(&sold(), Registration::default()).await?;
            let (instance, events, mode) = (site.instance().to_owned(), site.events.clone(), site.mode.clone());
            let negotiator = NegotiatorArgs {
                asa: asa.clone(),
                instance: instance.clone(),
                events: events.clone(),
                mode: mode.clone(),
                listens: (!buys).then(sold),
                plan: NegotiatorPlan::default(),
                strategy: Arc::new(move || Box::new(Keeper { buys })),
            };
            site.role("negotiator", move |_| Negotiator::new(negotiator));
            let plan = Plan { period: Some(Duration::from_secs(10)), serve: true };
            let content: Content = Arc::new(|_| Value::item("news").ok());
            let flooder = FlooderArgs { asa: asa.clone(), instance, events, mode, objective: told(), plan, content };
            site.role("flooder", move |_| Flooder::new(flooder));
            Ok(Agent::new(asa))
        })
    }
}

fn manifest(agents: &str) -> Manifest {
    let text = format!("[grasp]\nsubstrate = 'insecure-lab'\nlink_local_locators = true\n{agents}");
    let sources = Sources { path: Some("test.toml".into()), content: Some(text.into_bytes()), ..Sources::default() };
    Manifest::load(sources, &[&Shop]).unwrap_or_else(|problems| panic!("{problems}")).manifest
}

fn paused<F: Future>(future: F) -> F::Output {
    actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(future)
}

struct World {
    fabric: Fabric,
    link: FabricLink,
    log: Arc<Mutex<Vec<Event>>>,
}

impl World {
    fn new() -> Self {
        let fabric = Fabric::new(1);
        let link = fabric.link(Conditions { latency: Duration::from_millis(5), ..Conditions::default() });
        Self { fabric, link, log: Arc::default() }
    }

    async fn start(&self, manifest: &Manifest, classes: &[&'static dyn Class]) -> Result<Deployment, DeployError> {
        let log = self.log.clone();
        let events: Events = Arc::new(move |event| log.lock().unwrap().push(event));
        let place = Arc::new(self.fabric.node(&[self.link]));
        let stage = Stage::new(place, classes, events).simulated([1; 32]);
        Deployment::start(manifest.clone().into(), stage, |config| config.interfaces = Interfaces::All).await
    }

    fn log(&self) -> Vec<Event> {
        self.log.lock().unwrap().clone()
    }

    /// The names of the events so far.
    fn names(&self) -> Vec<String> {
        let name = |event: &Event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
        self.log().iter().map(name).collect()
    }
}

const SHOP: &str = "[asa.one]\nclass = 'shop'\n";

#[test]
fn ready_comes_when_everything_listens_and_stopped_is_the_last_word() {
    paused(async {
        let world = World::new();
        let shop = world.start(&manifest(SHOP), &[&Shop]).await.unwrap();
        assert!(matches!(world.log().last(), Some(Event::Ready { secure: false, .. })), "{:?}", world.names());
        // Listening is there with the event: the first question is answered.
        let other = world.start(&manifest(""), &[]).await.unwrap();
        let asa = other.grasp().register_asa("asks").await.unwrap();
        let found = asa.discover(&sold(), Duration::from_millis(500), None).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(shop.grasp().status().await.unwrap().asas, ["one"]);
        let node = shop.grasp().clone();
        other.stop(LIMIT).await;
        shop.stop(LIMIT).await;
        assert_eq!(world.names().last().unwrap(), "stopped");
        let count = world.names().len();
        assert!(node.status().await.is_err(), "the node has ended");
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(world.names().len(), count, "nobody speaks after the end");
    });
}

#[test]
fn an_instance_that_cannot_start_leaves_nothing_running() {
    paused(async {
        let world = World::new();
        // Both want the same objectives for themselves.
        let two = manifest(&format!("{SHOP}[asa.two]\nclass = 'shop'\n"));
        let error = world.start(&two, &[&Shop]).await.err().expect("the second must fail");
        let DeployError::Instance { instance, reason } = &error else { panic!("{error}") };
        assert_eq!(instance, "two");
        assert!(reason.contains("#12"), "{reason}");
        assert!(error.to_string().contains("asa.two cannot start"), "{error}");
        assert!(!world.names().contains(&"ready".to_owned()));
        let count = world.log().len();
        let other = world.start(&manifest(""), &[]).await.unwrap();
        let asa = other.grasp().register_asa("asks").await.unwrap();
        assert_eq!(asa.discover(&sold(), Duration::from_secs(1), None).await.unwrap(), []);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(world.log().len(), count + 1, "only the other node has spoken: {:?}", world.names());
        other.stop(LIMIT).await;
    });
}

#[test]
fn an_unknown_class_is_refused_and_an_installed_instance_not_looked_at() {
    paused(async {
        let world = World::new();
        let error = world.start(&manifest(SHOP), &[]).await.err().expect("no class");
        assert!(error.to_string().starts_with("asa.one cannot start: this binary carries no class shop"), "{error}");
        let off = manifest(&format!("{SHOP}state = 'installed'\n"));
        let node = world.start(&off, &[]).await.unwrap();
        assert_eq!(node.grasp().status().await.unwrap().asas, Vec::<String>::new());
        node.stop(LIMIT).await;
    });
}

#[test]
fn registrations_vanish_with_the_node() {
    paused(async {
        let world = World::new();
        let shop = world.start(&manifest(SHOP), &[&Shop]).await.unwrap();
        shop.stop(LIMIT).await;
        let again = world.start(&manifest(SHOP), &[&Shop]).await.unwrap();
        let other = world.start(&manifest(""), &[]).await.unwrap();
        let asa = other.grasp().register_asa("asks").await.unwrap();
        assert_eq!(asa.discover(&sold(), Duration::from_secs(1), None).await.unwrap().len(), 1);
        again.stop(LIMIT).await;
        assert_eq!(asa.discover(&sold(), Duration::from_secs(1), Some(Duration::ZERO)).await.unwrap(), []);
        other.stop(LIMIT).await;
    });
}

/// The last negotiation that ended at each instance.
fn endings(world: &World) -> Vec<(String, Ending, Option<String>)> {
    let ended = |event| {
        let Event::NegotiationEnded { asa, outcome, reason, session_id: Some(_), peer: Some(_), .. } = event else {
            return None;
        };
        Some((asa, outcome, reason))
    };
    world.log().into_iter().filter_map(ended).collect()
}

#[test]
fn the_peer_of_an_open_negotiation_sees_a_decline() {
    paused(async {
        let world = World::new();
        let shop = world.start(&manifest(SHOP), &[&Shop]).await.unwrap();
        let other = world.start(&manifest(""), &[]).await.unwrap();
        let asa = other.grasp().register_asa("asks").await.unwrap();
        asa.register_objective(&sold(), Registration::default()).await.unwrap();
        let ask = sold().with_value(Value::item(&1).unwrap());
        let Negotiated::Offered(session, offer) = asa.request_negotiate(&ask, None, LIMIT).await.unwrap() else {
            panic!("no offer")
        };
        shop.stop(LIMIT).await;
        let error = session.negotiate_step(&offer, LIMIT).await.unwrap_err();
        assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Declined, "abandoned"));
        assert_eq!(endings(&world), [("one".into(), Ending::Declined, Some("abandoned".into()))]);
        assert_eq!(world.names().last().unwrap(), "stopped");
        other.stop(LIMIT).await;
    });
}

#[test]
fn an_initiator_that_stops_declines_and_both_ends_tell_the_same() {
    paused(async {
        let world = World::new();
        let shop = world.start(&manifest(SHOP), &[&Shop]).await.unwrap();
        let buyer = manifest("[asa.buyer]\nclass = 'shop'\n[asa.buyer.parameters]\nbuys = true\n");
        let buyer = world.start(&buyer, &[&Shop]).await.unwrap();
        // Two hagglers go on until the loop count ends it; this is in the middle.
        tokio::time::sleep(Duration::from_millis(1015)).await;
        buyer.stop(LIMIT).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let reason = Some("abandoned".to_owned());
        let mut ends = endings(&world);
        ends.sort();
        assert_eq!(
            ends,
            [("buyer".into(), Ending::Declined, reason.clone()), ("one".into(), Ending::Declined, reason)]
        );
        shop.stop(LIMIT).await;
    });
}

#[test]
fn two_hagglers_end_when_the_loop_count_does() {
    paused(async {
        let world = World::new();
        let shop = world.start(&manifest(SHOP), &[&Shop]).await.unwrap();
        let buyer = manifest("[asa.buyer]\nclass = 'shop'\n[asa.buyer.parameters]\nbuys = true\n");
        let buyer = world.start(&buyer, &[&Shop]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let ends = endings(&world);
        assert_eq!(ends.len(), 2);
        for (_, outcome, reason) in ends {
            assert_eq!((outcome, reason.as_deref()), (Ending::Declined, Some("Loop count exhausted")));
        }
        buyer.stop(LIMIT).await;
        shop.stop(LIMIT).await;
    });
}
