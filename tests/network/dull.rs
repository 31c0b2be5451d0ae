//! DULL instances on real links (RFC 8990 §2.5.2, RFC 8994 §6.4).

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ciborium::Value;
use grasp::api::dump::FloodEntry;
use grasp::infrastructure::{Kind, Offer, an_acp, an_proxy};
use grasp::protocol::Dull;
use grasp::wire::Transport;
use grasp::{Asa, Grasp, NodeConfig, Registration};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::capture::Capture;
use super::{QUIET, Running, SOON, ask, config, elements, fields, head, number, place, star};
use crate::lab::peer::{GROUP, PORT};
use crate::lab::topology::ula;
use crate::lab::{Peer, Received, in_namespaces, msg, poll};

/// The flag of an objective that is only flooded.
const SYNCH: u8 = 4;
/// Not an address of anybody.
const THIRD: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);

/// A DULL instance alone, on one interface.
fn alone(host: &crate::lab::Host, interface: &str) -> Running {
    let config = NodeConfig::dull(interface, Dull::infrastructure());
    let node = Running::start_in(host, config, Arc::new(grasp::substrate::Dull));
    node.wait_links(&[interface]);
    node
}

/// Registers both objectives of the link, so that discoveries of them are answered.
async fn announcer(grasp: Grasp, name: &str) -> Asa {
    let asa = grasp.register_asa(name).await.unwrap();
    for kind in [Kind::AnAcp, Kind::AnProxy] {
        let registration = Registration { discoverable: true, overlap: true, ..Registration::default() };
        asa.register_objective(&kind.objective(), registration).await.unwrap();
    }
    asa
}

fn floods(node: &Running) -> Vec<FloodEntry> {
    node.run(|grasp| async move { grasp.flood_cache().await.unwrap() })
}

fn acp(loop_count: u8) -> Value {
    msg::objective("AN_ACP", SYNCH, loop_count, Some("IKEv2".into()))
}

fn flood(initiator: Ipv6Addr, pairs: Vec<(Value, Option<Value>)>) -> Vec<u8> {
    msg::flood(msg::sid(), initiator, 210_000, pairs)
}

fn disc(initiator: Ipv6Addr, name: &str, loop_count: u8) -> Vec<u8> {
    msg::discovery(msg::sid(), initiator, name, msg::F_DISC, loop_count, None)
}

/// Sends to the group from the peer's unique local address.
fn multicast_from_afar(peer: &Peer, bytes: &[u8]) {
    let (host, index, from) = (peer.host(), peer.host().index("e0"), peer.ula());
    let socket: UdpSocket = host
        .run(|| {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_loop_v6(false)?;
            socket.bind(&SockAddr::from(SocketAddrV6::new(from, 0, 0, 0)))?;
            std::io::Result::Ok(socket.into())
        })
        .expect("a socket");
    socket.send_to(bytes, SocketAddrV6::new(GROUP, PORT, 0, index)).expect("sending");
}

fn assert_silent(peers: &[&Peer]) {
    for peer in peers {
        assert!(peer.responses(QUIET / 2).is_empty(), "an answer to {}", peer.lla());
        assert!(peer.heard(Duration::ZERO).is_empty(), "a multicast at {}", peer.lla());
    }
}

/// G-DULL-05, G-DULL-07 to G-DULL-11, G-DULL-15, ASA-I-01, ASA-I-04, EX-D-01: a peer breaks each rule in turn, and there is silence,
/// and a count; then it asks and floods by the rules, and is answered with the link-local address, and believed.
#[test]
fn each_broken_rule_meets_silence() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let (node, peer) = (alone(&n, "a"), &peers[0]);
        let _asa = node.run(|grasp| announcer(grasp, "A"));
        let (own, global) = (peer.lla(), peer.ula());
        let tag = |address| Some(msg::locator(address, msg::UDP, 500));
        let other = |name: &str| msg::objective(name, SYNCH, 1, Some("x".into()));
        let table = [
            ("discovery_dull_loop_count", disc(own, "AN_ACP", 2)),
            ("discovery_dull_loop_count", disc(own, "AN_ACP", 0)),
            ("discovery_dull_objective", disc(own, "32473:x", 1)),
            ("discovery_dull_objective", disc(own, "AN_proxy", 1)),
            ("discovery_dull_initiator", disc(global, "AN_ACP", 1)),
            ("discovery_dull_initiator", disc(THIRD, "AN_ACP", 1)),
            ("flood_dull_loop_count", flood(own, vec![(acp(2), tag(own))])),
            ("flood_dull_loop_count", flood(own, vec![(acp(1), tag(own)), (acp(6), tag(own))])),
            ("flood_dull_objective", flood(own, vec![(acp(1), tag(own)), (other("32473:x"), None)])),
            ("flood_dull_objective", flood(own, vec![(other("AN_proxy"), tag(own))])),
            ("flood_dull_initiator", flood(global, vec![(acp(1), tag(own))])),
            ("flood_dull_initiator", flood(THIRD, vec![(acp(1), tag(THIRD))])),
            ("flood_dull_locator", flood(own, vec![(acp(1), tag(THIRD))])),
            ("flood_dull_locator", flood(own, vec![(acp(1), tag(global))])),
            ("flood_dull_locator", flood(own, vec![(acp(1), Some(msg::fqdn_locator("a.example", 6, 1)))])),
            ("messages_out_of_place{M_REQ_NEG}", msg::reqneg(7, acp(1))),
            ("messages_out_of_place{M_REQ_SYN}", msg::reqsyn(7, acp(1))),
            ("messages_out_of_place{M_SYNCH}", msg::synch(7, acp(1))),
        ];
        for (reason, bytes) in &table {
            let before = node.count(reason);
            peer.multicast(bytes);
            poll(&format!("{reason} {}", msg::to_hex(bytes)), SOON, || (node.count(reason) > before).then_some(()));
        }
        for (reason, bytes) in [
            ("discovery_dull_source", disc(own, "AN_ACP", 1)),
            ("flood_dull_source", flood(own, vec![(acp(1), tag(own))])),
        ] {
            multicast_from_afar(peer, &bytes);
            poll(reason, SOON, || (node.count(reason) == 1).then_some(()));
        }
        // By the other link nothing is heard at all.
        peers[1].multicast(&disc(peers[1].lla(), "AN_ACP", 1));
        peers[1].multicast(&flood(peers[1].lla(), vec![(acp(1), None)]));
        assert_silent(&[peer, &peers[1]]);
        assert!(floods(&node).is_empty());

        let response = super::answer(peer, ask(peer, "AN_ACP"));
        let fields = fields(&response.bytes);
        let at = place(&fields[4]);
        assert_eq!(
            (*at.ip(), response.from.ip(), fields.len()),
            (n.lla("a"), &n.lla("a"), 5),
            "no divert, no objective"
        );
        peer.multicast(&flood(own, vec![(acp(1), tag(own))]));
        let heard = poll("a flood", SOON, || floods(&node).pop());
        assert_eq!((heard.origin, heard.odd), (own.into(), Vec::<String>::new()));
        // With something in its cache it still tells nobody.
        peer.multicast(&disc(own, "AN_Proxy", 2));
        assert_silent(&[peer, &peers[1]]);
    });
}

/// G-DULL-11, G-DULL-15, ASA-I-01: requests are closed without an answer; the port is on the link's own address only.
#[test]
fn connections_are_closed_unread() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let (node, peer) = (alone(&n, "a"), &peers[0]);
        let _asa = node.run(|grasp| announcer(grasp, "A"));
        let port = node.status().port;
        let near = SocketAddrV6::new(n.lla("a"), port, 0, 0);
        let requests = [msg::reqneg(1, acp(1)), msg::reqsyn(2, acp(1)), disc(peer.lla(), "AN_ACP", 1), vec![0xff; 9]];
        for request in &requests {
            let mut conn = peer.connect(near);
            // It may be closed before that is written.
            let _ = conn.try_send(request);
            let end = conn.recv(SOON);
            assert!(matches!(end, Received::Closed | Received::Reset), "{end:?}");
        }
        // A peer that gives its unique local address.
        let (host, index, from) = (peer.host(), peer.host().index("e0"), peer.ula());
        let sent = host.run(|| {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
            socket.bind(&SockAddr::from(SocketAddrV6::new(from, 0, 0, 0)))?;
            socket.connect_timeout(&SockAddr::from(SocketAddrV6::new(*near.ip(), port, 0, index)), SOON)?;
            let mut stream = std::net::TcpStream::from(socket);
            let _ = stream.write_all(&requests[0]);
            stream.set_read_timeout(Some(SOON))?;
            std::io::Result::Ok(std::io::Read::read(&mut stream, &mut [0; 9]))
        });
        let ended = match sent.expect("a connection") {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(ended, "nothing is answered");
        let refused = |why: &str| node.count(&format!("connections_refused{{{why}}}"));
        assert_eq!((refused("DULL takes no requests"), refused("not link-local")), (4, 1));
        for (peer, address) in [(peer, ula(1, 1)), (&peers[1], ula(2, 1)), (&peers[1], n.lla("b"))] {
            assert!(peer.try_connect(SocketAddrV6::new(address, port, 0, 0)).is_err(), "{address} takes no connection");
        }
        assert_eq!(node.count("messages_received"), 0);
        assert_eq!(node.status().sessions, 0);
    });
}

/// G-DULL-03, G-DULL-04, G-DULL-06, G-DULL-12 to G-DULL-14, ASA-I-02, ASA-I-03, ASA-I-09, V-26: an announcement is one UDP multicast
/// from the link's own address, byte for byte as in RFC 8994 whatever loop count the API is given, with hop limit 1; membership of
/// the group is reported by MLD; nothing else is sent unasked.
#[test]
fn an_announcement_is_byte_for_byte_that_of_the_rfc() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let mut capture = Capture::new(peers[0].host());
        let mut elsewhere = Capture::new(peers[1].host());
        let node = alone(&n, "a");
        capture.wait("an MLDv2 report", |packet| packet.reports(GROUP) && packet.source() == n.lla("a"));
        let asa = node.run(|grasp| announcer(grasp, "A"));
        let announcing = asa.clone();
        node.run(move |_| async move {
            let (ikev2, dtls) = (Offer::new("IKEv2").unwrap(), Offer::new("DTLS").unwrap());
            let mut pairs = an_acp([(&ikev2, Some((Transport::Udp, 15_000))), (&dtls, Some((Transport::Udp, 17_000)))]);
            pairs.push(an_proxy(Transport::Tcp, 4_443));
            for (objective, _) in &mut pairs {
                objective.loop_count = 6;
            }
            announcing.flood(Kind::AnAcp.ttl(), pairs).await.unwrap();
        });
        let heard = peers[0].hear(SOON, |_| true);
        let (own, sid) = (n.lla("a"), head(&heard.bytes).0);
        let method = |name: &str, port| {
            (msg::objective("AN_ACP", SYNCH, 1, Some(name.into())), Some(msg::locator(own, 17, port)))
        };
        let proxy = (msg::objective("AN_Proxy", SYNCH, 1, Some("".into())), Some(msg::locator(own, 6, 4_443)));
        let expected = msg::flood(sid, own, 210_000, vec![method("IKEv2", 15_000), method("DTLS", 17_000), proxy]);
        assert_eq!(msg::to_hex(&heard.bytes), msg::to_hex(&expected));
        assert_eq!(*heard.source.ip(), own);
        let packet = capture.wait("the flood", |packet| packet.is_udp() && packet.destination() == GROUP);
        assert_eq!((packet.hop_limit(), packet.port(), packet.source()), (1, 7017, own));

        // An ASA asks with a loop count of 6.
        let asking = asa;
        node.run(move |_| async move {
            let wanted = Kind::AnProxy.objective().with_loop_count(6);
            asking.discover(&wanted, Duration::from_millis(200), None).await.unwrap();
        });
        let asked = peers[0].hear(SOON, |_| true);
        assert_eq!((head(&asked.bytes).1, head(&asked.bytes).2), (own, 1));
        // And nothing else, of no other type, and never on the other link.
        let rest = peers[0].heard(QUIET);
        assert!(rest.iter().all(|datagram| number(&fields(&datagram.bytes)[0]) == 1), "{rest:?}");
        assert!(peers[0].responses(QUIET).is_empty());
        assert!(peers[1].heard(Duration::ZERO).is_empty());
        assert!(elsewhere.packets().iter().all(|packet| !packet.is_udp() && !packet.is_tcp()));
    });
}

/// G-DULL-01, G-DULL-02, G-DULL-05, G-SEC-02: a node that carries DULL has an instance for each link beside itself; what one hears
/// the others do not, and neither they nor it pass it on.
#[test]
fn each_link_has_an_instance_of_its_own() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let mut settings = config("n");
        settings.carries_dull = Some(Dull::infrastructure());
        let node = Running::start(&n, settings);
        poll("instances", SOON, || {
            let up = node.run(|grasp| async move {
                let mut links = Vec::new();
                for (name, dull) in grasp.dull_instances().await.unwrap() {
                    let status = dull.status().await.unwrap();
                    links.extend(status.links.into_iter().map(|(_, link, address)| (name.clone(), link, address)));
                }
                links
            });
            let expected = ["a", "b"].map(|name| (name.to_owned(), name.to_owned(), n.lla(name)));
            (up == expected).then_some(())
        });
        let all = || node.run(|grasp| async move { grasp.flood_caches().await.unwrap() });
        let marked = |count: usize| {
            poll("floods", SOON, || {
                let all = all();
                let marked = |entry: &FloodEntry| (entry.instance.clone(), entry.objective.clone(), entry.origin);
                (all.len() == count).then(|| all.iter().map(marked).collect::<Vec<_>>())
            })
        };
        let (one, two) = (&peers[0], &peers[1]);
        one.multicast(&flood(one.lla(), vec![(acp(1), None)]));
        let of = |name: &str, objective: &str, peer: &Peer| (name.to_owned(), objective.to_owned(), peer.lla().into());
        assert_eq!(marked(1), [of("dull a", "AN_ACP", one)]);
        two.multicast(&flood(two.lla(), vec![(acp(1), None)]));
        assert_eq!(marked(2), [of("dull a", "AN_ACP", one), of("dull b", "AN_ACP", two)]);
        one.multicast(&flood(one.lla(), vec![(msg::objective("32473:x", SYNCH, 1, Some(1.into())), None)]));
        let expected = [of("n", "32473:x", one), of("dull a", "AN_ACP", one), of("dull b", "AN_ACP", two)];
        assert_eq!(marked(3), expected);
        assert!(node.count("flood_left_to_dull") >= 2);
        // What is supported on one link is answered there, and asked for on the other it is neither answered nor passed on.
        let _asa = node.run(|grasp| async move {
            let dull = grasp.dull_instances().await.unwrap().into_iter().find(|(name, _)| name == "a").unwrap().1;
            announcer(dull, "A").await
        });
        let response = super::answer(one, ask(one, "AN_Proxy"));
        assert_eq!(*place(&elements(&msg::decode(&response.bytes))[4]).ip(), n.lla("a"));
        two.multicast(&disc(two.lla(), "AN_Proxy", 1));
        assert_silent(&[one, two]);
    });
}

/// ASA-I-10, ASA-I-07: switched on in the manifest, `asa dump floods` shows what each instance has heard, says in words what it is
/// and what is odd about it, and marks whose it is; as JSON too.
#[test]
fn an_operator_reads_what_the_instances_have_heard() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let directory = tempfile::tempdir().unwrap();
        let (socket, manifest) = (directory.path().join("c.sock"), directory.path().join("node.toml"));
        let text = "[node]\nname = \"north\"\n[grasp]\nsubstrate = \"insecure-lab\"\ninterfaces = [\"a\"]\n\
             [grasp.dull]\nenabled = true\nobjectives = [\"AN_ACP\", \"AN_Proxy\"]\n";
        std::fs::write(&manifest, text).unwrap();
        let set = format!("control.socket={}", socket.display());
        let run = n.command(env!("CARGO_BIN_EXE_asa")).arg("run").arg(&manifest);
        let node = run.args(["--log-format", "json", "--set", &set]).spawn();
        node.wait_line("\"event\":\"ready\"", SOON * 2);
        let dump = |more: &[&str]| {
            let command = n.command(env!("CARGO_BIN_EXE_asa")).args(["dump", "floods", "--socket"]).arg(&socket);
            let shown = command.args(more).spawn();
            shown.finish(SOON * 2);
            shown.output()
        };
        let (peer, sid) = (&peers[0], msg::sid());
        let tag = Some(msg::locator(peer.lla(), msg::UDP, 500));
        let odd = msg::objective("AN_ACP", 5, 1, Some("Foo".into()));
        let seen = poll("the flood", SOON * 2, || {
            peer.multicast(&msg::flood(sid, peer.lla(), 120_000, vec![(odd.clone(), tag.clone())]));
            Some(dump(&[])).filter(|shown| shown.contains("AN_ACP"))
        });
        let said = [
            "AN_ACP (dull a)",
            "an ACP neighbour that offers Foo, flooded by fe80::",
            "odd: flags 5 where 4 is due",
            "odd: ttl of 120 s is short for a period of 60 s, 210 s is usual",
            "odd: unknown method Foo",
        ];
        for part in said {
            assert!(seen.contains(part), "{part}: {seen}");
        }
        let all: serde_json::Value = serde_json::from_str(&dump(&["--json"])).unwrap();
        let entry = &all.as_array().unwrap_or_else(|| all["ok"].as_array().unwrap())[0];
        assert_eq!((entry["instance"].as_str(), entry["odd"].as_array().map(Vec::len)), (Some("dull a"), Some(3)));
        node.kill();
    });
}
