//! Blocks in the hands of clients, and the clocks.

use super::bench::*;
use asa_framework::machine::Machine;
use asa_prefix::pool::{Answer, Lifetimes, PoolError, Request};
use asa_prefix::prefix::Prefix;

/// A block is nobody else's until the client, who counts from when it hears of it, has certainly stopped using it.
const GRACE: u64 = 15;

fn lease(client: &str, valid: Option<u32>) -> Request {
    let lifetimes = valid.map(|valid| Lifetimes { preferred: valid / 2, valid });
    Request::Delegate { client: client.into(), want: want(60), lifetimes }
}

fn give(block: Prefix, unused: bool) -> Request {
    Request::GiveBack { client: "c".into(), block, unused }
}

/// PM-S-12: one step; who asks again gets the same.
#[test]
fn a_client_that_asks_again_gets_the_same_block() {
    let mut bench = Bench::new(plan());
    let id = bench.send(lease("c", None));
    bench.fail(true);
    assert!(matches!(bench.replies.remove(&id), Some(Err(PoolError::Store(_)))));
    bench.recover();
    let block = bench.block(lease("c", None));
    assert_eq!(bench.free(), (256 - 16) << 64, "the one that it never heard of");
    bench.restart();
    assert_eq!(bench.block(lease("c", Some(9))), block);
    assert_ne!(bench.block(lease("d", None)), block);
    let longer = Request::Delegate { client: "c".into(), want: want(61), lifetimes: None };
    assert_eq!(bench.block(longer).length(), 61);
    assert!(bench.ask(Request::GiveBack { client: "d".into(), block, unused: false }).is_err());
}

/// PM-S-13, PM-D-05: a block given back cools until the client's valid lifetime has passed, through restarts.
#[test]
fn a_block_given_back_cools_until_its_lifetime_has_passed() {
    let mut bench = Bench::new(plan());
    let block = bench.block(lease("c", Some(100)));
    bench.spend(40);
    bench.ask(give(block, false)).unwrap();
    assert_eq!(bench.ended, [block]);
    bench.ask(give(block, false)).unwrap();
    assert_eq!((bench.name(block), bench.ended.len()), ("cooling", 1));
    assert_ne!(bench.block(lease("c", Some(10))), block);
    bench.spend(30);
    bench.restart();
    bench.spend(29 + GRACE);
    assert_eq!(bench.name(block), "cooling");
    bench.spend(1);
    assert_eq!(bench.name(block), "free");
    assert!(bench.ask(give(block, false)).is_err());
    let forever = bench.block(lease("e", None));
    bench.ask(Request::GiveBack { client: "e".into(), block: forever, unused: false }).unwrap();
    assert_eq!(bench.name(forever), "free", "it was promised no end");
    let unheard = bench.block(lease("c", Some(100)));
    bench.ended.clear();
    bench.ask(give(unheard, true)).unwrap();
    assert_eq!((bench.name(unheard), bench.ended.len()), ("free", 0), "nothing was set up for it");
}

/// PM-S-22: after another boot the whole span begins anew, once; the wall clock decides nothing.
#[test]
fn a_lifetime_begins_anew_with_another_boot() {
    let mut bench = Bench::new(plan());
    let (kept, cooling) = (bench.block(lease("d", Some(100))), bench.block(lease("c", Some(100))));
    bench.ask(give(cooling, false)).unwrap();
    bench.spend(90);
    bench.reboot();
    bench.spend(60);
    bench.restart();
    bench.wall = 0;
    bench.spend(39 + GRACE);
    assert_eq!((bench.name(kept), bench.name(cooling)), ("delegated", "cooling"));
    bench.wall = u32::MAX;
    bench.spend(1);
    assert_eq!((bench.name(kept), bench.name(cooling)), ("free", "free"));
}

/// PM-S-22, PM-D-05: a renewal counts, also that of a lease from before the last boot; the old end means nothing then.
#[test]
fn a_renewal_moves_the_end() {
    let mut bench = Bench::new(plan());
    let block = bench.block(lease("c", Some(100)));
    bench.spend(10);
    bench.reboot();
    bench.spend(50);
    assert_eq!(bench.block(lease("c", Some(1000))), block);
    bench.spend(999 + GRACE);
    assert_eq!(bench.name(block), "delegated");
    bench.spend(1);
    assert_eq!((bench.name(block), bench.ended.as_slice()), ("free", [block].as_slice()));
    let block = bench.block(lease("c", Some(100)));
    bench.block(lease("c", Some(1)));
    bench.spend(99 + GRACE);
    assert_eq!(bench.name(block), "delegated", "it may not have heard of the earlier end");
    bench.block(lease("c", None));
    bench.spend(1_000_000);
    assert_eq!((bench.name(block), bench.core.deadline()), ("delegated", None));
    // An old end does not reach the next owner of the same block.
    let short = bench.block(lease("x", Some(100)));
    bench.ask(Request::GiveBack { client: "x".into(), block: short, unused: true }).unwrap();
    assert_eq!(bench.block(lease("y", Some(500))), short);
    bench.spend(499 + GRACE);
    assert_eq!(bench.name(short), "delegated");
}

/// PM-D-05: a lease ends by itself; the time in suspension counts as soon as anybody asks.
#[test]
fn a_lease_ends_by_itself() {
    let mut bench = Bench::new(plan());
    let block = bench.block(lease("c", Some(100)));
    assert_eq!(bench.core.deadline().unwrap().since(bench.now).as_secs(), 100 + GRACE);
    bench.booted = asa_framework::machine::Time::default();
    bench.now = bench.now + std::time::Duration::from_secs(100 + GRACE);
    assert_eq!(bench.ask(Request::Census).map(|_| ()), Ok(()));
    assert_eq!((bench.name(block), bench.ended.as_slice()), ("free", [block].as_slice()));
    let extreme = bench.block(lease("c", Some(u32::MAX)));
    bench.reboot();
    assert_eq!(bench.name(extreme), "delegated");
    assert!(bench.core.deadline().is_some());
}

/// Who sets blocks up hears of every end, also of one that was written although the disk said otherwise.
#[test]
fn the_end_of_a_block_is_told_when_it_is_written() {
    for made in [true, false] {
        let mut bench = Bench::new(plan());
        let block = bench.block(lease("c", Some(100)));
        let id = bench.send(give(block, false));
        assert_eq!(bench.ended, []);
        bench.fail(made);
        assert!(bench.replies.remove(&id).unwrap().is_err());
        bench.recover();
        assert_eq!((bench.name(block), bench.ended.len()), if made { ("cooling", 1) } else { ("delegated", 0) });
        assert_eq!(bench.ask(give(block, false)), Ok(Answer::Done));
        assert_eq!(bench.ended, [block]);
    }
}

/// PM-D-05: a client that would hear of its lifetime too late is told to ask again, and then has all of it.
#[test]
fn a_lifetime_is_told_promptly_or_not_at_all() {
    let mut bench = Bench::new(plan());
    let late = bench.send(lease("c", Some(100)));
    bench.pass(std::time::Duration::from_secs(5));
    bench.settle();
    assert!(matches!(bench.replies.remove(&late), Some(Err(PoolError::Store(_)))));
    let block = bench.block(lease("c", Some(100)));
    bench.spend(99 + GRACE);
    assert_eq!(bench.name(block), "delegated");
    bench.spend(1);
    assert_eq!(bench.name(block), "free");
}
