//! Fault drills on a running node: lets something go wrong on purpose, and times the recovery.

use super::{Root, Work};
use crate::control::{DrillReport, Failure, FailureCode};
use actix::prelude::*;
use std::time::Duration;
use supervision::{Condition, Fault, Tree};
use tokio::time::Instant;

/// How long a drill waits for the recovery: a hang is seen within 10 s, and the longest pause is 30 s.
const PATIENCE: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_millis(1);

impl Root {
    /// Runs a drill `count` times, each after the recovery from the last.
    pub(super) fn drill(
        &mut self,
        role: &str,
        fault: Fault,
        instance: Option<&str>,
        count: u32,
    ) -> Work<Vec<DrillReport>> {
        let found = if self.manifest().control.drills {
            target(&self.args.tree, role, instance)
        } else {
            let message = "drills are switched off: set control.drills = true in the manifest and reload";
            Err(Failure::new(FailureCode::Refused, message))
        };
        let tree = self.args.tree.clone();
        let role = role.to_owned();
        let drilled = async move {
            let owner = found?;
            let mut reports = Vec::new();
            for _ in 0..count.clamp(1, 100) {
                reports.push(once(&tree, &owner, &role, fault).await?);
            }
            Ok(reports)
        };
        Box::pin(drilled.into_actor(self))
    }
}

/// Whose role is meant.
fn target(tree: &Tree, role: &str, instance: Option<&str>) -> Result<String, Failure> {
    let all = tree.status();
    let owners: std::collections::BTreeSet<&str> =
        all.iter().filter(|child| child.role == role).map(|child| child.asa.as_str()).collect();
    let roles: std::collections::BTreeSet<String> = all
        .iter()
        .filter(|child| instance.is_none_or(|name| name == child.asa))
        .map(|child| format!("{:?} of {}", child.role, child.asa))
        .collect();
    let there = roles.into_iter().collect::<Vec<_>>().join(", ");
    match (instance, owners.len()) {
        (Some(instance), _) if owners.contains(instance) => Ok(instance.to_owned()),
        (Some(instance), _) => {
            Err(Failure::new(FailureCode::Unknown, format!("{instance} has no role {role}; there are {there}")))
        }
        (None, 1) => Ok(owners.into_iter().collect()),
        (None, 0) => Err(Failure::new(FailureCode::Unknown, format!("there is no role {role}; there are {there}"))),
        (None, _) => {
            let owners = owners.into_iter().collect::<Vec<_>>().join(", ");
            Err(Failure::new(FailureCode::Refused, format!("{owners} have a role {role}: say which with instance")))
        }
    }
}

async fn once(tree: &Tree, owner: &str, role: &str, fault: Fault) -> Result<DrillReport, Failure> {
    let refused = |why: &str| Failure::new(FailureCode::Refused, format!("{role} of {owner} {why}"));
    let vitals = tree.find(owner, role).ok_or_else(|| refused("is gone"))?;
    if fault == Fault::StoreError && !vitals.keeps_store() {
        return Err(refused("has no store that could fail"));
    }
    let (life, restarts) = (vitals.life(), vitals.restarts());
    let begun = Instant::now();
    if !tree.arm(owner, role, fault, 1) || (fault != Fault::StoreError && !tree.nudge(owner, role)) {
        return Err(refused("lives once and cannot be drilled by itself"));
    }
    let report = |happened: String, recovered: Option<Duration>| DrillReport {
        instance: owner.to_owned(),
        role: role.to_owned(),
        life,
        happened,
        recovered_after_ms: recovered.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3),
    };
    if fault == Fault::StoreError {
        // It strikes when the store is written to; nothing has to recover.
        return Ok(report("the next change of its store fails".into(), None));
    }
    while begun.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        // After an escalation another child bears the name.
        let Some(now) = tree.find(owner, role) else { continue };
        let rebuilt = !std::sync::Arc::ptr_eq(&now, &vitals);
        if (rebuilt || now.restarts() > restarts) && now.condition() == Condition::Running {
            let error = vitals.last_exit().map(|exit| exit.error).unwrap_or_default();
            let what = if rebuilt { format!("{error}; the instance was rebuilt") } else { error };
            let took = if rebuilt { begun.elapsed() } else { now.recovery().map_or(begun.elapsed(), |(last, _)| last) };
            return Ok(report(what, Some(if fault == Fault::Hang { begun.elapsed() } else { took })));
        }
    }
    let error = vitals.last_exit().map_or_else(|| "nothing".to_owned(), |exit| exit.error);
    Ok(report(format!("{error}; not back within {} s", PATIENCE.as_secs()), None))
}
