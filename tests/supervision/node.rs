//! A node that runs on a host, and its control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::lab::{Child, Host};

const READY: Duration = Duration::from_secs(10);

/// A running `asa run`.
pub(super) struct Running {
    pub(super) child: Child,
    socket: PathBuf,
    _directory: PathBuf,
}

impl Running {
    /// Starts a node from this manifest and waits until it is ready.
    pub(super) fn start(host: &Host, name: &str, manifest: &str) -> Self {
        let unique = format!("asa-drill-{}-{:?}-{name}", std::process::id(), std::thread::current().id());
        let directory = std::env::temp_dir().join(unique.replace(['(', ')'], ""));
        std::fs::create_dir_all(&directory).unwrap();
        let socket = directory.join("c.sock");
        let path = directory.join("node.toml");
        std::fs::write(&path, manifest).unwrap();
        let child = host
            .command(env!("CARGO_BIN_EXE_asa"))
            .arg("run")
            .arg(&path)
            .args(["--interface", "e0", "--log-format", "json", "--set"])
            .arg(format!("control.socket={}", socket.display()))
            .spawn();
        child.wait_line("\"event\":\"ready\"", READY);
        let running = Self { child, socket, _directory: directory };
        // The socket opens right after.
        let deadline = Instant::now() + READY;
        while UnixStream::connect(&running.socket).is_err() {
            assert!(Instant::now() < deadline, "no control socket:\n{}", running.child.output());
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    }

    /// Sends a request; `None` if the node ends before it answers.
    pub(super) fn command(&self, command: &Value) -> Option<Value> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut request = command.clone();
        request["version"] = 1.into();
        writeln!(stream, "{request}").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    fn ok(&self, command: &Value) -> Value {
        let reply = self.command(command).unwrap_or_else(|| panic!("no reply to {command}:\n{}", self.child.output()));
        assert!(reply["error"].is_null(), "{command}: {reply}");
        reply["ok"].clone()
    }

    pub(super) fn status(&self) -> Value {
        self.ok(&json!({ "command": "status" }))
    }

    /// Hits a role once; returns the milliseconds until it served again.
    pub(super) fn drill(&self, instance: &str, role: &str, fault: &str) -> f64 {
        let drill = json!({ "command": "drill", "role": role, "fault": fault, "instance": instance, "count": 1 });
        let reports = self.ok(&drill);
        reports[0]["recovered_after_ms"].as_f64().unwrap_or_else(|| panic!("not back: {reports}"))
    }

    pub(super) fn kill(&self) {
        self.child.signal(Signal::SIGKILL);
        self.child.finish(READY);
    }

    pub(super) fn stop(&self) {
        self.child.signal(Signal::SIGTERM);
        let status = self.child.finish(READY);
        assert_eq!(status.code(), Some(0), "{}", self.child.output());
    }

    pub(super) fn exit_code(&self, bound: Duration) -> Option<i32> {
        self.child.finish(bound).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self._directory);
    }
}

/// A child of a status report.
pub(super) fn child<'a>(status: &'a Value, asa: &str, role: &str) -> &'a Value {
    let all = status["actors"].as_array().unwrap();
    all.iter().find(|child| child["asa"] == asa && child["role"] == role).unwrap_or_else(|| panic!("{status}"))
}
