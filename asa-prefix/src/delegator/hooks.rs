//! The operator's program that puts blocks to use, in routing or a DHCPv6 server, and takes them out of use (PM-D-06).

use crate::prefix::Prefix;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Longest that a program may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of its complaint that are repeated.
const COMPLAINT: usize = 200;

/// Which program to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Run as `PROGRAM use PREFIX CLIENT` before a client hears of its block; if it fails, the client does not get the block.
    pub before_use: Option<PathBuf>,
    /// Run as `PROGRAM release PREFIX` after a block is no longer a client's.
    pub after_release: Option<PathBuf>,
}

/// Runs a program with arguments that no shell ever sees; its environment is empty but for `PATH`.
///
/// # Errors
///
/// It cannot be started, takes longer than 10 s (then it is killed), or ends otherwise than with exit code 0.
pub(super) async fn run(program: PathBuf, arguments: Vec<String>) -> Result<(), String> {
    let name = program.display().to_string();
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
    let output = match tokio::time::timeout(LIMIT, child.wait_with_output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("{name}: {error}")),
        Err(_) => return Err(format!("{name} did not end within {} s and was killed", LIMIT.as_secs())),
    };
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint: String = complaint.trim().chars().take(COMPLAINT).filter(|c| !c.is_control()).collect();
    Err(format!("{name} ended with {}: {complaint}", output.status))
}

impl Hooks {
    /// What to run before a client uses a block.
    pub(super) fn using(&self, block: Prefix, client: &str) -> Option<(PathBuf, Vec<String>)> {
        let program = self.before_use.clone()?;
        Some((program, vec!["use".into(), block.to_string(), client.to_owned()]))
    }

    /// What to run when a block is no longer a client's.
    pub(super) fn released(&self, block: Prefix) -> Option<(PathBuf, Vec<String>)> {
        let program = self.after_release.clone()?;
        Some((program, vec!["release".into(), block.to_string()]))
    }
}
