//! Finds a peer for one request: who is known, who is found, who is next when one cannot be reached.

use crate::machine::Time;
use crate::roles::peers::Peers;
use grasp::{AsaLocator, Error, ErrorCode};
use std::collections::VecDeque;
use std::time::Duration;

/// A peer that closes a request without an answer is busy more often than gone: so many tries, with doubling pauses.
const BUSY_TRIES: u32 = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(40);

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Look for peers so long, zero only at those known; forget those known first.
    Discover { timeout: Duration, flush: bool },
    /// Ask this one.
    Request(AsaLocator),
    /// Do nothing until then.
    Rest(Time),
    /// Give up.
    Fail(Error),
}

/// One search.
#[derive(Debug)]
pub(super) struct Seek {
    /// Time to look on the network.
    discovery: Duration,
    candidates: VecDeque<AsaLocator>,
    at: Option<AsaLocator>,
    tries: u32,
    /// Has looked on the network.
    looked: bool,
    last: Option<Error>,
    /// A request without optional features is not made plainer again.
    pub(super) plain: bool,
}

impl Seek {
    /// Begins with those known, or at once on the network.
    pub(super) fn begin(discovery: Duration, flush: bool, anew: bool) -> (Self, Move) {
        let (candidates, at, last) = (VecDeque::new(), None, None);
        let seek = Self { discovery, candidates, at, tries: 0, looked: anew, last, plain: false };
        (seek, Move::Discover { timeout: if anew { discovery } else { Duration::ZERO }, flush })
    }

    /// Asks one peer and nobody else.
    pub(super) fn again(at: AsaLocator) -> (Self, Move) {
        let (mut seek, _) = Self::begin(Duration::ZERO, false, true);
        seek.at = Some(at.clone());
        seek.plain = true;
        (seek, Move::Request(at))
    }

    /// Whom it has asked last.
    pub(super) fn at(&self) -> Option<&AsaLocator> {
        self.at.as_ref()
    }

    fn next(&mut self) -> Option<Move> {
        self.tries = 0;
        let at = self.candidates.pop_front()?;
        self.at = Some(at.clone());
        Some(Move::Request(at))
    }

    fn look(&mut self, flush: bool) -> Move {
        self.looked = true;
        Move::Discover { timeout: self.discovery, flush }
    }

    pub(super) fn discovered(
        &mut self,
        now: Time,
        peers: &mut Peers,
        found: Result<Vec<AsaLocator>, Error>,
        draw: u64,
    ) -> Move {
        let found = match found {
            Ok(found) => found,
            Err(error) => return Move::Fail(error),
        };
        if self.looked {
            peers.discovered(now, &found, draw);
        }
        let ranked = peers.rank(now, &found);
        self.candidates = ranked.ready.into();
        if let Some(next) = self.next() {
            return next;
        }
        self.at = None;
        match ranked.later {
            // Whoever is known only as dead may listen elsewhere by now, long before the old port is forgotten.
            later if !self.looked => self.look(later.is_none() && !found.is_empty()),
            Some(later) => Move::Rest(later),
            None => Move::Fail(self.last.take().unwrap_or_else(|| ErrorCode::NoDiscoveryReply.into())),
        }
    }

    /// The pause of [`Move::Rest`] is over.
    pub(super) fn rested(&self) -> Move {
        match &self.at {
            Some(at) => Move::Request(at.clone()),
            None => Move::Discover { timeout: Duration::ZERO, flush: false },
        }
    }

    /// The request has failed before there was an offer (ASA-R-16).
    pub(super) fn refused(&mut self, now: Time, peers: &mut Peers, error: Error, draw: u64) -> Move {
        let Some(at) = self.at.clone() else { return Move::Fail(error) };
        if error.code == ErrorCode::NoPeer && self.tries + 1 < BUSY_TRIES {
            let pause = BUSY_PAUSE * (1 << self.tries);
            self.tries += 1;
            return Move::Rest(now + pause);
        }
        let unreachable = error.code == ErrorCode::SocketNegotiationRequest;
        if unreachable {
            peers.unreachable(&at);
        } else {
            peers.failed(now, &at, draw);
        }
        if !matches!(
            error.code,
            ErrorCode::NoPeer
                | ErrorCode::SocketNegotiationRequest
                | ErrorCode::NoNegotiationReply
                | ErrorCode::NoReply
        ) {
            return Move::Fail(error);
        }
        self.last = Some(error.clone());
        match self.next() {
            Some(next) => next,
            // Who has restarted since may listen elsewhere.
            None if unreachable && !self.looked => self.look(true),
            None => Move::Fail(error),
        }
    }
}
