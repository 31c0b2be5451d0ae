//! Reads the layers as they were given; nothing is judged here but whether it can be read at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use config::{Environment, Source};
use serde_json::Value;

use super::origin::{Origin, Problem};
use super::tree::{self, Lines, Node, SyntaxError};

/// The largest manifest that is read, in bytes; larger than any that a person writes.
pub const MAX_FILE_SIZE: u64 = 1 << 20;
/// The most that is read of all the files of a directory, in bytes.
pub const MAX_DIRECTORY_SIZE: u64 = 4 * MAX_FILE_SIZE;
/// The most files that a directory of manifests may hold.
pub const MAX_FILES: usize = 1000;
/// The most entries of a directory that are looked at, whatever they are.
const MAX_ENTRIES: usize = 100_000;

/// Reads the file, at most one byte more than is allowed.
pub(super) fn file_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file of a directory, and its content as far as it could be read.
type Fragment = (PathBuf, io::Result<Vec<u8>>);

/// Reads the `*.toml` files of a directory, sorted by the bytes of their names.
///
/// Hidden files, backups of editors, and what is no file, such as a link to `/dev/null`, do not count.
pub(super) fn fragments(directory: &Path) -> Result<Vec<Fragment>, Box<Problem>> {
    let problem = |message: String| Box::new(Problem::new(Origin::file(directory), "", message));
    let unreadable = |error: io::Error| problem(format!("cannot be read: {error}"));
    let mut paths = BTreeSet::new();
    for (seen, entry) in std::fs::read_dir(directory).map_err(unreadable)?.enumerate() {
        let path = entry.map_err(unreadable)?.path();
        // A file that cannot be looked at, such as a link to nowhere, is kept, so that reading it gives the reason.
        let file = || std::fs::metadata(&path).map_or(true, |metadata| metadata.is_file());
        if path.file_name().is_some_and(|name| is_fragment(name.as_bytes())) && file() {
            paths.insert(path);
        }
        if paths.len() > MAX_FILES || seen > MAX_ENTRIES {
            let allowed = format!("at most {MAX_FILES} files *.toml among {MAX_ENTRIES} entries");
            return Err(Box::new(problem("holds too many files".to_owned()).with_allowed(allowed)));
        }
    }
    if paths.is_empty() {
        return Err(Box::new(problem("is empty".to_owned()).with_allowed("a directory with at least one file *.toml")));
    }
    let (mut fragments, mut total) = (Vec::new(), 0);
    for path in paths {
        let bytes = file_bytes(&path);
        total += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if total > MAX_DIRECTORY_SIZE {
            let allowed = format!("at most {MAX_DIRECTORY_SIZE} bytes in all files");
            return Err(Box::new(problem("is too large".to_owned()).with_allowed(allowed)));
        }
        fragments.push((path, bytes));
    }
    Ok(fragments)
}

fn is_fragment(name: &[u8]) -> bool {
    let backup = name.starts_with(b"#") || name.ends_with(b"~.toml");
    name.ends_with(b".toml") && !name.starts_with(b".") && !backup
}

/// Turns the content of the file into a tree, or says why it is none.
pub(super) fn file_tree(path: &Path, bytes: &[u8]) -> Result<Node, Vec<Problem>> {
    let origin = Origin::file(path);
    if bytes.len() as u64 > MAX_FILE_SIZE {
        let allowed = format!("at most {MAX_FILE_SIZE} bytes");
        return Err(vec![Problem::new(origin, "", "is too large").with_allowed(allowed)]);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let place = Lines::new(bytes).place(offset);
        let hint = format!("the byte at offset {offset} does not belong to any UTF-8 character");
        vec![
            Problem::new(origin.at(Some(place)), "", "is not text").with_allowed("TOML in UTF-8").with_hint(Some(hint)),
        ]
    })?;
    tree::parse(text).map_err(|errors| {
        let problem = |error: SyntaxError| {
            let mut problem = Problem::new(origin.at(Some(error.at)), "", "is not TOML");
            problem.found = Some(error.reason);
            problem.with_allowed("TOML, each key once")
        };
        errors.into_iter().map(problem).collect()
    })
}

/// Reads one value as TOML would have it on the right of an equals sign.
pub(super) fn toml_value(text: &str) -> Option<Value> {
    match tree::parse_value(&format!("value = {text}")) {
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
