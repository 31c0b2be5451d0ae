//! The sessions of a node, and the session ids in use. Whatever holds an entry removes it by being dropped, also when the
//! actor that held it has failed; so no entry outlives what it stands for.

use super::session::{Abandon, Session, Target};
use crate::api::dump::Kind;
use crate::protocol::places::Places;
use crate::protocol::session_id::{Maker, SessionIds};
use crate::protocol::{AsaHandle, Time};
use crate::shell::Clock;
use crate::wire::SessionId;
use actix::Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A session that holds a place.
pub(crate) struct Occupant {
    pub(crate) session_id: SessionId,
    pub(crate) objective: String,
    pub(crate) kind: Kind,
    pub(crate) peer: Target,
    pub(crate) since: Time,
    /// A request waits for its owner; the answer to a synchronization never has one.
    pub(crate) owner: Option<(AsaHandle, Addr<Session>)>,
}

/// What stands in a ledger.
pub(crate) struct Entries {
    clock: Clock,
    pub(crate) ids: SessionIds,
    pub(crate) places: Places<Occupant>,
}

impl Entries {
    /// Tells the sessions of an ASA to end: all of them, or those about one objective.
    pub(crate) fn abandon(&self, asa: AsaHandle, objective: Option<&str>) {
        for (_, _, occupant) in self.places.iter() {
            if let Some((owner, session)) = &occupant.owner
                && *owner == asa
                && objective.is_none_or(|name| name == occupant.objective)
            {
                session.do_send(Abandon);
            }
        }
    }
}

impl Drop for Entries {
    /// No session outlives the node that knows of it.
    fn drop(&mut self) {
        for (_, _, occupant) in self.places.iter() {
            if let Some((_, session)) = &occupant.owner {
                session.do_send(Abandon);
            }
        }
    }
}

/// The ledger; the node alone keeps it alive.
pub(crate) struct Ledger(Arc<Mutex<Entries>>);

impl Ledger {
    pub(crate) fn new(clock: Clock, ids: SessionIds) -> Self {
        Self(Arc::new(Mutex::new(Entries { clock, ids, places: Places::default() })))
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a session whose id `maker` has made.
    pub(crate) fn take(&self, key: u64, maker: Maker, occupant: Occupant) -> Slot {
        let session_id = occupant.session_id;
        self.entries().places.take(key, maker, occupant);
        Slot { key, session_id, ledger: Arc::downgrade(&self.0) }
    }

    /// Makes ids for the messages of one question.
    pub(crate) fn lend(&self, count: usize) -> Lent {
        let mut entries = self.entries();
        let now = entries.clock.now();
        let ids = (0..count).map(|_| entries.ids.allocate(now)).collect();
        drop(entries);
        Lent { ids, ledger: Arc::downgrade(&self.0) }
    }
}

/// A session's place; dropped, it is free, and so is the session id.
pub(crate) struct Slot {
    pub(crate) key: u64,
    pub(crate) session_id: SessionId,
    ledger: Weak<Mutex<Entries>>,
}

impl Slot {
    /// From now on the session belongs to an ASA.
    pub(crate) fn belongs(&self, asa: AsaHandle, session: Addr<Session>) {
        with(&self.ledger, |entries| {
            if let Some(occupant) = entries.places.get_mut(self.key) {
                occupant.owner = Some((asa, session));
            }
        });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let left = with(&self.ledger, |entries| {
            let (maker, occupant) = entries.places.leave(self.key)?;
            entries.ids.release(entries.clock.now(), occupant.session_id, maker);
            Some(occupant)
        });
        drop(left);
    }
}

/// Session ids that belong to no session; dropped, they are free.
pub(crate) struct Lent {
    pub(crate) ids: Vec<SessionId>,
    ledger: Weak<Mutex<Entries>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        with(&self.ledger, |entries| {
            let now = entries.clock.now();
            self.ids.iter().for_each(|id| entries.ids.release(now, *id, Maker::Us));
        });
    }
}

/// Looks into a ledger, unless the node has dropped it.
fn with<T>(ledger: &Weak<Mutex<Entries>>, look: impl FnOnce(&mut Entries) -> T) -> Option<T> {
    let ledger = ledger.upgrade()?;
    let looked = look(&mut ledger.lock().unwrap_or_else(PoisonError::into_inner));
    Some(looked)
}
