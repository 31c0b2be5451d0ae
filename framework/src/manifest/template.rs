//! What an instance has by default from its class.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::keys::{self, KnownClass};
use super::load::tree_of;
use super::schema::Instance;
use super::shape::Shape;
use super::tree;
use crate::class::{ClassInfo, version_order};

/// The keys of an instance of one class and their defaults.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) shape: Arc<Shape>,
    /// The defaults as a tree, without the class, which is the one key that has none.
    pub(super) defaults: Value,
    /// The keys whose default comes from the class.
    pub(super) of_class: Vec<Vec<String>>,
    /// Why the defaults of the class are not TOML, if they are not.
    pub(super) fault: Option<String>,
}

impl Template {
    /// Makes the template of a class among these classes; none for a class that is not known.
    pub(super) fn new(class: Option<&dyn ClassInfo>, classes: &[&dyn ClassInfo]) -> Self {
        let mut own = Instance::new("");
        let (mut of_class, mut fault) = (Vec::new(), None);
        let known = class.map(|class| {
            let parameters = tree::parse_value(class.defaults()).unwrap_or_else(|reason| {
                fault = Some(reason);
                json!({})
            });
            if let Some(role) = class.roles().first() {
                (*role).clone_into(&mut own.role);
                of_class.push(vec!["role".to_owned()]);
            }
            if !class.objectives().is_empty() {
                own.objectives = class.objectives().iter().map(|name| (*name).to_owned()).collect();
                of_class.push(vec!["objectives".to_owned()]);
            }
            let leaves = leaves(&parameters).into_iter();
            of_class.extend(leaves.map(|leaf| [vec!["parameters".to_owned()], leaf].concat()));
            if let Value::Object(parameters) = &parameters {
                own.parameters = parameters.clone();
            }
            let same = classes.iter().filter(|other| other.name() == class.name());
            let mut versions: Vec<&str> = same.map(|class| class.version()).collect();
            versions.sort_by_key(|version| version_order(version));
            KnownClass::new(class, versions, &parameters)
        });
        let mut defaults = tree_of(&own);
        if let Some(table) = defaults.as_object_mut() {
            table.remove("class");
        }
        let shape = Arc::new(keys::instance(class_names(classes), known));
        Self { shape, defaults, of_class, fault }
    }
}

/// Returns the names of the classes, each once.
pub(super) fn class_names(classes: &[&dyn ClassInfo]) -> Vec<String> {
    let names: BTreeSet<&str> = classes.iter().map(|class| class.name()).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Returns the paths of the values below a table; an empty table counts as a value.
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
