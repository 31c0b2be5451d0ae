//! Every packet of a host, as a packet socket sees it.

use std::io::{ErrorKind, Read};
use std::net::Ipv6Addr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::{Host, poll};

/// All protocols, in network byte order as packet(7) wants it.
const ALL: i32 = 0x0300;

const UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const ICMP: u8 = 58;

/// Collects packets from its making on.
pub(crate) struct Capture(Socket);

/// An IPv6 packet.
pub(crate) struct Packet {
    bytes: Vec<u8>,
}

impl Capture {
    pub(crate) fn new(host: &Host) -> Self {
        let socket = host.run(|| Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(ALL))));
        let socket = socket.expect("a packet socket");
        socket.set_nonblocking(true).expect("a non-blocking socket");
        Self(socket)
    }

    /// The packets so far that come from another host.
    pub(crate) fn packets(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            match self.0.read(&mut buffer) {
                Ok(length) if length >= 40 && buffer[0] >> 4 == 6 => {
                    packets.push(Packet { bytes: buffer[..length].to_vec() });
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return packets,
                // The interface went down.
                Err(_) => return packets,
            }
        }
    }

    /// Waits until a packet satisfies `wanted`; those before it are lost.
    pub(crate) fn wait(&mut self, what: &str, wanted: impl Fn(&Packet) -> bool) -> Packet {
        poll(what, Duration::from_secs(5), || self.packets().into_iter().find(|packet| wanted(packet)))
    }
}

impl Packet {
    fn address(&self, at: usize) -> Ipv6Addr {
        Ipv6Addr::from(<[u8; 16]>::try_from(&self.bytes[at..at + 16]).expect("16 bytes"))
    }

    pub(crate) fn source(&self) -> Ipv6Addr {
        self.address(8)
    }

    pub(crate) fn destination(&self) -> Ipv6Addr {
        self.address(24)
    }

    /// All of it, from the IPv6 header on.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// To the group of all GRASP neighbours, by UDP.
    pub(crate) fn is_to_group(&self) -> bool {
        self.is_udp() && self.destination() == grasp::constants::ALL_GRASP_NEIGHBORS_6
    }

    pub(crate) fn hop_limit(&self) -> u8 {
        self.bytes[7]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_udp(&self) -> bool {
        self.bytes[6] == UDP
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.bytes[6] == 6
    }

    pub(crate) fn is_fragment(&self) -> bool {
        self.bytes[6] == FRAGMENT
    }

    /// Whether it is a TCP segment that opens a connection.
    pub(crate) fn is_syn(&self) -> bool {
        self.is_tcp() && self.bytes.get(53).is_some_and(|flags| flags & 0x12 == 0x02)
    }

    /// The destination port of a datagram or segment.
    pub(crate) fn port(&self) -> u16 {
        u16::from_be_bytes([self.bytes[42], self.bytes[43]])
    }

    /// Whether it is a report of membership (MLDv2) that names the group.
    pub(crate) fn reports(&self, group: Ipv6Addr) -> bool {
        let icmp = self.bytes[6] == HOP_BY_HOP && self.bytes.get(40) == Some(&ICMP) && self.bytes.get(48) == Some(&143);
        icmp && self.bytes.windows(16).any(|window| window == group.octets())
    }
}
