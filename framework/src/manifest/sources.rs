//! Everything that settings are read from, as layers.

use std::path::PathBuf;

use serde_json::Value;

use super::check::{Content, Given};
use super::origin::{Origin, Problem};
use super::read;
use super::tree::Node;

/// Everything that settings are read from; nothing else is looked at, not even the environment of the process.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file, or a directory of files; none starts from the defaults.
    pub path: Option<PathBuf>,
    /// The content of the file where it is at hand already; `path` then only names it.
    pub content: Option<Vec<u8>>,
    /// What the network floods, the strongest last; it stands above the defaults and below everything else.
    pub flooded: Vec<FloodedPolicy>,
    /// Environment variables; those that do not begin with `ASA__` are ignored.
    pub environment: Vec<(String, String)>,
    /// Key and value of each `--set`, in the order given; the last wins.
    pub sets: Vec<(String, String)>,
    /// The names of each `--interface`; together they replace `grasp.interfaces`.
    pub interfaces: Vec<String>,
}

/// Policy that came by information distribution (RFC 9222 section 4.4).
///
/// It steers what agents do, so it may set the parameters of the instances that the manifest names, and nothing else:
/// what runs, where, and how the node protects itself stays with the node's operator.
#[derive(Debug, Clone, PartialEq)]
pub struct FloodedPolicy {
    /// The name of the flooded objective.
    pub objective: String,
    /// Who flooded it, as text.
    pub from: String,
    /// The settings as a tree from the root: `{ "asa": { "<instance>": { "parameters": { ... } } } }`.
    pub settings: Value,
}

/// What all sources give, lowest first.
pub(super) struct Layers {
    pub(super) path: Option<PathBuf>,
    /// Whether the path is a directory.
    pub(super) directory: bool,
    pub(super) given: Vec<Given>,
    pub(super) flooded: Vec<FloodedPolicy>,
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    pub(super) fn read(sources: Sources) -> Self {
        let Sources { path, content, flooded, mut environment, sets, interfaces } = sources;
        let mut layers = Self { path, directory: false, given: Vec::new(), flooded, problems: Vec::new() };
        layers.files(content);
        let mut given = std::mem::take(&mut layers.given);
        environment.sort();
        for (name, value) in environment {
            if let Some(path) = read::environment_key(&name) {
                given.push(Given { path, content: Content::Text(value), origin: Origin::Environment(name) });
            }
        }
        for (key, value) in sets {
            let path = key.split('.').map(str::to_owned).collect();
            let origin = Origin::CommandLine(format!("--set {key}"));
            given.push(Given { path, content: Content::Text(value), origin });
        }
        if !interfaces.is_empty() {
            let origin = Origin::CommandLine("--interface".to_owned());
            let content = Content::Tree(Node::from(Value::from(interfaces)));
            given.push(Given { path: vec!["grasp".to_owned(), "interfaces".to_owned()], content, origin });
        }
        Self { given, ..layers }
    }

    fn files(&mut self, content: Option<Vec<u8>>) {
        let Some(path) = self.path.clone() else { return };
        if content.is_none() && path.is_dir() {
            self.directory = true;
            match read::fragments(&path) {
                Ok(files) => files.into_iter().for_each(|(path, bytes)| self.file(path, bytes)),
                Err(problem) => self.problems.push(*problem),
            }
        } else {
            let bytes = content.map_or_else(|| read::file_bytes(&path), Ok);
            self.file(path, bytes);
        }
    }

    fn file(&mut self, path: PathBuf, bytes: std::io::Result<Vec<u8>>) {
        let origin = Origin::file(&path);
        match bytes {
            Ok(bytes) => match read::file_tree(&path, &bytes) {
                Ok(tree) => self.given.push(Given { path: Vec::new(), content: Content::Tree(tree), origin }),
                Err(problems) => self.problems.extend(problems),
            },
            Err(error) => self.problems.push(Problem::new(origin, "", format!("cannot be read: {error}"))),
        }
    }

    /// Returns whether this is a single file with a table that only a lab has.
    pub(super) fn is_lab(&self) -> bool {
        let lab = |given: &Given| match (&given.origin, &given.content) {
            (Origin::File { .. }, Content::Tree(tree)) => tree.get("fabric").is_some() || tree.get("nodes").is_some(),
            (_, Content::Tree(_) | Content::Text(_)) => false,
        };
        !self.directory && self.given.iter().any(lab)
    }
}
