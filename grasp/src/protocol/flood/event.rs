//! What the flooding core hears and says.

use super::Flooded;
use crate::constants::MAX_MULTICAST_SIZE;
use crate::error::Error;
use crate::protocol::dull::Refused;
use crate::protocol::rate::RelayRate;
use crate::protocol::{Dull, Heard, LinkId, Topology};
use crate::wire::{Locator, Objective, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Settings that do not change while the node runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloodConfig {
    /// Objectives remembered in total.
    pub capacity: usize,
    /// Objectives of one name remembered.
    pub per_name: usize,
    /// Bytes of all that is remembered: names, values, locators, and 256 for each copy.
    pub bytes: usize,
    /// Multicasts remembered by the once-only filter.
    pub seen_capacity: usize,
    /// Relay floods between links.
    pub relay: bool,
    /// Rate of relaying.
    pub relay_rate: RelayRate,
    /// Bytes of the longest message that is sent to a whole link.
    pub multicast_size: usize,
    /// The rules of a DULL instance, if this is one.
    pub dull: Option<Dull>,
    /// Objectives that are left to the DULL instances beside this one: they are relayed, but not remembered here.
    pub left_to_dull: BTreeSet<String>,
    /// Average pause between two floods of one local objective (RFC 8085 §3.1.3).
    pub interval: Duration,
    /// Floods of one local objective allowed at once.
    pub burst: u32,
}

impl Default for FloodConfig {
    fn default() -> Self {
        Self {
            capacity: 1_000,
            per_name: 32,
            bytes: 8 << 20,
            seen_capacity: 65_536,
            relay: true,
            relay_rate: RelayRate::default(),
            multicast_size: MAX_MULTICAST_SIZE,
            dull: None,
            left_to_dull: BTreeSet::new(),
            interval: Duration::from_secs(3),
            burst: 10,
        }
    }
}

/// What the core hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Links or addresses have changed.
    Topology(Topology),
    /// A decoded flood.
    Heard(Heard),
    /// A local ASA floods.
    Flood {
        /// Identifies the call towards the actor.
        request: u64,
        /// A new session id.
        session_id: SessionId,
        /// Lifetime in milliseconds, 0 for ever.
        ttl: u32,
        /// The objectives with their tags; the address `::` stands for that of each link.
        objectives: Vec<(Objective, Option<Locator>)>,
    },
    /// A local ASA wants one copy forgotten.
    Expire(Flooded),
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
    /// A synchronization objective has arrived or changed.
    Flooded(Flooded),
    /// A local flood has been sent or refused.
    Sent {
        /// The call.
        request: u64,
        /// How it went.
        result: Result<(), Error>,
    },
}

/// Counts of what happened; a bound that bites moves one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FloodCounters {
    pub sent: u64,
    pub relayed: u64,
    pub duplicates: u64,
    pub far_link_local: u64,
    pub not_synchronizable: u64,
    pub unexpected: u64,
    pub too_often: u64,
    pub relays_refused: u64,
    pub evicted: u64,
    /// Those of them that made room for the bytes of another.
    pub evicted_for_bytes: u64,
    pub too_long: u64,
    pub seen_evicted: u64,
    pub left_to_dull: u64,
    /// Copies of strangers that found no room in the cache of a DULL instance; those who watch were told of them.
    pub no_room: u64,
    /// What a DULL instance has dropped.
    #[serde(flatten)]
    pub dull: Refused,
}
