//! What durability costs: commits per second, against the least that any durable store has to do, and how long a large store
//! takes to open.
//!
//! `cargo bench -p asa-prefix --bench store [-- BLOCKS]`; the state directory is made in `$ASA_BENCH_DIRECTORY`, or in the
//! directory for temporary files, which should be on a disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods)]

use asa_framework::roles::store::{Change, Store};
use asa_prefix::pool::record::{Deal, Dealt, Lease, Record, Source, Span, State};
use asa_prefix::prefix::Prefix;
use asa_prefix::store::{Options, SledStore, export_records, parse_export};
use std::fs::{self, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ONE: usize = 2_000;
const BATCHES: usize = 200;
const BATCH: u32 = 64;

fn directory() -> TempDir {
    let parent = std::env::var_os("ASA_BENCH_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
    TempDir::new_in(parent).unwrap()
}

/// The `number`-th /56 of 2001:d00::/24.
fn block(number: u32, state: State) -> Record {
    let address = Ipv6Addr::from((0x2001_0d00_u128 << 96) | (u128::from(number) << 72));
    Record::Block { block: Prefix::of(address.into(), 56).unwrap(), state }
}

fn granted(number: u32) -> State {
    let deal = Deal { session: number, peer: format!("fe80::{number:x}") };
    State::Granted(Box::new(Dealt { deal, since: 1_700_000_000 }))
}

fn grant(number: u32) -> [Change<Record>; 2] {
    [Change::Delete(block(number, State::Free)), Change::Put(block(number, granted(number)))]
}

fn middle(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    (at(50), at(95))
}

/// The last line of the first segment.
fn last_line(dir: &Path) -> Vec<u8> {
    let mut file = fs::File::open(dir.join("ledger/00000001.jsonl")).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length.saturating_sub(1 << 16))).unwrap();
    let mut ledger = Vec::new();
    file.read_to_end(&mut ledger).unwrap();
    ledger.split_inclusive(|byte| *byte == b'\n').next_back().unwrap().to_vec()
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Commits one after the other, each followed by the baseline: a loop that appends the same bytes to a file and syncs it.
async fn commits(name: &str, count: usize, size: u32, options: Options) {
    let directory = directory();
    let store = SledStore::create(directory.path(), options).unwrap();
    let total = count as u32 * size;
    for first in (0..total).step_by(4_096) {
        let last = total.min(first + 4_096);
        store.commit((first..last).map(|number| Change::Put(block(number, State::Free))).collect()).await.unwrap();
    }
    let mut file = OpenOptions::new().create(true).append(true).open(directory.path().join("baseline")).unwrap();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..count as u32 {
        let changes = (round * size..(round + 1) * size).flat_map(grant).collect();
        let begun = Instant::now();
        store.commit(changes).await.unwrap();
        ours.push(begun.elapsed());
        let line = last_line(directory.path());
        let begun = Instant::now();
        file.write_all(&line).unwrap();
        file.sync_data().unwrap();
        bare.push(begun.elapsed());
    }
    let bytes = last_line(directory.path()).len();
    let ((ours, ours95), (bare, bare95)) = (middle(ours), middle(bare));
    println!(
        "{name}: {:.0} commits/s (median {ours:.0} us, 95 % {ours95:.0} us); bare append+fdatasync of {bytes} bytes: {:.0}/s \
         (median {bare:.0} us, 95 % {bare95:.0} us); ratio {:.2}",
        1e6 / ours,
        1e6 / bare,
        ours / bare
    );
}

async fn opening(blocks: u32) {
    let directory = directory();
    let store = SledStore::create(directory.path(), Options::default()).unwrap();
    let begun = Instant::now();
    let aggregate = "2001:d00::/24".parse().unwrap();
    store
        .commit(vec![
            Change::Put(Record::Life(1)),
            Change::Put(Record::Aggregate { block: aggregate, source: Source::Manifest, withdrawn: false }),
        ])
        .await
        .unwrap();
    for first in (0..blocks).step_by(8_192) {
        let state = |number: u32| match number % 4 {
            0 => State::Free,
            1 => granted(number),
            _ => State::Delegated(Box::new(Lease {
                client: format!("00:03:00:01:02:00:{number:08x}").into(),
                preferred: 3600,
                valid: Some(Span { seconds: 7200, began: 100, boot: 1 }),
                since: 1_700_000_000,
            })),
        };
        let last = blocks.min(first + 8_192);
        store.commit((first..last).map(|number| Change::Put(block(number, state(number)))).collect()).await.unwrap();
    }
    println!("{blocks} blocks written in {:?}, database {:.1} MiB", begun.elapsed(), mebibytes(store.size_on_disk()));
    drop(store);
    // In processes of their own, so that each begins with nothing in its memory.
    for _ in 0..3 {
        again(&["open", directory.path().to_str().unwrap()]);
    }
    again(&["parse", directory.path().to_str().unwrap()]);
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn again(arguments: &[&str]) {
    assert!(Command::new(std::env::current_exe().unwrap()).args(arguments).status().unwrap().success());
}

/// What it takes to open and load.
async fn open(dir: &Path) {
    let before = resident();
    let begun = Instant::now();
    let store = SledStore::open(dir, Options::default()).unwrap();
    let opened = begun.elapsed();
    let records = store.load().await.unwrap();
    let loaded = begun.elapsed();
    let memory = resident() - before;
    println!(
        "open {opened:?}, with load {loaded:?}; {} records; resident with the records {:.1} bytes each",
        records.len(),
        memory as f64 / records.len() as f64
    );
    // What a pool would have in memory anyhow, and a store does not.
    let copy = export_file(dir);
    if !copy.exists() {
        export_records(
            &records,
            time::OffsetDateTime::UNIX_EPOCH,
            fs::File::create(&copy).map(BufWriter::new).unwrap(),
        )
        .unwrap();
    }
}

fn export_file(dir: &Path) -> PathBuf {
    dir.join("export")
}

/// The same records without a store.
fn parse(dir: &Path) {
    let before = resident();
    let records = parse_export(BufReader::new(fs::File::open(export_file(dir)).unwrap())).unwrap();
    let memory = resident() - before;
    println!("the records alone: resident {:.1} bytes each", memory as f64 / records.len() as f64);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let blocks = words.iter().filter_map(|word| word.parse().ok()).next().unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match words.as_slice() {
            ["open", dir] => open(Path::new(dir)).await,
            ["parse", dir] => parse(Path::new(dir)),
            _ => {
                commits("one grant a commit", ONE, 1, Options::default()).await;
                commits("64 grants a commit", BATCHES, BATCH, Options::default()).await;
                let unsynced = || Options { sync: Arc::new(|_, _| Ok(())), ..Options::default() };
                commits("one grant, without fsync", ONE, 1, unsynced()).await;
                commits("64 grants, without fsync", BATCHES, BATCH, unsynced()).await;
                opening(blocks).await;
            }
        }
    });
}
