//! The database: sled 0.34.7, used as its known weaknesses demand.
//!
//! `flush()` of this version ends without `fsync`, so every commit syncs the file itself. Some damage is answered with a panic,
//! some with an empty database, some with an older one: so opening and the first full read run where a panic is caught, the
//! identity of the store is in the database, and so is the sum over all records, which the ledger has to confirm.

use super::batch::Batch;
use super::error::{Error, failed};
use super::files::{self, Birth, FORMAT, Home};
use super::options::{Leg, Options};
use super::record::{Changed, Key, Sum, encode};
use crate::pool::record::Record;
use sled::transaction::{ConflictableTransactionError, TransactionError, TransactionalTree};
use sled::{Db, Transactional, Tree};
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const BIRTH: &[u8] = b"birth";
const LAST: &[u8] = b"last";
/// How long threads of a database that is being closed may keep its lock.
const CLOSING: Duration = Duration::from_secs(10);
/// Between two tries to open what a thread still holds.
const RETRY: Duration = Duration::from_millis(5);

/// The last batch that the tables have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Last {
    /// Number of its last line.
    pub(super) seq: u64,
    /// Number of its first line.
    pub(super) first: u64,
    /// Over all records after it.
    pub(super) sum: Sum,
    /// Its lines, unless the ledger had them before the tables.
    pub(super) lines: Vec<u8>,
}

impl Last {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + self.lines.len());
        for number in [self.seq, self.first, self.sum.0] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(&self.lines);
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (seq, rest) = bytes.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (sum, lines) = rest.split_first_chunk()?;
        let [seq, first, sum] = [seq, first, sum].map(|number| u64::from_be_bytes(*number));
        Some(Self { seq, first, sum: Sum(sum), lines: lines.to_vec() })
    }
}

/// Reads the key of a tree.
type ReadKey = fn(&[u8]) -> Result<Key, String>;

/// What is open of a database; taken apart when it is closed.
struct Open {
    db: Db,
    blocks: Tree,
    aggregates: Tree,
    sessions: Tree,
    meta: Tree,
}

/// The database.
pub(super) struct Tables {
    /// `None` only while it is being closed.
    open: Option<Open>,
    /// The file of the database, to sync it.
    file: File,
    path: PathBuf,
    /// What the file shows may not be on the disk: an `fsync` failed, or something like it.
    doubtful: AtomicBool,
}

impl Drop for Tables {
    /// sled ends with a panic if its last `fsync` fails, and waits for ever for a thread that has panicked.
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let (done, closed) = mpsc::channel::<()>();
        let closing = std::thread::Builder::new().name("sled-close".into()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
                tracing::error!("the database could not be closed in order");
            }
            drop(done);
        });
        if closing.is_ok() && closed.recv_timeout(CLOSING) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!(path = %self.path.display(), "the database does not end; its lock stays until the process ends");
        }
    }
}

/// Runs what may panic on a damaged database.
fn caught<T>(path: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        Err(Error::damaged(path, format!("the database panics: {text}")))
    })
}

/// What sled says, as one of our errors.
fn told(what: &'static str, path: &Path) -> impl Fn(sled::Error) -> Error {
    move |error| match error {
        sled::Error::Io(error) => failed(what, path)(error),
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. } => Error::damaged(path, format!("cannot {what} the database: {error}")),
    }
}

impl Tables {
    /// Makes an empty database with an identity, durable.
    pub(super) fn create(home: &Home, birth: &Birth, options: &Options) -> Result<(), Error> {
        files::directory(&home.sled)?;
        let tables = Self::open_once(&home.sled, options)?;
        let meta = &tables.opened()?.meta;
        let write = |key, value: Vec<u8>| meta.insert(key, value).map(drop).map_err(told("write", &home.sled));
        write(BIRTH, format!("{FORMAT} {}", birth.birth).into_bytes())?;
        write(LAST, Last::default().bytes())?;
        tables.sync(options)?;
        drop(tables);
        files::sync_directory(&home.sled)?;
        files::sync_directory(&home.dir)
    }

    /// Opens a database that has to be there, and reads all of it.
    ///
    /// Snapshots only make recovery faster, and are the part that crashes damage most: if it cannot be read with them, they are
    /// moved aside, and it is opened once more.
    pub(super) fn open(home: &Home, birth: &Birth, options: &Options) -> Result<(Self, Content), Error> {
        match Self::open_whole(home, birth, options) {
            Err(error) if error.is_damage() => {
                let moved = snapshots_aside(&home.sled)?;
                if moved == 0 {
                    return Err(error);
                }
                tracing::warn!(%error, moved, "snapshots of the database moved aside; it is opened once more without them");
                Self::open_whole(home, birth, options)
            }
            other => other,
        }
    }

    fn open_whole(home: &Home, birth: &Birth, options: &Options) -> Result<(Self, Content), Error> {
        let path = home.sled.join("db");
        match fs::metadata(&path) {
            // sled would make an empty database of it.
            Ok(file) if file.len() == 0 => return Err(Error::damaged(&path, "it is empty")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::damaged(&path, "it is missing"));
            }
            Err(error) => return Err(failed("examine", &path)(error)),
        }
        let tables = caught(&home.sled, || Self::open_once(&home.sled, options))?;
        let found = caught(&home.sled, || tables.identity())?;
        if found.as_deref() != Some(&birth.birth) {
            let found =
                found.map_or("has lost its identity".into(), |found| format!("is the one of the store {found}"));
            let problem = format!("the database {found}, and {} says {}", home.birth.display(), birth.birth);
            return Err(Error::damaged(&home.sled, problem));
        }
        let content = caught(&home.sled, || tables.read())?;
        Ok((tables, content))
    }

    fn open_once(path: &Path, options: &Options) -> Result<Self, Error> {
        let config = sled::Config::new().path(path).cache_capacity(options.cache_bytes).flush_every_ms(Some(500));
        let mut left = CLOSING;
        let db = loop {
            match config.open() {
                // The lock of the state directory is ours: this can only be a thread of a database that we have closed.
                Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") && !left.is_zero() => {
                    std::thread::park_timeout(RETRY);
                    left = left.saturating_sub(RETRY);
                }
                other => break other.map_err(told("open", path))?,
            }
        };
        for name in ["db", "conf"] {
            let file = path.join(name);
            fs::set_permissions(&file, Permissions::from_mode(0o600)).map_err(failed("protect", &file))?;
        }
        let tree = |name: &str| db.open_tree(name).map_err(told("open", path));
        let (blocks, aggregates) = (tree("blocks")?, tree("aggregates")?);
        let (sessions, meta) = (tree("sessions")?, tree("meta")?);
        let file = path.join("db");
        let file = File::open(&file).map_err(failed("open", &file))?;
        Ok(Self {
            open: Some(Open { db, blocks, aggregates, sessions, meta }),
            file,
            path: path.into(),
            doubtful: AtomicBool::new(false),
        })
    }

    fn opened(&self) -> Result<&Open, Error> {
        self.open.as_ref().ok_or(Error::Suspect)
    }

    /// The identity in an opened database.
    pub(super) fn identity(&self) -> Result<Option<String>, Error> {
        let birth = self.opened()?.meta.get(BIRTH).map_err(told("read", &self.path))?;
        let Some(birth) = birth else { return Ok(None) };
        let text = String::from_utf8_lossy(&birth);
        match text.split_once(' ').map(|(format, birth)| (format.parse::<u32>(), birth)) {
            Some((Ok(FORMAT), birth)) => Ok(Some(birth.to_owned())),
            Some((Ok(found), _)) => Err(Error::Format { path: self.path.clone(), found, reads: FORMAT }),
            _ => Ok(None),
        }
    }

    /// The identity of a database of which nothing else is known.
    pub(super) fn identity_of(path: &Path, options: &Options) -> Result<Option<String>, Error> {
        let file = path.join("db");
        if fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
            return Ok(None);
        }
        caught(path, || Self::open_once(path, options)?.identity())
    }

    /// Hands out every record, in the order of keys: life, aggregates, blocks, sessions.
    pub(super) fn each(&self, mut visit: impl FnMut(Record, Sum) -> Result<(), Error>) -> Result<(), Error> {
        let open = self.opened()?;
        let wrong = |problem: String| Error::damaged(&self.path, problem);
        let mut one = |key: Key, key_bytes: &[u8], value: &[u8]| {
            let record = key.decode(value).map_err(|problem| wrong(format!("{key}: {problem}")))?;
            visit(record, Sum::of(key, key_bytes, value))
        };
        if let Some(value) = open.meta.get(Key::Life.bytes()).map_err(told("read", &self.path))? {
            one(Key::Life, &Key::Life.bytes(), &value)?;
        }
        let read: [(&Tree, ReadKey); 3] = [
            (&open.aggregates, |bytes| Key::prefix(bytes).map(Key::Aggregate)),
            (&open.blocks, |bytes| Key::prefix(bytes).map(Key::Block)),
            (&open.sessions, |bytes| Key::session(bytes).map(Key::Session)),
        ];
        for (tree, key) in read {
            for pair in tree {
                let (bytes, value) = pair.map_err(told("read", &self.path))?;
                one(key(&bytes).map_err(wrong)?, &bytes, &value)?;
            }
        }
        Ok(())
    }

    /// Reads everything, and proves that it is what the last batch left: stronger than sled's own `checksum()`, which also
    /// reads every record, but has nothing to compare with.
    pub(super) fn read(&self) -> Result<Content, Error> {
        let last = self.opened()?.meta.get(LAST).map_err(told("read", &self.path))?;
        let last = last.and_then(|last| Last::read(&last));
        let last = last.ok_or_else(|| Error::damaged(&self.path, "the database has no last batch"))?;
        let (mut records, mut sum) = (Vec::new(), Sum::default());
        self.each(|record, of| {
            records.push(record);
            sum = sum.with(of);
            Ok(())
        })?;
        if sum != last.sum {
            let problem = format!("the records are not those of batch {}: some are lost or changed", last.seq);
            return Err(Error::damaged(&self.path, problem));
        }
        Ok(Content { records, last })
    }

    /// The record under a key.
    pub(super) fn get(&self, key: Key) -> Result<Option<Record>, Error> {
        let open = self.opened()?;
        let tree = open.tree(key);
        let value = caught(&self.path, || tree.get(key.bytes()).map_err(told("read", &self.path)))?;
        let wrong = |problem| Error::damaged(&self.path, format!("{key}: {problem}"));
        value.map(|value| key.decode(&value).map_err(wrong)).transpose()
    }

    /// Applies a batch in one transaction; not yet durable.
    pub(super) fn apply(&self, batch: &Batch, last: &Last) -> Result<(), Error> {
        let open = self.opened()?;
        let mut operations = Vec::with_capacity(batch.changes.len());
        for Changed { key, to, .. } in &batch.changes {
            let value = to.as_ref().map(encode).transpose().map_err(Error::Conflict)?;
            operations.push((*key, key.bytes(), value));
        }
        let last = last.bytes();
        let trees = (&open.blocks, &open.aggregates, &open.sessions, &open.meta);
        caught(&self.path, || {
            // May run again: nothing but the trees in here.
            let result = trees.transaction(|(blocks, aggregates, sessions, meta)| {
                for (key, bytes, value) in &operations {
                    let tree: &TransactionalTree = match key {
                        Key::Block(_) => blocks,
                        Key::Aggregate(_) => aggregates,
                        Key::Session(_) => sessions,
                        Key::Life => meta,
                    };
                    match value {
                        Some(value) => tree.insert(bytes.as_slice(), value.as_slice())?,
                        None => tree.remove(bytes.as_slice())?,
                    };
                }
                meta.insert(LAST, last.as_slice())?;
                Ok::<_, ConflictableTransactionError<()>>(())
            });
            result.map_err(|error| match error {
                TransactionError::Storage(error) => self.noted("write", error),
                TransactionError::Abort(()) => Error::damaged(&self.path, "a transaction was given up"),
            })
        })
    }

    /// Makes everything applied so far durable.
    pub(super) fn sync(&self, options: &Options) -> Result<(), Error> {
        let open = self.opened()?;
        caught(&self.path, || open.db.flush().map(drop).map_err(|error| self.noted("write", error)))?;
        (options.sync)(Leg::Tables, &self.file).map_err(|error| self.noted("sync", sled::Error::Io(error)))
    }

    /// Whether what the file shows may not be on the disk.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }

    fn noted(&self, what: &'static str, error: sled::Error) -> Error {
        // What a full or protected disk has refused is not in its memory either.
        let refused = |error: &std::io::Error| {
            matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem)
        };
        if !matches!(&error, sled::Error::Io(error) if what == "write" && refused(error)) {
            self.doubtful.store(true, Ordering::Relaxed);
        }
        told(what, &self.path)(error)
    }
}

impl Open {
    fn tree(&self, key: Key) -> &Tree {
        match key {
            Key::Block(_) => &self.blocks,
            Key::Aggregate(_) => &self.aggregates,
            Key::Session(_) => &self.sessions,
            Key::Life => &self.meta,
        }
    }
}

/// Everything in the tables.
pub(super) struct Content {
    pub(super) records: Vec<Record>,
    pub(super) last: Last,
}

/// Moves the snapshots of a closed database aside; returns how many there were.
fn snapshots_aside(path: &Path) -> Result<usize, Error> {
    if !files::exists(path)? {
        return Ok(0);
    }
    let mut moved = 0;
    for entry in fs::read_dir(path).map_err(failed("read", path))? {
        let name = entry.map_err(failed("read", path))?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") {
            // Under this name sled does not look at it.
            let aside = path.join(format!("aside.{name}"));
            files::rename(&path.join(name.as_ref()), &aside)?;
            files::move_aside(&aside, "damaged")?;
            moved += 1;
        }
    }
    Ok(moved)
}
