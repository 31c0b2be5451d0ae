//! What the node keeps for its ASAs, and what it does about it when it begins anew.

use super::{Gone, Node};
use crate::actors::discovery::Feed;
use crate::actors::ledger::Ledger;
use crate::config::{Failure, NodeConfig};
use crate::protocol::discovery as discovering;
use crate::protocol::registry::Registry;
use crate::protocol::session_id::SessionIds;
use crate::protocol::{AsaHandle, Topology};
use crate::shell::Clock;
use actix::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Registry, sessions and session ids: plain data that only checked calls change.
pub(super) struct Books {
    pub(super) registry: Registry,
    pub(super) ledger: Ledger,
    /// Whether anybody still holds a registration.
    pub(super) held: BTreeMap<AsaHandle, Weak<()>>,
}

impl Books {
    pub(super) fn new(config: &NodeConfig, clock: Clock, random: &mut ChaCha12Rng) -> Self {
        let mut handles = ChaCha12Rng::from_rng(random);
        let mut ids = ChaCha12Rng::from_rng(random);
        Self {
            registry: Registry::new(config.registry, move || handles.next_u32()),
            ledger: Ledger::new(clock, SessionIds::new(move || ids.next_u32())),
            held: BTreeMap::new(),
        }
    }

    /// What an ASA holds to stay registered.
    pub(super) fn hold(&mut self, asa: AsaHandle) -> Arc<()> {
        let held = Arc::new(());
        self.held.insert(asa, Arc::downgrade(&held));
        held
    }

    /// ASAs that nobody holds any more.
    fn lost(&self) -> impl Iterator<Item = AsaHandle> {
        self.held.iter().filter(|(_, held)| held.strong_count() == 0).map(|(asa, _)| *asa)
    }
}

impl Node {
    /// Lets go of everything: sessions and waiting requests are declined, and links opened anew.
    pub(super) fn forget_all(&mut self) {
        self.around.tally.count("caches_dropped", "node");
        self.books = Books::new(&self.config, self.around.clock.clone(), &mut self.random);
        for objective in std::mem::take(&mut self.objectives).into_values() {
            self.supervisor.dismiss(&objective);
        }
        let links: Vec<_> = self.links.keys().copied().collect();
        links.into_iter().for_each(|id| self.close_link(id));
        let Topology { port, stable_port, .. } = self.topology;
        self.topology = Topology { port, stable_port, ..Topology::default() };
        let offers = std::mem::take(&mut self.outlook.view().offers);
        for name in offers.into_keys() {
            self.wiring.discovery.do_send(Feed(discovering::Input::Local { name, announcement: None }));
        }
        self.tell_topology();
        self.forgot = true;
    }

    /// Does what has been missed between two lives.
    pub(super) fn catch_up(&mut self, ctx: &mut Context<Self>) {
        let lost: Vec<AsaHandle> = self.books.lost().collect();
        lost.into_iter().for_each(|asa| self.handle(Gone { asa }, ctx));
        self.look();
        if std::mem::take(&mut self.forgot) {
            tracing::error!(node = self.config.name, "failed twice in a row; it goes on without its ASAs");
            if let Some(tell) = &self.config.on_failure {
                tell(Failure::Forgot);
            }
        }
    }
}
