//! The keys of manifests and lab files as a JSON Schema, for editors and other tools.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::keys::{self, KnownClass};
use super::kind::Kind;
use super::load::{instance_tree, tree_of};
use super::schema::{Fabric, Instance, Manifest};
use super::shape::Shape;
use super::tree;
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
    let mut versions: BTreeMap<&str, Vec<&dyn ClassInfo>> = BTreeMap::new();
    for class in classes {
        versions.entry(class.name()).or_default().push(*class);
    }
    let names: Vec<String> = versions.keys().map(|name| (*name).to_owned()).collect();
    let mut schema = of(&keys::instance(names.clone(), None), &instance_tree(&Instance::new("")));
    schema["required"] = json!(["class"]);
    let branch = |(name, versions): (&&str, &Vec<&dyn ClassInfo>)| {
        let all: Vec<&str> = versions.iter().map(|class| class.version()).collect();
        let mut forms: Vec<Value> = versions.iter().map(|class| of_class(*class, &names, &all)).collect();
        let then = if forms.len() == 1 { forms.remove(0) } else { json!({ "anyOf": forms }) };
        json!({ "if": { "properties": { "class": { "const": name } }, "required": ["class"] }, "then": then })
    };
    schema["allOf"] = versions.iter().map(branch).collect();
    schema
}

/// Returns what a class says of the keys that depend on it.
fn of_class(class: &dyn ClassInfo, names: &[String], versions: &[&str]) -> Value {
    let parameters = tree::parse_value(class.defaults()).unwrap_or_else(|_| json!({}));
    let known = KnownClass::new(class, versions.to_vec(), &parameters);
    let shape = keys::instance(names.to_vec(), Some(known));
    let mut own = Instance::new(class.name());
    own.role = class.roles().first().map_or_else(String::new, |role| (*role).to_owned());
    own.objectives = class.objectives().iter().map(|name| (*name).to_owned()).collect();
    let mut defaults = instance_tree(&own);
    defaults["parameters"] = parameters;
    let mut schema = of(&shape, &defaults);
    let mut properties = schema["properties"].take();
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
        Kind::Resources => texts(super::kind::MAX_RESOURCES),
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
