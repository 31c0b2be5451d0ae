//! The snapshot of advisories against the locked versions.

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::lock::{Lock, Locked};
use super::policy::Ignored;

/// What the RustSec database said about the locked crates on one day.
#[derive(Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) database: Database,
    /// Every crate that was looked up, whether it has advisories or not. Sorted.
    pub(super) looked_up: Vec<String>,
    pub(super) advisories: Vec<Advisory>,
}

/// Which state of the database.
#[derive(Serialize, Deserialize)]
pub(super) struct Database {
    pub(super) url: String,
    pub(super) commit: String,
    /// Of the commit, as `YYYY-MM-DD`.
    pub(super) date: String,
}

/// The facts of one advisory.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
pub(super) struct Advisory {
    pub(super) id: String,
    #[serde(rename = "crate")]
    pub(super) name: String,
    pub(super) title: String,
    /// `vulnerability`, or what the database calls it: `unmaintained`, `unsound`, `notice`.
    pub(super) kind: String,
    pub(super) patched: Vec<VersionReq>,
    pub(super) unaffected: Vec<VersionReq>,
}

impl Advisory {
    /// A version is affected unless a range says otherwise. A pre-release is in few ranges, so it counts as affected.
    fn affects(&self, name: &str, version: &Version) -> bool {
        let safe = || self.patched.iter().chain(&self.unaffected).any(|range| range.matches(version));
        self.name == name && !safe()
    }
}

impl Snapshot {
    /// The advisories about locked versions that are not ignored.
    pub(super) fn open(&self, lock: &Lock, ignored: &[Ignored]) -> Vec<String> {
        let mut open = Vec::new();
        for Locked { name, version, .. } in lock.foreign() {
            let hits = self.advisories.iter().filter(|advisory| advisory.affects(name, version));
            for hit in hits.filter(|hit| !ignored.iter().any(|entry| entry.id == hit.id)) {
                let patched: Vec<String> = hit.patched.iter().map(VersionReq::to_string).collect();
                let patched = if patched.is_empty() { "in none".to_owned() } else { patched.join(" or ") };
                open.push(format!("{name} {version}: {} ({}): {}; patched: {patched}", hit.id, hit.kind, hit.title));
            }
        }
        open
    }

    /// The ignored advisories that concern no locked version.
    pub(super) fn idle(&self, locks: &[Lock], ignored: &[Ignored]) -> Vec<String> {
        let concerns = |advisory: &Advisory| {
            locks.iter().flat_map(Lock::foreign).any(|package| advisory.affects(&package.name, &package.version))
        };
        let idle =
            ignored.iter().filter(|entry| !self.advisories.iter().any(|known| known.id == entry.id && concerns(known)));
        idle.map(|entry| format!("{} concerns no locked version", entry.id)).collect()
    }

    /// The locked crates that were not looked up.
    pub(super) fn unknown(&self, lock: &Lock) -> Vec<String> {
        let unknown = lock.foreign().filter(|package| !self.looked_up.contains(&package.name));
        unknown.map(|package| package.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "RUSTSEC-2000-0001";

    fn lock(version: &str) -> Lock {
        let source = "registry+https://github.com/rust-lang/crates.io-index";
        Lock::parse(&format!(
            "version = 4\n[[package]]\nname = \"leaky\"\nversion = \"{version}\"\nsource = \"{source}\"\n\
             [[package]]\nname = \"asa\"\nversion = \"0.1.0\"\n"
        ))
    }

    fn snapshot(patched: &[&str], unaffected: &[&str]) -> Snapshot {
        let ranges = |texts: &[&str]| texts.iter().map(|text| VersionReq::parse(text).unwrap()).collect();
        let (title, kind) = ("leaks".to_owned(), "vulnerability".to_owned());
        let (patched, unaffected) = (ranges(patched), ranges(unaffected));
        Snapshot {
            database: Database { url: String::new(), commit: String::new(), date: String::new() },
            looked_up: vec!["leaky".into()],
            advisories: vec![Advisory { id: ID.into(), name: "leaky".into(), title, kind, patched, unaffected }],
        }
    }

    fn ignore(id: &str) -> [Ignored; 1] {
        [Ignored { id: id.into() }]
    }

    #[test]
    fn affected_versions_are_found_by_the_ranges_of_the_advisory() {
        let some = snapshot(&[">= 1.2.3", "^0.9.4"], &["< 0.5"]);
        for (version, affected) in [
            ("0.4.9", false),
            ("0.5.0", true),
            ("0.9.3", true),
            ("0.9.4", false),
            ("1.2.2", true),
            ("1.2.3-rc.1", true),
            ("1.2.3", false),
        ] {
            assert_eq!(!some.open(&lock(version), &[]).is_empty(), affected, "{version}");
        }
        let open = snapshot(&[], &[]).open(&lock("9.0.0"), &[]);
        assert_eq!(open, [format!("leaky 9.0.0: {ID} (vulnerability): leaks; patched: in none")]);
    }

    #[test]
    fn an_advisory_is_ignored_by_its_own_id_alone() {
        let some = snapshot(&[], &[]);
        assert_eq!(some.open(&lock("1.0.0"), &ignore(ID)), Vec::<String>::new());
        assert_eq!(some.open(&lock("1.0.0"), &ignore("RUSTSEC-2000-0002")).len(), 1);
    }

    #[test]
    fn an_ignored_advisory_that_concerns_nothing_is_found() {
        let some = snapshot(&[">= 2"], &[]);
        assert_eq!(some.idle(&[lock("2.0.0"), lock("1.0.0")], &ignore(ID)), Vec::<String>::new());
        assert_eq!(some.idle(&[lock("2.0.0")], &ignore(ID)), [format!("{ID} concerns no locked version")]);
        assert_eq!(some.idle(&[lock("1.0.0")], &ignore("RUSTSEC-2000-0002")).len(), 1);
    }

    #[test]
    fn a_foreign_crate_that_was_not_looked_up_is_found() {
        let mut some = snapshot(&[], &[]);
        assert_eq!(some.unknown(&lock("1.0.0")), Vec::<String>::new());
        some.looked_up.clear();
        assert_eq!(some.unknown(&lock("1.0.0")), ["leaky"]);
    }
}
