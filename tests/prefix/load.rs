//! Clients that take and give back blocks without a pause, and remember what was acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use asa_prefix::prefix::Prefix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::node::{Line, Node, Reply, block, give, take};

/// Length of the blocks that clients take.
pub(super) const LENGTH: u8 = 64;
/// Blocks that one worker keeps at most.
const KEPT: usize = 1_000;
/// Between two requests of a worker.
const PAUSE: Duration = Duration::from_millis(3);

/// What a client knows of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It was told that it has this one.
    Held(Prefix),
    /// It was told that it has given this one back.
    Released(Prefix),
    /// An answer is missing.
    Unknown,
}

/// Everything that was acknowledged at one node.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) clients: BTreeMap<String, Claim>,
    pub(super) grants: u64,
    pub(super) releases: u64,
    /// The same client asked again and got the same.
    pub(super) repeated: u64,
    pub(super) unanswered: u64,
    /// Refusals by their words.
    pub(super) refusals: BTreeMap<String, u64>,
    /// What must not be.
    pub(super) wrong: Vec<String>,
}

/// Workers at one node.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    /// Requests that were answered as wanted.
    served: Arc<AtomicU64>,
    notes: Arc<Mutex<Notes>>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn start(node: &Node, workers: usize, seed: u64) -> Self {
        let mut load =
            Self { stop: Arc::default(), served: Arc::default(), notes: Arc::default(), workers: Vec::new() };
        for number in 0..workers {
            let worker = Worker {
                node: node.clone(),
                name: format!("{}-{number}", node.name),
                random: ChaCha12Rng::seed_from_u64(seed * 100 + number as u64),
                served: load.served.clone(),
                notes: load.notes.clone(),
                held: Vec::new(),
                line: None,
            };
            let stop = load.stop.clone();
            load.workers.push(thread::spawn(move || worker.run(&stop)));
        }
        load
    }

    /// Requests that were answered as wanted so far.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until one more request is served; how long that takes, unless it takes too long.
    pub(super) fn wait_served(&self, before: u64, bound: Duration) -> Option<Duration> {
        let begun = Instant::now();
        while self.served() <= before {
            if begun.elapsed() > bound {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Some(begun.elapsed())
    }

    pub(super) fn end(self) -> Notes {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().unwrap();
        }
        std::mem::take(&mut self.notes.lock().unwrap())
    }
}

struct Worker {
    node: Node,
    name: String,
    random: ChaCha12Rng,
    served: Arc<AtomicU64>,
    notes: Arc<Mutex<Notes>>,
    held: Vec<(String, Prefix)>,
    line: Option<Line>,
}

impl Worker {
    fn run(mut self, stop: &AtomicBool) {
        let mut number = 0_u64;
        let mut next = None;
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(PAUSE);
            let choice = self.random.random_range(0..100);
            if self.held.len() >= KEPT || choice < 40 && !self.held.is_empty() {
                self.release();
            } else if choice < 50 && !self.held.is_empty() {
                self.repeat();
            } else {
                // A client that got no answer asks again.
                let client = next.take().unwrap_or_else(|| {
                    number += 1;
                    format!("{}-{number}", self.name)
                });
                if !self.take(&client) {
                    next = Some(client);
                }
            }
        }
    }

    fn ask(&mut self, query: &serde_json::Value) -> Option<Reply> {
        if self.line.is_none() {
            self.line = self.node.connect();
        }
        let Some(line) = &mut self.line else {
            thread::sleep(Duration::from_millis(5));
            return None;
        };
        let reply = line.query(query);
        let mut notes = self.notes.lock().unwrap();
        match &reply {
            Reply::Done(_) => drop(self.served.fetch_add(1, Ordering::Relaxed)),
            Reply::Refused(why) => *notes.refusals.entry(why.clone()).or_default() += 1,
            Reply::Unknown(_) => {
                notes.unanswered += 1;
                self.line = None;
            }
        }
        Some(reply)
    }

    fn note(&self, client: &str, claim: Claim) {
        self.notes.lock().unwrap().clients.insert(client.to_owned(), claim);
    }

    fn take(&mut self, client: &str) -> bool {
        match self.ask(&take(client, LENGTH)) {
            Some(Reply::Done(answer)) => {
                let block = block(&answer);
                self.note(client, Claim::Held(block));
                self.notes.lock().unwrap().grants += 1;
                self.held.push((client.to_owned(), block));
                true
            }
            Some(Reply::Unknown(_)) => {
                self.note(client, Claim::Unknown);
                false
            }
            Some(Reply::Refused(_)) | None => false,
        }
    }

    fn release(&mut self) {
        let (client, block) = self.held.swap_remove(self.random.random_range(0..self.held.len()));
        match self.ask(&give(&client, block)) {
            Some(Reply::Done(_)) => {
                self.note(&client, Claim::Released(block));
                self.notes.lock().unwrap().releases += 1;
            }
            Some(Reply::Unknown(_)) => self.note(&client, Claim::Unknown),
            // It still has it, and the end will show.
            Some(Reply::Refused(_)) | None => self.held.push((client, block)),
        }
    }

    fn repeat(&mut self) {
        let (client, known) = self.held[self.random.random_range(0..self.held.len())].clone();
        // Who has no answer asks for what it has: nothing changes.
        if let Some(Reply::Done(answer)) = self.ask(&take(&client, LENGTH)) {
            let mut notes = self.notes.lock().unwrap();
            notes.repeated += 1;
            let again = block(&answer);
            if again != known {
                notes.wrong.push(format!("{client} had {known} and is given {again}"));
            }
        }
    }
}
