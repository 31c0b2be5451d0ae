//! Negotiates on behalf of a pool: an author only says how wants and blocks look on the wire.

use super::question::{Question, Response, write};
use crate::event::Ending;
use crate::roles::negotiator::{Act, Dialogue, Ended, Strategy, StrategyFactory, Task, Turn};
use crate::roles::pool::{Request, Ticket};
use crate::roles::resource::Resource;
use grasp::{Objective, Value};
use std::sync::Arc;
use std::time::Duration;

/// Time to look for a peer.
const DISCOVERY: Duration = Duration::from_secs(1);
/// Pause before the delegator is asked again after it has not answered.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause before a need is looked at again for which nobody is to be asked.
const NOBODY: Duration = Duration::from_secs(60);
/// An accept that leaves later than this after the offer may come too late for a peer that waits one second (PM-S-09).
const TOO_LATE: Duration = Duration::from_millis(800);

/// How wants and blocks of a resource look in the value of an objective. What cannot be understood is refused with a reason
/// for the peer (ASA-R-07).
pub trait Dialect<R: Resource>: Send + Sync + 'static {
    /// This node's own request when so much is missing; `None` asks nobody.
    fn request(&self, shortfall: u128) -> Option<Objective>;

    /// Reads a peer's request.
    ///
    /// # Errors
    ///
    /// Why it is declined.
    fn want(&self, request: &Objective) -> Result<R::Want, String>;

    /// Writes an offer in the form of the request.
    ///
    /// # Errors
    ///
    /// Why the request is declined after all.
    fn offer(&self, request: &Objective, block: &R) -> Result<Value, String> {
        let _ = request;
        Value::item(block).map_err(|error| error.to_string())
    }

    /// Reads a peer's offer, and judges it.
    ///
    /// # Errors
    ///
    /// Why it is declined.
    fn block(&self, request: &Objective, offer: &Objective) -> Result<R, String> {
        let _ = request;
        let value = offer.value.as_ref().ok_or("Value missing")?;
        value.decode().map_err(|error| format!("Invalid value: {error}"))
    }
}

/// Wants and blocks as they are, in an objective of the author's own.
pub struct Plain<R: Resource> {
    /// The objective with its loop count.
    pub objective: Objective,
    /// What to ask for when so much is missing.
    pub want: fn(u128) -> R::Want,
}

impl<R: Resource> Dialect<R> for Plain<R> {
    fn request(&self, shortfall: u128) -> Option<Objective> {
        let value = Value::item(&(self.want)(shortfall)).ok()?;
        Some(self.objective.clone().with_value(value))
    }

    fn want(&self, request: &Objective) -> Result<R::Want, String> {
        let value = request.value.as_ref().ok_or("Value missing")?;
        value.decode().map_err(|error| format!("Invalid value: {error}"))
    }
}

/// The strategy of a negotiator whose advisor is the [`Delegator`](super::Delegator) of the pool.
pub struct PoolStrategy<R: Resource> {
    dialect: Arc<dyn Dialect<R>>,
    next: Next,
}

enum Next {
    Ask,
    Pause,
    Negotiate(u128),
}

impl<R: Resource> PoolStrategy<R> {
    /// Makes the strategy of each life.
    pub fn factory(dialect: impl Dialect<R>) -> StrategyFactory {
        let dialect: Arc<dyn Dialect<R>> = Arc::new(dialect);
        Arc::new(move || Box::new(Self { dialect: dialect.clone(), next: Next::Ask }))
    }
}

fn read<R: Resource>(answer: Result<Value, String>) -> Result<Response<R>, String> {
    answer?.decode().map_err(|error| format!("the delegator's answer cannot be read: {error}"))
}

impl<R: Resource> Strategy for PoolStrategy<R> {
    fn task(&mut self) -> Task {
        match std::mem::replace(&mut self.next, Next::Ask) {
            Next::Ask => Task::Ask(write(&Question::<R>::Need)),
            Next::Pause => Task::Pause(PAUSE),
            Next::Negotiate(shortfall) => match self.dialect.request(shortfall) {
                Some(objective) => {
                    let (dialect, request) = (self.dialect.clone(), objective.clone());
                    let dialogue = Box::new(Asker { dialect, request, stage: Stage::Asked, last: None });
                    Task::Negotiate { objective, discovery: DISCOVERY, flush: false, dialogue }
                }
                None => Task::Pause(NOBODY),
            },
        }
    }

    fn answered(&mut self, answer: Result<Value, String>) -> Vec<String> {
        self.next = match read::<R>(answer) {
            Ok(Response::Need(shortfall)) => Next::Negotiate(shortfall),
            _ => Next::Pause,
        };
        Vec::new()
    }

    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        let dialect = self.dialect.clone();
        Box::new(Giver { dialect, request: None, held: Held::Nothing, last: None, over: false })
    }
}

fn turn(act: Act) -> Turn {
    Turn { say: Vec::new(), act }
}

fn decline(reason: impl Into<String>) -> Turn {
    turn(Act::Decline(reason.into()))
}

/// Asks a peer for a block.
struct Asker<R: Resource> {
    dialect: Arc<dyn Dialect<R>>,
    request: Objective,
    stage: Stage<R>,
    last: Option<Question<R>>,
}

enum Stage<R> {
    Asked,
    /// The pool is writing it down; no acceptance has left.
    Weighing(R),
    /// The acceptance is on its way.
    Accepted(R),
}

impl<R: Resource> Dialogue for Asker<R> {
    fn proposed(&mut self, offer: &Objective) -> Turn {
        match self.dialect.block(&self.request, offer) {
            Ok(block) => {
                self.stage = Stage::Weighing(block.clone());
                turn(Act::Ask(write(&Question::Accept(block))))
            }
            Err(reason) => decline(reason),
        }
    }

    fn answered(&mut self, answer: Result<Value, String>, took: Duration) -> Turn {
        match (read::<R>(answer), std::mem::replace(&mut self.stage, Stage::Asked)) {
            (Ok(_), Stage::Weighing(block)) if took > TOO_LATE || self.last.is_some() => {
                if self.last.is_some() {
                    self.last = Some(Question::Settle(Request::Refuse(block)));
                } else {
                    self.stage = Stage::Weighing(block);
                }
                decline("too late to accept")
            }
            (Ok(_), Stage::Weighing(block)) => {
                self.stage = Stage::Accepted(block);
                turn(Act::Accept)
            }
            (Ok(_), _) => decline("nothing was offered"),
            (Err(reason), _) => {
                if self.last.is_some() {
                    self.last = Some(Question::Fruitless);
                }
                decline(reason)
            }
        }
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        let left = ended.ending == Ending::Accepted && ended.by_us && ended.code.is_none();
        // A peer that declines keeps its block, whatever was on its way.
        let declined = ended.ending == Ending::Declined && !ended.by_us;
        self.last = Some(match &self.stage {
            // An accept of the request itself carries no block (PM-Q-08).
            Stage::Asked => Question::Fruitless,
            Stage::Weighing(block) => Question::Settle(Request::Refuse(block.clone())),
            Stage::Accepted(block) if left => Question::Settle(Request::Adopt(block.clone())),
            Stage::Accepted(block) if declined => Question::Settle(Request::Refuse(block.clone())),
            Stage::Accepted(block) => Question::Settle(Request::DoubtTaken(block.clone())),
        });
        Vec::new()
    }

    fn settles(&mut self) -> Option<Value> {
        self.last.take().map(|question| write(&question))
    }
}

/// Gives a peer a block.
struct Giver<R: Resource> {
    dialect: Arc<dyn Dialect<R>>,
    request: Option<Objective>,
    held: Held,
    last: Option<Request<R>>,
    over: bool,
}

#[derive(Debug, Clone, Copy)]
enum Held {
    Nothing,
    /// Set aside, and the peer has not heard of it or does not want it.
    Unsent(Ticket),
    /// The peer may accept it at any moment.
    Offered(Ticket),
}

impl<R: Resource> Dialogue for Giver<R> {
    fn proposed(&mut self, request: &Objective) -> Turn {
        // A counter-proposal turns the offer down (PM-S-07).
        let instead = match self.held {
            Held::Nothing => None,
            Held::Unsent(ticket) | Held::Offered(ticket) => Some(ticket),
        };
        self.held = instead.map_or(Held::Nothing, Held::Unsent);
        if request.is_dry_run() {
            return decline("dry runs are not held");
        }
        match self.dialect.want(request) {
            Ok(want) => {
                self.request = Some(request.clone());
                self.held = Held::Nothing;
                turn(Act::Ask(write(&Question::<R>::Serve { want, instead })))
            }
            Err(reason) => decline(reason),
        }
    }

    fn answered(&mut self, answer: Result<Value, String>, _: Duration) -> Turn {
        let (ticket, block) = match read::<R>(answer) {
            Ok(Response::Reserved(ticket, block)) => (ticket, block),
            Ok(_) => return decline("no block"),
            Err(reason) => return decline(reason),
        };
        self.held = Held::Unsent(ticket);
        let Some(request) = self.request.as_ref().filter(|_| !self.over) else {
            self.last = Some(Request::Release(ticket));
            return decline("over");
        };
        match self.dialect.offer(request, &block) {
            Ok(value) => {
                self.held = Held::Offered(ticket);
                turn(Act::Propose(request.clone().with_value(value)))
            }
            Err(reason) => decline(reason),
        }
    }

    fn exhausted(&mut self) -> String {
        if let Held::Offered(ticket) = self.held {
            self.held = Held::Unsent(ticket);
        }
        "Loop count exhausted".into()
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        self.over = true;
        self.last = match self.held {
            Held::Nothing => None,
            Held::Unsent(ticket) => Some(Request::Release(ticket)),
            Held::Offered(ticket) => Some(match (ended.ending, ended.by_us) {
                (Ending::Accepted, false) => Request::Confirm(ticket),
                (Ending::Declined, false) => Request::Release(ticket),
                // Nobody knows what the peer has sent meanwhile.
                (Ending::Accepted | Ending::Declined | Ending::Failed, _) => Request::Doubt(ticket),
            }),
        };
        Vec::new()
    }

    fn settles(&mut self) -> Option<Value> {
        self.last.take().map(|request| write(&Question::Settle(request)))
    }
}
