//! What operators order.

use super::bench::*;
use asa_prefix::pool::record::{Record, State};
use asa_prefix::pool::{Answer, Planned, PoolError, PoolPlan, Request};

const WHOLE: &str = "2001:db8::/56";

fn names(bench: &mut Bench) -> Vec<(String, &'static str)> {
    bench.blocks().into_iter().map(|(block, state)| (block.to_string(), state.name())).collect()
}

/// A plan comes in as a whole or not at all.
#[test]
fn an_import_is_all_or_nothing() {
    let mut bench = Bench::new(plan());
    let before = bench.records();
    let delegated = |block| Planned::Delegated { block: p(block), client: "c".into() };
    let granted = |block| Planned::Granted { block: p(block), peer: "fe80::7".into() };
    let aggregate = |block| Planned::Aggregate(p(block));
    for (wrong, problem) in [
        (vec![aggregate("2001:db8:1::/48"), aggregate("2001:db8:1:1::/64")], "overlap"),
        (vec![aggregate("2001:db8:1::/48"), delegated("2001:db8:1::/64"), granted("2001:db8:1::/60")], "overlap"),
        (vec![aggregate("2001:db8:1::/48"), aggregate("2001:db8::/48")], "overlaps 2001:db8::/56"),
        (vec![aggregate("2001:db8:1::/48"), delegated("2001:db8:2::/64")], "not free"),
        (vec![delegated("2001:db8::/55")], "not free"),
    ] {
        let refused = bench.ask(Request::Import(wrong)).unwrap_err().to_string();
        assert!(refused.contains(problem), "{refused}");
        assert_eq!(bench.records(), before);
    }
    bench
        .ask(Request::Import(vec![
            delegated("2001:db8:1:1::/64"),
            aggregate("2001:db8:1::/62"),
            granted("2001:db8:0:80::/57"),
            Planned::Excluded(p("2001:db8:1:2::/63")),
        ]))
        .unwrap();
    bench.restart();
    let expected = [
        ("2001:db8::/57", "free"),
        ("2001:db8:0:80::/57", "granted"),
        ("2001:db8:1::/64", "free"),
        ("2001:db8:1:1::/64", "delegated"),
        ("2001:db8:1:2::/63", "excluded"),
    ];
    assert_eq!(names(&mut bench), expected.map(|(block, name)| (block.to_owned(), name)));
    bench.ask(Request::GiveBack { client: "c".into(), block: p("2001:db8:1:1::/64"), unused: false }).unwrap();
    let granted = p("2001:db8:0:80::/57");
    assert!(bench.ask(Request::TakeBack { session: 0, block: granted }).is_err(), "PM-T-04: there was no negotiation");
    bench.ask(Request::Reclaim(granted)).unwrap();
    assert!(bench.ask(Request::Reclaim(granted)).is_err());
    assert_eq!(bench.free(), (256 + 2) << 64);
}

/// PM-D-07: what is excluded is out of use, as far as it was free; a part can be brought back.
#[test]
fn excluding_keeps_out_of_use_what_is_free() {
    let mut bench = Bench::new(plan());
    let used = bench.block(Request::Delegate { client: "c".into(), want: want(60), lifetimes: None });
    let Ok(Answer::Blocks(in_use, false)) = bench.ask(Request::Exclude(used.parent().unwrap())) else { panic!() };
    assert_eq!(in_use.iter().map(|(block, _)| *block).collect::<Vec<_>>(), [used]);
    assert_eq!(bench.name(used.buddy().unwrap()), "excluded");
    bench.ask(Request::Exclude(p("2001:db8::/60"))).unwrap();
    bench.restart();
    assert_eq!(bench.free(), (256 - 48) << 64);
    assert_eq!(bench.ask(Request::Exclude(p("2001:db8:7::/48"))), Ok(Answer::Blocks(vec![], false)));
    let inner = p("2001:db8:0:3::/64");
    assert_eq!(bench.ask(Request::Include(inner)), Ok(Answer::Blocks(vec![(inner, State::Free)], false)));
    assert_eq!((bench.name(inner), bench.free()), ("free", (256 - 47) << 64));
    let Ok(Answer::Blocks(freed, false)) = bench.ask(Request::Include(p(WHOLE))) else { panic!() };
    assert_eq!((freed.len(), bench.free()), (5, (256 - 16) << 64));
    bench.ask(Request::GiveBack { client: "c".into(), block: used, unused: false }).unwrap();
    assert_eq!(names(&mut bench), [(WHOLE.to_owned(), "free")]);
}

/// PM-D-07: what the plan excludes is never offered, whenever it becomes free or comes in.
#[test]
fn what_the_plan_excludes_is_never_offered() {
    let exclude = vec![p("2001:db8:0:ff::/64"), p("2001:db8:1:1::/64"), p("2001:db8:2::/48")];
    let mut bench = Bench::new(plan());
    let used = bench.block(Request::Delegate { client: "c".into(), want: want(60), lifetimes: None });
    assert!(used.contains(&exclude[0]), "the highest goes first");
    bench.plan.exclude = exclude.clone();
    bench.restart();
    bench.ask(Request::GiveBack { client: "c".into(), block: used, unused: false }).unwrap();
    bench.acquired(1, "2001:db8:1::/60");
    bench
        .ask(Request::Import(vec![
            Planned::Aggregate(p("2001:db8:2:8::/62")),
            Planned::Delegated { block: p("2001:db8:2:9::/64"), client: "d".into() },
        ]))
        .unwrap();
    for block in [exclude[0], exclude[1], p("2001:db8:2:8::/64"), p("2001:db8:2:a::/63")] {
        assert_eq!(bench.name(block), "excluded");
    }
    assert_eq!(bench.name(p("2001:db8:2:9::/64")), "delegated", "the plan of addresses knows better");
    bench.ask(Request::Include(exclude[0])).unwrap();
    assert_eq!(bench.name(exclude[0]), "free", "an operator knows better, until the next life");
    bench.restart();
    assert_eq!(bench.name(exclude[0]), "excluded");
}

/// PM-T-06: free parts go at once, the rest as it becomes free; then the aggregate is gone.
#[test]
fn a_withdrawn_aggregate_drains_and_goes() {
    let mut bench = Bench::new(PoolPlan { initial: vec![p(WHOLE), p("2001:db8:1::/56")], ..plan() });
    let client = bench.block(Request::Delegate { client: "c".into(), want: want(64), lifetimes: None });
    let (granted, home) = (bench.offered(1, 64), p("2001:db8:1::/56"));
    bench.ask(Request::Confirm(deal(1))).unwrap();
    let held = bench.block(hold(2, 64));
    assert!([client, granted, held].iter().all(|block| home.contains(block)));
    let part = bench.ask(Request::Withdraw(client)).unwrap_err().to_string();
    assert!(part.contains(&format!("a part of {home}")), "{part}");
    assert!(bench.ask(Request::Withdraw(p("2001:db8:9::/48"))).is_err());
    let Ok(Answer::Blocks(used, false)) = bench.ask(Request::Withdraw(home)) else { panic!() };
    assert_eq!((used.len(), bench.free()), (3, 256 << 64));
    bench.ask(Request::GiveBack { client: "c".into(), block: client, unused: false }).unwrap();
    assert_eq!(bench.ask(Request::Include(home)), Ok(Answer::Blocks(vec![], false)), "withdrawn is withdrawn");
    bench.ask(Request::TakeBack { session: 1, block: granted }).unwrap();
    assert_eq!(bench.free(), 256 << 64);
    let aggregate = |bench: &Bench| bench.disk.iter().filter(|r| matches!(r, Record::Aggregate { .. })).count();
    assert_eq!(aggregate(&bench), 2);
    bench.ask(Request::Release(deal(2))).unwrap();
    assert_eq!((aggregate(&bench), names(&mut bench).len()), (1, 1));
    bench.restart();
    assert_eq!((aggregate(&bench), bench.free()), (1, 256 << 64), "PM-S-15: nothing comes back");
    bench.ask(Request::Withdraw(p(WHOLE))).unwrap();
    assert_eq!((aggregate(&bench), bench.blocks()), (0, vec![]));
}

/// PM-T-06: what was held when its aggregate was withdrawn does not keep it after a restart.
#[test]
fn a_restart_drains_too() {
    let mut bench = Bench::new(plan());
    bench.block(hold(1, 64));
    bench.ask(Request::Withdraw(p(WHOLE))).unwrap();
    bench.restart();
    assert!(!bench.disk.iter().any(|record| matches!(record, Record::Aggregate { .. })), "{:?}", bench.disk);
}

/// PM-T-03, PM-T-06: what came from a peer is handed back when it is drained.
#[test]
fn a_withdrawn_aggregate_of_a_peer_is_handed_back() {
    let mut bench = Bench::new(PoolPlan { initial: vec![], ..plan() });
    let home = bench.acquired(1, "2001:db8:1::/60");
    let used = bench.block(Request::Delegate { client: "c".into(), want: want(62), lifetimes: None });
    bench.ask(Request::Withdraw(home)).unwrap();
    assert!(bench.ask(Request::Return(home)).unwrap_err().to_string().contains("is delegated"));
    bench.ask(Request::GiveBack { client: "c".into(), block: used, unused: false }).unwrap();
    assert_eq!(bench.free(), 0);
    bench.ask(Request::Return(home)).unwrap();
    bench.ask(Request::Returned { block: home, gone: false }).unwrap();
    assert_eq!(bench.free(), 0, "it is still withdrawn");
    bench.restart();
    bench.ask(Request::Return(home)).unwrap();
    bench.ask(Request::Returned { block: home, gone: true }).unwrap();
    assert_eq!((bench.blocks(), bench.census().aggregates), (vec![], vec![]));
}

/// PM-S-15: the initial pool is taken in once, whatever the manifest says later.
#[test]
fn the_initial_pool_is_taken_in_once() {
    let mut bench = Bench::stopped(plan());
    bench.start();
    bench.step();
    bench.fail(true);
    bench.recover();
    assert_eq!(bench.free(), 256 << 64);
    bench.ask(Request::Withdraw(p(WHOLE))).unwrap();
    bench.plan.initial.push(p("2001:db8:1::/48"));
    bench.restart();
    assert_eq!((bench.free(), bench.census().lives), (0, 3), "a life for each attempt");
    let overlapping = PoolPlan { initial: vec![p(WHOLE), p("2001:db8::/64")], ..plan() };
    let mut bench = Bench::new(overlapping);
    assert_eq!(bench.free(), 256 << 64);
    assert!(bench.alarms.iter().any(|alarm| alarm.contains("2001:db8::/64 overlaps")), "{:?}", bench.alarms);
}

/// All of IPv6 is a pool like any other.
#[test]
fn the_whole_of_a_family_is_counted() {
    let mut bench = Bench::new(PoolPlan { initial: vec![p("::/0"), p("0.0.0.0/0")], ..plan() });
    assert_eq!(bench.free(), u128::MAX);
    let half = bench.offered(1, 1);
    bench.ask(Request::Confirm(deal(1))).unwrap();
    bench.restart();
    assert_eq!((bench.free(), half), (1 << 127, p("8000::/1")));
    bench.ask(Request::TakeBack { session: 1, block: half }).unwrap();
    assert_eq!(bench.free(), u128::MAX);
    // One address less is noticed.
    let single = bench.block(hold(2, 128));
    bench.ask(Request::Census).unwrap();
    bench.disk.retain(|record| !matches!(record, Record::Block { block, .. } if *block == single));
    bench.restart();
    assert!(bench.census().trouble.is_some());
    let mut bench = Bench::new(PoolPlan { initial: vec![p("::/0")], ..plan() });
    bench.ask(Request::Withdraw(p("::/0"))).unwrap();
    assert_eq!((bench.free(), bench.blocks()), (0, vec![]));
}

/// Lists come in pieces, in order, with free blocks among the others.
#[test]
fn blocks_are_listed_in_pieces() {
    let mut bench = Bench::new(plan());
    for session in 0..5 {
        bench.offered(session, 64);
    }
    let all = bench.blocks();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let Ok(Answer::Blocks(some, more)) =
            bench.ask(Request::Blocks { after, within: None, states: vec![], limit: 2 })
        else {
            panic!()
        };
        after = some.last().map(|(block, _)| *block);
        found.extend(some);
        if !more {
            break;
        }
    }
    assert_eq!(found, all);
    let within = Some(p("2001:db8:0:fc::/62"));
    let states = vec!["offered".to_owned()];
    let Ok(Answer::Blocks(some, false)) = bench.ask(Request::Blocks { after: None, within, states, limit: 100 }) else {
        panic!()
    };
    assert_eq!(some.len(), 4);
    assert!(matches!(bench.ask(Request::Returned { block: p(WHOLE), gone: true }), Err(PoolError::State(_))));
}
