//! The shell: listens, holds the sessions, and calls GRASP.

use super::core::{Failure, Input, NegotiatorCore, NegotiatorPlan, Output, Proposal};
use super::strategy::Strategy;
use crate::event::{Ending, Event, Events, Side, json_of};
use crate::machine::{Clock, Pump, Pumped};
use crate::roles::{Control, Load, Mode, Outstanding};
use actix::prelude::*;
use grasp::protocol::flood::Flooded;
use grasp::wire::SessionId;
use grasp::{Asa, AsaLocator, Error, ErrorCode, Negotiated, Objective, Session, Step, Value};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Fresh, child};

/// Pause after listening has failed.
const LISTEN_PAUSE: Duration = Duration::from_secs(5);
/// A peer that closes a request without an answer is busy more often than gone: so many tries, with doubling pauses.
const BUSY_TRIES: u32 = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(40);

/// Makes the strategy of one life.
pub type StrategyMaker = Arc<dyn Fn() -> Box<dyn Strategy> + Send + Sync>;

/// What a negotiator is made from.
#[derive(Clone)]
pub struct NegotiatorArgs {
    /// The ASA; the objective must be registered already.
    pub asa: Asa,
    /// Name of the instance.
    pub instance: String,
    /// Takes what it has to tell.
    pub events: Events,
    /// Whether to work now.
    pub mode: Mode,
    /// Listened for, if the ASA answers requests.
    pub listens: Option<Objective>,
    /// Time limits and bounds.
    pub plan: NegotiatorPlan,
    /// What it wants.
    pub strategy: StrategyMaker,
}

/// The actor.
pub struct Negotiator {
    args: NegotiatorArgs,
    pump: Pump<NegotiatorCore>,
    asa: Asa,
    instance: String,
    events: Events,
    listening: bool,
    active: bool,
    sessions: BTreeMap<u64, Talk>,
    next_even: u64,
}

/// What a session is called, and whom it is with.
#[derive(Clone, Copy)]
struct Opened {
    session_id: SessionId,
    peer: Option<SocketAddr>,
}

/// A session as the actor knows it.
struct Talk {
    session: Option<Rc<Session>>,
    /// Known before there is anything to hold: a request may be accepted or declined at once.
    opened: Rc<Cell<Option<Opened>>>,
    side: Side,
    objective: String,
}

impl Negotiator {
    /// Negotiates as its strategy says; answers requests if it is to listen.
    #[must_use]
    pub fn new(args: NegotiatorArgs) -> Self {
        let core = NegotiatorCore::new((args.strategy)(), args.plan.clone());
        let pump = Pump::new(core, Clock::of_the_runtime(), None, &args.instance, "negotiator".into());
        let (asa, instance, events) = (args.asa.clone(), args.instance.clone(), args.events.clone());
        let active = args.mode.is_active();
        let sessions = BTreeMap::new();
        Self { pump, asa, instance, events, listening: false, active, sessions, next_even: 2, args }
    }

    fn session(&self, key: u64) -> Option<Rc<Session>> {
        self.sessions.get(&key)?.session.clone()
    }

    /// The peer has answered, or has asked.
    fn began(&self, key: u64, asked: &Objective) {
        let Some(talk) = self.sessions.get(&key) else { return };
        let Some(Opened { session_id, peer }) = talk.opened.get() else { return };
        (self.events)(Event::NegotiationStarted {
            asa: self.instance.clone(),
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

    fn request(&mut self, key: u64, wanted: Wanted, ctx: &mut Context<Self>) {
        let objective = wanted.objective.clone();
        let opened = Rc::new(Cell::new(None));
        let (side, name) = (Side::Initiator, objective.name.clone());
        self.sessions.insert(key, Talk { session: None, opened: opened.clone(), side, objective: name });
        (self.events)(Event::NegotiationRequested {
            asa: self.instance.clone(),
            objective: objective.name.clone(),
            value: json_of(&objective),
        });
        let asa = self.asa.clone();
        self.spawn(ctx, async move { ask(&asa, &wanted, &opened).await }, move |actor, answer, ctx| {
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

fn then_with<T>(
    then: impl FnOnce(&mut Negotiator, T, &mut Context<Negotiator>) + 'static,
) -> impl FnOnce(T, &mut Negotiator, &mut Context<Negotiator>) + 'static {
    move |result, actor, ctx| then(actor, result, ctx)
}

/// What a request is made of.
struct Wanted {
    objective: Objective,
    discovery: Duration,
    flush: bool,
    timeout: Duration,
}

/// Asks the peers known, or else looks for some.
async fn ask(asa: &Asa, wanted: &Wanted, opened: &Cell<Option<Opened>>) -> Result<Negotiated, Error> {
    let Wanted { objective, discovery, flush, .. } = wanted;
    // What is asked for is the peer's business, and only in the request.
    let sought = objective.clone().with_value(Value::null());
    let known = asa.discover(&sought, Duration::ZERO, flush.then_some(Duration::ZERO)).await?;
    let mut forget = None;
    if !known.is_empty() {
        match ask_first(asa, wanted, &known, opened).await {
            // Who has restarted since may listen elsewhere, long before the old port is forgotten.
            Err(error) if error.code == ErrorCode::SocketNegotiationRequest => forget = Some(Duration::ZERO),
            other => return other,
        }
    }
    let found = asa.discover(&sought, *discovery, forget).await?;
    ask_first(asa, wanted, &found, opened).await
}

/// Asks the first of the peers that can be reached.
async fn ask_first(
    asa: &Asa,
    wanted: &Wanted,
    peers: &[AsaLocator],
    opened: &Cell<Option<Opened>>,
) -> Result<Negotiated, Error> {
    let note = |session_id, peer| opened.set(Some(Opened { session_id, peer }));
    let mut last = Error::from(ErrorCode::NoDiscoveryReply);
    for peer in peers {
        for attempt in 0..BUSY_TRIES {
            match asa.request_negotiate_noted(&wanted.objective, peer, wanted.timeout, note).await {
                Err(error) if error.code == ErrorCode::NoPeer => {
                    last = error;
                    tokio::time::sleep(BUSY_PAUSE * (1 << attempt)).await;
                }
                Err(error) if error.code == ErrorCode::SocketNegotiationRequest => {
                    last = error;
                    break;
                }
                other => return other,
            }
        }
    }
    Err(last)
}

/// A copy's value, and where it says it comes from.
fn source(copy: Flooded) -> (Option<String>, Objective) {
    (copy.locator.map(|locator| locator.locator.to_string()), copy.objective)
}

/// A request for a listening ASA.
struct Incoming(Result<(Session, Objective), Error>);

impl Message for Incoming {
    type Result = ();
}

impl Handler<Incoming> for Negotiator {
    type Result = ();

    fn handle(&mut self, Incoming(request): Incoming, ctx: &mut Context<Self>) {
        match request {
            Ok((session, request)) => {
                let key = self.next_even;
                self.next_even += 2;
                let opened = Opened { session_id: session.session_id(), peer: session.peer() };
                let (session, opened) = (Some(Rc::new(session)), Rc::new(Cell::new(Some(opened))));
                let (side, objective) = (Side::Responder, request.name.clone());
                self.sessions.insert(key, Talk { session, opened, side, objective });
                self.began(key, &request);
                self.listening = false;
                self.listen(Duration::ZERO, ctx);
                self.feed(Input::Requested(key, request), ctx);
            }
            Err(error) => {
                self.listening = false;
                if self.active {
                    tracing::warn!(asa = self.instance, %error, "cannot listen");
                    self.listen(LISTEN_PAUSE, ctx);
                }
            }
        }
    }
}

impl Negotiator {
    fn listen(&mut self, after: Duration, ctx: &mut Context<Self>) {
        let Some(objective) = self.args.listens.clone() else { return };
        if self.listening || !self.active {
            return;
        }
        self.listening = true;
        let asa = self.asa.clone();
        let request = async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            asa.listen_negotiate(&objective).await
        };
        self.spawn(ctx, request, |actor, request, ctx| actor.handle(Incoming(request), ctx));
    }
}

impl Actor for Negotiator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.listen(Duration::ZERO, ctx);
        self.feed(Input::Started { active: self.active }, ctx);
    }
}

impl Pumped for Negotiator {
    type Core = NegotiatorCore;

    fn pump(&mut self) -> &mut Pump<NegotiatorCore> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Request { key, objective, discovery, flush, timeout } => {
                self.request(key, Wanted { objective, discovery, flush, timeout }, ctx);
            }
            Output::Step(key, objective, timeout) => self.step(key, objective, timeout, ctx),
            Output::Wait(key, time) => {
                if let Some(session) = self.session(key) {
                    let instance = self.instance.clone();
                    self.spawn(ctx, async move { session.negotiate_wait(time).await }, move |_, result, _| {
                        if let Err(error) = result {
                            tracing::debug!(asa = instance, %error, "cannot ask the peer to wait");
                        }
                    });
                }
            }
            Output::End(key, how) => self.end(key, how, ctx),
            Output::Read(objective, timeout) => {
                let (asa, name) = (self.asa.clone(), objective.name.clone());
                let read = async move { asa.synchronize_rapidly(&objective, None, timeout, true).await };
                self.spawn(ctx, read, move |actor, result, ctx| actor.feed(Input::Read(name, result), ctx));
            }
            Output::Look(objective) => {
                let (asa, name) = (self.asa.clone(), objective.name.clone());
                self.spawn(ctx, async move { asa.get_flood(&objective).await }, move |actor, copies, ctx| {
                    let copies = copies.map(|copies| copies.into_iter().map(source).collect());
                    actor.feed(Input::Copies(name, copies), ctx);
                });
            }
            Output::Say(key, text) => {
                let talk = key.and_then(|key| self.sessions.get(&key));
                let session_id = talk.and_then(|talk| talk.opened.get()).map(|opened| opened.session_id);
                (self.events)(Event::Said { asa: self.instance.clone(), session_id, text });
            }
            Output::Over { key, ending, objective, reason } => self.over(key, ending, objective.as_ref(), reason),
            Output::Finished => (self.events)(Event::Finished { asa: self.instance.clone() }),
        }
    }
}

impl Negotiator {
    fn over(&mut self, key: u64, ending: Ending, objective: Option<&Objective>, reason: Option<String>) {
        let Some(Talk { opened, side, objective: name, .. }) = self.sessions.remove(&key) else { return };
        let opened = opened.get();
        (self.events)(Event::NegotiationEnded {
            asa: self.instance.clone(),
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

impl Fresh for Negotiator {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

child!(Negotiator);

impl Handler<Control> for Negotiator {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        match control {
            Control::Activate => {
                self.active = true;
                self.listen(Duration::ZERO, ctx);
                self.feed(Input::Activated, ctx);
            }
            Control::Deactivate => {
                self.active = false;
                self.feed(Input::Deactivated, ctx);
                if let Some(objective) = self.args.listens.clone() {
                    let asa = self.asa.clone();
                    // It fails if it has not listened yet.
                    let stopped = async move { drop(asa.stop_listen_negotiate(&objective).await) };
                    ctx.spawn(stopped.into_actor(self));
                }
            }
            Control::Stop => {
                self.active = false;
                // Who still looks for a peer does not negotiate yet.
                self.sessions.retain(|_, talk| talk.opened.get().is_some());
                self.feed(Input::Stopped, ctx);
            }
        }
    }
}

impl Handler<Outstanding> for Negotiator {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        Load { busy: self.sessions.len(), promises: 0 }
    }
}
