//! `asa describe` and `asa dump`: what a node has in its hands.

use asa_framework::control::{Command, Described, Dump};
use serde_json::{Map, Value};

use super::text::{BOLD, Cell, duration, labelled, table};
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
    ask(&args.node, QUESTION, Command::Dump { table }, dumped, |_| 0)
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
