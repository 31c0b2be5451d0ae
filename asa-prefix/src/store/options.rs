//! What an operator can set, and what a test can take the place of.

use super::line::Stamp;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use time::OffsetDateTime;

/// One of the two places that every commit is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// The lines.
    Ledger,
    /// The database.
    Tables,
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + std::marker::Sync>;
/// Makes what was written to a file durable.
pub type Sync = Arc<dyn Fn(Leg, &File) -> io::Result<()> + Send + std::marker::Sync>;

/// How a store works.
#[derive(Clone)]
pub struct Options {
    /// Bytes after which a segment of the ledger is closed, at least: none is closed before it is as large as the snapshot
    /// that it began with, so that snapshots never cost more than what they summarise. Default 16 MiB.
    pub segment_bytes: u64,
    /// Days that a closed segment is kept; `None`: for ever. Default 400.
    pub keep_days: Option<u32>,
    /// Segments that are kept at most, the current one included; `None`, the default: all.
    pub keep_segments: Option<u32>,
    /// Memory for pages of the database, in bytes. Default 8 MiB.
    pub cache_bytes: u64,
    /// Tells the time that stands in the ledger. Nothing is decided by it, except how long segments are kept.
    pub clock: Clock,
    /// Makes what was written to a file durable. Tests put a failing disk here.
    pub sync: Sync,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            keep_days: Some(400),
            keep_segments: None,
            cache_bytes: 8 << 20,
            clock: Arc::new(OffsetDateTime::now_utc),
            sync: Arc::new(|_, file| file.sync_data()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment_bytes, keep_days, keep_segments, cache_bytes, clock: _, sync: _ } = self;
        f.debug_struct("Options")
            .field("segment_bytes", segment_bytes)
            .field("keep_days", keep_days)
            .field("keep_segments", keep_segments)
            .field("cache_bytes", cache_bytes)
            .finish_non_exhaustive()
    }
}

impl Options {
    pub(super) fn now(&self) -> Stamp {
        Stamp::of((self.clock)())
    }
}
