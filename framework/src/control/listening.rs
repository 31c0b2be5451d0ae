//! The socket in the file system: made for its owner alone, never in the place of one that lives, removed by whoever made it.

use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::{Instant, sleep, timeout};

/// Who may connect, as far as the file system decides.
const MODE: u32 = 0o600;
/// Mode of directories that have to be made.
const DIRECTORY_MODE: u32 = 0o700;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 64;
/// How long another process may take to start, or to take a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between attempts to get the directory for oneself.
const RETRY: Duration = Duration::from_millis(10);
/// Pause after a connection could not be accepted, as when there are no file descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Somebody answers there.
    #[error(
        "{0}: another node of this name is running and answers on its control socket; stop it, or give this one another \
         node.name or control.socket"
    )]
    Live(PathBuf),
    /// Something else is there.
    #[error("{0}: is there already and is not a socket; remove it, or set control.socket to another path")]
    NotASocket(PathBuf),
    /// Somebody has held the directory for too long.
    #[error("{0}: another node has been starting in this directory for 2 s; try again")]
    Starting(PathBuf),
    /// The system does not let us.
    #[error("{path}: cannot {what}: {source}; set control.socket to a path where this user may make a socket")]
    System {
        /// The path concerned.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// A listening socket, and what is needed to know its file again.
#[derive(Debug)]
pub(super) struct Listening {
    listener: UnixListener,
    path: PathBuf,
    identity: Identity,
}

/// Device and inode of a file. While the socket is open nothing else gets this inode, even if the file is removed.
type Identity = (u64, u64);

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}

impl Listening {
    /// Makes the socket, and its directory if that is missing; replaces a socket on which nobody answers.
    pub(super) async fn bind(path: &Path) -> Result<Self, ServeError> {
        let failed = |what| move |source| ServeError::System { path: path.to_owned(), what, source };
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            Some(_) | None => Path::new("."),
        };
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory);
        made.map_err(failed("make its directory"))?;
        // Until it is closed: two nodes that start together must not both find the same dead socket and replace it.
        let _alone = alone(directory).await?;
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at it")(error)),
            Ok(file) if !file.file_type().is_socket() => return Err(ServeError::NotASocket(path.to_owned())),
            Ok(_) if lives(path).await => return Err(ServeError::Live(path.to_owned())),
            Ok(_) => {
                tracing::info!(path = %path.display(), "replacing a control socket on which nobody answers");
                std::fs::remove_file(path).map_err(failed("remove the socket of a node that is gone"))?;
            }
        }
        let listener = listen(path).map_err(failed("make a socket"))?;
        let file = path.symlink_metadata().map_err(failed("look at the new socket"))?;
        let listening = Self { listener, path: path.to_owned(), identity: identity(&file) };
        if file.mode() & 0o777 & !MODE != 0 {
            listening.remove();
            let source = io::Error::other(format!("its mode came out as {:o}", file.mode() & 0o777));
            return Err(failed("make a socket for its owner alone")(source));
        }
        Ok(listening)
    }

    /// Returns the next connection.
    pub(super) async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    sleep(REST).await;
                }
            }
        }
    }

    /// Removes the socket, unless something else is in its place by now.
    pub(super) fn remove(&self) {
        if self.path.symlink_metadata().is_ok_and(|file| identity(&file) == self.identity) {
            // Nothing to be done about a directory that has become read-only.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Locks a directory until the result is dropped.
async fn alone(directory: &Path) -> Result<File, ServeError> {
    let failed = |what| move |source| ServeError::System { path: directory.to_owned(), what, source };
    let file = File::open(directory).map_err(failed("open its directory"))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => sleep(RETRY).await,
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ServeError::Starting(directory.to_owned())),
            Err(error) => return Err(failed("lock its directory")(error.into())),
        }
    }
}

/// Tells whether somebody answers there; only a refused connection is a sure sign that nobody does.
async fn lives(path: &Path) -> bool {
    match timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Err(error)) => !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound),
        Ok(Ok(_)) | Err(_) => true,
    }
}

/// Binds a socket whose file has its mode from the first moment: the system takes it from the unbound socket.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    File::from(socket.as_fd().try_clone_to_owned()?).set_permissions(Permissions::from_mode(MODE))?;
    socket.bind(path)?;
    socket.listen(BACKLOG)
}
