//! Interfaces and their addresses, and word of their changes.

use super::Interface;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

/// Multicast groups of the kernel's routing socket: links, and IPv6 addresses (rtnetlink(7)).
const GROUPS: u32 = 0x1 | 0x100;

/// Lists the interfaces of this network namespace, loopback left out.
pub(super) fn list() -> io::Result<Vec<Interface>> {
    let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
    for address in if_addrs::get_if_addrs()? {
        let Some(index) = address.index.filter(|index| *index != 0) else { continue };
        if address.is_loopback() || !address.is_oper_up() {
            continue;
        }
        let name = address.name.clone();
        let interface =
            found.entry(index).or_insert_with(|| Interface { name, index, link_local: None, global: Vec::new() });
        if let IpAddr::V6(v6) = address.ip() {
            if v6.is_unicast_link_local() {
                interface.link_local.get_or_insert(v6);
            } else if !v6.is_loopback() && !v6.is_multicast() {
                interface.global.push(v6);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// A socket on which the kernel tells of changes of links and addresses.
pub(super) struct Changes(TokioSocket);

impl Changes {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
        Ok(Self(socket))
    }

    /// Waits for the next word; its content does not matter, the interfaces are listed anew.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        self.0.recv_from_full().await.map(drop)
    }
}
