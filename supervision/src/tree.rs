//! All children of a process, to be looked at, watched and drilled.

use crate::fault::Fault;
use crate::guard::{Exit, Exited};
use crate::vitals::{Condition, LastExit, Vitals};
use crate::{Decision, Probe};
use actix::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A handle on all children of a process; cloning gives another.
#[derive(Clone)]
pub struct Tree(Arc<Inner>);

struct Inner {
    epoch: Instant,
    simulated: bool,
    next_id: AtomicU64,
    entries: Mutex<BTreeMap<u64, Entry>>,
    observer: Option<Observer>,
}

/// Hears of every child that ends; must not block.
pub type Observer = Box<dyn Fn(&Incident) + Send + Sync>;

struct Entry {
    vitals: Arc<Vitals>,
    /// The id of the supervisor that it belongs to, itself included; 0 for those that stand alone.
    group: u64,
    /// What the watchdog asks, and whom it tells; those that live once are not watched.
    watched: Option<(Recipient<Probe>, Recipient<Exited>)>,
}

/// What a supervisor has decided about a child that ended.
#[derive(Debug, Clone)]
pub struct Incident {
    /// Whom the child belongs to.
    pub owner: String,
    /// The child.
    pub role: String,
    /// The life that ended.
    pub life: u64,
    /// How it ended.
    pub exit: Exit,
    /// What follows.
    pub decision: Decision,
}

/// A child as an operator sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChildStatus {
    /// Whom it belongs to: `node` or the name of an instance.
    pub asa: String,
    /// What it is called there.
    pub role: String,
    /// The number of its life, from 1.
    pub life: u64,
    /// How often it has been restarted, or how many of its kind have failed.
    pub restarts: u64,
    /// What it is doing.
    pub condition: Condition,
    /// Messages that wait for it.
    pub mailbox: u64,
    /// Milliseconds since it last answered the watchdog; `None` if it never has or is not asked.
    pub watchdog_age_ms: Option<u64>,
    /// How its last life ended, and when.
    pub last_error: Option<LastExit>,
    /// Milliseconds from its last failure until it served again.
    pub last_recovery_ms: Option<f64>,
    /// The worst such time.
    pub worst_recovery_ms: Option<f64>,
}

/// A child to be watched: its id, its vital signs, what to ask it, whom to tell.
pub(crate) type Watched = (u64, Arc<Vitals>, Recipient<Probe>, Recipient<Exited>);

impl Tree {
    /// A tree for a process whose children have threads to block.
    #[must_use]
    pub fn new() -> Self {
        Self::with(false, None)
    }

    /// A tree; `simulated` if all children share one thread, so that a drill must not block it. `observer` hears of every
    /// child that ends; it must not block.
    #[must_use]
    pub fn with(simulated: bool, observer: Option<Observer>) -> Self {
        let (next_id, entries) = (AtomicU64::new(1), Mutex::new(BTreeMap::new()));
        Self(Arc::new(Inner { epoch: Instant::now(), simulated, next_id, entries, observer }))
    }

    /// Time since the tree was made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.epoch.elapsed()
    }

    /// Vital signs for actors that live once and belong to no supervisor; see [`contain`](crate::contain).
    #[must_use]
    pub fn shared(&self, owner: &str, role: &str) -> Arc<Vitals> {
        self.shared_in(0, owner, role)
    }

    pub(crate) fn shared_in(&self, group: u64, owner: &str, role: &str) -> Arc<Vitals> {
        let vitals = self.vitals(owner, role);
        vitals.set(Condition::Running);
        self.insert(self.next_id(), group, vitals.clone(), None);
        vitals
    }

    pub(crate) fn vitals(&self, owner: &str, role: &str) -> Arc<Vitals> {
        Arc::new(Vitals::new(owner, role, self.0.epoch, self.0.simulated))
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.0.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn insert(
        &self,
        id: u64,
        group: u64,
        vitals: Arc<Vitals>,
        watched: Option<(Recipient<Probe>, Recipient<Exited>)>,
    ) {
        self.entries().insert(id, Entry { vitals, group, watched });
    }

    pub(crate) fn remove(&self, id: u64) {
        // Dropped after the lock is released: dropping the last address of an actor may run its code.
        let removed = self.entries().remove(&id);
        drop(removed);
    }

    /// All that belong to a supervisor, itself first.
    pub(crate) fn members(&self, group: u64) -> Vec<(u64, Arc<Vitals>)> {
        let entries = self.entries();
        let members = entries.iter().filter(|(_, entry)| entry.group == group);
        members.map(|(id, entry)| (*id, entry.vitals.clone())).collect()
    }

    pub(crate) fn observe(&self, incident: &Incident) {
        if let Some(observer) = &self.0.observer {
            observer(incident);
        }
    }

    pub(crate) fn watched(&self) -> Vec<Watched> {
        let entries = self.entries();
        let watched = entries.iter().filter_map(|(id, entry)| {
            let (probe, boss) = entry.watched.clone()?;
            Some((*id, entry.vitals.clone(), probe, boss))
        });
        watched.collect()
    }

    /// All children, in the order in which they were started.
    #[must_use]
    pub fn status(&self) -> Vec<ChildStatus> {
        let now = self.now();
        let entries = self.entries();
        entries
            .values()
            .map(|Entry { vitals, .. }| {
                let millis = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
                let age = |beat: Duration| u64::try_from(now.saturating_sub(beat).as_millis()).unwrap_or(u64::MAX);
                let recovery = vitals.recovery();
                ChildStatus {
                    asa: vitals.owner().to_owned(),
                    role: vitals.role().to_owned(),
                    life: vitals.life(),
                    restarts: vitals.restarts(),
                    condition: vitals.condition(),
                    mailbox: vitals.mailbox(),
                    watchdog_age_ms: vitals.last_beat().map(age),
                    last_error: vitals.last_exit(),
                    last_recovery_ms: recovery.map(|(last, _)| millis(last)),
                    worst_recovery_ms: recovery.map(|(_, worst)| millis(worst)),
                }
            })
            .collect()
    }

    /// The vital signs of a child; of several with these names, those of the one started last.
    #[must_use]
    pub fn find(&self, owner: &str, role: &str) -> Option<Arc<Vitals>> {
        let entries = self.entries();
        let mut all = entries.values().rev().map(|entry| &entry.vitals);
        all.find(|vitals| vitals.owner() == owner && vitals.role() == role).cloned()
    }

    /// Lets a fault strike a child at its input number `after` from now, counted from 1; tells whether there is such a child.
    #[must_use]
    pub fn arm(&self, owner: &str, role: &str, fault: Fault, after: u32) -> bool {
        self.find(owner, role).map(|vitals| vitals.fault.arm(fault, after)).is_some()
    }

    /// Sends a child a probe, which counts as an input; tells whether there is such a child that can be asked.
    #[must_use]
    pub fn nudge(&self, owner: &str, role: &str) -> bool {
        let probe = {
            let entries = self.entries();
            let mut all = entries.values().rev().filter(|e| e.vitals.owner() == owner && e.vitals.role() == role);
            all.find_map(|entry| entry.watched.as_ref().map(|(probe, _)| probe.clone()))
        };
        probe.is_some_and(|probe| {
            probe.do_send(Probe);
            true
        })
    }

    /// Lets go of every thread that a drill has blocked, so that a test can end.
    pub fn release(&self) {
        self.entries().values().for_each(|entry| entry.vitals.fault.released.store(true, Ordering::Release));
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}
