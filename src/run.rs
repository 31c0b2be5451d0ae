//! `asa run` and `asa relay`: nodes on a real network.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use asa_framework::deploy::Deployment;
use asa_framework::event::Event;
use asa_framework::manifest::{Loaded, Manifest, Problems, Sources, State};
use grasp::net::kernel::Kernel;

use crate::cli::{LogFormat, RelayArgs, RunArgs};
use crate::lines::Lines;
use crate::output::{Dialogue, Look, Summary};
use crate::{classes, node, settings};

/// Open sessions are declined and registrations withdrawn within this time.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How long the reader of our output may take for the rest of it.
pub(crate) const LAST_LINES: Duration = Duration::from_secs(1);

/// A node without agents; only what the command line says is added to it.
const RELAY: &str = "[node]\nname = \"relay\"\n[grasp]\nsubstrate = \"insecure-lab\"\n";

/// Runs what a manifest says.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let sources = settings::sources(Some(&args.manifest), &args.sets, &args.interfaces);
    start(sources, args.log_format, args.sessions.map(std::num::NonZeroU64::get))
}

/// Runs a node that only relays.
pub(crate) fn relay(args: &RelayArgs) -> anyhow::Result<u8> {
    let mut sources = settings::sources(Some(Path::new("asa relay")), &args.sets, &args.interfaces);
    sources.content = Some(RELAY.into());
    start(sources, args.log_format, None)
}

fn start(sources: Sources, format: LogFormat, sessions: Option<u64>) -> anyhow::Result<u8> {
    let out = Lines::stdout();
    node::log(format, "info", &out);
    match Manifest::load(sources, &classes::infos()) {
        Ok(Loaded { manifest, .. }) => node::block_on(false, serve(&manifest, format, sessions, out))?,
        Err(problems) => {
            refuse(&problems);
            Ok(2)
        }
    }
}

/// Says what is wrong with the settings.
pub(crate) fn refuse(problems: &Problems) {
    let _ = writeln!(io::stderr().lock(), "{problems}");
}

async fn serve(manifest: &Manifest, format: LogFormat, sessions: Option<u64>, out: Lines) -> anyhow::Result<u8> {
    let (sink, mut events) = node::events();
    let classes = classes::all();
    let deployment = Deployment::start(manifest, &classes, Arc::new(Kernel::new()), sink, |_| {});
    let mut writer = Writer::new(format, out);
    let stop = node::stop_signal();
    tokio::pin!(deployment, stop);
    let deployment = tokio::select! {
        biased;
        signal = &mut stop => { signal?; return Ok(0); }
        deployment = &mut deployment => deployment?,
    };
    let mut working = manifest.asa.values().filter(|instance| instance.state == State::Operational).count();
    let mut summary = Summary::default();
    // Whoever read our output may have gone: the agents still take their leave.
    let mut written = Ok(());
    while written.is_ok() && sessions.is_none_or(|limit| summary.total() < limit) {
        tokio::select! {
            biased;
            signal = &mut stop => { signal?; break; }
            event = events.recv() => {
                let Some(event) = event else { break };
                summary.count(&event);
                written = writer.write(&event);
                working -= usize::from(matches!(event, Event::Finished { .. }));
                if working == 0 && matches!(event, Event::Finished { .. }) {
                    break;
                }
            }
        }
    }
    deployment.stop(STOP_LIMIT).await;
    written?;
    while let Ok(event) = events.try_recv() {
        summary.count(&event);
        writer.write(&event)?;
    }
    writer.summary(&summary)?;
    writer.finish()?;
    Ok(0)
}

/// Writes events in either format.
enum Writer {
    Text(Dialogue<Lines>),
    Json(Lines),
}

impl Writer {
    fn new(format: LogFormat, out: Lines) -> Self {
        match format {
            LogFormat::Text => Self::Text(Dialogue::new(out, Look::of_stdout(|name| std::env::var(name).ok()))),
            LogFormat::Json => Self::Json(out),
        }
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::Text(dialogue) => dialogue.event(event),
            Self::Json(out) => {
                let mut line = serde_json::to_vec(event)?;
                line.push(b'\n');
                out.write_all(&line)
            }
        }
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        match self {
            Self::Text(dialogue) if summary.total() > 0 => dialogue.note(&summary.to_string()),
            Self::Text(_) | Self::Json(_) => Ok(()),
        }
    }

    /// Waits a moment for the reader to take the rest.
    fn finish(self) -> io::Result<()> {
        let mut out = match self {
            Self::Text(dialogue) => dialogue.into_inner(),
            Self::Json(out) => out,
        };
        if out.dropped() > 0 {
            tracing::warn!(lines = out.dropped(), "nobody took them in time, so they were dropped");
        }
        out.finish(LAST_LINES)
    }
}
