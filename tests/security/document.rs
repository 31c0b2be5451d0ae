//! The tests that `SECURITY.md` names exist, and no threat is without one.

use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Tells whether the file has a test function of that name.
fn has_test(root: &Path, path: &str, name: &str) -> bool {
    let Ok(source) = std::fs::read_to_string(root.join(path)) else { return false };
    let Some(at) = source.find(&format!("fn {name}(")) else { return false };
    let before: Vec<&str> = source[..at].lines().rev().take(12).collect();
    before.iter().any(|line| line.contains("#[test]") || line.contains("#[tokio::test")) || source.contains("proptest!")
}

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
