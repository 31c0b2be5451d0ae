//! One unicast session: the connection, its core, and the calls that wait for it.

use super::connection::{Connection, Incoming, Outgoing, Reader, write_all};
use super::contained::{Sheltered, contained_wait};
use super::ledger::Slot;
use super::surroundings::Surroundings;
use crate::error::{Error, ErrorCode};
use crate::net::Network;
use crate::protocol::authorization::{Act, member_name};
use crate::protocol::negotiation::Negotiation;
use crate::protocol::session::{Call, Input, Outcome, Output, Standing};
use crate::protocol::synchronization::Synchronization;
use crate::protocol::{AsaHandle, Machine, Time};
use crate::shell::{Pump, Pumped};
use crate::substrate::{Secured, Substrate};
use crate::wire::SessionId;
use actix::prelude::*;
use futures_util::stream::{self, Stream};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::ReadHalf;
use tokio::sync::oneshot;

/// Time limit for one attempt to connect, within that of the call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest pause before the last words of a session that has failed: its peer is to hear them within a second.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Either kind of core.
pub(crate) enum Core {
    Negotiation(Box<Negotiation>),
    Synchronization(Box<Synchronization>),
}

macro_rules! either {
    ($core:expr, $machine:ident => $do:expr) => {
        match $core {
            Core::Negotiation($machine) => $do,
            Core::Synchronization($machine) => $do,
        }
    };
}

impl Machine for Core {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        either!(self, machine => machine.handle(now, input));
    }

    fn wake(&mut self, now: Time) {
        either!(self, machine => machine.wake(now));
    }

    fn poll(&mut self) -> Option<Output> {
        either!(self, machine => machine.poll())
    }

    fn deadline(&self) -> Option<Time> {
        either!(self, machine => machine.deadline())
    }
}

impl Core {
    /// Least pause between two messages.
    fn gap(&self) -> Duration {
        either!(self, machine => machine.config().gap)
    }

    /// What the peer is to be told if the core goes on no more.
    fn last_words(&self) -> Option<&[u8]> {
        match self {
            Self::Negotiation(negotiation) => negotiation.last_words(),
            Self::Synchronization(_) => None,
        }
    }

    /// How the session stands.
    fn standing(&self) -> Standing {
        either!(self, machine => machine.standing())
    }
}

/// Where a session's connection comes from.
pub(crate) enum Origin {
    /// To be opened when there is a request, to somebody who may answer for the objective.
    Dial(Target, String),
    /// Accepted, its request read.
    Accepted(Box<Connection>),
}

/// What to connect to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// An address.
    Address(SocketAddr),
    /// A name, to be resolved first.
    Name(String, u16),
}

/// The actor.
pub(crate) struct Session {
    pump: Pump<Core>,
    around: Surroundings,
    origin: Option<Origin>,
    slot: Option<Slot>,
    outgoing: Option<Outgoing>,
    reading: Option<SpawnHandle>,
    calls: BTreeMap<u64, oneshot::Sender<Result<Outcome, Error>>>,
    next_call: u64,
    abandoned: bool,
}

impl Session {
    fn new(around: Surroundings, core: Core, origin: Origin, slot: Slot) -> Self {
        let label = format!("session-{}", slot.key);
        let pump = Pump::new(core, around.clock.clone(), around.recorder.clone(), &around.name, label);
        let (slot, origin) = (Some(slot), Some(origin));
        let calls = BTreeMap::new();
        Self { pump, around, origin, slot, outgoing: None, reading: None, calls, next_call: 0, abandoned: false }
    }

    /// Starts a session that belongs to an ASA. If it fails, nothing else does.
    pub(crate) fn start_in(around: Surroundings, core: Core, origin: Origin, slot: Slot, asa: AsaHandle) -> Addr<Self> {
        let kind = around.sessions.clone();
        supervision::contain(&kind, |ctx| {
            slot.belongs(asa, ctx.address());
            Self::new(around, core, origin, slot)
        })
    }

    /// Ends the actor once the session is over and nobody will ask any more; what was sent is written all the same.
    fn stop_if_done(&self, ctx: &mut Context<Self>) {
        if self.slot.is_none() && self.abandoned {
            ctx.stop();
        }
    }

    fn attach(&mut self, connection: Connection, ctx: &mut Context<Self>) {
        let (reader, sink) = connection.split();
        let (outgoing, words) = Outgoing::new();
        self.outgoing = Some(outgoing);
        self.reading = Some(ctx.add_stream(incoming(reader)));
        let gap = self.pump.machine().gap().min(LAST_WORDS);
        // It ends by itself: soon after this actor has let go of `outgoing`, or when the peer takes nothing. It outlives
        // this actor, so that a peer is told also when that has failed.
        let writing = actix::spawn(write_all(sink, words, gap));
        ctx.spawn(writing.into_actor(self).map(|written, actor, ctx| {
            if let Err(detail) = written.unwrap_or(Err("writing has failed".to_owned())) {
                actor.feed(Input::SendFailed(detail), ctx);
            }
        }));
    }

    fn dial(&mut self, target: Target, objective: String, ctx: &mut Context<Self>) {
        let (network, substrate) = (self.around.network.clone(), self.around.substrate.clone());
        let around = self.around.clone();
        let dialled = async move {
            let connecting = contained_wait(&around.tally, "connection", connect(&*network, &*substrate, target));
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Some(Ok(Secured { stream, member }))) => {
                    if around.permits(Act::Answer, &objective, member.as_ref()) {
                        Ok(stream)
                    } else {
                        Err(format!("{} may not answer for {objective} here", member_name(member.as_ref())))
                    }
                }
                Ok(Some(Err(error))) => Err(error),
                Ok(None) => Err("connecting has failed".to_owned()),
                Err(_) => Err("no connection within 5 s".to_owned()),
            }
        };
        ctx.spawn(dialled.into_actor(self).map(|result, actor, ctx| match result {
            // The session may have ended while it was dialling.
            Ok(_) if actor.slot.is_none() => {}
            Ok(stream) => {
                actor.attach(Connection::new(stream, &actor.around), ctx);
                actor.feed(Input::Connected, ctx);
            }
            Err(detail) => actor.feed(Input::ConnectFailed(detail), ctx),
        }));
    }
}

async fn connect(network: &dyn Network, substrate: &dyn Substrate, target: Target) -> Result<Secured, String> {
    let addresses = match target {
        Target::Address(address) => vec![address],
        Target::Name(name, port) => {
            network.resolve(&name, port).await.map_err(|error| format!("cannot resolve {name}: {error}"))?
        }
    };
    let mut last = "no address".to_owned();
    for address in addresses {
        match network.connect(address).await {
            Ok(stream) => {
                return substrate.connect(stream, address).await.map_err(|error| format!("{address}: {error}"));
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// The messages of a connection, up to its end.
fn incoming(reader: Reader<ReadHalf<Sheltered>>) -> impl Stream<Item = Incoming> {
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let incoming = reader.next().await;
        let last = matches!(incoming, Incoming::Broken(_) | Incoming::Closed { .. });
        Some((incoming, (!last).then_some(reader)))
    })
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        match self.origin.take() {
            Some(Origin::Accepted(connection)) => self.attach(*connection, ctx),
            // Nobody is to wait for a request that may never leave: it is dialled when there is one.
            dial => self.origin = dial,
        }
    }
}

impl Drop for Session {
    /// A session that has not ended as its core wants it, because this actor has failed, still tells its peer.
    fn drop(&mut self) {
        if let Some(outgoing) = self.outgoing.take()
            && let Some(last_words) = self.pump.machine().last_words()
        {
            self.around.tally.count("sessions_failed", "");
            outgoing.part(last_words.to_vec());
        }
    }
}

impl Pumped for Session {
    type Core = Core;

    fn pump(&mut self) -> &mut Pump<Core> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Send(bytes) => {
                let Some(outgoing) = &self.outgoing else { return };
                if !outgoing.send(bytes) {
                    self.around.tally.count("messages_dropped", "the peer takes nothing");
                    self.outgoing = None;
                }
            }
            Output::Reply(call, result) => {
                if let Some(reply) = self.calls.remove(&call) {
                    let _ = reply.send(result);
                }
            }
            Output::Noted(note) => {
                let session = self.slot.as_ref().map(|slot| slot.session_id);
                tracing::debug!(?note, session_id = session, "irregular message in a session");
                self.around.tally.count("session_notes", format!("{note:?}"));
            }
            Output::Probe => {
                let Some(answer) = self.outgoing.as_ref().map(Outgoing::probe) else { return };
                ctx.spawn(answer.into_actor(self).map(|reset, actor, ctx| {
                    actor.feed(Input::Probed { reset: reset.unwrap_or(true) }, ctx);
                }));
            }
            Output::Close => {
                self.outgoing = None;
                if let Some(reading) = self.reading.take() {
                    ctx.cancel_future(reading);
                }
                self.slot = None;
                self.stop_if_done(ctx);
            }
        }
    }
}

impl StreamHandler<Incoming> for Session {
    fn handle(&mut self, incoming: Incoming, ctx: &mut Context<Self>) {
        let input = match incoming {
            Incoming::Message(message, _) => Input::Received(message),
            Incoming::Undecodable(error) | Incoming::Broken(error) => {
                self.around.tally.count("decode_errors", format!("{:?}", error.rule));
                Input::Undecodable(error)
            }
            Incoming::Closed { mid_message, reset } => Input::Disconnected { mid_message, reset },
        };
        self.feed(input, ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {
        // The session outlives its connection: its owner has yet to learn how it ended.
    }
}

/// A call from the API; the reply comes through the channel.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Ask {
    pub(crate) call: Call,
    pub(crate) reply: oneshot::Sender<Result<Outcome, Error>>,
}

impl Handler<Ask> for Session {
    type Result = ();

    fn handle(&mut self, Ask { call, reply }: Ask, ctx: &mut Context<Self>) {
        let id = self.next_call;
        self.next_call += 1;
        self.calls.insert(id, reply);
        self.feed(Input::Call(id, call), ctx);
        if self.slot.is_some()
            && let Some(Origin::Dial(target, objective)) = self.origin.take()
        {
            self.dial(target, objective, ctx);
        }
    }
}

/// How the session stands, and the time now.
#[derive(Message)]
#[rtype(result = "(Standing, Time)")]
pub(crate) struct Inspect;

impl Handler<Inspect> for Session {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> Self::Result {
        MessageResult((self.pump.machine().standing(), self.pump.now()))
    }
}

/// Nobody holds the session any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Abandon;

impl Handler<Abandon> for Session {
    type Result = ();

    fn handle(&mut self, _: Abandon, ctx: &mut Context<Self>) {
        self.abandoned = true;
        self.feed(Input::Abandoned, ctx);
        self.stop_if_done(ctx);
        for (_, reply) in std::mem::take(&mut self.calls) {
            let _ = reply.send(Err(ErrorCode::NoSession.into()));
        }
    }
}

/// A session in someone's hands: whoever lets go of it, even on its way to them, gives the session up.
pub(crate) struct Held(pub(crate) Addr<Session>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.do_send(Abandon);
    }
}

/// A session as it is handed to an ASA.
pub(crate) struct Handed {
    pub(crate) session: Held,
    pub(crate) session_id: SessionId,
    pub(crate) peer: SocketAddr,
    pub(crate) objective: crate::wire::Objective,
}
