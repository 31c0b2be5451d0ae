//! Files that are there whole or not at all, with their modes from the start, and the lock of a directory.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::control::Trouble;

/// The mode of what nobody else may read.
pub(super) const SECRET: u32 = 0o600;
/// The mode of what everybody may read.
pub(super) const PUBLIC: u32 = 0o644;
/// The mode of directories.
const DIRECTORY: u32 = 0o700;
/// How long another command may hold the lock.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is said of a file that is in the way.
const THERE: &str = "it is there already, and stays as it is; choose another directory with --out, or move it away";
/// How often the lock is tried.
const STEP: Duration = Duration::from_millis(20);

/// A failure that concerns a path.
pub(super) fn failed(path: &Path, why: impl std::fmt::Display) -> Trouble {
    Trouble::Failed(format!("{}: {why}", path.display()))
}

/// Reads a text file of no more than `limit` octets. The copy is cleared when it is dropped, for it may be a key.
pub(super) fn read(path: &Path, limit: u64) -> Result<Zeroizing<String>, Trouble> {
    let told = |error: io::Error| failed(path, error);
    // Opening a pipe would wait for somebody who writes.
    let about = fs::metadata(path).map_err(told)?;
    if !about.is_file() {
        return Err(failed(path, "it is no file"));
    }
    if about.len() > limit {
        return Err(failed(path, format!("longer than {limit} octets")));
    }
    // All at once: a buffer that grows leaves copies behind.
    let size = usize::try_from(about.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
    File::open(path).map_err(told)?.take(limit + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > limit {
        return Err(failed(path, format!("longer than {limit} octets")));
    }
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(failed(path, "it is no text; expected PEM")),
    }
}

/// Makes a directory that nobody else may enter. One that is there stays as it is.
pub(super) fn directory(path: &Path) -> Result<(), Trouble> {
    match DirBuilder::new().mode(DIRECTORY).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(failed(path, error)),
    }
}

/// Tells whether the directory of a file gives others one of these rights; one that cannot be looked at may.
pub(super) fn is_open(path: &Path, rights: u32) -> bool {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::metadata(parent).map_or(true, |about| about.mode() & rights != 0)
}

/// Holds a directory against other commands, until it is dropped.
pub(super) fn lock(path: &Path) -> Result<File, Trouble> {
    let file = File::open(path).map_err(|error| failed(path, error))?;
    let mut left = PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) if !left.is_zero() => {
                #[allow(clippy::disallowed_methods, reason = "the command has no runtime and nothing else to do")]
                std::thread::sleep(STEP);
                left = left.saturating_sub(STEP);
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(failed(path, "another command has been at work there for 10 seconds; try again later"));
            }
            Err(error) => return Err(failed(path, io::Error::from(error))),
        }
    }
}

/// What may be there when a file gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// An older version.
    Older,
}

struct Waiting {
    temporary: PathBuf,
    path: PathBuf,
    before: Before,
}

/// Files that are on disk, but have no names yet. Those that never get one are removed.
#[derive(Default)]
pub(super) struct Staged(Vec<Waiting>);

impl Staged {
    /// Writes a file beside the place where it will be.
    pub(super) fn add(&mut self, path: PathBuf, content: &str, mode: u32, before: Before) -> Result<(), Trouble> {
        let name = path.file_name().unwrap_or_else(|| OsStr::new("file")).to_string_lossy().into_owned();
        let there = fs::symlink_metadata(&path).ok();
        match &there {
            Some(_) if before == Before::Nothing => {
                return Err(failed(&path, THERE));
            }
            Some(about) if about.is_dir() => return Err(failed(&path, "it is a directory")),
            Some(_) | None => {}
        }
        let temporary = path.with_file_name(format!(".{name}.{:016x}", rand::random::<u64>()));
        let told = |error: io::Error| failed(&path, error);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(told)?;
        self.0.push(Waiting { temporary, path: path.clone(), before });
        // Who could read the older version can read this one: the operator may be another user than the node.
        if let (Some(older), Ok(new)) = (there.filter(fs::Metadata::is_file), file.metadata())
            && (older.uid(), older.gid()) != (new.uid(), new.gid())
        {
            // Where others may put files, the owner of the older version may be anybody.
            if is_open(&path, 0o022) {
                return Err(failed(&path, "it belongs to another user, in a directory that is open to others"));
            }
            let given = fchown(&file, Some(older.uid()), Some(older.gid()));
            given.map_err(|error| {
                failed(&path, format!("it belongs to another user, and cannot be given back: {error}"))
            })?;
        }
        file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(told)
    }

    /// Gives the files their names, in the order in which they were added.
    pub(super) fn commit(mut self) -> Result<(), Trouble> {
        while !self.0.is_empty() {
            let file = &self.0[0];
            name(file).map_err(|error| {
                let taken = error.kind() == io::ErrorKind::AlreadyExists;
                if taken { failed(&file.path, THERE) } else { failed(&file.path, error) }
            })?;
            let path = self.0.remove(0).path;
            if let Some(parent) = path.parent() {
                sync(parent).map_err(|error| failed(&path, error))?;
            }
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = fs::remove_file(&file.temporary);
        }
    }
}

fn name(file: &Waiting) -> io::Result<()> {
    let (from, to) = (&file.temporary, &file.path);
    if file.before == Before::Older {
        return fs::rename(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can do it at once; another command that wants the same name waits for the lock.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
        other => Ok(other?),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}
