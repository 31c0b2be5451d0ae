//! A scripted GRASP peer: every byte, segment and port is under the control of the test, and no part of it comes from the
//! protocol crate.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::conn::{Conn, Listener, Received, is_timeout, v6};
use super::msg::to_hex;
use super::namespace::Host;

/// The multicast group of GRASP.
pub(crate) const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x13);

/// The UDP port of the group.
pub(crate) const PORT: u16 = 7017;

/// How long a connection to the twin port is read.
const RESPONSE_BOUND: Duration = Duration::from_secs(2);

/// How many bytes of a connection to the twin port are read.
const RESPONSE_LIMIT: usize = 1 << 20;

/// How long an attempt to connect may take.
const CONNECT_BOUND: Duration = Duration::from_secs(5);

/// How often a thread that receives looks whether it should end.
const TICK: Duration = Duration::from_millis(20);

/// A datagram that came in.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    pub(crate) source: SocketAddrV6,
    /// When it was received.
    pub(crate) at: Instant,
}

/// A connection to the twin port, from its acceptance to its end.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: SocketAddrV6,
    /// How long after its acceptance it was closed in order; `None` when it was reset, or not closed in time.
    pub(crate) closed_after: Option<Duration>,
    /// When it was accepted.
    pub(crate) at: Instant,
}

/// A peer on one interface of a host.
pub(crate) struct Peer {
    host: Host,
    interface: String,
    index: u32,
    lla: Ipv6Addr,
    udp: UdpSocket,
    twin: Listener,
    group: Inbox,
    replies: Inbox,
}

impl Peer {
    /// Makes a peer that sends from the link-local address of an interface, accepts TCP connections on the same port
    /// number at every address, and hears the group on that interface. It does not hear itself.
    pub(crate) fn new(host: &Host, interface: &str) -> Self {
        let (index, lla) = (host.index(interface), host.lla(interface));
        let (udp, twin) = host.run(|| twins(lla, index)).expect("a UDP and a TCP socket on the same port");
        let group = host.run(|| member(index)).expect("a member of the group");
        let replies = Inbox::new(udp.try_clone().expect("a socket"));
        let interface = interface.to_owned();
        Self { host: host.clone(), interface, index, lla, udp, twin, group: Inbox::new(group), replies }
    }

    /// The port number of both sockets.
    pub(crate) fn port(&self) -> u16 {
        self.twin.port()
    }

    /// The link-local address the peer sends from.
    pub(crate) fn lla(&self) -> Ipv6Addr {
        self.lla
    }

    /// The ULA of the interface.
    pub(crate) fn ula(&self) -> Ipv6Addr {
        self.host.ula(&self.interface)
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Lets members of the group on the same host hear the multicasts of this peer, or not. At first they do not.
    pub(crate) fn set_loop(&self, on: bool) {
        self.udp.set_multicast_loop_v6(on).expect("the multicast loop");
    }

    /// Sends the bytes to the group.
    pub(crate) fn multicast(&self, bytes: &[u8]) {
        self.send_to(bytes, SocketAddrV6::new(GROUP, PORT, 0, self.index));
    }

    /// Sends the bytes to an address by UDP. A link-local address without a scope is on the interface of the peer.
    pub(crate) fn send_to(&self, bytes: &[u8], to: SocketAddrV6) {
        let sent = self.udp.send_to(bytes, self.scoped(to)).expect("sending a datagram");
        assert_eq!(sent, bytes.len(), "the datagram was cut");
    }

    /// The multicasts since the last call and until the end of `timeout`.
    pub(crate) fn heard(&self, timeout: Duration) -> Vec<Datagram> {
        self.group.all(timeout)
    }

    /// Waits for a multicast that satisfies `wanted`. Those before it are lost.
    ///
    /// # Panics
    ///
    /// Panics with what was heard when it does not come in time.
    pub(crate) fn hear(&self, timeout: Duration, wanted: impl Fn(&Datagram) -> bool) -> Datagram {
        self.group.first(timeout, wanted)
    }

    /// The datagrams sent to the port of the peer since the last call and until the end of `timeout`.
    pub(crate) fn unicasts(&self, timeout: Duration) -> Vec<Datagram> {
        self.replies.all(timeout)
    }

    /// Accepts the connections to the twin port since the last call and until the end of `timeout`, and reads each, side
    /// by side, until its end, for at most two seconds and a mebibyte. In the order they were accepted.
    pub(crate) fn responses(&self, timeout: Duration) -> Vec<Response> {
        self.some_responses(usize::MAX, timeout)
    }

    /// Accepts and reads one connection to the twin port.
    ///
    /// # Panics
    ///
    /// Panics when none comes in time.
    pub(crate) fn response(&self, timeout: Duration) -> Response {
        let response = self.some_responses(1, timeout).pop();
        response.unwrap_or_else(|| panic!("{}: no response within {timeout:?}", self.host.name()))
    }

    fn some_responses(&self, wanted: usize, timeout: Duration) -> Vec<Response> {
        let deadline = Instant::now() + timeout;
        thread::scope(|scope| {
            let mut readers = Vec::new();
            while readers.len() < wanted {
                let left = deadline.saturating_duration_since(Instant::now());
                let Some(conn) = self.twin.accept(left) else { break };
                let at = Instant::now();
                readers.push(scope.spawn(move || read_response(conn, at)));
            }
            readers.into_iter().map(|reader| reader.join().expect("a response")).collect()
        })
    }

    /// Accepts one connection to the twin port, for the test to go on with; `None` when none came in time.
    pub(crate) fn accept(&self, timeout: Duration) -> Option<Conn> {
        self.twin.accept(timeout)
    }

    /// Connects by TCP. A link-local address without a scope is on the interface of the peer.
    ///
    /// # Panics
    ///
    /// Panics when the connection is refused or does not come about.
    pub(crate) fn connect(&self, to: SocketAddrV6) -> Conn {
        self.try_connect(to).unwrap_or_else(|error| panic!("{}: connecting to {to}: {error}", self.host.name()))
    }

    /// Connects by TCP as [`Peer::connect`] does, and tells why that failed.
    pub(crate) fn try_connect(&self, to: SocketAddrV6) -> io::Result<Conn> {
        let socket = self.host.run(|| Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)))?;
        let to = self.scoped(to);
        socket.connect_timeout(&SockAddr::from(to), CONNECT_BOUND)?;
        Conn::new(socket.into(), to)
    }

    /// Accepts TCP connections on another port, at every address.
    pub(crate) fn listen(&self) -> Listener {
        self.host.run(|| Listener::new(tcp(0)?)).expect("a listener")
    }

    fn scoped(&self, mut address: SocketAddrV6) -> SocketAddrV6 {
        if address.ip().is_unicast_link_local() && address.scope_id() == 0 {
            address.set_scope_id(self.index);
        }
        address
    }
}

fn read_response(mut conn: Conn, at: Instant) -> Response {
    let from = conn.remote();
    let (bytes, end) = conn.recv_to_end(RESPONSE_LIMIT, RESPONSE_BOUND);
    let closed_after = (end == Received::Closed).then(|| at.elapsed());
    Response { bytes, from, closed_after, at }
}

/// A socket whose datagrams are received, with the time, from the start.
struct Inbox {
    datagrams: Receiver<Datagram>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Inbox {
    fn new(socket: UdpSocket) -> Self {
        socket.set_read_timeout(Some(TICK)).expect("a read timeout");
        let (sender, datagrams) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let body = move || {
            let mut buffer = vec![0; 65536];
            while !stopped.load(Ordering::Relaxed) {
                match socket.recv_from(&mut buffer) {
                    Ok((len, source)) => {
                        let datagram =
                            Datagram { bytes: buffer[..len].to_vec(), source: v6(source), at: Instant::now() };
                        if sender.send(datagram).is_err() {
                            return;
                        }
                    }
                    Err(error) if is_timeout(&error) => (),
                    // An ICMP error about an earlier datagram, or an interface that is down: there may be more to hear.
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        };
        let thread = thread::Builder::new().name("inbox".to_owned()).spawn(body).expect("a thread");
        Self { datagrams, stop, thread: Some(thread) }
    }

    fn all(&self, timeout: Duration) -> Vec<Datagram> {
        let deadline = Instant::now() + timeout;
        let next = || self.datagrams.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).collect()
    }

    fn first(&self, timeout: Duration, wanted: impl Fn(&Datagram) -> bool) -> Datagram {
        let deadline = Instant::now() + timeout;
        let mut others = Vec::new();
        while let Ok(datagram) = self.datagrams.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if wanted(&datagram) {
                return datagram;
            }
            others.push(format!("{} from {}", to_hex(&datagram.bytes), datagram.source));
        }
        panic!("no such datagram within {timeout:?}, only {others:?}")
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Joined, so that the socket, and with it the namespace, is free afterwards.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A UDP socket at the link-local address and a TCP listener at every address, with the same port number.
fn twins(lla: Ipv6Addr, index: u32) -> io::Result<(UdpSocket, Listener)> {
    let mut last = None;
    for _ in 0..20 {
        let twin = Listener::new(tcp(0)?)?;
        let udp = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        udp.set_only_v6(true)?;
        udp.set_multicast_if_v6(index)?;
        udp.set_multicast_hops_v6(1)?;
        udp.set_unicast_hops_v6(1)?;
        udp.set_multicast_loop_v6(false)?;
        match udp.bind(&SockAddr::from(SocketAddrV6::new(lla, twin.port(), 0, index))) {
            Ok(()) => return Ok((udp.into(), twin)),
            // Someone else has that port: another one may be free for both.
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// A socket that hears the group on one interface only, besides any other program of the host that hears it.
fn member(index: u32) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Bound to the group, it takes no unicasts from an agent on the same host.
    socket.bind(&SockAddr::from(SocketAddrV6::new(GROUP, PORT, 0, index)))?;
    socket.join_multicast_v6(&GROUP, index)?;
    Ok(socket.into())
}

fn tcp(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0)))?;
    Ok(socket)
}
