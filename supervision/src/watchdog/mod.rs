//! Finds children that have stopped answering: from a thread of its own, since theirs may be blocked.

mod core;

pub use core::{Finding, Sign, Watch, WatchLimits};

use crate::Probe;
use crate::guard::{Exit, Exited};
use crate::tree::Tree;
use crate::vitals::Condition;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a look at all children showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Everyone who was asked has answered in time.
    pub all_answered: bool,
    /// Owner and role of those found hanging in this look.
    pub hung: Vec<(String, String)>,
}

/// Looks once; tells the supervisors concerned of every hang.
fn look(watch: &mut Watch, tree: &Tree) -> Round {
    let all = tree.watched();
    let signs: Vec<Sign> = all
        .iter()
        .map(|(id, vitals, ..)| {
            let excused = matches!(vitals.condition(), Condition::Pausing | Condition::Stopped);
            Sign { id: *id, life: vitals.life(), beat: vitals.last_beat(), excused }
        })
        .collect();
    let mut hung = Vec::new();
    for finding in watch.look(tree.now(), &signs) {
        let (Finding::Ask(id) | Finding::Hung(id)) = finding;
        let Some((_, vitals, probe, boss)) = all.iter().find(|(known, ..)| *known == id) else { continue };
        match finding {
            Finding::Ask(_) => probe.do_send(Probe),
            Finding::Hung(_) => {
                tracing::error!(asa = vitals.owner(), role = vitals.role(), life = vitals.life(), "does not answer");
                boss.do_send(Exited { id, life: vitals.life(), exit: Exit::Hung });
                hung.push((vitals.owner().to_owned(), vitals.role().to_owned()));
            }
        }
    }
    Round { all_answered: watch.all_answered(), hung }
}

/// A watchdog on a thread of its own; it ends when this is dropped.
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches a tree; `on_round` hears of every look, on the watchdog's thread.
    ///
    /// # Errors
    ///
    /// Those of the system, if it gives no thread.
    pub fn start(
        tree: Tree,
        limits: WatchLimits,
        mut on_round: impl FnMut(&Round) + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            let mut watch = Watch::new(limits, tree.now());
            while !told.load(Ordering::Acquire) {
                let left = watch.deadline().saturating_sub(tree.now());
                if left.is_zero() {
                    on_round(&look(&mut watch, &tree));
                } else {
                    std::thread::park_timeout(left);
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends at once, but for what the caller does in a round.
            let _ = thread.join();
        }
    }
}

/// Watches a tree whose children share the current thread, for simulations; ends when dropped.
pub async fn watch(tree: Tree, limits: WatchLimits, mut on_round: impl FnMut(&Round)) {
    let mut watch = Watch::new(limits, tree.now());
    loop {
        // A whole millisecond more, so that a rounded-down timer does not wake it too early.
        let left = watch.deadline().saturating_sub(tree.now());
        tokio::time::sleep(left.max(Duration::from_millis(1))).await;
        if watch.deadline() <= tree.now() {
            on_round(&look(&mut watch, &tree));
        }
    }
}
