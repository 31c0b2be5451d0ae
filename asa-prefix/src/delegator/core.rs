//! Decides who gets something at once, who waits, and when to ask others for more.

use super::limits::Limits;
use super::plan::{DelegatorPlan, Supply};
use super::question::{Question, Response};
use crate::need::{NEED_STEP, Reason, explain, wanted_length};
use crate::pool::record::Deal;
use crate::pool::{Answer, Level, PoolError, Request};
use crate::prefix::{Family, Prefix, Want};
use crate::wire::params::{Params, choose};
use asa_framework::machine::{Machine, Time};
use asa_framework::roles::{Control, Mode};
use grasp::Value;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Alarms about the same thing are not repeated within this time.
const QUIET: Duration = Duration::from_secs(600);

/// What the core hears; each question has a number that is its own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The life cycle of the instance goes on.
    Control(Control),
    /// So much is free.
    Level(Level),
    /// A client of this node wants a block.
    Take(u64, Want, String),
    /// A client of this node gives a block back.
    Give(u64, Prefix, String),
    /// A negotiator asks.
    Consulted {
        /// Number of the question.
        id: u64,
        /// What.
        question: Question,
        /// Whether this node itself waits for that other side.
        mutual: bool,
    },
    /// The pool has answered the request made for that question.
    Answered(u64, Result<Answer, PoolError>),
    /// What the program of the operator has made of a block that a client is to use.
    Hooked(u64, Result<(), String>),
    /// Tell what is known: the answer is [`Output::Told`].
    Explain(u64),
}

/// What the core wants done.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Ask the pool.
    Ask(u64, Request),
    /// Answer the question of a negotiator.
    Reply(u64, Result<Response, String>),
    /// Answer a client.
    Client(u64, Result<Prefix, String>),
    /// Let the program of the operator put a block to use for a client (PM-D-06).
    Hook(u64, Prefix, String),
    /// Answer who wants to know.
    Told(u64, Box<Explained>),
    /// Something that the operator must know.
    Alarm(String),
}

/// Why the node asks for what it asks for (PM-Q-01).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// What this node is.
    pub role: String,
    /// Whose parameters are in force; `None` for those built in or of the manifest.
    pub params_source: Option<String>,
    /// The parameters in force.
    pub params: Params,
    /// For each family what would be asked for next, and why.
    pub next: BTreeMap<Family, String>,
    /// Whether others are being asked.
    pub asking: bool,
    /// Clients and peers that wait.
    pub waiting: usize,
    /// How often asking others has come to nothing since it last did not.
    pub fruitless: u32,
}

/// For whom something is wanted.
#[derive(Debug, Clone)]
enum Who {
    Client(String),
    Peer { deal: Deal, mutual: bool },
}

#[derive(Debug, Clone)]
struct Wish {
    id: u64,
    want: Want,
    who: Who,
    until: Time,
    /// Others have been asked for it.
    last: bool,
}

/// A request to the pool whose answer is awaited.
#[derive(Debug)]
enum Job {
    Wish(Wish),
    /// The block is set aside; its offer is being written down.
    Offer(Prefix),
    /// Whether it tells how asking others has ended, and if so, how.
    Asked(Option<bool>),
    /// A peer has not accepted; if nothing was set aside for it, there is nothing to undo.
    Release,
    /// A client gives something back.
    Give(Prefix),
    /// The program of the operator puts a client's block to use.
    Hook(Prefix, String),
    /// It could not: why.
    Unused(String),
}

/// The core.
pub struct DelegatorCore {
    plan: DelegatorPlan,
    active: bool,
    level: Option<Level>,
    supplies: BTreeMap<Family, Supply>,
    params: Params,
    params_source: Option<String>,
    jobs: BTreeMap<u64, Job>,
    /// Those for whom there was nothing, oldest first.
    waiting: VecDeque<Wish>,
    limits: Limits,
    /// Somebody is ready to ask others.
    ready: Option<u64>,
    /// Others are being asked for something of this family.
    asking: Option<Family>,
    fruitless: u32,
    /// Bits by which less is asked for than is wanted, since nobody gives as much in one piece.
    modesty: BTreeMap<Family, u8>,
    look: Option<Time>,
    told: BTreeMap<String, Time>,
    outputs: VecDeque<Output>,
}

impl DelegatorCore {
    /// A core that knows nothing of the pool yet.
    #[must_use]
    pub fn new(plan: DelegatorPlan) -> Self {
        Self {
            active: plan.mode == Mode::Active,
            level: None,
            supplies: plan.families.iter().map(|(family, plan)| (*family, Supply::new(*plan))).collect(),
            params: plan.params.clone(),
            params_source: None,
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            limits: Limits::new(plan.peer_sessions, plan.peer_rate),
            ready: None,
            asking: None,
            fruitless: 0,
            modesty: BTreeMap::new(),
            look: plan.look.map(|_| Time::default()),
            told: BTreeMap::new(),
            outputs: VecDeque::new(),
            plan,
        }
    }

    /// Requests that are open.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.jobs.len() + self.waiting.len()
    }

    fn alarm(&mut self, now: Time, text: String) {
        if self.told.get(&text).is_some_and(|told| now < *told + QUIET) {
            return;
        }
        // What has been quiet for long enough may be told again anyway.
        self.told.retain(|_, told| now < *told + QUIET);
        if self.told.len() < 64 {
            self.told.insert(text.clone(), now);
        }
        self.outputs.push_back(Output::Alarm(text));
    }

    fn reply(&mut self, id: u64, answer: Result<Response, String>) {
        self.outputs.push_back(Output::Reply(id, answer));
    }

    fn refuse(&mut self, wish: &Wish, why: &str) {
        match &wish.who {
            Who::Client(_) => self.outputs.push_back(Output::Client(wish.id, Err(why.to_owned()))),
            Who::Peer { .. } => self.reply(wish.id, Err(why.to_owned())),
        }
    }

    fn ask(&mut self, id: u64, job: Job, request: Request) {
        self.jobs.insert(id, job);
        self.outputs.push_back(Output::Ask(id, request));
    }

    fn supply(&self, family: Family) -> Option<&Supply> {
        self.supplies.get(&family)
    }

    /// Whether others may be asked for more of a family: the manifest and the role both have to allow it (PM-Q-03).
    fn may_ask(&self, family: Family) -> bool {
        let role = self.params.role(&self.plan.role).and_then(|role| role.request_more).unwrap_or(true);
        role && self.supply(family).is_some_and(|supply| supply.plan.request_more)
    }

    fn wish(&mut self, wish: Wish) {
        if !self.active {
            return self.refuse(&wish, "this agent is not active");
        }
        let Some(supply) = self.supply(wish.want.family) else {
            let family = wish.want.family;
            return self.refuse(&wish, &format!("{family} prefixes are not served here"));
        };
        let request = match &wish.who {
            Who::Client(client) => {
                Request::Delegate { client: client.clone(), want: wish.want, lifetimes: self.plan.lifetimes }
            }
            Who::Peer { deal, .. } => {
                // Something longer is offered only if what is wanted cannot be had from others either.
                let exact = self.may_ask(wish.want.family) && !wish.last;
                let longest = if exact { wish.want.length } else { supply.plan.longest_offer.max(wish.want.length) };
                Request::Hold { deal: deal.clone(), want: wish.want, longest, dry: None }
            }
        };
        self.ask(wish.id, Job::Wish(wish), request);
    }

    fn serve(&mut self, now: Time, id: u64, deal: Deal, want: Want, dry: bool, mutual: bool) {
        if dry && self.plan.dry_run.is_none() {
            return self.reply(id, Err("dry runs are not held here".into()));
        }
        if let Err(why) = self.limits.request(now, &deal.peer) {
            return self.reply(id, Err(why.into()));
        }
        if dry {
            let longest = self.supply(want.family).map_or(want.length, |supply| supply.plan.longest_offer);
            let request = Request::Hold { deal, want, longest: longest.max(want.length), dry: self.plan.dry_run };
            return self.ask(id, Job::Asked(None), request);
        }
        let until = now + self.plan.patience;
        self.wish(Wish { id, want, who: Who::Peer { deal, mutual }, until, last: false });
    }

    fn consulted(&mut self, now: Time, id: u64, question: Question, mutual: bool) {
        match question {
            Question::Need => {
                // Who asks this has nothing else under way; what an earlier one was told is void.
                if let Some(earlier) = self.ready.replace(id) {
                    self.reply(earlier, Err("somebody else is ready".into()));
                }
                if self.asking.take().is_some() {
                    self.asked(now, false);
                }
                self.need(now);
            }
            Question::Params(copies) => {
                self.heard(now, &copies);
                self.reply(id, Ok(Response::Done));
            }
            Question::Serve { deal, want, dry } => self.serve(now, id, deal, want, dry, mutual),
            Question::Pool(request) => {
                if let Request::Confirm(deal) | Request::Release(deal) | Request::Doubt(deal) = &request {
                    self.limits.over(&deal.peer);
                }
                let lost = matches!(request, Request::Refuse(_) | Request::DoubtTaken { .. });
                let gained = if matches!(request, Request::Adopt(_)) { Some(true) } else { lost.then_some(false) };
                let job = if matches!(request, Request::Release(_)) { Job::Release } else { Job::Asked(gained) };
                self.ask(id, job, request);
            }
            Question::Over(deal) => {
                self.limits.over(&deal.peer);
                self.reply(id, Ok(Response::Done));
            }
            Question::Fruitless => {
                self.reply(id, Ok(Response::Done));
                self.asked(now, false);
            }
        }
    }

    /// Takes parameters that were heard; they count from the next decision on (PM-P-10).
    fn heard(&mut self, now: Time, copies: &[(Option<String>, Value)]) {
        let choice = choose(copies, self.plan.params_source.as_deref());
        if let Some(conflict) = choice.conflict {
            self.alarm(now, conflict);
        }
        for ignored in choice.ignored {
            self.alarm(now, format!("parameters: {ignored}"));
        }
        let Some(params) = choice.params else { return };
        if params.role(&self.plan.role).is_none() {
            let role = &self.plan.role;
            let text = format!("the flooded parameters have no role {role:?}: what was known before stays in force");
            self.alarm(now, text);
            return;
        }
        (self.params, self.params_source) = (params, choice.source);
    }

    /// There is nothing for somebody now: he waits, if there is something to wait for.
    fn wait(&mut self, now: Time, wish: Wish) {
        let family = wish.want.family;
        if let (Who::Client(_), Some(supply)) = (&wish.who, self.supplies.get_mut(&family)) {
            supply.need = supply.need.saturating_add(NEED_STEP.into());
        }
        if wish.last {
            self.refuse(&wish, "no prefix of that length is left, and nobody helps");
        } else if !self.may_ask(family) {
            self.refuse(&wish, "no prefix of that length is left");
        } else if matches!(wish.who, Who::Peer { mutual: true, .. }) {
            // Two that are short must not wait for each other (PM-R-11).
            self.last(wish, "no prefix of that length is left, and you are the one I am asking");
        } else if self.waiting.len() >= self.plan.waiting {
            self.refuse(&wish, "too many are waiting");
        } else {
            self.waiting.push_back(wish);
            self.need(now);
        }
    }

    /// A peer may get something longer instead; nobody else is asked.
    fn last(&mut self, wish: Wish, why: &str) {
        let shorter = self.supply(wish.want.family).is_some_and(|supply| supply.plan.longest_offer > wish.want.length);
        match wish.who {
            Who::Peer { .. } if shorter => self.wish(Wish { last: true, ..wish }),
            Who::Peer { .. } | Who::Client(_) => self.refuse(&wish, why),
        }
    }

    /// What is to be asked for in a family, and why; `None` if there is enough. Who gets nothing asks for less, down to what
    /// helps at all, before it asks for as much again.
    fn wanted(&self, family: Family) -> Option<(Want, Reason)> {
        let (want, reason) = self.desired(family)?;
        let waiting = self.waiting.iter().filter(|wish| wish.want.family == family).map(|wish| wish.want.length);
        let least = waiting.chain(self.supply(family).map(|supply| supply.plan.delegated)).max().unwrap_or_default();
        let modesty = self.modesty.get(&family).copied().unwrap_or_default();
        let modest = want.length.saturating_add(modesty).min(least.max(want.length));
        match reason {
            // The operator has said how long it is to be.
            Reason::Manifest => Some((want, reason)),
            Reason::Role { .. } | Reason::Need { .. } => Want::new(family, modest).map(|want| (want, reason)),
        }
    }

    /// What would serve a family best.
    fn desired(&self, family: Family) -> Option<(Want, Reason)> {
        let (supply, level) = (self.supply(family)?, self.level?);
        let held = supply.blocks(family, level.free(family));
        let shortfall = supply.need.saturating_sub(held);
        let waiting = self.waiting.iter().filter(|wish| wish.want.family == family);
        let block = Want { family, length: supply.plan.delegated }.measure().max(1);
        let waited = waiting.fold(0_u128, |sum, wish| sum.saturating_add(wish.want.measure()));
        if shortfall == 0 && waited == 0 {
            return None;
        }
        let need = supply.need.max(waited.div_ceil(block));
        let reason = Reason::Need { delegated: supply.plan.delegated, need, held: held.min(need) };
        let mut length = wanted_length(family, supply.plan.delegated, shortfall);
        if waited > 0 {
            // What is asked for has to hold what somebody waits for, in one piece.
            let pieces = self.waiting.iter().filter(|wish| wish.want.family == family).map(|wish| wish.want.length);
            let longest = waited.ilog2() + u32::from(!waited.is_power_of_two());
            let sum = family.bits().saturating_sub(u8::try_from(longest).unwrap_or(u8::MAX));
            length = pieces.min().map_or(length, |piece| piece.min(sum));
            if shortfall > 0 {
                length = length.min(wanted_length(family, supply.plan.delegated, shortfall));
            }
            return Want::new(family, length).map(|want| (want, reason));
        }
        if let Some(asked) = supply.plan.ask {
            return Want::new(family, asked).map(|want| (want, Reason::Manifest));
        }
        let role = self.params.role(&self.plan.role);
        let role = role.and_then(|role| match family {
            Family::V4 => role.ipv4_prefix_length,
            Family::V6 => role.prefix_length,
        });
        match role {
            // A node that has nothing asks for what its role has; afterwards it knows better what it needs.
            Some(length) if level.free(family) == 0 && supply.need <= supply.plan.need.into() => {
                let (role, source) = (self.plan.role.clone(), self.params_source.clone());
                Want::new(family, length).map(|want| (want, Reason::Role { role, source }))
            }
            _ => Want::new(family, length).map(|want| (want, reason)),
        }
    }

    /// Sends whoever is ready to ask others, if there is a need.
    fn need(&mut self, now: Time) {
        if !self.active || self.asking.is_some() || self.ready.is_none() {
            return;
        }
        if let Some(id) = self.look.filter(|look| *look <= now).and_then(|_| self.ready.take()) {
            self.look = self.plan.look.map(|period| now + period);
            return self.reply(id, Ok(Response::Look));
        }
        // Nothing more is promised or taken while the store fails.
        if self.level.is_none_or(|level| !level.writable) {
            return;
        }
        let families: Vec<Family> = self.supplies.keys().copied().collect();
        // Families take turns: one that nobody helps with does not keep the other from being asked for (PM-Q-05).
        let turned = self.fruitless % 2 == 1;
        let order = if turned { families.into_iter().rev().collect() } else { families };
        let next = order.into_iter().find_map(|family: Family| {
            let wanted = self.wanted(family)?;
            self.may_ask(family).then_some(wanted)
        });
        let Some((want, _)) = next else { return };
        if let Some(id) = self.ready.take() {
            self.asking = Some(want.family);
            self.reply(id, Ok(Response::Need(want)));
        }
    }

    /// Asking others has ended.
    fn asked(&mut self, now: Time, gained: bool) {
        let Some(family) = self.asking.take() else { return };
        self.fruitless = if gained { 0 } else { self.fruitless.saturating_add(1) };
        let modesty = self.modesty.entry(family).or_default();
        *modesty = if gained { modesty.saturating_sub(1) } else { modesty.saturating_add(1).min(family.bits()) };
        if self.fruitless >= 3 && self.level.is_some_and(|level| level.free(family) == 0) {
            self.alarm(now, format!("no source of {family} prefixes: nobody who was asked has helped"));
        }
        let (ours, others): (VecDeque<Wish>, VecDeque<Wish>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|wish| wish.want.family == family);
        self.waiting = others;
        for wish in ours {
            if gained {
                self.wish(wish);
            } else {
                self.last(wish, "no prefix of that length is left, and nobody helps");
            }
        }
    }

    fn answered(&mut self, now: Time, id: u64, answer: Result<Answer, PoolError>) {
        let Some(job) = self.jobs.remove(&id) else { return };
        match (job, answer) {
            (Job::Wish(wish), Err(PoolError::Empty)) if wish.until > now => self.wait(now, wish),
            (Job::Wish(wish), Ok(Answer::Block(block))) => match wish.who {
                Who::Peer { deal, .. } => self.ask(id, Job::Offer(block), Request::Offer(deal)),
                Who::Client(client) => {
                    self.jobs.insert(id, Job::Hook(block, client.clone()));
                    self.outputs.push_back(Output::Hook(id, block, client));
                }
            },
            (Job::Wish(wish), Ok(_)) => self.refuse(&wish, "no block"),
            (Job::Wish(wish), Err(error)) => self.refuse(&wish, &error.to_string()),
            (Job::Offer(block), answer) => {
                let answer = answer.map(|_| Response::Block(block)).map_err(|error| error.to_string());
                self.reply(id, answer);
            }
            (Job::Give(block), answer) => {
                let answer = answer.map(|_| block).map_err(|error| error.to_string());
                self.outputs.push_back(Output::Client(id, answer));
            }
            (Job::Release, answer) => {
                let answer = answer.map(drop).or_else(|error| (error == PoolError::NoDeal).then_some(()).ok_or(error));
                self.reply(id, answer.map(|()| Response::Done).map_err(|error| error.to_string()));
            }
            (Job::Unused(why), _) => self.outputs.push_back(Output::Client(id, Err(why))),
            (Job::Hook(..), _) => {}
            (Job::Asked(gained), answer) => {
                let stored = answer.is_ok();
                let answer = match answer {
                    Ok(Answer::Block(block)) => Ok(Response::Block(block)),
                    Ok(Answer::Verdict(verdict)) => Ok(Response::Verdict(verdict)),
                    Ok(_) => Ok(Response::Done),
                    Err(error) => Err(error.to_string()),
                };
                self.reply(id, answer);
                if let Some(gained) = gained {
                    self.asked(now, gained && stored);
                }
            }
        }
    }

    /// A block that cannot be put to use is not the client's (PM-D-06).
    fn hooked(&mut self, id: u64, result: Result<(), String>) {
        let Some(Job::Hook(block, client)) = self.jobs.remove(&id) else { return };
        match result {
            Ok(()) => self.outputs.push_back(Output::Client(id, Ok(block))),
            Err(why) => {
                self.outputs.push_back(Output::Alarm(format!("{block} is not used for {client}: {why}")));
                self.ask(id, Job::Unused(why), Request::GiveBack { client, block, unused: true });
            }
        }
    }

    fn control(&mut self, now: Time, control: Control) {
        self.active = control == Control::Activate;
        if self.active {
            return self.need(now);
        }
        for wish in std::mem::take(&mut self.waiting) {
            self.refuse(&wish, "this agent is not active");
        }
    }

    fn explained(&self) -> Explained {
        let next = self.supplies.keys().map(|family| {
            let text = match self.wanted(*family) {
                Some(_) if !self.may_ask(*family) => "short, but it may not ask for more".to_owned(),
                Some((want, reason)) => explain(want, &reason),
                None => "enough is at hand".to_owned(),
            };
            (*family, text)
        });
        Explained {
            role: self.plan.role.clone(),
            params_source: self.params_source.clone(),
            params: self.params.clone(),
            next: next.collect(),
            asking: self.asking.is_some(),
            waiting: self.waiting.len(),
            fruitless: self.fruitless,
        }
    }
}

impl Machine for DelegatorCore {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        self.wake(now);
        match input {
            Input::Control(control) => self.control(now, control),
            Input::Level(level) => {
                let more = |family| self.level.is_some_and(|before| level.free(family) > before.free(family));
                let more = Family::ALL.map(|family| (family, more(family)));
                self.level = Some(level);
                for (family, _) in more.into_iter().filter(|(_, more)| *more) {
                    // Something has been given back: it may be what somebody waits for.
                    let (ours, others): (VecDeque<Wish>, VecDeque<Wish>) =
                        std::mem::take(&mut self.waiting).into_iter().partition(|wish| wish.want.family == family);
                    self.waiting = others;
                    ours.into_iter().for_each(|wish| self.wish(wish));
                }
                self.need(now);
            }
            Input::Take(id, want, client) => {
                let until = now + self.plan.patience;
                self.wish(Wish { id, want, who: Who::Client(client), until, last: false });
            }
            Input::Give(id, block, client) => {
                self.ask(id, Job::Give(block), Request::GiveBack { client, block, unused: false });
            }
            Input::Consulted { id, question, mutual } => self.consulted(now, id, question, mutual),
            Input::Answered(id, answer) => self.answered(now, id, answer),
            Input::Hooked(id, result) => self.hooked(id, result),
            Input::Explain(id) => {
                let explained = Box::new(self.explained());
                self.outputs.push_back(Output::Told(id, explained));
            }
        }
    }

    fn wake(&mut self, now: Time) {
        let (late, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|wish| wish.until <= now);
        self.waiting = waiting;
        let late: VecDeque<Wish> = late;
        for wish in late {
            self.last(wish, "no prefix of that length is left, and nobody has helped in time");
        }
        self.need(now);
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        let look = self.look.filter(|_| self.ready.is_some() && self.asking.is_none() && self.active);
        self.waiting.iter().map(|wish| wish.until).chain(look).min()
    }
}
