//! What the network floods, as a layer between the defaults and the file (RFC 8993 section 7.1).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::check::{Content, Findings, Given};
use super::load::{Loader, at, combine, path};
use super::origin::{Origin, Problem, dotted};
use super::shape::{Field, Shape};
use super::sources::FloodedPolicy;
use super::tree::Node;

/// The most flooded policies that are looked at; more come only from somebody who means harm.
const MAX_POLICIES: usize = 100;

/// One checked layer.
type Layer = Map<String, Value>;

impl Loader<'_> {
    /// Returns what of the policies can be used, lowest first, and what is wrong with the rest.
    ///
    /// A value that is right by itself and yet, together with those of the operator, fails the check of the class, is
    /// dropped too: a flood never keeps a manifest from being loaded.
    pub(super) fn flooded(
        &mut self,
        policies: Vec<FloodedPolicy>,
        shape: &Shape,
        defaults: &Value,
        above: &[Layer],
    ) -> (Vec<Layer>, Vec<Problem>) {
        let allowed = policy(shape);
        let (mut kept, mut warnings): (Vec<Layer>, Vec<Problem>) = (Vec::new(), Vec::new());
        let unread = policies.len().saturating_sub(MAX_POLICIES);
        for FloodedPolicy { objective, from, settings } in policies.into_iter().skip(unread) {
            let origin = Origin::Flood { objective, from };
            let given =
                Given { path: Vec::new(), content: Content::Tree(Node::from(settings)), origin: origin.clone() };
            let mut findings = Findings::of_floods();
            let mut layer = findings.accept(&allowed, &given);
            warnings.append(&mut findings.problems);
            let names: Vec<String> = at_asa(&layer).map(|table| table.keys().cloned().collect()).unwrap_or_default();
            for name in names {
                warnings.extend(self.fit(&mut layer, &name, &origin, defaults, &kept, above));
            }
            kept.push(self.note(layer, findings.origins));
        }
        if unread > 0 {
            let origin = Origin::Flood { objective: "policy".to_owned(), from: "several".to_owned() };
            let message = format!("and {unread} more policies are not looked at");
            warnings.push(Problem::new(origin, "", message).with_allowed(format!("at most {MAX_POLICIES}")));
        }
        (kept, warnings)
    }

    /// Takes from a layer what its instance cannot use, and says so.
    fn fit(
        &self,
        layer: &mut Layer,
        name: &str,
        origin: &Origin,
        defaults: &Value,
        kept: &[Layer],
        above: &[Layer],
    ) -> Vec<Problem> {
        let faults = |layer: Option<&Layer>| -> Vec<Problem> {
            let tree = combine(defaults, kept.iter().chain(layer).chain(above)).unwrap_or(Value::Null);
            let Some(instance) = at(&tree, &path(&["asa", name])) else { return Vec::new() };
            let text = |key: &str| instance.get(key).and_then(Value::as_str).unwrap_or_default();
            let class = self.class(text("class"), text("version"));
            class.map(|class| class.check(instance.get("parameters").unwrap_or(&Value::Null))).unwrap_or_default()
        };
        let before = faults(None);
        let new = |layer: &Layer| -> Vec<Problem> {
            faults(Some(layer)).into_iter().filter(|fault| !before.contains(fault)).collect()
        };
        let (mut warnings, mut found) = (Vec::new(), new(layer));
        let named =
            |key: &str| [path(&["asa", name, "parameters"]), key.split('.').map(str::to_owned).collect()].concat();
        let warn = |fault: &Problem| Problem {
            origin: origin.clone(),
            key: dotted(&named(&fault.key)),
            message: format!("{}; this flood is not used for it", fault.message),
            ..fault.clone()
        };
        if !found.is_empty() {
            for fault in &found {
                remove(layer, &named(&fault.key));
                warnings.push(warn(fault));
            }
            found = new(layer);
        }
        if !found.is_empty() {
            remove(layer, &path(&["asa", name]));
            warnings.extend(found.iter().map(warn));
        }
        warnings
    }

    /// Notes the origin of the settings that are left of a layer and that nothing higher gives.
    fn note(&mut self, layer: Layer, settings: BTreeMap<Vec<String>, Origin>) -> Layer {
        let tree = Value::Object(layer);
        let weaker = |known: &Origin| matches!(known, Origin::Default | Origin::ClassDefault(_) | Origin::Flood { .. });
        for (path, origin) in settings {
            if at(&tree, &path).is_some() && self.findings.origins.get(&path).is_none_or(weaker) {
                self.findings.origins.insert(path, origin);
            }
        }
        if let Value::Object(layer) = tree { layer } else { Map::new() }
    }
}

fn at_asa(layer: &Layer) -> Option<&Layer> {
    layer.get("asa")?.as_object()
}

/// Takes the value at this path away, if it is there.
fn remove(layer: &mut Layer, path: &[String]) {
    let Some((last, above)) = path.split_last() else { return };
    let table = above.iter().try_fold(layer, |table, key| table.get_mut(key)?.as_object_mut());
    if let Some(table) = table {
        table.remove(last);
    }
}

/// Returns the part of the keys that policy may set: the parameters of the instances there are.
fn policy(shape: &Shape) -> Shape {
    let Some(Shape::Members(what, instances)) = shape.child("asa") else { return Shape::Table(Vec::new()) };
    let parameters = |field: &Field| {
        let parameters = field.shape.children().iter().filter(|field| field.name == "parameters").cloned().collect();
        Field { shape: Shape::Table(parameters).into(), ..field.clone() }
    };
    let instances = instances.iter().map(parameters).collect();
    Shape::Table(vec![Field::new("asa", *what, Shape::Members(what, instances))])
}
