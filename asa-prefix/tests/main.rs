//! What prefix management guarantees.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod space;
