//! Pauses, and whom to ask first.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_framework::machine::Time;
use asa_framework::roles::backoff::{Backoff, BackoffPlan};
use asa_framework::roles::peers::{PEERS, Peers, PeersPlan};
use grasp::AsaLocator;
use grasp::wire::{Locator, Transport};
use proptest::prelude::*;
use std::time::Duration;

const START: Time = Time(Duration::ZERO);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn peer(port: u16) -> AsaLocator {
    let address = "fe80::1".parse().unwrap();
    AsaLocator::known(Locator::Ipv6 { address, transport: Transport::Tcp, port }, 1)
}

fn peers() -> Peers {
    Peers::new(PeersPlan::default())
}

fn ready(peers: &mut Peers, now: Time, found: &[u16]) -> Vec<u16> {
    let found: Vec<_> = found.iter().map(|port| peer(*port)).collect();
    let port = |at: AsaLocator| {
        let Locator::Ipv6 { port, .. } = at.locator else { panic!("{}", at.locator) };
        port
    };
    peers.rank(now, &found).ready.into_iter().map(port).collect()
}

proptest! {
    /// ASA-R-01, ASA-R-03, ASA-R-17: pauses grow, stay under the cap, differ from node to node, and begin anew after a
    /// success.
    #[test]
    fn pauses_grow_up_to_the_cap_and_forget(draws in proptest::collection::vec(any::<u64>(), 1..40)) {
        let plan = BackoffPlan { first: secs(1), cap: secs(300) };
        let mut backoff = Backoff::default();
        let mut last = Duration::ZERO;
        for (count, draw) in draws.iter().enumerate() {
            let pause = backoff.failed(START, &plan, *draw);
            let bound = secs(1 << count.min(20)).min(secs(300));
            prop_assert!(pause <= bound && pause >= bound / 2, "{pause:?} of {bound:?}");
            prop_assert!(count > 8 || pause > last, "{pause:?} after {last:?}");
            prop_assert_eq!(backoff.until(START), Some(START + pause));
            prop_assert_eq!(backoff.until(START + pause), None);
            last = pause;
        }
        backoff.succeeded();
        prop_assert_eq!((backoff.failures(), backoff.until(START)), (0, None));
        prop_assert!(backoff.failed(START, &plan, draws[0]) <= secs(1));
    }
}

/// ASA-R-03: two nodes with different draws do not fall into step.
#[test]
fn two_nodes_do_not_fall_into_step() {
    let plan = BackoffPlan::default();
    let (mut one, mut two) = (Backoff::default(), Backoff::default());
    for _ in 0..10 {
        assert_ne!(one.failed(START, &plan, u64::MAX / 5), two.failed(START, &plan, u64::MAX / 5 * 4));
    }
    assert_eq!(one.failed(START, &BackoffPlan::NONE, 7), Duration::ZERO);
}

/// ASA-R-04, PM-R-08: who helped last is asked first as long as he is discovered and does not fail.
#[test]
fn the_good_peer_comes_first_until_it_fails_or_is_gone() {
    let mut peers = peers();
    assert_eq!(ready(&mut peers, START, &[1, 2, 3]), [1, 2, 3], "at first in the order of discovery");
    peers.succeeded(&peer(2));
    assert_eq!(ready(&mut peers, START, &[1, 2, 3]), [2, 1, 3]);
    // Learned anew, with another lifetime: it is the same place.
    let again = AsaLocator { expires: Some(START + secs(60)), diverted: true, ..peer(2) };
    assert_eq!(peers.rank(START, &[peer(1), again.clone()]).ready, [again, peer(1)]);
    assert_eq!(ready(&mut peers, START, &[1, 3]), [1, 3]);
    assert_eq!(peers.good(), None, "it was not discovered any more");
    peers.succeeded(&peer(3));
    peers.failed(START, &peer(3), 0);
    assert_eq!(ready(&mut peers, START, &[1, 3]), [1]);
    assert_eq!(peers.good(), None);
}

/// ASA-R-03: each peer has a pause of its own.
#[test]
fn a_peer_that_fails_is_left_alone_for_a_while() {
    let mut peers = peers();
    peers.failed(START, &peer(1), 0);
    assert_eq!(ready(&mut peers, START, &[1, 2]), [2]);
    assert_eq!(peers.rank(START, &[peer(1)]).later, Some(START + secs(1)));
    assert_eq!(ready(&mut peers, START + secs(1), &[1, 2]), [2, 1], "who has not failed goes first");
    peers.failed(START + secs(1), &peer(1), 0);
    assert_eq!(peers.rank(START + secs(1), &[peer(1)]).later, Some(START + secs(3)));
    peers.succeeded(&peer(1));
    assert_eq!(ready(&mut peers, START + secs(1), &[1]), [1]);
}

/// ASA-R-16: a dead locator in the cache is passed over until a discovery finds it alive.
#[test]
fn a_dead_locator_is_passed_over_until_it_answers() {
    let mut peers = peers();
    peers.unreachable(&peer(1));
    assert_eq!(ready(&mut peers, START + secs(1_000), &[1, 2]), [2]);
    assert_eq!(peers.rank(START, &[peer(1)]).later, None, "waiting does not revive it");
    peers.discovered(START, &[peer(1)], 0);
    assert_eq!(ready(&mut peers, START, &[1, 2]), [1, 2]);
}

/// ASA-R-04: after three failures in a row everything known is forgotten, and counting begins anew.
#[test]
fn three_failures_in_a_row_flush() {
    let mut peers = peers();
    peers.succeeded(&peer(1));
    for _ in 0..2 {
        peers.attempt_failed(START, 0);
        assert!(!peers.flush());
    }
    peers.succeeded(&peer(1));
    for _ in 0..3 {
        assert!(!peers.flush(), "a success has broken the row");
        peers.attempt_failed(START, 0);
    }
    assert!(peers.flush() && !peers.flush());
    assert_eq!(peers.good(), None);
    assert!(peers.pause(START).is_some());
    let mut never = Peers::new(PeersPlan::BY_STRATEGY);
    (0..9).for_each(|_| never.attempt_failed(START, 0));
    assert!(!never.flush() && never.pause(START).is_none());
}

/// ASA-R-05, ASA-R-17: peers are looked for anew before the period is over, not all nodes at once.
#[test]
fn rediscovery_is_due_within_the_period_and_spread() {
    let mut peers = peers();
    assert!(!peers.rediscovery_due(START + secs(10_000)), "the first discovery comes with the first need");
    peers.discovered(START, &[], 0);
    assert!(!peers.rediscovery_due(START + secs(299)) && peers.rediscovery_due(START + secs(300)));
    peers.discovered(START, &[], u64::MAX);
    assert!(!peers.rediscovery_due(START + secs(224)) && peers.rediscovery_due(START + secs(226)));
}

/// ASA-R-14: what is remembered has a bound, and it is counted when that bites.
#[test]
fn no_more_than_64_peers_are_remembered() {
    let mut peers = peers();
    for port in 0..100 {
        peers.unreachable(&peer(port));
    }
    assert_eq!(peers.counts(), (PEERS, 36));
    assert_eq!(ready(&mut peers, START, &[0, 35, 36, 99]), [0, 35], "the oldest are forgotten");
}
