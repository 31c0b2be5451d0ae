//! Policy that is flooded through the network reaches the parameters of running instances.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_framework::class::{Agent, Class, ClassInfo, Site};
use asa_framework::control::{Command, Described};
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::manifest::{Manifest, ParameterCheck, Problem, Sources};
use futures_util::future::LocalBoxFuture;
use grasp::net::memory::{Conditions, Fabric};
use grasp::{Error, Interfaces, Objective, Registration, Value};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// An agent that does nothing but have parameters.
struct Quiet;

impl ClassInfo for Quiet {
    fn name(&self) -> &'static str {
        "quiet"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn summary(&self) -> &'static str {
        "has parameters"
    }

    fn defaults(&self) -> &'static str {
        "# one\nfirst = 1\n# two\nsecond = 2\n"
    }

    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.integer("first", 0..=10).integer("second", 0..=10);
        check.finish()
    }
}

impl Class for Quiet {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        Box::pin(async move { Ok(Agent::new(site.register().await?)) })
    }
}

const POLICY: &str = "32473:policy";
const TEXT: &str = "[node]\npolicy_objective = '32473:policy'\n[grasp]\nsubstrate = 'insecure-lab'\n\
                    link_local_locators = true\n[asa.one]\nclass = 'quiet'\n[asa.one.parameters]\nsecond = 5\n";

fn sources() -> Sources {
    Sources { path: Some("test.toml".into()), content: Some(TEXT.into()), ..Sources::default() }
}

async fn flood(asa: &grasp::Asa, settings: serde_json::Value) {
    let policy = Objective::synchronization(POLICY).with_value(Value::item(&settings).unwrap());
    asa.flood(600_000, vec![(policy, None)]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
}

async fn described(node: &Deployment) -> Described {
    let described = node.execute(Command::Describe { instance: Some("one".into()) }).await.unwrap();
    serde_json::from_value::<Vec<Described>>(described).unwrap().remove(0)
}

/// ASA-P-02, ASA-P-03, ASA-R-02: flooded policy takes effect while the node runs, below what the operator has said and within
/// the bounds of the class; what is out of bounds is dropped, and where a value comes from can be seen.
#[test]
fn a_flood_changes_parameters_without_a_restart_of_the_node() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    actix::System::with_tokio_rt(|| runtime).block_on(async {
        let fabric = Fabric::new(1);
        let link = fabric.link(Conditions { latency: Duration::from_millis(5), ..Conditions::default() });
        let stage = |classes: &[&'static dyn Class]| {
            Stage::new(Arc::new(fabric.node(&[link])), classes, Arc::new(|_| {})).simulated([1; 32])
        };
        let loaded = Manifest::load(sources(), &[&Quiet]).unwrap();
        let reread = |flooded| Manifest::load(Sources { flooded, ..sources() }, &[&Quiet]);
        let on_quiet = Stage { reread: Some(Arc::new(reread)), ..stage(&[&Quiet]) };
        let node = Deployment::start(loaded, on_quiet, |config| config.interfaces = Interfaces::All).await.unwrap();
        let text = "[grasp]\nsubstrate = 'insecure-lab'\nlink_local_locators = true\n";
        let other = Sources { path: Some("other.toml".into()), content: Some(text.into()), ..Sources::default() };
        let other = Manifest::load(other, &[]).unwrap();
        let hand = Deployment::start(other, stage(&[]), |config| config.interfaces = Interfaces::All).await.unwrap();
        let asa = hand.grasp().register_asa("policy-maker").await.unwrap();
        asa.register_objective(&Objective::synchronization(POLICY), Registration::default()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;

        let parameters =
            |first, second| json!({ "asa": { "one": { "parameters": { "first": first, "second": second } } } });
        flood(&asa, parameters(7, 8)).await;
        let now = described(&node).await;
        assert_eq!(json!(now.parameters), json!({ "first": 7, "second": 5 }), "the operator's word stands");
        let origin = now.origins.iter().find(|origin| origin.key == "parameters.first").expect("it has an origin");
        assert!(origin.origin.contains(POLICY), "{}", origin.origin);

        flood(&asa, parameters(70, 8)).await;
        assert_eq!(json!(described(&node).await.parameters), json!({ "first": 1, "second": 5 }), "out of bounds");
        flood(&asa, json!({ "asa": { "two": { "class": "quiet" } }, "grasp": { "substrate": "none" } })).await;
        assert_eq!(node.execute(Command::Describe { instance: None }).await.unwrap().as_array().unwrap().len(), 1);
        flood(&asa, json!("nonsense")).await;
        assert_eq!(json!(described(&node).await.parameters), json!({ "first": 1, "second": 5 }));

        let short = parameters(3, 8);
        let policy = Objective::synchronization(POLICY).with_value(Value::item(&short).unwrap());
        asa.flood(8_000, vec![(policy, None)]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        let now = described(&node).await;
        assert_eq!(json!(now.parameters), json!({ "first": 3, "second": 5 }));
        let origin = now.origins.iter().find(|origin| origin.key == "parameters.first").expect("it has an origin");
        assert!(origin.origin.contains("fe80::") || origin.origin.contains("fd"), "who it was: {}", origin.origin);
        tokio::time::sleep(Duration::from_secs(6)).await;
        let now = described(&node).await;
        assert_eq!(json!(now.parameters), json!({ "first": 1, "second": 5 }), "its lifetime is over");
        hand.stop(Duration::from_secs(1)).await;
        node.stop(Duration::from_secs(1)).await;
    });
}
