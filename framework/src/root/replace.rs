//! Replacement without a gap: the new one beside the old one, proven, then the old one drained (RFC 9222 section 7, RFC 8991
//! section 2.3.3).

use super::incarnation::{Incarnation, Kit};
use super::{Root, Work};
use crate::class::{Class, Mandate};
use crate::control::{Failure, FailureCode, ReplaceReport};
use crate::lifecycle::Phase;
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Root {
    /// Puts another version in an instance's place.
    pub(super) fn replace_with(&mut self, name: &str, with: &str, ctx: &mut Context<Self>) -> Work<ReplaceReport> {
        let found = with.split_once('@').ok_or_else(|| {
            Failure::new(FailureCode::Malformed, format!("{with:?} does not name a version: write CLASS@VERSION"))
        });
        let found = found.and_then(|(class, version)| {
            let new = self.class(class, version)?;
            let mandate = self.instance(name)?.mandate.clone();
            if mandate.settings.class != class {
                let message = format!("{name} is a {}, which no {class} can stand in for", mandate.settings.class);
                return Err(Failure::new(FailureCode::Refused, message));
            }
            let parameters = serde_json::Value::Object(mandate.settings.parameters.clone());
            if let Some(problem) = new.check(&parameters).first() {
                let message = format!("its parameters do not suit {with}: {problem}");
                return Err(Failure::new(FailureCode::Refused, message));
            }
            Ok((new, mandate))
        });
        match found {
            Ok((class, mandate)) => self.succeed(name, class, mandate, ctx),
            Err(failure) => Box::pin(fut::ready(Err(failure))),
        }
    }

    /// Lets a new incarnation take over from the one that runs; if it does not become healthy, the old one carries on.
    pub(super) fn succeed(
        &mut self,
        name: &str,
        class: &'static dyn Class,
        mandate: Arc<Mandate>,
        ctx: &mut Context<Self>,
    ) -> Work<ReplaceReport> {
        let (seed, kit) = (self.seed(), self.kit(ctx));
        let begun = self.claim(name, "replace").and_then(|instance| {
            let Some(old) = instance.current.as_ref() else {
                let message = format!("{name} is {}: there is nothing to replace; instantiate it", instance.phase);
                instance.operation = None;
                return Err(Failure::new(FailureCode::Refused, message));
            };
            let (from, active) = (old.class.version().to_owned(), old.mode.is_active());
            let mut blueprint = instance.blueprint(class, active, seed);
            blueprint.mandate = mandate;
            Ok((from, blueprint))
        });
        let (from, blueprint) = match begun {
            Ok(begun) => begun,
            Err(failure) => return Box::pin(fut::ready(Err(failure))),
        };
        let name = name.to_owned();
        let limit = Duration::from_millis(blueprint.mandate.settings.healthy_ms.into());
        let begun = Instant::now();
        let proven = async move { proven(kit, blueprint, limit).await.map(|new| (new, begun.elapsed())) };
        let swapped = proven
            .into_actor(self)
            .then(move |proven, root: &mut Self, ctx| root.swap(&name, &from, proven, begun, ctx));
        Box::pin(swapped)
    }

    /// The new one has proven itself, or not.
    fn swap(
        &mut self,
        name: &str,
        from: &str,
        proven: Result<(Incarnation, Duration), String>,
        begun: Instant,
        ctx: &mut Context<Self>,
    ) -> Work<ReplaceReport> {
        let (name, from) = (name.to_owned(), from.to_owned());
        let (new, healthy_after) = match proven {
            Ok(proven) => proven,
            Err(why) => {
                self.release(&name);
                let message = format!("the new {name} did not become healthy ({why}); the old one carries on");
                tracing::warn!(asa = name, why, "replacement failed; the old one carries on");
                return Box::pin(fut::ready(Err(Failure::new(FailureCode::Failed, message))));
            }
        };
        let to = new.class.version().to_owned();
        let Some(instance) = self.instances.get_mut(&name).filter(|_| !self.stopping) else {
            let message = Failure::new(FailureCode::Failed, "the node is stopping");
            return Box::pin(async move { new.take_down(false).await }.into_actor(self).map(|(), _, _| Err(message)));
        };
        // It may have been set down, or have failed and been built anew, while the new one was proven.
        if instance.phase == Phase::Instantiated {
            new.set_active(false);
        }
        (instance.class, instance.mandate) = (Some(new.class), new.mandate.clone());
        let old = instance.current.replace(new);
        instance.error = None;
        self.offer_description(&name, ctx);
        let drained = async move {
            let Some(old) = old else { return 0 };
            // Its objectives stay announced: the new one listens already.
            old.set_active(false);
            let abandoned = old.drain(Duration::from_millis(old.mandate.settings.drain_ms.into())).await;
            old.take_down(false).await;
            abandoned
        };
        Box::pin(drained.into_actor(self).map(move |abandoned, root: &mut Self, _| {
            root.release(&name);
            tracing::info!(asa = name, from, to, "replaced");
            let millis = |time: Duration| time.as_secs_f64() * 1000.0;
            let (healthy_after_ms, drained_after_ms) = (millis(healthy_after), millis(begun.elapsed()));
            Ok(ReplaceReport { instance: name, from, to, healthy_after_ms, drained_after_ms, abandoned })
        }))
    }
}

async fn proven(kit: Kit, blueprint: super::incarnation::Blueprint, limit: Duration) -> Result<Incarnation, String> {
    let built = tokio::time::timeout(limit, kit.build(blueprint)).await;
    let new = match built {
        Ok(Ok(new)) => new,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("not assembled within {} ms", limit.as_millis())),
    };
    match new.prove(limit).await {
        Ok(()) => Ok(new),
        Err(why) => {
            new.take_down(false).await;
            Err(why)
        }
    }
}
