//! The subcommands that speak with a running node, against a scripted one: requests, output, exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const ASA: &str = env!("CARGO_BIN_EXE_asa");
/// What anything takes at most, on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// What the scripted node does with a request.
#[derive(Clone)]
enum Answer {
    Line(String),
    HangUp,
    Silence,
}

/// A node that answers every request in the same way, and notes what it is asked.
struct Node {
    directory: tempfile::TempDir,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Node {
    fn new(answer: Answer) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        std::fs::create_dir(directory.path().join("asa")).unwrap();
        let listener = UnixListener::bind(directory.path().join("asa/north.sock")).unwrap();
        let noted = heard.clone();
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, answer) = (noted.clone(), answer.clone());
                thread::spawn(move || serve(stream.unwrap(), &noted, &answer));
            }
        });
        Self { directory, heard }
    }

    fn ok(value: &Value) -> Self {
        Self::new(Answer::Line(json!({ "version": 1, "ok": value }).to_string()))
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("asa/north.sock")
    }

    /// Runs a subcommand against this node.
    fn asa(&self, line: &str) -> (i32, String, String) {
        let socket = self.path();
        let args: Vec<&str> = line.split(' ').chain(["--socket", socket.to_str().unwrap()]).collect();
        finish(start(&args, None))
    }
}

fn serve(stream: UnixStream, noted: &Mutex<Vec<Value>>, answer: &Answer) -> Option<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).ok()?;
    noted.lock().unwrap().push(serde_json::from_str(&line).unwrap());
    match answer {
        Answer::Line(line) => (&stream).write_all(format!("{line}\n").as_bytes()).ok(),
        Answer::HangUp => None,
        Answer::Silence => (&stream).read_to_end(&mut Vec::new()).ok().map(drop),
    }
}

fn start(args: &[&str], runtime_directory: Option<&Path>) -> Child {
    let mut command = Command::new(ASA);
    command.args(args).env_remove("RUNTIME_DIRECTORY").env_remove("XDG_RUNTIME_DIR").env("LANG", "C.UTF-8");
    if let Some(directory) = runtime_directory {
        command.env("XDG_RUNTIME_DIR", directory);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Exit code, standard output and standard error, which fit into a pipe.
fn finish(mut child: Child) -> (i32, String, String) {
    let deadline = Instant::now() + BOUND;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the command has not ended");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn status(readiness: &str) -> Value {
    json!({
        "health": {"readiness": readiness, "reasons": if readiness == "ready" { vec![] } else { vec!["a reason"] }},
        "node": {
            "name": "north", "substrate": "insecure-lab", "secure": false, "ready": true, "links": [],
            "missing_interfaces": [], "global": null, "port": 7017, "sessions": 0, "discovery_cache": 0,
            "flood_cache": 0, "counters": {},
        },
        "instances": [], "actors": [], "uptime_s": 1.5, "version": "0.1.0", "pid": 1, "escalations": 0,
        "abandoned_threads": 0,
    })
}

#[test]
fn each_subcommand_asks_for_what_it_says() {
    let moved = |name: &str| {
        json!({"instance": "gray", "move": name, "phase": "installed", "abandoned": 0,
                                    "promises": 0, "purged": []})
    };
    let replaced = json!({"instance": "gray", "from": "0.1.0", "to": "0.2.0", "healthy_after_ms": 1.0,
                          "drained_after_ms": 2.0, "abandoned": 0});
    let drilled = json!([{"instance": "gray", "role": "pool", "life": 1, "happened": "x", "recovered_after_ms": 1.0}]);
    let step = |name: &str| {
        json!({"version": 1, "command": "move", "move": name, "instance": "gray", "force": false,
                                   "purge": false})
    };
    let mut cases = vec![
        ("status", json!({"version": 1, "command": "status"}), status("ready")),
        ("describe", json!({"version": 1, "command": "describe", "instance": null}), json!([])),
        ("describe gray", json!({"version": 1, "command": "describe", "instance": "gray"}), json!([])),
        (
            "uninstall gray --force --purge",
            json!({"version": 1, "command": "move", "move": "uninstall", "instance": "gray", "force": true, "purge": true}),
            moved("uninstall"),
        ),
        (
            "replace gray --with gray@0.2.0",
            json!({"version": 1, "command": "replace", "instance": "gray", "with": "gray@0.2.0"}),
            replaced,
        ),
        ("reload", json!({"version": 1, "command": "reload", "plan": false}), json!({"applied": true, "changes": []})),
        (
            "reload --plan",
            json!({"version": 1, "command": "reload", "plan": true}),
            json!({"applied": false, "changes": []}),
        ),
        (
            "drill pool store-error --instance gray",
            json!({"version": 1, "command": "drill", "role": "pool", "fault": "store-error", "instance": "gray", "count": 1}),
            drilled,
        ),
        ("log-level", json!({"version": 1, "command": "log-level", "level": null}), json!({"level": "info"})),
        ("log-level debug", json!({"version": 1, "command": "log-level", "level": "debug"}), json!({"level": "debug"})),
    ];
    for table in ["discovery", "floods", "sessions", "objectives"] {
        let line: &str = Box::leak(format!("dump {table}").into_boxed_str());
        cases.push((line, json!({"version": 1, "command": "dump", "table": table}), json!([])));
    }
    for name in ["install", "instantiate", "activate", "deactivate", "revoke", "uninstall"] {
        let line: &str = Box::leak(format!("{name} gray").into_boxed_str());
        cases.push((line, step(name), moved(name)));
    }
    for (line, request, answer) in cases {
        let node = Node::ok(&answer);
        let (code, out, err) = node.asa(line);
        assert_eq!((code, err.as_str()), (0, ""), "{line}");
        assert!(out.ends_with('\n'), "{line}: {out}");
        // As JSON it is the answer and nothing else, on one line.
        let (code, out, err) = node.asa(&format!("{line} --json"));
        assert_eq!((code, err.as_str(), out.lines().count()), (0, "", 1), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), answer, "{line}");
        assert_eq!(*node.heard.lock().unwrap(), [request.clone(), request], "{line}");
    }
}

#[test]
fn the_exit_code_of_status_is_its_verdict() {
    for (readiness, expected) in [("ready", 0), ("degraded", 1), ("failing", 1)] {
        let node = Node::ok(&status(readiness));
        let (code, out, err) = node.asa("status");
        assert_eq!((code, err.as_str()), (expected, ""));
        assert!(out.starts_with(readiness) && out.contains("INSECURE: insecure-lab"), "{out}");
        assert!(!out.contains('\u{1b}'), "escape codes in a pipe");
        assert_eq!(node.asa("status --json").0, expected);
    }
}

#[test]
fn nobody_on_the_socket_is_2() {
    let node = Node::ok(&json!([]));
    let stale = node.directory.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    for path in [stale, node.directory.path().join("none.sock")] {
        for command in [&["status"][..], &["describe"], &["activate", "gray"], &["status", "--watch"]] {
            let (code, out, err) = finish(start(&[command, &["--socket", path.to_str().unwrap()]].concat(), None));
            assert_eq!((code, out.as_str()), (2, ""), "{command:?}");
            assert!(err.contains("no node is running here") && err.contains(path.to_str().unwrap()), "{err}");
        }
    }
}

/// ASA-S-02: what a node says reaches the terminal without control characters.
#[test]
fn a_refusal_is_1_and_says_why() {
    let line = json!({"version": 1, "error": {"code": "refused", "message": "cannot\u{1b}[2J activate"}}).to_string();
    let (code, out, err) = Node::new(Answer::Line(line)).asa("activate gray");
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "asa: cannot\\u{1b}[2J activate\n"));
}

#[test]
fn a_strange_node_is_1() {
    let long = format!("{{\"version\":1,\"ok\":\"{}\"}}", "x".repeat(16 << 20));
    for (answer, part) in [
        (Answer::HangUp, "closed the connection without an answer"),
        (Answer::Silence, "no answer within 1 s"),
        (Answer::Line("hello".to_owned()), "no answer of a node"),
        (Answer::Line(r#"{"version":2,"ok":[]}"#.to_owned()), "speaks version 2 of the protocol, this command 1"),
        (Answer::Line(r#"{"version":1,"ok":{"health":7}}"#.to_owned()), "not what this version of asa expects"),
        (Answer::Line(long), "longer than the protocol allows"),
    ] {
        let (code, out, err) = Node::new(answer).asa("status --timeout 1");
        assert_eq!((code, out.as_str()), (1, ""), "{part}");
        assert!(err.contains(part), "{part} is not in {err}");
    }
}

#[test]
fn a_change_or_a_drill_that_did_not_work_is_1() {
    let plan = json!({"applied": true, "changes": [{"what": "gray", "kind": "starts", "keys": [], "error": "no"}]});
    assert_eq!(Node::ok(&plan).asa("reload").0, 1);
    let drill = json!([{"instance": "a", "role": "b", "life": 1, "happened": "x", "recovered_after_ms": null}]);
    assert_eq!(Node::ok(&drill).asa("drill b panic").0, 1);
    assert_eq!(Node::ok(&drill).asa("drill b store-error").0, 0, "nothing has to recover");
    assert_eq!(Node::ok(&json!([])).asa("drill b panic").0, 1, "fewer drills than asked for");
}

#[test]
fn a_node_is_found_by_its_name_or_its_manifest() {
    let node = Node::ok(&status("ready"));
    let runtime = Some(node.directory.path());
    assert_eq!(finish(start(&["status", "--node", "north"], runtime)).0, 0);
    let manifest = node.directory.path().join("north.toml");
    std::fs::write(&manifest, "[node]\nname = 'north'\n").unwrap();
    assert_eq!(finish(start(&["status", "--manifest", manifest.to_str().unwrap()], runtime)).0, 0);
    std::fs::write(&manifest, format!("[control]\nsocket = '{}'\n", node.path().display())).unwrap();
    assert_eq!(finish(start(&["status", "--manifest", manifest.to_str().unwrap()], None)).0, 0);
    let _south = UnixListener::bind(node.directory.path().join("asa/south.sock")).unwrap();
    let (code, _, err) = finish(start(&["status"], runtime));
    assert!(code == 2 && err.contains("north.sock\n") && err.contains("south.sock\n"), "{err}");
}

#[test]
fn a_watch_goes_on_until_it_is_interrupted() {
    let node = Node::ok(&status("degraded"));
    let socket = node.path();
    for (args, blank) in [(&["--watch"][..], true), (&["--watch", "1", "--json"], false)] {
        let mut child = start(&[&["status", "--socket", socket.to_str().unwrap()], args].concat(), None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut blocks, mut blanks) = (0, 0);
        while blocks < 3 {
            let line = lines.next().unwrap().unwrap();
            blocks += u32::from(line.starts_with("degraded: ") || line.starts_with('{'));
            blanks += u32::from(line.is_empty());
            assert!(!blank || !line.starts_with('{'));
        }
        assert_eq!(blanks > 0, blank);
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        lines.for_each(|line| drop(line.unwrap()));
        assert_eq!(finish(child).0, 1);
    }
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    for (readiness, expected) in [("ready", 0), ("failing", 1)] {
        let node = Node::ok(&status(readiness));
        for args in [&["status"][..], &["status", "--watch"]] {
            let socket = node.path();
            let mut child = start(&[args, &["--socket", socket.to_str().unwrap()]].concat(), None);
            drop(child.stdout.take());
            let (code, _, err) = finish(child);
            assert_eq!((code, err.as_str()), (expected, ""), "{args:?}");
        }
    }
}

/// What `asa pool` asks for, what it shows of strange answers, and its exit codes.
#[test]
fn a_pool_is_asked_through_a_query() {
    let blocks = json!({"blocks": [], "more": false});
    let given = json!({"block": "2001:db8::/56", "client": "cpe"});
    let checked = |problems: Value| json!({"records": 3, "compared": true, "problems": problems});
    let fault = json!([{"code": "gap", "what": "a\u{1b}[2J hole"}]);
    let moved = json!({"block": "2001:db8::/48", "way": "out", "moved": true});
    let listing =
        json!({"command": "blocks", "after": null, "within": "2001:db8::/32", "states": ["granted"], "limit": 7});
    let history = json!({"since": "2026-01-01T00:00:00.000Z", "entries": [], "omitted": 0});
    let block = |command: &str| json!({"command": command, "block": "2001:db8::/48"});
    for (line, query, answer, expected) in [
        ("pool doubts", json!({"command": "doubts"}), blocks.clone(), 0),
        ("pool blocks --within 2001:db8::/32 --state granted --limit 7", listing, blocks.clone(), 0),
        ("pool exclude 2001:db8::/48", block("exclude"), blocks.clone(), 0),
        ("pool include 2001:db8::/48", block("include"), blocks.clone(), 0),
        ("pool withdraw 2001:db8::/48", block("withdraw"), blocks, 0),
        (
            "pool delegate cpe 56",
            json!({"command": "take", "client": "cpe", "family": "ipv6", "length": 56}),
            given.clone(),
            0,
        ),
        (
            "pool release cpe 2001:db8::/56",
            json!({"command": "give", "client": "cpe", "block": "2001:db8::/56"}),
            given,
            0,
        ),
        (
            "pool resolve 2001:db8::/48 --as granted",
            json!({"command": "resolve", "block": "2001:db8::/48", "as": "granted"}),
            moved,
            0,
        ),
        (
            "pool history 2001:db8::7 --at 2026-11-21",
            json!({"command": "history", "address": "2001:db8::7", "at": "2026-11-21T00:00:00Z"}),
            history,
            0,
        ),
        ("pool fsck", json!({"command": "fsck"}), checked(json!([])), 0),
        ("pool fsck", json!({"command": "fsck"}), checked(fault), 1),
    ] {
        let node = Node::ok(&answer);
        let (code, out, err) = node.asa(&format!("{line} --instance edge"));
        assert_eq!((code, err.as_str()), (expected, ""), "{line}");
        assert!(out.ends_with('\n') && !out.contains('\u{1b}'), "{line}: {out}");
        let (code, out, _) = node.asa(&format!("{line} --json"));
        assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()), (expected, answer), "{line}");
        let request = |instance: &str| json!({"version": 1, "command": "query", "instance": instance, "query": query});
        assert_eq!(*node.heard.lock().unwrap(), [request("edge"), request("")], "{line}");
    }
    for line in ["pool show", "pool export", "pool explain"] {
        let (code, out, err) = Node::ok(&json!(7)).asa(line);
        assert_eq!((code, out.as_str()), (1, ""), "{line}");
        assert!(err.contains("not what this version of asa expects"), "{err}");
    }
    // A node that never comes to an end of its export is not followed for ever.
    let endless = json!({"export": 1, "records": [], "next": 5});
    let (code, _, err) = Node::ok(&endless).asa("pool export");
    assert!(code == 1 && err.contains("goes on with record 5 after 0"), "{err}");
    let (code, _, err) = Node::ok(&json!({"export": 1, "records": [], "next": 0})).asa("pool export");
    assert!(code == 1 && err.contains("goes on with record 0 after 0"), "{err}");
}
