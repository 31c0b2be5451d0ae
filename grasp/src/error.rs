//! The numbered errors of the API (RFC 8991 Appendix A).

use serde::{Deserialize, Serialize};
use std::fmt;

/// An error code of RFC 8991 Appendix A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 0 `ok`.
    Ok = 0,
    /// 1 `declined`.
    Declined = 1,
    /// 2 `noReply`.
    NoReply = 2,
    /// 3 `unspec`.
    Unspecified = 3,
    /// 4 `ASAfull`.
    AsaFull = 4,
    /// 5 `dupASA`.
    DuplicateAsa = 5,
    /// 6 `noASA`.
    NoAsa = 6,
    /// 7 `notYourASA`.
    NotYourAsa = 7,
    /// 8 `notBoth`.
    NotBoth = 8,
    /// 9 `notDry`.
    NotDry = 9,
    /// 10 `notOverlap`.
    NotOverlap = 10,
    /// 11 `objFull`.
    ObjectivesFull = 11,
    /// 12 `objReg`.
    ObjectiveRegistered = 12,
    /// 13 `notYourObj`.
    NotYourObjective = 13,
    /// 14 `notObj`.
    NotObjective = 14,
    /// 15 `notNeg`.
    NotNegotiable = 15,
    /// 16 `noSecurity`.
    NoSecurity = 16,
    /// 17 `noDiscReply`.
    NoDiscoveryReply = 17,
    /// 18 `sockErrNegRq`.
    SocketNegotiationRequest = 18,
    /// 19 `noSession`.
    NoSession = 19,
    /// 20 `noSocket`.
    NoSocket = 20,
    /// 21 `loopExhausted`.
    LoopExhausted = 21,
    /// 22 `sockErrNegStep`.
    SocketNegotiationStep = 22,
    /// 23 `noPeer`.
    NoPeer = 23,
    /// 24 `CBORfail`.
    CborFail = 24,
    /// 25 `invalidNeg`.
    InvalidNegotiate = 25,
    /// 26 `invalidEnd`.
    InvalidEnd = 26,
    /// 27 `noNegReply`.
    NoNegotiationReply = 27,
    /// 28 `noValidStep`.
    NoValidStep = 28,
    /// 29 `sockErrWait`.
    SocketWait = 29,
    /// 30 `sockErrEnd`.
    SocketEnd = 30,
    /// 31 `IDclash`.
    IdClash = 31,
    /// 32 `notSynch`.
    NotSynchronizable = 32,
    /// 33 `notFloodDisc`.
    NotFloodedNorDiscovered = 33,
    /// 34 `sockErrSynRq`.
    SocketSynchronizationRequest = 34,
    /// 35 `noListener`.
    NoListener = 35,
    /// 36 `noSynchReply`.
    NoSynchronizationReply = 36,
    /// 37 `noValidSynch`.
    NoValidSynch = 37,
    /// 38 `invalidLoc`.
    InvalidLocator = 38,
}

impl ErrorCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 39] = [
        Self::Ok,
        Self::Declined,
        Self::NoReply,
        Self::Unspecified,
        Self::AsaFull,
        Self::DuplicateAsa,
        Self::NoAsa,
        Self::NotYourAsa,
        Self::NotBoth,
        Self::NotDry,
        Self::NotOverlap,
        Self::ObjectivesFull,
        Self::ObjectiveRegistered,
        Self::NotYourObjective,
        Self::NotObjective,
        Self::NotNegotiable,
        Self::NoSecurity,
        Self::NoDiscoveryReply,
        Self::SocketNegotiationRequest,
        Self::NoSession,
        Self::NoSocket,
        Self::LoopExhausted,
        Self::SocketNegotiationStep,
        Self::NoPeer,
        Self::CborFail,
        Self::InvalidNegotiate,
        Self::InvalidEnd,
        Self::NoNegotiationReply,
        Self::NoValidStep,
        Self::SocketWait,
        Self::SocketEnd,
        Self::IdClash,
        Self::NotSynchronizable,
        Self::NotFloodedNorDiscovered,
        Self::SocketSynchronizationRequest,
        Self::NoListener,
        Self::NoSynchronizationReply,
        Self::NoValidSynch,
        Self::InvalidLocator,
    ];

    /// The published number.
    #[must_use]
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The published short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Declined => "declined",
            Self::NoReply => "noReply",
            Self::Unspecified => "unspec",
            Self::AsaFull => "ASAfull",
            Self::DuplicateAsa => "dupASA",
            Self::NoAsa => "noASA",
            Self::NotYourAsa => "notYourASA",
            Self::NotBoth => "notBoth",
            Self::NotDry => "notDry",
            Self::NotOverlap => "notOverlap",
            Self::ObjectivesFull => "objFull",
            Self::ObjectiveRegistered => "objReg",
            Self::NotYourObjective => "notYourObj",
            Self::NotObjective => "notObj",
            Self::NotNegotiable => "notNeg",
            Self::NoSecurity => "noSecurity",
            Self::NoDiscoveryReply => "noDiscReply",
            Self::SocketNegotiationRequest => "sockErrNegRq",
            Self::NoSession => "noSession",
            Self::NoSocket => "noSocket",
            Self::LoopExhausted => "loopExhausted",
            Self::SocketNegotiationStep => "sockErrNegStep",
            Self::NoPeer => "noPeer",
            Self::CborFail => "CBORfail",
            Self::InvalidNegotiate => "invalidNeg",
            Self::InvalidEnd => "invalidEnd",
            Self::NoNegotiationReply => "noNegReply",
            Self::NoValidStep => "noValidStep",
            Self::SocketWait => "sockErrWait",
            Self::SocketEnd => "sockErrEnd",
            Self::IdClash => "IDclash",
            Self::NotSynchronizable => "notSynch",
            Self::NotFloodedNorDiscovered => "notFloodDisc",
            Self::SocketSynchronizationRequest => "sockErrSynRq",
            Self::NoListener => "noListener",
            Self::NoSynchronizationReply => "noSynchReply",
            Self::NoValidSynch => "noValidSynch",
            Self::InvalidLocator => "invalidLoc",
        }
    }

    /// The published text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Declined => "Declined",
            Self::NoReply => "No reply",
            Self::Unspecified => "Unspecified error",
            Self::AsaFull => "ASA registry full",
            Self::DuplicateAsa => "Duplicate ASA name",
            Self::NoAsa => "ASA not registered",
            Self::NotYourAsa => "ASA registered but not by you",
            Self::NotBoth => "Objective cannot support both negotiation and synchronization",
            Self::NotDry => "Dry-run allowed only with negotiation",
            Self::NotOverlap => "Overlap not supported by this implementation",
            Self::ObjectivesFull => "Objective registry full",
            Self::ObjectiveRegistered => "Objective already registered",
            Self::NotYourObjective => "Objective not registered by this ASA",
            Self::NotObjective => "Objective not found",
            Self::NotNegotiable => "Objective not negotiable",
            Self::NoSecurity => "No security",
            Self::NoDiscoveryReply => "No reply to discovery",
            Self::SocketNegotiationRequest => "Socket error sending negotiation request",
            Self::NoSession => "No session",
            Self::NoSocket => "No socket",
            Self::LoopExhausted => "Loop count exhausted",
            Self::SocketNegotiationStep => "Socket error sending negotiation step",
            Self::NoPeer => "No negotiation peer",
            Self::CborFail => "CBOR decode failure",
            Self::InvalidNegotiate => "Invalid Negotiate message",
            Self::InvalidEnd => "Invalid end message",
            Self::NoNegotiationReply => "No reply to negotiation step",
            Self::NoValidStep => "No valid reply to negotiation step",
            Self::SocketWait => "Socket error sending wait message",
            Self::SocketEnd => "Socket error sending end message",
            Self::IdClash => "Incoming request Session ID clash",
            Self::NotSynchronizable => "Not a synchronization objective",
            Self::NotFloodedNorDiscovered => "Not flooded and no reply to discovery",
            Self::SocketSynchronizationRequest => "Socket error sending synch request",
            Self::NoListener => "No synch listener",
            Self::NoSynchronizationReply => "No reply to synchronization request",
            Self::NoValidSynch => "No valid reply to synchronization request",
            Self::InvalidLocator => "Invalid locator",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (#{})", self.text(), self.code())
    }
}

/// How the peer's side of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamEnd {
    /// The peer closed its side in order, after whole messages. The connection keeps the order, so it has sent nothing that
    /// was not heard before.
    Orderly,
    /// It ended inside a message, or after something that could not be understood.
    Unclear,
    /// The connection was reset, or failed in another way: something the peer sent may be lost.
    Reset,
}

/// What a call of the API failed with: the published code and what exactly was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Error {
    /// The published code.
    pub code: ErrorCode,
    /// The peer's reason of a decline, or what was wrong and where; may be empty.
    pub detail: String,
    /// How the connection ended, if that is what the call failed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<StreamEnd>,
}

impl Error {
    /// An error with a detail for humans.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), ending: None }
    }

    /// The same, with how the connection ended.
    #[must_use]
    pub fn with_ending(self, ending: StreamEnd) -> Self {
        Self { ending: Some(ending), ..self }
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, String::new())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() { self.code.fmt(f) } else { write!(f, "{}: {}", self.code, self.detail) }
    }
}
