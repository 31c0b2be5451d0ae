//! Addresses that know how much waits behind them.

use crate::vitals::Vitals;
use actix::WeakAddr;
use actix::dev::{MessageResponse, ToEnvelope};
use actix::prelude::*;
use std::fmt;
use std::sync::Arc;

/// The address of a child; it stays valid over restarts. Messages sent through it are counted until they are handled.
pub struct Mailbox<A: Actor> {
    address: Addr<A>,
    vitals: Arc<Vitals>,
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), vitals: self.vitals.clone() }
    }
}

impl<A: Actor> fmt::Debug for Mailbox<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({})", self.vitals.path())
    }
}

impl<A: Actor> Mailbox<A> {
    pub(crate) fn new(address: Addr<A>, vitals: Arc<Vitals>) -> Self {
        Self { address, vitals }
    }

    /// Sends without waiting and whatever the bound; for what a node's own actors tell each other.
    pub fn do_send<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.vitals.sending();
        self.address.do_send(message);
    }

    /// Sends unless the mailbox is full or closed; for what comes from the network.
    ///
    /// # Errors
    ///
    /// The message, if there is no room or nobody.
    pub fn try_send<M>(&self, message: M) -> Result<(), SendError<M>>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.vitals.sending();
        self.address.try_send(message).inspect_err(|_| self.vitals.unsent())
    }

    /// Sends when there is room and waits for the answer; `Closed` if the child fails over this message or is gone.
    pub fn send<M>(&self, message: M) -> Request<A, M>
    where
        M: Message + Send + 'static,
        M::Result: MessageResponse<A, M> + Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.vitals.sending();
        self.address.send(message)
    }

    /// Tells whether the child has not ended for good; says nothing about its health.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.address.connected()
    }

    /// The address for one kind of message; what is sent through it is not counted.
    #[must_use]
    pub fn recipient<M>(&self) -> Recipient<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.address.clone().recipient()
    }

    /// An address that does not keep the child alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakMailbox<A> {
        WeakMailbox { address: self.address.downgrade(), vitals: self.vitals.clone() }
    }

    /// The child's vital signs.
    #[must_use]
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }
}

/// An address that does not keep its child alive.
pub struct WeakMailbox<A: Actor> {
    address: WeakAddr<A>,
    vitals: Arc<Vitals>,
}

impl<A: Actor> Clone for WeakMailbox<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), vitals: self.vitals.clone() }
    }
}

impl<A: Actor> WeakMailbox<A> {
    /// The address, unless the child is gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<Mailbox<A>> {
        Some(Mailbox { address: self.address.upgrade()?, vitals: self.vitals.clone() })
    }
}
