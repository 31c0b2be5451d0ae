//! What prefix management guarantees, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::wildcard_enum_match_arm, missing_docs)]

mod delegator;
mod desk;
mod dialogues;
mod forecast;
mod hooks;
mod need;
mod nodes;
mod params;
mod plausible;
mod pool;
mod space;
mod store;
mod wire;
