//! Objectives and locators as ASAs see them (RFC 8991 §2.3.2).

use super::{LinkId, Time};
use crate::constants::GRASP_DEF_LOOPCT;
use crate::wire::{Flags, Locator, Objective, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Identifies a registered ASA within its node (RFC 8991 §2.3.2.7): random, never 0, hard to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AsaHandle(pub u32);

/// A locator that an ASA can use, with how it was learned (RFC 8991 §2.3.2.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsaLocator {
    /// The locator option.
    pub locator: Locator,
    /// Interface index over which it was heard; 0 for one's own node or a hand-made locator.
    pub interface: LinkId,
    /// End of its lifetime; `None` if it has none.
    pub expires: Option<Time>,
    /// Learned through a divert option.
    pub diverted: bool,
}

impl AsaLocator {
    /// A locator the ASA knows by itself, never expiring.
    #[must_use]
    pub fn known(locator: Locator, interface: LinkId) -> Self {
        Self { locator, interface, expires: None, diverted: false }
    }
}

/// Rapid-mode synchronization of an objective (RFC 8990 §2.5.6.3); off unless switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rapid {
    /// A discovery is answered with locators only.
    #[default]
    Off,
    /// The discovery response also carries the current value, as the Python implementation does.
    Response,
    /// A discovery is answered with M_SYNCH in place of M_RESPONSE.
    Synch,
}

/// What discovery says about an objective of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Lifetime stated in responses, in milliseconds.
    pub ttl: u32,
    /// Answer with the link-local address of the link that asked.
    pub local: bool,
    /// The ASAs that hold it.
    pub asas: BTreeSet<AsaHandle>,
    /// The current value with its rapid mode, if that is on.
    pub rapid: Option<(Rapid, Objective)>,
}

impl Flags {
    /// The bits that RFC 8990 §2.10.2 assigns; the others are never sent by this node (T-09).
    #[must_use]
    pub fn assigned(self) -> Self {
        Self(self.0 & (Self::DISC.0 | Self::NEG.0 | Self::SYNCH.0 | Self::NEG_DRY.0))
    }
}

impl Objective {
    /// A discovery objective: no value, default loop count.
    #[must_use]
    pub fn discovery(name: impl Into<String>) -> Self {
        Self { name: name.into(), flags: Flags::DISC, loop_count: GRASP_DEF_LOOPCT, value: None }
    }

    /// A negotiation objective with the default loop count and no value yet.
    #[must_use]
    pub fn negotiation(name: impl Into<String>) -> Self {
        Self { flags: Flags::DISC.with(Flags::NEG), ..Self::discovery(name) }
    }

    /// A synchronization objective with the default loop count and no value yet.
    #[must_use]
    pub fn synchronization(name: impl Into<String>) -> Self {
        Self { flags: Flags::DISC.with(Flags::SYNCH), ..Self::discovery(name) }
    }

    /// The same objective as a dry run (RFC 8990 §2.10.2).
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self { flags: self.flags.with(Flags::NEG_DRY), ..self }
    }

    /// The same objective with this loop count.
    #[must_use]
    pub fn with_loop_count(self, loop_count: u8) -> Self {
        Self { loop_count, ..self }
    }

    /// The same objective with this value.
    #[must_use]
    pub fn with_value(self, value: Value) -> Self {
        Self { value: Some(value), ..self }
    }

    /// The same objective without flags that this node must not send.
    #[must_use]
    pub(super) fn with_assigned_flags(self) -> Self {
        Self { flags: self.flags.assigned(), ..self }
    }

    /// Tells whether it may be negotiated.
    #[must_use]
    pub fn is_negotiable(&self) -> bool {
        self.flags.contains(Flags::NEG)
    }

    /// Tells whether it may be synchronized and flooded.
    #[must_use]
    pub fn is_synchronizable(&self) -> bool {
        self.flags.contains(Flags::SYNCH)
    }

    /// Tells whether it is a dry run.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.flags.contains(Flags::NEG_DRY)
    }
}
