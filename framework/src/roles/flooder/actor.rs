//! The shell: reads the wall clock for the value, and calls GRASP.

use super::core::{FlooderCore, Input, Output, Plan};
use crate::event::{Event, Events};
use crate::machine::{Clock, Pump, Pumped};
use crate::roles::Stop;
use actix::prelude::*;
use grasp::{Asa, Objective, Value};
use std::time::SystemTime;

/// Makes the value at a point in wall-clock time; `None` leaves it as it was.
pub type Content = Box<dyn Fn(SystemTime) -> Option<Value> + Send>;

/// The actor; the objective must be registered already.
pub struct Flooder {
    pump: Pump<FlooderCore>,
    asa: Asa,
    instance: String,
    events: Events,
    objective: Objective,
    content: Content,
}

impl Flooder {
    /// Makes the objective's value known as planned, from the actor's start to its end.
    #[must_use]
    pub fn new(asa: Asa, instance: &str, events: Events, objective: Objective, plan: Plan, content: Content) -> Self {
        let core = format!("flooder-{}", objective.name);
        let pump = Pump::new(FlooderCore::new(plan), Clock::of_the_runtime(), None, instance, core);
        Self { pump, asa, instance: instance.to_owned(), events, objective, content }
    }

    fn refreshed(&mut self) -> Objective {
        if let Some(value) = (self.content)(SystemTime::now()) {
            self.objective.value = Some(value);
        }
        self.objective.clone()
    }
}

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
        let (asa, objective) = (self.asa.clone(), self.refreshed());
        let name = objective.name.clone();
        match output {
            Output::Serve => {
                let served = async move { asa.listen_synchronize(&objective).await };
                ctx.spawn(served.into_actor(self).map(move |result, actor, _| {
                    if let Err(error) = result {
                        tracing::warn!(asa = actor.instance, objective = name, %error, "cannot serve the value");
                    }
                }));
            }
            Output::Flood(ttl) => {
                let text = format!("Flooding {name}: {}", crate::event::json_of(&objective));
                (self.events)(Event::Said { asa: self.instance.clone(), session_id: None, text });
                let sent = async move { asa.flood(ttl, vec![(objective, None)]).await };
                ctx.spawn(sent.into_actor(self).map(move |result, actor, ctx| {
                    if let Err(error) = &result {
                        tracing::warn!(asa = actor.instance, objective = name, %error, "cannot flood");
                    }
                    actor.feed(Input::Sent { ok: result.is_ok() }, ctx);
                }));
            }
        }
    }
}

impl Handler<Stop> for Flooder {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
