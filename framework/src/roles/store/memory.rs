//! A store without a disk, for simulations and examples.

use super::{Change, Entry, Store, StoreError, apply};
use futures_util::future::{LocalBoxFuture, ready};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps its entries as long as one of its clones lives: lives of an actor share it, processes do not.
#[derive(Debug)]
pub struct MemStore<E>(Arc<Mutex<BTreeSet<E>>>);

impl<E> Clone for MemStore<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> Default for MemStore<E> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<E: Entry> MemStore<E> {
    /// What is in it now.
    #[must_use]
    pub fn entries(&self) -> Vec<E> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl<E: Entry> Store<E> for MemStore<E> {
    fn load(&self) -> LocalBoxFuture<'static, Result<Vec<E>, StoreError>> {
        Box::pin(ready(Ok(self.entries())))
    }

    fn commit(&self, changes: Vec<Change<E>>) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(ready(apply(&mut set, &changes).map_err(StoreError::Conflict)))
    }
}
