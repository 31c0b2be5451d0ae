//! Hosts: network namespaces, and how code gets to run inside them.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use super::process::HostCommand;
use super::{netlink, poll};

/// How long an address may take to become usable.
const READY_BOUND: Duration = Duration::from_secs(10);

/// The flag of an address that duplicate address detection has not confirmed (`IFA_F_TENTATIVE`).
const TENTATIVE: u8 = 0x40;

/// Settings of every host: addresses are usable at once, and no host looks for a router.
const SYSCTLS: [(&str, &str); 4] =
    [("accept_dad", "0"), ("dad_transmits", "0"), ("accept_ra", "0"), ("router_solicitations", "0")];

/// A host of a laboratory: one network namespace. Clones are the same host; the namespace ends with the last of them.
#[derive(Clone)]
pub(crate) struct Host(Arc<Inner>);

struct Inner {
    name: String,
    number: u8,
    namespace: File,
    configured: Mutex<Configured>,
}

/// What the laboratory gave the host and the kernel forgets when an interface goes down.
#[derive(Default)]
struct Configured {
    addresses: Vec<(String, Ipv6Addr, u8)>,
    routes: Vec<(Ipv6Addr, u8, Ipv6Addr)>,
}

/// An address of an interface, as the kernel lists it.
#[derive(Clone, Debug)]
pub(crate) struct Assigned {
    pub(crate) interface: String,
    pub(crate) index: u32,
    pub(crate) address: Ipv6Addr,
    pub(crate) prefix_len: u8,
    /// Whether duplicate address detection still holds the address back.
    pub(crate) tentative: bool,
}

/// Tells whether this process may make network namespaces.
pub(super) fn may_create() -> io::Result<()> {
    on_thread("probe", || Ok(unshare(CloneFlags::CLONE_NEWNET)?))
}

impl Host {
    /// Makes a host with a fresh namespace whose loopback interface is up.
    pub(super) fn new(name: &str, number: u8) -> Self {
        let namespace = on_thread(name, || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace");
            File::open("/proc/thread-self/ns/net").expect("a handle of the new network namespace")
        });
        let configured = Mutex::default();
        let host = Self(Arc::new(Inner { name: name.to_owned(), number, namespace, configured }));
        for (key, value) in SYSCTLS {
            host.sysctl(&format!("ipv6/conf/all/{key}"), value).expect("an IPv6 setting");
            host.sysctl(&format!("ipv6/conf/default/{key}"), value).expect("an IPv6 setting");
        }
        // Many short connections must not exhaust the ports. Kernels differ in whether a namespace has these settings.
        let _ = host.sysctl("ipv4/ip_local_port_range", "10000 65000");
        let _ = host.sysctl("ipv4/tcp_tw_reuse", "1");
        netlink::set_up(&host, "lo", true);
        host
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// The host's number, which ends each of its ULAs.
    pub(crate) fn number(&self) -> u8 {
        self.0.number
    }

    /// The descriptor of the namespace, for netlink.
    pub(super) fn descriptor(&self) -> RawFd {
        self.0.namespace.as_raw_fd()
    }

    /// Runs the closure on this host and gives its result. A panic in it continues in the caller.
    pub(crate) fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        on_thread(self.name(), || {
            self.enter();
            body()
        })
    }

    /// Runs the closure on this host, on a thread of its own, and goes on. Threads the closure starts, such as those of a
    /// tokio runtime it makes, are on the host too.
    pub(crate) fn spawn<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        let (done, result) = mpsc::channel();
        let host = self.clone();
        let thread = thread::Builder::new().name(self.name().to_owned()).spawn(move || {
            host.enter();
            // Released first, so that a body that never ends keeps only the namespace it runs in.
            drop(host);
            let _ = done.send(body());
        });
        Task { thread: thread.expect("a thread"), result }
    }

    /// Prepares a program to be started on this host.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> HostCommand {
        HostCommand::new(self, program.as_ref())
    }

    /// Moves the calling thread into the namespace for the rest of its life.
    fn enter(&self) {
        setns(&self.0.namespace, CloneFlags::CLONE_NEWNET).expect("entering the network namespace");
    }

    /// Writes `/proc/sys/net/<key>` of this host.
    pub(crate) fn sysctl(&self, key: &str, value: &str) -> io::Result<()> {
        self.run(|| fs::write(Path::new("/proc/sys/net").join(key), value))
    }

    /// Every IPv6 address of the host.
    pub(crate) fn addresses(&self) -> Vec<Assigned> {
        // Not /proc/self or /proc/net: these are of the main thread, which is in another namespace.
        let listing = self.run(|| fs::read_to_string("/proc/thread-self/net/if_inet6")).expect("if_inet6");
        listing.lines().map(|line| assigned(line).unwrap_or_else(|| panic!("if_inet6: {line}"))).collect()
    }

    /// The index of an interface; `None` when the host does not have it.
    pub(crate) fn interface_index(&self, interface: &str) -> Option<u32> {
        self.run(|| nix::net::if_::if_nametoindex(interface)).ok()
    }

    /// The index of an interface the host has.
    pub(crate) fn index(&self, interface: &str) -> u32 {
        self.interface_index(interface).unwrap_or_else(|| panic!("{} has no interface {interface}", self.name()))
    }

    /// The link-local address of an interface.
    pub(crate) fn lla(&self, interface: &str) -> Ipv6Addr {
        self.address(interface, true).unwrap_or_else(|| panic!("{} has no LLA on {interface}", self.name()))
    }

    /// The unique local address of an interface.
    pub(crate) fn ula(&self, interface: &str) -> Ipv6Addr {
        self.address(interface, false).unwrap_or_else(|| panic!("{} has no ULA on {interface}", self.name()))
    }

    /// The link-local address of an interface with a port and the scope that makes it usable on this host.
    pub(crate) fn lla_at(&self, interface: &str, port: u16) -> SocketAddrV6 {
        SocketAddrV6::new(self.lla(interface), port, 0, self.index(interface))
    }

    fn address(&self, interface: &str, link_local: bool) -> Option<Ipv6Addr> {
        let mut all = self.addresses().into_iter();
        all.find(|a| a.interface == interface && a.address.is_unicast_link_local() == link_local).map(|a| a.address)
    }

    /// Waits until an interface has a link-local address and none of its addresses is tentative.
    pub(crate) fn wait_ready(&self, interface: &str) {
        poll(&format!("addresses of {}/{interface}", self.name()), READY_BOUND, || {
            let all = self.addresses();
            let mut own = all.iter().filter(|a| a.interface == interface).peekable();
            own.peek()?;
            let mut link_local = false;
            let usable = own.all(|a| {
                link_local |= a.address.is_unicast_link_local();
                !a.tentative
            });
            (usable && link_local).then_some(())
        });
    }

    /// Takes an interface up or down.
    ///
    /// Down, it loses its addresses and routes, as on any Linux host, and the other end loses its carrier. Up, it gets
    /// back what the laboratory had given it; if the other end is up too, this returns when the addresses are usable.
    pub(crate) fn set_up(&self, interface: &str, up: bool) {
        netlink::set_up(self, interface, up);
        if !up {
            return;
        }
        let (addresses, routes) = {
            let configured = self.0.configured.lock().expect("the configuration");
            (configured.addresses.clone(), configured.routes.clone())
        };
        let own: Vec<_> = addresses.into_iter().filter(|(name, ..)| name == interface).collect();
        for (_, address, prefix_len) in &own {
            netlink::add_address(self, interface, *address, *prefix_len);
        }
        // The gateways of the other interfaces may be out of reach.
        let near = |gateway: Ipv6Addr| own.iter().any(|(_, address, len)| same_prefix(gateway, *address, *len));
        for (destination, prefix_len, gateway) in routes.into_iter().filter(|(.., gateway)| near(*gateway)) {
            netlink::add_route(self, destination, prefix_len, gateway);
        }
        if netlink::has_carrier(self, interface) {
            self.wait_ready(interface);
        }
    }

    /// Gives an interface an address.
    pub(crate) fn add_address(&self, interface: &str, address: Ipv6Addr, prefix_len: u8) {
        netlink::add_address(self, interface, address, prefix_len);
        let mut configured = self.0.configured.lock().expect("the configuration");
        configured.addresses.push((interface.to_owned(), address, prefix_len));
    }

    /// Takes an address away from an interface.
    pub(crate) fn delete_address(&self, interface: &str, address: Ipv6Addr, prefix_len: u8) {
        netlink::delete_address(self, interface, address, prefix_len);
        let mut configured = self.0.configured.lock().expect("the configuration");
        configured.addresses.retain(|(name, known, _)| name != interface || *known != address);
    }

    /// Deletes an interface, and with it the other end of its cable.
    pub(crate) fn delete_interface(&self, interface: &str) {
        netlink::delete_interface(self, interface);
        let mut configured = self.0.configured.lock().expect("the configuration");
        configured.addresses.retain(|(name, ..)| name != interface);
    }

    /// Adds a route through a gateway.
    pub(crate) fn add_route(&self, destination: Ipv6Addr, prefix_len: u8, gateway: Ipv6Addr) {
        netlink::add_route(self, destination, prefix_len, gateway);
        self.0.configured.lock().expect("the configuration").routes.push((destination, prefix_len, gateway));
    }
}

/// A closure running on a host. Dropped, it goes on by itself, and keeps the namespace of the host meanwhile.
pub(crate) struct Task<T> {
    thread: thread::JoinHandle<()>,
    result: Receiver<T>,
}

impl<T> Task<T> {
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the result. A panic in the closure continues in the caller.
    ///
    /// # Panics
    ///
    /// Panics when the closure has not ended within `bound`.
    pub(crate) fn join(self, bound: Duration) -> T {
        match self.result.recv_timeout(bound) {
            Ok(value) => {
                // The thread has nothing left to do but to end; afterwards it no longer holds the namespace.
                let _ = self.thread.join();
                value
            }
            Err(RecvTimeoutError::Timeout) => panic!("the task has not ended within {bound:?}"),
            Err(RecvTimeoutError::Disconnected) => match self.thread.join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => panic!("the task ended without a result"),
            },
        }
    }
}

/// Runs the closure on a new thread and waits for it. A panic in it continues in the caller.
fn on_thread<T: Send>(name: &str, body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, body).expect("a thread");
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn same_prefix(one: Ipv6Addr, other: Ipv6Addr, len: u8) -> bool {
    let differing = one.to_bits() ^ other.to_bits();
    differing.leading_zeros() >= u32::from(len)
}

/// Parses a line of if_inet6: address, index, prefix length, scope and flags in hexadecimal, then the name.
fn assigned(line: &str) -> Option<Assigned> {
    let mut fields = line.split_ascii_whitespace();
    let address = Ipv6Addr::from(u128::from_str_radix(fields.next()?, 16).ok()?);
    let index = u32::from_str_radix(fields.next()?, 16).ok()?;
    let prefix_len = u8::from_str_radix(fields.next()?, 16).ok()?;
    let flags = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
    let interface = fields.next()?.to_owned();
    Some(Assigned { interface, index, address, prefix_len, tentative: flags & TENTATIVE != 0 })
}
