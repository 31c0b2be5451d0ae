//! What the author of an ASA decides: pure, seedable, without a clock.

use crate::event::Ending;
use grasp::wire::SessionId;
use grasp::{ErrorCode, Farewell, Objective, Value};
use std::net::SocketAddr;
use std::time::Duration;

/// What a negotiating ASA wants; one for each instance.
pub trait Strategy: 'static {
    /// What to tell people at the start: who this is and what it does.
    fn introduces(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The next thing to do on its own initiative; called at the start and whenever the last one is done.
    fn task(&mut self) -> Task {
        Task::Idle
    }

    /// The result of [`Task::Read`] or [`Task::Look`]; returns what to say about it.
    fn heard(&mut self, heard: Heard<'_>) -> Vec<String> {
        let _ = heard;
        Vec::new()
    }

    /// The advisor's answer to [`Task::Ask`], or why there is none; returns what to say about it.
    fn answered(&mut self, answer: Result<Value, String>) -> Vec<String> {
        let _ = answer;
        Vec::new()
    }

    /// A peer asks; returns who talks to it. Called as soon as the request is there.
    fn requested(&mut self, request: &Objective) -> Box<dyn Dialogue>;
}

/// One thing to do.
pub enum Task {
    /// Nothing; only answers requests from now on.
    Idle,
    /// Nothing for so long.
    Pause(Duration),
    /// Read a synchronization objective, by rapid mode if the answer to the discovery brings the value.
    Read {
        /// What.
        objective: Objective,
        /// Time limit.
        timeout: Duration,
    },
    /// Look at all flooded copies of an objective.
    Look(Objective),
    /// Find a peer and negotiate.
    Negotiate {
        /// The objective with the value asked for and the initial loop count.
        objective: Objective,
        /// Time to look for a peer.
        discovery: Duration,
        /// Forget the peers known so far first.
        flush: bool,
        /// Who talks.
        dialogue: Box<dyn Dialogue>,
    },
    /// Ask the advisor, however long it takes; the answer comes to [`Strategy::answered`].
    Ask(Value),
    /// Everything is done.
    Finish,
}

/// What was read.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A value.
    Value(&'a Objective),
    /// Why there is none.
    Nothing(&'a str, &'a grasp::Error),
    /// Flooded copies, each with where it says it comes from.
    Copies(&'a str, &'a [(Option<String>, Objective)]),
}

/// One negotiation, from the first proposal to the end.
pub trait Dialogue: 'static {
    /// What to say when it begins: nothing has been sent or answered yet.
    fn begins(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The session id is known, and the peer's address unless it is to be reached by name.
    ///
    /// On the side that asks, this is called before the request leaves and again for every further attempt, which is a session
    /// of its own. A question is put to the advisor, and the request leaves only when that has answered (`Ok`, whatever the
    /// value: it is not passed on); if it has not, nothing is sent and the negotiation has failed (PM-S-04). On the side
    /// that is asked, this is called once, before the first [`Dialogue::proposed`], and a question is ignored: what must be
    /// written down before the answer is asked with [`Act::Ask`].
    fn opened(&mut self, session: SessionId, peer: Option<SocketAddr>) -> Option<Value> {
        let _ = (session, peer);
        None
    }

    /// The peer has proposed; the loop count in it is what is left.
    fn proposed(&mut self, offer: &Objective) -> Turn;

    /// The pause after [`Act::Wait`] is over; it is still this side's turn.
    fn waited(&mut self) -> Turn {
        Turn { say: Vec::new(), act: Act::Decline("no decision after a wait".into()) }
    }

    /// The advisor has answered [`Act::Ask`] after this time, or why it has not; it is still this side's turn.
    ///
    /// Also called when the session has ended meanwhile; then the turn is not played.
    fn answered(&mut self, answer: Result<Value, String>, took: Duration) -> Turn {
        let _ = (answer, took);
        Turn { say: Vec::new(), act: Act::Decline("no decision after advice".into()) }
    }

    /// The request was declined or not understood: the same without optional features, if there are any (ASA-R-09).
    ///
    /// Called once at most; the dialogue goes on with the peer's answer to that.
    fn plainer(&mut self) -> Option<Objective> {
        None
    }

    /// What the advisor must be told now that it is over: called once, after [`Dialogue::ended`] and after the answer to
    /// every question. If the peer has accepted, the connection stays until the advisor has answered, for 5 s at most: a peer
    /// that listens takes the close as the receipt (PM-S-06).
    fn settles(&mut self) -> Option<Value> {
        None
    }

    /// The next proposal would exceed the loop count: nothing was sent, and the session is about to be declined.
    fn exhausted(&mut self) -> String {
        "Loop count exhausted".into()
    }

    /// Whether an agreement, if it ends with one now, is worth anything to this side; asked before [`Dialogue::ended`]. If not,
    /// the peer counts as one that has failed, and is left alone for a while.
    fn gains(&self) -> bool {
        true
    }

    /// It is over; returns what to say about it.
    fn ended(&mut self, ended: Ended<'_>) -> Vec<String>;
}

/// How a negotiation ended, for its dialogue.
#[derive(Debug)]
pub struct Ended<'a> {
    /// How.
    pub ending: Ending,
    /// Whether this side said the last word.
    pub by_us: bool,
    /// The value agreed, or the one last proposed.
    pub objective: Option<&'a Objective>,
    /// Why it was declined or failed.
    pub reason: Option<&'a str>,
    /// What GRASP reports, if the other side or the connection ended it; also set if the instance was stopped before this
    /// side's last word was known to have left.
    pub code: Option<ErrorCode>,
    /// The peer closed its side in order without having accepted: since the connection keeps the order, it has sent no
    /// acceptance (PM-S-07). False after a reset, a time limit, garbage or a failure of this side.
    pub orderly: bool,
    /// What became of [`Act::AcceptHeard`], if it left. After a reset, which means that it came too late, the negotiation
    /// has failed; else it is accepted, but only [`Farewell::Clean`] proves that the peer knows (PM-S-10).
    pub farewell: Option<Farewell>,
}

impl Ended<'_> {
    /// Ended so, with nothing more to tell.
    #[must_use]
    pub fn new(ending: Ending, by_us: bool) -> Self {
        Self { ending, by_us, objective: None, reason: None, code: None, orderly: false, farewell: None }
    }
}

/// What to say, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Lines for people.
    pub say: Vec<String>,
    /// The move.
    pub act: Act,
}

/// A move in a negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Accept the peer's proposal.
    Accept,
    /// Accept the peer's proposal, and listen what becomes of that: it is over when the peer has closed, and that is
    /// [`Ended::farewell`] (PM-S-10). A peer that has closed before is not told anything (PM-S-09).
    AcceptHeard {
        /// How long the peer may take to close.
        limit: Duration,
    },
    /// Propose this instead.
    Propose(Objective),
    /// Decline with a reason.
    Decline(String),
    /// Ask the peer to wait, and decide after a pause.
    Wait {
        /// What the peer is told.
        announce: Duration,
        /// What it really takes.
        pause: Duration,
    },
    /// Ask the advisor; the peer is asked to wait if that takes long.
    Ask(Value),
}
