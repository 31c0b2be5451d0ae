//! Puts the layers together.

use std::collections::BTreeSet;
use std::path::PathBuf;

use config::{Config, ConfigError, Source};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::check::{Content, Findings, Given, last_text, members};
use super::keys::{self, KnownClass};
use super::origin::{Effective, Origin, Problem, Problems, Setting, dotted};
use super::read;
use super::schema::{Fabric, Instance, Lab, Manifest};
use super::shape::{Field, Shape};
use crate::class::{ClassInfo, find_class, version_order};

/// Everything that settings are read from; nothing else is looked at, not even the environment of the process.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file; none starts from the defaults.
    pub path: Option<PathBuf>,
    /// The content of the file where it is at hand already; `path` then only names it.
    pub content: Option<Vec<u8>>,
    /// Environment variables; those that do not begin with `ASA__` are ignored.
    pub environment: Vec<(String, String)>,
    /// Key and value of each `--set`, in the order given; the last wins.
    pub sets: Vec<(String, String)>,
    /// The names of each `--interface`; together they replace `grasp.interfaces`.
    pub interfaces: Vec<String>,
}

/// Checked settings, and where each comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<T> {
    /// The settings.
    pub manifest: T,
    /// Every setting with its origin, in the order of the keys.
    pub effective: Effective,
}

/// A file of either form.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// The settings of one node.
    Manifest(Box<Loaded<Manifest>>),
    /// Several nodes in one process.
    Lab(Loaded<Lab>),
}

impl Document {
    /// Reads a lab if the file has a table `fabric` or `nodes` at its top, otherwise a manifest.
    ///
    /// # Errors
    ///
    /// All problems of all sources, as the operator has to correct them.
    pub fn load(sources: Sources, classes: &[&dyn ClassInfo]) -> Result<Self, Problems> {
        let layers = Layers::read(sources);
        let is_lab = layers.file().is_some_and(|tree| tree.get("fabric").is_some() || tree.get("nodes").is_some());
        if is_lab {
            Lab::from_layers(layers, classes).map(Self::Lab)
        } else {
            Manifest::from_layers(layers, classes).map(|loaded| Self::Manifest(Box::new(loaded)))
        }
    }
}

impl Manifest {
    /// Reads and checks the settings of one node. No source at all gives the defaults.
    ///
    /// # Errors
    ///
    /// All problems of all sources, as the operator has to correct them.
    pub fn load(sources: Sources, classes: &[&dyn ClassInfo]) -> Result<Loaded<Self>, Problems> {
        Self::from_layers(Layers::read(sources), classes)
    }

    fn from_layers(layers: Layers, classes: &[&dyn ClassInfo]) -> Result<Loaded<Self>, Problems> {
        let mut loader = Loader::new(layers, classes);
        let (shape, defaults) = loader.node(&[], None);
        loader.merge(&shape, defaults, |loader, tree| loader.check_node(&[], tree))
    }
}

impl Lab {
    /// Reads and checks the settings of a lab, which needs at least one node.
    ///
    /// # Errors
    ///
    /// All problems of all sources, as the operator has to correct them.
    pub fn load(sources: Sources, classes: &[&dyn ClassInfo]) -> Result<Loaded<Self>, Problems> {
        Self::from_layers(Layers::read(sources), classes)
    }

    fn from_layers(layers: Layers, classes: &[&dyn ClassInfo]) -> Result<Loaded<Self>, Problems> {
        let mut loader = Loader::new(layers, classes);
        let (mut shapes, mut defaults) = (Vec::new(), Map::new());
        for name in members(&loader.layers.given, &["nodes"]) {
            let (shape, tree) = loader.node(&["nodes", &name], Some(&name));
            shapes.push(Field::new(&name, "A node.", shape));
            defaults.insert(name, tree);
        }
        let names: Vec<String> = defaults.keys().cloned().collect();
        let defaults = json!({ "fabric": tree_of(&Fabric::default()), "nodes": defaults });
        loader.merge(&keys::lab(shapes), defaults, |loader, tree| {
            for name in &names {
                loader.check_node(&["nodes", name], tree);
                let path = path(&["nodes", name, "grasp", "interfaces"]);
                let given = at(tree, &path).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
                if given {
                    let problem = loader.problem(&path, "has no meaning in a lab");
                    loader.findings.problems.push(problem.with_allowed("nothing: the fabric joins the nodes"));
                }
            }
            if names.is_empty() && loader.findings.problems.is_empty() {
                let problem = loader.problem(&path(&["nodes"]), "is empty");
                loader.findings.problems.push(problem.with_allowed("at least one table [nodes.<name>]"));
            }
        })
    }
}

/// What all sources give, lowest first.
struct Layers {
    path: Option<PathBuf>,
    given: Vec<Given>,
    problems: Vec<Problem>,
}

impl Layers {
    fn read(sources: Sources) -> Self {
        let Sources { path, content, mut environment, sets, interfaces } = sources;
        let (mut given, mut problems) = (Vec::new(), Vec::new());
        if let Some(path) = &path {
            let origin = Origin::File(path.clone());
            match content.map_or_else(|| read::file_bytes(path), Ok) {
                Ok(bytes) => match read::file_tree(path, &bytes) {
                    Ok(tree) => given.push(Given { path: Vec::new(), content: Content::Tree(tree), origin }),
                    Err(problem) => problems.push(*problem),
                },
                Err(error) => problems.push(Problem::new(origin, "", format!("cannot be read: {error}"))),
            }
        }
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
            let content = Content::Tree(Value::from(interfaces));
            given.push(Given { path: path_of("grasp.interfaces"), content, origin });
        }
        Self { path, given, problems }
    }

    fn file(&self) -> Option<&Value> {
        self.given.iter().find_map(|given| match (&given.origin, &given.content) {
            (Origin::File(_), Content::Tree(tree)) => Some(tree),
            (_, Content::Tree(_) | Content::Text(_)) => None,
        })
    }
}

struct Loader<'a> {
    layers: Layers,
    classes: &'a [&'a dyn ClassInfo],
    findings: Findings,
}

impl<'a> Loader<'a> {
    fn new(mut layers: Layers, classes: &'a [&'a dyn ClassInfo]) -> Self {
        let problems = std::mem::take(&mut layers.problems);
        Self { layers, classes, findings: Findings { problems, ..Findings::default() } }
    }

    /// Returns the class that meets the requirement; if none does, any of that name, so that the rest can be checked.
    fn class(&self, name: &str, requirement: &str) -> Option<&'a dyn ClassInfo> {
        find_class(self.classes, name, requirement).or_else(|| find_class(self.classes, name, "*"))
    }

    /// Returns the names of the classes, each once.
    fn class_names(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.classes.iter().map(|class| class.name()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn versions(&self, name: &str) -> Vec<&'static str> {
        self.classes.iter().filter(|class| class.name() == name).map(|class| class.version()).collect()
    }

    /// Returns the keys and the defaults of one node, given the instances that the layers name.
    fn node(&mut self, prefix: &[&str], name: Option<&str>) -> (Shape, Value) {
        let mut defaults = tree_of(&Manifest::default());
        if let Some(name) = name {
            defaults["node"]["name"] = Value::from(name);
        }
        let asa = [prefix, &["asa"]].concat();
        let mut shapes = Vec::new();
        for instance in members(&self.layers.given, &asa) {
            let text = |key: &str| last_text(&self.layers.given, &[&asa[..], &[instance.as_str(), key]].concat());
            let (class, requirement) = (text("class"), text("version").unwrap_or_else(|| "*".to_owned()));
            let class = class.and_then(|class| self.class(&class, &requirement));
            let mut own = Instance::new("");
            let known = class.map(|class| {
                let place = path(&[&asa[..], &[instance.as_str()]].concat());
                let parameters = self.class_defaults(class, place, &mut own);
                let mut versions: Vec<&str> = self.versions(class.name());
                versions.sort_by_key(|version| version_order(version));
                KnownClass {
                    name: class.name().to_owned(),
                    versions: versions.into_iter().map(str::to_owned).collect(),
                    roles: class.roles(),
                    objectives: class.objectives(),
                    parameters: keys::like(&parameters, &|_| String::new()),
                }
            });
            let mut own = tree_of(&own);
            if let Some(own) = own.as_object_mut() {
                // The one key without a default.
                own.remove("class");
            }
            shapes.push(Field::new(&instance, "An instance.", keys::instance(self.class_names(), known)));
            defaults["asa"][instance.as_str()] = own;
        }
        (keys::manifest(shapes), defaults)
    }

    /// Fills in what an instance at this place has by default from its class, notes where that comes from, and returns
    /// the parameters.
    fn class_defaults(&mut self, class: &dyn ClassInfo, place: Vec<String>, own: &mut Instance) -> Value {
        let origin = Origin::ClassDefault(class.name().to_owned());
        let defaults = read::toml_tree(class.defaults()).unwrap_or_else(|reason| {
            let mut problem = Problem::new(origin.clone(), "", "is not TOML");
            problem.found = Some(reason);
            self.findings.problems.push(problem);
            json!({})
        });
        let mut note = |below: &[String]| {
            self.findings.origins.insert([&place[..], below].concat(), origin.clone());
        };
        if let Some(role) = class.roles().first() {
            (*role).clone_into(&mut own.role);
            note(&path(&["role"]));
        }
        if !class.objectives().is_empty() {
            own.objectives = class.objectives().iter().map(|name| (*name).to_owned()).collect();
            note(&path(&["objectives"]));
        }
        leaves(&defaults).iter().for_each(|leaf| note(&[&path(&["parameters"])[..], leaf].concat()));
        if let Value::Object(parameters) = &defaults {
            own.parameters = parameters.clone();
        }
        defaults
    }

    /// Checks the layers, merges what is right, and returns the result if nothing is wrong.
    fn merge<T: DeserializeOwned>(
        mut self,
        shape: &Shape,
        defaults: Value,
        check: impl FnOnce(&mut Self, &Value),
    ) -> Result<Loaded<T>, Problems> {
        let mut builder = Config::builder();
        if let Value::Object(table) = defaults {
            builder = builder.add_source(Layer(table));
        }
        for given in std::mem::take(&mut self.layers.given) {
            builder = builder.add_source(Layer(self.findings.accept(shape, &given)));
        }
        let tree = builder.build().and_then(Config::try_deserialize::<Value>);
        let tree = tree.unwrap_or_else(|error| self.fault(&error.to_string()));
        check(&mut self, &tree);
        let mut settings = Vec::new();
        self.list(&tree, &mut Vec::new(), &mut settings);
        if self.findings.problems.is_empty() {
            match serde_json::from_value(tree) {
                Ok(manifest) => return Ok(Loaded { manifest, effective: Effective(settings) }),
                Err(error) => drop(self.fault(&error.to_string())),
            }
        }
        Err(Problems(self.findings.problems))
    }

    /// Notes a disagreement between the parts of this module, which would be a defect of the program.
    fn fault(&mut self, error: &str) -> Value {
        let problem = self.problem(&[], "cannot be turned into settings");
        self.findings.problems.push(problem.with_hint(Some(format!("a defect of this program: {error}"))));
        Value::Null
    }

    /// Checks what takes several keys of a node at once.
    fn check_node(&mut self, prefix: &[&str], tree: &Value) {
        let asa = path(&[prefix, &["asa"]].concat());
        let Some(instances) = at(tree, &asa).and_then(Value::as_object) else { return };
        for (name, instance) in instances {
            let mut path = asa.clone();
            path.push(name.clone());
            let Some(class) = instance.get("class").and_then(Value::as_str) else {
                self.missing_class(&path);
                continue;
            };
            let requirement = instance.get("version").and_then(Value::as_str).unwrap_or("*");
            let Some(class) = self.class(class, requirement) else { continue };
            path.push("parameters".to_owned());
            for found in class.check(instance.get("parameters").unwrap_or(&Value::Null)) {
                let mut key = path.clone();
                key.extend(found.key.split('.').map(str::to_owned));
                let place = self.problem(&key, "");
                self.findings.problems.push(Problem { origin: place.origin, key: place.key, ..found });
            }
        }
        let limit = path(&[prefix, &["grasp", "limits", "asas"]].concat());
        let allowed = at(tree, &limit).and_then(Value::as_u64).unwrap_or(u64::MAX);
        let installed = Some(&Value::from("installed"));
        let running = instances.values().filter(|one| one.get("state") != installed).count();
        if running as u64 > allowed {
            let problem = self.problem(&limit, "is too small").with_found(&Value::from(allowed));
            self.findings
                .problems
                .push(problem.with_allowed(format!("at least {running}, the instances that are started")));
        }
    }

    /// Notes that nobody gave a class, unless somebody gave a wrong one, which is noted already.
    fn missing_class(&mut self, instance: &[String]) {
        let mut path = instance.to_vec();
        path.push("class".to_owned());
        if !self.findings.refused.contains(&path) {
            let names: Vec<String> = self.classes.iter().map(|class| format!("\"{}\"", class.name())).collect();
            let problem = self.problem(&path, "is missing");
            let allowed = format!("a class of this binary: {}", names.join(", "));
            self.findings.problems.push(problem.with_allowed(allowed));
        }
    }

    /// Starts a problem with the best origin known: that of the key, of the member that it belongs to, of the file.
    fn problem(&self, path: &[String], message: &str) -> Problem {
        let findings = &self.findings;
        let member = || (0..=path.len()).rev().find_map(|length| findings.members.get(&path[..length]));
        let given = findings.origins.get(path).filter(|origin| !matches!(origin, Origin::ClassDefault(_)));
        let origin = given.or_else(member).cloned();
        let file = || self.layers.path.clone().map_or(Origin::Default, Origin::File);
        Problem::new(origin.unwrap_or_else(file), dotted(path), message)
    }

    fn list(&self, value: &Value, path: &mut Vec<String>, settings: &mut Vec<Setting>) {
        let origin = self.findings.origins.get(&path[..]).cloned();
        match value {
            Value::Object(table) if origin.is_none() => {
                for (key, inner) in table {
                    path.push(key.clone());
                    self.list(inner, path, settings);
                    path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                let origin = origin.unwrap_or(Origin::Default);
                settings.push(Setting { key: dotted(path), value: value.clone(), origin });
            }
        }
    }
}

/// One checked layer as the `config` crate wants it.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, config::Value>, ConfigError> {
        serde_json::from_value(Value::Object(self.0.clone())).map_err(|error| ConfigError::Foreign(Box::new(error)))
    }
}

fn tree_of(settings: &impl serde::Serialize) -> Value {
    serde_json::to_value(settings).unwrap_or(Value::Null)
}

fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn path_of(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

fn at<'v>(tree: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(tree, |value, key| value.get(key))
}

/// Returns the paths of the values in these parameters; an empty table counts as a value.
fn leaves(parameters: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (key, value) in parameters.as_object().into_iter().flatten() {
        let below = leaves(value);
        if below.is_empty() {
            found.push(vec![key.clone()]);
        }
        found.extend(below.into_iter().map(|leaf| [std::slice::from_ref(key), &leaf[..]].concat()));
    }
    found
}
