//! The tests that `SECURITY.md` names exist, and no threat is without one.

use crate::conformance::{has_test, workspace};

#[test]
fn every_threat_has_tests_and_they_exist() {
    let text = std::fs::read_to_string(workspace().join("SECURITY.md")).unwrap();
    let begin = text.find("## Threats").expect("the threats");
    let end = begin + text[begin + 3..].find("\n## ").expect("what comes after the threats");
    let mut threats = 0;
    for row in text[begin..end].lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Threat")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "three cells: {row}");
        let tests: Vec<&str> = cells[2].split('`').filter(|part| part.contains("::")).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            let (path, name) = test.split_once("::").unwrap();
            assert!(has_test(&workspace(), path, name), "there is no test {name} in {path}");
        }
        threats += 1;
    }
    assert!(threats >= 30, "{threats}");
}
