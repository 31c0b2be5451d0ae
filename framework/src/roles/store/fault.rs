//! A store that fails on order, for tests and drills.

use super::{Change, Entry, Store, StoreError};
use futures_util::future::LocalBoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Commits fail, and leave nothing behind.
    Refuse,
    /// Commits are made and then reported as failed: the answer of the disk was lost.
    Doubt,
    /// Commits are reported as made and are forgotten, as by a disk that lies about its cache.
    Forget,
    /// Neither commits nor loads succeed.
    Dead,
    /// Commits and loads never end.
    Hang,
}

/// Passes everything on to another store, as long as it is not told otherwise.
pub struct FaultStore<E> {
    inner: Arc<dyn Store<E>>,
    orders: Arc<Mutex<(Fault, Duration)>>,
}

impl<E> Clone for FaultStore<E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), orders: self.orders.clone() }
    }
}

impl<E: Entry> FaultStore<E> {
    /// Does what `inner` does, until ordered otherwise.
    #[must_use]
    pub fn new(inner: Arc<dyn Store<E>>) -> Self {
        Self { inner, orders: Arc::default() }
    }

    /// From now on fails so.
    pub fn order(&self, fault: Fault) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).0 = fault;
    }

    /// From now on takes this much longer.
    pub fn delay(&self, delay: Duration) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).1 = delay;
    }

    fn orders(&self) -> (Fault, Duration) {
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

impl<E: Entry> Store<E> for FaultStore<E> {
    fn load(&self) -> LocalBoxFuture<'static, Result<Vec<E>, StoreError>> {
        let ((fault, delay), inner) = (self.orders(), self.inner.clone());
        Box::pin(async move {
            pause(delay).await;
            match fault {
                Fault::Dead => Err(StoreError::Ordered),
                Fault::Hang => std::future::pending().await,
                Fault::None | Fault::Refuse | Fault::Doubt | Fault::Forget => inner.load().await,
            }
        })
    }

    fn commit(&self, changes: Vec<Change<E>>) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        let ((fault, delay), inner) = (self.orders(), self.inner.clone());
        Box::pin(async move {
            pause(delay).await;
            match fault {
                Fault::None => inner.commit(changes).await,
                Fault::Refuse | Fault::Dead => Err(StoreError::Ordered),
                Fault::Doubt => inner.commit(changes).await.and(Err(StoreError::Ordered)),
                Fault::Forget => Ok(()),
                Fault::Hang => std::future::pending().await,
            }
        })
    }
}
