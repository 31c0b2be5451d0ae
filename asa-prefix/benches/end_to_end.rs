//! What a prefix costs from end to end: in a pool with its store on disk, against the least that any durable store has to do; and
//! over TCP from an origin to those who ask it, against the same bytes without GRASP.
//!
//! `cargo bench -p asa-prefix --bench end_to_end`; stores are made in `$ASA_BENCH_DIRECTORY`, or in the directory for temporary
//! files, which should be on a disk.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

#[path = "end_to_end/durable.rs"]
mod durable;
#[path = "end_to_end/negotiated.rs"]
mod negotiated;

use std::cell::Cell;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// At once in the measurements of throughput.
const MANY: usize = 64;

fn directory() -> TempDir {
    let parent = std::env::var_os("ASA_BENCH_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
    TempDir::new_in(parent).unwrap()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Does something `count` times, always [`MANY`] at once; returns how long that took in all.
async fn many_at_a_time<F: Future<Output = ()> + 'static>(count: u32, work: impl Fn(u32) -> F + 'static) -> Duration {
    let (left, work) = (Rc::new(Cell::new(count)), Rc::new(work));
    let begun = Instant::now();
    let workers: Vec<_> = (0..MANY)
        .map(|_| {
            let (left, work) = (left.clone(), work.clone());
            actix::spawn(async move {
                while let Some(less) = left.get().checked_sub(1) {
                    left.set(less);
                    work(less).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    begun.elapsed()
}

fn main() {
    actix::System::new().block_on(async {
        durable::run().await;
        negotiated::run().await;
    });
}
