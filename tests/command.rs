//! The command as a stranger uses it: output, exit codes, signals, on hosts of the laboratory and without a network.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::process::Stream;
use crate::lab::{Child, Host, Peer, Received, in_namespaces, msg};

const ASA: &str = env!("CARGO_BIN_EXE_asa");
/// What anything without human pauses takes at most, on a busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// How long a node may take to end (RFC 9222 §6.2: it leaves nothing behind).
const STOP: Duration = Duration::from_secs(5);

/// Runs the command to its end without a network, with these variables and this input.
fn asa_with(args: &[&str], variables: &[(&str, &str)], input: &str) -> Output {
    let mut command = Command::new(ASA);
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in ["LC_ALL", "LC_CTYPE", "NO_COLOR", "ASA_LOG"] {
        command.env_remove(name);
    }
    command.env("LANG", "C.UTF-8").envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let deadline = Instant::now() + BOUND;
    // What these runs write fits into a pipe.
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("asa {args:?} has not ended");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    process.wait_with_output().unwrap()
}

/// As [`asa_with`], reduced to exit code, standard output and standard error.
fn asa(args: &[&str]) -> (i32, String, String) {
    told(asa_with(args, &[], ""))
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn demo(seed: &str, variables: &[(&str, &str)]) -> (i32, String, String) {
    told(asa_with(&["demo", "--sessions", "5", "--seed", seed, "--pace", "fast"], variables, ""))
}

/// The lines without those that show the wall clock.
fn timeless(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.contains(" UTC from ")).collect()
}

/// GB-H-04, GB-H-06: a seed and a number of sessions give the same dialogue each time, 80 columns wide, without escape
/// codes when it is piped, with a summary and exit code 0.
#[test]
fn the_demo_repeats_itself_and_fits_the_terminal() {
    let (code, out, err) = demo("7", &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().filter(|line| line.contains("negotiation ") && line.contains(": EX3")).count(), 5, "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    assert!(!out.contains('\u{1b}'), "escape codes in a pipe");
    let last = out.lines().last().unwrap();
    assert!(last.starts_with("5 negotiations: ") && last.ends_with(" declined, 0 failed"), "{last}");
    for said in ["Hello, this is Briggs", "Hello, this is Gray", "Недостаточно средств", "Wait started", "Wait ended"]
    {
        assert!(out.contains(said), "{said:?} is not in:\n{out}");
    }
    let (_, again, _) = demo("7", &[]);
    assert_eq!(timeless(&out), timeless(&again));
    assert_ne!(timeless(&out), timeless(&demo("8", &[]).1));
}

/// A session that ends otherwise than by agreement or decline makes the exit code non-zero.
#[test]
fn the_demo_fails_when_a_session_does() {
    let key = |name: &str| format!("ASA__NODES__BRIGGS__ASA__BRIGGS__PARAMETERS__{name}");
    let (least, most) = (key("WAIT_MIN_MS"), key("WAIT_MAX_MS"));
    let (code, out, _) = demo("7", &[(&least, "1000"), (&most, "2000")]);
    assert_eq!(code, 1, "{out}");
    assert!(
        !out.lines().last().unwrap().ends_with(" 0 failed") && out.contains("Negotiation failed: No reply"),
        "{out}"
    );
    let (code, out, err) = demo("7", &[(&least, "soon")]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains(&least) && err.contains("soon"), "{err}");
}

/// GB-B-06: where the terminal has no Cyrillic, it is escaped, and so are the lines of the frame.
#[test]
fn a_terminal_without_unicode_gets_escapes() {
    for variables in [&[("LANG", "C")][..], &[("LC_ALL", "POSIX"), ("LANG", "ru_RU.UTF-8")]] {
        let (code, out, _) = demo("7", variables);
        assert!(code == 0 && out.is_ascii() && out.contains("\\u{41d}\\u{435}"), "{out}");
        assert!(out.lines().all(|line| line.len() <= 80), "{out}");
    }
}

#[test]
fn check_tells_valid_from_wrong() {
    for name in ["config/briggs.toml", "config/gray.toml", "config/demo.toml"] {
        let (code, out, err) = asa(&["check", name]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains("grasp.port"));
    }
    let (code, out, err) = asa(&["check", "config/gray.toml", "--set", "asa.gray.parameters.pace=slow"]);
    assert_eq!((code, out.as_str()), (2, ""));
    for part in ["config/gray.toml", "--set", "asa.gray.parameters.pace", "slow", "\"human\", \"fast\""] {
        assert!(err.contains(part), "{part} is not in:\n{err}");
    }
    assert_eq!(asa(&["check", "config/nothing.toml"]).0, 2);
}

/// A wrong manifest is refused before anything starts: exit code 2, with file, key, value and what is allowed.
#[test]
fn run_refuses_a_wrong_manifest() {
    let path = std::env::temp_dir().join(format!("asa-command-{}.toml", std::process::id()));
    std::fs::write(&path, "[grasp]\nport = 70000\n[asa.one]\nclass = 'grey'\n").unwrap();
    let file = path.to_string_lossy();
    let (code, out, err) = asa(&["run", &file, "--log-format", "json"]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!((code, out.as_str()), (2, ""));
    for part in [&*file, "grasp.port", "70000", "65535", "asa.one.class", "grey", "gray"] {
        assert!(err.contains(part), "{part} is not in:\n{err}");
    }
}

#[test]
fn decode_writes_an_object_for_each_line() {
    let run = |input: &str| told(asa_with(&["decode"], &[], input));
    let (code, out, err) = run("83061a19bc60c2811865\n\n8100\n");
    assert_eq!((code, err.as_str(), out.lines().count()), (0, "", 2));
    let first: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["type"], &first["encoded"]), (&"M_END".into(), &"83061a19bc60c2811865".into()));
    let (code, out, _) = run("8100\nnonsense\n");
    let second: Value = serde_json::from_str(out.lines().nth(1).unwrap()).unwrap();
    assert_eq!((code, second["error"].is_string()), (1, true));
    let (code, out, err) = asa(&["decode", "tests/no-such-file"]);
    assert!(code == 1 && out.is_empty() && err.contains("tests/no-such-file"), "{err}");
}

#[test]
fn usage_errors_exit_with_2_and_help_has_examples() {
    for args in [&["frobnicate"][..], &["run"], &["demo", "--pace", "slow"], &["relay"], &["discover", "EX3"]] {
        let (code, out, err) = asa(args);
        assert!(code == 2 && out.is_empty() && err.contains("--help"), "{args:?}: {err}");
    }
    for name in ["demo", "run", "relay", "check", "decode", "discover", "synchronize", "flood", "get-flood"] {
        let (code, out, err) = asa(&[name, "--help"]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("Example:\n  ") && out.contains(&format!("asa {name}")), "{out}");
    }
}

/// Starts the command on a host.
fn start(host: &Host, args: &[&str]) -> Child {
    let command = host.command(ASA).args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("LANG", "C.UTF-8").env("ASA__GRASP__DEFAULT_TIMEOUT_MS", "20000").spawn()
}

/// A bank that answers in time and soon.
fn briggs(host: &Host, interface: &str) -> Child {
    let mut args = vec!["run", "config/briggs.toml", "--interface", interface, "--log-format", "json"];
    for set in
        ["asa.briggs.parameters.pace=fast", "asa.briggs.parameters.wait_min_ms=15000", "asa.briggs.parameters.seed=1"]
    {
        args.extend(["--set", set]);
    }
    let child = start(host, &args);
    child.wait_line("\"event\":\"ready\"", BOUND);
    child
}

fn gray(host: &Host, interface: &str, sessions: &str) -> Child {
    let fast = "asa.gray.parameters.pace=fast";
    let args = ["run", "config/gray.toml", "--interface", interface, "--log-format", "json", "--sessions", sessions];
    start(host, &[&args[..], &["--set", fast, "--set", "asa.gray.parameters.seed=1"]].concat())
}

/// What was written to a stream; log lines, which begin with the time, left out.
fn written(child: &Child, stream: Stream) -> String {
    let lines = child.lines().into_iter().filter(|line| line.stream == stream && !line.text.contains(" WARN "));
    lines.map(|line| line.text + "\n").collect()
}

/// The objects on standard output; every line is one.
fn objects(child: &Child) -> Vec<Value> {
    let lines = child.lines().into_iter().filter(|line| line.stream == Stream::Stdout);
    lines
        .map(|line| serde_json::from_str(&line.text).unwrap_or_else(|error| panic!("{error}: {}", line.text)))
        .collect()
}

fn ends(child: &Child) -> Vec<Value> {
    objects(child).into_iter().filter(|object| object["event"] == "negotiation_ended").collect()
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn two_hosts_negotiate_and_tell_it_as_json() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let bank = briggs(&hosts[0], "e0");
        let customer = gray(&hosts[1], "e0", "3");
        assert_eq!(customer.finish(BOUND).code(), Some(0), "{}", customer.output());
        bank.signal(Signal::SIGTERM);
        assert_eq!(bank.finish(STOP).code(), Some(0), "{}", bank.output());
        let (ours, theirs) = (ends(&customer), ends(&bank));
        assert_eq!((ours.len(), theirs.len()), (3, 3));
        for (own, other) in ours.iter().zip(&theirs) {
            for (object, role) in [(own, "initiator"), (other, "responder")] {
                let expected =
                    ["asa", "event", "objective", "outcome", "peer", "reason", "role", "session_id", "value"];
                assert_eq!(keys(object), expected);
                assert_eq!((&object["objective"], &object["role"]), (&"EX3".into(), &role.into()));
                assert!(object["peer"].as_str().unwrap().starts_with('['), "{object}");
                let outcome = object["outcome"].as_str().unwrap();
                assert!(["accepted", "declined"].contains(&outcome), "{object}");
                assert_eq!(object["reason"].is_string(), outcome == "declined", "{object}");
                assert!(object["value"][1].is_i64(), "{object}");
            }
            for field in ["session_id", "outcome", "value", "reason"] {
                assert_eq!(own[field], other[field], "{field}");
            }
            assert!(own["session_id"].is_u64());
        }
        let ready = objects(&customer).into_iter().find(|object| object["event"] == "ready").unwrap();
        assert_eq!((ready["node"].as_str(), ready["secure"].as_bool()), (Some("gray"), Some(false)));
        assert_eq!(objects(&bank).last().unwrap()["event"], "stopped");
    });
}

/// A bank on the first host with an open negotiation, held by hand from the second.
fn open_negotiation(lab: &mut crate::lab::Lab) -> (Child, crate::lab::Conn) {
    let hosts = lab.lan(2);
    let bank = briggs(&hosts[0], "e0");
    let peer = Peer::new(&hosts[1], "e0");
    let mut conn = peer.connect(std::net::SocketAddrV6::new(hosts[0].ula("e0"), 7017, 0, 0));
    let value = ciborium::Value::Array(vec!["NZD".into(), 5000.into()]);
    conn.send(&msg::reqneg(9, msg::objective("EX3", 3, 6, Some(value))));
    let Received::Bytes(offer) = conn.recv(STOP) else { panic!("no offer") };
    assert_eq!(offer[..3], msg::hex("83 05 09"), "M_NEGOTIATE");
    (bank, conn)
}

#[test]
fn signals_decline_open_negotiations_and_end_in_time() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        in_namespaces(|lab| {
            let (bank, mut conn) = open_negotiation(lab);
            bank.signal(signal);
            assert_eq!(bank.finish(STOP).code(), Some(0), "{}", bank.output());
            let (bytes, how) = conn.recv_to_end(2000, STOP);
            assert!(bytes.starts_with(&msg::hex("83 06 09 82 1866")), "a decline: {bytes:02x?}");
            assert!(matches!(how, Received::Closed), "{how:?}");
            let ended = ends(&bank);
            assert_eq!((ended.len(), &ended[0]["outcome"]), (1, &"declined".into()), "{}", bank.output());
        });
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    in_namespaces(|lab| {
        let (bank, _conn) = open_negotiation(lab);
        // Stopped, it finds both signals at the same time when it goes on.
        for signal in [Signal::SIGSTOP, Signal::SIGTERM, Signal::SIGINT, Signal::SIGCONT] {
            bank.signal(signal);
        }
        assert_eq!(bank.finish(STOP).code(), Some(130), "{}", bank.output());
    });
}

#[test]
fn a_relay_lets_the_ends_of_a_line_negotiate() {
    in_namespaces(|lab| {
        let hosts = lab.line(3);
        let relay = start(&hosts[1], &["relay", "--interface", "left", "right"]);
        relay.wait_line("relay is ready", BOUND);
        let bank = briggs(&hosts[0], "right");
        let customer = gray(&hosts[2], "left", "2");
        assert_eq!(customer.finish(BOUND).code(), Some(0), "{}\n{}", customer.output(), relay.output());
        assert_eq!((ends(&customer).len(), ends(&bank).len()), (2, 2));
        relay.signal(Signal::SIGINT);
        assert_eq!(relay.finish(STOP).code(), Some(0), "{}", relay.output());
    });
}

#[test]
fn a_network_is_asked_and_told_by_hand() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let _bank = briggs(&hosts[0], "e0");
        let run = |args: &[&str]| {
            let child = start(&hosts[1], &[args, &["--interface", "e0", "--timeout", "700"]].concat());
            let code = child.finish(BOUND).code();
            (code, written(&child, Stream::Stdout) + &written(&child, Stream::Stderr))
        };
        let (code, out) = run(&["discover", "EX3"]);
        assert!(code == Some(0) && out.starts_with(&format!("[{}]:7017 over interface ", hosts[0].ula("e0"))), "{out}");
        let (code, out) = run(&["discover", "EX3", "--json"]);
        let found: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
        assert_eq!((code, keys(&found)), (Some(0), vec!["diverted", "interface", "locator", "name"]));
        let (code, out) = run(&["discover", "Nonsense"]);
        assert_eq!((code, out.as_str()), (Some(1), "asa: nobody offers Nonsense\n"));
        assert_eq!(run(&["discover", "Nonsense", "--json"]), (Some(1), "asa: nobody offers Nonsense\n".to_owned()));
        assert_eq!(run(&["synchronize", "EX2"]), (Some(0), "[1, \"two\", 3]\n".to_owned()));
        let (code, out) = run(&["synchronize", "EX2", "Nonsense"]);
        assert!(code == Some(1) && out.starts_with("EX2: [1, \"two\", 3]\nasa: Nonsense: "), "{out}");
        let peer = format!("[{}]:7017", hosts[0].ula("e0"));
        let (code, out) = run(&["synchronize", "EX2", "--peer", &peer, "--json"]);
        let read: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, read), (Some(0), serde_json::json!({ "name": "EX2", "value": [1, "two", 3] })));
        let (code, out) = run(&["synchronize", "Nonsense"]);
        assert!(code == Some(1) && out.starts_with("asa: Nonsense: Not flooded and no reply"), "{out}");

        let watch = |json: &[&str]| {
            start(&hosts[0], &[&["get-flood", "EX4", "--interface", "e0", "--timeout", "2500"], json].concat())
        };
        let (text, json) = (watch(&[]), watch(&["--json"]));
        // The watchers say nothing before they hear something, so they are told until they do.
        for _ in 0..8 {
            let (code, out) = run(&["flood", "EX4", "{\"a\":[1,true]}"]);
            assert_eq!((code, out.as_str()), (Some(0), "flooded EX4 = {\"a\": [1, true]}\n"));
            if [&text, &json].iter().all(|child| !written(child, Stream::Stdout).is_empty()) {
                break;
            }
        }
        assert_eq!((text.finish(BOUND).code(), json.finish(BOUND).code()), (Some(0), Some(0)));
        assert!(written(&text, Stream::Stdout).starts_with("EX4 = {\"a\": [1, true]}\n"), "{}", text.output());
        assert_eq!(objects(&json)[0]["value"], serde_json::json!({ "a": [1, true] }));
        let (code, out) = run(&["get-flood", "EX5"]);
        assert_eq!((code, out.as_str()), (Some(1), "asa: nobody flooded EX5\n"));
    });
}

/// A node needs no privilege.
#[test]
fn an_ordinary_user_can_run_a_node() {
    in_namespaces(|lab| {
        let hosts = lab.lan(2);
        let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--no-new-privs", "--"];
        let probe = hosts[0].command("setpriv").args(as_nobody).arg(ASA).arg("--version").spawn();
        if !probe.finish(BOUND).success() {
            // Inside a user namespace with one user there is nobody else to be.
            let _ = std::io::stderr().write_all(b"SKIPPED an_ordinary_user_can_run_a_node: no other user here\n");
            return;
        }
        let bank = hosts[0].command("setpriv").args(as_nobody).arg(ASA);
        let bank = bank.args(["run", "config/briggs.toml", "--interface", "e0", "--log-format", "json"]);
        let bank = bank.current_dir(env!("CARGO_MANIFEST_DIR")).spawn();
        bank.wait_line("\"event\":\"ready\"", BOUND);
        let reader = start(&hosts[1], &["synchronize", "EX2", "--interface", "e0"]);
        assert_eq!(reader.finish(BOUND).code(), Some(0), "{}", reader.output());
        bank.signal(Signal::SIGTERM);
        assert_eq!(bank.finish(STOP).code(), Some(0), "{}", bank.output());
    });
}
