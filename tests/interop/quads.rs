//! A group with Python members: the encryption is the same on both sides, and other groups on the link do not matter.
//!
//! The Python programs import the key file that `asa keys quads make` has written.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddrV6;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use grasp::substrate::quads::GroupKey;
use grasp::substrate::{Quads, Substrate};
use grasp::wire::{Limits, Message, Objective, Value, decode};

use super::prefix::{Program, cells, python_asks, we_ask};
use super::{Make, Place, START, asked, matrix, ours, talk};
use crate::lab::process::HostCommand;
use crate::lab::{Child, Host, Lab, Peer, Received, in_namespaces};

/// The password of the group that a program belongs to; `None` encrypts nothing.
pub(super) type Group = Option<&'static str>;

/// Everybody in the tests has it, except strangers.
const PASSWORD: Group = Some("Gruppe für Tests");
/// And those have these.
const OTHERS: [&str; 2] = ["another", "test"];

/// EX-Q-01, EX-Q-02, EX-Q-03: with banks of two other groups on the link.
#[test]
fn members_on_one_link() {
    matrix(Place::OneLink, PASSWORD);
}

/// EX-R-05: our relay opens and seals what it passes on.
#[test]
fn members_across_our_relay() {
    matrix(Place::OurRelay, PASSWORD);
}

/// EX-R-05
#[test]
fn members_across_the_python_relay() {
    matrix(Place::PythonRelay, PASSWORD);
}

/// EX-Q-01 with PM-W-03
#[test]
fn a_python_delegator_obtains_from_our_origin() {
    cells(&[(Program::Pfxm3, PASSWORD)], python_asks);
}

/// EX-Q-01 with PM-W-03
#[test]
fn our_delegator_obtains_from_a_python_origin() {
    cells(&[(Program::Pfxm3, PASSWORD)], we_ask);
}

/// EX-Q-07: what `quadsmaker` writes and what we write are the same, byte for byte; ours takes theirs over.
#[test]
fn key_files_of_quadsmaker_are_ours() {
    if asked("quadsmaker").is_none() {
        return;
    }
    let graspy = PathBuf::from(std::env::var_os("GRASPY_DIR").unwrap());
    for password in ["test", "quote'", "\"both'", "пароль", "autonomic"] {
        let place = tempfile::tempdir().unwrap();
        let script = "import getpass, os, runpy, sys\n\
                      getpass.getpass = lambda *_: os.environ['PASSWORD']\n\
                      runpy.run_path(sys.argv[1])\n";
        let mut quadsmaker = Command::new("python3");
        quadsmaker.args(["-c", script]).arg(graspy.join("quadsmaker.py")).env("PASSWORD", password);
        let made = quadsmaker.current_dir(place.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let theirs = fs::read(place.path().join("quadsk.py")).unwrap();
        assert_eq!(theirs, fs::read(directory(password).join("quadsk.py")).unwrap(), "{password}");
        let (from, to) = (place.path().join("quadsk.py"), place.path().join("quads.key"));
        let mut import = Command::new(env!("CARGO_BIN_EXE_asa"));
        let import = import.args(["keys", "quads", "import"]).arg(from).arg("--out").arg(&to).output().unwrap();
        assert!(import.status.success(), "{import:?}");
        assert_eq!(fs::read(to).unwrap(), theirs);
    }
}

/// A bank of ours in the group and, on another host, a scripted peer.
fn bank_and_peer(lab: &mut Lab) -> (Child, Peer, SocketAddrV6) {
    let hosts = lab.lan(2);
    let manifest = format!("{}/config/briggs.toml", env!("CARGO_MANIFEST_DIR"));
    let arguments = ["run", &manifest, "--interface", "e0", "--log-format", "json", "--set", "grasp.port=7018"];
    let bank = ours_in(PASSWORD, hosts[0].command(env!("CARGO_BIN_EXE_asa")).args(arguments)).spawn();
    bank.wait_line("\"ready\"", START);
    (bank, Peer::new(&hosts[1], "e0"), SocketAddrV6::new(hosts[0].ula("e0"), 7018, 0, 0))
}

/// EX-Q-04 on a real network: a ciphertext byte by byte, and two in one segment.
#[test]
fn ciphertexts_in_any_segments_are_opened() {
    in_namespaces(|lab| {
        let (_bank, peer, to) = bank_and_peer(lab);
        let quads = member(PASSWORD.unwrap());
        let request = |session_id| {
            let objective = Objective::synchronization("EX2");
            quads.seal(1, Message::RequestSynchronization { session_id, objective }.encode())
        };
        let mut conns = [peer.connect(to), peer.connect(to)];
        conns[0].send_slowly(&request(7), Duration::from_millis(20));
        conns[1].send(&[quads.seal(1, Message::Noop.encode()), request(8)].concat());
        for (session, mut conn) in (7..).zip(conns) {
            let sealed = conn.recv(Duration::from_secs(5)).bytes();
            let answer = decode(&quads.open(1, sealed).unwrap(), &Limits::default()).unwrap();
            assert!(matches!(&answer, Message::Synch { session_id, .. } if *session_id == session), "{answer:?}");
        }
    });
}

/// EX-Q-05 on a real network: the kernel gives nothing away either.
#[test]
fn every_failure_looks_the_same_from_outside() {
    in_namespaces(|lab| {
        let (_bank, peer, to) = bank_and_peer(lab);
        let quads = member(PASSWORD.unwrap());
        let value = Value::item("a text that fills more than one block").unwrap();
        let objective = Objective::synchronization("EX2").with_value(value);
        let item = Message::RequestSynchronization { session_id: 7, objective }.encode();
        let good = quads.seal(1, item.clone());
        let mut padding = good.clone();
        padding[good.len() - 17] ^= 1;
        let kinds = [
            ("padding", padding),
            ("no item", quads.seal(1, vec![0xff; 30])),
            ("no message", quads.seal(1, vec![0x78, 25, 64, 64, 64])),
            ("unknown type", quads.seal(1, vec![0x82, 0x18, 0x2a, 7])),
            ("another key", member(OTHERS[0]).seal(1, item.clone())),
            ("clear", item.clone()),
            ("cut", good[..good.len() - 16].to_vec()),
        ];
        // Alone, with its direction ended, with more behind it, and with more than any message has.
        for (shut, more) in [(false, 0), (true, 0), (false, 1500), (false, 6000)] {
            let open = kinds.iter().map(|(what, bytes)| {
                let mut conn = peer.connect(to);
                let started = Instant::now();
                conn.send(bytes);
                std::thread::sleep(Duration::from_millis(5));
                conn.send(&vec![0; more]);
                if shut {
                    conn.shutdown_write();
                }
                (what, conn, started)
            });
            for (what, mut conn, started) in open.collect::<Vec<_>>() {
                let (answer, end) = conn.recv_to_end(1000, Duration::from_secs(8));
                let time = started.elapsed();
                assert_eq!(answer, [0; 0], "{what}");
                assert_eq!(end, if more > 3000 { Received::Reset } else { Received::Closed }, "{what} {more}");
                assert!((4900..5400).contains(&time.as_millis()), "{what} {more}: {time:?}");
            }
        }
        let mut conn = peer.connect(to);
        conn.send(&good);
        assert!(quads.open(1, conn.recv(Duration::from_secs(5)).bytes()).is_some());
    });
}

/// A member that opens what passes on the wire.
pub(super) fn member(password: &str) -> Quads {
    Quads::new(GroupKey::from_password(password).unwrap(), Limits::default())
}

/// Lets a program of ours join the group.
pub(super) fn ours_in(group: Group, command: HostCommand) -> HostCommand {
    let Some(password) = group else { return command };
    let file = directory(password).join("quadsk.py");
    command.env("ASA__GRASP__SUBSTRATE", "quads").env("ASA__GRASP__QUADS__KEY", format!("file:{}", file.display()))
}

/// Lets a Python program join the group.
pub(super) fn python_in(group: Group, command: HostCommand) -> HostCommand {
    let Some(password) = group else { return command };
    command.env("ASA_INTEROP_KEYS", directory(password))
}

/// A directory with the key file of the group, under the name that Python imports.
fn directory(password: &str) -> PathBuf {
    static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(format!("keys-{}", std::process::id()));
    let directory = all.join(grasp::hex::encode(password.as_bytes()));
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.insert(directory.clone()) {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let (secret, file) = (directory.join("password"), directory.join("quadsk.py"));
        asa_framework::secret::write_secret(&secret, password.as_bytes()).unwrap();
        let mut make = Command::new(env!("CARGO_BIN_EXE_asa"));
        make.args(["keys", "quads", "make", "--from", &format!("file:{}", secret.display()), "--out"]).arg(&file);
        let make = make.output().unwrap();
        assert!(make.status.success(), "{make:?}");
    }
    directory
}

/// Banks of two other groups: one of ours and one in Python.
pub(super) fn strangers(hosts: &[Host], outside: &Path, limit: Duration) -> Vec<(Make, Child)> {
    let own = ours(&hosts[0], "briggs", "e0", "fast", None, Some(OTHERS[0]));
    own.wait_line("\"ready\"", START);
    let runner = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/runner.py");
    let seconds = (limit + START * 2).as_secs().to_string();
    let python = hosts[1].command("python3").args([runner, "--sleep-scale", "0.1", "--seconds", &seconds, "Briggs"]);
    let python = python_in(Some(OTHERS[1]), python).env("ASA_INTEROP_OUTSIDE", outside).spawn();
    python.wait_line("Ready to negotiate EX3", START);
    vec![(Make::Ours, own), (Make::Python, python)]
}

/// What has disturbed the strangers: anything that they heard, or complained about.
pub(super) fn undisturbed(group: Group, strangers: &[(Make, Child)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (make, child) in strangers {
        assert!(group.is_some() && child.exit_status().is_none(), "a stranger has ended: {}", child.output());
        let heard = match make {
            Make::Ours => talk::our_ends(child).len(),
            Make::Python => talk::python_bank_agreements(child).len(),
        };
        if heard > 0 {
            problems.push(format!("a bank of another group ({make:?}) had {heard} negotiations"));
        }
        problems.extend(talk::python_trouble(child));
        let output = child.output();
        let later = output.lines().skip_while(|line| !line.contains("\"ready\""));
        let complaints = later.filter(|line| *make == Make::Ours && line.contains("WARN"));
        problems.extend(complaints.map(|line| format!("our bank of another group complained: {line}")));
    }
    problems
}
