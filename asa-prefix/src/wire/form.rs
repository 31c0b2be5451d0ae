//! The forms of a prefix on the wire, and the objectives that carry them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The objectives that prefixes are negotiated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dialect {
    /// The registered objective (RFC 8992 section 8). Tags 52 and 54 obey RFC 9164 to the letter.
    PrefixManager,
    /// The unregistered objective of the Python program pfxm4, whose tags 52 and 54 keep the zero bytes at the end of a
    /// prefix: both are read, with them and without.
    PrefixManagerT,
}

impl Dialect {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PrefixManager, Self::PrefixManagerT];

    /// The name of the objective.
    #[must_use]
    pub const fn objective(self) -> &'static str {
        match self {
            Self::PrefixManager => "PrefixManager",
            Self::PrefixManagerT => "PrefixManagerT",
        }
    }

    /// The form in which this ASA asks, unless told otherwise: it covers both families.
    #[must_use]
    pub const fn own_form(self) -> Form {
        match self {
            Self::PrefixManager => Form::plain(Shape::F2),
            Self::PrefixManagerT => Form::plain(Shape::F5),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.objective())
    }
}

/// The shape of a value, Tag 24 apart; the table in the documentation of [`super`] shows them.
///
/// F7 is refused wherever it is read, so no value ever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Shape {
    /// RFC 8992 section 5.1: no version, hence IPv6 only.
    F1,
    /// RFC 8992 section 5.2.
    F2,
    /// As F2, with null in the place of the prefix of a request. Offers have no null and are F2.
    F3,
    /// Drafts of RFC 8992.
    F4 {
        /// Whether 6 or 4 stands in front; without it the family is IPv6.
        versioned: bool,
        /// Whether prefix delegation is wanted, which is repeated in the offer and has no other meaning.
        delegation: bool,
    },
    /// Tag 54 or 52 with as many bytes as the length needs.
    F5,
    /// Tag 54 or 52 without zero bytes at the end (RFC 9164 section 4.2).
    F6,
}

impl Shape {
    /// Whether it can carry an IPv4 prefix.
    #[must_use]
    pub const fn carries_ipv4(self) -> bool {
        match self {
            Self::F1 | Self::F4 { versioned: false, .. } => false,
            Self::F2 | Self::F3 | Self::F4 { versioned: true, .. } | Self::F5 | Self::F6 => true,
        }
    }
}

/// What has to be known of a request to answer in kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Form {
    /// The shape of the value.
    pub shape: Shape,
    /// Whether it is inside Tag 24 (F8).
    pub embedded: bool,
}

impl Form {
    /// A shape outside Tag 24.
    #[must_use]
    pub const fn plain(shape: Shape) -> Self {
        Self { shape, embedded: false }
    }

    /// A shape inside Tag 24.
    #[must_use]
    pub const fn embedded(shape: Shape) -> Self {
        Self { shape, embedded: true }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F1 => "F1",
            Self::F2 => "F2",
            Self::F3 => "F3",
            Self::F4 { versioned: true, .. } => "F4",
            Self::F4 { versioned: false, .. } => "F4 without version",
            Self::F5 => "F5",
            Self::F6 => "F6",
        })
    }
}

impl fmt::Display for Form {
    /// `F2`, or `F8(F2)` inside Tag 24.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.embedded { write!(f, "F8({})", self.shape) } else { self.shape.fmt(f) }
    }
}
