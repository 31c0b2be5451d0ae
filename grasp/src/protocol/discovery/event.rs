//! What the discovery core hears and says.

use crate::constants::MAX_MULTICAST_SIZE;
use crate::error::{Error, ErrorCode};
use crate::protocol::dull::Refused;
use crate::protocol::rate::RelayRate;
use crate::protocol::{Announcement, AsaHandle, AsaLocator, Dull, Heard, LinkId, Topology};
use crate::wire::{Locator, Message, Objective, SessionId};
use serde::{Deserialize, Serialize};
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Settings that do not change while the node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryConfig {
    /// Locators remembered.
    pub cache_capacity: usize,
    /// Multicasts remembered by the once-only filter.
    pub seen_capacity: usize,
    /// Discoveries relayed at the same time.
    pub relays_max: usize,
    /// Rate of relaying.
    pub relay_rate: RelayRate,
    /// Bytes of the longest message that is sent to a whole link.
    pub multicast_size: usize,
    /// The rules of a DULL instance, if this is one.
    pub dull: Option<Dull>,
    /// What may be said and believed.
    pub settings: DiscoverySettings,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self {
            cache_capacity: 1_000,
            seen_capacity: 65_536,
            relays_max: 4_096,
            relay_rate: RelayRate::default(),
            multicast_size: MAX_MULTICAST_SIZE,
            dull: None,
            settings: DiscoverySettings::default(),
        }
    }
}

/// Operator's choices about discovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoverySettings {
    /// Relay discoveries between links.
    pub relay: bool,
    /// Announce link-local addresses if the node has no other (T-15).
    pub link_local_locators: bool,
    /// The operator runs IPv4 address translation inside, so IPv4 locators stay out of diverts (RFC 8990 §2.9.5.2).
    pub internal_nat4: bool,
    /// First address and length of the domain; other global addresses are not believed (RFC 8990 §3).
    pub domain: Option<(Ipv6Addr, u8)>,
}

impl Default for DiscoverySettings {
    fn default() -> Self {
        Self { relay: true, link_local_locators: false, internal_nat4: false, domain: None }
    }
}

/// How much a question wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything heard until the timeout (RFC 8991 §2.3.4).
    All,
    /// The first usable locator ends it.
    First,
}

/// A discovery that an ASA wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Identifies the question towards the actor.
    pub request: u64,
    /// The ASA that asks; its own listeners are not found.
    pub asker: AsaHandle,
    /// The objective; its loop count and value go into the message.
    pub objective: Objective,
    /// Session ids, one a try; there are no more tries than ids.
    pub session_ids: Vec<SessionId>,
    /// Zero answers from the cache at once.
    pub timeout: Duration,
    /// Cached locators that live no longer are deleted first; 0 deletes all, `None` nothing.
    pub minimum_ttl: Option<Duration>,
    /// How much is wanted.
    pub scope: Scope,
    /// Ignore diverts (RFC 8990 §2.9.2).
    pub direct_only: bool,
}

impl Question {
    /// Tells whether the question can be asked at all.
    ///
    /// # Errors
    ///
    /// `#03` for a loop count of 0, or an objective too long for a multicast (RFC 8990 §2.5.3).
    pub fn check(&self, multicast_size: usize) -> Result<(), Error> {
        let objective = self.objective.clone();
        if objective.loop_count == 0 {
            return Err(Error::new(ErrorCode::Unspecified, format!("{}: a loop count is 1 to 255", objective.name)));
        }
        let initiator = Ipv6Addr::UNSPECIFIED.into();
        let size = Message::Discovery { session_id: SessionId::MAX, initiator, objective }.encode().len();
        if size > multicast_size {
            let detail = format!("{size} bytes; a discovery holds at most {multicast_size}");
            return Err(Error::new(ErrorCode::Unspecified, detail));
        }
        Ok(())
    }
}

/// What a question found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Locators, best first.
    pub locators: Vec<AsaLocator>,
    /// The objective with its value, if rapid mode delivered it.
    pub rapid: Option<Objective>,
}

/// What the core hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Links or addresses have changed.
    Topology(Topology),
    /// What may be said about a local objective has changed.
    Local {
        /// Name of the objective.
        name: String,
        /// What may be said; `None` for nothing.
        announcement: Option<Announcement>,
    },
    /// A decoded discovery, or a message on the port that waits for answers.
    Heard(Heard),
    /// An ASA asks.
    Discover(Question),
    /// Nobody waits for this question any more.
    Cancel {
        /// The question.
        request: u64,
    },
    /// Forget all locators of an objective.
    Flush {
        /// Name of the objective.
        name: String,
    },
    /// A locator did not accept a connection.
    Dead {
        /// Name of the objective.
        name: String,
        /// The locator.
        locator: Locator,
    },
    /// The sender of a discovery did not accept the answer.
    Unanswerable {
        /// Its address and port.
        source: SocketAddr,
    },
}

/// What the core wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Multicast on one link.
    Multicast {
        /// Where.
        link: LinkId,
        /// The message.
        #[serde(with = "crate::hex::text")]
        bytes: Vec<u8>,
    },
    /// Answer the sender of a discovery.
    Respond {
        /// The link it came on.
        link: LinkId,
        /// Its transport source.
        to: SocketAddr,
        /// The message.
        #[serde(with = "crate::hex::text")]
        bytes: Vec<u8>,
    },
    /// A question is answered.
    Found {
        /// The question.
        request: u64,
        /// The result.
        found: Found,
    },
    /// These session ids are done with.
    Release(Vec<SessionId>),
}

/// Counts of what happened; a bound that bites moves one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DiscoveryCounters {
    pub answered: u64,
    pub diverted: u64,
    pub relayed: u64,
    pub forwarded: u64,
    pub discarded: u64,
    pub duplicates: u64,
    pub own_heard: u64,
    pub unexpected: u64,
    pub unanswerable: u64,
    pub distrusted: u64,
    pub relays_full: u64,
    pub answers_full: u64,
    pub too_long: u64,
    pub relays_refused: u64,
    pub cache_evicted: u64,
    /// Locators that were not remembered because they, or the name, are too long.
    pub cache_too_long: u64,
    /// Locators of answers that held too many.
    pub locators_ignored: u64,
    pub seen_evicted: u64,
    /// What a DULL instance has dropped.
    #[serde(flatten)]
    pub dull: Refused,
}
