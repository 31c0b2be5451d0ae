//! Durable grants and delegations of the pool actor with a store on disk.

use super::{MANY, directory, many_at_a_time, median};
use actix::{Actor, Addr};
use asa_framework::roles::Activity;
use asa_prefix::class::runtime_clocks;
use asa_prefix::pool::record::Deal;
use asa_prefix::pool::{Answer, Ask, Pool, PoolArgs, PoolPlan, Request};
use asa_prefix::prefix::{Family, Want};
use asa_prefix::store::{Options, SledStore};
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

const ROUNDS: usize = 5;
const SINGLE: u32 = 100;
const CROWD: u32 = 4_000;

fn want() -> Want {
    Want { family: Family::V6, length: 64 }
}

/// A client gets a block: one commit.
async fn delegate(pool: Addr<Pool>, number: u32) {
    let client = format!("00030001{number:012x}/1");
    let answer = pool.send(Ask(Request::Delegate { client, want: want(), lifetimes: None })).await.unwrap();
    assert!(matches!(answer, Ok(Answer::Block(_))), "{answer:?}");
}

/// A peer gets a block: one commit before the offer leaves, and one after it is accepted.
async fn grant(pool: Addr<Pool>, session: u32) {
    let deal = Deal { session, peer: "fd5a:1e57:a1b0:1::2".into() };
    let hold = Request::Hold { deal: deal.clone(), want: want(), longest: 64, dry: None };
    for request in [hold, Request::Offer(deal.clone()), Request::Confirm(deal)] {
        pool.send(Ask(request)).await.unwrap().unwrap();
    }
}

/// Reads what the ledger has got since it was last asked.
struct Ledger {
    file: fs::File,
    at: u64,
}

impl Ledger {
    fn of(directory: &Path) -> Self {
        let file = fs::File::open(directory.join("ledger/00000001.jsonl")).unwrap();
        let at = file.metadata().unwrap().len();
        Self { file, at }
    }

    /// One after the other as they were synced.
    fn lines(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.at)).unwrap();
        self.file.read_to_end(&mut bytes).unwrap();
        self.at += bytes.len() as u64;
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }
}

async fn measure<F: Future<Output = ()> + 'static>(what: &str, one: fn(Addr<Pool>, u32) -> F) {
    let directory = directory();
    // So that no segment is closed meanwhile.
    let options = Options { segment_bytes: 1 << 30, ..Options::default() };
    let store = SledStore::create(directory.path(), options).unwrap();
    let plan = PoolPlan { initial: vec!["2001:db8::/32".parse().unwrap()], ..PoolPlan::default() };
    let pool = PoolArgs {
        instance: "bench".into(),
        events: Arc::new(|_| {}),
        store: Arc::new(store.clone()),
        permit: Arc::new(Semaphore::new(1)),
        activity: Activity::default(),
        plan,
        clocks: runtime_clocks(1),
    };
    let pool = Pool::new(pool).start();
    one(pool.clone(), u32::MAX).await;
    let mut ledger = Ledger::of(directory.path());
    let mut bare = OpenOptions::new().create(true).append(true).open(directory.path().join("baseline")).unwrap();
    let (mut next, mut size, mut commits) = (0, 0, 0);
    let (mut ours, mut least, mut crowds) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..SINGLE {
            next += 1;
            let begun = Instant::now();
            one(pool.clone(), next).await;
            ours.push(begun.elapsed());
            let lines = ledger.lines();
            (size, commits) = (lines.iter().map(Vec::len).sum(), lines.len());
            let begun = Instant::now();
            for line in lines {
                bare.write_all(&line).unwrap();
                bare.sync_data().unwrap();
            }
            least.push(begun.elapsed());
        }
        let (first, pool) = (next, pool.clone());
        next += CROWD;
        let passed = many_at_a_time(CROWD, move |number| one(pool.clone(), first + number + 1)).await;
        crowds.push(passed / CROWD);
        ledger.lines();
    }
    let (ours, least, crowd) = (median(ours), median(least), median(crowds));
    println!(
        "RATIO {what}, durable, one at a time: ours {ours:.0} us, bare {commits} append+fdatasync of {size} bytes {least:.0} us, \
         {:.2} (target <= 2.00)",
        ours / least
    );
    println!(
        "RATIO {what}, durable, {MANY} at a time: {crowd:.1} us each, {:.0}/s; faster than one at a time {:.1} times (target >= \
         20), than bare one at a time {:.1} times",
        1e6 / crowd,
        ours / crowd,
        least / crowd
    );
    drop(pool);
    tokio::time::sleep(Duration::from_millis(50)).await;
}

pub(super) async fn run() {
    measure("delegation to a client", delegate).await;
    measure("grant to a peer", grant).await;
}
