//! PM-L-01: who had this address then? And: segments are closed, summed up, and kept as long as the operator wants.

use super::support::{block, commit, content, dealt, delete, granted, lease, load, p, put, site};
use asa_framework::roles::store::Change;
use asa_prefix::pool::record::{Record, State};
use asa_prefix::store::{HistoryEntry, Options, SledStore, fsck, history, repair};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;
use time::OffsetDateTime;

const START: i64 = 1_800_000_000;

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(START + second).unwrap()
}

/// A store on a clock that the test sets.
fn clocked(dir: &Path, options: Options) -> (SledStore, Arc<AtomicI64>) {
    let second = Arc::new(AtomicI64::new(0));
    let clock = second.clone();
    let clock = Arc::new(move || at(clock.load(Ordering::SeqCst)));
    (SledStore::create(dir, Options { clock, ..options }).unwrap(), second)
}

/// A life of one block: split, granted, given back, merged, delegated.
fn story(store: &SledStore, second: &AtomicI64) {
    let (whole, low, high) = (p("2001:db8::/32"), p("2001:db8::/33"), p("2001:db8:8000::/33"));
    let step = |time: i64, changes: Vec<Change<Record>>| {
        second.store(time, Ordering::SeqCst);
        commit(store, changes).unwrap();
    };
    let free = |prefix| block(prefix, State::Free);
    step(10, vec![put(free(whole))]);
    let held = block(high, State::Offered(dealt(7)));
    step(20, vec![delete(free(whole)), put(free(low)), put(held.clone())]);
    let given = block(high, State::Granted(dealt(7)));
    step(30, vec![delete(held), put(given.clone())]);
    step(40, vec![delete(given), put(free(high))]);
    step(50, vec![delete(free(low)), delete(free(high)), put(free(whole))]);
    step(60, vec![delete(free(whole)), put(block(whole, State::Delegated(lease("router 9"))))]);
}

fn short(entries: &[HistoryEntry]) -> Vec<(i64, String, Option<&'static str>, Option<&'static str>)> {
    let name = |state: &Option<State>| state.as_ref().map(State::name);
    let one = |entry: &HistoryEntry| {
        (entry.time.unix_timestamp() - START, entry.block.to_string(), name(&entry.from), name(&entry.to))
    };
    entries.iter().map(one).collect()
}

#[test]
fn the_history_of_an_address_goes_through_splits_and_merges() {
    for segment_bytes in [16 << 20, 1] {
        let directory = TempDir::new().unwrap();
        let (store, second) = clocked(directory.path(), Options { segment_bytes, ..Options::default() });
        story(&store, &second);
        // While the store is open.
        let address: IpAddr = "2001:db8:8000::5".parse().unwrap();
        let all = history(directory.path(), address, None).unwrap();
        let (whole, high) = ("2001:db8::/32".to_owned(), "2001:db8:8000::/33".to_owned());
        let expected = [
            (10, whole.clone(), None, Some("free")),
            (20, whole.clone(), Some("free"), None),
            (20, high.clone(), None, Some("offered")),
            (30, high.clone(), Some("offered"), Some("granted")),
            (40, high.clone(), Some("granted"), Some("free")),
            (50, whole.clone(), None, Some("free")),
            (50, high.clone(), Some("free"), None),
            (60, whole.clone(), Some("free"), Some("delegated")),
        ];
        assert_eq!(short(&all.entries), expected);
        assert_eq!((all.since, all.omitted), (at(0), 0));
        let then = |second| short(&history(directory.path(), address, Some(at(second))).unwrap().entries);
        assert_eq!(then(5), []);
        assert_eq!(then(10), [(10, whole.clone(), None, Some("free"))]);
        assert_eq!(then(29), [(20, high.clone(), None, Some("offered"))]);
        assert_eq!(then(39), [(30, high.clone(), Some("offered"), Some("granted"))]);
        assert_eq!(then(1_000), [(60, whole.clone(), Some("free"), Some("delegated"))]);
        // With whom, and in which session.
        let granted = history(directory.path(), address, Some(at(39))).unwrap();
        assert_eq!(granted.entries[0].to, Some(State::Granted(dealt(7))));
        assert_eq!(history(directory.path(), "10.0.0.1".parse().unwrap(), None).unwrap().entries, []);
        // And when it is closed, and its database lost.
        drop(store);
        fs::remove_dir_all(directory.path().join("sled")).unwrap();
        assert_eq!(history(directory.path(), address, None).unwrap(), all);
    }
}

/// RFC 8992 section 4.4: peer, session, block, old and new state, and when, in a line that a person can read.
#[test]
fn a_line_of_the_ledger_says_who_what_and_when() {
    let directory = TempDir::new().unwrap();
    let (store, second) = clocked(directory.path(), Options::default());
    story(&store, &second);
    let text = fs::read_to_string(directory.path().join("ledger/00000001.jsonl")).unwrap();
    let line = text.lines().nth(3).unwrap();
    let (crc, json) = line.split_once(' ').unwrap();
    assert_eq!(crc, format!("{:08x}", crc32fast::hash(json.as_bytes())));
    let deal = r#"{"session":7,"peer":"fe80::7","since":1700000007}"#;
    let change = format!(r#"{{"block":"2001:db8:8000::/33","from":{{"offered":{deal}}},"to":{{"granted":{deal}}}}}"#);
    let expected = format!(r#"{{"seq":3,"time":"2027-01-15T08:00:30.000Z","changes":[{change}],"sum":""#);
    assert!(json.starts_with(&expected), "{json}\n{expected}");
}

/// A ledger that is being written ends anywhere.
#[test]
fn history_tolerates_a_torn_end() {
    let directory = TempDir::new().unwrap();
    let (store, second) = clocked(directory.path(), Options::default());
    story(&store, &second);
    drop(store);
    let path = directory.path().join("ledger/00000001.jsonl");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
    let entries = history(directory.path(), "2001:db8:8000::5".parse().unwrap(), None).unwrap().entries;
    assert_eq!(short(&entries).last().unwrap().0, 50);
}

/// Any bytes in a ledger are an error or are not there, and never a panic.
#[test]
fn history_survives_any_damage() {
    let directory = TempDir::new().unwrap();
    let (store, second) = clocked(directory.path(), Options::default());
    story(&store, &second);
    drop(store);
    let path = directory.path().join("ledger/00000001.jsonl");
    let whole = fs::read(&path).unwrap();
    let address: IpAddr = "2001:db8:8000::5".parse().unwrap();
    let complete = history(directory.path(), address, None).unwrap();
    let mut random = ChaCha12Rng::seed_from_u64(5);
    let mut refused = 0;
    for _ in 0..400 {
        let mut bytes = whole.clone();
        let place = random.random_range(0..bytes.len());
        match random.random_range(0..3) {
            0 => bytes[place] = random.random(),
            1 => bytes.truncate(place),
            _ => {
                bytes.splice(place..place, (0..random.random_range(1..40)).map(|_| b'\n'));
            }
        }
        fs::write(&path, &bytes).unwrap();
        match history(directory.path(), address, None) {
            // Only what is at the end can be missing.
            Ok(found) => assert_eq!(found.entries, complete.entries[..found.entries.len()]),
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Each segment begins with a snapshot, and what is older than the operator wants goes, but never without one.
#[test]
fn segments_are_closed_and_kept_as_long_as_wanted() {
    let directory = TempDir::new().unwrap();
    let options = Options { segment_bytes: 4_000, keep_days: Some(10), ..Options::default() };
    let (store, second) = clocked(directory.path(), options);
    commit(&store, vec![put(Record::Life(1))]).unwrap();
    let segments = || {
        let mut names: Vec<String> = fs::read_dir(directory.path().join("ledger"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let mut most = 0;
    for day in 0..60 {
        second.store(day * 86_400, Ordering::SeqCst);
        for number in 0..20 {
            let (free, given) = (block(site(number), State::Free), granted(number));
            let changes = match day {
                0 => vec![put(given)],
                _ if day % 2 == 0 => vec![delete(free), put(given)],
                _ => vec![delete(given), put(free)],
            };
            commit(&store, changes).unwrap();
        }
        load(&store);
        most = most.max(segments().len());
    }
    let names = segments();
    let first: u64 = names[0][..8].parse().unwrap();
    assert!(first > 10 && most < 60, "{names:?} {most}");
    // Segments without a gap, each with its snapshot.
    for pair in names.chunks(2) {
        assert_eq!((&pair[0][..8], &pair[0][8..], &pair[1][8..]), (&pair[1][..8], ".jsonl", ".snapshot"));
    }
    let known = history(directory.path(), "2001:db8::".parse().unwrap(), None).unwrap();
    let days = (at(59 * 86_400) - known.since).whole_days();
    assert!((10..14).contains(&days), "{days}");
    assert!(known.entries[0].earlier && !known.entries[1].earlier);
    // What the oldest kept snapshot says is still known after that.
    let then = history(directory.path(), "2001:db8::".parse().unwrap(), Some(at(59 * 86_400))).unwrap();
    assert_eq!(short(&then.entries)[0].3, Some("free"));
    let records = load(&store);
    drop(store);
    // From snapshots and segments alone.
    fs::remove_dir_all(directory.path().join("sled")).unwrap();
    let report = repair(directory.path(), &Options::default()).unwrap();
    assert_eq!((report.records as usize, content(directory.path())), (records.len(), records));
    let stray = |problem: &asa_prefix::store::Problem| problem.code == asa_prefix::store::Code::Stray;
    assert!(fsck(directory.path()).unwrap().problems.iter().all(stray));
}

/// By number of segments; and all of them, if nothing else is said.
#[test]
fn the_number_of_segments_is_bounded_if_wanted() {
    for (keep_segments, kept) in [(Some(3), 3), (Some(0), 1), (None, 31)] {
        let directory = TempDir::new().unwrap();
        let options = Options { segment_bytes: 1, keep_days: None, keep_segments, ..Options::default() };
        let (store, _) = clocked(directory.path(), options);
        // One record, so that a segment is never shorter than the snapshot that it begins with.
        commit(&store, vec![put(Record::Life(1))]).unwrap();
        for life in 2..300 {
            commit(&store, vec![delete(Record::Life(life - 1)), put(Record::Life(life))]).unwrap();
        }
        load(&store);
        let ledger = fs::read_dir(directory.path().join("ledger")).unwrap();
        let count = ledger.filter(|entry| entry.as_ref().unwrap().path().extension().unwrap() == "jsonl").count();
        if keep_segments.is_some() { assert_eq!(count, kept) } else { assert!(count >= kept, "{count}") }
    }
}
