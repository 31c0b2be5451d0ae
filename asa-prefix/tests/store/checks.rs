//! PM-S-01: what has to be true of a pool. PM-S-17, PM-S-20: the store as text, and back.

use super::support::{block, commit, content, dealt, granted, lease, p, put, record, session, site};
use asa_prefix::pool::record::{Part, Record, Source, State, Way};
use asa_prefix::store::{
    Code, Error, Options, SledStore, check, export, export_records, fsck, parse_export, repair, restore,
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use tempfile::TempDir;
use time::OffsetDateTime;

fn aggregate(text: &str) -> Record {
    Record::Aggregate { block: p(text), source: Source::Manifest, withdrawn: false }
}

fn free(text: &str) -> Record {
    block(p(text), State::Free)
}

fn codes(records: &[Record]) -> Vec<Code> {
    check(records).into_iter().map(|problem| problem.code).collect()
}

/// PM-S-01
#[test]
fn every_broken_invariant_is_found() {
    let life = Record::Life(1);
    let doubt = |way| State::Doubt { dealt: dealt(1), way, reset: false };
    let with = |records: &[Record]| codes(&[std::slice::from_ref(&life), records].concat());
    assert_eq!(codes(&[]), []);
    assert_eq!(with(&[aggregate("10.0.0.0/8"), free("10.0.0.0/9"), free("10.128.0.0/9")]), []);
    assert_eq!(with(&[aggregate("::/0"), free("::/0"), aggregate("0.0.0.0/0"), free("0.0.0.0/0")]), []);
    assert_eq!(with(&[aggregate("::/0"), free("::/1"), block(p("8000::/1"), doubt(Way::Out))]), []);
    assert_eq!(codes(&[aggregate("::/0"), free("::/0")]), [Code::Life]);
    assert_eq!(with(&[Record::Life(2)]), [Code::Life]);
    assert_eq!(with(&[session(1), session(1)]), [Code::Session]);
    // A part is missing: at the beginning, in the middle, at the end, all of it, one address.
    assert_eq!(with(&[aggregate("10.0.0.0/8"), free("10.128.0.0/9")]), [Code::Gap]);
    assert_eq!(with(&[aggregate("10.0.0.0/8"), free("10.0.0.0/10"), free("10.128.0.0/9")]), [Code::Gap]);
    assert_eq!(with(&[aggregate("::/0"), free("::/1")]), [Code::Gap]);
    assert_eq!(with(&[aggregate("::/0")]), [Code::Gap]);
    let all_but_one = (1..=128).map(|length| block(p(&format!("::/{length}")).buddy().unwrap(), State::Free));
    assert_eq!(with(&all_but_one.chain([aggregate("::/0")]).collect::<Vec<_>>()), [Code::Gap]);
    // Parent and half; the same twice; in none; larger than its aggregate.
    assert_eq!(with(&[aggregate("10.0.0.0/8"), free("10.0.0.0/8"), free("10.128.0.0/9")]), [Code::Overlap]);
    assert_eq!(
        with(&[aggregate("10.0.0.0/8"), free("10.0.0.0/8"), block(p("10.0.0.0/8"), State::Excluded)]),
        [Code::Overlap]
    );
    assert_eq!(with(&[free("10.0.0.0/8")]), [Code::Stray]);
    assert_eq!(with(&[aggregate("10.0.0.0/8"), free("10.0.0.0/7")]), [Code::Stray, Code::Gap]);
    assert_eq!(with(&[aggregate("::/0"), aggregate("::/1"), free("::/0")])[0], Code::AggregateOverlap);
    // What still belongs to somebody else is in no aggregate.
    let accepting = block(p("10.0.0.0/9"), State::Accepting(dealt(1)));
    assert_eq!(with(std::slice::from_ref(&accepting)), []);
    assert_eq!(with(&[accepting, aggregate("10.128.0.0/9"), free("10.128.0.0/9")]), []);
    let foreign = block(p("10.0.0.0/9"), doubt(Way::In));
    assert_eq!(with(&[foreign, aggregate("10.0.0.0/8"), free("10.128.0.0/9")]), [Code::Foreign, Code::Gap]);
    let outer = block(p("10.0.0.0/7"), State::Accepting(dealt(1)));
    assert_eq!(with(&[outer, aggregate("10.0.0.0/8"), free("10.0.0.0/8")]), [Code::Overlap, Code::Foreign]);
    // What goes back is what came, as a whole.
    let back = block(p("10.0.0.0/8"), State::Returning);
    let source = Source::Peer(*dealt(1));
    assert_eq!(with(&[Record::Aggregate { block: p("10.0.0.0/8"), source, withdrawn: false }, back.clone()]), []);
    assert_eq!(with(&[aggregate("10.0.0.0/8"), back]), [Code::Returning]);
}

#[test]
fn problems_are_listed_up_to_a_bound() {
    let records: Vec<Record> = (0..3_000).map(granted).chain([Record::Life(1)]).collect();
    let problems = check(&records);
    assert_eq!(problems.len(), 1_001);
    assert!(problems[1_000].to_string().contains("2000 more"), "{}", problems[1_000]);
}

/// fsck sees a broken pool in a whole store, counts what there is, needs the lock, and changes nothing.
#[test]
fn fsck_reads_and_does_not_write() {
    let directory = TempDir::new().unwrap();
    let dir = directory.path();
    assert!(matches!(fsck(dir), Err(Error::Missing { .. })));
    assert!(matches!(repair(dir, &Options::default()), Err(Error::Missing { .. })));
    let store = SledStore::create(dir, Options::default()).unwrap();
    commit(&store, vec![put(Record::Life(7)), put(aggregate("10.0.0.0/8")), put(free("10.0.0.0/9"))]).unwrap();
    assert!(matches!(fsck(dir), Err(Error::Locked { .. })));
    assert!(matches!(repair(dir, &Options::default()), Err(Error::Locked { .. })));
    drop(store);
    let files = || {
        let mut files = BTreeMap::new();
        for part in ["sled", "ledger", "."] {
            for entry in std::fs::read_dir(dir.join(part)).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    files.insert(entry.path(), std::fs::read(entry.path()).unwrap());
                }
            }
        }
        files
    };
    let before = files();
    let report = fsck(dir).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(
        report.problems[0].to_string(),
        "gap: in the aggregate 10.0.0.0/8, what is after 10.0.0.0/9 is in no block"
    );
    let figures = &report.figures;
    assert_eq!((figures.blocks, figures.aggregates, figures.sessions, figures.life), (1, 1, 0, Some(7)));
    assert_eq!((figures.states[0].state, figures.states[0].amount.addresses), ("free", 1 << 23));
    assert_eq!(report.line, Some(1));
    assert_eq!(files(), before);
}

proptest! {
    /// PM-S-20: what is written is what is read, whatever is in it.
    #[test]
    fn an_export_is_read_back(seed: u64, count in 0_usize..60) {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let records: Vec<Record> = (0..count).map(|_| record(&mut random)).collect();
        let mut text = Vec::new();
        export_records(&records, OffsetDateTime::UNIX_EPOCH, &mut text).unwrap();
        prop_assert_eq!(parse_export(text.as_slice()).unwrap(), records);
        // What is cut off or changed is refused.
        for place in [text.len() / 3, text.len() / 2, text.len() - 1] {
            prop_assert!(parse_export(&text[..place]).is_err());
        }
        let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        if count > 0 {
            lines.remove(1);
            prop_assert!(parse_export(lines.concat().as_slice()).is_err());
        }
    }

    /// Any bytes are an error and no panic.
    #[test]
    fn any_bytes_are_no_export(bytes: Vec<u8>) {
        prop_assert!(parse_export(bytes.as_slice()).is_err());
    }
}

#[test]
fn an_export_is_bounded() {
    let long = [b"{\"export\":1,\"time\":\"1970-01-01T00:00:00.000Z\"}\n".to_vec(), vec![b' '; 2 << 20]].concat();
    let error = parse_export(long.as_slice()).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("longer"), "{error}");
    let newer = b"{\"export\":2,\"time\":\"1970-01-01T00:00:00.000Z\"}\n".as_slice();
    assert!(parse_export(newer).unwrap_err().to_string().contains("format 2"));
}

/// PM-S-17: nothing that may have changed since is given to anybody.
#[test]
fn a_restored_store_gives_nothing_away() {
    let old = TempDir::new().unwrap();
    let store = SledStore::create(old.path(), Options::default()).unwrap();
    let states = [
        State::Free,
        State::Held(dealt(1)),
        State::Offered(dealt(2)),
        State::Granted(dealt(3)),
        State::Delegated(lease("a")),
        State::Cooling(lease("b")),
        State::Dry(dealt(4)),
        State::Excluded,
    ];
    let blocks = states.into_iter().zip(0..).map(|(state, number)| put(block(site(number), state)));
    let accepting = block(p("2001:db9::/48"), State::Accepting(dealt(5)));
    let others = [put(Record::Life(3)), put(aggregate("2001:db8::/45")), put(session(1)), put(accepting)];
    commit(&store, blocks.chain(others).collect()).unwrap();
    assert!(matches!(export(old.path(), Options::default(), Vec::new()), Err(Error::Locked { .. })));
    let asked = u64::from(matches!(session(1), Record::Session { part: Part::Asker, .. }));
    drop(store);
    let mut text = Vec::new();
    assert_eq!(export(old.path(), Options::default(), &mut text).unwrap(), 12);

    let directory = TempDir::new().unwrap();
    let path = directory.path().join("new");
    let restored = restore(&path, parse_export(text.as_slice()).unwrap(), &Options::default()).unwrap();
    assert_eq!((restored.excluded, restored.left_out, restored.records), (7, 1 + asked, 11 - asked));
    let mut expected = vec![State::Excluded; 8];
    expected[3] = State::Granted(dealt(3));
    let records = content(&path);
    let states = records.iter().filter_map(|record| match record {
        Record::Block { state, .. } => Some(state.clone()),
        Record::Life(_) | Record::Aggregate { .. } | Record::Session { .. } => None,
    });
    assert_eq!(states.collect::<Vec<_>>(), expected);
    assert!(fsck(&path).unwrap().is_clean());
    // Never over a store that is there; and not with two truths about one block.
    assert!(matches!(restore(&path, Vec::new(), &Options::default()), Err(Error::Exists { .. })));
    let twice = vec![granted(1), granted(1)];
    let other = directory.path().join("other");
    assert!(matches!(restore(&other, twice, &Options::default()), Err(Error::Conflict(_))));
    assert!(matches!(SledStore::open(&other, Options::default()), Err(Error::Missing { .. })));
}
