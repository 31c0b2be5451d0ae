//! `asa check`: validates a manifest, a directory of manifests or a lab file and shows what is in force.

use std::io::{self, Write};

use asa_framework::class::ClassInfo;
use asa_framework::manifest::{Document, Effective, Problems, Sources};
use serde_json::json;

use crate::cli::CheckArgs;
use crate::{classes, settings};

/// The exit code for settings that an operator has to correct.
const REFUSED: u8 = 2;

/// Writes the settings in force to `out` and returns 0, or all problems to `err` and returns 2. With `--json` both go to
/// `out` as one object.
pub(crate) fn run(args: &CheckArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    let sources = settings::sources(Some(&args.manifest), &args.sets, &args.interfaces);
    Ok(report(args, sources, &classes::infos(), out, err)?)
}

fn report(
    args: &CheckArgs,
    sources: Sources,
    classes: &[&dyn ClassInfo],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let file = args.manifest.display().to_string();
    match Document::load(sources, classes) {
        Ok(document) => {
            let (kind, effective) = match &document {
                Document::Manifest(loaded) => ("manifest", &loaded.effective),
                Document::Lab(loaded) => ("lab", &loaded.effective),
            };
            valid(args.json, &file, kind, effective, out)?;
            if let Document::Manifest(loaded) = &document
                && let Some(problem) = settings::mute(&loaded.manifest)
            {
                writeln!(err, "{file}: as it stands it cannot run: {problem}")?;
            }
            Ok(0)
        }
        Err(problems) => {
            refused(args.json, &file, &problems, out, err)?;
            Ok(REFUSED)
        }
    }
}

fn valid(as_json: bool, file: &str, kind: &str, effective: &Effective, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        writeln!(out, "{}", json!({ "valid": true, "file": file, "kind": kind, "settings": effective }))?;
    } else {
        writeln!(out, "{file}: this {kind} is valid; in force are\n\n{effective}")?;
    }
    out.flush()
}

fn refused(as_json: bool, file: &str, problems: &Problems, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    if as_json {
        writeln!(out, "{}", json!({ "valid": false, "file": file, "problems": problems }))?;
        return out.flush();
    }
    let count = match problems.0.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    writeln!(err, "{file}: refused, {count}\n\n{problems}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;

    fn check(path: PathBuf, content: &str, as_json: bool) -> (u8, String, String) {
        let args = CheckArgs { manifest: path.clone(), sets: Vec::new(), interfaces: Vec::new(), json: as_json };
        let sources = Sources { path: Some(path), content: Some(content.into()), ..Sources::default() };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = report(&args, sources, &classes::infos(), &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn config(name: &str) -> String {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_valid_file_gives_0_and_the_table() {
        let (code, out, err) = check("a.toml".into(), "[grasp]\nport = 0", false);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("this manifest is valid"), "{out}");
        assert!(out.lines().any(|line| line.starts_with("grasp.port ") && line.ends_with(" a.toml:2:8")), "{out}");
        let (code, out, _) = check("a.toml".into(), "[nodes.a]", true);
        let object: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &object["kind"], &object["settings"][0]["origin"]), (0, &json!("lab"), &json!("default")));
    }

    #[test]
    fn a_wrong_file_gives_2_and_every_problem() {
        let (code, out, err) = check("a.toml".into(), "[grasp]\nport = -1\nprot = 1", false);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.starts_with("a.toml: refused, 2 problems\n\na.toml:2:8: grasp.port is not allowed"), "{err}");
        let (code, out, err) = check("a.toml".into(), "[grasp]\nport = -1", true);
        let object: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, err.as_str()), (2, ""));
        let problem = &object["problems"][0];
        assert_eq!([&problem["key"], &problem["origin"]], [&json!("grasp.port"), &json!("a.toml:2:8")]);
        assert_eq!([&problem["file"], &problem["line"], &problem["column"]], [&json!("a.toml"), &json!(2), &json!(8)]);
    }

    #[test]
    fn a_directory_is_checked_like_one_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(directory.path().join(name), content).unwrap();
        let check = |json: bool| {
            let (manifest, none) = (directory.path().to_owned(), Vec::new());
            let args = CheckArgs { manifest: manifest.clone(), sets: Vec::new(), interfaces: none, json };
            let sources = Sources { path: Some(manifest), ..Sources::default() };
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let code = report(&args, sources, &classes::infos(), &mut out, &mut err).unwrap();
            (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
        };
        write("10-node.toml", "[node]\nname = 'one'");
        write("20-gray.toml", "[asa.gray]\nclass = 'gray'");
        let (code, out, _) = check(false);
        let ends = |key: &str, end: &str| out.lines().any(|line| line.starts_with(key) && line.ends_with(end));
        assert!(code == 0 && ends("node.name ", "/10-node.toml:2:8") && ends("asa.gray.class ", "/20-gray.toml:2:9"));
        write("30-node.toml", "\n[node]\nname = 'two'");
        let (code, out, _) = check(true);
        let object: Value = serde_json::from_str(&out).unwrap();
        let problem = &object["problems"][0];
        assert_eq!((code, &problem["line"], &problem["column"]), (2, &json!(3), &json!(8)));
        assert!(problem["file"].as_str().unwrap().ends_with("/30-node.toml"));
        assert!(problem["hint"].as_str().unwrap().contains("/10-node.toml:2:8 gives \"one\""));
    }

    #[test]
    fn the_files_in_config_are_valid() {
        for name in ["gray.toml", "briggs.toml", "demo.toml"] {
            let (code, _, err) = check(name.into(), &config(name), false);
            assert_eq!(code, 0, "{err}");
        }
    }

    #[test]
    fn the_files_in_config_show_each_key_with_its_default() {
        for (name, complete) in [("gray.toml", true), ("briggs.toml", true), ("demo.toml", false)] {
            let text = config(name);
            let shows_default = |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_lowercase());
            let uncommented: Vec<&str> =
                text.lines().map(|line| if shows_default(line) { &line[1..] } else { line }).collect();
            let settings = |text: &str| {
                let (code, out, _) = check(name.into(), text, true);
                assert_eq!(code, 0, "{out}");
                let mut object: Value = serde_json::from_str(&out).unwrap();
                object["settings"].take().as_array().unwrap().clone()
            };
            for (as_shown, in_force) in settings(&uncommented.join("\n")).iter().zip(&settings(&text)) {
                assert_eq!((&as_shown["key"], &as_shown["value"]), (&in_force["key"], &in_force["value"]), "{name}");
                assert!(!complete || as_shown["file"] == json!(name), "{name} does not show {}", as_shown["key"]);
            }
        }
    }
}
