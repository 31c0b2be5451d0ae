//! What can be wrong with a store.

use asa_framework::roles::store::StoreError;
use std::path::{Path, PathBuf};

/// A store cannot do what it should: what, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("there is no store at {path}; a new and empty one has to be created on purpose")]
    Missing {
        /// The state directory.
        path: PathBuf,
    },
    /// There is one already.
    #[error("there is a store, or the rest of one, at {path} already; it is not overwritten: move it away first")]
    Exists {
        /// What is in the way.
        path: PathBuf,
    },
    /// Somebody else has it open.
    #[error("{path} is in use by another process, or opened twice by this one; end that one first")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The system reports an error.
    #[error("cannot {what} {path}: {error}; make the disk writable and whole, then start again")]
    Io {
        /// What was tried.
        what: String,
        /// With which file.
        path: PathBuf,
        /// The system's words.
        error: String,
    },
    /// The content is not what was written.
    #[error("{path}{}: {problem}; nothing is served: run `asa pool repair`, or restore an export", at(.line))]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// The line, from 1, if it is a file of lines.
        line: Option<u64>,
        /// What is wrong with it.
        problem: String,
    },
    /// Written by another version.
    #[error("{path} has format {found}, and this version reads {reads}; use the version that wrote it, or its export")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that is read here.
        reads: u32,
    },
    /// An export cannot be used.
    #[error("line {line} of the export: {problem}; nothing is restored from it: take another one")]
    Export {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A batch does not fit what is there: a bug of the caller, and nothing is changed.
    #[error("the batch does not fit the store: {0}")]
    Conflict(String),
    /// An earlier commit failed.
    #[error("an earlier commit has failed, and what the disk holds is unknown until the store has been loaded again")]
    Suspect,
}

fn at(line: &Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

impl Error {
    pub(super) fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), line: None, problem: problem.into() }
    }

    pub(super) fn line(path: &Path, line: u64, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), line: Some(line), problem: problem.into() }
    }

    /// Whether it says that content is lost or wrong: then trying again does not help, and repairing may.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Missing { path } => Self::Missing { path },
            Error::Exists { path } => Self::Exists { path },
            Error::Locked { path } => Self::Locked { path },
            Error::Io { what, path, error } => Self::Io { what, path, error },
            Error::Damaged { path, line, problem } => {
                Self::Damaged { path, line: line.unwrap_or(0), problem: format!("{problem} (run `asa pool repair`)") }
            }
            Error::Format { ref path, .. } => Self::Damaged { path: path.clone(), line: 1, problem: error.to_string() },
            Error::Export { line, problem } => Self::Damaged { path: "export".into(), line, problem },
            Error::Conflict(problem) => Self::Conflict(problem),
            Error::Suspect => Self::Io { what: "commit to".into(), path: PathBuf::new(), error: error.to_string() },
        }
    }
}

/// Says what was tried with which file when the system refused.
pub(super) fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::Io { what: what.into(), path: path.into(), error: error.to_string() }
}
