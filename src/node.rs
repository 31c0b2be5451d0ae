//! What every subcommand that runs a node shares: the actor system, logging, signals.

use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asa_framework::event::{Event, Events};
use asa_framework::manifest::{self, Log};
use asa_framework::telemetry::{self, BoxMakeWriter, Format, InitError, Levels, Telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::LogFormat;
use crate::lines::Lines;

/// Runs a future in a fresh actor system; with `simulated`, time passes only while nothing is to be done.
pub(crate) fn block_on<F: Future>(simulated: bool, future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(simulated).build()?;
    let runtime = actix::System::with_tokio_rt(|| runtime);
    Ok(runtime.block_on(future))
}

/// The log of this process, and where its lines go.
static LOG: OnceLock<(Telemetry, Lines)> = OnceLock::new();

/// Lets the last log lines out before the process ends.
pub(crate) fn flush_log() {
    if let Some((telemetry, lines)) = LOG.get() {
        telemetry.finish();
        // Nobody is left to be told that nobody reads the log.
        let _ = lines.clone().finish(Duration::from_millis(200));
    }
}

/// What the command line says about the form of the output, else what the manifest says.
pub(crate) fn output_form(asked: Option<LogFormat>, log: &Log) -> LogFormat {
    asked.unwrap_or(if log.format == manifest::LogFormat::Json { LogFormat::Json } else { LogFormat::Text })
}

/// Sends log lines to standard error, to the journal if that is where standard error leads, or as JSON objects to
/// `out`; `ASA_LOG` chooses what is logged. Returns the handle that changes this while the node runs.
pub(crate) fn log(format: LogFormat, log: &Log, out: &Lines) -> Option<Levels> {
    let (format, lines) = match (format, log.format) {
        (LogFormat::Json, _) => (Format::Json, out.clone()),
        (LogFormat::Text, manifest::LogFormat::Journald) => (Format::Journald, Lines::stderr()),
        (LogFormat::Text, manifest::LogFormat::Text | manifest::LogFormat::Json) => (Format::Text, Lines::stderr()),
        (LogFormat::Text, manifest::LogFormat::Auto) => {
            (Format::auto(std::env::var_os("JOURNAL_STREAM").as_deref(), io::stderr()), Lines::stderr())
        }
    };
    let repeats = match log.repeat_burst {
        0 => telemetry::Limits { burst: u32::MAX, ..telemetry::Limits::default() },
        burst => telemetry::Limits { burst, ..telemetry::Limits::default() },
    };
    let settings = telemetry::Settings {
        format,
        levels: log.level.clone(),
        levels_override: std::env::var_os(telemetry::LEVELS_VARIABLE),
        colours: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        repeats: telemetry::Limits { every: Duration::from_millis(log.repeat_every_ms.into()), ..repeats },
    };
    let text = telemetry::Settings { format: Format::Text, ..settings.clone() };
    let log = match telemetry::init(&settings, writer(lines.clone())) {
        // What leads to the journal can be read even while the journal takes no fields.
        Err(InitError::Journal(_)) => telemetry::init(&text, writer(lines.clone())),
        log => log,
    };
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "an actor panicked")));
    // A second log cannot be set; the first one stays.
    log.ok().map(|log| LOG.get_or_init(|| (log, lines)).0.levels())
}

fn writer(lines: Lines) -> BoxMakeWriter {
    BoxMakeWriter::new(move || lines.clone())
}

/// Waits for SIGTERM or Ctrl-C; the next one after that ends the process at once.
pub(crate) async fn stop_signal() -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    actix::spawn(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        #[allow(clippy::disallowed_methods, reason = "whoever asks twice does not want to wait for anything")]
        std::process::exit(130);
    });
    Ok(())
}

/// Events that may wait to be written; more are dropped, and said to be.
const EVENTS: usize = 65_536;

/// Where a node's events go, and where they come out.
pub(crate) fn events() -> (Events, mpsc::Receiver<Event>) {
    let (sender, events) = mpsc::channel(EVENTS);
    let sink: Events = Arc::new(move |event| {
        if let Err(mpsc::error::TrySendError::Full(event)) = sender.try_send(event) {
            tracing::warn!(?event, "dropped an event: nobody takes them");
        }
    });
    (sink, events)
}
