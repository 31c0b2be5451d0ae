//! Links come and go, addresses change (RFC 8990 §2.2).

use super::{Changed, LinkFailed, ListLinks, ListedLink, Node, OpenLink};
use crate::actors::adjacency::{self, Adjacency};
use crate::actors::link::Link;
use crate::actors::outlook::Port;
use crate::actors::{discovery, flood};
use crate::api::Grasp;
use crate::config::{Failure, NodeConfig};
use crate::net::Interface;
use crate::protocol::{LinkId, LinkInfo, Topology, discovery as discovering, flood as flooding};
use crate::substrate::{Carrier, Dull as Insecure};
use actix::prelude::*;
use rand::RngExt;
use std::io;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;
use supervision::Lifetime;

/// When to try again to open a link that could not be opened, for example because its address was still tentative.
const RETRY: Duration = Duration::from_secs(1);
/// How long the actors of a DULL instance have to end.
const DULL_END: Duration = Duration::from_secs(1);

impl Node {
    pub(super) fn close_link(&mut self, id: LinkId) {
        if let Some(link) = self.links.remove(&id) {
            tracing::info!(node = self.config.name, interface = link.name, "link down");
            self.outlook.view().links.remove(&id);
            match &link.port {
                Port::Multicast(actor) => self.supervisor.dismiss(actor),
                Port::Neighbours(actor) => self.supervisor.dismiss(actor),
            }
            if let Some(dull) = link.dull {
                actix::spawn(async move { dull.shutdown(DULL_END).await });
            }
        }
    }

    /// Opens a link; tells whether it is open.
    fn open_link(&mut self, interface: &Interface) -> bool {
        let Some(address) = interface.link_local else { return true };
        match self.try_open(interface, address) {
            Ok(link) => {
                tracing::info!(node = self.config.name, interface = link.name, %address, "link up");
                self.outlook.view().links.insert(interface.index, link.port.clone());
                self.links.insert(interface.index, link);
                true
            }
            Err(error) => {
                let (node, link) = (&self.config.name, &interface.name);
                tracing::debug!(node, interface = link, %error, "cannot open the link yet");
                self.around.tally.count("link_open_errors", link.as_str());
                false
            }
        }
    }

    fn try_open(&mut self, interface: &Interface, address: Ipv6Addr) -> io::Result<OpenLink> {
        let (id, name) = (interface.index, interface.name.clone());
        let (around, wiring, own) = (self.around.clone(), self.wiring.clone(), name.clone());
        let role = format!("link {name}");
        Ok(match self.around.substrate.carrier() {
            Carrier::Multicast => {
                let sockets = self.around.network.open_link(interface)?;
                let dull = self.start_dull(interface)?;
                let make = move |_| Link::new(id, own, sockets, around, wiring);
                let port = Port::Multicast(self.supervisor.child(&role, Lifetime::Permanent, make));
                OpenLink { name, address, port, dull }
            }
            Carrier::Connections => {
                let listener = self.around.network.listen_on(interface)?.into();
                let dull = self.start_dull(interface)?.ok_or(io::ErrorKind::Unsupported)?;
                let (dull, seed) = (dull.clone(), self.random.random());
                let parts =
                    adjacency::Parts { id, name: own, address, listener, dull: dull.clone(), around, wiring, seed };
                let make = move |_| Adjacency::new(parts);
                let port = Port::Neighbours(self.supervisor.child(&role, Lifetime::Permanent, make));
                OpenLink { name, address, port, dull: Some(dull) }
            }
        })
    }

    /// Starts the DULL instance of a link: one for each, with tables of its own (RFC 8990 §2.5.2, RFC 8994 §6.4).
    fn start_dull(&self, interface: &Interface) -> io::Result<Option<Grasp>> {
        let mut rules = self.config.carries_dull.clone();
        if self.around.substrate.carrier() == Carrier::Connections {
            rules.get_or_insert_default().objectives.insert(adjacency::ANNOUNCEMENT.to_owned());
        }
        let Some(rules) = rules else { return Ok(None) };
        let mut config = NodeConfig::dull(&interface.name, rules);
        let (node, link) = (self.wiring.node.clone(), interface.index);
        config.tree.clone_from(&self.config.tree);
        config.recorder.clone_from(&self.config.recorder);
        config.on_failure = Some(Arc::new(move |failure| {
            if matches!(failure, Failure::GaveUp(_)) {
                node.do_send(LinkFailed { link });
            }
        }));
        Grasp::start(config, self.around.network.clone(), Arc::new(Insecure)).map(Some)
    }

    /// Tells the cores where the node is, also when it has no link: its ASAs find each other all the same.
    pub(super) fn tell_topology(&self) {
        let topology = &self.topology;
        self.outlook.view().topology = topology.clone();
        self.wiring.discovery.do_send(discovery::Feed(discovering::Input::Topology(topology.clone())));
        self.wiring.flood.do_send(flood::Feed(flooding::Input::Topology(topology.clone())));
    }

    /// Keeps the address in use while it is there, so that running work is not disturbed (T-12).
    ///
    /// A DULL instance has none: all that it says is about its link (RFC 8990 §2.5.2).
    fn choose_global(&self, found: &[Interface]) -> Option<Ipv6Addr> {
        if self.config.dull.is_some() {
            return None;
        }
        let all: Vec<Ipv6Addr> = found.iter().flat_map(|interface| interface.global.iter().copied()).collect();
        let in_domain = |address: &Ipv6Addr| {
            self.config.discovery.settings.domain.is_none_or(|(prefix, length)| {
                (u128::from(*address) ^ u128::from(prefix)).leading_zeros() >= u32::from(length)
            })
        };
        let usable: Vec<Ipv6Addr> = all.into_iter().filter(in_domain).collect();
        let kept = self.topology.global.filter(|current| usable.contains(current));
        let unique_local = || usable.iter().copied().find(Ipv6Addr::is_unique_local);
        kept.or_else(unique_local).or_else(|| usable.first().copied())
    }
}

impl Handler<Changed> for Node {
    type Result = ();

    fn handle(&mut self, Changed { found }: Changed, ctx: &mut Context<Self>) {
        supervision::strike();
        let same = |id: LinkId, link: &OpenLink| {
            found.iter().any(|i| i.index == id && i.name == link.name && i.link_local == Some(link.address))
        };
        let gone: Vec<LinkId> = self.links.iter().filter(|(id, link)| !same(**id, link)).map(|(id, _)| *id).collect();
        for id in gone {
            self.close_link(id);
        }
        let mut all_open = true;
        for interface in &found {
            if !self.links.contains_key(&interface.index) {
                all_open &= self.open_link(interface);
            }
        }
        if !all_open {
            ctx.run_later(RETRY, |node, _| node.look());
        }
        let links = self.links.iter().map(|(id, link)| LinkInfo { id: *id, address: link.address }).collect();
        let global = self.choose_global(&found);
        let topology = Topology { links, global, ..self.topology.clone() };
        if topology != self.topology {
            self.topology = topology;
            self.tell_topology();
        }
    }
}

impl Handler<LinkFailed> for Node {
    type Result = ();

    fn handle(&mut self, LinkFailed { link }: LinkFailed, ctx: &mut Context<Self>) {
        supervision::strike();
        self.close_link(link);
        ctx.run_later(RETRY, |node, _| node.look());
    }
}

impl Handler<ListLinks> for Node {
    type Result = Vec<ListedLink>;

    fn handle(&mut self, _: ListLinks, _: &mut Context<Self>) -> Self::Result {
        supervision::strike();
        let listed = |link: &OpenLink| ListedLink {
            interface: link.name.clone(),
            adjacency: match &link.port {
                Port::Multicast(_) => None,
                Port::Neighbours(adjacency) => Some(adjacency.clone()),
            },
            dull: link.dull.clone(),
        };
        self.links.values().map(listed).collect()
    }
}
