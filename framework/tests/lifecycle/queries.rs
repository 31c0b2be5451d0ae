//! What operators ask of an instance itself.

use super::*;
use actix::prelude::*;
use asa_framework::class::{Agent, ClassInfo, Query, Site};
use asa_framework::manifest::Problem;
use asa_framework::roles::{Control, Load, Outstanding};
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use supervision::{Fresh, child};

/// Answers queries, or not.
struct Office {
    name: &'static str,
    desk: bool,
}

static OFFICE: Office = Office { name: "office", desk: true };
static SHED: Office = Office { name: "shed", desk: false };

struct Clerk;

impl Fresh for Clerk {
    fn fresh(&self) -> Self {
        Self
    }
}

child!(Clerk);

impl Actor for Clerk {
    type Context = Context<Self>;
}

impl Handler<Query> for Clerk {
    type Result = ResponseFuture<Result<Value, Failure>>;

    fn handle(&mut self, Query(query): Query, _: &mut Context<Self>) -> Self::Result {
        assert!(query != json!("fall"), "as ordered");
        Box::pin(async move {
            match query.as_str() {
                Some("never") => std::future::pending().await,
                Some("no") => Err(Failure::new(FailureCode::Refused, "not today")),
                _ => Ok(json!({ "heard": query })),
            }
        })
    }
}

impl Handler<Control> for Clerk {
    type Result = ();

    fn handle(&mut self, _: Control, _: &mut Context<Self>) {}
}

impl Handler<Outstanding> for Clerk {
    type Result = Load;

    fn handle(&mut self, _: Outstanding, _: &mut Context<Self>) -> Load {
        Load::default()
    }
}

impl ClassInfo for Office {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn summary(&self) -> &'static str {
        "answers"
    }

    fn defaults(&self) -> &'static str {
        ""
    }

    fn check(&self, _: &Value) -> Vec<Problem> {
        Vec::new()
    }
}

impl Class for Office {
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, grasp::Error>> {
        let answers = self.desk;
        Box::pin(async move {
            let agent = Agent::new(site.register().await?);
            let clerk = site.role("clerk", |_| Clerk);
            Ok(if answers { agent.desk(clerk.recipient()) } else { agent })
        })
    }
}

async fn ask(harness: &Harness, instance: &str, query: Value) -> Result<Value, Failure> {
    harness.execute("mall", Command::Query { instance: instance.to_owned(), query }).await
}

/// What it is refused with.
async fn refusal(harness: &Harness, instance: &str) -> (FailureCode, String) {
    let failure = ask(harness, instance, json!("x")).await.unwrap_err();
    (failure.code, failure.message)
}

const MALL: &str = "[asa.one]\nclass = 'office'\n[asa.shed]\nclass = 'shed'\n";

/// PM-L-04
#[test]
fn a_query_reaches_the_desk_of_its_instance_and_the_answer_comes_back_as_it_is() {
    testing::run(21, async |harness| {
        harness.node("mall", &[&OFFICE, &SHED], MALL).await;
        for instance in ["one", ""] {
            let query = json!({"of": [null, 1.5, {"deep": "x"}]});
            assert_eq!(ask(&harness, instance, query.clone()).await.unwrap(), json!({ "heard": query }));
        }
        let failure = ask(&harness, "one", json!("no")).await.unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (FailureCode::Refused, "not today"));
        let (code, message) = refusal(&harness, "shed").await;
        assert!(code == FailureCode::Refused && message.contains("answers no queries"), "{message}");
        assert_eq!(refusal(&harness, "six").await.0, FailureCode::Unknown);
    });
}

#[test]
fn which_instance_is_meant_is_never_guessed() {
    testing::run(22, async |harness| {
        harness.node("mall", &[&OFFICE, &SHED], &format!("{MALL}[asa.two]\nclass = 'office'\n")).await;
        let (code, message) = refusal(&harness, "").await;
        assert!(code == FailureCode::Refused && message.contains("one, two"), "{message}");
        moved(&harness, "mall", "two", Move::Deactivate).await.unwrap();
        moved(&harness, "mall", "two", Move::Revoke).await.unwrap();
        let (code, message) = refusal(&harness, "two").await;
        assert!(code == FailureCode::Refused && message.contains("two is installed"), "{message}");
        assert_eq!(ask(&harness, "", json!(7)).await.unwrap(), json!({"heard": 7}));
        moved(&harness, "mall", "one", Move::Deactivate).await.unwrap();
        assert_eq!(
            ask(&harness, "one", json!(7)).await.unwrap(),
            json!({"heard": 7}),
            "it is set down and still answers"
        );
        moved(&harness, "mall", "one", Move::Revoke).await.unwrap();
        let (code, message) = refusal(&harness, "").await;
        assert!(code == FailureCode::Unknown && message.contains("one is installed"), "{message}");
    });
}

#[test]
fn a_desk_that_falls_or_never_answers_holds_up_nobody_else() {
    testing::run(23, async |harness| {
        harness.node("mall", &[&OFFICE, &SHED], MALL).await;
        let begun = harness.now();
        let (never, heard) = futures_util::join!(ask(&harness, "one", json!("never")), async {
            let heard = ask(&harness, "one", json!(1)).await;
            (heard, harness.now() - begun)
        });
        assert_eq!(heard.0.unwrap(), json!({"heard": 1}));
        assert!(heard.1 < SECOND, "{:?}", heard.1);
        let failure = never.unwrap_err();
        assert!(failure.code == FailureCode::Failed && failure.message.contains("within 120 s"), "{failure}");
        assert_eq!((harness.now() - begun).as_secs(), 120);
        let failure = ask(&harness, "one", json!("fall")).await.unwrap_err();
        assert!(failure.code == FailureCode::Failed && failure.message.contains("has failed over it"), "{failure}");
        tokio::time::sleep(SECOND).await;
        assert_eq!(ask(&harness, "one", json!(2)).await.unwrap(), json!({"heard": 2}));
    });
}
