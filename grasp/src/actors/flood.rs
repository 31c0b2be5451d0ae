//! Flooding: the flood cache, its watchers, and what is sent and relayed.

use super::lives::{End, Lives};
use super::outlook::Outlook;
use super::surroundings::Surroundings;
use crate::error::Error;
use crate::protocol::Time;
use crate::protocol::flood::{Brought, Flood as Core, FloodConfig, FloodCounters, Flooded, Input, Output};
use crate::shell::{Pump, Pumped};
use actix::prelude::*;
use std::collections::BTreeMap;
use supervision::Probe;
use tokio::sync::{mpsc, oneshot};

/// Something for the core.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Feed(pub(crate) Input);

/// A local ASA floods.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SendFlood {
    pub(crate) input: Input,
    pub(crate) request: u64,
    pub(crate) reply: oneshot::Sender<Result<(), Error>>,
}

/// The unexpired copies of a name.
#[derive(Message)]
#[rtype(result = "Vec<Flooded>")]
pub(crate) struct Get(pub(crate) String);

/// Every unexpired copy with the flood that brought it, and the time now.
#[derive(Message)]
#[rtype(result = "Everything")]
pub(crate) struct All;

/// The answer.
#[derive(MessageResponse)]
pub(crate) struct Everything(pub(crate) Time, pub(crate) Vec<(Flooded, Brought)>);

/// The names of which there are unexpired copies.
#[derive(Message)]
#[rtype(result = "Vec<String>")]
pub(crate) struct Names;

/// Tells of every copy of a name from now on; one that finds the channel full is not told.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Watch(pub(crate) String, pub(crate) mpsc::Sender<Flooded>);

/// What is known and counted.
#[derive(Message)]
#[rtype(result = "Known")]
pub(crate) struct Inspect;

/// The answer: counts of what happened, and copies in the cache.
#[derive(MessageResponse)]
pub(crate) struct Known(pub(crate) FloodCounters, pub(crate) usize);

/// The actor.
pub(crate) struct Flood {
    pump: Pump<Core>,
    config: FloodConfig,
    around: Surroundings,
    outlook: Outlook,
    lives: Lives,
    floods: BTreeMap<u64, oneshot::Sender<Result<(), Error>>>,
    watchers: BTreeMap<String, Vec<mpsc::Sender<Flooded>>>,
}

impl Flood {
    pub(crate) fn new(config: FloodConfig, around: Surroundings, outlook: Outlook) -> Self {
        let pump = pump(Core::new(config.clone()), &around);
        let (floods, watchers) = (BTreeMap::new(), BTreeMap::new());
        Self { pump, config, around, outlook, lives: Lives::default(), floods, watchers }
    }

    /// The next life: what has been flooded is kept, unless that may be what this life fell over. Whoever floods tries again;
    /// those who watch are others' and watch on.
    fn succeed(&mut self, end: &End) {
        self.floods = BTreeMap::new();
        let empty = pump(Core::new(self.config.clone()), &self.around);
        let last = std::mem::replace(&mut self.pump, empty);
        if *end == End::Keep {
            self.pump = pump(Core::with(self.config.clone(), last.into_machine().keep()), &self.around);
        } else {
            self.around.tally.count("caches_dropped", "flood");
        }
    }
}

fn pump(core: Core, around: &Surroundings) -> Pump<Core> {
    Pump::new(core, around.clock.clone(), around.recorder.clone(), &around.name, "flood".into())
}

impl Actor for Flood {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.lives.begin();
        ctx.set_mailbox_capacity(1_024);
        let topology = self.outlook.view().topology.clone();
        self.feed(Input::Topology(topology), ctx);
    }
}

impl Supervised for Flood {
    fn restarting(&mut self, _: &mut Context<Self>) {
        match self.lives.end(self.pump.now()) {
            End::Unbegun => {}
            end @ (End::Keep | End::Drop) => self.succeed(&end),
        }
    }
}

impl Handler<Probe> for Flood {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Context<Self>) {
        supervision::answer();
    }
}

impl Pumped for Flood {
    type Core = Core;

    fn pump(&mut self) -> &mut Pump<Core> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, _: &mut Context<Self>) {
        match output {
            Output::Multicast { link, bytes } => self.outlook.multicast(link, bytes),
            Output::Flooded(flooded) => {
                let Some(watchers) = self.watchers.get_mut(&flooded.objective.name) else { return };
                let tally = &self.around.tally;
                watchers.retain(|watcher| match watcher.try_send(flooded.clone()) {
                    Ok(()) => true,
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        tally.count("watchers_behind", flooded.objective.name.as_str());
                        true
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => false,
                });
                if watchers.is_empty() {
                    self.watchers.remove(&flooded.objective.name);
                }
            }
            Output::Sent { request, result } => {
                if let Some(reply) = self.floods.remove(&request) {
                    let _ = reply.send(result);
                }
            }
        }
    }
}

impl Handler<Feed> for Flood {
    type Result = ();

    fn handle(&mut self, Feed(input): Feed, ctx: &mut Context<Self>) {
        self.feed(input, ctx);
    }
}

impl Handler<SendFlood> for Flood {
    type Result = ();

    fn handle(&mut self, SendFlood { input, request, reply }: SendFlood, ctx: &mut Context<Self>) {
        self.floods.insert(request, reply);
        self.feed(input, ctx);
    }
}

impl Handler<Get> for Flood {
    type Result = Vec<Flooded>;

    fn handle(&mut self, Get(name): Get, _: &mut Context<Self>) -> Vec<Flooded> {
        self.pump.machine().store().get(self.pump.now(), &name)
    }
}

impl Handler<All> for Flood {
    type Result = Everything;

    fn handle(&mut self, _: All, _: &mut Context<Self>) -> Self::Result {
        let now = self.pump.now();
        let copies = self.pump.machine().store().all(now);
        Everything(now, copies.map(|(flooded, brought)| (flooded.clone(), *brought)).collect())
    }
}

impl Handler<Names> for Flood {
    type Result = Vec<String>;

    fn handle(&mut self, _: Names, _: &mut Context<Self>) -> Vec<String> {
        self.pump.machine().store().names(self.pump.now())
    }
}

impl Handler<Watch> for Flood {
    type Result = ();

    fn handle(&mut self, Watch(name, watcher): Watch, _: &mut Context<Self>) {
        let watchers = self.watchers.entry(name).or_default();
        watchers.retain(|known| !known.is_closed());
        watchers.push(watcher);
    }
}

impl Handler<Inspect> for Flood {
    type Result = Known;

    fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> Self::Result {
        let core = self.pump.machine();
        Known(core.counters(), core.store().len())
    }
}
