//! System tests: real hosts, real packets, on networks the tests make for themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "real hosts keep real time, and these tests wait for them on threads of their own"
)]

mod interop;
mod lab;
mod lab_works;
mod network;
