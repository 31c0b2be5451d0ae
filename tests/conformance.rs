//! `CONFORMANCE.md` names every row of the checklist, and the tests it names exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const STATUSES: [&str; 4] = ["tested", "reviewed", "later", "not applicable"];

struct Row {
    id: String,
    status: String,
    reason: String,
}

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn claimed() -> Vec<Row> {
    let text = std::fs::read_to_string(workspace().join("CONFORMANCE.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| G-") || line.starts_with("| A-"));
    rows.map(|line| {
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
fn has_test(root: &Path, path: &str, name: &str) -> bool {
    let Ok(source) = std::fs::read_to_string(root.join(path)) else { return false };
    let Some(at) = source.find(&format!("fn {name}(")) else { return false };
    let before: Vec<&str> = source[..at].lines().rev().take(12).collect();
    before.iter().any(|line| line.contains("#[test]")) || source.contains("proptest!")
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

/// At least 95 % of the MUST and MUST NOT rows and 85 % of all rows are tested; left out are DULL, which this version
/// does not have, and the rules for designers (D), which no test of an engine can break.
#[test]
fn enough_rows_are_tested() {
    let levels: BTreeMap<String, String> = levels().into_iter().collect();
    let engine = |row: &&Row| !row.id.starts_with("G-DULL") && !levels[&row.id].contains("(D)");
    let share = |rows: Vec<&Row>| {
        let tested = rows.iter().filter(|row| row.status == "tested").count();
        (
            tested * 100,
            rows.len(),
            rows.iter().filter(|row| row.status != "tested").map(|row| row.id.clone()).collect::<Vec<_>>(),
        )
    };
    let rows = claimed();
    let (must, of, open) =
        share(rows.iter().filter(engine).filter(|row| levels[&row.id].starts_with("MUST")).collect());
    assert!(must >= 95 * of, "{} % of the MUST rows are tested; not: {open:?}", must / of);
    let (all, of, _) = share(rows.iter().filter(engine).collect());
    assert!(all >= 85 * of, "{} % of all rows are tested", all / of);
}
