//! A process that grants is killed at any moment: what it has acknowledged is on the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::print_stdout)]

use actix::Actor;
use asa_framework::roles::pool::{Answer, Ask, Pool, PoolArgs, PoolPlan, Record, Request, State};
use asa_framework::roles::resource::{Range, Resource};
use asa_framework::roles::store::{FileStore, Store};
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};

const DIRECTORY: &str = "ASA_KILL_DIRECTORY";
const WHOLE: Range = Range { start: 0, end: 1_000_000 };
const ROUNDS: usize = 60;

/// The child: grants and takes back as fast as it can, many at once, and says what is acknowledged.
#[test]
#[ignore = "a process of the test below"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    actix::System::new().block_on(async {
        let store = FileStore::<Record<Range>>::open(Path::new(&directory), "pool").unwrap();
        let plan = PoolPlan { initial: vec![WHOLE], ..PoolPlan::default() };
        let args = PoolArgs {
            instance: "kill".into(),
            events: Arc::new(|_| ()),
            store: Arc::new(store),
            permit: Arc::new(tokio::sync::Semaphore::new(1)),
            activity: asa_framework::roles::Activity::default(),
            plan,
        };
        let pool = Pool::new(args).start();
        // Names are not used again, so that a grant of this life is not one of an earlier one.
        let life = std::process::id();
        let talks = (0..8).map(|talk| {
            let pool = pool.clone();
            async move {
                for number in 0.. {
                    let to = format!("{life}-{talk}-{number}");
                    let reserve = Request::Reserve { want: 3, to: to.clone(), instead: None };
                    let Ok(Answer::Reserved(ticket, block)) = pool.send(Ask(reserve)).await.unwrap() else { return };
                    pool.send(Ask(Request::Confirm(ticket))).await.unwrap().unwrap();
                    say(&format!("granted {} {} {to}", block.start, block.end));
                    if number % 3 == 0 {
                        say(&format!("releasing {} {} {to}", block.start, block.end));
                        pool.send(Ask(Request::TakeBack { block, from: to })).await.unwrap().unwrap();
                    }
                }
            }
        });
        futures_util::future::join_all(talks).await;
    });
}

/// One line in one write: it leaves the process whole or not at all.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn grant(line: &str) -> Option<(bool, Range, String)> {
    let mut words = line.split(' ');
    let granted = match words.next()? {
        "granted" => true,
        "releasing" => false,
        _ => return None,
    };
    let block = Range::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((granted, block, words.next()?.to_owned()))
}

/// Architecture section 6, PM-S-03, PM-S-06: fifty times and more, at random moments.
#[tokio::test]
async fn no_acknowledged_grant_is_lost_by_kill_9() {
    let begun = tokio::time::Instant::now();
    let directory = tempfile::TempDir::new().unwrap();
    drop(FileStore::<Record<Range>>::create(directory.path(), "pool").unwrap());
    let mut random = rand_chacha::ChaCha12Rng::seed_from_u64(9);
    // What has been acknowledged and not asked back since; and what has been asked back, with an outcome unknown or free.
    let mut acknowledged: BTreeMap<String, Range> = BTreeMap::new();
    let (mut grants, mut killed_at_work) = (0, 0);
    for round in 0..ROUNDS {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // One half at any time from before the store is open, the other half in the middle of the work.
        let (early, mut before) = (round % 2 == 0, 0);
        let within = Duration::from_micros(random.random_range(1_000..60_000));
        let mut moment = tokio::time::Instant::now() + if early { within } else { Duration::from_secs(10) };
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(moment) => break,
                line = lines.next_line() => match line.unwrap() {
                    Some(line) => {
                        before += usize::from(hear(&line, &mut acknowledged));
                        if before == 1 && !early {
                            moment = moment.min(tokio::time::Instant::now() + within);
                        }
                    }
                    None => panic!("the child has ended by itself in round {round}"),
                }
            }
        }
        child.start_kill().unwrap();
        let status = child.wait().await.unwrap();
        assert!(!status.success());
        // What it had said before it died is still in the pipe.
        while let Some(line) = lines.next_line().await.unwrap() {
            before += usize::from(hear(&line, &mut acknowledged));
        }
        grants += before;
        killed_at_work += usize::from(before > 0);
        examine(directory.path(), &acknowledged).await;
    }
    assert!(
        killed_at_work >= ROUNDS / 2 && grants > 300,
        "too little was at stake: {grants} in {killed_at_work} rounds"
    );
    println!("{grants} grants, {killed_at_work} of {ROUNDS} rounds killed at work, {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

fn hear(line: &str, acknowledged: &mut BTreeMap<String, Range>) -> bool {
    match grant(line) {
        Some((true, block, to)) => acknowledged.insert(to, block).is_none(),
        Some((false, _, to)) => {
            acknowledged.remove(&to);
            false
        }
        None => false,
    }
}

/// Opens what the dead process has left: all acknowledged grants, nothing twice, nothing lost.
async fn examine(directory: &Path, acknowledged: &BTreeMap<String, Range>) {
    let store = FileStore::<Record<Range>>::open(directory, "pool").unwrap();
    let (mut blocks, mut granted) = (Vec::new(), BTreeMap::new());
    for record in store.load().await.unwrap() {
        if let Record::Block { block, state } = record {
            blocks.push(block);
            if let State::Granted { to } = state {
                granted.insert(to, block);
            }
        }
    }
    for (to, block) in acknowledged {
        assert_eq!(granted.get(to), Some(block), "the grant to {to} is lost");
    }
    blocks.sort();
    assert!(blocks.windows(2).all(|pair| !pair[0].overlaps(&pair[1])));
    let total: u128 = blocks.iter().map(Resource::measure).sum();
    assert!(blocks.is_empty() || total == WHOLE.measure(), "{total}");
}
