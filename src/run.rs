//! `asa run` and `asa relay`: nodes on a real network.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use asa_framework::control::{Failure, FailureCode};
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::Event;
use asa_framework::manifest::{Loaded, Manifest, Problems, Sources, State};
use asa_framework::notify::{Notifier, NotifyError};
use asa_framework::telemetry::Levels;
use asa_framework::{LogLevels, control};
use grasp::net::kernel::Kernel;
use supervision::Tree;
use supervision::watchdog::Round;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::{LogFormat, RelayArgs, RunArgs};
use crate::lines::Lines;
use crate::output::{Dialogue, Look, Summary};
use crate::{classes, keys, node, reload, settings};

/// Open sessions are declined and registrations withdrawn within this time.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How long the main thread may take to end after the node has given up.
const LAST_RESORT: Duration = Duration::from_secs(5);
/// The exit code that asks the service manager for a new process (EX_SOFTWARE of sysexits).
const GAVE_UP: u8 = 70;
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
    let member = match settings::membership(args.manifest.as_deref()) {
        Ok(member) => member,
        Err(problems) => {
            refuse(&problems);
            return Ok(2);
        }
    };
    let sets = [member, args.sets.clone()].concat();
    let mut sources = settings::sources(Some(Path::new("asa relay")), &sets, &args.interfaces);
    sources.content = Some(RELAY.into());
    start(sources, args.log_format, None)
}

fn start(sources: Sources, format: Option<LogFormat>, sessions: Option<u64>) -> anyhow::Result<u8> {
    let out = Lines::stdout();
    match Manifest::load(sources.clone(), &classes::infos()) {
        Ok(loaded) => {
            let form = node::output_form(format, &loaded.manifest.log);
            let levels = node::log(form, &loaded.manifest.log, &out);
            if let Some(problem) = settings::mute(&loaded.manifest) {
                let _ = writeln!(io::stderr().lock(), "{problem}");
                return Ok(2);
            }
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            node::block_on(false, serve(loaded, sources, levels, form, sessions, out))?
        }
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

async fn serve(
    loaded: Loaded<Manifest>,
    sources: Sources,
    levels: Option<Levels>,
    format: LogFormat,
    sessions: Option<u64>,
    out: Lines,
) -> anyhow::Result<u8> {
    let (sink, mut events) = node::events();
    let notifier = Arc::new(Notifier::new(|name| std::env::var_os(name))?);
    let (gave_up, mut given_up) = mpsc::channel(1);
    let stage = Stage {
        reread: Some(Arc::new(move |flooded| {
            Manifest::load(Sources { flooded, ..sources.clone() }, &classes::infos())
        })),
        levels: levels.map(|levels| Arc::new(ChangedLevels(levels)) as Arc<dyn LogLevels>),
        fatal: Arc::new(move |reason| give_up(reason, &gave_up)),
        on_round: Some(alive(notifier.clone())),
        on_waiting: Some(waiting(notifier.clone())),
        prompt: Some(Arc::new(keys::quads::ask)),
        ..Stage::new(Arc::new(Kernel::new()), &classes::all(), sink)
    };
    let socket = loaded.manifest.control_socket(|name| std::env::var(name).ok());
    let by_default = loaded.manifest.control.socket.is_empty();
    let operational = loaded.manifest.asa.iter().filter(|(_, instance)| instance.state == State::Operational);
    let mut working: BTreeSet<String> = operational.map(|(name, _)| name.clone()).collect();
    let tree = Tree::new();
    let stage = Stage { tree: Some(tree.clone()), ..stage };
    // First, so that a second node of this name learns of the other before it speaks.
    let started = Rc::new(OnceCell::new());
    let control = match socket {
        Some(path) => match control::serve(&path, &tree, commands(started.clone())).await {
            Ok(control) => Some(control),
            // A place that nobody chose is no reason not to run.
            Err(error) if by_default => {
                tracing::warn!(%error, "no control socket: set control.socket to a path that can be used");
                None
            }
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let deployment = Deployment::start(loaded, stage, |_| {});
    let mut writer = Writer::new(format, out);
    let (stop, mut hangup) = (node::stop_signal(), signal(SignalKind::hangup())?);
    tokio::pin!(deployment, stop);
    let deployment = tokio::select! {
        biased;
        signal = &mut stop => { signal?; return Ok(0); }
        deployment = &mut deployment => deployment?,
    };
    // It was empty until now.
    let _ = started.set(deployment.clone());
    notified(notifier.ready("ready"));
    let mut code = 0;
    let mut summary = Summary::default();
    // Whoever read our output may have gone: the agents still take their leave.
    let mut written = Ok(());
    while written.is_ok() && sessions.is_none_or(|limit| summary.total() < limit) {
        tokio::select! {
            biased;
            signal = &mut stop => { signal?; break; }
            _ = given_up.recv() => { code = GAVE_UP; break; }
            _ = hangup.recv() => reload::reload(&deployment, notifier.clone()),
            event = events.recv() => {
                let Some(event) = event else { break };
                summary.count(&event);
                written = writer.write(&event);
                // One that begins anew may finish again.
                if let Event::Finished { asa } = &event
                    && working.remove(asa)
                    && working.is_empty()
                {
                    break;
                }
            }
        }
    }
    notified(notifier.stopping());
    if let Some(control) = control {
        control.stop().await;
    }
    deployment.stop(STOP_LIMIT).await;
    written?;
    while let Ok(event) = events.try_recv() {
        summary.count(&event);
        writer.write(&event)?;
    }
    writer.summary(&summary)?;
    writer.finish()?;
    Ok(code)
}

/// What comes through the control socket is for the root of the node, once there is one.
fn commands(started: Rc<OnceCell<Deployment>>) -> control::Handler {
    Rc::new(move |command| {
        let started = started.get().cloned();
        Box::pin(async move {
            match started {
                Some(deployment) => deployment.execute(command).await,
                None => Err(Failure::new(
                    FailureCode::Busy,
                    "the node is starting: its interfaces or its agents are not up yet",
                )),
            }
        })
    })
}

/// The log levels of this process as the control socket changes them.
struct ChangedLevels(Levels);

impl LogLevels for ChangedLevels {
    fn current(&self) -> String {
        self.0.current()
    }

    fn set(&self, directives: &str) -> Result<(), String> {
        self.0.set(directives).map_err(|error| error.to_string())
    }
}

/// Ends the process in good order if its main thread still can, and without it otherwise.
fn give_up(reason: &str, gave_up: &mpsc::Sender<()>) {
    tracing::error!(reason, "giving up; the service manager is to start this process anew");
    let _ = gave_up.try_send(());
    // On a thread of its own: this one may be the watchdog, or about to end.
    let last = std::thread::Builder::new().name("last-resort".into()).spawn(|| {
        std::thread::park_timeout(LAST_RESORT);
        node::flush_log();
        #[allow(clippy::disallowed_methods, reason = "the main thread does not end any more")]
        std::process::exit(GAVE_UP.into());
    });
    if last.is_err() {
        tracing::error!("the system gives no thread for the last resort");
    }
}

/// Tells the service manager that nothing here is wrong although the node cannot speak yet: to start the process anew would not help.
fn waiting(notifier: Arc<Notifier>) -> Arc<dyn Fn(&str) + Send + Sync> {
    Arc::new(move |reason| {
        notified(notifier.ready(&format!("waiting: {reason}")));
        notified(notifier.watchdog());
    })
}

/// Tells the service manager, in time, that everybody answers.
fn alive(notifier: Arc<Notifier>) -> Arc<dyn Fn(&Round) + Send + Sync> {
    Arc::new(move |round| {
        if round.all_answered {
            notified(notifier.watchdog());
        }
    })
}

/// A service manager that does not listen is no reason to stop.
pub(crate) fn notified(told: Result<(), NotifyError>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager cannot be told");
    }
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
