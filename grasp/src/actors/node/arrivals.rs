//! Requests from the network (RFC 8990 §2.8.6).

use super::{Arrived, Ended, Node, Owned, ReleaseIds, Unparked};
use crate::actors::connection::{Connection, scope_of};
use crate::actors::discovery::HeardByStream;
use crate::actors::objective::{Requested, SynchRequested};
use crate::actors::session::{Abandon, Target};
use crate::api::dump::Kind;
use crate::protocol::session_id::Maker;
use crate::wire::{Message as WireMessage, Objective, SessionId};
use actix::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a connection with a clashing session id is kept open in silence (T-49).
const PARK: Duration = Duration::from_secs(60);
/// Connections kept so; more are closed.
const PARKED: usize = 64;

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
        connection: Box<Connection>,
        session_id: SessionId,
        maker: Maker,
        ctx: &mut Context<Self>,
    ) -> Option<Box<Connection>> {
        if self.places.len() >= self.config.sessions {
            self.refuse("sessions");
            return None;
        }
        // A node's own ASAs are not strangers to each other.
        if maker != Maker::Itself && self.places.of(maker) >= self.config.peer_sessions {
            self.refuse("sessions of one peer");
            return None;
        }
        if self.ids.accept(session_id, maker) {
            return Some(connection);
        }
        self.refuse("session id clash");
        if self.parked < PARKED {
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
        connection: Box<Connection>,
        peer: SocketAddr,
        session_id: SessionId,
        objective: Objective,
        ctx: &mut Context<Self>,
    ) {
        if !self.registry.negotiates(&objective.name) {
            return self.refuse("no listener");
        }
        let maker = self.maker(&peer);
        let Some(connection) = self.admit(connection, session_id, maker, ctx) else { return };
        let slot =
            self.slot(session_id, maker, Target::Address(peer), &objective.name, Kind::of_negotiation(&objective));
        let config = self.session_config(session_id, &objective.name);
        let actor = self.objective(&objective.name);
        if actor.try_send(Requested { connection, peer, objective, config, slot }).is_err() {
            self.refuse("busy");
        }
    }

    fn synchronization_requested(
        &mut self,
        connection: Box<Connection>,
        peer: SocketAddr,
        session_id: SessionId,
        objective: &Objective,
        ctx: &mut Context<Self>,
    ) {
        if self.registry.served(&objective.name).is_none() {
            return self.refuse("no listener");
        }
        let maker = self.maker(&peer);
        let Some(connection) = self.admit(connection, session_id, maker, ctx) else { return };
        let slot = self.slot(session_id, maker, Target::Address(peer), &objective.name, Kind::Synchronization);
        if self.objective(&objective.name).try_send(SynchRequested { connection, slot }).is_err() {
            self.refuse("busy");
        }
    }
}

impl Handler<Arrived> for Node {
    type Result = ();

    fn handle(&mut self, Arrived { connection, peer, message, raw }: Arrived, ctx: &mut Context<Self>) {
        if self.secured().is_err() {
            return;
        }
        match message {
            WireMessage::RequestNegotiation { session_id, objective } => {
                self.negotiation_requested(connection, peer, session_id, objective, ctx);
            }
            WireMessage::RequestSynchronization { session_id, objective } => {
                self.synchronization_requested(connection, peer, session_id, &objective, ctx);
            }
            WireMessage::Discovery { .. } => {
                if self.discovery.try_send(HeardByStream { connection, peer, message, raw }).is_err() {
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

impl Handler<Owned> for Node {
    type Result = ();

    fn handle(&mut self, Owned { key, asa, objective, session }: Owned, _: &mut Context<Self>) {
        if self.registry.registered(asa, &objective).is_err() {
            // Its ASA or its objective has gone in the meantime.
            session.do_send(Abandon);
            return;
        }
        match self.places.get_mut(key) {
            Some(occupant) => occupant.owner = Some((asa, session)),
            // It is over already, or this node has started anew and knows nothing of it.
            None => session.do_send(Abandon),
        }
    }
}

impl Handler<Ended> for Node {
    type Result = ();

    fn handle(&mut self, Ended { key }: Ended, _: &mut Context<Self>) {
        if let Some((maker, occupant)) = self.places.leave(key) {
            self.ids.release(self.around.clock.now(), occupant.session_id, maker);
        }
    }
}

impl Handler<ReleaseIds> for Node {
    type Result = ();

    fn handle(&mut self, ReleaseIds { ids }: ReleaseIds, _: &mut Context<Self>) {
        let now = self.around.clock.now();
        for id in ids {
            self.ids.release(now, id, Maker::Us);
        }
    }
}

impl Handler<Unparked> for Node {
    type Result = ();

    fn handle(&mut self, _: Unparked, _: &mut Context<Self>) {
        self.parked = self.parked.saturating_sub(1);
    }
}
