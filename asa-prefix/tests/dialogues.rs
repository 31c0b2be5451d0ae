//! What the two sides of a negotiation say to the peer, and what they have written down before and after.

use asa_framework::event::Ending;
use asa_framework::roles::negotiator::{Act, Dialogue, Ended, Strategy, Task, Turn};
use asa_prefix::delegator::{Question, Response};
use asa_prefix::negotiate::{PrefixStrategy, Speech};
use asa_prefix::plausible::{Limits, Shortest};
use asa_prefix::pool::Request;
use asa_prefix::pool::record::Deal;
use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::wire::{Dialect, Form, Shape, write_offer, write_request};
use grasp::{ErrorCode, Farewell, Objective, Value};
use std::net::SocketAddr;
use std::time::Duration;

const FORM: Form = Form::plain(Shape::F2);
const SESSION: u32 = 7;
/// An answer of the store that takes no time to speak of.
const SOON: Duration = Duration::from_millis(1);

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn v6(length: u8) -> Want {
    Want::new(Family::V6, length).unwrap()
}

fn block() -> Prefix {
    p("2001:db8:0:100::/56")
}

fn deal() -> Deal {
    Deal { session: SESSION, peer: "fe80::1".into() }
}

fn peer() -> Option<SocketAddr> {
    Some("[fe80::1]:7017".parse().unwrap())
}

fn strategy(dry_runs: bool) -> Box<dyn Strategy> {
    let limits = Limits { permitted: Vec::new(), shortest: Shortest { v4: 8, v6: 16 }, documentation: true };
    let speech = Speech { dialect: Dialect::PrefixManager, asks: Some(FORM), limits, flexible: 0, dry_runs };
    PrefixStrategy::factory(speech)()
}

fn prefix_manager(value: Value) -> Objective {
    Objective::negotiation("PrefixManager").with_value(value)
}

fn request() -> Objective {
    prefix_manager(write_request(FORM, v6(56)).unwrap())
}

fn offer(block: Prefix) -> Objective {
    prefix_manager(write_offer(FORM, &block).unwrap())
}

fn said(response: &Response) -> Result<Value, String> {
    Ok(Value::item(response).unwrap())
}

fn asked(value: &Value) -> Question {
    value.decode().unwrap()
}

/// What the advisor is asked in this turn.
fn question(turn: &Turn) -> Question {
    match &turn.act {
        Act::Ask(value) => asked(value),
        act => panic!("{act:?}"),
    }
}

/// The reason of a decline.
fn declined(turn: &Turn) -> &str {
    match &turn.act {
        Act::Decline(reason) => reason,
        act => panic!("{act:?}"),
    }
}

fn is_accepted(turn: &Turn) -> bool {
    matches!(turn.act, Act::AcceptHeard { .. })
}

/// What is to be done in the pool after a negotiation that ended so.
fn settled(dialogue: &mut dyn Dialogue, ended: Ended<'_>) -> Option<Question> {
    dialogue.ended(ended);
    dialogue.settles().map(|value| asked(&value))
}

/// One that asks for a /56, and what it has asked the advisor before its request may leave.
fn asker() -> (Box<dyn Dialogue>, Question) {
    let mut strategy = strategy(false);
    strategy.task();
    strategy.answered(said(&Response::Need(v6(56))));
    let Task::Negotiate { mut dialogue, .. } = strategy.task() else { panic!("nobody is asked") };
    let first = dialogue.opened(SESSION, peer()).expect("it asks nothing before its request");
    (dialogue, asked(&first))
}

/// One that asks, with an offer that is being written down.
fn weighing() -> Box<dyn Dialogue> {
    let (mut asker, _) = asker();
    assert!(matches!(asker.proposed(&offer(block())).act, Act::Ask(_)));
    asker
}

/// One that has accepted.
fn accepted() -> Box<dyn Dialogue> {
    let mut asker = weighing();
    assert!(is_accepted(&asker.answered(said(&Response::Done), SOON)));
    asker
}

fn pool(request: Request) -> Option<Question> {
    Some(Question::Pool(request))
}

fn refuse() -> Option<Question> {
    pool(Request::Refuse(deal()))
}

/// PM-S-08: a request and an acceptance leave only when the store has them.
#[test]
fn nothing_leaves_before_it_is_written_down() {
    let (mut asker, first) = asker();
    assert_eq!(first, Question::Pool(Request::Ask { deal: deal(), want: v6(56) }));
    let turn = asker.proposed(&offer(block()));
    assert_eq!(question(&turn), Question::Pool(Request::Accept { deal: deal(), block: block() }));
    assert!(!asker.gains());
    assert!(is_accepted(&asker.answered(said(&Response::Done), SOON)) && asker.gains());
}

/// PM-S-08, PM-S-19: what the store does not take is declined, and the block stays the peer's.
#[test]
fn what_cannot_be_written_down_is_declined() {
    let mut asker = weighing();
    let turn = asker.answered(Err("the store fails".into()), SOON);
    assert_eq!(declined(&turn), "the store fails");
    assert!(!asker.gains());
    assert_eq!(settled(asker.as_mut(), Ended::new(Ending::Declined, true)), refuse());
}

/// PM-S-08: what is written down after the connection was lost is taken back, once.
#[test]
fn what_is_written_down_too_late_is_taken_back() {
    let mut asker = weighing();
    asker.ended(Ended::new(Ending::Failed, false));
    let turn = asker.answered(said(&Response::Done), SOON);
    assert!(!is_accepted(&turn), "{turn:?}");
    assert_eq!(asker.settles().map(|value| asked(&value)), refuse());
    assert_eq!(asker.settles(), None);
}

/// PM-S-09: a Python peer waits one second and no longer, so an acceptance leaves within 800 ms or not at all.
#[test]
fn an_acceptance_that_would_come_too_late_does_not_leave() {
    for (took, leaves) in [(0, true), (799, true), (800, true), (801, false), (1_200, false), (60_000, false)] {
        let mut asker = weighing();
        let turn = asker.answered(said(&Response::Done), Duration::from_millis(took));
        assert_eq!((is_accepted(&turn), asker.gains()), (leaves, leaves), "{took} ms");
        if !leaves {
            assert!(declined(&turn).contains("too late"), "{turn:?}");
            assert_eq!(settled(asker.as_mut(), Ended::new(Ending::Declined, true)), refuse());
        }
    }
}

/// PM-S-10: only a clean close of the peer proves that an acceptance counts; without any proof there is a doubt.
#[test]
fn what_becomes_of_an_acceptance_decides_whose_the_block_is() {
    let doubt = |reset| pool(Request::DoubtTaken { deal: deal(), reset });
    let end = Ended::new;
    let parted = |ending, farewell| Ended { farewell: Some(farewell), ..end(ending, true) };
    let code = |by_us, code| Ended { code: Some(code), ..end(Ending::Failed, by_us) };
    let ends = [
        (parted(Ending::Accepted, Farewell::Clean), pool(Request::Adopt(deal()))),
        (parted(Ending::Failed, Farewell::Reset), doubt(true)),
        (parted(Ending::Accepted, Farewell::Silent), doubt(false)),
        // It has not left, since the peer had closed; and the peer's decline has crossed it.
        (code(true, ErrorCode::NoSocket), refuse()),
        (end(Ending::Declined, false), refuse()),
        // This node was stopped meanwhile, or nobody knows what has happened.
        (code(true, ErrorCode::NoReply), doubt(false)),
        (end(Ending::Accepted, true), doubt(false)),
        (end(Ending::Declined, true), doubt(false)),
        (end(Ending::Failed, false), doubt(false)),
    ];
    for (ended, expected) in ends {
        let what = format!("{ended:?}");
        let mut asker = accepted();
        assert_eq!(settled(asker.as_mut(), ended), expected, "{what}");
        assert_eq!(asker.settles(), None, "{what}");
    }
}

/// PM-S-10: as long as no acceptance has left, the block stays the peer's however the negotiation ends.
#[test]
fn without_an_acceptance_nothing_is_taken() {
    for ending in [Ending::Accepted, Ending::Declined, Ending::Failed] {
        for by_us in [false, true] {
            let (mut asked, _) = asker();
            assert_eq!(settled(asked.as_mut(), Ended::new(ending, by_us)), refuse(), "{ending:?} {by_us}");
            assert_eq!(settled(weighing().as_mut(), Ended::new(ending, by_us)), refuse(), "{ending:?} {by_us}");
        }
    }
}

/// PM-Q-08: a peer that accepts the request itself has given nothing, and counts as one that does not help.
#[test]
fn an_accepted_request_gains_nothing() {
    let (mut asker, _) = asker();
    assert!(!asker.gains());
    let request = request();
    let ended = Ended { objective: Some(&request), ..Ended::new(Ending::Accepted, false) };
    assert_eq!(settled(asker.as_mut(), ended), refuse());
}

/// PM-Q-04, PM-Q-09: an offer that is not fit is declined without a counter-proposal, and nothing is written down.
#[test]
fn an_offer_that_is_not_fit_is_declined_at_once() {
    let offers = [
        offer(p("2001:db8:0:100::/57")),
        offer(p("ff00::/56")),
        prefix_manager(Value::item(&"2001:db8::/56").unwrap()),
        Objective::negotiation("PrefixManager"),
    ];
    for offer in offers {
        let (mut asker, _) = asker();
        assert!(!declined(&asker.proposed(&offer)).is_empty(), "{offer:?}");
        assert_eq!(settled(asker.as_mut(), Ended::new(Ending::Declined, true)), refuse(), "{offer:?}");
    }
}

/// One that is asked with this, and its first turn.
fn giver(dry_runs: bool, request: &Objective) -> (Box<dyn Dialogue>, Turn) {
    let mut giver = strategy(dry_runs).requested(request);
    assert_eq!(giver.opened(SESSION, peer()), None);
    let turn = giver.proposed(request);
    (giver, turn)
}

/// One that has been asked and has offered a block.
fn offered(request: &Objective) -> Box<dyn Dialogue> {
    let (mut giver, _) = giver(true, request);
    let turn = giver.answered(said(&Response::Block(block())), SOON);
    assert!(matches!(turn.act, Act::Propose(_)), "{turn:?}");
    giver
}

fn release() -> Option<Question> {
    pool(Request::Release(deal()))
}

/// PM-O-01: a request is answered with the prefix and its length, in the form of the request.
#[test]
fn a_request_is_answered_with_an_offer() {
    for shape in [Shape::F1, Shape::F2, Shape::F3, Shape::F6] {
        let request = prefix_manager(write_request(Form::plain(shape), v6(56)).unwrap());
        let (mut giver, turn) = giver(false, &request);
        assert_eq!(question(&turn), Question::Serve { deal: deal(), want: v6(56), dry: false }, "{shape}");
        let turn = giver.answered(said(&Response::Block(block())), SOON);
        let expected = request.with_value(write_offer(Form::plain(shape), &block()).unwrap());
        assert_eq!(turn.act, Act::Propose(expected), "{shape}");
    }
}

/// PM-O-01: or it is declined with a reason, and nothing is set aside.
#[test]
fn a_request_that_cannot_be_met_is_declined_with_a_reason() {
    let (mut giver, _) = giver(false, &request());
    assert_eq!(
        declined(&giver.answered(Err("no prefix of that length is left".into()), SOON)),
        "no prefix of that length is left"
    );
    assert_eq!(settled(giver.as_mut(), Ended::new(Ending::Declined, true)), release());
    let nonsense =
        [Value::item(&7).unwrap(), Value::null(), Value::item(&(6, 129)).unwrap(), Value::item(&(4, 24, 5)).unwrap()];
    let nonsense = nonsense.map(prefix_manager).into_iter().chain([Objective::negotiation("PrefixManager")]);
    for request in nonsense {
        let (mut giver, turn) = self::giver(false, &request);
        assert!(!declined(&turn).is_empty(), "{request:?}");
        assert_eq!(settled(giver.as_mut(), Ended::new(Ending::Declined, true)), None, "{request:?}");
    }
}

/// PM-S-06, PM-S-07: an acceptance of the peer grants, its decline and its orderly end free, and all else is a doubt.
#[test]
fn what_the_peer_does_decides_whose_an_offered_block_is() {
    let end = Ended::new;
    let doubt = || pool(Request::Doubt(deal()));
    let code = |code| Ended { code: Some(code), ..end(Ending::Failed, false) };
    let ends = [
        (end(Ending::Accepted, false), pool(Request::Confirm(deal()))),
        (end(Ending::Declined, false), release()),
        (Ended { orderly: true, ..end(Ending::Failed, false) }, release()),
        (end(Ending::Failed, false), doubt()),
        (code(ErrorCode::NoReply), doubt()),
        (code(ErrorCode::NoSocket), doubt()),
        // The last word of this side proves nothing of what the peer has sent meanwhile.
        (end(Ending::Accepted, true), doubt()),
        (end(Ending::Declined, true), doubt()),
        (end(Ending::Failed, true), doubt()),
    ];
    for (ended, expected) in ends {
        let what = format!("{ended:?}");
        let mut giver = offered(&request());
        assert_eq!(settled(giver.as_mut(), ended), expected, "{what}");
        assert_eq!(giver.settles(), None, "{what}");
    }
}

/// PM-S-07: what the peer has never heard of, or has turned down by a counter-proposal, is free however it ends.
#[test]
fn a_block_that_is_not_on_offer_is_freed() {
    for ending in [Ending::Accepted, Ending::Declined, Ending::Failed] {
        let (mut unsent, _) = giver(false, &request());
        assert_eq!(settled(unsent.as_mut(), Ended::new(ending, false)), release(), "{ending:?}");
        // An answer that comes now is not offered any more.
        assert_eq!(declined(&unsent.answered(said(&Response::Block(block())), SOON)), "over");

        let mut countered = offered(&request());
        assert!(matches!(question(&countered.proposed(&request())), Question::Serve { .. }));
        assert_eq!(settled(countered.as_mut(), Ended::new(ending, false)), release(), "{ending:?}");

        let mut absurd = offered(&request());
        declined(&absurd.proposed(&prefix_manager(Value::item(&7).unwrap())));
        assert_eq!(settled(absurd.as_mut(), Ended::new(ending, true)), release(), "{ending:?}");

        let mut exhausted = offered(&request());
        exhausted.exhausted();
        assert_eq!(settled(exhausted.as_mut(), Ended::new(ending, true)), release(), "{ending:?}");
    }
}

/// PM-Y-03: who accepts in a dry run gets nothing; who declines leaves nothing set aside.
#[test]
fn an_accepted_dry_run_grants_nothing() {
    let dry = request().dry_run();
    let (_, turn) = giver(true, &dry);
    assert_eq!(question(&turn), Question::Serve { deal: deal(), want: v6(56), dry: true });
    assert_eq!(settled(offered(&dry).as_mut(), Ended::new(Ending::Accepted, false)), Some(Question::Over(deal())));
    assert_eq!(settled(offered(&dry).as_mut(), Ended::new(Ending::Declined, false)), release());
}

/// PM-Y-01: without the operator's word for it, dry runs are declined and the pool hears nothing of them.
#[test]
fn a_dry_run_is_declined_where_it_is_off() {
    let (mut giver, turn) = giver(false, &request().dry_run());
    assert!(declined(&turn).contains("dry runs"), "{turn:?}");
    assert_eq!(settled(giver.as_mut(), Ended::new(Ending::Declined, true)), None);
}
