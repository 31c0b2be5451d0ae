//! A process that commits is killed at any moment: what it has acknowledged is on the disk.

use super::support::{block, commit, content, dealt, load, put};
use asa_framework::roles::store::{Change, Store};
use asa_prefix::pool::record::{Record, Source, State};
use asa_prefix::prefix::Prefix;
use asa_prefix::store::{Options, SledStore, fsck};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

const DIRECTORY: &str = "ASA_STORE_KILL_DIRECTORY";
/// More rounds than the few that always run: `ASA_STORE_KILL_ROUNDS=100 cargo test -p asa-prefix --test prefix kill`.
const ROUNDS: &str = "ASA_STORE_KILL_ROUNDS";
const WHOLE: &str = "2001:db8::/40";

fn options() -> Options {
    // Segments are closed often, so that some kills hit that.
    Options { segment_bytes: 20_000, ..Options::default() }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn split(block: Prefix, state: &State) -> Vec<(Prefix, State)> {
    let (low, high) = block.halves().unwrap();
    vec![(low, state.clone()), (high, state.clone())]
}

/// The child: splits, grants, takes back and merges as fast as it can, and says what is acknowledged.
#[test]
#[ignore = "a process of the test below"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let store = SledStore::open(Path::new(&directory), options()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut blocks = BTreeMap::new();
        for record in store.load().await.unwrap() {
            if let Record::Block { block, state } = record {
                blocks.insert(block, state);
            }
        }
        let mut random = ChaCha12Rng::seed_from_u64(u64::from(std::process::id()));
        let mut number: u32 = random.random();
        loop {
            number = number.wrapping_add(1);
            let place = random.random_range(0..blocks.len());
            let (block, state) = blocks.iter().nth(place).map(|(block, state)| (*block, state.clone())).unwrap();
            let buddy = block.buddy().filter(|buddy| blocks.get(buddy) == Some(&State::Free));
            let (old, new) = match (&state, buddy) {
                (State::Free, Some(buddy)) if random.random_bool(0.3) => {
                    (vec![(block, State::Free), (buddy, State::Free)], vec![(block.parent().unwrap(), State::Free)])
                }
                (State::Free, _) if block.length() < 56 && random.random_bool(0.6) => {
                    (vec![(block, State::Free)], split(block, &State::Free))
                }
                (State::Free, _) => (vec![(block, State::Free)], vec![(block, State::Granted(dealt(number)))]),
                (other, _) => (vec![(block, other.clone())], vec![(block, State::Free)]),
            };
            let record = |(prefix, state): &(Prefix, State)| super::support::block(*prefix, state.clone());
            let changes = old.iter().map(|old| Change::Delete(record(old)));
            let changes = changes.chain(new.iter().map(|new| Change::Put(record(new)))).collect();
            // Before, since the batch may be on the disk without having been acknowledged.
            let text = |blocks: &[(Prefix, State)]| serde_json::to_string(blocks).unwrap();
            say(&format!("try {} {}", text(&old), text(&new)));
            store.commit(changes).await.unwrap();
            say("done");
            for (block, _) in old {
                blocks.remove(&block);
            }
            blocks.extend(new);
        }
    });
}

type Blocks = BTreeMap<Prefix, State>;

/// What is acknowledged, and what may be there besides.
#[derive(Default)]
struct Heard {
    blocks: Blocks,
    tried: Option<Blocks>,
    done: usize,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        if line == "done" {
            self.blocks = self.tried.take().unwrap();
            self.done += 1;
        } else if let Some(rest) = line.strip_prefix("try ") {
            let (old, new) = rest.split_once(' ').unwrap();
            let [old, new] = [old, new].map(|text| serde_json::from_str::<Vec<(Prefix, State)>>(text).unwrap());
            let mut blocks = self.blocks.clone();
            for (block, state) in old {
                assert_eq!(blocks.remove(&block), Some(state));
            }
            blocks.extend(new);
            self.tried = Some(blocks);
        }
    }
}

/// PM-S-03, PM-S-14: at any moment, from before the store is open to the middle of a commit.
#[test]
fn no_acknowledged_commit_is_lost_by_kill_9() {
    let rounds = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let directory = TempDir::new().unwrap();
    let store = SledStore::create(directory.path(), options()).unwrap();
    let whole: Prefix = WHOLE.parse().unwrap();
    let aggregate = Record::Aggregate { block: whole, source: Source::Manifest, withdrawn: false };
    commit(&store, vec![put(Record::Life(1)), put(aggregate), put(block(whole, State::Free))]).unwrap();
    assert_eq!(load(&store).len(), 3);
    drop(store);
    let mut random = ChaCha12Rng::seed_from_u64(9);
    let mut heard = Heard { blocks: Blocks::from([(whole, State::Free)]), ..Heard::default() };
    let (mut completed, mut at_work) = (0, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for round in 0..rounds {
        let before = heard.done;
        let within = Duration::from_micros(random.random_range(1_000..120_000));
        runtime.block_on(kill_once(directory.path(), round % 4 == 0, within, &mut heard));
        at_work += usize::from(heard.done > before);
        let report = fsck(directory.path()).unwrap();
        assert!(report.is_clean(), "round {round}: {:?}", report.problems);
        let found: Blocks = content(directory.path())
            .into_iter()
            .filter_map(|record| match record {
                Record::Block { block, state } => Some((block, state)),
                Record::Life(_) | Record::Aggregate { .. } | Record::Session { .. } => None,
            })
            .collect();
        match heard.tried.take() {
            Some(tried) if found == tried => {
                completed += 1;
                heard.blocks = tried;
            }
            _ => assert_eq!(found, heard.blocks, "round {round}"),
        }
    }
    println!(
        "{rounds} kills, {at_work} at work, {} commits acknowledged, {completed} more were on the disk",
        heard.done
    );
    assert!(at_work * 2 >= rounds && heard.done > 2 * rounds, "too little was at stake: {} in {at_work}", heard.done);
}

async fn kill_once(directory: &Path, early: bool, within: Duration, heard: &mut Heard) {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "store::kill::child", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let begun = heard.done;
    let mut moment = tokio::time::Instant::now() + if early { within } else { Duration::from_secs(20) };
    let mut working = early;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(moment) => break,
            line = lines.next_line() => {
                heard.hear(&line.unwrap().expect("the child has ended by itself"));
                if !working && heard.done > begun {
                    working = true;
                    moment = tokio::time::Instant::now() + within;
                }
            }
        }
    }
    child.start_kill().unwrap();
    assert!(!child.wait().await.unwrap().success());
    // What it had said before it died is still in the pipe; the last line may be a part of one.
    while let Some(line) = lines.next_line().await.unwrap() {
        if line == "done" || line.ends_with(']') {
            heard.hear(&line);
        }
    }
}
