//! One end of a TCP connection, every segment under the control of the test.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV6, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{SockRef, Socket};

use super::cbor::{Fault, item_len};
use super::msg::to_hex;

/// How long a write may block.
const WRITE_BOUND: Duration = Duration::from_secs(5);

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes(Vec<u8>),
    /// The other side closed its direction in order.
    Closed,
    /// The other side reset the connection.
    Reset,
    /// Nothing came in time.
    Silent,
}

impl Received {
    /// The bytes.
    ///
    /// # Panics
    ///
    /// Panics when there are none.
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Closed | Self::Reset | Self::Silent => panic!("expected bytes, not {self:?}"),
        }
    }
}

/// A TCP connection. Dropped, it is closed in order.
pub(crate) struct Conn {
    stream: TcpStream,
    remote: SocketAddrV6,
    /// Bytes received and not given out.
    rest: Vec<u8>,
}

impl Conn {
    pub(super) fn new(stream: TcpStream, remote: SocketAddrV6) -> io::Result<Self> {
        // Each send is a segment of its own.
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_BOUND))?;
        Ok(Self { stream, remote, rest: Vec::new() })
    }

    /// The address of this end.
    pub(crate) fn local(&self) -> SocketAddrV6 {
        v6(self.stream.local_addr().expect("the own address"))
    }

    /// The address of the other end, also when the connection is reset by now.
    pub(crate) fn remote(&self) -> SocketAddrV6 {
        self.remote
    }

    /// Sends the bytes at once.
    ///
    /// # Panics
    ///
    /// Panics when the connection does not take them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("sending");
    }

    /// Sends the bytes at once, and tells whether the connection took them.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends the bytes one by one, with a pause after each but the last.
    pub(crate) fn send_slowly(&mut self, bytes: &[u8], gap: Duration) {
        for (i, byte) in bytes.iter().enumerate() {
            if i > 0 {
                thread::sleep(gap);
            }
            self.send(&[*byte]);
        }
    }

    /// Waits for bytes, however many come at once, or for the end of the connection.
    pub(crate) fn recv(&mut self, timeout: Duration) -> Received {
        if self.rest.is_empty() { self.read(timeout) } else { Received::Bytes(std::mem::take(&mut self.rest)) }
    }

    /// Waits for exactly one CBOR item. Whatever follows it stays for the next call.
    ///
    /// # Panics
    ///
    /// Panics when the bytes are not well-formed, and when the connection ends within an item.
    pub(crate) fn recv_item(&mut self, timeout: Duration) -> Received {
        let deadline = Instant::now() + timeout;
        loop {
            match item_len(&self.rest) {
                Ok(len) => return Received::Bytes(self.rest.drain(..len).collect()),
                Err(Fault::Malformed) => panic!("malformed CBOR: {}", to_hex(&self.rest)),
                Err(Fault::Incomplete) => (),
            }
            match self.read(deadline.saturating_duration_since(Instant::now())) {
                Received::Bytes(bytes) => self.rest.extend(bytes),
                Received::Silent => return Received::Silent,
                end @ (Received::Closed | Received::Reset) => {
                    assert!(self.rest.is_empty(), "{end:?} within an item: {}", to_hex(&self.rest));
                    return end;
                }
            }
        }
    }

    /// Reads everything until the end of the connection, at most `limit` bytes and no longer than `timeout`. Gives the
    /// bytes and how it went on: closed, reset, or silent when the bounds were reached first.
    pub(crate) fn recv_to_end(&mut self, limit: usize, timeout: Duration) -> (Vec<u8>, Received) {
        let deadline = Instant::now() + timeout;
        let mut all = std::mem::take(&mut self.rest);
        while all.len() < limit {
            match self.read(deadline.saturating_duration_since(Instant::now())) {
                Received::Bytes(bytes) => all.extend(bytes),
                end @ (Received::Closed | Received::Reset | Received::Silent) => return (all, end),
            }
        }
        (all, Received::Silent)
    }

    /// Ends the own direction in order, and goes on receiving.
    pub(crate) fn shutdown_write(&self) {
        self.stream.shutdown(Shutdown::Write).expect("ending the own direction");
    }

    /// Closes the connection in order.
    pub(crate) fn close(self) {
        drop(self);
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("no lingering");
    }

    fn read(&mut self, timeout: Duration) -> Received {
        // A timeout of zero would mean none.
        self.stream.set_read_timeout(Some(timeout.max(Duration::from_millis(1)))).expect("a read timeout");
        let mut buffer = vec![0; 65536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Received::Closed,
                Ok(len) => {
                    buffer.truncate(len);
                    return Received::Bytes(buffer);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) if is_timeout(&error) => return Received::Silent,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Received::Reset,
                Err(error) => panic!("receiving: {error}"),
            }
        }
    }
}

/// Accepts TCP connections on a port of its own.
pub(crate) struct Listener {
    socket: Socket,
    port: u16,
}

impl Listener {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        socket.listen(64)?;
        let port = socket.local_addr()?.as_socket_ipv6().expect("an IPv6 address").port();
        Ok(Self { socket, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits for a connection; `None` when none came in time.
    pub(crate) fn accept(&self, timeout: Duration) -> Option<Conn> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            match self.socket.accept() {
                Ok((socket, remote)) => {
                    let remote = remote.as_socket_ipv6().expect("an IPv6 address");
                    return Some(Conn::new(socket.into(), remote).expect("an accepted connection"));
                }
                Err(error) if is_timeout(&error) => return None,
                // The other side may give up before the connection is accepted.
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => (),
                Err(error) => panic!("accepting: {error}"),
            }
        }
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

pub(super) fn v6(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V6(address) => address,
        SocketAddr::V4(address) => panic!("an IPv4 address: {address}"),
    }
}
