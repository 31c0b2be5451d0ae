//! The shell: listens, holds the sessions, and calls GRASP.

use super::core::NegotiatorCore;
use super::plan::{Counsel, Failure, Input, NegotiatorPlan, Opened, Output, Proposal};
use super::strategy::Strategy;
use crate::class::Site;
use crate::event::{Ending, Event, Events, Side, json_of};
use crate::machine::{Clock, Pump, Pumped};
use crate::roles::{Activity, Control, Load, Outstanding};
use actix::prelude::*;
use grasp::protocol::flood::Flooded;
use grasp::{Asa, AsaLocator, Error, ErrorCode, Negotiated, Objective, Session, Step, Value};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Fresh, child};
use tokio::sync::oneshot;

/// Pause after listening has failed.
const LISTEN_PAUSE: Duration = Duration::from_secs(5);

/// Makes the strategy of each life of a negotiator.
pub type StrategyFactory = Arc<dyn Fn() -> Box<dyn Strategy> + Send + Sync>;

/// Whom strategies and dialogues ask: the [delegator](crate::roles::delegator), or an actor of the author's own.
pub type Advisor = Recipient<Consult>;

/// A question to the advisor.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Value, String>")]
pub struct Consult(pub Counsel);

/// What a negotiator is made of, in every life anew.
#[derive(Clone)]
pub struct NegotiatorArgs {
    /// The ASA; its objective must be registered already.
    pub asa: Asa,
    /// Name of the instance.
    pub instance: String,
    /// Takes what it has to tell.
    pub events: Events,
    /// Listened for, if the ASA answers requests.
    pub listens: Option<Objective>,
    /// Whether to work now.
    pub activity: Activity,
    /// Time limits and bounds.
    pub plan: NegotiatorPlan,
    /// Answers the questions of strategy and dialogues.
    pub advisor: Option<Advisor>,
    /// Decides.
    pub strategy: StrategyFactory,
}

impl NegotiatorArgs {
    /// Negotiates as the strategy says, with the default plan; listens for nothing and has no advisor.
    #[must_use]
    pub fn new(asa: &Asa, site: &Site, strategy: StrategyFactory) -> Self {
        let (asa, instance, events) = (asa.clone(), site.instance().to_owned(), site.events.clone());
        let (activity, plan) = (site.activity.clone(), NegotiatorPlan::default());
        Self { asa, instance, events, listens: None, activity, plan, advisor: None, strategy }
    }
}

/// The actor.
pub struct Negotiator {
    args: NegotiatorArgs,
    pump: Pump<NegotiatorCore>,
    sessions: BTreeMap<u64, Talk>,
    next_even: u64,
    /// Counts the times that listening began or ended: what an earlier one brings comes too late.
    listening: u64,
}

/// A session as the actor knows it.
struct Talk {
    session: Option<Rc<Session>>,
    /// Known before there is anything to hold: a request may be accepted or declined at once.
    opened: Rc<Cell<Option<Opened>>>,
    /// Lets the request go that is held back.
    go: Option<oneshot::Sender<Result<(), String>>>,
    side: Side,
    objective: String,
}

impl Negotiator {
    /// A negotiator that begins when it is started.
    #[must_use]
    pub fn new(args: NegotiatorArgs) -> Self {
        let core =
            NegotiatorCore::new((args.strategy)(), NegotiatorPlan { mode: args.activity.mode(), ..args.plan.clone() });
        let pump = Pump::new(core, Clock::of_the_runtime(), None, &args.instance, "negotiator".into());
        Self { args, pump, sessions: BTreeMap::new(), next_even: 2, listening: 0 }
    }

    fn tell(&self, event: Event) {
        (self.args.events)(event);
    }

    fn session(&self, key: u64) -> Option<Rc<Session>> {
        self.sessions.get(&key)?.session.clone()
    }

    /// The peer has answered, or has asked.
    fn began(&self, key: u64, asked: &Objective) {
        let Some(talk) = self.sessions.get(&key) else { return };
        let Some(Opened { session_id, peer }) = talk.opened.get() else { return };
        self.tell(Event::NegotiationStarted {
            asa: self.args.instance.clone(),
            objective: talk.objective.clone(),
            session_id,
            peer: peer.map(|peer| peer.to_string()).unwrap_or_default(),
            role: talk.side,
            value: json_of(asked),
        });
    }

    fn spawn<T: 'static>(
        &self,
        ctx: &mut Context<Self>,
        future: impl Future<Output = T> + 'static,
        then: impl FnOnce(&mut Self, T, &mut Context<Self>) + 'static,
    ) {
        ctx.spawn(future.into_actor(self).map(then_with(then)));
    }

    fn open(&mut self, key: u64, objective: &Objective) {
        let (opened, side, name) = (Rc::default(), Side::Initiator, objective.name.clone());
        self.sessions.insert(key, Talk { session: None, opened, go: None, side, objective: name });
        self.tell(Event::NegotiationRequested {
            asa: self.args.instance.clone(),
            objective: objective.name.clone(),
            value: json_of(objective),
        });
    }

    fn request(&self, key: u64, objective: Objective, peer: AsaLocator, timeout: Duration, ctx: &mut Context<Self>) {
        let Some(opened) = self.sessions.get(&key).map(|talk| talk.opened.clone()) else { return };
        let (asa, asked) = (self.args.asa.clone(), objective.clone());
        let ((noted, named), (go, going)) = (oneshot::channel(), oneshot::channel());
        let request = async move {
            let prepare = async |session_id, peer| {
                let session = Opened { session_id, peer };
                opened.set(Some(session));
                let _ = noted.send(session);
                let go: Result<(), String> = going.await.unwrap_or(Err("the negotiation is over".into()));
                go.map_err(|reason| Error::new(ErrorCode::Unspecified, reason))
            };
            asa.request_negotiate_prepared(&asked, &peer, timeout, prepare).await
        };
        self.spawn(ctx, named, move |actor, named, ctx| {
            if let (Ok(opened), Some(talk)) = (named, actor.sessions.get_mut(&key)) {
                talk.go = Some(go);
                actor.feed(Input::Opened(key, opened), ctx);
            }
        });
        self.spawn(ctx, request, move |actor, answer, ctx| {
            if answer.as_ref().map_or_else(|error| error.code == ErrorCode::Declined, |_| true) {
                actor.began(key, &objective);
            }
            let answer = match answer {
                Ok(Negotiated::Accepted(agreed)) => Ok(Proposal::Accepted(agreed)),
                Ok(Negotiated::Offered(session, offer)) => {
                    if let Some(talk) = actor.sessions.get_mut(&key) {
                        talk.session = Some(Rc::new(session));
                    }
                    Ok(Proposal::Offered(offer))
                }
                Err(error) => Err(Failure { error, open: false }),
            };
            actor.feed(Input::Answered(key, answer), ctx);
        });
    }

    fn consult(
        &self,
        counsel: Counsel,
        then: impl FnOnce(Result<Value, String>) -> Input + 'static,
        ctx: &mut Context<Self>,
    ) {
        let asked = self.args.advisor.as_ref().map(|advisor| advisor.send(Consult(counsel)));
        let answer = async move {
            match asked {
                Some(answer) => answer.await.unwrap_or_else(|_| Err("the advisor does not answer".into())),
                None => Err("there is no advisor".into()),
            }
        };
        self.spawn(ctx, answer, move |actor, answer, ctx| actor.feed(then(answer), ctx));
    }

    fn step(&self, key: u64, objective: Objective, timeout: Duration, ctx: &mut Context<Self>) {
        let Some(session) = self.session(key) else { return };
        let step = async move { session.negotiate_step(&objective, timeout).await };
        self.spawn(ctx, step, move |actor, step, ctx| {
            let answer = match step {
                Ok(Step::Accepted(agreed)) => Ok(Proposal::Accepted(agreed)),
                Ok(Step::Offered(offer)) => Ok(Proposal::Offered(offer)),
                Err(error) => {
                    // These two are refused before anything is sent; all other failures end the session.
                    let open = matches!(error.code, ErrorCode::LoopExhausted | ErrorCode::Unspecified);
                    Err(Failure { error, open })
                }
            };
            actor.feed(Input::Answered(key, answer), ctx);
        });
    }

    fn end(&self, key: u64, how: Result<(), String>, ctx: &mut Context<Self>) {
        let Some(session) = self.session(key) else { return };
        let ended = async move { session.end_negotiate(how.is_ok(), how.err().as_deref()).await };
        self.spawn(ctx, ended, move |actor, result, ctx| actor.feed(Input::Closed(key, result), ctx));
    }
}

impl Negotiator {
    fn accept(&self, key: u64, limit: Duration, ctx: &mut Context<Self>) {
        let Some(session) = self.session(key) else { return };
        let heard = async move { session.accept_heard(limit, Duration::ZERO).await };
        self.spawn(ctx, heard, move |actor, heard, ctx| actor.feed(Input::Parted(key, heard), ctx));
    }
}

fn then_with<T>(
    then: impl FnOnce(&mut Negotiator, T, &mut Context<Negotiator>) + 'static,
) -> impl FnOnce(T, &mut Negotiator, &mut Context<Negotiator>) + 'static {
    move |result, actor, ctx| then(actor, result, ctx)
}

/// A copy's value, and where it says it comes from.
fn source(copy: Flooded) -> (Option<String>, Objective) {
    (copy.locator.map(|locator| locator.locator.to_string()), copy.objective)
}

impl Negotiator {
    fn incoming(&mut self, request: Result<(Session, Objective), Error>, listens: bool, ctx: &mut Context<Self>) {
        match request {
            Ok((session, request)) => {
                let key = self.next_even;
                self.next_even += 2;
                let name = Opened { session_id: session.session_id(), peer: session.peer() };
                let (session, opened) = (Some(Rc::new(session)), Rc::new(Cell::new(Some(name))));
                let (side, objective) = (Side::Responder, request.name.clone());
                self.sessions.insert(key, Talk { session, opened, go: None, side, objective });
                self.began(key, &request);
                if listens {
                    self.await_request(Duration::ZERO, ctx);
                }
                self.feed(Input::Requested(key, request, name), ctx);
            }
            Err(error) => {
                // The end of an instance ends its listening.
                if self.args.activity.is_active() {
                    tracing::warn!(asa = self.args.instance, %error, "cannot listen");
                }
                self.await_request(LISTEN_PAUSE, ctx);
            }
        }
    }

    fn listen(&mut self, begins: bool, ctx: &mut Context<Self>) {
        let Some(objective) = self.args.listens.clone() else { return };
        self.listening += 1;
        if begins {
            return self.await_request(Duration::ZERO, ctx);
        }
        let asa = self.args.asa.clone();
        self.spawn(ctx, async move { asa.stop_listen_negotiate(&objective).await }, |actor, result, _| {
            if let Err(error) = result {
                tracing::debug!(asa = actor.args.instance, %error, "cannot stop listening");
            }
        });
    }

    fn await_request(&self, after: Duration, ctx: &mut Context<Self>) {
        let Some(objective) = self.args.listens.clone() else { return };
        let (asa, listening) = (self.args.asa.clone(), self.listening);
        let request = async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            asa.listen_negotiate(&objective).await
        };
        self.spawn(ctx, request, move |actor, request, ctx| {
            let current = actor.listening == listening;
            // What has been handed over is served, also when listening has ended in this very moment.
            if current || request.is_ok() {
                actor.incoming(request, current, ctx);
            }
        });
    }
}

impl Fresh for Negotiator {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

child!(Negotiator);

impl Actor for Negotiator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.feed(Input::Started, ctx);
    }
}

impl Pumped for Negotiator {
    type Core = NegotiatorCore;

    fn pump(&mut self) -> &mut Pump<NegotiatorCore> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Listen(begins) => self.listen(begins, ctx),
            Output::Open(key, objective) => self.open(key, &objective),
            Output::Discover { key, objective, timeout, flush } => {
                let asa = self.args.asa.clone();
                let found = async move { asa.discover(&objective, timeout, flush.then_some(Duration::ZERO)).await };
                self.spawn(ctx, found, move |actor, found, ctx| actor.feed(Input::Discovered(key, found), ctx));
            }
            Output::Request { key, objective, peer, timeout } => self.request(key, objective, peer, timeout, ctx),
            Output::Consult(key, counsel) => self.consult(counsel, move |answer| Input::Advised(key, answer), ctx),
            Output::Settle(key, counsel) => {
                // Who has accepted takes the close of the connection as the receipt.
                let kept = self.session(key);
                let settled = move |answer| {
                    drop(kept);
                    Input::Settled(key, answer)
                };
                self.consult(counsel, settled, ctx);
            }
            Output::Prepare(key, counsel) => self.consult(counsel, move |answer| Input::Prepared(key, answer), ctx),
            Output::Go(key, how) => {
                if let Some(go) = self.sessions.get_mut(&key).and_then(|talk| talk.go.take()) {
                    let _ = go.send(how);
                }
            }
            Output::Step(key, objective, timeout) => self.step(key, objective, timeout, ctx),
            Output::Wait(key, time) => {
                if let Some(session) = self.session(key) {
                    let instance = self.args.instance.clone();
                    self.spawn(ctx, async move { session.negotiate_wait(time).await }, move |_, result, _| {
                        if let Err(error) = result {
                            tracing::debug!(asa = instance, %error, "cannot ask the peer to wait");
                        }
                    });
                }
            }
            Output::End(key, how) => self.end(key, how, ctx),
            Output::AcceptHeard(key, limit) => self.accept(key, limit, ctx),
            Output::Read(objective, timeout) => {
                let (asa, name) = (self.args.asa.clone(), objective.name.clone());
                let read = async move { asa.synchronize_rapidly(&objective, None, timeout, true).await };
                self.spawn(ctx, read, move |actor, result, ctx| actor.feed(Input::Read(name, result), ctx));
            }
            Output::Look(objective) => {
                let (asa, name) = (self.args.asa.clone(), objective.name.clone());
                self.spawn(ctx, async move { asa.get_flood(&objective).await }, move |actor, copies, ctx| {
                    let copies = copies.map(|copies| copies.into_iter().map(source).collect());
                    actor.feed(Input::Copies(name, copies), ctx);
                });
            }
            Output::Say(key, text) => {
                let talk = key.and_then(|key| self.sessions.get(&key));
                let session_id = talk.and_then(|talk| talk.opened.get()).map(|opened| opened.session_id);
                self.tell(Event::Said { asa: self.args.instance.clone(), session_id, text });
            }
            Output::Over { key, ending, objective, reason } => self.over(key, ending, objective.as_ref(), reason),
            Output::Finished => self.tell(Event::Finished { asa: self.args.instance.clone() }),
        }
    }
}

impl Negotiator {
    fn over(&mut self, key: u64, ending: Ending, objective: Option<&Objective>, reason: Option<String>) {
        let Some(Talk { opened, side, objective: name, .. }) = self.sessions.remove(&key) else { return };
        let opened = opened.get();
        self.tell(Event::NegotiationEnded {
            asa: self.args.instance.clone(),
            objective: name,
            session_id: opened.map(|opened| opened.session_id),
            peer: opened.and_then(|opened| opened.peer).map(|peer| peer.to_string()),
            role: side,
            outcome: ending,
            value: objective.map_or(serde_json::Value::Null, json_of),
            reason,
        });
    }
}

impl Handler<Control> for Negotiator {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        if control == Control::Stop {
            // Who still looks for a peer does not negotiate yet.
            self.sessions.retain(|_, talk| talk.opened.get().is_some());
        }
        self.feed(Input::Control(control), ctx);
    }
}

impl Handler<Outstanding> for Negotiator {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        Load { busy: self.pump.machine().sessions(), promises: 0 }
    }
}
