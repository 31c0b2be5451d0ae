//! System tests: real hosts, real packets, on networks the tests make for themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod lab;
mod lab_works;
