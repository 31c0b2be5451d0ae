//! A group with Python members: the encryption is the same on both sides, and other groups on the link do not matter.
//!
//! The Python programs import the key file that `asa keys quads make` has written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use grasp::substrate::Quads;
use grasp::substrate::quads::GroupKey;
use grasp::wire::Limits;

use super::prefix::{Program, cells, python_asks, we_ask};
use super::{Make, Place, START, asked, matrix, ours, talk};
use crate::lab::process::HostCommand;
use crate::lab::{Child, Host};

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
        let complaints =
            child.output().lines().filter(|line| line.contains("WARN") || line.contains("\"warn\"")).count();
        if *make == Make::Ours && complaints > 0 {
            problems.push(format!("our bank of another group complained {complaints} times"));
        }
    }
    problems
}
