//! Drives a core as its actor would: `handle`, drain `poll`, jump to `deadline`.
#![allow(dead_code, unreachable_pub)]

pub mod asking;
pub mod engine;
pub mod flooding;
pub mod negotiating;

use grasp::protocol::discovery::{self, Discovery, DiscoveryConfig};
use grasp::protocol::flood::{self, Flood, FloodConfig};
use grasp::protocol::{Heard, LinkId, LinkInfo, Machine, Time, Topology};
use grasp::wire::{Limits, Locator, Message, Objective, SessionId, Value, decode};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// Three links: A, B, C.
pub const A: LinkId = 1;
pub const B: LinkId = 2;
pub const C: LinkId = 3;

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn at(millis: u64) -> Time {
    Time(ms(millis))
}

pub fn bytes(hex: &str) -> Vec<u8> {
    grasp::hex::decode(hex).expect("a test vector is hex")
}

pub fn message(raw: &[u8]) -> Message {
    decode(raw, &Limits::default()).expect("a test message decodes")
}

pub fn value(n: u64) -> Value {
    Value::item(&n).expect("an integer is a value")
}

pub fn gua(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)
}

pub fn lla(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n)
}

pub fn tcp(address: Ipv6Addr, port: u16) -> Locator {
    Locator::tcp(address.into(), port)
}

/// A peer's link-local address on a link, with a source port.
pub fn source(peer: u16, link: LinkId) -> SocketAddr {
    SocketAddrV6::new(lla(peer), 5000, 0, link).into()
}

/// The node under test: address 2001:db8::1, fe80::1xx on link xx, port 7017.
pub fn topology(links: &[LinkId]) -> Topology {
    let link = |id: &LinkId| LinkInfo { id: *id, address: lla(0x100 + u16::try_from(*id).expect("a small id")) };
    Topology { links: links.iter().map(link).collect(), global: Some(gua(1)), port: 7017, stable_port: true }
}

pub fn disc(session_id: SessionId, initiator: Ipv6Addr, name: &str, loop_count: u8) -> Message {
    let objective = Objective::discovery(name).with_loop_count(loop_count);
    Message::Discovery { session_id, initiator: IpAddr::V6(initiator), objective }
}

/// A core on an injected clock.
pub struct Driver<M: Machine> {
    pub core: M,
    pub now: Time,
}

impl<M: Machine> Driver<M> {
    pub fn new(core: M) -> Self {
        Self { core, now: Time::default() }
    }

    /// Hands over one input now and returns everything the core then wants.
    pub fn feed(&mut self, input: M::Input) -> Vec<M::Output> {
        self.core.handle(self.now, input);
        self.drain()
    }

    /// The same at a later time; timers in between fire at their own times.
    pub fn feed_at(&mut self, time: Time, input: M::Input) -> Vec<M::Output> {
        let mut outputs: Vec<_> = self.run_to(time).into_iter().map(|(_, output)| output).collect();
        outputs.extend(self.feed(input));
        outputs
    }

    pub fn drain(&mut self) -> Vec<M::Output> {
        std::iter::from_fn(|| self.core.poll()).collect()
    }

    /// Jumps to the next deadline.
    pub fn jump(&mut self) -> Vec<M::Output> {
        if let Some(deadline) = self.core.deadline() {
            self.now = self.now.max(deadline);
            self.core.wake(self.now);
        }
        self.drain()
    }

    /// Jumps from deadline to deadline up to a time, which is then now.
    pub fn run_to(&mut self, until: Time) -> Vec<(Time, M::Output)> {
        let mut outputs = Vec::new();
        for _ in 0..10_000 {
            if self.core.deadline().is_none_or(|deadline| deadline > until) {
                self.now = self.now.max(until);
                return outputs;
            }
            let woken = self.jump();
            outputs.extend(woken.into_iter().map(|output| (self.now, output)));
        }
        panic!("the deadlines do not move on");
    }
}

impl Driver<Discovery> {
    pub fn discovery(links: &[LinkId]) -> Self {
        Self::discovery_with(links, DiscoveryConfig::default())
    }

    pub fn discovery_with(links: &[LinkId], config: DiscoveryConfig) -> Self {
        let mut driver = Self::new(Discovery::new(config));
        driver.feed(discovery::Input::Topology(topology(links)));
        driver
    }

    pub fn hear_raw(&mut self, link: LinkId, source: SocketAddr, raw: &[u8]) -> Vec<discovery::Output> {
        let heard = Heard { link, source, raw: raw.to_vec(), message: message(raw), restricted: false };
        self.feed(discovery::Input::Heard(heard))
    }

    pub fn hear(&mut self, link: LinkId, peer: u16, message: &Message) -> Vec<discovery::Output> {
        self.hear_raw(link, source(peer, link), &message.encode())
    }
}

impl Driver<Flood> {
    pub fn flood(links: &[LinkId]) -> Self {
        Self::flood_with(links, FloodConfig::default())
    }

    pub fn flood_with(links: &[LinkId], config: FloodConfig) -> Self {
        let mut driver = Self::new(Flood::new(config));
        driver.feed(flood::Input::Topology(topology(links)));
        driver
    }

    pub fn hear_raw(&mut self, link: LinkId, raw: &[u8]) -> Vec<flood::Output> {
        let heard =
            Heard { link, source: source(7, link), raw: raw.to_vec(), message: message(raw), restricted: false };
        self.feed(flood::Input::Heard(heard))
    }

    pub fn hear(&mut self, link: LinkId, message: &Message) -> Vec<flood::Output> {
        self.hear_raw(link, &message.encode())
    }
}

/// The multicasts among a discovery core's outputs.
pub fn multicasts(outputs: &[discovery::Output]) -> Vec<(LinkId, Vec<u8>)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            discovery::Output::Multicast { link, bytes } => Some((*link, bytes.clone())),
            discovery::Output::Respond { .. } | discovery::Output::Found { .. } | discovery::Output::Release(_) => None,
        })
        .collect()
}

/// The answers to other nodes among a discovery core's outputs.
pub fn responses(outputs: &[discovery::Output]) -> Vec<(LinkId, SocketAddr, Message)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            discovery::Output::Respond { link, to, bytes } => Some((*link, *to, message(bytes))),
            discovery::Output::Multicast { .. } | discovery::Output::Found { .. } | discovery::Output::Release(_) => {
                None
            }
        })
        .collect()
}

/// The results among a discovery core's outputs.
pub fn found(outputs: &[discovery::Output]) -> Vec<(u64, discovery::Found)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            discovery::Output::Found { request, found } => Some((*request, found.clone())),
            discovery::Output::Multicast { .. } | discovery::Output::Respond { .. } | discovery::Output::Release(_) => {
                None
            }
        })
        .collect()
}

/// The multicasts among a flooding core's outputs.
pub fn floods(outputs: &[flood::Output]) -> Vec<(LinkId, Vec<u8>)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            flood::Output::Multicast { link, bytes } => Some((*link, bytes.clone())),
            flood::Output::Flooded(_) | flood::Output::Sent { .. } => None,
        })
        .collect()
}
