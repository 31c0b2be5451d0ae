//! One unicast session: the connection, its core, and the calls that wait for it.

use super::connection::{Connection, Incoming, Reader, write_all};
use super::node::{Ended, Node};
use super::tally::Tally;
use crate::error::{Error, ErrorCode};
use crate::net::{ByteStream, Network};
use crate::protocol::negotiation::Negotiation;
use crate::protocol::session::{Call, Input, Outcome, Output};
use crate::protocol::session_id::Maker;
use crate::protocol::synchronization::Synchronization;
use crate::protocol::{Machine, Time};
use crate::recorder::Recorder;
use crate::shell::Clock;
use crate::shell::{Pump, Pumped};
use crate::substrate::Substrate;
use crate::wire::{Limits, SessionId};
use actix::WeakAddr;
use actix::prelude::*;
use futures_util::stream::{self, Stream};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::ReadHalf;
use tokio::sync::{mpsc, oneshot};

/// Time limit for one attempt to connect, within that of the call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Messages of a session that wait to be written; the core paces them, so more means that the peer takes nothing.
const OUTGOING: usize = 16;

/// What a session needs of its node.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) name: String,
    pub(crate) clock: Clock,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) substrate: Arc<dyn Substrate>,
    pub(crate) tally: Tally,
    pub(crate) depth: usize,
    /// Largest message received; objectives that allow more raise it.
    pub(crate) size: Arc<AtomicUsize>,
    pub(crate) node: WeakAddr<Node>,
}

impl Surroundings {
    pub(crate) fn limits(&self) -> Limits {
        Limits { size: self.size.load(Ordering::Relaxed), depth: self.depth }
    }
}

/// A session's place in the node's books; leaving it frees the session id.
pub(crate) struct Slot {
    pub(crate) key: u64,
    pub(crate) session_id: SessionId,
    pub(crate) maker: Maker,
    pub(crate) node: WeakAddr<Node>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            node.do_send(Ended { key: self.key, session_id: self.session_id, maker: self.maker });
        }
    }
}

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

/// Where a session's connection comes from.
pub(crate) enum Origin {
    /// To be opened.
    Dial(Target),
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
    outgoing: Option<mpsc::Sender<Vec<u8>>>,
    reading: Option<SpawnHandle>,
    calls: BTreeMap<u64, oneshot::Sender<Result<Outcome, Error>>>,
    next_call: u64,
    /// Something may still have to be written.
    writing: bool,
    abandoned: bool,
}

impl Session {
    pub(crate) fn new(around: Surroundings, core: Core, origin: Origin, slot: Slot) -> Self {
        let label = format!("session-{}", slot.key);
        let pump = Pump::new(core, around.clock.clone(), around.recorder.clone(), &around.name, label);
        let (slot, origin) = (Some(slot), Some(origin));
        let calls = BTreeMap::new();
        let (writing, abandoned) = (false, false);
        Self { pump, around, origin, slot, outgoing: None, reading: None, calls, next_call: 0, writing, abandoned }
    }

    /// Ends the actor once it is over, written out and nobody will ask any more.
    fn stop_if_done(&self, ctx: &mut Context<Self>) {
        if self.slot.is_none() && self.abandoned && !self.writing {
            ctx.stop();
        }
    }

    fn attach(&mut self, connection: Connection, ctx: &mut Context<Self>) {
        let (reader, sink) = connection.split();
        let (outgoing, messages) = mpsc::channel(OUTGOING);
        self.outgoing = Some(outgoing);
        self.reading = Some(ctx.add_stream(incoming(reader)));
        self.writing = true;
        ctx.spawn(write_all(sink, messages).into_actor(self).map(|result, actor, ctx| {
            actor.writing = false;
            if let Err(detail) = result {
                actor.feed(Input::SendFailed(detail), ctx);
            }
            actor.stop_if_done(ctx);
        }));
    }

    fn dial(&mut self, target: Target, ctx: &mut Context<Self>) {
        let (network, substrate) = (self.around.network.clone(), self.around.substrate.clone());
        let dialled = async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, connect(&*network, &*substrate, target)).await {
                Ok(result) => result,
                Err(_) => Err("no connection within 5 s".to_owned()),
            }
        };
        ctx.spawn(dialled.into_actor(self).map(|result, actor, ctx| match result {
            // The session may have ended while it was dialling.
            Ok(_) if actor.slot.is_none() => {}
            Ok(stream) => {
                actor.attach(Connection::new(stream, actor.around.limits()), ctx);
                actor.feed(Input::Connected, ctx);
            }
            Err(detail) => actor.feed(Input::ConnectFailed(detail), ctx),
        }));
    }
}

async fn connect(network: &dyn Network, substrate: &dyn Substrate, target: Target) -> Result<ByteStream, String> {
    let addresses = match target {
        Target::Address(address) => vec![address],
        Target::Name(name, port) => {
            network.resolve(&name, port).await.map_err(|error| format!("cannot resolve {name}: {error}"))?
        }
    };
    let mut last = "no address".to_owned();
    for address in addresses {
        match network.connect(address).await {
            Ok(stream) => return substrate.connect(stream).await.map_err(|error| format!("{address}: {error}")),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// The messages of a connection, up to its end.
fn incoming(reader: Reader<ReadHalf<ByteStream>>) -> impl Stream<Item = Incoming> {
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
            Some(Origin::Dial(target)) => self.dial(target, ctx),
            Some(Origin::Accepted(connection)) => self.attach(*connection, ctx),
            None => {}
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
                // The writer has ended only if writing failed, which is reported by itself.
                if let Err(mpsc::error::TrySendError::Full(_)) = outgoing.try_send(bytes) {
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
                tracing::debug!(?note, session, "irregular message in a session");
                self.around.tally.count("session_notes", format!("{note:?}"));
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
            Incoming::Closed { mid_message } => Input::Disconnected { mid_message },
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
