//! A prefix manager of the configuration that is shipped: its process, its state directory, its control socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use asa_prefix::pool::record::Record;
use asa_prefix::prefix::Prefix;
use asa_prefix::store::parse_export;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::lab::{Child, Host};

pub(super) const ASA: &str = env!("CARGO_BIN_EXE_asa");
/// What anything takes at most, on a busy machine.
pub(super) const BOUND: Duration = Duration::from_secs(60);

/// Where a prefix manager runs, and with which settings.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) host: Host,
    pub(super) name: &'static str,
    role: &'static str,
    directory: PathBuf,
    store: PathBuf,
    settings: Vec<String>,
}

/// What came of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    Done(Value),
    /// It was certainly not done.
    Refused(String),
    /// It may have been done.
    Unknown(String),
}

/// Runs the program without a network.
pub(super) fn asa(args: &[&str]) -> Output {
    Command::new(ASA).args(args).env_remove("RUNTIME_DIRECTORY").env("LANG", "C.UTF-8").output().unwrap()
}

pub(super) fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

impl Node {
    /// One that has its state in a directory of its name below `state`; `parameters` are added to those of its manifest.
    pub(super) fn new(host: &Host, name: &'static str, role: &'static str, state: &Path, parameters: &[&str]) -> Self {
        let directory = state.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let mut settings = vec![
            format!("node.name={name}"),
            format!("node.state_directory={}", directory.display()),
            format!("control.socket={}", directory.join("c.sock").display()),
        ];
        settings.extend(parameters.iter().map(|parameter| format!("asa.prefix.parameters.{parameter}")));
        let store = directory.join("prefix");
        Self { host: host.clone(), name, role, directory, store, settings }
    }

    /// The same with the state of its instance on another disk.
    pub(super) fn on(mut self, store: &Path) -> Self {
        self.settings.push(format!("asa.prefix.state_directory={}", store.display()));
        self.store = store.to_owned();
        self
    }

    /// A node on another host that has the same state directory, and a socket of its own.
    pub(super) fn elsewhere(&self, host: &Host, state: &Path) -> Self {
        let mut other = Self { host: host.clone(), ..self.clone() };
        other.settings.push(format!("control.socket={}", state.join("other.sock").display()));
        other
    }

    /// The state directory of the instance.
    pub(super) fn store(&self) -> &Path {
        &self.store
    }

    /// `asa pool COMMAND --directory` on what it has left on the disk.
    pub(super) fn offline(&self, command: &[&str]) -> Output {
        asa(&[&["pool"], command, &["--directory", self.store.to_str().unwrap()]].concat())
    }

    /// Creates the store, as an operator has to for an origin.
    pub(super) fn init(&self) {
        let output = self.offline(&["init"]);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Starts the process and goes on at once.
    pub(super) fn spawn(&self) -> Child {
        let manifest = format!("{}/config/prefix-{}.toml", env!("CARGO_MANIFEST_DIR"), self.role);
        let mut command = self.host.command(ASA).args(["run", &manifest, "--interface", "e0", "--log-format", "json"]);
        for setting in &self.settings {
            command = command.args(["--set", setting]);
        }
        command.spawn()
    }

    /// Starts the process and waits until it serves.
    pub(super) fn start(&self) -> Child {
        let child = self.spawn();
        child.wait_line("\"event\":\"ready\"", BOUND);
        child
    }

    /// A connection to the control socket, once somebody is there.
    pub(super) fn connect(&self) -> Option<Line> {
        Line::to(&self.directory.join("c.sock"))
    }

    /// Asks the instance of the running node.
    pub(super) fn ask(&self, query: &Value) -> Reply {
        let connection = self.connect();
        connection.map_or_else(|| Reply::Refused("nobody is there".into()), |mut connection| connection.query(query))
    }

    /// What the node answers, which has to.
    pub(super) fn answer(&self, query: &Value) -> Value {
        let deadline = Instant::now() + BOUND;
        loop {
            match self.ask(query) {
                Reply::Done(value) => return value,
                other => assert!(Instant::now() < deadline, "{}: {query}: {other:?}", self.name),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn take(&self, client: &str, length: u8) -> Reply {
        self.ask(&take(client, length))
    }

    /// Blocks in these states.
    pub(super) fn blocks(&self, states: &[&str]) -> Vec<(Prefix, Value)> {
        let answer = self.answer(&json!({ "command": "blocks", "states": states, "limit": 10_000 }));
        let blocks = answer["blocks"].as_array().unwrap().iter();
        blocks.map(|one| (one["block"].as_str().unwrap().parse().unwrap(), one["state"].clone())).collect()
    }

    /// Everything in the store of a node that does not run.
    pub(super) fn records(&self) -> Vec<Record> {
        let output = self.offline(&["export"]);
        assert!(output.status.success(), "{}: {}", self.name, text(&output));
        parse_export(&output.stdout[..]).unwrap()
    }

    /// What the offline examination of a node that does not run finds; empty if it is sound.
    pub(super) fn faults(&self) -> Option<String> {
        let output = self.offline(&["fsck"]);
        (output.status.code() != Some(0)).then(|| format!("{}: {}: {}", self.name, output.status, text(&output)))
    }
}

pub(super) fn take(client: &str, length: u8) -> Value {
    json!({ "command": "take", "client": client, "family": "ipv6", "length": length })
}

pub(super) fn give(client: &str, block: Prefix) -> Value {
    json!({ "command": "give", "client": client, "block": block.to_string() })
}

/// The block that an answer names.
pub(super) fn block(answer: &Value) -> Prefix {
    answer["block"].as_str().unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
}

/// A connection to a control socket.
pub(super) struct Line(BufReader<UnixStream>);

impl Line {
    fn to(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(BOUND)).unwrap();
        Some(Self(BufReader::new(stream)))
    }

    /// Asks the instance; after anything but an answer the connection is of no use.
    pub(super) fn query(&mut self, query: &Value) -> Reply {
        let request = json!({ "version": 1, "command": "query", "instance": "prefix", "query": query });
        let mut line = String::new();
        let read = writeln!(self.0.get_mut(), "{request}").and_then(|()| self.0.read_line(&mut line));
        let Ok(reply) = read.map_err(drop).and_then(|_| serde_json::from_str::<Value>(&line).map_err(drop)) else {
            return Reply::Unknown("the connection has ended".into());
        };
        match (&reply["error"]["code"], &reply["error"]["message"]) {
            (Value::Null, _) => Reply::Done(reply["ok"].clone()),
            // It was tried, and nobody knows how far.
            (code, message) if code == "failed" => Reply::Unknown(message.to_string()),
            (_, message) => Reply::Refused(message.to_string()),
        }
    }
}

/// Ends a process in order.
pub(super) fn stop(child: &Child) {
    child.signal(Signal::SIGTERM);
    let status = child.finish(BOUND);
    assert_eq!(status.code(), Some(0), "{}", child.output());
}
