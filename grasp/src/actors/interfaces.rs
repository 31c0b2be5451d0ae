//! The list of interfaces: read when the kernel tells of a change, and from time to time anyway.

use super::node::{Changed, Node};
use crate::config::Interfaces as Selection;
use crate::constants::INTERFACE_POLL;
use crate::net::Network;
use actix::prelude::*;
use futures_util::stream;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Fresh, Mailbox};

/// Words of change that come together are answered by one look.
const SETTLE: Duration = Duration::from_millis(20);

/// The actor.
#[derive(Clone)]
pub(crate) struct Interfaces {
    network: Arc<dyn Network>,
    selection: Selection,
    node: Mailbox<Node>,
}

impl Interfaces {
    pub(crate) fn new(network: Arc<dyn Network>, selection: Selection, node: Mailbox<Node>) -> Self {
        Self { network, selection, node }
    }

    fn look(&self) {
        supervision::strike();
        match self.network.interfaces() {
            Ok(mut found) => {
                if let Selection::Named(names) = &self.selection {
                    found.retain(|interface| names.contains(&interface.name));
                }
                self.node.do_send(Changed { found });
            }
            Err(error) => tracing::warn!(%error, "cannot list the interfaces"),
        }
    }
}

impl Fresh for Interfaces {
    fn fresh(&self) -> Self {
        self.clone()
    }
}

supervision::child!(Interfaces);

struct Word;

impl Actor for Interfaces {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look();
        ctx.run_interval(INTERFACE_POLL, |actor, _| actor.look());
        ctx.add_stream(stream::unfold(self.network.clone(), |network| async move {
            network.changed().await;
            tokio::time::sleep(SETTLE).await;
            Some((Word, network))
        }));
    }
}

impl StreamHandler<Word> for Interfaces {
    fn handle(&mut self, _: Word, _: &mut Context<Self>) {
        self.look();
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

/// Look now.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Look;

impl Handler<Look> for Interfaces {
    type Result = ();

    fn handle(&mut self, _: Look, _: &mut Context<Self>) {
        self.look();
    }
}
