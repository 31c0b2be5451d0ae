//! Calls of the API: checked here, done by the actors concerned (RFC 8991 §2.3).

use super::{
    DeregisterAsa, DeregisterObjective, Describe, Description, Discover, FloodOut, Gone, Leave, Listen, MayNegotiate,
    MaySynchronize, Node, Open, RegisterAsa, RegisterObjective, Registered, ServeValue, StopListen,
};
use crate::actors::discovery::{AskNetwork, Asking};
use crate::actors::flood::SendFlood;
use crate::actors::objective;
use crate::actors::session::{Core, Handed, Held, Origin, Session};
use crate::api::dump::Kind;
use crate::error::{Error, ErrorCode};
use crate::protocol::discovery::{Found, Question, Scope};
use crate::protocol::dull::no_unicast;
use crate::protocol::negotiation::Negotiation;
use crate::protocol::session_id::Maker;
use crate::protocol::synchronization::Synchronization;
use crate::protocol::{AsaHandle, flood as flooding};
use crate::wire::{Message, Objective, SessionId};
use actix::prelude::*;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// Tries of one discovery, each with its own session id; the pauses between them double.
const TRIES: usize = 8;

impl Node {
    fn registered(&self, asa: AsaHandle, objective: &Objective) -> Result<&Objective, Error> {
        self.secured()?;
        self.books.registry.registered(asa, &objective.name)
    }

    fn negotiable(&self, asa: AsaHandle, objective: &Objective) -> Result<(), Error> {
        self.has_sessions()?;
        let known = self.registered(asa, objective)?;
        if !known.is_negotiable() || !objective.is_negotiable() {
            return Err(Error::new(ErrorCode::NotNegotiable, objective.name.as_str()));
        }
        check_loop_count(objective)
    }

    /// No call that leads to a session works in a DULL instance.
    fn has_sessions(&self) -> Result<(), Error> {
        self.secured()?;
        if self.config.dull.is_some() { Err(no_unicast()) } else { Ok(()) }
    }

    /// No call works in a DULL instance for an objective that is not of the insecure service.
    fn serves(&self, objective: &Objective) -> Result<(), Error> {
        self.config.dull.as_ref().map_or(Ok(()), |dull| dull.may_use(&objective.name))
    }

    /// A value that could not be sent whole is not served (RFC 8990 §2.8.3).
    fn fits(&self, asa: AsaHandle, objective: &Objective) -> Result<(), Error> {
        let served = Objective { value: objective.value.clone(), ..self.registered(asa, objective)?.clone() };
        let size = Message::Synch { session_id: SessionId::MAX, objective: served }.encode().len();
        let limit =
            self.books.registry.registration(&objective.name).map_or(self.config.message.size, |r| r.message_size);
        if size > limit {
            let detail = format!("the message has {size} bytes; {limit} are allowed");
            return Err(Error::new(ErrorCode::Unspecified, detail));
        }
        Ok(())
    }

    /// Lets go of everything that belonged to an ASA.
    fn forget(&mut self, asa: AsaHandle, names: &[String]) {
        for name in names {
            if let Some(objective) = self.objectives.get(name) {
                objective.do_send(objective::Stop(asa));
            }
            self.announce(name);
        }
        self.books.held.remove(&asa);
        self.books.ledger.entries().abandon(asa, None);
    }
}

fn check_loop_count(objective: &Objective) -> Result<(), Error> {
    if objective.loop_count == 0 {
        return Err(Error::new(ErrorCode::Unspecified, format!("{}: a loop count is 1 to 255", objective.name)));
    }
    Ok(())
}

impl Handler<RegisterAsa> for Node {
    type Result = Result<Registered, Error>;

    fn handle(&mut self, RegisterAsa { name }: RegisterAsa, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        let handle = self.books.registry.register_asa(&name)?;
        Ok(Registered { handle, node: self.wiring.node.clone(), _held: self.books.hold(handle) })
    }
}

impl Handler<DeregisterAsa> for Node {
    type Result = Result<(), Error>;

    fn handle(&mut self, DeregisterAsa { asa, name }: DeregisterAsa, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        let names = self.books.registry.deregister_asa(asa, &name)?;
        self.forget(asa, &names);
        Ok(())
    }
}

impl Handler<Gone> for Node {
    type Result = ();

    fn handle(&mut self, Gone { asa }: Gone, _: &mut Context<Self>) {
        supervision::strike();
        let names = self.books.registry.remove_asa(asa);
        self.forget(asa, &names);
    }
}

impl Handler<RegisterObjective> for Node {
    type Result = Result<(), Error>;

    fn handle(&mut self, call: RegisterObjective, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        let RegisterObjective { asa, objective, registration } = call;
        self.secured()?;
        self.serves(&objective)?;
        if objective.is_negotiable() || objective.is_dry_run() {
            self.has_sessions()?;
        }
        let size = registration.message_size;
        self.books.registry.register_objective(asa, &objective, registration)?;
        self.around.size.fetch_max(size, Ordering::Relaxed);
        self.around.substrate.expect_size(size);
        self.announce(&objective.name);
        Ok(())
    }
}

impl Handler<DeregisterObjective> for Node {
    type Result = Result<(), Error>;

    fn handle(
        &mut self,
        DeregisterObjective { asa, name }: DeregisterObjective,
        _: &mut Context<Self>,
    ) -> Self::Result {
        supervision::strike();
        self.secured()?;
        self.books.registry.deregister_objective(asa, &name)?;
        // All state for the objective goes, open negotiations about it included (RFC 8991 §2.3.3).
        self.books.ledger.entries().abandon(asa, Some(&name));
        if let Some(objective) = self.objectives.get(&name) {
            objective.do_send(objective::Stop(asa));
        }
        self.announce(&name);
        Ok(())
    }
}

impl Handler<Discover> for Node {
    type Result = Result<(Asking, oneshot::Receiver<Found>), Error>;

    fn handle(&mut self, call: Discover, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        let Discover { asa, objective, timeout, minimum_ttl, scope, direct_only } = call;
        self.secured()?;
        self.books.registry.name(asa)?;
        self.serves(&objective)?;
        // Whoever wants but one locator wants to ask it for something.
        if scope == Scope::First {
            self.has_sessions()?;
        }
        check_loop_count(&objective)?;
        let size = Message::Discovery {
            session_id: u32::MAX,
            initiator: std::net::Ipv6Addr::UNSPECIFIED.into(),
            objective: objective.clone(),
        };
        let (size, limit) = (size.encode().len(), self.config.discovery.multicast_size);
        if size > limit {
            let detail = format!("the message has {size} bytes; {limit} fit into a multicast");
            return Err(Error::new(ErrorCode::Unspecified, detail));
        }
        let request = self.around.key();
        let lent = self.books.ledger.lend(if timeout.is_zero() { 0 } else { TRIES });
        let session_ids = lent.ids.clone();
        let discovery = self.wiring.discovery.clone();
        let asking = Asking { request, answered: false, discovery, _session_ids: lent };
        let (reply, found) = oneshot::channel();
        let question =
            Question { request, asker: asa, objective, session_ids, timeout, minimum_ttl, scope, direct_only };
        self.wiring.discovery.do_send(AskNetwork { question, reply });
        Ok((asking, found))
    }
}

impl Handler<MayNegotiate> for Node {
    type Result = Result<(), Error>;

    fn handle(&mut self, MayNegotiate { asa, objective }: MayNegotiate, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        self.negotiable(asa, &objective)
    }
}

impl Handler<MaySynchronize> for Node {
    type Result = Result<(), Error>;

    fn handle(&mut self, MaySynchronize { asa, objective }: MaySynchronize, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        self.secured()?;
        self.books.registry.name(asa)?;
        if !objective.is_synchronizable() {
            return Err(Error::new(ErrorCode::NotSynchronizable, objective.name.as_str()));
        }
        check_loop_count(&objective)
    }
}

impl Handler<Open> for Node {
    type Result = Result<(Held, SessionId), Error>;

    fn handle(&mut self, call: Open, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        let Open { asa, objective, target, negotiation } = call;
        self.has_sessions()?;
        // The ASA may have gone while a peer was looked for.
        self.books.registry.name(asa)?;
        let mut entries = self.books.ledger.entries();
        if entries.places.len() >= self.config.sessions {
            let detail = format!("{} sessions are open", self.config.sessions);
            return Err(Error::new(ErrorCode::Unspecified, detail));
        }
        let session_id = entries.ids.allocate(self.around.clock.now());
        drop(entries);
        let kind = if negotiation { Kind::of_negotiation(&objective) } else { Kind::Synchronization };
        let slot = self.slot(session_id, Maker::Us, target.clone(), &objective.name, kind);
        let config = self.session_config(session_id, &objective.name);
        let name = objective.name.clone();
        let core = if negotiation {
            Core::Negotiation(Box::new(Negotiation::initiator(config, objective)))
        } else {
            Core::Synchronization(Box::new(Synchronization::new(config, &objective.name)))
        };
        let origin = Origin::Dial(target, name);
        let session = Session::start_in(self.around.clone(), core, origin, slot, asa);
        Ok((Held(session), session_id))
    }
}

impl Handler<Listen> for Node {
    type Result = Result<oneshot::Receiver<Result<Handed, Error>>, Error>;

    fn handle(&mut self, Listen { asa, objective }: Listen, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        self.negotiable(asa, &objective)?;
        self.books.registry.listen(asa, &objective.name, true)?;
        let (reply, handed) = oneshot::channel();
        self.objective(&objective.name).do_send(objective::Listen { asa, reply });
        self.announce(&objective.name);
        Ok(handed)
    }
}

impl Handler<StopListen> for Node {
    type Result = Result<(), Error>;

    fn handle(&mut self, call: StopListen, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        let StopListen { asa, objective, negotiation } = call;
        let known = self.registered(asa, &objective)?;
        if negotiation && !known.is_negotiable() {
            return Err(Error::new(ErrorCode::NotNegotiable, objective.name.as_str()));
        }
        if !negotiation && !known.is_synchronizable() {
            return Err(Error::new(ErrorCode::NotSynchronizable, objective.name.as_str()));
        }
        self.books.registry.listen(asa, &objective.name, false)?;
        self.objective(&objective.name).do_send(objective::Stop(asa));
        self.announce(&objective.name);
        Ok(())
    }
}

impl Handler<ServeValue> for Node {
    type Result = Result<(), Error>;

    fn handle(&mut self, ServeValue { asa, objective }: ServeValue, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        self.has_sessions()?;
        self.fits(asa, &objective)?;
        self.books.registry.serve(asa, &objective)?;
        self.objective(&objective.name);
        self.announce(&objective.name);
        Ok(())
    }
}

impl Handler<FloodOut> for Node {
    type Result = Result<oneshot::Receiver<Result<(), Error>>, Error>;

    fn handle(&mut self, FloodOut { asa, ttl, objectives }: FloodOut, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        self.secured()?;
        self.books.registry.name(asa)?;
        for (objective, _) in &objectives {
            self.registered(asa, objective)?;
        }
        // A flood is over once it is sent; its id is not used again for as long as it is remembered.
        let session_id = self.books.ledger.lend(1).ids.first().copied().unwrap_or_default();
        let (request, (reply, sent)) = (self.around.key(), oneshot::channel());
        let input = flooding::Input::Flood { request, session_id, ttl, objectives };
        self.wiring.flood.do_send(SendFlood { input, request, reply });
        Ok(sent)
    }
}

impl Handler<Describe> for Node {
    type Result = Description;

    fn handle(&mut self, _: Describe, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        let substrate = &self.around.substrate;
        let entries = self.books.ledger.entries();
        Description {
            name: self.config.name.clone(),
            substrate: substrate.name(),
            secure: substrate.is_secure(),
            dull: self.config.dull.is_some(),
            standing: substrate.standing(),
            ready: substrate.is_ready(),
            links: self.links.iter().map(|(id, link)| (*id, link.name.clone(), link.address)).collect(),
            global: self.topology.global,
            port: self.topology.port,
            stable_port: self.topology.stable_port,
            asas: self.books.registry.asas().map(|(_, name)| name.to_owned()).collect(),
            sessions: entries.places.len(),
            session_ids: entries.ids.active(),
            session_id_clashes: entries.ids.clashes,
            counters: substrate.counters().into_iter().chain(self.around.tally.read()).collect(),
        }
    }
}

impl Handler<Leave> for Node {
    type Result = ();

    fn handle(&mut self, _: Leave, _: &mut Context<Self>) {
        supervision::strike();
        let asas: Vec<AsaHandle> = self.books.registry.asas().map(|(handle, _)| handle).collect();
        for asa in asas {
            let names = self.books.registry.remove_asa(asa);
            self.forget(asa, &names);
        }
    }
}
