//! A directory of manifests works like one manifest.

use std::fs;
use std::path::Path;

use asa_framework::manifest::{Document, Lab, Loaded, MAX_FILE_SIZE, MAX_FILES, Manifest, Problems, Sources};
use serde_json::json;
use tempfile::TempDir;

use crate::{CLASSES, assert_says};

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

fn load(directory: &Path) -> Result<Loaded<Manifest>, Problems> {
    Manifest::load(Sources { path: Some(directory.to_owned()), ..Sources::default() }, CLASSES)
}

#[track_caller]
fn assert_refused(files: &[(&str, &str)], fragments: &[&str]) {
    let directory = directory(files);
    let message = load(directory.path()).unwrap_err().to_string();
    let place = format!("{}/", directory.path().display());
    assert_says(&message.replace(&place, ""), fragments);
}

#[test]
fn the_files_of_a_directory_are_one_manifest() {
    let one = "[grasp]\nport = 1\n[asa.one]\nclass = 'clock'\n";
    let two = "[grasp]\nport = 1\nrelay = false\n[asa.one.parameters]\nloud = true\n[asa.two]\nclass = 'mute'\n";
    let directory = directory(&[("10-one.toml", one), ("20-two.toml", two)]);
    let Loaded { manifest, effective, .. } = load(directory.path()).unwrap();
    assert_eq!((manifest.grasp.port, manifest.grasp.relay, manifest.asa.len()), (1, false, 2));
    assert_eq!(manifest.asa["one"].parameters["loud"], json!(true));
    let origin = |key: &str| effective.get(key).unwrap().origin.to_string();
    let place = |file: &str| format!("{}/{file}", directory.path().display());
    assert_eq!(origin("grasp.relay"), place("20-two.toml:3:9"));
    assert_eq!(origin("asa.one.class"), place("10-one.toml:4:9"));
    assert_eq!(origin("asa.one.parameters.loud"), place("20-two.toml:5:8"));
    let sources = Sources { path: Some(directory.path().to_owned()), ..Sources::default() };
    assert!(matches!(Document::load(sources, CLASSES), Ok(Document::Manifest(_))));
}

#[test]
fn files_that_disagree_are_refused_and_both_places_named() {
    assert_refused(
        &[("a.toml", "[grasp]\nport = 1"), ("b.toml", "[grasp]\n\nport = 2")],
        &["b.toml:3:8: grasp.port is given twice, with different values", "found:   2", "a.toml:2:8 gives 1; keep one"],
    );
    assert_refused(
        &[("a.toml", "[grasp]\ninterfaces = ['a']"), ("b.toml", "[grasp]\ninterfaces = ['b']")],
        &["b.toml:2:14: grasp.interfaces is given twice", "a.toml:2:14 gives [\"a\"]"],
    );
    assert_refused(
        &[("a.toml", "[asa.one]\nclass = 'mute'"), ("b.toml", "[asa.one]\nclass = 'mute'")],
        &["b.toml:2:9: asa.one.class is given twice\n", "a.toml:2:9 gives \"mute\""],
    );
}

#[test]
fn each_problem_names_its_own_file() {
    assert_refused(
        &[("a.toml", "[grasp]\nport = -1"), ("b.toml", "[grasp\n"), ("c.toml", "[asa.one]")],
        &["a.toml:2:8: grasp.port", "b.toml:1:7: is not TOML", "c.toml:1:6: asa.one.class is missing"],
    );
    assert_refused(
        &[("a.toml", "[nodes.x]"), ("b.toml", "")],
        &["a.toml:1:2: nodes is not a known key", "a lab file, which cannot be part of a directory"],
    );
}

#[test]
fn only_files_that_end_in_toml_count() {
    let wrong = "this is not a manifest";
    let names = [".hidden.toml", "a.toml~", "#a.toml#", "#b.toml", "a.toml.bak", "b~.toml", "a.TOML", "README"];
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (*name, wrong)).collect();
    files.push(("a.toml", "[grasp]\nport = 3"));
    let directory = directory(&files);
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("sub.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/null", at("masked.toml")).unwrap();
    fs::write(at("elsewhere"), "[node]\nname = 'linked'").unwrap();
    std::os::unix::fs::symlink(at("elsewhere"), at("link.toml")).unwrap();
    let manifest = load(directory.path()).unwrap().manifest;
    assert_eq!((manifest.grasp.port, manifest.node.name.as_str()), (3, "linked"));
    std::os::unix::fs::symlink("nowhere", at("lost.toml")).unwrap();
    assert_says(&load(directory.path()).unwrap_err().to_string(), &["lost.toml: cannot be read: No such file"]);
}

#[test]
fn a_directory_is_bounded_and_not_empty() {
    assert_says(&load(directory(&[("a.txt", "")]).path()).unwrap_err().to_string(), &[": is empty", "*.toml"]);
    let large = "#".repeat(MAX_FILE_SIZE as usize);
    let names = ["a.toml", "b.toml", "c.toml", "d.toml", "e.toml"];
    let files: Vec<(&str, &str)> = names.iter().map(|name| (*name, large.as_str())).collect();
    assert!(load(directory(&files[..4]).path()).is_ok());
    assert_says(&load(directory(&files).path()).unwrap_err().to_string(), &[": is too large", "4194304 bytes in all"]);
    let many = directory(&[]);
    for index in 0..=MAX_FILES {
        fs::write(many.path().join(format!("{index}.toml")), "").unwrap();
    }
    assert_says(&load(many.path()).unwrap_err().to_string(), &["holds too many files", "at most 1000 files"]);
    fs::remove_file(many.path().join("0.toml")).unwrap();
    assert!(load(many.path()).is_ok());
}

#[test]
fn a_lab_is_one_file() {
    let directory = directory(&[("a.toml", "[nodes.x]")]);
    let sources = Sources { path: Some(directory.path().to_owned()), ..Sources::default() };
    assert_says(&Lab::load(sources, CLASSES).unwrap_err().to_string(), &[": is a directory", "a lab file"]);
}
