//! Decides who gets something at once, who waits, and when to ask others for more.

use super::question::{Question, Response};
use crate::machine::{Machine, Time};
use crate::roles::pool::{Answer, Level, PoolError, Request, Ticket};
use crate::roles::resource::Resource;
use crate::roles::{Control, Mode};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Bounds and marks of a delegator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelegatorPlan {
    /// Whether others are asked for more (PM-Q-03).
    pub upstream: bool,
    /// Measure to have at hand after asking.
    pub target: u128,
    /// Measure that is kept from other nodes for clients of this one.
    pub keep: u128,
    /// How long somebody waits while others are asked.
    pub patience: Duration,
    /// Who waits at once; further ones are refused.
    pub waiting: usize,
    /// Whether it works from the start on.
    pub mode: Mode,
}

impl Default for DelegatorPlan {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Self { upstream: true, target: 0, keep: 0, patience, waiting: 1_000, mode: Mode::Active }
    }
}

/// What the core hears; each question has a number that is its own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", bound = "R: Resource")]
pub enum Input<R: Resource> {
    /// The life cycle of the instance goes on.
    Control(Control),
    /// So much is free.
    Level(Level),
    /// A client of this node wants something.
    Take(u64, R::Want, String),
    /// A client of this node gives something back.
    Give(u64, R, String),
    /// The negotiator asks.
    Consulted {
        /// Number of the question.
        id: u64,
        /// What.
        question: Question<R>,
        /// The other side.
        peer: String,
        /// Whether this node itself waits for that other side.
        mutual: bool,
    },
    /// The pool has answered the request made for that question.
    Answered(u64, Result<Answer<R>, PoolError>),
}

/// What the core wants done.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", bound = "R: Resource")]
pub enum Output<R: Resource> {
    /// Ask the pool.
    Ask(u64, Request<R>),
    /// Answer the question.
    Reply(u64, Result<Response<R>, String>),
}

/// For whom something is wanted.
#[derive(Debug, Clone)]
enum Who {
    Client,
    Peer { instead: Option<Ticket>, mutual: bool },
}

#[derive(Debug, Clone)]
struct Wish<R: Resource> {
    id: u64,
    want: R::Want,
    name: String,
    who: Who,
    until: Time,
}

/// A request to the pool whose answer is awaited.
enum Job<R: Resource> {
    Wish(Wish<R>),
    /// Whether it tells how asking others has ended, and if so, how.
    Other(Option<bool>),
}

/// The core.
pub struct DelegatorCore<R: Resource> {
    plan: DelegatorPlan,
    active: bool,
    level: Option<Level>,
    jobs: BTreeMap<u64, Job<R>>,
    /// Those for whom there was nothing, oldest first.
    waiting: VecDeque<Wish<R>>,
    /// Somebody is ready to ask others.
    ready: Option<u64>,
    /// Others are being asked.
    asking: bool,
    outputs: VecDeque<Output<R>>,
}

impl<R: Resource> DelegatorCore<R> {
    /// A core that knows nothing of the pool yet.
    #[must_use]
    pub fn new(plan: DelegatorPlan) -> Self {
        let (jobs, waiting, outputs) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        let active = plan.mode == Mode::Active;
        Self { plan, active, level: None, jobs, waiting, ready: None, asking: false, outputs }
    }

    /// Requests that are open.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.jobs.len() + self.waiting.len()
    }

    fn refuse(&mut self, id: u64, why: impl Into<String>) {
        self.outputs.push_back(Output::Reply(id, Err(why.into())));
    }

    fn ask(&mut self, id: u64, job: Job<R>, request: Request<R>) {
        self.jobs.insert(id, job);
        self.outputs.push_back(Output::Ask(id, request));
    }

    fn wish(&mut self, mut wish: Wish<R>) {
        if !self.active {
            return self.refuse(wish.id, "not active");
        }
        let (want, to, id) = (wish.want.clone(), wish.name.clone(), wish.id);
        let request = match &mut wish.who {
            Who::Client => Request::Grant { want, to },
            Who::Peer { instead, .. } => Request::Reserve { want, to, instead: instead.take() },
        };
        self.ask(id, Job::Wish(wish), request);
    }

    /// A node that is short serves its own clients before other nodes.
    fn kept(&self, want: &R::Want) -> bool {
        let left = self.level.map_or(u128::MAX, |level| level.free).checked_sub(R::size(want));
        self.plan.keep > 0 && left.is_none_or(|left| left < self.plan.keep)
    }

    fn consulted(&mut self, now: Time, id: u64, question: Question<R>, name: String, mutual: bool) {
        match question {
            Question::Need => {
                // Who asks this has nothing else under way; what an earlier one was told is void.
                if let Some(earlier) = self.ready.replace(id) {
                    self.refuse(earlier, "somebody else is ready");
                }
                self.asking = false;
                self.need();
            }
            Question::Serve { want, instead } => {
                let who = Who::Peer { instead, mutual };
                let wish = Wish { id, name, who, until: now + self.plan.patience, want };
                if instead.is_none() && self.kept(&wish.want) {
                    self.wait(wish);
                } else {
                    self.wish(wish);
                }
            }
            Question::Accept(block) => self.ask(id, Job::Other(None), Request::Accept { block, from: name }),
            Question::Settle(request) => {
                let lost = matches!(request, Request::Refuse(_) | Request::DoubtTaken(_));
                let gained = if matches!(request, Request::Adopt(_)) { Some(true) } else { lost.then_some(false) };
                self.ask(id, Job::Other(gained), request);
            }
            Question::Fruitless => {
                self.outputs.push_back(Output::Reply(id, Ok(Response::Done)));
                self.asked(false);
            }
        }
    }

    /// There is nothing for somebody now: he waits, if there is something to wait for.
    fn wait(&mut self, wish: Wish<R>) {
        let mutual = matches!(wish.who, Who::Peer { mutual: true, .. });
        if !self.plan.upstream || !self.active {
            self.refuse(wish.id, PoolError::Empty.to_string());
        } else if mutual {
            // Two that are short must not wait for each other (PM-R-11).
            self.refuse(wish.id, "nothing is left, and you are the one I am asking");
        } else if self.waiting.len() >= self.plan.waiting {
            self.refuse(wish.id, "too many are waiting");
        } else {
            self.waiting.push_back(wish);
            self.need();
        }
    }

    /// Sends whoever is ready to ask others, if there is a need.
    fn need(&mut self) {
        if !self.active || !self.plan.upstream || self.asking {
            return;
        }
        let waiting = self.waiting.iter().fold(0_u128, |sum, wish| sum.saturating_add(R::size(&wish.want)));
        let low = self.level.filter(|level| level.low);
        let stock = low.map_or(0, |level| self.plan.target.saturating_sub(level.free));
        let shortfall = stock.max(waiting);
        if shortfall == 0 {
            return;
        }
        if let Some(id) = self.ready.take() {
            self.asking = true;
            self.outputs.push_back(Output::Reply(id, Ok(Response::Need(shortfall))));
        }
    }

    /// Asking others has ended.
    fn asked(&mut self, gained: bool) {
        self.asking = false;
        for wish in std::mem::take(&mut self.waiting) {
            if gained {
                self.wish(wish);
            } else {
                self.refuse(wish.id, "nothing is left, and nobody helps");
            }
        }
    }

    fn answered(&mut self, now: Time, id: u64, answer: Result<Answer<R>, PoolError>) {
        let Some(job) = self.jobs.remove(&id) else { return };
        match (job, answer) {
            (Job::Wish(wish), Err(PoolError::Empty)) if wish.until > now => self.wait(wish),
            (job, answer) => {
                let answer = match answer {
                    Ok(Answer::Reserved(ticket, block)) => Ok(Response::Reserved(ticket, block)),
                    Ok(Answer::Granted(block)) => Ok(Response::Granted(block)),
                    Ok(Answer::Accepting(_) | Answer::Done | Answer::Census(_)) => Ok(Response::Done),
                    Err(error) => Err(error.to_string()),
                };
                let stored = answer.is_ok();
                self.outputs.push_back(Output::Reply(id, answer));
                if let Job::Other(Some(gained)) = job {
                    self.asked(gained && stored);
                }
            }
        }
    }

    fn control(&mut self, control: Control) {
        self.active = control == Control::Activate;
        if self.active {
            return self.need();
        }
        for wish in std::mem::take(&mut self.waiting) {
            self.refuse(wish.id, "not active");
        }
    }
}

/// No client is taken for a peer of the same name.
fn named(client: &str) -> String {
    format!("client {client}")
}

impl<R: Resource> Machine for DelegatorCore<R> {
    type Input = Input<R>;
    type Output = Output<R>;

    fn handle(&mut self, now: Time, input: Input<R>) {
        self.wake(now);
        match input {
            Input::Control(control) => self.control(control),
            Input::Level(level) => {
                let more = self.level.replace(level).is_some_and(|before| level.free > before.free);
                if more {
                    // Something has been given back: it may be what somebody waits for.
                    std::mem::take(&mut self.waiting).into_iter().for_each(|wish| self.wish(wish));
                }
                self.need();
            }
            Input::Take(id, want, client) => {
                let name = named(&client);
                self.wish(Wish { id, want, name, who: Who::Client, until: now + self.plan.patience });
            }
            Input::Give(id, block, client) => {
                let from = named(&client);
                self.ask(id, Job::Other(None), Request::TakeBack { block, from });
            }
            Input::Consulted { id, question, peer, mutual } => {
                self.consulted(now, id, question, format!("peer {peer}"), mutual);
            }
            Input::Answered(id, answer) => self.answered(now, id, answer),
        }
    }

    fn wake(&mut self, now: Time) {
        let (late, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|wish| wish.until <= now);
        self.waiting = waiting;
        let late: VecDeque<Wish<R>> = late;
        for wish in late {
            self.refuse(wish.id, "nothing is left, and nobody has helped in time");
        }
    }

    fn poll(&mut self) -> Option<Output<R>> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        self.waiting.iter().map(|wish| wish.until).min()
    }
}
