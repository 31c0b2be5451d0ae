//! Offers a peer a block (RFC 8992 section 4.2).

use super::strategy::Speech;
use super::{deal, decline, read, turn};
use crate::delegator::{Question, Response, write};
use crate::pool::Request;
use crate::pool::record::Deal;
use crate::wire::{Form, read_request, write_offer};
use asa_framework::event::Ending;
use asa_framework::roles::negotiator::{Act, Dialogue, Ended, Turn};
use grasp::wire::SessionId;
use grasp::{Objective, Value};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The delegator has not been asked for anything.
    Nothing,
    /// Perhaps set aside; the peer has not heard of it, or does not want it.
    Unsent,
    /// The peer may accept it at any moment.
    Offered,
}

pub(super) struct Giver {
    speech: Arc<Speech>,
    deal: Option<Deal>,
    /// What was last asked, and its form.
    request: Option<(Objective, Form)>,
    held: Held,
    over: bool,
    last: Option<Question>,
}

impl Giver {
    pub(super) fn new(speech: Arc<Speech>) -> Self {
        Self { speech, deal: None, request: None, held: Held::Nothing, over: false, last: None }
    }

    fn is_dry(&self) -> bool {
        self.request.as_ref().is_some_and(|(request, _)| request.is_dry_run())
    }
}

impl Dialogue for Giver {
    fn opened(&mut self, session: SessionId, peer: Option<SocketAddr>) -> Option<Value> {
        self.deal = Some(deal(session, peer));
        None
    }

    fn proposed(&mut self, request: &Objective) -> Turn {
        // A counter-proposal turns the offer down (PM-S-07).
        if self.held == Held::Offered {
            self.held = Held::Unsent;
        }
        let Some(deal) = self.deal.clone() else { return decline("your address is not known") };
        let dry = request.is_dry_run();
        if dry && !self.speech.dry_runs {
            return decline("dry runs are not held here");
        }
        let Some(value) = &request.value else { return decline("the request has no value") };
        match read_request(self.speech.dialect, value) {
            Ok(asked) => {
                tracing::debug!(form = %asked.form, want = %asked.want, peer = deal.peer, "a prefix is asked for");
                if asked.surplus {
                    tracing::info!(peer = deal.peer, "a request has more items than its form; they are ignored");
                }
                self.request = Some((request.clone(), asked.form));
                self.held = Held::Unsent;
                turn(Act::Ask(write(&Question::Serve { deal, want: asked.want, dry })))
            }
            Err(error) => {
                tracing::info!(peer = deal.peer, %error, "a request for a prefix is not understood");
                decline(error.to_string())
            }
        }
    }

    fn answered(&mut self, answer: Result<Value, String>, _: Duration) -> Turn {
        let block = match read(answer) {
            Ok(Response::Block(block)) => block,
            Ok(_) => return decline("no block"),
            Err(reason) => return decline(reason),
        };
        let Some((request, form)) = self.request.clone().filter(|_| !self.over) else { return decline("over") };
        match write_offer(form, &block) {
            Ok(value) => {
                self.held = Held::Offered;
                turn(Act::Propose(request.with_value(value)))
            }
            Err(error) => decline(error.to_string()),
        }
    }

    fn exhausted(&mut self) -> String {
        if self.held == Held::Offered {
            self.held = Held::Unsent;
        }
        "Loop count exhausted".into()
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        self.over = true;
        let Some(deal) = self.deal.clone() else { return Vec::new() };
        self.last = match (self.held, ended.ending) {
            (Held::Nothing, _) => None,
            (Held::Unsent, _) => Some(Question::Pool(Request::Release(deal))),
            // What a dry run sets aside stays so for its time, whatever is said (PM-Y-03).
            (Held::Offered, Ending::Accepted) if self.is_dry() => Some(Question::Over(deal)),
            (Held::Offered, Ending::Accepted) if !ended.by_us => Some(Question::Pool(Request::Confirm(deal))),
            (Held::Offered, Ending::Declined) if !ended.by_us => Some(Question::Pool(Request::Release(deal))),
            (Held::Offered, _) if ended.orderly => Some(Question::Pool(Request::Release(deal))),
            // Nobody knows what the peer has sent meanwhile.
            (Held::Offered, _) => Some(Question::Pool(Request::Doubt(deal))),
        };
        Vec::new()
    }

    fn settles(&mut self) -> Option<Value> {
        self.last.take().map(|question| write(&question))
    }
}
