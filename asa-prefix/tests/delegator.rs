//! The delegator's decisions: who gets something, who waits, and what others are asked for.

use asa_framework::machine::{Machine, Time};
use asa_framework::roles::Control;
use asa_prefix::delegator::{DelegatorCore, DelegatorPlan, FamilyPlan, Input, Output, Question, Response};
use asa_prefix::pool::record::Deal;
use asa_prefix::pool::{Answer, Level, PoolError, Request};
use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::wire::{Params, RoleParams};
use std::collections::BTreeMap;
use std::time::Duration;

const START: Time = Time(Duration::ZERO);

struct Bench {
    core: DelegatorCore,
    now: Time,
}

fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn v6(length: u8) -> Want {
    Want { family: Family::V6, length }
}

fn deal(session: u32) -> Deal {
    Deal { session, peer: "fe80::1".into() }
}

fn plan() -> DelegatorPlan {
    DelegatorPlan { look: None, ..DelegatorPlan::default() }
}

/// So many free /64s.
fn level(blocks: u128) -> Level {
    Level { v6: blocks << 64, writable: true, ..Level::default() }
}

impl Bench {
    fn new(plan: DelegatorPlan) -> Self {
        Self { core: DelegatorCore::new(plan), now: START }
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        self.core.handle(self.now, input);
        std::iter::from_fn(|| self.core.poll()).collect()
    }

    fn ask(&mut self, id: u64, question: Question) -> Vec<Output> {
        self.feed(Input::Consulted { id, question, mutual: false })
    }

    fn wake(&mut self, after: u64) -> Vec<Output> {
        self.now = self.now + Duration::from_secs(after);
        self.core.wake(self.now);
        std::iter::from_fn(|| self.core.poll()).collect()
    }

    /// What others are asked for when somebody is ready to ask them.
    fn need(&mut self, id: u64) -> Option<Want> {
        let outputs = self.ask(id, Question::Need);
        outputs.iter().find_map(|output| match output {
            Output::Reply(_, Ok(Response::Need(want))) => Some(*want),
            _ => None,
        })
    }
}

fn serve(session: u32, length: u8) -> Question {
    Question::Serve { deal: deal(session), want: v6(length), dry: false }
}

fn hold(session: u32, length: u8, longest: u8) -> Request {
    Request::Hold { deal: deal(session), want: v6(length), longest, dry: None }
}

/// PM-Q-01, PM-P-04
#[test]
fn a_node_without_anything_asks_for_the_length_of_its_role() {
    for (role, length) in [("RSG", 34), ("ASG", 44), ("CSG", 56)] {
        let mut bench = Bench::new(DelegatorPlan { role: role.into(), ..plan() });
        bench.feed(Input::Level(level(0)));
        assert_eq!(bench.need(1), Some(v6(length)));
    }
    let mut bench = Bench::new(plan());
    let params: Params = [("CSG".to_owned(), RoleParams::of_length(50))].into_iter().collect();
    bench.ask(1, Question::Params(vec![(Some("fe80::9".into()), params.write().unwrap())]));
    bench.feed(Input::Level(level(0)));
    assert_eq!(bench.need(2), Some(v6(50)));
    let own = FamilyPlan { ask: Some(48), ..FamilyPlan::new(Family::V6) };
    let mut bench = Bench::new(DelegatorPlan { families: BTreeMap::from([(Family::V6, own)]), ..plan() });
    bench.feed(Input::Level(level(0)));
    assert_eq!(bench.need(1), Some(v6(48)));
}

/// PM-Q-02
#[test]
fn a_node_that_is_short_asks_for_two_to_four_times_what_is_missing() {
    for (held, length) in [(31, 62), (30, 61), (24, 59), (1, 58), (16, 58)] {
        let mut bench = Bench::new(plan());
        bench.feed(Input::Level(level(held)));
        assert_eq!(bench.need(1), Some(v6(length)), "{held} of 32");
    }
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(32)));
    assert_eq!(bench.need(1), None);
    // It is told as soon as there is a need.
    let outputs = bench.feed(Input::Level(level(31)));
    assert_eq!(outputs, [Output::Reply(1, Ok(Response::Need(v6(62))))]);
}

/// PM-Q-02
#[test]
fn a_client_that_gets_nothing_makes_the_need_grow() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(32)));
    bench.feed(Input::Take(7, v6(64), "client".into()));
    bench.feed(Input::Answered(7, Err(PoolError::Empty)));
    // A /64 is waited for, and 33 are wanted at hand.
    assert_eq!(bench.need(8), Some(v6(62)));
}

/// PM-O-04, PM-O-02
#[test]
fn a_peer_waits_while_others_are_asked_and_then_gets_what_it_wanted() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(40)));
    assert_eq!(bench.ask(1, serve(5, 56)), [Output::Ask(1, hold(5, 56, 56))]);
    assert_eq!(bench.feed(Input::Answered(1, Err(PoolError::Empty))), []);
    assert_eq!(bench.need(2), Some(v6(56)));
    let adopted = bench.ask(3, Question::Pool(Request::Adopt(deal(9))));
    assert_eq!(adopted, [Output::Ask(3, Request::Adopt(deal(9)))]);
    let outputs = bench.feed(Input::Answered(3, Ok(Answer::Done)));
    assert_eq!(outputs, [Output::Reply(3, Ok(Response::Done)), Output::Ask(1, hold(5, 56, 56))]);
    let block = p("2001:db8::/56");
    assert_eq!(bench.feed(Input::Answered(1, Ok(Answer::Block(block)))), [Output::Ask(1, Request::Offer(deal(5)))]);
    let outputs = bench.feed(Input::Answered(1, Ok(Answer::Done)));
    assert_eq!(outputs, [Output::Reply(1, Ok(Response::Block(block)))]);
}

/// PM-O-02
#[test]
fn something_longer_is_offered_when_nobody_helps() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(40)));
    bench.ask(1, serve(5, 56));
    bench.feed(Input::Answered(1, Err(PoolError::Empty)));
    bench.need(2);
    let outputs = bench.ask(3, Question::Fruitless);
    assert!(outputs.contains(&Output::Ask(1, hold(5, 56, 64))), "{outputs:?}");
    let outputs = bench.feed(Input::Answered(1, Err(PoolError::Empty)));
    assert!(matches!(&outputs[..], [Output::Reply(1, Err(why))] if why.contains("nobody helps")), "{outputs:?}");
    // An origin does not ask anybody.
    let family = FamilyPlan { request_more: false, ..FamilyPlan::new(Family::V6) };
    let mut bench = Bench::new(DelegatorPlan { families: BTreeMap::from([(Family::V6, family)]), ..plan() });
    bench.feed(Input::Level(level(0)));
    assert_eq!(bench.ask(1, serve(5, 56)), [Output::Ask(1, hold(5, 56, 64))]);
    assert_eq!(bench.need(2), None);
}

/// PM-R-11
#[test]
fn two_that_are_short_do_not_wait_for_each_other() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(0)));
    bench.need(1);
    bench.feed(Input::Consulted { id: 2, question: serve(5, 64), mutual: true });
    let outputs = bench.feed(Input::Answered(2, Err(PoolError::Empty)));
    assert!(matches!(&outputs[..], [Output::Reply(2, Err(_))]), "{outputs:?}");
}

/// PM-O-04
#[test]
fn nobody_waits_for_ever() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(0)));
    bench.feed(Input::Take(1, v6(64), "client".into()));
    bench.feed(Input::Answered(1, Err(PoolError::Empty)));
    assert_eq!(bench.wake(19), []);
    let outputs = bench.wake(1);
    assert!(matches!(&outputs[..], [Output::Client(1, Err(why))] if why.contains("in time")), "{outputs:?}");
}

/// PM-O-11
#[test]
fn a_family_that_is_off_is_declined_with_a_reason() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(40)));
    let question = Question::Serve { deal: deal(1), want: Want { family: Family::V4, length: 24 }, dry: false };
    let outputs = bench.ask(1, question);
    assert!(matches!(&outputs[..], [Output::Reply(1, Err(why))] if why.contains("IPv4")), "{outputs:?}");
}

/// PM-Y-01
#[test]
fn dry_runs_are_declined_unless_they_are_switched_on() {
    let question = || Question::Serve { deal: deal(1), want: v6(64), dry: true };
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(40)));
    assert!(matches!(&bench.ask(1, question())[..], [Output::Reply(1, Err(_))]));
    let mut bench = Bench::new(DelegatorPlan { dry_run: Some(60), ..plan() });
    bench.feed(Input::Level(level(40)));
    let held = Request::Hold { deal: deal(1), want: v6(64), longest: 64, dry: Some(60) };
    assert_eq!(bench.ask(1, question()), [Output::Ask(1, held)]);
}

/// PM-D-06
#[test]
fn a_block_that_cannot_be_put_to_use_is_not_the_clients() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(40)));
    bench.feed(Input::Take(1, v6(64), "client".into()));
    let block = p("2001:db8::/64");
    let outputs = bench.feed(Input::Answered(1, Ok(Answer::Block(block))));
    assert_eq!(outputs, [Output::Hook(1, block, "client".into())]);
    let outputs = bench.feed(Input::Hooked(1, Err("no route".into())));
    let back = Request::GiveBack { client: "client".into(), block, unused: true };
    assert!(outputs.contains(&Output::Ask(1, back)), "{outputs:?}");
    assert_eq!(bench.feed(Input::Answered(1, Ok(Answer::Done))), [Output::Client(1, Err("no route".into()))]);
}

/// PM-D-05, PM-D-06: what a client has had before stays its own, also if it has asked twice at once.
#[test]
fn a_block_that_may_be_in_use_is_not_freed_by_a_program_that_fails() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(40)));
    let block = p("2001:db8::/64");
    let failed = |bench: &mut Bench, id| bench.feed(Input::Hooked(id, Err("no route".into())));
    bench.feed(Input::Take(1, v6(64), "client".into()));
    bench.feed(Input::Answered(1, Ok(Answer::Again(block))));
    let outputs = failed(&mut bench, 1);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Ask(..))), "{outputs:?}");
    assert!(outputs.contains(&Output::Client(1, Err("no route".into()))), "{outputs:?}");

    for (id, answer) in [(2, Answer::Block(block)), (3, Answer::Again(block)), (4, Answer::Again(block))] {
        bench.feed(Input::Take(id, v6(64), "client".into()));
        bench.feed(Input::Answered(id, Ok(answer)));
    }
    let first = failed(&mut bench, 2);
    let used = bench.feed(Input::Hooked(3, Ok(())));
    assert_eq!(used, [Output::Client(3, Ok(block))]);
    let last = failed(&mut bench, 4);
    assert!(!first.iter().chain(&last).any(|output| matches!(output, Output::Ask(..))), "{first:?} {last:?}");

    for (id, answer) in [(5, Answer::Block(block)), (6, Answer::Again(block))] {
        bench.feed(Input::Take(id, v6(64), "client".into()));
        bench.feed(Input::Answered(id, Ok(answer)));
    }
    assert!(!failed(&mut bench, 5).iter().any(|output| matches!(output, Output::Ask(..))));
    let back = Request::GiveBack { client: "client".into(), block, unused: true };
    assert!(failed(&mut bench, 6).contains(&Output::Ask(6, back)));
}

/// PM-Q-03
#[test]
fn a_role_that_may_not_ask_does_not() {
    let mut bench = Bench::new(plan());
    let quiet = RoleParams { request_more: Some(false), ..RoleParams::of_length(56) };
    let params: Params = [("CSG".to_owned(), quiet)].into_iter().collect();
    bench.ask(1, Question::Params(vec![(None, params.write().unwrap())]));
    bench.feed(Input::Level(level(0)));
    assert_eq!(bench.need(2), None);
}

/// PM-R-04
#[test]
fn a_network_without_a_source_is_told_of() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(0)));
    let mut alarms = Vec::new();
    for round in 0..5 {
        assert!(bench.need(10 + round).is_some());
        let outputs = bench.ask(100 + round, Question::Fruitless);
        alarms.extend(outputs.into_iter().filter(|output| matches!(output, Output::Alarm(_))));
    }
    assert!(matches!(&alarms[..], [Output::Alarm(why)] if why.contains("no source of IPv6")), "{alarms:?}");
}

/// PM-P-08
#[test]
fn parameters_without_ones_own_role_change_nothing() {
    let mut bench = Bench::new(plan());
    let params: Params = [("XYZ".to_owned(), RoleParams::of_length(20))].into_iter().collect();
    let outputs = bench.ask(1, Question::Params(vec![(None, params.write().unwrap())]));
    assert!(outputs.iter().any(|output| matches!(output, Output::Alarm(why) if why.contains("CSG"))), "{outputs:?}");
    bench.feed(Input::Level(level(0)));
    assert_eq!(bench.need(2), Some(v6(56)));
}

/// PM-S-19
#[test]
fn nobody_is_asked_while_the_store_fails() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(Level { writable: false, ..level(0) }));
    assert_eq!(bench.need(1), None);
    assert!(!bench.feed(Input::Level(level(0))).is_empty());
}

/// ASA-L-05
#[test]
fn who_waits_is_refused_when_the_agent_is_set_down() {
    let mut bench = Bench::new(plan());
    bench.feed(Input::Level(level(0)));
    bench.feed(Input::Take(1, v6(64), "client".into()));
    bench.feed(Input::Answered(1, Err(PoolError::Empty)));
    let outputs = bench.feed(Input::Control(Control::Deactivate));
    assert!(matches!(&outputs[..], [Output::Client(1, Err(_))]), "{outputs:?}");
    assert_eq!(bench.core.busy(), 0);
}
