//! Changes to the interfaces, addresses and routes of a host, over netlink.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use futures_util::TryStreamExt;
use rtnetlink::packet_core::ErrorMessage;
use rtnetlink::packet_route::link::{
    BridgePortState, InfoBridge, InfoBridgePort, InfoData, InfoPortData, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
};
use rtnetlink::{
    AddressMessageBuilder, Error, Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use super::namespace::Host;

/// How long one request may take.
const BOUND: Duration = Duration::from_secs(10);

/// The error of a request for something that is there already.
const EXISTS: i32 = nix::errno::Errno::EEXIST as i32;

/// One end of a cable.
pub(super) struct End<'a> {
    pub(super) host: &'a Host,
    pub(super) interface: &'a str,
    pub(super) mac: [u8; 6],
}

/// Joins two hosts by a cable. Both ends are down.
pub(super) fn add_cable(one: &End<'_>, other: &End<'_>) {
    // The peer is born in its own namespace: both ends may have the same name, and none is ever anywhere else.
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(other.interface)
        .address(other.mac.to_vec())
        .setns_by_fd(other.host.descriptor())
        .build();
    let cable = LinkMessageBuilder::<LinkVeth>::new(one.interface, other.interface)
        .address(one.mac.to_vec())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    request(one.host, "add a cable", async |handle| handle.link().add(cable).execute().await);
}

/// Makes a bridge that floods every multicast and forwards from the start.
pub(super) fn add_bridge(host: &Host, name: &str) {
    let bridge = LinkBridge::new(name)
        .append_info_data(InfoBridge::ForwardDelay(0))
        .append_info_data(InfoBridge::MulticastSnooping(false))
        .build();
    request(host, "add a bridge", async |handle| handle.link().add(bridge).execute().await);
}

/// Makes an interface a port of a bridge.
pub(super) fn add_port(host: &Host, bridge: &str, interface: &str) {
    let change = LinkUnspec::new_with_index(host.index(interface)).controller(host.index(bridge)).build();
    request(host, "add a port", async |handle| handle.link().set(change).execute().await);
}

/// Tells whether a port of a bridge forwards.
pub(super) fn forwards(host: &Host, interface: &str) -> bool {
    let index = host.index(interface);
    request(host, "show a port", async |handle| {
        let link = handle.link().get().match_index(index).execute().try_next().await?;
        let attributes = link.map(|link| link.attributes).unwrap_or_default();
        Ok(attributes.iter().any(|attribute| {
            let LinkAttribute::LinkInfo(infos) = attribute else { return false };
            infos.iter().any(|info| {
                let LinkInfo::PortData(InfoPortData::BridgePort(port)) = info else { return false };
                port.contains(&InfoBridgePort::State(BridgePortState::Forwarding))
            })
        }))
    })
}

/// Tells whether both ends of the cable of an interface are up.
pub(super) fn has_carrier(host: &Host, interface: &str) -> bool {
    let index = host.index(interface);
    request(host, "show an interface", async |handle| {
        let link = handle.link().get().match_index(index).execute().try_next().await?;
        Ok(link.is_some_and(|link| link.header.flags.contains(LinkFlags::LowerUp)))
    })
}

pub(super) fn set_up(host: &Host, interface: &str, up: bool) {
    let change = LinkUnspec::new_with_index(host.index(interface));
    let change = if up { change.up() } else { change.down() }.build();
    request(host, "set an interface up or down", async |handle| handle.link().set(change).execute().await);
}

pub(super) fn delete_interface(host: &Host, interface: &str) {
    let index = host.index(interface);
    request(host, "delete an interface", async |handle| handle.link().del(index).execute().await);
}

/// Gives an interface an address, unless it has it.
pub(super) fn add_address(host: &Host, interface: &str, address: Ipv6Addr, prefix_len: u8) {
    let index = host.index(interface);
    request(host, "add an address", async |handle| {
        unless_there(handle.address().add(index, IpAddr::V6(address), prefix_len).execute().await)
    });
}

pub(super) fn delete_address(host: &Host, interface: &str, address: Ipv6Addr, prefix_len: u8) {
    let index = host.index(interface);
    let message = AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(address, prefix_len).build();
    request(host, "delete an address", async |handle| handle.address().del(message).execute().await);
}

/// Adds a route, unless it is there.
pub(super) fn add_route(host: &Host, destination: Ipv6Addr, prefix_len: u8, gateway: Ipv6Addr) {
    let route =
        RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(destination, prefix_len).gateway(gateway).build();
    request(host, "add a route", async |handle| unless_there(handle.route().add(route).execute().await));
}

fn unless_there(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::NetlinkError(ErrorMessage { code: Some(code), .. })) if code.get() == -EXISTS => Ok(()),
        other => other,
    }
}

/// Runs one exchange with the kernel on the host.
fn request<T: Send>(host: &Host, what: &str, exchange: impl AsyncFnOnce(Handle) -> Result<T, Error> + Send) -> T {
    let result = host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().expect("a netlink socket");
            tokio::spawn(connection);
            tokio::time::timeout(BOUND, exchange(handle)).await
        })
    });
    let result = result.unwrap_or_else(|_| panic!("{}: {what}: no answer within {BOUND:?}", host.name()));
    result.unwrap_or_else(|error| panic!("{}: {what}: {error}", host.name()))
}
