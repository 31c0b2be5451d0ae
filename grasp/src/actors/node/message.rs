//! What the node hears: calls of the API, and word from the other actors.

use super::Node;
use crate::actors::adjacency::Adjacency;
use crate::actors::caller::Caller;
use crate::actors::discovery::Asking;
use crate::actors::session::{Handed, Held, Session, Target};
use crate::api::Grasp;
use crate::api::dump::{ObjectiveEntry, SessionEntry};
use crate::error::Error;
use crate::net::Interface;
use crate::protocol::discovery::{Found, Scope};
use crate::protocol::registry::Registration;
use crate::protocol::{AsaHandle, LinkId};
use crate::wire::{Locator, Message as WireMessage, Objective, SessionId};
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use supervision::Mailbox;
use tokio::sync::oneshot;

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? } -> $result:ty) => {
        $(#[$doc])*
        pub(crate) struct $name { $(pub(crate) $field: $type),* }
        impl Message for $name {
            type Result = $result;
        }
    };
}

message!(RegisterAsa { name: String } -> Result<Registered, Error>);
message!(DeregisterAsa { asa: AsaHandle, name: String } -> Result<(), Error>);
message!(
    /// The last handle of an ASA has been dropped.
    Gone { asa: AsaHandle } -> ()
);
message!(RegisterObjective { asa: AsaHandle, objective: Objective, registration: Registration } -> Result<(), Error>);
message!(DeregisterObjective { asa: AsaHandle, name: String } -> Result<(), Error>);
message!(
    /// The answer comes through the channel.
    Discover {
        asa: AsaHandle,
        objective: Objective,
        timeout: Duration,
        minimum_ttl: Option<Duration>,
        scope: Scope,
        direct_only: bool,
    } -> Result<(Asking, oneshot::Receiver<Found>), Error>
);
message!(
    /// Checks that the ASA may request this negotiation.
    MayNegotiate { asa: AsaHandle, objective: Objective } -> Result<(), Error>
);
message!(
    /// Checks that the ASA may read this synchronization objective.
    MaySynchronize { asa: AsaHandle, objective: Objective } -> Result<(), Error>
);
message!(
    /// Opens a session; it dials at once.
    Open { asa: AsaHandle, objective: Objective, target: Target, negotiation: bool }
        -> Result<(Held, SessionId), Error>
);
message!(Listen { asa: AsaHandle, objective: Objective } -> Result<oneshot::Receiver<Result<Handed, Error>>, Error>);
message!(StopListen { asa: AsaHandle, objective: Objective, negotiation: bool } -> Result<(), Error>);
message!(ServeValue { asa: AsaHandle, objective: Objective } -> Result<(), Error>);
message!(
    FloodOut { asa: AsaHandle, ttl: u32, objectives: Vec<(Objective, Option<Locator>)> }
        -> Result<oneshot::Receiver<Result<(), Error>>, Error>
);
message!(Describe {} -> Description);
message!(ListLinks {} -> Vec<ListedLink>);
message!(ListObjectives {} -> Vec<ObjectiveEntry>);
message!(ListSessions {} -> Vec<Listed>);
message!(
    /// Ends all ASAs, and with them their sessions; nothing new is let in.
    Leave {} -> ()
);
message!(
    /// The interfaces as they are now.
    Changed { found: Vec<Interface> } -> ()
);
message!(LinkFailed { link: LinkId } -> ());
message!(
    /// A connection with its first message.
    Arrived { caller: Caller, message: WireMessage, raw: Vec<u8> } -> ()
);
message!(
    /// A connection that was kept open in silence is closed now.
    Unparked {} -> ()
);

/// A registration; dropped, the ASA is deregistered.
pub(crate) struct Registered {
    pub(crate) handle: AsaHandle,
    pub(crate) node: Mailbox<Node>,
    pub(crate) _held: Arc<()>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.node.do_send(Gone { asa: self.handle });
    }
}

/// A link with what stands on it.
pub(crate) struct ListedLink {
    pub(crate) interface: String,
    pub(crate) adjacency: Option<Mailbox<Adjacency>>,
    pub(crate) dull: Option<Grasp>,
}

/// A session as far as the node knows it, and who knows the rest.
pub(crate) struct Listed {
    pub(crate) entry: SessionEntry,
    pub(crate) actor: Option<Addr<Session>>,
}

/// What a node says about itself.
#[derive(Debug, Clone, MessageResponse)]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) substrate: &'static str,
    pub(crate) secure: bool,
    /// This is a DULL instance.
    pub(crate) dull: bool,
    pub(crate) standing: crate::substrate::Standing,
    pub(crate) ready: bool,
    pub(crate) links: Vec<(LinkId, String, std::net::Ipv6Addr)>,
    pub(crate) global: Option<std::net::Ipv6Addr>,
    pub(crate) port: u16,
    pub(crate) stable_port: bool,
    pub(crate) asas: Vec<String>,
    pub(crate) sessions: usize,
    pub(crate) session_ids: usize,
    pub(crate) session_id_clashes: u64,
    pub(crate) counters: std::collections::BTreeMap<String, u64>,
}
