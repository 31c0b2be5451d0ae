//! One link whose discoveries and floods travel on connections to the members at its other ends (RFC 8994 §6.9.2).
//!
//! They find each other by floods of a DULL instance on the same link, which the node keeps beside this actor.

use super::connection::{Connection, Incoming, Outgoing, Reader, write_all};
use super::contained::{Sheltered, contained_wait};
use super::link::{Accepted, Wiring, accepting};
use super::surroundings::Surroundings;
use super::waiting::{Door, Waiting};
use super::{discovery, flood};
use crate::Registration;
use crate::api::Grasp;
use crate::error::{Error, ErrorCode};
use crate::infrastructure::{GRASP_TLS, Kind, Offer, an_acp};
use crate::net::{ByteStream, Listener};
use crate::protocol::adjacency::{Adjacency as Core, AdjacencyConfig, AdjacencyCounters, ConnectionId, Input, Output};
use crate::protocol::authorization::{acts, member_name};
use crate::protocol::flood::Flooded;
use crate::protocol::rate::Bucket;
use crate::protocol::{Heard, LinkId, Member, discovery as discovering, flood as flooding};
use crate::shell::{Clock, Pump, Pumped};
use crate::substrate::Secured;
use crate::wire::{Limits, Locator, Message as WireMessage, Transport};
use actix::prelude::*;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;
use supervision::Fresh;
use tokio::io::ReadHalf;
use tokio::sync::mpsc;

/// The objective of the announcements (RFC 8994 §6.4).
pub(crate) const ANNOUNCEMENT: &str = Kind::AnAcp.name();
/// Time limit for one attempt to connect, the proof of membership included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that have not proved membership yet; the oldest makes room.
const UNPROVEN: usize = 64;
/// Messages that wait to be written to one neighbour; more are lost for it, as multicasts would be.
const WAITING: usize = 128;
/// Messages taken from one neighbour at once, and the pause for each further one: its connection waits, not the others. A long
/// message counts as several, since what it costs to read and keep grows with its length.
const BURST: u32 = 400;
const UNIT: usize = 2_048;
const PACE: Duration = Duration::from_millis(2);
/// Pause before an announcement or a watch that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Copy this to all neighbours, or to the one at an address.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Send {
    pub(crate) to: Option<SocketAddr>,
    pub(crate) bytes: Vec<u8>,
}

/// Who is connected, and what has been counted.
#[derive(Message)]
#[rtype(result = "Known")]
pub(crate) struct Inspect;

/// The answer.
#[derive(MessageResponse)]
pub(crate) struct Known {
    /// Address and name of each neighbour.
    pub(crate) neighbours: Vec<(SocketAddr, String)>,
    pub(crate) counters: AdjacencyCounters,
}

/// What the adjacency of a link is made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) id: LinkId,
    pub(crate) name: String,
    pub(crate) address: Ipv6Addr,
    pub(crate) listener: Arc<dyn Listener>,
    /// The DULL instance of the same link.
    pub(crate) dull: Grasp,
    pub(crate) around: Surroundings,
    pub(crate) wiring: Wiring,
    /// Decides whom to dial first among equals.
    pub(crate) seed: u64,
}

/// A neighbour's connection.
struct Neighbour {
    peer: SocketAddr,
    member: Option<Member>,
    outgoing: Outgoing,
    reading: SpawnHandle,
}

/// The actor.
pub(crate) struct Adjacency {
    parts: Parts,
    pump: Pump<Core>,
    neighbours: BTreeMap<ConnectionId, Neighbour>,
    /// Those that have not proved membership yet.
    unproven: Waiting,
    door: Door,
    /// Orders to announce this node; there is no need for more than one at a time.
    announce: mpsc::Sender<()>,
    orders: Option<mpsc::Receiver<()>>,
}

impl Adjacency {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { id, address, around, .. } = &parts;
        let own = SocketAddrV6::new(*address, parts.listener.port(), 0, *id);
        let core = Core::new(AdjacencyConfig::default(), own, parts.seed, around.clock.now());
        let label = format!("adjacency-{}", parts.name);
        let pump = Pump::new(core, around.clock.clone(), around.recorder.clone(), &around.name, label);
        let (announce, orders) = mpsc::channel(1);
        let (neighbours, unproven) = (BTreeMap::new(), Waiting::new(UNPROVEN));
        Self { parts, pump, neighbours, unproven, door: Door::default(), announce, orders: Some(orders) }
    }

    /// Connects to a neighbour and has it prove membership.
    fn dial(&mut self, at: SocketAddrV6, ctx: &mut Context<Self>) {
        let around = self.parts.around.clone();
        let dialled = async move {
            let connecting =
                async { around.substrate.connect(around.network.connect(at.into()).await?, at.into()).await };
            let connecting = contained_wait(&around.tally, "connection", connecting);
            tokio::time::timeout(DIAL_TIMEOUT, connecting).await
        };
        ctx.spawn(dialled.into_actor(self).map(move |dialled, actor, ctx| match dialled {
            Ok(Some(Ok(secured))) => {
                let connection = actor.attach(secured, at.into(), ctx);
                actor.feed(Input::Dialled { at, connection }, ctx);
            }
            Ok(Some(Err(error))) => {
                tracing::debug!(interface = actor.parts.name, peer = %at, %error, "no neighbour");
                actor.feed(Input::Refused { at }, ctx);
            }
            Ok(None) | Err(_) => actor.feed(Input::Refused { at }, ctx),
        }));
    }

    /// Has whoever has connected prove membership, under bounds of number and time.
    fn prove(&mut self, stream: ByteStream, peer: SocketAddr, ctx: &mut Context<Self>) {
        let SocketAddr::V6(from) = peer else { return };
        let Some(attempt) = self.door.admit(self.parts.around.clock.now(), peer.ip()) else {
            return self.parts.around.tally.count("connections_refused", "too many strangers");
        };
        let (mut evicted, made_room) = self.unproven.enter(peer.ip());
        if made_room {
            self.parts.around.tally.count("connections_evicted", "neighbours");
        }
        let around = self.parts.around.clone();
        let proved = async move {
            let accepting = contained_wait(&around.tally, "connection", around.substrate.accept(stream));
            tokio::select! {
                biased;
                // Only its being dropped is ever heard.
                _ = &mut evicted => None,
                accepted = tokio::time::timeout(DIAL_TIMEOUT, accepting) => accepted.ok().flatten(),
            }
        };
        ctx.spawn(proved.into_actor(self).map(move |proved, actor, ctx| match proved {
            Some(Ok(secured)) => {
                attempt.proved(actor.parts.around.clock.now());
                let connection = actor.attach(secured, peer, ctx);
                actor.feed(Input::Accepted { from: *from.ip(), connection }, ctx);
            }
            Some(Err(error)) => {
                tracing::debug!(interface = actor.parts.name, %peer, %error, "no neighbour");
                actor.parts.around.tally.count("strangers", actor.parts.name.as_str());
            }
            None => actor.parts.around.tally.count("connections_timed_out", "neighbours"),
        }));
    }

    /// Begins to read and write; the core is told by the caller.
    fn attach(&mut self, secured: Secured, peer: SocketAddr, ctx: &mut Context<Self>) -> ConnectionId {
        let (around, id) = (&self.parts.around, self.parts.around.key());
        let Secured { stream, member } = secured;
        let limits = around.limits();
        let limits = Limits { size: limits.size.max(around.substrate.multicast_size()), ..limits };
        let (reader, sink) = Connection::with_limits(stream, around, limits).split();
        let (outgoing, words) = Outgoing::with_room(WAITING);
        let reading = ctx.add_stream(incoming(id, reader, around.clock.clone()));
        let writing = actix::spawn(write_all(sink, words, Duration::ZERO));
        ctx.spawn(writing.into_actor(self).map(move |_, actor, ctx| actor.gone(id, ctx)));
        let (interface, name) = (&self.parts.name, member_name(member.as_ref()));
        tracing::info!(node = around.name, interface, %peer, member = name, "neighbour up");
        self.neighbours.insert(id, Neighbour { peer, member, outgoing, reading });
        id
    }

    /// Lets go of a connection; tells whether it was still there.
    fn detach(&mut self, id: ConnectionId, ctx: &mut Context<Self>) -> bool {
        let Some(neighbour) = self.neighbours.remove(&id) else { return false };
        ctx.cancel_future(neighbour.reading);
        let (node, interface) = (&self.parts.around.name, &self.parts.name);
        let name = member_name(neighbour.member.as_ref());
        tracing::info!(node, interface, peer = %neighbour.peer, member = name, "neighbour down");
        true
    }

    fn gone(&mut self, id: ConnectionId, ctx: &mut Context<Self>) {
        if self.detach(id, ctx) {
            self.feed(Input::Closed { connection: id }, ctx);
        }
    }

    /// Hands on what a neighbour has sent: discoveries, floods and answers; anything else is out of place here.
    fn pass(&self, neighbour: &Neighbour, message: WireMessage, raw: Vec<u8>) {
        let Parts { around, wiring, id: link, .. } = &self.parts;
        let kind = message.message_type();
        around.tally.count("messages_received", kind.name());
        let (act, objectives) = acts(&message);
        if !objectives.iter().all(|name| around.permits(act, name, neighbour.member.as_ref())) {
            return;
        }
        let (link, source) = (*link, neighbour.peer);
        let passed = match &message {
            WireMessage::Noop => return,
            WireMessage::Flood { .. } => {
                let heard = Heard { link, source, raw, message, restricted: false };
                wiring.flood.try_send(flood::Feed(flooding::Input::Heard(heard))).is_ok()
            }
            WireMessage::Discovery { .. } | WireMessage::Response { .. } | WireMessage::Synch { .. } => {
                let restricted = around.restricts(&message, neighbour.member.as_ref());
                let heard = Heard { link, source, raw, message, restricted };
                wiring.discovery.try_send(discovery::Feed(discovering::Input::Heard(heard))).is_ok()
            }
            WireMessage::RequestNegotiation { .. }
            | WireMessage::RequestSynchronization { .. }
            | WireMessage::Negotiate { .. }
            | WireMessage::End { .. }
            | WireMessage::Wait { .. }
            | WireMessage::Invalid { .. } => {
                around.tally.count("messages_out_of_place", kind.name());
                return;
            }
        };
        if !passed {
            around.tally.count("messages_dropped", kind.name());
        }
    }

    fn heard(&mut self, copy: &Flooded, ctx: &mut Context<Self>) {
        if let Some(at) = announced(copy, self.parts.id) {
            let lifetime = copy.expires.map(|expires| expires.since(copy.heard));
            self.feed(Input::Announced { at, lifetime }, ctx);
        }
    }
}

/// Where a neighbour takes connections of ours, if that is what it announces.
fn announced(copy: &Flooded, link: LinkId) -> Option<SocketAddrV6> {
    let Some(Locator::Ipv6 { address, transport: Transport::Tcp, port }) =
        copy.locator.as_ref().map(|found| &found.locator)
    else {
        return None;
    };
    let value = copy.objective.value.as_ref()?;
    let ours = Offer::read(value).is_ok_and(|offer| offer.method() == GRASP_TLS);
    ours.then(|| SocketAddrV6::new(*address, *port, 0, link))
}

/// An announcement has been heard on the link.
#[derive(Message)]
#[rtype(result = "()")]
struct Announced(Flooded);

/// Announces this node whenever it is ordered to, and tells of what others announce; never ends while orders may come.
async fn converse(dull: Grasp, port: u16, mut orders: mpsc::Receiver<()>, link: Addr<Adjacency>) {
    while let Err(error) = converse_once(&dull, port, &mut orders, &link).await {
        tracing::debug!(%error, "the DULL instance has failed; its floods are heard again soon");
        tokio::time::sleep(AGAIN).await;
    }
}

async fn converse_once(
    dull: &Grasp,
    port: u16,
    orders: &mut mpsc::Receiver<()>,
    link: &Addr<Adjacency>,
) -> Result<(), Error> {
    let asa = dull.register_asa("adjacency").await?;
    let objective = Kind::AnAcp.objective();
    asa.register_objective(&objective, Registration { overlap: true, ..Registration::default() }).await?;
    let mut watch = asa.watch_flood(&objective).await?;
    for copy in asa.get_flood(&objective).await? {
        link.do_send(Announced(copy));
    }
    let offer = Offer::new(GRASP_TLS).map_err(|error| Error::new(ErrorCode::Unspecified, error.to_string()))?;
    let announcement = an_acp([(&offer, Some((Transport::Tcp, port)))]);
    loop {
        tokio::select! {
            order = orders.recv() => {
                if order.is_none() {
                    return Ok(());
                }
                match asa.flood(Kind::AnAcp.ttl(), announcement.clone()).await {
                    Err(error) if error.code != ErrorCode::Unspecified => return Err(error),
                    // One that is too early is followed by another.
                    Err(error) => tracing::debug!(%error, "not announced"),
                    Ok(()) => {}
                }
            }
            copy = watch.recv() => match copy {
                Some(copy) => link.do_send(Announced(copy)),
                None => return Err(Error::new(ErrorCode::Unspecified, "the flood cache has failed")),
            },
        }
    }
}

/// The messages of a neighbour up to the end of its connection, no faster than the pace.
fn incoming(id: ConnectionId, reader: Reader<ReadHalf<Sheltered>>, clock: Clock) -> impl Stream<Item = FromNeighbour> {
    let bucket = Bucket::new(PACE, BURST);
    stream::unfold(Some((reader, bucket, 1)), move |state| {
        let clock = clock.clone();
        async move {
            let (mut reader, mut bucket, mut due) = state?;
            while due > 0 {
                if bucket.take(clock.now()) {
                    due -= 1;
                } else {
                    tokio::time::sleep(PACE).await;
                }
            }
            let incoming = reader.next().await;
            due = if let Incoming::Message(_, raw) = &incoming { 1 + raw.len() / UNIT } else { 1 };
            let last = matches!(incoming, Incoming::Broken(_) | Incoming::Closed { .. });
            Some((FromNeighbour(id, incoming), (!last).then_some((reader, bucket, due))))
        }
    })
}

struct FromNeighbour(ConnectionId, Incoming);

impl Fresh for Adjacency {
    /// The listener is kept, so that connections wait in it; those to neighbours are made anew.
    fn fresh(&self) -> Self {
        Self::new(self.parts.clone())
    }
}

supervision::child!(Adjacency);

impl Actor for Adjacency {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(1_024);
        ctx.add_stream(accepting(self.parts.listener.clone()));
        if let Some(orders) = self.orders.take() {
            let (dull, port) = (self.parts.dull.clone(), self.parts.listener.port());
            ctx.spawn(converse(dull, port, orders, ctx.address()).into_actor(self));
        }
        // The core has something to do as soon as it begins.
        self.arm(ctx);
    }
}

impl Pumped for Adjacency {
    type Core = Core;

    fn pump(&mut self) -> &mut Pump<Core> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Announce => {
                // One that waits already is as good.
                let _ = self.announce.try_send(());
            }
            Output::Dial(at) => self.dial(at, ctx),
            Output::KeepAlive(id) => {
                if let Some(neighbour) = self.neighbours.get(&id) {
                    let _ = neighbour.outgoing.send(WireMessage::Noop.encode());
                }
            }
            Output::Close(id) => {
                self.detach(id, ctx);
            }
        }
    }
}

impl StreamHandler<Accepted> for Adjacency {
    fn handle(&mut self, Accepted(accepted): Accepted, ctx: &mut Context<Self>) {
        supervision::strike();
        match accepted {
            Ok((stream, peer)) => self.prove(stream, peer, ctx),
            Err(error) => {
                tracing::debug!(interface = self.parts.name, %error, "could not accept a connection");
                self.parts.around.tally.count("accept_errors", self.parts.name.as_str());
            }
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<FromNeighbour> for Adjacency {
    fn handle(&mut self, FromNeighbour(id, incoming): FromNeighbour, ctx: &mut Context<Self>) {
        supervision::strike();
        let Some(neighbour) = self.neighbours.get(&id) else { return };
        match incoming {
            Incoming::Message(message, raw) => {
                self.pass(neighbour, message, raw);
                self.feed(Input::Heard { connection: id }, ctx);
            }
            Incoming::Undecodable(error) => {
                tracing::debug!(interface = self.parts.name, peer = %neighbour.peer, %error, "dropped what is no GRASP message");
                self.parts.around.tally.count("decode_errors", format!("{:?}", error.rule));
                self.feed(Input::Heard { connection: id }, ctx);
            }
            Incoming::Broken(error) => {
                self.parts.around.tally.count("decode_errors", format!("{:?}", error.rule));
                self.gone(id, ctx);
            }
            Incoming::Closed { .. } => self.gone(id, ctx),
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Announced> for Adjacency {
    type Result = ();

    fn handle(&mut self, Announced(copy): Announced, ctx: &mut Context<Self>) {
        self.heard(&copy, ctx);
    }
}

impl Handler<Send> for Adjacency {
    type Result = ();

    fn handle(&mut self, Send { to, bytes }: Send, _: &mut Context<Self>) {
        supervision::strike();
        let bytes = Bytes::from(bytes);
        let meant = self.neighbours.values().filter(|neighbour| to.is_none_or(|to| neighbour.peer == to));
        for neighbour in meant {
            if !neighbour.outgoing.send(bytes.clone()) {
                self.parts.around.tally.count("messages_dropped", "the neighbour takes nothing");
            }
        }
    }
}

impl Handler<Inspect> for Adjacency {
    type Result = Known;

    fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> Known {
        let told = |one: &Neighbour| (one.peer, member_name(one.member.as_ref()).to_owned());
        Known {
            neighbours: self.neighbours.values().map(told).collect(),
            counters: self.pump.machine().counters().clone(),
        }
    }
}
