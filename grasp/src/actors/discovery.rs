//! Discovery: the cache, running questions and relayed ones.

use super::connection::Connection;
use super::contained::contained_wait;
use super::links::{LinkChanged, Links};
use super::node::{Node, ReleaseIds};
use super::surroundings::Surroundings;
use crate::constants::RESPONSE_DIAL_TIMEOUT;
use crate::protocol::cache::Entry;
use crate::protocol::discovery::{Discovery as Core, DiscoveryCounters, Found, Input, Output, Question};
use crate::protocol::{Heard, Time};
use crate::shell::{Pump, Pumped};
use crate::wire::{Message as WireMessage, SessionId};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

/// Answers being delivered at the same time; further ones are dropped and counted.
const DIALS: usize = 256;
/// Unicast discoveries that wait for their answer on the connection they came on.
const STREAMS: usize = 64;

/// Something for the core.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Feed(pub(crate) Input);

/// A local ASA asks.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskNetwork {
    pub(crate) question: Question,
    pub(crate) reply: oneshot::Sender<Found>,
}

/// A question that is being asked; dropped before it is answered, it is asked no more.
pub(crate) struct Asking {
    pub(crate) request: u64,
    pub(crate) session_ids: Vec<SessionId>,
    pub(crate) answered: bool,
    pub(crate) discovery: Addr<Discovery>,
    pub(crate) node: Addr<Node>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        // Here as well, since an actor that has failed knows the question no more.
        self.node.do_send(ReleaseIds { ids: std::mem::take(&mut self.session_ids) });
        self.discovery.do_send(Feed(Input::Cancel { request: self.request }));
    }
}

/// A discovery came over a connection; the answer goes back on it (RFC 8990 §2.5.4.2).
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HeardByStream {
    pub(crate) connection: Box<Connection>,
    pub(crate) peer: SocketAddr,
    pub(crate) message: WireMessage,
    pub(crate) raw: Vec<u8>,
}

/// What is known and counted.
#[derive(Message)]
#[rtype(result = "(DiscoveryCounters, usize)")]
pub(crate) struct Inspect;

/// The whole cache, and the time now.
#[derive(Message)]
#[rtype(result = "(Time, Vec<(String, Entry)>)")]
pub(crate) struct All;

/// What is known about one objective.
#[derive(Message)]
#[rtype(result = "Vec<Entry>")]
pub(crate) struct Cached(pub(crate) String);

/// The actor.
pub(crate) struct Discovery {
    pump: Pump<Core>,
    around: Surroundings,
    links: Links,
    questions: BTreeMap<u64, oneshot::Sender<Found>>,
    streams: BTreeMap<SocketAddr, Box<Connection>>,
    dials: usize,
}

impl Discovery {
    pub(crate) fn new(core: Core, around: Surroundings) -> Self {
        let (clock, recorder) = (around.clock.clone(), around.recorder.clone());
        let pump = Pump::new(core, clock, recorder, &around.name, "discovery".into());
        let (links, questions, streams) = (Links::default(), BTreeMap::new(), BTreeMap::new());
        Self { pump, around, links, questions, streams, dials: 0 }
    }

    /// Opens a connection to the sender of a discovery, writes the answer and closes (RFC 8990 §2.8.5).
    fn dial(&mut self, to: SocketAddr, bytes: Vec<u8>, ctx: &mut Context<Self>) {
        if self.dials >= DIALS {
            self.around.tally.count("answers_dropped", "");
            return;
        }
        self.dials += 1;
        let (network, substrate) = (self.around.network.clone(), self.around.substrate.clone());
        let tally = self.around.tally.clone();
        let delivered = async move {
            let deliver = async {
                let mut stream = substrate.connect(network.connect(to).await?).await?;
                stream.write_all(&bytes).await?;
                stream.shutdown().await
            };
            let deliver = contained_wait(&tally, "connection", deliver);
            matches!(tokio::time::timeout(RESPONSE_DIAL_TIMEOUT, deliver).await, Ok(Some(Ok(()))))
        };
        ctx.spawn(delivered.into_actor(self).map(move |delivered, actor, ctx| {
            actor.dials -= 1;
            if !delivered {
                actor.feed(Input::Unanswerable { source: to }, ctx);
            }
        }));
    }
}

impl Actor for Discovery {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(1_024);
    }
}

impl Pumped for Discovery {
    type Core = Core;

    fn pump(&mut self) -> &mut Pump<Core> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Multicast { link, bytes } => self.links.multicast(link, bytes),
            Output::Respond { to, bytes, .. } => match self.streams.remove(&to) {
                Some(connection) => {
                    ctx.spawn(connection.answer(bytes).into_actor(self));
                }
                None => self.dial(to, bytes, ctx),
            },
            Output::Found { request, found } => {
                if let Some(reply) = self.questions.remove(&request) {
                    let _ = reply.send(found);
                }
            }
            Output::Release(ids) => {
                if let Some(node) = self.around.node.upgrade() {
                    node.do_send(ReleaseIds { ids });
                }
            }
        }
    }
}

impl Handler<Feed> for Discovery {
    type Result = ();

    fn handle(&mut self, Feed(input): Feed, ctx: &mut Context<Self>) {
        if let Input::Cancel { request } = &input {
            self.questions.remove(request);
        }
        self.feed(input, ctx);
    }
}

impl Handler<AskNetwork> for Discovery {
    type Result = ();

    fn handle(&mut self, AskNetwork { question, reply }: AskNetwork, ctx: &mut Context<Self>) {
        self.questions.insert(question.request, reply);
        self.feed(Input::Discover(question), ctx);
    }
}

impl Handler<HeardByStream> for Discovery {
    type Result = ();

    fn handle(&mut self, heard: HeardByStream, ctx: &mut Context<Self>) {
        let HeardByStream { connection, peer, message, raw } = heard;
        if self.streams.len() >= STREAMS {
            self.around.tally.count("connections_refused", "unicast discovery");
            return;
        }
        self.streams.insert(peer, connection);
        self.feed(Input::Heard(Heard { link: 0, source: peer, raw, message }), ctx);
        // No answer means that none will come: by unicast nothing is relayed.
        self.streams.remove(&peer);
    }
}

impl Handler<LinkChanged> for Discovery {
    type Result = ();

    fn handle(&mut self, change: LinkChanged, _: &mut Context<Self>) {
        self.links.changed(change);
    }
}

impl Handler<Inspect> for Discovery {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> Self::Result {
        let core = self.pump.machine();
        MessageResult((core.counters(), core.cache().len()))
    }
}

impl Handler<All> for Discovery {
    type Result = MessageResult<All>;

    fn handle(&mut self, _: All, _: &mut Context<Self>) -> Self::Result {
        let now = self.pump.now();
        let entries = self.pump.machine().cache().all(now);
        MessageResult((now, entries.map(|(name, entry)| (name.to_owned(), entry.clone())).collect()))
    }
}

impl Handler<Cached> for Discovery {
    type Result = Vec<Entry>;

    fn handle(&mut self, Cached(name): Cached, _: &mut Context<Self>) -> Vec<Entry> {
        self.pump.machine().cache().get(self.pump.now(), &name).into_iter().cloned().collect()
    }
}
