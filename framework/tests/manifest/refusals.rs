//! Each mistake is named with file, line, column, key, what was found, what is allowed, and a guess at what was meant.

use asa_framework::manifest::Manifest;
use serde_json::json;

use crate::{CLASSES, assert_says, refused, text};

#[test]
fn each_mistake_is_named_with_file_key_value_and_what_is_allowed() {
    let file = "test.toml:";
    let cases: &[(&str, &[&str])] = &[
        ("[grasp]\nprot = 1", &[file, "grasp.prot is not a known key", "allowed:", "port", "did you mean port?"]),
        (
            "[gasp]",
            &["gasp is not a known key", "allowed: node, control, supervision, log, grasp, asa", "did you mean grasp?"],
        ),
        ("port = 1", &["port is not a known key", "did you mean grasp.port?"]),
        ("[grasp]\nsessions = 1", &["grasp.sessions is not", "did you mean grasp.limits.sessions?"]),
        ("[grasp]\nport = 70000", &["grasp.port is not allowed", "found:   70000", "an integer from 0 to 65535"]),
        ("[grasp]\nport = -1", &["found:   -1"]),
        ("[grasp]\nport = 1.5", &["found:   1.5"]),
        ("[grasp]\nport = \"high\"", &["found:   \"high\""]),
        ("[grasp]\nport = 2001-01-01", &["found:   \"2001-01-01\""]),
        ("grasp = 3", &["grasp is a table and takes no value", "found:   3", "a table with the keys substrate"]),
        ("[grasp.port]\nx = 1", &["grasp.port is not allowed", "found:   {\"x\":1}"]),
        ("[grasp]\nrelay = 1", &["grasp.relay is not allowed", "true or false"]),
        ("[grasp]\nsubstrate = \"insecure\"", &["\"none\", \"insecure-lab\", \"quads\", \"tls\""]),
        ("[grasp]\nsubstrate = \"insecure_lab\"", &["found:   \"insecure_lab\"", "did you mean insecure-lab?"]),
        ("[grasp]\nsubstrate = \"quads\"", &["grasp.quads.key is missing", "file:/etc/asa/quads.key"]),
        (
            "[grasp]\nsubstrate = \"tls\"\ntls.key = \"/k\"",
            &["grasp.tls.certificate is missing", "asa keys issue", "grasp.tls.anchors is missing", "init-domain"],
        ),
        ("[grasp.quads]\nkey = \"secret\"", &["grasp.quads.key is not allowed", "\"file:/path\", \"credential:NAME\""]),
        ("[grasp.quads]\nkey = \"file:relative\"", &["grasp.quads.key is not allowed"]),
        ("[grasp.quads]\nkey = \"credential:../x\"", &["grasp.quads.key is not allowed"]),
        ("[grasp.tls]\nkey = \"k.pem\"", &["grasp.tls.key is not allowed", "an absolute path", "credential:NAME"]),
        ("[grasp.tls]\nkey = \"prompt\"", &["grasp.tls.key is not allowed"]),
        ("[grasp.dull]\nobjectives = [\"AN_ACP\", \"AN_ACP\"]", &["grasp.dull.objectives is not allowed"]),
        (
            "[grasp]\nsubstrate = \"insecure-lab\"\nauthorization = { EX3 = { request = [\"gray\"] } }",
            &["grasp.authorization cannot be kept by the substrate \"insecure-lab\"", "grasp.substrate = \"tls\""],
        ),
        (
            "[grasp.authorization]\nEX3 = { ask = [\"gray\"] }",
            &["grasp.authorization is not allowed", "discover, request"],
        ),
        ("[grasp.authorization]\nEX3 = { request = \"gray\" }", &["grasp.authorization is not allowed"]),
        ("[grasp.authorization]\nEX3 = { request = [\"\"] }", &["grasp.authorization is not allowed"]),
        ("[grasp]\ninterfaces = \"eth0\"", &["grasp.interfaces", "a list of different interface names"]),
        ("[grasp]\ninterfaces = [\"eth0\", \"eth0\"]", &["grasp.interfaces is not allowed"]),
        ("[grasp]\ninterfaces = [\"e/0\"]", &["grasp.interfaces is not allowed"]),
        ("[grasp]\ninterfaces = [\"0123456789abcdef\"]", &["grasp.interfaces is not allowed"]),
        ("[grasp]\ndomain_prefix = \"10.0.0.0/8\"", &["grasp.domain_prefix", "an IPv6 prefix without host bits"]),
        ("[grasp]\ndomain_prefix = \"2001:db8::1/32\"", &["grasp.domain_prefix is not allowed"]),
        ("[grasp]\ndefault_timeout_ms = 99", &["an integer from 100 to 4294967295"]),
        ("[grasp]\ndefault_timeout_ms = 4294967296", &["grasp.default_timeout_ms is not allowed"]),
        ("[grasp.limits]\nmessage_size = 2047", &["an integer from 2048 to 65535"]),
        ("[grasp.limits]\ndepth = 65", &["an integer from 4 to 64"]),
        ("[node]\nname = \"\"", &["node.name", "1 to 63 characters"]),
        ("[node]\nname = \"a b\"", &["node.name is not allowed"]),
        ("[asa.one]", &[file, "asa.one.class is missing", "\"clock\", \"mute\""]),
        (
            "[asa.one]\nclass = \"clok\"",
            &["asa.one.class is not allowed", "\"clock\", \"mute\"", "did you mean clock?"],
        ),
        ("[asa.one]\nclass = 7", &["asa.one.class is not allowed", "found:   7"]),
        ("[asa.One]\nclass = \"mute\"", &["asa.One is not a name for an instance", "a-z 0-9"]),
        ("[asa.a__b]\nclass = \"mute\"", &["asa.a__b is not a name"]),
        (
            "[asa.one]\nclass = \"clock\"\nversion = \"2\"",
            &["asa.one.version", "1.2.3, which is the version of class clock"],
        ),
        ("[asa.one]\nclass = \"clock\"\nversion = \"1.2.3.4\"", &["asa.one.version is not allowed"]),
        (
            "[asa.one]\nclass = \"clock\"\nparameters = { perod_ms = 1 }",
            &["asa.one.parameters.perod_ms is not a known key", "did you mean period_ms?"],
        ),
        (
            "[asa.one]\nclass = \"clock\"\nparameters = { period_ms = 5 }",
            &[file, "asa.one.parameters.period_ms is not allowed", "found:   5", "an integer from 10 to 60000"],
        ),
        ("[asa.one]\nclass = \"clock\"\nparameters = { period_ms = '5' }", &["found:   \"5\"", "an integer"]),
        ("[asa.one]\nclass = \"clock\"\nparameters = { style = { color = '' } }", &["did you mean colour?"]),
        ("[asa.one]\nclass = \"clock\"\nparameters = { labels = 3 }", &["a table"]),
        ("[asa.one]\nclass = \"mute\"\nparameters = { x = 3 }", &["asa.one.parameters.x is not a known key"]),
        ("[asa]\none = 3", &["asa.one is a table and takes no value"]),
        (
            "[grasp.limits]\nasas = 1\n[asa.a]\nclass = \"mute\"\n[asa.b]\nclass = \"mute\"",
            &["grasp.limits.asas is too small", "at least 2"],
        ),
        ("[fabric]", &["fabric is not a known key", "lab file"]),
        ("\"a.b\" = 1", &["\"a.b\" is not a known key"]),
        ("\"\" = 1", &["\"\" is not a known key"]),
        ("\"grasp[99999999999]\" = 1", &["is not a known key"]),
        ("[grasp]\nport = 1\nport = 2", &["is not TOML", "test.toml:3:1", "each key once"]),
        ("[grasp\n", &["is not TOML", "test.toml:1:"]),
    ];
    for (manifest, fragments) in cases {
        assert_says(&refused(text(*manifest)), fragments);
    }
}

#[test]
fn each_mistake_is_named_with_line_and_column() {
    let bank = "[asa.one]\nclass = 'bank'\n";
    let cases: &[(&str, &[&str])] = &[
        ("[grasp]\n  prot = 1", &["test.toml:2:3: grasp.prot is not a known key"]),
        ("[grasp]\n  port =  70000", &["test.toml:2:11: grasp.port is not allowed"]),
        ("[gasp]", &["test.toml:1:2: gasp is not a known key"]),
        ("node = { name = '€', nam = 1 }", &["test.toml:1:17: node.name", "test.toml:1:22: node.nam is not"]),
        ("\n\n[asa.one]\n", &["test.toml:3:6: asa.one.class is missing"]),
        ("[grasp]\nport = 1\nport = 2\n[x\n", &["test.toml:3:1: is not TOML", "test.toml:4:"]),
        (
            "[node]\nstate_directory = 'var'",
            &["test.toml:2:19: node.state_directory", "an absolute path of at most 4095 bytes"],
        ),
        ("[control]\nsocket = 'x'", &["test.toml:2:10: control.socket", "an absolute path of at most 100 bytes"]),
        ("[control]\ndrils = true", &["test.toml:2:1: control.drils", "did you mean drills?"]),
        ("[log]\nlevel = 'inof'", &["test.toml:2:9: log.level", "error, warn, info", "did you mean info?"]),
        ("[log]\nlevel = 'info,grasp::actors=debgu'", &["test.toml:2:9: log.level is not allowed"]),
        ("[log]\nlevel = ''", &["log.level is not allowed"]),
        ("[log]\nformat = 'yaml'", &["\"auto\", \"text\", \"json\", \"journald\""]),
        ("[supervision]\nrestarts = 1001", &["test.toml:2:12: supervision.restarts", "an integer from 0 to 1000"]),
        ("[supervision]\njitter_percent = 101", &["an integer from 0 to 100"]),
        (
            "[supervision]\nfirst_pause_ms = 30001",
            &[
                "test.toml:2:18: supervision.first_pause_ms",
                "found:   30001",
                "supervision.longest_pause_ms, which is 30000",
            ],
        ),
        (
            "[supervision]\nping_every_ms = 1000",
            &["test.toml: supervision.ping_deadline_ms", "found:   2000", "supervision.ping_every_ms, which is 1000"],
        ),
        ("[asa.one]\nclass = 'mute'\nenabled = true", &["test.toml:3:1: asa.one.enabled is not a known key"]),
        ("[asa.one]\nclass = 'mute'\nstate = 'running'", &["test.toml:3:9: asa.one.state", "\"operational\""]),
        ("[asa.one]\nclass = 'mute'\nrole = 'server'", &["test.toml:3:8: asa.one.role", "the class has no roles"]),
        ("[asa.one]\nclass = 'mute'\nobjectives = ['EX1']", &["asa.one.objectives", "leaves no choice"]),
        (
            "[asa.one]\nclass = 'mute'\nrestart = { strategy = 'one-for-al' }",
            &["test.toml:3:24: asa.one.restart.strategy", "did you mean one-for-all?"],
        ),
        (
            "[asa.one]\nclass = 'mute'\nrestart.longest_pause_ms = 99",
            &["asa.one.restart.first_pause_ms is not allowed", "asa.one.restart.longest_pause_ms, which is 99"],
        ),
        ("[asa.one]\nclass = 'mute'\nresources = ['']", &["test.toml:3:13: asa.one.resources", "1 to 255 bytes"]),
        (
            "[asa.one]\nclass='mute'\nresources=['a']\n[asa.two]\nclass='mute'\nresources=['b', 'a']",
            &[
                "test.toml:6:11: asa.two.resources is taken",
                "found:   \"a\"",
                "asa.one.resources has it already (test.toml:3:11)",
            ],
        ),
        (
            "[asa.one]\nclass='mute'\nstate_directory='/a'\n[asa.two]\nclass='mute'\nstate_directory='/a'",
            &[
                "test.toml:6:17: asa.two.state_directory is taken",
                "asa.one.state_directory has it already (test.toml:3:17)",
            ],
        ),
        (
            &format!("{bank}role = 'clerk'"),
            &["test.toml:3:8: asa.one.role", "\"server\", \"client\", or \"\" for the first"],
        ),
        (&format!("{bank}role = 'sever'"), &["did you mean server?"]),
        (&format!("{bank}objectives = ['EX9']"), &["asa.one.objectives", "a list of different \"EX1\", \"EX2\""]),
        (&format!("{bank}objectives = ['EX1', 'EX1']"), &["asa.one.objectives is not allowed"]),
        (
            &format!("{bank}version = '2'"),
            &["test.toml:3:11: asa.one.version", "1.9.0, 1.10.0, which are the versions of class bank"],
        ),
    ];
    for (manifest, fragments) in cases {
        assert_says(&refused(text(*manifest)), fragments);
    }
}

#[test]
fn a_problem_as_json_has_file_line_and_column_of_their_own() {
    let problems = Manifest::load(text("[grasp]\nport = 'x'"), CLASSES).unwrap_err();
    let expected = json!([{ "origin": "test.toml:2:8", "file": "test.toml", "line": 2, "column": 8, "key": "grasp.port",
        "message": "is not allowed", "found": "\"x\"", "allowed": "an integer from 0 to 65535" }]);
    assert_eq!(serde_json::to_value(problems).unwrap(), expected);
}
