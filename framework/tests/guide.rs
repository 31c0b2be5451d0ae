//! The guide for authors says what the code does: its excerpts stand in the example or in this file, and what it promises holds.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail loudly")]

use asa_framework::class::{Agent, Class, ClassInfo, Site};
use asa_framework::manifest::Problem;
use asa_framework::roles::negotiator::{Act, Dialogue, Ended, Negotiator, NegotiatorArgs, Strategy, Turn};
use asa_framework::testing;
use futures_util::future::LocalBoxFuture;
use grasp::{Negotiated, Objective, Registration, Value};
use std::sync::Arc;
use std::time::Duration;
use supervision::Fault;

struct Lender;

impl Strategy for Lender {
    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        Box::new(Loan)
    }
}

struct Loan;

impl Dialogue for Loan {
    fn proposed(&mut self, offer: &Objective) -> Turn {
        let act = match offer.value.as_ref().and_then(|value| value.decode::<u32>().ok()) {
            Some(0..=10) => Act::Accept,
            Some(_) => Act::Propose(offer.clone().with_value(amount(10))),
            None => Act::Decline("expected an amount".into()),
        };
        Turn { say: Vec::new(), act }
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        vec![format!("ended: {:?}", ended.ending)]
    }
}

fn loan() -> Objective {
    Objective::negotiation("32473:loan")
}

fn amount(units: u32) -> Value {
    Value::item(&units).unwrap_or_else(|_| Value::null())
}

struct Lending;

impl ClassInfo for Lending {
    fn name(&self) -> &'static str {
        "lending"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn summary(&self) -> &'static str {
        "lends up to ten of anything"
    }

    fn defaults(&self) -> &'static str {
        ""
    }

    fn check(&self, _: &serde_json::Value) -> Vec<Problem> {
        Vec::new()
    }
}

impl Class for Lending {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, grasp::Error>> {
        Box::pin(async move {
            let asa = site.register().await?;
            asa.register_objective(&loan(), Registration { overlap: true, ..Registration::default() }).await?;
            let lender = NegotiatorArgs::new(&asa, &site, Arc::new(|| Box::new(Lender)));
            let lender = NegotiatorArgs { listens: Some(loan()), ..lender };
            site.role("negotiator", move |_| Negotiator::new(lender));
            Ok(Agent::new(asa))
        })
    }
}

#[test]
fn it_lends_again_after_a_crash() {
    testing::run(7, async |harness| {
        harness.node("bank", &[&Lending], "[asa.one]\nclass = 'lending'\n").await;
        let customer = harness.peer("customer").await;
        customer.register_objective(&loan(), Registration::default()).await.unwrap();
        for life in 2..5 {
            let fault = harness.inject("bank", "one", "negotiator", Fault::Panic, 1);
            harness.nudge("bank", "one", "negotiator");
            let recovery = harness.assert_recovers(&fault, Duration::from_secs(1)).await;
            assert_eq!((recovery.life, recovery.rebuilt), (life, false));
            let answer = customer.request_negotiate(&loan().with_value(amount(7)), None, Duration::from_secs(5)).await;
            assert!(matches!(answer, Ok(Negotiated::Accepted(_))), "{answer:?}\n{}", harness.story());
        }
    });
}

const GUIDE: &str = include_str!("../WRITING_AN_ASA.md");

/// What stands between lines that begin with three backquotes and this word, block by block.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let begun = GUIDE.split(&fence).skip(1);
    begun.map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// Whether the lines stand somewhere in a source in this order and next to each other, however indented; `// …` or `# …`
/// stands for any number of lines.
fn stands_in(source: &str, excerpt: &str) -> bool {
    let source: Vec<&str> = source.lines().map(str::trim).collect();
    let mut from = 0;
    excerpt.replace("# …", "// …").split("// …").all(|part| {
        let wanted: Vec<&str> = part.lines().map(str::trim).skip_while(|line| line.is_empty()).collect();
        let end = wanted.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        let wanted = &wanted[..end];
        let found = (from..=source.len()).find(|at| source[*at..].starts_with(wanted));
        from = found.map_or(from, |at| at + wanted.len());
        found.is_some()
    })
}

/// GAP-35: an author may trust every line of the guide.
#[test]
fn every_excerpt_stands_in_the_example_or_here() {
    let sources = [include_str!("../examples/vlan_pool.rs"), include_str!("guide.rs")];
    let excerpts = blocks("rust,ignore");
    assert!(excerpts.len() >= 8, "{} excerpts", excerpts.len());
    for excerpt in excerpts {
        assert!(sources.iter().any(|source| stands_in(source, excerpt)), "not in the code:\n{excerpt}");
    }
    let manifest = include_str!("../../config/vlans.toml");
    let excerpts = blocks("toml");
    assert!(!excerpts.is_empty());
    for excerpt in excerpts {
        assert!(stands_in(manifest, excerpt), "not in config/vlans.toml:\n{excerpt}");
    }
}
