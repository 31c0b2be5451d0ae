//! Address plans as text: what a pool is to begin with, and what is in use of it.
//!
//! ```text
//! # One thing a line; what follows a number sign is a comment.
//! aggregate 2001:db8::/32
//! delegated 2001:db8:0:1::/64 client-name
//! granted   2001:db8:8000::/34 peer
//! excluded  2001:db8:ffff::/48
//! ```

use crate::pool::Planned;
use crate::pool::record::{Record, State, Way};
use crate::prefix::Prefix;
use std::fmt::Write;

/// Lines of a plan that say something, at most.
const LINES: usize = 1_000_000;
/// Bytes of a name, at most.
const NAME: usize = 255;

/// What is wrong with a plan, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct PlanError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// A word of a line, with its column.
struct Word<'a> {
    column: usize,
    text: &'a str,
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut begun: Option<(usize, usize)> = None;
    for (column, (at, character)) in line.char_indices().enumerate() {
        if character.is_whitespace() {
            words.extend(begun.take().map(|(column, from)| Word { column, text: &line[from..at] }));
        } else if begun.is_none() {
            if character == '#' {
                return words;
            }
            begun = Some((column + 1, at));
        }
    }
    words.extend(begun.map(|(column, from)| Word { column, text: &line[from..] }));
    words
}

/// Reads a plan. Whether it fits the pool, and itself, is for the pool to say.
///
/// # Errors
///
/// The first place that cannot be read.
pub fn read_plan(text: &str) -> Result<Vec<Planned>, PlanError> {
    let mut plan = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |column: usize, problem: String| PlanError { line: number + 1, column, problem };
        let words = words(line);
        let Some(kind) = words.first() else { continue };
        let end = line.chars().count() + 1;
        let shown = |text: &str| -> String {
            let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            text.chars().take(80).map(plain).collect()
        };
        let named = match kind.text {
            "aggregate" | "excluded" => None,
            "delegated" => Some("the client that has it"),
            "granted" => Some("the peer that has it"),
            other => {
                let problem = format!("\"{}\" is none of aggregate, delegated, granted, excluded", shown(other));
                return Err(wrong(kind.column, problem));
            }
        };
        let block = words.get(1).ok_or_else(|| wrong(end, "a prefix is missing, such as 2001:db8::/32".into()))?;
        let prefix: Prefix = block
            .text
            .parse()
            .map_err(|error: crate::prefix::PrefixError| wrong(block.column, shown(&error.to_string())))?;
        let name = match (named, words.get(2)) {
            (None, None) => String::new(),
            (Some(_), Some(name)) if name.text.len() <= NAME && !name.text.contains(char::is_control) => {
                name.text.to_owned()
            }
            (Some(_), Some(name)) => {
                let problem = format!("a name has at most {NAME} bytes, and no control characters");
                return Err(wrong(name.column, problem));
            }
            (Some(who), None) => return Err(wrong(end, format!("{who} is missing"))),
            (None, Some(more)) => return Err(wrong(more.column, "nothing may follow the prefix".into())),
        };
        if let Some(more) = words.get(3) {
            return Err(wrong(more.column, "nothing may follow the name; a name has no spaces".into()));
        }
        if plan.len() >= LINES {
            return Err(wrong(1, format!("more than {LINES} lines: import them in several plans")));
        }
        plan.push(match kind.text {
            "aggregate" => Planned::Aggregate(prefix),
            "delegated" => Planned::Delegated { block: prefix, client: name },
            "granted" => Planned::Granted { block: prefix, peer: name },
            _ => Planned::Excluded(prefix),
        });
    }
    Ok(plan)
}

/// A name as a plan can have it: without spaces and control characters.
fn word(name: &str) -> String {
    let plain = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
    let word: String = name.chars().map(plain).collect();
    // A number sign in front would begin a comment.
    let word = word.strip_prefix('#').map_or_else(|| word.clone(), |rest| format!("_{rest}"));
    if word.is_empty() { "_".into() } else { word }
}

/// Writes what is in use as a plan, so that it could be imported elsewhere; what no plan can express is a comment.
#[must_use]
pub fn write_plan(records: &[Record]) -> String {
    let mut text = String::from("# An address plan, for `asa pool import`.\n");
    let mut aggregates = Vec::new();
    let mut blocks = Vec::new();
    for record in records {
        match record {
            Record::Aggregate { block, .. } => aggregates.push(*block),
            Record::Block { block, state } => blocks.push((*block, state)),
            Record::Life(_) | Record::Session { .. } => {}
        }
    }
    aggregates.sort_unstable();
    blocks.sort_unstable_by_key(|(block, _)| *block);
    for block in aggregates {
        let _ = writeln!(text, "aggregate {block}");
    }
    for (block, state) in blocks {
        let _ = match state {
            State::Free | State::Held(_) | State::Dry(_) => Ok(()),
            State::Delegated(lease) => writeln!(text, "delegated {block} {}", word(&lease.client)),
            State::Granted(dealt) => writeln!(text, "granted {block} {}", word(&dealt.deal.peer)),
            State::Excluded => writeln!(text, "excluded {block}"),
            // Somebody may have it: nobody else is to get it.
            State::Doubt { way: Way::Out, dealt, .. } | State::Offered(dealt) => {
                writeln!(text, "excluded {block}  # {}: perhaps granted to {}", state.name(), word(&dealt.deal.peer))
            }
            State::Cooling(lease) => {
                writeln!(text, "excluded {block}  # cooling: was delegated to {}", word(&lease.client))
            }
            State::Returning => writeln!(text, "excluded {block}  # returning to where it came from"),
            State::Accepting(_) | State::Doubt { way: Way::In, .. } => {
                writeln!(text, "# {block} is {}, and in no aggregate", state.name())
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    /// GAP-07
    #[test]
    fn a_plan_is_read_line_by_line() {
        let text = "# All of it.\n\naggregate 2001:db8::/32 # ours\n\tdelegated  2001:db8:0:1::/64 cpe#17\r\n\
                    granted 10.0.0.0/24 fe80::1\nexcluded 2001:db8:ffff::/48";
        let expected = [
            Planned::Aggregate(p("2001:db8::/32")),
            Planned::Delegated { block: p("2001:db8:0:1::/64"), client: "cpe#17".into() },
            Planned::Granted { block: p("10.0.0.0/24"), peer: "fe80::1".into() },
            Planned::Excluded(p("2001:db8:ffff::/48")),
        ];
        assert_eq!(read_plan(text).unwrap(), expected);
    }

    #[test]
    fn errors_name_line_and_column() {
        for (text, line, column, part) in [
            ("aggregat ::/0", 1, 1, "none of aggregate"),
            ("# a\n  aggregate", 2, 12, "prefix is missing"),
            ("aggregate 2001:db8::1/64", 1, 11, "2001:db8::/64 has none"),
            ("é\u{a0}x", 1, 1, "none of"),
            ("aggregate ::/0 more", 1, 16, "nothing may follow"),
            ("delegated ::/64", 1, 16, "the client that has it is missing"),
            ("granted ::/64 a b", 1, 17, "a name has no spaces"),
            ("granted ::/64 a\u{7}b", 1, 15, "control"),
            ("\u{1b}[2J", 1, 1, "\\u{1b}[2J"),
        ] {
            let error = read_plan(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
            assert!(error.problem.contains(part) && !error.to_string().contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        use crate::pool::record::{Deal, Dealt, Lease, Source};
        let dealt = || Box::new(Dealt { deal: Deal { session: 1, peer: "fe80::1".into() }, since: 0 });
        let lease = |client: &str| Box::new(Lease { client: client.into(), preferred: 1, valid: None, since: 0 });
        let block = |text: &str, state| Record::Block { block: p(text), state };
        let records = [
            Record::Life(2),
            block("10.0.0.0/26", State::Delegated(lease("# a\nb"))),
            block("10.0.0.64/26", State::Granted(dealt())),
            block("10.0.0.128/26", State::Doubt { dealt: dealt(), way: Way::Out, reset: false }),
            block("10.0.0.192/26", State::Free),
            block("10.0.1.0/24", State::Accepting(dealt())),
            Record::Aggregate { block: p("10.0.0.0/24"), source: Source::Manifest, withdrawn: false },
        ];
        let expected = [
            Planned::Aggregate(p("10.0.0.0/24")),
            Planned::Delegated { block: p("10.0.0.0/26"), client: "__a_b".into() },
            Planned::Granted { block: p("10.0.0.64/26"), peer: "fe80::1".into() },
            Planned::Excluded(p("10.0.0.128/26")),
        ];
        assert_eq!(read_plan(&write_plan(&records)).unwrap(), expected);
    }
}
