//! Time limits and bounds, what the core hears, and what it wants done.

use crate::event::Ending;
use crate::roles::peers::PeersPlan;
use crate::roles::{Control, Mode};
use grasp::wire::SessionId;
use grasp::{AsaLocator, Error, Farewell, Objective, Value};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Time limits and bounds of a negotiator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatorPlan {
    /// Time limit for the answer to a request.
    pub request_timeout: Duration,
    /// Time limit for the answer to a counter-proposal.
    pub step_timeout: Duration,
    /// Sessions at once; further requests are declined.
    pub sessions: usize,
    /// How peers are kept and looked for.
    pub peers: PeersPlan,
    /// How long the advisor may think before the peer is asked to wait: under the second that Python peers grant (COM-04).
    pub patience: Duration,
    /// How long the peer is asked to wait then; it is asked again when three quarters of that have passed (PM-O-04).
    pub announce: Duration,
    /// How long the advisor may think altogether.
    pub thinking: Duration,
    /// Whether it works from the start on.
    pub mode: Mode,
    /// Where the choice of pauses starts.
    pub seed: u64,
}

impl Default for NegotiatorPlan {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            step_timeout: Duration::from_secs(60),
            sessions: 20_000,
            peers: PeersPlan::default(),
            patience: Duration::from_millis(500),
            announce: Duration::from_secs(10),
            thinking: Duration::from_secs(60),
            mode: Mode::Active,
            seed: 0,
        }
    }
}

/// What the peer did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proposal {
    /// It proposed.
    Offered(Objective),
    /// It accepted.
    Accepted(Objective),
}

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Failure {
    /// What GRASP reports.
    pub error: Error,
    /// Whether the session is still open and it is this side's turn.
    pub open: bool,
}

/// What a session is called, and whom it is with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// The session id on the wire.
    pub session_id: SessionId,
    /// The other side, unless it is to be reached by name.
    pub peer: Option<SocketAddr>,
}

/// What the core hears; sessions are numbered by the actor and the core together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Everything is registered.
    Started,
    /// The life cycle of the instance goes on; after a stop what is open is over.
    Control(Control),
    /// A peer asks.
    Requested(u64, Objective, Opened),
    /// Who is known or was found.
    Discovered(u64, Result<Vec<AsaLocator>, Error>),
    /// A session of this side's own has its id; its request waits for [`Output::Go`].
    Opened(u64, Opened),
    /// The advisor's answer to what a dialogue asked before its request.
    Prepared(u64, Result<Value, String>),
    /// A peer has answered a request or a step.
    Answered(u64, Result<Proposal, Failure>),
    /// The last message of a session has been sent, or not.
    Closed(u64, Result<(), Error>),
    /// What became of an acceptance that was listened for, or why it has not left.
    Parted(u64, Result<Farewell, Error>),
    /// A value was read, or not.
    Read(String, Result<Objective, Error>),
    /// The flooded copies of a name.
    Copies(String, Result<Vec<(Option<String>, Objective)>, Error>),
    /// The advisor's answer, for a dialogue or for the strategy.
    Advised(Option<u64>, Result<Value, String>),
    /// What a session left behind is settled, or not.
    Settled(u64, Result<Value, String>),
}

/// What the core wants done.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Listen for requests from now on, or no more.
    Listen(bool),
    /// Note a session that this side wants.
    Open(u64, Objective),
    /// Look for peers.
    Discover {
        /// Number of the session.
        key: u64,
        /// What they must support.
        objective: Objective,
        /// Time to look for them; zero only looks at those known.
        timeout: Duration,
        /// Forget those known first.
        flush: bool,
    },
    /// Open a session, and hold the request back until [`Output::Go`].
    Request {
        /// Number of the session.
        key: u64,
        /// What to ask for.
        objective: Objective,
        /// Whom to ask.
        peer: AsaLocator,
        /// Time limit for the answer.
        timeout: Duration,
    },
    /// Ask the advisor before the request leaves.
    Prepare(u64, Counsel),
    /// Send the request that is held back, or let it fail for this reason.
    Go(u64, Result<(), String>),
    /// Send a counter-proposal.
    Step(u64, Objective, Duration),
    /// Ask the peer to wait.
    Wait(u64, Duration),
    /// End a session: accept, or decline with a reason.
    End(u64, Result<(), String>),
    /// Accept, and listen so long what becomes of that.
    AcceptHeard(u64, Duration),
    /// Read a value.
    Read(Objective, Duration),
    /// Look at flooded copies.
    Look(Objective),
    /// Ask the advisor, for a dialogue or for the strategy.
    Consult(Option<u64>, Counsel),
    /// Tell the advisor what a session left behind. It comes before [`Output::Over`]: the connection stays until the advisor
    /// has answered.
    Settle(u64, Counsel),
    /// Say something about a session, or in general.
    Say(Option<u64>, String),
    /// A negotiation is over.
    Over {
        /// Number of the session.
        key: u64,
        /// How it ended.
        ending: Ending,
        /// The value agreed or last proposed.
        objective: Option<Objective>,
        /// Why it was declined or failed.
        reason: Option<String>,
    },
    /// Nothing is left to do.
    Finished,
}

/// A question to the advisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counsel {
    /// The other side, if there is one and its address is known.
    pub peer: Option<IpAddr>,
    /// Whether this side itself waits for something from that address: two that are short must not wait for each other
    /// (PM-R-11).
    pub mutual: bool,
    /// What is asked, in a form that strategy and advisor have agreed on.
    pub question: Value,
}
