//! The pool: nothing handed out twice, nothing lost, whatever fails.

#![allow(clippy::wildcard_enum_match_arm, reason = "each test concerns a few answers or states")]

mod bench;
mod clients;
mod network;
mod orders;
mod properties;
mod provider;
mod settling;
mod store;
mod taker;
