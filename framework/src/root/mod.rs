//! The root of a node: owns the instances, moves them through their lives, and answers operators.

mod drill;
mod incarnation;
mod instance;
mod moves;
mod plan;
mod policy;
mod query;
mod rebuilds;
mod reload;
mod replace;
mod report;
mod state_directory;

pub use report::DESCRIPTION_OBJECTIVE;

use crate::class::{Class, find_class};
use crate::control::{Command, Failure, FailureCode};
use crate::event::{Event, Events};
use crate::lifecycle::{Phase, way};
use crate::manifest::{FloodedPolicy, Loaded, Manifest, Problems};
use crate::protection::TlsFiles;
use actix::prelude::*;
use grasp::Grasp;
use incarnation::Kit;
use instance::Instance;
use policy::Policies;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rebuilds::Rebuilds;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Escalated, Fresh, Tree, child};
use tokio::time::Instant;

/// Reads the manifest again, as it was read at the start, with the policy that has been flooded since.
pub type Reread = Arc<dyn Fn(Vec<FloodedPolicy>) -> Result<Loaded<Manifest>, Problems> + Send + Sync>;
/// Ends the process since nothing here can help any more; gets the reason.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Shows and changes what is logged while the node runs.
pub trait LogLevels: Send + Sync {
    /// The directives in force.
    fn current(&self) -> String;

    /// Changes them.
    ///
    /// # Errors
    ///
    /// What is wrong with them, and what is allowed.
    fn set(&self, directives: &str) -> Result<(), String>;
}

/// What the root is made from.
#[derive(Clone)]
pub(crate) struct Args {
    pub(crate) grasp: Grasp,
    pub(crate) tree: Tree,
    pub(crate) events: Events,
    pub(crate) classes: Arc<[&'static dyn Class]>,
    pub(crate) loaded: Arc<Loaded<Manifest>>,
    pub(crate) threads: bool,
    pub(crate) seed: [u8; 32],
    pub(crate) reread: Option<Reread>,
    pub(crate) levels: Option<Arc<dyn LogLevels>>,
    pub(crate) fatal: Fatal,
    /// The files behind the substrate, if it has any.
    pub(crate) tls: Option<TlsFiles>,
}

/// The actor. It is not restarted: if it fails, the process has lost its head and ends.
pub(crate) struct Root {
    args: Args,
    loaded: Arc<Loaded<Manifest>>,
    instances: BTreeMap<String, Instance>,
    random: ChaCha12Rng,
    rebuilds: Rebuilds,
    policies: Policies,
    started: Instant,
    escalations: u64,
    abandoned_threads: u64,
    stopping: bool,
}

impl Root {
    pub(crate) fn new(args: Args) -> Self {
        let supervision = &args.loaded.manifest.supervision;
        let within = Duration::from_millis(supervision.rebuilds_within_ms.into());
        Self {
            loaded: args.loaded.clone(),
            instances: BTreeMap::new(),
            random: ChaCha12Rng::from_seed(args.seed),
            rebuilds: Rebuilds::new(supervision.rebuilds, within),
            policies: Policies::default(),
            started: Instant::now(),
            escalations: 0,
            abandoned_threads: 0,
            stopping: false,
            args,
        }
    }

    fn manifest(&self) -> &Manifest {
        &self.loaded.manifest
    }

    fn kit(&self, ctx: &Context<Self>) -> Kit {
        Kit {
            grasp: self.args.grasp.clone(),
            tree: self.args.tree.clone(),
            events: self.args.events.clone(),
            threads: self.args.threads,
            root: ctx.address(),
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        seed
    }

    fn class(&self, name: &str, requirement: &str) -> Result<&'static dyn Class, Failure> {
        find_class(&self.args.classes, name, requirement).ok_or_else(|| {
            let there: Vec<String> =
                self.args.classes.iter().map(|class| format!("{}@{}", class.name(), class.version())).collect();
            let wanted = if requirement == "*" { name.to_owned() } else { format!("{name}@{requirement}") };
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            let message = format!("this binary carries no class {wanted}; there are {there}");
            Failure::new(FailureCode::Unknown, message)
        })
    }

    fn instance(&mut self, name: &str) -> Result<&mut Instance, Failure> {
        let known: Vec<String> = self.instances.keys().cloned().collect();
        self.instances.get_mut(name).ok_or_else(|| {
            let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Failure::new(FailureCode::Unknown, format!("there is no instance {name}; there are {there}"))
        })
    }

    /// Claims an instance for one operation at a time.
    fn claim(&mut self, name: &str, operation: &'static str) -> Result<&mut Instance, Failure> {
        if self.stopping {
            return Err(Failure::new(FailureCode::Refused, "the node is stopping"));
        }
        let instance = self.instance(name)?;
        if let Some(other) = instance.operation {
            let message = format!("{name} is busy: {other} is under way; try again when it is done");
            return Err(Failure::new(FailureCode::Busy, message));
        }
        instance.operation = Some(operation);
        Ok(instance)
    }
}

impl Fresh for Root {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

child!(Root);

impl Actor for Root {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(256);
        self.listen_for_policy(ctx);
    }
}

/// Carries out what an operator wants.
#[derive(Message)]
#[rtype(result = "Result<serde_json::Value, Failure>")]
pub(crate) struct Execute(pub(crate) Command);

/// What an operation is while it runs.
pub(super) type Work<T> = ResponseActFuture<Root, Result<T, Failure>>;

fn json<T: serde::Serialize>(result: Result<T, Failure>) -> Result<serde_json::Value, Failure> {
    let value = serde_json::to_value(result?);
    value.map_err(|error| Failure::new(FailureCode::Failed, format!("cannot be written as JSON: {error}")))
}

/// A piece of work with its result as JSON.
fn as_json<T: serde::Serialize + 'static>(work: Work<T>) -> Work<serde_json::Value> {
    Box::pin(work.map(|result, _, _| json(result)))
}

impl Handler<Execute> for Root {
    type Result = Work<serde_json::Value>;

    fn handle(&mut self, Execute(command): Execute, ctx: &mut Context<Self>) -> Self::Result {
        match command {
            Command::Status => as_json(self.status()),
            Command::Describe { instance } => {
                let described = self.describe(instance.as_deref());
                Box::pin(fut::ready(json(described)))
            }
            Command::Dump { table } => as_json(self.dump(table)),
            Command::Move { step, instance, force, purge } => as_json(self.step(&instance, step, force, purge, ctx)),
            Command::Replace { instance, with } => as_json(self.replace_with(&instance, &with, ctx)),
            Command::Reload { plan } => as_json(self.reload(plan, ctx)),
            Command::Drill { role, fault, instance, count } => {
                as_json(self.drill(&role, fault, instance.as_deref(), count))
            }
            Command::Query { instance, query } => self.query(&instance, query),
            Command::LogLevel { level } => {
                let shown = self.log_level(level.as_deref());
                Box::pin(fut::ready(json(shown)))
            }
        }
    }
}

impl Root {
    fn log_level(&self, level: Option<&str>) -> Result<serde_json::Value, Failure> {
        let Some(levels) = &self.args.levels else {
            return Err(Failure::new(FailureCode::Refused, "the log level of this program cannot be changed"));
        };
        if let Some(level) = level {
            levels.set(level).map_err(|error| Failure::new(FailureCode::Refused, error))?;
        }
        Ok(serde_json::json!({ "level": levels.current() }))
    }
}

/// Brings all instances where the manifest wants them.
#[derive(Message)]
#[rtype(result = "Result<(), (String, Failure)>")]
pub(crate) struct Begin;

impl Handler<Begin> for Root {
    type Result = ResponseActFuture<Self, Result<(), (String, Failure)>>;

    fn handle(&mut self, _: Begin, ctx: &mut Context<Self>) -> Self::Result {
        let names: Vec<String> = self.manifest().asa.keys().cloned().collect();
        for name in &names {
            self.enter(name);
        }
        // One after the other, so that the order is the same each time.
        let address = ctx.address();
        let begun = async move {
            for name in names {
                let moved = address.send(Bring { instance: name.clone() }).await;
                moved.unwrap_or_else(|_| Err(gone())).map_err(|failure| (name, failure))?;
            }
            Ok(())
        };
        Box::pin(begun.into_actor(self))
    }
}

/// Brings one instance where it is wanted, move by move.
#[derive(Message)]
#[rtype(result = "Result<(), Failure>")]
pub(super) struct Bring {
    pub(super) instance: String,
}

impl Handler<Bring> for Root {
    type Result = ResponseActFuture<Self, Result<(), Failure>>;

    fn handle(&mut self, Bring { instance: name }: Bring, ctx: &mut Context<Self>) -> Self::Result {
        let Some(instance) = self.instances.get(&name) else {
            return Box::pin(fut::ready(self.instance(&name).map(drop)));
        };
        let moves = way(instance.phase, instance.wanted);
        let address = ctx.address();
        let brought = async move {
            for step in moves {
                let command = Command::Move { step, instance: name.clone(), force: false, purge: false };
                address.send(Execute(command)).await.unwrap_or_else(|_| Err(gone()))?;
            }
            Ok(())
        };
        Box::pin(brought.into_actor(self))
    }
}

pub(crate) fn gone() -> Failure {
    Failure::new(FailureCode::Failed, "the node is gone")
}

/// Ends all instances; nothing new is begun.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct End;

impl Handler<End> for Root {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: End, _: &mut Context<Self>) -> Self::Result {
        self.stopping = true;
        let mut running = Vec::new();
        for instance in self.instances.values_mut().rev() {
            instance.phase = instance.phase.min(Phase::Installed);
            running.extend(instance.current.take());
        }
        let ended = async move {
            let all = running.into_iter().map(|incarnation| incarnation.take_down(false));
            futures_util::future::join_all(all).await;
        };
        Box::pin(ended.into_actor(self).map(|(), root: &mut Self, _| {
            // Whoever starts the node again in this process finds its stores free.
            root.instances.values().for_each(|instance| instance.belongings.clear());
        }))
    }
}

/// Restarting the roles of an incarnation does not help.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Fallen {
    pub(super) instance: String,
    pub(super) number: u64,
    pub(super) blocked: bool,
}

impl Handler<Fallen> for Root {
    type Result = ();

    /// The whole instance is built anew from its mandate, on a thread of its own.
    fn handle(&mut self, Fallen { instance: name, number, blocked }: Fallen, ctx: &mut Context<Self>) {
        if blocked {
            self.abandoned_threads += 1;
        }
        // One that is being built or proven is looked at when that is done; one that is being taken down is past help.
        let current = self.instances.get(&name).and_then(|one| one.current.as_ref()).filter(|one| one.number == number);
        let Some(escalated) = current.and_then(|current| current.word.take()).filter(|_| !self.stopping) else {
            return;
        };
        let Escalated { role, exit, .. } = escalated;
        self.escalations += 1;
        tracing::error!(asa = name, role, ?exit, blocked, "restarting its roles does not help");
        let text = format!("{role} {exit:?}");
        let hopeless = if self.abandoned_threads > 1 {
            Some("two threads are blocked, which only a new process can mend")
        } else if !self.rebuilds.allowed(self.args.tree.now()) {
            Some("instances have been rebuilt too often")
        } else {
            None
        };
        if let Some(reason) = hopeless {
            (self.args.fatal)(reason);
            return self.give_up(&name, text, blocked, ctx);
        }
        (self.args.events)(Event::Rebuilt { asa: name.clone(), reason: text.clone() });
        self.rebuild(&name, text, blocked, ctx);
    }
}

/// The actors of the node have failed in a way that restarting them does not mend.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct NodeFailed(pub(crate) grasp::Failure);

impl Handler<NodeFailed> for Root {
    type Result = ();

    /// A node that has forgotten its ASAs gets them anew; without a node there is nothing to run them on.
    fn handle(&mut self, NodeFailed(failure): NodeFailed, ctx: &mut Context<Self>) {
        if self.stopping {
            return;
        }
        match failure {
            grasp::Failure::GaveUp(escalated) => {
                let reason = format!("{} of the node failed too often: {:?}", escalated.role, escalated.exit);
                (self.args.fatal)(&reason);
            }
            grasp::Failure::Forgot => {
                self.escalations += 1;
                if !self.rebuilds.allowed(self.args.tree.now()) {
                    return (self.args.fatal)("the node has forgotten its agents too often");
                }
                tracing::error!("the node has forgotten its agents; they are built anew");
                let names: Vec<String> = self.instances.keys().cloned().collect();
                for name in names {
                    let reason = "the node had forgotten it".to_owned();
                    (self.args.events)(Event::Rebuilt { asa: name.clone(), reason: reason.clone() });
                    self.rebuild(&name, reason, false, ctx);
                }
                self.listen_for_policy(ctx);
            }
        }
    }
}
