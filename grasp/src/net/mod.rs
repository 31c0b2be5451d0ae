//! The network as the actors see it: kernel sockets, or a fabric in memory. The only place with sockets.

mod interfaces;
pub mod kernel;
pub mod memory;

use futures_util::future::BoxFuture;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A reliable, ordered connection.
///
/// Writing no bytes sends nothing; it fails once the peer has reset the connection, also after the end of what can be read.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection of either network, possibly inside a substrate.
pub type ByteStream = Box<dyn Stream>;

/// A network interface as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index, not 0.
    pub index: u32,
    /// Its link-local address, if it has one and is up.
    pub link_local: Option<Ipv6Addr>,
    /// Its unique local and global addresses, in the order the system gives.
    pub global: Vec<Ipv6Addr>,
}

/// The sockets of one link: multicasts leave from the port on which answers are awaited (RFC 8990 §2.8.4).
pub struct LinkSockets {
    /// Sends to and hears the group of all GRASP neighbours.
    pub multicast: Box<dyn MulticastSocket>,
    /// Waits for answers on the TCP twin of the sending port.
    pub answers: Box<dyn Listener>,
}

/// Link-local multicast on one link.
pub trait MulticastSocket: Send + Sync {
    /// Sends one datagram to the group; never waits.
    ///
    /// # Errors
    ///
    /// Those of the system; the datagram is lost then.
    fn send(&self, bytes: &[u8]) -> io::Result<()>;

    /// Waits for a datagram that this very socket has not sent; returns it whole with its transport source.
    fn receive(&self) -> BoxFuture<'_, io::Result<(Vec<u8>, SocketAddr)>>;
}

/// A TCP listener.
pub trait Listener: Send + Sync {
    /// Its port.
    fn port(&self) -> u16;

    /// Waits for a connection; returns it with the peer's address.
    fn accept(&self) -> BoxFuture<'_, io::Result<(ByteStream, SocketAddr)>>;
}

/// The network of one node.
pub trait Network: Send + Sync {
    /// All interfaces as they are now.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn interfaces(&self) -> io::Result<Vec<Interface>>;

    /// Waits until interfaces or addresses may have changed; a network that cannot tell waits for ever.
    fn changed(&self) -> BoxFuture<'_, ()>;

    /// Opens the sockets of a link.
    ///
    /// # Errors
    ///
    /// Those of the system, for example while the address is still tentative.
    fn open_link(&self, interface: &Interface) -> io::Result<LinkSockets>;

    /// Listens on the interface's own link-local address, on any port.
    ///
    /// # Errors
    ///
    /// Those of the system, for example while the address is still tentative.
    fn listen_on(&self, interface: &Interface) -> io::Result<Box<dyn Listener>>;

    /// Listens for unicast requests on the first of `ports` that is free; 0 is any.
    ///
    /// # Errors
    ///
    /// That of the last port, if none is free.
    fn listen(&self, ports: &[u16]) -> io::Result<Box<dyn Listener>>;

    /// Connects to a peer; the caller limits the time.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<ByteStream>>;

    /// Resolves a domain name; the caller limits the time.
    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>>;

    /// Descriptors that the process may have open, if the network needs any.
    fn descriptors(&self) -> Option<usize> {
        None
    }

    /// How long the machine has been suspended so far; the runtime's clock leaves that out.
    fn suspended(&self) -> Duration {
        Duration::ZERO
    }
}
