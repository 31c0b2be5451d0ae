//! The keys of manifests and lab files as a JSON Schema, for editors and other tools.

use serde_json::{Map, Value, json};

use super::keys;
use super::kind::Kind;
use super::load::tree_of;
use super::schema::{Fabric, Manifest};
use super::shape::Shape;
use super::template::{Template, class_names};
use crate::class::ClassInfo;

/// The longest name of an instance or a node.
const MAX_MEMBER: usize = 63;

/// Returns a JSON Schema (draft 2020-12) of what a manifest or a lab file may say where these classes are known.
///
/// What it refuses, loading refuses too. Loading refuses more: relations between keys, bounds within the parameters of
/// a class, and lengths in bytes where JSON Schema counts characters.
#[must_use]
pub fn json_schema(classes: &[&dyn ClassInfo]) -> Value {
    let lab = json!({ "fabric": tree_of(&Fabric::default()), "nodes": {} });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Manifest of asa",
        "description": "What one node runs, or a lab of several nodes.",
        "if": { "anyOf": [{ "required": ["fabric"] }, { "required": ["nodes"] }] },
        "then": { "$ref": "#/$defs/lab" },
        "else": { "$ref": "#/$defs/manifest" },
        "$defs": {
            "manifest": of(&keys::manifest(Vec::new()), &tree_of(&Manifest::default())),
            "lab": of(&keys::lab(Vec::new()), &lab),
            "instance": instance(classes),
        },
    })
}

/// Returns the schema of an instance: what all classes have in common, and what each class adds.
fn instance(classes: &[&dyn ClassInfo]) -> Value {
    let any = Template::new(None, classes);
    let mut schema = of(&any.shape, &any.defaults);
    schema["required"] = json!(["class"]);
    let branch = |name: String| {
        let versions = classes.iter().filter(|class| class.name() == name);
        let mut forms: Vec<Value> = versions.map(|class| of_class(*class, classes)).collect();
        let then = if forms.len() == 1 { forms.remove(0) } else { json!({ "anyOf": forms }) };
        json!({ "if": { "properties": { "class": { "const": name } }, "required": ["class"] }, "then": then })
    };
    schema["allOf"] = class_names(classes).into_iter().map(branch).collect();
    schema
}

/// Returns what a class says of the keys that depend on it.
fn of_class(class: &dyn ClassInfo, classes: &[&dyn ClassInfo]) -> Value {
    let template = Template::new(Some(class), classes);
    let mut properties = of(&template.shape, &template.defaults)["properties"].take();
    if let Some(properties) = properties.as_object_mut() {
        properties.retain(|key, _| matches!(key.as_str(), "version" | "role" | "objectives" | "parameters"));
    }
    json!({ "title": format!("{} {}: {}", class.name(), class.version(), class.summary()), "properties": properties })
}

fn of(shape: &Shape, defaults: &Value) -> Value {
    match shape {
        Shape::Leaf(kind) => {
            let mut schema = of_kind(kind);
            if !defaults.is_null() {
                schema["default"] = defaults.clone();
            }
            schema
        }
        Shape::Table(fields) => {
            let mut properties = Map::new();
            for field in fields {
                let mut schema = of(&field.shape, &defaults[field.name.as_ref()]);
                if !field.about.is_empty() {
                    schema["description"] = json!(field.about);
                }
                properties.insert(field.name.to_string(), schema);
            }
            json!({ "type": "object", "properties": properties, "additionalProperties": false })
        }
        Shape::Members(what, _) => {
            let inner = if *what == keys::INSTANCE { "#/$defs/instance" } else { "#/$defs/manifest" };
            let name = json!({ "pattern": "^[a-z0-9-]+(_[a-z0-9-]+)*$", "maxLength": MAX_MEMBER });
            json!({ "type": "object", "propertyNames": name, "additionalProperties": { "$ref": inner } })
        }
    }
}

fn of_kind(kind: &Kind) -> Value {
    let texts = |most: usize| {
        let item = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        json!({ "type": "array", "uniqueItems": true, "maxItems": most, "items": item })
    };
    match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Real { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Name => json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,63}$" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::Interfaces => {
            let item = json!({ "type": "string", "pattern": "^[^\\s/]{1,15}$" });
            json!({ "type": "array", "uniqueItems": true, "items": item })
        }
        Kind::Prefix => json!({ "type": "string", "pattern": "^$|^[0-9A-Fa-f:.]+/[0-9]{1,3}$" }),
        Kind::Class(names) => json!({ "enum": names }),
        Kind::Version(None) => json!({ "type": "string", "pattern": "^([*]|[0-9]{1,9}([.][0-9]{1,9}){0,2})$" }),
        Kind::Version(Some((_, versions))) => {
            let patterns: Vec<String> = versions.iter().map(|version| requirement(version)).collect();
            json!({ "type": "string", "pattern": format!("^([*]|{})$", patterns.join("|")) })
        }
        Kind::Path { max } => json!({ "type": "string", "pattern": "^$|^/", "maxLength": max }),
        Kind::Filter => json!({ "type": "string", "minLength": 1, "maxLength": super::kind::MAX_FILTER }),
        Kind::Role(Some(roles)) => {
            let roles: Vec<&str> = std::iter::once("").chain(roles.iter().copied()).collect();
            json!({ "enum": roles })
        }
        Kind::Role(None) => json!({ "type": "string", "maxLength": 255 }),
        Kind::Objectives(Some(known)) => {
            json!({ "type": "array", "uniqueItems": true, "maxItems": known.len(), "items": { "enum": known } })
        }
        Kind::Objectives(None) => texts(super::kind::MAX_OBJECTIVES),
        Kind::ObjectiveName => json!({ "type": "string", "maxLength": super::kind::MAX_NAME }),
        Kind::Resources => texts(super::kind::MAX_RESOURCES),
        Kind::SecretSource => json!({ "type": "string", "pattern": "^$|^prompt$|^file:/|^fd:[0-9]+$|^credential:." }),
        Kind::SecretFile => json!({ "type": "string", "pattern": "^$|^/|^credential:." }),
        Kind::Authorization => {
            let acts = ["discover", "request", "answer", "flood"];
            json!({
                "type": "object",
                "maxProperties": super::kind::MAX_OBJECTIVES,
                "additionalProperties": {
                    "type": "object",
                    "propertyNames": { "enum": acts },
                    "additionalProperties": texts(super::kind::MAX_RESOURCES),
                },
            })
        }
        Kind::Like(default) => like(default),
        // Only parameters of a class that is not known are anything, and those are a table.
        Kind::Anything => json!({ "type": "object" }),
    }
}

/// Returns a pattern of the leading parts of a version.
fn requirement(version: &str) -> String {
    let parts = version.split(['.', '-', '+']).take(3).map_while(|part| part.parse::<u64>().ok());
    parts.collect::<Vec<_>>().iter().enumerate().rev().fold(String::new(), |rest, (index, part)| {
        match (index, &rest[..]) {
            (0, _) => format!("0*{part}{rest}"),
            (_, _) => format!("([.]0*{part}{rest})?"),
        }
    })
}

fn like(default: &Value) -> Value {
    match default {
        Value::Null => json!({}),
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) if number.is_f64() => json!({ "type": "number" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::String(_) => json!({ "type": "string" }),
        Value::Array(_) => json!({ "type": "array" }),
        Value::Object(_) => json!({ "type": "object" }),
    }
}
