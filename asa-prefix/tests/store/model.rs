//! The store does what the framework's store in memory does.

use super::support::{about, batch, block, commit, delete, granted, load, p, put, session, site, wait};
use asa_framework::roles::store::{Change, MemStore, Store, StoreError, apply};
use asa_prefix::pool::record::{Record, State};
use asa_prefix::store::{Error, Options, SledStore};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// Batches, good and bad, with the store opened again now and then.
fn same_as_in_memory(seed: u64, segment_bytes: u64) {
    let directory = TempDir::new().unwrap();
    let options = Options { segment_bytes, ..Options::default() };
    let mut store = SledStore::create(directory.path(), options.clone()).unwrap();
    let memory = MemStore::<Record>::default();
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    for _ in 0..30 {
        let there: BTreeSet<Record> = memory.entries().into_iter().collect();
        let mut changes = batch(&there, &mut random);
        if random.random_bool(0.2) {
            // What is not there goes out, or what is there comes in.
            let place = random.random_range(0..=changes.len());
            let wrong = changes[random.random_range(0..changes.len())].clone();
            changes.insert(place, wrong);
        }
        let mut after = there.clone();
        let keys = |set: &BTreeSet<Record>| set.iter().map(about).collect::<BTreeSet<_>>().len();
        // Unlike one in memory, the store knows that a block has one state.
        let fits = apply(&mut after, &changes).is_ok() && keys(&after) == after.len();
        let done = commit(&store, changes.clone());
        assert_eq!((done.is_ok(), matches!(done, Err(StoreError::Conflict(_)))), (fits, !fits), "{done:?}");
        if fits {
            wait(async { memory.commit(changes).await }).unwrap();
        }
        if random.random_bool(0.2) {
            drop(store);
            store = SledStore::open(directory.path(), options.clone()).unwrap();
        }
        if random.random_bool(0.4) {
            assert_eq!(load(&store), memory.entries());
        }
    }
    drop(store);
    assert_eq!(super::support::content(directory.path()), memory.entries());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// PM-S-03, PM-S-21
    #[test]
    fn a_store_on_the_disk_behaves_as_one_in_memory(seed: u64) {
        same_as_in_memory(seed, 16 << 20);
    }

    /// PM-L-01: closing a segment changes nothing.
    #[test]
    fn a_store_of_many_segments_behaves_as_one_in_memory(seed: u64) {
        same_as_in_memory(seed, 2_000);
    }
}

/// PM-S-16
#[test]
fn a_store_is_created_on_purpose_and_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state");
    let missing = SledStore::open(&path, Options::default()).err().unwrap();
    assert!(matches!(&missing, Error::Missing { path: found } if *found == path), "{missing}");
    assert!(missing.to_string().contains("created on purpose"));
    let store = SledStore::create(&path, Options::default()).unwrap();
    assert_eq!(load(&store), []);
    drop(store);
    let exists = SledStore::create(&path, Options::default()).err().unwrap();
    assert!(matches!(exists, Error::Exists { .. }), "{exists}");
    assert_eq!(super::support::content(&path), []);
}

/// PM-S-20
#[test]
fn a_second_open_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = SledStore::create(directory.path(), Options::default()).unwrap();
    let second = SledStore::open(directory.path(), Options::default()).err().unwrap();
    assert!(matches!(&second, Error::Locked { .. }), "{second}");
    assert!(matches!(SledStore::create(directory.path(), Options::default()), Err(Error::Locked { .. })));
    let clone = store.clone();
    drop(store);
    assert!(matches!(SledStore::open(directory.path(), Options::default()), Err(Error::Locked { .. })));
    drop(clone);
    drop(SledStore::open(directory.path(), Options::default()).unwrap());
}

/// PM-X-04
#[test]
fn only_the_owner_can_read_the_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state");
    let store = SledStore::create(&path, Options { segment_bytes: 1, ..Options::default() }).unwrap();
    commit(&store, vec![put(Record::Life(1))]).unwrap();
    load(&store);
    let mode = |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o7777;
    for directory in ["", "sled", "ledger"] {
        assert_eq!(mode(directory), 0o700, "{directory}");
    }
    for file in ["lock", "birth", "sled/db", "sled/conf", "ledger/00000001.jsonl", "ledger/00000002.snapshot"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

/// A block has one state, whatever way a batch takes to it.
#[test]
fn changes_of_one_block_are_folded() {
    let directory = TempDir::new().unwrap();
    let store = SledStore::create(directory.path(), Options::default()).unwrap();
    let free = || block(site(1), State::Free);
    commit(&store, vec![put(free()), delete(free()), put(granted(1)), delete(granted(1)), put(free())]).unwrap();
    assert_eq!(load(&store), [free()]);
    let twice = commit(&store, vec![put(granted(1)), put(granted(2))]).unwrap_err();
    assert!(
        matches!(&twice, StoreError::Conflict(text) if text.contains("2001:db8:1::/48 would be there twice")),
        "{twice}"
    );
    assert_eq!(load(&store), [free()]);
    // Nothing in the end: nothing is written.
    let ledger = || std::fs::read(directory.path().join("ledger/00000001.jsonl")).unwrap();
    let before = ledger();
    commit(&store, vec![delete(free()), put(free())]).unwrap();
    commit(&store, vec![]).unwrap();
    assert_eq!(ledger(), before);
}

/// What is asked for first is done first, and to its end even if nobody waits.
#[test]
fn commits_are_made_in_the_order_of_the_calls() {
    let directory = TempDir::new().unwrap();
    let store = SledStore::create(directory.path(), Options::default()).unwrap();
    wait(async {
        let life = |number| vec![delete(Record::Life(number - 1)), put(Record::Life(number))];
        let first = store.commit(vec![put(Record::Life(0))]);
        let later: Vec<_> = (1..20).map(|number| store.commit(life(number))).collect();
        // The last ones are polled first, and one not at all.
        drop(first);
        for commit in later.into_iter().rev() {
            commit.await.unwrap();
        }
        assert_eq!(store.load().await.unwrap(), [Record::Life(19)]);
    });
}

/// A batch of a whole region is one batch.
#[test]
fn a_huge_batch_is_written_in_several_lines() {
    let directory = TempDir::new().unwrap();
    let store = SledStore::create(directory.path(), Options::default()).unwrap();
    let records: Vec<Record> = (0..20_000).map(granted).chain((0..100).map(session)).collect();
    commit(&store, records.iter().cloned().map(Change::Put).collect()).unwrap();
    drop(store);
    let text = std::fs::read_to_string(directory.path().join("ledger/00000001.jsonl")).unwrap();
    assert!(text.lines().count() > 5 && text.lines().all(|line| line.len() < 1 << 20));
    assert_eq!(super::support::content(directory.path()), records);
    assert_ne!(about(&records[0]), about(&block(p("::/0"), State::Free)));
}
