//! A GRASP instance on a host of the laboratory, on a thread of its own.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddrV6;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use ciborium::Value;
use grasp::net::kernel::Kernel;
use grasp::substrate::InsecureLab;
use grasp::{
    Asa, AsaLocator, Error, ErrorCode, Grasp, Locator, Negotiated, NodeConfig, Objective, Registration, Session,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::lab::{Conn, Host, Lab, Peer, Received, Task, msg, poll};

/// How long something that happens may take.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// How long something is given to happen that must not.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// Negotiated; every request is accepted at once.
pub(super) const ACCEPTED: &str = "32473:accepted";
/// Negotiated; for the test to listen to.
pub(super) const OPEN: &str = "32473:open";
/// Registered for negotiation, but nobody listens.
pub(super) const DEAF: &str = "32473:deaf";
/// Synchronized; its value is 7.
pub(super) const SERVED: &str = "32473:served";

/// What the node thread keeps between jobs.
pub(super) struct Inside {
    pub(super) grasp: Grasp,
    pub(super) asa: Asa,
    /// Sessions a test left open.
    pub(super) held: RefCell<Vec<Session>>,
}

type Job = Box<dyn FnOnce(Rc<Inside>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A running node. Dropped, it is shut down.
pub(super) struct Node {
    jobs: Option<UnboundedSender<Job>>,
    task: Option<Task<()>>,
    address: SocketAddrV6,
}

/// Something that the node is doing.
pub(super) struct Pending<T>(mpsc::Receiver<T>);

impl<T> Pending<T> {
    pub(super) fn wait(self, bound: Duration) -> T {
        self.0.recv_timeout(bound).unwrap_or_else(|error| panic!("no result within {bound:?}: {error}"))
    }
}

impl Node {
    pub(super) fn start(host: &Host, change: impl FnOnce(&mut NodeConfig) + Send + 'static) -> Self {
        let (jobs, mut queue) = unbounded_channel::<Job>();
        let task = host.spawn(move || {
            actix::System::new().block_on(async move {
                let mut config = NodeConfig { name: "node".into(), ..NodeConfig::default() };
                config.registry.experimental = true;
                change(&mut config);
                let grasp = Grasp::start(config, Arc::new(Kernel::new()), Arc::new(InsecureLab)).expect("a node");
                let asa = grasp.register_asa("asa").await.unwrap();
                let inside = Rc::new(Inside { grasp, asa, held: RefCell::default() });
                while let Some(job) = queue.recv().await {
                    actix::spawn(job(inside.clone()));
                }
                inside.grasp.shutdown(Duration::from_millis(200)).await;
            });
        });
        let address = SocketAddrV6::new(host.ula("e0"), 0, 0, 0);
        let mut node = Self { jobs: Some(jobs), task: Some(task), address };
        let port = poll("the node is up", SOON, || {
            let status = node.run(|inside| async move { inside.grasp.status().await.unwrap() });
            (!status.links.is_empty()).then_some(status.port)
        });
        node.address.set_port(port);
        node
    }

    /// Where it takes requests.
    pub(super) fn address(&self) -> SocketAddrV6 {
        self.address
    }

    /// Lets the node do something meanwhile.
    pub(super) fn begin<T, F>(&self, body: impl FnOnce(Rc<Inside>) -> F + Send + 'static) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move |inside| {
            let body = body(inside);
            Box::pin(async move {
                let _ = done.send(body.await);
            })
        });
        assert!(self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok()), "the node has ended");
        Pending(result)
    }

    /// Lets the node do something and gives the result.
    pub(super) fn run<T, F>(&self, body: impl FnOnce(Rc<Inside>) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.begin(body).wait(Duration::from_secs(20))
    }

    pub(super) fn sessions(&self) -> usize {
        self.run(|inside| async move { inside.grasp.status().await.unwrap().sessions })
    }

    /// Waits until every session is freed.
    pub(super) fn wait_idle(&self) {
        poll("no session is left", SOON, || (self.sessions() == 0).then_some(()));
    }

    /// How often something was counted, whatever its label.
    pub(super) fn counted(&self, name: &'static str) -> u64 {
        let counters = self.run(|inside| async move { inside.grasp.status().await.unwrap().counters });
        counters.iter().filter(|(key, _)| key.split('{').next() == Some(name)).map(|(_, count)| count).sum()
    }

    /// Requests a negotiation from a peer.
    pub(super) fn request(&self, objective: Objective, to: AsaLocator, limit: Duration) -> Pending<Answer> {
        self.begin(move |inside| async move {
            let answer = inside.asa.request_negotiate(&objective, Some(&to), limit).await;
            match answer {
                Ok(Negotiated::Accepted(objective)) => Ok(Accepted(objective)),
                Ok(Negotiated::Offered(session, objective)) => {
                    inside.held.borrow_mut().push(session);
                    Ok(Offered(objective))
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Asks a peer for a value.
    pub(super) fn synchronize(
        &self,
        name: &'static str,
        to: AsaLocator,
        limit: Duration,
    ) -> Pending<Result<Objective, Error>> {
        self.begin(move |inside| async move {
            inside.asa.synchronize(&Objective::synchronization(name), Some(&to), limit).await
        })
    }

    /// Waits for a request for [`OPEN`] and does something with its session.
    pub(super) fn respond<T, F>(&self, body: impl FnOnce(Session, Objective) -> F + Send + 'static) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.begin(move |inside| async move {
            let (session, objective) = inside.asa.listen_negotiate(&Objective::negotiation(OPEN)).await.unwrap();
            body(session, objective).await
        })
    }

    /// Does something with the session that a request left open.
    pub(super) fn go_on<T, F>(&self, body: impl FnOnce(Session) -> F + Send + 'static) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.begin(move |inside| {
            let session = inside.held.borrow_mut().pop().expect("an open session");
            body(session)
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(task) = self.task.take()
            && !std::thread::panicking()
        {
            task.join(SOON);
        }
    }
}

/// What a request led to; the session of an offer stays with the node.
#[derive(Debug, PartialEq)]
pub(super) enum Answered {
    Accepted(Objective),
    Offered(Objective),
}
pub(super) use Answered::{Accepted, Offered};
pub(super) type Answer = Result<Answered, Error>;

/// A node with its ASA, and a scripted peer on the same link.
pub(super) struct Stage {
    pub(super) node: Node,
    pub(super) peer: Peer,
}

impl Stage {
    pub(super) fn new(lab: &mut Lab) -> Self {
        Self::with(lab, |_| {})
    }

    pub(super) fn with(lab: &mut Lab, change: impl FnOnce(&mut NodeConfig) + Send + 'static) -> Self {
        let hosts = lab.lan(2);
        let node = Node::start(&hosts[0], change);
        node.run(|inside| async move {
            for name in [ACCEPTED, OPEN, DEAF, "EX3"] {
                let objective = Objective::negotiation(name);
                inside.asa.register_objective(&objective, Registration::default()).await.unwrap();
            }
            let served = Objective::synchronization(SERVED).with_value(grasp::Value::item(&7).unwrap());
            inside.asa.register_objective(&served, Registration::default()).await.unwrap();
            inside.asa.listen_synchronize(&served).await.unwrap();
            let asa = inside.asa.clone();
            actix::spawn(async move {
                while let Ok((session, _)) = asa.listen_negotiate(&Objective::negotiation(ACCEPTED)).await {
                    actix::spawn(async move { session.end_negotiate(true, None).await });
                }
            });
        });
        Self { node, peer: Peer::new(&hosts[1], "e0") }
    }

    pub(super) fn connect(&self) -> Conn {
        self.peer.connect(self.node.address())
    }

    /// Opens a connection and sends these bytes.
    pub(super) fn say(&self, bytes: &[u8]) -> Conn {
        let mut conn = self.connect();
        conn.send(bytes);
        conn
    }

    /// A request that is served at once.
    pub(super) fn serve_well(&self, bound: Duration) {
        let sid = msg::sid();
        let mut conn = self.say(&ask(sid, ACCEPTED, 6, 1));
        assert_eq!(conn.recv(bound), Received::Bytes(msg::end_accept(sid)));
        assert_eq!(conn.recv(bound), Received::Closed);
    }

    /// A port of the peer, and how the node reaches it.
    pub(super) fn listen(&self) -> (crate::lab::conn::Listener, AsaLocator) {
        let listener = self.peer.listen();
        let locator = Locator::tcp(self.peer.ula().into(), listener.port());
        (listener, AsaLocator::known(locator, 0))
    }
}

/// An M_REQ_NEG with a number.
pub(super) fn ask(sid: u32, name: &str, loop_count: u8, value: u64) -> Vec<u8> {
    msg::reqneg(sid, msg::objective(name, 3, loop_count, Some(value.into())))
}

/// An M_NEGOTIATE with a number.
pub(super) fn offer(sid: u32, name: &str, loop_count: u8, value: u64) -> Vec<u8> {
    msg::neg(sid, msg::objective(name, 3, loop_count, Some(value.into())))
}

/// The objective with a number as its value.
pub(super) fn valued(objective: Objective, value: u64) -> Objective {
    objective.with_value(grasp::Value::item(&value).unwrap())
}

/// The session id of a message.
pub(super) fn sid_of(message: &[u8]) -> u32 {
    let whole = msg::decode(message);
    let sid = whole.as_array().and_then(|elements| elements.get(1)).and_then(Value::as_integer);
    sid.and_then(|sid| sid.try_into().ok()).unwrap_or_else(|| panic!("no session id: {}", msg::to_hex(message)))
}

/// The type of a message.
pub(super) fn type_of(message: &[u8]) -> u8 {
    let whole = msg::decode(message);
    let kind = whole.as_array().and_then(|elements| elements.first()).and_then(Value::as_integer);
    kind.and_then(|kind| kind.try_into().ok()).unwrap_or_else(|| panic!("no type: {}", msg::to_hex(message)))
}

pub(super) fn code<T>(result: Result<T, Error>) -> ErrorCode {
    result.err().expect("an error").code
}
