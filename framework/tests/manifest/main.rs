//! Manifests as operators write them: what is accepted, where each setting comes from, what is said about mistakes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop here")]

mod directories;
mod floods;
mod hostile;
mod json_schema;
mod keys;
mod refusals;

use asa_framework::class::ClassInfo;
use asa_framework::manifest::{Document, Lab, Manifest, Origin, ParameterCheck, Problem, Sources, State, Substrate};
use serde_json::{Value, json};

struct Clock;

impl ClassInfo for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn version(&self) -> &'static str {
        "1.2.3"
    }

    fn summary(&self) -> &'static str {
        "tells the time"
    }

    fn defaults(&self) -> &'static str {
        "# The time between ticks.\nperiod_ms = 1000\n# The rest is for show.\nzone = 'UTC'\nratio = 0.5\nloud = false\n\
         peers = []\nlabels = {}\n# Looks.\nstyle = { \"colour\" = 'red' }"
    }

    fn check(&self, parameters: &Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.integer("period_ms", 10..=60_000).choice("zone", &["UTC", "TAI"]);
        check.finish()
    }
}

struct Mute;

impl ClassInfo for Mute {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn version(&self) -> &'static str {
        "0.1.0"
    }

    fn summary(&self) -> &'static str {
        "says nothing"
    }

    fn defaults(&self) -> &'static str {
        ""
    }

    fn check(&self, _parameters: &Value) -> Vec<Problem> {
        Vec::new()
    }
}

/// A class with roles, objectives and two versions.
struct Bank(&'static str);

const BANK: Bank = Bank("1.10.0");
const OLD_BANK: Bank = Bank("1.9.0");

impl ClassInfo for Bank {
    fn name(&self) -> &'static str {
        "bank"
    }

    fn version(&self) -> &'static str {
        self.0
    }

    fn summary(&self) -> &'static str {
        "lends"
    }

    fn defaults(&self) -> &'static str {
        if self.0 == "1.9.0" {
            "# Bounds.\nlow = 1\nhigh = 100"
        } else {
            "# A name and bounds.\nname = ''\nlow = 1\nhigh = 100"
        }
    }

    fn roles(&self) -> &'static [&'static str] {
        &["server", "client"]
    }

    fn objectives(&self) -> &'static [&'static str] {
        &["EX1", "EX2"]
    }

    fn check(&self, parameters: &Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.ordered("low", "high");
        check.finish()
    }
}

const CLASSES: &[&dyn ClassInfo] = &[&Clock, &Mute, &BANK, &OLD_BANK];

const GOOD: &str = r#"
# A manifest that uses most of what there is.
[node]
name = "gray-1.example"

[grasp]
substrate = "insecure-lab"
interfaces = ["eth0", "wlan0"]
port = 7018
experimental_objectives = true
domain_prefix = "2001:db8::/32"

[grasp.limits]
sessions = 50

[asa.first]
class = "clock"
version = "1.2"
parameters = { period_ms = 20, style = { colour = "blue" }, labels = { a = 1 } }

[asa.second-one]
class = "mute"
state = "installed"
"#;

fn text(text: impl Into<Vec<u8>>) -> Sources {
    Sources { path: Some("test.toml".into()), content: Some(text.into()), ..Sources::default() }
}

fn with_environment(mut sources: Sources, variables: &[(&str, &str)]) -> Sources {
    sources.environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    sources
}

fn with_sets(mut sources: Sources, sets: &[(&str, &str)]) -> Sources {
    sources.sets = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    sources
}

fn refused(sources: Sources) -> String {
    Manifest::load(sources, CLASSES).expect_err("the manifest is wrong").to_string()
}

#[track_caller]
fn assert_says(message: &str, fragments: &[&str]) {
    for fragment in fragments {
        assert!(message.contains(fragment), "{fragment:?} is not in:\n{message}");
    }
}

#[test]
fn defaults_alone_are_a_valid_manifest() {
    let loaded = Manifest::load(Sources::default(), CLASSES).unwrap();
    assert_eq!(loaded.manifest, Manifest::default());
    assert_eq!(loaded.manifest.grasp.substrate, Substrate::None);
    assert!(loaded.effective.0.iter().all(|setting| setting.origin == Origin::Default));
    assert_eq!(loaded.effective.get("grasp.port").unwrap().value, json!(7017));
    assert_eq!(Manifest::load(text(""), CLASSES).unwrap().manifest, Manifest::default());
}

#[test]
fn a_full_manifest_is_read() {
    let manifest = Manifest::load(text(GOOD), CLASSES).unwrap().manifest;
    assert_eq!(manifest.node.name, "gray-1.example");
    assert_eq!(manifest.grasp.interfaces, ["eth0", "wlan0"]);
    assert_eq!(manifest.grasp.domain_prefix, Some("2001:db8::/32".parse().unwrap()));
    assert_eq!(manifest.grasp.limits.sessions, 50);
    assert_eq!(manifest.grasp.limits.depth, 16);
    let first = &manifest.asa["first"];
    assert_eq!((first.class.as_str(), first.version.as_str(), first.state), ("clock", "1.2", State::Operational));
    let expected = json!({ "period_ms": 20, "zone": "UTC", "ratio": 0.5, "loud": false, "peers": [],
        "style": { "colour": "blue" }, "labels": { "a": 1 } });
    assert_eq!(Value::Object(first.parameters.clone()), expected);
    assert_eq!(manifest.asa["second-one"].state, State::Installed);
}

#[test]
fn every_default_is_within_its_bounds() {
    let defaults = serde_json::to_value(Manifest::default()).unwrap();
    let lab = json!({ "fabric": asa_framework::manifest::Fabric::default(), "nodes": { "a": {} } });
    for (tree, is_lab) in [(defaults, false), (lab, true)] {
        let written = toml_of(&tree, "");
        let document = Document::load(text(written.clone()), CLASSES).unwrap_or_else(|e| panic!("{e}\n{written}"));
        assert_eq!(matches!(document, Document::Lab(_)), is_lab);
    }
}

fn toml_of(tree: &Value, table: &str) -> String {
    let (tables, values): (Vec<_>, Vec<_>) = tree.as_object().unwrap().iter().partition(|(_, value)| value.is_object());
    let mut text = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
    text.extend(values.iter().map(|(key, value)| format!("{key} = {value}\n")));
    for (key, value) in tables {
        text += &toml_of(value, format!("{table}.{key}").trim_start_matches('.'));
    }
    text
}

#[test]
fn all_problems_are_reported_together() {
    let manifest = "[grasp]\nport = 70000\nrelya = 1\n[asa.one]\nclass = 'clock'\nparameters = { zone = 'CET' }";
    let sources = with_environment(text(manifest), &[("ASA__NODE__NAME", "a b"), ("ASA__NODE__NAMES", "a")]);
    let problems = Manifest::load(with_sets(sources, &[("grasp.limits.depth", "3")]), CLASSES).unwrap_err();
    let keys: Vec<&str> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
    for key in ["grasp.port", "grasp.relya", "node.name", "node.names", "grasp.limits.depth", "asa.one.parameters.zone"]
    {
        assert!(keys.contains(&key), "{key} is not among {keys:?}");
    }
    assert_eq!(keys.len(), 6);
}

#[test]
fn higher_layers_win_and_the_origin_is_shown() {
    let mut sources = with_environment(
        text(GOOD),
        &[
            ("ASA__GRASP__PORT", "7019"),
            ("ASA__GRASP__WAIT_CAP_MS", "1"),
            ("ASA__GRASP__INTERFACES", "eth1, eth2"),
            ("asa__asa__first__parameters__loud", "true"),
            ("ASA__ASA__SECOND-ONE__STATE", "operational"),
            ("ASA_SKIP_NETNS", "1"),
            ("HOME", "/"),
        ],
    );
    sources = with_sets(
        sources,
        &[
            ("grasp.wait_cap_ms", "2"),
            ("grasp.wait_cap_ms", "3"),
            ("node.name", "42"),
            ("asa.first.parameters.peers", "['a']"),
            ("asa.third.class", "clock"),
            ("asa.third.parameters.ratio", "2"),
        ],
    );
    let loaded = Manifest::load(sources.clone(), CLASSES).unwrap();
    let origin = |key: &str| loaded.effective.get(key).unwrap().origin.to_string();
    assert_eq!(loaded.manifest.grasp.port, 7019);
    assert_eq!(origin("grasp.port"), "environment variable ASA__GRASP__PORT");
    assert_eq!(loaded.manifest.grasp.wait_cap_ms, 3);
    assert_eq!(origin("grasp.wait_cap_ms"), "command line (--set grasp.wait_cap_ms)");
    assert_eq!(loaded.manifest.grasp.interfaces, ["eth1", "eth2"]);
    assert_eq!(loaded.manifest.node.name, "42");
    assert_eq!(origin("grasp.substrate"), "test.toml:7:13");
    assert_eq!(origin("grasp.relay"), "default");
    assert_eq!(origin("asa.first.parameters.period_ms"), "test.toml:19:28");
    assert_eq!(origin("asa.first.parameters.zone"), "default of class clock");
    assert_eq!(loaded.manifest.asa["first"].parameters["loud"], json!(true));
    assert_eq!(loaded.manifest.asa["first"].parameters["peers"], json!(["a"]));
    assert_eq!(loaded.manifest.asa["third"].parameters["ratio"], json!(2));
    assert_eq!(loaded.manifest.asa["second-one"].state, State::Operational);

    sources.interfaces = vec!["veth0".to_owned()];
    let loaded = Manifest::load(sources, CLASSES).unwrap();
    assert_eq!(loaded.manifest.grasp.interfaces, ["veth0"]);
    assert_eq!(loaded.effective.get("grasp.interfaces").unwrap().origin.to_string(), "command line (--interface)");
    assert_says(&loaded.effective.to_string(), &["grasp.port ", " 7019 ", "environment variable ASA__GRASP__PORT"]);
}

#[test]
fn a_mistake_outside_the_file_names_its_place() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("ASA__GRASP__PROT", "1", &["environment variable ASA__GRASP__PROT: grasp.prot is not", "did you mean port?"]),
        ("ASA__GRASP__PORT", "x", &["environment variable ASA__GRASP__PORT: grasp.port", "found:   \"x\""]),
        ("ASA__GRASP", "x", &["environment variable ASA__GRASP: grasp is a table"]),
        ("ASA__", "x", &["environment variable ASA__: \"\" is not a known key"]),
        ("ASA__GRASP__PORT__X", "1", &["grasp.port.x is not a known key", "grasp.port is a value"]),
        ("ASA__ASA__ONE__STATE", "installed", &["environment variable ASA__ASA__ONE__STATE: asa.one.class is missing"]),
    ];
    for (name, value, fragments) in cases {
        assert_says(&refused(with_environment(text(""), &[(name, value)])), fragments);
    }
    let message = refused(with_sets(text(GOOD), &[("asa.first.parameters.period_ms", "9"), ("x..", "")]));
    let place = "command line (--set asa.first.parameters.period_ms): asa.first.parameters.period_ms is not allowed";
    assert_says(&message, &[place, "found:   9", "(--set x..): x is not a known key"]);
    let deep = "a.".repeat(100_000);
    assert_says(&refused(with_sets(text(GOOD), &[(&deep, "1")])), &["a is not a known key"]);
}

#[test]
fn a_bad_value_is_a_problem_even_where_a_higher_layer_replaces_it() {
    let sources = with_sets(text("[grasp]\nport = 'x'"), &[("grasp.port", "1")]);
    assert_says(&refused(sources), &["test.toml:2:8: grasp.port is not allowed"]);
}

const LAB: &str = "[fabric]\nlatency_ms = 7\n[nodes.left.grasp]\nport = 0\n[nodes.right.asa.one]\nclass = 'clock'\n";

#[test]
fn a_lab_file_holds_several_nodes() {
    let Document::Lab(loaded) = Document::load(text(LAB), CLASSES).unwrap() else { panic!("not seen as a lab") };
    let lab = loaded.manifest;
    assert_eq!((lab.fabric.latency_ms, lab.nodes.len()), (7, 2));
    assert_eq!((lab.nodes["left"].node.name.as_str(), lab.nodes["left"].grasp.port), ("left", 0));
    assert_eq!(lab.nodes["right"].asa["one"].parameters["zone"], json!("UTC"));
    let zone = loaded.effective.get("nodes.right.asa.one.parameters.zone").unwrap();
    assert_eq!(zone.origin.to_string(), "default of class clock");
    let sources = with_environment(text(LAB), &[("ASA__NODES__LEFT__GRASP__PORT", "9")]);
    assert_eq!(Lab::load(sources, CLASSES).unwrap().manifest.nodes["left"].grasp.port, 9);
}

#[test]
fn mistakes_in_a_lab_are_named() {
    let cases: &[(&str, &[&str])] = &[
        ("[fabric]\nloss = 1.5", &["fabric.loss is not allowed", "a number from 0 to 1"]),
        ("[fabric]\nloss = nan", &["fabric.loss is not allowed", "nan"]),
        ("[fabric]", &["test.toml: nodes is empty", "[nodes.<name>]"]),
        ("[nodes]\na = 1", &["nodes.a is a table"]),
        ("[nodes.a]\nprot = 1", &["nodes.a.prot is not a known key"]),
        ("[nodes.a.grasp]\ninterfaces = ['eth0']", &["nodes.a.grasp.interfaces has no meaning in a lab"]),
        ("[nodes.a.asa.x]", &["nodes.a.asa.x.class is missing"]),
        ("[nodes.a.asa.x]\nclass='clock'\nparameters.zone='x'", &["nodes.a.asa.x.parameters.zone is not allowed"]),
    ];
    for (lab, fragments) in cases {
        assert_says(&Document::load(text(*lab), CLASSES).unwrap_err().to_string(), fragments);
    }
    let message = Lab::load(Sources { interfaces: vec!["eth0".into()], ..text(LAB) }, CLASSES).unwrap_err().to_string();
    assert_says(&message, &["command line (--interface): grasp is not a known key"]);
}
