//! Bounds and marks, what the core hears, and what it wants done.

use super::record::{Answer, Level, PoolError, Record, Request};
use crate::roles::backoff::BackoffPlan;
use crate::roles::resource::Resource;
use crate::roles::store::{Change, StoreError};
use crate::roles::{Control, Mode};
use serde::Serialize;
use std::time::Duration;

/// Bounds and marks of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolPlan<R> {
    /// What a new store begins with; a store that has been used knows better.
    pub initial: Vec<R>,
    /// Below this measure of free blocks the pool is low.
    pub low: u128,
    /// How long a reservation is waited for; then its block is in doubt, not free.
    pub hold: Duration,
    /// Measure that one party may hold; `None` sets no limit (PM-O-12).
    pub quota: Option<u128>,
    /// Requests under way at once; further ones are refused.
    pub requests: usize,
    /// Pauses before a store that has failed is tried again.
    pub backoff: BackoffPlan,
    /// Whether it works from the start on.
    pub mode: Mode,
    /// Where the choice of pauses starts.
    pub seed: u64,
}

impl<R> Default for PoolPlan<R> {
    fn default() -> Self {
        let (hold, backoff) = (Duration::from_secs(600), BackoffPlan::default());
        Self { initial: Vec::new(), low: 0, hold, quota: None, requests: 10_000, backoff, mode: Mode::Active, seed: 0 }
    }
}

/// What the core hears.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", bound = "R: Resource")]
pub enum Input<R: Resource> {
    /// The pool begins.
    Started,
    /// The life cycle of the instance goes on.
    Control(Control),
    /// Somebody asks, under a number that is his alone.
    Asked(u64, Request<R>),
    /// What the store holds.
    Loaded(Result<Vec<Record<R>>, StoreError>),
    /// The last batch is durable, or perhaps not.
    Committed(Result<(), StoreError>),
}

/// What the core wants done.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", bound = "R: Resource")]
pub enum Output<R: Resource> {
    /// Read the store.
    Load,
    /// Make this durable.
    Commit(Vec<Change<Record<R>>>),
    /// Answer the request of that number.
    Reply(u64, Result<Answer<R>, PoolError>),
    /// Tell everybody how much is free.
    Level(Level),
    /// Something that the operator must know.
    Alarm(String),
}
