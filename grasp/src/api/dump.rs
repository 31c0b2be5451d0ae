//! What a node holds at this moment, for operators: caches, sessions, objectives.
//!
//! Every list is as long as the bound of what it shows at most, and its order is the same whenever its content is.

use super::{Grasp, answer_again};
use crate::actors::{discovery, flood, node, session};
use crate::error::Error;
use crate::infrastructure::{Sight, oddities, purpose};
use crate::protocol::Time;
use crate::protocol::cache::Entry;
use crate::protocol::flood::{Brought, Flooded};
use crate::protocol::session::Phase;
use crate::wire::{Objective, SessionId, diagnostic};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long sessions have to say how they stand, all together.
const SESSIONS_ANSWER: Duration = Duration::from_secs(1);

/// A locator in the discovery cache that has not expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiscoveryEntry {
    /// Name of the objective.
    pub objective: String,
    /// The locator as text.
    pub locator: String,
    /// Index of the interface over which it was heard.
    pub interface: u32,
    /// Name of that interface, while it is up.
    pub interface_name: Option<String>,
    /// Learned through a divert option, not from the node that it leads to.
    pub diverted: bool,
    /// Milliseconds since it was heard last.
    pub age_ms: u64,
    /// Milliseconds until it expires.
    pub remaining_ms: u64,
}

/// A copy in the flood cache that has not expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FloodEntry {
    /// The name of the instance that has it; that of a DULL instance is `dull` and its interface.
    pub instance: String,
    /// Name of the objective.
    pub objective: String,
    /// Its value in CBOR diagnostic notation.
    pub value: Option<String>,
    /// The address of the node that flooded it.
    pub origin: IpAddr,
    /// The session id of the flood.
    pub session_id: SessionId,
    /// The locator that the flood tagged it with, as text.
    pub locator: Option<String>,
    /// Index of the interface over which it was heard.
    pub interface: u32,
    /// Name of that interface, while it is up.
    pub interface_name: Option<String>,
    /// Its loop count as received.
    pub loop_count: u8,
    /// Milliseconds since it was heard.
    pub age_ms: u64,
    /// Milliseconds until it expires; `None` for never.
    pub remaining_ms: Option<u64>,
    /// The lifetime that the flood states, in milliseconds; 0 for ever.
    pub ttl_ms: u32,
    /// What it means, if it is an objective of the infrastructure (RFC 8994, RFC 8995).
    pub what: Option<String>,
    /// What is odd about it then.
    pub odd: Vec<String>,
}

/// Which side of a session this node is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// This node has requested it.
    Initiator,
    /// The peer has requested it.
    Responder,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// The request waits until an ASA listens.
    Queued,
    /// The connection is being opened, or waits for the request.
    Dialling,
    /// The local ASA decides.
    OurTurn,
    /// The peer's answer is awaited.
    TheirTurn,
    /// Whoever has the turn has asked for more time.
    Waiting,
    /// The value that the peer has asked for is being written.
    Answering,
    /// It is over; the last message may still have to leave.
    Over,
    /// The session did not say within a second.
    Unknown,
}

impl From<Phase> for SessionState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Dialling => Self::Dialling,
            Phase::OurTurn => Self::OurTurn,
            Phase::TheirTurn => Self::TheirTurn,
            Phase::Waiting => Self::Waiting,
            Phase::Over => Self::Over,
        }
    }
}

/// A unicast session that takes a place in the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionEntry {
    /// Number of the session, never used again while the node runs; its records are those of `session-` and this.
    pub key: u64,
    /// The session id on the wire.
    pub session_id: SessionId,
    /// What it is for.
    pub kind: Kind,
    /// Name of the objective.
    pub objective: String,
    /// Name of the ASA that it belongs to, if it belongs to one yet.
    pub asa: Option<String>,
    /// Address, or name, and port of the peer.
    pub peer: String,
    /// Which side this node is on.
    pub side: Side,
    /// How it stands.
    pub state: SessionState,
    /// Loop count left, in a negotiation that has said how it stands.
    pub loop_count: Option<u8>,
    /// Milliseconds since it took its place.
    pub age_ms: u64,
    /// Milliseconds until it fails unless something happens before; `None` for no limit.
    pub remaining_ms: Option<u64>,
}

/// What an objective, or a session about it, is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only to be discovered.
    Discovery,
    /// Negotiation.
    Negotiation,
    /// Negotiation without consequences.
    DryRun,
    /// Synchronization and flooding.
    Synchronization,
}

impl Kind {
    pub(crate) fn of(objective: &Objective) -> Self {
        if objective.is_synchronizable() {
            Self::Synchronization
        } else if objective.is_negotiable() || objective.is_dry_run() {
            Self::of_negotiation(objective)
        } else {
            Self::Discovery
        }
    }

    pub(crate) fn of_negotiation(objective: &Objective) -> Self {
        if objective.is_dry_run() { Self::DryRun } else { Self::Negotiation }
    }
}

/// A registered objective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectiveEntry {
    /// Its name.
    pub name: String,
    /// Names of the ASAs that hold it, in the order of their registration.
    pub asas: Vec<String>,
    /// What it is for.
    pub kind: Kind,
    /// Whether an ASA takes negotiation requests.
    pub listening: bool,
    /// Whether a value is served to those who ask.
    pub serving: bool,
    /// Whether discoveries are answered now.
    pub announced: bool,
    /// Requests that wait until an ASA listens.
    pub queued: usize,
    /// Sessions about it, those in the queue included.
    pub sessions: usize,
    /// Its loop count as registered.
    pub loop_count: u8,
    /// Largest message in bytes.
    pub message_size: usize,
    /// The value that is served now, in CBOR diagnostic notation.
    pub value: Option<String>,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Grasp {
    async fn link_names(&self) -> Result<BTreeMap<u32, String>, Error> {
        let node = answer_again(&self.node, || node::Describe {}).await?;
        Ok(node.links.into_iter().map(|(id, name, _)| (id, name)).collect())
    }

    /// The discovery cache: by objective, each best first.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn discovery_cache(&self) -> Result<Vec<DiscoveryEntry>, Error> {
        let links = self.link_names().await?;
        let discovery::Everything(now, entries) = answer_again(&self.discovery, || discovery::All).await?;
        let entry = |(objective, entry): (String, Entry)| DiscoveryEntry {
            objective,
            locator: entry.locator.to_string(),
            interface: entry.link,
            interface_name: links.get(&entry.link).cloned(),
            diverted: entry.diverted,
            age_ms: ms(now.since(entry.heard)),
            remaining_ms: ms(entry.expires.since(now)),
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    /// The flood cache: by objective, each by its tag; this node's own floods are part of it.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn flood_cache(&self) -> Result<Vec<FloodEntry>, Error> {
        let node = answer_again(&self.node, || node::Describe {}).await?;
        let (dull, instance) = (node.dull, node.name);
        let links: BTreeMap<u32, String> = node.links.into_iter().map(|(id, name, _)| (id, name)).collect();
        let flood::Everything(now, copies) = answer_again(&self.flood, || flood::All).await?;
        let entry = |(flooded, brought): (Flooded, Brought)| {
            let (what, odd) = {
                let sight = Sight {
                    objective: &flooded.objective,
                    locator: flooded.locator.as_ref().map(|tag| &tag.locator),
                    initiator: brought.initiator,
                    ttl: brought.ttl,
                    dull,
                };
                (purpose(&sight), oddities(&sight))
            };
            FloodEntry {
                instance: instance.clone(),
                ttl_ms: brought.ttl,
                what,
                odd,
                value: flooded.objective.value.as_ref().map(|value| diagnostic(value.as_bytes())),
                origin: brought.initiator,
                session_id: brought.session_id,
                locator: flooded.locator.map(|tag| tag.locator.to_string()),
                interface: flooded.link,
                interface_name: links.get(&flooded.link).cloned(),
                loop_count: flooded.objective.loop_count,
                objective: flooded.objective.name,
                age_ms: ms(now.since(flooded.heard)),
                remaining_ms: flooded.expires.map(|expires| ms(expires.since(now))),
            }
        };
        Ok(copies.into_iter().map(entry).collect())
    }

    /// The flood cache, and those of the DULL instances beside this one, each after the other.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn flood_caches(&self) -> Result<Vec<FloodEntry>, Error> {
        let mut all = self.flood_cache().await?;
        for (_, dull) in self.dull_instances().await? {
            // One whose link has just gone has nothing.
            all.extend(dull.flood_cache().await.unwrap_or_default());
        }
        Ok(all)
    }

    /// The unicast sessions, in the order in which they began. Takes a second at most, also when one of them hangs.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn sessions(&self) -> Result<Vec<SessionEntry>, Error> {
        let deadline = Instant::now() + SESSIONS_ANSWER;
        let listed = answer_again(&self.node, || node::ListSessions {}).await?;
        let asked: FuturesUnordered<_> = listed
            .iter()
            .filter_map(|listed| Some((listed.entry.key, listed.actor.as_ref()?.send(session::Inspect))))
            .map(|(key, standing)| async move { (key, standing.await) })
            .collect();
        let mut said = BTreeMap::new();
        let mut answers = std::pin::pin!(asked);
        while let Ok(Some((key, answer))) = timeout_at(deadline, answers.next()).await {
            said.insert(key, answer);
        }
        let complete = |listed: node::Listed| {
            let mut entry = listed.entry;
            match said.remove(&entry.key) {
                Some(Ok((standing, now))) => {
                    entry.state = standing.phase.into();
                    entry.loop_count = standing.loop_count;
                    entry.remaining_ms = standing.until.map(|until: Time| ms(until.since(now)));
                }
                // It has ended since.
                Some(Err(_)) => return None,
                None => {}
            }
            Some(entry)
        };
        Ok(listed.into_iter().filter_map(complete).collect())
    }

    /// The registered objectives, by name.
    ///
    /// # Errors
    ///
    /// `#03` after a shutdown.
    pub async fn objectives(&self) -> Result<Vec<ObjectiveEntry>, Error> {
        answer_again(&self.node, || node::ListObjectives {}).await
    }
}
