//! Bounds and marks, what the core hears, and what it wants done.

use super::record::Record;
use super::request::{Answer, Level, PoolError, Request};
use crate::prefix::{Family, Prefix};
use asa_framework::roles::backoff::BackoffPlan;
use asa_framework::roles::store::{Change, StoreError};
use asa_framework::roles::{Control, Mode};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Bounds and marks of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolPlan {
    /// Aggregates that a new store begins with; a store that has been used knows better (PM-S-15).
    pub initial: Vec<Prefix>,
    /// What is kept out of use as far as it is free, in every life anew (PM-D-07).
    pub exclude: Vec<Prefix>,
    /// How long an open negotiation is waited for; then its block is in doubt, not free.
    pub hold: Duration,
    /// Addresses that one peer may have of each family; none sets no limit (PM-O-12).
    pub quota: BTreeMap<Family, u128>,
    /// Requests under way at once; further ones are refused.
    pub requests: usize,
    /// Negotiations that are remembered after they are over; the oldest is forgotten first.
    pub sessions: usize,
    /// Pauses before a store that has failed is tried again.
    pub backoff: BackoffPlan,
    /// Whether it works from the start on.
    pub mode: Mode,
    /// Where the choice of pauses starts.
    pub seed: u64,
}

impl Default for PoolPlan {
    fn default() -> Self {
        let (hold, backoff) = (Duration::from_secs(600), BackoffPlan::default());
        let (initial, exclude, quota, mode) = (Vec::new(), Vec::new(), BTreeMap::new(), Mode::Active);
        Self { initial, exclude, hold, quota, requests: 10_000, sessions: 10_000, backoff, mode, seed: 0 }
    }
}

/// What the clocks of the machine say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stamp {
    /// Seconds since 1970 by the wall clock, for people only.
    pub wall: u32,
    /// Seconds since the machine has booted, time in suspension included.
    pub uptime: u32,
    /// Which boot this is.
    pub boot: u32,
}

/// What the core hears.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The pool begins.
    Started(Stamp),
    /// The life cycle of the instance goes on.
    Control(Control),
    /// Somebody asks, under a number that is his alone.
    Asked(u64, Stamp, Request),
    /// What the store holds.
    Loaded(Result<Vec<Record>, StoreError>),
    /// The last batch is durable, or perhaps not.
    Committed(Result<(), StoreError>),
}

/// What the core wants done.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Read the store.
    Load,
    /// Make this durable.
    Commit(Vec<Change<Record>>),
    /// Answer the request of that number.
    Reply(u64, Result<Answer, PoolError>),
    /// Tell everybody how much is free.
    Level(Level),
    /// These blocks of clients are out of use for good: what was set up for them is to be taken down.
    Ended(Vec<Prefix>),
    /// Something that the operator must know.
    Alarm(String),
}
