//! The stores: what is acknowledged is there, damage is told and never taken for emptiness.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_framework::roles::store::{Change, Fault, FaultStore, FileStore, MemStore, Store, StoreError};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

fn put(entries: std::ops::Range<u32>) -> Vec<Change<u32>> {
    entries.map(Change::Put).collect()
}

fn journal(directory: &TempDir) -> PathBuf {
    directory.path().join("pool.journal")
}

fn open(directory: &TempDir) -> Result<FileStore<u32>, StoreError> {
    FileStore::open(directory.path(), "pool")
}

/// A store with 0..6 in three batches.
async fn filled() -> TempDir {
    let directory = TempDir::new().unwrap();
    let store = FileStore::create(directory.path(), "pool").unwrap();
    for start in [0, 2, 4] {
        store.commit(put(start..start + 2)).await.unwrap();
    }
    directory
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    fs::read(path).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// PM-S-03, PM-S-14: batches are there after another opening, whole or not at all.
#[tokio::test]
async fn what_is_acknowledged_is_there_after_reopening() {
    let directory = filled().await;
    let store = open(&directory).unwrap();
    let wrong = vec![Change::Put(6), Change::Delete(1), Change::Put(2)];
    assert!(matches!(store.commit(wrong).await, Err(StoreError::Conflict(text)) if text == "2 is there already"));
    assert_eq!(store.load().await.unwrap(), [0, 1, 2, 3, 4, 5], "nothing of a batch that does not fit");
    store.commit(vec![Change::Delete(1), Change::Put(6)]).await.unwrap();
    drop(store);
    assert_eq!(open(&directory).unwrap().load().await.unwrap(), [0, 2, 3, 4, 5, 6]);
}

/// PM-S-16: a missing store is not an empty one, and a new one never replaces an old one.
#[tokio::test]
async fn a_store_is_created_on_purpose_and_once() {
    let directory = TempDir::new().unwrap();
    let error = open(&directory).err().unwrap();
    assert_eq!(error, StoreError::Missing { path: journal(&directory) });
    assert!(error.to_string().contains("created on purpose"), "{error}");
    drop(FileStore::<u32>::create(directory.path(), "pool").unwrap());
    let again = FileStore::<u32>::create(directory.path(), "pool").err().unwrap();
    assert_eq!(again, StoreError::Exists { path: journal(&directory) });
    assert_eq!(open(&directory).unwrap().load().await.unwrap(), Vec::<u32>::new());
}

/// PM-S-20: one owner at a time; the second is told.
#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let directory = filled().await;
    let first = open(&directory).unwrap();
    let error = open(&directory).err().unwrap();
    assert_eq!(error, StoreError::Locked { path: directory.path().join("pool.lock") });
    assert!(
        FileStore::<u32>::open(directory.path(), "other")
            .is_err_and(|error| matches!(error, StoreError::Missing { .. }))
    );
    drop(first);
    assert!(open(&directory).is_ok());
}

/// PM-X-04: only the owner may read it, also after it has been written anew.
#[tokio::test]
async fn only_the_owner_may_read_it() {
    let directory = filled().await;
    let store = open(&directory).unwrap();
    for number in 0..2_100_u32 {
        let change = if number % 2 == 0 { Change::Put(100) } else { Change::Delete(100) };
        store.commit(vec![change]).await.unwrap();
    }
    let count = lines(&journal(&directory)).len();
    assert!(count < 1_100, "{count} lines: it is written anew now and then");
    for name in ["pool.journal", "pool.lock"] {
        let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(store);
    assert_eq!(open(&directory).unwrap().load().await.unwrap(), [0, 1, 2, 3, 4, 5]);
}

/// The last line was never acknowledged if it has no end: wherever it is cut, everything before it is there and new batches
/// follow it.
#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    let directory = filled().await;
    let path = journal(&directory);
    let whole = fs::read(&path).unwrap();
    let last = whole.len() - lines(&path).last().unwrap().len();
    for length in last..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let store = open(&directory).unwrap();
        assert_eq!(store.load().await.unwrap(), [0, 1, 2, 3], "cut at {length}");
        store.commit(put(9..10)).await.unwrap();
        drop(store);
        assert_eq!(open(&directory).unwrap().load().await.unwrap(), [0, 1, 2, 3, 9]);
    }
}

/// PM-S-16: every other damage is refused with file and line, and the file is left as it is.
#[tokio::test]
async fn damage_is_told_and_never_taken_for_emptiness() {
    type Damage = fn(&mut Vec<Vec<u8>>);
    let table: [(&str, u64, &str, Damage); 12] = [
        ("empty", 1, "missing or cut off", |lines| lines.clear()),
        ("cut in the head", 1, "missing or cut off", |lines| {
            lines.truncate(1);
            lines[0].truncate(20);
        }),
        ("a flipped bit in the middle", 3, "checksum", |lines| lines[2][15] ^= 1),
        ("a flipped bit in the last line", 4, "checksum", |lines| lines[3][15] ^= 1),
        ("a flipped bit in the head", 1, "checksum", |lines| lines[0][15] ^= 1),
        ("no checksum", 2, "does not begin with a checksum", |lines| lines[1] = b"zzzzzzzz {}\n".to_vec()),
        ("a short line", 2, "too short", |lines| lines[1] = b"hello\n".to_vec()),
        ("zeros", 3, "checksum", |lines| lines[2] = [[0; 40].as_slice(), b"\n"].concat()),
        ("a lost line", 3, "lines are missing", |lines| drop(lines.remove(2))),
        ("a doubled line", 4, "missing or doubled", |lines| lines.insert(3, lines[2].clone())),
        ("another head", 3, "wrong place", |lines| lines.insert(2, lines[0].clone())),
        ("not an entry", 2, "not an entry", |lines| {
            lines[1] = b"9fd1d4e6 {\"batch\":7}\n".to_vec();
            let sum = crc(b"{\"batch\":7}");
            lines[1][..8].copy_from_slice(sum.as_bytes());
        }),
    ];
    for (name, line, problem, damage) in table {
        let directory = filled().await;
        let path = journal(&directory);
        let mut content = lines(&path);
        damage(&mut content);
        let content = content.concat();
        fs::write(&path, &content).unwrap();
        let error = open(&directory).err().unwrap_or_else(|| panic!("{name}: opened"));
        let StoreError::Damaged { path: at, line: found, problem: text } = &error else { panic!("{name}: {error}") };
        assert_eq!((at, *found), (&path, line), "{name}: {error}");
        assert!(text.contains(problem), "{name}: {error}");
        assert!(error.to_string().contains("restore a copy"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content, "{name}: left as it is");
    }
}

/// CRC-32 as in the journal, bit by bit.
fn crc(bytes: &[u8]) -> String {
    let step = |crc: u32| (0..8).fold(crc, |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 });
    format!("{:08x}", !bytes.iter().fold(!0_u32, |crc, byte| step(crc ^ u32::from(*byte))))
}

/// A journal under the name of another store is not read.
#[tokio::test]
async fn the_store_of_another_name_is_refused() {
    let directory = filled().await;
    fs::copy(journal(&directory), directory.path().join("other.journal")).unwrap();
    let error = FileStore::<u32>::open(directory.path(), "other").err().unwrap();
    assert!(error.to_string().contains("the store of \"pool\", not of \"other\""), "{error}");
}

/// What the system does not allow is told with file and cause.
#[tokio::test]
async fn errors_of_the_system_name_the_file() {
    let error = FileStore::<u32>::create(Path::new("/nonexistent/state"), "pool").err().unwrap();
    assert!(error.to_string().contains("/nonexistent/state/pool.lock"), "{error}");
    let directory = TempDir::new().unwrap();
    fs::create_dir(journal(&directory)).unwrap();
    let error = open(&directory).err().unwrap();
    assert!(error.to_string().contains("pool.journal"), "{error}");
}

/// PM-S-19: a disk that cannot be written refuses the batch, keeps what was acknowledged, and works again when it can.
#[tokio::test]
async fn a_disk_that_cannot_be_written_refuses_and_recovers() {
    let directory = filled().await;
    let path = journal(&directory);
    let store = open(&directory).unwrap();
    // No new file can be put in place where a directory stands.
    let fresh = path.with_extension("fresh");
    fs::create_dir(&fresh).unwrap();
    let mut refused = None;
    for number in 0..2_500_u32 {
        let change = if number % 2 == 0 { Change::Put(100) } else { Change::Delete(100) };
        if let Err(error) = store.commit(vec![change]).await {
            refused = Some((number, error));
            break;
        }
    }
    let (number, error) = refused.expect("writing anew must fail");
    assert!(error.to_string().contains("pool.fresh"), "{error}");
    assert!(store.commit(put(7..8)).await.is_err(), "it stays refused");
    assert!(store.load().await.is_err(), "and does not pretend");
    fs::remove_dir(&fresh).unwrap();
    store.commit(put(7..8)).await.unwrap();
    drop(store);
    let mut expected = vec![0, 1, 2, 3, 4, 5, 7];
    expected.extend((number % 2 == 1).then_some(100));
    assert_eq!(open(&directory).unwrap().load().await.unwrap(), expected);
}

/// A commit whose caller is gone is finished before a later life loads.
#[tokio::test]
async fn a_later_load_sees_what_an_abandoned_commit_has_begun() {
    let directory = filled().await;
    let store = open(&directory).unwrap();
    for number in 10..60_u32 {
        let mut commit = store.commit(put(number..number + 1));
        // Begins the work, then the actor dies.
        assert!(futures_util::poll!(&mut commit).is_pending());
        drop(commit);
        let loaded = store.load().await.unwrap();
        assert_eq!(store.load().await.unwrap(), loaded, "nothing changes behind the back of a life");
        assert!(loaded.contains(&number));
    }
}

/// The drills do what they say, and a store that lies is one that forgets.
#[tokio::test(start_paused = true)]
async fn drills_fail_as_ordered() {
    let inner = MemStore::default();
    let store = FaultStore::new(Arc::new(inner.clone()));
    store.commit(put(0..1)).await.unwrap();
    for (fault, fails, kept) in [
        (Fault::Refuse, true, false),
        (Fault::Doubt, true, true),
        (Fault::Forget, false, false),
        (Fault::Dead, true, false),
    ] {
        store.order(fault);
        assert_eq!(store.commit(put(1..2)).await.is_err(), fails, "{fault:?}");
        assert_eq!(store.load().await.is_err(), fault == Fault::Dead, "{fault:?}");
        assert_eq!(inner.entries().contains(&1), kept, "{fault:?}");
        store.order(Fault::None);
        if kept {
            store.commit(vec![Change::Delete(1)]).await.unwrap();
        }
    }
    store.order(Fault::Hang);
    let hung = tokio::time::timeout(Duration::from_secs(3_600), store.commit(put(1..2))).await;
    assert!(hung.is_err());
    store.order(Fault::None);
    store.delay(Duration::from_secs(3));
    let begun = tokio::time::Instant::now();
    store.commit(put(1..2)).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}
