//! Requests from the network (RFC 8990 §2.8.6).

use super::{Arrived, Node, Unparked};
use crate::actors::caller::Caller;
use crate::actors::connection::scope_of;
use crate::actors::discovery::HeardByStream;
use crate::actors::objective::{Requested, SynchRequested};
use crate::actors::session::Target;
use crate::api::dump::Kind;
use crate::protocol::authorization::acts;
use crate::protocol::session_id::Maker;
use crate::wire::{Message as WireMessage, Objective, SessionId};
use actix::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a connection with a clashing session id is kept open in silence (T-49).
const PARK: Duration = Duration::from_secs(60);
/// Connections kept so; more are closed.
const PARKED: usize = 64;
/// Why a request is refused that has the id of another session.
const CLASH: &str = "session id clash";

impl Node {
    fn refuse(&self, why: &str) {
        self.around.tally.count("requests_refused", why);
    }

    fn maker(&self, peer: &SocketAddr) -> Maker {
        let ip = peer.ip();
        let own = ip.is_loopback()
            || self.topology.global.is_some_and(|global| ip == global)
            || self.topology.links.iter().any(|link| ip == link.address);
        if own { Maker::Itself } else { Maker::Peer(ip, scope_of(peer)) }
    }

    /// Enters a request's session id; a clash is discarded so that its sender sees a timeout (RFC 8990 §2.8.6).
    fn admit(
        &mut self,
        caller: Caller,
        session_id: SessionId,
        maker: Maker,
        ctx: &mut Context<Self>,
    ) -> Option<Caller> {
        let mut entries = self.books.ledger.entries();
        let refused = if entries.places.len() >= self.config.sessions {
            "sessions"
        } else if maker != Maker::Itself && entries.places.of(maker) >= self.config.peer_sessions {
            // A node's own ASAs are not strangers to each other.
            "sessions of one peer"
        } else if entries.ids.accept(session_id, maker) {
            return Some(caller);
        } else {
            CLASH
        };
        drop(entries);
        self.refuse(refused);
        let connection = caller.take();
        if refused == CLASH && self.parked < PARKED {
            self.parked += 1;
            let silent = async move {
                tokio::time::sleep(PARK).await;
                drop(connection);
            };
            ctx.spawn(silent.into_actor(self).map(|(), actor, ctx| actor.handle(Unparked {}, ctx)));
        }
        None
    }

    fn negotiation_requested(
        &mut self,
        caller: Caller,
        session_id: SessionId,
        objective: Objective,
        ctx: &mut Context<Self>,
    ) {
        if !self.books.registry.negotiates(&objective.name) {
            caller.close();
            return self.refuse("no listener");
        }
        let (peer, maker) = (caller.peer, self.maker(&caller.peer));
        let Some(caller) = self.admit(caller, session_id, maker, ctx) else { return };
        let slot =
            self.slot(session_id, maker, Target::Address(peer), &objective.name, Kind::of_negotiation(&objective));
        let config = self.session_config(session_id, &objective.name);
        let actor = self.objective(&objective.name);
        if let Err(unsent) = actor.try_send(Requested { caller, objective, config, slot }) {
            unsent.into_inner().caller.close();
            self.refuse("busy");
        }
    }

    fn synchronization_requested(
        &mut self,
        caller: Caller,
        session_id: SessionId,
        objective: &Objective,
        ctx: &mut Context<Self>,
    ) {
        if self.books.registry.served(&objective.name).is_none() {
            return self.refuse("no listener");
        }
        let (peer, maker) = (caller.peer, self.maker(&caller.peer));
        let Some(caller) = self.admit(caller, session_id, maker, ctx) else { return };
        let slot = self.slot(session_id, maker, Target::Address(peer), &objective.name, Kind::Synchronization);
        if self.objective(&objective.name).try_send(SynchRequested { caller, slot }).is_err() {
            self.refuse("busy");
        }
    }
}

impl Handler<Arrived> for Node {
    type Result = ();

    fn handle(&mut self, Arrived { caller, message, raw }: Arrived, ctx: &mut Context<Self>) {
        supervision::strike();
        if self.secured().is_err() {
            return caller.close();
        }
        let (act, objectives) = acts(&message);
        if !objectives.iter().all(|name| self.around.permits(act, name, caller.member.as_ref())) {
            return caller.close();
        }
        match message {
            WireMessage::RequestNegotiation { session_id, objective } => {
                self.negotiation_requested(caller, session_id, objective, ctx);
            }
            WireMessage::RequestSynchronization { session_id, objective } => {
                self.synchronization_requested(caller, session_id, &objective, ctx);
            }
            WireMessage::Discovery { .. } => {
                if self.wiring.discovery.try_send(HeardByStream { caller, message, raw }).is_err() {
                    self.refuse("busy");
                }
            }
            WireMessage::Noop
            | WireMessage::Response { .. }
            | WireMessage::Negotiate { .. }
            | WireMessage::End { .. }
            | WireMessage::Wait { .. }
            | WireMessage::Synch { .. }
            | WireMessage::Flood { .. }
            | WireMessage::Invalid { .. } => {
                self.around.tally.count("messages_out_of_place", message.message_type().name());
            }
        }
    }
}

impl Handler<Unparked> for Node {
    type Result = ();

    fn handle(&mut self, _: Unparked, _: &mut Context<Self>) {
        self.parked = self.parked.saturating_sub(1);
    }
}
