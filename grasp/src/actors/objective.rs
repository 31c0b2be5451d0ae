//! One registered objective: who listens, which requests wait, which value is served.

use super::connection::Connection;
use super::node::Owned;
use super::session::{Core, Handed, Held, Origin, Session, Slot};
use super::surroundings::Surroundings;
use crate::error::{Error, ErrorCode};
use crate::protocol::AsaHandle;
use crate::protocol::negotiation::Negotiation;
use crate::protocol::session::SessionConfig;
use crate::wire::{Message, Objective as WireObjective};
use actix::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use tokio::sync::oneshot;

/// A negotiation request, its connection in hand.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Requested {
    pub(crate) connection: Box<Connection>,
    pub(crate) peer: SocketAddr,
    pub(crate) objective: WireObjective,
    pub(crate) config: SessionConfig,
    pub(crate) slot: Slot,
}

/// A synchronization request, to be answered with the current value.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SynchRequested {
    pub(crate) connection: Box<Connection>,
    pub(crate) slot: Slot,
}

type Listener = oneshot::Sender<Result<Handed, Error>>;

/// An ASA waits for a request.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Listen {
    pub(crate) asa: AsaHandle,
    pub(crate) reply: Listener,
}

/// An ASA does not listen any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Stop(pub(crate) AsaHandle);

/// The value that is served now.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Serve(pub(crate) Option<WireObjective>);

/// The actor.
pub(crate) struct Objective {
    around: Surroundings,
    capacity: usize,
    listening: BTreeSet<AsaHandle>,
    listeners: VecDeque<(AsaHandle, Listener)>,
    queue: VecDeque<Requested>,
    served: Option<WireObjective>,
}

impl Objective {
    pub(crate) fn new(around: Surroundings, capacity: usize) -> Self {
        let (listening, listeners, queue) = (BTreeSet::new(), VecDeque::new(), VecDeque::new());
        Self { around, capacity, listening, listeners, queue, served: None }
    }

    /// Brings waiting requests and waiting listeners together, each in the order of arrival.
    fn pair(&mut self) {
        self.listeners.retain(|(_, reply)| !reply.is_closed());
        while !self.queue.is_empty() {
            let Some((asa, reply)) = self.listeners.pop_front() else { return };
            let Some(request) = self.queue.pop_front() else { return };
            self.hand_over(asa, reply, request);
        }
    }

    fn hand_over(&mut self, asa: AsaHandle, reply: Listener, request: Requested) {
        let Requested { connection, peer, objective, config, slot } = request;
        let (session_id, key) = (slot.session_id, slot.key);
        let core = Core::Negotiation(Box::new(Negotiation::responder(config, objective.clone())));
        let session = Session::new(self.around.clone(), core, Origin::Accepted(connection), slot).start();
        if let Some(node) = self.around.node.upgrade() {
            node.do_send(Owned { key, asa, objective: objective.name.clone(), session: session.clone() });
        }
        // If the listener goes in this very moment, what it would have held tells the peer so.
        let _ = reply.send(Ok(Handed { session: Held(session), session_id, peer, objective }));
    }
}

impl Actor for Objective {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(256);
    }
}

impl Handler<Requested> for Objective {
    type Result = ();

    fn handle(&mut self, request: Requested, _: &mut Context<Self>) {
        if self.listening.is_empty() || self.queue.len() >= self.capacity {
            // Dropping the connection closes it at once (RFC 8990 §2.8.6, T-43).
            self.around.tally.count("requests_refused", if self.listening.is_empty() { "no listener" } else { "full" });
            return;
        }
        self.queue.push_back(request);
        self.pair();
    }
}

impl Handler<SynchRequested> for Objective {
    type Result = ();

    fn handle(&mut self, SynchRequested { connection, slot }: SynchRequested, ctx: &mut Context<Self>) {
        let Some(objective) = self.served.clone() else { return };
        let bytes = Message::Synch { session_id: slot.session_id, objective }.encode();
        // The slot is one of the bounded number that the node has.
        ctx.spawn(connection.answer(bytes).into_actor(self).map(|(), _, _| drop(slot)));
    }
}

impl Handler<Listen> for Objective {
    type Result = ();

    fn handle(&mut self, Listen { asa, reply }: Listen, _: &mut Context<Self>) {
        self.listening.insert(asa);
        self.listeners.push_back((asa, reply));
        self.pair();
    }
}

impl Handler<Stop> for Objective {
    type Result = ();

    fn handle(&mut self, Stop(asa): Stop, _: &mut Context<Self>) {
        self.listening.remove(&asa);
        let all = std::mem::take(&mut self.listeners);
        let (stopped, kept): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(|(owner, _)| *owner == asa);
        self.listeners = kept;
        for (_, reply) in stopped {
            let _ = reply.send(Err(Error::new(ErrorCode::Unspecified, "listening has been stopped")));
        }
        if self.listening.is_empty() {
            self.queue.clear();
        }
    }
}

impl Handler<Serve> for Objective {
    type Result = ();

    fn handle(&mut self, Serve(served): Serve, _: &mut Context<Self>) {
        self.served = served;
    }
}
