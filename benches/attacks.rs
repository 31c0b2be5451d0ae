//! Legitimate negotiations between two nodes, one at a time, while an attacker on the same link does its worst: their rate beside
//! the undisturbed one of the same run, and the memory of the attacked node. Prints a table; SECURITY.md has the figures.
//!
//! `cargo bench -p asa --bench attacks [-- NAME...]` runs all attacks, or those whose names contain one of the words. It needs two
//! processors: the attacked nodes are kept on the first, the attacker on the second, also while there is no attack.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a benchmark fails loudly, prints its results, exports nothing, and waits in real time as the laboratory does"
)]

#[path = "../tests/lab/mod.rs"]
mod lab;

#[path = "attacks/attacker.rs"]
mod attacker;
#[path = "attacks/domain.rs"]
mod domain;
#[path = "attacks/victims.rs"]
mod victims;

use lab::{Child, Host, Lab};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Rounds of one attack, each with a time of peace before it.
const ROUNDS: usize = 5;
/// How long either lasts, after a moment in which it is not measured.
const WINDOW: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_millis(700);
/// How long anything may take to begin.
const BEGIN: Duration = Duration::from_secs(30);

/// Substrate, attack, and what it does.
const ATTACKS: [(&str, &str, &str); 17] = [
    ("tls", "floods", "5000 forged floods a second by multicast"),
    ("tls", "discoveries", "5000 forged discoveries a second by multicast"),
    ("tls", "announcements", "1000 forged announcements a second, each of another port"),
    ("tls", "silent", "1000 connections a second to the port of requests, held open"),
    ("tls", "silent-neighbours", "1000 connections a second to the port of neighbours, held open"),
    ("tls", "hellos", "1000 handshakes a second begun with a recorded hello and held open"),
    ("tls", "foreign", "200 full handshakes a second with a certificate of another domain"),
    ("tls", "many-foreign", "500 of them a second, from 300 addresses in turn"),
    ("tls", "garbage", "1000 connections a second with random bytes"),
    ("tls", "member-storm", "a member sends small floods as fast as they are taken"),
    ("tls", "member-stuffing", "a member sends floods of 30 kB with 1000 names each as fast as they are taken"),
    ("tls", "member-values", "a member sends floods with one value of 30 kB as fast as they are taken"),
    ("tls", "member-sessions", "a member opens 100 negotiations a second and reads nothing"),
    ("insecure-lab", "floods", "5000 floods a second by multicast"),
    ("insecure-lab", "discoveries", "5000 discoveries a second by multicast"),
    ("insecure-lab", "silent", "1000 connections a second to the port of requests, held open"),
    ("insecure-lab", "garbage", "1000 connections a second with random bytes"),
];

/// The program itself on a host, kept on a processor.
fn pinned(host: &Host, processor: &str, arguments: &[&str]) -> Child {
    let program = std::env::current_exe().unwrap();
    host.command("taskset").args(["-c", processor]).arg(program).args(arguments).spawn()
}

fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Negotiations a second over one window, and the most memory that the attacked node has had in it.
fn window(client: &Child, server: u32) -> (f64, f64) {
    std::thread::sleep(MOMENT);
    let count = || {
        let lines = client.lines();
        let last = lines.iter().rev().find_map(|line| Some((line.at, line.text.strip_prefix("done ")?.parse().ok()?)));
        last.unwrap_or_else(|| panic!("no count:\n{}", client.output()))
    };
    let (began, before): (Instant, u64) = count();
    let mut memory = 0_f64;
    while began.elapsed() < WINDOW {
        std::thread::sleep(Duration::from_millis(100));
        memory = memory.max(resident(server));
    }
    let (ended, after) = count();
    ((after - before) as f64 / (ended - began).as_secs_f64().max(WINDOW.as_secs_f64() / 2.0), memory)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(hosts: &[Host], directory: &str, (substrate, attack, what): (&str, &str, &str)) {
    if attack == "many-foreign" {
        (0..attacker::ADDRESSES).for_each(|n| hosts[2].add_address("e0", attacker::address(n), 64));
    }
    let server = pinned(&hosts[0], "0", &["server", substrate, directory]);
    let ready = server.wait_line("ready ", BEGIN).text;
    let client = pinned(&hosts[1], "0", &["client", substrate, directory, ready.trim_start_matches("ready ")]);
    client.wait_line("done ", BEGIN);
    std::thread::sleep(Duration::from_secs(2));
    let before = resident(server.pid());
    let (mut peace, mut war, mut ratios, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0_f64);
    let mut made = String::new();
    for _ in 0..ROUNDS {
        let (calm, _) = window(&client, server.pid());
        let target = ready.trim_start_matches("ready ");
        let attacker = pinned(&hosts[2], "1", &["attack", attack, substrate, directory, target]);
        attacker.wait_line("begun", BEGIN);
        let (attacked, memory) = window(&client, server.pid());
        made = attacker.lines().last().map(|line| line.text.clone()).unwrap_or_default();
        attacker.kill();
        peace.push(calm);
        war.push(attacked);
        ratios.push(attacked / calm);
        peak = peak.max(memory);
    }
    let (peace, war, ratio) = (median(peace), median(war), median(ratios));
    println!(
        "{substrate:12} {attack:18} peace {peace:6.0}/s attacked {war:6.0}/s ratio {:5.1} %  memory {before:5.1} -> {peak:5.1} MiB  \
         [{made}] {what}",
        100.0 * ratio
    );
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["server", substrate, directory] => victims::serve(substrate, directory),
        ["client", substrate, directory, at] => victims::ask(substrate, directory, at),
        ["attack", attack, substrate, directory, at] => attacker::attack(attack, substrate, directory, at),
        _ => {
            // Without the right to make network namespaces it runs again as root of a user namespace.
            if fs::metadata("/proc/self").unwrap().uid() != 0 {
                let mut again = Command::new("unshare");
                again.args(["--user", "--map-root-user", "--net", "--mount", "--"]);
                again.arg(std::env::current_exe().unwrap()).args(&words);
                return if again.status().unwrap().success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            }
            let place = tempfile::tempdir().unwrap();
            let directory = place.path().to_str().unwrap();
            domain::found(place.path());
            for one in ATTACKS {
                let name = format!("{} {}", one.0, one.1);
                if words.is_empty() || words.iter().any(|word| name.contains(word)) {
                    let mut lab = Lab::new();
                    measure(&lab.lan(3), directory, one);
                }
            }
        }
    }
    ExitCode::SUCCESS
}
