//! The log of a node: its formats, its levels, and the rate of its repeats; `docs/operations.md` names the fields.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use grasp::protocol::Time;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

mod fields;
mod levels;
mod lines;
mod repeats;
#[cfg(test)]
mod tests;

pub use levels::{LevelError, Levels};
pub use repeats::Limits;
pub use tracing_subscriber::fmt::writer::BoxMakeWriter;

use fields::KeepFields;
use lines::{LineLayer, Look};
use repeats::{Limited, Table};

/// What stands before the name of each field in the journal, with `_` between: `ASA_ROLE`.
pub const JOURNAL_PREFIX: &str = "ASA";

/// The variable of the environment that chooses the levels a node starts with.
pub const LEVELS_VARIABLE: &str = "ASA_LOG";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line an event, for people.
    Text,
    /// One JSON object an event and line, the fields of the event and of the spans around it side by side.
    Json,
    /// To the journal of systemd, where fields stay fields.
    Journald,
}

impl Format {
    /// Returns [`Self::Journald`] if `stream`, to which the log would go, leads to the journal anyway, else
    /// [`Self::Text`].
    ///
    /// `journal_stream` is the variable `JOURNAL_STREAM`: device and inode of the stream (systemd.exec(5)).
    #[must_use]
    pub fn auto(journal_stream: Option<&OsStr>, stream: impl AsFd) -> Self {
        let names = |named: &str| -> Option<bool> {
            let (device, inode) = named.split_once(':')?;
            let metadata = File::from(stream.as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
            Some((device.parse(), inode.parse()) == (Ok(metadata.dev()), Ok(metadata.ino())))
        };
        let is_journal = journal_stream.and_then(OsStr::to_str).and_then(names).unwrap_or(false);
        if is_journal { Self::Journald } else { Self::Text }
    }
}

/// What a log is set up with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How it is written.
    pub format: Format,
    /// The levels to start with, as [`Levels::set`] takes them.
    pub levels: String,
    /// What the operator wants instead, from [`LEVELS_VARIABLE`]; if it is wrong, the log says so and `levels` are used.
    pub levels_override: Option<OsString>,
    /// Whether text has colours.
    pub colours: bool,
    /// How often the same event is written.
    pub repeats: Limits,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The levels are wrong.
    #[error(transparent)]
    Levels(#[from] LevelError),
    /// The journal takes nothing.
    #[error("cannot write to the journal at /run/systemd/journal/socket: {0}; choose the text or the JSON format")]
    Journal(#[source] io::Error),
    /// This process has a log already.
    #[error("this process has a log already, which stays")]
    AlreadySet,
}

/// The log of this process; dropped, it writes on, but tells counts of repeats only when an event recurs.
#[derive(Clone)]
pub struct Telemetry {
    levels: Levels,
    table: Table,
    /// Ends the thread that writes counts when the last clone is dropped.
    _running: Option<Sender<()>>,
}

impl Telemetry {
    /// Returns the handle that changes levels.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.levels.clone()
    }

    /// Returns how many events were forgotten because too many different ones were seen; their counts were written.
    #[must_use]
    pub fn forgotten_repeats(&self) -> u64 {
        self.table.forgotten()
    }

    /// Writes what repeats are still to be told, before the process ends.
    pub fn finish(&self) {
        self.table.write_all();
    }
}

/// Sets up the log of this process, with the records of the `log` crate in it; lines go to `writer`, which must not block.
///
/// # Errors
///
/// If the levels are wrong, the journal does not answer, or there is a log already.
pub fn init(settings: &Settings, writer: BoxMakeWriter) -> Result<Telemetry, InitError> {
    #[allow(clippy::disallowed_methods, reason = "who reads the log lives in real time, even if the node is simulated")]
    let start = std::time::Instant::now();
    let (subscriber, mut telemetry, refused) = build(settings, writer, Arc::new(move || Time(start.elapsed())))?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| InitError::AlreadySet)?;
    // Whoever took the records of the `log` crate before keeps them.
    let _ = tracing_log::LogTracer::init();
    telemetry._running = write_counts(telemetry.table.clone(), settings.repeats.every)
        .inspect_err(|error| tracing::warn!(%error, "repeats are told only when an event recurs: no thread for it"))
        .ok();
    if let Some(error) = refused {
        tracing::warn!(%error, used = %settings.levels, "{LEVELS_VARIABLE} is not used");
    }
    Ok(telemetry)
}

/// Makes a log without making it that of the process; also returns what is wrong with the override of the levels.
fn build(
    settings: &Settings,
    writer: BoxMakeWriter,
    clock: repeats::Clock,
) -> Result<(impl Subscriber + Send + Sync + use<>, Telemetry, Option<LevelError>), InitError> {
    let output = match settings.format {
        Format::Text => Output::Lines(LineLayer::new(Look::Text { colours: settings.colours }, writer)),
        Format::Json => Output::Lines(LineLayer::new(Look::Json, writer)),
        Format::Journald => Output::Journal(Box::new(journal().map_err(InitError::Journal)?)),
    };
    let asked = settings.levels_override.as_deref().map(|levels| Levels::new(&levels.to_string_lossy()));
    let ((filter, levels), refused) = match asked {
        Some(Ok(asked)) => (asked, None),
        Some(Err(error)) => (Levels::new(&settings.levels)?, Some(error)),
        None => (Levels::new(&settings.levels)?, None),
    };
    let table = Table::new(settings.repeats, clock);
    let limited = Limited::new(table.clone(), output);
    let subscriber = Registry::default().with(filter).with(KeepFields).with(limited);
    Ok((subscriber, Telemetry { levels, table, _running: None }, refused))
}

fn journal() -> io::Result<tracing_journald::Layer> {
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    let layer = tracing_journald::layer()?.with_field_prefix(Some(JOURNAL_PREFIX.to_owned()));
    Ok(layer.with_priority_mappings(priorities).with_syslog_identifier("asa".to_owned()))
}

/// Writes the counts of ended intervals from a thread of its own, until the sender is dropped.
fn write_counts(table: Table, every: Duration) -> io::Result<Sender<()>> {
    let (running, ended) = channel();
    let pause = (every / 2).max(Duration::from_millis(100));
    let write = move || {
        while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            table.write_ended();
        }
    };
    std::thread::Builder::new().name("log-repeats".to_owned()).spawn(write)?;
    Ok(running)
}

/// Where events come out.
enum Output {
    Lines(LineLayer),
    Journal(Box<tracing_journald::Layer>),
}

impl<S> Layer<S> for Output
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Self::Journal(layer) = self {
            layer.on_new_span(attributes, id, context);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Self::Journal(layer) = self {
            layer.on_record(id, values, context);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        match self {
            Self::Lines(layer) => layer.on_event(event, context),
            Self::Journal(layer) => layer.on_event(event, context),
        }
    }
}
