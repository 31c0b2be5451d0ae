//! Links come and go, addresses change (RFC 8990 §2.2).

use super::{Changed, LinkFailed, Node, OpenLink};
use crate::actors::link::Link;
use crate::actors::{discovery, flood};
use crate::net::Interface;
use crate::protocol::{LinkId, LinkInfo, Topology, discovery as discovering, flood as flooding};
use actix::prelude::*;
use std::net::Ipv6Addr;
use std::time::Duration;
use supervision::Lifetime;

/// When to try again to open a link that could not be opened, for example because its address was still tentative.
const RETRY: Duration = Duration::from_secs(1);

impl Node {
    pub(super) fn close_link(&mut self, id: LinkId) {
        if let Some(link) = self.links.remove(&id) {
            tracing::info!(node = self.config.name, interface = link.name, "link down");
            self.supervisor.dismiss(&link.actor);
            self.outlook.view().links.remove(&id);
        }
    }

    /// Opens a link; tells whether it is open.
    fn open_link(&mut self, interface: &Interface) -> bool {
        let Some(address) = interface.link_local else { return true };
        let sockets = match self.around.network.open_link(interface) {
            Ok(sockets) => sockets,
            Err(error) => {
                let (node, link) = (&self.config.name, &interface.name);
                tracing::debug!(node, interface = link, %error, "cannot open the link yet");
                self.around.tally.count("link_open_errors", link.as_str());
                return false;
            }
        };
        let (id, name) = (interface.index, interface.name.clone());
        tracing::info!(node = self.config.name, interface = name, %address, "link up");
        let (around, wiring, own) = (self.around.clone(), self.wiring.clone(), name.clone());
        let make = move |_| Link::new(id, own, sockets, around, wiring);
        let actor = self.supervisor.child(&format!("link {name}"), Lifetime::Permanent, make);
        self.outlook.view().links.insert(id, actor.clone());
        self.links.insert(id, OpenLink { name, address, actor });
        true
    }

    /// Tells the cores where the node is, also when it has no link: its ASAs find each other all the same.
    pub(super) fn tell_topology(&self) {
        let topology = &self.topology;
        self.outlook.view().topology = topology.clone();
        self.wiring.discovery.do_send(discovery::Feed(discovering::Input::Topology(topology.clone())));
        self.wiring.flood.do_send(flood::Feed(flooding::Input::Topology(topology.clone())));
    }

    /// Keeps the address in use while it is there, so that running work is not disturbed (T-12).
    fn choose_global(&self, found: &[Interface]) -> Option<Ipv6Addr> {
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
