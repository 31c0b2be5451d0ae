//! Garbage, storms and other adversity (RFC 8990 §2.2, §2.5.4.4, §2.5.6.2).

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ciborium::Value;
use grasp::net::kernel::Kernel;
use grasp::substrate::InsecureLab;
use grasp::{Grasp, Objective, Registration};

use super::{
    NAME, Running, SOON, answer, ask, assert_answered, assert_quiet_and_alive, config, disc, fields, head, number,
    respond, star,
};
use crate::lab::topology::ula;
use crate::lab::{Conn, Peer, in_namespaces, msg};

const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Datagrams that are no GRASP message, or none that may be multicast. The discoveries among them are for a name that the
/// node holds, and the floods would be relayed, if they were taken.
fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let objective = || msg::objective(NAME, 5, 6, Some(Value::from(1)));
    let pair = || msg::array([objective(), msg::array([])]);
    let good = || disc(1, FAR, NAME);
    let array = |elements: Vec<Value>| msg::message(elements);
    let question = |sid: Value, ip: Value, objective: Value| array(vec![1.into(), sid, ip, objective]);
    let flood = |sid: Value, ip: Value, rest: Vec<Value>| array([vec![9.into(), sid, ip, 0.into()], rest].concat());
    let name = msg::encode(&NAME.into());
    let hex = msg::hex;
    let mut all = vec![
        // G-ERR-01, G-ERR-03.
        ("nothing", vec![]),
        ("the beginning of a discovery", good()[..10].to_vec()),
        ("all but the end of a discovery", good()[..good().len() - 1].to_vec()),
        ("random bytes", hex("d3 7a 11 95 fe 03 27 6c 44 e9 b0 0f")),
        ("a number", hex("01")),
        ("a text", msg::encode(&"text".into())),
        ("a map", hex("a1 01 02")),
        ("an empty array", hex("80")),
        ("a text for a type", array(vec!["1".into(), 5.into(), msg::ip(FAR), objective()])),
        ("an unassigned type", hex("83 0a 1a 000c3ffd 80")),
        ("a type that no byte holds", array(vec![257.into(), 5.into(), msg::ip(FAR), objective()])),
        // G-ERR-12, G-ERR-13, G-DIVT-02.
        ("a flood of nothing", flood(2.into(), msg::ip(FAR), vec![])),
        ("a flood without ttl", array(vec![9.into(), 3.into(), msg::ip(FAR), pair()])),
        ("a flood with a bare objective", flood(4.into(), msg::ip(FAR), vec![objective()])),
        ("a flood without the empty option", flood(5.into(), msg::ip(FAR), vec![msg::array([objective()])])),
        ("a flood with null", flood(6.into(), msg::ip(FAR), vec![msg::array([objective(), Value::Null])])),
        (
            "a flood with a third element",
            flood(7.into(), msg::ip(FAR), vec![msg::array([objective(), msg::array([]), 1.into()])]),
        ),
        (
            "a flood with a divert",
            flood(
                8.into(),
                msg::ip(FAR),
                vec![msg::array([objective(), msg::divert(vec![msg::locator(FAR, msg::TCP, 1)])])],
            ),
        ),
        // G-ERR-17, G-ERR-18, G-ERR-19.
        ("deep nesting", vec![0x81; 10_000]),
        (
            "deep nesting in a value",
            [&hex("84 01 01 50 20010db8000000000000000000000001 84"), &name[..], &hex("05 06"), &[0x81; 900][..], &[0]]
                .concat(),
        ),
        ("a giant byte string", hex("84 01 01 5b 7fffffffffffffff 00")),
        ("a giant array", hex("9b 7fffffffffffffff 01")),
        ("a name that is no UTF-8", hex("84 01 01 50 20010db8000000000000000000000001 84 62c328 05 06 00")),
        ("reserved additional information", hex("84 01 01 1c")),
        ("a lone break", hex("ff")),
        // G-ERR-20, G-SOCK-10.
        ("a discovery and one byte", [good(), vec![0]].concat()),
        ("two discoveries", [good(), good()].concat()),
        ("a discovery and three thousand bytes", [good(), vec![0; 3000]].concat()),
        ("a discovery of three thousand bytes", msg::discovery(9, FAR, NAME, 5, 6, Some("x".repeat(3000).into()))),
        // G-ERR-21.
        ("a response", msg::response(10, FAR, 0, vec![msg::locator(FAR, msg::TCP, 1)], None)),
        ("a negotiation request", msg::reqneg(11, objective())),
        ("a synchronization request", msg::reqsyn(12, objective())),
        ("a negotiation step", msg::neg(13, objective())),
        ("an end", msg::end_accept(14)),
        ("a wait", msg::wait(15, 1)),
        ("a synch", msg::synch(16, objective())),
        ("an invalid", msg::invalid(17, None)),
        ("a no-op", msg::noop()),
    ];
    // G-ERR-04.
    for sid in [Value::from(-1), "5".into(), 5.0.into(), (1_u64 << 32).into(), Value::Null] {
        all.push(("a bad session id", question(sid.clone(), msg::ip(FAR), objective())));
        all.push(("a flood with a bad session id", flood(sid, msg::ip(FAR), vec![pair()])));
    }
    all.push(("no session id", array(vec![1.into(), msg::ip(FAR), objective()])));
    // G-ERR-05.
    for ip in [0, 5, 15, 17].map(|length| Value::Bytes(vec![1; length])).into_iter().chain(["2001:db8::1".into()]) {
        all.push(("a bad initiator", question(20.into(), ip.clone(), objective())));
        all.push(("a flood with a bad initiator", flood(21.into(), ip, vec![pair()])));
    }
    // G-ERR-06, G-ERR-07, G-ERR-08.
    let parts = |name: Value, flags: Value, count: Value| msg::array([name, flags, count, 1.into()]);
    for bad in [
        msg::array([NAME.into(), 5.into()]),
        msg::array([NAME.into(), 5.into(), 6.into(), 1.into(), 1.into()]),
        NAME.into(),
        parts(1.into(), 5.into(), 6.into()),
        parts(Value::Bytes(NAME.into()), 5.into(), 6.into()),
        parts(NAME.into(), Value::from(-1), 6.into()),
        parts(NAME.into(), "5".into(), 6.into()),
        parts(NAME.into(), 5.into(), 256.into()),
        parts(NAME.into(), 5.into(), Value::from(-1)),
        parts(NAME.into(), 5.into(), 6.5.into()),
    ] {
        all.push(("a bad objective", question(30.into(), msg::ip(FAR), bad.clone())));
        all.push((
            "a flood of a bad objective",
            flood(31.into(), msg::ip(FAR), vec![msg::array([bad, msg::array([])])]),
        ));
    }
    all
}

/// G-ERR-01, G-ERR-03 to G-ERR-07, G-ERR-12, G-ERR-13, G-ERR-17 to G-ERR-21, G-SOCK-10, G-NOOP-01, G-GEN-08, G-DIVT-02,
/// G-HA-01, T-08, T-30: whatever is no discovery and no flood is dropped in silence, as a whole, and the node lives on.
#[test]
fn garbage_is_dropped_in_silence() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::synchronization(NAME));
        let all = garbage();
        for (what, datagram) in &all {
            peers[0].multicast(datagram);
            let fine = msg::sid();
            // After each the node still answers; and only that.
            peers[0].multicast(&disc(fine, peers[0].ula(), NAME));
            let response = peers[0].response(SOON);
            assert_eq!(number(&fields(&response.bytes)[1]), u64::from(fine), "after {what}");
        }
        assert_quiet_and_alive(&[&peers[0], &peers[1]], NAME);
        let status = node.status();
        assert_eq!((status.flood_cache, status.discovery_cache), (0, 0));
        let sum = |prefix: &str| status.counters.iter().filter(|(k, _)| k.starts_with(prefix)).map(|(_, v)| v).sum();
        let dropped: u64 = [sum("decode_errors"), sum("messages_out_of_place")].iter().sum();
        // All but the no-op are accounted for.
        assert_eq!(dropped, u64::try_from(all.len()).unwrap() - 1);
    });
}

/// G-ERR-08, T-09: unassigned flags do no harm, whatever they are.
#[test]
fn unassigned_flags_do_no_harm() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::synchronization(NAME));
        for flags in [16_u64, 1 << 40, u64::MAX] {
            for kind in [1, 9] {
                let objective = msg::array([NAME.into(), flags.into(), 6.into(), 1.into()]);
                let rest =
                    if kind == 1 { vec![objective] } else { vec![0.into(), msg::array([objective, msg::array([])])] };
                peers[0].multicast(&msg::message([vec![kind.into(), msg::sid().into(), msg::ip(FAR)], rest].concat()));
            }
        }
        assert_answered(&peers[1], NAME);
        assert_answered(&peers[0], NAME);
    });
}

/// G-ERR-02, G-ERR-22, G-ERR-24, G-HA-01, G-HA-11: connections to the port of a discovery that bring nothing, garbage, too
/// much or half a message do not keep the answers of others out.
#[test]
fn bad_answerers_keep_nobody_out() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let peer = &peers[0];
        let node = Running::start(&n, config("n"));
        let asa = node.asa("A");
        let found = node.begin(move |_| async move {
            asa.discover(&Objective::negotiation(NAME), Duration::from_millis(1_500), None).await.unwrap()
        });
        let heard = peer.hear(SOON, |_| true);
        let (sid, initiator, _) = head(&heard.bytes);
        let at = |port| msg::response(sid, initiator, 0, vec![msg::locator(ula(1, 50), msg::TCP, port)], None);
        let mut open: Vec<Conn> = (0..300).map(|_| peer.connect(heard.source)).collect();
        for bytes in [vec![0xff; 100], vec![0x81; 100_000], at(9)[..30].to_vec(), msg::noop(), msg::invalid(sid, None)]
        {
            let mut conn = peer.connect(heard.source);
            let _ = conn.try_send(&bytes);
            open.push(conn);
        }
        let mut reset = peer.connect(heard.source);
        reset.send(&at(8)[..20]);
        reset.reset();
        let mut slow = peer.connect(heard.source);
        slow.send_slowly(&at(1), Duration::from_millis(2));
        respond(peer, heard.source, &at(2));
        let mut ports: Vec<_> = found.wait(SOON).into_iter().map(|found| found.locator.port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [Some(1), Some(2)]);
        assert!(node.count("connections_evicted{answers}") > 0);
    });
}

/// Sends a thousand multicasts within about a second, and says when they are out.
fn storm(peer: &Peer, message: impl Fn(u32) -> Vec<u8>) {
    let began = Instant::now();
    for i in 0..1000 {
        peer.multicast(&message(i));
        thread::sleep(Duration::from_micros(u64::from(i) * 1_000).saturating_sub(began.elapsed()));
    }
}

/// G-RATE-01, G-RATE-03, G-RATE-04, G-RATE-05, G-HA-11, T-42: of a thousand discoveries in a second few are relayed; those
/// for the node itself are answered all the while, and a quiet neighbour's are relayed.
#[test]
fn a_storm_of_discoveries_is_contained() {
    in_namespaces(|lab| {
        let (n, mut peers) = star(lab, 3);
        let node = Running::start(&n, config("n"));
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let noisy = peers.remove(0);
        let (quiet, ear) = (&peers[0], &peers[1]);
        let began = Instant::now();
        let noise = thread::spawn(move || {
            storm(&noisy, |i| disc(i + 1, FAR, "32473:storm"));
            noisy
        });
        let mut mine = BTreeSet::new();
        while !noise.is_finished() {
            assert_answered(quiet, NAME);
            let sid = msg::sid();
            quiet.multicast(&disc(sid, quiet.ula(), "32473:quiet"));
            mine.insert(sid);
            thread::sleep(Duration::from_millis(100));
        }
        let noisy = noise.join().unwrap();
        let took = began.elapsed();
        assert_answered(&noisy, NAME);
        assert!(node.count("discovery_relays_refused") > 500);
        let heard = ear.heard(Duration::from_millis(200));
        let heads: Vec<_> = heard.iter().map(|datagram| head(&datagram.bytes)).collect();
        let relayed: BTreeSet<u32> = heads.iter().filter(|head| head.1 == quiet.ula()).map(|head| head.0).collect();
        assert_eq!(relayed, mine, "the quiet neighbour has its share");
        let noise = heads.iter().filter(|head| head.1 == FAR).count();
        // Half of the burst of a hundred and of fifty a second.
        let bound = 50 + took.as_millis() / 40 + 5;
        assert!((50..=bound).contains(&(noise as u128)), "{noise} relayed in {took:?}");
    });
}

/// G-RATE-02, G-FCAC-01, G-HA-11, T-42, T-54: of a thousand floods in a second few are relayed, but all are kept, as far as
/// the cache reaches.
#[test]
fn a_storm_of_floods_is_contained() {
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 2);
        let mut settings = config("n");
        settings.flood.capacity = 900;
        let node = Running::start(&n, settings);
        let _asa = node.holder("A", Objective::negotiation(NAME));
        let began = Instant::now();
        storm(&peers[0], |i| {
            let objective = msg::objective(&format!("32473:{i}"), 4, 6, Some(Value::from(i)));
            msg::flood(i + 1, FAR, 0, vec![(objective, None)])
        });
        let took = began.elapsed();
        let sid = ask(&peers[0], NAME);
        answer(&peers[0], sid);
        let status = node.status();
        assert_eq!((status.flood_cache, status.counters["flood_evicted"]), (900, 100));
        let names = node.run(|grasp| async move { grasp.flooded_names().await.unwrap() });
        assert!(names.iter().any(|name| name == "32473:999") && !names.iter().any(|name| name == "32473:99"));
        let relayed = peers[1].heard(Duration::from_millis(200)).len();
        let bound = 50 + took.as_millis() / 40 + 5;
        assert!((50..=bound).contains(&(relayed as u128)), "{relayed} relayed in {took:?}");
        assert!(status.counters["flood_relays_refused"] > 500);
    });
}

/// Set in the environment of this test's program when it runs as the node that it tests.
const AS_NODE: &str = "ASA_LAB_AS_NODE";

/// G-HA-12: a node needs no privilege; all capabilities are taken from the process before it starts.
#[test]
fn a_node_needs_no_privilege() {
    if std::env::var_os(AS_NODE).is_some() {
        return be_a_node();
    }
    in_namespaces(|lab| {
        let (n, peers) = star(lab, 1);
        let program = std::env::current_exe().unwrap();
        let command = n.command("setpriv").args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(program);
        let test = "network::robustness::a_node_needs_no_privilege";
        let node = command.args(["--exact", test, "--nocapture"]).env(AS_NODE, "1").spawn();
        node.wait_line("a node without capabilities", SOON);
        assert_eq!(fields(&peers[0].hear(SOON, |_| true).bytes)[0], 1.into());
        assert_answered(&peers[0], NAME);
        node.wait_line("found: 0", SOON);
    });
}

/// Runs a node in the network namespace of the process until it is killed.
fn be_a_node() {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    actix::System::new().block_on(async {
        let grasp = Grasp::start(config("n"), Arc::new(Kernel::new()), Arc::new(InsecureLab)).unwrap();
        let asa = grasp.register_asa("A").await.unwrap();
        let registration = Registration { discoverable: true, ..Registration::default() };
        asa.register_objective(&Objective::negotiation(NAME), registration).await.unwrap();
        while grasp.status().await.unwrap().links.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        eprintln!("a node without capabilities");
        let found = asa.discover(&Objective::negotiation("32473:other"), Duration::from_millis(100), None).await;
        eprintln!("found: {}", found.unwrap().len());
        tokio::time::sleep(SOON).await;
    });
}
