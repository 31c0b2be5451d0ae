//! Programs running on a host.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespace::Host;

/// How long a killed process may take to be reaped.
const REAP_BOUND: Duration = Duration::from_secs(5);

/// A program to be started on a host.
pub(crate) struct HostCommand {
    host: Host,
    command: Command,
}

impl HostCommand {
    pub(super) fn new(host: &Host, program: &Path) -> Self {
        Self { host: host.clone(), command: Command::new(program) }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Starts the program. It lives in the namespace of the host, reads nothing, and its output is captured.
    ///
    /// # Panics
    ///
    /// Panics when it cannot be started.
    pub(crate) fn spawn(self) -> Child {
        let Self { host, command } = self;
        let shown = format!("{command:?}");
        host.run(|| Child::start(command)).unwrap_or_else(|error| panic!("{}: {shown}: {error}", host.name()))
    }
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A line a process wrote.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// When the laboratory read it.
    pub(crate) at: Instant,
    pub(crate) stream: Stream,
    pub(crate) text: String,
}

/// What a process wrote so far, and how many of its two streams are still open.
#[derive(Default)]
struct Output {
    lines: Vec<Line>,
    open: usize,
}

/// A running process. Dropped, it is killed and reaped.
pub(crate) struct Child {
    process: Mutex<std::process::Child>,
    pid: u32,
    output: Arc<(Mutex<Output>, Condvar)>,
    readers: Vec<JoinHandle<()>>,
}

impl Child {
    /// Starts the command in the namespace of the calling thread.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        let stdout = process.stdout.take().expect("the standard output");
        let stderr = process.stderr.take().expect("the standard error");
        let output = Arc::new((Mutex::new(Output { lines: Vec::new(), open: 2 }), Condvar::new()));
        let readers = vec![read(stdout, Stream::Stdout, &output), read(stderr, Stream::Stderr, &output)];
        Ok(Self { pid: process.id(), process: Mutex::new(process), output, readers })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.output.0.lock().expect("the output").lines.clone()
    }

    /// The text of every line so far.
    pub(crate) fn output(&self) -> String {
        self.lines().iter().fold(String::new(), |all, line| all + &line.text + "\n")
    }

    /// Waits for a line that contains `pattern`, which may have been written before the call.
    ///
    /// # Panics
    ///
    /// Panics with the whole output when the line does not come in time, or cannot come any more.
    pub(crate) fn wait_line(&self, pattern: &str, timeout: Duration) -> Line {
        self.wait_line_from(0, pattern, timeout)
    }

    /// Waits as [`Child::wait_line`] does, for a line that is not among the first `from` lines.
    pub(crate) fn wait_line_from(&self, from: usize, pattern: &str, timeout: Duration) -> Line {
        let deadline = Instant::now() + timeout;
        let (output, changed) = &*self.output;
        let mut output = output.lock().expect("the output");
        loop {
            if let Some(line) = output.lines.iter().skip(from).find(|line| line.text.contains(pattern)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || output.open == 0 {
                // Released first, so that the panic does not poison it for the destructor.
                drop(output);
                panic!("no line with {pattern:?} within {timeout:?}; the output of {self:?} is:\n{}", self.output());
            }
            output = changed.wait_timeout(output, left).expect("the output").0;
        }
    }

    /// Sends the process a signal.
    ///
    /// # Panics
    ///
    /// Panics when the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // Under the lock and only while unreaped: afterwards the identifier may be that of another process.
        let mut process = self.process.lock().expect("the process");
        let ended = process.try_wait().expect("the state of the process");
        assert!(ended.is_none(), "{signal} for {self:?}, which has ended: {ended:?}");
        let pid = Pid::from_raw(i32::try_from(self.pid).expect("a process identifier"));
        kill(pid, signal).expect("a signal to an own child");
    }

    /// The exit status, once the process has ended.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        self.process.lock().expect("the process").try_wait().expect("the state of the process")
    }

    /// Waits until the process has ended by itself, and its output is complete.
    ///
    /// # Panics
    ///
    /// Panics with the whole output when that takes longer than `timeout`.
    pub(crate) fn finish(&self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            let status = self.exit_status();
            let complete = self.readers.iter().all(JoinHandle::is_finished);
            if let Some(status) = status
                && complete
            {
                return status;
            }
            assert!(Instant::now() < deadline, "{self:?} has not ended within {timeout:?}:\n{}", self.output());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills and reaps the process, unless it has ended.
    pub(crate) fn kill(&self) {
        // Not the panicking accessors: this also runs while a test is failing.
        let Ok(mut process) = self.process.lock() else { return };
        let _ = process.kill();
        let deadline = Instant::now() + REAP_BOUND;
        while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Collects the lines of a stream until its end.
fn read(stream: impl Read + Send + 'static, which: Stream, output: &Arc<(Mutex<Output>, Condvar)>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    let body = move || {
        let (lines, changed) = &*output;
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(bytes) = line else { break };
            let text = String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned();
            let Ok(mut output) = lines.lock() else { return };
            output.lines.push(Line { at: Instant::now(), stream: which, text });
            changed.notify_all();
        }
        let Ok(mut output) = lines.lock() else { return };
        output.open -= 1;
        changed.notify_all();
    };
    thread::Builder::new().name("output".to_owned()).spawn(body).expect("a thread")
}
