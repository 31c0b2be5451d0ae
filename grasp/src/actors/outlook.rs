//! What the node lets its other actors know: where it is, and what its ASAs offer. Only the node writes it; each life of
//! the others reads it.

use super::adjacency::{self, Adjacency};
use super::link::{Link, Send};
use crate::protocol::{Announcement, AsaHandle, LinkId, Topology};
use crate::wire::Objective;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use supervision::Mailbox;

/// What is known of an objective that is registered.
#[derive(Default)]
pub(crate) struct Offer {
    /// What discovery may say.
    pub(crate) announcement: Option<Announcement>,
    /// The objective with the value that is served.
    pub(crate) served: Option<Objective>,
    /// Who takes requests.
    pub(crate) listening: BTreeSet<AsaHandle>,
}

/// Where a link's discoveries and floods come from and go to.
#[derive(Clone)]
pub(crate) enum Port {
    /// A multicast socket.
    Multicast(Mailbox<Link>),
    /// Connections to the neighbours.
    Neighbours(Mailbox<Adjacency>),
}

/// What can be seen.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) topology: Topology,
    pub(crate) links: BTreeMap<LinkId, Port>,
    pub(crate) offers: BTreeMap<String, Offer>,
}

/// A handle; cloning gives another on the same.
#[derive(Clone, Default)]
pub(crate) struct Outlook(Arc<Mutex<View>>);

impl Outlook {
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Multicasts on a link, unless that has gone meanwhile.
    pub(crate) fn multicast(&self, id: LinkId, bytes: Vec<u8>) {
        let link = self.view().links.get(&id).cloned();
        match link {
            Some(Port::Multicast(link)) => link.do_send(Send(bytes)),
            Some(Port::Neighbours(adjacency)) => adjacency.do_send(adjacency::Send { to: None, bytes }),
            None => {}
        }
    }

    /// Answers a neighbour on the connection on which it asked; gives the answer back if the link has no such connections
    /// (RFC 8990 §2.5.4.4).
    pub(crate) fn answer(&self, id: LinkId, to: SocketAddr, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let link = self.view().links.get(&id).cloned();
        let Some(Port::Neighbours(adjacency)) = link else { return Some(bytes) };
        adjacency.do_send(adjacency::Send { to: Some(to), bytes });
        None
    }

    /// Tells whether this ASA takes requests for an objective.
    pub(crate) fn listens(&self, name: &str, asa: AsaHandle) -> bool {
        self.view().offers.get(name).is_some_and(|offer| offer.listening.contains(&asa))
    }

    /// Tells whether any ASA does.
    pub(crate) fn negotiates(&self, name: &str) -> bool {
        self.view().offers.get(name).is_some_and(|offer| !offer.listening.is_empty())
    }

    /// The objective with the value that is served now.
    pub(crate) fn served(&self, name: &str) -> Option<Objective> {
        self.view().offers.get(name)?.served.clone()
    }
}
