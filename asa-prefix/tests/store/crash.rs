//! A crash between the legs, made by putting parts of different moments together; and a disk whose `fsync` fails.

use super::support::{commit, content, copy, granted, load, put, session};
use asa_framework::roles::store::StoreError;
use asa_prefix::pool::record::Record;
use asa_prefix::store::{Leg, Options, SledStore, fsck};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A copy of a store after each of some commits.
fn moments(count: u32) -> Vec<(TempDir, Vec<Record>)> {
    let directory = TempDir::new().unwrap();
    drop(SledStore::create(directory.path(), Options::default()).unwrap());
    let mut moments = Vec::new();
    for number in 0..count {
        let store = SledStore::open(directory.path(), Options::default()).unwrap();
        let life = (number == 0).then(|| put(Record::Life(1)));
        commit(&store, [put(granted(number)), put(session(number.into()))].into_iter().chain(life).collect()).unwrap();
        drop(store);
        let moment = TempDir::new().unwrap();
        copy(directory.path(), moment.path());
        moments.push((moment, content(directory.path())));
    }
    moments
}

fn mixed(moments: &[(TempDir, Vec<Record>)], tables: usize, ledger: usize) -> TempDir {
    let directory = TempDir::new().unwrap();
    copy(moments[0].0.path(), directory.path());
    for (part, moment) in [("sled", tables), ("ledger", ledger)] {
        fs::remove_dir_all(directory.path().join(part)).unwrap();
        copy(&moments[moment].0.path().join(part), &directory.path().join(part));
    }
    directory
}

/// PM-S-03: whichever leg was first on the disk, the other one gets it too.
#[test]
fn the_legs_complete_each_other_after_a_crash() {
    let moments = moments(5);
    for (tables, ledger) in [(3, 3), (3, 2), (2, 3), (0, 4)] {
        let directory = mixed(&moments, tables, ledger);
        let report = fsck(directory.path()).unwrap();
        let sound = |code: &asa_prefix::store::Code| *code != asa_prefix::store::Code::Stray;
        assert!(!report.problems.iter().any(|problem| sound(&problem.code)), "{:?}", report.problems);
        assert_eq!(content(directory.path()), moments[tables.max(ledger)].1, "{tables} {ledger}");
        assert_eq!(content(directory.path()), moments[tables.max(ledger)].1, "{tables} {ledger}, once more");
    }
    // More than one acknowledged batch is lost: that is no crash.
    let directory = mixed(&moments, 4, 2);
    let error = SledStore::open(directory.path(), Options::default()).err().unwrap();
    assert!(error.is_damage() && error.to_string().contains("ends with line 3"), "{error}");
}

/// A batch of several lines counts as a whole or not at all.
#[test]
fn an_unfinished_batch_of_several_lines_does_not_count() {
    let directory = TempDir::new().unwrap();
    let store = SledStore::create(directory.path(), Options::default()).unwrap();
    commit(&store, vec![put(Record::Life(1))]).unwrap();
    drop(store);
    let before = TempDir::new().unwrap();
    copy(directory.path(), before.path());
    let store = SledStore::open(directory.path(), Options::default()).unwrap();
    commit(&store, (0..5_000).map(|number| put(granted(number))).collect()).unwrap();
    drop(store);
    let all = content(directory.path());
    let ledger = fs::read(directory.path().join("ledger/00000001.jsonl")).unwrap();
    let lines: Vec<&[u8]> = ledger.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(lines.len() > 4);
    for whole in 2..=lines.len() {
        for torn in [0, 100] {
            let mut bytes = lines[..whole].concat();
            bytes.truncate(bytes.len() - torn);
            fs::write(before.path().join("ledger/00000001.jsonl"), &bytes).unwrap();
            let copied = TempDir::new().unwrap();
            copy(before.path(), copied.path());
            let expected = if whole == lines.len() && torn == 0 { &all[..] } else { &all[..1] };
            assert_eq!(content(copied.path()), expected, "{whole} {torn}");
            let length = fs::metadata(copied.path().join("ledger/00000001.jsonl")).unwrap().len() as usize;
            assert_eq!(length, if expected.len() == 1 { lines[..2].concat().len() } else { ledger.len() });
        }
    }
}

/// A disk that fails the n-th `fsync` of a leg.
fn failing(leg: Leg, number: usize) -> (Options, Arc<AtomicUsize>) {
    let left = Arc::new(AtomicUsize::new(number));
    let counter = left.clone();
    let sync = Arc::new(move |which: Leg, file: &fs::File| {
        if which == leg && counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1)
        {
            return Err(std::io::Error::from_raw_os_error(5));
        }
        file.sync_data()
    });
    (Options { sync, ..Options::default() }, left)
}

/// PM-S-19: after a failed `fsync` nothing is accepted before the store has been loaded, and what was acknowledged is there.
#[test]
fn a_failed_fsync_is_told_and_nothing_is_done_before_load() {
    for leg in [Leg::Ledger, Leg::Tables] {
        let directory = TempDir::new().unwrap();
        drop(SledStore::create(directory.path(), Options::default()).unwrap());
        let (options, _) = failing(leg, 3);
        let store = SledStore::open(directory.path(), options).unwrap();
        commit(&store, vec![put(granted(1))]).unwrap();
        commit(&store, vec![put(granted(2))]).unwrap();
        let error = commit(&store, vec![put(granted(3))]).unwrap_err();
        assert!(matches!(&error, StoreError::Io { error, .. } if error.contains("os error 5")), "{error}");
        let refused = commit(&store, vec![put(granted(4))]).unwrap_err();
        assert!(refused.to_string().contains("loaded again"), "{refused}");
        let loaded = load(&store);
        assert!(loaded == [granted(1), granted(2)] || loaded == [granted(1), granted(2), granted(3)], "{loaded:?}");
        commit(&store, vec![put(granted(5))]).unwrap();
        let after = load(&store);
        assert_eq!(after[..loaded.len()], loaded);
        drop(store);
        assert_eq!(content(directory.path()), after);
    }
}

/// What a failed `fsync` was about is written once more, not synced once more: a second `fsync` says yes to what is lost.
#[test]
fn after_a_failed_fsync_everything_unacknowledged_is_written_anew() {
    let directory = TempDir::new().unwrap();
    drop(SledStore::create(directory.path(), Options::default()).unwrap());
    let (options, _) = failing(Leg::Tables, 2);
    let store = SledStore::open(directory.path(), options).unwrap();
    commit(&store, vec![put(granted(1))]).unwrap();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let db = directory.path().join("sled/db");
    let before = inode(&db);
    commit(&store, vec![put(granted(2))]).unwrap_err();
    load(&store);
    assert_ne!(inode(&db), before, "the file of the database is the one whose fsync has failed");
    drop(store);

    // The ledger: shortened to what was acknowledged, and that synced, before the rest is written again.
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let seen = lengths.clone();
    let sync = Arc::new(move |leg: Leg, file: &fs::File| {
        let mut seen = seen.lock().unwrap();
        if leg == Leg::Ledger {
            seen.push(file.metadata().unwrap().len());
            if seen.len() == 2 {
                return Err(std::io::Error::from_raw_os_error(5));
            }
        }
        file.sync_data()
    });
    let store = SledStore::open(directory.path(), Options { sync, ..Options::default() }).unwrap();
    commit(&store, vec![put(granted(3))]).unwrap();
    commit(&store, vec![put(granted(4))]).unwrap_err();
    load(&store);
    let lengths = lengths.lock().unwrap().clone();
    let [acknowledged, failed, shortened, written] = lengths[..] else { panic!("{lengths:?}") };
    assert!(failed > acknowledged);
    assert_eq!((shortened, written), (acknowledged, failed));
}

/// PM-S-16: nothing was served from a store whose creation was interrupted, and it is not taken for one.
#[test]
fn an_interrupted_creation_is_begun_anew() {
    let directory = TempDir::new().unwrap();
    drop(SledStore::create(directory.path(), Options::default()).unwrap());
    fs::rename(directory.path().join("birth"), directory.path().join("birth.fresh")).unwrap();
    let error = SledStore::open(directory.path(), Options::default()).err().unwrap();
    assert!(matches!(error, asa_prefix::store::Error::Missing { .. }), "{error}");
    drop(SledStore::create(directory.path(), Options::default()).unwrap());
    assert!(directory.path().join("sled.unfinished-1").exists());
    assert_eq!(content(directory.path()), []);
}
