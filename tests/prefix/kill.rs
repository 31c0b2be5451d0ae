//! An origin and two delegators that are killed again and again, at any moment, while clients take and give back blocks.
//!
//! `ASA_CRASH_ROUNDS` sets how often (9 by default); the figures are printed, so run it with `--nocapture`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use super::load::Load;
use super::node::{BOUND, Node, stop};
use super::union::{self, Union};
use crate::lab::{Child, in_namespaces, poll};

const STOCK: &str = "2001:db8::/32";
/// How long a client may wait for a node that has just been started.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the peers of a node may take to settle what its last death has left in doubt.
const REST: Duration = Duration::from_secs(240);

fn rounds() -> usize {
    std::env::var("ASA_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(9)
}

/// What the rounds have shown.
#[derive(Default)]
struct Seen {
    kills: usize,
    /// While it was starting.
    early: usize,
    /// From each new start of the process to the first answer to a client, by node.
    served: BTreeMap<&'static str, Vec<Duration>>,
    /// Lives in which no client was served.
    idle: usize,
    faults: Vec<String>,
}

/// Kills a node and starts it again, until all rounds are over; returns it running.
fn batter(node: &Node, load: &Load, left: &AtomicUsize, seed: u64, seen: &Mutex<Seen>) -> Child {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let mut child = node.spawn();
    let mut began = Instant::now();
    let mut before = load.served();
    let mut lives = 0;
    loop {
        lives += 1;
        // Some die before they serve.
        let early = random.random_range(0..5) == 0;
        if !early {
            match load.wait_served(before, PATIENCE) {
                // Before its first one it has nothing, and has to ask others.
                Some(passed) if lives > 1 => {
                    let took = began.elapsed().max(passed);
                    seen.lock().unwrap().served.entry(node.name).or_default().push(took);
                }
                Some(_) => {}
                // Whom it could ask is dead most of the time too.
                None => seen.lock().unwrap().idle += 1,
            }
        }
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            return child;
        }
        let within = match random.random_range(0..3) {
            _ if early => 0..400,
            // Long enough to find others and to ask them.
            0 => 1_000..5_000,
            _ => 0..900,
        };
        thread::sleep(Duration::from_millis(random.random_range(within)));
        child.signal(Signal::SIGKILL);
        child.finish(BOUND);
        // A delegator may die before it has made its store.
        let fault = node.faults().filter(|fault| load.served() > 0 || !fault.contains("there is no store"));
        {
            let mut seen = seen.lock().unwrap();
            seen.kills += 1;
            seen.early += usize::from(early);
            seen.faults.extend(fault);
        }
        before = load.served();
        began = Instant::now();
        child = node.spawn();
    }
}

/// What is still between two nodes.
fn open(nodes: &[Node]) -> Vec<String> {
    let states = ["held", "offered", "accepting", "returning", "in-doubt"];
    let of = |node: &Node| {
        let blocks = node.blocks(&states);
        blocks.into_iter().map(|(block, state)| format!("{}: {block}: {state}", node.name)).collect::<Vec<_>>()
    };
    nodes.iter().flat_map(of).collect()
}

/// PM-S-01, PM-S-02, PM-S-03, PM-S-04, PM-S-12, PM-S-15, PM-S-18: whatever dies whenever, each store is sound, nothing
/// acknowledged is lost, nothing is at two nodes, and all doubts are settled by the nodes themselves.
#[test]
fn nothing_is_lost_and_nothing_is_given_twice_by_kill_9() {
    in_namespaces(|lab| {
        let hosts = lab.lan(3);
        let state = tempfile::tempdir().unwrap();
        let stock = format!("prefixes=[\"{STOCK}\"]");
        // Small requests, so that many negotiations are under way when something dies.
        let small = ["ipv6_ask=62", "ipv6_need=8"];
        // What is released there stays out of use for long, and has to be remembered so.
        let lasting = [&stock, "preferred_s=43200", "valid_s=86400"];
        let nodes = [
            Node::new(&hosts[0], "origin", "origin", state.path(), &lasting),
            Node::new(&hosts[1], "edge", "delegator", state.path(), &small),
            Node::new(&hosts[2], "rim", "delegator", state.path(), &small),
        ];
        nodes[0].init();
        let begun = Instant::now();
        let (left, seen) = (AtomicUsize::new(rounds()), Mutex::new(Seen::default()));
        let loads: Vec<Load> = (1..).zip(&nodes).map(|(seed, node)| Load::start(node, 3, seed)).collect();
        let children: Vec<Child> = thread::scope(|scope| {
            let run = |(seed, (node, load))| {
                let (left, seen) = (&left, &seen);
                scope.spawn(move || batter(node, load, left, seed, seen))
            };
            let threads: Vec<_> = (1..).zip(nodes.iter().zip(&loads)).map(run).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let battered = begun.elapsed();
        let notes: Vec<_> = loads.into_iter().map(Load::end).collect();
        let begun = Instant::now();
        poll("no doubts are left", REST, || {
            thread::sleep(Duration::from_millis(200));
            let open = open(&nodes);
            assert!(begun.elapsed() + Duration::from_secs(2) < REST, "{}", open.join("\n"));
            open.is_empty().then_some(())
        });
        let rested = begun.elapsed();
        children.iter().for_each(stop);

        let mut seen = seen.into_inner().unwrap();
        seen.faults.extend(nodes.iter().filter_map(Node::faults));
        let union: Union = nodes.iter().map(|node| (node.name, node.records())).collect();
        let lost: Vec<String> =
            nodes.iter().zip(&notes).flat_map(|(node, notes)| union::lost(&union[node.name], notes)).collect();
        let sum = |of: fn(&super::load::Notes) -> u64| notes.iter().map(of).sum::<u64>();
        println!(
            "{} kills in {battered:.0?} ({} before the node served, {} after it had served nobody for {PATIENCE:?}), {} grants and {} releases acknowledged to clients, {} \
             repeated, {} unanswered, {} lost; {} blocks moved between nodes; at rest after {rested:.1?}",
            seen.kills,
            seen.early,
            seen.idle,
            sum(|notes| notes.grants),
            sum(|notes| notes.releases),
            sum(|notes| notes.repeated),
            sum(|notes| notes.unanswered),
            lost.len(),
            union::moved(&union),
        );
        for (name, times) in &mut seen.served {
            times.sort_unstable();
            let at = |part: usize| times[(times.len() - 1) * part / 100];
            let (middle, most, worst) = (at(50), at(95), at(100));
            println!("{name}: from start to serving a client: median {middle:.0?}, 95 % {most:.0?}, worst {worst:.0?}");
        }
        let mut refusals: BTreeMap<String, u64> = BTreeMap::new();
        for (why, count) in notes.iter().flat_map(|notes| &notes.refusals) {
            *refusals.entry(why.clone()).or_default() += count;
        }
        println!("refusals: {refusals:?}");
        let faults = [seen.faults, union::faults(&union, &[STOCK.parse().unwrap()]), lost].concat();
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
        assert!(sum(|notes| notes.grants) as usize > 2 * seen.kills, "too little was at stake");
        assert!(union::moved(&union) > 3, "the nodes have had nothing to do with each other");
    });
}
