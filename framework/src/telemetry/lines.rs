//! Log lines: text for people, and JSON objects for programs.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;

/// Names that every JSON object has; a field of such a name is written with `_` behind it.
const RESERVED: [&str; 4] = ["timestamp", "level", "target", "message"];

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Text { colours: bool },
    Json,
}

/// Writes each event as one line.
pub(super) struct LineLayer {
    look: Look,
    writer: BoxMakeWriter,
}

impl LineLayer {
    pub(super) fn new(look: Look, writer: BoxMakeWriter) -> Self {
        Self { look, writer }
    }
}

impl<S> Layer<S> for LineLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::around(event, &context);
        let mut target = metadata.target().to_owned();
        if target == "log" {
            // A record of the `log` crate brings along where it comes from.
            target = Some(fields.take_text("log.target")).filter(|from| !from.is_empty()).unwrap_or(target);
            ["log.module_path", "log.file", "log.line"].iter().for_each(|name| drop(fields.take(name)));
        }
        let message = fields.take_text("message");
        let line = Line { time: timestamp(), level: *metadata.level(), target, message, fields };
        let line = match self.look {
            Look::Text { colours } => line.text(colours),
            Look::Json => line.json(),
        };
        // Nobody is left to be told that the log cannot be written.
        let _ = self.writer.make_writer_for(metadata).write_all(line.as_bytes());
    }
}

fn timestamp() -> String {
    let mut text = String::new();
    // The writer is a string, which takes everything.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

struct Line {
    time: String,
    level: Level,
    target: String,
    message: String,
    fields: Fields,
}

impl Line {
    fn text(&self, colours: bool) -> String {
        let (colour, plain) = match self.level {
            _ if !colours => ("", ""),
            Level::ERROR => ("\x1b[31m", "\x1b[0m"),
            Level::WARN => ("\x1b[33m", "\x1b[0m"),
            Level::INFO => ("\x1b[32m", "\x1b[0m"),
            _ => ("\x1b[2m", "\x1b[0m"),
        };
        let mut line = format!("{} {colour}{:>5}{plain} ", self.time, self.level.as_str());
        push_escaped(&mut line, &self.message);
        for (name, value) in self.fields.iter() {
            let _ = write!(line, " {name}=");
            match value.as_str() {
                Some(text) if is_word(text) => line.push_str(text),
                Some(text) => push_quoted(&mut line, text),
                None => line.push_str(&value.to_string()),
            }
        }
        line.push('\n');
        line
    }

    fn json(self) -> String {
        let mut object = Map::new();
        for (name, value) in self.fields.iter() {
            let name = if RESERVED.contains(&name) { format!("{name}_") } else { name.to_owned() };
            object.insert(name, value.clone());
        }
        object.insert("timestamp".to_owned(), self.time.into());
        object.insert("level".to_owned(), self.level.as_str().into());
        object.insert("target".to_owned(), self.target.into());
        object.insert("message".to_owned(), self.message.into());
        let mut line = Value::Object(object).to_string();
        line.push('\n');
        line
    }
}

/// Tells whether a value needs no quotes: nobody can mistake its end, or take a part of it for another field.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !matches!(c, '"' | '=' | '\\') && is_printable(c))
}

/// Tells whether a character can stand in a line without moving the cursor, hiding, or turning the text around.
fn is_printable(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1
}

fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if is_printable(c) { line.push(c) } else { line.extend(c.escape_debug()) }
    }
}

fn push_quoted(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            line.push('\\');
        }
        if is_printable(c) { line.push(c) } else { line.extend(c.escape_debug()) }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a peer puts into a value or a message, the text stays one line without control characters.
        #[test]
        fn no_value_puts_a_control_character_into_a_line(text in any::<String>(), more in "[\\PC\\pC]{0,20}") {
            let (mut escaped, mut quoted) = (String::new(), String::new());
            push_escaped(&mut escaped, &(text.clone() + &more));
            push_quoted(&mut quoted, &(text + &more));
            prop_assert!(!escaped.contains(char::is_control) && !quoted.contains(char::is_control));
            let hides = quoted.contains(['\u{202e}', '\u{2066}', '\u{2028}', '\u{feff}']);
            prop_assert!(!hides);
            // Only the last quote ends the value.
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            let mut escape = false;
            for c in inner.chars() {
                prop_assert!(escape || c != '"');
                escape = !escape && c == '\\';
            }
            prop_assert!(!escape);
        }
    }
}
