//! Puts the layers together.

use std::collections::BTreeMap;
use std::rc::Rc;

use config::{Config, ConfigError, Source};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::check::{Findings, last_text, members};
use super::keys;
use super::origin::{Effective, Origin, Problem, Problems, Setting, dotted};
use super::schema::{Fabric, Lab, Manifest};
use super::shape::{Field, Shape};
use super::sources::{Layers, Sources};
use super::template::Template;
use crate::class::{ClassInfo, find_class};

/// The most instances of a node, and nodes of a lab: as many as `grasp.limits.asas` can allow.
const MAX_MEMBERS: usize = 10_000;

/// Checked settings, and where each comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<T> {
    /// The settings.
    pub manifest: T,
    /// Every setting with its origin, in the order of the keys.
    pub effective: Effective,
    /// What the network floods and cannot be used; it never keeps a manifest from being loaded.
    pub warnings: Vec<Problem>,
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
        if layers.is_lab() {
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
        let (shape, defaults) = loader.node(&[], None)?;
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
        let mut layers = Layers::read(sources);
        if layers.directory {
            let origin = layers.path.take().map_or(Origin::Default, Origin::file);
            let problem = Problem::new(origin, "", "is a directory").with_allowed("a lab file, which stands alone");
            return Err(Problems(vec![problem]));
        }
        Self::from_layers(layers, classes)
    }

    fn from_layers(layers: Layers, classes: &[&dyn ClassInfo]) -> Result<Loaded<Self>, Problems> {
        let mut loader = Loader::new(layers, classes);
        let (mut shapes, mut defaults) = (Vec::new(), Map::new());
        for name in loader.few(&["nodes"])? {
            let (shape, tree) = loader.node(&["nodes", &name], Some(&name))?;
            shapes.push(Field::new(name.clone(), "A node.", shape));
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

pub(super) struct Loader<'a> {
    pub(super) layers: Layers,
    pub(super) classes: &'a [&'a dyn ClassInfo],
    pub(super) findings: Findings,
    /// What instances have by default, by the name and version of their class.
    templates: BTreeMap<Option<(&'static str, &'static str)>, Rc<Template>>,
}

impl<'a> Loader<'a> {
    fn new(mut layers: Layers, classes: &'a [&'a dyn ClassInfo]) -> Self {
        let problems = std::mem::take(&mut layers.problems);
        let findings = Findings::new(problems, layers.directory);
        Self { layers, classes, findings, templates: BTreeMap::new() }
    }

    /// Returns the class that meets the requirement; if none does, any of that name, so that the rest can be checked.
    pub(super) fn class(&self, name: &str, requirement: &str) -> Option<&'a dyn ClassInfo> {
        find_class(self.classes, name, requirement).or_else(|| find_class(self.classes, name, "*"))
    }

    /// Returns the keys and the defaults of one node, given the instances that the layers name.
    fn node(&mut self, prefix: &[&str], name: Option<&str>) -> Result<(Shape, Value), Problems> {
        let mut defaults = tree_of(&Manifest::default());
        if let Some(name) = name {
            defaults["node"]["name"] = Value::from(name);
        }
        let asa = [prefix, &["asa"]].concat();
        let mut shapes = Vec::new();
        for instance in self.few(&asa)? {
            let text = |key: &str| last_text(&self.layers.given, &[&asa[..], &[instance.as_str(), key]].concat());
            let (class, requirement) = (text("class"), text("version").unwrap_or_else(|| "*".to_owned()));
            let class = class.and_then(|class| self.class(&class, &requirement));
            let template = self.template(class);
            if let Some(class) = class {
                let place = path(&[&asa[..], &[instance.as_str()]].concat());
                let origin = Origin::ClassDefault(class.name().to_owned());
                let notes = template.of_class.iter().map(|below| ([&place[..], below].concat(), origin.clone()));
                self.findings.origins.extend(notes);
            }
            shapes.push(Field::new(instance.clone(), "An instance.", template.shape.clone()));
            defaults["asa"][instance.as_str()] = template.defaults.clone();
        }
        Ok((keys::manifest(shapes), defaults))
    }

    /// Returns the names below a table that some layer mentions, or everything found so far if they are too many to be
    /// looked at one by one.
    fn few(&mut self, table: &[&str]) -> Result<Vec<String>, Problems> {
        let names = members(&self.layers.given, table);
        if names.len() <= MAX_MEMBERS {
            return Ok(names);
        }
        let problem = self.problem(&path(table), "is too large").with_found(&json!(names.len()));
        self.findings.problems.push(problem.with_allowed(format!("at most {MAX_MEMBERS} tables")));
        Err(Problems(std::mem::take(&mut self.findings.problems)))
    }

    /// Returns what an instance of this class has by default; made once for each class.
    fn template(&mut self, class: Option<&dyn ClassInfo>) -> Rc<Template> {
        let key = class.map(|class| (class.name(), class.version()));
        if let Some(known) = self.templates.get(&key) {
            return known.clone();
        }
        let template = Rc::new(Template::new(class, self.classes));
        if let (Some(class), Some(reason)) = (class, &template.fault) {
            let mut problem = Problem::new(Origin::ClassDefault(class.name().to_owned()), "", "is not TOML");
            problem.found = Some(reason.clone());
            self.findings.problems.push(problem);
        }
        self.templates.insert(key, template.clone());
        template
    }

    /// Checks the layers, merges what is right, and returns the result if nothing is wrong.
    fn merge<T: DeserializeOwned>(
        mut self,
        shape: &Shape,
        defaults: Value,
        check: impl FnOnce(&mut Self, &Value),
    ) -> Result<Loaded<T>, Problems> {
        let given = std::mem::take(&mut self.layers.given);
        let layers: Vec<_> = given.iter().map(|given| self.findings.accept(shape, given)).collect();
        let policies = std::mem::take(&mut self.layers.flooded);
        let (floods, warnings) = self.flooded(policies, shape, &defaults, &layers);
        let tree = combine(&defaults, floods.iter().chain(&layers));
        let mut tree = tree.unwrap_or_else(|error| self.fault(&error.to_string()));
        check(&mut self, &tree);
        self.choose_roles(&mut tree);
        let mut settings = Vec::new();
        self.list(&tree, Some(shape), &mut Vec::new(), &mut settings);
        if self.findings.problems.is_empty() {
            match serde_json::from_value(tree) {
                Ok(manifest) => return Ok(Loaded { manifest, effective: Effective(settings), warnings }),
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

    fn list(&self, value: &Value, shape: Option<&Shape>, path: &mut Vec<String>, settings: &mut Vec<Setting>) {
        let origin = self.findings.origins.get(&path[..]).cloned();
        match value {
            Value::Object(table) if origin.is_none() && !matches!(shape, Some(Shape::Leaf(_))) => {
                for (key, inner) in table {
                    path.push(key.clone());
                    self.list(inner, shape.and_then(|shape| shape.child(key)), path, settings);
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

/// Puts layers above the defaults, the last on top.
pub(super) fn combine<'l>(
    defaults: &'l Value,
    layers: impl Iterator<Item = &'l Map<String, Value>>,
) -> Result<Value, ConfigError> {
    let mut builder = Config::builder();
    for table in defaults.as_object().into_iter().chain(layers) {
        builder = builder.add_source(Layer(table.clone()));
    }
    builder.build()?.try_deserialize()
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

pub(super) fn tree_of(settings: &impl serde::Serialize) -> Value {
    serde_json::to_value(settings).unwrap_or(Value::Null)
}

pub(super) fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

pub(super) fn at<'v>(tree: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(tree, |value, key| value.get(key))
}
