//! `deny.toml`, as far as these tests apply it.

use serde::Deserialize;

use super::lock::Lock;

/// The policy on dependencies.
#[derive(Deserialize)]
pub(super) struct Policy {
    graph: Graph,
    pub(super) advisories: Advisories,
    pub(super) licenses: Licenses,
    pub(super) bans: Bans,
    pub(super) sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Advisories {
    pub(super) ignore: Vec<Ignored>,
}

/// An advisory that is known and cannot bite.
#[derive(Deserialize)]
pub(super) struct Ignored {
    pub(super) id: String,
}

#[derive(Deserialize)]
pub(super) struct Licenses {
    pub(super) allow: Vec<String>,
    pub(super) exceptions: Vec<LicenseException>,
}

/// Licences that one crate alone may have.
#[derive(Deserialize)]
pub(super) struct LicenseException {
    #[serde(rename = "crate")]
    pub(super) name: String,
    pub(super) allow: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Bans {
    pub(super) deny: Vec<Spec>,
    pub(super) skip: Vec<Spec>,
}

/// A crate, or `NAME@VERSION`: those of its versions that begin so, as cargo-deny reads it.
#[derive(Deserialize)]
pub(super) struct Spec {
    #[serde(rename = "crate")]
    pub(super) spec: String,
}

impl Spec {
    pub(super) fn covers(&self, name: &str, version: &semver::Version) -> bool {
        let Some((own, part)) = self.spec.split_once('@') else { return self.spec == name };
        own == name && semver::VersionReq::parse(&format!("={part}")).unwrap().matches(version)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Sources {
    pub(super) allow_registry: Vec<String>,
}

impl Policy {
    pub(super) fn parse(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("deny.toml: {error}"))
    }

    /// The target of this machine. For no other one are the manifests of all crates sure to be on it.
    pub(super) fn target(&self) -> String {
        let here = std::env::consts::ARCH;
        let found = self.graph.targets.iter().find(|target| target.starts_with(here));
        found.unwrap_or_else(|| panic!("deny.toml, [graph]: no target for {here}")).clone()
    }

    /// The exceptions of licences and of duplicates that no lock file needs any more.
    pub(super) fn idle(&self, locks: &[Lock]) -> Vec<String> {
        let packages = || locks.iter().flat_map(Lock::foreign);
        let licences = self.licenses.exceptions.iter().map(|entry| &entry.name);
        let licences = licences.filter(|name| !packages().any(|package| package.name == **name));
        let skipped = self.bans.skip.iter();
        let skipped = skipped.filter(|entry| !packages().any(|package| entry.covers(&package.name, &package.version)));
        let skipped = skipped.map(|entry| format!("bans.skip: {} is not locked", entry.spec));
        licences.map(|name| format!("licenses.exceptions: {name} is not locked")).chain(skipped).collect()
    }
}

/// The entries of `ignore`, `deny`, `skip` and `exceptions` without a reason.
///
/// The first three have a key for it. An exception of a licence has none, so there a comment stands above it.
pub(super) fn without_reason(text: &str) -> Vec<String> {
    let table: toml::Table = toml::from_str(text).unwrap();
    let mut missing = Vec::new();
    for (section, key) in [("advisories", "ignore"), ("bans", "deny"), ("bans", "skip")] {
        for entry in table[section][key].as_array().unwrap() {
            let reason = entry.get("reason").and_then(toml::Value::as_str).unwrap_or_default();
            if reason.trim().is_empty() {
                missing.push(format!("{section}.{key}: {entry}"));
            }
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for exception in table["licenses"]["exceptions"].as_array().unwrap() {
        let start = format!("{{ crate = {},", exception["crate"]);
        let above = lines.windows(2).find(|pair| pair[1].starts_with(&start)).map_or("", |pair| pair[0]);
        if above.trim_start_matches('#').trim().is_empty() || !above.starts_with('#') {
            missing.push(format!("licenses.exceptions: {exception}"));
        }
    }
    missing
}

#[test]
fn entries_without_a_reason_are_found() {
    let text = |ignore: &str, above: &str, skip: &str| {
        format!(
            "[advisories]\nignore = [{ignore}]\n[licenses]\nexceptions = [\n    {above}\n    \
             {{ crate = \"a\", allow = [\"ISC\"] }},\n]\n[bans]\ndeny = []\nskip = [{skip}]\n"
        )
    };
    let good = "{ id = \"RUSTSEC-2000-0001\", reason = \"not reached\" }";
    assert_eq!(without_reason(&text(good, "# why", "")), Vec::<String>::new());
    for (ignore, above, skip) in [
        ("\"RUSTSEC-2000-0001\"", "# why", ""),
        ("{ id = \"RUSTSEC-2000-0001\" }", "# why", ""),
        ("{ id = \"RUSTSEC-2000-0001\", reason = \" \" }", "# why", ""),
        (good, "", ""),
        (good, "#", ""),
        (good, "# why", "{ crate = \"b@1\" }"),
    ] {
        assert_eq!(without_reason(&text(ignore, above, skip)).len(), 1, "{ignore} {above} {skip}");
    }
}

#[test]
fn a_spec_covers_the_versions_it_names() {
    let spec = |spec: &str| Spec { spec: spec.into() };
    let version = |version: &str| semver::Version::parse(version).unwrap();
    assert!(spec("syn").covers("syn", &version("3.0.9")));
    assert!(spec("syn@2").covers("syn", &version("2.0.119")));
    assert!(!spec("syn@2").covers("syn", &version("3.0.9")));
    assert!(!spec("sled@0.34.6").covers("sled", &version("0.34.7")));
    assert!(!spec("syn").covers("synstructure", &version("0.13.2")));
}

#[test]
fn exceptions_of_crates_that_are_gone_are_found() {
    let text = "[graph]\ntargets = []\n[advisories]\nignore = []\n[licenses]\nallow = []\n\
         exceptions = [{ crate = \"ring\", allow = [\"ISC\"] }]\n\
         [bans]\ndeny = []\nskip = [{ crate = \"syn@2\" }]\n[sources]\nallow-registry = []\n";
    let lock = |name: &str, version: &str| {
        Lock::parse(&format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"registry+x\"\n"))
    };
    let policy = Policy::parse(text);
    assert_eq!(policy.idle(&[lock("ring", "0.17.14"), lock("syn", "2.0.119")]), Vec::<String>::new());
    assert_eq!(policy.idle(&[lock("ring", "0.17.14"), lock("syn", "3.0.9")]), ["bans.skip: syn@2 is not locked"]);
    assert_eq!(policy.idle(&[lock("syn", "2.0.119")]), ["licenses.exceptions: ring is not locked"]);
}
