//! `asa pool show`: a pool drawn so that a person sees it.

use std::collections::{BTreeMap, BTreeSet};

use asa_prefix::desk::{Overview, PoolCommand};
use asa_prefix::forecast::Forecast;
use asa_prefix::pool::{AggregateCensus, Tally};
use asa_prefix::prefix::Family;

use super::online::query;
use super::width;
use super::words::{indented, origin};
use crate::cli::pool::OnlineArgs;
use crate::control::text::{BOLD, GREEN, RED, YELLOW, count};
use crate::control::{QUESTION, Shown};
use crate::output::Look;

/// Aggregates that are drawn, at most.
const DRAWN: usize = 100;
/// A day in seconds: less than that left is an alarm.
const DAY: u64 = 86_400;

/// States with their letters and colours, in the order in which they are told.
const STATES: [(&str, char, u8); 11] = [
    ("free", 'F', GREEN),
    ("granted", 'G', 34),
    ("delegated", 'D', 36),
    ("in-doubt", '?', RED),
    ("cooling", 'C', YELLOW),
    ("offered", 'O', 35),
    ("held", 'H', 35),
    ("dry", 'T', 35),
    ("accepting", 'A', 35),
    ("returning", 'R', YELLOW),
    ("excluded", 'x', 2),
];

/// Shows the pool.
pub(super) fn show(args: OnlineArgs) -> anyhow::Result<Shown> {
    let columns = width();
    query(&args, QUESTION, &PoolCommand::Census {}, move |look, overview| drawn(look, columns, &overview), |_| 0)
}

fn drawn(look: Look, width: usize, overview: &Overview) -> String {
    let census = &overview.census;
    let shown = |text: &str| look.shown(text);
    let lives = census.lives;
    let mut lines = Vec::new();
    let head = format!("the pool of {}, in its life {lives}", shown(&overview.instance));
    lines.extend(indented(look, 0, &head, width).iter().map(|line| look.paint(BOLD, line)));
    if !census.writable {
        let why = census.trouble.as_deref().unwrap_or("no reason is known");
        let text = format!("READ-ONLY, nothing is granted or accepted: {why}");
        lines.extend(indented(look, 0, &text, width).iter().map(|line| look.paint(RED, line)));
    }
    let mut letters = BTreeSet::new();
    for aggregate in census.aggregates.iter().take(DRAWN) {
        lines.push(String::new());
        lines.extend(one(look, width, aggregate, &mut letters));
    }
    if census.aggregates.is_empty() {
        lines.push("it has no aggregate".to_owned());
    }
    let more = census.aggregates.len().saturating_sub(DRAWN);
    if more > 0 {
        let text = format!("... and {} more aggregates; asa pool show --json has all", count(more as u64));
        lines.extend(indented(look, 0, &text, width));
    }
    lines.push(String::new());
    if !census.foreign.is_empty() {
        let parts: Vec<String> =
            census.foreign.iter().map(|(name, tally)| format!("{} {name}", count(tally.blocks))).collect();
        lines.extend(indented(look, 0, &format!("not yet in the pool: {}", parts.join(", ")), width));
    }
    for family in Family::ALL {
        lines.extend(summary(look, width, family, overview));
    }
    let legend: Vec<String> = STATES
        .iter()
        .filter(|(_, letter, _)| letters.contains(letter))
        .map(|(name, letter, _)| format!("{letter} {name}"))
        .collect();
    if !legend.is_empty() {
        lines.extend(indented(look, 0, &format!("legend: {}", legend.join(", ")), width));
    }
    lines.join("\n") + "\n"
}

/// An aggregate: what it is, its line, its figures.
fn one(look: Look, width: usize, aggregate: &AggregateCensus, letters: &mut BTreeSet<char>) -> Vec<String> {
    let withdrawn = if aggregate.withdrawn { ", being withdrawn" } else { "" };
    let head = format!("{}  {}{withdrawn}", aggregate.block, origin(&aggregate.source));
    let mut lines = indented(look, 0, &head, width);
    let room = width.saturating_sub(2).max(1);
    let bar =
        if aggregate.map.is_empty() { proportional(aggregate, room.min(64)) } else { narrowed(&aggregate.map, room) };
    letters.extend(bar.chars());
    letters.extend(
        STATES.iter().filter(|(name, _, _)| aggregate.states.contains_key(*name)).map(|(_, letter, _)| *letter),
    );
    lines.push(format!("  {}", painted(look, &bar)));
    let all = aggregate.block.measure();
    let figures: Vec<String> = STATES
        .iter()
        .filter_map(|(name, _, _)| Some((name, aggregate.states.get(*name)?)))
        .map(|(name, tally)| format!("{name} {} ({})", percent(tally.addresses, all), blocks(tally.blocks)))
        .collect();
    lines.extend(indented(look, 2, &figures.join(", "), width));
    if aggregate.states.get("free").is_some_and(|free| free.blocks > 0) {
        lines.extend(indented(look, 2, &fragmentation(aggregate.fragmentation), width));
    }
    lines
}

fn summary(look: Look, width: usize, family: Family, overview: &Overview) -> Vec<String> {
    let census = &overview.census;
    let forecast = overview.forecast.get(&family);
    let lengths = census.lengths.get(&family).cloned().unwrap_or_default();
    if lengths.is_empty() && forecast.is_none() {
        return Vec::new();
    }
    let free: u64 = lengths.values().sum();
    let largest = lengths.keys().next().map(|length| format!(", the largest a /{length}")).unwrap_or_default();
    let scattered = census.fragmentation.get(&family).copied().unwrap_or_default();
    let text = if free == 0 {
        format!("{family}: nothing is free")
    } else {
        format!("{family}: {} free{largest}; {}", blocks(free), fragmentation(scattered))
    };
    let mut lines = indented(look, 0, &text, width);
    if let Some(Forecast { basis, exhausted_in_s, .. }) = forecast {
        let near = exhausted_in_s.is_some_and(|left| left < DAY);
        let paint = |line: String| if near { look.paint(RED, &line) } else { line };
        lines.extend(indented(look, 2, basis, width).into_iter().map(paint));
    }
    lines
}

fn blocks(number: u64) -> String {
    format!("{} {}", count(number), if number == 1 { "block" } else { "blocks" })
}

/// Letters in their colours.
fn painted(look: Look, bar: &str) -> String {
    let mut text = String::new();
    let letters: Vec<char> =
        bar.chars().map(|letter| if known(letter).is_some() || letter == ' ' { letter } else { '~' }).collect();
    for run in letters.chunk_by(|a, b| a == b) {
        let part: String = run.iter().collect();
        let colour = run.first().and_then(|letter| known(*letter));
        text += &colour.map_or_else(|| part.clone(), |colour| look.paint(colour, &part));
    }
    text
}

fn known(letter: char) -> Option<u8> {
    STATES.iter().find(|(_, other, _)| *other == letter).map(|(_, _, colour)| *colour)
}

/// A map with as few parts as there is room for: of neighbours the most frequent, and of equal ones one that is not free.
fn narrowed(map: &str, room: usize) -> String {
    let letters: Vec<char> = map.chars().collect();
    let each = letters.len().div_ceil(room.max(1)).max(1);
    let most = |part: &[char]| {
        let mut counts: BTreeMap<char, usize> = BTreeMap::new();
        part.iter().for_each(|letter| *counts.entry(*letter).or_default() += 1);
        counts.into_iter().max_by_key(|(letter, times)| (*times, *letter != 'F')).map_or(' ', |(letter, _)| letter)
    };
    letters.chunks(each).map(most).collect()
}

/// A line for an aggregate without a map: as much of each letter as there is of its state, in no order of addresses.
fn proportional(aggregate: &AggregateCensus, room: usize) -> String {
    let all = aggregate.block.measure();
    let mut bar = String::new();
    let mut sum = 0_u128;
    for (name, letter, _) in STATES {
        let Some(Tally { addresses, .. }) = aggregate.states.get(name) else { continue };
        sum = sum.saturating_add(*addresses);
        let end = share(sum, all, room);
        while bar.len() < end {
            bar.push(letter);
        }
    }
    bar
}

fn share(part: u128, all: u128, of: usize) -> usize {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a drawing"
    )]
    let cells = (part as f64 / all.max(1) as f64 * of as f64).round() as usize;
    cells.min(of)
}

/// A share in percent; what is there is never nothing, and what is missing never all.
fn percent(part: u128, all: u128) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let share = part as f64 / all.max(1) as f64 * 100.0;
    match share {
        _ if part > 0 && share < 0.05 => "<0.1 %".to_owned(),
        _ if part < all && share > 99.95 => ">99.9 %".to_owned(),
        _ => format!("{share:.1} %"),
    }
}

fn fragmentation(figure: f64) -> String {
    let words = match figure {
        _ if figure <= 0.0 => "all that is free is in one piece",
        _ if figure < 0.5 => "most of what is free is in one piece",
        _ if figure < 0.9 => "no piece has more than half of what is free",
        _ => "what is free lies in small pieces",
    };
    format!("fragmentation {:.0} %: {words}", figure * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PLAIN: Look = Look::new(false, true);

    fn overview(census: &Value) -> Overview {
        serde_json::from_value(json!({
            "instance": "or\u{1b}igin",
            "census": census,
            "forecast": {"ipv6": {
                "free": "7", "samples": 9, "span_s": 21600, "length": 64, "blocks_per_hour": 12.0, "exhausted_in_s": 259_200,
                "basis": "at 12 blocks of /64 per hour over the last 6 h: exhausted in about 3 days",
            }},
        }))
        .unwrap()
    }

    fn census() -> Value {
        let dealt = json!({"peer": {"session": 42, "peer": "fe80::1\u{9b}", "since": 1_795_269_067}});
        json!({
            "aggregates": [
                {
                    "block": "2001:db8::/32", "source": "manifest", "withdrawn": false,
                    "states": {
                        "free": {"blocks": 3, "addresses": (3_u128 << 94).to_string()},
                        "granted": {"blocks": 1, "addresses": ((1_u128 << 94) - 1).to_string()},
                        "in-doubt": {"blocks": 1, "addresses": "1"},
                    },
                    "fragmentation": 0.3333,
                    "map": format!("{}{}", "F".repeat(48), "G".repeat(16)),
                },
                {
                    "block": "10.0.0.0/24", "source": dealt, "withdrawn": true,
                    "states": {
                        "delegated": {"blocks": 2, "addresses": "128"}, "excluded": {"blocks": 1, "addresses": "128"},
                    },
                    "fragmentation": 0.0,
                },
            ],
            "foreign": {"accepting": {"blocks": 2, "addresses": "7"}},
            "free": {"ipv4": "0", "ipv6": (3_u128 << 94).to_string()},
            "fragmentation": {"ipv4": 0.0, "ipv6": 0.3333},
            "lengths": {"ipv6": {"33": 1, "34": 1, "40": 1}},
            "writable": true, "trouble": null, "lives": 3, "counters": {},
        })
    }

    /// PM-L-02, GAP-09
    #[test]
    fn a_pool_is_drawn_with_figures_fragmentation_and_forecast() {
        let text = drawn(PLAIN, 80, &overview(&census()));
        let expected = "\
the pool of or\\u{1b}igin, in its life 3

2001:db8::/32  from the manifest
  FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFGGGGGGGGGGGGGGGG
  free 75.0 % (3 blocks), granted 25.0 % (1 block), in-doubt <0.1 % (1 block)
  fragmentation 33 %: most of what is free is in one piece

10.0.0.0/24  from fe80::1\\u{9b} (session 0000002a), being withdrawn
  DDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
  delegated 50.0 % (2 blocks), excluded 50.0 % (1 block)

not yet in the pool: 2 accepting
IPv6: 3 blocks free, the largest a /33; fragmentation 33 %: most of what is free
is in one piece
  at 12 blocks of /64 per hour over the last 6 h: exhausted in about 3 days
legend: F free, G granted, D delegated, ? in-doubt, x excluded
";
        assert_eq!(text, expected);
    }

    /// ASA-S-02
    #[test]
    fn nothing_is_wider_than_the_terminal_or_moves_its_cursor() {
        for width in [1, 10, 20, 33, 64, 66, 80, 200] {
            let text = drawn(PLAIN, width, &overview(&census()));
            // Two columns are the indent.
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(3), "{width}: {text}");
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        }
        let coloured = drawn(Look::new(true, true), 80, &overview(&census()));
        assert!(coloured.contains("\u{1b}[32mFFFF") && coloured.contains("\u{1b}[34mGGGG"), "{coloured}");
    }

    #[test]
    fn a_pool_that_is_read_only_or_empty_says_so() {
        let mut census = census();
        census["writable"] = false.into();
        census["trouble"] = "the disk is full".into();
        census["aggregates"] = json!([]);
        census["lengths"] = json!({});
        let text = drawn(PLAIN, 80, &overview(&census));
        assert!(text.contains("READ-ONLY, nothing is granted or accepted: the disk is full"), "{text}");
        assert!(text.contains("it has no aggregate") && text.contains("IPv6: nothing is free"), "{text}");
    }

    #[test]
    fn shares_are_never_rounded_to_nothing_or_to_all() {
        assert_eq!(percent(1, u128::MAX), "<0.1 %");
        assert_eq!(percent(u128::MAX - 1, u128::MAX), ">99.9 %");
        assert_eq!(percent(99_999, 100_000), ">99.9 %");
        assert_eq!(
            (percent(0, 8).as_str(), percent(8, 8).as_str(), percent(1, 3).as_str()),
            ("0.0 %", "100.0 %", "33.3 %")
        );
    }

    #[test]
    fn neighbours_share_a_letter_where_there_is_no_room() {
        assert_eq!(narrowed("FFFGxxDF", 4), "FGxD");
        assert_eq!(narrowed("FFFGxxDF", 8), "FFFGxxDF");
        assert_eq!(narrowed("FFFGxxDF", 1), "F");
        assert_eq!(narrowed("", 5), "");
    }
}
