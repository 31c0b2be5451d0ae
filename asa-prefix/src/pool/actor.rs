//! The shell: carries batches to the store and answers back.

use super::core::PoolCore;
use super::plan::{Input, Output, PoolPlan, Stamp};
use super::record::Record;
use super::request::{Answer, Level, PoolError, Request};
use crate::prefix::Prefix;
use actix::prelude::*;
use asa_framework::class::Site;
use asa_framework::event::{Event, Events};
use asa_framework::machine::{Clock, Pump, Pumped};
use asa_framework::roles::store::{Store, StoreError};
use asa_framework::roles::{Activity, Control, Load, Outstanding};
use std::collections::BTreeMap;
use std::sync::Arc;
use supervision::{Fresh, child, keeps_store, store_fault};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Subscribers at once; more would be a mistake of the author.
const SUBSCRIBERS: usize = 16;

/// Reads the clocks of the machine, or those of a simulation.
pub type Clocks = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// Asks the pool; the answer comes when the store has it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Answer, PoolError>")]
pub struct Ask(pub Request);

impl Message for Level {
    type Result = ();
}

/// Blocks of clients that are no longer theirs: what was set up for them is to be taken down.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Ended(pub Vec<Prefix>);

/// From now on the recipients are told how much is free, at once and after every change, and which blocks of clients have ended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Subscribe(pub Recipient<Level>, pub Option<Recipient<Ended>>);

/// What a pool is made of, in every life anew. The store is opened above the actors: it outlives them.
#[derive(Clone)]
pub struct PoolArgs {
    /// Name of the instance.
    pub instance: String,
    /// Takes what it has to tell.
    pub events: Events,
    /// The truth.
    pub store: Arc<dyn Store<Record>>,
    /// One incarnation of the instance at a time uses the store.
    pub permit: Arc<Semaphore>,
    /// Whether new promises are made now.
    pub activity: Activity,
    /// Bounds and marks.
    pub plan: PoolPlan,
    /// The clocks.
    pub clocks: Clocks,
}

impl PoolArgs {
    /// A pool of this site.
    #[must_use]
    pub fn new(site: &Site, store: Arc<dyn Store<Record>>, plan: PoolPlan, clocks: Clocks) -> Self {
        let (instance, events) = (site.instance().to_owned(), site.events.clone());
        Self { instance, events, store, permit: site.store.clone(), activity: site.activity.clone(), plan, clocks }
    }
}

/// The actor.
pub struct Pool {
    args: PoolArgs,
    pump: Pump<PoolCore>,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Answer, PoolError>>>,
    next: u64,
    subscribers: Vec<(Recipient<Level>, Option<Recipient<Ended>>)>,
    /// Held for the whole life: nobody else uses the store meanwhile.
    permit: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// A pool that reads its store when it is started.
    #[must_use]
    pub fn new(args: PoolArgs) -> Self {
        let core = PoolCore::new(PoolPlan { mode: args.activity.mode(), ..args.plan.clone() });
        let pump = Pump::new(core, Clock::of_the_runtime(), None, &args.instance, "pool".into());
        Self { args, pump, waiting: BTreeMap::new(), next: 0, subscribers: Vec::new(), permit: None }
    }
}

impl Fresh for Pool {
    fn fresh(&self) -> Self {
        // Who wants to be told does not notice that a new life begins.
        Self { subscribers: self.subscribers.clone(), ..Self::new(self.args.clone()) }
    }
}

child!(Pool);

impl Actor for Pool {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        keeps_store();
        let stamp = (self.args.clocks)();
        self.feed(Input::Started(stamp), ctx);
    }
}

impl Pumped for Pool {
    type Core = PoolCore;

    fn pump(&mut self) -> &mut Pump<PoolCore> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Load => {
                let (store, permit, held) = (self.args.store.clone(), self.args.permit.clone(), self.permit.take());
                let loaded = async move {
                    let permit = match held {
                        Some(permit) => Some(permit),
                        // Never closed; meanwhile another incarnation brings its work to an end.
                        None => permit.acquire_owned().await.ok(),
                    };
                    (permit, store.load().await)
                };
                ctx.spawn(loaded.into_actor(self).map(|(permit, records), pool, ctx| {
                    pool.permit = permit;
                    pool.feed(Input::Loaded(records), ctx);
                }));
            }
            Output::Commit(changes) => {
                let drilled = store_fault();
                let commit = self.args.store.commit(changes);
                let committed = async move { if drilled { Err(StoreError::Ordered) } else { commit.await } };
                ctx.spawn(committed.into_actor(self).map(|result, pool, ctx| pool.feed(Input::Committed(result), ctx)));
            }
            Output::Reply(id, answer) => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    // Who does not wait any more has left somebody behind who settles it, or is given up for lost.
                    let _ = waiting.send(answer);
                }
            }
            Output::Level(level) => {
                self.subscribers.retain(|(levels, _)| levels.connected());
                for (levels, _) in &self.subscribers {
                    levels.do_send(level);
                }
            }
            Output::Ended(blocks) => {
                for ended in self.subscribers.iter().filter_map(|(_, ended)| ended.as_ref()) {
                    ended.do_send(Ended(blocks.clone()));
                }
            }
            Output::Alarm(text) => {
                tracing::error!(asa = self.args.instance, text);
                (self.args.events)(Event::Said { asa: self.args.instance.clone(), session_id: None, text });
            }
        }
    }
}

impl Handler<Ask> for Pool {
    type Result = ResponseFuture<Result<Answer, PoolError>>;

    fn handle(&mut self, Ask(request): Ask, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        self.next += 1;
        self.waiting.insert(self.next, reply);
        let stamp = (self.args.clocks)();
        self.feed(Input::Asked(self.next, stamp, request), ctx);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(PoolError::State("the pool has ended".into()))) })
    }
}

impl Handler<Subscribe> for Pool {
    type Result = ();

    fn handle(&mut self, Subscribe(levels, ended): Subscribe, _: &mut Context<Self>) {
        // One that begins another life asks again.
        self.subscribers.retain(|(other, _)| other.connected() && *other != levels);
        if self.subscribers.len() >= SUBSCRIBERS {
            tracing::warn!(asa = self.args.instance, "too many subscribers to the level of the pool");
            return;
        }
        if let Some(level) = self.pump.machine().level() {
            levels.do_send(level);
        }
        self.subscribers.push((levels, ended));
    }
}

impl Handler<Control> for Pool {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        self.feed(Input::Control(control), ctx);
    }
}

impl Handler<Outstanding> for Pool {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        self.pump.machine().load()
    }
}
