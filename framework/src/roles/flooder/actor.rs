//! The shell: reads the wall clock for the value, and calls GRASP.

use super::core::{FlooderCore, Input, Output, Plan};
use crate::class::Site;
use crate::event::{Event, Events};
use crate::machine::{Clock, Pump, Pumped};
use crate::roles::{Activity, Control, Load, Outstanding};
use actix::prelude::*;
use grasp::{Asa, Objective, Value};
use std::sync::Arc;
use std::time::SystemTime;
use supervision::{Fresh, child};

/// Makes the value at a point in wall-clock time; `None` leaves it as it was.
pub type Content = Arc<dyn Fn(SystemTime) -> Option<Value> + Send + Sync>;

/// What a flooder is made of, in every life anew.
#[derive(Clone)]
pub struct FlooderArgs {
    /// The ASA; the objective must be registered already.
    pub asa: Asa,
    /// Name of the instance.
    pub instance: String,
    /// Takes what it has to tell.
    pub events: Events,
    /// What is made known.
    pub objective: Objective,
    /// Whether to flood now.
    pub activity: Activity,
    /// When.
    pub plan: Plan,
    /// Makes the value.
    pub content: Content,
}

impl FlooderArgs {
    /// Makes the objective's value known as planned, from the actor's start to its end.
    #[must_use]
    pub fn new(asa: &Asa, site: &Site, objective: Objective, plan: Plan, content: Content) -> Self {
        let (asa, instance, events) = (asa.clone(), site.instance().to_owned(), site.events.clone());
        Self { asa, instance, events, objective, activity: site.activity.clone(), plan, content }
    }
}

/// The actor.
pub struct Flooder {
    args: FlooderArgs,
    pump: Pump<FlooderCore>,
    objective: Objective,
}

impl Flooder {
    /// A flooder that begins when it is started.
    #[must_use]
    pub fn new(args: FlooderArgs) -> Self {
        let core = format!("flooder-{}", args.objective.name);
        let pump = Pump::new(
            FlooderCore::new(Plan { mode: args.activity.mode(), ..args.plan }),
            Clock::of_the_runtime(),
            None,
            &args.instance,
            core,
        );
        Self { objective: args.objective.clone(), args, pump }
    }

    fn refreshed(&mut self) -> Objective {
        if let Some(value) = (self.args.content)(SystemTime::now()) {
            self.objective.value = Some(value);
        }
        self.objective.clone()
    }
}

impl Fresh for Flooder {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

child!(Flooder);

impl Actor for Flooder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.feed(Input::Started, ctx);
    }
}

impl Pumped for Flooder {
    type Core = FlooderCore;

    fn pump(&mut self) -> &mut Pump<FlooderCore> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        let (asa, objective) = (self.args.asa.clone(), self.refreshed());
        let name = objective.name.clone();
        match output {
            Output::Serve => {
                let served = async move { asa.listen_synchronize(&objective).await };
                ctx.spawn(served.into_actor(self).map(move |result, actor, _| {
                    if let Err(error) = result {
                        tracing::warn!(asa = actor.args.instance, objective = name, %error, "cannot serve the value");
                    }
                }));
            }
            Output::Flood(ttl) => {
                let text = format!("Flooding {name}: {}", crate::event::json_of(&objective));
                (self.args.events)(Event::Said { asa: self.args.instance.clone(), session_id: None, text });
                let sent = async move { asa.flood(ttl, vec![(objective, None)]).await };
                ctx.spawn(sent.into_actor(self).map(move |result, actor, ctx| {
                    if let Err(error) = &result {
                        tracing::warn!(asa = actor.args.instance, objective = name, %error, "cannot flood");
                    }
                    actor.feed(Input::Sent { ok: result.is_ok() }, ctx);
                }));
            }
        }
    }
}

impl Handler<Control> for Flooder {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        self.feed(Input::Control(control), ctx);
    }
}

impl Handler<Outstanding> for Flooder {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        Load::default()
    }
}
