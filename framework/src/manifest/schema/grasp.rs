//! The settings of the GRASP instance of a node (RFC 8990).

use std::collections::BTreeMap;

use grasp::protocol::authorization::Act;
use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

/// Who protects the messages of a node (RFC 8990 section 2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Substrate {
    /// Nobody: the node refuses to speak. The default, so that an unprotected network is always a choice.
    #[default]
    None,
    /// Nobody, and the operator accepts that: for laboratories and demonstrations only.
    InsecureLab,
    /// A key that all members share, as the Python prototype has it: no integrity, no members told apart.
    Quads,
    /// Mutual TLS with the certificates of a domain (RFC 8994 section 6.9.2).
    Tls,
}

/// The GRASP instance of a node (RFC 8990).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grasp {
    /// The security substrate.
    pub substrate: Substrate,
    /// The interfaces to speak on, by name.
    pub interfaces: Vec<String>,
    /// The UDP and TCP port to listen on; 7017 is GRASP_LISTEN_PORT (RFC 8990 section 2.6), 0 an ephemeral port.
    pub port: u16,
    /// Whether discovery and floods are relayed between interfaces.
    pub relay: bool,
    /// Whether the objectives EX0 to EX9 may be registered and used (RFC 8990 section 2.10.1).
    pub experimental_objectives: bool,
    /// Whether locators that this node gives away may be link-local addresses.
    pub link_local_locators: bool,
    /// Whether IPv4 addresses of internal networks may be used as locators.
    pub internal_nat4: bool,
    /// The prefix that addresses of the domain come from; none accepts every address.
    #[serde(with = "prefix_text")]
    pub domain_prefix: Option<Ipv6Net>,
    /// How long a reply may take unless the caller says otherwise, in milliseconds; GRASP_DEF_TIMEOUT is 60 000.
    pub default_timeout_ms: u32,
    /// The longest time by which the M_WAITs of a peer may extend a negotiation in all, in milliseconds; 0 is no cap.
    pub wait_cap_ms: u32,
    /// The longest time that a negotiation may take as a whole, in milliseconds; 0 sets no limit.
    pub session_cap_ms: u32,
    /// Where the group's key comes from, if the substrate is `quads`.
    pub quads: Quads,
    /// The credentials of this node, if the substrate is `tls`.
    pub tls: Tls,
    /// The DULL instances beside the node's own, one for each interface (RFC 8990 section 2.5.2).
    pub dull: Dull,
    /// Which members may do what, by objective and act; everything that is not said is allowed to all.
    pub authorization: Rules,
    /// The bounds that keep a peer from using up the node.
    pub limits: Limits,
}

/// Names of members that may do something, by objective and act.
pub type Rules = BTreeMap<String, BTreeMap<Act, Vec<String>>>;

/// Where the group's key comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quads {
    /// A source: `file:PATH`, `fd:NUMBER`, `credential:NAME` or `prompt`. Never the key itself.
    pub key: String,
}

/// The credentials of this node in its domain: PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The node's certificate, and those between it and an anchor.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// The trust anchors of the domain.
    pub anchors: String,
    /// The certificates that are revoked; empty for none.
    pub revocations: String,
    /// How many days before its end a certificate is warned of.
    pub warn_days: u32,
    /// How often the files are looked at for a change, in milliseconds; 0 waits to be told to.
    pub look_every_ms: u32,
}

impl Default for Tls {
    fn default() -> Self {
        let none = String::new;
        Self {
            certificate: none(),
            key: none(),
            anchors: none(),
            revocations: none(),
            warn_days: 30,
            look_every_ms: 60_000,
        }
    }
}

/// The DULL instances beside the node's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dull {
    /// Whether there are any. The substrate `tls` finds its neighbours by them and has them in any case.
    pub enabled: bool,
    /// The objectives that may be heard and said there.
    pub objectives: Vec<String>,
}

impl Default for Dull {
    fn default() -> Self {
        Self { enabled: false, objectives: ["AN_ACP", "AN_Proxy"].map(str::to_owned).to_vec() }
    }
}

impl Default for Grasp {
    fn default() -> Self {
        Self {
            substrate: Substrate::None,
            interfaces: Vec::new(),
            port: 7017,
            relay: true,
            experimental_objectives: false,
            link_local_locators: false,
            internal_nat4: false,
            domain_prefix: None,
            default_timeout_ms: 60_000,
            wait_cap_ms: 0,
            session_cap_ms: 0,
            quads: Quads::default(),
            tls: Tls::default(),
            dull: Dull::default(),
            authorization: Rules::new(),
            limits: Limits::default(),
        }
    }
}

/// The bounds that keep a peer from using up the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest message sent or accepted, in bytes; GRASP_DEF_MAX_SIZE is 2048 (RFC 8990 section 2.6).
    pub message_size: usize,
    /// The deepest nesting of CBOR accepted.
    pub depth: usize,
    /// Sessions open at once.
    pub sessions: usize,
    /// Connections accepted and open at once.
    pub connections: usize,
    /// How long an accepted connection may stay without its first message, in milliseconds.
    pub first_message_timeout_ms: u32,
    /// Agents registered at once.
    pub asas: usize,
    /// Objectives registered at once.
    pub objectives: usize,
    /// Locators kept in the discovery cache.
    pub discovery_cache: usize,
    /// Objective names kept in the flood cache.
    pub flood_cache: usize,
    /// Values kept in the flood cache for one name, from different origins.
    pub flood_values_per_name: usize,
    /// Bytes kept in the flood cache in total.
    pub flood_bytes: usize,
    /// Accepted requests that wait for one objective's agent; more are refused.
    pub request_queue: usize,
    /// Messages relayed each second on one interface, on average.
    pub relay_per_second: u32,
    /// Messages relayed at once before the average applies.
    pub relay_burst: u32,
    /// The smallest average time between floods of one objective, in milliseconds.
    pub flood_interval_ms: u32,
    /// Floods of one objective sent at once before the average applies.
    pub flood_burst: u32,
    /// Session identifiers remembered to relay each message only once.
    pub seen: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 2048,
            depth: 16,
            sessions: 20_000,
            connections: 1024,
            first_message_timeout_ms: 5000,
            asas: 100,
            objectives: 1000,
            discovery_cache: 1000,
            flood_cache: 1000,
            flood_values_per_name: 32,
            flood_bytes: 8 << 20,
            request_queue: 64,
            relay_per_second: 50,
            relay_burst: 100,
            flood_interval_ms: 3000,
            flood_burst: 10,
            seen: 65_536,
        }
    }
}

/// Writes a prefix as text, none as the empty text.
mod prefix_text {
    use ipnet::Ipv6Net;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(prefix: &Option<Ipv6Net>, serializer: S) -> Result<S::Ok, S::Error> {
        match prefix {
            Some(prefix) => serializer.collect_str(prefix),
            None => serializer.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ipv6Net>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
    }
}
