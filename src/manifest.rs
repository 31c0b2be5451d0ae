//! `asa manifest`: what may stand in a manifest, for editors and for people.

use std::io::{self, Write};

use asa_framework::class::{ClassInfo, find_class};
use asa_framework::manifest::{defaults, did_you_mean, json_schema};

use crate::classes;
use crate::cli::{ManifestArgs, ManifestCommand};

/// The exit code for a class that this binary does not carry.
const UNKNOWN: u8 = 2;

/// Writes a schema or a manifest to `out` and returns 0, or says to `err` which class is unknown and returns 2.
pub(crate) fn run(args: &ManifestArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    Ok(answer(args, &classes::infos(), out, err)?)
}

fn answer(args: &ManifestArgs, classes: &[&dyn ClassInfo], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let asked = match &args.command {
        ManifestCommand::Schema { classes } => &classes[..],
        ManifestCommand::Defaults { class } => std::slice::from_ref(class),
    };
    let unknown: Vec<&String> = asked.iter().filter(|name| find_class(classes, name, "*").is_none()).collect();
    if !unknown.is_empty() {
        for name in unknown {
            refuse(name, classes, err)?;
        }
        return Ok(UNKNOWN);
    }
    match &args.command {
        ManifestCommand::Schema { classes: names } => {
            let chosen = |class: &&&dyn ClassInfo| names.is_empty() || names.iter().any(|name| name == class.name());
            let chosen: Vec<&dyn ClassInfo> = classes.iter().filter(chosen).copied().collect();
            writeln!(out, "{:#}", json_schema(&chosen))?;
        }
        ManifestCommand::Defaults { class } => {
            if let Some(class) = find_class(classes, class, "*") {
                write!(out, "{}", defaults(class))?;
            }
        }
    }
    out.flush()?;
    Ok(0)
}

fn refuse(name: &str, classes: &[&dyn ClassInfo], err: &mut dyn Write) -> io::Result<()> {
    let mut names: Vec<&str> = classes.iter().map(|class| class.name()).collect();
    names.sort_unstable();
    names.dedup();
    writeln!(err, "asa: this binary carries no class {name:?}\n    allowed: {}", names.join(", "))?;
    match did_you_mean(name, &names) {
        Some(hint) => writeln!(err, "    hint:    {hint}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use asa_framework::manifest::{Manifest, Sources};
    use serde_json::Value;

    use super::*;

    fn ask(command: ManifestCommand) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = answer(&ManifestArgs { command }, &classes::infos(), &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_schema_names_the_classes_asked_for() {
        for (asked, names) in [(Vec::new(), vec!["briggs", "gray", "prefix"]), (vec!["gray".to_owned()], vec!["gray"])]
        {
            let (code, out, err) = ask(ManifestCommand::Schema { classes: asked });
            let schema: Value = serde_json::from_str(&out).unwrap();
            assert_eq!((code, err.as_str()), (0, ""));
            let branches = schema["$defs"]["instance"]["allOf"].as_array().unwrap();
            let known: Vec<&Value> = branches.iter().map(|one| &one["if"]["properties"]["class"]["const"]).collect();
            assert_eq!(known, names);
        }
    }

    #[test]
    fn the_files_in_config_conform_to_the_schema() {
        let schema = jsonschema::draft202012::new(&json_schema(&classes::infos())).unwrap();
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            // The class of that one is in an example and not in this binary.
            let example = path.ends_with("vlans.toml");
            if path.extension().is_some_and(|extension| extension == "toml") && !example {
                let tree: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                let tree = serde_json::to_value(tree).unwrap();
                let errors: Vec<String> = schema.iter_errors(&tree).map(|error| error.to_string()).collect();
                assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
                names.push(path);
            }
        }
        assert!(names.len() >= 3, "{names:?}");
    }

    #[test]
    fn the_defaults_of_every_class_are_a_manifest() {
        for class in classes::infos() {
            let (code, out, _) = ask(ManifestCommand::Defaults { class: class.name().to_owned() });
            let sources = |text: String| Sources {
                path: Some("a.toml".into()),
                content: Some(text.into_bytes()),
                ..Sources::default()
            };
            let least = format!("[asa.{}]\nclass = '{}'", class.name(), class.name());
            let load = |text: String| Manifest::load(sources(text), &classes::infos()).map(|loaded| loaded.manifest);
            assert_eq!((code, load(out)), (0, load(least)));
        }
    }

    #[test]
    fn an_unknown_class_is_refused_with_those_there_are() {
        let (code, out, err) = ask(ManifestCommand::Defaults { class: "grey".to_owned() });
        assert_eq!((code, out.as_str()), (2, ""));
        let lines = "carries no class \"grey\"\n    allowed: briggs, gray, prefix\n    hint:    did you mean gray?\n";
        assert!(err.ends_with(lines), "{err}");
        assert_eq!(ask(ManifestCommand::Schema { classes: vec!["x".to_owned()] }).0, 2);
    }
}
