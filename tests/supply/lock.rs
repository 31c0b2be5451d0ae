//! Lock files: which packages, from where, in how many versions.

use std::collections::BTreeMap;

use semver::Version;
use serde::Deserialize;

use super::licences::Package;
use super::policy::Spec;

#[derive(Deserialize)]
pub(super) struct Lock {
    #[serde(rename = "package")]
    pub(super) packages: Vec<Locked>,
}

/// One package of a lock file. One without a source is a folder on this machine.
#[derive(Deserialize)]
pub(super) struct Locked {
    pub(super) name: String,
    pub(super) version: Version,
    source: Option<String>,
    checksum: Option<String>,
}

impl Lock {
    pub(super) fn parse(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("lock file: {error}"))
    }

    /// The packages of other people.
    pub(super) fn foreign(&self) -> impl Iterator<Item = &Locked> {
        self.packages.iter().filter(|package| package.source.is_some())
    }

    /// The packages that are neither ours nor from a registry that is allowed, or whose content nothing holds fast.
    pub(super) fn strangers(&self, ours: &[String], registries: &[String]) -> Vec<String> {
        let problem = |package: &Locked| {
            let Some(source) = &package.source else {
                return (!ours.contains(&package.name))
                    .then_some("a folder that is no member of the workspace".to_owned());
            };
            let allowed =
                source.strip_prefix("registry+").is_some_and(|url| registries.iter().any(|allow| allow == url));
            if !allowed {
                return Some(format!("from {source}"));
            }
            let sum = package.checksum.as_deref().unwrap_or_default();
            (sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .then_some("no SHA-256 checksum".to_owned())
        };
        let named =
            |package: &Locked| problem(package).map(|what| format!("{} {}: {what}", package.name, package.version));
        self.packages.iter().filter_map(named).collect()
    }

    /// The packages that are banned.
    pub(super) fn banned(&self, deny: &[Spec]) -> Vec<String> {
        let banned =
            self.packages.iter().filter(|package| deny.iter().any(|ban| ban.covers(&package.name, &package.version)));
        banned.map(|package| format!("{} {} is banned", package.name, package.version)).collect()
    }
}

/// The crates with more than one version left after those in `skip`.
pub(super) fn duplicates(packages: &[Package], skip: &[Spec]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in packages {
        if !skip.iter().any(|spec| spec.covers(&package.name, &package.version)) {
            versions.entry(&package.name).or_default().push(package.version.to_string());
        }
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several.map(|(name, versions)| format!("{name} in {}", versions.join(" and "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "https://github.com/rust-lang/crates.io-index";

    fn locked(name: &str, rest: &str) -> Lock {
        Lock::parse(&format!("version = 4\n[[package]]\nname = \"{name}\"\nversion = \"1.2.3\"\n{rest}"))
    }

    fn strangers(lock: &Lock) -> Vec<String> {
        lock.strangers(&["asa".to_owned()], &[REGISTRY.to_owned()])
    }

    #[test]
    fn packages_from_elsewhere_or_without_checksum_are_found() {
        let sum = format!("checksum = \"{}\"", "ab".repeat(32));
        let crates_io = format!("source = \"registry+{REGISTRY}\"\n");
        assert_eq!(strangers(&locked("asa", "")), Vec::<String>::new());
        assert_eq!(strangers(&locked("serde", &format!("{crates_io}{sum}"))), Vec::<String>::new());

        assert_eq!(strangers(&locked("serde", "")), ["serde 1.2.3: a folder that is no member of the workspace"]);
        assert_eq!(strangers(&locked("serde", &crates_io)), ["serde 1.2.3: no SHA-256 checksum"]);
        assert_eq!(
            strangers(&locked("serde", "source = \"git+https://example.org/serde#1\"")),
            ["serde 1.2.3: from git+https://example.org/serde#1"]
        );
        let other = format!("source = \"registry+https://example.org/index\"\n{sum}");
        assert_eq!(strangers(&locked("serde", &other)), ["serde 1.2.3: from registry+https://example.org/index"]);
    }

    #[test]
    fn banned_crates_are_found() {
        let deny = [Spec { spec: "openssl-sys".into() }];
        assert_eq!(locked("openssl-sys", "").banned(&deny), ["openssl-sys 1.2.3 is banned"]);
        assert_eq!(locked("openssl-probe", "").banned(&deny), Vec::<String>::new());
    }

    #[test]
    fn second_versions_are_found_unless_skipped() {
        let package = |name: &str, version: &str| Package {
            name: name.into(),
            version: Version::parse(version).unwrap(),
            license: None,
        };
        let packages = [package("syn", "2.0.1"), package("syn", "3.0.0"), package("quote", "1.0.0")];
        assert_eq!(duplicates(&packages, &[]), ["syn in 2.0.1 and 3.0.0"]);
        assert_eq!(duplicates(&packages, &[Spec { spec: "syn@2".into() }]), Vec::<String>::new());
        assert_eq!(duplicates(&packages, &[Spec { spec: "syn@1".into() }]).len(), 1);
    }
}
