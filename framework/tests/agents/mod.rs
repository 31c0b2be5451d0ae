//! The agents of these tests: a shop that haggles, in several versions, good and bad.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "shared by tests; none uses all of it"
)]

use actix::prelude::*;
use asa_framework::class::{Agent, Class, ClassInfo, Description, Site};
use asa_framework::control::{Command, Failure, MoveReport};
use asa_framework::lifecycle::Move;
use asa_framework::manifest::Problem;
use asa_framework::roles::flooder::{Content, Flooder, FlooderArgs, Plan};
use asa_framework::roles::negotiator::{
    Act, Dialogue, Ended, Negotiator, NegotiatorArgs, Strategy, StrategyFactory, Task, Turn,
};
use asa_framework::roles::{Control, Load, Outstanding};
use asa_framework::testing::Harness;
use futures_util::future::LocalBoxFuture;
use grasp::{Asa, AsaLocator, Error, Negotiated, Objective, Registration, Session, Step, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use supervision::{Fresh, child};

/// Negotiated: the answer to an even number is that it is accepted, to an odd one a counter-proposal that may be repeated,
/// to a negative one a wait.
pub fn sold() -> Objective {
    Objective::negotiation("32473:sold")
}

/// Served and flooded.
pub fn told() -> Objective {
    Objective::synchronization("32473:told")
}

pub fn asking(value: i64) -> Objective {
    sold().with_value(Value::item(&value).unwrap())
}

/// How a version of the class fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    None,
    /// Its roles panic when they begin.
    Panics,
    /// It is never assembled.
    NeverAssembled,
    /// One of its roles never answers.
    NeverAnswers,
    /// It panics as soon as it is to work.
    PanicsAtWork,
}

/// A class in one version.
pub struct Shop {
    pub version: &'static str,
    pub defect: Defect,
}

pub static SHOP: Shop = Shop { version: "1.0.0", defect: Defect::None };
pub static SHOP_2: Shop = Shop { version: "2.0.0", defect: Defect::None };
pub static PANICS: Shop = Shop { version: "1.0.1", defect: Defect::Panics };
pub static NEVER: Shop = Shop { version: "1.0.2", defect: Defect::NeverAssembled };
pub static SILENT: Shop = Shop { version: "1.0.3", defect: Defect::NeverAnswers };
pub static FALLS: Shop = Shop { version: "1.0.4", defect: Defect::PanicsAtWork };

/// A book of promises: what has been sold and not been given back, kept in a file if there is a directory for it.
pub struct Book {
    args: BookArgs,
    /// What this life has counted.
    pub entries: usize,
}

#[derive(Clone)]
pub struct BookArgs {
    defect: Defect,
    promises: Arc<AtomicUsize>,
}

impl Fresh for Book {
    fn fresh(&self) -> Self {
        Self { args: self.args.clone(), entries: 0 }
    }
}

child!(Book);

impl Actor for Book {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        assert!(self.args.defect != Defect::Panics, "a defect of this version");
    }
}

impl Handler<Control> for Book {
    type Result = ();

    fn handle(&mut self, control: Control, _: &mut Context<Self>) {
        supervision::strike();
        assert!(self.args.defect != Defect::PanicsAtWork || control != Control::Activate, "a defect at work");
    }
}

impl Handler<Outstanding> for Book {
    type Result = ResponseFuture<Load>;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Self::Result {
        self.entries += 1;
        let promises = self.args.promises.load(Ordering::Relaxed);
        if self.args.defect == Defect::NeverAnswers {
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(Load { busy: 0, promises }))
    }
}

/// Talks about one number.
struct Haggler;

fn number(objective: &Objective) -> i64 {
    objective.value.as_ref().and_then(|value| value.decode().ok()).unwrap_or_default()
}

impl Dialogue for Haggler {
    fn proposed(&mut self, offer: &Objective) -> Turn {
        supervision::strike();
        let act = match number(offer) {
            wait if wait < 0 => Act::Wait { announce: Duration::from_secs(5), pause: Duration::from_secs(2) },
            even if even % 2 == 0 => Act::Accept,
            _ => Act::Propose(offer.clone()),
        };
        Turn { say: Vec::new(), act }
    }

    fn waited(&mut self) -> Turn {
        supervision::strike();
        Turn { say: Vec::new(), act: Act::Accept }
    }

    fn ended(&mut self, _: Ended<'_>) -> Vec<String> {
        Vec::new()
    }
}

/// Answers requests; buys every so often if it has a pause for it.
struct Keeper {
    buys_every: Duration,
    rest: bool,
    lives: u32,
}

impl Strategy for Keeper {
    fn task(&mut self) -> Task {
        supervision::strike();
        if self.buys_every.is_zero() {
            return Task::Idle;
        }
        self.rest = !self.rest;
        if self.rest {
            return Task::Pause(self.buys_every);
        }
        let (objective, discovery) = (asking(2), Duration::from_millis(500));
        Task::Negotiate { objective, discovery, flush: false, dialogue: Box::new(Haggler) }
    }

    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        supervision::strike();
        self.lives += 1;
        Box::new(Haggler)
    }
}

impl ClassInfo for Shop {
    fn name(&self) -> &'static str {
        "shop"
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn summary(&self) -> &'static str {
        "haggles"
    }

    fn defaults(&self) -> &'static str {
        "# Pause between two purchases of its own, in milliseconds; 0 only sells.\nbuys_every_ms = 0\n\
         # Promises that it has given.\npromises = 0\n# Milliseconds between floods.\nflood_every_ms = 10000\n"
    }

    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem> {
        let mut check = asa_framework::manifest::ParameterCheck::new(parameters);
        check.integer("flood_every_ms", 1000..=3_600_000);
        check.finish()
    }
}

impl Class for Shop {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        let defect = self.defect;
        Box::pin(async move {
            let parameter = |key: &str| site.mandate.settings.parameters[key].as_u64().unwrap_or_default();
            let buys_every = Duration::from_millis(parameter("buys_every_ms"));
            let asa = site.register().await?;
            let overlap = Registration { overlap: true, ..Registration::default() };
            asa.register_objective(&told(), overlap.clone()).await?;
            asa.register_objective(&sold(), overlap).await?;
            let promises = Arc::new(AtomicUsize::new(usize::try_from(parameter("promises")).unwrap_or(0)));
            let book = BookArgs { defect, promises };
            site.role("book", move |_| Book { args: book, entries: 0 });
            if defect == Defect::NeverAssembled {
                std::future::pending::<()>().await;
            }
            let strategy: StrategyFactory = Arc::new(move || Box::new(Keeper { buys_every, rest: false, lives: 0 }));
            let listens = buys_every.is_zero().then(sold);
            let negotiator = NegotiatorArgs { listens, ..NegotiatorArgs::new(&asa, &site, strategy) };
            site.role("negotiator", move |_| Negotiator::new(negotiator));
            let content: Content = Arc::new(|_| {
                supervision::strike();
                Value::item("news").ok()
            });
            let plan = Plan::new(Some(Duration::from_millis(parameter("flood_every_ms"))), true);
            let flooder = FlooderArgs::new(&asa, &site, told(), plan, content);
            site.role("flooder", move |_| Flooder::new(flooder));
            let description = Description {
                objectives: vec![sold().name, told().name],
                metrics: vec!["sales".into()],
                actions: vec!["haggle".into()],
            };
            Ok(Agent::new(asa).described(description))
        })
    }
}

/// Cannot be assembled so many times.
pub struct Flaky(pub AtomicU32);

impl ClassInfo for Flaky {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn version(&self) -> &'static str {
        SHOP.version()
    }

    fn summary(&self) -> &'static str {
        SHOP.summary()
    }

    fn defaults(&self) -> &'static str {
        SHOP.defaults()
    }

    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem> {
        SHOP.check(parameters)
    }
}

impl Class for Flaky {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        let fails = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if fails {
            return Box::pin(std::future::ready(Err(Error::new(grasp::ErrorCode::Unspecified, "not today"))));
        }
        SHOP.assemble(site)
    }
}

/// A shop that takes three seconds to be assembled from the second time on.
pub struct Tardy(pub AtomicU32);

impl ClassInfo for Tardy {
    fn name(&self) -> &'static str {
        "shop"
    }

    fn version(&self) -> &'static str {
        "3.0.0"
    }

    fn summary(&self) -> &'static str {
        SHOP.summary()
    }

    fn defaults(&self) -> &'static str {
        SHOP.defaults()
    }

    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem> {
        SHOP.check(parameters)
    }
}

impl Class for Tardy {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        let again = self.0.fetch_add(1, Ordering::Relaxed) > 0;
        Box::pin(async move {
            if again {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            SHOP.assemble(site).await
        })
    }
}

/// Finds the shops.
pub async fn find(peer: &Asa) -> Vec<AsaLocator> {
    peer.discover(&sold(), Duration::from_millis(200), Some(Duration::ZERO)).await.unwrap()
}

/// A peer that may ask for what is sold.
pub async fn customer(harness: &Harness, name: &str) -> Asa {
    let peer = harness.peer(name).await;
    peer.register_objective(&sold(), Registration::default()).await.unwrap();
    peer
}

/// Asks once for something that is accepted at once.
pub async fn buy(peer: &Asa, shop: &AsaLocator) -> Result<(), Error> {
    match peer.request_negotiate(&asking(2), Some(shop), Duration::from_secs(20)).await? {
        Negotiated::Accepted(_) => Ok(()),
        Negotiated::Offered(..) => panic!("it haggles about an even number"),
    }
}

/// Opens a negotiation that goes on until the customer says an even number.
pub async fn haggle(peer: &Asa, shop: &AsaLocator) -> Result<Session, Error> {
    match peer.request_negotiate(&asking(1), Some(shop), Duration::from_secs(20)).await? {
        Negotiated::Offered(session, _) => Ok(session),
        Negotiated::Accepted(_) => panic!("it accepts an odd number"),
    }
}

/// Brings such a negotiation to its good end.
pub async fn settle(session: Session) -> Result<(), Error> {
    match session.negotiate_step(&asking(2), Duration::from_secs(20)).await? {
        Step::Accepted(_) => Ok(()),
        Step::Offered(_) => panic!("it goes on haggling about an even number"),
    }
}

/// Moves an instance.
pub async fn moved(harness: &Harness, node: &str, instance: &str, step: Move) -> Result<MoveReport, Failure> {
    removed(harness, node, instance, step, false, false).await
}

/// Moves an instance, with force or purge.
pub async fn removed(
    harness: &Harness,
    node: &str,
    instance: &str,
    step: Move,
    force: bool,
    purge: bool,
) -> Result<MoveReport, Failure> {
    let command = Command::Move { step, instance: instance.to_owned(), force, purge };
    harness.execute(node, command).await.map(|report| serde_json::from_value(report).unwrap())
}
