//! The customer's decisions, driven directly.

use crate::support::{amount, ex3, money, no_money, parameters};
use asa_framework::event::Ending;
use asa_framework::roles::negotiator::{Act, Dialogue, Ended, Heard, Strategy, Task};
use asa_gray_briggs::{GrayStrategy, Money};
use grasp::wire::Message;
use grasp::{Error, ErrorCode, Objective, Value, hex};
use std::time::Duration;

fn gray(text: &str) -> GrayStrategy {
    GrayStrategy::new(&parameters("gray", text)).unwrap()
}

/// A task in one word.
fn word(task: &Task) -> String {
    match task {
        Task::Ask(_) => "ask".into(),
        Task::Idle => "idle".into(),
        Task::Pause(time) => format!("pause {}", time.as_millis()),
        Task::Read { objective, .. } => format!("read {}", objective.name),
        Task::Look(objective) => format!("look {}", objective.name),
        Task::Negotiate { flush, .. } => if *flush { "negotiate afresh" } else { "negotiate" }.into(),
        Task::Finish => "finish".into(),
    }
}

/// Goes on to the next negotiation; also returns what came before it.
fn next(gray: &mut GrayStrategy) -> (Objective, Box<dyn Dialogue>, Vec<String>) {
    let mut before = Vec::new();
    loop {
        let task = gray.task();
        before.push(word(&task));
        if let Task::Negotiate { objective, dialogue, discovery, .. } = task {
            assert_eq!(discovery, Duration::from_millis(1000));
            return (objective, dialogue, before);
        }
        assert!(before.len() < 20, "{before:?}");
    }
}

fn fixed(amount: i64) -> (Objective, Box<dyn Dialogue>) {
    let (objective, dialogue, _) = next(&mut gray(&format!("seed = 1\namount_min = {amount}\namount_max = {amount}")));
    (objective, dialogue)
}

fn ended(ending: Ending, by_us: bool, objective: Option<&Objective>) -> Ended<'_> {
    Ended { objective, reason: (ending != Ending::Accepted).then_some("why"), ..Ended::new(ending, by_us) }
}

/// GB-G-01: a pause, then EX1, EX2, Nonsense, EX2, EX1 are read.
#[test]
fn the_first_readings_come_in_order() {
    let (_, _, before) = next(&mut gray(""));
    let readings = ["read EX1", "read EX2", "read Nonsense", "read EX2", "read EX1"];
    assert_eq!(before[0], "pause 5000");
    assert_eq!(before[1..6], readings);
    assert_eq!(before[6..], ["negotiate"]);
}

/// GB-G-02: over 200 sessions all draws are in range, and the amount alone decides on dry run, Tag 24 and currency.
#[test]
fn the_amount_decides_what_is_tested() {
    let draw = || {
        let mut gray = gray("seed = 11");
        (0..200)
            .map(|_| {
                let (objective, mut dialogue, _) = next(&mut gray);
                dialogue.ended(ended(Ending::Accepted, false, Some(&objective)));
                objective
            })
            .collect::<Vec<_>>()
    };
    let drawn = draw();
    for objective in &drawn {
        let money = Money::read(objective.value.as_ref()).unwrap();
        assert!((10..=500).contains(&money.amount) && (4..=20).contains(&objective.loop_count));
        assert_eq!(objective.is_dry_run(), money.amount & 4 != 0);
        assert_eq!(money.tag24, money.amount & 8 != 0);
        assert_eq!(money.currency, if money.amount % 7 == 0 { "USD" } else { "NZD" });
    }
    for part in [
        drawn.iter().filter(|objective| objective.is_dry_run()).count(),
        drawn.iter().filter(|objective| Money::read(objective.value.as_ref()).unwrap().tag24).count(),
    ] {
        assert!((70..=130).contains(&part), "{part} of 200");
    }
    assert_eq!(drawn, draw(), "a seed repeats itself");
}

/// GB-G-04: the dialogue seen with the Python programs: 157 -> 74, 141 -> 84, 126 -> 94, 113 -> 104 accepted.
#[test]
fn the_observed_dialogue_repeats_itself() {
    let (request, mut dialogue) = fixed(157);
    assert_eq!(amount(&request), 157);
    let mut offer = |amount| dialogue.proposed(&money(amount, true).dry_run()).act;
    for (offered, asks) in [(74, 141), (84, 126), (94, 113)] {
        let Act::Propose(ask) = offer(offered) else { panic!("no counter to {offered}") };
        assert_eq!((amount(&ask), ask.is_dry_run()), (asks, true));
        assert!(Money::read(ask.value.as_ref()).unwrap().tag24, "GB-W-06: every counter is in Tag 24");
    }
    assert_eq!(offer(104), Act::Accept);
}

/// GB-G-04: each branch for 1000: accepts from 0.9 of the last ask on, asks for 0.9, 0.81, 0.729, then gives up.
#[test]
fn at_most_three_counters_and_then_the_bank_is_mean() {
    let script = |offers: &[i64]| {
        let (_, mut dialogue) = fixed(1000);
        offers.iter().map(|offered| dialogue.proposed(&money(*offered, true)).act).collect::<Vec<_>>()
    };
    let asks = |act: &Act| if let Act::Propose(ask) = act { Some(amount(ask)) } else { None };
    assert_eq!(script(&[900]), [Act::Accept]);
    assert_eq!(asks(&script(&[899])[0]), Some(900));
    assert_eq!(script(&[1, 810])[1], Act::Accept);
    assert_eq!(asks(&script(&[1, 809])[1]), Some(810));
    assert_eq!(script(&[1, 1, 729])[2], Act::Accept);
    assert_eq!(asks(&script(&[1, 1, 728])[2]), Some(729));
    assert_eq!(script(&[1, 1, 1, 656])[3], Act::Accept);
    assert_eq!(script(&[1, 1, 1, 655])[3], Act::Decline("You are mean!".into()));
    assert_eq!(script(&[0])[0], script(&[1])[0]);
}

/// GB-G-06: declined and failed requests and fruitless discoveries count, later failures do not; above three the next
/// discovery starts afresh and the count restarts; a success does not reset it.
#[test]
fn four_failures_flush_the_cache() {
    let mut gray = gray("seed = 2");
    let mut course = Vec::new();
    let mut session = |end: fn(&Objective, &mut dyn Dialogue) -> Vec<String>| {
        let (objective, mut dialogue, before) = next(&mut gray);
        let flushes = dialogue.begins().iter().any(|line| line.contains("flush"));
        assert_eq!(flushes, before.last().unwrap() == "negotiate afresh");
        course.push(flushes);
        end(&objective, &mut *dialogue)
    };
    let refused = |objective: &Objective, dialogue: &mut dyn Dialogue| {
        dialogue.ended(ended(Ending::Declined, false, Some(objective)))
    };
    let failed = |objective: &Objective, dialogue: &mut dyn Dialogue| {
        dialogue.ended(ended(Ending::Failed, false, Some(objective)))
    };
    let nobody = |_: &Objective, dialogue: &mut dyn Dialogue| dialogue.ended(ended(Ending::Failed, false, None));
    let agreed = |objective: &Objective, dialogue: &mut dyn Dialogue| {
        dialogue.ended(ended(Ending::Accepted, false, Some(objective)))
    };
    let later = |objective: &Objective, dialogue: &mut dyn Dialogue| {
        dialogue.proposed(
            &objective
                .clone()
                .with_value(Money { amount: 1, ..Money::read(objective.value.as_ref()).unwrap() }.value()),
        );
        dialogue.ended(ended(Ending::Failed, false, Some(objective)))
    };
    assert!(session(refused).contains(&"Failures since the last flush: 1".to_owned()));
    session(failed);
    session(agreed);
    session(later);
    session(nobody);
    assert!(session(refused).contains(&"Failures since the last flush: 4".to_owned()));
    assert!(session(refused).contains(&"Failures since the last flush: 1".to_owned()));
    session(refused);
    assert_eq!(course, [false, false, false, false, false, false, true, false]);
}

/// GB-G-07: 5 s after a session and 5 s more after an error; then EX1 is read and every flooded copy listed.
#[test]
fn ex1_is_read_and_listed_after_each_session() {
    let mut gray = gray("seed = 2");
    for (ending, objective, between) in [
        (Ending::Accepted, true, &["pause 5000", "read EX1", "look EX1", "negotiate"][..]),
        (Ending::Declined, true, &["pause 5000", "pause 5000", "read EX1", "look EX1", "negotiate"]),
        (Ending::Failed, false, &["pause 5000", "negotiate"]),
    ] {
        let (asked, mut dialogue, _) = next(&mut gray);
        dialogue.ended(ended(ending, false, objective.then_some(&asked)));
        let (asked, mut dialogue, before) = next(&mut gray);
        assert_eq!(before, between);
        dialogue.ended(ended(Ending::Accepted, false, Some(&asked)));
    }
    let copy = |text: &str| Objective::synchronization("EX1").with_value(Value::item(text).unwrap());
    let copies = [(Some("[fe80::1]:7017".to_owned()), copy("from Briggs")), (None, copy("from Other\u{7}"))];
    let said = gray.heard(Heard::Copies("EX1", &copies));
    assert_eq!(said, ["Flooded EX1 by [fe80::1]:7017: from Briggs", "Flooded EX1: from Other\\u{7}"]);
}

/// GB-G-09: an offer in another currency, below zero, beyond 64 bits or of another shape is declined.
#[test]
fn senseless_offers_are_declined() {
    let usd = ex3(Money { currency: "USD".into(), amount: 400, tag24: false }.value());
    assert_eq!(fixed(100).1.proposed(&usd).act, Act::Decline("Invalid currency".into()));
    assert_eq!(fixed(100).1.proposed(&money(-5, false)).act, Act::Decline("Invalid amount".into()));
    for wrong in no_money() {
        assert!(matches!(fixed(100).1.proposed(&wrong).act, Act::Decline(_)), "{wrong:?}");
    }
}

/// GB-W-06: the observed request, byte for byte.
#[test]
fn a_request_in_tag24_is_that_of_the_python_program() {
    let (request, ..) = fixed(157);
    let request = Message::RequestNegotiation { session_id: 0x19bc_60c2, objective: request.with_loop_count(12) };
    assert_eq!(hex::encode(&request.encode()), "83031a19bc60c284634558330b0cd8184782634e5a44189d");
}

/// The number of sessions asked for is the number held, whatever came of them.
#[test]
fn the_customer_finishes_after_its_sessions() {
    let mut gray = gray("seed = 2\nsessions = 2");
    let (_, mut dialogue, _) = next(&mut gray);
    dialogue.ended(ended(Ending::Failed, false, None));
    for ending in [Ending::Declined, Ending::Accepted] {
        let (objective, mut dialogue, _) = next(&mut gray);
        dialogue.ended(ended(ending, false, Some(&objective)));
    }
    assert_eq!(word(&gray.task()), "finish");
}

/// A customer does not lend.
#[test]
fn requests_to_the_customer_are_declined() {
    let turn = gray("").requested(&money(5, false)).proposed(&money(5, false));
    assert_eq!(turn.act, Act::Decline("not a bank".into()));
}

/// GB-H-01, GB-H-03: introduction, readings, request, offers, asks, loop counts, result, reason, failures.
#[test]
fn the_customer_tells_everything_it_does() {
    let mut gray = gray("seed = 1\namount_min = 157\namount_max = 157\nloop_count_min = 12\nloop_count_max = 12");
    let mut all = gray.introduces();
    let error = Error::from(ErrorCode::NotSynchronizable);
    all.extend(gray.heard(Heard::Nothing("Nonsense", &error)));
    all.extend(gray.heard(Heard::Nothing("EX1", &Error::from(ErrorCode::NotFloodedNorDiscovered))));
    all.extend(gray.heard(Heard::Value(&Objective::discovery("EX2").with_value(Value::item(&(1, "two", 3)).unwrap()))));
    let (objective, mut dialogue, _) = next(&mut gray);
    all.extend(dialogue.begins());
    all.extend(dialogue.ended(ended(Ending::Declined, false, Some(&objective))));
    all.extend(dialogue.proposed(&money(74, true).with_loop_count(11)).say);
    all.extend(dialogue.proposed(&money(130, true).with_loop_count(9)).say);
    all.extend(dialogue.ended(ended(Ending::Accepted, true, Some(&money(130, true)))));
    let all = all.join("\n");
    for line in [
        "Hello, this is Gray, a customer. I negotiate with banks about EX3.",
        "Nonsense cannot be read, as expected (#32)",
        "Cannot read EX1: Not flooded and no reply to discovery (#33)",
        "Read EX2: [1, \"two\", 3]",
        "I ask for NZD 157, loop count 12, dry run, value in Tag 24",
        "The bank declines: why",
        "Failures since the last flush: 1",
        "The bank offers NZD 74, loop count 11",
        "I ask for NZD 141",
        "I accept NZD 130",
        "Negotiation succeeded: NZD 130",
    ] {
        assert!(all.lines().any(|said| said == line), "{line:?} is not in:\n{all}");
    }
}
