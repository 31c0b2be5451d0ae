//! Requests that make no sense, or come too often.

use super::stranger::{DRY, Heard, LIVE, Stranger};
use super::{Lab, node};
use asa_framework::testing;
use asa_prefix::prefix::Prefix;
use grasp::wire::EndOption;
use std::time::Duration;
use tokio::time::Instant;

const STOCK: &str = "prefixes = ['2001:db8::/32', '10.0.0.0/8']\nipv4 = true\nprefix_manager_t = true";

/// Values that are no request, in hexadecimal digits; what each is.
const HOSTILE: [(&str, &str); 21] = [
    ("82061881", "length 129"),
    ("820620", "length -1"),
    ("82041821", "IPv4 length 33"),
    ("8206f93c00", "a float as length"),
    ("8206626162", "a text as length"),
    ("82051839", "version 5"),
    ("f6", "null"),
    ("60", "an empty text"),
    ("6470616e69", "a text"),
    ("80", "an empty array"),
    ("a0", "a map"),
    ("00", "a number"),
    ("f5", "a boolean"),
    ("811b00000000ffffffff", "a large length"),
    ("82061bffffffffffffffff", "the largest length"),
    ("d83782183940", "tag 55"),
    ("d836f6", "a tag around null"),
    ("d83682182c4620010db81233", "stray bits"),
    ("d81841ff", "Tag 24 around nothing"),
    ("d818d81840", "Tag 24 around Tag 24"),
    ("830618394420010db8", "an offer with four bytes"),
];

/// PM-W-08, PM-O-10, PM-X-05: each is declined within 100 ms, and the node goes on.
#[test]
fn nonsense_is_declined_at_once() {
    for name in ["PrefixManager", "PrefixManagerT"] {
        testing::run(1, async |harness| {
            let (lab, class) = Lab::new();
            node(&harness, class, "origin", "origin", STOCK).await;
            let mut stranger = Stranger::to(&harness, name).await;
            for (value, what) in HOSTILE {
                let begun = Instant::now();
                let (_, heard) = stranger.answer(value).await;
                assert!(matches!(&heard, Heard::Declined(reason) if !reason.is_empty()), "{what}: {heard:?}");
                assert!(begun.elapsed() <= Duration::from_millis(100), "{what}: {:?}", begun.elapsed());
            }
            assert_eq!(lab.blocks("origin").await, []);
            let request = if name == "PrefixManager" { "82061839" } else { "d836821839480000000000000000" };
            assert!(matches!(stranger.answer(request).await.1, Heard::Offer(_)));
            assert!(harness.incidents().is_empty(), "{}", harness.story());
        });
    }
}

/// PM-O-09, PM-O-02: an origin without anything goes on listening, and says why it gives nothing.
#[test]
fn an_empty_pool_declines() {
    testing::run(2, async |harness| {
        let (_, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/64']").await;
        let mut stranger = Stranger::to(&harness, "PrefixManager").await;
        let (mut talk, heard) = stranger.answer("82061840").await;
        assert!(matches!(heard, Heard::Offer(_)), "{heard:?}");
        talk.end(EndOption::Accept).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..3 {
            let (_, heard) = stranger.answer("82061840").await;
            assert_eq!(heard, Heard::Declined("no prefix of that length is left".into()));
        }
    });
}

/// PM-O-11: a family that is switched off is declined with a reason.
#[test]
fn ipv4_is_declined_where_it_is_off() {
    testing::run(3, async |harness| {
        let (_, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        let mut stranger = Stranger::to(&harness, "PrefixManager").await;
        let (_, heard) = stranger.answer("820414").await;
        assert_eq!(heard, Heard::Declined("IPv4 prefixes are not served here".into()));
    });
}

/// PM-O-07: a hundred requests at the same instant are offered disjoint blocks.
#[test]
fn a_hundred_at_once_get_disjoint_offers() {
    testing::run(4, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        let first = Stranger::to(&harness, "PrefixManager").await;
        let mut talks = Vec::new();
        for number in 0..100 {
            let mut stranger = first.another(&harness);
            // Lengths from 40 to 64.
            talks.push(stranger.ask(LIVE, &format!("820618{:02x}", 40 + number % 25)).await);
        }
        let mut blocks = Vec::new();
        for talk in &mut talks {
            let heard = talk.hear().await;
            let Heard::Offer(offer) = &heard else { panic!("{heard:?}") };
            let bits = u128::from_str_radix(&offer[offer.len() - 32..], 16).unwrap();
            let length = u8::from_str_radix(&offer[6..8], 16).unwrap();
            blocks.push(format!("{}/{length}", std::net::Ipv6Addr::from(bits)).parse::<Prefix>().unwrap());
        }
        blocks.sort();
        assert!(blocks.windows(2).all(|pair| !pair[0].contains(&pair[1])), "{blocks:?}");
        assert_eq!(lab.blocks("origin").await.len(), 100);
        for talk in &mut talks {
            talk.end(EndOption::Accept).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(lab.blocks("origin").await.iter().all(|(_, state)| state.name() == "granted"));
    });
}

/// PM-Y-01: a dry run is declined with a reason unless it is wanted.
#[test]
fn dry_runs_are_declined() {
    testing::run(5, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        let mut stranger = Stranger::to(&harness, "PrefixManager").await;
        assert_eq!(
            stranger.ask(DRY, "82061839").await.hear().await,
            Heard::Declined("dry runs are not held here".into())
        );
        assert_eq!(lab.blocks("origin").await, []);
    });
}

/// PM-Y-02, PM-Y-03: who has tried gets that very block within the time; afterwards it is free for others.
#[test]
fn a_dry_run_sets_a_block_aside_for_its_time() {
    testing::run(6, async |harness| {
        let (lab, class) = Lab::new();
        let parameters = "prefixes = ['2001:db8::/56']\ndry_run_s = 60";
        node(&harness, class, "origin", "origin", parameters).await;
        let mut stranger = Stranger::to(&harness, "PrefixManager").await;
        let mut other = stranger.another(&harness);
        let mut dry = stranger.ask(DRY, "82061839").await;
        let tried = dry.hear().await;
        assert!(matches!(tried, Heard::Offer(_)), "{tried:?}");
        dry.end(EndOption::Accept).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(lab.only("origin").await.unwrap().1, "dry");
        // Another one gets the other half, and then nothing.
        let (mut talk, heard) = other.answer("82061839").await;
        assert!(matches!(&heard, Heard::Offer(_)) && heard != tried, "{heard:?}");
        talk.end(EndOption::Accept).await;
        // A second dry run is told the same, and whoever asks in earnest gets what it was told.
        let (mut talk, live) = stranger.answer("82061839").await;
        assert_eq!(live, tried);
        talk.end(EndOption::Decline(None)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut dry = stranger.ask(DRY, "82061839").await;
        assert_eq!(dry.hear().await, tried);
        dry.end(EndOption::Accept).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(matches!(other.answer("82061839").await.1, Heard::Declined(_) | Heard::Offer(_)));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(other.answer("82061839").await.1, tried);
    });
}

/// PM-Y-05: live and dry do not mix in one session.
#[test]
fn a_flag_that_changes_ends_the_session() {
    testing::run(7, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']\ndry_run_s = 60").await;
        let mut stranger = Stranger::to(&harness, "PrefixManager").await;
        let (mut talk, heard) = stranger.answer("82061839").await;
        assert!(matches!(heard, Heard::Offer(_)), "{heard:?}");
        talk.propose(DRY, "82061838").await;
        let heard = talk.hear().await;
        assert_eq!(heard, Heard::Invalid);
        talk.end(EndOption::Accept).await;
        drop(talk);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(lab.blocks("origin").await.iter().all(|(_, state)| state.name() != "granted"));
    });
}

/// PM-O-12: one peer is cut off at its limit, and others are served all the same.
#[test]
fn a_greedy_peer_is_cut_off() {
    testing::run(8, async |harness| {
        let (lab, class) = Lab::new();
        let limits = "peer_requests_per_minute = 20\npeer_limit_ipv6 = 61";
        node(&harness, class, "origin", "origin", &format!("prefixes = ['2001:db8::/32']\n{limits}")).await;
        let mut greedy = Stranger::to(&harness, "PrefixManager").await;
        let mut modest = greedy.another(&harness);
        let (mut gained, mut reasons) = (0, Vec::new());
        for _ in 0..10_000 {
            match greedy.answer("82061840").await {
                (mut talk, Heard::Offer(_)) => {
                    gained += 1;
                    talk.end(EndOption::Accept).await;
                    assert_eq!(talk.hear().await, Heard::Closed);
                }
                (_, Heard::Declined(reason)) => reasons.push(reason),
                (_, other) => panic!("{other:?}"),
            }
        }
        // A /61 is eight /64.
        assert_eq!((gained, lab.blocks("origin").await.len()), (8, 8));
        assert!(reasons.iter().any(|reason| reason.contains("ask again later")), "{:?}", reasons.last());
        assert!(matches!(modest.answer("82061840").await.1, Heard::Offer(_)));
    });
}
