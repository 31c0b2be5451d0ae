//! What the keys mean: versions, roles, places.

use asa_framework::class::{Class, ClassInfo, find_class};
use asa_framework::manifest::{LogFormat, Manifest, Problem, RestartStrategy, State, defaults};

use crate::{BANK, CLASSES, OLD_BANK, assert_says, text};

fn load(manifest: &str) -> Manifest {
    Manifest::load(text(manifest), CLASSES).unwrap_or_else(|problems| panic!("{problems}")).manifest
}

#[test]
fn the_highest_version_that_meets_the_requirement_is_taken() {
    let version = |requirement: &str| find_class(CLASSES, "bank", requirement).map(ClassInfo::version);
    for (requirement, expected) in [("*", "1.10.0"), ("1", "1.10.0"), ("1.9", "1.9.0"), ("1.10.0", "1.10.0")] {
        assert_eq!(version(requirement), Some(expected), "{requirement}");
    }
    assert_eq!((version("2"), version("1.1")), (None, None));
    assert!(find_class::<dyn Class>(&[], "bank", "*").is_none());
    let turned: [&dyn ClassInfo; 2] = [&OLD_BANK, &BANK];
    assert_eq!(find_class(&turned, "bank", "*").map(ClassInfo::version), Some("1.10.0"));
    // The two versions have different parameters, so the right one's defaults are there.
    assert!(load("[asa.one]\nclass = 'bank'").asa["one"].parameters.contains_key("name"));
    assert!(!load("[asa.one]\nclass = 'bank'\nversion = '1.9'").asa["one"].parameters.contains_key("name"));
}

/// A class whose author has made a mistake.
struct Broken;

impl ClassInfo for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn version(&self) -> &'static str {
        "0.0.1"
    }

    fn summary(&self) -> &'static str {
        "does not work"
    }

    fn defaults(&self) -> &'static str {
        "a = 1\nb = \n"
    }

    fn check(&self, _: &serde_json::Value) -> Vec<Problem> {
        Vec::new()
    }
}

#[test]
fn a_class_whose_defaults_are_not_toml_is_a_problem_once() {
    let manifest = "[asa.one]\nclass = 'broken'\n[asa.two]\nclass = 'broken'";
    let problems = Manifest::load(text(manifest), &[&Broken]).unwrap_err();
    assert_eq!(problems.0.len(), 1);
    assert_says(&problems.to_string(), &["default of class broken: is not TOML", "found:   line 2, column 5"]);
    assert!(defaults(&Broken).ends_with("[asa.broken.parameters]\n"));
}

#[test]
fn an_empty_role_is_the_first_and_no_objectives_are_all() {
    for keys in ["", "role = ''\nobjectives = []\n"] {
        let one = load(&format!("[asa.one]\nclass = 'bank'\n{keys}")).asa["one"].clone();
        assert_eq!((one.role.as_str(), one.objectives), ("server", vec!["EX1".to_owned(), "EX2".to_owned()]));
    }
    let one = load("[asa.one]\nclass = 'bank'\nrole = 'client'\nobjectives = ['EX2']").asa["one"].clone();
    assert_eq!((one.role.as_str(), one.objectives), ("client", vec!["EX2".to_owned()]));
    assert_eq!(load("[asa.one]\nclass = 'mute'").asa["one"].role, "");
}

#[test]
fn every_key_of_supervision_control_log_and_life_cycle_is_read() {
    let manifest = load(
        "[node]\nstate_directory = '/var/lib/asa'\n[control]\nenabled = false\ndrills = true\n\
         [supervision]\nrestarts = 1\nthreads = false\n[log]\nlevel = 'warn,grasp::actors=debug'\nformat = 'json'\n\
         repeat_burst = 0\n[asa.one]\nclass = 'mute'\nstate = 'instantiated'\nresources = ['a b', 'c']\ndrain_ms = 0\n\
         describe = true\n[asa.one.restart]\nstrategy = 'one-for-one'\nrestarts = 9\n",
    );
    assert_eq!((manifest.control.enabled, manifest.control.drills), (false, true));
    assert_eq!(
        (manifest.supervision.restarts, manifest.supervision.threads, manifest.supervision.misses),
        (1, false, 2)
    );
    assert_eq!((manifest.log.format, manifest.log.repeat_burst), (LogFormat::Json, 0));
    let one = &manifest.asa["one"];
    assert_eq!((one.state, one.resources.len(), one.drain_ms, one.describe), (State::Instantiated, 2, 0, true));
    assert_eq!(
        (one.restart.strategy, one.restart.restarts, one.restart.within_ms),
        (RestartStrategy::OneForOne, 9, 30_000)
    );
    assert!(State::Installed < State::Instantiated && State::Instantiated < State::Operational);
}

#[test]
fn state_is_kept_below_the_directory_of_the_node_unless_an_instance_names_its_own() {
    let manifest = load(
        "[node]\nstate_directory = '/var/lib/asa'\n[asa.one]\nclass = 'mute'\n[asa.two]\nclass = 'mute'\n\
         state_directory = '/elsewhere'",
    );
    let of = |name: &str| manifest.state_directory(name).map(|path| path.display().to_string());
    assert_eq!(of("one").as_deref(), Some("/var/lib/asa/one"));
    assert_eq!((of("two").as_deref(), of("three")), (Some("/elsewhere"), None));
    assert_eq!(load("[asa.one]\nclass = 'mute'").state_directory("one"), None);
}

#[test]
fn the_control_socket_is_where_the_system_keeps_such_things() {
    let socket = |manifest: &str, variables: &[(&str, &str)]| {
        let env = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        load(manifest).control_socket(env).map(|path| path.display().to_string())
    };
    let (runtime, user) = ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR");
    for (variables, expected) in [
        (&[][..], "/run/asa/n.sock"),
        (&[(user, "/run/user/7")][..], "/run/user/7/asa/n.sock"),
        (&[(user, "/run/user/7"), (runtime, "/run/asa")][..], "/run/asa/n.sock"),
        (&[(runtime, "/run/asa:/run/more")][..], "/run/asa/n.sock"),
        (&[(runtime, "/run/other")][..], "/run/other/asa/n.sock"),
        (&[(runtime, "relative"), (user, "")][..], "/run/asa/n.sock"),
    ] {
        assert_eq!(socket("node.name = 'n'", variables).as_deref(), Some(expected), "{variables:?}");
    }
    assert_eq!(socket("control.socket = '/x'", &[(user, "/run/user/7")]).as_deref(), Some("/x"));
    assert_eq!(socket("control.enabled = false", &[]), None);
}

/// ASA-S-04: rights by objective and act are read as they stand; names may be patterns.
#[test]
fn rights_are_read_by_objective_and_act() {
    let manifest = load(
        "[grasp]\nsubstrate = 'tls'\ntls = { certificate = '/c', key = '/k', anchors = '/a' }\n\
         [grasp.authorization]\n'32473:x.y' = { request = ['gray*', 'noc.example.net'], flood = [] }",
    );
    let config = manifest.node_config();
    let rules = &config.authorization.rules["32473:x.y"];
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[&grasp::protocol::authorization::Act::Request], ["gray*", "noc.example.net"]);
    assert!(config.carries_dull.is_none());
    let dull = load("[grasp.dull]\nenabled = true\nobjectives = ['AN_ACP']").node_config().carries_dull;
    assert_eq!(dull.unwrap().objectives.into_iter().collect::<Vec<_>>(), ["AN_ACP"]);
}

/// GAP-19: where a secret is read from is not where it is written; what looks like one is not repeated in messages.
#[test]
fn a_secret_has_a_place_and_is_never_repeated() {
    use asa_framework::secret::SecretSource;
    for place in ["file:/etc/asa/k", "fd:3", "credential:quads", "prompt"] {
        assert_eq!(place.parse::<SecretSource>().unwrap().to_string(), place);
    }
    for wrong in [
        "",
        "file:",
        "file:k",
        "fd:",
        "fd:-1",
        "fd:x",
        "credential:",
        "credential:..",
        "credential:a/b",
        "env:X",
        "prompt:x",
    ] {
        assert!(wrong.parse::<SecretSource>().is_err(), "{wrong}");
    }
    let error = "correct horse battery staple".parse::<SecretSource>().unwrap_err().to_string();
    assert!(!error.contains("horse"), "{error}");
    for key in ["quads.key", "tls.key"] {
        let refused = crate::refused(text(format!("[grasp]\n{key} = 'correct horse'")));
        assert!(refused.contains(&format!("grasp.{key} is not allowed")) && !refused.contains("horse"), "{refused}");
    }
}
