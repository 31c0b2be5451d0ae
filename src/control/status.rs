//! `asa status`: once, or again and again.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use asa_framework::control::{Command, StatusReport};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::status_text::render;
use super::{QUESTION, REFUSED, Trouble, client, find, json_line, lines_shown, look, print, understand};
use crate::cli::control::StatusArgs;
use crate::lines::Lines;
use crate::node;
use crate::output::Look;
use crate::run::LAST_LINES;

/// The height of a terminal that does not say how high it is.
const ROWS: usize = 24;

/// Shows the status; the exit code is the verdict.
pub(super) fn run(args: &StatusArgs) -> anyhow::Result<u8> {
    let path = match find::socket(&args.node) {
        Ok(path) => path,
        Err(trouble) => return Ok(trouble.tell()),
    };
    let limit = Duration::from_secs(args.node.timeout.unwrap_or(QUESTION).into());
    node::block_on(false, async {
        let first = once(&path, limit, args.node.json).await;
        match (first, args.watch) {
            (Ok((text, code)), None) => print(&text, code),
            (Err(trouble), _) => Ok(trouble.tell()),
            (Ok(first), Some(seconds)) => watch(args, &path, limit, first, seconds).await,
        }
    })?
}

/// The status as text that ends with a line end, and the exit code for it.
async fn once(path: &Path, limit: Duration, json: bool) -> Result<(String, u8), Trouble> {
    shown(look(), client::ask(path, Command::Status, limit).await?, json)
}

fn shown(look: Look, value: Value, json: bool) -> Result<(String, u8), Trouble> {
    let code = if value["health"]["readiness"] == "ready" { 0 } else { REFUSED };
    if json {
        return Ok((json_line(&value), code));
    }
    let report: StatusReport = understand(value)?;
    Ok((render(look, &report).join("\n") + "\n", code))
}

/// Shows the status every so many seconds until Ctrl-C or until nobody reads it, also while the node is away for a time.
async fn watch(
    args: &StatusArgs,
    path: &Path,
    limit: Duration,
    first: (String, u8),
    seconds: u32,
) -> anyhow::Result<u8> {
    let json = args.node.json;
    let mut screen = Screen { out: Lines::stdout(), redraws: !json && io::stdout().is_terminal(), blocks: 0 };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut ticks = interval(Duration::from_secs(seconds.into()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let (mut text, mut code) = first;
    while screen.show(&text, json)? {
        let next = async {
            ticks.tick().await;
            once(path, limit, json).await
        };
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            answer = next => (text, code) = answer.unwrap_or_else(|trouble| away(&trouble, json)),
        }
    }
    match screen.out.finish(LAST_LINES) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::TimedOut) => Err(error.into()),
        Ok(()) | Err(_) => Ok(code),
    }
}

/// What is shown while there is no status; among JSON objects it is an object too.
fn away(trouble: &Trouble, json: bool) -> (String, u8) {
    let text = if json {
        json_line(&serde_json::json!({ "error": trouble.to_string() }))
    } else {
        lines_shown(look(), &trouble.to_string()) + "\n"
    };
    (text, trouble.code())
}

/// Where one status after another is shown.
struct Screen {
    out: Lines,
    redraws: bool,
    blocks: u64,
}

impl Screen {
    /// Shows a text, unless the last one has not been read yet; tells whether anybody still reads.
    fn show(&mut self, text: &str, json: bool) -> io::Result<bool> {
        if !self.out.is_idle() {
            return Ok(true);
        }
        let block = if self.redraws {
            redrawn(text, rows())
        } else if self.blocks > 0 && !json {
            format!("\n{text}")
        } else {
            text.to_owned()
        };
        self.blocks += 1;
        match self.out.write_all(block.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn rows() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.ok().map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0).unwrap_or(ROWS)
}

/// A text drawn over the last one, without flicker: each line clears its rest, and the last one what is below.
fn redrawn(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = rows.saturating_sub(1).max(1);
    let mut block = String::from("\u{1b}[H");
    let (whole, left) = if lines.len() <= room { (lines.len(), 0) } else { (room - 1, lines.len() + 1 - room) };
    for line in &lines[..whole] {
        block += line;
        block += "\u{1b}[K\n";
    }
    if left > 0 {
        block += &format!("... {left} more lines\u{1b}[K\n");
    }
    // The line end last: what writes it sends whole lines.
    block.insert_str(block.len() - 1, "\u{1b}[J");
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_exit_code_is_the_verdict() {
        for (readiness, code) in [("ready", 0), ("degraded", 1), ("failing", 1)] {
            let value = json!({ "health": { "readiness": readiness, "reasons": [] } });
            assert_eq!(shown(Look::new(false, true), value.clone(), true).unwrap(), (format!("{value}\n"), code));
            let trouble = shown(Look::new(false, true), value, false).unwrap_err();
            assert!(trouble.code() == 1 && trouble.to_string().contains("missing field `node`"), "{trouble}");
        }
    }

    #[test]
    fn a_drawing_fits_the_terminal() {
        assert_eq!(redrawn("a\nb\n", 24), "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\u{1b}[J\n");
        let long: String = (1..=30).map(|number| format!("{number}\n")).collect();
        let drawn = redrawn(&long, 10);
        assert!(drawn.lines().count() == 9 && drawn.contains("\n8\u{1b}[K\n"), "{drawn:?}");
        assert!(drawn.ends_with("... 22 more lines\u{1b}[K\u{1b}[J\n"), "{drawn:?}");
        assert_eq!(redrawn("a\nb\n", 0).lines().count(), 1);
    }
}
