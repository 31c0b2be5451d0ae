//! The end of an accepted negotiation: what the connection tells whoever listens after its acceptance, and the time that
//! the other side has to make it last.

use super::{Negotiation, Turn};
use crate::error::{Error, ErrorCode, StreamEnd};
use crate::protocol::Time;
use crate::protocol::session::{Farewell, Note, Outcome, Output};
use crate::wire::{EndOption, Message};
use std::time::Duration;

/// How long the connection is kept after the peer's acceptance while its holder makes that durable.
pub(super) const ACCEPTED_HOLD: Duration = Duration::from_secs(5);

/// An acceptance of this side whose fate is awaited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parting {
    limit: Duration,
    settle: Duration,
    /// When the acceptance has left.
    left: Option<Time>,
    /// When it is asked whether the connection has been reset after its end.
    probe: Option<Time>,
    probing: bool,
}

impl Parting {
    /// The peer has closed: only a reset may still come.
    pub(super) fn is_ending(&self) -> bool {
        self.probe.is_some()
    }
}

impl Negotiation {
    /// Accepts, and waits for the peer's close.
    pub(super) fn part_heard(&mut self, now: Time, id: u64, limit: Duration, settle: Duration) {
        let message = Message::End { session_id: self.config.session_id, option: EndOption::Accept };
        if let Some(error) = self.too_long(&message.encode()) {
            self.outputs.push_back(Output::Reply(id, Err(error)));
            return;
        }
        self.pending = Some(id);
        self.turn = Turn::Parting;
        self.own_wait = None;
        self.parting = Some(Parting { limit, settle, left: None, probe: None, probing: false });
        self.send(now, &message);
    }

    /// A message has left; if it was the acceptance, the peer's time begins.
    pub(super) fn acceptance_left(&mut self, now: Time) {
        if let Some(parting) = self.parting.as_mut().filter(|parting| parting.left.is_none() && self.delayed.is_empty())
        {
            parting.left = Some(now);
            self.deadline = Some(now + parting.limit);
        }
    }

    fn parted(&mut self, farewell: Farewell) {
        self.end(Ok(Outcome::Parted(farewell)));
    }

    /// What comes after the acceptance. A decline tells that the peer had given up before it could hear of that.
    pub(super) fn received_parting(&mut self, message: Message) {
        match message {
            Message::End { option: EndOption::Decline(reason), .. } => {
                self.end(Err(Error::new(ErrorCode::Declined, reason.unwrap_or_default())));
            }
            Message::Invalid { .. } => {
                self.end(Err(Error::new(ErrorCode::NoValidStep, "the peer did not understand the last message")));
            }
            Message::Noop => {}
            Message::End { .. }
            | Message::Negotiate { .. }
            | Message::Wait { .. }
            | Message::Synch { .. }
            | Message::Discovery { .. }
            | Message::Response { .. }
            | Message::RequestNegotiation { .. }
            | Message::RequestSynchronization { .. }
            | Message::Flood { .. } => self.note(Note::OutOfPlace),
        }
    }

    pub(super) fn disconnected_parting(&mut self, now: Time, ending: StreamEnd) {
        let Some(parting) = &mut self.parting else { return };
        let Some(left) = parting.left else {
            // It must not leave any more (PM-S-09).
            self.delayed.clear();
            let error = Error::new(ErrorCode::NoSocket, "the peer has closed the connection before the acceptance");
            return self.end(Err(error.with_ending(ending)));
        };
        match ending {
            StreamEnd::Reset => self.parted(Farewell::Reset),
            StreamEnd::Unclear => {
                let error = Error::new(ErrorCode::CborFail, "the connection ended inside a message");
                self.end(Err(error.with_ending(ending)));
            }
            // What arrives at a connection that was closed already is answered with a reset, a little later. If the acceptance
            // has been lost, TCP repeats it with pauses that double (RFC 6298), and so within twice the time since it left.
            StreamEnd::Orderly => {
                parting.probe = Some(now + parting.settle + now.since(left) * 2);
                self.deadline = None;
            }
        }
    }

    /// The time of the peer, or that for a reset to come, may be over.
    pub(super) fn wake_parting(&mut self, now: Time) {
        let over = |due: Option<Time>| due.is_some_and(|due| due <= now);
        let Some(parting) = &mut self.parting else { return };
        if over(parting.probe) && !parting.probing {
            parting.probing = true;
            self.outputs.push_back(Output::Probe);
        } else if over(self.deadline) || over(self.limit) && parting.probe.is_none() {
            self.delayed.clear();
            self.parted(Farewell::Silent);
        }
    }

    pub(super) fn probed(&mut self, reset: bool) {
        if self.turn == Turn::Parting && self.parting.is_some_and(|parting| parting.probing) {
            self.parted(if reset { Farewell::Reset } else { Farewell::Clean });
        }
    }

    /// A message could not be written.
    pub(super) fn send_failed_parting(&mut self) {
        self.delayed.clear();
        self.parted(Farewell::Reset);
    }

    /// When something is due after the acceptance of this side.
    pub(super) fn parting_due(&self) -> Option<Time> {
        let parting = self.parting.filter(|_| self.turn == Turn::Parting)?;
        parting.probe.filter(|_| !parting.probing)
    }
}
