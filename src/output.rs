//! Events as people and as programs read them.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use asa_framework::event::{Ending, Event};

/// What the terminal, or whatever stands in its place, can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    colour: bool,
    unicode: bool,
}

/// The width that every terminal has.
const COLUMNS: usize = 80;
/// Columns of the speaker's name.
const NAME: usize = 10;

impl Look {
    /// Colour on a terminal unless `NO_COLOR` is set; Unicode where the locale's character set is UTF-8.
    pub(crate) fn of_stdout(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let colour = io::stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").as_deref() != Some("dumb");
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        // Without any locale the bytes are most likely read by a program, or by a modern terminal.
        let unicode = locale.is_none_or(|name| {
            let name = name.to_ascii_lowercase();
            name.contains("utf-8") || name.contains("utf8")
        });
        Self { colour, unicode }
    }

    /// A look whatever standard output is.
    #[cfg(test)]
    pub(crate) const fn new(colour: bool, unicode: bool) -> Self {
        Self { colour, unicode }
    }

    /// What cannot be shown is written as an escape; control characters, and what hides or turns text, always are.
    pub(crate) fn shown(self, text: &str) -> String {
        let plain = |c: char| !c.is_control() && !misleads(c) && (self.unicode || c.is_ascii());
        text.chars().map(|c| if plain(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
    }

    /// Colours text, if there are colours.
    pub(crate) fn paint(self, colour: u8, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Tells whether a character has no width, turns the direction of writing, or ends a line without being a control character.
fn misleads(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Breaks a line at spaces so that no part is wider than `width`; a longer word is cut.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let used = lines.last().map_or(0, |line| line.chars().count());
            let space = usize::from(used > 0);
            if used + space + rest.len() <= width {
                if let Some(line) = lines.last_mut() {
                    line.extend(std::iter::repeat_n(' ', space).chain(rest));
                }
                break;
            }
            if used > 0 {
                lines.push(String::new());
            } else {
                let tail = rest.split_off(width);
                if let Some(line) = lines.last_mut() {
                    line.extend(rest);
                }
                lines.push(String::new());
                rest = tail;
            }
        }
    }
    lines
}

/// Writes the dialogue for people.
pub(crate) struct Dialogue<W> {
    out: W,
    look: Look,
    speakers: Vec<String>,
    negotiations: u64,
}

impl<W: Write> Dialogue<W> {
    pub(crate) fn new(out: W, look: Look) -> Self {
        Self { out, look, speakers: Vec::new(), negotiations: 0 }
    }

    /// What the dialogue is written to.
    pub(crate) fn into_inner(self) -> W {
        self.out
    }

    /// Writes a line that nobody says.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        let text = self.look.shown(text);
        for line in wrapped(&text, COLUMNS) {
            writeln!(self.out, "{}", self.look.paint(2, &line))?;
        }
        self.out.flush()
    }

    fn say(&mut self, who: &str, text: &str) -> io::Result<()> {
        self.line(who, text, None)
    }

    /// Writes what concerns one speaker, with a hanging indent; the text is coloured only where it matters.
    fn line(&mut self, who: &str, text: &str, text_colour: Option<u8>) -> io::Result<()> {
        let known = self.speakers.iter().position(|speaker| speaker == who);
        let index = known.unwrap_or_else(|| {
            self.speakers.push(who.to_owned());
            self.speakers.len() - 1
        });
        let colour = [36, 33, 35, 32, 34][index % 5];
        let bar = if self.look.unicode { "│" } else { "|" };
        let mut name: String = self.look.shown(who).chars().take(NAME).collect();
        for line in wrapped(&self.look.shown(text), COLUMNS - NAME - 3) {
            let line = text_colour.map_or_else(|| line.clone(), |colour| self.look.paint(colour, &line));
            writeln!(self.out, "{} {bar} {line}", self.look.paint(colour, &format!("{name:>NAME$}")))?;
            name.clear();
        }
        self.out.flush()
    }

    fn rule(&mut self, title: &str) -> io::Result<()> {
        let dash = if self.look.unicode { "─" } else { "-" };
        let title = self.look.shown(title);
        let left = dash.repeat(2);
        let right = dash.repeat(COLUMNS.saturating_sub(4 + title.chars().count()));
        let line: String = format!("{left} {title} {right}").chars().take(COLUMNS).collect();
        writeln!(self.out, "\n{}", self.look.paint(1, &line))
    }

    /// Writes one event.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        use asa_framework::event::Side;
        match event {
            Event::Ready { node, substrate, secure } => {
                if *substrate == "none" {
                    return self.note(&format!("{node} runs without a substrate: GRASP does not speak"));
                }
                let protection = if *secure { "protected by" } else { "INSECURE, anybody can forge messages:" };
                self.note(&format!("{node} is ready; {protection} {substrate}"))
            }
            Event::Said { asa, text, .. } => self.say(asa, text),
            Event::NegotiationRequested { objective, .. } => {
                self.negotiations += 1;
                let number = self.negotiations;
                self.rule(&format!("negotiation {number}: {objective}"))
            }
            Event::NegotiationStarted { asa, role: Side::Initiator, session_id, peer, .. } => {
                self.say(asa, &format!("{peer} answers, session {session_id:08x}"))
            }
            Event::NegotiationStarted { asa, objective, session_id, peer, .. } => {
                self.say(asa, &format!("{peer} asks about {objective}, session {session_id:08x}"))
            }
            Event::NegotiationEnded { asa, outcome, session_id, value, .. } => {
                let (colour, word) = match outcome {
                    Ending::Accepted => (32, "agreed on"),
                    Ending::Declined => (33, "declined, last proposal"),
                    Ending::Failed => (31, "failed, last proposal"),
                };
                let session = session_id.map(|id| format!("session {id:08x} ")).unwrap_or_default();
                self.line(asa, &format!("{session}{word} {value}"), Some(colour))
            }
            Event::Rebuilt { asa, reason } => {
                let reason: String = reason.chars().flat_map(char::escape_debug).collect();
                self.line(asa, &format!("built anew: {reason}"), Some(31))
            }
            Event::Finished { asa } => self.say(asa, "finished"),
            Event::Stopped { node } => self.note(&format!("{node} has stopped")),
        }
    }
}

/// How many negotiations ended how.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Summary(BTreeMap<Ending, u64>);

impl Summary {
    /// Counts the event if it ends a negotiation.
    pub(crate) fn count(&mut self, event: &Event) {
        if let Event::NegotiationEnded { outcome, .. } = event {
            *self.0.entry(*outcome).or_default() += 1;
        }
    }

    /// Negotiations that ended so.
    pub(crate) fn of(&self, ending: Ending) -> u64 {
        self.0.get(&ending).copied().unwrap_or_default()
    }

    /// All negotiations that ended.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (accepted, declined, failed) =
            (self.of(Ending::Accepted), self.of(Ending::Declined), self.of(Ending::Failed));
        let total = self.total();
        let plural = if total == 1 { "" } else { "s" };
        write!(f, "{total} negotiation{plural}: {accepted} agreed, {declined} declined, {failed} failed")
    }
}
