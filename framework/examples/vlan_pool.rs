//! A complete autonomic service agent: VLAN ids that nodes share.
//!
//! The origin starts with all ids. The other nodes start with none, keep 32 at hand, and ask whoever has some. Here an origin
//! and a delegator meet on a simulated link; on a real one only the network differs.

use actix::Actor;
use asa_framework::class::{Agent, Class, ClassInfo, Site};
use asa_framework::deploy::Deployment;
use asa_framework::manifest::{Manifest, ParameterCheck, Problem, Sources};
use asa_framework::roles::delegator::{Delegator, DelegatorArgs, DelegatorPlan, Plain, PoolStrategy, Take};
use asa_framework::roles::negotiator::{Negotiator, NegotiatorArgs};
use asa_framework::roles::pool::{Pool, PoolArgs, PoolPlan};
use asa_framework::roles::resource::Range;
use asa_framework::roles::store::MemStore;
use futures_util::future::LocalBoxFuture;
use grasp::net::memory::{Conditions, Fabric};
use grasp::{Interfaces, Objective, Registration};
use std::sync::{Arc, Mutex};

/// Where the origin's ids begin and end, and how many a delegator keeps at hand.
const IDS: Range = Range { start: 2, end: 4095 };
const STOCK: u128 = 32;

/// The class; it also remembers the delegators it has started, for their clients on this machine.
struct Vlans(Mutex<Vec<actix::Addr<Delegator<Range>>>>);

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
        "# Who gets the ids from the operator: \"origin\", or asks for them: \"delegator\".\nmode = \"delegator\""
    }

    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.choice("mode", &["origin", "delegator"]);
        check.finish()
    }
}

impl Class for Vlans {
    fn assemble(
        &self,
        site: Site,
        parameters: &serde_json::Value,
    ) -> LocalBoxFuture<'static, Result<Agent, grasp::Error>> {
        let objective = Objective::negotiation("32473:vlans");
        let upstream = parameters["mode"] == "delegator";
        let initial = if upstream { Vec::new() } else { vec![IDS] };
        let (instance, events, store) = (site.instance.clone(), site.events.clone(), Arc::new(MemStore::default()));
        let plan = PoolPlan { initial, low: STOCK / 2, ..PoolPlan::default() };
        let pool = Pool::new(PoolArgs { instance: instance.clone(), events, store, plan }).start();
        let plan = DelegatorPlan { upstream, target: STOCK, ..DelegatorPlan::default() };
        let delegator = Delegator::new(DelegatorArgs { instance, pool: pool.clone(), plan }).start();
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(delegator.clone());
        let want = |shortfall| u32::try_from(shortfall).unwrap_or(u32::MAX);
        let strategy = PoolStrategy::<Range>::factory(Plain { objective: objective.clone(), want });
        Box::pin(async move {
            let asa = site.grasp.register_asa(&site.instance).await?;
            asa.register_objective(&objective, Registration::default()).await?;
            let (listens, advisor) = (Some(objective), Some(delegator.clone().recipient()));
            let args = NegotiatorArgs { listens, advisor, ..NegotiatorArgs::new(&asa, &site, strategy) };
            let negotiator = Negotiator::new(args).start();
            Ok(Agent::new(asa, vec![pool.recipient(), delegator.recipient(), negotiator.recipient()]))
        })
    }
}

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (fabric, class) = (Fabric::new(1), Vlans(Mutex::new(Vec::new())));
    let link = fabric.link(Conditions::default());
    for mode in ["origin", "delegator"] {
        let text = format!(
            "[grasp]\nsubstrate = 'insecure-lab'\nlink_local_locators = true\n\
             [asa.{mode}]\nclass = 'vlans'\n[asa.{mode}.parameters]\nmode = '{mode}'"
        );
        let sources =
            Sources { path: Some("vlans.toml".into()), content: Some(text.into_bytes()), ..Sources::default() };
        let manifest = Manifest::load(sources, &[&class]).map_err(|problems| problems.to_string())?.manifest;
        let print = Arc::new(|event| eprintln!("{}", serde_json::to_string(&event).unwrap_or_default()));
        let place = Arc::new(fabric.node(&[link]));
        Deployment::start(&manifest, &[&class], place, print, |node| node.interfaces = Interfaces::All).await?;
    }
    let delegators = class.0.into_inner()?;
    let delegator = delegators.last().ok_or("no delegator")?;
    for (client, want) in [("bridge-1", 10), ("bridge-2", 20), ("bridge-1", 10)] {
        let ids = delegator.send(Take { want, client: client.into() }).await??;
        eprintln!("{client} may use the VLANs {} to {}", ids.start, ids.end - 1);
    }
    Ok(())
}
