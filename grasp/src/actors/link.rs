//! One link: its multicast socket, and the TCP twin on which answers to its discoveries arrive.

use super::connection::{Connection, Incoming};
use super::contained::{contained, contained_wait};
use super::node::{LinkFailed, Node};
use super::surroundings::Surroundings;
use super::waiting::Waiting;
use super::{discovery, flood};
use crate::net::{ByteStream, LinkSockets, Listener, MulticastSocket};
use crate::protocol::{Heard, LinkId, discovery as discovering, dull, flood as flooding};
use crate::wire::{DecodeError, Message as WireMessage, decode};
use actix::prelude::*;
use futures_util::stream::{self, Stream};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Fresh, Mailbox};

/// Time limit for a connection that brings answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages taken from one such connection.
const ANSWERS: usize = 4;
/// Such connections at once.
const ANSWERERS: usize = 256;
/// Pause after the system refused to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Datagrams taken one after the other without a pause for others.
const AT_ONCE: u32 = 16;
/// When to tell the node again that a link has failed.
const RETELL: Duration = Duration::from_secs(1);

/// Multicast this.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Send(pub(crate) Vec<u8>);

/// Whom a link tells.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) node: Mailbox<Node>,
    pub(crate) discovery: Mailbox<discovery::Discovery>,
    pub(crate) flood: Mailbox<flood::Flood>,
}

/// The actor.
pub(crate) struct Link {
    id: LinkId,
    name: String,
    around: Surroundings,
    multicast: Arc<dyn MulticastSocket>,
    answers: Arc<dyn Listener>,
    wiring: Wiring,
    /// Connections that bring answers.
    answering: Waiting,
}

impl Link {
    pub(crate) fn new(id: LinkId, name: String, sockets: LinkSockets, around: Surroundings, wiring: Wiring) -> Self {
        let LinkSockets { multicast, answers } = sockets;
        let (multicast, answers) = (Arc::from(multicast), Arc::from(answers));
        Self { id, name, around, multicast, answers, wiring, answering: Waiting::new(ANSWERERS) }
    }

    /// Tells the node until it closes the link.
    fn failed(&mut self, ctx: &mut Context<Self>) {
        self.wiring.node.do_send(LinkFailed { link: self.id });
        ctx.run_later(RETELL, Self::failed);
    }

    fn datagram(&self, bytes: Vec<u8>, source: SocketAddr) {
        let (substrate, limits) = (&self.around.substrate, self.around.limits());
        let opened = contained(&self.around.tally, "decode", || {
            let raw = substrate.open(self.id, bytes)?;
            Some((decode(&raw, &limits), raw))
        });
        match opened {
            Some(Some((Ok(message), raw))) => self.pass(message, raw, source, true),
            Some(Some((Err(error), _))) => self.undecodable(&error, source),
            Some(None) => self.around.tally.count("strangers", self.name.as_str()),
            None => {}
        }
    }

    /// Multicasts carry discoveries and floods, connections to the twin carry answers; anything else is dropped.
    fn pass(&self, message: WireMessage, raw: Vec<u8>, source: SocketAddr, multicast: bool) {
        let tally = &self.around.tally;
        let kind = message.message_type();
        tally.count("messages_received", kind.name());
        let link = self.id;
        let restricted = self.around.restricts(&message, None);
        let passed = match (&message, multicast) {
            (WireMessage::Noop, _) => return,
            (WireMessage::Flood { .. }, true) => {
                let heard = Heard { link, source, raw, message, restricted };
                self.wiring.flood.try_send(flood::Feed(flooding::Input::Heard(heard))).is_ok()
            }
            (WireMessage::Discovery { .. }, true)
            | (WireMessage::Response { .. } | WireMessage::Synch { .. }, false) => {
                let heard = Heard { link, source, raw, message, restricted };
                self.wiring.discovery.try_send(discovery::Feed(discovering::Input::Heard(heard))).is_ok()
            }
            _ => {
                tally.count("messages_out_of_place", kind.name());
                return;
            }
        };
        if !passed {
            tally.count("messages_dropped", kind.name());
        }
    }

    fn undecodable(&self, error: &DecodeError, source: SocketAddr) {
        tracing::debug!(interface = self.name, peer = %source, %error, "dropped what is no GRASP message");
        self.around.tally.count("decode_errors", format!("{:?}", error.rule));
    }

    /// Reads the answers that a peer brings, under bounds of number and time.
    fn answered(&mut self, stream: ByteStream, peer: SocketAddr, ctx: &mut Context<Self>) {
        if self.around.dull && dull::source(&peer, self.id).is_none() {
            return self.around.tally.count("connections_refused", "not link-local");
        }
        let (mut evicted, made_room) = self.answering.enter(peer.ip());
        if made_room {
            self.around.tally.count("connections_evicted", "answers");
        }
        let (around, link) = (self.around.clone(), ctx.address());
        let reading = async move {
            let accepting = contained_wait(&around.tally, "connection", around.substrate.accept(stream));
            let Some(Ok(secured)) = accepting.await else { return };
            let mut connection = Connection::new(secured.stream, &around);
            for _ in 0..ANSWERS {
                let incoming = connection.next().await;
                let last = !matches!(incoming, Incoming::Message(..));
                link.do_send(Answer(incoming, peer));
                if last {
                    return;
                }
            }
        };
        let reading = async move {
            tokio::select! {
                biased;
                // Only its being dropped is ever heard.
                _ = &mut evicted => true,
                read = tokio::time::timeout(ANSWER_TIMEOUT, reading) => read.is_ok(),
            }
        };
        ctx.spawn(reading.into_actor(self).map(|in_time, actor, _| {
            if !in_time {
                actor.around.tally.count("connections_timed_out", "answers");
            }
        }));
    }
}

/// Something came on a connection to the twin.
#[derive(Message)]
#[rtype(result = "()")]
struct Answer(Incoming, SocketAddr);

struct Datagram(io::Result<(Vec<u8>, SocketAddr)>);
pub(super) struct Accepted(pub(super) io::Result<(ByteStream, SocketAddr)>);

/// Connections, one after the other; a refusal of the system is followed by a pause.
pub(super) fn accepting(listener: Arc<dyn Listener>) -> impl Stream<Item = Accepted> {
    stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await;
        if accepted.is_err() {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        Some((Accepted(accepted), listener))
    })
}

fn receiving(socket: Arc<dyn MulticastSocket>) -> impl Stream<Item = Datagram> {
    stream::unfold(Some((socket, 0_u32)), |state| async move {
        let (socket, count) = state?;
        if count % AT_ONCE == AT_ONCE - 1 {
            // However fast datagrams come, the other actors of this thread are to have their turn.
            tokio::task::yield_now().await;
        }
        let received = socket.receive().await;
        let next = received.is_ok().then_some((socket, count.wrapping_add(1)));
        Some((Datagram(received), next))
    })
}

impl Fresh for Link {
    /// The sockets are kept, and what waits in them.
    fn fresh(&self) -> Self {
        let (multicast, answers) = (self.multicast.clone(), self.answers.clone());
        let (name, around, wiring) = (self.name.clone(), self.around.clone(), self.wiring.clone());
        Self { id: self.id, name, around, multicast, answers, wiring, answering: Waiting::new(ANSWERERS) }
    }
}

supervision::child!(Link);

impl Actor for Link {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(1_024);
        ctx.add_stream(receiving(self.multicast.clone()));
        ctx.add_stream(accepting(self.answers.clone()));
    }
}

impl StreamHandler<Datagram> for Link {
    fn handle(&mut self, Datagram(received): Datagram, ctx: &mut Context<Self>) {
        supervision::strike();
        match received {
            Ok((bytes, source)) => self.datagram(bytes, source),
            Err(error) => {
                tracing::warn!(interface = self.name, %error, "the link's socket failed; it will be opened anew");
                self.around.tally.count("link_failures", self.name.as_str());
                self.failed(ctx);
            }
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<Accepted> for Link {
    fn handle(&mut self, Accepted(accepted): Accepted, ctx: &mut Context<Self>) {
        supervision::strike();
        match accepted {
            Ok((stream, peer)) => self.answered(stream, peer, ctx),
            Err(error) => {
                tracing::debug!(interface = self.name, %error, "could not accept a connection");
                self.around.tally.count("accept_errors", self.name.as_str());
            }
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Answer> for Link {
    type Result = ();

    fn handle(&mut self, Answer(incoming, peer): Answer, _: &mut Context<Self>) {
        supervision::strike();
        match incoming {
            Incoming::Message(message, raw) => self.pass(message, raw, peer, false),
            Incoming::Undecodable(error) | Incoming::Broken(error) => self.undecodable(&error, peer),
            Incoming::Closed { .. } => {}
        }
    }
}

impl Handler<Send> for Link {
    type Result = ();

    fn handle(&mut self, Send(bytes): Send, _: &mut Context<Self>) {
        supervision::strike();
        let (substrate, multicast) = (&self.around.substrate, &self.multicast);
        let sent = contained(&self.around.tally, "multicast", || multicast.send(&substrate.seal(self.id, bytes)));
        if let Some(Err(error)) = sent {
            // A failed send on one link does not stop the others; discovery and floods are repeated (T-29).
            tracing::debug!(interface = self.name, %error, "could not multicast");
            self.around.tally.count("send_errors", self.name.as_str());
        }
    }
}
