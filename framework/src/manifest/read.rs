//! Reads the layers as they were given; nothing is judged here but whether it can be read at all.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use config::{Environment, FileFormat, Source};
use serde_json::Value;

use super::origin::{Origin, Problem, plain};

/// The largest manifest that is read, in bytes; larger than any that a person writes.
pub const MAX_FILE_SIZE: u64 = 1 << 20;

/// Reads the file, at most one byte more than is allowed.
pub(super) fn file_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Turns the content of the file into a tree, or says why it is none.
pub(super) fn file_tree(path: &Path, bytes: &[u8]) -> Result<Value, Box<Problem>> {
    let problem = |message: &str| Problem::new(Origin::File(path.to_owned()), "", message);
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(problem("is too large").with_allowed(format!("at most {MAX_FILE_SIZE} bytes")).into());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let line = bytes.iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
        let hint = format!("the byte at offset {offset}, in line {line}, does not belong to any UTF-8 character");
        Box::new(problem("is not text").with_allowed("TOML in UTF-8").with_hint(Some(hint)))
    })?;
    toml_tree(text).map_err(|reason| {
        let mut problem = problem("is not TOML").with_allowed("TOML 1.0, each key once");
        problem.found = Some(reason);
        Box::new(problem)
    })
}

/// Turns TOML into a tree; the error is a text that names line and column.
pub(super) fn toml_tree(text: &str) -> Result<Value, String> {
    let table = config::File::from_str(text, FileFormat::Toml).collect().map_err(|error| {
        if let config::ConfigError::FileParse { cause, .. } = &error {
            readable(&cause.to_string())
        } else {
            readable(&error.to_string())
        }
    })?;
    Ok(Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()))
}

/// Reads one value as TOML would have it on the right of an equals sign.
pub(super) fn toml_value(text: &str) -> Option<Value> {
    match toml_tree(&format!("value = {text}")) {
        Ok(Value::Object(mut table)) if table.len() == 1 => table.remove("value"),
        Ok(_) | Err(_) => None,
    }
}

/// Returns the parts of the key that an environment variable addresses, or none if it is not one of ours.
pub(super) fn environment_key(name: &str) -> Option<Vec<String>> {
    let variable = config::Map::from_iter([(name.to_owned(), String::new())]);
    let source = Environment::with_prefix("ASA").prefix_separator("__").separator("__").source(Some(variable));
    let key = source.collect().ok()?.into_iter().next()?.0;
    Some(key.split('.').map(str::to_owned).collect())
}

/// Keeps the lines of a syntax error that a terminal can show.
fn readable(text: &str) -> String {
    text.trim_end().lines().take(6).map(plain).collect::<Vec<_>>().join("\n")
}

fn json(value: config::Value) -> Value {
    use config::ValueKind as Kind;
    match value.kind {
        Kind::Nil => Value::Null,
        Kind::Boolean(value) => Value::Bool(value),
        Kind::I64(value) => Value::from(value),
        Kind::U64(value) => Value::from(value),
        Kind::I128(value) => Value::String(value.to_string()),
        Kind::U128(value) => Value::String(value.to_string()),
        // Infinity and not-a-number have no place in any setting; as text they are refused and shown.
        Kind::Float(value) => {
            serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
        }
        Kind::String(value) => Value::String(value),
        Kind::Table(table) => Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()),
        Kind::Array(list) => Value::Array(list.into_iter().map(json).collect()),
    }
}
