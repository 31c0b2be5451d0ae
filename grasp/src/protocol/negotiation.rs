//! One negotiation (RFC 8990 §2.5.5, §2.8.6 to §2.8.9), the same for initiator and responder after the request.

use super::session::{Call, Input, Note, Outcome, Output, SessionConfig};
use super::{Machine, Time};
use crate::constants::{GRASP_DEF_TIMEOUT, INVALID_EXCERPT};
use crate::error::{Error, ErrorCode};
use crate::wire::{DecodeError, EndOption, Message, Objective, Rule, Value};
use std::collections::VecDeque;
use std::time::Duration;

/// Messages that may wait for their turn to leave.
const QUEUE_MAX: usize = 8;

/// Whose message is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The request waits for the connection.
    Connecting,
    /// The local ASA decides.
    Ours,
    /// The peer's answer is awaited.
    Theirs,
    /// Over; what was queued may still have to leave.
    Over,
}

/// The core of one negotiation session.
#[derive(Debug)]
pub struct Negotiation {
    config: SessionConfig,
    turn: Turn,
    /// The objective as last proposed by either side; its name and flags hold for the whole session.
    objective: Objective,
    /// What the peer's accept would settle on (RFC 8990 Appendix A.5).
    proposed: Option<Objective>,
    /// The lowest loop count seen; the next proposal carries one less.
    loop_count: u8,
    deadline: Option<Time>,
    own_wait: Option<Time>,
    extended: Duration,
    pending: Option<u64>,
    failure: Option<Error>,
    connected: bool,
    /// Proposals of the peer since it last had the turn.
    out_of_turn: u32,
    /// When a message left that the peer has not answered yet.
    last_sent: Option<Time>,
    delayed: VecDeque<Vec<u8>>,
    closing: bool,
    outputs: VecDeque<Output>,
}

impl Negotiation {
    /// The initiator's side; it starts with [`Call::Request`].
    #[must_use]
    pub fn initiator(config: SessionConfig, objective: Objective) -> Self {
        Self::new(config, objective, Turn::Connecting, false)
    }

    /// The responder's side of a received request; it is the local ASA's turn.
    #[must_use]
    pub fn responder(config: SessionConfig, request: Objective) -> Self {
        Self::new(config, request, Turn::Ours, true)
    }

    fn new(config: SessionConfig, objective: Objective, turn: Turn, connected: bool) -> Self {
        Self {
            config,
            turn,
            loop_count: objective.loop_count,
            objective,
            proposed: None,
            deadline: None,
            own_wait: None,
            extended: Duration::ZERO,
            pending: None,
            failure: None,
            connected,
            out_of_turn: 0,
            last_sent: None,
            delayed: VecDeque::new(),
            closing: false,
            outputs: VecDeque::new(),
        }
    }

    fn call(&mut self, now: Time, id: u64, call: Call) {
        let refusal = match (&call, self.turn) {
            (_, Turn::Over) => Some(self.failure.take().unwrap_or(ErrorCode::NoSession.into())),
            (Call::Request { .. }, Turn::Connecting) if self.pending.is_none() => None,
            (Call::Step { .. } | Call::Wait(_) | Call::Accept, Turn::Ours) => None,
            (Call::Decline(_) | Call::Invalid(_), Turn::Ours | Turn::Theirs) => None,
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

    fn too_long(&self, bytes: &[u8]) -> Option<Error> {
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

    fn received(&mut self, now: Time, message: Message) {
        if self.turn == Turn::Over {
            return;
        }
        if message.session_id().is_some_and(|id| id != self.config.session_id) {
            self.note(Note::OtherSession);
            return;
        }
        match message {
            Message::Negotiate { objective, .. } if self.is_answerable() => self.offered(now, objective),
            Message::Negotiate { .. } => {
                self.out_of_turn = self.out_of_turn.saturating_add(1);
                if self.out_of_turn == 2 {
                    self.invalid(now, None);
                }
                self.note(Note::OutOfPlace);
            }
            Message::End { option: EndOption::Decline(reason), .. } => {
                self.end(Err(Error::new(ErrorCode::Declined, reason.unwrap_or_default())));
            }
            Message::End { option: EndOption::Accept, .. } => match self.proposed.clone() {
                Some(agreed) if self.is_answerable() => self.end(Ok(Outcome::Accepted(agreed))),
                _ => self.end(Err(Error::new(ErrorCode::InvalidEnd, "the peer accepted its own proposal"))),
            },
            Message::Wait { waiting_time, .. } if self.is_answerable() => self.waits(now, waiting_time),
            Message::Invalid { .. } => {
                self.end(Err(Error::new(ErrorCode::NoValidStep, "the peer did not understand the last message")));
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
            self.invalid(now, None);
            self.end(Err(Error::new(ErrorCode::InvalidNegotiate, "another objective, kind or dry-run flag")));
            return;
        }
        if objective.loop_count == 0 || objective.loop_count > self.loop_count {
            self.note(Note::LoopCount);
        }
        self.loop_count = self.loop_count.min(objective.loop_count);
        self.turn = Turn::Ours;
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
        self.wake(now);
    }

    fn undecodable(&mut self, now: Time, error: &DecodeError) {
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
            match error.message_type.filter(|_| error.session_id.is_some()) {
                Some(5) => {
                    self.invalid(now, None);
                    self.end(Err(Error::new(ErrorCode::InvalidNegotiate, detail)));
                }
                Some(6) => {
                    self.invalid(now, None);
                    self.end(Err(Error::new(ErrorCode::InvalidEnd, detail)));
                }
                _ => self.note(Note::Undecodable),
            }
        }
    }

    fn disconnected(&mut self, mid_message: bool) {
        self.connected = false;
        self.delayed.clear();
        let error = match self.turn {
            Turn::Over => return self.finish(),
            Turn::Ours => Error::new(ErrorCode::NoSocket, "the peer has closed the connection"),
            _ if mid_message => Error::new(ErrorCode::CborFail, "the connection ended inside a message"),
            Turn::Connecting | Turn::Theirs => {
                Error::new(ErrorCode::NoPeer, "the peer closed the connection without an answer")
            }
        };
        self.end(Err(error));
    }

    fn send_failed(&mut self, detail: String) {
        self.connected = false;
        self.delayed.clear();
        let code = match self.turn {
            Turn::Connecting => ErrorCode::SocketNegotiationRequest,
            Turn::Theirs => ErrorCode::SocketNegotiationStep,
            Turn::Ours => ErrorCode::SocketWait,
            Turn::Over => ErrorCode::SocketEnd,
        };
        self.end(Err(Error::new(code, detail)));
    }

    /// Ends the session with what its waiting call, or the next one, is told.
    fn end(&mut self, result: Result<Outcome, Error>) {
        match self.pending.take() {
            Some(id) => self.outputs.push_back(Output::Reply(id, result)),
            None => self.failure = result.err(),
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.turn = Turn::Over;
        self.deadline = None;
        self.own_wait = None;
        if !self.connected {
            self.delayed.clear();
        }
        if self.delayed.is_empty() && !self.closing {
            self.closing = true;
            self.outputs.push_back(Output::Close);
        }
    }

    fn invalid(&mut self, now: Time, content: Option<Value>) {
        debug_assert!(content.as_ref().is_none_or(|value| value.as_bytes().len() <= INVALID_EXCERPT));
        self.send(now, &Message::Invalid { session_id: self.config.session_id, content });
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Noted(note));
    }

    fn send(&mut self, now: Time, message: &Message) {
        self.delayed.push_back(message.encode());
        self.release(now);
    }

    /// When the next message may leave.
    fn due(&self) -> Option<Time> {
        let waiting = self.connected && !self.delayed.is_empty();
        waiting.then(|| self.last_sent.map_or(Time::default(), |last| last + self.config.gap))
    }

    /// Hands out the messages whose time has come.
    fn release(&mut self, now: Time) {
        while self.due().is_some_and(|due| due <= now) {
            if let Some(bytes) = self.delayed.pop_front() {
                self.outputs.push_back(Output::Send(bytes));
                self.last_sent = Some(now);
            }
        }
        if self.turn == Turn::Over {
            self.finish();
        }
    }
}

/// A proposal without a value carries null (RFC 8990 §2.10.3), and flags that are not assigned stay here.
fn complete(mut objective: Objective) -> Objective {
    objective.value.get_or_insert_with(Value::null);
    objective.with_assigned_flags()
}

impl Machine for Negotiation {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        self.wake(now);
        match input {
            Input::Call(id, call) => self.call(now, id, call),
            Input::Connected => {
                self.connected = true;
                if self.turn == Turn::Connecting && self.pending.is_some() {
                    self.turn = Turn::Theirs;
                }
                self.release(now);
            }
            Input::ConnectFailed(detail) => {
                self.end(Err(Error::new(ErrorCode::SocketNegotiationRequest, detail)));
            }
            Input::Received(message) => self.received(now, message),
            Input::Undecodable(error) => self.undecodable(now, &error),
            Input::Disconnected { mid_message } => self.disconnected(mid_message),
            Input::SendFailed(detail) => self.send_failed(detail),
            Input::Abandoned => {
                if matches!(self.turn, Turn::Ours | Turn::Theirs) {
                    let option = EndOption::Decline(Some("abandoned".into()));
                    self.send(now, &Message::End { session_id: self.config.session_id, option });
                }
                self.pending = None;
                self.finish();
            }
        }
    }

    fn wake(&mut self, now: Time) {
        self.release(now);
        if self.own_wait.is_some_and(|due| due <= now) {
            self.own_wait = None;
            self.note(Note::Overdue);
        }
        if self.deadline.is_some_and(|due| due <= now) {
            let (code, detail) = match self.turn {
                Turn::Connecting => (ErrorCode::SocketNegotiationRequest, "no connection within the time limit"),
                Turn::Ours | Turn::Theirs | Turn::Over => (ErrorCode::NoNegotiationReply, ""),
            };
            self.delayed.clear();
            self.end(Err(Error::new(code, detail)));
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        [self.deadline, self.own_wait, self.due()].into_iter().flatten().min()
    }
}
