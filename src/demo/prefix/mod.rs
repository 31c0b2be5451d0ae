//! `asa demo prefix`: three tiers of prefix managers in one process, with clients that come and go, and nodes that are killed.

mod check;
mod clients;
mod lab;
mod view;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use asa_framework::manifest::Log;
use asa_prefix::pool::record::Record;
use clients::Clients;
use lab::Lab;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::time::Instant;
use view::Frame;

use crate::cli::{DemoArgs, LogFormat, Pace};
use crate::lines::Lines;
use crate::node;
use crate::output::Look;
use crate::run::LAST_LINES;

/// The time between two things that clients do.
const STEP: Duration = Duration::from_millis(60);
/// The time between two looks at everything.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two that are written where nobody watches.
const WRITTEN: u64 = 10;
/// How long a node that was killed stays down.
const DOWN: Duration = Duration::from_secs(2);
/// How long the demonstration takes if nobody can stop it.
const UNWATCHED: u64 = 60;

/// Runs the demonstration; 0 if no address ever had two owners.
pub(super) fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    let out = Lines::stdout();
    node::log(LogFormat::Text, &Log { level: "off".into(), ..Log::default() }, &out);
    node::block_on(args.pace == Pace::Fast, watch(args, out))?
}

/// What goes on.
struct Show {
    lab: Lab,
    clients: Clients,
    random: ChaCha12Rng,
    begun: Instant,
    kill_every: Option<Duration>,
    next_kill: Option<Instant>,
    /// Nodes that are down, and when each comes back.
    down: Vec<(usize, Instant)>,
    killed: u64,
    last: Option<&'static str>,
    looks: u64,
    doubled: Option<String>,
}

async fn watch(args: &DemoArgs, out: Lines) -> anyhow::Result<u8> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let (events, mut ignored) = node::events();
    let mut lab = Lab::new(random.random(), events)?;
    for index in 0..lab.nodes().count() {
        lab.start(index).await?;
    }
    let kill_every = args.kill_every.map(|seconds| Duration::from_secs(seconds.get()));
    let mut show = Show {
        lab,
        clients: Clients::new(random.random()),
        random,
        begun: Instant::now(),
        kill_every,
        next_kill: kill_every.map(|pause| Instant::now() + pause),
        down: Vec::new(),
        killed: 0,
        last: None,
        looks: 0,
        doubled: None,
    };
    let look = Look::of_stdout(|name| std::env::var(name).ok());
    let live = std::io::stdout().is_terminal() && args.pace == Pace::Human;
    let seconds = args.seconds.map(std::num::NonZeroU64::get).or((!live).then_some(UNWATCHED));
    let end = seconds.map(|seconds| show.begun + Duration::from_secs(seconds));
    let mut writer = out.clone();
    let mut next_look = show.begun + LOOK;
    let stop = node::stop_signal();
    tokio::pin!(stop);
    let outcome = loop {
        tokio::select! {
            biased;
            signal = &mut stop => break signal.map_err(anyhow::Error::from),
            () = tokio::time::sleep(STEP) => {}
        }
        while ignored.try_recv().is_ok() {}
        if let Err(error) = show.step().await {
            break Err(error);
        }
        let now = Instant::now();
        if now >= next_look {
            next_look = now + LOOK;
            let lines = show.look(look).await;
            if live {
                // Over what was there before.
                write!(writer, "\x1b[H\x1b[2J{}\n\n(Ctrl-C ends it; seed {seed})\n", lines.join("\n"))?;
                writer.flush()?;
            } else if show.looks.is_multiple_of(WRITTEN) {
                write!(writer, "{}\n\n", lines.join("\n"))?;
                writer.flush()?;
            }
        }
        if end.is_some_and(|end| now >= end) || show.doubled.is_some() {
            break Ok(());
        }
    };
    let lines = show.look(look).await;
    let found = show.doubled.is_some();
    show.lab.stop().await;
    outcome?;
    write!(writer, "{}\n(seed {seed})\n", lines.join("\n"))?;
    writer.finish(LAST_LINES)?;
    Ok(u8::from(found))
}

impl Show {
    /// Lets clients act, and kills and starts nodes as it is time to.
    async fn step(&mut self) -> anyhow::Result<()> {
        self.clients.act(|edge| self.lab.handles(edge));
        let now = Instant::now();
        let (back, down) = std::mem::take(&mut self.down).into_iter().partition(|(_, at)| *at <= now);
        self.down = down;
        let back: Vec<(usize, Instant)> = back;
        for (index, _) in back {
            self.lab.start(index).await?;
        }
        if let (Some(pause), Some(due)) = (self.kill_every, self.next_kill)
            && due <= now
        {
            self.next_kill = Some(now + pause);
            let running: Vec<(usize, &'static str)> = self
                .lab
                .nodes()
                .enumerate()
                .filter(|(_, (_, _, runs))| *runs)
                .map(|(index, (name, _, _))| (index, name))
                .collect();
            if let Some((index, name)) = running.get(self.random.random_range(0..running.len().max(1))) {
                self.lab.kill(*index).await;
                self.down.push((*index, now + DOWN));
                self.killed += 1;
                self.last = Some(name);
            }
        }
        Ok(())
    }

    /// Looks at all disks, and draws what is there.
    async fn look(&mut self, look: Look) -> Vec<String> {
        let names: Vec<(&'static str, u32, bool)> = self.lab.nodes().collect();
        let mut disks: Vec<(&str, Vec<Record>)> = Vec::new();
        for (name, _, _) in &names {
            disks.push((name, self.lab.records(name).await));
        }
        self.looks += 1;
        let found = check::doubled(disks.iter().map(|(name, records)| (*name, records.as_slice())));
        let clients = self.clients.tally();
        self.doubled = self.doubled.take().or(found).or(clients.0.doubled.clone());
        let nodes = names.iter().zip(&disks);
        let nodes = nodes.map(|((name, lives, runs), (_, records))| (*name, *lives, *runs, check::holdings(records)));
        let frame = Frame {
            seconds: self.begun.elapsed().as_secs(),
            nodes: nodes.collect(),
            clients,
            killed: self.killed,
            last: self.last,
            checks: self.looks,
            doubled: self.doubled.as_deref(),
        };
        frame.lines(look)
    }
}
