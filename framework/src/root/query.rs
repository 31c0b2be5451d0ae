//! What operators ask of an instance itself: handed to its desk, and the answer handed back.

use super::{Root, Work};
use crate::class::Query;
use crate::control::{Failure, FailureCode};
use actix::prelude::*;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Longest that a desk may take: a client may have to wait until others have been asked.
const LIMIT: Duration = Duration::from_secs(120);

impl Root {
    /// Asks the instance, or the only one that answers queries if its name is empty.
    pub(super) fn query(&mut self, instance: &str, query: Value) -> Work<Value> {
        let found = self.desk(instance);
        let asked = async move {
            let (name, desk) = found?;
            let failed = |why: &str| Failure::new(FailureCode::Failed, format!("{name} {why}"));
            match timeout(LIMIT, desk.send(Query(query))).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(failed("has failed over it, or is being restarted; what was asked for may be done")),
                Err(_) => {
                    let seconds = LIMIT.as_secs();
                    Err(failed(&format!("has not answered within {seconds} s; what was asked for may still be done")))
                }
            }
        };
        Box::pin(asked.into_actor(self))
    }

    /// Who answers for an instance, with its name.
    fn desk(&mut self, name: &str) -> Result<(String, Recipient<Query>), Failure> {
        if name.is_empty() {
            return self.only_desk();
        }
        let instance = self.instance(name)?;
        let Some(current) = &instance.current else {
            let why = instance.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            let message = format!("{name} is {}{why}: it answers queries once it is instantiated", instance.phase);
            return Err(Failure::new(FailureCode::Refused, message));
        };
        let class = current.class.name();
        let desk = current.desk.clone().ok_or_else(|| {
            Failure::new(FailureCode::Refused, format!("{name} is a {class}, and that class answers no queries"))
        })?;
        Ok((name.to_owned(), desk))
    }

    fn only_desk(&self) -> Result<(String, Recipient<Query>), Failure> {
        let desk = |(name, instance): (&String, &super::Instance)| {
            Some((name.clone(), instance.current.as_ref()?.desk.clone()?))
        };
        let mut desks: Vec<_> = self.instances.iter().filter_map(desk).collect();
        if desks.len() > 1 {
            let names: Vec<&str> = desks.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("{} answer queries: say which one is meant with `instance`", names.join(", "));
            return Err(Failure::new(FailureCode::Refused, message));
        }
        desks.pop().ok_or_else(|| {
            let idle = self.instances.iter().filter(|(_, instance)| instance.current.is_none());
            let idle: Vec<String> = idle.map(|(name, instance)| format!("{name} is {}", instance.phase)).collect();
            let idle = if idle.is_empty() { String::new() } else { format!(" ({})", idle.join(", ")) };
            Failure::new(FailureCode::Unknown, format!("no instance that runs here answers queries{idle}"))
        })
    }
}
