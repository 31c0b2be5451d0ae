//! Holds the blocks of a resource: what is free, offered, granted, in doubt; the [store](crate::roles::store) knows first.

mod actor;
mod core;
mod decide;
mod plan;
mod record;
mod space;

pub use actor::{Ask, Pool, PoolArgs, Subscribe};
pub use core::PoolCore;
pub use plan::{Input, Output, PoolPlan};
pub use record::{Answer, Census, Level, PoolError, Record, Request, State, Ticket, Way};
