//! The messages of RFC 8990 §2.8 and the objective option of §2.10.

use super::{Locator, Value};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// A session id (RFC 8990 §2.7): opaque, 32 bits, made by the initiator.
pub type SessionId = u32;

/// Flags of an objective (RFC 8990 §2.10.2). Bits above 3 are kept on receipt and never sent by this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub u64);

impl Flags {
    /// Valid for discovery.
    pub const DISC: Self = Self(1);
    /// Valid for negotiation.
    pub const NEG: Self = Self(2);
    /// Valid for synchronization.
    pub const SYNCH: Self = Self(4);
    /// This negotiation is a dry run.
    pub const NEG_DRY: Self = Self(8);

    /// Tells whether every bit of `other` is set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An objective option as it stands in a message (RFC 8990 §2.10.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// Name, compared byte by byte.
    pub name: String,
    /// What it may be used for.
    pub flags: Flags,
    /// Hops left in discovery and flooding, steps left in negotiation.
    pub loop_count: u8,
    /// The value; absent only in discovery.
    pub value: Option<Value>,
}

/// An objective in a flood with its locator; `None` is the empty option (RFC 8990 §2.8.11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedObjective {
    /// The objective.
    pub objective: Objective,
    /// Its tag.
    pub locator: Option<Locator>,
}

/// What a discovery response says (RFC 8990 §2.8.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The responder supports the objective there.
    Locators(Vec<Locator>),
    /// The responder knows who does (RFC 8990 §2.9.2).
    Divert(Vec<Locator>),
}

impl Answer {
    /// The locators of either kind.
    #[must_use]
    pub fn locators(&self) -> &[Locator] {
        match self {
            Self::Locators(locators) | Self::Divert(locators) => locators,
        }
    }
}

/// How a negotiation ends (RFC 8990 §2.9.3, §2.9.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndOption {
    /// The last value sent by the receiver of this message is agreed.
    Accept,
    /// No agreement, with an optional reason for humans.
    Decline(Option<String>),
}

/// A GRASP message (RFC 8990 §2.8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of the table in the RFC's section named at each variant")]
pub enum Message {
    /// M_NOOP (§2.8.13): nothing.
    Noop,
    /// M_DISCOVERY (§2.8.4): who supports this objective?
    Discovery { session_id: SessionId, initiator: IpAddr, objective: Objective },
    /// M_RESPONSE (§2.8.5); `ttl` in milliseconds, 0 for long.
    Response { session_id: SessionId, initiator: IpAddr, ttl: u32, answer: Answer, objective: Option<Objective> },
    /// M_REQ_NEG (§2.8.6): opens a negotiation.
    RequestNegotiation { session_id: SessionId, objective: Objective },
    /// M_REQ_SYN (§2.8.6): asks for the current value.
    RequestSynchronization { session_id: SessionId, objective: Objective },
    /// M_NEGOTIATE (§2.8.7): a counter-proposal.
    Negotiate { session_id: SessionId, objective: Objective },
    /// M_END (§2.8.8): the negotiation is over.
    End { session_id: SessionId, option: EndOption },
    /// M_WAIT (§2.8.9): `waiting_time` in milliseconds replaces the receiver's timer.
    Wait { session_id: SessionId, waiting_time: u32 },
    /// M_SYNCH (§2.8.10): the current value.
    Synch { session_id: SessionId, objective: Objective },
    /// M_FLOOD (§2.8.11); `ttl` in milliseconds, 0 for ever.
    Flood { session_id: SessionId, initiator: IpAddr, ttl: u32, objectives: Vec<TaggedObjective> },
    /// M_INVALID (§2.8.12): the peer could not use a message.
    Invalid { session_id: SessionId, content: Option<Value> },
}

/// Message numbers (RFC 8990 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the RFC's names")]
pub enum MessageType {
    Noop = 0,
    Discovery = 1,
    Response = 2,
    RequestNegotiation = 3,
    RequestSynchronization = 4,
    Negotiate = 5,
    End = 6,
    Wait = 7,
    Synch = 8,
    Flood = 9,
    Invalid = 99,
}

impl MessageType {
    /// All assigned types, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Noop,
        Self::Discovery,
        Self::Response,
        Self::RequestNegotiation,
        Self::RequestSynchronization,
        Self::Negotiate,
        Self::End,
        Self::Wait,
        Self::Synch,
        Self::Flood,
        Self::Invalid,
    ];

    /// The type with this number, if one is assigned.
    #[must_use]
    pub fn from_number(n: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u64 == n)
    }

    /// The RFC's name, such as `M_DISCOVERY`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Noop => "M_NOOP",
            Self::Discovery => "M_DISCOVERY",
            Self::Response => "M_RESPONSE",
            Self::RequestNegotiation => "M_REQ_NEG",
            Self::RequestSynchronization => "M_REQ_SYN",
            Self::Negotiate => "M_NEGOTIATE",
            Self::End => "M_END",
            Self::Wait => "M_WAIT",
            Self::Synch => "M_SYNCH",
            Self::Flood => "M_FLOOD",
            Self::Invalid => "M_INVALID",
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Message {
    /// The message's number.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        match self {
            Self::Noop => MessageType::Noop,
            Self::Discovery { .. } => MessageType::Discovery,
            Self::Response { .. } => MessageType::Response,
            Self::RequestNegotiation { .. } => MessageType::RequestNegotiation,
            Self::RequestSynchronization { .. } => MessageType::RequestSynchronization,
            Self::Negotiate { .. } => MessageType::Negotiate,
            Self::End { .. } => MessageType::End,
            Self::Wait { .. } => MessageType::Wait,
            Self::Synch { .. } => MessageType::Synch,
            Self::Flood { .. } => MessageType::Flood,
            Self::Invalid { .. } => MessageType::Invalid,
        }
    }

    /// The session id; only M_NOOP has none.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        match self {
            Self::Noop => None,
            Self::Discovery { session_id, .. }
            | Self::Response { session_id, .. }
            | Self::RequestNegotiation { session_id, .. }
            | Self::RequestSynchronization { session_id, .. }
            | Self::Negotiate { session_id, .. }
            | Self::End { session_id, .. }
            | Self::Wait { session_id, .. }
            | Self::Synch { session_id, .. }
            | Self::Flood { session_id, .. }
            | Self::Invalid { session_id, .. } => Some(*session_id),
        }
    }
}
