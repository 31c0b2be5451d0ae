//! Session ids: RFC 8990 §2.7.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use grasp::protocol::Time;
use grasp::protocol::session_id::{Maker, SessionIds};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

fn stub<const N: usize>(draws: [u32; N]) -> SessionIds {
    let mut draws = draws.into_iter().cycle();
    SessionIds::new(move || draws.next().unwrap())
}

fn seconds(n: u64) -> Time {
    Time(Duration::from_secs(n))
}

fn peer(address: &str, scope: u32) -> Maker {
    Maker::Peer(address.parse::<IpAddr>().unwrap(), scope)
}

/// G-SID-01, G-SID-03: ten thousand ids differ and use the high bits evenly.
#[test]
fn ten_thousand_ids_are_unique_and_spread() {
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(7);
    let mut ids = SessionIds::new(move || rng.random());
    let drawn: Vec<u32> = (0..10_000).map(|_| ids.allocate(Time::default())).collect();
    assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 10_000);
    for bit in 24..32 {
        let set = drawn.iter().filter(|id| **id >> bit & 1 == 1).count();
        assert!((4_700..5_300).contains(&set), "bit {bit} is set in {set} of 10000");
    }
    assert_eq!(ids.active(), 10_000);
}

/// G-SID-06: an id in use is not drawn again.
#[test]
fn active_id_is_not_used_again() {
    let mut ids = stub([5, 5, 6]);
    assert_eq!(ids.allocate(seconds(0)), 5);
    assert_eq!(ids.allocate(seconds(0)), 6);
}

/// G-SID-06: an id that a peer's session uses is in use as well.
#[test]
fn id_of_a_peers_session_is_in_use() {
    let mut ids = stub([5, 6]);
    assert!(ids.accept(5, peer("2001:db8::2", 0)));
    assert_eq!(ids.allocate(seconds(0)), 6);
}

/// G-SID-07: an id of a session that ended a second ago is not reused; ten minutes later it may be.
#[test]
fn recent_id_is_not_reused() {
    let mut ids = stub([5, 5, 6, 5]);
    assert_eq!(ids.allocate(seconds(0)), 5);
    ids.release(seconds(10), 5, Maker::Us);
    assert_eq!(ids.allocate(seconds(11)), 6);
    assert_eq!(ids.allocate(seconds(611)), 5);
}

/// G-SID-07: releasing an id again prolongs its memory.
#[test]
fn id_released_twice_is_remembered_from_the_second_time() {
    let mut ids = stub([5, 6, 7]);
    for (scope, at) in [(1, 0), (2, 500)] {
        assert!(ids.accept(5, peer("fe80::2", scope)));
        ids.release(seconds(at), 5, peer("fe80::2", scope));
    }
    assert_eq!(ids.allocate(seconds(700)), 6);
}

/// G-SID-08: several clashes in a row, and a generator that never gives anything else, end in a fresh id.
#[test]
fn clashes_in_a_row_end_in_a_fresh_id() {
    let mut ids = stub([1, 1, 1, 1, 2]);
    assert_eq!((ids.allocate(seconds(0)), ids.allocate(seconds(0))), (1, 2));
    let mut stuck = stub([1]);
    let drawn: BTreeSet<u32> = (0..10).map(|_| stuck.allocate(seconds(0))).collect();
    assert_eq!(drawn.len(), 10);
}

/// G-SID-08: a broken generator does not bring recent ids back.
#[test]
fn broken_generator_does_not_bring_recent_ids_back() {
    let mut stuck = stub([1]);
    assert_eq!(stuck.allocate(seconds(0)), 1);
    stuck.release(seconds(0), 1, Maker::Us);
    assert_ne!(stuck.allocate(seconds(1)), 1);
}

/// G-SID-01: 0 is never made here.
#[test]
fn zero_is_not_made() {
    assert_eq!(stub([0, 9]).allocate(seconds(0)), 9);
}

/// G-NEG-29, G-SYN-11, T-10: a request with the id of an own session is a clash, and is counted.
#[test]
fn request_with_an_own_id_clashes() {
    let mut ids = stub([5]);
    ids.allocate(seconds(0));
    assert!(!ids.accept(5, peer("2001:db8::2", 0)));
    assert_eq!((ids.clashes, ids.active()), (1, 1));
}

/// G-NEG-29, G-NEG-26: the same id twice from one peer is delivered once; another id is another session.
#[test]
fn same_id_from_the_same_peer_clashes() {
    let mut ids = stub([9]);
    assert!(ids.accept(5, peer("2001:db8::2", 0)));
    assert!(!ids.accept(5, peer("2001:db8::2", 0)));
    assert!(ids.accept(6, peer("2001:db8::2", 0)));
    ids.release(seconds(0), 5, peer("2001:db8::2", 0));
    assert!(ids.accept(5, peer("2001:db8::2", 0)));
}

/// G-SID-10, G-SID-14, T-10: equal ids of different peers are different sessions, and so are equal link-local addresses
/// on different links.
#[test]
fn equal_ids_of_different_peers_are_separate() {
    let mut ids = stub([9]);
    for maker in [peer("2001:db8::2", 0), peer("2001:db8::3", 0), peer("fe80::2", 1), peer("fe80::2", 2)] {
        assert!(ids.accept(5, maker), "{maker:?}");
    }
    ids.release(seconds(0), 5, peer("fe80::2", 1));
    assert!(!ids.accept(5, peer("fe80::2", 2)), "the other link's session is still there");
    assert!(ids.accept(5, peer("fe80::2", 1)));
}

/// T-10: both ends of a connection of the node to itself hold the id, the far end once.
#[test]
fn connection_to_oneself_is_no_clash() {
    let mut ids = stub([5]);
    ids.allocate(seconds(0));
    assert!(ids.accept(5, Maker::Itself) && !ids.accept(5, Maker::Itself));
}

/// T-10: an IPv4 address mapped into IPv6 is the same peer.
#[test]
fn mapped_address_is_the_same_peer() {
    let mut ids = stub([9]);
    assert!(ids.accept(5, peer("192.0.2.1", 0)));
    assert!(!ids.accept(5, peer("::ffff:192.0.2.1", 0)));
    ids.release(seconds(0), 5, peer("::ffff:192.0.2.1", 0));
    assert_eq!(ids.active(), 0);
}

proptest! {
    /// G-SID-01, G-SID-06, G-SID-07: whatever comes and goes, a new id is neither active nor lately used.
    #[test]
    fn new_ids_are_fresh(steps in prop::collection::vec((any::<bool>(), 0u64..200), 0..200)) {
        let mut n = 0u32;
        let mut ids = SessionIds::new(move || { n = n.wrapping_add(3); n % 16 });
        let (mut now, mut active, mut ended) = (0, BTreeSet::new(), BTreeMap::new());
        for (start, wait) in steps {
            now += wait;
            if start {
                let made = ids.allocate(seconds(now));
                prop_assert!(made != 0 && active.insert(made), "{} is active", made);
                prop_assert!(ended.get(&made).is_none_or(|end| now >= end + 600), "{} is recent", made);
            } else if let Some(first) = active.pop_first() {
                ids.release(seconds(now), first, Maker::Us);
                ended.insert(first, now);
            }
            prop_assert_eq!(ids.active(), active.len());
        }
    }
}
