//! The attacker: each attack goes on until its process is killed, and says how much it has done.

use super::domain::substrate;
use crate::lab::peer::GROUP;
use actix::System;
use grasp::net::ByteStream;
use grasp::wire::{Limits, Locator, Message, Objective, TaggedObjective, Transport, Value, decode};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

const PORT: u16 = 7_017;
/// Connections held open at once.
const HELD: usize = 10_000;

/// Keeps a rate, and tells of it.
struct Pace {
    began: Instant,
    told: Instant,
    per_second: f64,
    done: u64,
    what: &'static str,
}

impl Pace {
    fn new(per_second: u32, what: &'static str) -> Self {
        println!("begun");
        Self { began: Instant::now(), told: Instant::now(), per_second: per_second.into(), done: 0, what }
    }

    /// Waits until the next one is due.
    async fn next(&mut self) {
        let due = Duration::from_secs_f64(self.done as f64 / self.per_second);
        let ahead = due.saturating_sub(self.began.elapsed());
        if ahead > Duration::from_millis(2) {
            tokio::time::sleep(ahead).await;
        }
        self.done += 1;
        if self.told.elapsed() >= Duration::from_millis(200) {
            self.told = Instant::now();
            println!("{:.0} {}/s", self.done as f64 / self.began.elapsed().as_secs_f64(), self.what);
        }
    }
}

fn link() -> (Ipv6Addr, u32) {
    let interfaces = grasp::net::kernel::interfaces().unwrap();
    let one = interfaces.iter().find(|one| one.link_local.is_some()).unwrap();
    (one.link_local.unwrap(), one.index)
}

fn multicaster() -> UdpSocket {
    let (address, index) = link();
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_multicast_if_v6(index).unwrap();
    socket.set_multicast_loop_v6(false).unwrap();
    socket.bind(&SocketAddrV6::new(address, 0, 0, index).into()).unwrap();
    UdpSocket::from_std(socket.into()).unwrap()
}

fn group() -> SocketAddr {
    SocketAddrV6::new(GROUP, PORT, 0, link().1).into()
}

fn listener() -> UdpSocket {
    let index = link().1;
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddrV6::new(GROUP, PORT, 0, index).into()).unwrap();
    socket.join_multicast_v6(&GROUP, index).unwrap();
    UdpSocket::from_std(socket.into()).unwrap()
}

/// Where the server takes connections of neighbours, as it announces.
async fn neighbours_port() -> SocketAddr {
    let socket = listener();
    let target = crate::lab::topology::lla(1, 1);
    let mut buffer = vec![0; 2_048];
    // To say something makes a node announce itself soon to the newcomer.
    let speaker = multicaster();
    let (own, index) = link();
    let mut tries = 0..10_u16;
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(4), socket.recv_from(&mut buffer)).await;
        if heard.is_err() {
            let port = 9 + tries.next().expect("an announcement");
            speaker.send_to(&announcement(own, port.into(), port), group()).await.unwrap();
        }
        let Ok(Ok((length, source))) = heard else { continue };
        let Ok(Message::Flood { objectives, .. }) = decode(&buffer[..length], &Limits::default()) else { continue };
        if source.ip() == IpAddr::V6(target)
            && let Some(port) = objectives[0].locator.as_ref().and_then(Locator::port)
        {
            return SocketAddrV6::new(target, port, 0, index).into();
        }
    }
}

fn flood(id: u32, initiator: Ipv6Addr, objectives: Vec<(Objective, Option<Locator>)>) -> Vec<u8> {
    let objectives =
        objectives.into_iter().map(|(objective, locator)| TaggedObjective { objective, locator }).collect();
    Message::Flood { session_id: id, initiator: initiator.into(), ttl: 210_000, objectives }.encode()
}

fn value(name: &str, loop_count: u8, value: &str) -> Objective {
    let mut objective = Objective::synchronization(name).with_value(Value::item(value).unwrap());
    objective.loop_count = loop_count;
    objective
}

fn announcement(own: Ipv6Addr, id: u32, port: u16) -> Vec<u8> {
    let locator = Locator::Ipv6 { address: own, transport: Transport::Tcp, port };
    flood(id, own, vec![(value("AN_ACP", 1, "GRASP-TLS"), Some(locator))])
}

const FAR: Ipv6Addr = Ipv6Addr::new(0xfd5a, 0x1e57, 0xa1b0, 1, 0, 0, 0, 0x66);

async fn multicasts(per_second: u32, what: &'static str, message: impl Fn(u32) -> Vec<u8>) {
    let (socket, to) = (multicaster(), group());
    let mut pace = Pace::new(per_second, what);
    for id in 1.. {
        pace.next().await;
        let _ = socket.send_to(&message(id), to).await;
    }
}

/// Opens connections, says something on each, and holds them.
async fn connections(per_second: u32, to: SocketAddr, say: &[u8], hold: bool) {
    let mut held = std::collections::VecDeque::new();
    let mut pace = Pace::new(per_second, "connections");
    loop {
        pace.next().await;
        let Ok(Ok(mut stream)) = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(to)).await else {
            continue;
        };
        if !say.is_empty() {
            let _ = stream.write_all(say).await;
        }
        if hold {
            held.push_back(stream);
        }
        if held.len() > HELD {
            held.pop_front();
        }
    }
}

/// The first flight of a handshake, recorded.
async fn hello(directory: &str) -> Vec<u8> {
    let (near, mut far) = tokio::io::duplex(65_536);
    let stranger = substrate("tls", directory, "stranger");
    let connecting = stranger.connect(Box::new(near) as ByteStream, SocketAddr::from(([0; 8], 1)));
    let mut bytes = vec![0; 4_096];
    let read = tokio::select! {
        _ = connecting => 0,
        read = far.read(&mut bytes) => read.unwrap(),
    };
    bytes.truncate(read);
    assert!(read > 100);
    bytes
}

/// Addresses of an attacker that has many.
pub(crate) const ADDRESSES: u16 = 300;

/// One of them.
pub(crate) fn address(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd5a, 0x1e57, 0xa1b0, 1, 0, 0, 0x66, n + 1)
}

async fn connect(to: SocketAddr, from: Option<Ipv6Addr>) -> std::io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(to).await };
    let socket = tokio::net::TcpSocket::new_v6()?;
    socket.bind(SocketAddrV6::new(from, 0, 0, 0).into())?;
    socket.connect(to).await
}

/// Full handshakes under a certificate of another domain, from one address or from many in turn.
async fn foreign(per_second: u32, to: SocketAddr, directory: &str, many: bool) {
    let stranger = substrate("tls", directory, "stranger");
    let mut pace = Pace::new(per_second, "handshakes");
    loop {
        pace.next().await;
        let stranger = stranger.clone();
        let from = many.then(|| address((pace.done % u64::from(ADDRESSES)) as u16));
        actix::spawn(async move {
            let attempt = async {
                let stream = connect(to, from).await?;
                let mut secured = stranger.connect(Box::new(stream), to).await?;
                secured.stream.write_all(&[0x81, 0]).await?;
                secured.stream.flush().await?;
                secured.stream.read_u8().await
            };
            let _ = tokio::time::timeout(Duration::from_secs(2), attempt).await;
        });
    }
}

/// A member writes to the server's port of neighbours as fast as it is read.
async fn member(substrate: &std::sync::Arc<dyn grasp::substrate::Substrate>, message: impl Fn(u32) -> Vec<u8>) {
    let to = neighbours_port().await;
    let stream = TcpStream::connect(to).await.unwrap();
    let mut stream = substrate.connect(Box::new(stream), to).await.unwrap().stream;
    let mut pace = Pace::new(1_000_000, "messages");
    for id in 1.. {
        pace.next().await;
        stream.write_all(&message(id)).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// A member begins negotiations and never goes on with them.
async fn sessions(substrate: &std::sync::Arc<dyn grasp::substrate::Substrate>, per_second: u32, to: SocketAddr) {
    let mut pace = Pace::new(per_second, "sessions");
    let (sender, mut receiver) = tokio::sync::mpsc::channel(HELD);
    for id in 1.. {
        pace.next().await;
        let (substrate, sender) = (substrate.clone(), sender.clone());
        actix::spawn(async move {
            let opened = async {
                let stream = TcpStream::connect(to).await?;
                let mut stream = substrate.connect(Box::new(stream), to).await?.stream;
                let objective = Objective::negotiation("32473:legitimate").with_value(Value::item(&1).unwrap());
                stream.write_all(&Message::RequestNegotiation { session_id: id, objective }.encode()).await?;
                stream.flush().await?;
                std::io::Result::Ok(stream)
            };
            if let Ok(stream) = opened.await {
                let _ = sender.try_send(stream);
            }
        });
        if receiver.len() > HELD / 2 {
            receiver.recv().await;
        }
    }
}

/// Attacks until the process is killed.
pub(crate) fn attack(attack: &str, kind: &str, directory: &str, at: &str) {
    let (address, port) = at.split_once(' ').unwrap();
    let to = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
    System::new().block_on(async {
        let liar = substrate(kind, directory, "liar");
        let noise: Vec<u8> = (0..200_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        match attack {
            "floods" => {
                multicasts(5_000, "floods", |id| flood(id, FAR, vec![(value(&format!("32473:{id}"), 6, "x"), None)]))
                    .await
            }
            "discoveries" => {
                let question = |id: u32| Message::Discovery {
                    session_id: id,
                    initiator: FAR.into(),
                    objective: Objective::negotiation(format!("32473:{id}")),
                };
                multicasts(5_000, "discoveries", |id| question(id).encode()).await;
            }
            "announcements" => {
                let own = link().0;
                multicasts(1_000, "announcements", |id| announcement(own, id, (id % 60_000 + 1) as u16)).await;
            }
            "silent" => connections(1_000, to, &[], true).await,
            "silent-neighbours" => {
                let to = neighbours_port().await;
                connections(1_000, to, &[], true).await;
            }
            "hellos" => connections(1_000, to, &hello(directory).await, true).await,
            "garbage" => connections(1_000, to, &noise, false).await,
            "foreign" => foreign(200, to, directory, false).await,
            "many-foreign" => foreign(500, to, directory, true).await,
            "member-storm" => member(&liar, |id| flood(id, FAR, vec![(value("32473:storm", 6, "x"), None)])).await,
            "member-stuffing" => {
                let names = |id: u32| (0..1_000).map(|n| (value(&format!("32473:{id}-{n}"), 6, "x"), None)).collect();
                member(&liar, |id| flood(id, FAR, names(id))).await;
            }
            "member-values" => {
                let big = "x".repeat(30_000);
                member(&liar, |id| flood(id, FAR, vec![(value(&format!("32473:{id}"), 6, &big), None)])).await;
            }
            "member-sessions" => sessions(&liar, 100, to).await,
            other => panic!("no attack {other}"),
        }
    });
}
