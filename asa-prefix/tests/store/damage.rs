//! PM-S-16: damage of any part is told or mended, and never looks like an empty store. GAP-25: it can be repaired.

use super::support::{block, commit, content, copy, delete, granted, put, session, site};
use asa_prefix::pool::record::{Record, Source, State};
use asa_prefix::store::{Code, Error, Options, SledStore, check, fsck, repair};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A store with some past in three segments, which is a sound pool, and what is in it.
struct Scene {
    directory: TempDir,
    records: Vec<Record>,
}

const SITES: u32 = 64;

impl Scene {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let options = Options { segment_bytes: 6_000, ..Options::default() };
        let store = SledStore::create(directory.path(), options.clone()).unwrap();
        let aggregate = "2001:db8::/42".parse().unwrap();
        let source = Source::Manifest;
        let mut first =
            vec![put(Record::Life(1)), put(Record::Aggregate { block: aggregate, source, withdrawn: false })];
        first.extend((0..SITES).map(|number| put(block(site(number), State::Free))));
        commit(&store, first).unwrap();
        for number in 0..SITES - 1 {
            let mut changes = vec![delete(block(site(number), State::Free)), put(granted(number))];
            if number % 8 == 0 {
                changes.push(put(session(number.into())));
            }
            commit(&store, changes).unwrap();
        }
        drop(store);
        // Opened once more, so that the database has made a snapshot.
        let store = SledStore::open(directory.path(), options).unwrap();
        commit(&store, vec![delete(Record::Life(1)), put(Record::Life(2))]).unwrap();
        drop(store);
        let records = content(directory.path());
        assert_eq!(check(&records), []);
        assert!(directory.path().join("ledger/00000003.jsonl").exists());
        Self { directory, records }
    }

    fn copy(&self) -> TempDir {
        let target = TempDir::new().unwrap();
        copy(self.directory.path(), target.path());
        target
    }

    /// Damages a copy. Then it opens with all that was acknowledged, or says what is wrong; and after a repair it is whole.
    fn damaged(&self, name: &str, damage: impl FnOnce(&Path)) -> Seen {
        let target = self.copy();
        let dir = target.path();
        damage(dir);
        let report = fsck(dir).unwrap();
        let seen = match SledStore::open(dir, Options::default()) {
            Ok(store) => {
                assert_eq!(super::support::load(&store), self.records, "{name}: opens with other records");
                Seen::Mended
            }
            Err(error) => {
                assert!(error.is_damage() && error.to_string().contains("asa pool repair"), "{name}: {error}");
                assert!(!report.is_clean(), "{name}: fsck sees nothing, and yet {error}");
                Seen::Told
            }
        };
        let repaired = repair(dir, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(seen == Seen::Mended || !repaired.done.is_empty(), "{name}");
        assert!(repaired.aside.iter().all(|path| path.exists()), "{name}: {repaired:?}");
        assert_eq!(content(dir), self.records, "{name}: repaired to other records");
        let after = fsck(dir).unwrap();
        assert!(after.is_clean(), "{name}: {:?}", after.problems);
        // And it works.
        let store = SledStore::open(dir, Options::default()).unwrap();
        commit(&store, vec![put(session(1_000))]).unwrap();
        seen
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Mended,
    Told,
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("sled")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snap.")).collect()
}

fn without_snapshots(dir: &Path) {
    for snapshot in snapshots(dir) {
        fs::remove_file(snapshot).unwrap();
    }
}

fn flip(path: &Path, place: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[place] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// What sled itself leaves or loses.
#[test]
fn a_damaged_database_is_told_or_mended() {
    let scene = Scene::new();
    assert_eq!(scene.damaged("nothing", |_| ()), Seen::Mended);
    let generating = |dir: &Path| fs::write(dir.join("sled/snap.0000000000000001.generating"), "").unwrap();
    assert_eq!(scene.damaged("leftover snapshot", generating), Seen::Mended);
    let truncated = |dir: &Path| {
        let snapshots = snapshots(dir);
        assert!(!snapshots.is_empty(), "there is nothing to truncate");
        for snapshot in snapshots {
            let bytes = fs::read(&snapshot).unwrap();
            fs::write(&snapshot, &bytes[..bytes.len() / 2]).unwrap();
        }
    };
    assert_eq!(scene.damaged("truncated snapshot", truncated), Seen::Mended);
    assert_eq!(scene.damaged("no snapshots", without_snapshots), Seen::Mended);
    for snapshots in [true, false] {
        let with = |damage: fn(&Path)| {
            move |dir: &Path| {
                if !snapshots {
                    without_snapshots(dir);
                }
                damage(dir);
            }
        };
        let empty = with(|dir| fs::write(dir.join("sled/db"), "").unwrap());
        assert_eq!(scene.damaged("emptied database", empty), Seen::Told);
        let missing = with(|dir| fs::remove_file(dir.join("sled/db")).unwrap());
        assert_eq!(scene.damaged("missing database", missing), Seen::Told);
        let directory = with(|dir| fs::remove_dir_all(dir.join("sled")).unwrap());
        assert_eq!(scene.damaged("missing directory", directory), Seen::Told);
        let short = with(|dir| {
            let bytes = fs::read(dir.join("sled/db")).unwrap();
            fs::write(dir.join("sled/db"), &bytes[..bytes.len() / 3]).unwrap();
        });
        scene.damaged("truncated database", short);
        let zero = with(|dir| {
            let length = fs::read(dir.join("sled/db")).unwrap().len();
            fs::write(dir.join("sled/db"), vec![0; length]).unwrap();
        });
        assert_eq!(scene.damaged("zeroed database", zero), Seen::Told);
    }
}

/// More flipped bytes than the few that are always tried.
const FLIPS: &str = "ASA_STORE_FLIPS";

/// One byte anywhere in the database.
#[test]
fn a_flipped_byte_of_the_database_is_told_or_mended() {
    let scene = Scene::new();
    let bytes = fs::read(scene.directory.path().join("sled/db")).unwrap();
    // Of what is written; the rest of the file is filled up.
    let used: Vec<usize> = (0..bytes.len()).filter(|place| !matches!(bytes[*place], 0 | 0xf7)).collect();
    let (mut told, count) = (0, std::env::var(FLIPS).ok().and_then(|count| count.parse().ok()).unwrap_or(24));
    for round in 0..count {
        let place = used[round * (used.len() - 1) / (count - 1)];
        for snapshots in [true, false] {
            let damage = |dir: &Path| {
                if !snapshots {
                    without_snapshots(dir);
                }
                flip(&dir.join("sled/db"), place);
            };
            let seen = scene.damaged(&format!("byte {place} of the database, snapshots: {snapshots}"), damage);
            told += usize::from(seen == Seen::Told);
        }
    }
    assert!(told > 0, "no flipped byte was seen");
}

/// PM-L-01: the ledger cannot be changed unnoticed.
#[test]
fn a_damaged_ledger_is_told_or_mended() {
    let scene = Scene::new();
    let current = |dir: &Path| {
        let ledger = dir.join("ledger");
        let mut segments: Vec<PathBuf> = fs::read_dir(ledger).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().unwrap() == "jsonl");
        segments.sort();
        segments.pop().unwrap()
    };
    let cut = |lines: usize, rest: usize| {
        move |dir: &Path| {
            let path = current(dir);
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> =
                text.split_inclusive('\n').collect::<Vec<_>>()[..].iter().rev().skip(lines).rev().copied().collect();
            let text = lines.concat();
            fs::write(&path, &text[..text.len() - rest]).unwrap();
        }
    };
    assert_eq!(scene.damaged("torn last line", cut(0, 20)), Seen::Mended);
    assert_eq!(scene.damaged("missing last line", cut(1, 0)), Seen::Mended);
    assert_eq!(scene.damaged("a last line, and one torn", cut(1, 20)), Seen::Told);
    assert_eq!(scene.damaged("two last lines", cut(2, 0)), Seen::Told);
    assert_eq!(scene.damaged("empty segment", |dir| fs::write(current(dir), "").unwrap()), Seen::Told);
    assert_eq!(scene.damaged("missing last segment", |dir| fs::remove_file(current(dir)).unwrap()), Seen::Told);
    let file = |dir: &Path, name: &str| dir.join("ledger").join(name);
    let segment = move |dir: &Path| fs::remove_file(file(dir, "00000002.jsonl")).unwrap();
    assert_eq!(scene.damaged("missing segment", segment), Seen::Told);
    let first = move |dir: &Path| fs::remove_file(file(dir, "00000001.jsonl")).unwrap();
    assert_eq!(scene.damaged("missing first segment", first), Seen::Mended);
    assert_eq!(scene.damaged("missing ledger", |dir| fs::remove_dir_all(dir.join("ledger")).unwrap()), Seen::Told);
    for round in 0..12 {
        let damage = |dir: &Path| {
            let path = current(dir);
            let length = fs::read(&path).unwrap().len();
            flip(&path, round * (length - 1) / 11);
        };
        scene.damaged(&format!("flipped byte {round} of the current segment"), damage);
    }
    // What is not read at every start is found by fsck, and mended by a repair.
    for name in ["00000001.jsonl", "00000002.snapshot"] {
        let target = scene.copy();
        flip(&file(target.path(), name), 700);
        let problems = fsck(target.path()).unwrap().problems;
        assert!(
            problems.iter().any(|problem| problem.code == Code::Ledger && problem.what.contains(name)),
            "{problems:?}"
        );
        scene.damaged(name, |dir| flip(&file(dir, name), 700));
    }
}

/// The identity keeps parts of different stores apart.
#[test]
fn a_lost_or_foreign_identity_is_told() {
    let (scene, other) = (Scene::new(), Scene::new());
    let missing = |dir: &Path| fs::remove_file(dir.join("birth")).unwrap();
    assert_eq!(scene.damaged("missing birth", missing), Seen::Told);
    let flipped = |dir: &Path| flip(&dir.join("birth"), 30);
    assert_eq!(scene.damaged("flipped birth", flipped), Seen::Told);
    let foreign = |part: &'static str| {
        let other = other.directory.path().join(part);
        move |dir: &Path| {
            let here = dir.join(part);
            if here.is_dir() {
                fs::remove_dir_all(&here).unwrap();
                copy(&other, &here);
            } else {
                fs::copy(&other, &here).unwrap();
            }
        }
    };
    for part in ["birth", "sled", "ledger"] {
        assert_eq!(scene.damaged(part, foreign(part)), Seen::Told);
    }
}

/// With both parts lost there is nothing to begin from, and nothing is changed.
#[test]
fn two_damaged_parts_are_not_repaired() {
    let scene = Scene::new();
    let target = scene.copy();
    let dir = target.path();
    fs::write(dir.join("sled/db"), "").unwrap();
    let segment = dir.join("ledger/00000003.jsonl");
    flip(&segment, 300);
    let before = (fs::read(&segment).unwrap(), fs::read_dir(dir).unwrap().count());
    let error = repair(dir, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("restore an export"), "{error}");
    assert_eq!((fs::read(&segment).unwrap(), fs::read_dir(dir).unwrap().count()), before);
    assert!(SledStore::open(dir, Options::default()).is_err());

    // A database that is whole but old does not take the place of a ledger that has more.
    let target = TempDir::new().unwrap();
    let dir = target.path();
    copy(scene.directory.path(), dir);
    let store = SledStore::open(dir, Options::default()).unwrap();
    for number in 0..4 {
        commit(&store, vec![put(session(900 + number))]).unwrap();
    }
    drop(store);
    fs::remove_dir_all(dir.join("sled")).unwrap();
    copy(&scene.directory.path().join("sled"), &dir.join("sled"));
    flip(&dir.join("ledger/00000003.jsonl"), 300);
    let error = repair(dir, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("restore an export"), "{error}");
}

/// PM-S-20
#[test]
fn a_store_of_another_version_is_told() {
    let scene = Scene::new();
    let target = scene.copy();
    let path = target.path().join("birth");
    let text = fs::read_to_string(&path).unwrap();
    let json = text[9..].trim_end().replace("\"format\":1", "\"format\":2");
    fs::write(&path, format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))).unwrap();
    let error = SledStore::open(target.path(), Options::default()).err().unwrap();
    assert!(matches!(error, Error::Format { found: 2, reads: 1, .. }), "{error}");
    assert!(matches!(repair(target.path(), &Options::default()), Err(Error::Format { .. })));
}
