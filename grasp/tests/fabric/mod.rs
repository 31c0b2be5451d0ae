//! Nodes and scripted peers on one link of the fabric, on a paused clock.

// Each test binary uses a part.
#![allow(dead_code)]

use futures_util::future::BoxFuture;
use grasp::net::memory::{Conditions, Fabric, FabricLink, FabricNode};
use grasp::net::{ByteStream, Interface, LinkSockets, Listener, Network};
use grasp::substrate::{InsecureLab, Substrate};
use grasp::wire::{Framer, Limits, Message, decode};
use grasp::{Asa, AsaLocator, Error, ErrorCode, Grasp, Locator, NodeConfig, Objective, Registration, Value};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{sleep, timeout};

/// The default of every call.
pub(crate) const DEFAULT: Duration = Duration::ZERO;
/// Far more than anything on the fabric takes, far less than any time limit.
pub(crate) const SOON: Duration = Duration::from_millis(500);
pub(crate) const NAME: &str = "32473:x";

/// Runs a future in an actix system on a paused clock.
pub(crate) fn paused<F: Future>(future: F) -> F::Output {
    actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    })
    .block_on(future)
}

/// Whole seconds.
pub(crate) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn neg(name: &str) -> Objective {
    Objective::negotiation(name)
}

pub(crate) fn syn(name: &str) -> Objective {
    Objective::synchronization(name)
}

/// The objective with a number as its value.
pub(crate) fn with(objective: &Objective, value: u64) -> Objective {
    objective.clone().with_value(Value::item(&value).unwrap())
}

/// The number that is its value.
pub(crate) fn number(objective: &Objective) -> u64 {
    objective.value.as_ref().unwrap().decode().unwrap()
}

pub(crate) fn code<T>(result: Result<T, Error>) -> ErrorCode {
    result.err().expect("an error").code
}

/// One link with a latency of 5 ms.
pub(crate) struct Lan {
    pub(crate) fabric: Fabric,
    pub(crate) link: FabricLink,
}

impl Lan {
    pub(crate) fn new() -> Self {
        let fabric = Fabric::new(7);
        let link = fabric.link(Conditions { latency: ms(5), ..Conditions::default() });
        Self { fabric, link }
    }

    pub(crate) fn place(&self) -> FabricNode {
        self.fabric.node(&[self.link])
    }

    /// A node with the default settings.
    pub(crate) async fn node(&self, name: &str) -> Grasp {
        self.node_with(name, |_| {}).await
    }

    pub(crate) async fn node_with(&self, name: &str, change: impl FnOnce(&mut NodeConfig)) -> Grasp {
        self.node_on(name, Arc::new(self.place()), change).await
    }

    /// A node on a network of the test's own making.
    pub(crate) async fn node_on(
        &self,
        name: &str,
        network: Arc<dyn Network>,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Grasp {
        self.start(name, network, Arc::new(InsecureLab), change).await
    }

    /// A node on a substrate of the test's choice.
    pub(crate) async fn node_in(&self, name: &str, substrate: Arc<dyn Substrate>) -> Grasp {
        self.start(name, Arc::new(self.place()), substrate, |_| {}).await
    }

    async fn start(
        &self,
        name: &str,
        network: Arc<dyn Network>,
        substrate: Arc<dyn Substrate>,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Grasp {
        let mut seed = [0; 32];
        seed[..name.len()].copy_from_slice(name.as_bytes());
        let mut config = NodeConfig { name: name.into(), seed: Some(seed), ..NodeConfig::default() };
        change(&mut config);
        let node = Grasp::start(config, network, substrate).unwrap();
        // Its links are up after that.
        sleep(ms(10)).await;
        node
    }

    pub(crate) fn puppet(&self) -> Puppet {
        Puppet(self.place())
    }
}

/// An ASA that has registered the objective.
pub(crate) async fn asa(node: &Grasp, name: &str, objective: &Objective) -> Asa {
    asa_with(node, name, objective, Registration::default()).await
}

pub(crate) async fn asa_with(node: &Grasp, name: &str, objective: &Objective, registration: Registration) -> Asa {
    let asa = node.register_asa(name).await.unwrap();
    asa.register_objective(objective, registration).await.unwrap();
    asa
}

/// Where a node takes requests.
pub(crate) async fn at(node: &Grasp) -> AsaLocator {
    let status = node.status().await.unwrap();
    AsaLocator::known(Locator::tcp(status.global.unwrap().into(), status.port), 0)
}

pub(crate) async fn sessions(node: &Grasp) -> usize {
    sleep(SOON).await;
    node.status().await.unwrap().sessions
}

/// How often something was counted, whatever its label.
pub(crate) async fn counted(node: &Grasp, name: &str) -> u64 {
    let counters = node.status().await.unwrap().counters;
    counters.iter().filter(|(key, _)| key.split('{').next() == Some(name)).map(|(_, count)| count).sum()
}

/// A peer whose every message is under the control of the test.
pub(crate) struct Puppet(pub(crate) FabricNode);

impl Puppet {
    pub(crate) async fn connect(&self, node: &Grasp) -> Talk {
        let to = at(node).await;
        let (Some(ip), Some(port)) = (to.locator.address(), to.locator.port()) else { panic!("{to:?}") };
        Talk::new(self.0.connect(SocketAddr::new(ip, port)).await.unwrap())
    }

    /// Opens a connection and says this first.
    pub(crate) async fn say(&self, node: &Grasp, message: &Message) -> Talk {
        let mut talk = self.connect(node).await;
        talk.send(message).await;
        talk
    }

    pub(crate) fn listen(&self) -> Door {
        let listener = self.0.listen(&[0]).unwrap();
        let locator = Locator::tcp(self.0.global().unwrap().into(), listener.port());
        Door { at: AsaLocator::known(locator, 0), listener }
    }

    pub(crate) fn address(&self) -> Ipv6Addr {
        self.0.global().unwrap()
    }
}

/// Where a puppet takes connections.
pub(crate) struct Door {
    pub(crate) at: AsaLocator,
    listener: Box<dyn Listener>,
}

impl Door {
    pub(crate) async fn accept(&self) -> Talk {
        Talk::new(timeout(s(30), self.listener.accept()).await.expect("a connection").unwrap().0)
    }

    /// A connection and its first message.
    pub(crate) async fn request(&self) -> (Talk, Message) {
        let mut talk = self.accept().await;
        let request = talk.next().await.expect("a request");
        (talk, request)
    }

    pub(crate) async fn is_quiet(&self, time: Duration) -> bool {
        timeout(time, self.listener.accept()).await.is_err()
    }
}

/// A puppet's end of a connection.
pub(crate) struct Talk {
    stream: ByteStream,
    framer: Framer,
}

impl Talk {
    pub(crate) fn new(stream: ByteStream) -> Self {
        Self { stream, framer: Framer::new(Limits { size: 65_536, depth: 64 }) }
    }

    pub(crate) async fn send(&mut self, message: &Message) {
        self.raw(&message.encode()).await;
    }

    /// Tells whether the connection still takes messages.
    pub(crate) async fn try_send(&mut self, message: &Message) -> bool {
        self.stream.write_all(&message.encode()).await.is_ok()
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Ends this side's direction; the other one stays open.
    pub(crate) async fn shut(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Takes one byte, and leaves what comes after it unread.
    pub(crate) async fn byte(&mut self) {
        self.stream.read_exact(&mut [0]).await.unwrap();
    }

    /// The next message; `None` when the peer has closed. Waits for an hour at most.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        timeout(s(3_600), self.read()).await.expect("a message or the end")
    }

    /// Whether nothing at all comes for so long.
    pub(crate) async fn is_silent(&mut self, time: Duration) -> bool {
        timeout(time, self.read()).await.is_err()
    }

    async fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(frame) = self.framer.next_frame().unwrap() {
                return Some(decode(&frame, &Limits { size: 65_536, depth: 64 }).unwrap());
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await.unwrap() {
                0 => {
                    assert_eq!(self.framer.pending(), 0, "closed inside a message");
                    return None;
                }
                read => self.framer.push(&chunk[..read]),
            }
        }
    }

    /// Takes the next message, which must be a decline, and the end after it; returns the reason.
    pub(crate) async fn declined(&mut self) -> String {
        let message = self.next().await;
        let Some(Message::End { option: grasp::wire::EndOption::Decline(reason), .. }) = message else {
            panic!("{message:?}")
        };
        assert_eq!(self.next().await, None);
        reason.unwrap_or_default()
    }
}

/// The error of a process that has too many files open.
const EMFILE: i32 = 24;

/// A network that can be made to fail: nothing is accepted, and no connection can be written to.
pub(crate) struct Faulty {
    inner: FabricNode,
    broken: Arc<AtomicBool>,
}

impl Faulty {
    /// The network and its switch.
    pub(crate) fn new(inner: FabricNode) -> (Arc<Self>, Arc<AtomicBool>) {
        let broken = Arc::new(AtomicBool::new(false));
        (Arc::new(Self { inner, broken: broken.clone() }), broken)
    }
}

impl Network for Faulty {
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        self.inner.interfaces()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.inner.changed()
    }

    fn open_link(&self, interface: &Interface) -> io::Result<LinkSockets> {
        self.inner.open_link(interface)
    }

    fn listen_on(&self, interface: &Interface) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(FaultyListener(self.inner.listen_on(interface)?, self.broken.clone())))
    }

    fn listen(&self, ports: &[u16]) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(FaultyListener(self.inner.listen(ports)?, self.broken.clone())))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<ByteStream>> {
        Box::pin(async move { Ok(Box::new(Fragile(self.inner.connect(to).await?, self.broken.clone())) as ByteStream) })
    }

    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve(name, port)
    }
}

struct FaultyListener(Box<dyn Listener>, Arc<AtomicBool>);

impl Listener for FaultyListener {
    fn port(&self) -> u16 {
        self.0.port()
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(ByteStream, SocketAddr)>> {
        Box::pin(async {
            if self.1.load(Ordering::Relaxed) {
                return Err(io::Error::from_raw_os_error(EMFILE));
            }
            let (stream, peer) = self.0.accept().await?;
            Ok((Box::new(Fragile(stream, self.1.clone())) as ByteStream, peer))
        })
    }
}

struct Fragile(ByteStream, Arc<AtomicBool>);

impl AsyncRead for Fragile {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Fragile {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.1.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
