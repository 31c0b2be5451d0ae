//! The places that sessions take in a node's books.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use grasp::protocol::places::Places;
use grasp::protocol::session_id::Maker;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

fn peer(n: u16) -> Maker {
    Maker::Peer(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)), 0)
}

fn maker() -> impl Strategy<Value = Maker> {
    prop_oneof![Just(Maker::Us), Just(Maker::Itself), (0..3_u16).prop_map(peer)]
}

/// T-58: the end of a session that is told twice, or that nobody knows, changes nothing.
#[test]
fn a_place_is_left_once() {
    let mut places = Places::default();
    places.take(1, peer(1), "a");
    places.take(2, peer(1), "b");
    assert_eq!(places.leave(1), Some((peer(1), "a")));
    assert_eq!((places.leave(1), places.leave(7)), (None, None));
    assert_eq!((places.len(), places.of(peer(1)), places.of(Maker::Us)), (1, 1, 0));
    assert_eq!(places.leave(2), Some((peer(1), "b")));
    assert!(places.is_empty());
    assert_eq!(places.of(peer(1)), 0);
}

proptest! {
    /// T-58: whatever comes and goes, the counts are those of the places that are taken.
    #[test]
    fn counts_add_up(steps in prop::collection::vec((any::<bool>(), 0..6_u64, maker()), 0..60)) {
        let mut places = Places::default();
        let mut model: BTreeMap<u64, Maker> = BTreeMap::new();
        for (take, key, maker) in steps {
            if take {
                places.take(key, maker, key);
                model.insert(key, maker);
            } else {
                let left = places.leave(key);
                prop_assert_eq!(left, model.remove(&key).map(|maker| (maker, key)));
            }
            prop_assert_eq!(places.len(), model.len());
            for one in [Maker::Us, Maker::Itself, peer(0), peer(1), peer(2)] {
                prop_assert_eq!(places.of(one), model.values().filter(|maker| **maker == one).count());
            }
            prop_assert!(places.iter().map(|(key, maker, _)| (key, maker)).eq(model.iter().map(|(k, m)| (*k, *m))));
        }
    }
}
