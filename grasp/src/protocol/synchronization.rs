//! One synchronization, on the side that asks (RFC 8990 §2.5.6.1, §2.8.6, §2.8.10).

use super::session::{Call, Input, Note, Outcome, Output, Phase, SessionConfig, Standing};
use super::{Machine, Time};
use crate::error::{Error, ErrorCode};
use crate::wire::{Message, Objective, Rule, Value};
use std::collections::VecDeque;

/// The core of one synchronization session: a request, an answer, nothing more.
#[derive(Debug)]
pub struct Synchronization {
    config: SessionConfig,
    name: String,
    request: Option<Vec<u8>>,
    pending: Option<u64>,
    connected: bool,
    deadline: Option<Time>,
    over: bool,
    /// Why it ended before it was asked for anything.
    failure: Option<Error>,
    outputs: VecDeque<Output>,
}

impl Synchronization {
    /// A session for one objective; it starts with [`Call::Request`].
    #[must_use]
    pub fn new(config: SessionConfig, name: &str) -> Self {
        Self {
            config,
            name: name.to_owned(),
            request: None,
            pending: None,
            connected: false,
            deadline: None,
            over: false,
            failure: None,
            outputs: VecDeque::new(),
        }
    }

    /// What the session was made with.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// How the session stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let phase = match (self.over, self.connected && self.pending.is_some()) {
            (true, _) => Phase::Over,
            (false, true) => Phase::TheirTurn,
            (false, false) => Phase::Dialling,
        };
        Standing { phase, loop_count: None, until: self.deadline }
    }

    fn end(&mut self, result: Result<Outcome, Error>) {
        match self.pending.take() {
            Some(id) => self.outputs.push_back(Output::Reply(id, result)),
            None if !self.over => self.failure = result.err(),
            None => {}
        }
        self.deadline = None;
        if !std::mem::replace(&mut self.over, true) {
            self.outputs.push_back(Output::Close);
        }
    }

    fn fail(&mut self, code: ErrorCode, detail: impl Into<String>) {
        self.end(Err(Error::new(code, detail)));
    }

    fn prepare(&self, objective: Objective) -> Result<Vec<u8>, Error> {
        if !objective.is_synchronizable() || objective.name != self.name {
            return Err(Error::new(ErrorCode::NotSynchronizable, objective.name));
        }
        // A request carries no value of its own (RFC 8990 §2.10.3, T-48).
        let objective = Objective { value: Some(Value::null()), ..objective.with_assigned_flags() };
        let bytes = Message::RequestSynchronization { session_id: self.config.session_id, objective }.encode();
        let limit = self.config.message_size;
        if bytes.len() > limit {
            let detail = format!("the message has {} bytes; {limit} are allowed", bytes.len());
            return Err(Error::new(ErrorCode::Unspecified, detail));
        }
        Ok(bytes)
    }

    fn ask(&mut self) {
        if self.connected
            && let Some(bytes) = self.request.take()
        {
            self.outputs.push_back(Output::Send(bytes));
        }
    }

    fn received(&mut self, message: Message) {
        if matches!(message, Message::Noop) || self.over {
            return;
        }
        if message.session_id() != Some(self.config.session_id) {
            self.outputs.push_back(Output::Noted(Note::OtherSession));
            return;
        }
        let kind = message.message_type();
        if let Message::Synch { objective, .. } = message {
            if objective.name == self.name {
                self.end(Ok(Outcome::Synchronized(objective)));
            } else {
                self.fail(ErrorCode::NoValidSynch, format!("the peer answered with {}", objective.name));
            }
        } else {
            self.fail(ErrorCode::NoValidSynch, format!("the peer answered with {kind}"));
        }
    }
}

impl Machine for Synchronization {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        self.wake(now);
        match input {
            Input::Call(id, Call::Request { objective, timeout }) if self.pending.is_none() && !self.over => {
                self.pending = Some(id);
                match self.prepare(objective) {
                    Ok(bytes) => {
                        self.request = Some(bytes);
                        self.deadline = Some(now + timeout);
                        self.ask();
                    }
                    Err(error) => self.end(Err(error)),
                }
            }
            Input::Call(id, _) => {
                let error = self.failure.take().unwrap_or(ErrorCode::NoSession.into());
                self.outputs.push_back(Output::Reply(id, Err(error)));
            }
            Input::Connected => {
                self.connected = true;
                self.ask();
            }
            Input::ConnectFailed(detail) | Input::SendFailed(detail) => {
                self.fail(ErrorCode::SocketSynchronizationRequest, detail);
            }
            Input::Received(message) => self.received(message),
            Input::Undecodable(error) if error.session_id.is_some_and(|id| id != self.config.session_id) => {
                self.outputs.push_back(Output::Noted(Note::OtherSession));
            }
            Input::Undecodable(error) if error.is_cbor_failure() || error.rule == Rule::TooLong => {
                self.fail(ErrorCode::CborFail, error.to_string());
            }
            Input::Undecodable(error) => self.fail(ErrorCode::NoValidSynch, error.to_string()),
            Input::Disconnected { mid_message: true, .. } => {
                self.fail(ErrorCode::CborFail, "the connection ended inside a message");
            }
            Input::Disconnected { mid_message: false, .. } => {
                self.fail(ErrorCode::NoListener, "the peer closed the connection without an answer");
            }
            Input::Probed { .. } => {}
            Input::Abandoned => {
                self.pending = None;
                self.end(Err(ErrorCode::NoSession.into()));
            }
        }
    }

    fn wake(&mut self, now: Time) {
        if self.deadline.is_some_and(|due| due <= now) {
            if self.connected {
                self.fail(ErrorCode::NoSynchronizationReply, "");
            } else {
                self.fail(ErrorCode::SocketSynchronizationRequest, "no connection within the time limit");
            }
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        self.deadline
    }
}
