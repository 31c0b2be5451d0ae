//! Numbers fixed by the protocol, each with its section of RFC 8990, and the limits this implementation adds.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Link-local multicast group of all GRASP neighbours over IPv6 (RFC 8990 §2.6).
pub const ALL_GRASP_NEIGHBORS_6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x13);
/// Link-local multicast group of all GRASP neighbours over IPv4 (RFC 8990 §2.6).
pub const ALL_GRASP_NEIGHBORS_4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 119);
/// UDP destination port of multicasts; also the unicast port this node prefers (RFC 8990 §2.6).
pub const GRASP_LISTEN_PORT: u16 = 7017;
/// Time after which an operation without an answer has failed (RFC 8990 §2.6).
pub const GRASP_DEF_TIMEOUT: Duration = Duration::from_millis(60_000);
/// Loop count of an objective whose specification names none (RFC 8990 §2.6).
pub const GRASP_DEF_LOOPCT: u8 = 6;
/// Largest unicast message in bytes unless the objective allows more (RFC 8990 §2.6, §2.8.3).
pub const GRASP_DEF_MAX_SIZE: usize = 2048;
/// Largest UDP payload in bytes of a multicast: 1280 less the IPv6 and UDP headers (RFC 8990 §2.5.3).
pub const MAX_MULTICAST_SIZE: usize = 1232;
/// Discovery waits this long for each unit of loop count (RFC 8990 §2.5.4.3).
pub const DISCOVERY_UNIT: Duration = Duration::from_millis(100);
/// How long the session id and initiator of a relayed flood are remembered (RFC 8990 §2.5.6.2).
pub const RELAY_MEMORY: Duration = Duration::from_millis(120_000);
/// Lifetime meant by a ttl of 0 in M_RESPONSE (RFC 8990 §2.8.5).
pub const LONG_TTL: Duration = Duration::from_millis(600_000);
/// Lifetime of a discovery response in milliseconds if the ASA names none (RFC 8991 §2.3.3).
pub const DEFAULT_RESPONSE_TTL: u32 = 60_000;
/// Least pause between two messages in one direction without an answer between them.
///
/// The Python peer decodes one message per read and discards the rest of what it read.
pub const MESSAGE_GAP: Duration = Duration::from_millis(300);
/// Deepest nesting of CBOR items that is decoded.
pub const MAX_DEPTH: usize = 16;
/// Bytes of a bad message that are returned in M_INVALID (RFC 8990 §2.8.12).
pub const INVALID_EXCERPT: usize = 256;
/// Pause between looks at the interfaces when the kernel announces nothing.
pub const INTERFACE_POLL: Duration = Duration::from_secs(5);
/// Time limit for dialling back to the sender of a discovery.
pub const RESPONSE_DIAL_TIMEOUT: Duration = Duration::from_secs(2);
