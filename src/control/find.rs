//! Which socket is meant.

use std::path::{Path, PathBuf};

use asa_framework::manifest::{Loaded, Manifest, Node};

use super::Trouble;
use crate::cli::control::NodeArgs;
use crate::{classes, settings};

/// The variables that name a directory for sockets, the first one first.
const VARIABLES: [&str; 2] = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"];
/// The most entries of a directory that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Returns the socket that the command line means.
pub(crate) fn socket(args: &NodeArgs) -> Result<PathBuf, Trouble> {
    let env = |name: &str| std::env::var(name).ok();
    if let Some(path) = &args.socket {
        return Ok(path.clone());
    }
    if let Some(path) = &args.manifest {
        let sources = settings::sources(Some(path), &[], &[]);
        let Loaded { manifest, .. } = Manifest::load(sources, &classes::infos())
            .map_err(|problems| Trouble::Nobody(format!("{}: refused\n\n{problems}", path.display())))?;
        if !manifest.control.enabled {
            let why = "its node has no control socket: control.enabled is false";
            return Err(Trouble::Nobody(format!("{}: {why}", path.display())));
        }
        return first_existing(&candidates(&manifest, &env));
    }
    if let Some(name) = &args.node {
        return first_existing(&candidates(&named(name)?, &env));
    }
    let directories = candidates(&Manifest::default(), &env);
    only(&directories.iter().filter_map(|path| path.parent()).collect::<Vec<_>>())
}

fn named(name: &str) -> Result<Manifest, Trouble> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err(Trouble::Nobody(format!("\"{name}\" is no name of a node; allowed are A-Z a-z 0-9 . _ -")));
    }
    let node = Node { name: name.to_owned(), ..Node::default() };
    Ok(Manifest { node, ..Manifest::default() })
}

/// Where the socket of a node may be: its environment need not be ours, as when a service manager has started it.
fn candidates(manifest: &Manifest, env: &impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let last = manifest.control_socket(|_| None);
    let mut paths = Vec::new();
    for variable in VARIABLES {
        let path = manifest.control_socket(|name| if name == variable { env(name) } else { None });
        paths.extend(path.filter(|path| last.as_ref() != Some(path) && !paths.contains(path)));
    }
    paths.extend(last);
    paths
}

/// The first that is there; a single one whether it is there or not.
fn first_existing(paths: &[PathBuf]) -> Result<PathBuf, Trouble> {
    if let [path] = paths {
        return Ok(path.clone());
    }
    let existing = paths.iter().find(|path| path.symlink_metadata().is_ok());
    let none = || Trouble::Nobody(format!("this node is not running: there is no control socket{}", listed(paths)));
    existing.cloned().ok_or_else(none)
}

/// Paths, each on a line of its own.
fn listed(paths: &[impl AsRef<Path>]) -> String {
    paths.iter().map(|path| format!("\n  {}", path.as_ref().display())).collect()
}

/// The only socket in these directories.
fn only(directories: &[&Path]) -> Result<PathBuf, Trouble> {
    let (mut found, mut closed) = (Vec::new(), String::new());
    for directory in directories {
        match std::fs::read_dir(directory) {
            Ok(entries) => {
                let paths = entries.take(MAX_ENTRIES).filter_map(|entry| Some(entry.ok()?.path()));
                found.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "sock")));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => closed = format!("{closed}\n  {}: {error}", directory.display()),
        }
    }
    found.sort();
    match &found[..] {
        [path] => Ok(path.clone()),
        [] => Err(Trouble::Nobody(format!(
            "no node is running: there is no control socket in{}\nsay where it is with --socket, --manifest or --node{}",
            listed(directories),
            if closed.is_empty() { closed } else { format!("\nwhat could not be looked at:{closed}") }
        ))),
        several => Err(Trouble::Nobody(format!(
            "there are several control sockets; choose one with --socket, --manifest or --node{}",
            listed(several)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(paths: &[PathBuf]) -> Vec<&str> {
        paths.iter().map(|path| path.to_str().unwrap()).collect()
    }

    #[test]
    fn a_node_is_looked_for_where_it_may_have_been_started() {
        let env = |name: &str| match name {
            "XDG_RUNTIME_DIR" => Some("/run/user/1".to_owned()),
            "RUNTIME_DIRECTORY" => Some("/run/asa".to_owned()),
            _ => None,
        };
        let gray = named("gray").unwrap();
        assert_eq!(texts(&candidates(&gray, &env)), ["/run/user/1/asa/gray.sock", "/run/asa/gray.sock"]);
        let both = |name: &str| Some(format!("/{}", name.to_lowercase()));
        let expected = ["/runtime_directory/asa/gray.sock", "/xdg_runtime_dir/asa/gray.sock", "/run/asa/gray.sock"];
        assert_eq!(texts(&candidates(&gray, &both)), expected);
        assert_eq!(texts(&candidates(&gray, &|_| None)), ["/run/asa/gray.sock"]);
        for name in ["", "../../tmp/x", "a b", "é"] {
            assert_eq!(named(name).unwrap_err().code(), 2);
        }
    }

    #[test]
    fn a_socket_of_the_manifest_is_the_only_candidate() {
        let mut manifest = Manifest::default();
        manifest.control.socket = "/srv/own.sock".to_owned();
        assert_eq!(texts(&candidates(&manifest, &|_| Some("/run/user/1".to_owned()))), ["/srv/own.sock"]);
    }

    #[test]
    fn without_a_name_the_only_socket_is_meant() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        let both = [one.as_path(), two.as_path()];
        let none = only(&both).unwrap_err();
        assert!(none.code() == 2 && none.to_string().contains("no node is running"), "{none}");
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&two).unwrap();
        std::fs::write(one.join("a.txt"), "").unwrap();
        std::fs::write(two.join("gray.sock"), "").unwrap();
        assert_eq!(only(&both).unwrap(), two.join("gray.sock"));
        std::fs::write(one.join("briggs.sock"), "").unwrap();
        let several = only(&both).unwrap_err().to_string();
        assert!(several.contains("one/briggs.sock\n") && several.ends_with("two/gray.sock"), "{several}");
        assert_eq!(first_existing(&[one.join("gray.sock"), two.join("gray.sock")]).unwrap(), two.join("gray.sock"));
        let none = first_existing(&[one.join("x.sock"), two.join("x.sock")]).unwrap_err();
        assert!(
            none.code() == 2 && none.to_string().contains("one/x.sock\n") && none.to_string().ends_with("two/x.sock")
        );
    }

    #[test]
    fn a_wrong_manifest_says_what_is_wrong() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            let manifest = Some(file.path().to_owned());
            socket(&NodeArgs { socket: None, manifest, node: None, timeout: None, json: false })
        };
        assert_eq!(args("[control]\nsocket = '/srv/own.sock'").unwrap(), PathBuf::from("/srv/own.sock"));
        assert!(args("[control]\nenabled = false").unwrap_err().to_string().contains("control.enabled is false"));
        let wrong = args("[control]\nsockets = 1").unwrap_err();
        assert!(wrong.code() == 2 && wrong.to_string().contains("control.sockets"), "{wrong}");
    }
}
