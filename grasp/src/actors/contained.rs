//! Panics in what handles input from the network cost that input, not the actor that took it.

use super::tally::Tally;
use futures_util::FutureExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does this, or counts that it panicked and that `lost` is lost.
///
/// What `work` may have left half done must not be used again; so it takes what it changes by value, or only reads.
pub(crate) fn contained<T>(tally: &Tally, lost: &'static str, work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| count(tally, lost)).ok()
}

/// As [`contained`], for work that waits; after a panic the future is not polled again.
pub(crate) async fn contained_wait<F: Future>(tally: &Tally, lost: &'static str, work: F) -> Option<F::Output> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| count(tally, lost)).ok()
}

fn count(tally: &Tally, lost: &'static str) {
    tracing::error!(lost, "a panic was contained");
    tally.count("panics_contained", lost);
}
