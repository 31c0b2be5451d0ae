//! The control socket over real sockets in a temporary directory, with a scripted node behind it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod document;
mod hostile;
mod server;

use asa_framework::control::{Command, Failure, FailureCode, Handler, Reply, Server, serve};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use supervision::Tree;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// What anything takes at most on a busy machine.
const BOUND: Duration = Duration::from_secs(60);
const STATUS: &str = r#"{"version":1,"command":"status"}"#;

/// Runs a test in an actor system of its own; with `paused`, time passes only while nothing is to be done.
fn run(paused: bool, test: impl Future<Output = ()>) {
    let runtime = actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap()
    });
    runtime.block_on(async { tokio::time::timeout(60 * BOUND, test).await.unwrap() });
}

/// A node that notes what it is told, and does what the name of the instance or the role says.
#[derive(Clone, Default)]
struct Node(Rc<RefCell<Vec<Command>>>);

impl Node {
    fn handler(&self) -> Handler {
        let heard = self.0.clone();
        Rc::new(move |command| {
            heard.borrow_mut().push(command.clone());
            Box::pin(async move {
                let Command::Describe { instance: Some(name) } = command else { return Ok(json!("here")) };
                match name.as_str() {
                    "slow" => sleep(Duration::from_secs(5)).await,
                    "panic" => panic!("the scripted panic"),
                    "never" => std::future::pending().await,
                    "large" => return Ok("x".repeat(8 << 20).into()),
                    _ => return Err(Failure::new(FailureCode::Unknown, "no such instance")),
                }
                Ok(json!("done"))
            })
        })
    }

    fn heard(&self) -> usize {
        self.0.borrow().len()
    }
}

/// A directory that is removed at the end, a path for a socket in it, a node and its server.
struct Place {
    directory: tempfile::TempDir,
    node: Node,
    tree: Tree,
    server: Server,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (node, tree) = (Node::default(), Tree::with(true, None));
        let server = serve(&directory.path().join("asa/node.sock"), &tree, node.handler()).await.unwrap();
        Self { directory, node, tree, server }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("asa/node.sock")
    }

    async fn client(&self) -> Client {
        Client::new(&self.path()).await
    }

    fn count(&self, name: &str) -> u64 {
        self.server.counters()[&format!("control_{name}")]
    }
}

struct Client(BufReader<UnixStream>);

impl Client {
    async fn new(path: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(path).await.unwrap()))
    }

    async fn send(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next reply; `None` if the server has closed the connection.
    async fn reply(&mut self) -> Option<Reply> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line).await {
            Ok(count) if count > 0 => Some(serde_json::from_slice(&line).unwrap()),
            _ => None,
        }
    }

    async fn ask(&mut self, line: &str) -> Reply {
        self.send(line).await;
        self.reply().await.unwrap()
    }

    async fn fails(&mut self, line: &str) -> Failure {
        self.ask(line).await.error.unwrap()
    }

    async fn works(&mut self) {
        assert_eq!(self.ask(STATUS).await, Reply { version: 1, ok: Some(Value::from("here")), error: None });
    }
}

fn describe(name: &str) -> String {
    json!({ "version": 1, "command": "describe", "instance": name }).to_string()
}
