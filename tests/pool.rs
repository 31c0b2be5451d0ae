//! `asa pool` with a real node on a link of its own, with its store on disk, from the first start to the restored export.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{Child, Host, in_namespaces};

const ASA: &str = env!("CARGO_BIN_EXE_asa");
const READY: Duration = Duration::from_secs(20);

/// A directory with a manifest, a socket and the state of a node; removed at the end.
struct Place {
    directory: tempfile::TempDir,
    host: Host,
}

impl Place {
    fn new(host: Host) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = Self { directory, host };
        let manifest = format!(
            "[node]\nname = 'north'\nstate_directory = '{state}'\n[control]\nsocket = '{socket}'\n\
             [grasp]\nsubstrate = 'insecure-lab'\n[asa.pool]\nclass = 'prefix'\nrole = 'origin'\n\
             [asa.pool.parameters]\nprefixes = ['2001:db8::/32', '10.0.0.0/16']\nipv4 = true\n",
            state = place.path("state").display(),
            socket = place.path("c.sock").display(),
        );
        std::fs::write(place.path("a.toml"), manifest).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the node, which has to become ready.
    fn run(&self) -> Child {
        let child = self.start();
        child.wait_line("\"event\":\"ready\"", READY);
        child
    }

    fn start(&self) -> Child {
        let command = self.host.command(ASA).arg("run").arg(self.path("a.toml"));
        command.args(["--interface", "e0", "--log-format", "json"]).spawn()
    }

    /// Runs `asa pool`; `{dir}` stands for the directory.
    fn pool(&self, line: &str) -> (i32, String, String) {
        let directory = self.directory.path().to_str().unwrap();
        let words = line.split(' ').map(|word| word.replace("{dir}", directory));
        let mut command = Command::new(ASA);
        command.arg("pool").args(words).current_dir(self.directory.path()).env("LANG", "C.UTF-8").stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs a command that has to work, on the node.
    fn ask(&self, line: &str) -> String {
        let (code, out, err) = self.pool(&format!("{line} --socket {{dir}}/c.sock"));
        assert_eq!((code, err.as_str()), (0, ""), "{line}: {out}");
        out
    }

    fn json(&self, line: &str) -> Value {
        let out = self.ask(&format!("{line} --json"));
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).unwrap()
    }

    /// Runs a command that has to work, in the state directory.
    fn offline(&self, line: &str) -> String {
        let (code, out, err) = self.pool(line);
        assert_eq!((code, err.as_str()), (0, ""), "{line}: {out}");
        out
    }
}

fn stop(node: &Child) {
    node.signal(Signal::SIGTERM);
    assert_eq!(node.finish(READY).code(), Some(0), "{}", node.output());
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// Changes one byte in the middle of a file.
fn spoil(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// PM-S-15, PM-S-16, PM-S-17, PM-L-01, PM-L-04, PM-D-07, GAP-07
#[test]
fn an_operator_leads_a_pool_from_its_first_start_to_a_restored_export() {
    in_namespaces(|lab| {
        lab.lan(2);
        let place = Place::new(lab.get("h1"));

        // An origin without a store does not start; it is created once.
        let refused = place.start();
        assert_eq!(refused.finish(READY).code(), Some(1));
        contains(&refused.output().to_string(), &["asa pool init"]);
        assert_eq!(place.pool("show --socket {dir}/c.sock").0, 2);
        contains(&place.offline("init --manifest a.toml"), &["an empty store is in", "/state/pool"]);
        let (code, _, err) = place.pool("init --manifest a.toml");
        assert_eq!(code, 1);
        contains(&err, &["is not overwritten"]);

        let node = place.run();
        let shown = place.ask("show");
        contains(
            &shown,
            &["10.0.0.0/16  from the manifest", &format!("  {}\n", "F".repeat(64)), "no forecast", "legend: F free"],
        );
        assert!(shown.lines().all(|line| line.chars().count() <= 80) && !shown.contains('\u{1b}'), "{shown}");

        // Clients, reservations, a plan.
        assert_eq!(place.ask("delegate cpe-1 56"), "2001:db8:ffff:ff00::/56 is delegated to cpe-1\n");
        assert_eq!(place.ask("delegate cpe-1 56"), "2001:db8:ffff:ff00::/56 is delegated to cpe-1\n");
        assert_eq!(place.json("delegate cpe-2 24 --family ipv4")["block"], "10.0.255.0/24");
        contains(&place.ask("exclude 2001:db8:ffff::/48"), &["in use there:", "cpe-1"]);
        contains(&place.ask("include 2001:db8:ffff::/48"), &["free again:"]);
        place.ask("exclude 2001:db8::/34");
        contains(&place.ask("show"), &[&format!("{}{}", "x".repeat(16), "F".repeat(48)), "excluded 25.0 % (1 block)"]);
        std::fs::write(place.path("bad"), "aggregate 2001:dba::/32\n  granted 2001:dba::1/48 x\n").unwrap();
        let (code, _, err) = place.pool("import bad --socket c.sock");
        assert_eq!((code, err.starts_with("asa: bad: line 2, column 11: ")), (1, true), "{err}");
        std::fs::write(place.path("plan"), "aggregate 2001:dba::/32 # old net\ngranted 2001:dba::/48 fe80::9\n")
            .unwrap();
        assert_eq!(place.ask("import plan"), "2 lines are imported\n");
        let (code, _, err) = place.pool("import plan --socket c.sock");
        assert!(code == 1 && err.contains("overlaps"), "{err}");
        let used = place.ask("blocks --within 2001:dba::/32 --state granted");
        contains(&used, &["2001:dba::/48", "fe80::9"]);
        assert_eq!(place.json("blocks --limit 1")["more"], true);
        assert_eq!(place.ask("doubts"), "nothing is in doubt\n");
        let (code, _, err) = place.pool("resolve 2001:dba::/48 --as free --socket c.sock");
        assert!(code == 1 && err.contains("is not in doubt"), "{err}");
        contains(&place.ask("explain"), &["role     CSG", "IPv6     enough is at hand"]);
        contains(&place.ask("withdraw 2001:dba::/32"), &["still in use:", "2001:dba::/48"]);
        assert_eq!(place.json("show --instance pool")["census"]["writable"], true);
        let (code, _, err) = place.pool("show --instance six --socket c.sock");
        assert!(code == 1 && err.contains("there is no instance six"), "{err}");

        // Who had this address then?
        contains(&place.ask("history 2001:db8:ffff:ff00::1"), &["delegated to cpe-1", "the ledger begins at"]);
        contains(&place.ask("history 2001:db8:ffff:ff00::1 --at 2099-01-01"), &["/56  delegated to cpe-1, since 20"]);
        contains(&place.ask("history 2001:db8::1 --at 2001-01-01T00:00:00Z"), &["not known: the ledger begins"]);
        place.ask("release cpe-1 2001:db8:ffff:ff00::/56");

        // Sound, online and not; a store that is open is left alone, its ledger can be read all the same.
        contains(&place.ask("fsck"), &["sound: ", "the same as in the store"]);
        let (code, _, err) = place.pool("fsck --manifest a.toml --offline");
        assert!(code == 1 && err.contains("in use by another process"), "{err}");
        contains(&place.offline("history 10.0.255.1 --manifest a.toml --offline"), &["delegated to cpe-2"]);
        contains(&place.ask("export --format plan"), &["aggregate 2001:dba::/32\n", "delegated 10.0.255.0/24 cpe-2\n"]);
        contains(&place.ask("export --output {dir}/online.jsonl"), &["records written"]);
        let (code, _, err) = place.pool("export --output {dir}/online.jsonl --socket {dir}/c.sock");
        assert!(code == 1 && err.contains("File exists"), "{err}");
        stop(&node);

        // What was there is there.
        contains(&place.offline("fsck --manifest a.toml --offline"), &["sound: "]);
        place.offline("export --directory state/pool --output offline.jsonl");
        let records = |name: &str| {
            let text = std::fs::read_to_string(place.path(name)).unwrap();
            text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(records("online.jsonl"), records("offline.jsonl"));

        // A damaged ledger is found, named, and repaired from the tables.
        spoil(&std::fs::read_dir(place.path("state/pool/ledger")).unwrap().next().unwrap().unwrap().path());
        let (code, out, _) = place.pool("fsck --directory state/pool");
        assert_eq!(code, 1);
        contains(&out, &["broken", "ledger: ", "asa pool repair"]);
        let (code, out, _) = place.pool("fsck --directory state/pool --json");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert!(code == 1 && !report["problems"].as_array().unwrap().is_empty());
        contains(&place.offline("repair --manifest a.toml"), &["moved aside", "the store is whole"]);
        contains(&place.offline("fsck --directory state/pool"), &["sound: "]);

        // A restored export gives nothing away until the operator says so.
        std::fs::rename(place.path("state"), place.path("lost")).unwrap();
        contains(&place.offline("restore online.jsonl --manifest a.toml"), &["restored", "excluded"]);
        assert_eq!(place.pool("restore online.jsonl --manifest a.toml").0, 1);
        let node = place.run();
        let (code, _, err) = place.pool("delegate cpe-3 64 --socket c.sock --timeout 60");
        assert!(code == 1 && err.contains("no prefix of that length is left"), "{err}");
        contains(&place.ask("include 2001:db8:8000::/34"), &["free again:"]);
        contains(&place.ask("delegate cpe-3 64"), &["is delegated to cpe-3"]);
        contains(&place.ask("fsck"), &["sound: "]);
        stop(&node);
    });
}
