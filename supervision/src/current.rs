//! Which child is running on this thread now.

use crate::fault::Fault;
use crate::vitals::Vitals;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Vitals>>> = const { RefCell::new(None) };
}

/// Makes a child the current one until it is dropped, also by a panic.
pub(crate) struct Entered(Option<Arc<Vitals>>);

impl Entered {
    pub(crate) fn new(vitals: &Arc<Vitals>) -> Self {
        Self(CURRENT.replace(Some(vitals.clone())))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

fn current() -> Option<Arc<Vitals>> {
    CURRENT.with_borrow(Clone::clone)
}

/// The current child has answered.
pub(crate) fn beat() {
    if let Some(vitals) = current() {
        vitals.beat();
    }
}

/// Where a drill can strike: shells call it for each input and each output of their core.
///
/// Does nothing outside a child, and nothing while no fault is armed.
///
/// # Panics
///
/// When the drill says so.
pub fn strike() {
    let due = CURRENT.with_borrow(|current| current.as_ref().and_then(|vitals| vitals.fault.due()));
    let Some((fault, vitals)) = due.zip(current()) else { return };
    match fault {
        Fault::Panic => panic!("drill: panic"),
        Fault::Hang if vitals.simulated() => vitals.fault.stall.store(true, Ordering::Release),
        Fault::Hang => vitals.fault.block(),
        Fault::Stop => vitals.fault.stop.store(true, Ordering::Release),
        Fault::StoreError => vitals.fault.store.store(true, Ordering::Release),
    }
}

/// Says that the current child has a store, for drills; a role with one calls it when it starts.
pub fn keeps_store() {
    if let Some(vitals) = current() {
        vitals.set_keeps_store();
    }
}

/// Tells a role whether a drill wants the next change of its store to fail; asked once for each change.
#[must_use]
pub fn store_fault() -> bool {
    CURRENT
        .with_borrow(|current| current.as_ref().is_some_and(|vitals| vitals.fault.store.swap(false, Ordering::AcqRel)))
}
