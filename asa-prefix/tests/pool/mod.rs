//! The pool: nothing handed out twice, nothing lost, whatever fails.

mod bench;
mod clients;
mod orders;
mod properties;
mod provider;
mod settling;
mod store;
mod taker;
mod network;
