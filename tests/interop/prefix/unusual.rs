//! Lengths at the edges, more than there is, and a supplier that is slow.

use std::thread;
use std::time::Duration;

use asa_prefix::prefix::Prefix;
use grasp::wire::Message;
use nix::sys::signal::Signal;

use super::manager::{self, Manager};
use super::python::{Program, Python};
use super::talk;
use super::wire::{self, Wire};
use super::{START, cells, keep, report, wait_until};
use crate::lab::Lab;

/// PM-W-05: lengths that are no multiple of eight, in the padded form of pfxm4.
#[test]
fn uneven_lengths_are_obtained_from_pfxm4() {
    cells(&[("6", "57"), ("6", "61"), ("6", "64"), ("4", "20"), ("4", "22")], |(family, length), _, outside| {
        let mut lab = Lab::new();
        let hosts = lab.lan(2);
        let giver = Python::origin(&hosts[1], outside, Program::Pfxm4, START);
        let ask = format!("ipv{family}_ask");
        let mut parameters = vec![("prefix_manager_t", "true"), ("ask_form", "F5"), (ask.as_str(), length)];
        parameters.extend([("ipv4", if family == "4" { "true" } else { "false" })]);
        parameters.extend([
            ("ipv6", if family == "6" { "true" } else { "false" }),
            ("ipv6_need", "1"),
            ("ipv4_need", "1"),
        ]);
        let asker = Manager::start(&hosts[0], "delegator", &parameters);
        let mut problems = wait_until("a prefix", START, || !giver.given().is_empty());
        thread::sleep(Duration::from_secs(1));
        let (log, records) = asker.end();
        problems.extend(talk::python_trouble(&giver.child));
        let lengths = |blocks: &[Prefix]| blocks.iter().map(|block| block.length().to_string()).collect::<Vec<_>>();
        if lengths(&giver.given()) != [length] || giver.given() != records.acquired() {
            problems.push(format!("pfxm4 gave {:?}, we have {:?}", giver.given(), records.acquired()));
        }
        let cell = format!("ours asks pfxm4 for IPv{family} {length}");
        let (declined, failed) = manager::unsuccessful(&log);
        report(&cell, &giver.given(), declined, failed);
        keep(&cell, &[("python", giver.child.output()), ("ours", log)], &[]);
        problems
    });
}

/// PM-W-09, PM-Q-07: lengths that the Python programs decline are not asked for again and again.
#[test]
fn what_pfxm3_declines_is_asked_for_ever_more_seldom() {
    cells(&[("6", "30"), ("6", "97"), ("4", "15")], |(family, length), _, outside| {
        let mut lab = Lab::new();
        let hosts = lab.lan(2);
        let giver = Python::origin(&hosts[1], outside, Program::Pfxm3, START);
        let ask = format!("ipv{family}_ask");
        let parameters = [
            (ask.as_str(), length),
            ("ipv4", if family == "4" { "true" } else { "false" }),
            ("ipv6", if family == "6" { "true" } else { "false" }),
        ];
        let asker = Manager::start(&hosts[0], "delegator", &parameters);
        let mut problems =
            wait_until("a decline", START, || giver.child.output().contains("Prefix length out of range"));
        thread::sleep(Duration::from_secs(20));
        let (log, records) = asker.end();
        let (declined, failed) = manager::unsuccessful(&log);
        if !(2..=10).contains(&declined) || failed > 0 || !records.acquired().is_empty() {
            problems.push(format!("IPv{family} {length}: {declined} declines, {failed} failures: {log}"));
        }
        report(&format!("ours asks pfxm3 for IPv{family} {length}, 20 s"), &[], declined, failed);
        problems
    });
}

/// PM-O-03: pfxm3 takes nothing longer than what it asked for; the block is free again at once.
#[test]
fn what_pfxm3_refuses_is_free_again() {
    cells(&[()], |(), _, outside| {
        let mut lab = Lab::new();
        let hosts = lab.lan(2);
        let origin = Manager::start(&hosts[0], "origin", &[("prefixes", r#"["2001:db8::/60"]"#)]);
        let asker = Python::delegator(&hosts[1], outside, Program::Pfxm3, START);
        let refused = |text: &str| text.matches("Refused prefix of length 60").count() >= 3;
        let mut problems = wait_until("three refusals", START, || refused(&asker.child.output()));
        asker.stop_at_rest();
        let (log, records) = origin.end();
        // The same block each time, so that it was free each time.
        problems.extend(records.differences(&[]));
        report("pfxm3 asks ours for more than there is", &asker.obtained(), asker.declined(), asker.failed());
        keep("pfxm3 refuses", &[("python", asker.child.output()), ("ours", log)], &[]);
        problems
    });
}

/// COM-04, PM-O-04: while our own supplier is slow, pfxm3 is asked to wait before its time is over.
#[test]
fn pfxm3_is_asked_to_wait_for_a_slow_supplier() {
    cells(&[()], |(), _, outside| {
        let mut lab = Lab::new();
        let hosts = lab.lan(3);
        let tap = Wire::tap(&hosts[0]);
        let supplier = Python::origin(&hosts[2], outside, Program::Pfxm4, START * 2);
        let parameters = [("prefix_manager_t", "true"), ("ask_form", "F5"), ("ipv6_need", "0")];
        let middle = Manager::start(&hosts[0], "delegator", &parameters);
        let asker = Python::delegator(&hosts[1], outside, Program::Pfxm3, START * 2);
        asker.child.wait_line("IPv6 prefix pool is low", START);
        // It looks for peers for a second, and the supplier is found meanwhile.
        thread::sleep(Duration::from_millis(1_000));
        supplier.child.signal(Signal::SIGSTOP);
        thread::sleep(Duration::from_millis(1_900));
        supplier.child.signal(Signal::SIGCONT);
        let mut problems = wait_until("a prefix", START, || !asker.obtained().is_empty());
        asker.stop_at_rest();
        let (log, records) = middle.end();
        let passed = tap.stop();
        let waits = passed.iter().filter(|one| matches!(one.message, Some(Message::Wait { .. }))).count();
        if waits == 0 {
            problems.push("nobody was asked to wait".to_owned());
        }
        problems.extend(wire::faults(
            &passed,
            &wire::addresses(&hosts[0]),
            &["PrefixManagerT", "PrefixManager.Params"],
        ));
        if records.acquired().is_empty() {
            problems.push("nothing was acquired".to_owned());
        }
        report(
            &format!("pfxm3 asks ours, which asks pfxm4: {waits} waits"),
            &asker.obtained(),
            asker.declined(),
            asker.failed(),
        );
        let logs = [("pfxm3", asker.child.output()), ("pfxm4", supplier.child.output()), ("ours", log)];
        keep("slow supplier", &logs, &passed);
        problems
    });
}
