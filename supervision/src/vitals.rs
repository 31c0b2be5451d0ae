//! What is known of a child from outside, without asking it.

use crate::fault::FaultPoint;
use crate::guard::Exit;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The longest text that is kept of a panic, in characters.
const MAX_TEXT: usize = 400;

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It has not run yet.
    Starting,
    /// It runs and answers.
    Running,
    /// It has failed and rests before its next life.
    Pausing,
    /// It has missed its deadlines.
    Hung,
    /// It has ended for good.
    Stopped,
}

const CONDITIONS: [Condition; 5] =
    [Condition::Starting, Condition::Running, Condition::Pausing, Condition::Hung, Condition::Stopped];

/// How the last life ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LastExit {
    /// What happened, such as the text of a panic.
    pub error: String,
    /// When, in seconds of wall-clock time since 1970.
    pub at: f64,
}

#[derive(Default)]
struct Record {
    last_exit: Option<LastExit>,
    failed: Option<Duration>,
    last_recovery: Option<Duration>,
    worst_recovery: Option<Duration>,
}

/// The vital signs of one child; shared by its guard, its supervisor, the watchdog and whoever looks.
pub struct Vitals {
    /// Whom it belongs to: `node` or the name of an instance.
    pub(crate) owner: String,
    pub(crate) role: String,
    epoch: Instant,
    simulated: bool,
    life: AtomicU64,
    restarts: AtomicU64,
    condition: AtomicU8,
    sent: AtomicU64,
    handled: AtomicU64,
    /// Nanoseconds since the epoch, and 1, of the last answer; 0 is never.
    beat: AtomicU64,
    pub(crate) fault: FaultPoint,
    keeps_store: AtomicBool,
    record: Mutex<Record>,
}

impl Vitals {
    pub(crate) fn new(owner: &str, role: &str, epoch: Instant, simulated: bool) -> Self {
        Self {
            owner: owner.to_owned(),
            role: role.to_owned(),
            epoch,
            simulated,
            life: AtomicU64::new(1),
            restarts: AtomicU64::new(0),
            condition: AtomicU8::new(0),
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            beat: AtomicU64::new(0),
            fault: FaultPoint::default(),
            keeps_store: AtomicBool::new(false),
            record: Mutex::new(Record::default()),
        }
    }

    /// Whom it belongs to: `node` or the name of an instance.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What it is called there.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Owner and role.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.owner, self.role)
    }

    /// The number of its life, from 1.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }

    /// How often it has been restarted, for its own failures and for those of others.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// What it is doing.
    #[must_use]
    pub fn condition(&self) -> Condition {
        CONDITIONS[usize::from(self.condition.load(Ordering::Acquire)) % CONDITIONS.len()]
    }

    /// Messages sent to it through a [`Mailbox`](crate::Mailbox) since it last had none to handle: an upper bound of what
    /// waits.
    #[must_use]
    pub fn mailbox(&self) -> u64 {
        let handled = self.handled.load(Ordering::Acquire);
        self.sent.load(Ordering::Acquire).saturating_sub(handled)
    }

    /// How its last life ended, if it did not end as it should.
    #[must_use]
    pub fn last_exit(&self) -> Option<LastExit> {
        self.record().last_exit.clone()
    }

    /// How long it took from its last failure until the next life served, and the worst such time.
    #[must_use]
    pub fn recovery(&self) -> Option<(Duration, Duration)> {
        let record = self.record();
        record.last_recovery.zip(record.worst_recovery)
    }

    /// When it last answered a probe, since the epoch of its tree.
    #[must_use]
    pub fn last_beat(&self) -> Option<Duration> {
        self.beat.load(Ordering::Acquire).checked_sub(1).map(Duration::from_nanos)
    }

    /// Whether it has a store that a drill can let fail.
    #[must_use]
    pub fn keeps_store(&self) -> bool {
        self.keeps_store.load(Ordering::Acquire)
    }

    pub(crate) fn set_keeps_store(&self) {
        self.keeps_store.store(true, Ordering::Release);
    }

    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(crate) fn simulated(&self) -> bool {
        self.simulated
    }

    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX - 1);
        self.beat.store(now + 1, Ordering::Release);
    }

    pub(crate) fn sending(&self) {
        self.sent.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn unsent(&self) {
        self.sent.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// The mailbox was empty when `sent` messages had been sent.
    pub(crate) fn drained(&self, sent: u64) {
        self.handled.store(sent, Ordering::Release);
    }

    pub(crate) fn set(&self, condition: Condition) {
        let index = CONDITIONS.iter().position(|known| *known == condition).unwrap_or_default();
        self.condition.store(u8::try_from(index).unwrap_or_default(), Ordering::Release);
    }

    /// A life has ended; what it should not have ended by is kept.
    pub(crate) fn failed(&self, exit: &Exit) {
        let mut error = match exit {
            Exit::Normal => "ended by itself".to_owned(),
            Exit::Panicked(text) => format!("panicked: {text}"),
            Exit::Hung => "did not answer".to_owned(),
        };
        if let Some((end, _)) = error.char_indices().nth(MAX_TEXT) {
            error.truncate(end);
        }
        let now = self.now();
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut record = self.record();
        record.last_exit = Some(LastExit { error, at });
        record.failed.get_or_insert(now);
    }

    pub(crate) fn reborn(&self, life: u64) {
        self.life.store(life, Ordering::Release);
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.fault.reset();
    }

    /// One more failure that cost no life.
    pub(crate) fn survived(&self, exit: &Exit) {
        self.failed(exit);
        self.record().failed = None;
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// It has run once in this life: it serves.
    pub(crate) fn serves(&self) {
        if self.condition() != Condition::Running {
            self.set(Condition::Running);
        }
        let now = self.now();
        let mut record = self.record();
        if let Some(failed) = record.failed.take() {
            let took = now.saturating_sub(failed);
            record.last_recovery = Some(took);
            record.worst_recovery = Some(record.worst_recovery.map_or(took, |worst| worst.max(took)));
        }
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
