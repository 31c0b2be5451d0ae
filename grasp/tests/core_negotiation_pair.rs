//! Two negotiation cores joined by a lossless channel, driven by random strategies at random times.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use grasp::protocol::negotiation::Negotiation;
use grasp::protocol::session::{Call, Input, Note, Outcome, Output, SessionConfig};
use grasp::protocol::{Machine, Time};
use grasp::wire::{Message, Objective, Value};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;
use support::*;

const GAP: Duration = Duration::from_millis(300);

/// One end: its core, its ASA, and the wire towards it.
struct Side {
    core: Negotiation,
    inbox: VecDeque<(Time, Message)>,
    /// When the ASA decides about what.
    thinking: Option<(Time, Objective)>,
    waits: u8,
    steps: u8,
    closed: bool,
    last_send: Option<Time>,
    /// The value this side has accepted.
    accepted: Option<Value>,
    /// The value this side was told the peer has accepted.
    agreed: Option<Value>,
}

struct Pair {
    sides: [Side; 2],
    now: Time,
    rolls: VecDeque<u8>,
    loop_count: u8,
}

impl Pair {
    fn new(objective: &Objective, rolls: Vec<u8>) -> Self {
        let config = SessionConfig { session_id: 7, message_size: 2048, gap: GAP, wait_cap: None, session_cap: None };
        let side = |core| Side {
            core,
            inbox: VecDeque::new(),
            thinking: None,
            waits: 0,
            steps: 0,
            closed: false,
            last_send: None,
            accepted: None,
            agreed: None,
        };
        let left = side(Negotiation::initiator(config.clone(), objective.clone()));
        let right = side(Negotiation::responder(config, objective.clone()));
        Self { sides: [left, right], now: Time::default(), rolls: rolls.into(), loop_count: objective.loop_count }
    }

    fn roll(&mut self, below: u8) -> u8 {
        self.rolls.pop_front().unwrap_or(0) % below
    }

    fn roll_ms(&mut self, unit: u64) -> Duration {
        ms(u64::from(self.roll(255)) * unit)
    }

    fn call(&mut self, who: usize, call: Call) -> Result<(), TestCaseError> {
        self.sides[who].core.handle(self.now, Input::Call(9, call));
        self.drain(who)
    }

    fn decide(&mut self, who: usize, objective: Objective) -> Result<(), TestCaseError> {
        let call = match self.roll(8) {
            0 => {
                self.sides[who].accepted = objective.value;
                if self.roll(2) == 0 { Call::Accept } else { Call::AcceptHeard { limit: ms(300), settle: ms(100) } }
            }
            1 => Call::Decline(None),
            2 | 3 if self.sides[who].waits < 5 => {
                self.sides[who].waits += 1;
                self.sides[who].thinking = Some((self.now + self.roll_ms(5), objective));
                Call::Wait(ms(2_000))
            }
            _ => {
                let value = value(self.roll(255).into());
                Call::Step { objective: objective.with_value(value), timeout: ms(300) + self.roll_ms(10) }
            }
        };
        self.call(who, call)
    }

    fn drain(&mut self, who: usize) -> Result<(), TestCaseError> {
        let mut failed = false;
        while let Some(output) = self.sides[who].core.poll() {
            match output {
                Output::Send(raw) => self.send(who, message(&raw))?,
                Output::Reply(_, Ok(Outcome::Offered(objective))) => {
                    self.sides[who].thinking = Some((self.now + self.roll_ms(5), objective));
                }
                Output::Reply(_, Ok(Outcome::Accepted(objective))) => self.sides[who].agreed = objective.value,
                Output::Reply(_, Ok(_)) => {}
                Output::Reply(_, Err(_)) => failed = true,
                Output::Noted(note) => prop_assert_eq!(note, Note::Overdue),
                Output::Probe => self.sides[who]
                    .core
                    .handle(self.now, Input::Probed { reset: self.now.0.as_millis().is_multiple_of(2) }),
                Output::Close => prop_assert!(!std::mem::replace(&mut self.sides[who].closed, true), "closed twice"),
            }
        }
        // A step that was refused leaves the ASA with declining.
        if failed && self.sides[who].core.deadline().is_none() && !self.sides[who].closed {
            self.call(who, Call::Decline(None))?;
        }
        Ok(())
    }

    fn send(&mut self, who: usize, sent: Message) -> Result<(), TestCaseError> {
        let now = self.now;
        let delay = ms(u64::from(self.roll(100)));
        let side = &mut self.sides[who];
        prop_assert!(!side.closed, "nothing is sent after the end");
        prop_assert!(side.last_send.is_none_or(|last| now >= last + GAP), "{:?} is too early", sent);
        side.last_send = Some(now);
        if let Message::Negotiate { objective, .. } = &sent {
            prop_assert_eq!(objective.loop_count, self.loop_count - 1, "each proposal takes one");
            prop_assert!(objective.loop_count > 0);
            self.loop_count = objective.loop_count;
            side.steps += 1;
        }
        let inbox = &mut self.sides[1 - who].inbox;
        let arrival = inbox.back().map_or(now + delay, |(last, _)| (now + delay).max(*last));
        inbox.push_back((arrival, sent));
        Ok(())
    }

    /// Lets the next thing happen; `false` if nothing is left.
    fn advance(&mut self) -> Result<bool, TestCaseError> {
        let due = |side: &Side| {
            let arrival = side.inbox.front().map(|(time, _)| *time);
            let thought = side.thinking.as_ref().map(|(time, _)| *time);
            [arrival, thought, side.core.deadline()].into_iter().flatten().min()
        };
        let Some((time, who)) = (0..2).filter_map(|who| Some((due(&self.sides[who])?, who))).min() else {
            return Ok(false);
        };
        self.now = self.now.max(time);
        let side = &mut self.sides[who];
        if side.inbox.front().is_some_and(|(arrival, _)| *arrival <= self.now) {
            let (_, message) = side.inbox.pop_front().unwrap();
            side.last_send = None;
            if let Message::RequestNegotiation { objective, .. } = message {
                side.thinking = Some((self.now + ms(10), objective));
            } else {
                side.core.handle(self.now, Input::Received(message));
            }
        } else if side.thinking.as_ref().is_some_and(|(when, _)| *when <= self.now) {
            let (_, objective) = side.thinking.take().unwrap();
            if !side.closed {
                self.decide(who, objective)?;
            }
        } else {
            side.core.wake(self.now);
        }
        self.drain(who)?;
        for who in [0, 1] {
            // The transport reports the end once everything has arrived.
            if self.sides[1 - who].closed && self.sides[who].inbox.is_empty() && !self.sides[who].closed {
                self.sides[who].core.handle(self.now, Input::Disconnected { mid_message: false, reset: false });
                self.drain(who)?;
            }
        }
        Ok(true)
    }
}

fn negotiate(loop_count: u8, rolls: Vec<u8>) -> Result<(), TestCaseError> {
    let objective = Objective::negotiation("x").with_loop_count(loop_count).with_value(value(1));
    let mut pair = Pair::new(&objective, rolls);
    pair.call(0, Call::Request { objective, timeout: ms(5_000) })?;
    pair.sides[0].core.handle(pair.now, Input::Connected);
    pair.drain(0)?;
    let mut events = 0;
    while pair.advance()? {
        events += 1;
        prop_assert!(events < 500, "it goes on for ever");
    }
    let [left, right] = &pair.sides;
    prop_assert!(left.closed && right.closed, "both sides are over");
    prop_assert!(left.steps + right.steps < loop_count, "at most loop count - 1 counter-proposals");
    for (one, other) in [(left, right), (right, left)] {
        prop_assert!(one.agreed.is_none() || one.agreed == other.accepted, "both sides hold the same value");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// G-NEG-13, G-NEG-15, G-NEG-16, G-NEG-20, G-NEG-21, G-NEG-37, G-NEG-39: whatever the ASAs decide and when, both sides
    /// end, agree on one value, lower the loop count by one with each proposal, and keep the gap between messages.
    #[test]
    fn two_cores_always_end_in_agreement_about_the_outcome(
        loop_count in 1u8..=12,
        rolls in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        negotiate(loop_count, rolls)?;
    }
}

/// G-NEG-21: a plain sequence of offers ends with the same value on both sides.
#[test]
fn agreement_is_reached() {
    let objective = Objective::negotiation("x").with_value(value(1));
    // Delay, step with value 42 and its timeout and delay, time to think, accept.
    let mut pair = Pair::new(&objective, vec![0, 7, 42, 200, 0, 1, 0, 0]);
    pair.call(0, Call::Request { objective, timeout: ms(5_000) }).unwrap();
    pair.sides[0].core.handle(pair.now, Input::Connected);
    pair.drain(0).unwrap();
    while pair.advance().unwrap() {}
    assert_eq!(pair.sides[1].agreed, Some(value(42)));
    assert_eq!(pair.sides[0].accepted, Some(value(42)));
}
