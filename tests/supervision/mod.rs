//! The program under fault drills and SIGKILL, in namespaces: what its peers see, what its status says, how fast it is back.
//!
//! `ASA_DRILL_ROUNDS` sets how often each role is hit (2 by default, 10 for the figures in `BENCHMARKS.md`); the table of
//! recovery times is printed, so run it with `--nocapture`.

mod ends;
mod node;

use std::time::Duration;

use crate::lab::in_namespaces;
use ends::{Ends, conclude};
use node::Running;

/// Grays that negotiate meanwhile.
const GRAYS: usize = 20;
/// The actors of the node itself, but for `node`, which is the last since it takes the agents' sessions along when it falls twice.
const NODE: [&str; 7] = ["discovery", "flood", "interfaces", "link e0", "objective EX3", "reception", "node"];
/// How long everything may take to begin or to settle.
const SOON: Duration = Duration::from_secs(30);

fn rounds() -> usize {
    std::env::var("ASA_DRILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(2)
}

/// A bank whose restarts are counted over a second only, so that each fault of a long drill is a first one.
fn bank() -> String {
    "[node]\nname = 'bank'\n[control]\ndrills = true\n[grasp]\nsubstrate = 'insecure-lab'\nexperimental_objectives = true\n\
     link_local_locators = true\n[asa.briggs]\nclass = 'briggs'\n[asa.briggs.restart]\nwithin_ms = 1000\n\
     [asa.briggs.parameters]\npace = 'fast'\nwait_min_ms = 20000\nwait_max_ms = 30000\n[supervision]\nwithin_ms = 1000\nrebuilds = 1000\n"
        .to_owned()
}

fn customers() -> String {
    let mut text = "[node]\nname = 'customers'\n[grasp]\nsubstrate = 'insecure-lab'\nexperimental_objectives = true\n\
                    link_local_locators = true\n"
        .to_owned();
    for number in 0..GRAYS {
        text += &format!("[asa.gray{number}]\nclass = 'gray'\n[asa.gray{number}.parameters]\npace = 'fast'\n");
    }
    text
}

/// ASA-R-01, ASA-M-04, ASA-M-08: each role of the bank falls again and again while twenty customers negotiate: they see
/// nothing but accepted, declined and repeated sessions, and the status counts every fall.
#[test]
fn every_role_falls_under_load_and_no_session_is_left_hanging() {
    in_namespaces(|lab| {
        lab.lan(2);
        let bank = Running::start(&lab.get("h1"), "bank", &bank());
        let customers = Running::start(&lab.get("h2"), "customers", &customers());
        let first = ends::wait_for(&customers, 20, SOON);
        assert!(first.ended >= 20, "{first:?}");

        let mut table = Vec::new();
        for role in ["negotiator", "flooder", "server"] {
            for fault in ["panic", "stop"] {
                let mut times = Vec::new();
                for _ in 0..rounds() {
                    std::thread::sleep(Duration::from_millis(1100));
                    times.push(bank.drill("briggs", role, fault));
                }
                table.push((format!("briggs/{role} {fault}"), times));
            }
        }
        let falls = u64::try_from(rounds() * 2).unwrap();
        let status = bank.status();
        for role in ["negotiator", "flooder", "server"] {
            let child = node::child(&status, "briggs", role);
            assert!(child["restarts"].as_u64().unwrap() >= falls, "{child}");
        }
        // Those that were started later are restarted with it, the earlier ones are not.
        assert_eq!(node::child(&status, "briggs", "negotiator")["restarts"], falls);
        assert_eq!(status["escalations"], 0, "{status}");
        for actor in NODE {
            let mut times = Vec::new();
            for _ in 0..rounds() {
                std::thread::sleep(Duration::from_millis(1100));
                times.push(bank.drill("node", actor, "panic"));
            }
            table.push((format!("node/{actor} panic"), times));
        }
        for (what, times) in &mut table {
            times.sort_by(f64::total_cmp);
            let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
            println!("{what:28} {} times: median {median:6.1} ms, worst {worst:6.1} ms", times.len());
            // 125 ms of pause at most, and what a busy machine adds.
            assert!(median < 250.0, "{what}: {median} ms");
        }
        let status = bank.status();
        for actor in NODE {
            let child = node::child(&status, "node", actor);
            assert!(child["restarts"].as_u64().unwrap() >= u64::try_from(rounds()).unwrap(), "{child}");
        }

        let before = Ends::of(&customers).accepted;
        let after = ends::wait_until(&customers, SOON, |ends| ends.accepted > before + 5);
        assert!(after.accepted > before, "nobody is served any more: {after:?}");
        bank.stop();
        customers.stop();
        let seen = conclude(&customers, false);
        println!("the customers saw {seen:?}");
        assert!(seen.unexplained.is_empty(), "{:?}", seen.unexplained);
    });
}

/// ASA-M-03, ASA-R-10: a role whose thread blocks is found and built anew on another thread; a second blocked thread ends
/// the process with exit code 70, so that the service manager starts a new one.
#[test]
fn a_blocked_thread_is_replaced_once_and_the_second_ends_the_process() {
    in_namespaces(|lab| {
        lab.lan(2);
        let bank = Running::start(&lab.get("h1"), "bank", &bank());
        let customers = Running::start(&lab.get("h2"), "customers", &customers());
        ends::wait_for(&customers, 5, SOON);
        let took = bank.drill("briggs", "negotiator", "hang");
        println!("briggs/negotiator hang: back after {took:.0} ms");
        assert!(took < 10_500.0, "{took}");
        let status = bank.status();
        assert_eq!((&status["abandoned_threads"], &status["health"]["readiness"]), (&1.into(), &"degraded".into()));
        let before = Ends::of(&customers).ended;
        assert!(ends::wait_until(&customers, SOON, |ends| ends.ended > before + 10).ended > before);
        bank.command(&serde_json::json!({
            "command": "drill", "role": "negotiator", "fault": "hang", "instance": "briggs", "count": 1
        }));
        assert_eq!(bank.exit_code(SOON), Some(70));
        customers.stop();
        let seen = conclude(&customers, true);
        assert!(seen.unexplained.is_empty(), "{:?}", seen.unexplained);
    });
}

/// ASA-L-12, ASA-R-16: the bank's process is killed and started again, over and over, as a service manager would: the customers
/// see lost connections, try again, and are served by the next process.
#[test]
fn a_killed_process_is_followed_by_one_that_serves() {
    in_namespaces(|lab| {
        lab.lan(2);
        let host = lab.get("h1");
        let mut bank = Running::start(&host, "bank", &bank());
        let customers = Running::start(&lab.get("h2"), "customers", &customers());
        let mut times = Vec::new();
        for _ in 0..rounds() {
            let before = Ends::of(&customers).accepted;
            ends::wait_until(&customers, SOON, |ends| ends.accepted > before + 3);
            let begun = std::time::Instant::now();
            bank.kill();
            let accepted = Ends::of(&customers).accepted;
            bank = Running::start(&host, "bank", &self::bank());
            let after = ends::wait_until(&customers, SOON, |ends| ends.accepted > accepted + 1);
            assert!(after.accepted > accepted + 1, "nobody is served after the kill: {after:?}");
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{:28} {} times: median {median:6.1} ms, worst {worst:6.1} ms",
            "SIGKILL to served again",
            times.len()
        );
        bank.stop();
        customers.stop();
        let seen = conclude(&customers, false);
        println!("the customers saw {seen:?}");
        assert!(seen.unexplained.is_empty(), "{:?}", seen.unexplained);
    });
}
