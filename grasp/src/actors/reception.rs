//! The node's TCP listener: reads the first message of each connection, under bounds of number and time (COM-13).

use super::caller::Caller;
use super::connection::{Connection, Incoming};
use super::contained::contained_wait;
use super::link::{Accepted, accepting};
use super::node::{Arrived, Node};
use super::surroundings::Surroundings;
use super::waiting::{Attempt, Door, Waiting};
use crate::constants::INVALID_EXCERPT;
use crate::net::{ByteStream, Listener};
use crate::protocol::Member;
use crate::substrate::Secured;
use crate::wire::{DecodeError, Message, Value};
use actix::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Fresh, Mailbox};
use tokio::task::JoinSet;

/// The actor.
pub(crate) struct Reception {
    listener: Arc<dyn Listener>,
    around: Surroundings,
    node: Mailbox<Node>,
    capacity: usize,
    timeout: Duration,
    /// Those that have said nothing yet.
    waiting: Waiting,
    /// Who may prove membership, where that is asked for.
    door: Door,
    /// What reads their first messages; one that ends wakes no other, and all end with this life of the actor.
    reading: JoinSet<()>,
}

impl Reception {
    pub(crate) fn new(
        listener: Arc<dyn Listener>,
        around: Surroundings,
        node: Mailbox<Node>,
        capacity: usize,
        timeout: Duration,
    ) -> Self {
        let (waiting, door, reading) = (Waiting::new(capacity), Door::default(), JoinSet::new());
        Self { listener, around, node, capacity, timeout, waiting, door, reading }
    }

    fn receive(&mut self, stream: ByteStream, peer: SocketAddr) {
        if self.around.dull {
            // Whatever it would ask for is not served (RFC 8990 §2.5.2, §3), so not a byte of it is read.
            let near = matches!(peer, SocketAddr::V6(peer) if peer.ip().is_unicast_link_local());
            let why = if near { "DULL takes no requests" } else { "not link-local" };
            return self.around.tally.count("connections_refused", why);
        }
        let mut attempt = None;
        if self.around.substrate.is_secure() {
            attempt = self.door.admit(self.around.clock.now(), peer.ip());
            if attempt.is_none() {
                return self.around.tally.count("connections_refused", "too many strangers");
            }
        }
        while self.reading.try_join_next().is_some() {}
        let (mut evicted, made_room) = self.waiting.enter(peer.ip());
        if made_room {
            self.around.tally.count("connections_evicted", "silent");
        }
        let (around, node, timeout) = (self.around.clone(), self.node.clone(), self.timeout);
        self.reading.spawn_local(async move {
            let first = first_message(&around, stream, attempt);
            tokio::select! {
                biased;
                // Only its being dropped is ever heard.
                _ = &mut evicted => {}
                first = tokio::time::timeout(timeout, first) => match first {
                    Ok(Some(First { connection, member, message, raw })) => {
                        let caller = Caller::new(connection, peer, member, &message, around.tally.clone());
                        if let Err(unsent) = node.try_send(Arrived { caller, message, raw }) {
                            unsent.into_inner().caller.close();
                            around.tally.count("connections_refused", "busy");
                        }
                    }
                    Ok(None) => {}
                    Err(_) => around.tally.count("connections_timed_out", "silent"),
                },
            }
        });
    }
}

/// How a connection begins.
struct First {
    connection: Connection,
    member: Option<Member>,
    message: Message,
    raw: Vec<u8>,
}

/// The first message that is not a no-op; anything that is no message is answered, if it can be, and the end.
async fn first_message(around: &Surroundings, stream: ByteStream, attempt: Option<Attempt>) -> Option<First> {
    let accepting = contained_wait(&around.tally, "connection", around.substrate.accept(stream));
    let Secured { stream, member } = accepting.await?.ok()?;
    if let Some(attempt) = attempt {
        attempt.proved(around.clock.now());
    }
    let mut connection = Connection::new(stream, around);
    loop {
        match connection.next().await {
            Incoming::Message(Message::Noop, _) => {}
            Incoming::Message(message, raw) => {
                around.tally.count("messages_received", message.message_type().name());
                return Some(First { connection, member, message, raw });
            }
            Incoming::Undecodable(error) => {
                around.tally.count("decode_errors", format!("{:?}", error.rule));
                if let Some(invalid) = invalid(&error) {
                    connection.answer(invalid.encode()).await;
                }
                return None;
            }
            Incoming::Broken(error) => {
                around.tally.count("decode_errors", format!("{:?}", error.rule));
                return None;
            }
            Incoming::Closed { .. } => return None,
        }
    }
}

/// What to say to a message that is not understood: nothing without a session id (T-50). An M_INVALID
/// whose session id can be read is never undecodable, so none is answered.
fn invalid(error: &DecodeError) -> Option<Message> {
    let session_id = error.session_id?;
    let mut text = error.to_string();
    text.truncate(INVALID_EXCERPT);
    Some(Message::Invalid { session_id, content: Value::item(&text).ok() })
}

impl Fresh for Reception {
    /// The socket is kept, so that connections wait in it meanwhile; those that have said nothing yet are closed.
    fn fresh(&self) -> Self {
        let (listener, around, node) = (self.listener.clone(), self.around.clone(), self.node.clone());
        Self::new(listener, around, node, self.capacity, self.timeout)
    }
}

supervision::child!(Reception);

impl Actor for Reception {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(accepting(self.listener.clone()));
    }
}

impl StreamHandler<Accepted> for Reception {
    fn handle(&mut self, Accepted(accepted): Accepted, _: &mut Context<Self>) {
        supervision::strike();
        match accepted {
            Ok((stream, peer)) => self.receive(stream, peer),
            Err(error) => {
                tracing::debug!(%error, "could not accept a connection");
                self.around.tally.count("accept_errors", "");
            }
        }
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}
