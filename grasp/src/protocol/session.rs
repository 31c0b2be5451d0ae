//! What every unicast session hears and says, whether it negotiates or synchronizes.

use super::Time;
use crate::error::Error;
use crate::wire::{DecodeError, Message, Objective, SessionId, Value};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a local ASA asks of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Send the request and wait for the answer.
    Request {
        /// The objective with its value and initial loop count.
        objective: Objective,
        /// Time limit, connecting included.
        timeout: Duration,
    },
    /// Send a counter-proposal and wait for the answer.
    Step {
        /// The objective with its new value.
        objective: Objective,
        /// Time limit for the answer.
        timeout: Duration,
    },
    /// Ask the peer to wait.
    Wait(Duration),
    /// Accept the peer's last proposal.
    Accept,
    /// Accept the peer's last proposal, and wait for what the connection tells then.
    AcceptHeard {
        /// How long the peer may take to close.
        limit: Duration,
        /// How long after that a reset may still come.
        settle: Duration,
    },
    /// Decline.
    Decline(Option<String>),
    /// Report that the peer's last message was not understood, and stop.
    Invalid(Option<Value>),
}

/// What a session hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A call; the number comes back with its reply.
    Call(u64, Call),
    /// The connection stands.
    Connected,
    /// There will be no connection.
    ConnectFailed(String),
    /// A message has come.
    Received(Message),
    /// Something has come that is no message.
    Undecodable(DecodeError),
    /// The peer has closed or reset the connection.
    Disconnected {
        /// In the middle of a message.
        mid_message: bool,
        /// Not in order, by a reset or another failure of the connection.
        reset: bool,
    },
    /// A message could not be written.
    SendFailed(String),
    /// What [`Output::Probe`] has found.
    Probed {
        /// The connection has been reset.
        reset: bool,
    },
    /// Nobody holds the session any more.
    Abandoned,
}

/// What a call led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The peer made a proposal; its loop count is the one to go on with.
    Offered(Objective),
    /// The peer accepted this.
    Accepted(Objective),
    /// The peer's current value.
    Synchronized(Objective),
    /// The message is on its way.
    Sent,
    /// What became of an acceptance.
    Parted(Farewell),
}

/// What the connection told after an acceptance of this side (an extension).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Farewell {
    /// The peer closed, and the connection was not reset afterwards: it has taken the acceptance.
    Clean,
    /// The connection was reset, alone or after its end: the acceptance came too late.
    Reset,
    /// The peer did nothing within the time limit: nobody knows.
    Silent,
}

/// What a session wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Write one message, whole.
    Send(#[serde(with = "crate::hex::text")] Vec<u8>),
    /// A call is answered.
    Reply(u64, Result<Outcome, Error>),
    /// Something happened that an operator may want to know.
    Noted(Note),
    /// Find out whether the connection has been reset; answered with [`Input::Probed`].
    Probe,
    /// Close the connection after what was sent, and end.
    Close,
}

/// Irregularities that do not end a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A message that has no place in this state was dropped.
    OutOfPlace,
    /// A message with another session id was dropped.
    OtherSession,
    /// A message that could not be decoded was dropped.
    Undecodable,
    /// The peer's loop count rose or was 0.
    LoopCount,
    /// This side announced a wait that has passed without a message.
    Overdue,
}

/// How a session stands, for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Who has to do something.
    pub phase: Phase,
    /// Loop count left, in a negotiation.
    pub loop_count: Option<u8>,
    /// When the session fails unless something happens before.
    pub until: Option<Time>,
}

/// Who has to do something in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The connection is being opened, or waits for the request.
    Dialling,
    /// The local ASA decides.
    OurTurn,
    /// The peer's answer is awaited.
    TheirTurn,
    /// Whoever has the turn has asked for more time.
    Waiting,
    /// It is over; the last message may still have to leave.
    Over,
}

/// What both kinds of session are made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionConfig {
    /// The session id.
    pub session_id: SessionId,
    /// Largest message sent, in bytes (RFC 8990 §2.8.3).
    pub message_size: usize,
    /// Least pause between two messages sent without hearing from the peer.
    pub gap: Duration,
    /// Longest total extension by M_WAIT that is granted to the peer; `None` grants any (T-23).
    pub wait_cap: Option<Duration>,
    /// Longest time that a negotiation may take as a whole; `None` sets no limit (T-22).
    pub session_cap: Option<Duration>,
}
