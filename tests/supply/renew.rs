//! Makes the snapshot anew from a checkout of the RustSec database.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use semver::VersionReq;
use serde::Deserialize;

use super::advisories::{Advisory, Database, Snapshot};
use super::lock::Lock;
use super::{locks, snapshot_path};

const URL: &str = "https://github.com/rustsec/advisory-db";

/// The front matter of an advisory.
#[derive(Deserialize)]
struct Entry {
    advisory: Facts,
    versions: Versions,
}

#[derive(Deserialize)]
struct Facts {
    id: String,
    package: String,
    informational: Option<String>,
    /// The day on which the advisory turned out to be wrong.
    withdrawn: Option<String>,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    patched: Vec<VersionReq>,
    #[serde(default)]
    unaffected: Vec<VersionReq>,
}

/// Reads an advisory: facts in TOML between fences, then a title. `None` if it was withdrawn.
fn parse(text: &str) -> Option<Advisory> {
    let (facts, prose) = text.trim_start().strip_prefix("```toml").unwrap().split_once("\n```").unwrap();
    let Entry { advisory, versions } = toml::from_str(facts).unwrap();
    if advisory.withdrawn.is_some() {
        return None;
    }
    let title = prose.lines().find_map(|line| line.strip_prefix("# ")).unwrap();
    Some(Advisory {
        id: advisory.id,
        name: advisory.package,
        title: title.trim().to_owned(),
        kind: advisory.informational.unwrap_or_else(|| "vulnerability".to_owned()),
        patched: versions.patched,
        unaffected: versions.unaffected,
    })
}

/// The advisories about one crate, those of the database's folder of that name.
fn about(database: &Path, name: &str) -> Vec<Advisory> {
    let Ok(folder) = std::fs::read_dir(database.join("crates").join(name)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().filter_map(|file| parse(&std::fs::read_to_string(file).unwrap())).collect()
}

/// The commit that is checked out and its day.
fn state(database: &Path) -> Database {
    let mut git = Command::new("git");
    let output = git.arg("-C").arg(database).args(["log", "-1", "--format=%H %cs"]).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    let (commit, date) =
        line.trim().split_once(' ').unwrap_or_else(|| panic!("{}: no git repository", database.display()));
    Database { url: URL.into(), commit: commit.into(), date: date.into() }
}

/// Rewrites the snapshot. The commands stand at the top of `tests/supply.rs`.
#[test]
#[ignore = "rewrites tests/data/advisories.json from the checkout that ASA_ADVISORY_DB names"]
fn renew() {
    let database = std::env::var_os("ASA_ADVISORY_DB").map(PathBuf::from);
    let database = database.expect("ASA_ADVISORY_DB names a checkout of the RustSec database");
    assert!(database.join("crates").is_dir(), "{}: no checkout of {URL}", database.display());
    let locks: Vec<Lock> = locks().into_iter().map(|(_, lock)| lock).collect();
    let names: BTreeSet<&str> = locks.iter().flat_map(Lock::foreign).map(|package| package.name.as_str()).collect();
    let snapshot = Snapshot {
        database: state(&database),
        looked_up: names.iter().copied().map(str::to_owned).collect(),
        advisories: names.iter().flat_map(|name| about(&database, name)).collect(),
    };
    let text = serde_json::to_string_pretty(&snapshot).unwrap();
    std::fs::write(snapshot_path(), text + "\n").unwrap();
}

#[test]
fn an_advisory_is_read_by_its_facts() {
    let text = |more: &str, versions: &str| {
        format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-2000-0001\"\npackage = \"leaky\"\ndate = \"2000-01-01\"\n{more}\n\
             [affected]\narch = [\"x86\"]\n[versions]\n{versions}\n```\n\n# It leaks \n\nLong story.\n"
        )
    };
    let range = |text| VersionReq::parse(text).unwrap();
    let read = parse(&text("", "patched = [\">= 1.2, < 2\", \"^3\"]\nunaffected = [\"<0.5\"]")).unwrap();
    assert_eq!((read.id.as_str(), read.name.as_str()), ("RUSTSEC-2000-0001", "leaky"));
    assert_eq!((read.title.as_str(), read.kind.as_str()), ("It leaks", "vulnerability"));
    assert_eq!(read.patched, [range(">= 1.2, < 2"), range("^3")]);
    assert_eq!(read.unaffected, [range("<0.5")]);

    let read = parse(&text("informational = \"unsound\"", "patched = []")).unwrap();
    assert_eq!((read.kind.as_str(), read.patched.len(), read.unaffected.len()), ("unsound", 0, 0));
    assert_eq!(parse(&text("withdrawn = \"2001-01-01\"", "patched = []")), None);
}
