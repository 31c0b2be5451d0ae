//! One open session as the core knows it.

use super::seek::Seek;
use super::strategy::{Act, Dialogue, Ended, Turn};
use crate::event::Ending;
use crate::machine::Time;
use grasp::{AsaLocator, Objective};
use std::net::IpAddr;
use std::time::Duration;

/// The advisor is thinking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub(super) since: Time,
    /// When the peer is asked to wait.
    pub(super) remind: Time,
}

pub(super) struct Open {
    pub(super) dialogue: Box<dyn Dialogue>,
    /// The proposal that lies on the table, of either side.
    pub(super) table: Objective,
    /// This side's proposal that is on its way: it lies on the table unless it was never sent.
    pub(super) sending: Option<Objective>,
    /// When the pause of a wait, or of a search, is over.
    pub(super) resume: Option<Time>,
    /// What this side's last word leads to, once it has left.
    pub(super) ending: Option<(Ending, Option<String>)>,
    /// The search, until there is an offer; only this side's own requests have one.
    pub(super) seek: Option<Seek>,
    /// Whom this side asked; `None` if it was asked.
    pub(super) asked: Option<AsaLocator>,
    pub(super) initiator: bool,
    /// Address of the other side.
    pub(super) peer: Option<IpAddr>,
    pub(super) asking: Option<Asking>,
    /// How far the request is that is to leave.
    pub(super) preparing: Preparing,
}

/// What is known of the advisor's answer to [`Dialogue::opened`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preparing {
    /// Nothing is asked, or it is answered.
    No,
    /// It is thinking.
    Asked,
    /// The request does not leave.
    Refused,
}

impl Open {
    pub(super) fn new(dialogue: Box<dyn Dialogue>, table: Objective, seek: Option<Seek>, peer: Option<IpAddr>) -> Self {
        let (sending, resume, ending, initiator) = (None, None, None, seek.is_some());
        let (asked, asking, preparing) = (None, None, Preparing::No);
        Self { dialogue, table, sending, resume, ending, seek, asked, initiator, peer, asking, preparing }
    }

    /// The next point in time at which something is due.
    pub(super) fn deadline(&self, thinking: Duration) -> Option<Time> {
        let asking = self.asking.map(|asking| asking.remind.min(asking.since + thinking));
        self.resume.into_iter().chain(asking).min()
    }
}

/// Who is declined at once, and why.
pub(super) struct Closed(pub(super) &'static str);

impl Dialogue for Closed {
    fn proposed(&mut self, _: &Objective) -> Turn {
        Turn { say: Vec::new(), act: Act::Decline(self.0.into()) }
    }

    fn ended(&mut self, _: Ended<'_>) -> Vec<String> {
        Vec::new()
    }
}
