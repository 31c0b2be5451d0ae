//! What prefix management guarantees, by subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, missing_docs)]

mod need;
mod params;
mod plausible;
mod wire;
