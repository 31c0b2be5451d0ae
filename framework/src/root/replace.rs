//! Replacement without a gap: the new one beside the old one, proven, then the old one drained (RFC 9222 section 7, RFC 8991
//! section 2.3.3).

use super::incarnation::{Blueprint, Incarnation, Kit};
use super::instance::Instance;
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
            let (from, active) = (old.class.version().to_owned(), old.activity.is_active());
            let limit = Duration::from_millis(mandate.settings.healthy_ms.into());
            // It takes no requests before it has proven itself: those would be lost with it.
            let blueprint = Blueprint { mandate, limit: Some(limit), ..instance.blueprint(class, false, seed) };
            Ok((from, active, limit, blueprint))
        });
        let (from, active, limit, blueprint) = match begun {
            Ok(begun) => begun,
            Err(failure) => return Box::pin(fut::ready(Err(failure))),
        };
        let name = name.to_owned();
        let begun = Instant::now();
        let proven =
            async move { proven(kit, blueprint, active, begun + limit).await.map(|new| (new, begun.elapsed())) };
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
        let stopping = self.stopping;
        let runs = |instance: &&mut Instance| !stopping && instance.phase >= Phase::Instantiated;
        let Some(instance) = self.instances.get_mut(&name).filter(runs) else {
            self.release(&name);
            let message = Failure::new(FailureCode::Failed, format!("{name} has been ended meanwhile"));
            return Box::pin(async move { new.take_down(false).await }.into_actor(self).map(|(), _, _| Err(message)));
        };
        // It may have been set down, or have failed and been built anew, while the new one was proven.
        if instance.phase == Phase::Instantiated {
            new.set_active(false);
        }
        (instance.class, instance.mandate) = (Some(new.class), new.mandate.clone());
        instance.error = None;
        let old = self.put_in_place(&name, new, ctx);
        self.offer_description(&name, ctx);
        let drained = async move {
            let Some(old) = old else { return 0 };
            // Its objectives stay announced: the new one listens already.
            let abandoned = old.retire(Duration::from_millis(old.mandate.settings.drain_ms.into())).await;
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

/// Builds it and lets it prove itself, first beside the work and then at it.
async fn proven(kit: Kit, blueprint: Blueprint, active: bool, deadline: Instant) -> Result<Incarnation, String> {
    let drain = Duration::from_millis(blueprint.mandate.settings.drain_ms.into());
    let new = kit.build(blueprint).await.map_err(|error| error.to_string())?;
    let mut proof = new.prove(deadline).await;
    if proof.is_ok() && active {
        new.set_active(true);
        proof = new.prove(deadline).await;
        if proof.is_err() {
            new.set_active(false);
            new.drain(drain).await;
        }
    }
    match proof {
        Ok(()) => Ok(new),
        Err(why) => {
            new.take_down(false).await;
            Err(why)
        }
    }
}
