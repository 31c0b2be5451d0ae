//! The free blocks of a pool with a million blocks out: what a step costs beside an ordered set of the same blocks, and
//! what the space itself takes in memory. Prints its results.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark fails loudly, prints its results, exports nothing, and measures real time"
)]

use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::space::Space;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Blocks that are out.
const LIVE: usize = 1_000_000;
/// Steps timed at once, for the clock costs about as much as one; and how many such rounds.
const ROUND: usize = 100;
const ROUNDS: usize = 2_000;
/// What a step may cost at the median, and a free block up to /64 in memory.
const ALLOWED: Duration = Duration::from_micros(2);
const ALLOWED_BYTES: f64 = 64.0;

fn want(length: u8) -> Want {
    Want::new(Family::V6, length).unwrap()
}

fn site(number: u128, length: u8) -> Prefix {
    Prefix::of(Ipv6Addr::from((0x2001_0db8 << 96) | (number << (128 - length))).into(), length).unwrap()
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

/// Median and 99th percentile of one step, in nanoseconds.
fn figures(mut rounds: Vec<Duration>) -> (f64, f64) {
    rounds.sort_unstable();
    let one = |round: Duration| round.as_nanos() as f64 / ROUND as f64;
    (one(rounds[rounds.len() / 2]), one(rounds[rounds.len() * 99 / 100]))
}

fn print(name: &str, rounds: Vec<Duration>) -> f64 {
    let (median, high) = figures(rounds);
    println!("  {name:<44} {median:>7.0} ns, 99 % of rounds under {high:>7.0} ns");
    median
}

/// Gives blocks back at random and takes as many again; and does the same to an ordered set of the same blocks.
fn churn(name: &str, space: &mut Space, mut live: Vec<Prefix>, random: &mut ChaCha8Rng) -> bool {
    let before = space.fragments(Family::V6);
    let mut baseline: BTreeSet<Prefix> = live.iter().copied().collect();
    let (mut frees, mut takes, mut removals, mut insertions) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let back: Vec<Prefix> = (0..ROUND).map(|_| live.swap_remove(random.random_range(0..live.len()))).collect();
        let begin = Instant::now();
        for block in &back {
            black_box(space.free(*block).unwrap());
        }
        frees.push(begin.elapsed());
        let begin = Instant::now();
        for block in &back {
            live.push(space.take(block.want()).unwrap().block);
        }
        takes.push(begin.elapsed());
        let begin = Instant::now();
        for block in &back {
            black_box(baseline.remove(block));
        }
        removals.push(begin.elapsed());
        let begin = Instant::now();
        for block in &live[live.len() - ROUND..] {
            black_box(baseline.insert(*block));
        }
        insertions.push(begin.elapsed());
    }
    println!("{name}: {} out, {before} free blocks before and {} after", live.len(), space.fragments(Family::V6));
    let (take, free) = (print("take", takes), print("free", frees));
    let insert = print("baseline: insert into a BTreeSet<Prefix>", insertions);
    let remove = print("baseline: remove from it", removals);
    println!("  take is {:.1} inserts, free {:.1} removals", take / insert, free / remove);
    take.max(free) <= ALLOWED.as_nanos() as f64
}

fn filled(lengths: &[u8], count: usize) -> (Space, Vec<Prefix>) {
    let mut space = Space::new();
    space.add(site(0, 32)).unwrap();
    let live = lengths.iter().cycle().take(count).map(|length| space.take(want(*length)).unwrap().block).collect();
    (space, live)
}

fn speed(random: &mut ChaCha8Rng) -> bool {
    let (mut space, live) = filled(&[56], LIVE);
    let mut met = churn("one /32, /56s taken in a row", &mut space, live, random);

    // Half of what was taken is back, at random: as many gaps as there can be.
    for (name, lengths) in
        [("one /32, /56s with gaps", [56, 56, 56]), ("one /32, /56s, /60s, /64s with gaps", [56, 60, 64])]
    {
        let (mut space, mut live) = filled(&lengths, 2 * LIVE);
        live.shuffle(random);
        live.drain(LIVE..).for_each(|block| drop(space.free(block).unwrap()));
        met &= churn(name, &mut space, live, random);
    }

    let mut space = Space::new();
    (0..100_000).for_each(|number| space.add(site(number, 52)).unwrap());
    let live: Vec<Prefix> = (0..LIVE).map(|_| space.take(want(56)).unwrap().block).collect();
    met &= churn("100 000 aggregates of /52, /56s", &mut space, live, random);
    met
}

fn extremes() {
    let mut space = Space::new();
    space.add("::/0".parse().unwrap()).unwrap();
    let (mut splits, mut joins) = (vec![], vec![]);
    for _ in 0..2_000 {
        let begin = Instant::now();
        let cut = space.take(want(128)).unwrap();
        splits.push(begin.elapsed() * ROUND as u32);
        let begin = Instant::now();
        black_box(space.free(cut.block).unwrap());
        joins.push(begin.elapsed() * ROUND as u32);
    }
    println!("::/0 alone");
    print("take a /128, 128 halvings", splits);
    print("free it, 128 joinings", joins);
}

/// Resident bytes for each of `count` blocks or aggregates.
fn memory(name: &str, count: usize, make: impl FnOnce(&mut Space)) -> f64 {
    let mut space = Space::new();
    let before = resident();
    make(&mut space);
    let each = (resident() - before) as f64 / count as f64;
    println!("  {name:<44} {each:>7.1} bytes");
    // What is dropped stays with the allocator and would hide the next figure.
    std::mem::forget(space);
    each
}

fn space_of_a_block(random: &mut ChaCha8Rng) -> bool {
    println!("memory for each free block");
    let enter = |space: &mut Space| space.enter(site(0, 32)).unwrap();
    let mut shuffled: Vec<Prefix> = (0..LIVE as u128).map(|number| site(2 * number, 56)).collect();
    let in_order = memory("a million /56s, back in order", LIVE, |space| {
        enter(space);
        (0..LIVE as u128).for_each(|number| drop(space.free(site(2 * number, 56)).unwrap()));
    });
    shuffled.shuffle(random);
    let at_random = memory("a million /56s, back at random", LIVE, |space| {
        enter(space);
        shuffled.iter().for_each(|block| drop(space.free(*block).unwrap()));
    });
    memory("a million /100s, back in order", LIVE, |space| {
        enter(space);
        (0..LIVE as u128).for_each(|number| drop(space.free(site(2 * number, 100)).unwrap()));
    });
    memory("a million IPv4 /32s, back in order", LIVE, |space| {
        space.enter("10.0.0.0/8".parse().unwrap()).unwrap();
        let address = |number| Ipv4Addr::from(0x0a00_0000 + 2 * number).into();
        (0..LIVE as u32).for_each(|number| drop(space.free(Prefix::of(address(number), 32).unwrap()).unwrap()));
    });
    println!("memory for each aggregate");
    memory("100 000 /52s, nothing free", 100_000, |space| {
        (0..100_000).for_each(|number| space.enter(site(number, 52)).unwrap());
    });
    memory("100 000 /52s, all free", 100_000, |space| {
        (0..100_000).for_each(|number| space.add(site(number, 52)).unwrap());
    });
    in_order.max(at_random) <= ALLOWED_BYTES
}

fn main() {
    let mut random = ChaCha8Rng::seed_from_u64(8992);
    let small = space_of_a_block(&mut random);
    let fast = speed(&mut random);
    extremes();
    println!("at most {ALLOWED:?} at the median: {}", if fast { "met" } else { "MISSED" });
    println!("at most {ALLOWED_BYTES} bytes for a free block up to /64: {}", if small { "met" } else { "MISSED" });
}
