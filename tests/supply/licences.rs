//! Licences: the SPDX expression of every package against what `deny.toml` allows.

use std::process::{Command, Output};

use semver::Version;
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use super::policy::Licenses;
use super::root;

/// One package as its manifest describes it.
#[derive(Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) license: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The packages that a build of `manifest` for `target` has, those for tests and build scripts with them.
///
/// A build of that manifest on this machine has their sources at hand. Otherwise cargo fetches them, as that build would.
pub(super) fn packages(manifest: &str, target: &str) -> Vec<Package> {
    let ask = |more: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO"));
        command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target]).args(more);
        command.arg("--manifest-path").arg(root().join(manifest)).output().unwrap()
    };
    let offline = ask(&["--offline"]);
    let output = if offline.status.success() { offline } else { ask(&[]) };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{manifest}: {stderr}\nrun `cargo fetch --locked --manifest-path {manifest}`");
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    metadata.packages
}

/// The packages whose licence expression is not satisfied by what is allowed to all and to them by name.
pub(super) fn refused(packages: &[Package], licenses: &Licenses) -> Vec<String> {
    packages.iter().filter_map(|package| problem(package, licenses)).collect()
}

fn problem(package: &Package, licenses: &Licenses) -> Option<String> {
    let who = format!("{} {}", package.name, package.version);
    let Some(text) = &package.license else { return Some(format!("{who}: its manifest names no licence")) };
    let expression = match Expression::parse_mode(text, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("{who}: {text}: {error}")),
    };
    let named = licenses.exceptions.iter().filter(|exception| exception.name == package.name);
    let allowed = licenses.allow.iter().chain(named.flat_map(|exception| &exception.allow));
    let allowed: Vec<Licensee> = allowed.map(|id| Licensee::parse(id).unwrap()).collect();
    let satisfied = expression.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)));
    (!satisfied).then(|| format!("{who}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::super::policy::LicenseException;
    use super::*;

    fn refused_of(name: &str, license: Option<&str>) -> Vec<String> {
        let licenses = Licenses {
            allow: vec!["MIT".into(), "Apache-2.0".into()],
            exceptions: vec![LicenseException { name: "ring".into(), allow: vec!["ISC".into()] }],
        };
        let package =
            Package { name: name.into(), version: Version::new(1, 0, 0), license: license.map(str::to_owned) };
        refused(&[package], &licenses)
    }

    #[test]
    fn one_allowed_side_of_or_and_every_side_of_and() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT/Apache-2.0",
            "Apache-2.0 AND MIT",
            "(GPL-2.0-only OR MIT) AND Apache-2.0",
        ] {
            assert_eq!(refused_of("a", Some(good)), Vec::<String>::new(), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND NCSA", "Apache-2.0 WITH LLVM-exception", "LicenseRef-Own", "Mit-ish", ""] {
            assert_eq!(refused_of("a", Some(bad)).len(), 1, "{bad}");
        }
        assert_eq!(refused_of("a", None), ["a 1.0.0: its manifest names no licence"]);
    }

    #[test]
    fn an_exception_is_for_the_named_crate_alone() {
        assert_eq!(refused_of("ring", Some("Apache-2.0 AND ISC")), Vec::<String>::new());
        assert_eq!(refused_of("rung", Some("Apache-2.0 AND ISC")), ["rung 1.0.0: Apache-2.0 AND ISC"]);
        assert_eq!(refused_of("ring", Some("Apache-2.0 AND NCSA")).len(), 1);
    }
}
