//! Why bytes are not a GRASP message.

use serde::{Deserialize, Serialize};

/// The rule that a received message broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// The bytes end inside an item.
    #[error("the message is cut short")]
    Truncated,
    /// The bytes are not well-formed CBOR (RFC 8949 §3).
    #[error("not well-formed CBOR")]
    Malformed,
    /// Items are nested deeper than the limit.
    #[error("nested too deeply")]
    TooDeep,
    /// The message is longer than the limit (RFC 8990 §2.8.3).
    #[error("longer than the message size limit")]
    TooLong,
    /// Bytes follow the message in its datagram (RFC 8990 §2.5.3).
    #[error("bytes follow the message")]
    TrailingBytes,
    /// The outermost item is not an array.
    #[error("a message is an array")]
    NotAnArray,
    /// The first element is not an unsigned integer from 0 to 255.
    #[error("the message type is an unsigned integer from 0 to 255")]
    MessageType,
    /// No message has this number (RFC 8990 §5).
    #[error("unknown message type")]
    UnknownType,
    /// The session id is missing or not an unsigned 32-bit integer.
    #[error("the session id is an unsigned 32-bit integer")]
    SessionId,
    /// The initiator is missing or not 4 or 16 bytes.
    #[error("the initiator is a byte string of 4 or 16 bytes")]
    Initiator,
    /// The ttl is missing or not an unsigned 32-bit integer.
    #[error("the ttl is an unsigned 32-bit integer")]
    Ttl,
    /// The waiting time is missing or not an unsigned 32-bit integer.
    #[error("the waiting time is an unsigned 32-bit integer")]
    WaitingTime,
    /// An objective is missing or not an array of 3 or 4 elements.
    #[error("an objective is an array of 3 or 4 elements")]
    Objective,
    /// The name of an objective is not valid UTF-8 text.
    #[error("an objective name is UTF-8 text")]
    ObjectiveName,
    /// The flags of an objective are not an unsigned integer.
    #[error("objective flags are an unsigned integer")]
    ObjectiveFlags,
    /// The loop count of an objective is not an unsigned integer from 0 to 255.
    #[error("the loop count is an unsigned integer from 0 to 255")]
    LoopCount,
    /// The objective has no value where one is required.
    #[error("the objective has no value")]
    ValueMissing,
    /// A response holds no usable locator and no usable divert option.
    #[error("a response holds a locator or a divert option")]
    NoLocator,
    /// A flood holds no objective.
    #[error("a flood holds at least one objective")]
    NoObjective,
    /// An element of a flood is not a pair of an objective and a locator option or empty array.
    #[error("a flooded objective is a pair of an objective and a locator option or an empty array")]
    FloodPair,
    /// An end message holds neither exactly one accept nor exactly one decline option.
    #[error("an end message holds an accept option or a decline option")]
    EndOption,
}

/// A message that was refused: the rule, where, and what could still be read of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{rule}, at byte {offset}")]
pub struct DecodeError {
    /// The broken rule.
    pub rule: Rule,
    /// Offset in bytes of the item that breaks it.
    pub offset: usize,
    /// The message type, if it could be read.
    pub message_type: Option<u8>,
    /// The session id, if it could be read.
    pub session_id: Option<u32>,
}

impl DecodeError {
    pub(crate) fn new(rule: Rule, offset: usize) -> Self {
        Self { rule, offset, message_type: None, session_id: None }
    }

    /// Tells whether the bytes were not well-formed CBOR within the limits, as opposed to CBOR that is not GRASP.
    #[must_use]
    pub fn is_cbor_failure(&self) -> bool {
        matches!(self.rule, Rule::Truncated | Rule::Malformed | Rule::TooDeep)
    }
}
