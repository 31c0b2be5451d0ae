//! `asa reload|drill|log-level`: what concerns the node as a whole.

use asa_framework::control::{ChangeKind, Command, DrillReport, Plan};
use serde::Deserialize;
use supervision::Fault;

use super::text::{Cell, RED, count, duration, labelled, table};
use super::{CHANGE, QUESTION, REFUSED, Shown, ask};
use crate::cli::control::{DrillArgs, Fault as FaultArg, LogLevelArgs, ReloadArgs};
use crate::output::Look;

/// Applies the changes of the manifest, or shows them; 1 if one did not work.
pub(super) fn reload(args: &ReloadArgs) -> anyhow::Result<Shown> {
    let failed = |plan: &Plan| u8::from(plan.changes.iter().any(|change| change.error.is_some())) * REFUSED;
    ask(&args.node, CHANGE, Command::Reload { plan: args.plan }, planned, failed)
}

/// How long one drill may take, in seconds: a hang is seen within 10, and the longest pause is 30.
const DRILL: u32 = 60;

/// Lets an actor fail; 1 if it did not recover each time. After a fault of the store nothing has to recover.
pub(super) fn drill(args: DrillArgs) -> anyhow::Result<Shown> {
    let DrillArgs { role, fault, instance, count, node } = args;
    let fault = match fault {
        FaultArg::Panic => Fault::Panic,
        FaultArg::Hang => Fault::Hang,
        FaultArg::Stop => Fault::Stop,
        FaultArg::StoreError => Fault::StoreError,
    };
    let recovered = move |drills: &Vec<DrillReport>| {
        let well = |drill: &DrillReport| fault == Fault::StoreError || drill.recovered_after_ms.is_some();
        if drills.len() >= count as usize && drills.iter().all(well) { 0 } else { REFUSED }
    };
    let show = move |look, drills| drilled(look, drills, fault != Fault::StoreError);
    ask(&node, DRILL * count, Command::Drill { role, fault, instance, count }, show, recovered)
}

/// Shows or changes what is logged.
pub(super) fn log_level(args: LogLevelArgs) -> anyhow::Result<Shown> {
    let command = Command::LogLevel { level: args.level };
    ask(&args.node, QUESTION, command, |look, Level { level }: Level| look.shown(&level) + "\n", |_| 0)
}

/// The answer to `log-level`.
#[derive(Debug, Deserialize)]
struct Level {
    level: String,
}

fn planned(look: Look, plan: Plan) -> String {
    if plan.changes.is_empty() {
        return "nothing in the manifest has changed; what was done by hand stands\n".to_owned();
    }
    let mut lines = vec![if plan.applied { "done:" } else { "would be done:" }.to_owned()];
    for change in &plan.changes {
        let verb = match change.kind {
            ChangeKind::Starts => "starts",
            ChangeKind::Stops => "stops",
            ChangeKind::Changes => "changes",
            ChangeKind::Restarts => "is replaced, make before break",
            ChangeKind::NextStart => "changes when the process is started the next time",
        };
        let what = format!("{} {verb}", change.what);
        let keys = change.keys.join(", ");
        let text = if keys.is_empty() { what } else { format!("{what}: {keys}") };
        lines.extend(labelled(look, "  ", &text, None));
        if let Some(error) = &change.error {
            lines.extend(labelled(look, "    failed: ", error, Some(RED)));
        }
    }
    lines.join("\n") + "\n"
}

fn drilled(look: Look, drills: Vec<DrillReport>, recovers: bool) -> String {
    let row = |drill: &DrillReport| {
        let never = if recovers { "not in time" } else { "" };
        let recovered = drill.recovered_after_ms.map_or_else(|| never.to_owned(), duration);
        vec![
            Cell::text(look, &drill.instance),
            Cell::text(look, &drill.role),
            Cell::right(count(drill.life)),
            Cell::right(recovered).coloured(drill.recovered_after_ms.is_none().then_some(RED)),
            Cell::text(look, &drill.happened),
        ]
    };
    let rows: Vec<Vec<Cell>> = drills.iter().map(row).collect();
    let mut lines = table(look, &["INSTANCE", "ROLE", "LIFE", "RECOVERED", "HAPPENED"], &rows);
    let times: Vec<f64> = drills.iter().filter_map(|drill| drill.recovered_after_ms).collect();
    if let Some(worst) = times.iter().copied().reduce(f64::max).filter(|_| drills.len() > 1) {
        let (recovered, all) = (times.len(), drills.len());
        lines.push(format!("recovered {recovered} of {all} times, at worst after {}", duration(worst)));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PLAIN: Look = Look::new(false, true);

    #[test]
    fn a_plan_is_a_list_of_changes() {
        let plan = |value| planned(PLAIN, serde_json::from_value(value).unwrap());
        let nothing = plan(json!({"applied": true, "changes": []}));
        assert_eq!(nothing, "nothing in the manifest has changed; what was done by hand stands\n");
        let text = plan(json!({"applied": false, "changes": [
            {"what": "gray", "kind": "restarts", "keys": ["parameters.pace", "parameters.seed"]},
            {"what": "briggs", "kind": "starts", "keys": []},
            {"what": "old", "kind": "stops", "keys": []},
            {"what": "node", "kind": "next-start", "keys": ["grasp.port"]},
        ]}));
        let expected = "would be done:\n  gray is replaced, make before break: parameters.pace, parameters.seed\n  \
                        briggs starts\n  old stops\n  node changes when the process is started the next time: grasp.port\n";
        assert_eq!(text, expected);
        let text = plan(json!({"applied": true, "changes": [
            {"what": "gray", "kind": "changes", "keys": ["state"], "error": "no\rway"},
        ]}));
        assert_eq!(text, "done:\n  gray changes: state\n    failed: no\\u{d}way\n");
    }

    #[test]
    fn drills_are_a_table_with_the_worst_time() {
        let drill = |life: u64, after: Option<f64>| DrillReport {
            instance: "gray".to_owned(),
            role: "negotiator".to_owned(),
            life,
            happened: "panicked: drill: panic".to_owned(),
            recovered_after_ms: after,
        };
        let expected = "\
INSTANCE  ROLE        LIFE    RECOVERED  HAPPENED
gray      negotiator     1       104 ms  panicked: drill: panic
gray      negotiator     2        1.2 s  panicked: drill: panic
gray      negotiator     3  not in time  panicked: drill: panic
recovered 2 of 3 times, at worst after 1.2 s
";
        let text = drilled(PLAIN, vec![drill(1, Some(104.2)), drill(2, Some(1200.0)), drill(3, None)], true);
        assert_eq!(text, expected);
        let text = drilled(PLAIN, vec![drill(1, None)], false);
        assert!(!text.contains("not in time") && !text.contains("RECOVERED"), "{text}");
    }
}
