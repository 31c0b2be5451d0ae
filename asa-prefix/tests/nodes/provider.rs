//! A provider that does as it is told.

use asa_framework::testing::Harness;
use grasp::{Asa, Error, Objective, Registration, Session, Step, Value, hex};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// What it does with a request; the last one is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Play {
    /// Offers this value, in hexadecimal digits.
    Offer(&'static str),
    Decline(&'static str),
    /// Accepts the request itself.
    Accept,
}

/// A request, in hexadecimal digits, and what came of it.
pub(crate) type Played = (String, Result<Step, Error>);

/// A provider, and what it has been asked.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) asa: Asa,
    played: Rc<RefCell<Vec<Played>>>,
}

impl Provider {
    pub(crate) async fn start(harness: &Harness, name: &str, v6: Vec<Play>, v4: Vec<Play>) -> Self {
        let asa = harness.peer(name).await;
        let objective = Objective::negotiation("PrefixManager");
        asa.register_objective(&objective, Registration::default()).await.unwrap();
        let provider = Self { asa, played: Rc::default() };
        let serving = provider.clone();
        tokio::task::spawn_local(async move {
            let mut plays = [v6.into_iter(), v4.into_iter()];
            let mut last = [Play::Decline("nothing"); 2];
            while let Ok((session, request)) = serving.asa.listen_negotiate(&objective).await {
                let asked = hex::encode(request.value.as_ref().unwrap().as_bytes());
                let family = usize::from(asked.starts_with("8204"));
                last[family] = plays[family].next().unwrap_or(last[family]);
                let came = play(&session, &request, last[family]).await;
                serving.played.borrow_mut().push((asked, came));
            }
        });
        provider
    }

    /// What it has been asked.
    pub(crate) fn played(&self) -> Vec<Played> {
        self.played.borrow().clone()
    }

    /// How often what it did was accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.played().iter().filter(|(_, came)| matches!(came, Ok(Step::Accepted(_)))).count()
    }
}

async fn play(session: &Session, request: &Objective, play: Play) -> Result<Step, Error> {
    match play {
        Play::Offer(value) => {
            let value = Value::from_encoded(hex::decode(value).unwrap()).unwrap();
            session.negotiate_step(&request.clone().with_value(value), Duration::from_secs(10)).await
        }
        Play::Decline(reason) => {
            session.end_negotiate(false, Some(reason)).await.map(|()| Step::Offered(request.clone()))
        }
        Play::Accept => session.end_negotiate(true, None).await.map(|()| Step::Offered(request.clone())),
    }
}
