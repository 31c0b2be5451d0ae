//! Tables, times and numbers for people.

use crate::output::{Look, wrapped};

/// The width that everything is made to fit where it can.
pub(crate) const COLUMNS: usize = 100;

/// Red: it does not work. Yellow: it does not work as it should. Green: it works.
pub(crate) const RED: u8 = 31;
pub(crate) const YELLOW: u8 = 33;
pub(crate) const GREEN: u8 = 32;
/// Bold, for headings.
pub(crate) const BOLD: u8 = 1;

/// What stands in one place of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    right: bool,
    colour: Option<u8>,
}

impl Cell {
    /// Text that may come from anywhere.
    pub(crate) fn text(look: Look, text: &str) -> Self {
        Self { text: look.shown(text), ..Self::default() }
    }

    /// What stands at the right of its column, such as a number.
    pub(crate) fn right(text: String) -> Self {
        Self { text, right: true, colour: None }
    }

    pub(crate) fn coloured(self, colour: Option<u8>) -> Self {
        Self { colour, ..self }
    }
}

/// The lines of a table, its head first; a column in which nothing stands is left out.
pub(crate) fn table(look: Look, head: &[&str], rows: &[Vec<Cell>]) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    let column = |index: usize| rows.iter().filter_map(move |row| row.get(index));
    let used: Vec<usize> = (0..head.len()).filter(|index| column(*index).any(|cell| !cell.text.is_empty())).collect();
    let widths: Vec<usize> = used
        .iter()
        .map(|index| column(*index).map(|cell| length(&cell.text)).fold(length(head[*index]), usize::max))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = Cell>| {
        let (mut line, mut spaces) = (String::new(), 0);
        for (cell, width) in cells.zip(&widths) {
            let padding = width - length(&cell.text).min(*width);
            let (before, after) = if cell.right { (padding, 0) } else { (0, padding) };
            if !cell.text.is_empty() {
                line.extend(std::iter::repeat_n(' ', spaces + before));
                line += &cell.colour.map_or_else(|| cell.text.clone(), |colour| look.paint(colour, &cell.text));
                spaces = 0;
                spaces += after + 2;
            } else {
                spaces += width + 2;
            }
        }
        line
    };
    let right = |index: usize| column(index).any(|cell| cell.right);
    let head =
        used.iter().map(|index| Cell { text: head[*index].to_owned(), right: right(*index), colour: Some(BOLD) });
    let mut lines = vec![line(&mut head.into_iter())];
    lines.extend(
        rows.iter().map(|row| line(&mut used.iter().map(|index| row.get(*index).cloned().unwrap_or_default()))),
    );
    lines
}

/// Text after a label, broken to the width, each further line below the first.
pub(crate) fn labelled(look: Look, label: &str, text: &str, colour: Option<u8>) -> Vec<String> {
    let indent = label.chars().count();
    let parts = wrapped(&look.shown(text), COLUMNS.saturating_sub(indent).max(20));
    let paint = |part: &String| colour.map_or_else(|| part.clone(), |colour| look.paint(colour, part));
    let lines = parts.iter().enumerate();
    lines.map(|(row, part)| (if row == 0 { label.to_owned() } else { " ".repeat(indent) }) + &paint(part)).collect()
}

/// A time, to about two digits.
pub(crate) fn duration(milliseconds: f64) -> String {
    if !milliseconds.is_finite() || milliseconds < 0.0 {
        return "?".to_owned();
    }
    let unit = |value: f64, name: &str| format!("{value:.0} {name}");
    let two = |whole: f64, name: &str, rest: f64, part: &str| {
        if rest.floor() == 0.0 { unit(whole, name) } else { format!("{whole:.0} {name} {:.0} {part}", rest.floor()) }
    };
    let seconds = milliseconds / 1e3;
    match seconds {
        _ if milliseconds < 9.95 => format!("{milliseconds:.1} ms"),
        _ if milliseconds < 999.5 => unit(milliseconds, "ms"),
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        _ if seconds < 59.5 => unit(seconds, "s"),
        _ => {
            let seconds = seconds.round();
            let (minutes, hours, days) =
                ((seconds / 60.0).floor(), (seconds / 3600.0).floor(), (seconds / 86400.0).floor());
            if minutes < 60.0 {
                two(minutes, "min", seconds - minutes * 60.0, "s")
            } else if hours < 24.0 {
                two(hours, "h", minutes - hours * 60.0, "min")
            } else {
                two(days, "d", hours - days * 24.0, "h")
            }
        }
    }
}

/// A count, with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A count with what it counts.
pub(crate) fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{} {}", count(number as u64), if number == 1 { one } else { several })
}

/// Seconds since 1970 as RFC 3339 in UTC.
pub(crate) fn moment(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "what is out of range is refused below")]
    let whole = seconds.floor() as i64;
    match time::OffsetDateTime::from_unix_timestamp(whole) {
        Ok(at) if seconds.is_finite() => {
            let (date, (hour, minute, second)) = (at.date(), at.to_hms());
            let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        }
        Ok(_) | Err(_) => "at an unknown time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look::new(false, true);

    #[test]
    fn times_are_short() {
        for (milliseconds, text) in [
            (0.0, "0.0 ms"),
            (1.25, "1.2 ms"),
            (9.96, "10 ms"),
            (999.4, "999 ms"),
            (999.6, "1.0 s"),
            (12_300.0, "12 s"),
            (59_600.0, "1 min"),
            (61_000.0, "1 min 1 s"),
            (3_600_000.0, "1 h"),
            (11_520_000.0, "3 h 12 min"),
            (90_000_000.0, "1 d 1 h"),
            (-1.0, "?"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(duration(milliseconds), text);
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(moment(0.0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(1_795_269_067.9), "2026-11-21T13:51:07Z");
        for at in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert_eq!(moment(at), "at an unknown time");
        }
    }

    #[test]
    fn counts_keep_their_thousands_apart() {
        let texts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(texts, ["0", "999", "1 000", "1 234 567"]);
        assert_eq!((counted(1, "day", "days"), counted(2, "day", "days")), ("1 day".to_owned(), "2 days".to_owned()));
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let cell = |text: &str| Cell::text(PLAIN, text);
        let row =
            |name: &str, number: u64, last: &str| vec![cell(name), cell(""), Cell::right(count(number)), cell(last)];
        let lines = table(PLAIN, &["NAME", "NEVER", "N", "LAST"], &[row("a", 1, ""), row("long\nname", 12, "x")]);
        assert_eq!(lines, ["NAME            N  LAST", "a               1", "long\\u{a}name  12  x"]);
    }

    #[test]
    fn long_text_goes_on_below_its_beginning() {
        let lines = labelled(PLAIN, "label ", &"word ".repeat(30), Some(RED));
        assert!(lines.len() == 2 && lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:?}");
        assert!(lines[0].starts_with("label word") && lines[1].starts_with("      word"), "{lines:?}");
    }
}
