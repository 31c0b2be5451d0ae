//! A domain whose nodes are processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Child, Host, poll};

pub(super) const ASA: &str = env!("CARGO_BIN_EXE_asa");
/// What anything takes at most, on a busy machine.
pub(super) const BOUND: Duration = Duration::from_secs(60);

pub(super) struct Domain(tempfile::TempDir);

/// A node of it that runs.
pub(super) struct Node {
    pub(super) child: Child,
    pub(super) socket: PathBuf,
}

impl Domain {
    pub(super) fn found() -> Self {
        let domain = Self(tempfile::tempdir().unwrap());
        domain.keys("init-domain acp.example.com --dir ca");
        domain
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn keys(&self, line: &str) {
        let mut command = Command::new(ASA);
        command.arg("keys").args(line.split(' ')).current_dir(self.path()).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a node with a shipped manifest and a certificate of its own.
    pub(super) fn start(&self, host: &Host, name: &str, manifest: &str, more: &[&str]) -> Node {
        self.keys(&format!("issue {name} --dir ca"));
        let file = |ending: &str| self.path().join(name).join(ending).display().to_string();
        let socket = self.path().join(format!("{name}.sock"));
        let mut command = host.command(ASA).args(["run", manifest, "--interface", "e0", "--log-format", "json"]);
        command = command.args(more).current_dir(env!("CARGO_MANIFEST_DIR")).env("LANG", "C.UTF-8");
        for setting in [
            "grasp.substrate=tls".to_owned(),
            format!("grasp.tls.certificate={}", file(&format!("{name}.crt"))),
            format!("grasp.tls.key={}", file(&format!("{name}.key"))),
            format!("grasp.tls.anchors={}", file("domain.crt")),
            format!("grasp.tls.revocations={}", file("revoked.crl")),
            format!("control.socket={}", socket.display()),
        ] {
            command = command.args(["--set", &setting]);
        }
        let child = command.spawn();
        child.wait_line("\"event\":\"ready\"", BOUND);
        Node { child, socket }
    }
}

impl Node {
    /// What `asa COMMAND --json` says of it.
    pub(super) fn ask(&self, command: &[&str]) -> Value {
        let mut all = Command::new(ASA);
        all.args(command).args(["--json", "--socket"]).arg(&self.socket).env("LANG", "C.UTF-8");
        let output = all.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{output:?}"))
    }

    /// Waits until it has these neighbours, and no others.
    pub(super) fn wait_neighbours(&self, names: &[&str]) {
        poll(&format!("neighbours {names:?}"), BOUND, || {
            std::thread::sleep(Duration::from_millis(100));
            let status = self.ask(&["status"]);
            let found = status["node"]["neighbours"].as_array()?.iter().map(|one| one["member"].as_str());
            (found.collect::<Vec<_>>() == names.iter().map(|name| Some(*name)).collect::<Vec<_>>()).then_some(())
        });
    }

    /// Memory that it has in use, in MiB.
    pub(super) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
    }
}
