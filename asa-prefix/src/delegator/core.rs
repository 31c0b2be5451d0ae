//! Decides who gets something at once, who waits, and when to ask others for more.

use super::limits::Limits;
use super::message::{Input, Output};
use super::plan::{DelegatorPlan, Supply};
use super::question::{Question, Response};
use crate::need::NEED_STEP;
use crate::pool::record::Deal;
use crate::pool::{Answer, Level, PoolError, Request};
use crate::prefix::{Family, Prefix, Want};
use crate::wire::params::Params;
use asa_framework::machine::{Machine, Time};
use asa_framework::roles::{Control, Mode};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long a peer waits if nobody who was asked before has helped.
const HOPELESS: Duration = Duration::from_millis(1_500);

/// Alarms about the same thing are not repeated within this time.
const QUIET: Duration = Duration::from_secs(600);

/// For whom something is wanted.
#[derive(Debug, Clone)]
pub(super) enum Who {
    Client(String),
    Peer { deal: Deal, mutual: bool },
}

#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) id: u64,
    pub(super) want: Want,
    pub(super) who: Who,
    pub(super) until: Time,
    /// Others have been asked for it.
    pub(super) last: bool,
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
    /// The program of the operator puts a client's block to use. Whether nobody uses it yet: then it is free again if the
    /// program fails.
    Hook(Prefix, String, bool),
    /// It could not: why.
    Unused(String),
}

/// The core.
pub struct DelegatorCore {
    pub(super) plan: DelegatorPlan,
    pub(super) active: bool,
    pub(super) level: Option<Level>,
    pub(super) supplies: BTreeMap<Family, Supply>,
    pub(super) params: Params,
    pub(super) params_source: Option<String>,
    jobs: BTreeMap<u64, Job>,
    /// Those for whom there was nothing, oldest first.
    pub(super) waiting: VecDeque<Wish>,
    limits: Limits,
    /// Somebody is ready to ask others.
    pub(super) ready: Option<u64>,
    /// Others are being asked for something of this family.
    pub(super) asking: Option<Family>,
    pub(super) fruitless: u32,
    /// Bits by which less is asked for than is wanted, since nobody gives as much in one piece.
    pub(super) modesty: BTreeMap<Family, u8>,
    pub(super) look: Option<Time>,
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

    pub(super) fn alarm(&mut self, now: Time, text: String) {
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

    pub(super) fn reply(&mut self, id: u64, answer: Result<Response, String>) {
        self.outputs.push_back(Output::Reply(id, answer));
    }

    pub(super) fn refuse(&mut self, wish: &Wish, why: &str) {
        match &wish.who {
            Who::Client(_) => self.outputs.push_back(Output::Client(wish.id, Err(why.to_owned()))),
            Who::Peer { .. } => self.reply(wish.id, Err(why.to_owned())),
        }
    }

    fn ask(&mut self, id: u64, job: Job, request: Request) {
        self.jobs.insert(id, job);
        self.outputs.push_back(Output::Ask(id, request));
    }

    pub(super) fn wish(&mut self, wish: Wish) {
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
            // Where nobody has helped of late there is little to wait for: nodes that are all short do not hold each other up
            // (PM-R-11). The wish counts all the same when others are asked.
            let hopeless = self.fruitless > 0 && matches!(wish.who, Who::Peer { .. });
            let until = if hopeless { wish.until.min(now + HOPELESS) } else { wish.until };
            self.waiting.push_back(Wish { until, ..wish });
            self.need(now);
        }
    }

    /// A peer may get something longer instead; nobody else is asked.
    pub(super) fn last(&mut self, wish: Wish, why: &str) {
        let shorter = self.supply(wish.want.family).is_some_and(|supply| supply.plan.longest_offer > wish.want.length);
        match wish.who {
            Who::Peer { .. } if shorter => self.wish(Wish { last: true, ..wish }),
            Who::Peer { .. } | Who::Client(_) => self.refuse(&wish, why),
        }
    }

    fn answered(&mut self, now: Time, id: u64, answer: Result<Answer, PoolError>) {
        let Some(job) = self.jobs.remove(&id) else { return };
        match (job, answer) {
            (Job::Wish(wish), Err(PoolError::Empty)) if wish.until > now => self.wait(now, wish),
            (Job::Wish(wish), Ok(answer @ (Answer::Block(block) | Answer::Again(block)))) => match wish.who {
                Who::Peer { deal, .. } => self.ask(id, Job::Offer(block), Request::Offer(deal)),
                Who::Client(client) => {
                    self.jobs.insert(id, Job::Hook(block, client.clone(), matches!(answer, Answer::Block(_))));
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

    /// A block that cannot be put to use is not the client's (PM-D-06). One that the client has had before stays its own: it
    /// may be using it (PM-D-05).
    fn hooked(&mut self, id: u64, result: Result<(), String>) {
        let Some(Job::Hook(block, client, unused)) = self.jobs.remove(&id) else { return };
        // The same client may have asked twice at once: then the last program to end decides.
        let mut same = self.jobs.values_mut().filter_map(|job| {
            if let Job::Hook(other, _, unused) = job { (*other == block).then_some(unused) } else { None }
        });
        match result {
            Ok(()) => {
                same.for_each(|unused| *unused = false);
                self.outputs.push_back(Output::Client(id, Ok(block)));
            }
            Err(why) => {
                self.outputs.push_back(Output::Alarm(format!("{block} is not used for {client}: {why}")));
                match same.next() {
                    Some(other) if unused => *other = true,
                    None if unused => {
                        return self.ask(id, Job::Unused(why), Request::GiveBack { client, block, unused: true });
                    }
                    Some(_) | None => {}
                }
                self.outputs.push_back(Output::Client(id, Err(why)));
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
