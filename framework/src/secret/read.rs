//! Reads secrets, and writes them where nobody else can read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::SecretSource;

/// Bits of a file's mode that let others than its owner at it.
const OTHERS: u32 = 0o077;
/// Bits that let everybody at it.
const ANYBODY: u32 = 0o007;

/// Why there is no secret. None of these shows any part of what was read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The system refuses.
    #[error("{what}: {source}")]
    Io {
        /// What was read or written.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// Something that may block, or that has no end.
    #[error("{0} is not a regular file")]
    NoFile(PathBuf),
    /// Somebody else may have read it already.
    #[error("{path} can be read or written by others (mode {mode:04o}): chmod 600 {path}, and consider whether the secret is still one", path = .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// The bits of its mode.
        mode: u32,
    },
    /// More than any secret of this kind has.
    #[error("{what} holds more than {limit} bytes, which this secret cannot have")]
    TooLong {
        /// What was read.
        what: String,
        /// The bound.
        limit: usize,
    },
    /// Not started by systemd, or by a unit that passes none.
    #[error("no credentials directory: credential:{0} needs LoadCredential={0}:/path in the systemd unit")]
    NoCredentials(String),
    /// What is typed there could be seen.
    #[error("fd:{0} is a terminal: use \"prompt\", which does not show what is typed")]
    Terminal(u32),
    /// Nobody can be asked.
    #[error("{0}")]
    NoPrompt(String),
}

/// What a source may need from its process.
#[derive(Default)]
pub struct Surroundings<'a> {
    /// Where systemd has put the credentials: the value of `CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// Asks a person for one line, which is not shown; `None` where nobody is.
    pub prompt: Option<&'a dyn Fn() -> Result<Zeroizing<String>, String>>,
}

impl SecretSource {
    /// Reads the secret, which has no more than `limit` bytes. It is overwritten in memory when it is dropped.
    ///
    /// A pipe is read to its end, however long its writers take.
    ///
    /// # Errors
    ///
    /// See [`SecretError`]: also for a file that others than its owner can read, and for a credential that anybody can.
    pub fn read(&self, limit: usize, around: &Surroundings<'_>) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        match self {
            Self::File(path) => read_file(path, limit, OTHERS),
            // Opened again, since a number alone is no proof that the descriptor is one of ours to close.
            Self::Descriptor(number) => {
                let what = format!("fd:{number}");
                let file = File::open(format!("/proc/self/fd/{number}"));
                let file = file.map_err(|source| SecretError::Io { what: what.clone(), source })?;
                if file.is_terminal() {
                    return Err(SecretError::Terminal(*number));
                }
                read_to_end(file, what, limit)
            }
            // systemd lets a group of its own at them, by an access list that shows in the mode.
            Self::Credential(name) => match &around.credentials {
                Some(directory) => read_file(&directory.join(name), limit, ANYBODY),
                None => Err(SecretError::NoCredentials(name.clone())),
            },
            Self::Prompt => match around.prompt {
                Some(prompt) => prompt().map(|mut line| Zeroizing::new(std::mem::take(&mut *line).into_bytes())),
                None => {
                    Err("nobody can be asked for the secret here: name a file, a descriptor or a credential".into())
                }
            }
            .map_err(SecretError::NoPrompt),
        }
    }
}

/// Reads a file of at most `limit` bytes, whoever else can: what it holds goes to a better place.
///
/// # Errors
///
/// See [`SecretError`].
pub fn read_any(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    read_file(path, limit, 0)
}

/// Reads a file, unless its mode has one of the bits in `forbidden`.
fn read_file(path: &Path, limit: usize, forbidden: u32) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |source| SecretError::Io { what: path.display().to_string(), source };
    // Opening a pipe by its name would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(SecretError::NoFile(path.to_owned()));
    }
    if about.mode() & forbidden != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode: about.mode() & 0o7777 });
    }
    read_to_end(file, path.display().to_string(), limit)
}

/// Reads everything into one buffer that never grows, so that no copy is left behind.
fn read_to_end(mut file: File, what: String, limit: usize) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let mut secret = Zeroizing::new(vec![0; limit + 1]);
    let mut filled = 0;
    while filled <= limit {
        match file.read(&mut secret[filled..]) {
            Ok(0) => {
                secret.truncate(filled);
                return Ok(secret);
            }
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(SecretError::Io { what, source }),
        }
    }
    Err(SecretError::TooLong { what, limit })
}

/// Writes a new file that only its owner can read, from its first moment on; it is on disk when this returns.
///
/// # Errors
///
/// Those of the system, also when there is a file, which is left as it is. What could not be written whole is removed.
pub fn write_secret(path: &Path, secret: &[u8]) -> Result<(), SecretError> {
    let failed = |source| SecretError::Io { what: path.display().to_string(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = file.write_all(secret).and_then(|()| file.sync_all());
    written.map_err(|source| {
        // It is ours, and of no use.
        let _ = fs::remove_file(path);
        failed(source)
    })
}
