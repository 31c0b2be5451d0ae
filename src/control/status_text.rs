//! A status as people read it.

use asa_framework::control::{Health, InstanceStatus, NeighbourStatus, NodeStatus, Readiness, StatusReport};
use supervision::{ChildStatus, Condition};

use super::text::{BOLD, Cell, GREEN, RED, YELLOW, count, counted, duration, labelled, moment, table};
use crate::output::Look;

/// Writes a status in lines, the verdict first.
pub(super) fn render(look: Look, report: &StatusReport) -> Vec<String> {
    let mut lines = verdict(look, &report.health);
    lines.push(String::new());
    lines.extend(node(look, report));
    if !report.instances.is_empty() {
        lines.push(String::new());
        lines.extend(instances(look, &report.instances));
    }
    if !report.actors.is_empty() {
        lines.push(String::new());
        lines.extend(actors(look, &report.actors));
    }
    lines
}

fn verdict(look: Look, health: &Health) -> Vec<String> {
    let (word, colour) = match health.readiness {
        Readiness::Ready => ("ready", GREEN),
        Readiness::Degraded => ("degraded", YELLOW),
        Readiness::Failing => ("failing", RED),
    };
    if health.reasons.is_empty() {
        return vec![look.paint(colour, word)];
    }
    let label = format!("{word}: ");
    let reasons = health.reasons.iter().enumerate();
    let lines = reasons.flat_map(|(index, reason)| {
        labelled(look, &if index == 0 { label.clone() } else { " ".repeat(label.len()) }, reason, None)
    });
    let mut lines: Vec<String> = lines.collect();
    if let Some(first) = lines.first_mut() {
        *first = first.replacen(word, &look.paint(colour, word), 1);
    }
    lines
}

fn node(look: Look, report: &StatusReport) -> Vec<String> {
    let StatusReport { node, uptime_s, version, pid, escalations, abandoned_threads, .. } = report;
    let line = |label: &str, text: &str, colour| labelled(look, &format!("{label:<12}"), text, colour);
    let mut lines = line("node", &format!("{}, up {}", node.name, duration(uptime_s * 1e3)), None);
    lines.extend(line("process", &format!("asa {version}, pid {pid}"), None));
    lines.extend(substrate(look, node));
    for warning in &node.substrate_warnings {
        lines.extend(line("warning", warning, Some(YELLOW)));
    }
    let interfaces: Vec<String> =
        node.links.iter().map(|link| format!("{} ({})", link.interface, link.address)).collect();
    let interfaces = if interfaces.is_empty() { "none is up".to_owned() } else { interfaces.join(", ") };
    lines.extend(line("interfaces", &interfaces, node.links.is_empty().then_some(RED)));
    if !node.missing_interfaces.is_empty() {
        lines.extend(line("missing", &node.missing_interfaces.join(", "), Some(RED)));
    }
    if !node.neighbours.is_empty() {
        let told = |one: &NeighbourStatus| format!("{} on {}", one.member, one.interface);
        let all: Vec<String> = node.neighbours.iter().map(told).collect();
        lines.extend(line("neighbours", &all.join(", "), None));
    }
    let address =
        node.global.as_deref().map_or_else(|| "none in the domain".to_owned(), |global| format!("[{global}]"));
    lines.extend(line("address", &format!("{address}, port {}", node.port), None));
    let NodeStatus { sessions, discovery_cache, flood_cache, .. } = node;
    let grasp = [
        counted(*sessions, "session", "sessions"),
        counted(*discovery_cache, "locator cached", "locators cached"),
        counted(*flood_cache, "flood cached", "floods cached"),
    ];
    lines.extend(line("grasp", &grasp.join(", "), None));
    let mut given_up = Vec::new();
    if *escalations > 0 {
        given_up.push(format!("{} rebuilds of instances", count(*escalations)));
    }
    if *abandoned_threads > 0 {
        given_up.push(format!("{} blocked threads left behind", count(*abandoned_threads)));
    }
    if !given_up.is_empty() {
        lines.extend(line("given up", &given_up.join(", "), Some(YELLOW)));
    }
    lines
}

fn substrate(look: Look, node: &NodeStatus) -> Vec<String> {
    let silent = if node.ready { "" } else { ", GRASP may not speak yet" };
    let label = format!("{:<12}", "substrate");
    if node.secure {
        let facts = node.substrate_facts.iter().map(|(name, fact)| format!("{name} {fact}"));
        let all: Vec<String> = std::iter::once(format!("{}{silent}", node.substrate)).chain(facts).collect();
        return labelled(look, &label, &all.join(", "), (!node.ready).then_some(YELLOW));
    }
    if !node.ready {
        return labelled(look, &label, &format!("{}: GRASP does not speak", node.substrate), Some(RED));
    }
    let caveat = node.caveat.as_deref().unwrap_or("anybody on the link can forge messages");
    let text = format!("INSECURE: {}, {caveat}{silent}", node.substrate);
    labelled(look, &label, &text, Some(RED))
}

fn instances(look: Look, instances: &[InstanceStatus]) -> Vec<String> {
    let number = |number: u64| Cell::right(count(number));
    let rows: Vec<Vec<Cell>> = instances
        .iter()
        .map(|instance| {
            let as_wanted = instance.phase == instance.wanted;
            let wanted = if as_wanted { String::new() } else { instance.wanted.to_string() };
            vec![
                Cell::text(look, &instance.name),
                Cell::text(look, &instance.class),
                Cell::text(look, &instance.version),
                Cell::text(look, &instance.phase.to_string()).coloured((!as_wanted).then_some(YELLOW)),
                Cell::text(look, &wanted),
                Cell::text(look, &instance.role),
                number(instance.busy as u64),
                number(instance.promises as u64),
                if instance.incarnations > 1 { number(instance.incarnations) } else { Cell::default() },
                Cell::text(look, instance.operation.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    let head = ["INSTANCE", "CLASS", "VERSION", "PHASE", "WANTED", "ROLE", "BUSY", "PROMISES", "BUILT", "OPERATION"];
    let mut lines = table(look, &head, &rows).into_iter();
    let mut all: Vec<String> = lines.next().into_iter().collect();
    for (line, instance) in lines.zip(instances) {
        all.push(line);
        if let Some(error) = &instance.error {
            all.extend(labelled(look, "    error: ", error, Some(RED)));
        }
    }
    all
}

fn actors(look: Look, actors: &[ChildStatus]) -> Vec<String> {
    let mut owners: Vec<&str> = Vec::new();
    for actor in actors {
        if !owners.contains(&actor.asa.as_str()) {
            owners.push(&actor.asa);
        }
    }
    let grouped: Vec<&ChildStatus> =
        owners.iter().flat_map(|owner| actors.iter().filter(move |actor| actor.asa == *owner)).collect();
    let rows: Vec<Vec<Cell>> = grouped.iter().map(|actor| row(look, actor)).collect();
    let head = ["ACTOR", "CONDITION", "LIFE", "RESTARTS", "MAILBOX", "ANSWERED", "RECOVERED", "WORST"];
    let mut lines = table(look, &head, &rows).into_iter();
    let mut all: Vec<String> = lines.next().into_iter().collect();
    let mut owner = None;
    for (line, actor) in lines.zip(grouped) {
        if owner != Some(&actor.asa) {
            all.push(look.paint(BOLD, &look.shown(&actor.asa)));
            owner = Some(&actor.asa);
        }
        all.push(line);
        if let Some(last) = &actor.last_error {
            let colour = if actor.condition == Condition::Running { None } else { Some(RED) };
            all.extend(labelled(look, &format!("    {} ", moment(last.at)), &last.error, colour));
        }
    }
    all
}

fn row(look: Look, actor: &ChildStatus) -> Vec<Cell> {
    let (condition, colour) = match actor.condition {
        Condition::Starting => ("starting", Some(YELLOW)),
        Condition::Running => ("running", None),
        Condition::Pausing => ("pausing", Some(YELLOW)),
        Condition::Hung => ("hung", Some(RED)),
        Condition::Stopped => ("stopped", Some(RED)),
    };
    let time = |time: Option<f64>| Cell::right(time.map(duration).unwrap_or_default());
    #[allow(clippy::cast_precision_loss, reason = "nobody reads the last digits of a long time")]
    let age = actor.watchdog_age_ms.map(|age| format!("{} ago", duration(age as f64))).unwrap_or_default();
    vec![
        Cell::text(look, &format!("  {}", actor.role)),
        Cell::text(look, condition).coloured(colour),
        Cell::right(count(actor.life)),
        Cell::right(count(actor.restarts)),
        Cell::right(count(actor.mailbox)),
        Cell::right(age),
        time(actor.last_recovery_ms),
        time(actor.worst_recovery_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PLAIN: Look = Look::new(false, true);

    fn report() -> Value {
        json!({
            "health": {"readiness": "degraded", "reasons": [
                "gray/negotiator was restarted 12 s ago",
                "briggs is installed and should be operational",
            ]},
            "node": {
                "name": "north", "substrate": "insecure-lab", "secure": false, "ready": true,
                "links": [{"interface": "eth0", "index": 2, "address": "fe80::1"},
                          {"interface": "eth1", "index": 3, "address": "fe80::2"}],
                "missing_interfaces": ["eth9"], "global": "fd00::1", "port": 7017,
                "sessions": 1, "discovery_cache": 1200, "flood_cache": 0, "counters": {"x": 1},
            },
            "instances": [
                {"name": "briggs", "class": "briggs", "version": "0.1.0", "phase": "installed", "wanted": "operational",
                 "operation": "instantiate", "role": "bank", "busy": 0, "promises": 0, "incarnations": 0,
                 "error": "the objective EX3 is taken"},
                {"name": "gray", "class": "gray", "version": "0.1.0", "phase": "operational", "wanted": "operational",
                 "operation": null, "role": "customer", "busy": 2, "promises": 1234, "incarnations": 1, "error": null},
            ],
            "actors": [
                {"asa": "node", "role": "discovery", "life": 1, "restarts": 0, "condition": "running", "mailbox": 0,
                 "watchdog_age_ms": 1240, "last_error": null, "last_recovery_ms": null, "worst_recovery_ms": null},
                {"asa": "gray", "role": "negotiator", "life": 3, "restarts": 2, "condition": "pausing", "mailbox": 12,
                 "watchdog_age_ms": null, "last_error": {"error": "panicked: no\u{1b}[2Jteller", "at": 1_795_269_067.9},
                 "last_recovery_ms": 104.2, "worst_recovery_ms": 230.0},
                {"asa": "node", "role": "flood", "life": 1, "restarts": 0, "condition": "running", "mailbox": 0,
                 "watchdog_age_ms": 40, "last_error": null, "last_recovery_ms": null, "worst_recovery_ms": null},
            ],
            "uptime_s": 11_520.0, "version": "0.1.0", "pid": 4242, "escalations": 0, "abandoned_threads": 0,
        })
    }

    fn rendered(look: Look, report: Value) -> String {
        render(look, &serde_json::from_value(report).unwrap()).join("\n")
    }

    #[test]
    fn a_status_is_one_page() {
        let expected = "\
degraded: gray/negotiator was restarted 12 s ago
          briggs is installed and should be operational

node        north, up 3 h 12 min
process     asa 0.1.0, pid 4242
substrate   INSECURE: insecure-lab, anybody on the link can forge messages
interfaces  eth0 (fe80::1), eth1 (fe80::2)
missing     eth9
address     [fd00::1], port 7017
grasp       1 session, 1 200 locators cached, 0 floods cached

INSTANCE  CLASS   VERSION  PHASE        WANTED       ROLE      BUSY  PROMISES  OPERATION
briggs    briggs  0.1.0    installed    operational  bank         0         0  instantiate
    error: the objective EX3 is taken
gray      gray    0.1.0    operational               customer     2     1 234

ACTOR         CONDITION  LIFE  RESTARTS  MAILBOX   ANSWERED  RECOVERED   WORST
node
  discovery   running       1         0        0  1.2 s ago
  flood       running       1         0        0  40 ms ago
gray
  negotiator  pausing       3         2       12                104 ms  230 ms
    2026-11-21T13:51:07Z panicked: no\\u{1b}[2Jteller";
        assert_eq!(rendered(PLAIN, report()), expected);
    }

    #[test]
    fn a_ready_node_without_agents_is_short() {
        let mut report = report();
        report["health"] = json!({"readiness": "ready", "reasons": []});
        report["instances"] = json!([]);
        report["actors"] = json!([]);
        report["node"]["secure"] = json!(true);
        report["node"]["substrate"] = json!("acp");
        report["node"]["ready"] = json!(false);
        report["node"]["links"] = json!([]);
        report["node"]["missing_interfaces"] = json!([]);
        report["node"]["global"] = json!(null);
        report["escalations"] = json!(2);
        let expected = "\
ready

node        north, up 3 h 12 min
process     asa 0.1.0, pid 4242
substrate   acp, GRASP may not speak yet
interfaces  none is up
address     none in the domain, port 7017
grasp       1 session, 1 200 locators cached, 0 floods cached
given up    2 rebuilds of instances";
        assert_eq!(rendered(PLAIN, report), expected);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = rendered(Look::new(true, true), report());
        assert!(coloured.starts_with("\u{1b}[33mdegraded\u{1b}[0m: "), "{coloured}");
        assert!(coloured.contains("\u{1b}[31mINSECURE: insecure-lab"), "{coloured}");
        let mut plain = coloured;
        for code in ["0", "1", "31", "32", "33"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(plain, rendered(PLAIN, report()));
    }

    /// ASA-S-02: text that came from a peer or from a panic reaches the terminal without control characters.
    #[test]
    fn whatever_the_node_says_moves_no_cursor() {
        let hostile = "a\u{1b}]0;title\u{7}\r\n\u{9b}2J\u{202e}b\u{2028}";
        let mut report = report();
        for place in ["/node/name", "/node/substrate", "/node/links/0/interface", "/node/links/0/address"] {
            *report.pointer_mut(place).unwrap() = hostile.into();
        }
        for place in ["/node/missing_interfaces/0", "/node/global", "/version", "/health/reasons/0"] {
            *report.pointer_mut(place).unwrap() = hostile.into();
        }
        for key in ["name", "class", "version", "operation", "role", "error"] {
            report["instances"][0][key] = hostile.into();
        }
        for key in ["asa", "role"] {
            report["actors"][1][key] = hostile.into();
        }
        report["actors"][1]["last_error"]["error"] = hostile.into();
        let text = rendered(PLAIN, report);
        let bad = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2028}".contains(c);
        assert!(!text.contains(bad), "{text}");
        // Fourteen times, and once more where the instances of one owner begin.
        assert!(text.matches("\\u{9b}2J\\u{202e}b").count() >= 14, "{text}");
    }

    #[test]
    fn long_errors_and_lists_fit_into_100_columns() {
        let mut report = report();
        report["actors"][1]["last_error"]["error"] = "a very long panic ".repeat(20).into();
        report["instances"][0]["error"] = "x".repeat(400).into();
        report["health"]["reasons"][1] = "because ".repeat(40).into();
        let links: Vec<Value> = (0..9)
            .map(|n| json!({"interface": format!("eth{n}"), "index": n, "address": "fe80::aaaa:bbbb:cccc:dddd"}))
            .collect();
        report["node"]["links"] = links.into();
        let text = rendered(PLAIN, report);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
