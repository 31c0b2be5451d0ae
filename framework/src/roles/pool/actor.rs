//! The shell: carries batches to the store and answers back.

use super::core::PoolCore;
use super::plan::{Input, Output, PoolPlan};
use super::record::{Answer, Level, PoolError, Record, Request};
use crate::class::Site;
use crate::event::{Event, Events};
use crate::machine::{Clock, Pump, Pumped};
use crate::roles::resource::Resource;
use crate::roles::store::{Store, StoreError};
use crate::roles::{Activity, Control, Load, Outstanding};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use supervision::{Fresh, child, keeps_store, store_fault};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Subscribers at once; more would be a mistake of the author.
const SUBSCRIBERS: usize = 16;

/// Asks the pool; the answer comes when the store has it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Answer<R>, PoolError>")]
pub struct Ask<R: Resource>(pub Request<R>);

impl Message for Level {
    type Result = ();
}

/// From now on the recipient is told how much is free, at once and after every change.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Subscribe(pub Recipient<Level>);

/// What a pool is made of, in every life anew. The store is opened above the actors: it outlives them.
pub struct PoolArgs<R: Resource> {
    /// Name of the instance.
    pub instance: String,
    /// Takes what it has to tell.
    pub events: Events,
    /// The truth.
    pub store: Arc<dyn Store<Record<R>>>,
    /// One incarnation of the instance at a time uses the store.
    pub permit: Arc<Semaphore>,
    /// Whether new promises are made now.
    pub activity: Activity,
    /// Bounds and marks.
    pub plan: PoolPlan<R>,
}

impl<R: Resource> PoolArgs<R> {
    /// A pool of this site.
    #[must_use]
    pub fn new(site: &Site, store: Arc<dyn Store<Record<R>>>, plan: PoolPlan<R>) -> Self {
        let (instance, events) = (site.instance().to_owned(), site.events.clone());
        Self { instance, events, store, permit: site.store.clone(), activity: site.activity.clone(), plan }
    }
}

impl<R: Resource> Clone for PoolArgs<R> {
    fn clone(&self) -> Self {
        let Self { instance, events, store, permit, activity, plan } = self;
        Self {
            instance: instance.clone(),
            events: events.clone(),
            store: store.clone(),
            permit: permit.clone(),
            activity: activity.clone(),
            plan: plan.clone(),
        }
    }
}

/// The actor.
pub struct Pool<R: Resource> {
    args: PoolArgs<R>,
    pump: Pump<PoolCore<R>>,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Answer<R>, PoolError>>>,
    next: u64,
    subscribers: Vec<Recipient<Level>>,
    /// Held for the whole life: nobody else uses the store meanwhile.
    permit: Option<OwnedSemaphorePermit>,
}

impl<R: Resource> Pool<R> {
    /// A pool that reads its store when it is started.
    #[must_use]
    pub fn new(args: PoolArgs<R>) -> Self {
        let core = PoolCore::new(PoolPlan { mode: args.activity.mode(), ..args.plan.clone() });
        let pump = Pump::new(core, Clock::of_the_runtime(), None, &args.instance, "pool".into());
        Self { args, pump, waiting: BTreeMap::new(), next: 0, subscribers: Vec::new(), permit: None }
    }
}

impl<R: Resource> Fresh for Pool<R> {
    fn fresh(&self) -> Self {
        // Who wants to be told does not notice that a new life begins.
        Self { subscribers: self.subscribers.clone(), ..Self::new(self.args.clone()) }
    }
}

child!(<R: Resource> Pool<R>);

impl<R: Resource> Actor for Pool<R> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        keeps_store();
        self.feed(Input::Started, ctx);
    }
}

impl<R: Resource> Pumped for Pool<R> {
    type Core = PoolCore<R>;

    fn pump(&mut self) -> &mut Pump<PoolCore<R>> {
        &mut self.pump
    }

    fn act(&mut self, output: Output<R>, ctx: &mut Context<Self>) {
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
                self.subscribers.retain(Recipient::connected);
                for subscriber in &self.subscribers {
                    subscriber.do_send(level);
                }
            }
            Output::Alarm(text) => {
                tracing::error!(asa = self.args.instance, text);
                (self.args.events)(Event::Said { asa: self.args.instance.clone(), session_id: None, text });
            }
        }
    }
}

impl<R: Resource> Handler<Ask<R>> for Pool<R> {
    type Result = ResponseFuture<Result<Answer<R>, PoolError>>;

    fn handle(&mut self, Ask(request): Ask<R>, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        self.next += 1;
        self.waiting.insert(self.next, reply);
        self.feed(Input::Asked(self.next, request), ctx);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(PoolError::State("the pool has ended".into()))) })
    }
}

impl<R: Resource> Handler<Subscribe> for Pool<R> {
    type Result = ();

    fn handle(&mut self, Subscribe(recipient): Subscribe, _: &mut Context<Self>) {
        // One that begins another life asks again.
        self.subscribers.retain(|other| other.connected() && *other != recipient);
        if self.subscribers.len() >= SUBSCRIBERS {
            tracing::warn!(asa = self.args.instance, "too many subscribers to the level of the pool");
            return;
        }
        if let Some(level) = self.pump.machine().level() {
            recipient.do_send(level);
        }
        self.subscribers.push(recipient);
    }
}

impl<R: Resource> Handler<Control> for Pool<R> {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        self.feed(Input::Control(control), ctx);
    }
}

impl<R: Resource> Handler<Outstanding> for Pool<R> {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        self.pump.machine().load()
    }
}
