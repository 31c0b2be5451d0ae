//! Laboratories: named hosts and the links between them.
//!
//! Link `n` carries the ULA prefix `fd5a:1e57:a1b0:<n>::/64`, in which host `j` has `::<j>`. Its MAC addresses are
//! `02:00:00:00:<n>:<j>`, so the link-local addresses are fixed too: `fe80::ff:fe00:<n><j>`.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::namespace::Host;
use super::netlink::{self, End};
use super::poll;

/// How long a switch may take to forward.
const SWITCH_BOUND: Duration = Duration::from_secs(10);

/// The addresses the ends of a link get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// A link-local address and a ULA.
    LlaAndUla,
    /// A link-local address only.
    LlaOnly,
}

/// A set of hosts and links. Dropped, it discards its namespaces, unless a task, a process or a host handle still
/// lives in one.
pub(crate) struct Lab {
    hosts: Vec<Host>,
    switches: Vec<Host>,
    links: u8,
}

impl Lab {
    /// Makes a laboratory without hosts. Laboratories do not see each other.
    pub(crate) fn new() -> Self {
        Self { hosts: Vec::new(), switches: Vec::new(), links: 0 }
    }

    /// Makes a host; the first has number 1.
    ///
    /// # Panics
    ///
    /// Panics when the laboratory has a host of that name.
    pub(crate) fn host(&mut self, name: &str) -> Host {
        assert!(self.hosts.iter().all(|host| host.name() != name), "there is a host {name} already");
        let number = u8::try_from(self.hosts.len() + 1).expect("at most 255 hosts");
        let host = Host::new(name, number);
        self.hosts.push(host.clone());
        host
    }

    /// The host of that name.
    pub(crate) fn get(&self, name: &str) -> Host {
        let host = self.hosts.iter().find(|host| host.name() == name);
        host.unwrap_or_else(|| panic!("there is no host {name}")).clone()
    }

    /// Links hosts, given as pairs of host and new interface, and waits until the link is usable. Two ends are joined by
    /// a cable, more by a switch. Works at any time, also while agents run. Gives the number of the link.
    pub(crate) fn link(&mut self, ends: &[(&str, &str)]) -> u8 {
        self.link_with(ends, Addresses::LlaAndUla)
    }

    /// Links hosts as [`Lab::link`] does, with a choice of addresses.
    pub(crate) fn link_with(&mut self, ends: &[(&str, &str)], addresses: Addresses) -> u8 {
        assert!(ends.len() >= 2, "a link has two ends or more");
        let hosts: Vec<(Host, &str)> = ends.iter().map(|(host, interface)| (self.get(host), *interface)).collect();
        self.links = self.links.checked_add(1).expect("at most 255 links");
        let number = self.links;
        let ends: Vec<End<'_>> = hosts
            .iter()
            .map(|(host, interface)| End { host, interface, mac: [2, 0, 0, 0, number, host.number()] })
            .collect();
        if let [one, other] = ends.as_slice() {
            netlink::add_cable(one, other);
        } else {
            let switch = switch(number, &ends);
            self.switches.push(switch);
        }
        for end in &ends {
            netlink::set_up(end.host, end.interface, true);
        }
        for end in &ends {
            if addresses == Addresses::LlaAndUla {
                end.host.add_address(end.interface, ula(number, end.host.number()), 64);
            }
            end.host.wait_ready(end.interface);
        }
        if let Some(switch) = self.switches.last().filter(|_| ends.len() > 2) {
            for end in &ends {
                let port = port(end);
                poll(&format!("switch port {port} forwards"), SWITCH_BOUND, || {
                    netlink::forwards(switch, &port).then_some(())
                });
            }
        }
        number
    }

    /// Makes a chain h1 - h2 - ... - h`count`. Link i joins "right" of h(i) and "left" of h(i+1). The inner hosts forward,
    /// and every host has a route to every link.
    pub(crate) fn line(&mut self, count: u8) -> Vec<Host> {
        let hosts = self.numbered(count);
        for i in 1..count {
            self.link(&[(&format!("h{i}"), "right"), (&format!("h{}", i + 1), "left")]);
        }
        for (j, host) in (1..=count).zip(&hosts) {
            if 1 < j && j < count {
                forward(host);
            }
            for i in 1..count {
                if i + 1 < j {
                    host.add_route(prefix(i), 64, ula(j - 1, j - 1));
                } else if i > j {
                    host.add_route(prefix(i), 64, ula(j, j + 1));
                }
            }
        }
        hosts
    }

    /// Makes a ring h1 - h2 - ... - h`count` - h1 of three hosts or more. Link i joins "right" of h(i) and "left" of the
    /// next host. Every host forwards, and has a route to every link, the shorter way round.
    pub(crate) fn ring(&mut self, count: u8) -> Vec<Host> {
        assert!(count >= 3, "a ring has three hosts or more");
        let hosts = self.numbered(count);
        let next = |j: u8| j % count + 1;
        let previous = |j: u8| if j == 1 { count } else { j - 1 };
        for i in 1..=count {
            self.link(&[(&format!("h{i}"), "right"), (&format!("h{}", next(i)), "left")]);
        }
        for (j, host) in (1..=count).zip(&hosts) {
            forward(host);
            for i in (1..=count).filter(|i| *i != j && *i != previous(j)) {
                let hops_to_the_right = (i + count - j) % count;
                let to_the_right = hops_to_the_right <= count / 2;
                let gateway = if to_the_right { ula(j, next(j)) } else { ula(previous(j), previous(j)) };
                host.add_route(prefix(i), 64, gateway);
            }
        }
        hosts
    }

    /// Makes hosts h1 to h`count` with interface "e0" on one link.
    pub(crate) fn lan(&mut self, count: u8) -> Vec<Host> {
        self.lan_with(count, Addresses::LlaAndUla)
    }

    /// Makes hosts on one link as [`Lab::lan`] does, with a choice of addresses.
    pub(crate) fn lan_with(&mut self, count: u8, addresses: Addresses) -> Vec<Host> {
        let hosts = self.numbered(count);
        let ends: Vec<(&str, &str)> = hosts.iter().map(|host| (host.name(), "e0")).collect();
        self.link_with(&ends, addresses);
        hosts
    }

    /// Joins a host of this laboratory and any other host by a cable without addresses. Both ends are down.
    pub(crate) fn cable(&self, host: &Host, interface: &str, other: &Host, other_interface: &str) {
        let one = End { host, interface, mac: [2, 0, 0, 1, 0, host.number()] };
        let far = End { host: other, interface: other_interface, mac: [2, 0, 0, 2, 0, other.number()] };
        netlink::add_cable(&one, &far);
    }

    fn numbered(&mut self, count: u8) -> Vec<Host> {
        (1..=count).map(|j| self.host(&format!("h{j}"))).collect()
    }
}

/// The ULA prefix of a link, 64 bits long.
pub(crate) fn prefix(link: u8) -> Ipv6Addr {
    ula(link, 0)
}

/// The ULA of a host on a link.
pub(crate) fn ula(link: u8, host: u8) -> Ipv6Addr {
    // The numbers are written in hexadecimal, as the MAC addresses are.
    Ipv6Addr::new(0xfd5a, 0x1e57, 0xa1b0, link.into(), 0, 0, 0, host.into())
}

/// The link-local address of a host on a link.
pub(crate) fn lla(link: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, u16::from_be_bytes([link, host]))
}

fn forward(host: &Host) {
    host.sysctl("ipv6/conf/all/forwarding", "1").expect("forwarding");
}

/// The port of the switch an end is plugged into.
fn port(end: &End<'_>) -> String {
    format!("p{}", end.host.number())
}

/// Makes a switch with a port for each end and plugs them in.
fn switch(link: u8, ends: &[End<'_>]) -> Host {
    let switch = Host::new(&format!("switch {link}"), 0);
    // A switch has no addresses, or it would take part in the neighbour discovery and MLD of the link.
    for which in ["all", "default"] {
        switch.sysctl(&format!("ipv6/conf/{which}/disable_ipv6"), "1").expect("IPv6 off on a switch");
    }
    netlink::add_bridge(&switch, "br0");
    for end in ends {
        let port = port(end);
        let plug = End { host: &switch, interface: &port, mac: [2, 0, 0, 0xff, link, end.host.number()] };
        netlink::add_cable(end, &plug);
        netlink::add_port(&switch, "br0", &port);
        netlink::set_up(&switch, &port, true);
    }
    switch
}
