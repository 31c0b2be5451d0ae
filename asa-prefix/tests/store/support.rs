//! Records, batches and directories for tests of the store.

use asa_framework::roles::store::{Change, Store, StoreError};
use asa_prefix::pool::record::{Deal, Dealt, Lease, Part, Record, Source, Span, State, Way};
use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::store::{Options, SledStore};
use rand::{Rng, RngExt};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub(super) fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// The `number`-th /48 of 2001:db8::/32, of which there are 65 536.
pub(super) fn site(number: u32) -> Prefix {
    p(&format!("2001:db8:{number:x}::/48"))
}

pub(super) fn dealt(session: u32) -> Box<Dealt> {
    let deal = Deal { session, peer: format!("fe80::{session:x}") };
    Box::new(Dealt { deal, since: 1_700_000_000_u32.wrapping_add(session) })
}

pub(super) fn lease(client: &str) -> Box<Lease> {
    let valid = Some(Span { seconds: 7200, began: 100, boot: 3 });
    Box::new(Lease { client: client.into(), preferred: 3600, valid, since: 1_700_000_000 })
}

pub(super) fn block(block: Prefix, state: State) -> Record {
    Record::Block { block, state }
}

pub(super) fn granted(number: u32) -> Record {
    block(site(number), State::Granted(dealt(number)))
}

pub(super) fn session(number: u64) -> Record {
    let deal = Deal { session: number as u32, peer: "fe80::5".into() };
    let want = Want::new(Family::V6, 48).unwrap();
    Record::Session { number, deal, part: Part::Asker, want, void: Some(site(3)), over: number.is_multiple_of(2) }
}

pub(super) fn put(record: Record) -> Change<Record> {
    Change::Put(record)
}

pub(super) fn delete(record: Record) -> Change<Record> {
    Change::Delete(record)
}

pub(super) fn state(random: &mut impl Rng) -> State {
    let session = random.random();
    match random.random_range(0..11) {
        0 => State::Free,
        1 => State::Held(dealt(session)),
        2 => State::Offered(dealt(session)),
        3 => State::Granted(dealt(session)),
        4 => State::Accepting(dealt(session)),
        5 => State::Delegated(lease("client \"ü\"\n")),
        6 => State::Cooling(lease("b")),
        7 => State::Returning,
        8 => State::Doubt { dealt: dealt(session), way: Way::Out, reset: true },
        9 => State::Dry(dealt(session)),
        _ => State::Excluded,
    }
}

/// A record about one of few things, so that batches meet.
pub(super) fn record(random: &mut impl Rng) -> Record {
    let number = random.random_range(0..6);
    match random.random_range(0..6) {
        0 => Record::Life(random.random()),
        1 => {
            let sources = [Source::Manifest, Source::Operator, Source::Peer(*dealt(number))];
            let source = sources[random.random_range(0..3)].clone();
            Record::Aggregate {
                block: p(["10.0.0.0/8", "::/0"][number as usize % 2]),
                source,
                withdrawn: random.random(),
            }
        }
        2 => session(number.into()),
        3 => block(p(["10.0.0.0/9", "10.128.0.0/9", "0.0.0.0/0"][number as usize % 3]), state(random)),
        _ => block(site(number), state(random)),
    }
}

/// A batch that fits, of one to many changes; often several of one thing.
pub(super) fn batch(there: &BTreeSet<Record>, random: &mut impl Rng) -> Vec<Change<Record>> {
    let mut now = there.clone();
    let mut changes = Vec::new();
    for _ in 0..random.random_range(1..12) {
        let new = record(random);
        let same = now.iter().find(|old| about(old) == about(&new)).cloned();
        match same {
            Some(old) if old == new || random.random_bool(0.2) => {
                now.remove(&old);
                changes.push(delete(old));
            }
            Some(old) => {
                now.remove(&old);
                now.insert(new.clone());
                let pair = [delete(old), put(new)];
                // The new state may come in before the old one goes out.
                if random.random_bool(0.5) { changes.extend(pair) } else { changes.extend(pair.into_iter().rev()) }
            }
            None => {
                now.insert(new.clone());
                changes.push(put(new));
            }
        }
    }
    changes
}

pub(super) fn about(record: &Record) -> (u8, Option<Prefix>, u64) {
    match record {
        Record::Life(_) => (0, None, 0),
        Record::Aggregate { block, .. } => (1, Some(*block), 0),
        Record::Block { block, .. } => (2, Some(*block), 0),
        Record::Session { number, .. } => (3, None, *number),
    }
}

/// Waits for a future of the store.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(super) fn load(store: &SledStore) -> Vec<Record> {
    wait(async { store.load().await }).unwrap()
}

pub(super) fn commit(store: &SledStore, changes: Vec<Change<Record>>) -> Result<(), StoreError> {
    wait(async { store.commit(changes).await })
}

/// What the store in a directory holds.
pub(super) fn content(dir: &Path) -> Vec<Record> {
    load(&SledStore::open(dir, Options::default()).unwrap())
}

/// Copies a directory with everything in it.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
