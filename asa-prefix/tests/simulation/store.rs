//! The disks: what a node has made durable, how that takes time and fails, and where the node is struck meanwhile.

use super::lab::{Fate, Lab};
use asa_framework::roles::store::{Change, Store, StoreError};
use asa_prefix::pool::record::Record;
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What a disk does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DiskFault {
    /// Nothing.
    #[default]
    None,
    /// Commits fail and leave nothing behind.
    Refuse,
    /// Commits are made and reported as failed.
    Doubt,
    /// Commits take up to two seconds.
    Slow,
    /// Neither reads nor writes.
    Dead,
}

/// Work for the disk; done in order, whether somebody still waits for it or not.
pub(crate) enum Job {
    Load(oneshot::Sender<Result<Vec<Record>, StoreError>>),
    Commit(Vec<Change<Record>>, oneshot::Sender<Result<(), StoreError>>),
}

/// The store of one life of a node.
pub(crate) struct SimStore(pub(crate) mpsc::UnboundedSender<Job>);

impl Store<Record> for SimStore {
    fn load(&self) -> LocalBoxFuture<'static, Result<Vec<Record>, StoreError>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Job::Load(reply));
        Box::pin(async move {
            match answer.await {
                Ok(records) => records,
                // The process is dead.
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn commit(&self, changes: Vec<Change<Record>>) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Job::Commit(changes, reply));
        Box::pin(async move {
            match answer.await {
                Ok(result) => result,
                Err(_) => std::future::pending().await,
            }
        })
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// Works on the disk of a node until that life ends.
pub(crate) async fn work(lab: Arc<Lab>, node: usize, life: u64, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        if !lab.lives(node, life) {
            return;
        }
        match job {
            Job::Load(reply) => {
                let (fault, time) = lab.disk_weather(node);
                pause(time).await;
                if !lab.lives(node, life) {
                    return;
                }
                let _ =
                    reply.send(if fault == DiskFault::Dead { Err(StoreError::Ordered) } else { Ok(lab.load(node)) });
            }
            Job::Commit(changes, reply) => {
                let (fault, time) = lab.disk_weather(node);
                let fate = lab.fate(&changes);
                if let Fate::Before(order) = &fate {
                    return lab.strike(node, life, order);
                }
                // Whether it survives a loss of power from now on is decided by chance.
                lab.begin(
                    node,
                    matches!(fault, DiskFault::None | DiskFault::Slow | DiskFault::Doubt).then(|| changes.clone()),
                );
                pause(time).await;
                if !lab.lives(node, life) {
                    return;
                }
                lab.begin(node, None);
                if matches!(fault, DiskFault::Refuse | DiskFault::Dead) {
                    let _ = reply.send(Err(StoreError::Ordered));
                    continue;
                }
                let applied = lab.apply(node, &changes).map_err(StoreError::Conflict);
                match fate {
                    Fate::After(order) => return lab.strike(node, life, &order),
                    Fate::Soon(order, delay) => {
                        let lab = lab.clone();
                        tokio::task::spawn_local(async move {
                            pause(delay).await;
                            lab.strike(node, life, &order);
                        });
                    }
                    Fate::Before(_) | Fate::None => {}
                }
                let failed = fault == DiskFault::Doubt;
                let _ = reply.send(if failed { applied.and(Err(StoreError::Ordered)) } else { applied });
            }
        }
    }
}
