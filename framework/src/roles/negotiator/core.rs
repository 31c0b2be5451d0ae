//! Runs the dialogues: whose turn it is, which pauses are due, what counts as a failure.

mod turns;

use super::open::Open;
use super::plan::{Counsel, Input, NegotiatorPlan, Output};
use super::seek::{Move, Seek};
use super::strategy::{Dialogue, Heard, Strategy, Task};
use crate::event::Ending;
use crate::machine::{Machine, Time};
use crate::roles::peers::Peers;
use crate::roles::{Control, Mode};
use grasp::{ErrorCode, Locator, Objective, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use turns::Manner;

/// A session that is over but for what it owes to the advisor.
struct Closing {
    /// Waits for the answer to its last question, unless that is the one to settle.
    dialogue: Option<Box<dyn Dialogue>>,
    since: Time,
    initiator: bool,
}

/// The core.
pub struct NegotiatorCore {
    strategy: Box<dyn Strategy>,
    plan: NegotiatorPlan,
    open: BTreeMap<u64, Open>,
    closing: BTreeMap<u64, Closing>,
    /// By the name of the objective.
    peers: BTreeMap<String, Peers>,
    random: ChaCha12Rng,
    /// Sessions that this side opens have odd numbers.
    next_key: u64,
    pause: Option<Time>,
    /// A negotiation whose pause after a failure is not over.
    held: Option<(Time, Task)>,
    active: bool,
    /// The next task was due while it was not active.
    suspended: bool,
    outputs: VecDeque<Output>,
}

fn host(locator: &Locator) -> Option<IpAddr> {
    match locator {
        Locator::Ipv6 { address, .. } => Some((*address).into()),
        Locator::Ipv4 { address, .. } => Some((*address).into()),
        Locator::Fqdn { .. } | Locator::Uri { .. } | Locator::Other { .. } => None,
    }
}

impl NegotiatorCore {
    /// A core that waits for [`Input::Started`].
    #[must_use]
    pub fn new(strategy: Box<dyn Strategy>, plan: NegotiatorPlan) -> Self {
        Self {
            strategy,
            random: ChaCha12Rng::seed_from_u64(plan.seed),
            active: plan.mode == Mode::Active,
            plan,
            open: BTreeMap::new(),
            closing: BTreeMap::new(),
            peers: BTreeMap::new(),
            next_key: 1,
            pause: None,
            held: None,
            suspended: false,
            outputs: VecDeque::new(),
        }
    }

    /// Sessions that are open now, and those that are over but not settled.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.open.len() + self.closing.len()
    }

    fn next_task(&mut self, now: Time) {
        if !self.active {
            self.suspended = true;
            return;
        }
        match self.strategy.task() {
            Task::Idle => {}
            Task::Pause(time) => self.pause = Some(now + time),
            Task::Read { objective, timeout } => self.outputs.push_back(Output::Read(objective, timeout)),
            Task::Look(objective) => self.outputs.push_back(Output::Look(objective)),
            Task::Ask(question) => {
                let counsel = Counsel { peer: None, mutual: false, question };
                self.outputs.push_back(Output::Consult(None, counsel));
            }
            Task::Negotiate { objective, discovery, flush, dialogue } => {
                let peers = self.peers_of(&objective.name);
                let pause = peers.pause(now);
                let task = Task::Negotiate { objective, discovery, flush, dialogue };
                match pause {
                    Some(until) => self.held = Some((until, task)),
                    None => self.negotiate(now, task),
                }
            }
            Task::Finish => self.outputs.push_back(Output::Finished),
        }
    }

    fn peers_of(&mut self, name: &str) -> &mut Peers {
        let plan = self.plan.peers;
        self.peers.entry(name.to_owned()).or_insert_with(|| Peers::new(plan))
    }

    fn negotiate(&mut self, now: Time, task: Task) {
        let Task::Negotiate { objective, discovery, flush, mut dialogue } = task else { return };
        let peers = self.peers_of(&objective.name);
        let (flush, anew) = (peers.flush() | flush, peers.rediscovery_due(now));
        let (seek, first) = Seek::begin(discovery, flush, anew);
        let say = dialogue.begins();
        let key = self.enter(dialogue, objective, seek);
        self.say(Some(key), say);
        self.seek(now, key, first);
    }

    /// Opens a session of this side's own.
    fn enter(&mut self, dialogue: Box<dyn Dialogue>, objective: Objective, seek: Seek) -> u64 {
        let key = self.next_key;
        self.next_key += 2;
        self.open.insert(key, Open::new(dialogue, objective.clone(), Some(seek), None));
        self.outputs.push_back(Output::Open(key, objective));
        key
    }

    /// Goes on with a search.
    fn seek(&mut self, now: Time, key: u64, next: Move) {
        let Some(open) = self.open.get_mut(&key) else { return };
        match next {
            Move::Discover { timeout, flush } => {
                // What is asked for is the peer's business, and only in the request.
                let objective = open.table.clone().with_value(Value::null());
                self.outputs.push_back(Output::Discover { key, objective, timeout, flush });
            }
            Move::Request(peer) => {
                open.asked = Some(peer.clone());
                open.peer = host(&peer.locator);
                let (objective, timeout) = (open.table.clone(), self.plan.request_timeout);
                self.outputs.push_back(Output::Request { key, objective, peer, timeout });
            }
            Move::Rest(until) => open.resume = Some(until),
            Move::Fail(error) => self.failed(now, key, error),
        }
    }

    fn say(&mut self, key: Option<u64>, lines: Vec<String>) {
        self.outputs.extend(lines.into_iter().map(|line| Output::Say(key, line)));
    }

    fn control(&mut self, now: Time, control: Control) {
        match control {
            Control::Activate if !self.active => {
                self.active = true;
                self.outputs.push_back(Output::Listen(true));
                if std::mem::take(&mut self.suspended) {
                    self.next_task(now);
                }
            }
            Control::Deactivate if self.active => {
                self.active = false;
                self.outputs.push_back(Output::Listen(false));
            }
            Control::Activate | Control::Deactivate => {}
            Control::Stop => self.stopped(now),
        }
    }

    /// Ends everything: who has not had the last word yet is told that the session was abandoned.
    fn stopped(&mut self, now: Time) {
        (self.pause, self.held, self.active) = (None, None, false);
        let keys: Vec<u64> = self.open.keys().copied().collect();
        for key in keys {
            let meant = self.open.get_mut(&key).and_then(|open| open.ending.take());
            let (ending, reason) = meant.unwrap_or((Ending::Declined, Some("abandoned".into())));
            // Nobody will learn any more whether the last word has left.
            let manner = Manner { by_us: true, code: Some(ErrorCode::NoSession), ..Manner::default() };
            self.conclude(now, key, ending, reason, manner);
        }
        self.closing.clear();
    }

    fn heard(&mut self, now: Time, heard: Heard<'_>) {
        let say = self.strategy.heard(heard);
        self.say(None, say);
        self.next_task(now);
    }
}

impl Machine for NegotiatorCore {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Started => {
                if self.active {
                    self.outputs.push_back(Output::Listen(true));
                }
                let say = self.strategy.introduces();
                self.say(None, say);
                self.next_task(now);
            }
            Input::Control(control) => self.control(now, control),
            Input::Requested(key, request, opened) => self.requested(now, key, request, opened),
            Input::Opened(key, opened) => self.opened(key, opened),
            Input::Prepared(key, answer) => self.prepared(now, key, answer),
            Input::Discovered(key, found) => {
                let draw = self.random.random();
                let Some(open) = self.open.get_mut(&key) else { return };
                let (name, seek) = (open.table.name.clone(), open.seek.take());
                let Some(mut seek) = seek else { return };
                let next = seek.discovered(now, self.peers_of(&name), found, draw);
                if let Some(open) = self.open.get_mut(&key) {
                    open.seek = Some(seek);
                }
                self.seek(now, key, next);
            }
            Input::Answered(key, answer) => self.answered(now, key, answer),
            Input::Closed(key, result) => self.closed(now, key, result.map(|()| None)),
            Input::Parted(key, result) => self.closed(now, key, result.map(Some)),
            Input::Read(name, Ok(objective)) => {
                let _ = name;
                self.heard(now, Heard::Value(&objective));
            }
            Input::Copies(name, Ok(copies)) => self.heard(now, Heard::Copies(&name, &copies)),
            Input::Read(name, Err(error)) | Input::Copies(name, Err(error)) => {
                self.heard(now, Heard::Nothing(&name, &error));
            }
            Input::Advised(Some(key), answer) => self.advised(now, key, answer),
            Input::Advised(None, answer) => {
                let say = self.strategy.answered(answer);
                self.say(None, say);
                self.next_task(now);
            }
            Input::Settled(key, result) => {
                let Some(closing) = self.closing.remove(&key) else { return };
                if let Err(reason) = result {
                    self.say(None, vec![format!("Cannot settle a negotiation: {reason}")]);
                }
                if closing.initiator {
                    self.next_task(now);
                }
            }
        }
    }

    fn wake(&mut self, now: Time) {
        if self.pause.is_some_and(|due| due <= now) {
            self.pause = None;
            self.next_task(now);
        }
        if self.active
            && let Some((_, task)) = self.held.take_if(|(due, _)| *due <= now)
        {
            self.negotiate(now, task);
        }
        let thinking = self.plan.thinking;
        let due = |open: &Open| open.deadline(thinking).is_some_and(|due| due <= now);
        let keys: Vec<u64> = self.open.iter().filter(|(_, open)| due(open)).map(|(key, _)| *key).collect();
        for key in keys {
            self.due(now, key);
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        let held = self.held.as_ref().filter(|_| self.active).map(|(due, _)| *due);
        let open = self.open.values().filter_map(|open| open.deadline(self.plan.thinking));
        open.chain(self.pause).chain(held).min()
    }
}
