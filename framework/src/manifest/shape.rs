//! The keys that may appear, and the bounds of each.

use serde_json::Value;

use super::kind::Kind;

/// One place in the tree of settings.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A key with a value.
    Leaf(Kind),
    /// A table with these keys and no others.
    Table(Vec<(String, Self)>),
    /// A table whose keys the operator chooses; what a member is called, and the members that some layer names, sorted.
    Members(&'static str, Vec<(String, Self)>),
}

impl Shape {
    fn table<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Table(fields.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect())
    }

    /// Returns the keys below this place.
    pub(super) fn children(&self) -> &[(String, Self)] {
        match self {
            Self::Leaf(_) => &[],
            Self::Table(fields) | Self::Members(_, fields) => fields,
        }
    }

    /// Returns what is below this place under this key.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Leaf(_) => None,
            Self::Table(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, shape)| shape),
            Self::Members(_, members) => {
                let index = members.binary_search_by(|(name, _)| name.as_str().cmp(key)).ok()?;
                members.get(index).map(|(_, shape)| shape)
            }
        }
    }

    /// Finds a key of this name anywhere below and returns the path of the first, without the key itself.
    pub(super) fn table_with(&self, key: &str) -> Option<Vec<String>> {
        if matches!(self, Self::Table(_)) && self.child(key).is_some() {
            return Some(Vec::new());
        }
        self.children().iter().find_map(|(name, shape)| {
            shape.table_with(key).map(|mut path| {
                path.insert(0, name.clone());
                path
            })
        })
    }
}

const fn integer(min: i64, max: i64) -> Shape {
    Shape::Leaf(Kind::Integer { min, max })
}

const PROBABILITY: Shape = Shape::Leaf(Kind::Real { min: 0.0, max: 1.0 });
const BOOLEAN: Shape = Shape::Leaf(Kind::Boolean);
const HOUR_MS: i64 = 3_600_000;
const MILLION: i64 = 1_000_000;

/// Returns the keys of a manifest with these instances.
pub(super) fn manifest(instances: Vec<(String, Shape)>) -> Shape {
    Shape::table([
        ("node", Shape::table([("name", Shape::Leaf(Kind::Name))])),
        ("grasp", grasp()),
        ("asa", Shape::Members("an instance", instances)),
    ])
}

/// Returns the keys of a lab file with these nodes.
pub(super) fn lab(nodes: Vec<(String, Shape)>) -> Shape {
    let fabric = Shape::table([
        ("latency_ms", integer(0, 60_000)),
        ("jitter_ms", integer(0, 60_000)),
        ("loss", PROBABILITY),
        ("duplicate", PROBABILITY),
        ("reorder", PROBABILITY),
    ]);
    Shape::table([("fabric", fabric), ("nodes", Shape::Members("a node", nodes))])
}

/// Returns the keys of one instance; `parameters` are the defaults of its class, if the class is known.
pub(super) fn instance(classes: Vec<String>, class: Option<(String, String)>, parameters: Option<&Value>) -> Shape {
    Shape::table([
        ("class", Shape::Leaf(Kind::Class(classes))),
        ("version", Shape::Leaf(Kind::Version(class))),
        ("enabled", BOOLEAN),
        ("parameters", parameters.map_or(Shape::Leaf(Kind::Anything), like)),
    ])
}

/// Returns the shape that has the keys and types of these defaults; an empty table below the top is free.
fn like(defaults: &Value) -> Shape {
    let Some(table) = defaults.as_object() else { return Shape::Leaf(Kind::Like(defaults.clone())) };
    let field = |(name, value): (&String, &Value)| {
        let free = value.as_object().is_some_and(serde_json::Map::is_empty);
        (name.clone(), if free { Shape::Leaf(Kind::Like(value.clone())) } else { like(value) })
    };
    Shape::Table(table.iter().map(field).collect())
}

fn grasp() -> Shape {
    Shape::table([
        ("substrate", Shape::Leaf(Kind::Choice(&["none", "insecure-lab"]))),
        ("interfaces", Shape::Leaf(Kind::Interfaces)),
        ("port", integer(0, 65_535)),
        ("relay", BOOLEAN),
        ("experimental_objectives", BOOLEAN),
        ("link_local_locators", BOOLEAN),
        ("internal_nat4", BOOLEAN),
        ("domain_prefix", Shape::Leaf(Kind::Prefix)),
        ("default_timeout_ms", integer(100, 4_294_967_295)),
        ("wait_cap_ms", integer(0, 4_294_967_295)),
        ("session_cap_ms", integer(0, 4_294_967_295)),
        ("limits", limits()),
    ])
}

fn limits() -> Shape {
    Shape::table([
        ("message_size", integer(2048, 65_535)),
        ("depth", integer(4, 64)),
        ("sessions", integer(1, MILLION)),
        ("connections", integer(1, MILLION)),
        ("first_message_timeout_ms", integer(100, HOUR_MS)),
        ("asas", integer(1, 10_000)),
        ("objectives", integer(1, MILLION)),
        ("discovery_cache", integer(1, MILLION)),
        ("flood_cache", integer(1, MILLION)),
        ("flood_values_per_name", integer(1, 10_000)),
        ("request_queue", integer(1, 10_000)),
        ("relay_per_second", integer(1, MILLION)),
        ("relay_burst", integer(1, MILLION)),
        ("flood_interval_ms", integer(0, HOUR_MS)),
        ("flood_burst", integer(1, 10_000)),
        ("seen", integer(16, 16 * MILLION)),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Fabric, Manifest};
    use super::*;

    fn agree(shape: &Shape, defaults: &Value, path: &str) {
        match shape {
            Shape::Leaf(kind) => assert!(kind.accepts(defaults), "{path} refuses its default {defaults}"),
            Shape::Members(..) => assert_eq!(*defaults, serde_json::json!({}), "{path}"),
            Shape::Table(fields) => {
                let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                let known: Vec<&String> = defaults.as_object().unwrap().keys().collect();
                assert_eq!(names, known, "{path}: the shape and the settings have different keys");
                fields.iter().for_each(|(name, shape)| agree(shape, &defaults[name], &format!("{path}.{name}")));
            }
        }
    }

    #[test]
    fn the_shape_and_the_settings_have_the_same_keys() {
        agree(&manifest(Vec::new()), &serde_json::to_value(Manifest::default()).unwrap(), "");
        let fabric = serde_json::to_value(Fabric::default()).unwrap();
        agree(&lab(Vec::new()), &serde_json::json!({ "fabric": fabric, "nodes": {} }), "");
    }
}
