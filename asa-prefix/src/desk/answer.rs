//! What an operator is told.

use crate::forecast::Forecast;
use crate::pool::Census;
use crate::pool::record::{Record, State, Way};
use crate::prefix::{Family, Prefix};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a pool holds, and how long that will last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Name of the instance.
    pub instance: String,
    /// What it holds.
    pub census: Census,
    /// For each family that it deals with.
    pub forecast: BTreeMap<Family, Forecast>,
}

/// A block with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The block.
    pub block: Prefix,
    /// Its state.
    pub state: State,
}

/// Blocks in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// The blocks.
    pub blocks: Vec<Listed>,
    /// There are more.
    pub more: bool,
}

impl Blocks {
    pub(super) fn of(blocks: Vec<(Prefix, State)>, more: bool) -> Self {
        Self { blocks: blocks.into_iter().map(|(block, state)| Listed { block, state }).collect(), more }
    }
}

/// The block of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Which.
    pub block: Prefix,
    /// Whose.
    pub client: String,
}

/// What has become of a doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The block.
    pub block: Prefix,
    /// Which way it was to go.
    pub way: Way,
    /// Whether it counts as having changed hands.
    pub moved: bool,
}

/// A page of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Which export.
    pub export: u64,
    /// The records.
    pub records: Vec<Record>,
    /// The record to go on with; `None` if these were the last.
    pub next: Option<usize>,
}

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which: a [`Code`](crate::store::Code), or `store` if the store does not hold what the pool thinks.
    pub code: String,
    /// Where, and how.
    pub what: String,
}

/// Whether a pool is sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Records that were examined.
    pub records: usize,
    /// Whether they were compared with what the store holds; not if it changed all the time.
    pub compared: bool,
    /// What is wrong; empty if the pool is sound.
    pub problems: Vec<Fault>,
}
