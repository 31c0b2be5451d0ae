//! Bytes as a sequence of inputs to all cores; for the fuzzer, the property tests and the corpus alike.

use grasp::constants::{GRASP_DEF_MAX_SIZE, MAX_MULTICAST_SIZE};
use grasp::protocol::discovery::{self, Discovery, DiscoveryConfig, DiscoverySettings, Question, Scope};
use grasp::protocol::flood::{self, Flood, FloodConfig};
use grasp::protocol::negotiation::Negotiation;
use grasp::protocol::session::{self, Call, SessionConfig};
use grasp::protocol::synchronization::Synchronization;
use grasp::protocol::{Announcement, AsaHandle, Heard, LinkInfo, Machine, Rapid, Time, Topology};
use grasp::wire::{
    Answer, EndOption, Flags, Limits, Locator, Message, Objective, TaggedObjective, Transport, Value, decode,
    with_loop_count,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const CAPACITY: usize = 6;
const SESSION: u32 = 1;
/// Most outputs that one input may cause: a few for each link, question and relay there can be.
const OUTPUTS_MAX: usize = 64;

struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn small(&mut self, below: u8) -> u8 {
        self.byte() % below
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn millis(&mut self) -> Duration {
        let unit = [0, 1, 50, 2_000][usize::from(self.small(4))];
        Duration::from_millis(u64::from(self.byte()) * unit)
    }

    fn raw(&mut self) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(usize::from(self.0.first().copied().unwrap_or(0)).min(self.0.len()));
        self.0 = rest;
        taken.get(1..).unwrap_or_default().to_vec()
    }

    fn address(&mut self) -> Ipv6Addr {
        let last = u16::from(self.small(4));
        let first = if self.flag() { 0xfe80 } else { 0x2001 };
        Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last)
    }

    fn name(&mut self) -> String {
        ["EX1", "EX2", "x:y", ""][usize::from(self.small(4))].into()
    }

    fn value(&mut self) -> Option<Value> {
        match self.small(4) {
            0 => None,
            1 => Some(Value::null()),
            2 => Value::item(&"v".repeat(usize::from(self.byte()) * 10)).ok(),
            _ => Value::item(&self.byte()).ok(),
        }
    }

    fn objective(&mut self) -> Objective {
        let (name, flags) = (self.name(), Flags(self.small(32).into()));
        Objective { name, flags, loop_count: self.byte(), value: self.value() }
    }

    fn proposal(&mut self) -> Objective {
        let objective = self.objective();
        let (name, flags) =
            if self.small(4) == 0 { (objective.name, objective.flags) } else { ("EX1".into(), Flags(3)) };
        Objective { name, flags, ..objective }
    }

    fn locator(&mut self) -> Locator {
        let (transport, port) = (if self.flag() { Transport::Udp } else { Transport::Tcp }, self.byte().into());
        match self.small(6) {
            0 => Locator::Ipv4 { address: Ipv4Addr::new(192, 0, 2, self.small(3)), transport, port },
            1 => Locator::Fqdn { name: ["a.local", "a.example"][usize::from(self.flag())].into(), transport, port },
            2 => {
                Locator::Uri { uri: "coap://[fe80::1]/".repeat(usize::from(self.byte())), transport: None, port: None }
            }
            3 => Locator::Ipv6 { address: Ipv6Addr::UNSPECIFIED, transport, port },
            _ => Locator::Ipv6 { address: self.address(), transport, port },
        }
    }

    fn locators(&mut self) -> Vec<Locator> {
        (0..=self.small(20)).map(|_| self.locator()).collect()
    }

    fn ttl(&mut self) -> u32 {
        [0, 1, 2_000, u32::MAX][usize::from(self.small(4))]
    }

    fn message(&mut self) -> Message {
        let (session_id, initiator) = (self.small(4).into(), IpAddr::V6(self.address()));
        match self.small(11) {
            0 => Message::Noop,
            1 => Message::Discovery { session_id, initiator, objective: self.objective() },
            2 => {
                let locators = self.locators();
                let answer = if self.flag() { Answer::Divert(locators) } else { Answer::Locators(locators) };
                let objective = self.flag().then(|| self.objective());
                Message::Response { session_id, initiator, ttl: self.ttl(), answer, objective }
            }
            3 => Message::RequestNegotiation { session_id, objective: self.objective() },
            4 => Message::RequestSynchronization { session_id, objective: self.objective() },
            5 => Message::Negotiate { session_id, objective: self.proposal() },
            6 => {
                let option = if self.flag() { EndOption::Accept } else { EndOption::Decline(Some(self.name())) };
                Message::End { session_id, option }
            }
            7 => Message::Wait { session_id, waiting_time: self.ttl() },
            8 => Message::Synch { session_id, objective: self.proposal() },
            9 => {
                let pair =
                    |s: &mut Self| TaggedObjective { objective: s.objective(), locator: s.flag().then(|| s.locator()) };
                let objectives = (0..self.small(4)).map(|_| pair(self)).collect();
                Message::Flood { session_id, initiator, ttl: self.ttl(), objectives }
            }
            _ => Message::Invalid { session_id, content: self.value() },
        }
    }

    fn topology(&mut self) -> Topology {
        let links = (1..=u32::from(self.small(4))).map(|id| LinkInfo { id, address: self.address() }).collect();
        let global = self.flag().then(|| Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 1));
        Topology { links, global, port: self.byte().into(), stable_port: self.flag() }
    }

    fn call(&mut self) -> Call {
        match self.small(6) {
            0 => Call::Request { objective: self.proposal(), timeout: self.millis() },
            1 => Call::Step { objective: self.proposal(), timeout: self.millis() },
            2 => Call::Wait(self.millis()),
            3 if self.flag() => Call::AcceptHeard { limit: self.millis(), settle: self.millis() },
            3 => Call::Accept,
            4 => Call::Decline(self.flag().then(|| self.name())),
            _ => Call::Invalid(self.value()),
        }
    }

    fn session(&mut self) -> session::Input {
        match self.small(12) {
            0 => session::Input::Connected,
            1 => session::Input::ConnectFailed(String::new()),
            2 => session::Input::Disconnected { mid_message: self.flag(), reset: self.flag() },
            3 if self.flag() => session::Input::Probed { reset: self.flag() },
            3 => session::Input::SendFailed(String::new()),
            4 => session::Input::Abandoned,
            5 => match decode(&self.raw(), &Limits::default()) {
                Ok(message) => session::Input::Received(message),
                Err(error) => session::Input::Undecodable(error),
            },
            6..=8 => session::Input::Received(self.message()),
            _ => session::Input::Call(self.byte().into(), self.call()),
        }
    }

    fn question(&mut self) -> Question {
        Question {
            request: self.small(4).into(),
            asker: AsaHandle(self.small(3).into()),
            objective: self.objective(),
            session_ids: (0..self.small(4)).map(u32::from).collect(),
            timeout: self.millis(),
            minimum_ttl: self.flag().then(|| self.millis()),
            scope: if self.flag() { Scope::First } else { Scope::All },
            direct_only: self.flag(),
        }
    }

    fn announcement(&mut self) -> Announcement {
        let mode = [Rapid::Off, Rapid::Response, Rapid::Synch][usize::from(self.small(3))];
        let asas = [AsaHandle(self.small(3).into())].into();
        let rapid = self.flag().then(|| (mode, self.objective()));
        Announcement { ttl: self.ttl(), local: self.flag(), asas, rapid }
    }
}

/// All the cores of one node, with bounds that small inputs reach.
struct Node {
    now: Time,
    discovery: Discovery,
    flood: Flood,
    initiator: Negotiation,
    responder: Negotiation,
    synchronization: Synchronization,
}

impl Node {
    fn new() -> Self {
        let settings = DiscoverySettings { link_local_locators: true, ..DiscoverySettings::default() };
        let discovery = DiscoveryConfig {
            cache_capacity: CAPACITY,
            seen_capacity: CAPACITY,
            relays_max: 3,
            settings,
            ..DiscoveryConfig::default()
        };
        let flood = FloodConfig { capacity: CAPACITY, per_name: 3, seen_capacity: CAPACITY, ..FloodConfig::default() };
        let config = SessionConfig {
            session_id: SESSION,
            message_size: GRASP_DEF_MAX_SIZE,
            gap: Duration::from_millis(300),
            wait_cap: None,
            session_cap: None,
        };
        let objective = Objective::negotiation("EX1");
        Self {
            now: Time::default(),
            discovery: Discovery::new(discovery),
            flood: Flood::new(flood),
            initiator: Negotiation::initiator(config.clone(), objective.clone()),
            responder: Negotiation::responder(config.clone(), objective),
            synchronization: Synchronization::new(config, "EX1"),
        }
    }

    fn hear(&mut self, source: &mut Source<'_>, raw: Vec<u8>, message: Message) {
        let link = source.small(4).into();
        let from: SocketAddr = (source.address(), 7017).into();
        let heard = Heard { link, source: from, raw, message, restricted: false };
        self.discovery.handle(self.now, discovery::Input::Heard(heard.clone()));
        self.flood.handle(self.now, flood::Input::Heard(heard));
    }

    fn step(&mut self, source: &mut Source<'_>) {
        let now = self.now;
        match source.small(14) {
            0 | 1 => {
                let until = now + source.millis();
                self.run_to(until);
            }
            2 => {
                let raw = source.raw();
                if let Ok(message) = decode(&raw, &Limits::default()) {
                    self.hear(source, raw, message);
                }
            }
            3 | 4 => {
                let message = source.message();
                self.hear(source, message.encode(), message);
            }
            5 => {
                let topology = source.topology();
                self.discovery.handle(now, discovery::Input::Topology(topology.clone()));
                self.flood.handle(now, flood::Input::Topology(topology));
            }
            6 => {
                let announcement = source.flag().then(|| source.announcement());
                self.discovery.handle(now, discovery::Input::Local { name: source.name(), announcement });
            }
            7 => self.discovery.handle(now, discovery::Input::Discover(source.question())),
            8 => {
                let input = match source.small(4) {
                    0 => discovery::Input::Cancel { request: source.small(4).into() },
                    1 => discovery::Input::Flush { name: source.name() },
                    2 => discovery::Input::Dead { name: source.name(), locator: source.locator() },
                    _ => discovery::Input::Unanswerable { source: (source.address(), 7017).into() },
                };
                self.discovery.handle(now, input);
            }
            9 => {
                let pair = |s: &mut Source<'_>| (s.objective(), s.flag().then(|| s.locator()));
                let objectives = (0..source.small(4)).map(|_| pair(source)).collect();
                let (session_id, ttl) = (source.small(4).into(), source.ttl());
                self.flood.handle(now, flood::Input::Flood { request: 0, session_id, ttl, objectives });
            }
            10 => {
                if let Some(copy) = self.flood.store().get(now, &source.name()).pop() {
                    self.flood.handle(now, flood::Input::Expire(copy));
                }
            }
            11 => self.initiator.handle(now, source.session()),
            12 => self.responder.handle(now, source.session()),
            _ => self.synchronization.handle(now, source.session()),
        }
        self.check();
    }

    fn deadline(&self) -> Option<Time> {
        let sessions = [self.initiator.deadline(), self.responder.deadline(), self.synchronization.deadline()];
        sessions.into_iter().chain([self.discovery.deadline(), self.flood.deadline()]).flatten().min()
    }

    fn run_to(&mut self, until: Time) {
        let mut woken = 0;
        while let Some(deadline) = self.deadline().filter(|deadline| *deadline <= until) {
            woken += 1;
            assert!(woken < 1_000, "the deadlines do not move on");
            self.now = self.now.max(deadline);
            self.discovery.wake(self.now);
            self.flood.wake(self.now);
            self.initiator.wake(self.now);
            self.responder.wake(self.now);
            self.synchronization.wake(self.now);
            self.check();
        }
        self.now = self.now.max(until);
    }

    /// Drains every core and checks what it wants against the bounds.
    fn check(&mut self) {
        for output in drain(&mut self.discovery) {
            match output {
                discovery::Output::Multicast { bytes, .. } => multicast(&bytes),
                discovery::Output::Respond { bytes, .. } => unicast(&bytes),
                discovery::Output::Found { found, .. } => assert!(found.locators.len() <= CAPACITY + 1),
                discovery::Output::Release(_) => {}
            }
        }
        for output in drain(&mut self.flood) {
            match output {
                flood::Output::Multicast { bytes, .. } => multicast(&bytes),
                flood::Output::Flooded(copy) => assert!(copy.objective.is_synchronizable()),
                flood::Output::Sent { .. } => {}
            }
        }
        let sessions = [drain(&mut self.initiator), drain(&mut self.responder), drain(&mut self.synchronization)];
        for output in sessions.into_iter().flatten() {
            if let session::Output::Send(bytes) = output {
                unicast(&bytes);
                let sent = decode(&bytes, &Limits::default()).map(|message| message.session_id());
                assert_eq!(sent, Ok(Some(SESSION)), "only this session's messages are sent");
            }
        }
        assert!(self.discovery.cache().len() <= CAPACITY && self.flood.store().len() <= CAPACITY);
    }
}

fn drain<M: Machine>(core: &mut M) -> Vec<M::Output> {
    let outputs: Vec<_> = std::iter::from_fn(|| core.poll()).collect();
    assert!(outputs.len() <= OUTPUTS_MAX, "{} outputs for one input", outputs.len());
    outputs
}

fn multicast(bytes: &[u8]) {
    assert!(bytes.len() <= MAX_MULTICAST_SIZE, "a multicast of {} bytes", bytes.len());
    assert!(with_loop_count(bytes, 1).is_ok());
    let decoded = decode(bytes, &Limits::default());
    assert!(matches!(decoded, Ok(Message::Discovery { .. } | Message::Flood { .. })), "{decoded:?}");
}

fn unicast(bytes: &[u8]) {
    assert!(bytes.len() <= GRASP_DEF_MAX_SIZE, "a message of {} bytes", bytes.len());
    let decoded = decode(bytes, &Limits::default());
    if let Ok(Message::Response { answer: Answer::Divert(locators), .. }) = &decoded {
        assert!(!locators.is_empty() && !locators.iter().any(Locator::is_link_local));
    }
    assert!(decoded.is_ok(), "{decoded:?}");
}

/// Drives all cores with what `data` says; panics if a bound or a promise is broken.
pub fn engine(data: &[u8]) {
    let (mut node, mut source) = (Node::new(), Source(data));
    // Two links to begin with; the input may change them.
    node.step(&mut Source(&[5, 2, 1, 0, 2, 0, 1, 9, 1]));
    while !source.0.is_empty() {
        node.step(&mut source);
    }
    // Whatever happened, everything that was waiting comes to its end.
    node.run_to(Time(Duration::MAX));
    assert_eq!(node.deadline(), None);
}
