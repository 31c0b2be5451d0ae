//! What a changed manifest means for a running node. Pure.

use crate::control::{Change, ChangeKind};
use crate::manifest::Manifest;
use serde_json::Value;
use std::collections::BTreeSet;

/// Settings of the node that are looked at each time they are needed, so that a change takes effect at once.
const LIVE: [&str; 3] = ["control.drills", "log.level", "node.state_directory"];
/// Settings of an instance that change what it is told and not how it is built.
const TOLD: [&str; 3] = ["state", "drain_ms", "healthy_ms"];

/// Compares two manifests: first the node, then the instances by name.
pub(super) fn plan(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let mut changes = Vec::new();
    let node = |manifest: &Manifest| {
        let mut tree = serde_json::to_value(manifest).unwrap_or_default();
        if let Some(tree) = tree.as_object_mut() {
            tree.remove("asa");
        }
        tree
    };
    let keys = differing(&node(old), &node(new));
    let (live, later): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| LIVE.contains(&key.as_str()));
    for (kind, keys) in [(ChangeKind::Changes, live), (ChangeKind::NextStart, later)] {
        if !keys.is_empty() {
            changes.push(Change { what: "node".into(), kind, keys, error: None });
        }
    }
    let names: BTreeSet<&String> = old.asa.keys().chain(new.asa.keys()).collect();
    for name in names {
        let (kind, keys) = match (old.asa.get(name), new.asa.get(name)) {
            (None, _) => (ChangeKind::Starts, Vec::new()),
            (_, None) => (ChangeKind::Stops, Vec::new()),
            (Some(before), Some(after)) => {
                let tree = |one| serde_json::to_value(one).unwrap_or_default();
                let mut keys = differing(&tree(before), &tree(after));
                if old.state_directory(name) != new.state_directory(name) && !keys.contains(&"state_directory".into()) {
                    keys.push("node.state_directory".into());
                }
                if keys.is_empty() {
                    continue;
                }
                let told = keys.iter().all(|key| TOLD.contains(&key.as_str()));
                (if told { ChangeKind::Changes } else { ChangeKind::Restarts }, keys)
            }
        };
        changes.push(Change { what: name.clone(), kind, keys, error: None });
    }
    changes
}

/// The dotted keys under which two trees differ.
fn differing(old: &Value, new: &Value) -> Vec<String> {
    fn walk(old: Option<&Value>, new: Option<&Value>, path: &str, found: &mut Vec<String>) {
        if old == new {
            return;
        }
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match (old.and_then(Value::as_object), new.and_then(Value::as_object)) {
            (Some(a), Some(b)) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                keys.into_iter().for_each(|key| walk(a.get(key), b.get(key), &below(key), found));
            }
            _ => found.push(path.to_owned()),
        }
    }
    let mut found = Vec::new();
    walk(Some(old), Some(new), "", &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Instance, State};

    fn manifest(instances: &[(&str, Instance)]) -> Manifest {
        let asa = instances.iter().map(|(name, one)| ((*name).to_owned(), one.clone())).collect();
        Manifest { asa, ..Manifest::default() }
    }

    fn of(old: &Manifest, new: &Manifest) -> Vec<(String, ChangeKind, Vec<String>)> {
        plan(old, new).into_iter().map(|change| (change.what, change.kind, change.keys)).collect()
    }

    #[test]
    fn what_starts_stops_changes_and_restarts() {
        let same = Instance::new("gray");
        let mut parameters = same.clone();
        parameters.parameters.insert("amount".into(), 7.into());
        let state = Instance { state: State::Instantiated, ..same.clone() };
        let old = manifest(&[("a", same.clone()), ("b", same.clone()), ("c", same.clone()), ("d", same.clone())]);
        let mut new = manifest(&[("a", same.clone()), ("c", state), ("d", parameters), ("e", same)]);
        assert_eq!(of(&old, &old), []);
        new.grasp.port = 1;
        new.log.level = "debug".into();
        assert_eq!(
            of(&old, &new),
            [
                ("node".into(), ChangeKind::Changes, vec!["log.level".into()]),
                ("node".into(), ChangeKind::NextStart, vec!["grasp.port".into()]),
                ("b".into(), ChangeKind::Stops, vec![]),
                ("c".into(), ChangeKind::Changes, vec!["state".into()]),
                ("d".into(), ChangeKind::Restarts, vec!["parameters.amount".into()]),
                ("e".into(), ChangeKind::Starts, vec![]),
            ]
        );
    }

    #[test]
    fn another_state_directory_restarts_those_that_use_it() {
        let old = manifest(&[("a", Instance::new("gray"))]);
        let mut new = old.clone();
        new.node.state_directory = "/var/lib/asa".into();
        let kinds: Vec<_> = plan(&old, &new).into_iter().map(|change| (change.what, change.kind)).collect();
        assert_eq!(kinds, [("node".into(), ChangeKind::Changes), ("a".into(), ChangeKind::Restarts)]);
    }
}
