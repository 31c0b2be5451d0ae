//! A complete autonomic service agent: nodes that share VLAN ids.
//!
//! The origin begins with all ids. Delegators begin with none, keep some at hand, and ask whoever has more. Here one of each
//! meet on a link in memory, as `config/vlans.toml` says; on a real network only the network differs. `WRITING_AN_ASA.md`
//! builds this step by step.

#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use asa_framework::class::{Agent, Class, ClassInfo, Description, Site};
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::Event;
use asa_framework::manifest::{Lab, ParameterCheck, Problem, Sources};
use asa_framework::roles::delegator::{Delegator, DelegatorArgs, DelegatorPlan, Plain, PoolStrategy, Take};
use asa_framework::roles::negotiator::{Negotiator, NegotiatorArgs};
use asa_framework::roles::pool::{Pool, PoolArgs, PoolPlan};
use asa_framework::roles::resource::Range;
use asa_framework::roles::store::MemStore;
use futures_util::future::LocalBoxFuture;
use grasp::net::memory::{Conditions, Fabric};
use grasp::{Error, Interfaces, Objective, Registration};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use supervision::Mailbox;

/// The class; it remembers the delegators that it has started, for their clients on this machine.
struct Vlans(Mutex<Vec<Mailbox<Delegator<Range>>>>);

static VLANS: Vlans = Vlans(Mutex::new(Vec::new()));

impl ClassInfo for Vlans {
    fn name(&self) -> &'static str {
        "vlans"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn summary(&self) -> &'static str {
        "shares VLAN ids between nodes"
    }

    fn defaults(&self) -> &'static str {
        "# Ids to keep at hand.\nstock = 64\n"
    }

    fn roles(&self) -> &'static [&'static str] {
        &["delegator", "origin"]
    }

    fn check(&self, parameters: &Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.integer("stock", 2..=4094);
        check.finish()
    }
}

impl Class for Vlans {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        Box::pin(async move {
            let objective = Objective::negotiation("32473:vlans");
            let asa = site.register().await?;
            asa.register_objective(&objective, Registration { overlap: true, ..Registration::default() }).await?;

            let upstream = site.mandate.settings.role == "delegator";
            let initial = if upstream { Vec::new() } else { vec![Range { start: 2, end: 4095 }] };
            let stock = site.mandate.settings.parameters["stock"].as_u64().unwrap_or_default().into();
            let store =
                site.belonging(|| Ok::<_, Infallible>(MemStore::default())).unwrap_or_else(|never| match never {});
            let pool = PoolArgs::new(&site, store, PoolPlan { initial, low: stock / 2, ..PoolPlan::default() });
            let pool = site.role("pool", move |_| Pool::new(pool));

            let plan = DelegatorPlan { upstream, target: stock, ..DelegatorPlan::default() };
            let delegator = DelegatorArgs::new(&site, &pool, plan);
            let delegator = site.role("delegator", move |_| Delegator::new(delegator));
            VLANS.0.lock().unwrap_or_else(PoisonError::into_inner).push(delegator.clone());

            let want = |shortfall| u32::try_from(shortfall).unwrap_or(u32::MAX);
            let strategy = PoolStrategy::<Range>::factory(Plain { objective: objective.clone(), want });
            let (listens, advisor) = (Some(objective.clone()), Some(delegator.recipient()));
            let negotiator = NegotiatorArgs { listens, advisor, ..NegotiatorArgs::new(&asa, &site, strategy) };
            site.role("negotiator", move |_| Negotiator::new(negotiator));
            Ok(Agent::new(asa).described(Description { objectives: vec![objective.name], ..Description::default() }))
        })
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/vlans.toml");
    let lab = Lab::load(Sources { path: Some(path.into()), ..Sources::default() }, &[&VLANS])?.manifest;
    let fabric = Fabric::new(1);
    let link = fabric.link(Conditions::default());
    let tell = Arc::new(|event| {
        if let Event::NegotiationEnded { asa, outcome, value, .. } = event {
            eprintln!("{asa}: {outcome:?} {value}");
        }
    });
    let mut nodes = Vec::new();
    for (_, manifest) in lab.nodes {
        let stage = Stage::new(Arc::new(fabric.node(&[link])), &[&VLANS], tell.clone());
        let all = |node: &mut grasp::NodeConfig| node.interfaces = Interfaces::All;
        nodes.push(Deployment::start(manifest.into(), stage, all).await?);
    }
    let edge = VLANS.0.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().ok_or("no delegator")?;
    for (client, want) in [("bridge-1", 10), ("bridge-2", 20), ("bridge-3", 40), ("bridge-1", 10)] {
        let ids = edge.send(Take { want, client: client.into() }).await??;
        println!("{client} may use the VLANs {} to {}", ids.start, ids.end - 1);
    }
    for node in nodes {
        node.stop(Duration::from_secs(1)).await;
    }
    Ok(())
}
