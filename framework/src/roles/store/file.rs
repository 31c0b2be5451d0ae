//! A store in one file: an append-only journal that is written anew now and then.

use super::{Change, Entry, Store, StoreError, apply, journal};
use futures_util::future::LocalBoxFuture;
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Batches after which the journal is written anew, at least: fewer would write more than they save.
const COMPACT: usize = 1_000;

/// One journal `<name>.journal` in a state directory, readable by its owner only; `<name>.lock` keeps others out.
///
/// A commit is acknowledged after `fsync`. After an error the journal is written anew before anything else, since what a
/// failed `fsync` has left on the disk is anyone's guess.
pub struct FileStore<E>(Arc<Mutex<Journal<E>>>);

impl<E> Clone for FileStore<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Journal<E> {
    path: PathBuf,
    name: String,
    file: File,
    /// Held as long as the store is open.
    _lock: File,
    /// What was acknowledged.
    set: BTreeSet<E>,
    number: u64,
    /// Batches since the journal was written anew.
    batches: usize,
    /// The last write failed: what the file holds is unknown.
    suspect: bool,
}

fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    move |error| StoreError::Io { what: what.into(), path: path.into(), error: error.to_string() }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked { path: path.into() }),
        Err(error) => Err(failed("lock", path)(error.into())),
    }
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|file| file.sync_all()).map_err(failed("sync", directory))
}

impl<E: Entry> FileStore<E> {
    /// Opens the store `name` in a directory and reads all of it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if there is none, [`StoreError::Damaged`], [`StoreError::Locked`], [`StoreError::Io`]. Never
    /// comes up empty when something was there.
    pub fn open(directory: &Path, name: &str) -> Result<Self, StoreError> {
        let (path, lock) = (directory.join(format!("{name}.journal")), lock(&directory.join(format!("{name}.lock")))?);
        let file = match OpenOptions::new().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(StoreError::Missing { path }),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let content = journal::read(BufReader::new(&file), &path, name)?;
        // The unfinished line would run into the next one.
        let length = file.metadata().map_err(failed("examine", &path))?.len();
        if length > content.whole {
            file.set_len(content.whole).and_then(|()| file.sync_all()).map_err(failed("shorten", &path))?;
        }
        let (set, number, name) = (content.set, content.number, name.to_owned());
        let journal = Journal { path, name, file, _lock: lock, set, number, batches: 0, suspect: false };
        Ok(Self(Arc::new(Mutex::new(journal))))
    }

    /// Creates the store `name` in a directory that exists, and opens it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if there is one, [`StoreError::Locked`], [`StoreError::Io`].
    pub fn create(directory: &Path, name: &str) -> Result<Self, StoreError> {
        let path = directory.join(format!("{name}.journal"));
        {
            let _lock = lock(&directory.join(format!("{name}.lock")))?;
            if path.try_exists().map_err(failed("look for", &path))? {
                return Err(StoreError::Exists { path });
            }
            write_anew::<E>(&path, name, 0, &BTreeSet::new())?;
        }
        Self::open(directory, name)
    }

    fn on_the_blocking_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal<E>) -> Result<T, StoreError> + Send + 'static,
    ) -> LocalBoxFuture<'static, Result<T, StoreError>> {
        let journal = self.0.clone();
        Box::pin(async move {
            // Taken in the order of the calls, and kept by the work even if nobody waits for it any more: what a later life
            // loads is not changed behind its back.
            let mut journal = journal.lock_owned().await;
            tokio::task::spawn_blocking(move || work(&mut journal)).await.unwrap_or_else(|error| {
                let error = error.to_string();
                Err(StoreError::Io { what: "work on".into(), path: PathBuf::new(), error })
            })
        })
    }
}

/// Entries in one line of a journal that is written anew.
const CHUNK: usize = 4_096;

/// Writes a journal beside the old one, and puts it in its place when it is on the disk; returns the last number in it.
fn write_anew<E: Entry>(
    path: &Path,
    name: &str,
    mut number: u64,
    set: &BTreeSet<E>,
) -> Result<(File, u64), StoreError> {
    let fresh = path.with_extension("fresh");
    let mut bytes = journal::head(name).map_err(StoreError::Conflict)?;
    let mut entries = set.iter().cloned().map(Change::Put).peekable();
    while entries.peek().is_some() {
        number += 1;
        let chunk = entries.by_ref().take(CHUNK).collect();
        bytes.extend(journal::batch(number, chunk).map_err(StoreError::Conflict)?);
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh);
    let mut file = file.map_err(failed("create", &fresh))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed("write", &fresh))?;
    fs::rename(&fresh, path).map_err(failed("put in place", path))?;
    sync_directory(path)?;
    let file = OpenOptions::new().append(true).open(path).map_err(failed("open", path))?;
    Ok((file, number))
}

impl<E: Entry> Journal<E> {
    fn rewrite(&mut self) -> Result<(), StoreError> {
        self.suspect = true;
        (self.file, self.number) = write_anew(&self.path, &self.name, self.number, &self.set)?;
        (self.suspect, self.batches) = (false, 0);
        Ok(())
    }

    fn commit(&mut self, changes: Vec<Change<E>>) -> Result<(), StoreError> {
        if self.suspect || self.batches > COMPACT.max(4 * self.set.len()) {
            self.rewrite()?;
        }
        apply(&mut self.set, &changes).map_err(StoreError::Conflict)?;
        let undo: Vec<Change<E>> = changes.iter().rev().cloned().map(inverse).collect();
        let written = journal::batch(self.number + 1, changes).map_err(StoreError::Conflict).and_then(|line| {
            self.suspect = true;
            self.file.write_all(&line).and_then(|()| self.file.sync_data()).map_err(failed("write", &self.path))
        });
        match written {
            Ok(()) => {
                (self.suspect, self.number, self.batches) = (false, self.number + 1, self.batches + 1);
                Ok(())
            }
            Err(error) => apply(&mut self.set, &undo).map_err(StoreError::Conflict).and(Err(error)),
        }
    }

    fn load(&mut self) -> Result<Vec<E>, StoreError> {
        if self.suspect {
            self.rewrite()?;
        }
        Ok(self.set.iter().cloned().collect())
    }
}

fn inverse<E>(change: Change<E>) -> Change<E> {
    match change {
        Change::Put(entry) => Change::Delete(entry),
        Change::Delete(entry) => Change::Put(entry),
    }
}

impl<E: Entry> Store<E> for FileStore<E> {
    fn load(&self) -> LocalBoxFuture<'static, Result<Vec<E>, StoreError>> {
        self.on_the_blocking_pool(Journal::load)
    }

    fn commit(&self, changes: Vec<Change<E>>) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        self.on_the_blocking_pool(move |journal| journal.commit(changes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// More entries than one line takes are written anew in several, and read back.
    #[test]
    fn a_large_set_is_written_anew_in_several_lines() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("pool.journal");
        let set: BTreeSet<u32> = (0..10_000).collect();
        let (_, number) = write_anew(&path, "pool", 40, &set).unwrap();
        assert_eq!(number, 43);
        let store = FileStore::<u32>::open(directory.path(), "pool").unwrap();
        let journal = store.0.try_lock().unwrap();
        assert_eq!((&journal.set, journal.number), (&set, 43));
    }
}
