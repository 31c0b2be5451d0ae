//! The bank's decisions, driven directly.

use crate::support::{amount, ex3, money, no_money, parameters};
use asa_framework::event::Ending;
use asa_framework::roles::negotiator::{Act, Dialogue, Ended, Strategy, Turn};
use asa_gray_briggs::{BriggsStrategy, Money};
use grasp::Objective;
use std::time::Duration;

fn bank(text: &str) -> BriggsStrategy {
    BriggsStrategy::new(&parameters("briggs", text)).unwrap()
}

/// A dialogue with what it says it has, and for how long it would have its customer wait.
fn customer(bank: &mut BriggsStrategy) -> (Box<dyn Dialogue>, i64, u64) {
    let mut dialogue = bank.requested(&money(1, false));
    let line = dialogue.begins().join(" ");
    let number = |at: usize| line.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).nth(at);
    let (reserves, wait) = (number(0).unwrap().parse().unwrap(), number(1).unwrap().parse().unwrap());
    (dialogue, reserves, wait)
}

fn proposed(turn: &Turn) -> Option<&Objective> {
    if let Act::Propose(objective) = &turn.act { Some(objective) } else { None }
}

/// A fixed purse makes every decision predictable.
fn fixed(reserves: i64) -> Box<dyn Dialogue> {
    customer(&mut bank(&format!("seed = 1\nreserves_min = {reserves}\nreserves_max = {reserves}"))).0
}

fn declined(turn: &Turn, reason: &str) {
    assert_eq!(turn.act, Act::Decline(reason.into()));
}

/// GB-B-01: reserves and wait are drawn for each session from the full ranges, and a seed repeats them.
#[test]
fn reserves_and_wait_are_drawn_for_each_session() {
    let draw = |seed: u64| {
        let mut bank = bank(&format!("seed = {seed}"));
        (0..200).map(|_| customer(&mut bank)).map(|(_, reserves, wait)| (reserves, wait)).collect::<Vec<_>>()
    };
    let drawn = draw(7);
    assert!(drawn.iter().all(|(reserves, wait)| (100..=400).contains(reserves) && (9000..=20_000).contains(wait)));
    let mean = drawn.iter().map(|(reserves, _)| reserves).sum::<i64>() / 200;
    assert!((235..=265).contains(&mean), "{mean}");
    let short = drawn.iter().filter(|(_, wait)| *wait < 10_000).count();
    assert!((5..=40).contains(&short), "{short} of 200 waits are short");
    assert_eq!(drawn, draw(7));
    assert_ne!(drawn, draw(8));
    assert_ne!(draw(0), draw(0), "seed 0 is no seed");
}

/// GB-B-02 (avoid): ten customers side by side, each served from its own reserves to the end.
#[test]
fn ten_customers_at_once_each_have_reserves_of_their_own() {
    let mut bank = bank("seed = 3");
    let mut open: Vec<_> =
        (0..10).map(|_| customer(&mut bank)).map(|(d, reserves, wait)| (d, reserves, wait, 0)).collect();
    for (dialogue, reserves, _, offered) in &mut open {
        let turn = dialogue.proposed(&money(1000, false));
        *offered = amount(proposed(&turn).unwrap());
        assert_eq!(*offered, *reserves / 2);
    }
    for _ in 0..10 {
        for (dialogue, reserves, wait, offered) in &mut open {
            let mut turn = dialogue.proposed(&money(900, false));
            if let Act::Wait { announce, .. } = turn.act {
                assert_eq!(announce, Duration::from_millis(*wait));
                turn = dialogue.waited();
            }
            match proposed(&turn) {
                Some(next) => {
                    assert!(*offered * 10 < *reserves * 6);
                    assert_eq!(amount(next), *offered + 10);
                    *offered = amount(next);
                }
                None => assert!(*offered * 10 >= *reserves * 6),
            }
        }
    }
}

/// GB-B-03: the bank deals in one currency, in the request and later.
#[test]
fn another_currency_is_declined() {
    let usd = |amount| ex3(Money { currency: "USD".into(), amount, tag24: false }.value());
    declined(&fixed(200).proposed(&usd(10)), "Invalid currency");
    declined(&fixed(200).proposed(&usd(500)), "Invalid currency");
    let mut dialogue = fixed(200);
    dialogue.proposed(&money(500, false));
    declined(&dialogue.proposed(&usd(400)), "Invalid currency");
}

/// GB-B-04: up to half the reserves is granted without a counter-offer.
#[test]
fn up_to_half_the_reserves_is_granted_at_once() {
    for (reserves, asked, granted) in
        [(200, 10, true), (200, 100, true), (200, 101, false), (201, 100, true), (201, 101, false)]
    {
        let turn = fixed(reserves).proposed(&money(asked, false));
        assert_eq!(turn.act == Act::Accept, granted, "{asked} of {reserves}");
        assert_eq!(proposed(&turn).map(amount), (!granted).then_some(reserves / 2));
    }
}

/// GB-B-05: 200 sessions: a wait before about half of the answers, raises of 10 while below 0.6 of the reserves, never
/// more than was asked for and never quite that except by chance.
#[test]
fn offers_rise_by_ten_and_every_other_answer_waits() {
    let mut bank = bank("seed = 5");
    let (mut answers, mut waits, mut equal) = (0_u32, 0_u32, 0_u32);
    for session in 0..200_i64 {
        let (mut dialogue, reserves, wait) = customer(&mut bank);
        let first = dialogue.proposed(&money(reserves, false));
        let mut offered = amount(proposed(&first).unwrap());
        // Even sessions come closer in big steps, odd ones hardly move.
        let mut ask = reserves;
        loop {
            ask -= if session % 2 == 0 { (ask - offered) * 2 / 3 } else { 1 };
            let mut turn = dialogue.proposed(&money(ask, false));
            answers += 1;
            if let Act::Wait { announce, pause } = turn.act {
                waits += 1;
                assert_eq!((announce, pause), (Duration::from_millis(wait), Duration::from_secs(10)));
                turn = dialogue.waited();
            }
            let Some(next) = proposed(&turn).map(amount) else {
                assert!(offered * 10 >= reserves * 6, "gave up at {offered} of {reserves}");
                break;
            };
            assert!(offered * 10 < reserves * 6);
            assert_eq!(next, if offered + 10 > ask { ask - 1 } else { offered + 10 });
            assert!(next <= ask);
            equal += u32::from(next == ask);
            if next >= ask - 1 {
                break;
            }
            offered = next;
        }
    }
    assert!(answers > 300 && (answers * 2 / 5..=answers * 3 / 5).contains(&waits), "{waits} of {answers}");
    assert!(equal * 10 < answers, "{equal} of {answers} offers were what was asked for");
}

/// GB-B-06: too poor says so in English for odd reserves and in Russian for even ones.
#[test]
fn the_reason_of_a_decline_depends_on_the_reserves() {
    for (reserves, reason) in [(101, "Insufficient funds"), (100, "Недостаточно средств")] {
        let mut dialogue = fixed(reserves);
        dialogue.proposed(&money(400, false));
        let last = (0..10)
            .map(|_| {
                let turn = dialogue.proposed(&money(300, false));
                if matches!(turn.act, Act::Wait { .. }) { dialogue.waited() } else { turn }
            })
            .find(|turn| matches!(turn.act, Act::Decline(_)));
        declined(&last.unwrap(), reason);
    }
}

/// GB-B-10, COM-12: a dry run is negotiated like a live session, and the form of the first request is kept in every
/// answer, whatever form the counter-requests take.
#[test]
fn dry_run_and_tag24_are_mirrored() {
    for (dry, tag24) in [(false, false), (true, false), (false, true), (true, true)] {
        let of = |amount, tag24| if dry { money(amount, tag24).dry_run() } else { money(amount, tag24) };
        let mut dialogue = fixed(400);
        let mut turn = dialogue.proposed(&of(500, tag24));
        let said = turn.say.join("\n");
        assert_eq!((said.contains("dry run"), said.contains("Tag 24")), (dry, tag24), "{said}");
        for _ in 0..3 {
            let offer = proposed(&turn).unwrap();
            assert_eq!(offer.is_dry_run(), dry);
            assert_eq!(Money::read(offer.value.as_ref()).unwrap().tag24, tag24);
            turn = dialogue.proposed(&of(480, !tag24));
            if matches!(turn.act, Act::Wait { .. }) {
                turn = dialogue.waited();
            }
        }
        assert_eq!(fixed(400).proposed(&of(10, tag24)).act, Act::Accept);
    }
}

/// GB-B-11 (avoid): what is no money is declined with a reason, in the request and later.
#[test]
fn what_is_no_money_is_declined() {
    for wrong in no_money() {
        let Act::Decline(reason) = fixed(200).proposed(&wrong).act else { panic!("{wrong:?}") };
        assert!(reason.starts_with("Invalid value"), "{reason}");
        let mut dialogue = fixed(200);
        dialogue.proposed(&money(500, true));
        assert!(matches!(dialogue.proposed(&wrong).act, Act::Decline(_)), "{wrong:?}");
    }
    for senseless in [0, -1, i64::MIN] {
        declined(&fixed(200).proposed(&money(senseless, false)), "Invalid amount");
    }
    assert_eq!(
        fixed(200).proposed(&Objective { value: None, ..money(1, false) }).act,
        Act::Decline("Value missing".into())
    );
    assert!(!matches!(fixed(200).proposed(&money(i64::MAX, false)).act, Act::Accept), "overflow");
}

/// GB-H-01, GB-H-02: introduction, reserves and wait, request with dry run and Tag 24, offers, loop counts, wait, result,
/// reason.
#[test]
fn the_bank_tells_everything_it_does() {
    let mut bank = bank("seed = 1\nreserves_min = 300\nreserves_max = 300\nwait_min_ms = 12000\nwait_max_ms = 12000");
    assert!(bank.introduces().join(" ").contains("Briggs, a bank"));
    let mut dialogue = bank.requested(&money(1, false));
    let mut all = dialogue.begins();
    all.extend(dialogue.proposed(&money(500, true).dry_run()).say);
    while !all.iter().any(|line| line.contains("Wait ended")) {
        let turn = dialogue.proposed(&money(400, true).dry_run().with_loop_count(13));
        all.extend(turn.say);
        if matches!(turn.act, Act::Wait { .. }) {
            all.extend(dialogue.waited().say);
        }
    }
    let objective = money(160, true);
    let mut end = |ending, by_us, reason| {
        dialogue.ended(Ended { objective: Some(&objective), reason, ..Ended::new(ending, by_us) })
    };
    all.extend(end(Ending::Accepted, false, None));
    all.extend(end(Ending::Declined, true, Some("Loop count exhausted")));
    all.extend(end(Ending::Declined, false, Some("You're mean!\u{1b}[1m")));
    all.extend(end(Ending::Failed, false, Some("No socket (#20)")));
    let all = all.join("\n");
    for line in [
        "Reserves: NZD 300; wait: 12000 ms",
        "Request for NZD 500, loop count 20, dry run, value in Tag 24",
        "Offering NZD 150",
        "The customer asks for NZD 400, loop count 13",
        "Wait started: 12000 ms for the customer, 10000 ms for me",
        "Offering NZD 160",
        "Negotiation succeeded: NZD 160",
        "I decline: Loop count exhausted",
        "The customer declines: You're mean!\\u{1b}[1m",
        "Negotiation failed: No socket (#20)",
    ] {
        assert!(all.lines().any(|said| said == line), "{line:?} is not in:\n{all}");
    }
}

/// A seed repeats the whole course of every session, and sessions side by side do not change each other's.
#[test]
fn sessions_side_by_side_do_not_disturb_each_other() {
    let course = |others: usize| {
        let mut bank = bank("seed = 9");
        let (mut dialogue, ..) = customer(&mut bank);
        let mut rest: Vec<_> = (0..others).map(|_| customer(&mut bank).0).collect();
        dialogue.proposed(&money(1000, false));
        (0..8)
            .map(|_| {
                for other in &mut rest {
                    other.proposed(&money(1000, false));
                }
                matches!(dialogue.proposed(&money(900, false)).act, Act::Wait { .. })
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(course(0), course(5));
}
