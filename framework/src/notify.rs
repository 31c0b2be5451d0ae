//! What a node tells systemd about itself: that it is ready, that it lives, that it stops (sd_notify(3)).

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Bytes of a status line; the rest is cut off.
const MAX_STATUS: usize = 512;

/// How long one message may wait for a service manager that does not read.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is wrong with the notification of systemd; the node can run on without.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The address is neither a path nor an abstract name.
    #[error(
        "NOTIFY_SOCKET is {address:?}: expected an absolute path, or @ and a name; unset it to run without systemd"
    )]
    Address {
        /// What was found.
        address: OsString,
    },
    /// The period of the watchdog is not a number above 0.
    #[error("{name} is {value:?}: expected a whole number above 0; unset it to run without a watchdog")]
    Watchdog {
        /// The variable.
        name: &'static str,
        /// What was found.
        value: OsString,
    },
    /// Nothing can be sent.
    #[error("cannot notify systemd at NOTIFY_SOCKET={address:?}: {source}")]
    Send {
        /// The address.
        address: OsString,
        /// Why.
        source: io::Error,
    },
}

/// The way to the service manager; without one, everything succeeds and does nothing.
#[derive(Debug)]
pub struct Notifier {
    to: Option<Manager>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// The address as it was given.
    named: OsString,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` from an environment, such as `std::env::var_os`.
    ///
    /// # Errors
    ///
    /// If one of them is malformed, or there is no socket to be had.
    pub fn new(environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, NotifyError> {
        let to = environment("NOTIFY_SOCKET").filter(|named| !named.is_empty()).map(Manager::new).transpose()?;
        let watchdog = watchdog(&environment)?;
        Ok(Self { to, watchdog })
    }

    /// Returns how often [`Self::watchdog`] is to be called: half the period after which systemd ends the process, or
    /// `None` if no watchdog watches this process.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.to.as_ref().and(self.watchdog).map(|period| period / 2)
    }

    /// Says that the node is ready, at first or again after [`Self::reloading`], with a line on what it does.
    ///
    /// # Errors
    ///
    /// If the message cannot be sent.
    pub fn ready(&self, status: &str) -> Result<(), NotifyError> {
        self.send(|| format!("READY=1\nSTATUS={}\n", line(status)))
    }

    /// Says in a line what the node does.
    ///
    /// # Errors
    ///
    /// If the message cannot be sent.
    pub fn status(&self, status: &str) -> Result<(), NotifyError> {
        self.send(|| format!("STATUS={}\n", line(status)))
    }

    /// Says that the node lives.
    ///
    /// # Errors
    ///
    /// If the message cannot be sent.
    pub fn watchdog(&self) -> Result<(), NotifyError> {
        self.send(|| "WATCHDOG=1\n".to_owned())
    }

    /// Says that the node is about to end.
    ///
    /// # Errors
    ///
    /// If the message cannot be sent.
    pub fn stopping(&self) -> Result<(), NotifyError> {
        self.send(|| "STOPPING=1\n".to_owned())
    }

    /// Says that the node reads its settings again; [`Self::ready`] ends this.
    ///
    /// # Errors
    ///
    /// If the message cannot be sent.
    pub fn reloading(&self) -> Result<(), NotifyError> {
        self.send(|| {
            let now = clock_gettime(ClockId::Monotonic);
            let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
            format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\n")
        })
    }

    fn send(&self, message: impl FnOnce() -> String) -> Result<(), NotifyError> {
        let Some(to) = &self.to else { return Ok(()) };
        let sent = to.socket.send_to_addr(message().as_bytes(), &to.address);
        sent.map(drop).map_err(|source| NotifyError::Send { address: to.named.clone(), source })
    }
}

impl Manager {
    fn new(named: OsString) -> Result<Self, NotifyError> {
        let address = match named.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(&named),
            [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
            _ => return Err(NotifyError::Address { address: named }),
        };
        let Ok(address) = address else { return Err(NotifyError::Address { address: named }) };
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => Ok(Self { socket, address, named }),
            Err(source) => Err(NotifyError::Send { address: named, source }),
        }
    }
}

/// The period of the watchdog, if it watches this process.
fn watchdog(environment: impl Fn(&str) -> Option<OsString>) -> Result<Option<Duration>, NotifyError> {
    let number = |name: &'static str| -> Result<Option<u64>, NotifyError> {
        let Some(value) = environment(name) else { return Ok(None) };
        match value.to_str().and_then(|text| text.parse().ok()).filter(|number| (1..u64::MAX).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(NotifyError::Watchdog { name, value }),
        }
    };
    let Some(microseconds) = number("WATCHDOG_USEC")? else { return Ok(None) };
    let ours = number("WATCHDOG_PID")?.is_none_or(|pid| pid == u64::from(std::process::id()));
    Ok(ours.then_some(Duration::from_micros(microseconds)))
}

/// Makes text one line: a line break would begin another assignment.
fn line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > MAX_STATUS {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        move |name| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn at(socket: &str) -> Notifier {
        Notifier::new(environment(&[("NOTIFY_SOCKET", socket)])).unwrap()
    }

    fn unused_path() -> PathBuf {
        std::env::temp_dir().join(format!("asa-notify-{}", std::process::id()))
    }

    fn receive(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn says_everything(notifier: &Notifier, manager: &UnixDatagram) {
        notifier.ready("2 agents").unwrap();
        assert_eq!(receive(manager), "READY=1\nSTATUS=2 agents\n");
        notifier.status("3 agents").unwrap();
        assert_eq!(receive(manager), "STATUS=3 agents\n");
        notifier.watchdog().unwrap();
        assert_eq!(receive(manager), "WATCHDOG=1\n");
        notifier.reloading().unwrap();
        let reloading = receive(manager);
        let number = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!(number.parse::<u64>().unwrap() > 0);
        notifier.stopping().unwrap();
        assert_eq!(receive(manager), "STOPPING=1\n");
    }

    #[test]
    fn systemd_hears_everything_at_a_path() {
        let path = unused_path();
        let manager = UnixDatagram::bind(&path).unwrap();
        says_everything(&at(path.to_str().unwrap()), &manager);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn systemd_hears_everything_at_an_abstract_name() {
        let name = format!("asa-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        says_everything(&at(&format!("@{name}")), &manager);
    }

    #[test]
    fn a_status_cannot_add_an_assignment() {
        let path = unused_path().with_extension("status");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = at(path.to_str().unwrap());
        notifier.ready("up\nMAINPID=1\r\u{1b}[2J").unwrap();
        assert_eq!(receive(&manager), "READY=1\nSTATUS=up MAINPID=1  [2J\n");
        notifier.status(&"ä".repeat(MAX_STATUS)).unwrap();
        assert_eq!(receive(&manager), format!("STATUS={}\n", "ä".repeat(MAX_STATUS / 2)));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn without_systemd_nothing_is_sent() {
        for pairs in [&[][..], &[("NOTIFY_SOCKET", "")], &[("WATCHDOG_USEC", "30000000")]] {
            let notifier = Notifier::new(environment(pairs)).unwrap();
            assert_eq!(notifier.watchdog_interval(), None);
            for sent in [notifier.ready("up"), notifier.watchdog(), notifier.reloading(), notifier.stopping()] {
                sent.unwrap();
            }
        }
    }

    #[test]
    fn the_watchdog_is_fed_at_half_its_period_by_the_process_it_watches() {
        let pid = std::process::id().to_string();
        let with = |pairs: &[(&str, &str)]| {
            let pairs = [&[("NOTIFY_SOCKET", "/nowhere")], pairs].concat();
            Notifier::new(environment(&pairs)).map(|notifier| notifier.watchdog_interval())
        };
        let half = Some(Duration::from_secs(15));
        assert_eq!(with(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", &pid)]).unwrap(), half);
        assert_eq!(with(&[("WATCHDOG_USEC", "30000000")]).unwrap(), half);
        assert_eq!(with(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")]).unwrap(), None);
        assert_eq!(with(&[]).unwrap(), None);
        for value in ["", "0", "-1", "soon", "18446744073709551615"] {
            let error = with(&[("WATCHDOG_USEC", value)]).unwrap_err().to_string();
            assert!(error.contains("WATCHDOG_USEC") && error.contains("above 0"), "{error}");
        }
    }

    #[test]
    fn an_address_that_is_none_and_a_manager_that_is_gone_are_told() {
        for address in ["relative", "@", "vsock:2:1", &format!("/{}", "long".repeat(100))] {
            let error = Notifier::new(environment(&[("NOTIFY_SOCKET", address)])).unwrap_err().to_string();
            assert!(error.contains(address) && error.contains("absolute path"), "{error}");
        }
        let error = at("/nowhere/at/all").watchdog().unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn a_manager_that_does_not_read_delays_nobody_for_long() {
        let path = unused_path().with_extension("stalled");
        let _manager = UnixDatagram::bind(&path).unwrap();
        let notifier = at(path.to_str().unwrap());
        let refused = (0..100_000).find_map(|_| notifier.watchdog().err());
        std::fs::remove_file(path).unwrap();
        assert!(matches!(refused, Some(NotifyError::Send { .. })));
    }
}
