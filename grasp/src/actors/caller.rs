//! A connection on which a peer has asked for something.

use super::connection::Connection;
use super::tally::Tally;
use crate::protocol::Member;
use crate::wire::{EndOption, Message, SessionId};
use std::net::SocketAddr;
use tokio::runtime::Handle;

/// What a peer is told whose request was lost because an actor failed.
const FAILED: &str = "this side has failed";

/// A connection whose first message has been read. Whoever drops it instead of taking or closing it has failed: then a
/// negotiation that was requested is declined, so that the peer is not left in doubt.
pub(crate) struct Caller {
    pub(crate) peer: SocketAddr,
    /// Who that is, if the substrate knows.
    pub(crate) member: Option<Member>,
    connection: Option<Box<Connection>>,
    requested: Option<SessionId>,
    tally: Tally,
}

impl Caller {
    pub(crate) fn new(
        connection: Connection,
        peer: SocketAddr,
        member: Option<Member>,
        message: &Message,
        tally: Tally,
    ) -> Self {
        let negotiation = matches!(message, Message::RequestNegotiation { .. });
        let requested = message.session_id().filter(|_| negotiation);
        Self { peer, member, connection: Some(Box::new(connection)), requested, tally }
    }

    /// The connection, for whoever answers.
    pub(crate) fn take(mut self) -> Option<Box<Connection>> {
        self.connection.take()
    }

    /// Closes the connection at once and without a word (RFC 8990 §2.8.6, T-43).
    pub(crate) fn close(self) {
        drop(self.take());
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.tally.count("requests_failed", "");
        if let Some(session_id) = self.requested
            && let Ok(runtime) = Handle::try_current()
        {
            let decline = Message::End { session_id, option: EndOption::Decline(Some(FAILED.to_owned())) };
            // No actor's future: it is the actor that has gone. Ends by itself when the peer takes it or nothing.
            runtime.spawn(connection.answer(decline.encode()));
        }
    }
}
