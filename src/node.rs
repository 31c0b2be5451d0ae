//! What every subcommand that runs a node shares: the actor system, logging, signals.

use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asa_framework::event::{Event, Events};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::lines::Lines;

/// Runs a future in a fresh actor system; with `simulated`, time passes only while nothing is to be done.
pub(crate) fn block_on<F: Future>(simulated: bool, future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(simulated).build()?;
    let runtime = actix::System::with_tokio_rt(|| runtime);
    Ok(runtime.block_on(future))
}

/// Where log lines for people go.
static LOG: OnceLock<Lines> = OnceLock::new();

/// Lets the last log lines out before the process ends.
pub(crate) fn flush_log() {
    if let Some(log) = LOG.get() {
        // Nobody is left to be told that nobody reads the log.
        let _ = log.clone().finish(Duration::from_millis(200));
    }
}

/// Sends log lines to standard error, or as JSON objects to `out`; `ASA_LOG` chooses what is logged.
pub(crate) fn log(format: LogFormat, default: &str, out: &Lines) {
    let filter = EnvFilter::try_from_env("ASA_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    // A second subscriber cannot be set; the first one stays.
    let _ = match format {
        LogFormat::Text => {
            let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let err = LOG.get_or_init(Lines::stderr).clone();
            builder.with_writer(move || err.clone()).with_ansi(ansi).with_target(false).try_init()
        }
        LogFormat::Json => {
            let out = out.clone();
            builder.json().with_writer(move || out.clone()).try_init()
        }
    };
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "an actor panicked")));
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
