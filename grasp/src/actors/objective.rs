//! One registered objective: whose turn it is to take a request, which requests wait, which value is served.

use super::caller::Caller;
use super::ledger::Slot;
use super::lives::{End, Lives};
use super::outlook::Outlook;
use super::session::{Core, Handed, Held, Origin, Session};
use super::surroundings::Surroundings;
use crate::error::{Error, ErrorCode};
use crate::protocol::AsaHandle;
use crate::protocol::negotiation::Negotiation;
use crate::protocol::session::SessionConfig;
use crate::wire::{Message, Objective as WireObjective};
use actix::prelude::*;
use std::collections::VecDeque;
use supervision::Probe;
use tokio::sync::oneshot;

/// A negotiation request.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Requested {
    pub(crate) caller: Caller,
    pub(crate) objective: WireObjective,
    pub(crate) config: SessionConfig,
    pub(crate) slot: Slot,
}

/// A synchronization request, to be answered with the current value.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SynchRequested {
    pub(crate) caller: Caller,
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

/// Nobody holds the objective any more: nothing comes after this.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Close;

/// The actor.
pub(crate) struct Objective {
    name: String,
    around: Surroundings,
    outlook: Outlook,
    capacity: usize,
    lives: Lives,
    listeners: VecDeque<(AsaHandle, Listener)>,
    queue: VecDeque<Requested>,
}

impl Objective {
    pub(crate) fn new(name: String, around: Surroundings, outlook: Outlook, capacity: usize) -> Self {
        let (lives, listeners, queue) = (Lives::default(), VecDeque::new(), VecDeque::new());
        Self { name, around, outlook, capacity, lives, listeners, queue }
    }

    /// Brings waiting requests and waiting listeners together, each in the order of arrival.
    fn pair(&mut self) {
        self.listeners.retain(|(_, reply)| !reply.is_closed());
        while !self.queue.is_empty() {
            let Some((asa, reply)) = self.listeners.pop_front() else { return };
            // It may have stopped or gone, and word of that be still to come.
            if !self.outlook.listens(&self.name, asa) {
                refuse(reply);
                continue;
            }
            let Some(request) = self.queue.pop_front() else { return };
            self.hand_over(asa, reply, request);
        }
    }

    fn hand_over(&mut self, asa: AsaHandle, reply: Listener, request: Requested) {
        let Requested { caller, objective, config, slot } = request;
        let (session_id, peer) = (slot.session_id, caller.peer);
        let Some(connection) = caller.take() else { return };
        let core = Core::Negotiation(Box::new(Negotiation::responder(config, objective.clone())));
        let around = self.around.clone();
        let session = Session::start_in(around, core, Origin::Accepted(connection), slot, asa);
        // If the listener goes in this very moment, what it would have held tells the peer so.
        let _ = reply.send(Ok(Handed { session: Held(session), session_id, peer, objective }));
    }

    /// Lets go of those who do not listen any more, and of the requests if nobody does.
    fn settle(&mut self) {
        for (asa, reply) in std::mem::take(&mut self.listeners) {
            if self.outlook.listens(&self.name, asa) {
                self.listeners.push_back((asa, reply));
            } else {
                refuse(reply);
            }
        }
        if !self.outlook.negotiates(&self.name) {
            self.queue.drain(..).for_each(|request| request.caller.close());
        }
    }
}

fn refuse(listener: Listener) {
    let _ = listener.send(Err(Error::new(ErrorCode::Unspecified, "listening has been stopped")));
}

impl Actor for Objective {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.lives.begin();
        ctx.set_mailbox_capacity(256);
        // Word of it may have been lost with the last life.
        self.settle();
        self.pair();
    }
}

impl Supervised for Objective {
    /// Requests and listeners wait on, unless they may be what this life fell over: then the requests are declined, and
    /// whoever listens tries again.
    fn restarting(&mut self, _: &mut Context<Self>) {
        if self.lives.end(self.around.clock.now()) == End::Drop {
            self.around.tally.count("caches_dropped", "objective");
            (self.listeners, self.queue) = (VecDeque::new(), VecDeque::new());
        }
    }
}

impl Handler<Probe> for Objective {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Context<Self>) {
        supervision::answer();
    }
}

impl Handler<Requested> for Objective {
    type Result = ();

    fn handle(&mut self, request: Requested, _: &mut Context<Self>) {
        supervision::strike();
        let deaf = !self.outlook.negotiates(&self.name);
        if deaf || self.queue.len() >= self.capacity {
            self.around.tally.count("requests_refused", if deaf { "no listener" } else { "full" });
            return request.caller.close();
        }
        self.queue.push_back(request);
        self.pair();
    }
}

impl Handler<SynchRequested> for Objective {
    type Result = ();

    fn handle(&mut self, SynchRequested { caller, slot }: SynchRequested, ctx: &mut Context<Self>) {
        supervision::strike();
        let (served, Some(connection)) = (self.outlook.served(&self.name), caller.take()) else { return };
        let Some(objective) = served else { return };
        let bytes = Message::Synch { session_id: slot.session_id, objective }.encode();
        // The slot is one of the bounded number that the node has.
        ctx.spawn(connection.answer(bytes).into_actor(self).map(|(), _, _| drop(slot)));
    }
}

impl Handler<Listen> for Objective {
    type Result = ();

    fn handle(&mut self, Listen { asa, reply }: Listen, _: &mut Context<Self>) {
        supervision::strike();
        self.listeners.push_back((asa, reply));
        self.pair();
    }
}

impl Handler<Stop> for Objective {
    type Result = ();

    fn handle(&mut self, Stop(asa): Stop, _: &mut Context<Self>) {
        supervision::strike();
        // It may listen again already, but those calls were before.
        let all = std::mem::take(&mut self.listeners);
        let (stopped, kept): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(|(owner, _)| *owner == asa);
        self.listeners = kept;
        stopped.into_iter().for_each(|(_, reply)| refuse(reply));
        self.settle();
    }
}

impl Handler<Close> for Objective {
    type Result = ();

    /// No drill strikes here: this is the end in any case.
    fn handle(&mut self, _: Close, ctx: &mut Context<Self>) {
        self.settle();
        ctx.stop();
    }
}
