//! Briggs, the bank.

use crate::money::{Money, NZD};
use crate::{ex1, ex2, ex3, generator, slowness};
use asa_framework::class::{Agent, Class, ClassInfo, Description, Site};
use asa_framework::manifest::{ParameterCheck, Problem};
use asa_framework::roles::flooder::{Content, Flooder, FlooderArgs, Plan};
use asa_framework::roles::negotiator::{
    Act, Dialogue, Ended, Negotiator, NegotiatorArgs, NegotiatorPlan, Strategy, Turn,
};
use futures_util::future::LocalBoxFuture;
use grasp::{Objective, Rapid, Registration, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

/// Time limit for a customer's answer.
const STEP_TIMEOUT: Duration = Duration::from_millis(1000);
/// What the bank really takes when it asks a customer to wait, at human pace.
const THINKING: Duration = Duration::from_secs(10);
/// Least loop count of a counter-request that is answered with another offer.
///
/// A Python customer cannot counter an offer that comes with less than 3, and then says nothing at all (COM-06); it is told
/// instead that there is no more to say. The first offer is always made.
const LAST_COUNT: u8 = 4;
/// The longest time that a parameter may give, one hour.
const MAX_MS: i64 = 3_600_000;

/// The class of the bank, which grants what its reserves allow.
#[derive(Debug, Clone, Copy)]
pub struct Briggs;

/// The parameters, as in `briggs.toml`.
#[derive(Debug, Clone, Deserialize)]
struct Parameters {
    bank: String,
    seed: u64,
    pace: String,
    reserves_min: i64,
    reserves_max: i64,
    wait_min_ms: u64,
    wait_max_ms: u64,
    flood_period_ms: u64,
}

impl ClassInfo for Briggs {
    fn name(&self) -> &'static str {
        "briggs"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn summary(&self) -> &'static str {
        "the bank: floods the time (EX1), offers a value to read (EX2) and negotiates about its reserves (EX3)"
    }

    fn defaults(&self) -> &'static str {
        include_str!("briggs.toml")
    }

    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.text("bank", 1..=63).integer("seed", 0..=i64::MAX).choice("pace", super::gray::PACES);
        check.integer("reserves_min", 1..=super::gray::MAX_AMOUNT).integer("reserves_max", 1..=super::gray::MAX_AMOUNT);
        check.ordered("reserves_min", "reserves_max");
        check.integer("wait_min_ms", 1..=MAX_MS).integer("wait_max_ms", 1..=MAX_MS);
        check.ordered("wait_min_ms", "wait_max_ms");
        check.integer("flood_period_ms", 1000..=MAX_MS);
        check.finish()
    }
}

impl Class for Briggs {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, grasp::Error>> {
        Box::pin(async move {
            let parameters: Parameters = site.mandate.parameters()?;
            let asa = site.register().await?;
            // EX1 may have several banks on one node, as EX3 does.
            let shared = Registration { overlap: true, ..Registration::default() };
            asa.register_objective(&ex1(), shared.clone()).await?;
            asa.register_objective(&ex2(), Registration { rapid: Rapid::Response, ..shared.clone() }).await?;
            asa.register_objective(&ex3(), shared).await?;

            let (instance, events, mode) = (site.instance().to_owned(), site.events.clone(), site.mode.clone());
            let strategy = parameters.clone();
            let negotiator = NegotiatorArgs {
                asa: asa.clone(),
                instance: instance.clone(),
                events: events.clone(),
                mode: mode.clone(),
                listens: Some(ex3()),
                plan: NegotiatorPlan { step_timeout: STEP_TIMEOUT, ..NegotiatorPlan::default() },
                strategy: Arc::new(move || Box::new(BriggsStrategy::from_parameters(&strategy))),
            };
            site.role("negotiator", move |_| Negotiator::new(negotiator));

            let bank = parameters.bank;
            let flooder = |objective, period, content: Content| FlooderArgs {
                asa: asa.clone(),
                instance: instance.clone(),
                events: events.clone(),
                mode: mode.clone(),
                objective,
                plan: Plan { period, serve: true },
                content,
            };
            let period = Some(Duration::from_millis(parameters.flood_period_ms));
            let time = flooder(ex1(), period, Arc::new(move |now| Value::item(&date_line(now, &bank)).ok()));
            site.role("flooder", move |_| Flooder::new(time));
            let fixed = flooder(ex2(), None, Arc::new(|_| Value::item(&(1, "two", 3)).ok()));
            site.role("server", move |_| Flooder::new(fixed));

            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Ok(Agent::new(asa).described(Description {
                objectives: names(&["EX1", "EX2", "EX3"]),
                metrics: names(&["negotiations", "floods"]),
                actions: Vec::new(),
            }))
        })
    }
}

/// The text of EX1 (GB-W-01).
fn date_line(now: SystemTime, bank: &str) -> String {
    let now = OffsetDateTime::from(now);
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC from {bank}", now.hour(), now.minute())
}

/// What the bank decides: for each customer its own reserves and its own patience.
pub struct BriggsStrategy {
    random: ChaCha12Rng,
    reserves: (i64, i64),
    wait_ms: (u64, u64),
    slowness: u32,
    bank: String,
}

impl BriggsStrategy {
    /// Decides as checked parameters say.
    ///
    /// # Errors
    ///
    /// `#03` if they are not those of the class.
    pub fn new(parameters: &serde_json::Value) -> Result<Self, grasp::Error> {
        Parameters::deserialize(parameters)
            .map(|parameters| Self::from_parameters(&parameters))
            .map_err(super::gray::unusable)
    }

    fn from_parameters(parameters: &Parameters) -> Self {
        Self {
            bank: parameters.bank.clone(),
            random: generator(parameters.seed),
            reserves: (parameters.reserves_min, parameters.reserves_max),
            wait_ms: (parameters.wait_min_ms, parameters.wait_max_ms),
            slowness: slowness(&parameters.pace),
        }
    }
}

impl Strategy for BriggsStrategy {
    fn introduces(&mut self) -> Vec<String> {
        let (least, most) = self.reserves;
        vec![
            format!("Hello, this is {}, a bank. I negotiate about money as EX3.", self.bank),
            format!("For each I have {NZD} {least} to {most}. I also flood EX1 and serve EX2."),
        ]
    }

    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        let reserves = self.random.random_range(self.reserves.0..=self.reserves.1);
        let wait = Duration::from_millis(self.random.random_range(self.wait_ms.0..=self.wait_ms.1));
        let (wait, thinking) = (wait * self.slowness / 10, THINKING * self.slowness / 10);
        // A generator of its own for each customer, so that sessions side by side do not change each other's course.
        let random = ChaCha12Rng::from_rng(&mut self.random);
        Box::new(Customer { random, reserves, wait, thinking, offered: None, asked: None })
    }
}

/// One customer.
struct Customer {
    random: ChaCha12Rng,
    reserves: i64,
    wait: Duration,
    thinking: Duration,
    /// What the bank has offered last.
    offered: Option<i64>,
    /// What the customer asked for last, and the objective it came in.
    asked: Option<(Money, Objective)>,
}

fn decline(say: Vec<String>, reason: impl Into<String>) -> Turn {
    Turn { say, act: Act::Decline(reason.into()) }
}

impl Customer {
    fn offer(&mut self, mut say: Vec<String>, amount: i64) -> Turn {
        let Some((asked, objective)) = &self.asked else { return decline(say, "Nothing was asked for") };
        let money = Money::nzd(amount, asked.tag24);
        self.offered = Some(amount);
        say.push(format!("Offering {money}"));
        Turn { say, act: Act::Propose(objective.clone().with_value(money.value())) }
    }

    /// The first answer to a request (GB-B-03, GB-B-04, GB-B-05).
    fn request(&mut self, mut say: Vec<String>, money: &Money) -> Turn {
        if money.currency != NZD {
            decline(say, "Invalid currency")
        } else if money.amount <= 0 {
            decline(say, "Invalid amount")
        } else if money.amount <= self.reserves / 2 {
            say.push(format!("Granting {money} at once"));
            Turn { say, act: Act::Accept }
        } else {
            self.offer(say, self.reserves / 2)
        }
    }

    /// The answer to a counter-request, possibly after a wait (GB-B-05, GB-B-06).
    fn decide(&mut self, say: Vec<String>) -> Turn {
        let offered = self.offered.unwrap_or_default();
        let (asked, left) =
            self.asked.as_ref().map_or((0, 0), |(money, objective)| (money.amount, objective.loop_count));
        if left < LAST_COUNT {
            return decline(say, "Loop count exhausted");
        }
        if offered * 10 < self.reserves * 6 {
            // Never quite what was asked for.
            let raised = offered + 10;
            return self.offer(say, if raised > asked { asked - 1 } else { raised });
        }
        let reason =
            if self.reserves % 2 == 1 { "Insufficient funds" } else { "Недостаточно средств" };
        decline(say, reason)
    }
}

impl Dialogue for Customer {
    fn begins(&mut self) -> Vec<String> {
        vec![format!("Reserves: {NZD} {}; wait: {} ms", self.reserves, self.wait.as_millis())]
    }

    fn proposed(&mut self, objective: &Objective) -> Turn {
        let money = match Money::read(objective.value.as_ref()) {
            Ok(money) => money,
            Err(error) => return decline(vec!["This is no request for money".into()], error.to_string()),
        };
        let first = self.asked.is_none();
        let mut say = Vec::new();
        if first {
            let dry = if objective.is_dry_run() { ", dry run" } else { "" };
            let tag = if money.tag24 { ", value in Tag 24" } else { "" };
            say.push(format!("Request for {money}, loop count {}{dry}{tag}", objective.loop_count));
        } else {
            say.push(format!("The customer asks for {money}, loop count {}", objective.loop_count));
        }
        // Answers take the form of the first request (COM-12).
        let tag24 = self.asked.as_ref().map_or(money.tag24, |(asked, _)| asked.tag24);
        self.asked = Some((Money { tag24, ..money.clone() }, objective.clone()));
        if first {
            return self.request(say, &money);
        }
        if money.currency != NZD {
            return decline(say, "Invalid currency");
        }
        if money.amount <= 0 {
            return decline(say, "Invalid amount");
        }
        if self.random.random_bool(0.5) {
            let (wait, pause) = (self.wait.as_millis(), self.thinking.as_millis());
            say.push(format!("Wait started: {wait} ms for the customer, {pause} ms for me"));
            return Turn { say, act: Act::Wait { announce: self.wait, pause: self.thinking } };
        }
        self.decide(say)
    }

    fn waited(&mut self) -> Turn {
        self.decide(vec!["Wait ended".into()])
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        vec![super::outcome("The customer", &ended)]
    }
}
