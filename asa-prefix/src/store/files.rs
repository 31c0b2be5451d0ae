//! The files of a store: where they are, who may read them, and how they come to stay on the disk.

use super::error::{Error, failed};
use super::line::{self, Stamp};
use super::options::Options;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Version of everything in a state directory.
pub(super) const FORMAT: u32 = 1;
/// Bytes that an identity file can have at most.
const BIRTH: u64 = 4_096;
/// Tries to find a name that is not taken.
const NAMES: u32 = 100_000;

/// The paths in a state directory.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) birth: PathBuf,
    /// Becomes `birth` when all else is there.
    pub(super) unborn: PathBuf,
    pub(super) sled: PathBuf,
    pub(super) ledger: PathBuf,
}

impl Home {
    pub(super) fn at(dir: &Path) -> Self {
        let path = |name: &str| dir.join(name);
        Self {
            dir: dir.into(),
            lock: path("lock"),
            birth: path("birth"),
            unborn: path("birth.fresh"),
            sled: path("sled"),
            ledger: path("ledger"),
        }
    }

    /// Whether anything of a store is there.
    pub(super) fn is_inhabited(&self) -> Result<bool, Error> {
        Ok(exists(&self.birth)? || exists(&self.sled)? || exists(&self.ledger)?)
    }
}

/// Who a store is: tables and ledger name it too, so that a lost or exchanged part is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Birth {
    /// 16 random bytes in hexadecimal.
    pub(super) birth: String,
    pub(super) format: u32,
    pub(super) time: Stamp,
}

impl Birth {
    pub(super) fn new(options: &Options) -> Self {
        let birth = rand::random::<[u8; 16]>().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { birth, format: FORMAT, time: options.now() }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        let file = File::open(path).map_err(failed("open", path))?;
        file.take(BIRTH).read_to_string(&mut text).map_err(failed("read", path))?;
        let line = text.strip_suffix('\n').ok_or("is cut off".to_owned());
        let birth = line.and_then(|line| line::read::<Self>(line.as_bytes())).map_err(|p| Error::line(path, 1, p))?;
        if birth.format != FORMAT {
            return Err(Error::Format { path: path.into(), found: birth.format, reads: FORMAT });
        }
        Ok(birth)
    }

    /// Puts it in its place in one step.
    pub(super) fn write(&self, home: &Home) -> Result<(), Error> {
        let bytes = line::write(self).map_err(Error::Conflict)?;
        let mut file = create(&home.unborn)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed("write", &home.unborn))?;
        rename(&home.unborn, &home.birth)
    }
}

pub(super) fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(failed("look for", path))
}

/// The lock of a state directory; held until it is dropped, or the process ends in whatever way.
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Said expressly: a process that another thread is just starting has the file open too, until it becomes what it shall be.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Takes the lock of a state directory.
pub(super) fn lock(path: &Path) -> Result<Lock, Error> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed("open", path))?;
    hold(file, path)
}

/// Takes the lock without writing anything; `None` if there is no lock file, and therefore nobody who holds it.
pub(super) fn lock_unwritten(path: &Path) -> Result<Option<Lock>, Error> {
    match File::open(path) {
        Ok(file) => hold(file, path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
    }
}

fn hold(file: File, path: &Path) -> Result<Lock, Error> {
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked { path: path.into() }),
        Err(error) => Err(failed("lock", path)(error.into())),
    }
}

/// Makes a directory that only its owner can enter, unless it is there; then it becomes one.
pub(super) fn directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed("protect", path))
}

/// Makes a file that only its owner can read, in place of any other.
pub(super) fn create(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.map_err(failed("create", path))
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

/// Gives a file, or a directory, another name in the same directory, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(failed("put in place", to))?;
    to.parent().map_or(Ok(()), sync_directory)
}

/// Gives it the first of the names `<path>.<word>-1`, `-2` and so on that is not taken; nothing is ever deleted.
pub(super) fn move_aside(path: &Path, word: &str) -> Result<PathBuf, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{word}"));
    for number in 1..NAMES {
        let mut to = name.clone();
        to.push(format!("-{number}"));
        let to = PathBuf::from(to);
        if !exists(&to)? {
            rename(path, &to)?;
            return Ok(to);
        }
    }
    Err(failed("find a name beside", path)(ErrorKind::AlreadyExists.into()))
}
