//! The pool: nothing handed out twice, nothing lost, whatever fails.

mod bench;
mod clients;
mod network;
mod orders;
mod properties;
mod provider;
mod settling;
mod store;
mod taker;
