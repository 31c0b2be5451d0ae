//! The pure cores of the roles: what they want done, input by input.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_framework::event::Ending;
use asa_framework::machine::{Machine, Time};
use asa_framework::roles::Control;
use asa_framework::roles::flooder::{FlooderCore, Input as FlooderInput, Output as FlooderOutput, Plan};
use asa_framework::roles::negotiator::{
    Act, Dialogue, Ended, Failure, Heard, Input, NegotiatorCore, NegotiatorPlan, Opened, Output, Proposal, Strategy,
    Task, Turn,
};
use asa_framework::roles::peers::PeersPlan;
use grasp::wire::{Locator, Transport};
use grasp::{AsaLocator, Error, ErrorCode, Objective, Value};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

const START: Time = Time(Duration::ZERO);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn objective(value: u32) -> Objective {
    Objective::negotiation("32473:test").with_value(Value::item(&value).unwrap())
}

fn drain<M: Machine>(core: &mut M) -> Vec<M::Output> {
    std::iter::from_fn(|| core.poll()).collect()
}

/// Follows a script: each proposal and each end of a pause takes the next act.
struct Scripted {
    acts: Rc<RefCell<VecDeque<Act>>>,
    log: Rc<RefCell<Vec<String>>>,
}

impl Scripted {
    fn turn(&self, said: String) -> Turn {
        self.log.borrow_mut().push(said.clone());
        Turn { say: vec![said], act: self.acts.borrow_mut().pop_front().expect("an act for every turn") }
    }
}

impl Dialogue for Scripted {
    fn begins(&mut self) -> Vec<String> {
        vec!["begins".into()]
    }

    fn proposed(&mut self, offer: &Objective) -> Turn {
        self.turn(format!("proposed {}", offer.value.as_ref().unwrap().decode::<u32>().unwrap()))
    }

    fn waited(&mut self) -> Turn {
        self.turn("waited".into())
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        let value = ended.objective.map(|objective| objective.value.as_ref().unwrap().decode::<u32>().unwrap());
        let line = format!("{:?} by us {}: {value:?} {}", ended.ending, ended.by_us, ended.reason.unwrap_or("-"));
        self.log.borrow_mut().push(line.clone());
        vec![line]
    }
}

/// Has tasks to do, and gives every dialogue the same script.
struct Agenda {
    tasks: VecDeque<Task>,
    acts: Rc<RefCell<VecDeque<Act>>>,
    log: Rc<RefCell<Vec<String>>>,
}

impl Strategy for Agenda {
    fn introduces(&mut self) -> Vec<String> {
        vec!["hello".into()]
    }

    fn task(&mut self) -> Task {
        self.log.borrow_mut().push("task".into());
        self.tasks.pop_front().unwrap_or(Task::Idle)
    }

    fn heard(&mut self, heard: Heard<'_>) -> Vec<String> {
        vec![match heard {
            Heard::Value(objective) => format!("value of {}", objective.name),
            Heard::Nothing(name, error) => format!("no {name}: {error}"),
            Heard::Copies(name, copies) => format!("{} copies of {name}", copies.len()),
        }]
    }

    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        Box::new(Scripted { acts: self.acts.clone(), log: self.log.clone() })
    }
}

struct Bench {
    core: NegotiatorCore,
    acts: Rc<RefCell<VecDeque<Act>>>,
    log: Rc<RefCell<Vec<String>>>,
}

fn plan() -> NegotiatorPlan {
    NegotiatorPlan {
        request_timeout: secs(60),
        step_timeout: secs(1),
        sessions: 2,
        peers: PeersPlan::BY_STRATEGY,
        ..NegotiatorPlan::default()
    }
}

/// A core whose dialogues act so, with tasks made by `tasks` from a dialogue.
fn bench(acts: Vec<Act>, tasks: impl FnOnce(&dyn Fn() -> Box<dyn Dialogue>) -> Vec<Task>) -> Bench {
    let (acts, log) = (Rc::new(RefCell::new(VecDeque::from(acts))), Rc::new(RefCell::new(Vec::new())));
    let dialogue = || -> Box<dyn Dialogue> { Box::new(Scripted { acts: acts.clone(), log: log.clone() }) };
    let tasks = tasks(&dialogue).into();
    let strategy = Agenda { tasks, acts: acts.clone(), log: log.clone() };
    Bench { core: NegotiatorCore::new(Box::new(strategy), plan()), acts, log }
}

fn negotiate(dialogue: Box<dyn Dialogue>) -> Task {
    Task::Negotiate { objective: objective(100), discovery: secs(1), flush: true, dialogue }
}

impl Bench {
    fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        self.core.handle(now, input);
        drain(&mut self.core)
    }

    /// Starts, and returns what comes after the introduction.
    fn started(&mut self) -> Vec<Output> {
        let mut outputs = self.handle(START, Input::Started);
        assert_eq!(outputs.drain(..2).collect::<Vec<_>>(), [Output::Listen(true), Output::Say(None, "hello".into())]);
        outputs
    }

    /// Starts, and lets the first request go to a peer.
    fn asking(&mut self) {
        self.started();
        let request = Output::Request { key: 1, objective: objective(100), peer: peer(1), timeout: secs(60) };
        assert_eq!(self.discovered(1, vec![peer(1)]), [request]);
    }

    fn discovered(&mut self, key: u64, found: Vec<AsaLocator>) -> Vec<Output> {
        self.handle(START, Input::Discovered(key, Ok(found)))
    }

    fn answered(&mut self, key: u64, answer: Result<Proposal, Failure>) -> Vec<Output> {
        self.handle(START, Input::Answered(key, answer))
    }
}

fn opened(peer: Option<IpAddr>) -> Opened {
    Opened { session_id: 7, peer: peer.map(|peer| SocketAddr::new(peer, 7017)) }
}

fn peer(number: u16) -> AsaLocator {
    let address = "fe80::1".parse().unwrap();
    AsaLocator::known(Locator::Ipv6 { address, transport: Transport::Tcp, port: number }, 1)
}

fn discover(key: u64, timeout: u64, flush: bool) -> Output {
    let objective = objective(100).with_value(Value::null());
    Output::Discover { key, objective, timeout: secs(timeout), flush }
}

fn say(key: u64, text: &str) -> Output {
    Output::Say(Some(key), text.into())
}

fn over(key: u64, ending: Ending, value: u32, reason: Option<&str>) -> Output {
    Output::Over { key, ending, objective: Some(objective(value)), reason: reason.map(str::to_owned) }
}

fn failure(code: ErrorCode, open: bool) -> Result<Proposal, Failure> {
    Err(Failure { error: code.into(), open })
}

fn declined(text: &str) -> Error {
    Error::new(ErrorCode::Declined, text)
}

#[test]
fn a_dialogue_takes_turns_in_order() {
    let mut bench = bench(vec![Act::Propose(objective(90)), Act::Accept], |dialogue| vec![negotiate(dialogue())]);
    assert_eq!(bench.started(), [Output::Open(1, objective(100)), say(1, "begins"), discover(1, 0, true)]);
    let request = Output::Request { key: 1, objective: objective(100), peer: peer(1), timeout: secs(60) };
    assert_eq!(bench.discovered(1, vec![peer(1)]), [request]);
    assert_eq!(bench.core.sessions(), 1);
    let outputs = bench.answered(1, Ok(Proposal::Offered(objective(50))));
    assert_eq!(outputs, [say(1, "proposed 50"), Output::Step(1, objective(90), secs(1))]);
    let outputs = bench.answered(1, Ok(Proposal::Offered(objective(80))));
    assert_eq!(outputs, [say(1, "proposed 80"), Output::End(1, Ok(()))]);
    assert_eq!(bench.core.sessions(), 1, "not over before it has left");
    let outputs = bench.handle(START, Input::Closed(1, Ok(())));
    assert_eq!(outputs, [say(1, "Accepted by us true: Some(80) -"), over(1, Ending::Accepted, 80, None)]);
    assert_eq!(bench.core.sessions(), 0);
    let log = ["task", "proposed 50", "proposed 80", "Accepted by us true: Some(80) -", "task"];
    assert_eq!(*bench.log.borrow(), log, "the next task comes after the end");
    assert!(bench.acts.borrow().is_empty());
}

#[test]
fn the_peer_may_accept_decline_or_disappear() {
    for (answer, ending, reason) in [
        (Ok(Proposal::Accepted(objective(100))), Ending::Accepted, None),
        (Err(Failure { error: declined("no"), open: false }), Ending::Declined, Some("no")),
        (failure(ErrorCode::InvalidEnd, false), Ending::Failed, Some("Invalid end message (#26)")),
        (failure(ErrorCode::NoNegotiationReply, false), Ending::Failed, Some("No reply to negotiation step (#27)")),
    ] {
        let mut bench = bench(vec![], |dialogue| vec![negotiate(dialogue())]);
        bench.asking();
        let outputs = bench.answered(1, answer);
        assert_eq!(outputs[1..], [over(1, ending, 100, reason)]);
        assert_eq!(bench.core.sessions(), 0);
    }
}

#[test]
fn a_wait_resumes_after_its_pause_and_not_before() {
    let wait = Act::Wait { announce: secs(15), pause: secs(10) };
    let mut bench = bench(vec![wait.clone(), wait, Act::Propose(objective(60))], |_| vec![]);
    bench.started();
    let outputs = bench.handle(START, Input::Requested(2, objective(100), opened(None)));
    assert_eq!(outputs, [say(2, "begins"), say(2, "proposed 100"), Output::Wait(2, secs(15))]);
    assert_eq!(bench.core.deadline(), Some(START + secs(10)));
    bench.core.wake(START + secs(9));
    assert_eq!(drain(&mut bench.core), []);
    bench.core.wake(START + secs(10));
    assert_eq!(drain(&mut bench.core), [say(2, "waited"), Output::Wait(2, secs(15))]);
    assert_eq!(bench.core.deadline(), Some(START + secs(20)));
    bench.core.wake(START + secs(20));
    assert_eq!(drain(&mut bench.core), [say(2, "waited"), Output::Step(2, objective(60), secs(1))]);
    assert_eq!(bench.core.deadline(), None);
    bench.core.wake(START + secs(30));
    assert_eq!(drain(&mut bench.core), []);
}

#[test]
fn a_session_that_ends_during_a_wait_is_not_resumed() {
    let mut bench = bench(vec![Act::Wait { announce: secs(15), pause: secs(10) }], |_| vec![]);
    bench.started();
    bench.handle(START, Input::Requested(2, objective(100), opened(None)));
    bench.answered(2, Err(Failure { error: declined("gone"), open: false }));
    assert_eq!((bench.core.deadline(), bench.core.sessions()), (None, 0));
}

#[test]
fn an_exhausted_loop_count_is_declined_and_the_unsent_proposal_forgotten() {
    let mut bench = bench(vec![Act::Propose(objective(50))], |_| vec![]);
    bench.started();
    bench.handle(START, Input::Requested(2, objective(100), opened(None)));
    let outputs = bench.answered(2, failure(ErrorCode::LoopExhausted, true));
    assert_eq!(outputs, [Output::End(2, Err("Loop count exhausted".into()))]);
    let outputs = bench.handle(START, Input::Closed(2, Ok(())));
    assert_eq!(outputs[1..], [over(2, Ending::Declined, 100, Some("Loop count exhausted"))]);
}

#[test]
fn a_proposal_that_grasp_refuses_is_declined() {
    let mut bench = bench(vec![Act::Propose(objective(50))], |_| vec![]);
    bench.started();
    bench.handle(START, Input::Requested(2, objective(100), opened(None)));
    let error = Error::new(ErrorCode::Unspecified, "too long");
    let outputs = bench.answered(2, Err(Failure { error, open: true }));
    assert_eq!(outputs, [Output::End(2, Err("Unspecified error (#3): too long".into()))]);
}

#[test]
fn a_fruitless_discovery_is_no_negotiation() {
    let mut bench = bench(vec![], |dialogue| vec![negotiate(dialogue()), Task::Finish]);
    bench.started();
    assert_eq!(bench.discovered(1, vec![]), [discover(1, 1, false)]);
    let outputs = bench.discovered(1, vec![]);
    let said = "Failed by us false: None No reply to discovery (#17)";
    assert_eq!(outputs, [Output::Say(None, said.into()), Output::Finished]);
}

#[test]
fn more_sessions_than_allowed_are_declined_and_forgotten() {
    let wait = || Act::Wait { announce: secs(15), pause: secs(10) };
    let mut bench = bench(vec![wait(), wait(), Act::Accept], |_| vec![]);
    bench.started();
    bench.handle(START, Input::Requested(2, objective(1), opened(None)));
    bench.handle(START, Input::Requested(4, objective(2), opened(None)));
    let outputs = bench.handle(START, Input::Requested(6, objective(3), opened(None)));
    assert_eq!(outputs, [Output::End(6, Err("too many sessions".into()))]);
    let outputs = bench.handle(START, Input::Closed(6, Ok(())));
    assert_eq!(outputs, [over(6, Ending::Declined, 3, Some("too many sessions"))]);
    bench.answered(2, failure(ErrorCode::NoNegotiationReply, false));
    let outputs = bench.handle(START, Input::Requested(8, objective(4), opened(None)));
    assert_eq!(outputs.last(), Some(&Output::End(8, Ok(()))), "there is room again");
}

#[test]
fn a_last_word_that_cannot_be_said_tells_why() {
    for (error, ending, reason) in
        [(declined("no"), Ending::Declined, "no"), (ErrorCode::NoSocket.into(), Ending::Failed, "No socket (#20)")]
    {
        let mut bench = bench(vec![Act::Accept], |_| vec![]);
        bench.started();
        bench.handle(START, Input::Requested(2, objective(100), opened(None)));
        let outputs = bench.handle(START, Input::Closed(2, Err(error)));
        assert_eq!(outputs[1..], [over(2, ending, 100, Some(reason))]);
    }
}

#[test]
fn tasks_follow_one_another() {
    let read = Objective::synchronization("32473:read");
    let tasks = vec![
        Task::Pause(secs(5)),
        Task::Read { objective: read.clone(), timeout: secs(3) },
        Task::Read { objective: read.clone(), timeout: secs(3) },
        Task::Look(read.clone()),
        Task::Finish,
    ];
    let mut bench = bench(vec![], |_| tasks);
    assert_eq!(bench.started(), []);
    assert_eq!(bench.core.deadline(), Some(START + secs(5)));
    bench.core.wake(START + secs(5));
    assert_eq!(drain(&mut bench.core), [Output::Read(read.clone(), secs(3))]);
    assert_eq!(bench.core.deadline(), None);
    let name = read.name.clone();
    let outputs = bench.handle(START, Input::Read(name.clone(), Ok(read.clone())));
    assert_eq!(outputs, [Output::Say(None, format!("value of {name}")), Output::Read(read.clone(), secs(3))]);
    let outputs = bench.handle(START, Input::Read(name.clone(), Err(ErrorCode::NoListener.into())));
    assert_eq!(outputs, [Output::Say(None, format!("no {name}: No synch listener (#35)")), Output::Look(read.clone())]);
    let outputs = bench.handle(START, Input::Copies(name.clone(), Ok(vec![(None, read)])));
    assert_eq!(outputs, [Output::Say(None, format!("1 copies of {name}")), Output::Finished]);
}

#[test]
fn a_stop_ends_every_session_and_starts_nothing() {
    let wait = Act::Wait { announce: secs(15), pause: secs(10) };
    let mut bench = bench(vec![wait, Act::Accept], |dialogue| vec![negotiate(dialogue()), Task::Finish]);
    bench.asking();
    bench.handle(START, Input::Requested(2, objective(50), opened(None)));
    bench.answered(1, Ok(Proposal::Offered(objective(80))));
    let outputs = bench.handle(START, Input::Control(Control::Stop));
    let ends: Vec<_> = outputs.into_iter().filter(|output| !matches!(output, Output::Say(..))).collect();
    let expected = [over(1, Ending::Accepted, 80, None), over(2, Ending::Declined, 50, Some("abandoned"))];
    assert_eq!(ends, expected);
    assert_eq!((bench.core.sessions(), bench.core.deadline()), (0, None));
    assert_eq!(bench.handle(START, Input::Closed(1, Ok(()))), []);
}

#[test]
fn what_comes_after_the_end_is_ignored() {
    let mut bench = bench(vec![], |_| vec![]);
    bench.started();
    assert_eq!(bench.answered(7, Ok(Proposal::Offered(objective(1)))), []);
    assert_eq!(bench.handle(START, Input::Closed(7, Err(ErrorCode::NoSession.into()))), []);
}

fn flooder(period: Option<u64>, serve: bool) -> FlooderCore {
    let mut core = FlooderCore::new(Plan::new(period.map(secs), serve));
    core.handle(START, FlooderInput::Started);
    core
}

#[test]
fn floods_repeat_and_live_for_three_and_a_half_periods() {
    let mut core = flooder(Some(60), true);
    assert_eq!(drain(&mut core), [FlooderOutput::Serve, FlooderOutput::Flood(210_000)]);
    core.handle(START, FlooderInput::Sent { ok: true });
    assert_eq!(core.deadline(), Some(START + secs(60)));
    core.wake(START + secs(59));
    assert_eq!(drain(&mut core), []);
    core.wake(START + secs(60));
    assert_eq!(drain(&mut core), [FlooderOutput::Serve, FlooderOutput::Flood(210_000)]);
    assert_eq!(core.deadline(), Some(START + secs(120)));
}

/// ASA-R-03: pauses after failures grow up to the period, and a success starts them anew.
#[test]
fn a_failed_flood_is_tried_again_after_growing_pauses_up_to_the_period() {
    let mut core = flooder(Some(60), false);
    let mut now = START;
    for bound in [4, 8, 16, 32, 60, 60] {
        assert_eq!(drain(&mut core), [FlooderOutput::Flood(210_000)]);
        core.handle(now, FlooderInput::Sent { ok: false });
        let pause = core.deadline().unwrap().since(now);
        assert!(pause > secs(bound) / 2 - secs(1) && pause <= secs(bound), "{pause:?} of {bound} s");
        now = now + pause;
        core.wake(now);
    }
    core.handle(now, FlooderInput::Sent { ok: true });
    assert_eq!(core.deadline(), Some(now + secs(60)));
    core.handle(now, FlooderInput::Sent { ok: false });
    assert!(core.deadline().unwrap() <= now + secs(4), "a success starts the doubling anew");
}

#[test]
fn a_plan_without_a_period_only_serves() {
    let mut core = flooder(None, true);
    assert_eq!((drain(&mut core), core.deadline()), (vec![FlooderOutput::Serve], None));
    let mut core = flooder(None, false);
    assert_eq!((drain(&mut core), core.deadline()), (vec![], None));
    assert_eq!(Plan::new(Some(secs(100_000_000)), true).ttl(), u32::MAX);
}
