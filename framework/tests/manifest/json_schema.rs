//! The JSON Schema accepts what loading accepts and refuses what it can express; printed defaults are a manifest.

use asa_framework::manifest::{Document, Manifest, defaults, json_schema};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{CLASSES, GOOD, LAB, text};

fn validator() -> Validator {
    let schema = json_schema(CLASSES);
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    jsonschema::draft202012::new(&schema).unwrap()
}

fn tree(manifest: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(manifest).unwrap()).unwrap()
}

#[test]
fn what_loads_conforms() {
    let validator = validator();
    let bank = "[asa.one]\nclass = 'bank'\nversion = '1.9'\nrole = 'client'\nobjectives = ['EX2']\n";
    for manifest in ["", GOOD, LAB, bank, "[asa.a_b-c]\nclass = 'mute'\nversion = '*'"] {
        assert!(Document::load(text(manifest), CLASSES).is_ok(), "{manifest}");
        let errors: Vec<String> = validator.iter_errors(&tree(manifest)).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{manifest}");
    }
}

#[test]
fn what_the_schema_refuses_does_not_load() {
    let validator = validator();
    for wrong in [
        "[gasp]",
        "grasp = 3",
        "[grasp]\nport = 70000",
        "[grasp]\nport = 'x'",
        "[grasp]\nport = 1.5",
        "[grasp]\nrelay = 1",
        "[grasp]\nsubstrate = 'x'",
        "[grasp.quads]\nkey = 'secret'",
        "[grasp.authorization]\nEX3 = { ask = ['gray'] }",
        "[grasp.authorization]\nEX3 = { request = 'gray' }",
        "[grasp]\ninterfaces = ['a', 'a']",
        "[grasp]\ninterfaces = ['a/b']",
        "[grasp]\ndomain_prefix = '10.0.0.0'",
        "[grasp.limits]\ndepth = 65",
        "[node]\nname = 'a b'",
        "[node]\nstate_directory = 'var'",
        "[control]\nsocket = 'x'",
        "[log]\nformat = 'yaml'",
        "[log]\nlevel = ''",
        "[supervision]\nmisses = 0",
        "[asa.one]",
        "[asa.one]\nclass = 'none'",
        "[asa.One]\nclass = 'mute'",
        "[asa.a__b]\nclass = 'mute'",
        "[asa.one]\nclass = 'mute'\nversion = 'x'",
        "[asa.one]\nclass = 'mute'\nversion = '1'",
        "[asa.one]\nclass = 'mute'\nstate = 'on'",
        "[asa.one]\nclass = 'mute'\nrole = 'x'",
        "[asa.one]\nclass = 'bank'\nrole = 'x'",
        "[asa.one]\nclass = 'bank'\nobjectives = ['EX3']",
        "[asa.one]\nclass = 'mute'\nresources = ['']",
        "[asa.one]\nclass = 'mute'\nrestart.strategy = 'x'",
        "[asa.one]\nclass = 'mute'\nparameters.x = 1",
        "[asa.one]\nclass = 'clock'\nparameters.period_ms = 'x'",
        "[asa.one]\nclass = 'clock'\nparameters.style.color = 'x'",
        "[asa.one]\nclass = 'clock'\nparameters = 3",
        "[fabric]\nloss = 1.5\n[nodes.a]",
        "[nodes.a]\nprot = 1",
        "[nodes.a.asa.x]",
    ] {
        assert!(Document::load(text(wrong), CLASSES).is_err(), "loading accepts {wrong}");
        assert!(!validator.is_valid(&tree(wrong)), "the schema accepts {wrong}");
    }
}

#[test]
fn the_schema_tells_bounds_defaults_and_descriptions() {
    let schema = json_schema(CLASSES);
    let port = &schema["$defs"]["manifest"]["properties"]["grasp"]["properties"]["port"];
    assert_eq!((&port["minimum"], &port["maximum"], &port["default"]), (&json!(0), &json!(65535), &json!(7017)));
    assert!(port["description"].as_str().unwrap().contains("7017 is assigned to GRASP"));
    let clock = schema["$defs"]["instance"]["allOf"].as_array().unwrap();
    let clock = clock.iter().find(|branch| branch["if"]["properties"]["class"]["const"] == "clock").unwrap();
    let period = &clock["then"]["properties"]["parameters"]["properties"]["period_ms"];
    assert_eq!(*period, json!({ "type": "integer", "default": 1000, "description": "The time between ticks." }));
}

#[test]
fn printed_defaults_are_what_a_class_alone_gives() {
    for class in CLASSES {
        let (name, version) = (class.name(), class.version());
        let alone = format!("[asa.{name}]\nclass = '{name}'\nversion = '{version}'");
        // The printed requirement is any version; the other differences would be faults.
        let printed = defaults(*class).replace("version = \"*\"", &format!("version = '{version}'"));
        let load = |manifest: &str| Manifest::load(text(manifest), CLASSES).map(|loaded| loaded.manifest);
        assert_eq!(load(&printed), load(&alone), "{printed}");
        let uncommented = printed.lines().zip(printed.lines().skip(1)).filter(|(above, line)| {
            line.contains(" = ") && !line.starts_with('#') && (above.is_empty() || above.starts_with('['))
        });
        let lines: Vec<(&str, &str)> = uncommented.collect();
        assert_eq!(lines, [], "{name}: keys without a comment");
    }
    let clock = defaults(CLASSES[0]);
    let shown = "# The time between ticks.\nperiod_ms = 1000\n";
    assert!(clock.contains(shown) && clock.contains("[asa.clock.parameters.style]\n"), "{clock}");
}
