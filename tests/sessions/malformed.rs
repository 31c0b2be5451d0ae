//! First messages that are none, or are out of place (RFC 8990 §2.8.2, §2.8.12): answered with M_INVALID or not at all,
//! and nobody else notices.

use std::time::Duration;

use ciborium::Value;

use super::node::*;
use crate::lab::{Received, in_namespaces, msg};

/// What the node may say before it closes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reply {
    /// M_INVALID with the session id of the message, 9.
    Invalid,
    Nothing,
}

fn requests(kind: u8) -> Vec<(String, Vec<u8>, Reply)> {
    let good = || msg::objective(ACCEPTED, 3, 6, Some(1.into()));
    let parts = |parts: Vec<Value>| msg::message([kind.into(), 9.into(), Value::Array(parts)]);
    let name = || Value::from(ACCEPTED);
    let sid = |sid: Value| msg::message([kind.into(), sid, good()]);
    let mut cases = vec![
        ("no session id", msg::message([kind.into()]), Reply::Nothing),
        ("a negative session id", sid((-1).into()), Reply::Nothing),
        ("a session id in text", sid("9".into()), Reply::Nothing),
        ("a session id with a fraction", sid(9.0.into()), Reply::Nothing),
        ("a session id of 33 bits", sid((1_u64 << 32).into()), Reply::Nothing),
        ("no objective", msg::message([kind.into(), 9.into()]), Reply::Invalid),
        ("an objective in text", msg::message([kind.into(), 9.into(), name()]), Reply::Invalid),
        ("an empty objective", parts(vec![]), Reply::Invalid),
        ("an objective of two", parts(vec![name(), 3.into()]), Reply::Invalid),
        ("an objective of five", parts(vec![name(), 3.into(), 6.into(), 1.into(), 1.into()]), Reply::Invalid),
        ("a name that is a number", parts(vec![3.into(), 3.into(), 6.into(), 1.into()]), Reply::Invalid),
        ("flags in text", parts(vec![name(), "3".into(), 6.into(), 1.into()]), Reply::Invalid),
        ("negative flags", parts(vec![name(), (-1).into(), 6.into(), 1.into()]), Reply::Invalid),
        ("a loop count of 256", parts(vec![name(), 3.into(), 256.into(), 1.into()]), Reply::Invalid),
        ("a negative loop count", parts(vec![name(), 3.into(), (-1).into(), 1.into()]), Reply::Invalid),
        ("a name that is not UTF-8", msg::hex(&format!("83 0{kind} 09 84 62c328 03 06 01")), Reply::Nothing),
    ];
    if kind == 3 {
        cases.push(("no value", msg::reqneg(9, msg::objective(ACCEPTED, 3, 6, None)), Reply::Invalid));
    }
    cases.into_iter().map(|(what, bytes, reply)| (format!("type {kind}: {what}"), bytes, reply)).collect()
}

fn others() -> Vec<(String, Vec<u8>, Reply)> {
    let objective = || msg::objective(ACCEPTED, 3, 6, Some(1.into()));
    let one = std::net::Ipv6Addr::LOCALHOST;
    let cases = vec![
        ("a number", msg::hex("01"), Reply::Nothing),
        ("a text", msg::hex("6161"), Reply::Nothing),
        ("a map", msg::hex("a10102"), Reply::Nothing),
        ("an empty array", msg::hex("80"), Reply::Nothing),
        ("a type in text", msg::message(["3".into(), 9.into(), objective()]), Reply::Nothing),
        ("a negative type", msg::message([(-1).into(), 9.into(), objective()]), Reply::Nothing),
        ("type 256", msg::message([256.into(), 9.into(), objective()]), Reply::Nothing),
        ("an unknown type", msg::hex("83 0a 09 80"), Reply::Invalid),
        ("an unknown type without session id", msg::hex("82 0a 80"), Reply::Nothing),
        ("a reserved length", msg::hex("1c"), Reply::Nothing),
        ("a lone break", msg::hex("ff"), Reply::Nothing),
        ("10000 arrays", vec![0x81; 10_000], Reply::Nothing),
        ("a giant string", msg::hex("5b 7fffffffffffffff"), Reply::Nothing),
        ("a giant array", msg::hex("9b 7fffffffffffffff"), Reply::Nothing),
        ("an array of giant arrays", msg::hex("9b ffffffffffffffff 9b ffffffffffffffff"), Reply::Nothing),
        ("random bytes", msg::hex("d3ad8f11c79a02e6bd5b17a94c00"), Reply::Nothing),
        ("an invalid", msg::invalid(9, None), Reply::Nothing),
        ("an invalid with surplus", msg::hex("85 1863 09 01 02 03"), Reply::Nothing),
        ("an invalid without session id", msg::hex("81 1863"), Reply::Nothing),
        ("an invalid with a broken session id", msg::hex("82 1863 6178"), Reply::Nothing),
        ("a neg", msg::neg(9, objective()), Reply::Nothing),
        ("an end", msg::end_accept(9), Reply::Nothing),
        ("a wait", msg::wait(9, 1), Reply::Nothing),
        ("a synch", msg::synch(9, objective()), Reply::Nothing),
        ("a response", msg::response(9, one, 1, vec![msg::locator(one, 6, 9)], None), Reply::Nothing),
        ("a discovery of something unknown", msg::discovery(9, one, "32473:unknown", 3, 6, None), Reply::Nothing),
        ("a flood", msg::flood(9, one, 0, vec![(msg::objective(SERVED, 4, 1, Some(1.into())), None)]), Reply::Nothing),
        ("a web request", b"GET / HTTP/1.1\r\nHost: node\r\n\r\n".to_vec(), Reply::Nothing),
    ];
    cases.into_iter().map(|(what, bytes, reply)| (what.to_owned(), bytes, reply)).collect()
}

/// G-ERR-03, G-ERR-04, G-ERR-06, G-ERR-07, G-ERR-16 to G-ERR-19, G-ERR-22, G-FRM-04, G-FRM-06, G-FRM-07, G-FRM-22, G-INV-01 to G-INV-03, G-INV-05, G-INV-08, G-SID-13, G-HA-01, T-50.
#[test]
fn what_is_no_request_gets_an_invalid_or_nothing() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        for (what, bytes, expected) in requests(3).into_iter().chain(requests(4)).chain(others()) {
            let mut conn = stage.say(&bytes);
            // A giant declared length ends with the patience of the node, or with the bytes.
            conn.shutdown_write();
            let (said, end) = conn.recv_to_end(4096, SOON);
            assert_ne!(end, Received::Silent, "{what}: still open");
            match expected {
                Reply::Nothing => assert!(said.is_empty(), "{what}: {}", msg::to_hex(&said)),
                Reply::Invalid => {
                    assert!(!said.is_empty(), "{what}: nothing is said");
                    assert_eq!((type_of(&said), sid_of(&said)), (99, 9), "{what}");
                    assert!(said.len() <= 2048);
                }
            }
            stage.serve_well(Duration::from_secs(1));
        }
        assert_eq!(stage.node.sessions(), 0);
        let known = stage.node.run(|inside| async move {
            let status = inside.grasp.status().await.unwrap();
            (status.flood_cache, status.discovery_cache)
        });
        assert_eq!(known, (0, 0));
        // No connection was opened for any of it (G-INV-10), and nothing was said by UDP.
        assert!(stage.peer.accept(Duration::ZERO).is_none() && stage.peer.unicasts(Duration::ZERO).is_empty());
    });
}

/// T-09, T-07, COM-07, G-ERR-08, G-FRM-05: flags above bit 3 and surplus options are passed over.
#[test]
fn surplus_is_passed_over() {
    in_namespaces(|lab| {
        let stage = Stage::new(lab);
        let value = || Value::from(1);
        for flags in [3_u64, 2, 7, 15, 16 + 3, (1 << 40) + 3] {
            let objective = msg::array([ACCEPTED.into(), flags.into(), 6.into(), value()]);
            let mut conn = stage.say(&msg::reqneg(9, objective));
            assert_eq!(conn.recv(SOON), Received::Bytes(msg::end_accept(9)), "flags {flags}");
        }
        let objective = msg::objective(ACCEPTED, 3, 6, Some(value()));
        let surplus = msg::message([3.into(), 9.into(), objective, msg::array([102.into()]), "x".into()]);
        assert_eq!(stage.say(&surplus).recv(SOON), Received::Bytes(msg::end_accept(9)));
        // What a value holds is none of the node's business (G-ERR-25).
        for odd in ["a2 01 02 01 03", "f8 63", "f7", "d9 1267 00", "9f 01 ff"] {
            let head = [msg::hex("83 03 09 84"), msg::encode(&ACCEPTED.into()), msg::hex("03 06"), msg::hex(odd)];
            assert_eq!(stage.say(&head.concat()).recv(SOON), Received::Bytes(msg::end_accept(9)), "{odd}");
        }
    });
}
