//! What the peer and the connection do.

use super::parting::ACCEPTED_HOLD;
use super::{Negotiation, Turn};
use crate::error::{Error, ErrorCode, StreamEnd};
use crate::protocol::session::{Note, Outcome, Output};
use crate::protocol::{Machine, Time};
use crate::wire::{DecodeError, EndOption, Message, Objective, Rule};
use std::time::Duration;

impl Negotiation {
    pub(super) fn received(&mut self, now: Time, message: Message) {
        if self.turn == Turn::Over {
            return;
        }
        if message.session_id().is_some_and(|id| id != self.config.session_id) {
            self.note(Note::OtherSession);
            return;
        }
        if self.turn == Turn::Parting {
            return self.received_parting(message);
        }
        match message {
            Message::Negotiate { objective, .. } if self.is_answerable() => self.offered(now, objective),
            Message::Negotiate { .. } => {
                self.out_of_turn = self.out_of_turn.saturating_add(1);
                if self.out_of_turn == 2 {
                    self.invalid(now, "it is not your turn");
                }
                self.note(Note::OutOfPlace);
            }
            Message::End { option: EndOption::Decline(reason), .. } => {
                self.end(Err(Error::new(ErrorCode::Declined, reason.unwrap_or_default())));
            }
            Message::End { option: EndOption::Accept, .. } => match self.proposed.clone() {
                Some(agreed) if self.is_answerable() => {
                    // The peer takes an orderly close as the receipt, so there is time to make it true (PM-S-06).
                    self.hold = Some(now + ACCEPTED_HOLD);
                    self.end(Ok(Outcome::Accepted(agreed)));
                }
                _ => self.end(Err(Error::new(ErrorCode::InvalidEnd, "the peer accepted its own proposal"))),
            },
            Message::Wait { waiting_time, .. } if self.is_answerable() => self.waits(now, waiting_time),
            Message::Invalid { content, .. } => {
                let mut detail = "the peer did not understand the last message".to_owned();
                if let Some(content) = content {
                    detail.push_str(&format!(": {content:?}"));
                }
                self.end(Err(Error::new(ErrorCode::NoValidStep, detail)));
            }
            Message::Synch { .. } if self.is_answerable() => {
                self.end(Err(Error::new(ErrorCode::NoValidStep, "the peer answered with M_SYNCH")));
            }
            Message::Noop => {}
            Message::Wait { .. }
            | Message::Synch { .. }
            | Message::Discovery { .. }
            | Message::Response { .. }
            | Message::RequestNegotiation { .. }
            | Message::RequestSynchronization { .. }
            | Message::Flood { .. } => self.note(Note::OutOfPlace),
        }
    }

    /// Tells whether the peer has our proposal and has not answered it yet.
    fn is_answerable(&self) -> bool {
        self.turn == Turn::Theirs && self.delayed.is_empty()
    }

    fn offered(&mut self, now: Time, objective: Objective) {
        self.last_sent = None;
        let same = objective.name == self.objective.name
            && objective.is_negotiable()
            && objective.is_dry_run() == self.objective.is_dry_run();
        if !same {
            let detail = "another objective, kind or dry-run flag";
            self.invalid(now, detail);
            self.end(Err(Error::new(ErrorCode::InvalidNegotiate, detail)));
            return;
        }
        if objective.loop_count == 0 || objective.loop_count > self.loop_count {
            self.note(Note::LoopCount);
        }
        self.loop_count = self.loop_count.min(objective.loop_count);
        self.turn = Turn::Ours;
        self.answered = true;
        self.asked_to_wait = false;
        self.deadline = None;
        self.out_of_turn = 0;
        let offer = Objective { loop_count: self.loop_count, ..objective };
        if let Some(id) = self.pending.take() {
            self.outputs.push_back(Output::Reply(id, Ok(Outcome::Offered(offer))));
        }
    }

    /// A received M_WAIT replaces the running timer (RFC 8990 §2.8.9), as far as the peer may still extend it.
    fn waits(&mut self, now: Time, waiting_time: u32) {
        self.last_sent = None;
        let running = self.deadline.unwrap_or(now);
        let wanted = now + Duration::from_millis(waiting_time.into());
        let left = self.config.wait_cap.map_or(Duration::MAX, |cap| cap.saturating_sub(self.extended));
        let until = wanted.min(running + left);
        self.extended = self.extended.saturating_add(until.since(running));
        self.deadline = Some(until);
        self.asked_to_wait = true;
        self.wake(now);
    }

    pub(super) fn undecodable(&mut self, now: Time, error: &DecodeError) {
        if self.turn == Turn::Over {
            return;
        }
        let other = error.session_id.is_some_and(|id| id != self.config.session_id);
        let detail = error.to_string();
        if error.is_cbor_failure() || error.rule == Rule::TooLong {
            self.end(Err(Error::new(ErrorCode::CborFail, detail)));
        } else if other {
            self.note(Note::OtherSession);
        } else {
            if self.is_answerable() && error.session_id.is_some() {
                self.last_sent = None;
            }
            // What cannot be told to belong to this session does not end it.
            let named = error.session_id.is_some() && self.turn != Turn::Parting;
            match error.message_type.filter(|_| named) {
                Some(5) => {
                    self.invalid(now, &detail);
                    self.end(Err(Error::new(ErrorCode::InvalidNegotiate, detail)));
                }
                Some(6) => {
                    self.invalid(now, &detail);
                    self.end(Err(Error::new(ErrorCode::InvalidEnd, detail)));
                }
                _ => {
                    self.garbled = true;
                    self.note(Note::Undecodable);
                }
            }
        }
    }

    pub(super) fn disconnected(&mut self, now: Time, mid_message: bool, reset: bool) {
        let ending = match (reset, mid_message || self.garbled) {
            (true, _) => StreamEnd::Reset,
            (false, true) => StreamEnd::Unclear,
            (false, false) => StreamEnd::Orderly,
        };
        if self.turn == Turn::Parting {
            return self.disconnected_parting(now, ending);
        }
        self.connected = false;
        self.hold = None;
        self.delayed.clear();
        let error = match self.turn {
            Turn::Parting | Turn::Over => return self.finish(),
            Turn::Ours => Error::new(ErrorCode::NoSocket, "the peer has closed the connection"),
            _ if mid_message => Error::new(ErrorCode::CborFail, "the connection ended inside a message"),
            Turn::Connecting | Turn::Theirs => {
                Error::new(ErrorCode::NoPeer, "the peer closed the connection without an answer")
            }
        };
        self.end(Err(error.with_ending(ending)));
    }

    pub(super) fn send_failed(&mut self, detail: String) {
        if self.turn == Turn::Parting {
            return self.send_failed_parting();
        }
        self.connected = false;
        self.hold = None;
        self.delayed.clear();
        let code = match self.turn {
            Turn::Theirs if self.answered => ErrorCode::SocketNegotiationStep,
            Turn::Connecting | Turn::Theirs => ErrorCode::SocketNegotiationRequest,
            Turn::Ours => ErrorCode::SocketWait,
            Turn::Parting | Turn::Over => ErrorCode::SocketEnd,
        };
        self.end(Err(Error::new(code, detail)));
    }
}
