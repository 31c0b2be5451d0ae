//! What to do next, and who talks.

use super::asker::Asker;
use super::giver::Giver;
use super::read;
use crate::delegator::{Question, Response, write};
use crate::plausible::Limits;
use crate::prefix::Want;
use crate::wire::params::OBJECTIVE as PARAMS;
use crate::wire::{Dialect, Form, write_request};
use asa_framework::roles::negotiator::{Dialogue, Heard, Strategy, StrategyFactory, Task};
use grasp::{Objective, Value};
use std::sync::Arc;
use std::time::Duration;

/// Time to look for a peer.
const DISCOVERY: Duration = Duration::from_secs(1);
/// Time to read parameters of which no flooded copy is there.
const READING: Duration = Duration::from_secs(2);
/// Who is named as the source of parameters that were asked for, since the answer does not tell.
const ANSWERED: &str = "a node that was asked";
/// Pause before the delegator is asked again after it has not answered.
const PAUSE: Duration = Duration::from_secs(1);
/// Loop count of requests: none is specified, so it is the default of RFC 8990 section 2.6 (PM-W-11).
const LOOP_COUNT: u8 = 6;

/// How a pool is spoken for.
#[derive(Debug, Clone)]
pub struct Speech {
    /// Under which objective.
    pub dialect: Dialect,
    /// In which form this node asks; `None` never asks others.
    pub asks: Option<Form>,
    /// Which offers are taken.
    pub limits: Limits,
    /// Bits by which a prefix may be longer than what was asked for and still be taken (PM-Q-04).
    pub flexible: u8,
    /// Whether dry runs are answered.
    pub dry_runs: bool,
}

impl Speech {
    /// The objective.
    #[must_use]
    pub fn objective(&self) -> Objective {
        Objective::negotiation(self.dialect.objective()).with_loop_count(LOOP_COUNT)
    }
}

/// The strategy of a negotiator whose advisor is the [`Delegator`](crate::delegator::Delegator).
pub struct PrefixStrategy {
    speech: Arc<Speech>,
    next: Next,
    copies: Vec<(Option<String>, Value)>,
    /// What was wanted cannot be asked for.
    unable: bool,
}

enum Next {
    Ask,
    Pause,
    Look,
    Read,
    Tell,
    Negotiate(Want),
}

impl PrefixStrategy {
    /// Makes the strategy of each life.
    pub fn factory(speech: Speech) -> StrategyFactory {
        let speech = Arc::new(speech);
        Arc::new(move || Box::new(Self { speech: speech.clone(), next: Next::Ask, copies: Vec::new(), unable: false }))
    }
}

impl Strategy for PrefixStrategy {
    fn task(&mut self) -> Task {
        let Some(form) = self.speech.asks else { return Task::Idle };
        match std::mem::replace(&mut self.next, Next::Ask) {
            Next::Ask => Task::Ask(write(&Question::Need)),
            Next::Pause => Task::Pause(PAUSE),
            Next::Look => Task::Look(Objective::synchronization(PARAMS)),
            Next::Read => Task::Read { objective: Objective::synchronization(PARAMS), timeout: READING },
            Next::Tell => Task::Ask(write(&Question::Params(std::mem::take(&mut self.copies)))),
            Next::Negotiate(want) => match write_request(form, want) {
                Ok(value) => {
                    let objective = self.speech.objective().with_value(value);
                    let dialogue = Box::new(Asker::new(self.speech.clone(), want));
                    Task::Negotiate { objective, discovery: DISCOVERY, flush: false, dialogue }
                }
                // The form that was chosen cannot carry that family: nobody can be asked.
                Err(_) => {
                    self.unable = true;
                    Task::Ask(write(&Question::Fruitless))
                }
            },
        }
    }

    fn heard(&mut self, heard: Heard<'_>) -> Vec<String> {
        self.next = match heard {
            Heard::Copies(_, []) => Next::Read,
            Heard::Copies(_, copies) => {
                let valued =
                    copies.iter().filter_map(|(source, objective)| Some((source.clone(), objective.value.clone()?)));
                self.copies = valued.collect();
                Next::Tell
            }
            Heard::Value(objective) => {
                self.copies =
                    objective.value.clone().map(|value| (Some(ANSWERED.to_owned()), value)).into_iter().collect();
                Next::Tell
            }
            Heard::Nothing(..) => Next::Ask,
        };
        Vec::new()
    }

    fn answered(&mut self, answer: Result<Value, String>) -> Vec<String> {
        self.next = match read(answer) {
            Ok(Response::Need(want)) => Next::Negotiate(want),
            Ok(Response::Look) => Next::Look,
            // It would be wanted again at once.
            Ok(Response::Done) if std::mem::take(&mut self.unable) => Next::Pause,
            Ok(Response::Done) => Next::Ask,
            Ok(Response::Block(_) | Response::Verdict(_)) | Err(_) => Next::Pause,
        };
        Vec::new()
    }

    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        Box::new(Giver::new(self.speech.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plausible::Shortest;
    use crate::prefix::Family;
    use crate::wire::Shape;

    /// A form that cannot carry a family does not keep the node busy with it.
    #[test]
    fn what_the_form_cannot_carry_is_not_wanted_again_at_once() {
        let limits = Limits { permitted: Vec::new(), shortest: Shortest { v4: 8, v6: 16 }, documentation: true };
        let asks = Some(Form::plain(Shape::F1));
        let speech = Speech { dialect: Dialect::PrefixManager, asks, limits, flexible: 0, dry_runs: false };
        let mut strategy = PrefixStrategy::factory(speech)();
        for _ in 0..2 {
            assert!(matches!(strategy.task(), Task::Ask(question) if question == write(&Question::Need)));
            let want = Want::new(Family::V4, 24).unwrap();
            strategy.answered(Ok(write(&Response::Need(want))));
            assert!(matches!(strategy.task(), Task::Ask(question) if question == write(&Question::Fruitless)));
            strategy.answered(Ok(write(&Response::Done)));
            assert!(matches!(strategy.task(), Task::Pause(_)));
        }
    }
}
