//! `CONFORMANCE.md` names every row of the checklist, and the tests it names exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How often, and out of how many, rows are tested; and which are not.
type Share = (usize, usize, Vec<String>);

const STATUSES: [&str; 4] = ["tested", "reviewed", "later", "not applicable"];

struct Row {
    id: String,
    status: String,
    reason: String,
}

pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn claimed() -> Vec<Row> {
    let text = std::fs::read_to_string(workspace().join("CONFORMANCE.md")).unwrap();
    let row = |line: &&str| {
        ["| G-", "| A-", "| ASA-", "| EX-", "| GAP-", "| PM-"].iter().any(|start| line.starts_with(start))
    };
    text.lines()
        .filter(row)
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert_eq!(cells.len(), 3, "three cells: {line}");
            Row { id: cells[0].into(), status: cells[1].into(), reason: cells[2].trim_end_matches('|').trim().into() }
        })
        .collect()
}

fn levels() -> Vec<(String, String)> {
    let text = include_str!("data/conformance-rows.txt");
    let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    rows.map(|(id, level)| (id.to_owned(), level.to_owned())).collect()
}

/// Tells whether the file has a test function of that name.
pub(crate) fn has_test(root: &Path, path: &str, name: &str) -> bool {
    let Ok(source) = std::fs::read_to_string(root.join(path)) else { return false };
    let Some(at) = source.find(&format!("fn {name}(")) else { return false };
    let before: Vec<&str> = source[..at].lines().rev().take(12).collect();
    before.iter().any(|line| line.contains("#[test]") || line.contains("#[tokio::test")) || source.contains("proptest!")
}

#[test]
fn every_row_stands_in_the_list_once_and_in_order() {
    let claimed: Vec<String> = claimed().into_iter().map(|row| row.id).collect();
    let expected: Vec<String> = levels().into_iter().map(|(id, _)| id).collect();
    let missing: Vec<_> = expected.iter().filter(|id| !claimed.contains(id)).collect();
    assert!(missing.is_empty(), "rows missing from CONFORMANCE.md: {missing:?}");
    assert_eq!(claimed, expected);
}

#[test]
fn every_status_is_known_and_every_named_test_exists() {
    for Row { id, status, reason } in claimed() {
        assert!(STATUSES.contains(&status.as_str()), "{id}: unknown status {status}");
        assert!(!reason.is_empty(), "{id}: no test and no reason");
        if status == "tested" {
            for test in reason.split(", ") {
                let (path, name) = test.split_once("::").unwrap_or_else(|| panic!("{id}: {test} is no path::name"));
                assert!(has_test(&workspace(), path, name), "{id}: there is no test {name} in {path}");
            }
        }
    }
}

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Protocol,
    Agents,
    Prefixes,
}

fn subject(id: &str) -> Subject {
    match id.split('-').next() {
        Some("G" | "A") => Subject::Protocol,
        Some("PM") => Subject::Prefixes,
        Some(_) | None => Subject::Agents,
    }
}

/// Tells which rows about a subject are tested, with the rules for designers (D) or without; of these all, or those that MUST
/// be.
fn share(about: Subject, designers: bool, must: bool) -> Share {
    let levels: BTreeMap<String, String> = levels().into_iter().collect();
    let wanted = |row: &Row| {
        let (id, level) = (&row.id, &levels[&row.id]);
        subject(id) == about && (designers || !level.contains("(D)")) && (!must || level.starts_with("MUST"))
    };
    let rows: Vec<Row> = claimed().into_iter().filter(wanted).collect();
    let open: Vec<String> = rows.iter().filter(|row| row.status != "tested").map(|row| row.id.clone()).collect();
    (rows.len() - open.len(), rows.len(), open)
}

/// At least 95 % of the MUST and MUST NOT rows and 85 % of all rows are tested; left out are the rules for designers,
/// which no test of an engine can break. Of the rows about agents three of five are, and of those about
/// prefix management four of five.
#[test]
fn enough_rows_are_tested() {
    let least = [
        (Subject::Protocol, true, 95),
        (Subject::Protocol, false, 85),
        (Subject::Agents, false, 60),
        (Subject::Prefixes, true, 95),
        (Subject::Prefixes, false, 80),
    ];
    for (about, must, least) in least {
        let (tested, of, open) = share(about, false, must);
        assert!(100 * tested >= least * of, "{} % of the rows are tested; not: {open:?}", 100 * tested / of);
    }
}

#[test]
fn the_figures_are_right() {
    let text = std::fs::read_to_string(workspace().join("CONFORMANCE.md")).unwrap();
    let rows =
        [(Subject::Protocol, true), (Subject::Protocol, false), (Subject::Agents, true), (Subject::Prefixes, true)];
    for (about, designers) in rows {
        let [must, all] = [true, false].map(|must| {
            let (tested, of, _) = share(about, designers, must);
            let permille = (2000 * tested + of) / (2 * of);
            format!("{tested} of {of}, {}.{} %", permille / 10, permille % 10)
        });
        assert!(text.contains(&format!("| {must} | {all} |")), "not in CONFORMANCE.md: {must}; {all}");
    }
}
