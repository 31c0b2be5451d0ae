//! TOML as a tree in which every key and value knows where it stands.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::plain;

/// The most syntax errors of one file that are reported; what follows is mostly their echo.
const MAX_ERRORS: usize = 20;

/// A line and a column, counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value and where it stands, if it comes from a file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Option<Place>,
    pub(super) tree: Tree,
}

/// A table, whose keys have places too, or any other value.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Table(BTreeMap<String, (Option<Place>, Node)>),
    Value(Value),
}

impl Node {
    /// Returns the table, if it is one.
    pub(super) fn table(&self) -> Option<&BTreeMap<String, (Option<Place>, Self)>> {
        match &self.tree {
            Tree::Table(table) => Some(table),
            Tree::Value(_) => None,
        }
    }

    /// Returns what stands under this key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.table()?.get(key).map(|(_, node)| node)
    }

    /// Returns the text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Value(value) => value.as_str(),
            Tree::Table(_) => None,
        }
    }

    /// Returns the value without the places.
    pub(super) fn value(&self) -> Value {
        match &self.tree {
            Tree::Value(value) => value.clone(),
            Tree::Table(table) => {
                let entries = table.iter().map(|(key, (_, node))| (key.clone(), node.value()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        let tree = match value {
            Value::Object(table) => {
                Tree::Table(table.into_iter().map(|(key, value)| (key, (None, Self::from(value)))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Tree::Value(value),
        };
        Self { at: None, tree }
    }
}

/// One thing that keeps a text from being TOML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) at: Place,
    pub(super) reason: String,
}

/// Turns TOML into a tree, or says everything that keeps it from being TOML.
pub(super) fn parse(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let lines = Lines::new(text.as_bytes());
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(of_table(table.into_inner(), &lines, Some(Place { line: 1, column: 1 })));
    }
    // The parser names what it finds in an inner part first.
    let start = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    let mut errors = errors;
    errors.sort_by_key(start);
    let error = |error: toml::de::Error| {
        let at = lines.place(start(&error));
        SyntaxError { at, reason: plain(error.message()) }
    };
    Err(errors.into_iter().take(MAX_ERRORS).map(error).collect())
}

/// Turns TOML into a value; the error names the first fault with line and column.
pub(super) fn parse_value(text: &str) -> Result<Value, String> {
    parse(text).map(|node| node.value()).map_err(|errors| {
        let first = errors.first();
        first.map_or_else(String::new, |error| {
            format!("line {}, column {}: {}", error.at.line, error.at.column, error.reason)
        })
    })
}

fn of_table(table: DeTable<'_>, lines: &Lines<'_>, at: Option<Place>) -> Node {
    let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let place = lines.start(&key.span());
        let name: std::borrow::Cow<'_, str> = key.into_inner();
        (name.into_owned(), (Some(place), of_value(value, lines)))
    };
    Node { at, tree: Tree::Table(table.into_iter().map(entry).collect()) }
}

fn of_value(value: Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    let at = Some(lines.start(&value.span()));
    let value = match value.into_inner() {
        DeValue::Table(table) => return of_table(table, lines, at),
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => {
            let digits = i64::from_str_radix(number.as_str(), number.radix());
            // A number that no setting can hold is refused and shown as it was written.
            digits.map_or_else(|_| Value::String(number.to_string()), Value::from)
        }
        DeValue::Float(number) => {
            let float = number.as_str().parse::<f64>().ok().and_then(Number::from_f64);
            // Infinity and not-a-number have no place in any setting; as text they are refused and shown.
            float.map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        DeValue::Boolean(flag) => Value::Bool(flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(list) => list.into_iter().map(|item| of_value(item, lines).value()).collect(),
    };
    Node { at, tree: Tree::Value(value) }
}

/// The distance, in bytes, between two places up to which characters are counted beforehand.
const STEP: usize = 1024;

/// Finds line and column of an offset; quick even in one endless line.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    /// Where each line starts.
    starts: Vec<usize>,
    /// Characters before each multiple of [`STEP`].
    counted: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index + 1);
        let mut counted = vec![0];
        for chunk in bytes.chunks(STEP) {
            counted.push(counted.last().copied().unwrap_or(0) + characters(chunk));
        }
        Self { bytes, starts: std::iter::once(0).chain(ends).collect(), counted }
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.bytes.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        Place { line, column: self.before(offset).saturating_sub(self.before(start)) + 1 }
    }

    fn start(&self, span: &Range<usize>) -> Place {
        self.place(span.start)
    }

    fn before(&self, offset: usize) -> usize {
        let base = offset / STEP;
        let counted = self.counted.get(base).copied().unwrap_or(0);
        counted + characters(self.bytes.get(base * STEP..offset).unwrap_or_default())
    }
}

/// Counts the bytes that begin a character of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = format!("a\n{}\u{e9}b\n", "\u{20ac}".repeat(1000));
        let lines = Lines::new(text.as_bytes());
        let at = |offset| {
            let place = lines.place(offset);
            (place.line, place.column)
        };
        assert_eq!(
            [at(0), at(1), at(2), at(2 + 3), at(2 + 3000), at(2 + 3002)],
            [(1, 1), (1, 2), (2, 1), (2, 2), (2, 1001), (2, 1002)]
        );
        assert_eq!((at(text.len()), at(text.len() + 9)), ((3, 1), (3, 1)));
        let node = parse("[grasp]\nport = 1\n[asa.one.parameters]\nstyle = { colour = 2 }").unwrap();
        let place = |key: Option<Place>| key.map(|place| (place.line, place.column));
        let (key, grasp) = &node.table().unwrap()["grasp"];
        assert_eq!(place(*key), Some((1, 2)));
        let (key, port) = &grasp.table().unwrap()["port"];
        assert_eq!((place(*key), place(port.at)), (Some((2, 1)), Some((2, 8))));
        let one = node.get("asa").unwrap().table().unwrap()["one"].0;
        assert_eq!(place(one), Some((3, 6)));
    }

    #[test]
    fn every_syntax_error_is_named() {
        let errors = parse("a = \nb = 1\nc = ]\n").unwrap_err();
        let lines: Vec<usize> = errors.iter().map(|error| error.at.line).collect();
        assert_eq!(lines, [1, 3]);
    }
}
