//! Runs the dialogues: whose turn it is, which pauses are due, what counts as a failure.

use super::strategy::{Act, Dialogue, Ended, Heard, Strategy, Task, Turn};
use crate::event::Ending;
use crate::machine::{Machine, Time};
use grasp::{Error, ErrorCode, Objective};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
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
}

impl Default for NegotiatorPlan {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(60), step_timeout: Duration::from_secs(60), sessions: 20_000 }
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

/// What the core hears; sessions are numbered by the actor and the core together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Everything is registered.
    Started {
        /// Whether to work now.
        active: bool,
    },
    /// Take up new work.
    Activated,
    /// Take no new work; what is open runs to its end.
    Deactivated,
    /// The instance ends; what is open is over.
    Stopped,
    /// A peer asks.
    Requested(u64, Objective),
    /// A peer has answered a request or a step.
    Answered(u64, Result<Proposal, Failure>),
    /// The last message of a session has been sent, or not.
    Closed(u64, Result<(), Error>),
    /// A value was read, or not.
    Read(String, Result<Objective, Error>),
    /// The flooded copies of a name.
    Copies(String, Result<Vec<(Option<String>, Objective)>, Error>),
}

/// What the core wants done.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Find a peer and send the request.
    Request {
        /// Number of the session.
        key: u64,
        /// What to ask for.
        objective: Objective,
        /// Time to look for a peer.
        discovery: Duration,
        /// Forget known peers first.
        flush: bool,
        /// Time limit for the answer.
        timeout: Duration,
    },
    /// Send a counter-proposal.
    Step(u64, Objective, Duration),
    /// Ask the peer to wait.
    Wait(u64, Duration),
    /// End a session: accept, or decline with a reason.
    End(u64, Result<(), String>),
    /// Read a value.
    Read(Objective, Duration),
    /// Look at flooded copies.
    Look(Objective),
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

/// Stands in where there is no room for another dialogue.
struct Full;

impl Dialogue for Full {
    fn proposed(&mut self, _: &Objective) -> Turn {
        Turn { say: Vec::new(), act: Act::Decline("too many sessions".into()) }
    }

    fn ended(&mut self, _: Ended<'_>) -> Vec<String> {
        Vec::new()
    }
}

struct Open {
    dialogue: Box<dyn Dialogue>,
    /// The proposal that lies on the table, of either side.
    table: Objective,
    /// This side's proposal that is on its way: it lies on the table unless it was never sent.
    sending: Option<Objective>,
    /// When the pause of a wait is over.
    resume: Option<Time>,
    /// What this side's last word leads to, once it has left.
    ending: Option<(Ending, Option<String>)>,
    initiator: bool,
}

impl Open {
    fn new(dialogue: Box<dyn Dialogue>, table: Objective, initiator: bool) -> Self {
        Self { dialogue, table, sending: None, resume: None, ending: None, initiator }
    }
}

/// The core.
pub struct NegotiatorCore {
    strategy: Box<dyn Strategy>,
    plan: NegotiatorPlan,
    open: BTreeMap<u64, Open>,
    /// Sessions that this side opens have odd numbers.
    next_key: u64,
    pause: Option<Time>,
    active: bool,
    /// The next task waits until it may be done.
    idle: bool,
    outputs: VecDeque<Output>,
}

impl NegotiatorCore {
    /// A core that waits for [`Input::Started`].
    #[must_use]
    pub fn new(strategy: Box<dyn Strategy>, plan: NegotiatorPlan) -> Self {
        Self {
            strategy,
            plan,
            open: BTreeMap::new(),
            next_key: 1,
            pause: None,
            active: false,
            idle: false,
            outputs: VecDeque::new(),
        }
    }

    /// Sessions that are open now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.open.len()
    }

    fn next_task(&mut self, now: Time) {
        if !self.active {
            self.idle = true;
            return;
        }
        match self.strategy.task() {
            Task::Idle => {}
            Task::Pause(time) => self.pause = Some(now + time),
            Task::Read { objective, timeout } => self.outputs.push_back(Output::Read(objective, timeout)),
            Task::Look(objective) => self.outputs.push_back(Output::Look(objective)),
            Task::Negotiate { objective, discovery, flush, mut dialogue } => {
                let key = self.next_key;
                self.next_key += 2;
                let say = dialogue.begins();
                let table = objective.clone();
                self.open.insert(key, Open::new(dialogue, table, true));
                let timeout = self.plan.request_timeout;
                self.outputs.push_back(Output::Request { key, objective, discovery, flush, timeout });
                self.say(Some(key), say);
            }
            Task::Finish => self.outputs.push_back(Output::Finished),
        }
    }

    fn say(&mut self, key: Option<u64>, lines: Vec<String>) {
        self.outputs.extend(lines.into_iter().map(|line| Output::Say(key, line)));
    }

    fn requested(&mut self, now: Time, key: u64, request: Objective) {
        let full = self.open.len() >= self.plan.sessions;
        let mut dialogue = if full { Box::new(Full) } else { self.strategy.requested(&request) };
        let say = dialogue.begins();
        let table = request.clone();
        self.open.insert(key, Open::new(dialogue, table, false));
        self.say(Some(key), say);
        self.proposed(now, key, request);
    }

    fn proposed(&mut self, now: Time, key: u64, offer: Objective) {
        let Some(open) = self.open.get_mut(&key) else { return };
        let turn = open.dialogue.proposed(&offer);
        open.table = offer;
        self.play(now, key, turn);
    }

    fn play(&mut self, now: Time, key: u64, Turn { say, act }: Turn) {
        self.say(Some(key), say);
        let Some(open) = self.open.get_mut(&key) else { return };
        match act {
            Act::Accept => {
                open.ending = Some((Ending::Accepted, None));
                self.outputs.push_back(Output::End(key, Ok(())));
            }
            Act::Decline(reason) => {
                open.ending = Some((Ending::Declined, Some(reason.clone())));
                self.outputs.push_back(Output::End(key, Err(reason)));
            }
            Act::Propose(objective) => {
                open.sending = Some(objective.clone());
                self.outputs.push_back(Output::Step(key, objective, self.plan.step_timeout));
            }
            Act::Wait { announce, pause } => {
                open.resume = Some(now + pause);
                self.outputs.push_back(Output::Wait(key, announce));
            }
        }
    }

    fn answered(&mut self, now: Time, key: u64, answer: Result<Proposal, Failure>) {
        if let Some(open) = self.open.get_mut(&key) {
            let unsent = matches!(answer, Err(Failure { open: true, .. }));
            if let Some(sent) = open.sending.take().filter(|_| !unsent) {
                open.table = sent;
            }
        }
        match answer {
            Ok(Proposal::Offered(offer)) => self.proposed(now, key, offer),
            Ok(Proposal::Accepted(agreed)) => {
                if let Some(open) = self.open.get_mut(&key) {
                    open.table = agreed;
                }
                self.over(now, key, Ending::Accepted, None, false);
            }
            Err(Failure { error, open: true }) if error.code == ErrorCode::LoopExhausted => {
                let Some(open) = self.open.get_mut(&key) else { return };
                let reason = open.dialogue.exhausted();
                self.play(now, key, Turn { say: Vec::new(), act: Act::Decline(reason) });
            }
            Err(Failure { error, open: true }) => {
                let turn = Turn { say: Vec::new(), act: Act::Decline(error.to_string()) };
                self.play(now, key, turn);
            }
            Err(Failure { error, open: false }) if error.code == ErrorCode::NoDiscoveryReply => {
                // There was nobody to negotiate with, so this was no negotiation.
                let Some(mut open) = self.open.remove(&key) else { return };
                let (ending, reason) = (Ending::Failed, error.to_string());
                let say = open.dialogue.ended(Ended { ending, by_us: false, objective: None, reason: Some(&reason) });
                self.say(None, say);
                self.next_task(now);
            }
            Err(Failure { error, open: false }) => {
                let (ending, reason) = if error.code == ErrorCode::Declined {
                    (Ending::Declined, error.detail)
                } else {
                    (Ending::Failed, error.to_string())
                };
                self.over(now, key, ending, Some(reason), false);
            }
        }
    }

    fn over(&mut self, now: Time, key: u64, ending: Ending, reason: Option<String>, by_us: bool) {
        if self.conclude(key, ending, reason, by_us) {
            self.next_task(now);
        }
    }

    /// Closes the books on a session; tells whether this side had opened it.
    fn conclude(&mut self, key: u64, ending: Ending, reason: Option<String>, by_us: bool) -> bool {
        let Some(mut open) = self.open.remove(&key) else { return false };
        let (objective, reason_text) = (Some(&open.table), reason.as_deref());
        let say = open.dialogue.ended(Ended { ending, by_us, objective, reason: reason_text });
        self.say(Some(key), say);
        self.outputs.push_back(Output::Over { key, ending, objective: Some(open.table), reason });
        open.initiator
    }

    /// Ends everything: who has not had the last word yet is told that the session was abandoned.
    fn stopped(&mut self) {
        self.pause = None;
        let keys: Vec<u64> = self.open.keys().copied().collect();
        for key in keys {
            let meant = self.open.get_mut(&key).and_then(|open| open.ending.take());
            let (ending, reason) = meant.unwrap_or((Ending::Declined, Some("abandoned".into())));
            self.conclude(key, ending, reason, true);
        }
    }
}

impl Machine for NegotiatorCore {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Started { active } => {
                self.active = active;
                let say = self.strategy.introduces();
                self.say(None, say);
                self.next_task(now);
            }
            Input::Activated => {
                self.active = true;
                if std::mem::take(&mut self.idle) {
                    self.next_task(now);
                }
            }
            Input::Deactivated => self.active = false,
            Input::Stopped => {
                self.active = false;
                self.stopped();
            }
            Input::Requested(key, request) => self.requested(now, key, request),
            Input::Answered(key, answer) => self.answered(now, key, answer),
            Input::Closed(key, result) => {
                let Some(open) = self.open.get_mut(&key) else { return };
                let meant = open.ending.take();
                match (result, meant) {
                    (Ok(()), Some((ending, reason))) => self.over(now, key, ending, reason, true),
                    // After the peer's own decline or disappearance there was nobody left to tell.
                    (Err(error), _) if error.code == ErrorCode::Declined => {
                        self.over(now, key, Ending::Declined, Some(error.detail), false);
                    }
                    (Err(error), _) => self.over(now, key, Ending::Failed, Some(error.to_string()), false),
                    (Ok(()), None) => {}
                }
            }
            Input::Read(name, result) => {
                let heard = match &result {
                    Ok(objective) => Heard::Value(objective),
                    Err(error) => Heard::Nothing(&name, error),
                };
                let say = self.strategy.heard(heard);
                self.say(None, say);
                self.next_task(now);
            }
            Input::Copies(name, result) => {
                let heard = match &result {
                    Ok(copies) => Heard::Copies(&name, copies),
                    Err(error) => Heard::Nothing(&name, error),
                };
                let say = self.strategy.heard(heard);
                self.say(None, say);
                self.next_task(now);
            }
        }
    }

    fn wake(&mut self, now: Time) {
        if self.pause.is_some_and(|due| due <= now) {
            self.pause = None;
            self.next_task(now);
        }
        let due = |open: &Open| open.resume.is_some_and(|resume| resume <= now);
        let keys: Vec<u64> = self.open.iter().filter(|(_, open)| due(open)).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(open) = self.open.get_mut(&key) else { continue };
            open.resume = None;
            let turn = open.dialogue.waited();
            self.play(now, key, turn);
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        self.open.values().filter_map(|open| open.resume).chain(self.pause).min()
    }
}
