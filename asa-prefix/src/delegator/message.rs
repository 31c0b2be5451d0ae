//! What the core hears, and what it wants done.

use super::question::{Question, Response};
use crate::pool::{Answer, Level, PoolError, Request};
use crate::prefix::{Family, Prefix, Want};
use crate::wire::params::Params;
use asa_framework::roles::Control;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the core hears; each question has a number that is its own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The life cycle of the instance goes on.
    Control(Control),
    /// So much is free.
    Level(Level),
    /// A client of this node wants a block.
    Take(u64, Want, String),
    /// A client of this node gives a block back.
    Give(u64, Prefix, String),
    /// A negotiator asks.
    Consulted {
        /// Number of the question.
        id: u64,
        /// What.
        question: Question,
        /// Whether this node itself waits for that other side.
        mutual: bool,
    },
    /// The pool has answered the request made for that question.
    Answered(u64, Result<Answer, PoolError>),
    /// What the program of the operator has made of a block that a client is to use.
    Hooked(u64, Result<(), String>),
    /// Tell what is known: the answer is [`Output::Told`].
    Explain(u64),
}

/// What the core wants done.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Ask the pool.
    Ask(u64, Request),
    /// Answer the question of a negotiator.
    Reply(u64, Result<Response, String>),
    /// Answer a client.
    Client(u64, Result<Prefix, String>),
    /// Let the program of the operator put a block to use for a client (PM-D-06).
    Hook(u64, Prefix, String),
    /// Answer who wants to know.
    Told(u64, Box<Explained>),
    /// Something that the operator must know.
    Alarm(String),
}

/// Why the node asks for what it asks for (PM-Q-01).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// What this node is.
    pub role: String,
    /// Whose parameters are in force; `None` for those built in or of the manifest.
    pub params_source: Option<String>,
    /// The parameters in force.
    pub params: Params,
    /// For each family what would be asked for next, and why.
    pub next: BTreeMap<Family, String>,
    /// Whether others are being asked.
    pub asking: bool,
    /// Clients and peers that wait.
    pub waiting: usize,
    /// How often asking others has come to nothing since it last did not.
    pub fruitless: u32,
}
