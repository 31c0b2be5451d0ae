//! Faults at a chosen message, and what became of those they struck.

use super::Harness;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Condition, Fault, Vitals};
use tokio::time::Instant;

const LOOK: Duration = Duration::from_millis(1);

/// A fault that waits for its moment, or has struck.
#[derive(Clone)]
pub struct Injected {
    node: String,
    instance: String,
    role: String,
    fault: Fault,
    vitals: Arc<Vitals>,
    life: u64,
    restarts: u64,
    at: Instant,
}

impl Injected {
    /// Whether the role has begun another life since, or another role bears its name.
    #[must_use]
    pub fn has_ended_a_life(&self) -> bool {
        self.vitals.restarts() > self.restarts || matches!(self.vitals.condition(), Condition::Stopped)
    }
}

/// How a role came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The number of the life that serves now; 1 again if the instance was rebuilt.
    pub life: u64,
    /// Restarting the role was not enough: the whole instance was built anew.
    pub rebuilt: bool,
    /// How the last life ended, as the supervisor saw it.
    pub error: String,
    /// Simulated time from the injection until the role served again.
    pub after: Duration,
}

impl Harness {
    /// Lets a fault strike a role at its message number `at_message` from now, counted from 1.
    ///
    /// # Panics
    ///
    /// If there is no such role.
    pub fn inject(&self, node: &str, instance: &str, role: &str, fault: Fault, at_message: u32) -> Injected {
        let tree = self.deployment(node).tree().clone();
        let found = tree.find(instance, role).filter(|_| tree.arm(instance, role, fault, at_message));
        let Some(vitals) = found else { panic!("{instance} has no role {role}\n{}", self.story()) };
        Injected {
            node: node.to_owned(),
            instance: instance.to_owned(),
            role: role.to_owned(),
            fault,
            life: vitals.life(),
            restarts: vitals.restarts(),
            vitals,
            at: Instant::now(),
        }
    }

    /// Sends a role a probe, which counts as a message.
    ///
    /// # Panics
    ///
    /// If there is no such role.
    pub fn nudge(&self, node: &str, instance: &str, role: &str) {
        let sent = self.deployment(node).tree().nudge(instance, role);
        assert!(sent, "{instance} has no role {role}\n{}", self.story());
    }

    /// Waits until the fault has struck and the role serves again, in another life or rebuilt with its instance.
    ///
    /// # Errors
    ///
    /// What was to be seen instead when `within` was over, in words, and what the nodes tell.
    pub async fn recovered(&self, fault: &Injected, within: Duration) -> Result<Recovery, String> {
        let Injected { node, instance, role, vitals, life, restarts, at, .. } = fault;
        let tree = self.deployment(node).tree().clone();
        let until = Instant::now() + within;
        loop {
            let now = tree.find(instance, role);
            let rebuilt = now.as_ref().is_some_and(|now| !Arc::ptr_eq(now, vitals));
            if let Some(now) = &now
                && (rebuilt || now.restarts() > *restarts)
                && now.condition() == Condition::Running
            {
                let error = vitals.last_exit().map(|exit| exit.error).unwrap_or_default();
                return Ok(Recovery { life: now.life(), rebuilt, error, after: at.elapsed() });
            }
            if Instant::now() >= until {
                let seen = match &now {
                    None => "is gone".to_owned(),
                    Some(now) if !rebuilt && now.life() == *life && now.condition() == Condition::Running => {
                        format!("still lives life {life}: the fault has not struck, or was survived")
                    }
                    Some(now) => format!("is {:?} in life {}", now.condition(), now.life()).to_lowercase(),
                };
                let Injected { fault, .. } = fault;
                return Err(format!(
                    "{role} of {instance} on {node} did not recover from {fault:?} within {within:?}: it {seen}\n{}",
                    self.story()
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// As [`Harness::recovered`].
    ///
    /// # Panics
    ///
    /// If it does not recover in time, with the story of what happened.
    pub async fn assert_recovers(&self, fault: &Injected, within: Duration) -> Recovery {
        self.recovered(fault, within).await.unwrap_or_else(|story| panic!("{story}"))
    }
}
