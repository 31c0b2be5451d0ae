//! Gray and Briggs against their requirements: the strategies alone, and both as nodes on the fabric.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, missing_docs)]

mod briggs;
mod gray;
mod pair;
mod support;
mod wire;
