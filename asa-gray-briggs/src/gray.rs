//! Gray, the customer.

use crate::money::{Money, NZD};
use crate::{ex1, ex2, ex3, generator, slowness};
use asa_framework::class::{Agent, Class, ClassInfo, Description, Site};
use asa_framework::event::Ending;
use asa_framework::manifest::{ParameterCheck, Problem};
use asa_framework::roles::negotiator::{
    Act, Dialogue, Ended, Heard, Negotiator, NegotiatorArgs, NegotiatorPlan, Strategy, Task, Turn,
};
use futures_util::future::LocalBoxFuture;
use grasp::{Error, ErrorCode, Objective, Registration, Value};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::Deserialize;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The largest amount of money that anybody asks for or holds.
pub(crate) const MAX_AMOUNT: i64 = 1_000_000_000;
pub(crate) const PACES: &[&str] = &["human", "fast"];

/// Time limit for the bank's answer to a counter-request.
const STEP_TIMEOUT: Duration = Duration::from_millis(1000);
/// Time to look for a bank.
const DISCOVERY: Duration = Duration::from_millis(1000);
/// Time limit for reading a value.
const READING: Duration = Duration::from_millis(5000);
/// Pause before the first task, after an error and between negotiations, at human pace.
const PAUSE: Duration = Duration::from_secs(5);
/// Failures in a row after which known banks are forgotten.
const PATIENCE: u32 = 3;

/// The class of the customer, who asks a bank for money.
#[derive(Debug, Clone, Copy)]
pub struct Gray;

/// The parameters, as in `gray.toml`.
#[derive(Debug, Clone, Deserialize)]
struct Parameters {
    sessions: u64,
    seed: u64,
    pace: String,
    amount_min: i64,
    amount_max: i64,
    loop_count_min: u8,
    loop_count_max: u8,
}

impl ClassInfo for Gray {
    fn name(&self) -> &'static str {
        "gray"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn summary(&self) -> &'static str {
        "the customer: looks for a bank and negotiates for money (EX3), reads what it floods (EX1) and offers (EX2)"
    }

    fn defaults(&self) -> &'static str {
        include_str!("gray.toml")
    }

    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.integer("sessions", 0..=i64::MAX).integer("seed", 0..=i64::MAX).choice("pace", PACES);
        check.integer("amount_min", 1..=MAX_AMOUNT).integer("amount_max", 1..=MAX_AMOUNT);
        check.ordered("amount_min", "amount_max");
        check.integer("loop_count_min", 1..=255).integer("loop_count_max", 1..=255);
        check.ordered("loop_count_min", "loop_count_max");
        check.finish()
    }
}

/// Parameters have been checked against their defaults, so this tells of a bug, not of a bad manifest.
pub(crate) fn unusable(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::Unspecified, format!("unusable parameters: {error}"))
}

impl Class for Gray {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, Error>> {
        Box::pin(async move {
            let parameters: Parameters = site.mandate.parameters()?;
            let asa = site.register().await?;
            asa.register_objective(&ex3(), Registration { overlap: true, ..Registration::default() }).await?;
            let args = NegotiatorArgs {
                asa: asa.clone(),
                instance: site.instance().to_owned(),
                events: site.events.clone(),
                mode: site.mode.clone(),
                listens: None,
                plan: NegotiatorPlan { step_timeout: STEP_TIMEOUT, ..NegotiatorPlan::default() },
                strategy: Arc::new(move || Box::new(GrayStrategy::from_parameters(&parameters))),
            };
            site.role("negotiator", move |_| Negotiator::new(args));
            Ok(Agent::new(asa).described(Description {
                objectives: vec!["EX3".into()],
                metrics: vec!["negotiations".into()],
                actions: Vec::new(),
            }))
        })
    }
}

/// What the customer does, one thing after the other.
pub struct GrayStrategy {
    random: ChaCha12Rng,
    parameters: Parameters,
    agenda: VecDeque<Step>,
    negotiated: u64,
    failures: Rc<Cell<u32>>,
    /// What the last negotiation calls for.
    aftermath: Rc<Cell<Aftermath>>,
}

/// One entry of the agenda.
enum Step {
    Pause,
    Read(Objective),
    Look(Objective),
}

/// What the end of a negotiation leaves to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aftermath {
    /// Nothing: none has ended.
    None,
    /// It was a negotiation.
    Negotiated,
    /// The request itself failed or was declined: a longer pause.
    Refused,
    /// There was no bank.
    NotFound,
}

impl GrayStrategy {
    /// Decides as checked parameters say.
    ///
    /// # Errors
    ///
    /// `#03` if they are not those of the class.
    pub fn new(parameters: &serde_json::Value) -> Result<Self, Error> {
        Parameters::deserialize(parameters).map(|parameters| Self::from_parameters(&parameters)).map_err(unusable)
    }

    fn from_parameters(parameters: &Parameters) -> Self {
        // "Nonsense" is good for nothing, so that reading it must fail without a message (GB-G-01).
        let readings = [ex1(), ex2(), Objective::discovery("Nonsense"), ex2(), ex1()];
        let agenda = std::iter::once(Step::Pause).chain(readings.into_iter().map(Step::Read)).collect();
        Self {
            random: generator(parameters.seed),
            parameters: parameters.clone(),
            agenda,
            negotiated: 0,
            failures: Rc::new(Cell::new(0)),
            aftermath: Rc::new(Cell::new(Aftermath::None)),
        }
    }

    fn pause(&self) -> Task {
        Task::Pause(PAUSE * slowness(&self.parameters.pace) / 10)
    }

    /// Draws what to ask for; the amount itself decides what is tested (GB-G-02).
    fn negotiate(&mut self) -> Task {
        let Parameters { amount_min, amount_max, loop_count_min, loop_count_max, .. } = self.parameters;
        let amount = self.random.random_range(amount_min..=amount_max);
        let loop_count = self.random.random_range(loop_count_min..=loop_count_max);
        let currency = if amount % 7 == 0 { "USD" } else { NZD };
        let money = Money { currency: currency.into(), amount, tag24: amount & 8 != 0 };
        let objective = ex3().with_loop_count(loop_count).with_value(money.value());
        let objective = if amount & 4 == 0 { objective } else { objective.dry_run() };
        let flush = self.failures.get() > PATIENCE;
        if flush {
            self.failures.set(0);
        }
        let (failures, aftermath) = (self.failures.clone(), self.aftermath.clone());
        let dry = amount & 4 != 0;
        let dialogue =
            Box::new(Bank { ask: money, wanted: amount, loop_count, steps: 0, flush, dry, failures, aftermath });
        Task::Negotiate { objective, discovery: DISCOVERY, flush, dialogue }
    }

    /// What comes after a negotiation (GB-G-07).
    fn settle(&mut self) {
        match self.aftermath.replace(Aftermath::None) {
            Aftermath::None => {}
            Aftermath::NotFound => self.agenda.push_back(Step::Pause),
            ended @ (Aftermath::Negotiated | Aftermath::Refused) => {
                self.negotiated += 1;
                if ended == Aftermath::Refused {
                    self.agenda.push_back(Step::Pause);
                }
                self.agenda.extend([Step::Pause, Step::Read(ex1()), Step::Look(ex1())]);
            }
        }
    }
}

impl Strategy for GrayStrategy {
    fn introduces(&mut self) -> Vec<String> {
        vec![
            "Hello, this is Gray, a customer. I negotiate with banks about EX3.".into(),
            "Before that I read what they flood (EX1) and serve (EX2).".into(),
        ]
    }

    fn task(&mut self) -> Task {
        self.settle();
        let enough = self.parameters.sessions > 0 && self.negotiated >= self.parameters.sessions;
        match self.agenda.pop_front() {
            _ if enough => Task::Finish,
            Some(Step::Pause) => self.pause(),
            Some(Step::Read(objective)) => Task::Read { objective, timeout: READING },
            Some(Step::Look(objective)) => Task::Look(objective),
            None => self.negotiate(),
        }
    }

    fn heard(&mut self, heard: Heard<'_>) -> Vec<String> {
        match heard {
            Heard::Value(objective) => vec![format!("Read {}: {}", objective.name, readable(objective))],
            Heard::Nothing("Nonsense", error) => {
                vec![format!("Nonsense cannot be read, as expected (#{})", error.code.code())]
            }
            Heard::Nothing(name, error) => vec![format!("Cannot read {name}: {error}")],
            Heard::Copies(name, copies) => copies
                .iter()
                .map(|(source, objective)| {
                    let source = source.as_deref().map(|source| format!(" by {source}")).unwrap_or_default();
                    format!("Flooded {name}{source}: {}", readable(objective))
                })
                .collect(),
        }
    }

    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        // The customer does not listen; whoever reaches it all the same is declined.
        Box::new(Closed)
    }
}

fn readable(objective: &Objective) -> String {
    objective.value.as_ref().map_or_else(String::new, |value: &Value| {
        value.decode::<String>().map_or_else(|_| format!("{value:?}"), |text| super::printable(&text))
    })
}

/// One bank, from the request on.
struct Bank {
    /// What is asked for now.
    ask: Money,
    /// What was asked for at first.
    wanted: i64,
    loop_count: u8,
    /// Counter-requests sent.
    steps: u32,
    flush: bool,
    dry: bool,
    failures: Rc<Cell<u32>>,
    aftermath: Rc<Cell<Aftermath>>,
}

/// The whole part of `share` tenths.
fn tenths(amount: i64, share: i64) -> i64 {
    amount * share / 10
}

impl Dialogue for Bank {
    fn begins(&mut self) -> Vec<String> {
        let dry = if self.dry { ", dry run" } else { "" };
        let tag = if self.ask.tag24 { ", value in Tag 24" } else { "" };
        let mut say = vec![format!("I ask for {}, loop count {}{dry}{tag}", self.ask, self.loop_count)];
        if self.flush {
            say.insert(0, "Too many failures: I flush the cache of known banks".into());
        }
        say
    }

    /// Takes nine tenths of what it asked for, and asks for less each time, down to seven tenths (GB-G-04).
    fn proposed(&mut self, offer: &Objective) -> Turn {
        let money = match Money::read(offer.value.as_ref()) {
            Ok(money) => money,
            Err(error) => {
                let reason = error.to_string();
                return Turn { say: vec!["The bank offers no money".into()], act: Act::Decline(reason) };
            }
        };
        let mut say = vec![format!("The bank offers {money}, loop count {}", offer.loop_count)];
        if money.currency != self.ask.currency || money.amount < 0 {
            let reason = if money.amount < 0 { "Invalid amount" } else { "Invalid currency" };
            return Turn { say, act: Act::Decline(reason.into()) };
        }
        let next = tenths(self.ask.amount, 9);
        if money.amount >= next {
            say.push(format!("I accept {money}"));
            return Turn { say, act: Act::Accept };
        }
        if self.steps > 0 && next < tenths(self.wanted, 7) {
            return Turn { say, act: Act::Decline("You are mean!".into()) };
        }
        self.steps += 1;
        self.ask.amount = next;
        say.push(format!("I ask for {}", self.ask));
        Turn { say, act: Act::Propose(offer.clone().with_value(self.ask.value())) }
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        let requesting = self.steps == 0 && !ended.by_us && ended.ending != Ending::Accepted;
        self.aftermath.set(match (ended.objective, requesting) {
            (None, _) => Aftermath::NotFound,
            (Some(_), true) => Aftermath::Refused,
            (Some(_), false) => Aftermath::Negotiated,
        });
        let mut say = vec![super::outcome("The bank", &ended)];
        if requesting {
            self.failures.set(self.failures.get() + 1);
            say.push(format!("Failures since the last flush: {}", self.failures.get()));
        }
        say
    }
}

/// Declines at once.
struct Closed;

impl Dialogue for Closed {
    fn proposed(&mut self, _: &Objective) -> Turn {
        Turn { say: Vec::new(), act: Act::Decline("not a bank".into()) }
    }

    fn ended(&mut self, _: Ended<'_>) -> Vec<String> {
        Vec::new()
    }
}
