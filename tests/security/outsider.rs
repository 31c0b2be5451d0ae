//! Somebody on the link of two processes of a domain.

use std::net::{SocketAddrV6, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ciborium::Value;

use super::domain::{BOUND, Domain};
use crate::lab::{Peer, in_namespaces, msg};

const FAST: [&str; 2] = ["--set", "asa.briggs.parameters.pace=fast"];

fn forged(own: std::net::Ipv6Addr, id: u32) -> Vec<Vec<u8>> {
    let lie = || msg::objective("EX1", 5, 1, Some(Value::from("lie")));
    let flood = |initiator, objective| {
        let pair = msg::array([objective, msg::array([])]);
        msg::message(vec![9.into(), id.into(), msg::ip(initiator), 60_000.into(), pair])
    };
    let locator = msg::locator(own, msg::TCP, u16::try_from(id % 60_000).unwrap() + 1);
    let pair = msg::array([msg::objective("AN_ACP", 5, 1, Some("GRASP-TLS".into())), locator]);
    vec![
        flood(own, lie()),
        msg::discovery(id, own, "EX3", msg::F_DISC | msg::F_NEG, 1, None),
        msg::message(vec![9.into(), id.into(), msg::ip(own), 210_000.into(), pair]),
        msg::reqneg(id, msg::objective("EX3", 3, 6, Some(Value::from(1)))),
    ]
}

/// Two processes of a domain find each other and negotiate while an outsider multicasts forgeries, connects to them by the
/// thousand, and says things in clear; it learns nothing, and they stay small.
#[test]
fn a_domain_of_processes_lives_with_an_outsider() {
    in_namespaces(|lab| {
        let hosts = lab.lan(3);
        let domain = Domain::found();
        let bank = domain.start(&hosts[0], "briggs", "config/briggs.toml", &FAST);
        let before = bank.resident();
        let (peer, noisy) = (Peer::new(&hosts[2], "e0"), Peer::new(&hosts[2], "e0"));
        let ended = Arc::new(AtomicBool::new(false));
        let noise = {
            let ended = ended.clone();
            thread::spawn(move || {
                for id in 1.. {
                    forged(noisy.lla(), id).iter().for_each(|bytes| noisy.multicast(bytes));
                    thread::sleep(Duration::from_millis(2));
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        };
        let target = SocketAddrV6::new(hosts[0].lla("e0"), 7017, 0, hosts[2].index("e0"));
        let connections = {
            let ended = ended.clone();
            hosts[2].spawn(move || {
                let (mut open, mut made) = (Vec::new(), 0_u32);
                while !ended.load(Ordering::Relaxed) {
                    if let Ok(stream) = TcpStream::connect_timeout(&target.into(), Duration::from_secs(1)) {
                        made += 1;
                        if open.len() < 3_000 {
                            open.push(stream);
                        }
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                made
            })
        };
        for bytes in forged(peer.lla(), 7).into_iter().chain([vec![0x16, 3, 1, 0xff, 0xff], vec![0xff; 5_000]]) {
            let mut conn = peer.connect(target);
            let _ = conn.try_send(&bytes);
            let (answer, _) = conn.recv_to_end(1 << 16, Duration::from_secs(20));
            assert!(answer.len() < 40 && answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");
        }
        let session = ["--sessions", "3", "--set", "asa.gray.parameters.pace=fast"];
        let customer = domain.start(&hosts[1], "gray", "config/gray.toml", &session);
        assert_eq!(customer.child.finish(Duration::from_secs(150)).code(), Some(0), "{}", customer.child.output());
        let began = Instant::now();
        let other = domain.start(&hosts[1], "second", "config/gray.toml", &["--set", "asa.gray.parameters.pace=human"]);
        other.wait_neighbours(&["briggs"]);
        assert!(began.elapsed() < BOUND);
        bank.wait_neighbours(&["second"]);
        ended.store(true, Ordering::Relaxed);
        noise.join().unwrap();
        assert!(connections.join(BOUND) > 500);
        let floods = bank.ask(&["dump", "floods"]).to_string();
        assert!(!floods.contains("lie"), "{floods}");
        let counters = &bank.ask(&["status"])["node"]["counters"];
        assert!(counters["connections_refused{too many strangers}"].as_u64().unwrap() > 100, "{counters}");
        let after = bank.resident();
        assert!(after < before + 32, "{before} -> {after} MiB");
        assert_eq!(bank.child.exit_status(), None);
    });
}
