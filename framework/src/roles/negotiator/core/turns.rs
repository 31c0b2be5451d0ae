//! The sessions: whose turn it is, and how each comes to its end.

use super::{Closing, NegotiatorCore};
use crate::event::Ending;
use crate::machine::Time;
use crate::roles::negotiator::open::{Asking, Closed, Open, Preparing};
use crate::roles::negotiator::plan::{Counsel, Failure, Opened, Output, Proposal};
use crate::roles::negotiator::seek::Seek;
use crate::roles::negotiator::strategy::{Act, Dialogue, Ended, Turn};
use grasp::{Error, ErrorCode, Farewell, Objective, StreamEnd, Value};
use rand::RngExt;

fn outcome(error: &Error) -> (Ending, String) {
    if error.code == ErrorCode::Declined {
        (Ending::Declined, error.detail.clone())
    } else {
        (Ending::Failed, error.to_string())
    }
}

/// Who ended a session, and what is known of that.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Manner {
    pub(super) by_us: bool,
    pub(super) code: Option<ErrorCode>,
    pub(super) orderly: bool,
    pub(super) farewell: Option<Farewell>,
}

impl From<&Error> for Manner {
    /// The other side, or the connection.
    fn from(error: &Error) -> Self {
        Self { by_us: false, code: Some(error.code), orderly: error.ending == Some(StreamEnd::Orderly), farewell: None }
    }
}

impl NegotiatorCore {
    pub(super) fn requested(&mut self, now: Time, key: u64, request: Objective, Opened { session_id, peer }: Opened) {
        // One that was handed over when listening ended is served: its sender has been let in.
        let mut dialogue: Box<dyn Dialogue> = if self.sessions() >= self.plan.sessions {
            Box::new(Closed("too many sessions"))
        } else {
            self.strategy.requested(&request)
        };
        let say = dialogue.begins();
        let _ = dialogue.opened(session_id, peer);
        self.open.insert(key, Open::new(dialogue, request.clone(), None, peer.map(|peer| peer.ip())));
        self.say(Some(key), say);
        self.proposed(now, key, request);
    }

    /// A session of this side's own has its id: the request leaves when the dialogue and its advisor agree.
    pub(super) fn opened(&mut self, key: u64, Opened { session_id, peer }: Opened) {
        let Some(open) = self.open.get_mut(&key) else { return };
        match open.dialogue.opened(session_id, peer) {
            Some(question) => {
                open.preparing = Preparing::Asked;
                let counsel = Counsel { peer: open.peer, mutual: false, question };
                self.outputs.push_back(Output::Prepare(key, counsel));
            }
            None => self.outputs.push_back(Output::Go(key, Ok(()))),
        }
    }

    pub(super) fn prepared(&mut self, now: Time, key: u64, answer: Result<Value, String>) {
        if let Some(Closing { dialogue: Some(dialogue), initiator, .. }) = self.closing.remove(&key) {
            if self.settles(now, key, dialogue, false, initiator) {
                self.next_task(now);
            }
            return;
        }
        let Some(open) = self.open.get_mut(&key) else { return };
        open.preparing = if answer.is_ok() { Preparing::No } else { Preparing::Refused };
        self.outputs.push_back(Output::Go(key, answer.map(drop)));
    }

    pub(super) fn proposed(&mut self, now: Time, key: u64, offer: Objective) {
        let Some(open) = self.open.get_mut(&key) else { return };
        open.seek = None;
        let turn = open.dialogue.proposed(&offer);
        open.table = offer;
        self.play(now, key, turn);
    }

    fn play(&mut self, now: Time, key: u64, Turn { say, act }: Turn) {
        self.say(Some(key), say);
        let mutual = |open: &Open| {
            let waits = |other: &Open| other.initiator && other.peer.is_some() && other.peer == open.peer;
            !open.initiator && self.open.values().any(waits)
        };
        let mutual = self.open.get(&key).is_some_and(mutual);
        let Some(open) = self.open.get_mut(&key) else { return };
        match act {
            Act::Accept => {
                open.ending = Some((Ending::Accepted, None));
                self.outputs.push_back(Output::End(key, Ok(())));
            }
            Act::AcceptHeard { limit } => {
                open.ending = Some((Ending::Accepted, None));
                self.outputs.push_back(Output::AcceptHeard(key, limit));
            }
            Act::Decline(reason) => {
                open.ending = Some((Ending::Declined, Some(reason.clone())));
                self.outputs.push_back(Output::End(key, Err(reason)));
            }
            Act::Propose(objective) => {
                open.sending = Some(objective.clone());
                self.outputs.push_back(Output::Step(key, objective, self.plan.step_timeout));
            }
            Act::Wait { announce, pause } => {
                open.resume = Some(now + pause);
                self.outputs.push_back(Output::Wait(key, announce));
            }
            Act::Ask(question) => {
                open.asking = Some(Asking { since: now, remind: now + self.plan.patience });
                let counsel = Counsel { peer: open.peer, mutual, question };
                self.outputs.push_back(Output::Consult(Some(key), counsel));
            }
        }
    }

    pub(super) fn answered(&mut self, now: Time, key: u64, answer: Result<Proposal, Failure>) {
        if let Some(open) = self.open.get_mut(&key) {
            let unsent = matches!(answer, Err(Failure { open: true, .. }));
            if let Some(sent) = open.sending.take().filter(|_| !unsent) {
                open.table = sent;
            }
        }
        match answer {
            Ok(Proposal::Offered(offer)) => self.proposed(now, key, offer),
            Ok(Proposal::Accepted(agreed)) => {
                if let Some(open) = self.open.get_mut(&key) {
                    open.table = agreed;
                }
                self.over(now, key, Ending::Accepted, None, Manner::default());
            }
            Err(Failure { error, open: true }) if error.code == ErrorCode::LoopExhausted => {
                let Some(open) = self.open.get_mut(&key) else { return };
                let reason = open.dialogue.exhausted();
                self.play(now, key, Turn { say: Vec::new(), act: Act::Decline(reason) });
            }
            Err(Failure { error, open: true }) => {
                let turn = Turn { say: Vec::new(), act: Act::Decline(error.to_string()) };
                self.play(now, key, turn);
            }
            // Nothing was sent: that is no peer's fault, and no other peer is to be asked instead.
            Err(Failure { error, open: false })
                if self.open.get(&key).is_some_and(|open| open.preparing != Preparing::No) =>
            {
                self.over(now, key, Ending::Failed, Some(error.to_string()), Manner::from(&error));
            }
            Err(Failure { error, open: false }) => {
                if self.plainer(now, key, &error) {
                    return;
                }
                let draw = self.random.random();
                let Some(open) = self.open.get_mut(&key) else { return };
                let (name, seek) = (open.table.name.clone(), open.seek.take());
                let Some(mut seek) = seek else { return self.failed(now, key, error) };
                let next = seek.refused(now, self.peers_of(&name), error, draw);
                if let Some(open) = self.open.get_mut(&key) {
                    open.seek = Some(seek);
                }
                self.seek(now, key, next);
            }
        }
    }

    /// Asks the same peer once more without optional features (ASA-R-09); tells whether there are any.
    fn plainer(&mut self, now: Time, key: u64, error: &Error) -> bool {
        let refused = matches!(error.code, ErrorCode::Declined | ErrorCode::NoValidStep);
        let Some(open) = self.open.get_mut(&key).filter(|_| refused) else { return false };
        let first = open.seek.as_ref().is_some_and(|seek| !seek.plain);
        let Some(peer) = open.seek.as_ref().and_then(Seek::at).filter(|_| first).cloned() else { return false };
        let Some(plain) = open.dialogue.plainer() else { return false };
        let Some(open) = self.open.remove(&key) else { return false };
        let (ending, reason) = outcome(error);
        self.outputs.push_back(Output::Over { key, ending, objective: Some(open.table), reason: Some(reason) });
        let (seek, first) = Seek::again(peer);
        let key = self.enter(open.dialogue, plain, seek);
        self.seek(now, key, first);
        true
    }

    pub(super) fn failed(&mut self, now: Time, key: u64, error: Error) {
        if error.code == ErrorCode::NoDiscoveryReply {
            // There was nobody to negotiate with, so this was no negotiation.
            let Some(mut open) = self.open.remove(&key) else { return };
            let draw = self.random.random();
            self.peers_of(&open.table.name).attempt_failed(now, draw);
            let reason = error.to_string();
            let ended = Ended { reason: Some(&reason), code: Some(error.code), ..Ended::new(Ending::Failed, false) };
            let say = open.dialogue.ended(ended);
            self.say(None, say);
            if self.settles(now, key, open.dialogue, false, true) {
                self.next_task(now);
            }
            return;
        }
        let (ending, reason) = outcome(&error);
        self.over(now, key, ending, Some(reason), Manner::from(&error));
    }

    /// The other side, or the connection, has ended it.
    fn over(&mut self, now: Time, key: u64, ending: Ending, reason: Option<String>, manner: Manner) {
        if self.conclude(now, key, ending, reason, manner) {
            self.next_task(now);
        }
    }

    /// Closes the books on a session; tells whether the next task is due.
    pub(super) fn conclude(
        &mut self,
        now: Time,
        key: u64,
        ending: Ending,
        reason: Option<String>,
        manner: Manner,
    ) -> bool {
        let Some(mut open) = self.open.remove(&key) else { return false };
        let gained = open.dialogue.gains();
        if let Some(peer) = open.asked.as_ref() {
            let draws = (self.random.random(), self.random.random());
            let peers = self.peers_of(&open.table.name);
            if ending == Ending::Accepted && gained {
                peers.succeeded(peer);
            } else {
                // A search that came to nothing has already told of each peer.
                if open.seek.is_none() {
                    peers.failed(now, peer, draws.0);
                }
                peers.attempt_failed(now, draws.1);
            }
        }
        let (objective, reason_text) = (Some(&open.table), reason.as_deref());
        let Manner { by_us, code, orderly, farewell } = manner;
        let ended = Ended { ending, by_us, objective, reason: reason_text, code, orderly, farewell };
        let say = open.dialogue.ended(ended);
        self.say(Some(key), say);
        let asking = open.asking.is_some() || open.preparing == Preparing::Asked;
        let due = self.settles(now, key, open.dialogue, asking, open.initiator);
        self.outputs.push_back(Output::Over { key, ending, objective: Some(open.table), reason });
        due
    }

    /// Sees to it that nothing is left owing; tells whether the next task is due.
    fn settles(&mut self, now: Time, key: u64, mut dialogue: Box<dyn Dialogue>, asking: bool, initiator: bool) -> bool {
        if asking {
            self.closing.insert(key, Closing { dialogue: Some(dialogue), since: now, initiator });
            return false;
        }
        let Some(question) = dialogue.settles() else { return initiator };
        self.closing.insert(key, Closing { dialogue: None, since: now, initiator });
        self.outputs.push_back(Output::Settle(key, Counsel { peer: None, mutual: false, question }));
        false
    }

    pub(super) fn advised(&mut self, now: Time, key: u64, answer: Result<Value, String>) {
        if let Some(Closing { dialogue: Some(mut dialogue), since, initiator }) = self.closing.remove(&key) {
            let _ = dialogue.answered(answer, now.since(since));
            if self.settles(now, key, dialogue, false, initiator) {
                self.next_task(now);
            }
            return;
        }
        let Some(open) = self.open.get_mut(&key) else { return };
        let Some(asking) = open.asking.take() else { return };
        let turn = open.dialogue.answered(answer, now.since(asking.since));
        self.play(now, key, turn);
    }

    pub(super) fn closed(&mut self, now: Time, key: u64, result: Result<Option<Farewell>, Error>) {
        let Some(open) = self.open.get_mut(&key) else { return };
        match (result, open.ending.take()) {
            (Ok(farewell), Some(meant)) => {
                let (ending, reason) = match farewell {
                    Some(Farewell::Reset) => (Ending::Failed, Some("the acceptance came too late".into())),
                    Some(Farewell::Clean | Farewell::Silent) | None => meant,
                };
                if self.conclude(now, key, ending, reason, Manner { by_us: true, farewell, ..Manner::default() }) {
                    self.next_task(now);
                }
            }
            // After the peer's own decline or disappearance there was nobody left to tell.
            (Err(error), _) => {
                let (ending, reason) = outcome(&error);
                self.over(now, key, ending, Some(reason), Manner::from(&error));
            }
            (Ok(_), None) => {}
        }
    }

    /// Something of a session is due: the end of a pause, or a word to a peer that waits for the advisor's answer.
    pub(super) fn due(&mut self, now: Time, key: u64) {
        let Some(open) = self.open.get_mut(&key) else { return };
        if open.resume.take_if(|resume| *resume <= now).is_some() {
            if let Some(next) = open.seek.as_ref().map(Seek::rested) {
                return self.seek(now, key, next);
            }
            let turn = open.dialogue.waited();
            return self.play(now, key, turn);
        }
        let Some(asking) = &mut open.asking else { return };
        if asking.since + self.plan.thinking <= now {
            // The late answer may still come: whatever it promises has to be taken back.
            let turn = Turn { say: Vec::new(), act: Act::Decline("no answer in time".into()) };
            (asking.since, asking.remind) = (now, now + self.plan.thinking);
            if open.ending.is_none() {
                self.play(now, key, turn);
            }
            return;
        }
        asking.remind = now + self.plan.announce * 3 / 4;
        self.outputs.push_back(Output::Wait(key, self.plan.announce));
    }
}
