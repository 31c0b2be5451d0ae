//! Every form of a request is answered in kind.

use super::stranger::{Heard, LIVE, Stranger};
use super::{Lab, node};
use asa_framework::testing;
use grasp::wire::EndOption;
use std::time::Duration;

/// Requests for a /57 or a /20 of a pool that gives its last ones, and the offers, in hexadecimal digits.
const IN_KIND: [(&str, &str); 12] = [
    // F1, F2, F3, F4 with both truth values, versioned and not.
    ("811839", "82183950PPPP"),
    ("82061839", "8306183950PPPP"),
    ("83061839f6", "8306183950PPPP"),
    ("820414", "83041444QQQQ"),
    ("830414f6", "83041444QQQQ"),
    ("8306f41839", "8406f4183950PPPP"),
    ("8406f51839f6", "8406f5183950PPPP"),
    ("82f51839", "83f5183950PPPP"),
    ("8304f414", "8404f41444QQQQ"),
    // F6.
    ("d83682183940", "d8368218394820010db8ffffff80"),
    // F8 around F2 and F1.
    ("d8184482061839", "d818558306183950PPPP"),
    ("d81843811839", "d8185482183950PPPP"),
];
const V6: &str = "20010db8ffffff800000000000000000";
const V4: &str = "0afff000";

const STOCK: &str = "prefixes = ['2001:db8::/32', '10.0.0.0/8']\nipv4 = true\nprefix_manager_t = true";

/// PM-W-01, PM-W-02: each request is declined by its peer afterwards, so that each offer is of the same block.
#[test]
fn each_form_is_answered_in_kind() {
    testing::run(1, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", STOCK).await;
        let mut stranger = Stranger::to(&harness, "PrefixManager").await;
        for (request, offer) in IN_KIND {
            let (mut talk, heard) = stranger.answer(request).await;
            let offer = offer.replace("PPPP", V6).replace("44QQQQ", &format!("44{V4}"));
            assert_eq!(heard, Heard::Offer(offer), "{request}");
            talk.end(EndOption::Decline(Some("Insufficient offer".into()))).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(lab.blocks("origin").await, [], "{request}");
        }
    });
}

/// PM-W-01, PM-W-06, PM-W-13: under the other name tags keep their zero bytes; the pool is the same.
#[test]
fn the_tagged_dialect_is_answered_in_kind() {
    testing::run(2, async |harness| {
        let (lab, class) = Lab::new();
        node(&harness, class, "origin", "origin", STOCK).await;
        let mut stranger = Stranger::to(&harness, "PrefixManagerT").await;
        let requests = [
            ("d836821839480000000000000000", "d8368218394820010db8ffffff80"),
            ("d834821443000000", "d8348214430afff0"),
            ("d8368218384700000000000000", "d8368218384720010db8fffffe"),
            // The form of RFC 9164 is answered without zero bytes at the end, under this name too.
            ("d83682183840", "d8368218384720010db8fffffd"),
        ];
        for (request, offer) in requests {
            let (mut talk, heard) = stranger.answer(request).await;
            assert_eq!(heard, Heard::Offer(offer.to_owned()), "{request}");
            talk.end(EndOption::Accept).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let blocks: Vec<String> = lab.blocks("origin").await.iter().map(|(block, _)| block.to_string()).collect();
        let all = ["10.255.240.0/20", "2001:db8:ffff:fd00::/56", "2001:db8:ffff:fe00::/56", "2001:db8:ffff:ff80::/57"];
        assert_eq!(blocks, all);
    });
}

/// PM-W-13: nobody answers for the other name unless that is wanted.
#[test]
fn the_tagged_dialect_is_off_by_default() {
    testing::run(3, async |harness| {
        let (_, class) = Lab::new();
        node(&harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
        let finder = harness.peer("finder").await;
        let look = async |name: &str| {
            let found = finder.discover(&grasp::Objective::negotiation(name), Duration::from_secs(1), None).await;
            found.unwrap().len()
        };
        assert_eq!((look("PrefixManagerT").await, look("PrefixManager").await), (0, 1));
    });
}

/// PM-W-07: a plain address counts as a prefix of full length; an address with the length of its link is declined.
#[test]
fn plain_addresses_are_prefixes_of_full_length() {
    testing::run(4, async |harness| {
        let (_, class) = Lab::new();
        node(&harness, class, "origin", "origin", STOCK).await;
        let mut stranger = Stranger::to(&harness, "PrefixManager").await;
        let zeros = "00".repeat(16);
        for (request, length) in [(format!("d83650{zeros}"), "821880"), ("d8344400000000".to_owned(), "821820")] {
            match stranger.answer(&request).await.1 {
                Heard::Offer(offer) => assert!(offer[4..].starts_with(length), "{offer}"),
                other => panic!("{request}: {other:?}"),
            }
        }
        let interface = format!("d8368250{zeros}1840");
        assert!(matches!(stranger.answer(&interface).await.1, Heard::Declined(_)));
        // F7.
        let nested = format!("d836548250{zeros}1840");
        assert!(matches!(stranger.answer(&nested).await.1, Heard::Declined(_)));
    });
}

/// PM-W-04: items beyond the form are ignored.
#[test]
fn surplus_items_are_ignored() {
    testing::run(5, async |harness| {
        let (_, class) = Lab::new();
        node(&harness, class, "origin", "origin", STOCK).await;
        let mut stranger = Stranger::to(&harness, "PrefixManager").await;
        let mut talk = stranger.ask(LIVE, "84061839f66178").await;
        assert_eq!(talk.hear().await, Heard::Offer(format!("8306183950{V6}")));
    });
}
