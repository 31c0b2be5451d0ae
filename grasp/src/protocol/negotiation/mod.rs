//! One negotiation (RFC 8990 §2.5.5, §2.8.6 to §2.8.9), the same for initiator and responder after the request.

mod call;
mod heard;
mod parting;

use super::session::{Input, Note, Outcome, Output, Phase, SessionConfig, Standing};
use super::{Machine, Time};
use crate::constants::INVALID_EXCERPT;
use crate::error::{Error, ErrorCode};
use crate::wire::{EndOption, Message, Objective, Value};
use parting::Parting;
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
    /// This side has accepted, and waits for the peer's close.
    Parting,
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
    /// The peer, whose turn it is, has asked for time.
    asked_to_wait: bool,
    /// The decline of a session whose core goes on no more, encoded before anything can go wrong.
    farewell: Vec<u8>,
    /// When the session as a whole has taken too long.
    limit: Option<Time>,
    extended: Duration,
    parting: Option<Parting>,
    /// Until when the connection stays after the peer's acceptance, unless its holder lets go of it before.
    hold: Option<Time>,
    pending: Option<u64>,
    failure: Option<Error>,
    connected: bool,
    /// Something of the peer was dropped that was no message.
    garbled: bool,
    /// The request has had its answer.
    answered: bool,
    /// Proposals of the peer since it last had the turn.
    out_of_turn: u32,
    /// When a message left that the peer has not answered yet.
    last_sent: Option<Time>,
    delayed: VecDeque<Vec<u8>>,
    closing: bool,
    outputs: VecDeque<Output>,
}

impl Negotiation {
    /// The initiator's side; it starts with [`Call::Request`](super::session::Call::Request).
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
        let option = EndOption::Decline(Some("this side has failed".into()));
        let farewell = Message::End { session_id: config.session_id, option }.encode();
        Self {
            config,
            turn,
            loop_count: objective.loop_count,
            objective,
            proposed: None,
            deadline: None,
            own_wait: None,
            asked_to_wait: false,
            farewell,
            limit: None,
            extended: Duration::ZERO,
            parting: None,
            hold: None,
            pending: None,
            failure: None,
            connected,
            garbled: false,
            answered: connected,
            out_of_turn: 0,
            last_sent: None,
            delayed: VecDeque::new(),
            closing: false,
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
        let phase = match self.turn {
            Turn::Connecting => Phase::Dialling,
            Turn::Ours if self.own_wait.is_some() => Phase::Waiting,
            Turn::Ours => Phase::OurTurn,
            Turn::Theirs if self.asked_to_wait => Phase::Waiting,
            Turn::Theirs => Phase::TheirTurn,
            Turn::Parting | Turn::Over => Phase::Over,
        };
        let limit = self.limit.filter(|_| self.turn != Turn::Over);
        let until = [self.deadline, limit, self.parting_due(), self.hold].into_iter().flatten().min();
        Standing { phase, loop_count: Some(self.loop_count), until }
    }

    /// The message that keeps the peer from waiting in vain if this core goes on no more: a decline, or the end that has
    /// not left yet; `None` if the peer waits for nothing.
    #[must_use]
    pub fn last_words(&self) -> Option<&[u8]> {
        match self.turn {
            _ if !self.connected => None,
            Turn::Connecting => None,
            Turn::Ours | Turn::Theirs => Some(&self.farewell),
            Turn::Parting | Turn::Over => self.delayed.back().map(Vec::as_slice),
        }
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
        if self.delayed.is_empty() && self.hold.is_none() && !self.closing {
            self.closing = true;
            self.outputs.push_back(Output::Close);
        }
    }

    /// Tells the peer what was wrong with its message (RFC 8990 §2.8.12).
    fn invalid(&mut self, now: Time, why: &str) {
        debug_assert!(why.len() <= INVALID_EXCERPT);
        let content = Value::item(why).ok();
        self.send(now, &Message::Invalid { session_id: self.config.session_id, content });
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Noted(note));
    }

    fn send(&mut self, now: Time, message: &Message) {
        self.delayed.push_back(message.encode());
        self.release(now);
    }

    /// Tells the peer why this side ends the session, if it can be told.
    fn part(&mut self, now: Time, reason: &str) {
        if matches!(self.turn, Turn::Ours | Turn::Theirs) {
            let option = EndOption::Decline(Some(reason.into()));
            self.send(now, &Message::End { session_id: self.config.session_id, option });
        }
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
                self.acceptance_left(now);
            }
        }
        if self.turn == Turn::Over {
            self.finish();
        }
    }
}

impl Machine for Negotiation {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input) {
        if let (None, Some(cap)) = (self.limit, self.config.session_cap) {
            self.limit = Some(now + cap);
        }
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
            Input::Disconnected { mid_message, reset } => self.disconnected(now, mid_message, reset),
            Input::SendFailed(detail) => self.send_failed(detail),
            Input::Probed { reset } => self.probed(reset),
            Input::Abandoned => {
                self.hold = None;
                self.part(now, "abandoned");
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
        if self.hold.take_if(|due| *due <= now).is_some() {
            self.finish();
        }
        if self.turn == Turn::Parting {
            return self.wake_parting(now);
        }
        if self.deadline.is_some_and(|due| due <= now) {
            let (code, detail) = match self.turn {
                Turn::Connecting => (ErrorCode::SocketNegotiationRequest, "no connection within the time limit"),
                Turn::Ours | Turn::Theirs | Turn::Parting | Turn::Over => (ErrorCode::NoNegotiationReply, ""),
            };
            self.delayed.clear();
            self.end(Err(Error::new(code, detail)));
        }
        if self.turn != Turn::Over && self.limit.is_some_and(|limit| limit <= now) {
            self.part(now, "the negotiation takes too long");
            self.end(Err(Error::new(ErrorCode::NoNegotiationReply, "the session as a whole has taken too long")));
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        let probing = self.parting.is_some_and(|parting| parting.is_ending());
        let limit = self.limit.filter(|_| self.turn != Turn::Over && !probing);
        [self.deadline, self.own_wait, self.due(), limit, self.parting_due(), self.hold].into_iter().flatten().min()
    }
}
