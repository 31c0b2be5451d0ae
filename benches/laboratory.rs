//! What needs a network of its own: a cold discovery between two hosts beside the same bytes without GRASP, and what an
//! idle node costs. Prints its results; the hosts are network namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark fails loudly, prints its results, exports nothing, and waits in real time as the laboratory does"
)]

#[path = "../tests/lab/mod.rs"]
mod lab;

use actix::System;
use grasp::net::kernel::Kernel;
use grasp::substrate::InsecureLab;
use grasp::wire::{Answer, Message, Transport};
use grasp::{Asa, Grasp, Locator, NodeConfig, Objective, Rapid, Registration, Value};
use lab::Lab;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::Instant;

/// Discoveries of each kind.
const ROUNDS: usize = 1_000;
/// Those before, which are not counted.
const WARM_UP: usize = 50;
/// The group that the baseline uses, and a port of its own.
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x13);
const PORT: u16 = 7_018;
/// How long an idle node is watched.
const WATCHED: Duration = Duration::from_secs(20);

fn objective() -> Objective {
    Objective::synchronization("32473:bd")
}

fn value() -> Objective {
    objective().with_value(Value::item(&("NZD", 100)).unwrap())
}

async fn node(name: &str) -> (Grasp, Asa) {
    let config = NodeConfig { name: name.into(), ..NodeConfig::default() };
    let grasp = Grasp::start(config, Arc::new(Kernel::new()), Arc::new(InsecureLab)).unwrap();
    let asa = grasp.register_asa(name).await.unwrap();
    while grasp.status().await.unwrap().links.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (grasp, asa)
}

/// The node that is discovered; with its answer comes its value, so that the answer ends a call of the API at once.
async fn discovered() {
    let (_grasp, asa) = node("discovered").await;
    let registration = Registration { rapid: Rapid::Response, ..Registration::default() };
    asa.register_objective(&objective(), registration).await.unwrap();
    asa.listen_synchronize(&value()).await.unwrap();
    std::future::pending::<()>().await;
}

/// One discovery by the node: multicast, connection back, answer.
async fn discover(asa: &Asa) -> Duration {
    asa.discover(&objective(), Duration::ZERO, Some(Duration::ZERO)).await.unwrap();
    let begin = Instant::now();
    let found = asa.synchronize_rapidly(&objective(), None, Duration::from_secs(5), true).await.unwrap();
    let time = begin.elapsed();
    assert_eq!(found.value, value().value);
    time
}

/// What the two sides say, as GRASP says it.
fn bytes() -> (Vec<u8>, Vec<u8>) {
    let initiator = lab::topology::ula(1, 1).into();
    let question = Message::Discovery { session_id: 0x7a5a_5a5a, initiator, objective: objective() };
    let locator = Locator::Ipv6 { address: lab::topology::ula(1, 2), transport: Transport::Tcp, port: 7_017 };
    let answer = Message::Response {
        session_id: 0x7a5a_5a5a,
        initiator,
        ttl: 60_000,
        answer: Answer::Locators(vec![locator]),
        objective: Some(value()),
    };
    (question.encode(), answer.encode())
}

async fn bare_discovered(index: u32) {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&SocketAddrV6::new(GROUP, PORT, 0, index).into()).unwrap();
    socket.join_multicast_v6(&GROUP, index).unwrap();
    let socket = UdpSocket::from_std(socket.into()).unwrap();
    let answer = Arc::new(bytes().1);
    let mut buffer = vec![0; 2_048];
    loop {
        let (_, asker) = socket.recv_from(&mut buffer).await.unwrap();
        let answer = answer.clone();
        actix::spawn(async move {
            let mut stream = TcpStream::connect(asker).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&answer).await.unwrap();
            stream.shutdown().await.unwrap();
        });
    }
}

/// The asking side of the baseline: a UDP socket and a TCP listener on the same port.
struct Bare {
    sender: UdpSocket,
    listener: TcpListener,
    index: u32,
    question: Vec<u8>,
    answer: Vec<u8>,
}

impl Bare {
    async fn new(address: Ipv6Addr, index: u32) -> Self {
        let listener = TcpListener::bind(SocketAddrV6::new(address, 0, 0, index)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.set_multicast_if_v6(index).unwrap();
        socket.bind(&SocketAddrV6::new(address, port, 0, index).into()).unwrap();
        let sender = UdpSocket::from_std(socket.into()).unwrap();
        let (question, answer) = bytes();
        Self { sender, listener, index, question, answer }
    }

    async fn discover(&self) -> Duration {
        let begin = Instant::now();
        let group = SocketAddr::from(SocketAddrV6::new(GROUP, PORT, 0, self.index));
        self.sender.send_to(&self.question, group).await.unwrap();
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut buffer = vec![0; self.answer.len()];
        stream.read_exact(&mut buffer).await.unwrap();
        begin.elapsed()
    }
}

fn discovery() {
    let mut lab = Lab::new();
    let hosts = lab.lan(2);
    let interface = |host: &lab::Host| {
        let up = host.addresses().into_iter().find(|a| a.interface != "lo" && a.address.is_unicast_link_local());
        let up = up.expect("a link-local address");
        (up.address, up.index)
    };
    let ((address, index), (_, far_index)) = (interface(&hosts[0]), interface(&hosts[1]));
    let _ours = hosts[1].spawn(|| System::new().block_on(discovered()));
    let _bare = hosts[1].spawn(move || System::new().block_on(bare_discovered(far_index)));
    let asker = hosts[0].spawn(move || {
        System::new().block_on(async move {
            let (_grasp, asa) = node("asker").await;
            let bare = Bare::new(address, index).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..WARM_UP + ROUNDS {
                ours.push(discover(&asa).await);
                theirs.push(bare.discover().await);
            }
            [ours, theirs].map(|mut times| {
                let mut times = times.split_off(WARM_UP);
                times.sort_unstable();
                times[ROUNDS / 2].as_secs_f64() * 1e6
            })
        })
    });
    let [ours, bare] = asker.join(Duration::from_secs(120));
    println!(
        "RATIO discovery, cold, two hosts: ours {ours:.1} us, bare {bare:.1} us, {:.2} (target <= 1.50)",
        ours / bare
    );
}

/// Voluntary context switches of each thread of a process: how often each has waited and been woken.
fn wake_ups(process: u32) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks
        .map(|task| {
            let path = task.unwrap().path();
            let status = fs::read_to_string(path.join("status")).unwrap();
            (path.to_string_lossy().into_owned(), number(&status, "voluntary_ctxt_switches:"))
        })
        .collect()
}

fn number(status: &str, key: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A node with an ASA that waits for requests, in a process of its own; nobody asks.
fn idle() {
    let mut lab = Lab::new();
    let hosts = lab.lan(2);
    let child = hosts[0].command(std::env::current_exe().unwrap()).arg("idle").spawn();
    std::thread::sleep(Duration::from_secs(3));
    let before = wake_ups(child.pid());
    std::thread::sleep(WATCHED);
    let after = wake_ups(child.pid());
    let most = after.iter().map(|(task, count)| count - before.get(task).copied().unwrap_or_default()).max().unwrap();
    let resident = number(&fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap(), "VmRSS:") as f64;
    let (resident, threads) = (resident / 1024.0, after.len());
    println!("IDLE node: {resident:.1} MiB resident (target <= 20), {threads} threads");
    println!(
        "IDLE node: {most} wake-ups in {WATCHED:?}, one in {:.1} s (target: no faster than 1 s)",
        WATCHED.as_secs_f64() / most.max(1) as f64
    );
}

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "idle") {
        System::new().block_on(async {
            let (_grasp, asa) = node("idle").await;
            let negotiated = Objective::negotiation("32473:idle");
            asa.register_objective(&negotiated, Registration::default()).await.unwrap();
            asa.register_objective(&objective(), Registration::default()).await.unwrap();
            asa.listen_synchronize(&value()).await.unwrap();
            let _ = asa.listen_negotiate(&negotiated).await;
        });
        return ExitCode::SUCCESS;
    }
    // Without the right to make network namespaces it runs again as root of a user namespace.
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        let mut again = Command::new("unshare");
        again.args(["--user", "--map-root-user", "--net", "--mount", "--"]).arg(std::env::current_exe().unwrap());
        return if again.status().unwrap().success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    discovery();
    idle();
    ExitCode::SUCCESS
}
