//! The links that are up, as the actors know them that multicast.

use super::link::{Link, Send};
use crate::protocol::LinkId;
use actix::prelude::*;
use std::collections::BTreeMap;

/// A link is there, or gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LinkChanged(pub(crate) LinkId, pub(crate) Option<Addr<Link>>);

/// The links by their id.
#[derive(Default)]
pub(crate) struct Links(BTreeMap<LinkId, Addr<Link>>);

impl Links {
    pub(crate) fn changed(&mut self, LinkChanged(id, link): LinkChanged) {
        match link {
            Some(link) => self.0.insert(id, link),
            None => self.0.remove(&id),
        };
    }

    /// Multicasts on a link, unless that has gone meanwhile.
    pub(crate) fn multicast(&self, id: LinkId, bytes: Vec<u8>) {
        if let Some(link) = self.0.get(&id) {
            link.do_send(Send(bytes));
        }
    }
}
