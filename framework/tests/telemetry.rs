//! The log of a whole process, which can be set up only once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Write};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use asa_framework::telemetry::{BoxMakeWriter, Format, InitError, Limits, Settings, init};
use serde_json::Value;
use tracing_log::log;

/// How long a line may take on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

/// Hands each line over.
struct Lines(Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The test has ended if nobody takes it.
        let _ = self.0.send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_of_a_process_follows_its_levels_and_tells_its_repeats() {
    let (sender, lines) = channel();
    let writer = move || Lines(sender.clone());
    let next = || serde_json::from_slice::<Value>(&lines.recv_timeout(BOUND).unwrap()).unwrap();
    let settings = Settings {
        format: Format::Json,
        levels: "warn".to_owned(),
        levels_override: Some("loud".into()),
        colours: false,
        repeats: Limits { burst: 1, every: Duration::from_millis(100), entries: 8 },
    };
    let telemetry = init(&settings, BoxMakeWriter::new(writer)).unwrap();
    let refused = next();
    assert_eq!((&refused["message"], &refused["level"]), (&"ASA_LOG is not used".into(), &"WARN".into()));
    assert!(refused["error"].as_str().unwrap().contains("\"loud\" is not a level"));
    assert!(matches!(init(&settings, BoxMakeWriter::new(io::sink)), Err(InitError::AlreadySet)));

    // Nothing recurs, so the count comes from the thread.
    let span = tracing::error_span!("life", asa = "gray", role = "pool");
    span.in_scope(|| (0..1000).for_each(|_| tracing::error!("no room")));
    let (mut written, mut counted) = (0, 0);
    while written + counted < 1000 {
        let line = next();
        assert_eq!((&line["asa"], &line["role"], &line["level"]), (&"gray".into(), &"pool".into(), &"ERROR".into()));
        match line["message"].as_str().unwrap().strip_prefix("no room … repeated ") {
            Some(times) => counted += times.split(' ').next().unwrap().parse::<u32>().unwrap(),
            None => written += 1,
        }
    }
    assert_eq!(written + counted, 1000);
    assert!(counted > 0);

    // Records of the `log` crate follow levels that are raised later, and keep where they come from.
    log::debug!(target: "actix::mailbox", "not now");
    telemetry.levels().set("warn,actix=debug").unwrap();
    log::debug!(target: "actix::mailbox", "now");
    let line = next();
    let shown = ["level", "target", "message"].map(|name| line[name].as_str().unwrap());
    assert_eq!(shown, ["DEBUG", "actix::mailbox", "now"]);
    assert_eq!(line.as_object().unwrap().len(), 4, "{line}");
}
