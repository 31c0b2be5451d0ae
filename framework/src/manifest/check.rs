//! Holds what each layer gives against the shape and keeps what is right.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::kind::{Kind, is_member_name};
use super::origin::{Origin, Problem, dotted, plain, shown};
use super::shape::Shape;
use super::tree::Node;

/// Longer names are not compared with the known ones: nobody mistypes that much.
const MAX_HINT: usize = 64;

/// What one layer gives at one place.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) path: Vec<String>,
    pub(super) content: Content,
    pub(super) origin: Origin,
}

/// Values with their types, or text that takes the type of its key.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Tree(Node),
    Text(String),
}

/// What has been found in the layers so far.
#[derive(Debug)]
pub(super) struct Findings {
    /// The origin of each leaf, the highest layer's.
    pub(super) origins: BTreeMap<Vec<String>, Origin>,
    /// The first layer that names each member.
    pub(super) members: BTreeMap<Vec<String>, Origin>,
    /// The leaves that some layer gives a wrong value.
    pub(super) refused: BTreeSet<Vec<String>>,
    pub(super) problems: Vec<Problem>,
    /// What the files of a directory give; none for a single file.
    fragments: Option<BTreeMap<Vec<String>, (Origin, Value)>>,
    /// What is said of a key that may not stand where it does.
    unknown: &'static str,
}

impl Findings {
    /// Starts with these problems; `directory` says whether several files make up the manifest.
    pub(super) fn new(problems: Vec<Problem>, directory: bool) -> Self {
        Self {
            origins: BTreeMap::new(),
            members: BTreeMap::new(),
            refused: BTreeSet::new(),
            problems,
            fragments: directory.then(BTreeMap::new),
            unknown: "is not a known key",
        }
    }

    /// Starts for settings that the network gives.
    pub(super) fn of_floods() -> Self {
        Self { unknown: "is not a key that a flood may set", ..Self::new(Vec::new(), false) }
    }

    /// Checks what one layer gives and returns the part of it that is right, as a tree from the root.
    pub(super) fn accept(&mut self, root: &Shape, given: &Given) -> Map<String, Value> {
        let mut shape = root;
        for (depth, key) in given.path.iter().enumerate() {
            let (above, here) = (&given.path[..depth], &given.path[..=depth]);
            match self.descend(root, shape, above, key, &given.origin) {
                Some(child) => shape = child,
                None => return Map::new(),
            }
            if matches!(shape, Shape::Leaf(_)) && here.len() < given.path.len() {
                let problem = Problem::new(given.origin.clone(), dotted(&given.path), self.unknown);
                self.problems.push(problem.with_hint(Some(format!("{} is a value, not a table", dotted(here)))));
                return Map::new();
            }
        }
        let mut path = given.path.clone();
        let accepted = match &given.content {
            Content::Tree(node) => self.walk(root, shape, &mut path, node, &given.origin),
            Content::Text(text) => match shape {
                Shape::Leaf(kind) => self.leaf(kind, &path, kind.read(text), &given.origin),
                Shape::Table(_) | Shape::Members(..) => {
                    self.not_a_table(shape, &path, &Value::String(text.clone()), &given.origin);
                    None
                }
            },
        };
        let nested = |inner: Value, key: &String| Value::Object(Map::from_iter([(key.clone(), inner)]));
        match accepted.map(|value| given.path.iter().rev().fold(value, nested)) {
            Some(Value::Object(table)) => table,
            Some(_) | None => Map::new(),
        }
    }

    fn walk(
        &mut self,
        root: &Shape,
        shape: &Shape,
        path: &mut Vec<String>,
        node: &Node,
        origin: &Origin,
    ) -> Option<Value> {
        if let Shape::Leaf(kind) = shape {
            return self.leaf(kind, path, node.value(), &origin.at(node.at));
        }
        let Some(table) = node.table() else {
            self.not_a_table(shape, path, &node.value(), &origin.at(node.at));
            return None;
        };
        let mut accepted = Map::new();
        for (key, (at, inner)) in table {
            let Some(child) = self.descend(root, shape, path, key, &origin.at(*at)) else { continue };
            path.push(key.clone());
            if let Some(inner) = self.walk(root, child, path, inner, origin) {
                accepted.insert(key.clone(), inner);
            }
            path.pop();
        }
        Some(Value::Object(accepted))
    }

    fn leaf(&mut self, kind: &Kind, path: &[String], value: Value, origin: &Origin) -> Option<Value> {
        if kind.accepts(&value) {
            self.compare(path, &value, origin);
            self.origins.insert(path.to_vec(), origin.clone());
            return Some(value);
        }
        self.refused.insert(path.to_vec());
        let hint = value.as_str().and_then(|text| nearest(text, &mut kind.choices().into_iter()));
        let problem = Problem::new(origin.clone(), dotted(path), "is not allowed");
        // What stands where a secret's place belongs may be the secret.
        let secret = matches!(kind, Kind::SecretSource | Kind::SecretFile);
        let problem = if secret { problem } else { problem.with_found(&value) };
        self.problems.push(problem.with_allowed(kind.allowed()).with_hint(hint));
        None
    }

    /// Notes two files of a directory that disagree, or that both give a key of one instance: neither is above the
    /// other, and which of them was meant cannot be known.
    fn compare(&mut self, path: &[String], value: &Value, origin: &Origin) {
        let (Some(fragments), Origin::File { .. }) = (&mut self.fragments, origin) else { return };
        let Some((first, other)) = fragments.get(path) else {
            fragments.insert(path.to_vec(), (origin.clone(), value.clone()));
            return;
        };
        let of_instance = path.first().is_some_and(|key| key == "asa");
        if of_instance || other != value {
            let message = if other == value { "is given twice" } else { "is given twice, with different values" };
            let hint = format!("{first} gives {}; keep one of the two", shown(other));
            let problem = Problem::new(origin.clone(), dotted(path), message);
            self.problems.push(problem.with_found(value).with_hint(Some(hint)));
        }
    }

    /// Goes one key down, or notes why there is no way.
    fn descend<'a>(
        &mut self,
        root: &Shape,
        shape: &'a Shape,
        above: &[String],
        key: &str,
        origin: &Origin,
    ) -> Option<&'a Shape> {
        let mut path = above.to_vec();
        path.push(key.to_owned());
        let child = shape.child(key);
        if let Shape::Members(what, _) = shape
            && !is_member_name(key)
        {
            self.problems
                .push(Problem::new(origin.clone(), dotted(&path), format!("is not a name for {what}")).with_allowed(
                "1 to 63 characters of a-z 0-9 - and single _ in between, so that environment variables can name it",
            ));
            return None;
        }
        if child.is_none() {
            let names = shape.names();
            let hint = misplaced(above, key, self.fragments.is_some())
                .or_else(|| nearest(key, &mut names.iter().copied()))
                .or_else(|| elsewhere(root, key));
            let problem = Problem::new(origin.clone(), dotted(&path), self.unknown);
            let allowed = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            self.problems.push(problem.with_allowed(allowed).with_hint(hint));
        } else if matches!(shape, Shape::Members(..)) {
            self.members.entry(path).or_insert_with(|| origin.clone());
        }
        child
    }

    fn not_a_table(&mut self, shape: &Shape, path: &[String], value: &Value, origin: &Origin) {
        let names = shape.names();
        let allowed =
            if names.is_empty() { "a table".to_owned() } else { format!("a table with the keys {}", names.join(", ")) };
        let problem = Problem::new(origin.clone(), dotted(path), "is a table and takes no value");
        self.problems.push(problem.with_found(value).with_allowed(allowed));
    }
}

/// Returns the names below a table that some layer mentions, in order.
pub(super) fn members(layers: &[Given], table: &[&str]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for given in layers {
        if given.path.len() > table.len() {
            if given.path.iter().zip(table).all(|(a, b)| a == b) {
                names.insert(given.path[table.len()].clone());
            }
        } else if let Some(members) = tree_at(given, table).and_then(Node::table) {
            names.extend(members.keys().cloned());
        }
    }
    names.into_iter().collect()
}

/// Returns the text that the highest layer gives at this path.
pub(super) fn last_text(layers: &[Given], path: &[&str]) -> Option<String> {
    layers.iter().rev().find_map(|given| match (&given.content, tree_at(given, path)) {
        (Content::Text(text), _) => given.path.iter().eq(path.iter().copied()).then(|| text.clone()),
        (Content::Tree(_), node) => node.and_then(Node::text).map(str::to_owned),
    })
}

fn tree_at<'a>(given: &'a Given, path: &[&str]) -> Option<&'a Node> {
    let Content::Tree(tree) = &given.content else { return None };
    let rest = path.get(given.path.len()..)?;
    let above = given.path.iter().zip(path).all(|(a, b)| a == b);
    above.then(|| rest.iter().try_fold(tree, |node, key| node.get(key))).flatten()
}

/// Returns a guess at which of these names was meant, as a question.
#[must_use]
pub fn did_you_mean(name: &str, known: &[&str]) -> Option<String> {
    nearest(name, &mut known.iter().copied())
}

fn nearest(name: &str, known: &mut dyn Iterator<Item = &str>) -> Option<String> {
    if name.len() > MAX_HINT {
        return None;
    }
    let distance = |other: &str| strsim::osa_distance(&name.to_lowercase(), other);
    let (best, steps) = known.map(|other| (other, distance(other))).min_by_key(|(_, steps)| *steps)?;
    (steps <= 1 + best.len() / 4 && steps < best.len()).then(|| format!("did you mean {best}?"))
}

fn elsewhere(root: &Shape, key: &str) -> Option<String> {
    let mut path = root.table_with(key)?;
    path.push(key.to_owned());
    Some(format!("did you mean {}?", dotted(&path)))
}

fn misplaced(above: &[String], key: &str, directory: bool) -> Option<String> {
    let lab = above.is_empty() && matches!(key, "fabric" | "nodes");
    let key = plain(key);
    lab.then(|| {
        if directory {
            format!("{key} belongs into a lab file, which cannot be part of a directory")
        } else {
            format!("{key} belongs into a lab file, which `asa demo` runs")
        }
    })
}
