//! What is not needed any more goes back to where it came from.

use super::{Lab, node, p, v6};
use asa_framework::testing;
use asa_prefix::pool::Request;
use asa_prefix::prefix::Prefix;
use std::time::Duration;

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// What a node has been granted by others or by the operator.
async fn aggregates(lab: &Lab, instance: &str) -> Vec<Prefix> {
    let mut blocks: Vec<Prefix> = lab.census(instance).await.aggregates.iter().map(|one| one.block).collect();
    blocks.sort_unstable();
    blocks
}

/// What is not free, with the names of the states.
async fn used(lab: &Lab, instance: &str) -> Vec<(Prefix, &'static str)> {
    lab.blocks(instance).await.iter().map(|(block, state)| (*block, state.name())).collect()
}

const ORIGIN: &str = "prefixes = ['2001:db8::/32']";

/// PM-T-01, PM-T-03: what has been idle for long enough, and is more than is to be at hand, is free again at the origin.
#[test]
fn an_idle_surplus_goes_back() {
    testing::run(71, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", ORIGIN).await;
        node(&harness, class, "edge", "delegator", "ipv6_need = 4\nreturn_after_s = 120").await;
        later(10).await;
        let first = p("2001:db8:ffff:ff00::/56");
        assert_eq!(aggregates(lab, "edge").await, [first]);
        // A client wants all of that, so that something else must be at hand.
        assert_eq!(lab.take("edge", "client", v6(56)).await, Ok(first));
        later(10).await;
        let both = aggregates(lab, "edge").await;
        assert_eq!(both.len(), 2, "{both:?}");
        let surplus = both.iter().copied().find(|block| *block != first).unwrap();
        assert!(used(lab, "origin").await.contains(&(surplus, "granted")));
        // It is needed as long as the client has the other one.
        later(600).await;
        assert_eq!(aggregates(lab, "edge").await, both);
        lab.give("edge", "client", first).await.unwrap();
        later(600).await;
        assert_eq!(aggregates(lab, "edge").await, [first], "{}", harness.story());
        assert_eq!(used(lab, "edge").await, []);
        assert_eq!(used(lab, "origin").await, [(first, "granted")]);
    });
}

/// PM-T-01: without the operator's word for it, what is idle stays.
#[test]
fn an_idle_surplus_stays_where_that_is_off() {
    testing::run(72, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", ORIGIN).await;
        node(&harness, class, "edge", "delegator", "ipv6_need = 4").await;
        later(10).await;
        let first = lab.take("edge", "client", v6(56)).await.unwrap();
        later(10).await;
        lab.give("edge", "client", first).await.unwrap();
        later(1_200).await;
        assert_eq!(aggregates(lab, "edge").await.len(), 2);
        assert_eq!(used(lab, "origin").await.len(), 2);
    });
}

/// PM-T-06: what the operator withdraws is given to nobody any more, and goes back as soon as its last client has left.
#[test]
fn a_withdrawn_aggregate_is_drained_and_goes_back() {
    testing::run(73, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", ORIGIN).await;
        node(&harness, class, "edge", "delegator", "ipv6_need = 4").await;
        later(10).await;
        let first = p("2001:db8:ffff:ff00::/56");
        let block = lab.take("edge", "client", v6(64)).await.unwrap();
        assert!(first.contains(&block));
        lab.ask("edge", Request::Withdraw(first)).await;
        later(300).await;
        // Something else has taken its place for new clients, but it is still in use.
        let other = lab.take("edge", "another", v6(64)).await.unwrap();
        assert!(!first.contains(&other), "{other}");
        assert!(aggregates(lab, "edge").await.contains(&first));
        assert!(used(lab, "origin").await.contains(&(first, "granted")));
        lab.give("edge", "client", block).await.unwrap();
        later(300).await;
        let left = aggregates(lab, "edge").await;
        assert!(!left.is_empty() && !left.contains(&first), "{left:?}\n{}", harness.story());
        let granted = used(lab, "origin").await;
        assert!(!granted.is_empty() && granted.iter().all(|(block, _)| !first.overlaps(block)), "{granted:?}");
        assert_eq!(used(lab, "edge").await, [(other, "delegated")]);
    });
}
