//! What the node lets its other actors know: where it is, and what its ASAs offer. Only the node writes it; each life of
//! the others reads it.

use super::link::{Link, Send};
use crate::protocol::{Announcement, AsaHandle, LinkId, Topology};
use crate::wire::Objective;
use std::collections::{BTreeMap, BTreeSet};
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

/// What can be seen.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) topology: Topology,
    pub(crate) links: BTreeMap<LinkId, Mailbox<Link>>,
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
        if let Some(link) = link {
            link.do_send(Send(bytes));
        }
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
