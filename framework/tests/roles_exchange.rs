//! What the pool's dialogues owe at each end of a negotiation, and whom the delegator lets wait.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_framework::event::Ending;
use asa_framework::machine::{Machine, Time};
use asa_framework::roles::Control;
use asa_framework::roles::delegator::{
    DelegatorCore, DelegatorPlan, Input, Output, Plain, PoolStrategy, Question, Response,
};
use asa_framework::roles::negotiator::{Act, Dialogue, Ended, Strategy, Task};
use asa_framework::roles::pool::{Answer, Level, PoolError, Request, Ticket};
use asa_framework::roles::resource::Range;
use grasp::{ErrorCode, Objective, Value};
use std::time::Duration;

const BLOCK: Range = Range { start: 10, end: 14 };
const TICKET: Ticket = Ticket(7);

fn objective() -> Objective {
    Objective::negotiation("32473:vlans")
}

fn ask(value: impl serde::Serialize) -> Objective {
    objective().with_value(Value::item(&value).unwrap())
}

fn strategy() -> Box<dyn Strategy> {
    let want = |shortfall| u32::try_from(shortfall).unwrap_or(u32::MAX);
    PoolStrategy::<Range>::factory(Plain { objective: objective(), want })()
}

fn respond(response: Response<Range>) -> Result<Value, String> {
    Ok(Value::item(&response).unwrap())
}

fn asked(act: &Act) -> Question<Range> {
    let Act::Ask(question) = act else { panic!("{act:?}") };
    question.decode().unwrap()
}

fn ends(dialogue: &mut dyn Dialogue, ending: Ending, by_us: bool, code: Option<ErrorCode>) -> Option<Question<Range>> {
    dialogue.ended(Ended { code, ..Ended::new(ending, by_us) });
    let owed = dialogue.settles().map(|question| question.decode().unwrap());
    assert_eq!(dialogue.settles(), None, "owed once");
    owed
}

/// Who talks to a peer that asks for four and has been offered a block.
fn giver() -> Box<dyn Dialogue> {
    let mut dialogue = strategy().requested(&ask(4));
    let turn = dialogue.proposed(&ask(4));
    assert_eq!(asked(&turn.act), Question::Serve { want: 4, instead: None });
    let turn = dialogue.answered(respond(Response::Reserved(TICKET, BLOCK)), Duration::ZERO);
    assert_eq!(turn.act, Act::Propose(ask(BLOCK)));
    dialogue
}

/// Who asks a peer.
fn asker() -> Box<dyn Dialogue> {
    let mut strategy = strategy();
    let Task::Ask(question) = strategy.task() else { panic!("no question") };
    assert_eq!(question.decode::<Question<Range>>().unwrap(), Question::Need);
    strategy.answered(respond(Response::Need(4)));
    let Task::Negotiate { objective, dialogue, .. } = strategy.task() else { panic!("no negotiation") };
    assert_eq!(objective, ask(4));
    dialogue
}

fn settle(request: Request<Range>) -> Option<Question<Range>> {
    Some(Question::Settle(request))
}

/// PM-S-06, PM-S-07: only a word of the peer grants or frees what it was offered.
#[test]
fn what_a_giver_owes_at_each_end() {
    for (ending, by_us, expected) in [
        (Ending::Accepted, false, Request::Confirm(TICKET)),
        (Ending::Declined, false, Request::Release(TICKET)),
        (Ending::Failed, false, Request::Doubt(TICKET)),
        (Ending::Declined, true, Request::Doubt(TICKET)),
    ] {
        assert_eq!(ends(&mut *giver(), ending, by_us, None), settle(expected), "{ending:?} by us {by_us}");
    }
    let mut unsent = giver();
    unsent.exhausted();
    assert_eq!(ends(&mut *unsent, Ending::Declined, true, None), settle(Request::Release(TICKET)));
    let mut countered = giver();
    let turn = countered.proposed(&ask(9));
    assert_eq!(asked(&turn.act), Question::Serve { want: 9, instead: Some(TICKET) });
    let turn = countered.answered(Err("nothing is left".into()), Duration::ZERO);
    assert_eq!(turn.act, Act::Decline("nothing is left".into()));
    assert_eq!(ends(&mut *countered, Ending::Declined, true, None), None, "the first went with the second");
    let mut senseless = giver();
    assert!(
        matches!(senseless.proposed(&ask("more")).act, Act::Decline(reason) if reason.starts_with("Invalid value"))
    );
    assert_eq!(ends(&mut *senseless, Ending::Declined, true, None), settle(Request::Release(TICKET)));
}

/// A block that is set aside for a peer that has gone is free again.
#[test]
fn what_is_reserved_too_late_is_released() {
    let mut dialogue = strategy().requested(&ask(4));
    dialogue.proposed(&ask(4));
    dialogue.ended(Ended::new(Ending::Failed, false));
    dialogue.answered(respond(Response::Reserved(TICKET, BLOCK)), Duration::ZERO);
    let owed = dialogue.settles().unwrap().decode::<Question<Range>>().unwrap();
    assert_eq!(Some(owed), settle(Request::Release(TICKET)));
}

/// PM-S-08 to PM-S-11, PM-Q-08: what an asker owes, by what had left when it ended.
#[test]
fn what_an_asker_owes_at_each_end() {
    let weighing = || {
        let mut dialogue = asker();
        assert_eq!(asked(&dialogue.proposed(&ask(BLOCK)).act), Question::Accept(BLOCK));
        dialogue
    };
    let accepted = || {
        let mut dialogue = weighing();
        assert_eq!(dialogue.answered(respond(Response::Done), Duration::from_millis(800)).act, Act::Accept);
        dialogue
    };
    let (gone, fruitless) = (Some(ErrorCode::NoSession), Some(Question::Fruitless));
    assert_eq!(ends(&mut *accepted(), Ending::Accepted, true, None), settle(Request::Adopt(BLOCK)));
    assert_eq!(ends(&mut *accepted(), Ending::Accepted, true, gone), settle(Request::DoubtTaken(BLOCK)));
    assert_eq!(ends(&mut *accepted(), Ending::Failed, false, gone), settle(Request::DoubtTaken(BLOCK)));
    assert_eq!(ends(&mut *accepted(), Ending::Declined, false, None), settle(Request::Refuse(BLOCK)));
    assert_eq!(ends(&mut *asker(), Ending::Accepted, false, None), fruitless, "an accept without a block");
    assert_eq!(ends(&mut *asker(), Ending::Failed, false, gone), fruitless);
    let mut late = weighing();
    let turn = late.answered(respond(Response::Done), Duration::from_millis(801));
    assert!(matches!(turn.act, Act::Decline(_)));
    assert_eq!(ends(&mut *late, Ending::Declined, true, None), settle(Request::Refuse(BLOCK)));
    let mut refused = weighing();
    refused.answered(Err("it touches what is here".into()), Duration::ZERO);
    assert_eq!(ends(&mut *refused, Ending::Declined, true, None), fruitless);
    let mut overtaken = weighing();
    overtaken.ended(Ended { code: gone, ..Ended::new(Ending::Failed, false) });
    overtaken.answered(respond(Response::Done), Duration::ZERO);
    let owed = overtaken.settles().unwrap().decode::<Question<Range>>().unwrap();
    assert_eq!(Some(owed), settle(Request::Refuse(BLOCK)));
    // ASA-R-07: an offer that cannot be understood.
    assert!(matches!(asker().proposed(&ask("a block")).act, Act::Decline(_)));
}

struct Bench {
    core: DelegatorCore<Range>,
    now: Time,
}

impl Bench {
    fn new(plan: DelegatorPlan) -> Self {
        Self { core: DelegatorCore::new(plan), now: Time::default() }
    }

    fn feed(&mut self, input: Input<Range>) -> Vec<Output<Range>> {
        self.core.handle(self.now, input);
        std::iter::from_fn(|| self.core.poll()).collect()
    }

    fn consulted(&mut self, id: u64, question: Question<Range>, mutual: bool) -> Vec<Output<Range>> {
        self.feed(Input::Consulted { id, question, peer: "fe80::1".into(), mutual })
    }

    fn serve(&mut self, id: u64, want: u32, mutual: bool) -> Vec<Output<Range>> {
        self.consulted(id, Question::Serve { want, instead: None }, mutual)
    }

    fn empty(&mut self, id: u64) -> Vec<Output<Range>> {
        self.feed(Input::Answered(id, Err(PoolError::Empty)))
    }
}

fn reserve(id: u64, want: u32) -> Output<Range> {
    Output::Ask(id, Request::Reserve { want, to: "peer fe80::1".into(), instead: None })
}

fn need(id: u64, shortfall: u128) -> Output<Range> {
    Output::Reply(id, Ok(Response::Need(shortfall)))
}

fn refusal(outputs: &[Output<Range>]) -> &str {
    match outputs {
        [Output::Reply(_, Err(reason))] => reason,
        other => panic!("{other:?}"),
    }
}

/// PM-O-04, PM-Q-10: who finds nothing waits while others are asked, once for all who wait, and is served when it comes.
#[test]
fn others_are_asked_once_for_all_who_wait() {
    let mut bench = Bench::new(DelegatorPlan::default());
    assert_eq!(bench.consulted(1, Question::Need, false), [], "until there is a need");
    assert_eq!(bench.serve(2, 4, false), [reserve(2, 4)]);
    assert_eq!(bench.empty(2), [need(1, 4)]);
    bench.serve(3, 8, false);
    assert_eq!(bench.empty(3), [], "somebody is asking already");
    let adopt = || Request::Adopt(BLOCK);
    assert_eq!(bench.consulted(4, Question::Settle(adopt()), false), [Output::Ask(4, adopt())]);
    let outputs = bench.feed(Input::Answered(4, Ok(Answer::Done)));
    assert_eq!(outputs, [Output::Reply(4, Ok(Response::Done)), reserve(2, 4), reserve(3, 8)]);
    let outputs = bench.feed(Input::Answered(2, Ok(Answer::Reserved(TICKET, BLOCK))));
    assert_eq!(outputs, [Output::Reply(2, Ok(Response::Reserved(TICKET, BLOCK)))]);
    bench.empty(3);
    assert_eq!(bench.consulted(5, Question::Need, false), [need(5, 8)], "what is still missing");
    assert_eq!(refusal(&bench.consulted(6, Question::Fruitless, false)[1..]), "nothing is left, and nobody helps");
    assert_eq!(bench.core.busy(), 0);
}

/// PM-R-11, PM-Q-03, PM-R-06, and the bound on those who wait.
#[test]
fn not_everybody_may_wait() {
    let mut bench = Bench::new(DelegatorPlan { waiting: 1, ..DelegatorPlan::default() });
    bench.serve(1, 4, true);
    assert!(refusal(&bench.empty(1)).contains("you are the one I am asking"));
    bench.serve(2, 4, false);
    bench.empty(2);
    bench.serve(3, 4, false);
    assert_eq!(refusal(&bench.empty(3)), "too many are waiting");
    bench.now = bench.now + Duration::from_secs(30);
    bench.core.wake(bench.now);
    let outputs: Vec<_> = std::iter::from_fn(|| bench.core.poll()).collect();
    assert!(refusal(&outputs).contains("in time"));
    assert_eq!(bench.core.deadline(), None);
    let mut origin = Bench::new(DelegatorPlan { upstream: false, ..DelegatorPlan::default() });
    assert_eq!(origin.consulted(1, Question::Need, false), []);
    origin.serve(2, 4, false);
    assert_eq!(refusal(&origin.empty(2)), "nothing is left that would do");
    assert_eq!(origin.feed(Input::Level(Level { free: 0, low: true })), [], "it asks nobody");
}

/// A low pool is filled up to its target; what is kept for clients is not given to other nodes.
#[test]
fn a_low_pool_is_filled_and_a_reserve_kept() {
    let mut bench = Bench::new(DelegatorPlan { target: 16, keep: 8, ..DelegatorPlan::default() });
    bench.consulted(1, Question::Need, false);
    assert_eq!(bench.feed(Input::Level(Level { free: 10, low: false })), []);
    assert_eq!(bench.serve(2, 4, false), [need(1, 4)], "6 would be left, so that others are asked");
    assert_eq!(bench.serve(3, 2, false), [reserve(3, 2)]);
    let take = bench.feed(Input::Take(4, 10, "fe80::1".into()));
    assert_eq!(take, [Output::Ask(4, Request::Grant { want: 10, to: "client fe80::1".into() })]);
    assert_eq!(bench.feed(Input::Level(Level { free: 3, low: true })), []);
    assert_eq!(bench.consulted(5, Question::Need, false), [need(5, 13)]);
}

/// What a client gives back is for those who wait.
#[test]
fn what_comes_back_goes_to_who_waits() {
    let mut bench = Bench::new(DelegatorPlan::default());
    bench.feed(Input::Level(Level { free: 0, low: false }));
    bench.serve(1, 4, false);
    assert_eq!(bench.empty(1), []);
    assert_eq!(bench.feed(Input::Level(Level { free: 4, low: false })), [reserve(1, 4)]);
}

/// ASA-L-08: deactivated, nobody is served or asked; what is under way ends.
#[test]
fn a_deactivated_delegator_refuses_and_finishes() {
    let mut bench = Bench::new(DelegatorPlan::default());
    bench.serve(1, 4, false);
    bench.empty(1);
    assert_eq!(refusal(&bench.feed(Input::Control(Control::Deactivate))), "not active");
    assert_eq!(refusal(&bench.serve(2, 4, false)), "not active");
    assert_eq!(bench.consulted(3, Question::Need, false), []);
    let confirm = || Request::Confirm(TICKET);
    assert_eq!(bench.consulted(4, Question::Settle(confirm()), false), [Output::Ask(4, confirm())]);
    bench.feed(Input::Answered(4, Ok(Answer::Done)));
    assert_eq!(bench.core.busy(), 0);
    assert_eq!(bench.feed(Input::Level(Level { free: 0, low: true })), []);
}
