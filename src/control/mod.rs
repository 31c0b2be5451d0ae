//! `asa status` and its like: asks a running node, over its control socket.

pub(crate) mod client;
pub(crate) mod find;
mod life;
mod operate;
mod show;
mod status;
mod status_text;
pub(crate) mod text;

use std::io::{self, Write};
use std::time::Duration;

use asa_framework::control as protocol;
use asa_framework::lifecycle::Move;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::control::{Control, NodeArgs};
use crate::node;
use crate::output::Look;

/// The node refused, failed, or is not well.
pub(crate) const REFUSED: u8 = 1;
/// Nobody is on the socket, or nobody knows which socket is meant.
const NOBODY: u8 = 2;
/// How long a question may take, in seconds.
pub(crate) const QUESTION: u32 = 10;
/// How long a change may take, in seconds: agents end their work first.
pub(crate) const CHANGE: u32 = 900;

/// Why there is no answer to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nobody could be asked.
    #[error("{0}")]
    Nobody(String),
    /// Somebody was asked, and it did not work.
    #[error("{0}")]
    Failed(String),
}

impl Trouble {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Nobody(_) => NOBODY,
            Self::Failed(_) => REFUSED,
        }
    }

    /// Says it on standard error, and returns the exit code.
    pub(crate) fn tell(&self) -> u8 {
        // Nobody is left to be told that nobody reads this.
        let _ = writeln!(io::stderr().lock(), "asa: {}", lines_shown(look(), &self.to_string()));
        self.code()
    }
}

/// What a subcommand shows, and its exit code.
pub(crate) type Shown = Result<(String, u8), Trouble>;

/// Carries out a subcommand.
pub(crate) fn run(command: Control) -> anyhow::Result<u8> {
    let shown = match command {
        Control::Status(args) => return status::run(&args),
        Control::Describe(args) => show::describe(args)?,
        Control::Dump(args) => show::dump(&args)?,
        Control::Install(args) => life::step(Move::Install, args)?,
        Control::Instantiate(args) => life::step(Move::Instantiate, args)?,
        Control::Activate(args) => life::step(Move::Activate, args)?,
        Control::Deactivate(args) => life::step(Move::Deactivate, args)?,
        Control::Revoke(args) => life::step(Move::Revoke, args)?,
        Control::Uninstall(args) => life::uninstall(args)?,
        Control::Replace(args) => life::replace(args)?,
        Control::Reload(args) => operate::reload(&args)?,
        Control::Drill(args) => operate::drill(args)?,
        Control::LogLevel(args) => operate::log_level(args)?,
    };
    match shown {
        Ok((text, code)) => print(&text, code),
        Err(trouble) => Ok(trouble.tell()),
    }
}

/// Asks the node that is meant, and turns its answer into text and exit code; with `--json` the answer is the text.
pub(crate) fn ask<T: DeserializeOwned>(
    args: &NodeArgs,
    limit: u32,
    command: protocol::Command,
    show: impl FnOnce(Look, T) -> String,
    code: impl FnOnce(&T) -> u8,
) -> anyhow::Result<Shown> {
    let value = match answer(args, limit, command)? {
        Ok(value) => value,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let json = args.json.then(|| json_line(&value));
    Ok(understand(value).map(|answer: T| {
        let code = code(&answer);
        (json.unwrap_or_else(|| show(look(), answer)), code)
    }))
}

/// What the node that is meant answers.
pub(crate) fn answer(
    args: &NodeArgs,
    limit: u32,
    command: protocol::Command,
) -> anyhow::Result<Result<Value, Trouble>> {
    let limit = Duration::from_secs(args.timeout.unwrap_or(limit).into());
    match find::socket(args) {
        Ok(path) => node::block_on(false, client::ask(&path, command, limit)),
        Err(trouble) => Ok(Err(trouble)),
    }
}

/// Reads an answer as what it should be.
pub(crate) fn understand<T: DeserializeOwned>(value: Value) -> Result<T, Trouble> {
    serde_json::from_value(value).map_err(|error| {
        Trouble::Failed(format!(
            "the node's answer is not what this version of asa expects ({error}); is it another version?"
        ))
    })
}

/// Writes a text to standard output; a reader that has seen enough changes nothing about the exit code.
pub(crate) fn print(text: &str, code: u8) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(code),
    }
}

pub(crate) fn look() -> Look {
    Look::of_stdout(|name| std::env::var(name).ok())
}

/// A value as JSON on one line. Control characters that JSON allows in strings are escaped too: it may go to a terminal.
pub(crate) fn json_line(value: &Value) -> String {
    let mut line = String::new();
    for character in value.to_string().chars() {
        if character.is_control() {
            line += &format!("\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line + "\n"
}

/// Text of several lines, each fit for a terminal.
fn lines_shown(look: Look, text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| look.shown(line)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ASA-S-02
    #[test]
    fn json_stays_the_same_and_moves_no_cursor() {
        let value = serde_json::json!({"a\u{9b}": "b\u{7f}\u{1b}\n\"\\u{9b}é", "c": [1, 2.5, null]});
        let line = json_line(&value);
        assert!(!line.trim_end().contains(char::is_control), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }
}
