//! A cable between two hosts that holds back chosen messages, and keeps the order of each connection.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, MsgFlags, recvfrom, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use super::wire::{self, Passed};
use crate::lab::{Host, Lab, Task};

/// Every protocol, in network byte order (packet(7)).
const ALL_PROTOCOLS: i32 = 0x0300;
/// How long nothing may come until the carrier looks whether it shall end.
const LOOK: Duration = Duration::from_millis(20);
/// How exactly a frame that was held back is let go.
const TICK: Duration = Duration::from_micros(300);

/// Tells how long after the last message of the other side a message is to arrive; `None` lets it pass.
pub(super) type Rule = Box<dyn FnMut(&Passed) -> Option<Duration> + Send>;

type Flow = ((Ipv6Addr, u16), (Ipv6Addr, u16));

/// A cable with somebody in the middle.
pub(super) struct SlowCable {
    stop: Arc<AtomicBool>,
    carrier: Option<Task<()>>,
}

impl SlowCable {
    /// Joins two new hosts, which get interfaces "e0".
    pub(super) fn between(lab: &mut Lab, names: [&str; 2], rule: Rule) -> ([Host; 2], Self) {
        let middle = lab.host("middle");
        for which in ["all", "default"] {
            middle.sysctl(&format!("ipv6/conf/{which}/disable_ipv6"), "1").unwrap();
        }
        let hosts = names.map(|name| lab.host(name));
        for (at, host) in (1..).zip(&hosts) {
            let port = format!("p{at}");
            lab.cable(host, "e0", &middle, &port);
            middle.set_up(&port, true);
            host.set_up("e0", true);
            host.add_address("e0", Ipv6Addr::new(0xfd5a, 0x1e57, 0xa1b0, 0xff, 0, 0, 0, at), 64);
            host.wait_ready("e0");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let (socket, ports) = middle.run(|| (socket(), ports()));
        let carrier = middle.spawn(move || Carrier::new(socket, ports, rule).carry(&until));
        (hosts, Self { stop, carrier: Some(carrier) })
    }
}

impl Drop for SlowCable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take().filter(|_| !thread::panicking()) {
            carrier.join(Duration::from_secs(5));
        }
    }
}

fn socket() -> Socket {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(ALL_PROTOCOLS))).unwrap();
    socket.set_recv_buffer_size(1 << 22).unwrap();
    socket
}

fn ports() -> [LinkAddr; 2] {
    let find = |name: &str| {
        let mut all = getifaddrs().unwrap().filter(|one| one.interface_name == name);
        all.find_map(|one| one.address?.as_link_addr().copied()).unwrap()
    };
    [find("p1"), find("p2")]
}

struct Carrier {
    socket: Socket,
    ports: [LinkAddr; 2],
    rule: Rule,
    /// What waits: when it goes, its number, and where to.
    held: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    number: u64,
    /// Until when a connection is held back in one direction.
    flows: HashMap<Flow, Instant>,
    /// When a message last went in one direction.
    last: HashMap<Flow, Instant>,
    segments: HashSet<(Flow, u32)>,
}

impl Carrier {
    fn new(socket: Socket, ports: [LinkAddr; 2], rule: Rule) -> Self {
        let (held, flows, last, segments) = Default::default();
        Self { socket, ports, rule, held, number: 0, flows, last, segments }
    }

    fn carry(mut self, stop: &AtomicBool) {
        let mut frame = vec![0; 1 << 16];
        self.socket.set_read_timeout(Some(LOOK)).unwrap();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            while let Some(first) = self.held.first_entry().filter(|first| first.key().0 <= now) {
                let (port, frame) = first.remove();
                self.send(port, &frame);
            }
            // A time limit of the kernel is too coarse for what waits.
            let flags = if self.held.is_empty() { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
            self.socket.set_nonblocking(!flags.is_empty()).unwrap();
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut frame) {
                Ok((length, Some(from))) => self.take(&frame[..length], &from),
                Ok((_, None)) => {}
                Err(nix::Error::EAGAIN) => thread::sleep(if self.held.is_empty() { Duration::ZERO } else { TICK }),
                Err(error) => panic!("the cable: {error}"),
            }
        }
    }

    fn take(&mut self, frame: &[u8], from: &LinkAddr) {
        // What this socket has sent is no news.
        const OUTGOING: u8 = 4;
        let Some(port) = self.ports.iter().position(|port| port.ifindex() == from.ifindex()) else { return };
        if from.pkttype() == OUTGOING {
            return;
        }
        let (other, mut frame) = (1 - port, frame.to_vec());
        checksum(&mut frame);
        let Some(flow) = flow(&frame) else { return self.send(other, &frame) };
        let now = Instant::now();
        let mut until = self.flows.get(&flow).copied().filter(|until| *until > now);
        if let Some((passed, sequence)) = wire::payload(&frame)
            && self.segments.insert((flow, sequence))
        {
            if let Some(delay) = (self.rule)(&passed) {
                let since = self.last.get(&(flow.1, flow.0)).copied().unwrap_or(now);
                until = until.max(Some(since + delay));
            }
            self.last.insert(flow, now);
        }
        match until {
            None => self.send(other, &frame),
            Some(until) => {
                self.flows.insert(flow, until);
                self.number += 1;
                self.held.insert((until, self.number), (other, frame));
            }
        }
    }

    fn send(&self, port: usize, frame: &[u8]) {
        let sent = sendto(self.socket.as_raw_fd(), frame, &self.ports[port], MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()), "the cable");
    }
}

/// The connection of a TCP segment.
fn flow(frame: &[u8]) -> Option<Flow> {
    let packet = frame.get(12..)?.strip_prefix(&[0x86, 0xdd])?;
    let (header, body) = packet.split_at_checked(40)?;
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
    let port = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    (header[6] == 6).then_some(())?;
    Some(((address(8)?, port(0)?), (address(24)?, port(2)?)))
}

/// Fills in the checksum of a TCP segment or UDP datagram, which the sender leaves to its network card.
fn checksum(frame: &mut [u8]) -> Option<()> {
    let packet = frame.get_mut(12..)?;
    packet.strip_prefix(&[0x86, 0xdd])?;
    let (header, body) = packet.get_mut(2..)?.split_at_mut_checked(40)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let body = body.get_mut(..length)?;
    let at = match header[6] {
        6 => 16,
        17 => 6,
        _ => return None,
    };
    body.get_mut(at..at + 2)?.fill(0);
    let words = |bytes: &[u8]| {
        let pairs = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
        pairs.fold(0_u64, |sum, word| sum + u64::from(word))
    };
    let mut sum = words(&header[8..40]) + words(body) + length as u64 + u64::from(header[6]);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let sum = !u16::try_from(sum).ok()?;
    body[at..at + 2].copy_from_slice(&(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
    Some(())
}
