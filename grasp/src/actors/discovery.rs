//! Discovery: the cache, running questions and relayed ones.

use super::caller::Caller;
use super::connection::Connection;
use super::contained::contained_wait;
use super::ledger::Lent;
use super::lives::{End, Lives};
use super::outlook::Outlook;
use super::surroundings::Surroundings;
use crate::constants::RESPONSE_DIAL_TIMEOUT;
use crate::protocol::cache::Entry;
use crate::protocol::discovery::{
    Discovery as Core, DiscoveryConfig, DiscoveryCounters, Found, Input, Output, Question,
};
use crate::protocol::{Heard, Time};
use crate::shell::{Pump, Pumped};
use crate::wire::Message as WireMessage;
use actix::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use supervision::{Mailbox, Probe};
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
    pub(crate) answered: bool,
    pub(crate) discovery: Mailbox<Discovery>,
    /// They are free again when nobody asks any more, whatever becomes of the actor that knows the question.
    pub(crate) _session_ids: Lent,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.answered {
            self.discovery.do_send(Feed(Input::Cancel { request: self.request }));
        }
    }
}

/// A discovery came over a connection; the answer goes back on it (RFC 8990 §2.5.4.2).
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HeardByStream {
    pub(crate) caller: Caller,
    pub(crate) message: WireMessage,
    pub(crate) raw: Vec<u8>,
}

/// What is known and counted.
#[derive(Message)]
#[rtype(result = "Known")]
pub(crate) struct Inspect;

/// The answer: counts of what happened, and locators in the cache.
#[derive(MessageResponse)]
pub(crate) struct Known(pub(crate) DiscoveryCounters, pub(crate) usize);

/// The whole cache, and the time now.
#[derive(Message)]
#[rtype(result = "Everything")]
pub(crate) struct All;

/// The answer.
#[derive(MessageResponse)]
pub(crate) struct Everything(pub(crate) Time, pub(crate) Vec<(String, Entry)>);

/// What is known about one objective.
#[derive(Message)]
#[rtype(result = "Vec<Entry>")]
pub(crate) struct Cached(pub(crate) String);

/// The actor.
pub(crate) struct Discovery {
    pump: Pump<Core>,
    config: DiscoveryConfig,
    around: Surroundings,
    outlook: Outlook,
    lives: Lives,
    questions: BTreeMap<u64, oneshot::Sender<Found>>,
    streams: BTreeMap<SocketAddr, Box<Connection>>,
    dials: usize,
}

impl Discovery {
    pub(crate) fn new(config: DiscoveryConfig, around: Surroundings, outlook: Outlook) -> Self {
        let pump = pump(Core::new(config.clone()), &around);
        let (questions, streams) = (BTreeMap::new(), BTreeMap::new());
        Self { pump, config, around, outlook, lives: Lives::default(), questions, streams, dials: 0 }
    }

    /// The next life: what has been learned is kept, unless that may be what this life fell over. Whoever asks tries again.
    fn succeed(&mut self, end: &End) {
        (self.questions, self.streams, self.dials) = (BTreeMap::new(), BTreeMap::new(), 0);
        let empty = pump(Core::new(self.config.clone()), &self.around);
        let last = std::mem::replace(&mut self.pump, empty);
        if *end == End::Keep {
            self.pump = pump(Core::with(self.config.clone(), last.into_machine().keep()), &self.around);
        } else {
            self.around.tally.count("caches_dropped", "discovery");
        }
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
                let mut stream = substrate.connect(network.connect(to).await?, to).await?.stream;
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

fn pump(core: Core, around: &Surroundings) -> Pump<Core> {
    Pump::new(core, around.clock.clone(), around.recorder.clone(), &around.name, "discovery".into())
}

impl Actor for Discovery {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.lives.begin();
        ctx.set_mailbox_capacity(1_024);
        let (topology, offers) = {
            let view = self.outlook.view();
            let offers = view.offers.iter().filter(|(_, offer)| offer.announcement.is_some());
            let offers: Vec<_> = offers.map(|(name, offer)| (name.clone(), offer.announcement.clone())).collect();
            (view.topology.clone(), offers)
        };
        self.feed(Input::Topology(topology), ctx);
        for (name, announcement) in offers {
            self.feed(Input::Local { name, announcement }, ctx);
        }
    }
}

impl Supervised for Discovery {
    fn restarting(&mut self, _: &mut Context<Self>) {
        match self.lives.end(self.pump.now()) {
            End::Unbegun => {}
            end @ (End::Keep | End::Drop) => self.succeed(&end),
        }
    }
}

impl Handler<Probe> for Discovery {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Context<Self>) {
        supervision::answer();
    }
}

impl Pumped for Discovery {
    type Core = Core;

    fn pump(&mut self) -> &mut Pump<Core> {
        &mut self.pump
    }

    fn act(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Multicast { link, bytes } => self.outlook.multicast(link, bytes),
            Output::Respond { link, to, bytes } => match self.streams.remove(&to) {
                Some(connection) => {
                    ctx.spawn(connection.answer(bytes).into_actor(self));
                }
                None => {
                    if let Some(bytes) = self.outlook.answer(link, to, bytes) {
                        self.dial(to, bytes, ctx);
                    }
                }
            },
            Output::Found { request, found } => {
                if let Some(reply) = self.questions.remove(&request) {
                    let _ = reply.send(found);
                }
            }
            // Whoever asks has lent them, and takes them back; so they are not lost if this actor fails.
            Output::Release(_) => {}
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
        let HeardByStream { caller, message, raw } = heard;
        let peer = caller.peer;
        let restricted = self.around.restricts(&message, caller.member.as_ref());
        let Some(connection) = caller.take() else { return };
        if self.streams.len() >= STREAMS {
            self.around.tally.count("connections_refused", "unicast discovery");
            return;
        }
        self.streams.insert(peer, connection);
        self.feed(Input::Heard(Heard { link: 0, source: peer, raw, message, restricted }), ctx);
        // No answer means that none will come: by unicast nothing is relayed.
        self.streams.remove(&peer);
    }
}

impl Handler<Inspect> for Discovery {
    type Result = Known;

    fn handle(&mut self, _: Inspect, _: &mut Context<Self>) -> Self::Result {
        let core = self.pump.machine();
        Known(core.counters(), core.cache().len())
    }
}

impl Handler<All> for Discovery {
    type Result = Everything;

    fn handle(&mut self, _: All, _: &mut Context<Self>) -> Self::Result {
        let now = self.pump.now();
        let entries = self.pump.machine().cache().all(now);
        Everything(now, entries.map(|(name, entry)| (name.to_owned(), entry.clone())).collect())
    }
}

impl Handler<Cached> for Discovery {
    type Result = Vec<Entry>;

    fn handle(&mut self, Cached(name): Cached, _: &mut Context<Self>) -> Vec<Entry> {
        self.pump.machine().cache().get(self.pump.now(), &name).into_iter().cloned().collect()
    }
}
