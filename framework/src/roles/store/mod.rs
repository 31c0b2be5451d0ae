//! Where a pool keeps its truth: what is committed here survives the process.
//!
//! The futures hide where the work is done. [`FileStore`] does it on the blocking pool, since an `fsync` may take tens of
//! milliseconds on a router's flash: if an actor waited for it, every other role of its thread would stand still, and the
//! watchdog with it. What arrives while a commit is under way waits for the next one and shares its `fsync`.

mod fault;
mod file;
mod journal;
mod memory;

pub use fault::{Fault, FaultStore};
pub use file::FileStore;
pub use memory::MemStore;

use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

/// What a store keeps: a set of entries, each at most once.
pub trait Entry: Clone + Ord + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<E: Clone + Ord + Debug + Serialize + DeserializeOwned + Send + Sync + 'static> Entry for E {}

/// A change of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change<E> {
    /// An entry that is not there yet comes in.
    Put(E),
    /// An entry that is there goes out.
    Delete(E),
}

/// Applies a batch to a set, all of it or nothing.
///
/// # Errors
///
/// The change that does not fit: a `Put` of what is there, or a `Delete` of what is not.
pub fn apply<E: Entry>(set: &mut BTreeSet<E>, changes: &[Change<E>]) -> Result<(), String> {
    for (done, change) in changes.iter().enumerate() {
        let fits = match change {
            Change::Put(entry) => set.insert(entry.clone()),
            Change::Delete(entry) => set.remove(entry),
        };
        if fits {
            continue;
        }
        for undo in changes[..done].iter().rev() {
            match undo {
                Change::Put(entry) => set.remove(entry),
                Change::Delete(entry) => set.insert(entry.clone()),
            };
        }
        return Err(match change {
            Change::Put(entry) => format!("{entry:?} is there already"),
            Change::Delete(entry) => format!("{entry:?} is not there"),
        });
    }
    Ok(())
}

/// The set of entries on stable storage. Opened above the actors and shared by their lives.
pub trait Store<E: Entry>: Send + Sync {
    /// Returns everything, as the last acknowledged commit left it; what failed meanwhile may or may not be in it.
    ///
    /// After a failed [`commit`](Self::commit) this makes the store whole again, or fails.
    fn load(&self) -> LocalBoxFuture<'static, Result<Vec<E>, StoreError>>;

    /// Makes a batch durable, all of it or nothing; ends when it would survive a power cut.
    ///
    /// After an error the batch may be there or not: only [`load`](Self::load) tells. Dropping the future does not undo it.
    fn commit(&self, changes: Vec<Change<E>>) -> LocalBoxFuture<'static, Result<(), StoreError>>;
}

/// A store cannot do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreError {
    /// The system reports an error.
    #[error("cannot {what} {path}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// With which file.
        path: PathBuf,
        /// The system's words.
        error: String,
    },
    /// The content is not what was written.
    #[error("{path}, line {line}: {problem}; nothing is read from a damaged store: restore a copy, or repair the line")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// There is none.
    #[error("there is no store at {path}; a new and empty one has to be created on purpose")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is one already.
    #[error("there is a store at {path} already; it is not overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else has it open.
    #[error("{path} is in use by another process, or opened twice by this one")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A batch does not fit what is there: a bug of the caller, and nothing is changed.
    #[error("the batch does not fit the store: {0}")]
    Conflict(String),
    /// A drill.
    #[error("the store fails as ordered")]
    Ordered,
}
