//! System tests: real hosts, real packets, on networks the tests make for themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, missing_docs)]
#![allow(clippy::print_stdout, reason = "a test that runs itself again as another user talks to that process")]
#![allow(
    clippy::disallowed_methods,
    reason = "real hosts keep real time, and these tests wait for them on threads of their own"
)]

mod architecture;
mod command;
mod conformance;
mod control;
mod interop;
mod keys;
mod keys_quads;
mod lab;
mod lab_works;
mod network;
mod pool;
mod prefix;
mod security;
mod sessions;
mod substrates;
mod supervision;
mod supply;
