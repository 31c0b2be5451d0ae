//! What is done in the state directory of a node that does not run.

use std::path::{Path, PathBuf};

use asa_framework::manifest::{Instance, Loaded, Manifest};
use asa_prefix::store::{self, Options, SledStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cli::pool::{EitherArgs, RestoreArgs, StoreArgs};
use crate::control::text::{count, labelled};
use crate::control::{Shown, Trouble, json_line, look, understand};
use crate::output::Look;
use crate::{classes, settings};

/// Turns a result into text and exit code, as an answer of a node would be.
pub(super) fn said<T: DeserializeOwned>(
    answer: &impl Serialize,
    json: bool,
    show: impl FnOnce(Look, T) -> String,
    code: impl FnOnce(&T) -> u8,
) -> Shown {
    let value = serde_json::to_value(answer).map_err(|error| Trouble::Failed(error.to_string()))?;
    let line = json.then(|| json_line(&value));
    let answer: T = understand(value)?;
    let code = code(&answer);
    Ok((line.unwrap_or_else(|| show(look(), answer)), code))
}

/// Where the pool is that is to be read without a node.
pub(super) fn directory_of(args: &EitherArgs) -> Result<PathBuf, Trouble> {
    find(args.directory.as_deref(), args.online.node.manifest.as_deref(), args.online.instance.as_deref())
}

fn place(args: &StoreArgs) -> Result<PathBuf, Trouble> {
    find(args.directory.as_deref(), args.manifest.as_deref(), args.instance.as_deref())
}

fn find(directory: Option<&Path>, manifest: Option<&Path>, instance: Option<&str>) -> Result<PathBuf, Trouble> {
    if let Some(directory) = directory {
        return Ok(directory.to_owned());
    }
    let Some(path) = manifest else {
        return Err(Trouble::Nobody("say where the pool is, with --directory or --manifest".to_owned()));
    };
    let at = path.display();
    let Loaded { manifest, .. } = Manifest::load(settings::sources(Some(path), &[], &[]), &classes::infos())
        .map_err(|problems| Trouble::Nobody(format!("{at}: refused\n\n{problems}")))?;
    let name = chosen(&manifest, instance).map_err(|why| Trouble::Nobody(format!("{at}: {why}")))?;
    let memory =
        manifest.asa.get(&name).is_some_and(|one| one.parameters.get("store").is_some_and(|at| at == "memory"));
    if memory {
        return Err(Trouble::Nobody(format!("{at}: the pool of {name} is kept in memory, by its parameter store")));
    }
    manifest.state_directory(&name).ok_or_else(|| {
        let advice = format!("set node.state_directory, or asa.{name}.state_directory");
        Trouble::Nobody(format!("{at}: {name} has no state directory: {advice}"))
    })
}

/// The instance that is meant.
fn chosen(manifest: &Manifest, instance: Option<&str>) -> Result<String, String> {
    let ours = |settings: &Instance| asa_prefix::CLASSES.iter().any(|class| class.name() == settings.class);
    let pools: Vec<&str> =
        manifest.asa.iter().filter(|(_, settings)| ours(settings)).map(|(name, _)| name.as_str()).collect();
    let there = if pools.is_empty() { "none".to_owned() } else { pools.join(", ") };
    match (instance, &pools[..]) {
        (Some(name), pools) if pools.contains(&name) => Ok(name.to_owned()),
        (Some(name), _) => Err(format!("there is no instance {name} with a pool; there are {there}")),
        (None, [name]) => Ok((*name).to_owned()),
        (None, []) => Err("no instance has a pool: none is of the class prefix".to_owned()),
        (None, _) => Err(format!("several instances have a pool; choose one with --instance: {there}")),
    }
}

fn failed(error: &store::Error) -> Trouble {
    Trouble::Failed(error.to_string())
}

/// Creates an empty store.
pub(super) fn init(args: &StoreArgs) -> anyhow::Result<Shown> {
    let directory = match place(args) {
        Ok(directory) => directory,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let created = SledStore::create(&directory, Options::default()).map(drop);
    Ok(created.map_err(|error| failed(&error)).map(|()| {
        let text = if args.json {
            json_line(&json!({ "created": directory }))
        } else {
            let shown = look().shown(&directory.display().to_string());
            format!(
                "an empty store is in {shown}\n\
                 When the node starts, or asa instantiate is called, the prefixes of the manifest are taken in, once and for \
                 all;\nlater ones come with asa pool import. The files must belong to the user of the node.\n"
            )
        };
        (text, 0)
    }))
}

/// Makes a damaged store whole.
pub(super) fn repair(args: &StoreArgs) -> anyhow::Result<Shown> {
    let directory = match place(args) {
        Ok(directory) => directory,
        Err(trouble) => return Ok(Err(trouble)),
    };
    Ok(store::repair(&directory, &Options::default()).map_err(|error| failed(&error)).map(|report| {
        if args.json {
            return (json_line(&serde_json::to_value(&report).unwrap_or_default()), 0);
        }
        let look = look();
        let mut lines = Vec::new();
        if report.done.is_empty() {
            lines.push("nothing had to be done".to_owned());
        }
        lines.extend(report.done.iter().flat_map(|step| labelled(look, "- ", step, None)));
        lines.push(format!("the store is whole: {} records", count(report.records)));
        (lines.join("\n") + "\n", 0)
    }))
}

/// Creates a store from an export.
pub(super) fn restore(args: &RestoreArgs) -> anyhow::Result<Shown> {
    let directory = match place(&args.store) {
        Ok(directory) => directory,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let file = args.file.display();
    let told = |error: String| Trouble::Failed(format!("{file}: {error}"));
    let opened = std::fs::File::open(&args.file).map_err(|error| told(error.to_string()));
    let records = opened.and_then(|opened| {
        store::parse_export(std::io::BufReader::new(opened)).map_err(|error| told(error.to_string()))
    });
    let restored = records.and_then(|records| {
        let problems = store::check(&records);
        match problems.first() {
            Some(problem) => Err(told(format!("its records are no sound pool: {problem}"))),
            None => store::restore(&directory, records, &Options::default()).map_err(|error| failed(&error)),
        }
    });
    Ok(restored.map(|restored| {
        if args.store.json {
            return (json_line(&serde_json::to_value(restored).unwrap_or_default()), 0);
        }
        let text = format!(
            "restored {} records into {}\n\
             Anything may have changed since the export: {} blocks are excluded, and {} records are left out.\n\
             Start the node, make sure who has what, and bring into use what certainly nobody has: asa pool include BLOCK\n",
            count(restored.records),
            look().shown(&directory.display().to_string()),
            count(restored.excluded),
            count(restored.left_out),
        );
        (text, 0)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Trouble;

    fn manifest(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.toml");
        std::fs::write(&path, text).unwrap();
        (directory, path)
    }

    fn found(text: &str, instance: Option<&str>) -> Result<PathBuf, String> {
        let (_directory, path) = manifest(text);
        find(None, Some(&path), instance).map_err(|trouble: Trouble| {
            assert_eq!(trouble.code(), 2);
            trouble.to_string()
        })
    }

    #[test]
    fn the_state_directory_is_where_the_manifest_says() {
        let node = "[node]\nstate_directory = '/var/lib/asa'\n";
        let one = "[asa.one]\nclass = 'prefix'\n";
        let two = "[asa.two]\nclass = 'prefix'\nstate_directory = '/srv/two'\n";
        let gray = "[asa.gray]\nclass = 'gray'\n";
        assert_eq!(found(&[node, one, gray].concat(), None).unwrap(), PathBuf::from("/var/lib/asa/one"));
        assert_eq!(found(&[node, one, two].concat(), Some("two")).unwrap(), PathBuf::from("/srv/two"));
        assert!(found(&[node, one, two].concat(), None).unwrap_err().contains("choose one with --instance: one, two"));
        assert!(found(&[node, one].concat(), Some("gray")).unwrap_err().contains("there are one"));
        assert!(found(gray, None).unwrap_err().contains("none is of the class prefix"));
        assert!(found(one, None).unwrap_err().contains("set node.state_directory"));
        let memory = [node, one, "parameters.store = 'memory'\n"].concat();
        assert!(found(&memory, None).unwrap_err().contains("kept in memory"));
    }
}
