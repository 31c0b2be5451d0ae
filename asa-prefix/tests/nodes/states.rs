//! What becomes of an offered block, by the way its negotiation ends (PM-S-07).

use super::stranger::{Heard, LIVE, Stranger};
use super::{Lab, node, p};
use asa_framework::testing::{self, Harness};
use grasp::wire::EndOption;
use std::time::Duration;

async fn origin(harness: &Harness) -> (&'static Lab, Stranger) {
    let (lab, class) = Lab::new();
    node(harness, class, "origin", "origin", "prefixes = ['2001:db8::/32']").await;
    (lab, Stranger::to(harness, "PrefixManager").await)
}

async fn later(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// PM-S-05, PM-S-06, PM-S-07: an accept grants, a decline and an orderly end free; all at once.
#[test]
fn an_accept_grants_and_a_decline_or_an_orderly_end_frees() {
    testing::run(1, async |harness| {
        let (lab, mut stranger) = origin(&harness).await;
        let block = p("2001:db8:ffff:ff80::/57");
        let (mut talk, _) = stranger.answer("82061839").await;
        assert_eq!(lab.only("origin").await, Some((block, "offered")));
        talk.end(EndOption::Decline(Some("\u{1b}[2J no".into()))).await;
        later(1).await;
        assert_eq!(lab.only("origin").await, None);

        let (talk, _) = stranger.answer("82061839").await;
        assert_eq!(lab.only("origin").await, Some((block, "offered")));
        drop(talk);
        later(1).await;
        assert_eq!(lab.only("origin").await, None);

        let (mut talk, _) = stranger.answer("82061839").await;
        talk.end(EndOption::Accept).await;
        drop(talk);
        later(1).await;
        assert_eq!(lab.only("origin").await, Some((block, "granted")));
    });
}

/// PM-S-07: a counter-proposal frees what was offered, and something else is offered or not.
#[test]
fn a_counter_proposal_turns_an_offer_down() {
    testing::run(2, async |harness| {
        let (lab, mut stranger) = origin(&harness).await;
        let (mut talk, _) = stranger.answer("82061839").await;
        talk.propose(LIVE, "82061838").await;
        assert!(matches!(talk.hear().await, Heard::Offer(_)));
        assert_eq!(lab.only("origin").await, Some((p("2001:db8:ffff:ff00::/56"), "offered")));
        talk.end(EndOption::Accept).await;
        later(1).await;
        assert_eq!(lab.only("origin").await, Some((p("2001:db8:ffff:ff00::/56"), "granted")));
    });
}

/// PM-S-07: a reset leaves a doubt, and what is in doubt is given to nobody, however long it lasts.
#[test]
fn a_reset_leaves_a_doubt() {
    testing::run(3, async |harness| {
        let (lab, mut stranger) = origin(&harness).await;
        stranger.ask(LIVE, "82061839").await.reset_after_an_answer().await;
        later(1).await;
        let block = p("2001:db8:ffff:ff80::/57");
        assert_eq!(lab.only("origin").await, Some((block, "in-doubt")));
        later(600).await;
        assert_eq!(lab.only("origin").await, Some((block, "in-doubt")));
        let (_, heard) = stranger.answer("82061839").await;
        assert_eq!(heard, Heard::Offer("830618395020010db8ffffff000000000000000000".into()));
    });
}

/// PM-S-07: so does silence; an accept that comes within the time limit of half a minute is honoured.
#[test]
fn silence_leaves_a_doubt_and_a_late_accept_is_honoured() {
    testing::run(4, async |harness| {
        let (lab, mut stranger) = origin(&harness).await;
        let block = p("2001:db8:ffff:ff80::/57");
        let (mut talk, _) = stranger.answer("82061839").await;
        later(29).await;
        assert_eq!(lab.only("origin").await, Some((block, "offered")));
        talk.end(EndOption::Accept).await;
        later(1).await;
        assert_eq!(lab.only("origin").await, Some((block, "granted")));
    });
    testing::run(5, async |harness| {
        let (lab, mut stranger) = origin(&harness).await;
        let block = p("2001:db8:ffff:ff80::/57");
        let (mut talk, _) = stranger.answer("82061839").await;
        later(32).await;
        assert_eq!(lab.only("origin").await, Some((block, "in-doubt")));
        // Too late to be heard, but nobody else gets it.
        talk.end(EndOption::Accept).await;
        later(60).await;
        assert_eq!(lab.only("origin").await, Some((block, "in-doubt")));
    });
}
