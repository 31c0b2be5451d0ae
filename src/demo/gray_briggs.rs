//! `asa demo gray-briggs`: Gray and Briggs on two nodes in one process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::{Ending, Event, Side};
use asa_framework::manifest::{Lab, Loaded, Log};
use grasp::Interfaces;
use grasp::net::memory::{Conditions, Fabric};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::sync::mpsc;

use crate::cli::{DemoArgs, Pace};
use crate::lines::Lines;
use crate::output::{Dialogue, Look, Summary};
use crate::run::{LAST_LINES, refuse};
use crate::{classes, node, settings};

/// The lab file, so that the demo needs nothing but the binary.
const LAB: &str = include_str!("../../config/demo.toml");
/// Pause after each line at human pace.
const READING: Duration = Duration::from_millis(350);
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// What the last word of a negotiation takes to arrive, and more.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Runs the demonstration; 0 if every negotiation ended by agreement or decline.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    
    let out = Lines::stdout();
    node::log(crate::cli::LogFormat::Text, &Log { level: "error".into(), ..Log::default() }, &out);
    let mut sources = settings::sources(Some(Path::new("config/demo.toml")), &[], &[]);
    sources.content = Some(LAB.into());
    if let Some(sessions) = args.sessions {
        sources.sets.push(("nodes.gray.asa.gray.parameters.sessions".into(), sessions.to_string()));
    }
    if let Some(seed) = args.seed {
        for node in ["gray", "briggs"] {
            // 0 stands for a seed from the system in a manifest; here every number is a seed.
            let seed = (seed % i64::MAX.unsigned_abs()) + 1;
            sources.sets.push((format!("nodes.{node}.asa.{node}.parameters.seed"), seed.to_string()));
        }
    }
    match Lab::load(sources, &classes::infos()) {
        Ok(Loaded { manifest, .. }) => {
            node::block_on(args.pace == Pace::Fast, talk(&manifest, args.seed, args.pace == Pace::Human, out))?
        }
        Err(problems) => {
            refuse(&problems);
            Ok(2)
        }
    }
}

async fn talk(lab: &Lab, seed: Option<u64>, human: bool, out: Lines) -> anyhow::Result<u8> {
    let mut random = ChaCha12Rng::seed_from_u64(seed.unwrap_or_else(rand::random));
    let (sink, mut events) = node::events();
    let fabric = Fabric::new(random.random());
    let millis = |ms: u32| Duration::from_millis(ms.into());
    let link = fabric.link(Conditions {
        latency: millis(lab.fabric.latency_ms),
        jitter: millis(lab.fabric.jitter_ms),
        loss: lab.fabric.loss,
        duplicate: lab.fabric.duplicate,
        reorder: lab.fabric.reorder,
    });
    let mut deployments = Vec::new();
    let mut outcome = Ok(());
    for manifest in lab.nodes.values() {
        let (place, seed) = (Arc::new(fabric.node(&[link])), random.random());
        let adjust = |config: &mut grasp::NodeConfig| {
            config.interfaces = Interfaces::All;
            config.seed = Some(seed);
        };
        let stage = Stage::new(place, &classes::all(), sink.clone()).simulated(random.random());
        match Deployment::start(manifest.clone().into(), stage, adjust).await {
            Ok(deployment) => deployments.push(deployment),
            Err(error) => outcome = Err(error.into()),
        }
    }
    let mut dialogue = Dialogue::new(out.clone(), Look::of_stdout(|name| std::env::var(name).ok()));
    let mut summary = Summary::default();
    if outcome.is_ok() {
        outcome = listen(&mut dialogue, &out, &mut events, &mut summary, human).await;
    }
    // Whatever went wrong, the nodes still take their leave.
    for deployment in deployments {
        deployment.stop(STOP_LIMIT).await;
    }
    outcome?;
    dialogue.note(&summary.to_string())?;
    dialogue.into_inner().finish(LAST_LINES)?;
    Ok(u8::from(summary.of(Ending::Failed) > 0))
}

/// Writes down what is said until a signal comes or Gray has finished.
async fn listen(
    dialogue: &mut Dialogue<Lines>,
    out: &Lines,
    events: &mut mpsc::Receiver<Event>,
    summary: &mut Summary,
    human: bool,
) -> anyhow::Result<()> {
    dialogue.note("Gray wants money from the bank Briggs; both speak GRASP over a link in memory.")?;
    let stop = node::stop_signal();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            signal = &mut stop => { signal?; break; }
            () = room(out) => {}
        }
        tokio::select! {
            biased;
            signal = &mut stop => { signal?; break; }
            event = events.recv() => {
                let Some(event) = event else { break };
                // Each negotiation has two ends; it is counted where it was begun.
                if matches!(event, Event::NegotiationEnded { role: Side::Initiator, .. }) {
                    summary.count(&event);
                }
                dialogue.event(&event)?;
                if matches!(event, Event::Finished { .. }) {
                    break;
                }
            }
        }
        if human {
            tokio::time::sleep(READING).await;
        }
    }
    tokio::time::sleep(LAST_WORD).await;
    while let Ok(event) = events.try_recv() {
        dialogue.event(&event)?;
    }
    Ok(())
}

/// Waits until the reader has caught up; meanwhile simulated time stands still, since the runtime is not idle.
async fn room(out: &Lines) {
    while !out.has_room() {
        #[allow(clippy::disallowed_methods, reason = "real time has to pass, which simulated time does not show")]
        std::thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
}
