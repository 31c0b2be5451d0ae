//! What passes on the wire of a host, and whether it keeps the rules that the Python implementation needs kept.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use grasp::constants::GRASP_LISTEN_PORT;
use grasp::substrate::{Quads, Substrate};
use grasp::wire::{Limits, Message, SessionId, decode};
use socket2::{Domain, Protocol, Socket, Type};

use super::quads::{self, Group};
use crate::lab::cbor::item_len;
use crate::lab::{Host, Task};

/// Every protocol, in network byte order (packet(7)).
const ALL_PROTOCOLS: i32 = 0x0300;
/// How often the listener looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);
/// A peer that reads once per message needs this much time between two of them.
const GAP: Duration = Duration::from_millis(250);

/// One end of a conversation.
type End = (Ipv6Addr, u16);

/// A payload as it passed.
pub(super) struct Passed {
    pub(super) at: Instant,
    pub(super) from: End,
    pub(super) to: End,
    pub(super) tcp: bool,
    pub(super) bytes: Vec<u8>,
    /// The message, if the payload is exactly one.
    pub(super) message: Option<Message>,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, bytes, .. } = self;
        let bytes = grasp::hex::encode(bytes);
        write!(f, "[{}]:{} > [{}]:{} {bytes} {:?}", from.0, from.1, to.0, to.1, self.message)
    }
}

impl Passed {
    fn session(&self) -> Option<SessionId> {
        self.message.as_ref().and_then(Message::session_id)
    }
}

/// Collects what passes until it is stopped.
pub(super) struct Wire {
    stop: Arc<AtomicBool>,
    listener: Task<Vec<Passed>>,
}

impl Wire {
    pub(super) fn tap(host: &Host) -> Self {
        Self::tap_in(host, None)
    }

    /// Sees only what is encrypted, one message to a payload, as a message, if there is a group.
    pub(super) fn tap_in(host: &Host, group: Group) -> Self {
        let key = group.map(quads::member);
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let socket = host.run(|| {
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ALL_PROTOCOLS))).unwrap();
            socket.set_recv_buffer_size(1 << 22).unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            socket
        });
        Self { stop, listener: host.spawn(move || collect(socket, &until, key.as_ref())) }
    }

    pub(super) fn stop(self) -> Vec<Passed> {
        self.stop.store(true, Ordering::Relaxed);
        self.listener.join(Duration::from_secs(5))
    }
}

fn collect(mut socket: Socket, stop: &AtomicBool, key: Option<&Quads>) -> Vec<Passed> {
    let (mut all, mut frame, mut segments) = (Vec::new(), vec![0; 1 << 16], HashSet::new());
    while !stop.load(Ordering::Relaxed) {
        match socket.read(&mut frame) {
            Ok(length) => {
                let Some((mut passed, sequence)) = payload(&frame[..length]) else { continue };
                if let Some(key) = key {
                    passed.message = key.open(1, passed.bytes.clone()).and_then(|clear| message(&clear));
                }
                // A repeated segment is no second message.
                if !passed.tcp || segments.insert((passed.from, passed.to, sequence)) {
                    all.push(passed);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("the tap: {error}"),
        }
    }
    all
}

/// The GRASP payload of an Ethernet frame, and the sequence number of its segment.
pub(super) fn payload(frame: &[u8]) -> Option<(Passed, u32)> {
    let packet = frame.strip_prefix(frame.get(..12)?)?.strip_prefix(&[0x86, 0xdd])?;
    let (header, body) = packet.split_at_checked(40)?;
    let body = body.get(..usize::from(word(header, 4)?))?;
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
    let (from, to) = ((address(8)?, word(body, 0)?), (address(24)?, word(body, 2)?));
    let (tcp, offset) = match header[6] {
        6 => (true, usize::from(body.get(12)? >> 4) * 4),
        17 if to.1 == GRASP_LISTEN_PORT => (false, 8),
        _ => return None,
    };
    let bytes = body.get(offset..).filter(|bytes| !bytes.is_empty())?.to_vec();
    let sequence = u32::from(word(body, 4)?) << 16 | u32::from(word(body, 6)?);
    let message = message(&bytes);
    Some((Passed { at: Instant::now(), from, to, tcp, bytes, message }, sequence))
}

/// The message that these bytes are, if they are exactly one.
fn message(bytes: &[u8]) -> Option<Message> {
    decode(bytes, &Limits::default()).ok().filter(|_| item_len(bytes) == Ok(bytes.len()))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The rules that messages from these addresses break, if the others have only the `known` objectives.
pub(super) fn faults(passed: &[Passed], ours: &BTreeSet<Ipv6Addr>, known: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut last: BTreeMap<BTreeSet<End>, &Passed> = BTreeMap::new();
    let mut requests = HashSet::new();
    for one in passed {
        let before = if one.tcp { last.insert(BTreeSet::from([one.from, one.to]), one) } else { None };
        if !ours.contains(&one.from.0) {
            continue;
        }
        let mut fault = |what: &str| faults.push(format!("{what}: {one}"));
        let Some(message) = &one.message else {
            fault("not exactly one message in one segment or datagram");
            continue;
        };
        if before.is_some_and(|before| before.from == one.from && one.at - before.at < GAP) {
            fault("two messages without a pause");
        }
        if message.session_id() == Some(0) {
            fault("session id 0");
        }
        match message {
            Message::Discovery { initiator, .. } | Message::Flood { initiator, .. } if !initiator.is_ipv6() => {
                fault("an initiator that is not 16 bytes long");
            }
            Message::Response { ttl: 0, .. } => fault("a lifetime of 0"),
            Message::Wait { waiting_time: 0, .. } => fault("a wait of 0"),
            Message::RequestNegotiation { session_id, objective }
            | Message::RequestSynchronization { session_id, objective } => {
                if !requests.insert(*session_id) {
                    fault("a session id used again");
                }
                if !known.contains(&objective.name.as_str()) {
                    fault("a request for an objective that nobody has");
                }
            }
            Message::Noop | Message::Invalid { .. } => fault("an unexpected message"),
            Message::Discovery { .. }
            | Message::Response { .. }
            | Message::Negotiate { .. }
            | Message::End { .. }
            | Message::Wait { .. }
            | Message::Synch { .. }
            | Message::Flood { .. } => {}
        }
    }
    faults
}

/// Why a negotiation may have ended by a time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excuse {
    /// The bank asked for less time than it took (GB-B-07).
    Impatience,
    /// The customer fell silent when the loop count was used up (GB-G-08).
    Silence,
}

/// Explains the failure of a session, in which the bank thinks so long after each M_WAIT.
pub(super) fn excuse(passed: &[Passed], session: SessionId, thinking: Duration) -> Option<Excuse> {
    let mut messages =
        passed.iter().filter(|one| one.session() == Some(session)).filter_map(|one| one.message.as_ref());
    let short = |message: &Message| matches!(message, Message::Wait { waiting_time, .. } if u128::from(*waiting_time) < thinking.as_millis());
    if messages.clone().any(short) {
        return Some(Excuse::Impatience);
    }
    let last = messages.next_back()?;
    matches!(last, Message::Negotiate { objective, .. } if objective.loop_count <= 2).then_some(Excuse::Silence)
}

/// Values of an objective that were fetched by M_REQ_SYN.
pub(super) fn fetched(passed: &[Passed], name: &str) -> usize {
    let of_name =
        |one: &&Passed| matches!(&one.message, Some(Message::Synch { objective, .. }) if objective.name == name);
    passed.iter().filter(of_name).count()
}

/// Whether a response brought the value of an objective along.
pub(super) fn brought(passed: &[Passed], name: &str) -> bool {
    passed.iter().any(|one| {
        matches!(&one.message, Some(Message::Response { objective: Some(o), .. }) if o.name == name && o.value.is_some())
    })
}

/// The unicast addresses of a host.
pub(super) fn addresses(host: &Host) -> BTreeSet<Ipv6Addr> {
    host.addresses().into_iter().map(|assigned| assigned.address).filter(|a| !IpAddr::V6(*a).is_loopback()).collect()
}
