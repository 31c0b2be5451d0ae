//! From the origin to the client.

use super::{Lab, node, p, v6};
use asa_framework::testing;
use asa_prefix::pool::record::{Source, State};
use std::time::Duration;

/// PM-R-03, PM-Q-02, PM-O-05, PM-S-12
#[test]
fn a_client_gets_a_block_of_what_the_origin_gave() {
    testing::run(1, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        node(&harness, class, "edge", "delegator", "").await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        // The length of the role CSG.
        let granted = lab.blocks("origin").await;
        assert_eq!(granted.len(), 1, "{granted:?}\n{}", harness.story());
        assert_eq!((granted[0].0, granted[0].1.name()), (p("2001:db8:ffff:ff00::/56"), "granted"));
        let census = lab.census("edge").await;
        assert!(matches!(&census.aggregates[0].source, Source::Peer(_)), "{census:?}");
        let block = lab.take("edge", "client", v6(64)).await.unwrap();
        assert_eq!(lab.take("edge", "client", v6(64)).await, Ok(block));
        assert_ne!(lab.take("edge", "another", v6(64)).await, Ok(block));
        assert!(p("2001:db8:ffff:ff00::/56").contains(&block));
        lab.give("edge", "client", block).await.unwrap();
        assert!(lab.blocks("edge").await.iter().all(|(_, state)| matches!(state, State::Delegated(_))));
    });
}

/// PM-Q-01: what a client wants is asked for, also if nothing is to be kept at hand.
#[test]
fn what_a_client_wants_is_fetched() {
    testing::run(2, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        node(&harness, class, "edge", "delegator", "ipv6_need = 0").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(lab.blocks("origin").await, []);
        let block = lab.take("edge", "client", v6(60)).await.unwrap();
        assert_eq!(block.length(), 60);
    });
}

/// PM-Q-02: who wants more than there is in one piece, and takes nothing less than it asks for, asks for less in the end.
#[test]
fn a_node_that_nobody_can_give_enough_asks_for_less() {
    testing::run(3, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/62']").await;
        node(&harness, class, "edge", "delegator", "").await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        let granted: u128 = lab.blocks("origin").await.iter().map(|(block, _)| block.measure()).sum();
        assert_eq!(granted, p("2001:db8::/62").measure(), "{}", harness.story());
        assert!(lab.take("edge", "client", v6(64)).await.is_ok());
    });
}
