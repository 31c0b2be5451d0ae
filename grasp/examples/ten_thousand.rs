//! Ten thousand negotiations open at once between two nodes, and what one of them costs in memory.
//!
//! Run it in release mode: `cargo run --release -p grasp --example ten_thousand [COUNT]`. The responder is a process of its
//! own, so that each side is measured alone and needs one file descriptor a negotiation. Everything stays on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example that fails loudly and prints what it has measured"
)]

use grasp::net::kernel::Kernel;
use grasp::substrate::InsecureLab;
use grasp::wire::Transport;
use grasp::{AsaLocator, Grasp, Interfaces, Locator, Negotiated, NodeConfig, Objective, Registration, Value};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv6Addr;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

const COUNT: usize = 10_000;
/// Memory of one negotiation on one node, beyond its socket.
const TARGET: f64 = 16.0;
/// Descriptors for other things than negotiations.
const OTHERS: u64 = 100;
/// Requests sent between two pauses of 5 ms.
const BATCH: usize = 25;
/// Requests that the responder queues, should it fall behind.
const QUEUE: usize = 1_024;
/// How long it may take to open all.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the responder asks the requester to wait.
const HELD: Duration = Duration::from_secs(600);

fn objective() -> Objective {
    Objective::negotiation("32473:many").with_value(Value::item(&("NZD", 100)).unwrap())
}

fn node(name: &str) -> Grasp {
    let config = NodeConfig {
        name: name.into(),
        port: 0,
        interfaces: Interfaces::Named(Vec::new()),
        request_queue: QUEUE,
        ..NodeConfig::default()
    };
    Grasp::start(config, Arc::new(Kernel::new()), Arc::new(InsecureLab)).unwrap()
}

/// Resident memory of this process in KiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Allows `count` negotiations at once, as far as the system lets it.
fn raise_limit(count: usize) -> Result<(), String> {
    let needed = count as u64 + OTHERS;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if maximum.is_some_and(|maximum| maximum < needed) {
        return Err(format!("{needed} open files are needed, RLIMIT_NOFILE allows {}", maximum.unwrap_or(0)));
    }
    let limit = Rlimit { current: maximum.or(Some(needed)), maximum };
    setrlimit(Resource::Nofile, limit).map_err(|error| format!("cannot raise RLIMIT_NOFILE: {error}"))
}

/// Lets every request wait, and accepts them all when a line comes on stdin.
async fn respond(count: usize) {
    let grasp = node("responder");
    let asa = grasp.register_asa("responder").await.unwrap();
    asa.register_objective(&objective(), Registration::default()).await.unwrap();
    let held = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..16 {
        let (asa, held) = (asa.clone(), held.clone());
        actix::spawn(async move {
            loop {
                let (session, _) = asa.listen_negotiate(&objective()).await.unwrap();
                session.negotiate_wait(HELD).await.unwrap();
                held.borrow_mut().push(session);
            }
        });
    }
    sleep(Duration::from_millis(200)).await;
    let before = resident();
    println!("{}", grasp.status().await.unwrap().port);
    while held.borrow().len() < count {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
    println!("{}", (resident() - before) / count as f64);
    let (release, released) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        release.send(()).unwrap();
    });
    released.await.unwrap();
    let all = std::mem::take(&mut *held.borrow_mut());
    for session in all {
        session.end_negotiate(true, None).await.unwrap();
    }
    while grasp.status().await.unwrap().sessions > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

async fn request(count: usize) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&count.to_string(), "respond"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.next().unwrap().unwrap().parse().unwrap();
    let grasp = node("requester");
    let asa = grasp.register_asa("requester").await.unwrap();
    asa.register_objective(&objective(), Registration::default()).await.unwrap();
    let peer =
        Rc::new(AsaLocator::known(Locator::Ipv6 { address: Ipv6Addr::LOCALHOST, transport: Transport::Tcp, port }, 0));
    let (begin, before) = (Instant::now(), resident());
    let mut asking = Vec::new();
    for at in 0..count {
        let (asa, peer) = (asa.clone(), peer.clone());
        asking.push(actix::spawn(async move {
            let result = asa.request_negotiate(&objective(), Some(&peer), Duration::ZERO).await;
            let result = result.map(|negotiated| matches!(negotiated, Negotiated::Accepted(_)));
            if let Err(error) = &result {
                println!("{error}");
            }
            result.unwrap_or_default()
        }));
        if at % BATCH == BATCH - 1 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let held = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap());
    let Ok(theirs) = tokio::time::timeout(PATIENCE, held).await else {
        println!("not all are open after {PATIENCE:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        return false;
    };
    let theirs = theirs.unwrap();
    let opened = begin.elapsed();
    let ours = (resident() - before) / count as f64;
    let theirs: f64 = theirs.parse().unwrap();
    let open = grasp.status().await.unwrap().sessions;
    println!("{open} negotiations open at once after {:.1} s", opened.as_secs_f64());
    println!("memory each: requester {ours:.1} KiB, responder {theirs:.1} KiB (target <= {TARGET} KiB)");
    let begin = Instant::now();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut accepted = 0;
    for one in asking {
        accepted += usize::from(one.await.unwrap());
    }
    println!("{accepted} accepted within {:.1} s", begin.elapsed().as_secs_f64());
    assert!(child.wait().unwrap().success());
    open == count && accepted == count && ours <= TARGET && theirs <= TARGET
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.first().map_or(COUNT, |count| count.parse().unwrap());
    if let Err(problem) = raise_limit(count) {
        println!("{problem}");
        return ExitCode::FAILURE;
    }
    let system = actix::System::new();
    if arguments.get(1).is_some_and(|role| role == "respond") {
        system.block_on(respond(count));
        return ExitCode::SUCCESS;
    }
    if system.block_on(request(count)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
