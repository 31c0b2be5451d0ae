//! Clients that come and go, renew, and sometimes just vanish.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use asa_prefix::class::Handles;
use asa_prefix::delegator::{Give, Take};
use asa_prefix::prefix::{Family, Prefix, Want};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::time::{Instant, timeout};

/// Where clients are.
pub(super) const EDGES: [&str; 4] = ["csg-1", "csg-2", "csg-3", "csg-4"];
/// Clients of each edge.
const CLIENTS: u32 = 120;
/// What a client wants.
const LENGTH: u8 = 64;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a client may use what it got; less than the 30 s of the manifests, since it counts from the answer.
const USE: Duration = Duration::from_secs(29);

/// What has happened so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) asked: u64,
    pub(super) served: u64,
    pub(super) refused: u64,
    /// Nobody answered: the node was killed meanwhile.
    pub(super) lost: u64,
    pub(super) given_back: u64,
    /// What must never be.
    pub(super) doubled: Option<String>,
}

#[derive(Default)]
struct Held {
    by: BTreeMap<Prefix, (String, Instant)>,
    tally: Tally,
}

/// All clients.
pub(super) struct Clients {
    random: ChaCha12Rng,
    held: Rc<RefCell<Held>>,
}

impl Clients {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: ChaCha12Rng::seed_from_u64(seed), held: Rc::default() }
    }

    /// What has happened so far, and how many clients have a block now.
    pub(super) fn tally(&self) -> (Tally, usize) {
        let held = self.held.borrow();
        let now = Instant::now();
        (held.tally.clone(), held.by.values().filter(|(_, until)| *until > now).count())
    }

    /// Lets one client do something.
    pub(super) fn act(&mut self, handles: impl Fn(&str) -> Option<Handles>) {
        let edge = EDGES[self.random.random_range(0..EDGES.len())];
        let client = format!("{edge}/{}", self.random.random_range(0..CLIENTS));
        let Some(handles) = handles(edge) else { return };
        let mine = self.held.borrow().by.iter().find(|(_, (who, _))| *who == client).map(|(block, _)| *block);
        let held = self.held.clone();
        match mine {
            Some(block) if self.random.random_bool(0.5) => {
                held.borrow_mut().by.remove(&block);
                actix::spawn(async move {
                    let given = handles.delegator.send(Give { client, block });
                    if let Ok(Ok(Ok(_))) = timeout(PATIENCE, given).await {
                        held.borrow_mut().tally.given_back += 1;
                    }
                });
            }
            // Says nothing, and uses its block until its time is over.
            Some(_) if self.random.random_bool(0.2) => {}
            Some(_) | None => drop(actix::spawn(take(handles, client, held))),
        }
    }
}

async fn take(handles: Handles, client: String, held: Rc<RefCell<Held>>) {
    held.borrow_mut().tally.asked += 1;
    let Some(want) = Want::new(Family::V6, LENGTH) else { return };
    let taken = handles.delegator.send(Take { client: client.clone(), want });
    let answer = timeout(PATIENCE, taken).await;
    let mut held = held.borrow_mut();
    let now = Instant::now();
    held.by.retain(|_, (_, until)| *until > now);
    match answer {
        Ok(Ok(Ok(block))) => {
            let other = held.by.iter().find(|(other, (who, _))| other.overlaps(&block) && *who != client);
            let other = other.map(|(other, (who, _))| format!("{other} is {who}'s, and {block} was given to {client}"));
            held.tally.doubled = held.tally.doubled.take().or(other);
            held.tally.served += 1;
            held.by.retain(|_, (who, _)| *who != client);
            held.by.insert(block, (client, now + USE));
        }
        Ok(Ok(Err(_))) => held.tally.refused += 1,
        Ok(Err(_)) | Err(_) => held.tally.lost += 1,
    }
}
