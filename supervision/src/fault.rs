//! Faults that a drill puts into a child.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A handler panics.
    Panic,
    /// The child never answers again: its thread blocks, or under [`Placement::Here`](crate::Placement::Here), where that
    /// would stop everything, it is not run any more.
    Hang,
    /// The child ends as if it had nothing left to do.
    Stop,
    /// Its store refuses the next change.
    StoreError,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Panic, Self::Hang, Self::Stop, Self::StoreError];
}

/// Where faults wait for their moment.
#[derive(Debug, Default)]
pub(crate) struct FaultPoint {
    /// Inputs until the fault strikes; 0 means that none is armed.
    left: AtomicI64,
    kind: AtomicU8,
    pub(crate) stop: AtomicBool,
    pub(crate) stall: AtomicBool,
    pub(crate) store: AtomicBool,
    /// Lets go of a blocked thread, so that a test can end.
    pub(crate) released: AtomicBool,
}

impl FaultPoint {
    /// Strikes at input number `after`, counted from 1.
    pub(crate) fn arm(&self, fault: Fault, after: u32) {
        let kind = Fault::ALL.iter().position(|known| *known == fault).unwrap_or_default();
        self.kind.store(u8::try_from(kind).unwrap_or_default(), Ordering::Relaxed);
        self.left.store(i64::from(after.max(1)), Ordering::Release);
    }

    /// Counts one input; tells what strikes now.
    pub(crate) fn due(&self) -> Option<Fault> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let struck = self.left.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| (left > 0).then(|| left - 1));
        (struck == Ok(1)).then(|| Fault::ALL[usize::from(self.kind.load(Ordering::Relaxed)) % Fault::ALL.len()])
    }

    /// Forgets what one life was to suffer, and is ready for the next.
    pub(crate) fn reset(&self) {
        self.stop.store(false, Ordering::Relaxed);
        self.stall.store(false, Ordering::Relaxed);
    }

    /// Blocks the thread until it is released, which in production never happens.
    pub(crate) fn block(&self) {
        while !self.released.load(Ordering::Acquire) {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}
