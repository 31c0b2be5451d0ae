//! Members of a domain over real sockets: Gray and Briggs, what is on the wire, renewal and revocation while they run.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::domain::{ASA, Domain, Member};
use crate::lab::{Child, Host, in_namespaces, poll};
use crate::network::capture::Capture;

const BOUND: Duration = Duration::from_secs(60);

fn start(host: &Host, member: &Member, args: &[&str], sets: &[&str]) -> Child {
    let mut command = host.command(ASA).args(args).args(["--log-format", "json"]);
    let socket = format!("control.socket={}", member.directory.join("c.sock").display());
    for set in member.settings().iter().map(String::as_str).chain([socket.as_str()]).chain(sets.iter().copied()) {
        command = command.args(["--set", set]);
    }
    let child = command.spawn();
    child.wait_line("\"event\":\"ready\"", BOUND);
    child
}

fn briggs(host: &Host, member: &Member, interface: &str, sets: &[&str]) -> Child {
    let fast = ["asa.briggs.parameters.pace=fast", "asa.briggs.parameters.seed=1"];
    start(host, member, &["run", "config/briggs.toml", "--interface", interface], &[&fast[..], sets].concat())
}

fn gray(host: &Host, member: &Member, interface: &str, sessions: &str, sets: &[&str]) -> Child {
    let fast = ["asa.gray.parameters.pace=fast", "asa.gray.parameters.seed=1"];
    let args = ["run", "config/gray.toml", "--interface", interface, "--sessions", sessions];
    start(host, member, &args, &[&fast[..], sets].concat())
}

fn status(member: &Member) -> serde_json::Value {
    let socket = member.directory.join("c.sock");
    let args = ["status", "--json", "--socket", socket.to_str().unwrap()];
    let output = std::process::Command::new(ASA).args(args).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn neighbours(member: &Member) -> Vec<String> {
    let found = status(member)["node"]["neighbours"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = found.iter().map(|one| one["member"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

/// ASA-S-05, ASA-S-06, G-TRN-26, G-PRV-02: two members negotiate; on the wire there are announcements by multicast, and TLS.
#[test]
fn two_members_negotiate_and_nothing_is_in_clear() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let domain = Domain::new("acp.example.com");
        let (bank, customer) = (domain.member("bank"), domain.member("customer"));
        let mut capture = Capture::new(&hosts[0]);
        let _bank = briggs(&hosts[0], &bank, "e0", &[]);
        let gray = gray(&hosts[1], &customer, "e0", "5", &[]);
        assert_eq!(gray.finish(BOUND).code(), Some(0), "{}", gray.output());
        assert!(gray.output().contains("\"substrate\":\"tls\"") && gray.output().contains("\"secure\":true"));
        let packets = capture.packets();
        let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let (mut announced, mut carried) = (0, 0);
        for packet in &packets {
            for word in ["EX1", "EX2", "EX3", "NZD", "from Briggs"] {
                assert!(!has(packet.bytes(), word), "{word} in clear");
            }
            if packet.is_to_group() {
                assert!(has(packet.bytes(), "AN_ACP"), "a multicast that is no announcement");
                announced += 1;
            } else {
                carried += 1;
            }
        }
        assert!(announced > 0 && carried > 20, "{announced} {carried}");
    });
}

/// ASA-S-06: discovery and floods cross a relay of the same domain, the negotiation is from end to end.
#[test]
fn members_negotiate_through_a_relay_of_their_domain() {
    in_namespaces(|lab| {
        let hosts = lab.line(3);
        let domain = Domain::new("acp.example.com");
        let (bank, customer, relay) = (domain.member("bank"), domain.member("customer"), domain.member("relay"));
        let _relay = start(&hosts[1], &relay, &["relay", "--interface", "left", "right"], &[]);
        let _bank = briggs(&hosts[0], &bank, "right", &[]);
        let gray = gray(&hosts[2], &customer, "left", "3", &[]);
        poll("the relay's neighbours", BOUND, || (neighbours(&relay) == ["bank", "customer"]).then_some(()));
        assert_eq!(gray.finish(BOUND).code(), Some(0), "{}", gray.output());
    });
}

/// GAP-17, G-DSG-02: a certificate is renewed without a restart and without an outage; one that is revoked ends its member's
/// connections and keeps it out, while the others go on.
#[test]
fn certificates_are_renewed_and_revoked_while_nodes_run() {
    in_namespaces(|lab| {
        let hosts = lab.lan(3);
        let domain = Domain::new("acp.example.com");
        let (bank, friend, thief) = (domain.member("bank"), domain.member("friend"), domain.member("thief"));
        let briggs = briggs(&hosts[0], &bank, "e0", &[]);
        let relay = |host: &Host, member: &Member| start(host, member, &["relay", "--interface", "e0"], &[]);
        let (_friend, _thief) = (relay(&hosts[1], &friend), relay(&hosts[2], &thief));
        let both = ["friend", "thief"];
        poll("both neighbours", BOUND, || (neighbours(&bank) == both).then_some(()));
        let serial = |member: &Member| status(member)["node"]["substrate_facts"]["serial"].as_str().unwrap().to_owned();
        let before = serial(&bank);
        domain.keys(&["renew", "bank", "--out", bank.directory.to_str().unwrap()]);
        poll("the new certificate", BOUND, || (serial(&bank) != before).then_some(()));
        assert_eq!(neighbours(&bank), both, "{}", briggs.output());
        domain.keys(&["revoke", "thief"]);
        domain.carry_revocations(&bank);
        poll("the thief's end", BOUND, || (neighbours(&bank) == ["friend"]).then_some(()));
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(neighbours(&bank), ["friend"]);
        assert_eq!(status(&bank)["node"]["substrate_facts"]["revoked certificates"], "1");
        // The bank still serves; the thief is not answered.
        let read = |host: &Host, member: &Member| {
            let args = ["synchronize", "EX2", "--interface", "e0", "--timeout", "4000", "--manifest"];
            let child = host.command(ASA).args(args).arg(member.manifest()).spawn();
            (child.finish(BOUND).code(), child.output())
        };
        let (code, said) = read(&hosts[1], &friend);
        assert!(code == Some(0) && said.contains("[1, \"two\", 3]"), "{said}");
        let (code, said) = read(&hosts[2], &thief);
        assert!(code == Some(1) && !said.contains("two"), "{said}");
        briggs.signal(Signal::SIGTERM);
        assert_eq!(briggs.finish(BOUND).code(), Some(0));
    });
}

/// ASA-S-04: who may ask for an objective is decided by the names in certificates, counted and logged.
#[test]
fn rights_of_the_manifest_are_kept() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let domain = Domain::new("acp.example.com");
        let (bank, customer) = (domain.member("bank"), domain.member("customer"));
        let allowed = "grasp.authorization={ EX3 = { request = [\"nobody\"] } }";
        let briggs = briggs(&hosts[0], &bank, "e0", &[allowed]);
        let gray = gray(&hosts[1], &customer, "e0", "1", &[]);
        briggs.wait_line("denied", BOUND);
        let counters = status(&bank)["node"]["counters"].clone();
        assert!(counters.as_object().unwrap().iter().any(|(name, _)| name.starts_with("denied")), "{counters}");
        assert!(briggs.output().contains("customer"), "who was denied is named");
        gray.kill();
    });
}

/// ASA-S-07: a node whose certificate is not valid yet, or whose clock is wrong, waits for one that is, and does not end.
#[test]
fn a_node_waits_for_a_certificate_that_is_valid() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let domain = Domain::new("acp.example.com");
        let bank = domain.member("bank");
        domain.date_forward(&bank);
        let socket = format!("control.socket={}", bank.directory.join("c.sock").display());
        let mut command = hosts[0].command(ASA).args(["run", "config/briggs.toml", "--interface", "e0"]);
        for set in bank.settings().iter().chain([&socket]) {
            command = command.args(["--set", set]);
        }
        let node = command.spawn();
        node.wait_line("waiting for a certificate that is valid", BOUND);
        std::thread::sleep(Duration::from_secs(6));
        assert!(node.exit_status().is_none(), "{}", node.output());
        domain.keys(&["renew", "bank", "--out", bank.directory.to_str().unwrap()]);
        node.wait_line("briggs is ready", BOUND);
    });
}

/// GAP-22: credentials that are wrong are refused by a reload, with exit code 1; what was in force stays so, and status says it.
#[test]
fn a_reload_tells_of_credentials_that_are_wrong() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let domain = Domain::new("acp.example.com");
        let bank = domain.member("bank");
        let _briggs = briggs(&hosts[0], &bank, "e0", &["grasp.tls.look_every_ms=0"]);
        let certificate = bank.directory.join("bank.crt");
        let good = std::fs::read(&certificate).unwrap();
        let reload = || {
            let socket = bank.directory.join("c.sock");
            let output = std::process::Command::new(ASA)
                .args(["reload", "--socket", socket.to_str().unwrap()])
                .output()
                .unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        std::fs::write(&certificate, &good[..good.len() / 2]).unwrap();
        let (code, said) = reload();
        assert!(code == Some(1) && said.contains("grasp.tls"), "{code:?}: {said}");
        let warnings = status(&bank)["node"]["substrate_warnings"].to_string();
        assert!(warnings.contains("not in force") && warnings.contains("bank.crt"), "{warnings}");
        std::fs::write(&certificate, &good).unwrap();
        assert_eq!(reload().0, Some(0));
        assert_eq!(status(&bank)["node"]["substrate_warnings"], serde_json::json!([]));
    });
}
