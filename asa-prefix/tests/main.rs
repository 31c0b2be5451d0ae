//! Tests of prefix management as others see it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod store;
