//! The side that is asked.

use super::message::{Message, Verb};
use crate::delegator::{Question, Response, write};
use crate::pool::record::Part;
use crate::pool::{Request, Verdict};
use asa_framework::event::Ending;
use asa_framework::roles::negotiator::{Act, Dialogue, Ended, Strategy, StrategyFactory, Turn};
use grasp::wire::SessionId;
use grasp::{Objective, Value};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Answers requests of both private objectives; the advisor is the [`Delegator`](crate::delegator::Delegator).
pub struct AnswerStrategy;

impl AnswerStrategy {
    /// Makes the strategy of each life.
    #[must_use]
    pub fn factory() -> StrategyFactory {
        Arc::new(|| Box::new(Self))
    }
}

impl Strategy for AnswerStrategy {
    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        Box::new(Answerer { peer: String::new(), request: None, told: None })
    }
}

struct Answerer {
    peer: String,
    request: Option<(Objective, Message)>,
    told: Option<Verdict>,
}

fn turn(act: Act) -> Turn {
    Turn { say: Vec::new(), act }
}

impl Answerer {
    /// What the pool is asked on behalf of the peer.
    fn question(&self, request: Request) -> Value {
        write(&Question::Pool(Request::From { peer: self.peer.clone(), request: Box::new(request) }))
    }
}

impl Dialogue for Answerer {
    fn opened(&mut self, _: SessionId, peer: Option<SocketAddr>) -> Option<Value> {
        self.peer = peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        None
    }

    fn proposed(&mut self, request: &Objective) -> Turn {
        if self.request.is_some() || request.is_dry_run() {
            return turn(Act::Decline("one question, and no dry run".into()));
        }
        let Some(value) = &request.value else { return turn(Act::Decline("the request has no value".into())) };
        let message = match Message::read(value) {
            Ok(message) => message,
            Err(error) => return turn(Act::Decline(error.to_string())),
        };
        self.request = Some((request.clone(), message));
        let Message { verb, session, block } = message;
        let asked = match verb {
            Verb::Took => Request::Examine { session, block, asker: Part::Asker },
            Verb::Gave => Request::Examine { session, block, asker: Part::Provider },
            Verb::Return => Request::TakeBack { session, block },
            Verb::Moved | Verb::Kept => return turn(Act::Decline("that is an answer, not a question".into())),
        };
        turn(Act::Ask(self.question(asked)))
    }

    fn answered(&mut self, answer: Result<Value, String>, _: Duration) -> Turn {
        let Some((request, message)) = self.request.clone() else { return turn(Act::Decline("over".into())) };
        let response = answer.and_then(|answer| answer.decode::<Response>().map_err(|error| error.to_string()));
        match response {
            // It is taken back.
            Ok(Response::Done) => turn(Act::Accept),
            Ok(Response::Verdict(verdict @ (Verdict::Moved | Verdict::Kept))) => {
                self.told = Some(verdict);
                let verb = if verdict == Verdict::Moved { Verb::Moved } else { Verb::Kept };
                turn(Act::Propose(request.with_value(Message { verb, ..message }.write())))
            }
            Ok(Response::Verdict(Verdict::Open)) => turn(Act::Decline("open".into())),
            Ok(_) => turn(Act::Decline("unknown".into())),
            Err(why) => turn(Act::Decline(why)),
        }
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        let heard = ended.ending == Ending::Accepted && !ended.by_us;
        // A taker that was told that it has nothing has let go: this side is no longer in doubt.
        let took = self.request.as_ref().is_some_and(|(_, message)| message.verb == Verb::Took);
        if !(heard && took && self.told == Some(Verdict::Kept)) {
            self.told = None;
        }
        Vec::new()
    }

    fn settles(&mut self) -> Option<Value> {
        let (_, Message { session, block, .. }) = self.request.as_ref()?;
        let (session, block) = (*session, *block);
        self.told.take().map(|_| self.question(Request::Settle { block, session, moved: false }))
    }
}
