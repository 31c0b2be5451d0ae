//! `asa pool history`: who had an address, and when.

use std::collections::BTreeSet;

use asa_prefix::desk::PoolCommand;
use asa_prefix::pool::record::State;
use asa_prefix::prefix::Prefix;
use asa_prefix::store;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::offline::{directory_of, said};
use super::online::query;
use super::words::fate;
use crate::cli::pool::HistoryArgs;
use crate::control::text::{BOLD, Cell, count, table};
use crate::control::{QUESTION, Shown, Trouble};
use crate::output::Look;

/// What the ledger says, as the store and the node write it.
#[derive(Debug, Deserialize)]
struct History {
    since: String,
    entries: Vec<Entry>,
    omitted: u64,
}

#[derive(Debug, Deserialize)]
struct Entry {
    time: String,
    line: u64,
    block: Prefix,
    #[serde(default)]
    from: Option<State>,
    #[serde(default)]
    to: Option<State>,
    #[serde(default)]
    earlier: bool,
}

/// Tells the history of an address.
pub(super) fn history(args: HistoryArgs) -> anyhow::Result<Shown> {
    let HistoryArgs { address, at, either } = args;
    let (what, when) = (address.to_string(), at.clone());
    let show = move |look, history: History| match &when {
        Some(at) => then(look, &what, at, &history),
        None => all(look, &what, &history),
    };
    if either.directory.is_none() && !either.offline {
        let command = PoolCommand::History { address, at };
        return query(&either.online, 6 * QUESTION, &command, show, |_| 0);
    }
    let directory = match directory_of(&either) {
        Ok(directory) => directory,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let at = at.and_then(|at| OffsetDateTime::parse(&at, &Rfc3339).ok());
    let read = store::history(&directory, address, at).map_err(|error| Trouble::Failed(error.to_string()));
    Ok(read.and_then(|history| said(&history, either.online.node.json, show, |_| 0)))
}

fn became(entry: &Entry) -> String {
    let was = entry.from.as_ref().map(|state| format!(", was {}", state.name())).unwrap_or_default();
    match &entry.to {
        Some(state) if entry.earlier => format!("{} (already so)", fate(state)),
        Some(state) => format!("{}{was}", fate(state)),
        None => format!("in no block of this pool any more{was}"),
    }
}

/// What was so at one time.
fn then(look: Look, address: &str, at: &str, history: &History) -> String {
    let mut lines = vec![look.paint(BOLD, &format!("{address} at {}", look.shown(at)))];
    for entry in &history.entries {
        let Some(state) = &entry.to else { continue };
        let since = if entry.earlier { "since before" } else { "since" };
        let line = format!("  {}  {}, {since} {}", entry.block, fate(state), entry.time);
        lines.push(look.shown(&line));
    }
    if lines.len() == 1 {
        let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
        let known = time(at).zip(time(&history.since)).is_none_or(|(at, since)| at >= since);
        lines.push(if known {
            "  it was in no block of this pool".to_owned()
        } else {
            look.shown(&format!("  that is not known: the ledger begins at {}", history.since))
        });
    }
    lines.join("\n") + "\n"
}

/// Everything that is known.
fn all(look: Look, address: &str, history: &History) -> String {
    let since = look.shown(&history.since);
    if history.entries.is_empty() {
        return format!("{address} has been in no block of this pool since {since}, when the ledger begins\n");
    }
    let row = |entry: &Entry| {
        vec![
            Cell::text(look, &entry.time),
            Cell::right(count(entry.line)),
            Cell::text(look, &entry.block.to_string()),
            Cell::text(look, &became(entry)),
        ]
    };
    // What was split or joined shows in what it has become.
    let lines: BTreeSet<u64> =
        history.entries.iter().filter(|entry| entry.to.is_some()).map(|entry| entry.line).collect();
    let replaced = |entry: &&Entry| entry.to.is_some() || !lines.contains(&entry.line);
    let rows: Vec<Vec<Cell>> = history.entries.iter().filter(replaced).map(row).collect();
    let mut lines = table(look, &["TIME", "LINE", "BLOCK", "BECAME"], &rows);
    if history.omitted > 0 {
        lines.insert(1, format!("... {} earlier entries are left out", count(history.omitted)));
    }
    lines.push(format!("the ledger begins at {since}"));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Look = Look::new(false, true);

    fn history() -> History {
        let dealt = json!({"session": 42, "peer": "fe80::1\u{1b}", "since": 1_795_269_067});
        serde_json::from_value(json!({
            "since": "2026-11-20T00:00:00.000Z", "omitted": 0,
            "entries": [
                {"time": "2026-11-20T00:00:00.000Z", "line": 0, "block": "2001:db8::/32", "to": "free", "earlier": true},
                {"time": "2026-11-21T13:51:07.123Z", "line": 7, "block": "2001:db8::/32", "from": "free"},
                {"time": "2026-11-21T13:51:07.123Z", "line": 7, "block": "2001:db8::/34", "to": {"granted": dealt}},
            ],
        }))
        .unwrap()
    }

    /// PM-L-01: who had this address then, in one command.
    #[test]
    fn who_had_it_then_is_one_line() {
        let mut history = history();
        history.entries.drain(..2);
        let text = then(PLAIN, "2001:db8::7", "2026-11-21T16:00:00Z", &history);
        let expected = "2001:db8::7 at 2026-11-21T16:00:00Z\n  2001:db8::/34  granted to fe80::1\\u{1b} (session 0000002a), \
                        since 2026-11-21T13:51:07.123Z\n";
        assert_eq!(text, expected);
        history.entries.clear();
        assert!(then(PLAIN, "::1", "2026-11-21T16:00:00Z", &history).contains("in no block"));
        assert!(
            then(PLAIN, "::1", "2026-11-19T16:00:00Z", &history).contains("not known: the ledger begins at 2026-11-20")
        );
    }

    #[test]
    fn a_history_is_a_table() {
        let expected = "\
TIME                      LINE  BLOCK          BECAME
2026-11-20T00:00:00.000Z     0  2001:db8::/32  free (already so)
2026-11-21T13:51:07.123Z     7  2001:db8::/34  granted to fe80::1\\u{1b} (session 0000002a)
the ledger begins at 2026-11-20T00:00:00.000Z
";
        assert_eq!(all(PLAIN, "2001:db8::7", &history()), expected);
        let mut gone = history();
        gone.entries.pop();
        assert!(
            all(PLAIN, "2001:db8::7", &gone).contains("7  2001:db8::/32  in no block of this pool any more, was free")
        );
        let none = History { entries: Vec::new(), ..history() };
        assert!(all(PLAIN, "2001:db8::7", &none).contains("in no block of this pool since 2026-11-20"));
    }
}
