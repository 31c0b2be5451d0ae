//! The negotiator's decisions: whom to ask, when again, when to wait, and what a life cycle does to it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_framework::event::Ending;
use asa_framework::machine::{Machine, Time};
use asa_framework::roles::negotiator::{
    Act, Counsel, Dialogue, Ended, Failure, Input, NegotiatorCore, NegotiatorPlan, Opened, Output, Proposal, Strategy,
    Task, Turn,
};
use asa_framework::roles::peers::PeersPlan;
use asa_framework::roles::{Control, Mode};
use grasp::wire::{Locator, SessionId, Transport};
use grasp::{AsaLocator, Error, ErrorCode, Farewell, Objective, StreamEnd, Value};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn objective(value: u32) -> Objective {
    Objective::negotiation("32473:test").with_value(Value::item(&value).unwrap())
}

fn question(number: u32) -> Value {
    Value::item(&number).unwrap()
}

fn address(host: u16) -> IpAddr {
    IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, host])
}

fn opened(peer: Option<IpAddr>) -> Opened {
    Opened { session_id: 7, peer: peer.map(|peer| SocketAddr::new(peer, 7017)) }
}

fn peer(host: u16) -> AsaLocator {
    let IpAddr::V6(address) = address(host) else { panic!() };
    AsaLocator::known(Locator::Ipv6 { address, transport: Transport::Tcp, port: 7017 }, 1)
}

/// Asks for 100 and then always for more; consults its advisor about every proposal, and accepts what that finds even.
struct Asker {
    log: Rc<RefCell<Vec<String>>>,
    plain: bool,
    /// Asked before a request leaves.
    before: Option<u32>,
}

/// The number that is accepted with an open ear.
const HEARD: u32 = 77;

impl Dialogue for Asker {
    fn opened(&mut self, session: SessionId, peer: Option<SocketAddr>) -> Option<Value> {
        let before = self.before?;
        self.log.borrow_mut().push(format!("opened {session} {}", peer.is_some()));
        Some(question(before))
    }

    fn proposed(&mut self, offer: &Objective) -> Turn {
        let Some(number) = offer.value.as_ref().and_then(|value| value.decode::<u32>().ok()) else {
            return Turn { say: vec![], act: Act::Decline("no number".into()) };
        };
        Turn { say: vec![], act: Act::Ask(question(number)) }
    }

    fn answered(&mut self, answer: Result<Value, String>, took: Duration) -> Turn {
        self.log.borrow_mut().push(format!("answered {:?} after {took:?}", answer.is_ok()));
        let act = match answer {
            Ok(value) if value == question(HEARD) => Act::AcceptHeard { limit: secs(5) },
            Ok(_) => Act::Accept,
            Err(reason) => Act::Decline(reason),
        };
        Turn { say: vec![], act }
    }

    fn plainer(&mut self) -> Option<Objective> {
        std::mem::take(&mut self.plain).then(|| objective(1))
    }

    fn ended(&mut self, ended: Ended<'_>) -> Vec<String> {
        self.log.borrow_mut().push(format!(
            "ended {:?} {:?}{}",
            ended.ending,
            ended.code.map(|code| code as u8),
            if ended.orderly { " orderly" } else { "" }
        ));
        if let Some(farewell) = ended.farewell {
            self.log.borrow_mut().push(format!("{farewell:?} by us {}", ended.by_us));
        }
        vec![]
    }

    fn settles(&mut self) -> Option<Value> {
        Some(question(99))
    }
}

struct Asking {
    log: Rc<RefCell<Vec<String>>>,
    plain: bool,
    before: Option<u32>,
}

impl Strategy for Asking {
    fn task(&mut self) -> Task {
        let (log, plain, before) = (self.log.clone(), self.plain, self.before);
        let dialogue = Box::new(Asker { log, plain, before });
        Task::Negotiate { objective: objective(100), discovery: secs(1), flush: false, dialogue }
    }

    fn requested(&mut self, _: &Objective) -> Box<dyn Dialogue> {
        Box::new(Asker { log: self.log.clone(), plain: false, before: self.before })
    }
}

struct Bench {
    core: NegotiatorCore,
    log: Rc<RefCell<Vec<String>>>,
    now: Time,
}

impl Bench {
    fn new(plan: NegotiatorPlan, plain: bool) -> Self {
        Self::with(plan, plain, None)
    }

    fn with(plan: NegotiatorPlan, plain: bool, before: Option<u32>) -> Self {
        let log = Rc::default();
        let core = NegotiatorCore::new(Box::new(Asking { log: Rc::clone(&log), plain, before }), plan);
        Self { core, log, now: Time::default() }
    }

    /// What the core wants, but for lines for people.
    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.core.poll()).filter(|output| !matches!(output, Output::Say(..))).collect()
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        self.core.handle(self.now, input);
        self.drain()
    }

    /// Goes to the next point in time at which something is due.
    fn due(&mut self) -> (Duration, Vec<Output>) {
        let due = self.core.deadline().expect("something is due");
        let passed = due.since(self.now);
        self.now = self.now.max(due);
        self.core.wake(self.now);
        (passed, self.drain())
    }

    fn found(&mut self, key: u64, hosts: &[u16]) -> Vec<Output> {
        self.feed(Input::Discovered(key, Ok(hosts.iter().map(|host| peer(*host)).collect())))
    }

    fn fails(&mut self, key: u64, code: ErrorCode) -> Vec<Output> {
        self.feed(Input::Answered(key, Err(Failure { error: Error::from(code), open: false })))
    }

    fn settled(&mut self, key: u64) -> Vec<Output> {
        self.feed(Input::Settled(key, Ok(Value::null())))
    }
}

fn discover(key: u64, timeout: u64, flush: bool) -> Output {
    Output::Discover { key, objective: objective(0).with_value(Value::null()), timeout: secs(timeout), flush }
}

fn request(key: u64, value: u32, host: u16) -> Output {
    Output::Request { key, objective: objective(value), peer: peer(host), timeout: secs(60) }
}

fn consult(key: u64, host: u16, mutual: bool, number: u32) -> Output {
    Output::Consult(Some(key), Counsel { peer: Some(address(host)), mutual, question: question(number) })
}

fn settle(key: u64) -> Output {
    Output::Settle(key, Counsel { peer: None, mutual: false, question: question(99) })
}

fn over(key: u64, ending: Ending, value: u32, reason: &str) -> Output {
    Output::Over { key, ending, objective: Some(objective(value)), reason: Some(reason.to_owned()) }
}

/// ASA-R-16: refused or silent, the next one is asked; when all are dead the cache is flushed and the network asked.
#[test]
fn a_dead_locator_leads_to_the_next_and_then_to_a_new_discovery() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    assert_eq!(
        bench.feed(Input::Started),
        [Output::Listen(true), Output::Open(1, objective(100)), discover(1, 0, false)]
    );
    assert_eq!(bench.found(1, &[1, 2, 3]), [request(1, 100, 1)]);
    assert_eq!(bench.fails(1, ErrorCode::NoNegotiationReply), [request(1, 100, 2)]);
    assert_eq!(bench.fails(1, ErrorCode::SocketNegotiationRequest), [request(1, 100, 3)]);
    assert_eq!(bench.fails(1, ErrorCode::SocketNegotiationRequest), [discover(1, 1, true)]);
    assert_eq!(bench.found(1, &[2]), [request(1, 100, 2)], "a discovery revives");
    let outputs = bench.fails(1, ErrorCode::SocketNegotiationRequest);
    assert_eq!(outputs, [settle(1), over(1, Ending::Failed, 100, "Socket error sending negotiation request (#18)")]);
}

/// A peer that closes at once is busy more often than gone.
#[test]
fn a_busy_peer_is_asked_again_after_doubling_pauses() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    bench.feed(Input::Started);
    bench.found(1, &[1, 2]);
    for pause in [40, 80, 160] {
        assert_eq!(bench.fails(1, ErrorCode::NoPeer), []);
        assert_eq!(bench.due(), (Duration::from_millis(pause), vec![request(1, 100, 1)]));
    }
    assert_eq!(bench.fails(1, ErrorCode::NoPeer), [request(1, 100, 2)]);
}

/// ASA-R-03, ASA-R-04: with a peer that always declines the gaps grow, and after three failures everything is looked for
/// anew.
#[test]
fn gaps_grow_when_a_peer_always_declines() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    let mut outputs = bench.feed(Input::Started);
    let mut gaps = Vec::new();
    for attempt in 0..8_u32 {
        let key = u64::from(attempt) * 2 + 1;
        let flush = attempt > 0 && attempt % 3 == 0;
        assert!(outputs.contains(&discover(key, 0, flush)), "{attempt}: {outputs:?}");
        let mut found = bench.found(key, if flush { &[] } else { &[1] });
        if flush {
            assert_eq!(found, [discover(key, 1, false)]);
            found = bench.found(key, &[1]);
        }
        // The peer's own pause may be a little longer than that of the objective.
        let mut waited = Duration::ZERO;
        while found != [request(key, 100, 1)] {
            if found.is_empty() {
                let (passed, next) = bench.due();
                waited += passed;
                found = next;
            } else {
                assert!(matches!(found[..], [Output::Discover { .. }]), "{found:?}");
                found = bench.found(key, &[1]);
            }
        }
        if let Some(gap) = gaps.last_mut() {
            *gap += waited;
        }
        bench.fails(key, ErrorCode::Declined);
        assert_eq!(bench.settled(key), [], "the next attempt waits");
        let (gap, next) = bench.due();
        gaps.push(gap);
        outputs = next;
    }
    assert!(gaps[..7].windows(2).all(|pair| pair[1] > pair[0]), "{gaps:?}");
}

/// ASA-R-05: after the period the network is asked although a peer is known.
#[test]
fn a_second_supplier_is_found_without_failures() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    bench.feed(Input::Started);
    assert_eq!(bench.found(1, &[]), [discover(1, 1, false)]);
    bench.found(1, &[1]);
    bench.feed(Input::Answered(1, Ok(Proposal::Accepted(objective(100)))));
    bench.now = bench.now + secs(300);
    assert_eq!(bench.settled(1), [Output::Open(3, objective(100)), discover(3, 1, false)]);
    assert_eq!(bench.found(3, &[2, 1]), [request(3, 100, 1)], "the good peer stays the first");
}

/// ASA-R-09, COM-18: declined or not understood, the same peer is asked once more without optional features.
#[test]
fn a_request_is_made_plainer_once() {
    for code in [ErrorCode::Declined, ErrorCode::NoValidStep] {
        let mut bench = Bench::new(NegotiatorPlan::default(), true);
        bench.feed(Input::Started);
        bench.found(1, &[1, 2]);
        let outputs = bench.fails(1, code);
        assert!(matches!(&outputs[0], Output::Over { key: 1, .. }), "{outputs:?}");
        assert_eq!(outputs[1..], [Output::Open(3, objective(1)), request(3, 1, 1)]);
        assert!(bench.log.borrow().is_empty(), "the dialogue goes on");
        let outputs = bench.fails(3, code);
        assert!(matches!(&outputs[..], [Output::Settle(3, _), Output::Over { key: 3, .. }]), "{outputs:?}");
        assert_eq!(bench.log.borrow().len(), 1);
    }
    // A decline that follows an offer says nothing about features.
    let mut bench = Bench::new(NegotiatorPlan::default(), true);
    bench.feed(Input::Started);
    bench.found(1, &[1]);
    bench.feed(Input::Answered(1, Ok(Proposal::Offered(objective(5)))));
    bench.feed(Input::Advised(Some(1), Ok(Value::null())));
    let outputs = bench.feed(Input::Closed(1, Err(Error::new(ErrorCode::Declined, "no"))));
    assert_eq!(outputs, [settle(1), over(1, Ending::Declined, 5, "no")]);
}

/// ASA-R-07: what cannot be understood is declined with a reason.
#[test]
fn a_malformed_value_is_declined_with_a_reason() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    bench.feed(Input::Started);
    let text = objective(0).with_value(Value::item("text").unwrap());
    let outputs = bench.feed(Input::Requested(2, text, opened(None)));
    assert_eq!(outputs, [Output::End(2, Err("no number".into()))]);
}

/// PM-O-04, COM-04: while the advisor thinks the peer is asked to wait, first within its second and then before each wait
/// is over.
#[test]
fn a_peer_is_asked_to_wait_while_the_advisor_thinks() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    bench.feed(Input::Started);
    bench.found(1, &[1]);
    let outputs = bench.feed(Input::Requested(2, objective(7), opened(Some(address(2)))));
    assert_eq!(outputs, [consult(2, 2, false, 7)]);
    let wait = || vec![Output::Wait(2, secs(10))];
    assert_eq!(bench.due(), (Duration::from_millis(500), wait()));
    assert_eq!(bench.due(), (Duration::from_millis(7_500), wait()));
    assert_eq!(bench.due(), (Duration::from_millis(7_500), wait()));
    let outputs = bench.feed(Input::Advised(Some(2), Ok(Value::null())));
    assert_eq!(outputs, [Output::End(2, Ok(()))]);
    assert_eq!(*bench.log.borrow(), ["answered true after 15.5s"]);
    // An advisor that never answers does not keep the peer for ever.
    bench.feed(Input::Requested(4, objective(8), opened(Some(address(2)))));
    let begun = bench.now;
    loop {
        let (_, outputs) = bench.due();
        if outputs == [Output::End(4, Err("no answer in time".into()))] {
            break;
        }
        assert!(bench.now.since(begun) <= secs(60), "{outputs:?}");
    }
    assert_eq!(bench.now.since(begun), secs(60));
}

/// PM-R-11: the advisor is told when the asker is one whom this node asks itself.
#[test]
fn the_advisor_learns_of_mutual_requests() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    bench.feed(Input::Started);
    bench.found(1, &[1]);
    assert_eq!(bench.feed(Input::Requested(2, objective(7), opened(Some(address(1))))), [consult(2, 1, true, 7)]);
    assert_eq!(bench.feed(Input::Requested(4, objective(7), opened(Some(address(2))))), [consult(4, 2, false, 7)]);
}

/// A promise that comes after its session is over is given back: the dialogue hears the answer and settles.
#[test]
fn a_late_answer_is_settled() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    bench.feed(Input::Started);
    bench.feed(Input::Requested(2, objective(7), opened(None)));
    let outputs = bench.fails(2, ErrorCode::NoPeer);
    assert!(matches!(&outputs[..], [Output::Over { key: 2, .. }]), "nothing to settle yet: {outputs:?}");
    assert_eq!(bench.core.sessions(), 2);
    assert_eq!(bench.feed(Input::Advised(Some(2), Ok(Value::null()))), [settle(2)]);
    assert_eq!(bench.log.borrow()[1], "answered true after 0ns");
    bench.settled(2);
    assert_eq!(bench.core.sessions(), 1, "only its own request is left");
}

/// ASA-L-08: a deactivated role listens no more and starts nothing, but ends what is open; activation goes on.
#[test]
fn a_deactivated_negotiator_ends_what_is_open_and_starts_nothing() {
    let peers = PeersPlan::BY_STRATEGY;
    let mut bench = Bench::new(NegotiatorPlan { mode: Mode::Inactive, peers, ..NegotiatorPlan::default() }, false);
    assert_eq!(bench.feed(Input::Started), [], "it begins as it is told");
    let begun = bench.feed(Input::Control(Control::Activate));
    assert_eq!(begun, [Output::Listen(true), Output::Open(1, objective(100)), discover(1, 0, false)]);
    bench.found(1, &[1]);
    bench.feed(Input::Requested(2, objective(7), opened(None)));
    assert_eq!(bench.feed(Input::Control(Control::Deactivate)), [Output::Listen(false)]);
    assert_eq!(bench.feed(Input::Control(Control::Deactivate)), []);
    // A request that was handed over when listening ended is served.
    let late = bench.feed(Input::Requested(4, objective(7), opened(None)));
    assert!(!late.is_empty() && !late.iter().any(|output| matches!(output, Output::End(..))), "{late:?}");
    assert_eq!(bench.feed(Input::Advised(Some(4), Ok(Value::null()))), [Output::End(4, Ok(()))]);
    bench.feed(Input::Closed(4, Ok(())));
    bench.settled(4);
    assert_eq!(bench.feed(Input::Advised(Some(2), Ok(Value::null()))), [Output::End(2, Ok(()))]);
    bench.feed(Input::Closed(2, Ok(())));
    bench.settled(2);
    bench.feed(Input::Answered(1, Ok(Proposal::Accepted(objective(100)))));
    assert_eq!((bench.settled(1), bench.core.sessions()), (vec![], 0), "drained");
    assert_eq!(bench.core.deadline(), None);
    let again = bench.feed(Input::Control(Control::Activate));
    assert_eq!(again, [Output::Listen(true), Output::Open(3, objective(100)), discover(3, 0, false)]);
}

/// Whoever is stopped does not know whether its last word has left: the dialogue is told so.
#[test]
fn a_stop_leaves_the_last_word_in_doubt() {
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    bench.feed(Input::Started);
    bench.feed(Input::Requested(2, objective(7), opened(None)));
    bench.feed(Input::Advised(Some(2), Ok(Value::null())));
    let outputs = bench.feed(Input::Control(Control::Stop));
    assert!(outputs.contains(&settle(2)), "{outputs:?}");
    assert_eq!(bench.log.borrow().last().unwrap(), "ended Accepted Some(19)");
    assert_eq!(bench.core.sessions(), 0);
}

fn prepare(key: u64, host: u16, number: u32) -> Output {
    Output::Prepare(key, Counsel { peer: Some(address(host)), mutual: false, question: question(number) })
}

/// PM-S-03, PM-S-04: the request leaves after the advisor has answered, and every attempt is prepared anew.
#[test]
fn a_request_leaves_when_the_advisor_has_written_it_down() {
    let mut bench = Bench::with(NegotiatorPlan::default(), true, Some(5));
    bench.feed(Input::Started);
    assert_eq!(bench.found(1, &[1, 2]), [request(1, 100, 1)]);
    assert_eq!(bench.feed(Input::Opened(1, opened(Some(address(1))))), [prepare(1, 1, 5)]);
    assert_eq!(bench.feed(Input::Prepared(1, Ok(Value::null()))), [Output::Go(1, Ok(()))]);
    // The next peer, and the same one once more without optional features, are sessions of their own.
    assert_eq!(bench.fails(1, ErrorCode::SocketNegotiationRequest), [request(1, 100, 2)]);
    assert_eq!(bench.feed(Input::Opened(1, opened(None))), [prepare(1, 2, 5)]);
    bench.feed(Input::Prepared(1, Ok(Value::null())));
    assert_eq!(bench.fails(1, ErrorCode::Declined)[1..], [Output::Open(3, objective(1)), request(3, 1, 2)]);
    assert_eq!(bench.feed(Input::Opened(3, opened(None))), [prepare(3, 2, 5)]);
    assert_eq!(*bench.log.borrow(), ["opened 7 true", "opened 7 false", "opened 7 false"]);
    // Who has nothing to ask goes at once.
    let mut bench = Bench::new(NegotiatorPlan::default(), false);
    bench.feed(Input::Started);
    bench.found(1, &[1]);
    assert_eq!(bench.feed(Input::Opened(1, opened(None))), [Output::Go(1, Ok(()))]);
}

/// PM-S-03, PM-S-19: what cannot be written down is not asked for, of nobody; and that is no peer's fault.
#[test]
fn a_request_that_cannot_be_written_down_does_not_leave() {
    let mut bench = Bench::with(NegotiatorPlan::default(), true, Some(5));
    bench.feed(Input::Started);
    bench.found(1, &[1, 2]);
    bench.feed(Input::Opened(1, opened(None)));
    assert_eq!(bench.feed(Input::Prepared(1, Err("disk full".into()))), [Output::Go(1, Err("disk full".into()))]);
    let error = Error::new(ErrorCode::Unspecified, "disk full");
    let outputs = bench.feed(Input::Answered(1, Err(Failure { error, open: false })));
    assert_eq!(outputs, [settle(1), over(1, Ending::Failed, 100, "Unspecified error (#3): disk full")]);
    assert_eq!(*bench.log.borrow(), ["opened 7 false", "ended Failed Some(3)"]);
    // The peer that was to be asked is asked the next time.
    bench.settled(1);
    bench.due();
    assert_eq!(bench.found(3, &[1, 2]), [request(3, 100, 1)]);
}

/// PM-S-03: what a session leaves behind comes after the answer to what it asked before its request.
#[test]
fn a_session_is_settled_after_it_was_prepared() {
    let mut bench = Bench::with(NegotiatorPlan::default(), false, Some(5));
    bench.feed(Input::Started);
    bench.found(1, &[1]);
    bench.feed(Input::Opened(1, opened(None)));
    let error = Error::new(ErrorCode::Unspecified, "took too long");
    let outputs = bench.feed(Input::Answered(1, Err(Failure { error, open: false })));
    assert_eq!(outputs, [over(1, Ending::Failed, 100, "Unspecified error (#3): took too long")]);
    assert_eq!(bench.feed(Input::Prepared(1, Ok(Value::null()))), [settle(1)]);
}

/// On the responder's side the dialogue knows its session before the proposal; a question is put by a turn only.
#[test]
fn a_responder_knows_its_session() {
    let plan = NegotiatorPlan { mode: Mode::Inactive, ..NegotiatorPlan::default() };
    let mut bench = Bench::with(plan, false, Some(5));
    bench.feed(Input::Started);
    assert_eq!(bench.feed(Input::Requested(2, objective(8), opened(Some(address(2))))), [consult(2, 2, false, 8)]);
    assert_eq!(*bench.log.borrow(), ["opened 7 true"]);
}

/// PM-S-07: the dialogue learns that the peer has closed in order, whose turn it ever was; a reset tells nothing.
#[test]
fn a_dialogue_learns_of_an_orderly_end() {
    let plan = || NegotiatorPlan { mode: Mode::Inactive, ..NegotiatorPlan::default() };
    for (ending, orderly) in [
        (Some(StreamEnd::Orderly), " orderly"),
        (Some(StreamEnd::Unclear), ""),
        (Some(StreamEnd::Reset), ""),
        (None, ""),
    ] {
        let error = |code| Error { ending, ..Error::from(code) };
        let mut bench = Bench::new(plan(), false);
        bench.feed(Input::Started);
        bench.feed(Input::Requested(2, objective(7), opened(None)));
        bench.feed(Input::Answered(2, Err(Failure { error: error(ErrorCode::NoPeer), open: false })));
        assert_eq!(bench.log.borrow()[0], format!("ended Failed Some(23){orderly}"));
        let mut bench = Bench::new(plan(), false);
        bench.feed(Input::Started);
        bench.feed(Input::Requested(2, objective(7), opened(None)));
        bench.feed(Input::Advised(Some(2), Ok(Value::null())));
        bench.feed(Input::Closed(2, Err(error(ErrorCode::NoSocket))));
        assert_eq!(bench.log.borrow()[1], format!("ended Failed Some(20){orderly}"));
    }
}

/// PM-S-09, PM-S-10: the dialogue learns what became of its acceptance before it is settled.
#[test]
fn a_dialogue_learns_what_became_of_its_acceptance() {
    let listening = || {
        let mut bench = Bench::new(NegotiatorPlan::default(), false);
        bench.feed(Input::Started);
        bench.found(1, &[1]);
        bench.feed(Input::Answered(1, Ok(Proposal::Offered(objective(5)))));
        assert_eq!(bench.feed(Input::Advised(Some(1), Ok(question(HEARD)))), [Output::AcceptHeard(1, secs(5))]);
        bench.log.borrow_mut().clear();
        bench
    };
    for (farewell, ending) in
        [(Farewell::Clean, "Accepted"), (Farewell::Silent, "Accepted"), (Farewell::Reset, "Failed")]
    {
        let mut bench = listening();
        let outputs = bench.feed(Input::Parted(1, Ok(farewell)));
        assert!(matches!(&outputs[..], [Output::Settle(1, _), Output::Over { key: 1, .. }]), "{outputs:?}");
        assert_eq!(*bench.log.borrow(), [format!("ended {ending} None"), format!("{farewell:?} by us true")]);
    }
    // The peer had closed: nothing has left.
    let mut bench = listening();
    let error = Error::from(ErrorCode::NoSocket).with_ending(StreamEnd::Orderly);
    bench.feed(Input::Parted(1, Err(error)));
    assert_eq!(*bench.log.borrow(), ["ended Failed Some(20) orderly"]);
    // Nobody listens any more when the instance ends.
    let mut bench = listening();
    bench.feed(Input::Control(Control::Stop));
    assert_eq!(*bench.log.borrow(), ["ended Accepted Some(19)"]);
}
