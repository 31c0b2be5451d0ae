//! The comments that describe the parameters of a class in the text of its defaults.

use std::collections::BTreeMap;

use super::tree::{self, Node, Place};

/// Where each key stands, by its path, and what the comment above it says.
///
/// A comment holds for the key below it and for those that follow without an empty line or a comment in between.
#[derive(Debug, Default)]
pub(super) struct Comments(BTreeMap<Vec<String>, (Place, String)>);

impl Comments {
    /// Reads the comments of a text; one that is not TOML has none.
    pub(super) fn of(text: &str) -> Self {
        let mut found = BTreeMap::new();
        if let Ok(tree) = tree::parse(text) {
            let lines: Vec<&str> = text.lines().collect();
            collect(&tree, &lines, &mut Vec::new(), &mut found);
        }
        Self(found)
    }

    /// Returns what the comment says of this key, empty if there is none.
    pub(super) fn about(&self, path: &[String]) -> String {
        self.0.get(path).map(|(_, about)| about.clone()).unwrap_or_default()
    }

    /// Returns where the key stands, to sort by.
    pub(super) fn order(&self, path: &[String]) -> Option<(usize, usize)> {
        self.0.get(path).map(|(place, _)| (place.line, place.column))
    }
}

fn collect(node: &Node, lines: &[&str], path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, (Place, String)>) {
    for (key, (place, inner)) in node.table().into_iter().flatten() {
        path.push(key.clone());
        if let Some(place) = place {
            found.insert(path.clone(), (*place, above(lines, place.line)));
        }
        collect(inner, lines, path, found);
        path.pop();
    }
}

/// Returns the comment above this line, which is counted from 1, as one paragraph.
fn above(lines: &[&str], line: usize) -> String {
    let before = lines.get(..line.saturating_sub(1)).unwrap_or_default();
    let is_comment = |line: &&&str| line.trim_start().starts_with('#');
    let is_key = |line: &&&str| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with(['#', '['])
    };
    let keys = before.iter().rev().take_while(is_key).count();
    let block: Vec<&&str> = before.iter().rev().skip(keys).take_while(is_comment).collect();
    let words = block.into_iter().rev().map(|line| line.trim().trim_start_matches('#').trim());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_describes_the_keys_below_it() {
        let comments = Comments::of("# One,\n# the first.\na = 1\nb = 2\n\nc = 3\n# A table.\n[d]\n# Four.\ne = 4\n");
        let of = |path: &[&str]| comments.about(&path.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert_eq!([of(&["a"]), of(&["b"])], ["One, the first.", "One, the first."]);
        assert_eq!([of(&["c"]), of(&["d"]), of(&["d", "e"])], ["", "A table.", "Four."]);
    }
}
