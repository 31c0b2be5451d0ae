//! Whole nodes on real sockets, against scripted peers.
//!
//! Each test says which rows of the conformance checklist it proves. A node lives on a thread of its own inside its host.

pub(crate) mod capture;
mod discovery;
mod divert;
mod dull;
mod flood;
mod links;
mod ports;
mod relay;
mod response;
mod robustness;

use std::future::Future;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ciborium::Value;
use grasp::net::kernel::Kernel;
use grasp::substrate::{InsecureLab, Substrate};
use grasp::{Asa, Grasp, Interfaces, NodeConfig, Objective, Registration, Status};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::lab::{Host, Lab, Peer, Response, Task, msg, poll};

/// How long something that happens may take.
const SOON: Duration = Duration::from_secs(5);

/// How long something is given to happen that must not.
const QUIET: Duration = Duration::from_millis(400);

/// A name that anyone may register.
const NAME: &str = "32473:x";

type Job = Box<dyn FnOnce(Grasp) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A node on a host. Dropped, it is shut down.
struct Running {
    jobs: Option<UnboundedSender<Job>>,
    task: Option<Task<()>>,
}

/// Something that a node is doing.
struct Pending<T>(mpsc::Receiver<T>);

impl<T> Pending<T> {
    /// The result.
    fn wait(self, bound: Duration) -> T {
        self.0.recv_timeout(bound).unwrap_or_else(|error| panic!("no result within {bound:?}: {error}"))
    }
}

impl Running {
    /// Starts a node in the insecure substrate and waits until it uses every interface that it should.
    fn start(host: &Host, config: NodeConfig) -> Self {
        let node = Self::start_in(host, config.clone(), Arc::new(InsecureLab));
        let wanted = |interface: &String| match &config.interfaces {
            Interfaces::All => interface != "lo",
            Interfaces::Named(names) => names.contains(interface),
        };
        let mut names: Vec<String> = host.addresses().into_iter().map(|address| address.interface).collect();
        names.retain(wanted);
        names.sort();
        names.dedup();
        node.wait_links(&names.iter().map(String::as_str).collect::<Vec<_>>());
        node
    }

    /// Starts a node in any substrate.
    fn start_in(host: &Host, config: NodeConfig, substrate: Arc<dyn Substrate>) -> Self {
        let (jobs, mut queue) = unbounded_channel::<Job>();
        let task = host.spawn(move || {
            actix::System::new().block_on(async move {
                let grasp = Grasp::start(config, Arc::new(Kernel::new()), substrate).expect("a node");
                while let Some(job) = queue.recv().await {
                    actix::spawn(job(grasp.clone()));
                }
                grasp.shutdown(Duration::from_millis(200)).await;
            });
        });
        Self { jobs: Some(jobs), task: Some(task) }
    }

    /// Lets the node do something meanwhile.
    fn begin<T, F>(&self, body: impl FnOnce(Grasp) -> F + Send + 'static) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move |grasp| {
            let body = body(grasp);
            Box::pin(async move {
                let _ = done.send(body.await);
            })
        });
        assert!(self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()), "the node has ended");
        Pending(result)
    }

    /// Lets the node do something and gives the result.
    fn run<T, F>(&self, body: impl FnOnce(Grasp) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.begin(body).wait(Duration::from_secs(20))
    }

    /// Registers an ASA.
    fn asa(&self, name: &'static str) -> Asa {
        self.run(move |grasp| async move { grasp.register_asa(name).await.unwrap() })
    }

    /// Registers an ASA with an objective that is answered without listening.
    fn holder(&self, asa: &'static str, objective: Objective) -> Asa {
        let registration = Registration { discoverable: true, ..Registration::default() };
        self.registered(asa, objective, registration)
    }

    /// Registers an ASA with an objective.
    fn registered(&self, asa: &'static str, objective: Objective, registration: Registration) -> Asa {
        let asa = self.asa(asa);
        let holder = asa.clone();
        self.run(move |_| async move { asa.register_objective(&objective, registration).await.unwrap() });
        holder
    }

    fn status(&self) -> Status {
        self.run(|grasp| async move { grasp.status().await.unwrap() })
    }

    /// A counter, 0 if nothing has been counted.
    fn count(&self, name: &str) -> u64 {
        self.status().counters.get(name).copied().unwrap_or_default()
    }

    /// Waits until the node uses these interfaces, and no others.
    fn wait_links(&self, names: &[&str]) {
        poll(&format!("links {names:?}"), SOON, || {
            let status = self.status();
            let mut used: Vec<&str> = status.links.iter().map(|(_, name, _)| name.as_str()).collect();
            used.sort_unstable();
            (used == names).then_some(())
        });
    }

    /// Shuts the node down and waits for its end.
    fn stop(mut self) {
        self.jobs = None;
        if let Some(task) = self.task.take() {
            task.join(SOON);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(task) = self.task.take()
            && !std::thread::panicking()
        {
            task.join(SOON);
        }
    }
}

/// The settings of a test node.
fn config(name: &str) -> NodeConfig {
    let mut config = NodeConfig { name: name.to_owned(), ..NodeConfig::default() };
    config.registry.experimental = true;
    config
}

/// Makes host "n" with interfaces "a", "b", "c"..., each linked to "e0" of a host "p1", "p2", "p3"... with a peer.
fn star(lab: &mut Lab, count: usize) -> (Host, Vec<Peer>) {
    let n = lab.host("n");
    let peers = ["a", "b", "c", "d"].iter().take(count).enumerate().map(|(i, interface)| {
        let name = format!("p{}", i + 1);
        let host = lab.host(&name);
        lab.link(&[("n", interface), (&name, "e0")]);
        Peer::new(&host, "e0")
    });
    let peers = peers.collect();
    (n, peers)
}

/// A discovery with loop count 6 and no value.
fn disc(sid: u32, initiator: Ipv6Addr, name: &str) -> Vec<u8> {
    msg::discovery(sid, initiator, name, msg::F_DISC | msg::F_NEG, 6, None)
}

/// A link-wide question of a peer.
fn ask(peer: &Peer, name: &str) -> u32 {
    let sid = msg::sid();
    peer.multicast(&msg::discovery(sid, peer.lla(), name, msg::F_DISC, 1, None));
    sid
}

/// Waits for the answer to a question; other answers are lost.
fn answer(peer: &Peer, sid: u32) -> Response {
    let deadline = Instant::now() + SOON;
    loop {
        let response = peer.response(deadline.saturating_duration_since(Instant::now()));
        if !response.bytes.is_empty() && number(&fields(&response.bytes)[1]) == u64::from(sid) {
            return response;
        }
    }
}

/// Asserts that a peer's question is answered.
fn assert_answered(peer: &Peer, name: &str) -> Response {
    answer(peer, ask(peer, name))
}

/// Asserts that the node is well, and says nothing meanwhile but the answer to the question of each peer.
fn assert_quiet_and_alive(peers: &[&Peer], name: &str) {
    let others: Vec<_> = peers.iter().map(|peer| peer.responses(QUIET / u32::try_from(peers.len()).unwrap())).collect();
    for (peer, responses) in peers.iter().zip(others) {
        assert!(responses.is_empty(), "unexpected connection to {}: {responses:?}", peer.lla());
        let heard = peer.heard(Duration::ZERO);
        assert!(heard.is_empty(), "unexpected multicast at {}: {heard:?}", peer.lla());
    }
    for peer in peers {
        assert_answered(peer, name);
    }
}

/// The elements of an array.
fn elements(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not an array: {value:?}"))
}

/// The elements of a message.
fn fields(bytes: &[u8]) -> Vec<Value> {
    elements(&msg::decode(bytes)).to_vec()
}

fn number(value: &Value) -> u64 {
    u64::try_from(value.as_integer().unwrap_or_else(|| panic!("not a number: {value:?}"))).expect("a positive number")
}

fn address(value: &Value) -> Ipv6Addr {
    let bytes = value.as_bytes().unwrap_or_else(|| panic!("not bytes: {value:?}"));
    Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).expect("16 bytes"))
}

/// Address and port of an IPv6 locator over TCP.
fn place(locator: &Value) -> SocketAddrV6 {
    let [kind, ip, protocol, port] = elements(locator) else { panic!("not a locator: {locator:?}") };
    assert_eq!((number(kind), number(protocol)), (103, 6), "{locator:?}");
    SocketAddrV6::new(address(ip), u16::try_from(number(port)).expect("a port"), 0, 0)
}

/// Sends a response, as a peer that was asked, to the source of a discovery, and closes.
fn respond(peer: &Peer, to: SocketAddrV6, bytes: &[u8]) {
    peer.connect(to).send(bytes);
}

/// What can be heard: the session id, the initiator and the loop count of a discovery or flood.
fn head(bytes: &[u8]) -> (u32, Ipv6Addr, u64) {
    let fields = fields(bytes);
    let objective = match number(&fields[0]) {
        1 => &fields[3],
        9 => &elements(&fields[4])[0],
        other => panic!("neither discovery nor flood: {other}"),
    };
    (u32::try_from(number(&fields[1])).expect("32 bits"), address(&fields[2]), number(&elements(objective)[2]))
}
