//! What the local ASA does in its turn.

use super::{Negotiation, QUEUE_MAX, Turn};
use crate::constants::GRASP_DEF_TIMEOUT;
use crate::error::{Error, ErrorCode};
use crate::protocol::Time;
use crate::protocol::session::{Call, Outcome, Output};
use crate::wire::{EndOption, Message, Objective, Value};
use std::time::Duration;

impl Negotiation {
    pub(super) fn call(&mut self, now: Time, id: u64, call: Call) {
        let refusal = match (&call, self.turn) {
            (_, Turn::Over) => Some(self.failure.take().unwrap_or(ErrorCode::NoSession.into())),
            (Call::Request { .. }, Turn::Connecting) if self.pending.is_none() => None,
            (Call::Step { .. } | Call::Wait(_) | Call::Accept | Call::AcceptHeard { .. }, Turn::Ours) => None,
            (Call::Decline(_) | Call::Invalid(_), Turn::Ours | Turn::Theirs) => None,
            (_, Turn::Parting) => Some(Error::new(ErrorCode::Unspecified, "this side has accepted already")),
            (_, Turn::Connecting) => Some(Error::new(ErrorCode::Unspecified, "the request is not answered yet")),
            _ => Some(Error::new(ErrorCode::Unspecified, "it is the peer's turn")),
        };
        if let Some(error) = refusal {
            self.outputs.push_back(Output::Reply(id, Err(error)));
            return;
        }
        let session_id = self.config.session_id;
        match call {
            Call::Request { objective, timeout } => match self.check(&objective) {
                Ok(()) => self.request(now, id, objective, timeout),
                Err(error) => {
                    self.outputs.push_back(Output::Reply(id, Err(error)));
                    self.finish();
                }
            },
            Call::Step { objective, timeout } => match self.check(&objective) {
                Ok(()) => self.step(now, id, objective, timeout),
                Err(error) => self.outputs.push_back(Output::Reply(id, Err(error))),
            },
            Call::Wait(time) => {
                if self.delayed.len() >= QUEUE_MAX {
                    let error = Error::new(ErrorCode::Unspecified, "too many messages wait to be sent");
                    self.outputs.push_back(Output::Reply(id, Err(error)));
                    return;
                }
                let time = if time.is_zero() { GRASP_DEF_TIMEOUT } else { time };
                // 0 would mean that the peer's time is over (T-23).
                let waiting_time = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
                self.send(now, &Message::Wait { session_id, waiting_time });
                self.own_wait = Some(now + time);
                self.outputs.push_back(Output::Reply(id, Ok(Outcome::Sent)));
            }
            Call::Accept => self.say_last(now, id, &Message::End { session_id, option: EndOption::Accept }),
            Call::AcceptHeard { limit, settle } => self.part_heard(now, id, limit, settle),
            Call::Decline(reason) => {
                let option = EndOption::Decline(reason.filter(|text| !text.is_empty()));
                self.say_last(now, id, &Message::End { session_id, option });
            }
            Call::Invalid(content) => self.say_last(now, id, &Message::Invalid { session_id, content }),
        }
    }

    fn request(&mut self, now: Time, id: u64, objective: Objective, timeout: Duration) {
        let objective = complete(objective);
        let bytes =
            Message::RequestNegotiation { session_id: self.config.session_id, objective: objective.clone() }.encode();
        if let Some(error) = self.too_long(&bytes) {
            self.outputs.push_back(Output::Reply(id, Err(error)));
            self.finish();
            return;
        }
        self.loop_count = objective.loop_count;
        self.proposed = Some(objective);
        self.pending = Some(id);
        self.deadline = Some(now + timeout);
        self.delayed.push_back(bytes);
        if self.connected {
            self.turn = Turn::Theirs;
        }
        self.release(now);
    }

    fn step(&mut self, now: Time, id: u64, objective: Objective, timeout: Duration) {
        let session_id = self.config.session_id;
        let Some(loop_count) = self.loop_count.checked_sub(1).filter(|left| *left > 0) else {
            self.outputs.push_back(Output::Reply(id, Err(ErrorCode::LoopExhausted.into())));
            return;
        };
        let objective = complete(Objective { loop_count, ..objective });
        let message = Message::Negotiate { session_id, objective: objective.clone() };
        if let Some(error) = self.too_long(&message.encode()) {
            self.outputs.push_back(Output::Reply(id, Err(error)));
            return;
        }
        self.send(now, &message);
        self.loop_count = loop_count;
        self.proposed = Some(objective);
        self.pending = Some(id);
        self.turn = Turn::Theirs;
        self.own_wait = None;
        self.deadline = Some(now + timeout);
    }

    /// Name, kind and dry-run bit are the same in the whole session (RFC 8990 §2.10.2).
    fn check(&self, objective: &Objective) -> Result<(), Error> {
        if objective.name != self.objective.name {
            let detail = format!("the session is about {}, not {}", self.objective.name, objective.name);
            Err(Error::new(ErrorCode::InvalidNegotiate, detail))
        } else if !objective.is_negotiable() {
            Err(Error::new(ErrorCode::NotNegotiable, objective.name.as_str()))
        } else if objective.is_dry_run() != self.objective.is_dry_run() {
            Err(Error::new(ErrorCode::InvalidNegotiate, "a session is wholly live or wholly a dry run"))
        } else if objective.loop_count == 0 {
            Err(Error::new(ErrorCode::LoopExhausted, "a loop count is 1 to 255"))
        } else {
            Ok(())
        }
    }

    pub(super) fn too_long(&self, bytes: &[u8]) -> Option<Error> {
        let limit = self.config.message_size;
        (bytes.len() > limit).then(|| {
            Error::new(ErrorCode::Unspecified, format!("the message has {} bytes; {limit} are allowed", bytes.len()))
        })
    }

    fn say_last(&mut self, now: Time, id: u64, message: &Message) {
        let bytes = message.encode();
        if let Some(error) = self.too_long(&bytes) {
            self.outputs.push_back(Output::Reply(id, Err(error)));
            return;
        }
        self.send(now, message);
        if let Some(waiting) = self.pending.take() {
            let error = Error::new(ErrorCode::NoSession, "ended by this side");
            self.outputs.push_back(Output::Reply(waiting, Err(error)));
        }
        self.outputs.push_back(Output::Reply(id, Ok(Outcome::Sent)));
        self.finish();
    }
}

/// A proposal without a value carries null (RFC 8990 §2.10.3), and flags that are not assigned stay here.
fn complete(mut objective: Objective) -> Objective {
    objective.value.get_or_insert_with(Value::null);
    objective.with_assigned_flags()
}
