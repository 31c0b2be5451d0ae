//! Who asks whom, for what, and how often.

use super::provider::{Play, Provider};
use super::{Lab, node, v6};
use asa_framework::event::Event;
use asa_framework::testing::{self, Harness};
use std::collections::BTreeMap;
use std::time::Duration;

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// How long each negotiation that a node began has taken, and how it ended.
fn negotiations(harness: &Harness, node: &str) -> Vec<(Duration, String)> {
    let (mut begun, mut ended) = (BTreeMap::new(), Vec::new());
    for entry in harness.events().into_iter().filter(|entry| entry.node == node) {
        match entry.what {
            Event::NegotiationStarted { session_id, .. } => {
                begun.insert(session_id, entry.at);
            }
            Event::NegotiationEnded { session_id: Some(session), outcome, reason, .. } => {
                let since = begun[&session];
                ended.push((entry.at - since, format!("{outcome:?} {}", reason.unwrap_or_default())));
            }
            _ => {}
        }
    }
    ended
}

/// PM-Q-05: a gain in one family leaves the need of the other as it is.
#[test]
fn families_are_counted_apart() {
    testing::run(1, async |harness| {
        let (_, class) = Lab::new();
        let v4 = vec![Play::Offer("830414440a000000")];
        let provider = Provider::start(&harness, "provider", vec![Play::Decline("none left")], v4).await;
        node(&harness, class, "edge", "delegator", "ipv4 = true\nipv4_ask = 20\nipv4_need = 8").await;
        later(120).await;
        let played = provider.played();
        let gained = played.iter().position(|(_, came)| matches!(came, Ok(grasp::Step::Accepted(_)))).unwrap();
        assert!(played[gained].0.starts_with("8204"), "{played:?}");
        let after: Vec<&str> = played[gained + 1..].iter().map(|(asked, _)| asked.as_str()).collect();
        assert!(after.len() >= 2 && after.iter().all(|asked| asked.starts_with("8206")), "{after:?}");
    });
}

/// PM-Q-05: an IPv4 offer is checked as an IPv6 offer is.
#[test]
fn ipv4_offers_are_checked() {
    testing::run(2, async |harness| {
        let (lab, class) = Lab::new();
        // Shorter than any net, a group, longer than what was asked for.
        let plays = ["83040444a0000000", "83041444e0000000", "83041515440a000000", "830415440a000000"];
        let v4 = plays[..2].iter().chain(&plays[3..]).map(|offer| Play::Offer(offer)).collect();
        let provider = Provider::start(&harness, "provider", vec![], v4).await;
        node(&harness, class, "edge", "delegator", "ipv6 = false\nipv4 = true\nipv4_ask = 20").await;
        later(120).await;
        assert!(provider.played().len() >= 3);
        assert_eq!((provider.accepted(), lab.census("edge").await.aggregates.len()), (0, 0), "{:?}", provider.played());
    });
}

/// PM-R-06: an origin asks nobody, also for a family of which it has nothing.
#[test]
fn an_origin_asks_nobody() {
    testing::run(3, async |harness| {
        let (lab, class) = Lab::new();
        let provider = Provider::start(&harness, "provider", vec![], vec![]).await;
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/64']\nipv4 = true").await;
        later(5).await;
        lab.take("origin", "client", v6(64)).await.unwrap();
        lab.take("origin", "another", v6(64)).await.unwrap_err();
        later(600).await;
        assert!(provider.played().is_empty());
        let asks = |entry: &testing::Entry<Event>| matches!(entry.what, Event::NegotiationRequested { .. });
        assert!(!harness.events().iter().any(asks), "{}", harness.story());
    });
}

/// PM-R-11: two that have nothing decline each other; who is asked by the one that it would have to ask does not wait for that.
#[test]
fn two_empty_nodes_do_not_wait_for_each_other() {
    testing::run(4, async |harness| {
        let (_, class) = Lab::new();
        node(&harness, class, "one", "delegator", "").await;
        node(&harness, class, "two", "delegator", "").await;
        later(120).await;
        assert!(!harness.story().contains("Cannot settle"), "{}", harness.story());
        for name in ["one", "two"] {
            let ended = negotiations(&harness, name);
            assert!(ended.len() >= 3, "{}", harness.story());
            for (took, how) in ended {
                assert!(
                    took < Duration::from_secs(2) && how.starts_with("Declined"),
                    "{name}: {took:?} {how}\n{}",
                    harness.story()
                );
            }
        }
    });
}

/// PM-Q-07, PM-R-08: pauses grow when everybody declines, and stay bounded.
#[test]
fn refused_requests_become_seldom() {
    testing::run(5, async |harness| {
        let (_, class) = Lab::new();
        let provider = Provider::start(&harness, "provider", vec![Play::Decline("Prefix pool empty")], vec![]).await;
        node(&harness, class, "edge", "delegator", "").await;
        later(60).await;
        let early = provider.played().len();
        later(540).await;
        let all = provider.played().len();
        assert!((4..=25).contains(&early), "{early} in the first minute");
        assert!((all - early) <= 9 * 4 && all > early + 5, "{} in nine minutes more", all - early);
    });
}
