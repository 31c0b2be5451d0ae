//! Where the pool keeps its truth: a database and an append-only ledger that complete each other.
//!
//! # What is where
//!
//! A state directory, which only its owner can enter, holds `birth` (who the store is), `lock` (held by the process that has it
//! open), `sled/` (the tables: what is so now) and `ledger/` (lines for people: what has happened, RFC 8992 section 4.4).
//! Identity and position are in all of them. What is missing or exchanged is therefore an error and never an empty store.
//!
//! # What an acknowledged commit survives
//!
//! It is written to both, and acknowledged when `fsync` has succeeded for both. So it survives a power cut, and after it the loss
//! of either: the tables are built anew from the last snapshot in the ledger and the lines after it, and a ledger can be begun
//! anew from the tables ([`repair()`]).

mod batch;
mod check;
mod error;
mod export;
mod files;
mod fsck;
mod history;
mod ledger;
mod legs;
mod line;
mod options;
mod record;
mod repair;
mod replay;
mod segment;
mod snapshot;
mod tables;

pub use check::{Amount, Code, Figures, Problem, StateAmount, check};
pub use error::Error;
pub use export::{Restored, export, export_records, parse_export, restore};
pub use fsck::{Report, fsck};
pub use history::{History, HistoryEntry, history};
pub use options::{Clock, Leg, Options, Sync};
pub use repair::{RepairReport, repair};

use crate::pool::record::Record;
use asa_framework::roles::store::{Change, Store, StoreError};
use files::{Birth, Home, Lock};
use futures_util::future::LocalBoxFuture;
use ledger::Ledger;
use legs::{Failed, Legs};
use std::collections::VecDeque;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tables::Tables;
use tokio::sync::oneshot;

/// The store of a prefix pool. Its clones are the same store; it is closed with the last one, and when the work in hand is done.
///
/// Its futures need a tokio runtime: the work is done on its blocking pool, in the order of the calls, and to its end even if
/// nobody waits for it.
#[derive(Clone)]
pub struct SledStore(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    /// In the order of the calls.
    queue: Mutex<VecDeque<Job>>,
    inner: Mutex<Inner>,
}

/// Does something, and returns what tells of it.
type Job = Box<dyn FnOnce(&mut Inner) -> Box<dyn FnOnce()> + Send>;

struct Inner {
    home: Home,
    birth: Birth,
    options: Options,
    /// Before the lock, so that it is closed while the lock is held. `None`: it has to be opened again.
    legs: Option<Legs>,
    /// What is known of the attempt that has failed.
    failed: Failed,
    /// Read when the store was opened, for the first who asks.
    read: Option<Vec<Record>>,
    _lock: Lock,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Does what was asked for first, whoever asked for it.
    fn work(self: Arc<Self>) {
        let mut inner = held(&self.inner);
        let Some(job) = held(&self.queue).pop_front() else { return };
        let tell = catch_unwind(AssertUnwindSafe(|| job(&mut inner)));
        if tell.is_err() {
            let acknowledged = inner.legs.as_ref().map(Legs::acknowledged);
            inner.fail(Some(Failed { acknowledged, tables: true }));
        }
        if inner.is_untidy() {
            // A commit does not wait for what comes after it.
            tell.into_iter().for_each(|tell| tell());
            inner.tidy();
            return;
        }
        drop(inner);
        // So that whoever hears of it, and drops the store, has closed it.
        drop(self);
        tell.into_iter().for_each(|tell| tell());
    }
}

impl SledStore {
    /// Creates a new and empty store in a directory, which is made if it is missing, and opens it. This needs an explicit order
    /// by the operator (PM-S-16). What an interrupted creation has left is moved aside.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] if there is one, or a part of one; [`Error::Locked`], [`Error::Io`].
    pub fn create(dir: &Path, options: Options) -> Result<Self, Error> {
        let home = Home::at(dir);
        files::directory(dir)?;
        {
            let _lock = files::lock(&home.lock)?;
            let birth = Birth::new(&options);
            begin_parts(&home, &birth, &options)?;
            birth.write(&home)?;
        }
        Self::open(dir, options)
    }

    /// Opens the store in a directory and proves it whole: both legs are opened, all records are read, and both have to agree on
    /// what they are. What a crash has left unfinished is completed.
    ///
    /// Takes about 2 s per million blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if there is none, [`Error::Damaged`], [`Error::Locked`], [`Error::Io`], [`Error::Format`]. Never comes
    /// up empty when something was there.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let home = Home::at(dir);
        let birth = identity(&home)?;
        let lock = files::lock(&home.lock)?;
        let (legs, records) = Legs::open(&home, &birth, Failed::default(), &options)?;
        let read = Some(records);
        let inner = Inner { home, birth, options, legs: Some(legs), failed: Failed::default(), read, _lock: lock };
        Ok(Self(Arc::new(Shared { dir: dir.into(), queue: Mutex::default(), inner: Mutex::new(inner) })))
    }

    /// The state directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.dir
    }

    /// Bytes of the database on the disk; for people. Does not wait for the work in hand.
    #[must_use]
    pub fn size_on_disk(&self) -> u64 {
        fs::metadata(Home::at(&self.0.dir).sled.join("db")).map_or(0, |file| file.len())
    }

    fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T, Error> + Send + 'static,
    ) -> LocalBoxFuture<'static, Result<T, StoreError>> {
        let gone = |error: String| StoreError::Io { what: "work on".into(), path: PathBuf::new(), error };
        let runtime = match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime,
            Err(error) => return Box::pin(std::future::ready(Err(gone(error.to_string())))),
        };
        let (answer, waiting) = oneshot::channel();
        let job: Job = Box::new(move |inner| {
            let result = work(inner);
            // Who does not wait any more learns of it when it loads.
            Box::new(move || drop(answer.send(result)))
        });
        held(&self.0.queue).push_back(job);
        let shared = self.0.clone();
        runtime.spawn_blocking(move || shared.work());
        Box::pin(async move {
            match waiting.await {
                Ok(result) => result.map_err(StoreError::from),
                Err(_) => Err(gone("it was broken off".into())),
            }
        })
    }
}

/// The identity of a store that has to be there.
fn identity(home: &Home) -> Result<Birth, Error> {
    if files::exists(&home.birth)? {
        return Birth::read(&home.birth);
    }
    if files::exists(&home.unborn)? || !home.is_inhabited()? {
        return Err(Error::Missing { path: home.dir.clone() });
    }
    Err(Error::damaged(&home.birth, "it is missing, and parts of a store are there"))
}

/// Makes all of an empty store but its identity: until that is there, it is none.
fn begin_parts(home: &Home, birth: &Birth, options: &Options) -> Result<(), Error> {
    let unfinished = !files::exists(&home.birth)? && files::exists(&home.unborn)?;
    for part in [&home.birth, &home.sled, &home.ledger] {
        match (files::exists(part)?, unfinished) {
            (true, true) => files::move_aside(part, "unfinished").map(drop)?,
            (true, false) => return Err(Error::Exists { path: part.clone() }),
            (false, _) => {}
        }
    }
    // Shows, until it is replaced by the identity, that nothing has been served from what is there.
    files::create(&home.unborn)?.sync_all().map_err(error::failed("sync", &home.unborn))?;
    files::sync_directory(&home.dir)?;
    Tables::create(home, birth, options)?;
    Ledger::create(home, birth, None, options)
}

impl Inner {
    fn load(&mut self) -> Result<Vec<Record>, Error> {
        if let (Some(legs), read) = (&self.legs, self.read.take()) {
            return read.map_or_else(|| legs.records(), Ok);
        }
        let (legs, records) = Legs::open(&self.home, &self.birth, self.failed, &self.options)?;
        (self.legs, self.failed) = (Some(legs), Failed::default());
        Ok(records)
    }

    fn commit(&mut self, changes: Vec<Change<Record>>) -> Result<(), Error> {
        self.read = None;
        let Some(legs) = &mut self.legs else { return Err(Error::Suspect) };
        legs.commit(changes).map_err(|(error, failed)| {
            self.fail(failed);
            error
        })
    }

    fn is_untidy(&self) -> bool {
        self.legs.as_ref().is_some_and(Legs::is_untidy)
    }

    fn tidy(&mut self) {
        let failed = self.legs.as_mut().and_then(Legs::tidy);
        self.fail(failed);
    }

    /// Closes what cannot be trusted; nothing but [`Self::load`] opens it again.
    fn fail(&mut self, failed: Option<Failed>) {
        if let Some(failed) = failed {
            self.legs = None;
            self.failed = failed;
        }
    }
}

impl Store<Record> for SledStore {
    fn load(&self) -> LocalBoxFuture<'static, Result<Vec<Record>, StoreError>> {
        self.submit(Inner::load)
    }

    fn commit(&self, changes: Vec<Change<Record>>) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        self.submit(move |inner| inner.commit(changes))
    }
}
