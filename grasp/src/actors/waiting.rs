//! Connections that have yet to show what they are for, bounded in number.

use crate::protocol::Time;
use crate::protocol::doorman::Doorman;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Those that wait, oldest first. When there is no room the oldest makes it; but who holds more than half of the room makes it
/// for itself, so that one address keeps no other out.
pub(crate) struct Waiting {
    room: usize,
    /// Dropping the sender closes the connection.
    open: VecDeque<(IpAddr, oneshot::Sender<()>)>,
}

impl Waiting {
    pub(crate) fn new(room: usize) -> Self {
        Self { room: room.max(1), open: VecDeque::new() }
    }

    /// Enters a connection. What is returned ends when it has to close; the other is whether one made room.
    pub(crate) fn enter(&mut self, from: IpAddr) -> (oneshot::Receiver<()>, bool) {
        self.open.retain(|(_, one)| !one.is_closed());
        let full = self.open.len() >= self.room;
        if full {
            let its = |(address, _): &(IpAddr, oneshot::Sender<()>)| *address == from;
            let greedy = 2 * self.open.iter().filter(|one| its(one)).count() > self.room;
            let oldest = if greedy { self.open.iter().position(its) } else { Some(0) };
            self.open.remove(oldest.unwrap_or_default());
        }
        let (keep, evicted) = oneshot::channel();
        self.open.push_back((from, keep));
        (evicted, full)
    }
}

/// Who may try to prove membership, shared with those who try.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<Mutex<Doorman>>);

impl Door {
    /// Lets a connection from this address try; `None` if it may not.
    pub(crate) fn admit(&self, now: Time, from: IpAddr) -> Option<Attempt> {
        let admitted = self.doorman(|doorman| doorman.admits(now, from));
        admitted.then(|| Attempt { door: self.clone(), from, proved: false })
    }

    fn doorman<T>(&self, ask: impl FnOnce(&mut Doorman) -> T) -> T {
        ask(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An attempt to prove membership; dropped before that it has failed.
pub(crate) struct Attempt {
    door: Door,
    from: IpAddr,
    proved: bool,
}

impl Attempt {
    /// It has succeeded.
    pub(crate) fn proved(mut self, now: Time) {
        self.proved = true;
        self.door.doorman(|doorman| doorman.proved(now, self.from));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.proved {
            self.door.doorman(|doorman| doorman.failed(self.from));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Waiting;
    use std::net::{IpAddr, Ipv6Addr};
    use tokio::sync::oneshot::error::TryRecvError;

    fn address(n: u16) -> IpAddr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n).into()
    }

    #[test]
    fn one_address_pushes_out_nobody_else() {
        let mut waiting = Waiting::new(8);
        let (mut quiet, made) = waiting.enter(address(1));
        assert!(!made);
        let greedy: Vec<_> = (0..100).map(|_| waiting.enter(address(2))).collect();
        assert_eq!(quiet.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(greedy.iter().filter(|(_, made)| *made).count(), 93);
        let mut open = greedy.into_iter().map(|(one, _)| one).filter_map(|mut one| one.try_recv().err());
        assert_eq!(open.by_ref().filter(|state| *state == TryRecvError::Empty).count(), 7);
    }

    #[test]
    fn the_oldest_makes_room_and_who_has_gone_needs_none() {
        let mut waiting = Waiting::new(2);
        let (mut first, _) = waiting.enter(address(1));
        let (second, _) = waiting.enter(address(2));
        drop(second);
        let (mut third, made) = waiting.enter(address(3));
        assert!(!made);
        let (_fourth, made) = waiting.enter(address(4));
        assert!(made);
        assert_eq!(first.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(third.try_recv(), Err(TryRecvError::Empty));
    }
}
