//! What prefix management guarantees, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod need;
mod nodes;
mod params;
mod plausible;
mod pool;
mod space;
mod store;
mod wire;
