//! The ledger: every change of every block, as lines that only grow in number.
//!
//! `ledger/NNNNNNNN.jsonl` are its segments. `ledger/NNNNNNNN.snapshot` holds all records where a segment begins, so that
//! the tables can be built anew from the last snapshot and the segment that goes with it, and old segments can go.

use super::batch::Lines;
use super::error::{Error, failed};
use super::files::{self, Birth, FORMAT, Home};
use super::line::{self, Head};
use super::options::{Leg, Options};
use super::record::Sum;
use super::segment::{self, SEGMENT, SNAPSHOT, Tail};
use super::snapshot;
use super::tables::Tables;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use time::Duration;

/// The ledger, open at its end.
pub(super) struct Ledger {
    path: PathBuf,
    birth: String,
    options: Options,
    /// Number of the current segment.
    segment: u64,
    file: Arc<File>,
    /// Bytes of the current segment that are acknowledged.
    length: u64,
    /// Bytes after which the segment is closed.
    full: u64,
    /// Number of the last line.
    pub(super) seq: u64,
    /// Over all records after it.
    pub(super) sum: Sum,
    writer: mpsc::SyncSender<Job>,
}

/// Bytes for the disk, and who waits for them.
struct Job {
    file: Arc<File>,
    bytes: Vec<u8>,
    done: mpsc::SyncSender<io::Result<()>>,
}

/// A thread that writes, so that both legs of a commit wait for the disk at the same time; ends with its sender.
fn writer(options: &Options) -> Result<mpsc::SyncSender<Job>, Error> {
    let (sender, jobs) = mpsc::sync_channel::<Job>(1);
    let sync = options.sync.clone();
    let work = move || {
        for Job { file, bytes, done } in jobs {
            let written = (&*file).write_all(&bytes).and_then(|()| sync(Leg::Ledger, &file));
            // Who does not wait any more has failed with the other leg.
            let _ = done.send(written);
        }
    };
    std::thread::Builder::new()
        .name("ledger".into())
        .spawn(work)
        .map_err(failed("begin a thread for", Path::new("ledger")))?;
    Ok(sender)
}

/// Lines on their way to the disk.
pub(super) struct Pending {
    done: mpsc::Receiver<io::Result<()>>,
    path: PathBuf,
}

impl Pending {
    /// Waits until they are there.
    pub(super) fn wait(self) -> Result<(), Error> {
        let written = self.done.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that writes has ended")));
        written.map_err(failed("write", &self.path))
    }
}

impl Ledger {
    /// Makes an empty ledger with an identity, or one that begins with what is in the tables; durable.
    pub(super) fn create(
        home: &Home,
        birth: &Birth,
        from: Option<(&Tables, u64, Sum)>,
        options: &Options,
    ) -> Result<(), Error> {
        files::directory(&home.ledger)?;
        let (after, sum) = from.map_or((0, Sum::default()), |(_, seq, sum)| (seq, sum));
        let head = Head { format: FORMAT, birth: birth.birth.clone(), segment: 1, after, time: options.now(), sum };
        if let Some((tables, ..)) = from {
            snapshot::write(&segment::path(&home.ledger, 1, SNAPSHOT), &head, tables)?;
        }
        write_head(&home.ledger, &head)?;
        begin(&home.ledger, &head)?;
        files::sync_directory(&home.dir)
    }

    /// Opens a ledger at its end, which `tail` has found. An unfinished batch is cut off. What follows `acknowledged`, if that
    /// is given, is written once more: an earlier attempt may have failed.
    pub(super) fn open(
        home: &Home,
        birth: &Birth,
        tail: &Tail,
        acknowledged: Option<(u64, u64)>,
        options: &Options,
    ) -> Result<Self, Error> {
        let number = tail.head.segment;
        let path = segment::path(&home.ledger, number, SEGMENT);
        let file = OpenOptions::new().read(true).append(true).open(&path).map_err(failed("open", &path))?;
        let found = file.metadata().map_err(failed("examine", &path))?.len();
        // A new name may not be on the disk yet.
        files::sync_directory(&home.ledger)?;
        match acknowledged {
            Some((segment, length)) if segment == number && length <= tail.length => {
                rewrite(&file, length, tail.length, options).map_err(failed("write anew the end of", &path))?;
            }
            _ if found > tail.length => {
                file.set_len(tail.length).and_then(|()| file.sync_all()).map_err(failed("shorten", &path))?;
            }
            _ => {}
        }
        let snapshot = fs::metadata(segment::path(&home.ledger, number, SNAPSHOT)).map_or(0, |file| file.len());
        Ok(Self {
            path: home.ledger.clone(),
            birth: birth.birth.clone(),
            options: options.clone(),
            segment: number,
            file: Arc::new(file),
            length: tail.length,
            full: options.segment_bytes.max(snapshot),
            seq: tail.seq,
            sum: tail.sum,
            writer: writer(options)?,
        })
    }

    /// Begins to write lines; what comes of it, [`Pending::wait`] tells, and then [`Self::written`] has to follow.
    pub(super) fn append(&self, lines: &Lines) -> Result<Pending, Error> {
        let (done, waiting) = mpsc::sync_channel(1);
        let job = Job { file: self.file.clone(), bytes: lines.bytes.clone(), done };
        let path = segment::path(&self.path, self.segment, SEGMENT);
        if self.writer.send(job).is_err() {
            return Err(failed("write", &path)(io::Error::other("the thread that writes has ended")));
        }
        Ok(Pending { done: waiting, path })
    }

    /// The lines are on the disk.
    pub(super) fn written(&mut self, lines: &Lines) {
        self.length += lines.bytes.len() as u64;
        (self.seq, self.sum) = (lines.seq, lines.sum);
    }

    /// Segment, and bytes of it, that are acknowledged.
    pub(super) fn acknowledged(&self) -> (u64, u64) {
        (self.segment, self.length)
    }

    /// Whether the current segment is as long as it should get.
    pub(super) fn is_full(&self) -> bool {
        self.length >= self.full
    }

    /// Closes the current segment: a snapshot of the tables that has proven whole, and a new segment after it. Then removes
    /// segments that are older than the operator wants, and older than that snapshot.
    ///
    /// # Errors
    ///
    /// Nothing has happened; another try is made when the segment has grown once more by as much.
    pub(super) fn rotate(&mut self, tables: &Tables) -> Result<(), Rotation> {
        self.full = self.length + self.options.segment_bytes.max(1);
        let head = Head {
            format: FORMAT,
            birth: self.birth.clone(),
            segment: self.segment + 1,
            after: self.seq,
            time: self.options.now(),
            sum: self.sum,
        };
        let path = segment::path(&self.path, head.segment, SNAPSHOT);
        snapshot::write(&path, &head, tables).map_err(Rotation::NotBegun)?;
        let snapshot = fs::metadata(&path).map_or(0, |file| file.len());
        let length = write_head(&self.path, &head).map_err(Rotation::NotBegun)?;
        // From here on the new segment may be there.
        begin(&self.path, &head).map_err(Rotation::Unknown)?;
        let path = segment::path(&self.path, head.segment, SEGMENT);
        let file = OpenOptions::new().read(true).append(true).open(&path).map_err(failed("open", &path));
        self.file = Arc::new(file.map_err(Rotation::Unknown)?);
        (self.segment, self.length) = (head.segment, length);
        self.full = self.options.segment_bytes.max(snapshot);
        if let Err(error) = self.expire(&head) {
            tracing::warn!(%error, "old segments of the ledger could not be removed");
        }
        Ok(())
    }

    fn expire(&self, current: &Head) -> Result<(), Error> {
        let segments = segment::list(&self.path)?;
        let oldest = self.options.keep_days.map(|days| current.time.0 - Duration::days(days.into()));
        let mut kept = segments.len();
        for segment in segments.iter().copied().take_while(|segment| *segment < current.segment) {
            // It was closed when the next one was begun.
            let closed = segment::head_of(&self.path, segment + 1, &self.birth)?.time.0;
            let many = self.options.keep_segments.is_some_and(|keep| kept > keep.max(1) as usize);
            if !many && oldest.is_none_or(|oldest| closed >= oldest) {
                break;
            }
            // The segment first: a snapshot without one is not looked at.
            for ending in [SEGMENT, SNAPSHOT] {
                let path = segment::path(&self.path, segment, ending);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("remove", &path)(error));
                    }
                    _ => {}
                }
                files::sync_directory(&self.path)?;
            }
            kept -= 1;
        }
        Ok(())
    }
}

/// Why a segment was not closed.
pub(super) enum Rotation {
    /// All is as it was.
    NotBegun(Error),
    /// The new segment may be there or not.
    Unknown(Error),
}

/// Where a segment is while it has no head.
fn fresh(ledger: &Path, head: &Head) -> PathBuf {
    segment::path(ledger, head.segment, "jsonl-fresh")
}

/// Begins a segment; it appears with its head, or not at all.
fn begin(ledger: &Path, head: &Head) -> Result<(), Error> {
    files::rename(&fresh(ledger, head), &segment::path(ledger, head.segment, SEGMENT))
}

/// Writes the head of a segment that is not there yet; returns its length.
fn write_head(ledger: &Path, head: &Head) -> Result<u64, Error> {
    let fresh = fresh(ledger, head);
    let bytes = line::write(head).map_err(Error::Conflict)?;
    let mut file = files::create(&fresh)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed("write", &fresh))?;
    Ok(bytes.len() as u64)
}

/// After a failed `fsync` nobody knows what of a file is on the disk, and another `fsync` does not tell: what was not
/// acknowledged is written once more.
fn rewrite(mut file: &File, from: u64, to: u64, options: &Options) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(to - from).read_to_end(&mut bytes)?;
    file.set_len(from)?;
    (options.sync)(Leg::Ledger, file)?;
    file.write_all(&bytes)?;
    (options.sync)(Leg::Ledger, file)
}
