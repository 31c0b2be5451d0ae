//! The laboratory: hosts that are network namespaces, links between them, processes on them and a scripted GRASP peer.
//!
//! Nothing here touches the network of the machine: every host, and the switch of a larger link, lives in a fresh
//! anonymous network namespace that the kernel discards with its last user.

// Each helper serves some test, but not every helper is in use at any one time.
#![allow(dead_code, unused_imports)]

pub(crate) mod cbor;
pub(crate) mod conn;
pub(crate) mod msg;
pub(crate) mod namespace;
mod netlink;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod topology;

use std::any::type_name;
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use conn::{Conn, Received};
pub(crate) use namespace::{Host, Task};
pub(crate) use peer::{Datagram, Peer, Response};
pub(crate) use process::Child;
pub(crate) use topology::{Addresses, Lab};

/// Set to `1`, it makes every test of the laboratory pass without running.
const SKIP: &str = "ASA_SKIP_NETNS";

/// Set in the environment of a test that already runs inside a user namespace of its own.
const INSIDE: &str = "ASA_LAB_IN_USER_NAMESPACE";

/// How long a test may take when it runs again inside a user namespace.
const RERUN_BOUND: Duration = Duration::from_secs(300);

/// Runs the body of a test with an empty laboratory.
///
/// With the right to make network namespaces the body runs here. Without it the test runs again, alone, as root of
/// a user namespace, and the result of that run is the result of this call. When that is refused too the test fails with
/// a line that says what to enable. Call it once per test, from the thread of the test.
///
/// # Panics
///
/// Panics when the body does, and when no namespaces can be had.
pub(crate) fn in_namespaces<F: FnOnce(&mut Lab)>(body: F) {
    let test = test_name::<F>();
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        // Not eprintln!: libtest would swallow the line, since the test passes. One write, so that the line stays whole.
        let line = format!("SKIPPED {test}: {SKIP}=1, so no network namespaces are made\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return;
    }
    match namespace::may_create() {
        Ok(()) => body(&mut Lab::new()),
        Err(_) if std::env::var_os(INSIDE).is_none() => run_in_user_namespace(&test),
        Err(error) => panic!("{}", what_to_enable(&error.to_string())),
    }
}

/// Polls until `ready` gives a value.
///
/// # Panics
///
/// Panics with `what` when that takes longer than `bound`.
pub(crate) fn poll<T>(what: &str, bound: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {bound:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The name libtest knows the running test by.
fn test_name<F>() -> String {
    // libtest names the thread of a test after it, except when it runs tests one at a time, on the main thread. The type
    // of the body, a closure inside the test function, tells then.
    match thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        Some(_) | None => {
            let path = type_name::<F>();
            let path = path.split_once("::").map_or(path, |(_, rest)| rest);
            path.split("::{{closure}}").next().unwrap_or(path).to_owned()
        }
    }
}

fn run_in_user_namespace(test: &str) {
    let program = std::env::current_exe().expect("the path of the test binary");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "--"]).arg(program);
    command.args(["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"]).env(INSIDE, "1");
    let rerun = match Child::start(command) {
        Ok(rerun) => rerun,
        Err(error) => panic!("{}", what_to_enable(&format!("unshare (util-linux): {error}"))),
    };
    let status = rerun.finish(RERUN_BOUND);
    let output = rerun.output();
    assert!(output.contains("running 1 test"), "{}", what_to_enable(output.trim()));
    // The count matters: a run that filtered the test out would also end well.
    let passed = status.success() && output.contains("1 passed");
    assert!(passed, "{test} failed inside its user namespace ({status}):\n{output}");
}

fn what_to_enable(cause: &str) -> String {
    let cause = cause.replace('\n', "; ");
    format!(
        "cannot make network namespaces ({cause}): run as root, or allow user namespaces (sysctl \
         kernel.unprivileged_userns_clone=1, user.max_user_namespaces>0, \
         kernel.apparmor_restrict_unprivileged_userns=0), or set {SKIP}=1 to skip"
    )
}
