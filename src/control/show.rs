//! `asa describe` and `asa dump`: what a node has in its hands.

use asa_framework::control::{Command, Described, Dump};
use serde_json::{Map, Value};

use super::text::{BOLD, Cell, YELLOW, duration, labelled, table};
use super::{QUESTION, Shown, ask};
use crate::cli::control::{DescribeArgs, DumpArgs, Table};
use crate::output::Look;

/// Shows the instance manifests.
pub(super) fn describe(args: DescribeArgs) -> anyhow::Result<Shown> {
    ask(&args.node, QUESTION, Command::Describe { instance: args.instance }, described, |_| 0)
}

/// Shows a table of the GRASP instance.
pub(super) fn dump(args: &DumpArgs) -> anyhow::Result<Shown> {
    let table = match args.table {
        Table::Discovery => Dump::Discovery,
        Table::Floods => Dump::Floods,
        Table::Sessions => Dump::Sessions,
        Table::Objectives => Dump::Objectives,
    };
    let shown: fn(Look, Vec<Map<String, Value>>) -> String = if table == Dump::Floods { flooded } else { dumped };
    ask(&args.node, QUESTION, Command::Dump { table }, shown, |_| 0)
}

fn described(look: Look, all: Vec<Described>) -> String {
    if all.is_empty() {
        return "there are no instances\n".to_owned();
    }
    let blocks: Vec<String> = all.iter().map(|one| instance(look, one).join("\n") + "\n").collect();
    blocks.join("\n")
}

fn instance(look: Look, described: &Described) -> Vec<String> {
    let Described { instance, node, class, version, asa, role, phase, .. } = described;
    let mut lines = vec![look.paint(BOLD, &look.shown(instance))];
    let mut line = |label: &str, text: &str| {
        if !text.is_empty() {
            lines.extend(labelled(look, &format!("  {label:<12}"), text, None));
        }
    };
    line("node", node);
    line("class", &format!("{class} {version}"));
    line("registered", asa.as_deref().unwrap_or("not with GRASP"));
    line("role", role);
    line("phase", &phase.to_string());
    line("objectives", &described.objectives.join(", "));
    line("resources", &described.resources.join(", "));
    line("metrics", &described.metrics.join(", "));
    line("actions", &described.actions.join(", "));
    let parameters = described.parameters.iter().map(|(key, value)| format!("{key} = {value}"));
    let origins = described.origins.iter().map(|origin| format!("{} from {}", origin.key, origin.origin));
    for (label, list) in [("parameters", parameters.collect::<Vec<_>>()), ("origins", origins.collect())] {
        for (index, text) in list.iter().enumerate() {
            line(if index == 0 { label } else { "" }, text);
        }
    }
    lines
}

/// What the explanations below the table say; programs find it in the entries.
const EXPLAINED: [&str; 3] = ["what", "odd", "ttl_ms"];

/// The table, and below it in words what the floods of the infrastructure mean.
fn flooded(look: Look, mut all: Vec<Map<String, Value>>) -> String {
    let mut explained: Vec<String> = all.iter().flat_map(|entry| explanation(look, entry)).collect();
    for entry in &mut all {
        entry.retain(|key, _| !EXPLAINED.contains(&key.as_str()));
    }
    let mut text = dumped(look, all);
    if !explained.is_empty() {
        explained.insert(0, String::new());
        text.push_str(&(explained.join("\n") + "\n"));
    }
    text
}

/// What it is, from whom, where, for how long, and what is odd about it.
fn explanation(look: Look, entry: &Map<String, Value>) -> Vec<String> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    let odd: Vec<&str> =
        entry.get("odd").and_then(Value::as_array).into_iter().flatten().flat_map(Value::as_str).collect();
    if text("what").is_empty() && odd.is_empty() {
        return Vec::new();
    }
    let mut said = vec![format!("flooded by {}", text("origin"))];
    if !text("what").is_empty() {
        said.insert(0, text("what").to_owned());
    }
    if !text("locator").is_empty() {
        said.push(format!("to be found at {}", text("locator")));
    }
    if !text("interface_name").is_empty() {
        said.push(format!("heard on {}", text("interface_name")));
    }
    said.push(match entry.get("remaining_ms").and_then(Value::as_f64) {
        Some(left) => format!("for {} more", duration(left)),
        None => "for ever".to_owned(),
    });
    let title = format!("{} ({})", text("objective"), text("instance"));
    let mut lines = vec![look.paint(BOLD, &look.shown(&title))];
    lines.extend(labelled(look, "  ", &said.join(", "), None));
    for one in odd {
        lines.extend(labelled(look, "  odd: ", one, Some(YELLOW)));
    }
    lines
}

/// What an entry is about stands before what is said of it.
const FIRST: [&str; 3] = ["name", "objective", "key"];

/// A column for each key that one of the objects has.
fn dumped(look: Look, all: Vec<Map<String, Value>>) -> String {
    if all.is_empty() {
        return "the table is empty\n".to_owned();
    }
    let mut keys: Vec<&str> = all.iter().flat_map(|object| object.keys().map(String::as_str)).collect();
    keys.sort_unstable_by_key(|key| (!FIRST.contains(key), *key));
    keys.dedup();
    let row = |object: &Map<String, Value>| keys.iter().map(|key| cell(look, key, object.get(*key))).collect();
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    let titles = keys.iter().map(|key| look.shown(key.strip_suffix("_ms").unwrap_or(key)).to_uppercase());
    let head: Vec<String> = titles.map(|title| title.replace('_', " ")).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table(look, &head, &rows).join("\n") + "\n"
}

fn cell(look: Look, key: &str, value: Option<&Value>) -> Cell {
    match value {
        None | Some(Value::Null) => Cell::default(),
        Some(Value::String(text)) => Cell::text(look, text),
        Some(Value::Number(number)) => Cell::right(match number.as_f64() {
            Some(milliseconds) if key.ends_with("_ms") => duration(milliseconds),
            Some(_) | None => number.to_string(),
        }),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            Cell::text(look, &list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        Some(other @ (Value::Bool(_) | Value::Array(_) | Value::Object(_))) => Cell::text(look, &other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Look = Look::new(false, true);

    #[test]
    fn an_instance_describes_itself() {
        let all = json!([{
            "instance": "gray", "node": "north", "class": "gray", "version": "0.1.0", "asa": null, "role": "customer",
            "phase": "operational", "objectives": ["EX1", "EX3"], "resources": [], "metrics": ["sessions"],
            "actions": ["activate", "deactivate"], "parameters": {"pace": "fast", "seed": 1},
            "origins": [{"key": "parameters.pace", "origin": "config/gray.toml"}],
        }]);
        let expected = "\
gray
  node        north
  class       gray 0.1.0
  registered  not with GRASP
  role        customer
  phase       operational
  objectives  EX1, EX3
  metrics     sessions
  actions     activate, deactivate
  parameters  pace = \"fast\"
              seed = 1
  origins     parameters.pace from config/gray.toml
";
        assert_eq!(described(PLAIN, serde_json::from_value(all).unwrap()), expected);
        assert_eq!(described(PLAIN, Vec::new()), "there are no instances\n");
    }

    /// ASA-I-10: below the table stands what a flood of the infrastructure means, and what is odd about it.
    #[test]
    fn floods_of_the_infrastructure_are_explained() {
        let entry = |instance: &str, objective: &str, what: Value, odd: Value| {
            json!({
                "instance": instance, "objective": objective, "origin": "fe80::1", "locator": "[fe80::1]:15000",
                "interface_name": "eth0", "remaining_ms": 200_000, "ttl_ms": 210_000, "what": what, "odd": odd,
            })
        };
        let all = json!([
            entry("north", "EX3", Value::Null, json!([])),
            entry("dull eth0", "AN_ACP", json!("an ACP neighbour that offers IKEv2"), json!(["unknown\u{1b}"])),
        ]);
        let expected = "\
OBJECTIVE  INSTANCE   INTERFACE NAME  LOCATOR          ORIGIN    REMAINING
EX3        north      eth0            [fe80::1]:15000  fe80::1  3 min 20 s
AN_ACP     dull eth0  eth0            [fe80::1]:15000  fe80::1  3 min 20 s

AN_ACP (dull eth0)
  an ACP neighbour that offers IKEv2, flooded by fe80::1, to be found at [fe80::1]:15000, heard on
  eth0, for 3 min 20 s more
  odd: unknown\\u{1b}
";
        assert_eq!(flooded(PLAIN, serde_json::from_value(all).unwrap()), expected);
        assert_eq!(flooded(PLAIN, Vec::new()), "the table is empty\n");
    }

    #[test]
    fn a_table_has_a_column_for_each_key() {
        let all = json!([
            {"name": "EX3", "remaining_ms": 12000, "asas": ["gray", "briggs"], "diverted": true, "port": 7017, "note": null},
            {"name": "E\u{1b}X", "value": [1, "two"], "note": null},
        ]);
        let expected = "\
NAME      ASAS          DIVERTED  PORT  REMAINING  VALUE
EX3       gray, briggs  true      7017       12 s
E\\u{1b}X                                           [1,\"two\"]
";
        assert_eq!(dumped(PLAIN, serde_json::from_value(all).unwrap()), expected);
        assert_eq!(dumped(PLAIN, Vec::new()), "the table is empty\n");
    }
}
