//! The shell: carries questions to the pool, runs the operator's programs, and carries answers back.

use super::core::DelegatorCore;
use super::hooks::{Hooks, run};
use super::message::{Explained, Input, Output};
use super::plan::DelegatorPlan;
use super::question::{Response, write};
use crate::pool::{Ask, Ended, Level, Pool, PoolError, Subscribe};
use crate::prefix::{Prefix, Want};
use actix::prelude::*;
use asa_framework::class::Site;
use asa_framework::event::{Event, Events};
use asa_framework::machine::{Clock, Pump, Pumped};
use asa_framework::roles::negotiator::Consult;
use asa_framework::roles::{Activity, Control, Load, Outstanding};
use futures_util::future::LocalBoxFuture;
use grasp::Value;
use std::collections::{BTreeMap, VecDeque};
use supervision::{Fresh, Mailbox, child};
use tokio::sync::oneshot;

/// Releases that wait for the operator's program at once; beyond them the oldest is given up.
const RELEASES: usize = 100_000;

/// A client of this node wants a block; the same client that asks for the same length again gets the same block again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Prefix, String>")]
pub struct Take {
    /// Who, such as the DUID of a DHCPv6 client.
    pub client: String,
    /// What.
    pub want: Want,
}

/// A client gives its block back.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Prefix, String>")]
pub struct Give {
    /// Who.
    pub client: String,
    /// What.
    pub block: Prefix,
}

/// Why the node asks for what it asks for.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Explained, String>")]
pub struct Explain;

/// What a delegator is made of, in every life anew.
#[derive(Clone)]
pub struct DelegatorArgs {
    /// Name of the instance.
    pub instance: String,
    /// Takes what it has to tell.
    pub events: Events,
    /// Its pool.
    pub pool: Mailbox<Pool>,
    /// Whether new work is taken now.
    pub activity: Activity,
    /// Bounds and marks.
    pub plan: DelegatorPlan,
    /// The operator's programs.
    pub hooks: Hooks,
}

impl DelegatorArgs {
    /// A delegator of this site, without programs.
    #[must_use]
    pub fn new(site: &Site, pool: &Mailbox<Pool>, plan: DelegatorPlan) -> Self {
        let (instance, events) = (site.instance().to_owned(), site.events.clone());
        Self { instance, events, pool: pool.clone(), activity: site.activity.clone(), plan, hooks: Hooks::default() }
    }
}

enum Waiting {
    Negotiator(oneshot::Sender<Result<Value, String>>),
    Client(oneshot::Sender<Result<Prefix, String>>),
    Curious(oneshot::Sender<Result<Explained, String>>),
}

/// The actor.
pub struct Delegator {
    args: DelegatorArgs,
    pump: Pump<DelegatorCore>,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    releases: VecDeque<Prefix>,
    releasing: bool,
}

impl Delegator {
    /// A delegator that listens to its pool when it is started.
    #[must_use]
    pub fn new(args: DelegatorArgs) -> Self {
        let core = DelegatorCore::new(DelegatorPlan { mode: args.activity.mode(), ..args.plan.clone() });
        let pump = Pump::new(core, Clock::of_the_runtime(), None, &args.instance, "delegator".into());
        Self { args, pump, waiting: BTreeMap::new(), next: 0, releases: VecDeque::new(), releasing: false }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn tell(&self, text: String) {
        tracing::warn!(asa = self.args.instance, text);
        (self.args.events)(Event::Said { asa: self.args.instance.clone(), session_id: None, text });
    }

    /// Runs the operator's program for blocks that are free of their clients, one after the other.
    fn release(&mut self, ctx: &mut Context<Self>) {
        if self.releasing {
            return;
        }
        let next = std::iter::from_fn(|| self.releases.pop_front()).find_map(|block| self.args.hooks.released(block));
        let Some((program, arguments)) = next else { return };
        self.releasing = true;
        ctx.spawn(run(program, arguments).into_actor(self).map(|result, delegator, ctx| {
            delegator.releasing = false;
            if let Err(why) = result {
                delegator.tell(format!("a block is no longer used, but this has failed: {why}"));
            }
            delegator.release(ctx);
        }));
    }
}

impl Fresh for Delegator {
    fn fresh(&self) -> Self {
        // What is to be taken out of use is still to be.
        Self { releases: self.releases.clone(), ..Self::new(self.args.clone()) }
    }
}

child!(Delegator);

impl Actor for Delegator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let ended = self.args.hooks.after_release.is_some().then(|| ctx.address().recipient());
        self.args.pool.do_send(Subscribe(ctx.address().recipient(), ended));
        self.release(ctx);
    }
}

impl Pumped for Delegator {
    type Core = DelegatorCore;

    fn pump(&mut self) -> &mut Pump<DelegatorCore> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Ask(id, request) => {
                let asked = self.args.pool.send(Ask(request));
                let answer = async move {
                    asked.await.unwrap_or_else(|_| Err(PoolError::State("the pool does not answer".into())))
                };
                ctx.spawn(answer.into_actor(self).map(move |answer, delegator, ctx| {
                    delegator.feed(Input::Answered(id, answer), ctx);
                }));
            }
            Output::Reply(id, answer) => {
                if let Some(Waiting::Negotiator(reply)) = self.waiting.remove(&id) {
                    let _ = reply.send(answer.map(|response: Response| write(&response)));
                }
            }
            Output::Client(id, answer) => {
                if let Some(Waiting::Client(reply)) = self.waiting.remove(&id) {
                    let _ = reply.send(answer);
                }
            }
            Output::Told(id, explained) => {
                if let Some(Waiting::Curious(reply)) = self.waiting.remove(&id) {
                    let _ = reply.send(Ok(*explained));
                }
            }
            Output::Hook(id, block, client) => {
                let Some((program, arguments)) = self.args.hooks.using(block, &client) else {
                    // Fed later, since the core is being drained.
                    return ctx.notify(Hooked(id, Ok(())));
                };
                ctx.spawn(run(program, arguments).into_actor(self).map(move |result, delegator, ctx| {
                    delegator.feed(Input::Hooked(id, result), ctx);
                }));
            }
            Output::Alarm(text) => self.tell(text),
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Hooked(u64, Result<(), String>);

impl Handler<Hooked> for Delegator {
    type Result = ();

    fn handle(&mut self, Hooked(id, result): Hooked, ctx: &mut Context<Self>) {
        self.feed(Input::Hooked(id, result), ctx);
    }
}

impl Handler<Level> for Delegator {
    type Result = ();

    fn handle(&mut self, level: Level, ctx: &mut Context<Self>) {
        self.feed(Input::Level(level), ctx);
    }
}

impl Handler<Ended> for Delegator {
    type Result = ();

    fn handle(&mut self, Ended(blocks): Ended, ctx: &mut Context<Self>) {
        self.releases.extend(blocks);
        let excess = self.releases.len().saturating_sub(RELEASES);
        if excess > 0 {
            self.releases.drain(..excess);
            self.tell(format!("{excess} blocks are no longer used, but the program for that is too slow to be told"));
        }
        self.release(ctx);
    }
}

impl Handler<Consult> for Delegator {
    type Result = LocalBoxFuture<'static, Result<Value, String>>;

    fn handle(&mut self, Consult(counsel): Consult, ctx: &mut Context<Self>) -> Self::Result {
        let question = match counsel.question.decode() {
            Ok(question) => question,
            Err(error) => return Box::pin(async move { Err(format!("not a question: {error}")) }),
        };
        let (reply, answer) = oneshot::channel();
        let id = self.number();
        self.waiting.insert(id, Waiting::Negotiator(reply));
        self.feed(Input::Consulted { id, question, mutual: counsel.mutual }, ctx);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err("the delegator has ended".into())) })
    }
}

fn answered<T: 'static>(answer: oneshot::Receiver<Result<T, String>>) -> LocalBoxFuture<'static, Result<T, String>> {
    Box::pin(async move { answer.await.unwrap_or_else(|_| Err("the delegator has ended".into())) })
}

impl Handler<Take> for Delegator {
    type Result = LocalBoxFuture<'static, Result<Prefix, String>>;

    fn handle(&mut self, Take { client, want }: Take, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let id = self.number();
        self.waiting.insert(id, Waiting::Client(reply));
        self.feed(Input::Take(id, want, client), ctx);
        answered(answer)
    }
}

impl Handler<Give> for Delegator {
    type Result = LocalBoxFuture<'static, Result<Prefix, String>>;

    fn handle(&mut self, Give { client, block }: Give, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let id = self.number();
        self.waiting.insert(id, Waiting::Client(reply));
        self.feed(Input::Give(id, block, client), ctx);
        answered(answer)
    }
}

impl Handler<Explain> for Delegator {
    type Result = LocalBoxFuture<'static, Result<Explained, String>>;

    fn handle(&mut self, _: Explain, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        let id = self.number();
        self.waiting.insert(id, Waiting::Curious(reply));
        self.feed(Input::Explain(id), ctx);
        answered(answer)
    }
}

impl Handler<Control> for Delegator {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        self.feed(Input::Control(control), ctx);
    }
}

impl Handler<Outstanding> for Delegator {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        Load { busy: self.pump.machine().busy(), promises: 0 }
    }
}
