//! The kernel's sockets (RFC 8990 §2.5.3, §2.8.4).

use super::interfaces::{self, Changes};
use super::{ByteStream, Interface, LinkSockets, Listener, MulticastSocket, Network};
use crate::constants::{ALL_GRASP_NEIGHBORS_6, GRASP_LISTEN_PORT};
use futures_util::future::BoxFuture;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Mutex;

/// Ports tried until one is free for UDP and TCP alike.
const TWIN_TRIES: usize = 64;
/// Connections the kernel holds before they are accepted.
const BACKLOG: i32 = 1024;
/// Larger than any datagram, so that none is cut.
const DATAGRAM: usize = 65_536;

/// The network namespace in which the calling thread runs.
pub struct Kernel {
    changes: Mutex<Option<Changes>>,
    suspended_before: Duration,
}

impl Kernel {
    /// Opens the socket for changes, if the kernel lets it; polling goes on without.
    #[must_use]
    pub fn new() -> Self {
        Self { changes: Mutex::new(listen_for_changes()), suspended_before: suspended() }
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

fn listen_for_changes() -> Option<Changes> {
    Changes::open()
        .inspect_err(|error| tracing::warn!(%error, "no word from the kernel about interfaces; polling only"))
        .ok()
}

/// The boot-time clock counts suspended time, the monotonic clock does not.
fn suspended() -> Duration {
    let read = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default();
    read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
}

/// Lists the interfaces of this network namespace, loopback left out.
///
/// # Errors
///
/// Those of the system.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    interfaces::list()
}

impl Network for Kernel {
    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        interfaces::list()
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut changes = self.changes.lock().await;
            match changes.as_mut() {
                Some(socket) => {
                    // Words that were lost, for want of room, are words as well.
                    if let Err(error) = socket.next().await {
                        tracing::warn!(%error, "lost some of the kernel's words about interfaces");
                        *changes = listen_for_changes();
                    }
                }
                None => std::future::pending().await,
            }
        })
    }

    fn open_link(&self, interface: &Interface) -> io::Result<LinkSockets> {
        let address = interface.link_local.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let group = group_socket(interface.index)?;
        let (sender, twin) = twins(address, interface.index)?;
        let to = SocketAddrV6::new(ALL_GRASP_NEIGHBORS_6, GRASP_LISTEN_PORT, 0, interface.index);
        Ok(LinkSockets {
            multicast: Box::new(KernelMulticast { group, sender, to }),
            answers: Box::new(KernelListener(twin)),
        })
    }

    fn listen_on(&self, interface: &Interface) -> io::Result<Box<dyn Listener>> {
        let address = interface.link_local.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Box::new(KernelListener(listener(SocketAddrV6::new(address, 0, 0, interface.index))?)))
    }

    fn listen(&self, ports: &[u16]) -> io::Result<Box<dyn Listener>> {
        let mut last = io::ErrorKind::InvalidInput.into();
        for port in ports {
            match listener(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, *port, 0, 0)) {
                Ok(listener) => return Ok(Box::new(KernelListener(listener))),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<ByteStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as ByteStream)
        })
    }

    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }

    fn descriptors(&self) -> Option<usize> {
        getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
    }

    fn suspended(&self) -> Duration {
        suspended().saturating_sub(self.suspended_before)
    }
}

/// Bound to the group and the interface, so that the kernel itself keeps other links and unicasts out (T-28).
fn group_socket(index: u32) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_only_v6(true)?;
    // Several instances on one host all hear every multicast (RFC 8990 §2.3).
    socket.set_reuse_address(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_multicast_all_v6(false)?;
    socket.bind(&SocketAddrV6::new(ALL_GRASP_NEIGHBORS_6, GRASP_LISTEN_PORT, 0, index).into())?;
    socket.join_multicast_v6(&ALL_GRASP_NEIGHBORS_6, index)?;
    UdpSocket::from_std(socket.into())
}

/// A UDP socket to send from and a TCP listener on the same port and link-local address (T-27).
fn twins(address: Ipv6Addr, index: u32) -> io::Result<(std::net::UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..TWIN_TRIES {
        let sender = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        sender.set_nonblocking(true)?;
        sender.set_only_v6(true)?;
        sender.set_multicast_if_v6(index)?;
        sender.set_multicast_hops_v6(1)?;
        // The other instances of this host are to hear it; this one leaves out what comes from this socket (T-13).
        sender.set_multicast_loop_v6(true)?;
        sender.bind(&SocketAddrV6::new(address, 0, 0, index).into())?;
        let sender = std::net::UdpSocket::from(sender);
        match listener(SocketAddrV6::new(address, sender.local_addr()?.port(), 0, index)) {
            Ok(twin) => return Ok((sender, twin)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn listener(address: SocketAddrV6) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A port is taken again right after a restart, whatever its old connections do.
    socket.set_reuse_address(true)?;
    // IPv4 peers are served where the system has IPv4.
    let _ = socket.set_only_v6(false);
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

struct KernelMulticast {
    group: UdpSocket,
    /// Only ever sends, and must not wait until the runtime has looked whether it can.
    sender: std::net::UdpSocket,
    to: SocketAddrV6,
}

impl MulticastSocket for KernelMulticast {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.sender.send_to(bytes, self.to).map(drop)
    }

    fn receive(&self) -> BoxFuture<'_, io::Result<(Vec<u8>, SocketAddr)>> {
        Box::pin(async {
            self.group.readable().await?;
            let own = self.sender.local_addr()?;
            let mut buffer = vec![0; DATAGRAM];
            loop {
                match self.group.try_recv_from(&mut buffer) {
                    Ok((_, source)) if source == own => {}
                    Ok((length, source)) => return Ok((buffer[..length].to_vec(), source)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.group.readable().await?,
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

struct KernelListener(TcpListener);

impl Listener for KernelListener {
    fn port(&self) -> u16 {
        self.0.local_addr().map_or(0, |address| address.port())
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(ByteStream, SocketAddr)>> {
        Box::pin(async {
            let (stream, peer) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as ByteStream, canonical(peer)))
        })
    }
}

/// An IPv4 peer on an IPv6 socket is an IPv4 peer (T-10).
fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V6(v6) => {
            v6.ip().to_ipv4_mapped().map_or(peer, |v4: Ipv4Addr| SocketAddr::new(v4.into(), v6.port()))
        }
        SocketAddr::V4(_) => peer,
    }
}
