//! Asks a peer for a block (RFC 8992 section 4.1).

use super::strategy::Speech;
use super::{deal, decline, read, turn};
use crate::delegator::{Question, write};
use crate::plausible::acceptable;
use crate::pool::Request;
use crate::pool::record::Deal;
use crate::prefix::{Prefix, Want};
use crate::wire::read_offer;
use asa_framework::event::Ending;
use asa_framework::roles::negotiator::{Act, Dialogue, Ended, Turn};
use grasp::wire::SessionId;
use grasp::{ErrorCode, Farewell, Objective, Value};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// An accept that leaves later than this after the offer may come too late for a peer that waits one second (PM-S-09).
const TOO_LATE: Duration = Duration::from_millis(800);
/// How long the peer may take to close the connection after an accept; until then nobody knows that it counts (PM-S-10).
const FAREWELL: Duration = Duration::from_secs(15);

enum Stage {
    /// The request is on its way.
    Asked,
    /// The pool is writing the offer down; no acceptance has left.
    Weighing,
    /// The acceptance is on its way.
    Accepted,
}

pub(super) struct Asker {
    speech: Arc<Speech>,
    want: Want,
    deal: Option<Deal>,
    stage: Stage,
    over: bool,
    last: Option<Question>,
}

impl Asker {
    pub(super) fn new(speech: Arc<Speech>, want: Want) -> Self {
        Self { speech, want, deal: None, stage: Stage::Asked, over: false, last: None }
    }

    fn offered(&self, offer: &Objective) -> Result<Prefix, String> {
        let value = offer.value.as_ref().ok_or("the offer has no value")?;
        let block = read_offer(self.speech.dialect, value).map_err(|error| error.to_string())?.prefix;
        self.speech.limits.check(&block).map_err(|error| error.to_string())?;
        let longest = self.want.length.saturating_add(self.speech.flexible).min(self.want.family.bits());
        let flexible = (self.speech.flexible > 0).then_some(longest);
        acceptable(self.want, &block, flexible)?;
        Ok(block)
    }

    fn question(&self, request: impl FnOnce(Deal) -> Request) -> Question {
        self.deal.clone().map_or(Question::Fruitless, |deal| Question::Pool(request(deal)))
    }
}

impl Dialogue for Asker {
    fn opened(&mut self, session: SessionId, peer: Option<SocketAddr>) -> Option<Value> {
        let deal = deal(session, peer);
        self.stage = Stage::Asked;
        self.deal = Some(deal.clone());
        Some(write(&Question::Pool(Request::Ask { deal, want: self.want })))
    }

    fn proposed(&mut self, offer: &Objective) -> Turn {
        let Some(deal) = self.deal.clone() else { return decline("not now") };
        match self.offered(offer) {
            Ok(block) => {
                self.stage = Stage::Weighing;
                turn(Act::Ask(write(&Question::Pool(Request::Accept { deal, block }))))
            }
            Err(reason) => decline(reason),
        }
    }

    fn answered(&mut self, answer: Result<Value, String>, took: Duration) -> Turn {
        if self.over {
            // What was written down meanwhile is taken back.
            self.last = Some(self.question(Request::Refuse));
            return decline("over");
        }
        match read(answer) {
            Ok(_) if took > TOO_LATE => decline("too late to accept"),
            Ok(_) if matches!(self.stage, Stage::Weighing) => {
                self.stage = Stage::Accepted;
                turn(Act::AcceptHeard { limit: FAREWELL })
            }
            Ok(_) => decline("nothing was offered"),
            Err(reason) => decline(reason),
        }
    }

    fn gains(&self) -> bool {
        // An accept of the request itself carries no block (PM-Q-08).
        matches!(self.stage, Stage::Accepted)
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        self.over = true;
        let last = match (&self.stage, ended.farewell) {
            // Nothing that could count has left, or the peer keeps its block whatever was on its way.
            (Stage::Asked | Stage::Weighing, _) => self.question(Request::Refuse),
            (Stage::Accepted, Some(Farewell::Clean)) => self.question(Request::Adopt),
            (Stage::Accepted, Some(Farewell::Reset)) => self.question(|deal| Request::DoubtTaken { deal, reset: true }),
            // The peer had closed before, so that the acceptance was not sent, or its decline has crossed it.
            (Stage::Accepted, None) if ended.code == Some(ErrorCode::NoSocket) => self.question(Request::Refuse),
            (Stage::Accepted, None) if ended.ending == Ending::Declined && !ended.by_us => {
                self.question(Request::Refuse)
            }
            (Stage::Accepted, Some(Farewell::Silent) | None) => {
                self.question(|deal| Request::DoubtTaken { deal, reset: false })
            }
        };
        self.last = Some(last);
        Vec::new()
    }

    fn settles(&mut self) -> Option<Value> {
        self.last.take().map(|question| write(&question))
    }
}
