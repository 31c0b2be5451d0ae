//! The shell: carries batches to the store and answers back.

use super::core::PoolCore;
use super::plan::{Input, Output, PoolPlan};
use super::record::{Answer, Level, PoolError, Record, Request};
use crate::event::{Event, Events};
use crate::machine::{Clock, Pump, Pumped};
use crate::roles::resource::Resource;
use crate::roles::store::Store;
use crate::roles::{Busy, Control, Stop};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

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
    /// Bounds and marks.
    pub plan: PoolPlan<R>,
}

impl<R: Resource> Clone for PoolArgs<R> {
    fn clone(&self) -> Self {
        let Self { instance, events, store, plan } = self;
        Self { instance: instance.clone(), events: events.clone(), store: store.clone(), plan: plan.clone() }
    }
}

/// The actor.
pub struct Pool<R: Resource> {
    args: PoolArgs<R>,
    pump: Pump<PoolCore<R>>,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Answer<R>, PoolError>>>,
    next: u64,
    subscribers: Vec<Recipient<Level>>,
}

impl<R: Resource> Pool<R> {
    /// A pool that reads its store when it is started.
    #[must_use]
    pub fn new(args: PoolArgs<R>) -> Self {
        let core = PoolCore::new(args.plan.clone());
        let pump = Pump::new(core, Clock::of_the_runtime(), None, &args.instance, "pool".into());
        Self { args, pump, waiting: BTreeMap::new(), next: 0, subscribers: Vec::new() }
    }

    /// The same for another life.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

impl<R: Resource> Actor for Pool<R> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
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
                let loaded = self.args.store.load().into_actor(self);
                ctx.spawn(loaded.map(|records, pool, ctx| pool.feed(Input::Loaded(records), ctx)));
            }
            Output::Commit(changes) => {
                let committed = self.args.store.commit(changes).into_actor(self);
                ctx.spawn(committed.map(|result, pool, ctx| pool.feed(Input::Committed(result), ctx)));
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
        self.subscribers.retain(Recipient::connected);
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
        if control == Control::Stop {
            ctx.stop();
        }
        self.feed(Input::Control(control), ctx);
    }
}

impl<R: Resource> Handler<Stop> for Pool<R> {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.handle(Control::Stop, ctx);
    }
}

impl<R: Resource> Handler<Busy> for Pool<R> {
    type Result = usize;

    fn handle(&mut self, _: Busy, _: &mut Context<Self>) -> usize {
        self.pump.machine().busy()
    }
}
