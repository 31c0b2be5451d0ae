//! What takes several keys at once to judge.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::load::{Loader, at, path};
use super::origin::{Origin, Problem, dotted};
use super::template::class_names;

/// What status and drills call the node's own parts.
const RESERVED: [&str; 2] = ["node", "control"];

impl Loader<'_> {
    /// Checks what takes several keys of a node at once.
    pub(super) fn check_node(&mut self, prefix: &[&str], tree: &Value) {
        let supervision = path(&[prefix, &["supervision"]].concat());
        self.at_most(tree, &supervision, "first_pause_ms", "longest_pause_ms");
        self.at_most(tree, &supervision, "ping_deadline_ms", "ping_every_ms");
        self.check_substrate(prefix, tree);
        let asa = path(&[prefix, &["asa"]].concat());
        let Some(instances) = at(tree, &asa).and_then(Value::as_object) else { return };
        for (name, instance) in instances {
            let mut path = asa.clone();
            path.push(name.clone());
            if RESERVED.contains(&name.as_str()) {
                let problem = self.problem(&path, "is the name of a part of every node");
                self.findings.problems.push(problem.with_allowed("any other name"));
            }
            let Some(class) = instance.get("class").and_then(Value::as_str) else {
                self.missing_class(&path);
                continue;
            };
            let requirement = instance.get("version").and_then(Value::as_str).unwrap_or("*");
            let Some(class) = self.class(class, requirement) else { continue };
            path.push("parameters".to_owned());
            for found in class.check(instance.get("parameters").unwrap_or(&Value::Null)) {
                let mut key = path.clone();
                key.extend(found.key.split('.').map(str::to_owned));
                let place = self.problem(&key, "");
                self.findings.problems.push(Problem { origin: place.origin, key: place.key, ..found });
            }
            path.pop();
            path.push("restart".to_owned());
            self.at_most(tree, &path, "first_pause_ms", "longest_pause_ms");
        }
        self.nothing_shared(tree, prefix, instances);
        let limit = path(&[prefix, &["grasp", "limits", "asas"]].concat());
        let allowed = at(tree, &limit).and_then(Value::as_u64).unwrap_or(u64::MAX);
        let installed = Some(&Value::from("installed"));
        let running = instances.values().filter(|one| one.get("state") != installed).count();
        if running as u64 > allowed {
            let problem = self.problem(&limit, "is too small").with_found(&Value::from(allowed));
            self.findings
                .problems
                .push(problem.with_allowed(format!("at least {running}, the instances that are started")));
        }
    }

    /// Notes what the substrate needs and has not, and rules that it cannot keep.
    fn check_substrate(&mut self, prefix: &[&str], tree: &Value) {
        let grasp = |keys: &[&str]| path(&[prefix, &["grasp"], keys].concat());
        let text = |keys: &[&str]| at(tree, &grasp(keys)).and_then(Value::as_str).unwrap_or_default();
        let substrate = text(&["substrate"]);
        let needed: &[(&[&str], &str)] = match substrate {
            "quads" => {
                &[(&["quads", "key"], "where the key of the group is read from, such as \"file:/etc/asa/quads.key\"")]
            }
            "tls" => &[
                (&["tls", "certificate"], "the path of this node's certificate; asa keys issue makes one"),
                (
                    &["tls", "key"],
                    "the path of this node's private key, or \"credential:NAME\" of systemd; asa keys issue makes one",
                ),
                (&["tls", "anchors"], "the path of the domain's trust anchors; asa keys init-domain makes one"),
            ],
            _ => &[],
        };
        for (keys, what) in needed {
            let key = grasp(keys);
            if text(keys).is_empty() && !self.findings.refused.contains(&key) {
                let problem = self.problem(&key, &format!("is missing, which the substrate \"{substrate}\" needs"));
                self.findings.problems.push(problem.with_allowed(*what));
            }
        }
        let key = grasp(&["authorization"]);
        let rules = at(tree, &key).and_then(Value::as_object).is_some_and(|rules| !rules.is_empty());
        if rules && substrate != "tls" {
            let problem = self.problem(&key, &format!("cannot be kept by the substrate \"{substrate}\""));
            let allowed = "nothing here, or grasp.substrate = \"tls\", which knows members by name";
            self.findings.problems.push(problem.with_allowed(allowed));
        }
    }

    /// Notes that nobody gave a class, unless somebody gave a wrong one, which is noted already.
    fn missing_class(&mut self, instance: &[String]) {
        let mut path = instance.to_vec();
        path.push("class".to_owned());
        if !self.findings.refused.contains(&path) {
            let names: Vec<String> = class_names(self.classes).iter().map(|name| format!("\"{name}\"")).collect();
            let problem = self.problem(&path, "is missing");
            let allowed = format!("a class of this binary: {}", names.join(", "));
            self.findings.problems.push(problem.with_allowed(allowed));
        }
    }

    /// Starts a problem with the best origin known: that of the key, of the member that it belongs to, of the file.
    pub(super) fn problem(&self, path: &[String], message: &str) -> Problem {
        let findings = &self.findings;
        let member = || (0..=path.len()).rev().find_map(|length| findings.members.get(&path[..length]));
        let given = findings.origins.get(path).filter(|origin| !matches!(origin, Origin::ClassDefault(_)));
        let origin = given.or_else(member).cloned();
        let file = || self.layers.path.clone().map_or(Origin::Default, Origin::file);
        Problem::new(origin.unwrap_or_else(file), dotted(path), message)
    }

    /// Notes that the number under one key of a table is above that under another.
    fn at_most(&mut self, tree: &Value, table: &[String], low: &str, high: &str) {
        let below = |key: &str| [table, &[key.to_owned()]].concat();
        let number = |key: &str| at(tree, &below(key)).and_then(Value::as_u64);
        if let (Some(smaller), Some(larger)) = (number(low), number(high))
            && smaller > larger
        {
            let allowed = format!("at most the value of {}, which is {larger}", dotted(&below(high)));
            let problem = self.problem(&below(low), "is not allowed").with_found(&Value::from(smaller));
            self.findings.problems.push(problem.with_allowed(allowed));
        }
    }

    /// Notes resources and directories of state that two instances claim.
    fn nothing_shared(&mut self, tree: &Value, prefix: &[&str], instances: &Map<String, Value>) {
        let node = path(&[prefix, &["node", "state_directory"]].concat());
        let above = at(tree, &node).and_then(Value::as_str).unwrap_or_default();
        let (mut resources, mut directories) = (BTreeMap::new(), BTreeMap::new());
        for (name, instance) in instances {
            let key = |key: &str| path(&[prefix, &["asa", name.as_str(), key]].concat());
            let managed = instance.get("resources").and_then(Value::as_array).into_iter().flatten();
            for resource in managed.filter_map(Value::as_str) {
                let other: &String = resources.entry(resource).or_insert(name);
                if other != name {
                    self.shared(&key("resources"), resource, &key("resources"), other);
                }
            }
            let directory = match instance.get("state_directory").and_then(Value::as_str) {
                None | Some("") if above.is_empty() => continue,
                None | Some("") => std::path::Path::new(above).join(name),
                Some(own) => own.into(),
            };
            let other: &String = directories.entry(directory.clone()).or_insert(name);
            if other != name {
                let shown = directory.to_string_lossy();
                self.shared(&key("state_directory"), &shown, &key("state_directory"), other);
            }
        }
    }

    /// Notes that an instance claims what another one has already.
    fn shared(&mut self, key: &[String], what: &str, own: &[String], other: &str) {
        let mut first = own.to_vec();
        if let Some(name) = first.iter_mut().nth_back(1) {
            other.clone_into(name);
        }
        let place = self.problem(&first, "").origin;
        let problem = self.problem(key, "is taken").with_found(&Value::from(what));
        let hint = format!("{} has it already ({place})", dotted(&first));
        self.findings.problems.push(problem.with_allowed("something that no other instance has").with_hint(Some(hint)));
    }

    /// Fills in the first role and all objectives where a manifest leaves them empty.
    pub(super) fn choose_roles(&self, tree: &mut Value) {
        let nodes = match tree.get_mut("nodes").and_then(Value::as_object_mut) {
            Some(nodes) => nodes.values_mut().collect(),
            None => vec![tree],
        };
        let instances = nodes.into_iter().filter_map(|node| node.get_mut("asa")?.as_object_mut());
        for instance in instances.flat_map(Map::values_mut) {
            let text = |key: &str| instance.get(key).and_then(Value::as_str).unwrap_or_default();
            let Some(class) = self.class(text("class"), text("version")) else { continue };
            if text("role").is_empty()
                && let Some(first) = class.roles().first()
            {
                instance["role"] = Value::from(*first);
            }
            if instance.get("objectives").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                instance["objectives"] = Value::from(class.objectives());
            }
        }
    }
}
