//! The laboratory keeps its own promises.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddrV6;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ciborium::Value;
use nix::sys::signal::Signal;

use crate::lab::cbor::{Fault, item_len, items};
use crate::lab::topology::{lla, ula};
use crate::lab::{Addresses, Host, Lab, Peer, Received, in_namespaces, msg, poll};

/// How long something that happens may take.
const SOON: Duration = Duration::from_secs(5);

/// How long something is given to happen that must not.
const NEVER: Duration = Duration::from_millis(200);

fn at(address: std::net::Ipv6Addr, port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(address, port, 0, 0)
}

/// Asserts that each hears the other's multicast.
fn hear_each_other(one: &Peer, other: &Peer) {
    for (from, to) in [(one, other), (other, one)] {
        let message = msg::discovery(msg::sid(), from.lla(), "EX1", msg::F_DISC | msg::F_NEG, 6, None);
        from.multicast(&message);
        let heard = to.hear(SOON, |datagram| datagram.bytes == message);
        assert_eq!((*heard.source.ip(), heard.source.port()), (from.lla(), from.port()));
    }
}

/// Asserts that a connection by TCP works both ways, and gives the address it came from.
fn exchange(from: &Peer, to: SocketAddrV6, at: &Peer) -> std::net::Ipv6Addr {
    let mut near = from.connect(to);
    let mut far = at.accept(SOON).expect("the connection");
    near.send(&msg::noop());
    assert_eq!(far.recv(SOON), Received::Bytes(msg::hex("81 00")));
    far.send(b"x");
    assert_eq!(near.recv(SOON), Received::Bytes(b"x".to_vec()));
    *far.remote().ip()
}

#[test]
fn multicasts_of_a_lan_are_heard_with_their_source() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let (one, two) = (Peer::new(&hosts[0], "e0"), Peer::new(&hosts[1], "e0"));
        assert_eq!((one.lla(), one.ula()), (lla(1, 1), ula(1, 1)));
        assert_eq!((two.lla(), two.ula()), (lla(1, 2), ula(1, 2)));
        hear_each_other(&one, &two);
        assert!(one.heard(NEVER).is_empty(), "a peer does not hear itself");
    });
}

#[test]
fn a_switch_floods_multicasts_to_all_hosts() {
    in_namespaces(|lab| {
        let peers: Vec<Peer> = lab.lan(4).iter().map(|host| Peer::new(host, "e0")).collect();
        for from in &peers {
            from.multicast(&msg::noop());
            for to in peers.iter().filter(|to| to.lla() != from.lla()) {
                to.hear(SOON, |datagram| *datagram.source.ip() == from.lla());
            }
        }
    });
}

#[test]
fn the_twin_port_collects_responses() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let (one, two) = (Peer::new(&hosts[0], "e0"), Peer::new(&hosts[1], "e0"));
        let (sid, listener) = (msg::sid(), two.listen());
        one.multicast(&msg::discovery(sid, one.lla(), "EX1", 5, 6, Some(Value::from(1))));
        let source = two.hear(SOON, |_| true).source;
        let answer =
            msg::response(sid, one.lla(), 1000, vec![msg::locator(two.ula(), msg::TCP, listener.port())], None);
        // One answer comes slowly, one beside it is reset.
        let broken = two.connect(source);
        let mut conn = two.connect(source);
        broken.reset();
        conn.send_slowly(&answer, Duration::from_millis(1));
        conn.close();
        let responses = one.responses(NEVER);
        let response = responses.iter().find(|response| response.bytes == answer).expect("the answer");
        assert_eq!(*response.from.ip(), two.lla());
        assert!(response.closed_after.is_some());
        assert_eq!(msg::decode(&response.bytes).as_array().map(Vec::len), Some(5));
        assert_eq!(responses.iter().filter(|response| response.closed_after.is_none()).count(), responses.len() - 1);

        let mut near = one.connect(at(two.ula(), listener.port()));
        let mut far = listener.accept(SOON).expect("the connection");
        let objective = msg::objective("EX1", 3, 6, Some(Value::from(7)));
        let both = [msg::reqneg(sid, objective.clone()), msg::end_decline(sid, Some("no"))];
        near.send(&both.concat());
        assert_eq!(far.recv_item(SOON), Received::Bytes(both[0].clone()));
        assert_eq!(far.recv_item(SOON), Received::Bytes(both[1].clone()));
        assert_eq!(far.recv_item(NEVER), Received::Silent);
        near.shutdown_write();
        assert_eq!(far.recv(SOON), Received::Closed);
        far.reset();
        assert_eq!(near.recv(SOON), Received::Reset);
        drop(listener);
        assert!(one.try_connect(at(two.ula(), 1)).is_err(), "nobody listens there");
    });
}

#[test]
fn a_line_routes_unicasts_but_no_multicasts() {
    in_namespaces(|lab| {
        let hosts = lab.line(3);
        let (first, last) = (Peer::new(&hosts[0], "right"), Peer::new(&hosts[2], "left"));
        let (left, right) = (Peer::new(&hosts[1], "left"), Peer::new(&hosts[1], "right"));
        hear_each_other(&first, &left);
        hear_each_other(&right, &last);
        first.multicast(&msg::noop());
        left.hear(SOON, |datagram| datagram.bytes == msg::noop());
        assert!(last.heard(NEVER).is_empty(), "a multicast crossed a router");
        assert!(right.heard(Duration::ZERO).is_empty(), "a multicast was heard on the wrong interface");
        assert_eq!(exchange(&first, at(last.ula(), last.port()), &last), first.ula());
    });
}

#[test]
fn a_ring_routes_both_ways_round() {
    in_namespaces(|lab| {
        let hosts = lab.ring(4);
        let peers: Vec<Peer> = hosts.iter().map(|host| Peer::new(host, "right")).collect();
        for (i, peer) in peers.iter().enumerate() {
            let neighbour = &hosts[(i + 1) % hosts.len()];
            hear_each_other(peer, &Peer::new(neighbour, "left"));
            for other in peers.iter().filter(|other| other.port() != peer.port() || other.ula() != peer.ula()) {
                exchange(peer, at(other.ula(), other.port()), other);
            }
        }
    });
}

#[test]
fn a_link_goes_down_and_comes_back() {
    in_namespaces(|lab| {
        let hosts = lab.line(3);
        let (one, two) = (Peer::new(&hosts[0], "right"), Peer::new(&hosts[1], "left"));
        hear_each_other(&one, &two);
        hosts[1].set_up("left", false);
        assert!(hosts[1].addresses().iter().all(|address| address.interface != "left"));
        assert_eq!(hosts[0].ula("right"), ula(1, 1), "the other end only loses its carrier");
        one.multicast(&msg::noop());
        assert!(two.heard(NEVER).is_empty());
        hosts[1].set_up("left", true);
        assert_eq!((hosts[1].lla("left"), hosts[1].ula("left")), (lla(1, 2), ula(1, 2)));
        hear_each_other(&one, &two);
        for interface in ["left", "right"] {
            hosts[1].set_up(interface, false);
        }
        hosts[0].set_up("right", false);
        hosts[0].set_up("right", true);
        for interface in ["left", "right"] {
            hosts[1].set_up(interface, true);
        }
        hosts[0].wait_ready("right");
        hear_each_other(&one, &two);
        let last = Peer::new(&hosts[2], "left");
        exchange(&one, at(last.ula(), last.port()), &last);
        exchange(&last, at(one.ula(), one.port()), &one);
    });
}

#[test]
fn a_link_may_have_link_local_addresses_only() {
    in_namespaces(|lab| {
        let hosts = lab.lan_with(2, Addresses::LlaOnly);
        for host in &hosts {
            let e0: Vec<_> = host.addresses().into_iter().filter(|address| address.interface == "e0").collect();
            assert_eq!(e0.iter().map(|a| (a.address, a.prefix_len)).collect::<Vec<_>>(), [(lla(1, host.number()), 64)]);
        }
        let (one, two) = (Peer::new(&hosts[0], "e0"), Peer::new(&hosts[1], "e0"));
        hear_each_other(&one, &two);
        assert_eq!(exchange(&one, at(two.lla(), two.port()), &two), one.lla());
    });
}

#[test]
fn addresses_and_interfaces_change_at_run_time() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let (one, two) = (Peer::new(&hosts[0], "e0"), Peer::new(&hosts[1], "e0"));
        hosts[1].delete_address("e0", ula(1, 2), 64);
        assert_eq!(hosts[1].addresses().iter().filter(|address| address.interface == "e0").count(), 1);
        hosts[1].add_address("e0", ula(1, 77), 64);
        hosts[1].wait_ready("e0");
        exchange(&one, at(ula(1, 77), two.port()), &two);

        assert_eq!(lab.link(&[("h1", "e1"), ("h2", "e1")]), 2);
        hear_each_other(&Peer::new(&hosts[0], "e1"), &Peer::new(&hosts[1], "e1"));
        hosts[0].delete_interface("e1");
        poll("the other end goes too", SOON, || hosts[1].interface_index("e1").is_none().then_some(()));
        hear_each_other(&one, &two);
    });
}

#[test]
fn a_program_runs_inside_its_host() {
    in_namespaces(|lab| {
        let host = &lab.lan(2)[1];
        let before = Instant::now();
        let cat = host.command("cat").arg("/proc/self/net/if_inet6").spawn();
        assert!(cat.finish(SOON).success());
        let (interfaces, expected) = (cat.output(), format!("{:032x}", u128::from(host.ula("e0"))));
        assert!(interfaces.contains(&expected), "{expected} in\n{interfaces}");
        assert!(cat.lines().iter().all(|line| line.at >= before));

        let script = "trap 'echo terminated >&2; exit 3' TERM; echo $GREETING; while :; do sleep 0.01; done";
        let shell = host.command("sh").args(["-c", script]).env("GREETING", "hello").spawn();
        shell.wait_line("hello", SOON);
        assert!(shell.exit_status().is_none());
        shell.signal(Signal::SIGTERM);
        shell.wait_line_from(1, "terminated", SOON);
        assert_eq!(shell.finish(SOON).code(), Some(3));

        let sleeper = host.command("sleep").arg("1000").spawn();
        let process = format!("/proc/{}/stat", sleeper.pid());
        assert!(fs::read_to_string(&process).is_ok_and(|stat| stat.contains("(sleep)")));
        drop(sleeper);
        assert!(!fs::read_to_string(&process).is_ok_and(|stat| stat.contains("(sleep)")), "it was not reaped");
    });
}

#[test]
fn a_panic_on_a_host_reaches_the_test() {
    in_namespaces(|lab| {
        let host = lab.host("h1");
        let text = |panic: Box<dyn std::any::Any + Send>| panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let panic = catch_unwind(AssertUnwindSafe(|| host.run(|| panic!("one")))).expect_err("a panic");
        assert_eq!(text(panic).as_deref(), Some("one"));
        let task = host.spawn(|| panic!("two"));
        let panic = catch_unwind(AssertUnwindSafe(|| task.join(SOON))).expect_err("a panic");
        assert_eq!(text(panic).as_deref(), Some("two"));
    });
}

#[test]
fn hosts_have_names_numbers_and_namespaces_of_their_own() {
    in_namespaces(|lab| {
        let (one, two) = (lab.host("h1"), lab.host("h2"));
        assert!(catch_unwind(AssertUnwindSafe(|| lab.host("h1"))).is_err(), "a second h1");
        assert!(catch_unwind(AssertUnwindSafe(|| lab.get("h3"))).is_err(), "an h3 from nowhere");
        assert_eq!((one.number(), two.number(), lab.get("h2").number()), (1, 2, 2));
        let namespace = || fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
        let spawned = two.spawn(namespace).join(SOON);
        let all = HashSet::from([namespace(), one.run(namespace), two.run(namespace)]);
        assert_eq!(all.len(), 3);
        assert_eq!(spawned, two.run(namespace));
        // Another laboratory has the same names without any conflict.
        assert!(!all.contains(&Lab::new().host("h1").run(namespace)));
        assert_eq!(one.addresses().iter().map(|a| a.interface.as_str()).collect::<Vec<_>>(), ["lo"]);
    });
}

#[test]
fn namespaces_end_with_their_laboratory() {
    in_namespaces(|lab| {
        let watcher = lab.host("watcher");
        let mut other = Lab::new();
        let hosts: Vec<Host> = other.lan(3);
        // The kernel removes a cable when it discards the namespace of either end.
        other.cable(&hosts[2], "out", &watcher, "in");
        let (peer, sleeper) = (Peer::new(&hosts[2], "e0"), hosts[2].command("sleep").arg("1000").spawn());
        assert!(watcher.interface_index("in").is_some());
        drop((hosts, peer, sleeper, other));
        poll("the namespace ends", SOON, || watcher.interface_index("in").is_none().then_some(()));
    });
}

#[test]
fn the_scanner_finds_the_end_of_an_item() {
    for whole in ["00", "1b0000000000000001", "43010203", "820102", "a10102", "c1820000", "9f01ff", "5f4101ff", "f820"]
    {
        let bytes = msg::hex(whole);
        assert_eq!(item_len(&bytes), Ok(bytes.len()), "{whole}");
        for cut in 0..bytes.len() {
            assert_eq!(item_len(&bytes[..cut]), Err(Fault::Incomplete), "{whole} cut to {cut}");
        }
    }
    for bad in ["1c", "1f", "ff", "5f6101ff", "5f5fffff", "f800", "df"] {
        assert_eq!(item_len(&msg::hex(bad)), Err(Fault::Malformed), "{bad}");
    }
    assert_eq!(item_len(&msg::hex("9bffffffffffffffff00")), Err(Fault::Incomplete));
    assert_eq!(item_len(&vec![0x81; 100_000]), Err(Fault::Malformed));
    let (found, rest) = items(&[0x81, 0, 0x18, 0x20, 0x82, 1]);
    assert_eq!((found, rest), (vec![&[0x81, 0][..], &[0x18, 0x20]], &[0x82, 1][..]));
}

#[test]
fn messages_are_what_the_specification_says() {
    let one = std::net::Ipv6Addr::LOCALHOST;
    let address = "50 00000000 00000000 00000000 00000001";
    let cases = [
        (msg::noop(), "81 00".to_owned()),
        (msg::discovery(1, one, "a", 5, 6, None), format!("84 01 01 {address} 83 6161 05 06")),
        (
            msg::response(1, one, 9, vec![msg::locator(one, 6, 24)], None),
            format!("85 02 01 {address} 09 84 1867 {address} 06 1818"),
        ),
        (msg::reqneg(2, msg::objective("a", 3, 6, Some(Value::Bool(true)))), "83 03 02 84 6161 03 06 f5".to_owned()),
        (msg::end_accept(3), "83 06 03 81 1865".to_owned()),
        (msg::end_decline(3, None), "83 06 03 81 1866".to_owned()),
        (msg::wait(3, 256), "83 07 03 190100".to_owned()),
        (
            msg::flood(4, one, 0, vec![(msg::objective("a", 4, 1, None), None)]),
            format!("85 09 04 {address} 00 82 83 6161 04 01 80"),
        ),
        (msg::invalid(5, None), "82 1863 05".to_owned()),
    ];
    for (built, expected) in cases {
        assert_eq!(built, msg::hex(&expected), "{expected}");
    }
}
