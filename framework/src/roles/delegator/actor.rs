//! The shell: carries questions to the pool and answers back.

use super::core::{DelegatorCore, DelegatorPlan, Input, Output};
use super::question::{Response, write};
use crate::class::Site;
use crate::machine::{Clock, Pump, Pumped};
use crate::roles::negotiator::Consult;
use crate::roles::pool::{Ask, Level, Pool, PoolError, Subscribe};
use crate::roles::resource::Resource;
use crate::roles::{Activity, Control, Load, Outstanding};
use actix::prelude::*;
use grasp::Value;
use std::collections::BTreeMap;
use supervision::{Fresh, Mailbox, child};
use tokio::sync::oneshot;

/// A client of this node wants something; the same client that asks again gets the same block again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<R, String>")]
pub struct Take<R: Resource> {
    /// What.
    pub want: R::Want,
    /// Name of the client, unique in the node.
    pub client: String,
}

/// A client of this node gives its block back.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), String>")]
pub struct Give<R: Resource> {
    /// What.
    pub block: R,
    /// Name of the client.
    pub client: String,
}

/// What a delegator is made of, in every life anew.
pub struct DelegatorArgs<R: Resource> {
    /// Name of the instance.
    pub instance: String,
    /// Where everything comes from.
    pub pool: Mailbox<Pool<R>>,
    /// Whether new work is taken now.
    pub activity: Activity,
    /// Bounds and marks.
    pub plan: DelegatorPlan,
}

impl<R: Resource> DelegatorArgs<R> {
    /// A delegator of this site that draws on this pool.
    #[must_use]
    pub fn new(site: &Site, pool: &Mailbox<Pool<R>>, plan: DelegatorPlan) -> Self {
        let (instance, pool, activity) = (site.instance().to_owned(), pool.clone(), site.activity.clone());
        Self { instance, pool, activity, plan }
    }
}

impl<R: Resource> Clone for DelegatorArgs<R> {
    fn clone(&self) -> Self {
        let Self { instance, pool, activity, plan } = self;
        Self { instance: instance.clone(), pool: pool.clone(), activity: activity.clone(), plan: *plan }
    }
}

/// The actor.
pub struct Delegator<R: Resource> {
    args: DelegatorArgs<R>,
    pump: Pump<DelegatorCore<R>>,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Response<R>, String>>>,
    next: u64,
}

impl<R: Resource> Delegator<R> {
    /// A delegator that begins when it is started.
    #[must_use]
    pub fn new(args: DelegatorArgs<R>) -> Self {
        let clock = Clock::of_the_runtime();
        let pump = Pump::new(
            DelegatorCore::new(DelegatorPlan { mode: args.activity.mode(), ..args.plan }),
            clock,
            None,
            &args.instance,
            "delegator".into(),
        );
        Self { args, pump, waiting: BTreeMap::new(), next: 0 }
    }

    fn question(
        &mut self,
        input: impl FnOnce(u64) -> Input<R>,
        ctx: &mut Context<Self>,
    ) -> impl Future<Output = Result<Response<R>, String>> + 'static {
        let (reply, answer) = oneshot::channel();
        self.next += 1;
        self.waiting.insert(self.next, reply);
        self.feed(input(self.next), ctx);
        async move { answer.await.unwrap_or_else(|_| Err("the delegator has ended".into())) }
    }
}

impl<R: Resource> Fresh for Delegator<R> {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

child!(<R: Resource> Delegator<R>);

impl<R: Resource> Actor for Delegator<R> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.args.pool.do_send(Subscribe(ctx.address().recipient()));
    }
}

impl<R: Resource> Pumped for Delegator<R> {
    type Core = DelegatorCore<R>;

    fn pump(&mut self) -> &mut Pump<DelegatorCore<R>> {
        &mut self.pump
    }

    fn act(&mut self, output: Output<R>, ctx: &mut Context<Self>) {
        match output {
            Output::Ask(id, request) => {
                let answer = self.args.pool.send(Ask(request)).into_actor(self);
                ctx.spawn(answer.map(move |answer, delegator, ctx| {
                    let gone = |_| Err(PoolError::State("the pool does not answer".into()));
                    delegator.feed(Input::Answered(id, answer.unwrap_or_else(gone)), ctx);
                }));
            }
            Output::Reply(id, response) => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    // Who has gone away meanwhile has left a dialogue behind that settles it.
                    let _ = waiting.send(response);
                }
            }
        }
    }
}

impl<R: Resource> Handler<Level> for Delegator<R> {
    type Result = ();

    fn handle(&mut self, level: Level, ctx: &mut Context<Self>) {
        self.feed(Input::Level(level), ctx);
    }
}

impl<R: Resource> Handler<Take<R>> for Delegator<R> {
    type Result = ResponseFuture<Result<R, String>>;

    fn handle(&mut self, Take { want, client }: Take<R>, ctx: &mut Context<Self>) -> Self::Result {
        let answer = self.question(|id| Input::Take(id, want, client), ctx);
        Box::pin(async move {
            match answer.await? {
                Response::Granted(block) => Ok(block),
                Response::Need(_) | Response::Reserved(..) | Response::Done => Err("no block".into()),
            }
        })
    }
}

impl<R: Resource> Handler<Give<R>> for Delegator<R> {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(&mut self, Give { block, client }: Give<R>, ctx: &mut Context<Self>) -> Self::Result {
        let answer = self.question(|id| Input::Give(id, block, client), ctx);
        Box::pin(async move { answer.await.map(drop) })
    }
}

impl<R: Resource> Handler<Consult> for Delegator<R> {
    type Result = ResponseFuture<Result<Value, String>>;

    fn handle(&mut self, Consult(counsel): Consult, ctx: &mut Context<Self>) -> Self::Result {
        let peer = counsel.peer.map_or_else(|| "unknown".into(), |peer| peer.to_string());
        let question = match counsel.question.decode() {
            Ok(question) => question,
            Err(error) => return Box::pin(async move { Err(format!("not a question to a delegator: {error}")) }),
        };
        let mutual = counsel.mutual;
        let answer = self.question(|id| Input::Consulted { id, question, peer, mutual }, ctx);
        Box::pin(async move { answer.await.map(|response| write(&response)) })
    }
}

impl<R: Resource> Handler<Control> for Delegator<R> {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        self.feed(Input::Control(control), ctx);
    }
}

impl<R: Resource> Handler<Outstanding> for Delegator<R> {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        Load { busy: self.pump.machine().busy(), promises: 0 }
    }
}
