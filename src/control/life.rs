//! `asa install|instantiate|activate|deactivate|revoke|uninstall|replace`: the life of an instance (RFC 9222 section 7).

use asa_framework::control::{Command, MoveReport, ReplaceReport};
use asa_framework::lifecycle::Move;

use super::text::{counted, duration};
use super::{CHANGE, Shown, ask};
use crate::cli::control::{InstanceArgs, ReplaceArgs, UninstallArgs};
use crate::output::Look;

/// Moves an instance.
pub(super) fn step(step: Move, args: InstanceArgs) -> anyhow::Result<Shown> {
    let command = Command::Move { step, instance: args.instance, force: false, purge: false };
    ask(&args.node, CHANGE, command, moved, |_| 0)
}

/// Removes an instance.
pub(super) fn uninstall(args: UninstallArgs) -> anyhow::Result<Shown> {
    let UninstallArgs { instance, force, purge, node } = args;
    ask(&node, CHANGE, Command::Move { step: Move::Uninstall, instance, force, purge }, moved, |_| 0)
}

/// Replaces an instance by another version.
pub(super) fn replace(args: ReplaceArgs) -> anyhow::Result<Shown> {
    let command = Command::Replace { instance: args.instance, with: args.with };
    ask(&args.node, CHANGE, command, replaced, |_| 0)
}

fn moved(look: Look, report: MoveReport) -> String {
    let mut text = format!("{} is {}\n", look.shown(&report.instance), report.phase);
    if report.abandoned > 0 {
        text +=
            &format!("{} in hand when the time for it was over\n", counted(report.abandoned, "task was", "tasks were"));
    }
    if report.promises > 0 {
        text += &format!("{} left outstanding\n", counted(report.promises, "promise was", "promises were"));
    }
    for path in &report.purged {
        text += &format!("removed {}\n", look.shown(path));
    }
    text
}

fn replaced(look: Look, report: ReplaceReport) -> String {
    let ReplaceReport { instance, from, to, healthy_after_ms, drained_after_ms, abandoned } = report;
    let mut text = format!("{} is {} now, and was {}\n", look.shown(&instance), look.shown(&to), look.shown(&from));
    let (healthy, drained) = (duration(healthy_after_ms), duration(drained_after_ms));
    text += &format!("the new one was healthy after {healthy}, the old one had ended its work after {drained}\n");
    if abandoned > 0 {
        text += &format!("{} in hand when the time for it was over\n", counted(abandoned, "task was", "tasks were"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use asa_framework::lifecycle::Phase;

    const PLAIN: Look = Look::new(false, true);

    #[test]
    fn a_move_says_what_it_came_to() {
        let mut report = MoveReport {
            instance: "gray".to_owned(),
            step: Move::Activate,
            phase: Phase::Operational,
            abandoned: 0,
            promises: 0,
            purged: Vec::new(),
        };
        assert_eq!(moved(PLAIN, report.clone()), "gray is operational\n");
        report.step = Move::Uninstall;
        report.phase = Phase::Undeployed;
        (report.abandoned, report.promises) = (1, 2);
        report.purged = vec!["/var/lib/asa/gray".to_owned(), "/a\nb".to_owned()];
        let expected = "gray is undeployed\n1 task was in hand when the time for it was over\n2 promises were left \
                        outstanding\nremoved /var/lib/asa/gray\nremoved /a\\u{a}b\n";
        assert_eq!(moved(PLAIN, report), expected);
    }

    #[test]
    fn a_replacement_says_how_long_it_took() {
        let report = ReplaceReport {
            instance: "gray".to_owned(),
            from: "0.1.0".to_owned(),
            to: "0.2.0".to_owned(),
            healthy_after_ms: 120.4,
            drained_after_ms: 3100.0,
            abandoned: 0,
        };
        let expected = "gray is 0.2.0 now, and was 0.1.0\nthe new one was healthy after 120 ms, the old one had ended \
                        its work after 3.1 s\n";
        assert_eq!(replaced(PLAIN, report), expected);
    }
}
