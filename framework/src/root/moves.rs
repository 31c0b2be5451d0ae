//! The moves of RFC 9222 section 7, carried out.

use super::incarnation::Blueprint;
use super::instance::mandate;
use super::{Root, Work, state_directory};
use crate::control::{Failure, FailureCode, MoveReport};
use crate::lifecycle::{Move, Phase};
use actix::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

impl Root {
    /// Moves an instance one step.
    pub(super) fn step(
        &mut self,
        name: &str,
        step: Move,
        force: bool,
        purge: bool,
        ctx: &mut Context<Self>,
    ) -> Work<MoveReport> {
        if step == Move::Install && !self.instances.contains_key(name) {
            self.enter(name);
        }
        let begun = self.instance(name).map(|instance| instance.phase).and_then(|phase| {
            let to =
                step.from(phase).map_err(|illegal| Failure::new(FailureCode::Refused, format!("{name}: {illegal}")))?;
            self.claim(name, operation(step)).map(|_| to)
        });
        let to = match begun {
            Ok(to) => to,
            Err(failure) => return Box::pin(fut::ready(Err(failure))),
        };
        let work = match step {
            Move::Install => self.install(name),
            Move::Instantiate => self.instantiate(name, ctx),
            Move::Activate | Move::Deactivate => self.set_active(name, step == Move::Activate),
            Move::Revoke => self.revoke(name),
            Move::Uninstall => self.uninstall(name, force, purge),
        };
        let name = name.to_owned();
        Box::pin(work.map(move |result, root: &mut Self, ctx| {
            root.release(&name);
            if let Err(failure) = &result {
                // What is refused leaves everything as it was.
                if failure.code == FailureCode::Failed {
                    root.failed(&name, failure);
                }
            } else if let Some(instance) = root.instances.get_mut(&name) {
                // The operator's last word counts; on the way to where an instance is wanted it says no less.
                let up = to > instance.phase;
                instance.wanted = if up { instance.wanted.max(to) } else { instance.wanted.min(to) };
                (instance.phase, instance.error) = (to, None);
                tracing::info!(asa = name, phase = %to, "{step}");
                root.offer_description(&name, ctx);
            }
            result.map(|report| MoveReport { phase: to, step, instance: name, ..report })
        }))
    }

    /// The class must be there in a version that will do; then the mandate has been checked with it.
    fn install(&mut self, name: &str) -> Work<MoveReport> {
        let fresh = mandate(self.manifest(), name);
        let result = match fresh {
            None => Err(Failure::new(FailureCode::Unknown, format!("the manifest has no asa.{name}"))),
            Some(mandate) => self.class(&mandate.settings.class, &mandate.settings.version).and_then(|class| {
                let instance = self.instance(name)?;
                (instance.class, instance.mandate) = (Some(class), Arc::new(mandate));
                Ok(report(Move::Install))
            }),
        };
        Box::pin(fut::ready(result))
    }

    fn instantiate(&mut self, name: &str, ctx: &mut Context<Self>) -> Work<MoveReport> {
        let (seed, kit) = (self.seed(), self.kit(ctx));
        let blueprint = self.instance(name).and_then(|instance| {
            let class = instance.class.ok_or_else(|| Failure::new(FailureCode::Failed, "its class is unknown"))?;
            let limit = Some(Duration::from_millis(instance.mandate.settings.healthy_ms.into()));
            Ok(Blueprint { limit, ..instance.blueprint(class, false, seed) })
        });
        let name = name.to_owned();
        let owner = name.clone();
        let built = async move {
            let blueprint = blueprint?;
            prepare(blueprint.mandate.state_directory.clone(), owner).await?;
            kit.build(blueprint).await.map_err(|error| Failure::new(FailureCode::Failed, super::instance::told(&error)))
        };
        Box::pin(built.into_actor(self).then(move |built: Result<_, Failure>, root: &mut Self, ctx| {
            let unwanted = match built {
                Ok(built) if root.stopping => Some(built),
                Ok(built) => root.put_in_place(&name, built, ctx),
                Err(failure) => return Box::pin(fut::ready(Err(failure))) as Work<MoveReport>,
            };
            let stopping = root.stopping;
            let ended = async move {
                if let Some(unwanted) = unwanted {
                    unwanted.take_down(false).await;
                }
                if stopping {
                    Err(Failure::new(FailureCode::Failed, "the node is stopping"))
                } else {
                    Ok(report(Move::Instantiate))
                }
            };
            Box::pin(ended.into_actor(root))
        }))
    }

    fn set_active(&mut self, name: &str, active: bool) -> Work<MoveReport> {
        let set = self.instance(name).and_then(|instance| {
            let current =
                instance.current.as_ref().ok_or_else(|| Failure::new(FailureCode::Failed, "it does not run"))?;
            current.set_active(active);
            Ok(report(Move::Activate))
        });
        Box::pin(fut::ready(set))
    }

    /// Lets the work in hand end, within the time for it, and takes the instance down.
    fn revoke(&mut self, name: &str) -> Work<MoveReport> {
        let current = self.instance(name).map(|instance| {
            (instance.current.take(), Duration::from_millis(instance.mandate.settings.drain_ms.into()))
        });
        let name = name.to_owned();
        let revoked = async move {
            let (Some(current), limit) = current? else { return Ok((0, None)) };
            let abandoned = current.drain(limit).await;
            let promises = current.load().await.promises;
            current.take_down(false).await;
            Ok((abandoned, Some(promises)))
        };
        Box::pin(revoked.into_actor(self).map(move |revoked: Result<_, Failure>, root: &mut Self, _| {
            let (abandoned, promises) = revoked?;
            if let Some(promises) = promises {
                root.instance(&name)?.promises = Some(promises);
            }
            Ok(MoveReport { abandoned, ..report(Move::Revoke) })
        }))
    }

    /// Refuses while promises are outstanding, since whoever got them would lose their footing (RFC 9222 section 7.4).
    fn uninstall(&mut self, name: &str, force: bool, purge: bool) -> Work<MoveReport> {
        let checked = self.instance(name).and_then(|instance| {
            let promises = instance.promises.unwrap_or_default();
            let directory = instance.mandate.state_directory.as_deref();
            if instance.promises.is_none() && !force && directory.is_some_and(state_directory::is_kept) {
                let message = format!(
                    "{name} has state of an earlier time that nobody has looked at, and promises may be in it; instantiate and \
                     revoke it first, or force it"
                );
                return Err(Failure::new(FailureCode::Refused, message));
            }
            if promises > 0 && !force {
                let message = format!(
                    "{name} has {promises} promises outstanding to others; have them returned first, or force it"
                );
                return Err(Failure::new(FailureCode::Refused, message));
            }
            // Closed before they are removed.
            instance.belongings.clear();
            Ok((promises, instance.mandate.state_directory.clone()))
        });
        let owner = name.to_owned();
        let removed = async move {
            let (promises, directory) = checked?;
            let purged = match directory.filter(|_| purge) {
                Some(directory) => purge_all(directory, owner).await?,
                None => Vec::new(),
            };
            Ok(MoveReport { promises, purged, ..report(Move::Uninstall) })
        };
        let name = name.to_owned();
        Box::pin(removed.into_actor(self).map(move |removed: Result<MoveReport, Failure>, root: &mut Self, _| {
            if removed.is_ok()
                && let Ok(instance) = root.instance(&name)
            {
                (instance.promises, instance.class) = (None, None);
            }
            removed
        }))
    }
}

fn operation(step: Move) -> &'static str {
    match step {
        Move::Install => "install",
        Move::Instantiate => "instantiate",
        Move::Activate => "activate",
        Move::Deactivate => "deactivate",
        Move::Revoke => "revoke",
        Move::Uninstall => "uninstall",
    }
}

fn report(step: Move) -> MoveReport {
    let (instance, purged) = (String::new(), Vec::new());
    MoveReport { instance, step, phase: Phase::Undeployed, abandoned: 0, promises: 0, purged }
}

/// Removes an instance's state and keys.
async fn purge_all(directory: PathBuf, instance: String) -> Result<Vec<String>, Failure> {
    let shown = directory.display().to_string();
    let removed = tokio::task::spawn_blocking(move || state_directory::purge(&directory, &instance)).await;
    let removed = removed.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    removed.map_err(|error| Failure::new(FailureCode::Failed, format!("cannot purge {shown}: {error}")))
}

/// Makes the directory where an instance keeps its state, if it keeps any.
async fn prepare(directory: Option<PathBuf>, instance: String) -> Result<(), Failure> {
    let Some(directory) = directory else { return Ok(()) };
    let shown = directory.display().to_string();
    let made = tokio::task::spawn_blocking(move || state_directory::make(&directory, &instance)).await;
    let made = made.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    made.map_err(|error| Failure::new(FailureCode::Failed, format!("cannot use {shown} for its state: {error}")))
}
