//! Which offers are taken.

use super::provider::{Play, Provider};
use super::{Lab, node, p};
use asa_framework::event::Event;
use asa_framework::testing::{self, Harness};
use std::time::Duration;

/// 2400:1:0:100::/56
const GOOD: &str = "83061838502400000100000100000000000000 0000";
const NEED: &str = "ipv6_ask = 56\nipv6_need = 1\n";

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn said(harness: &Harness, what: &str) -> usize {
    let events = harness.events();
    events.iter().filter(|entry| matches!(&entry.what, Event::Said { text, .. } if text.contains(what))).count()
}

/// PM-Q-04: strict by default; if the operator wants it, a longer prefix is better than none.
#[test]
fn a_longer_prefix_is_taken_only_if_that_is_wanted() {
    for (flexible, taken) in [(0, 0), (2, 0), (3, 1)] {
        testing::run(1, async |harness| {
            let (lab, class) = Lab::new();
            // A /59 where a /56 was asked for.
            let offer = "8306183b5024000001000001000000000000000000";
            let provider = Provider::start(&harness, "provider", vec![Play::Offer(offer)], vec![]).await;
            node(&harness, class, "edge", "delegator", &format!("{NEED}flexible_bits = {flexible}")).await;
            later(20).await;
            assert_eq!(lab.census("edge").await.aggregates.len(), taken, "{flexible}");
            assert_eq!(provider.accepted(), taken);
            assert!(!provider.played().is_empty());
        });
    }
}

/// PM-Q-06: nothing is taken that is not fit to be handed out; PM-Q-07: each time the pause grows.
#[test]
fn implausible_offers_are_declined() {
    let offers = [
        // Multicast, link-local, unspecified, documentation, mapped.
        "830618 3850ff000000000000000000000000000000",
        "830618 3850fe800000000000000000000000000000",
        "830618 385000000000000000000000000000000000",
        "830618 385020010db8000000000000000000000000",
        "830618 605000000000000000000000ffff00000000",
        // Shorter than what anybody would give, outside of what is permitted, stray bits, another family.
        "83060c 5024000000000000000000000000000000",
        "830618 385026000000000000000000000000000000",
        "830618 385024000001000001ff0000000000000000",
        "83041818440a000000",
    ];
    testing::run(2, async |harness| {
        let (lab, class) = Lab::new();
        let plays: Vec<Play> =
            offers.iter().map(|offer| Play::Offer(Box::leak(offer.replace(' ', "").into()))).collect();
        let count = plays.len();
        let good = Play::Offer(Box::leak(GOOD.replace(' ', "").into()));
        let provider = Provider::start(&harness, "provider", [plays, vec![good]].concat(), vec![]).await;
        let manifest = format!(
            "[asa.edge]\nclass = 'prefix'\nrole = 'delegator'\n[asa.edge.parameters]\nstore = 'memory'\n{NEED}\
             permitted = ['2400::/16']\n"
        );
        harness.node("edge", &[class], &manifest).await;
        later(1_200).await;
        let played = provider.played();
        assert!(played.len() > count, "{played:?}");
        assert!(played[..count].iter().all(|(_, came)| came.is_err()), "{played:?}");
        assert_eq!(provider.accepted(), 1);
        let census = lab.census("edge").await;
        let aggregates: Vec<_> = census.aggregates.iter().map(|aggregate| aggregate.block).collect();
        assert_eq!(aggregates, [p("2400:1:0:100::/56")]);
    });
}

/// PM-R-05: what overlaps what is held is declined, and told with the names of both sources.
#[test]
fn overlapping_offers_are_declined_and_told() {
    testing::run(3, async |harness| {
        let (lab, class) = Lab::new();
        let good: &str = Box::leak(GOOD.replace(' ', "").into());
        // The same again, a part of it, and all around it.
        let part = "830618395024000001000001000000000000000000";
        let around =
            "830618375024000001000001000000000000000000".replace("0001000000000000000000", "0000000000000000000000");
        let around: &str = Box::leak(around.into());
        let plays = vec![Play::Offer(good), Play::Offer(good), Play::Offer(part), Play::Offer(around)];
        let provider = Provider::start(&harness, "provider", plays, vec![]).await;
        node(&harness, class, "edge", "delegator", "ipv6_ask = 57\nipv6_need = 100000").await;
        later(120).await;
        assert_eq!(provider.accepted(), 1, "{:?}", provider.played());
        assert!(provider.played().len() >= 4, "{:?}", provider.played());
        assert_eq!(lab.census("edge").await.aggregates.len(), 1);
        assert!(said(&harness, "overlaps 2400:1:0:100::/56, which is from fd00::") >= 2, "{}", harness.story());
    });
}

/// PM-Q-08: an accept of the request itself carries no prefix, so nothing is gained.
#[test]
fn an_accept_without_an_offer_gains_nothing() {
    testing::run(4, async |harness| {
        let (lab, class) = Lab::new();
        let provider = Provider::start(&harness, "provider", vec![Play::Accept], vec![]).await;
        node(&harness, class, "edge", "delegator", NEED).await;
        later(30).await;
        assert!(provider.played().len() >= 2, "it asks again: {:?}", provider.played());
        assert!(provider.played().len() <= 10, "but not at once: {}", provider.played().len());
        assert!(lab.census("edge").await.aggregates.is_empty());
        assert_eq!(lab.blocks("edge").await, []);
    });
}

/// PM-W-10: a reason is text, whatever it says.
#[test]
fn reasons_are_opaque() {
    testing::run(5, async |harness| {
        let (lab, class) = Lab::new();
        let good: &str = Box::leak(GOOD.replace(' ', "").into());
        let plays = vec![Play::Decline("\u{1b}[2J\n\"; DROP"), Play::Decline(""), Play::Offer(good)];
        let provider = Provider::start(&harness, "provider", plays, vec![]).await;
        node(&harness, class, "edge", "delegator", NEED).await;
        later(60).await;
        assert_eq!((provider.accepted(), lab.census("edge").await.aggregates.len()), (1, 1));
    });
}
