//! What the pool costs: time for each delegation, and memory for each delegated block.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use asa_framework::machine::{Machine, Time};
use asa_framework::roles::store::{MemStore, Store};
use asa_prefix::pool::record::{Record, State};
use asa_prefix::pool::{Answer, Input, Lifetimes, Output, PoolCore, PoolPlan, Request, Stamp};
use asa_prefix::prefix::{Family, Want};
use futures_util::FutureExt;
use std::time::Duration;

/// The memory that the process occupies, in bytes.
fn occupied() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

struct Bench {
    core: PoolCore,
    /// `None`: the disk says yes, and keeps nothing that would be measured too.
    store: Option<MemStore<Record>>,
    now: Time,
    asked: u64,
}

const STAMP: Stamp = Stamp { wall: 1, uptime: 1, boot: 1 };

impl Bench {
    fn new(store: Option<MemStore<Record>>) -> Self {
        let plan = PoolPlan { initial: vec!["2001:db8::/32".parse().unwrap()], ..PoolPlan::default() };
        let mut bench = Self { core: PoolCore::new(plan), store, now: Time(Duration::from_secs(1)), asked: 0 };
        bench.feed(Input::Started(STAMP));
        bench
    }

    fn feed(&mut self, input: Input) -> Option<Answer> {
        let mut answer = None;
        let mut next = Some(input);
        while let Some(input) = next.take() {
            self.core.handle(self.now, input);
            while let Some(output) = self.core.poll() {
                match output {
                    Output::Load => {
                        let records =
                            self.store.as_ref().map_or_else(|| Ok(vec![]), |s| s.load().now_or_never().unwrap());
                        next = Some(Input::Loaded(records));
                    }
                    Output::Commit(changes) => {
                        let result = self.store.as_ref().map_or(Ok(()), |s| s.commit(changes).now_or_never().unwrap());
                        next = Some(Input::Committed(result));
                    }
                    Output::Reply(_, reply) => answer = Some(reply.unwrap()),
                    Output::Level(_) | Output::Ended(_) | Output::Alarm(_) => {}
                }
            }
        }
        answer
    }

    fn ask(&mut self, request: Request) -> Answer {
        self.asked += 1;
        self.feed(Input::Asked(self.asked, STAMP, request)).unwrap()
    }

    fn delegate(&mut self, client: u64) -> Answer {
        // As long as the usual identifier of a DHCPv6 client, in text.
        let client = format!("00030001{client:012x}/1");
        let want = Want { family: Family::V6, length: 56 };
        self.ask(Request::Delegate { client, want, lifetimes: Some(Lifetimes { preferred: 3600, valid: 7200 }) })
    }
}

/// What each block costs in memory alone, without the core's other tables.
fn states() -> usize {
    size_of::<State>() + size_of::<asa_prefix::prefix::Prefix>()
}

fn main() {
    let clock = tokio::time::Instant::now;
    let mut bench = Bench::new(Some(MemStore::default()));
    for (what, count) in [("new", 10_000), ("renewed", 10_000)] {
        let begin = clock();
        for client in 0..count {
            bench.delegate(client);
        }
        println!("{count} delegations, {what}: {:.2} µs each", begin.elapsed().as_secs_f64() * 1e6 / count as f64);
    }
    drop(bench);
    let blocks = 1_000_000;
    let mut bench = Bench::new(None);
    let before = occupied();
    let begin = clock();
    for client in 0..blocks {
        bench.delegate(client);
    }
    let each = (occupied() - before) as f64 / blocks as f64;
    println!("{blocks} blocks: {each:.0} bytes each ({} in the table itself)", states());
    println!("the last of them: {:.2} µs each", begin.elapsed().as_secs_f64() * 1e6 / blocks as f64);
    let begin = clock();
    let Answer::Records(records) = bench.ask(Request::Records) else { return };
    println!("all records: {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
    let begin = clock();
    let mut again = PoolCore::new(PoolPlan::default());
    again.handle(bench.now, Input::Started(STAMP));
    again.handle(bench.now, Input::Loaded(Ok(records)));
    println!("read again: {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
}
