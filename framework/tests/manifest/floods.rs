//! Flooded policy stands above the defaults and below everything that the operator says.

use asa_framework::manifest::{FloodedPolicy, Loaded, Manifest, Origin, Sources};
use serde_json::{Value, json};

use crate::{CLASSES, assert_says, text, with_sets};

const ONE: &str = "[asa.one]\nclass = 'clock'\n";

fn flood(settings: Value) -> FloodedPolicy {
    FloodedPolicy { objective: "intent".into(), from: "fe80::1".into(), settings }
}

fn parameters(parameters: Value) -> FloodedPolicy {
    flood(json!({ "asa": { "one": { "parameters": parameters } } }))
}

fn with(manifest: &str, flooded: Vec<FloodedPolicy>) -> Loaded<Manifest> {
    Manifest::load(Sources { flooded, ..text(manifest) }, CLASSES).unwrap_or_else(|problems| panic!("{problems}"))
}

fn warnings(loaded: &Loaded<Manifest>) -> String {
    loaded.warnings.iter().map(|warning| format!("{warning}\n")).collect()
}

/// ASA-P-03: node-level manual above flooded policy above default, and each value says where it came from.
#[test]
fn manual_settings_stand_above_flooded_policy_and_that_above_defaults() {
    let policy = parameters(json!({ "period_ms": 500, "loud": true, "ratio": 0.25, "style": { "colour": "blue" } }));
    let manifest = format!("{ONE}parameters.period_ms = 20\n");
    let loaded = with(&manifest, vec![policy.clone()]);
    assert_eq!(
        (&loaded.warnings[..], loaded.manifest.asa["one"].parameters["period_ms"].as_i64()),
        (&[][..], Some(20))
    );
    let shown = |key: &str| {
        let setting = loaded.effective.get(&format!("asa.one.parameters.{key}")).unwrap();
        (setting.value.clone(), setting.origin.to_string())
    };
    assert_eq!(shown("period_ms"), (json!(20), "test.toml:3:24".to_owned()));
    assert_eq!(shown("loud"), (json!(true), "flood of intent by fe80::1".to_owned()));
    assert_eq!(shown("style.colour"), (json!("blue"), "flood of intent by fe80::1".to_owned()));
    assert_eq!(shown("zone"), (json!("UTC"), "default of class clock".to_owned()));
    let sources = Sources { flooded: vec![policy], ..with_sets(text(manifest), &[("asa.one.parameters.ratio", "1")]) };
    let ratio = Manifest::load(sources, CLASSES).unwrap().effective.get("asa.one.parameters.ratio").unwrap().clone();
    assert_eq!((ratio.value, ratio.origin), (json!(1), Origin::CommandLine("--set asa.one.parameters.ratio".into())));
    let twice = with(ONE, vec![parameters(json!({ "loud": true })), parameters(json!({ "loud": false, "ratio": 2 }))]);
    assert_eq!(twice.manifest.asa["one"].parameters["loud"], json!(false));
}

#[test]
fn a_wrong_flood_is_dropped_with_a_warning_and_refuses_nothing() {
    let cases: &[(Value, &[&str])] = &[
        (json!({ "perod_ms": 1 }), &["asa.one.parameters.perod_ms is not a key that a flood may set", "period_ms?"]),
        (json!({ "period_ms": "x" }), &["flood of intent by fe80::1: asa.one.parameters.period_ms", "found:   \"x\""]),
        (
            json!({ "period_ms": 1 }),
            &["asa.one.parameters.period_ms is not allowed; this flood is not used", "10 to 60000"],
        ),
        (json!(7), &["asa.one.parameters is a table"]),
    ];
    let plain = with(ONE, Vec::new());
    for (wrong, fragments) in cases {
        let loaded = with(ONE, vec![parameters(wrong.clone())]);
        assert_says(&warnings(&loaded), fragments);
        assert_eq!(loaded.manifest, plain.manifest);
        assert_eq!(loaded.effective, plain.effective);
    }
    let half = with(ONE, vec![parameters(json!({ "period_ms": 1, "loud": true }))]);
    let kept = &half.manifest.asa["one"].parameters;
    assert_eq!((half.warnings.len(), &kept["loud"], &kept["period_ms"]), (1, &json!(true), &json!(1000)));
}

#[test]
fn a_flood_that_clashes_with_manual_settings_gives_way() {
    // The class wants low not above high, and names low, which is the operator's.
    let manifest = "[asa.one]\nclass = 'bank'\nparameters.low = 60\n";
    let loaded = with(manifest, vec![parameters(json!({ "high": 50, "name": "flooded" }))]);
    assert_says(&warnings(&loaded), &["asa.one.parameters.low is not allowed; this flood is not used for it"]);
    assert_eq!(loaded.manifest, with(manifest, Vec::new()).manifest);
}

#[test]
fn a_flood_decides_neither_what_runs_nor_how_the_node_protects_itself() {
    for settings in [
        json!({ "grasp": { "substrate": "insecure-lab" } }),
        json!({ "control": { "drills": true } }),
        json!({ "asa": { "two": { "class": "mute" } } }),
        json!({ "asa": { "one": { "class": "mute" } } }),
        json!({ "asa": { "one": { "state": "installed" } } }),
        json!({ "nodes": {} }),
        json!([1]),
        json!(null),
    ] {
        let loaded = with(ONE, vec![flood(settings.clone())]);
        assert_eq!(loaded.warnings.len(), 1, "{settings}");
        assert_eq!(loaded.manifest, with(ONE, Vec::new()).manifest, "{settings}");
    }
    let many = with(ONE, vec![parameters(json!({ "loud": true })); 101]);
    assert_says(&warnings(&many), &["1 more policies are not looked at"]);
}
