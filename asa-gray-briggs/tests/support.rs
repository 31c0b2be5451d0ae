//! What the tests share: parameters as a manifest gives them, and a world of nodes on a paused clock.

use asa_framework::class::ClassInfo;
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::{Ending, Event, Events, Side};
use asa_framework::manifest::{Manifest, Sources};
use asa_gray_briggs::{CLASSES, Money};
use grasp::net::memory::{Conditions, Fabric, FabricLink, FabricNode};
use grasp::{Interfaces, Objective, Value, hex};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// A manifest of one node with these agents.
pub(crate) fn manifest(name: &str, agents: &str) -> Manifest {
    let text = format!(
        "[node]\nname = '{name}'\n[grasp]\nsubstrate = 'insecure-lab'\nexperimental_objectives = true\n\
         link_local_locators = true\n{agents}"
    );
    let sources = Sources { path: Some("test.toml".into()), content: Some(text.into_bytes()), ..Sources::default() };
    let infos: Vec<&dyn ClassInfo> = CLASSES.iter().map(|class| *class as &dyn ClassInfo).collect();
    Manifest::load(sources, &infos).unwrap_or_else(|problems| panic!("{problems}")).manifest
}

/// An agent in a manifest.
pub(crate) fn agent(name: &str, class: &str, parameters: &str) -> String {
    format!("[asa.{name}]\nclass = '{class}'\n[asa.{name}.parameters]\n{parameters}\n")
}

/// The effective parameters of a class.
pub(crate) fn parameters(class: &str, text: &str) -> serde_json::Value {
    let manifest = manifest("test", &agent("one", class, text));
    serde_json::Value::Object(manifest.asa["one"].parameters.clone())
}

/// EX3 with a value.
pub(crate) fn money(amount: i64, tag24: bool) -> Objective {
    ex3(Money::nzd(amount, tag24).value())
}

pub(crate) fn ex3(value: Value) -> Objective {
    Objective::negotiation("EX3").with_loop_count(20).with_value(value)
}

/// Values of EX3 that are no money: a text, a short array, a number as currency, a text as amount, 10^30, null, a map.
pub(crate) fn no_money() -> Vec<Objective> {
    ["634e5a44", "81634e5a44", "820102", "82634e5a446161", "82634e5a44c24d0c9f2c9cd04674edea40000000", "f6", "a0"]
        .iter()
        .map(|text| ex3(Value::from_encoded(hex::decode(text).unwrap()).unwrap()))
        .collect()
}

/// The amount of EX3.
pub(crate) fn amount(objective: &Objective) -> i64 {
    Money::read(objective.value.as_ref()).unwrap().amount
}

/// Runs a future in an actix system on a paused clock.
pub(crate) fn paused<F: Future>(future: F) -> F::Output {
    actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(future)
}

/// Nodes on one link, and everything they tell, with the time since the start.
pub(crate) struct World {
    pub(crate) fabric: Fabric,
    pub(crate) link: FabricLink,
    told: Arc<Mutex<Vec<(Duration, Event)>>>,
    sink: Events,
    started: u8,
}

impl World {
    pub(crate) fn new() -> Self {
        let fabric = Fabric::new(1);
        let link = fabric.link(Conditions { latency: Duration::from_millis(5), ..Conditions::default() });
        let (told, begin) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
        let log = told.clone();
        let sink: Events = Arc::new(move |event| log.lock().unwrap().push((begin.elapsed(), event)));
        Self { fabric, link, told, sink, started: 0 }
    }

    /// A place on the link.
    pub(crate) fn place(&self) -> FabricNode {
        self.fabric.node(&[self.link])
    }

    /// Starts a node.
    pub(crate) async fn start(&mut self, manifest: &Manifest) -> Deployment {
        self.started += 1;
        let seed = [self.started; 32];
        let adjust = |config: &mut grasp::NodeConfig| {
            config.interfaces = Interfaces::All;
            config.seed = Some(seed);
        };
        let place = Arc::new(self.place());
        let stage = Stage::new(place, CLASSES, self.sink.clone()).simulated(seed);
        Deployment::start(manifest.clone().into(), stage, adjust).await.unwrap()
    }

    pub(crate) fn told(&self) -> Vec<(Duration, Event)> {
        self.told.lock().unwrap().clone()
    }

    /// Every line that an instance has said, with its time.
    pub(crate) fn said(&self, who: &str) -> Vec<(Duration, String)> {
        self.told()
            .into_iter()
            .filter_map(|(at, event)| {
                let Event::Said { asa, text, .. } = event else { return None };
                (asa == who).then_some((at, text))
            })
            .collect()
    }

    /// The ends of negotiations on one side.
    pub(crate) fn ends(&self, side: Side) -> Vec<End> {
        self.told()
            .into_iter()
            .filter_map(|(at, event)| {
                let Event::NegotiationEnded { role, outcome, session_id, value, reason, .. } = event else {
                    return None;
                };
                (role == side).then_some(End { at, outcome, session_id, value, reason })
            })
            .collect()
    }

    /// Waits, in virtual time, until so many instances have finished.
    pub(crate) async fn finished(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(100_000);
        while self.told().iter().filter(|(_, event)| matches!(event, Event::Finished { .. })).count() < count {
            assert!(Instant::now() < deadline, "not finished: {:?}", self.told().last());
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        // The last word has to arrive.
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
}

/// One end of a negotiation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) at: Duration,
    pub(crate) outcome: Ending,
    pub(crate) session_id: Option<u32>,
    pub(crate) value: serde_json::Value,
    pub(crate) reason: Option<String>,
}
