//! The class that manifests name: assembles pool, delegator, negotiators, correspondent and flooder.

mod parameters;
mod place;

pub use place::{Disk, Handles, Machine, Place, runtime_clocks};

use crate::delegator::{Delegator, DelegatorArgs};
use crate::desk::{Desk, DeskArgs};
use crate::negotiate::PrefixStrategy;
use crate::pool::{Pool, PoolArgs};
use crate::settle::{AnswerStrategy, Correspondent, CorrespondentArgs};
use crate::wire::Dialect;
use crate::wire::params::OBJECTIVE as PARAMS;
use asa_framework::class::{Agent, Class, ClassInfo, Description, Site};
use asa_framework::manifest::Problem;
use asa_framework::roles::backoff::BackoffPlan;
use asa_framework::roles::flooder::{Content, Flooder, FlooderArgs, Plan};
use asa_framework::roles::negotiator::{Negotiator, NegotiatorArgs, NegotiatorPlan};
use asa_framework::roles::peers::PeersPlan;
use futures_util::future::LocalBoxFuture;
use grasp::{Error, ErrorCode, Objective, Registration};
use parameters::Parameters;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Roles of an instance: the one by default first.
const ROLES: &[&str] = &["delegator", "origin"];
/// Objectives that a manifest can choose among.
const OBJECTIVES: &[&str] = &["PrefixManager", "PrefixManager.Params"];
/// Time limit for the answer to an offer. A Python peer answers within a second or never; one that is late is still heard,
/// since its accept may be on its way (PM-S-07).
const ANSWER: Duration = Duration::from_secs(30);

/// The class of prefix managers, at a place.
pub struct PrefixManager {
    place: &'static dyn Place,
}

impl PrefixManager {
    /// The class, with stores and clocks of this place.
    #[must_use]
    pub const fn at(place: &'static dyn Place) -> Self {
        Self { place }
    }
}

/// The classes of this crate.
pub const CLASSES: &[&dyn Class] = &[&PrefixManager::at(&Machine)];

impl ClassInfo for PrefixManager {
    fn name(&self) -> &'static str {
        "prefix"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn summary(&self) -> &'static str {
        "obtains, holds and gives away blocks of IPv6 and IPv4 addresses (RFC 8992)"
    }

    fn defaults(&self) -> &'static str {
        include_str!("prefix.toml")
    }

    fn roles(&self) -> &'static [&'static str] {
        ROLES
    }

    fn objectives(&self) -> &'static [&'static str] {
        OBJECTIVES
    }

    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem> {
        parameters::check(parameters)
    }
}

fn shared() -> Registration {
    Registration { overlap: true, ..Registration::default() }
}

impl Class for PrefixManager {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        let place = self.place;
        Box::pin(async move { Assembly::new(place, site).await?.run().await })
    }
}

/// An instance that is being put together.
struct Assembly {
    place: &'static dyn Place,
    site: Site,
    asa: grasp::Asa,
    parameters: Parameters,
    origin: bool,
    names: Vec<String>,
}

impl Assembly {
    async fn new(place: &'static dyn Place, site: Site) -> Result<Self, Error> {
        let parameters: Parameters = site.mandate.parameters()?;
        let asa = site.register().await?;
        let origin = site.mandate.settings.role == "origin";
        Ok(Self { place, site, asa, parameters, origin, names: Vec::new() })
    }

    async fn register(&mut self, objective: &Objective) -> Result<(), Error> {
        self.asa.register_objective(objective, shared()).await?;
        self.names.push(objective.name.clone());
        Ok(())
    }

    fn takes_part(&self, objective: &str) -> bool {
        let chosen = &self.site.mandate.settings.objectives;
        chosen.is_empty() || chosen.iter().any(|name| name == objective)
    }

    fn seed(&self, salt: u64) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.site.seed[..8]);
        (if self.parameters.seed == 0 { u64::from_le_bytes(bytes) } else { self.parameters.seed }).wrapping_add(salt)
    }

    async fn run(mut self) -> Result<Agent, Error> {
        let (site, asa, origin) = (self.site.clone(), self.asa.clone(), self.origin);
        let disk = self.parameters.disk(site.mandate.state_directory.clone(), origin);
        let disk_directory = disk.as_ref().and_then(|disk| disk.directory.clone());
        #[allow(clippy::disallowed_methods, reason = "how long the disk takes, for the log; nothing waits for it")]
        let begun = Instant::now();
        let store = self.place.store(&site, disk).map_err(|why| Error::new(ErrorCode::Unspecified, why))?;
        if begun.elapsed() > place::SLOW {
            tracing::info!(asa = site.instance(), seconds = begun.elapsed().as_secs(), "the store has been opened");
        }
        let kept = store.clone();
        let plan = crate::pool::PoolPlan { seed: self.seed(1), ..self.parameters.pool(origin) };
        let pool = PoolArgs::new(&site, store, plan, self.place.clocks());
        let pool = site.role("pool", move |_| Pool::new(pool));

        let delegator = DelegatorArgs::new(&site, &pool, self.parameters.delegator(origin));
        let delegator = DelegatorArgs { hooks: self.parameters.hooks(), ..delegator };
        let delegator = site.role("delegator", move |_| Delegator::new(delegator));

        if self.takes_part("PrefixManager") {
            let mut dialects = vec![(Dialect::PrefixManager, "negotiator")];
            if self.parameters.prefix_manager_t {
                dialects.push((Dialect::PrefixManagerT, "negotiator-t"));
            }
            for (dialect, role) in dialects {
                let speech = self.parameters.speech(dialect, origin);
                let objective = speech.objective();
                self.register(&objective).await?;
                let plan = NegotiatorPlan { step_timeout: ANSWER, seed: self.seed(2), ..NegotiatorPlan::default() };
                let backoff = BackoffPlan { first: Duration::from_secs(2), cap: Duration::from_secs(60) };
                let plan = NegotiatorPlan { peers: PeersPlan { backoff, ..PeersPlan::default() }, ..plan };
                let (listens, advisor) = (Some(objective), Some(delegator.recipient()));
                let strategy = PrefixStrategy::factory(speech);
                let args = NegotiatorArgs { listens, advisor, plan, ..NegotiatorArgs::new(&asa, &site, strategy) };
                site.role(role, move |_| Negotiator::new(args));
            }
            let plan = self.parameters.correspondent(self.seed(3));
            for (objective, role) in [(plan.settle.clone(), "settler"), (plan.giving_back.clone(), "returner")] {
                self.register(&objective).await?;
                let (listens, advisor) = (Some(objective), Some(delegator.recipient()));
                let args = NegotiatorArgs::new(&asa, &site, AnswerStrategy::factory());
                let args = NegotiatorArgs { listens, advisor, ..args };
                site.role(role, move |_| Negotiator::new(args));
            }
            let args = CorrespondentArgs::new(&asa, &site, &pool, plan);
            site.role("correspondent", move |_| Correspondent::new(args));
        }
        if self.takes_part("PrefixManager.Params") {
            let objective = Objective::synchronization(PARAMS);
            self.register(&objective).await?;
            if let Some(value) = self.parameters.flooded().filter(|_| origin) {
                let content: Content = Arc::new(move |_| Some(value.clone()));
                let period = Duration::from_secs(self.parameters.flood_period_s);
                let plan = Plan { seed: self.seed(4), ..Plan::new(Some(period), true) };
                let args = FlooderArgs::new(&asa, &site, objective, plan, content);
                site.role("flooder", move |_| Flooder::new(args));
            }
        }
        let units = self.parameters.delegator(origin).families;
        let units = units.into_iter().map(|(family, plan)| (family, plan.delegated)).collect();
        let desk =
            DeskArgs { store: Some(kept), units, directory: disk_directory, ..DeskArgs::new(&site, &pool, &delegator) };
        let desk = site.role("desk", move |_| Desk::new(desk));
        self.place.started(site.instance(), Handles { pool, delegator });
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let metrics = names(&["blocks by state", "free addresses", "fragmentation", "doubts"]);
        let actions = names(&["resolve", "exclude", "include", "withdraw", "import", "export"]);
        Ok(Agent::new(asa).desk(desk.recipient()).described(Description { objectives: self.names, metrics, actions }))
    }
}
