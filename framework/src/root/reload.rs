//! Applies a changed manifest to the running node: all of it is checked before anything is touched.

use super::plan::plan;
use super::{Bring, Execute, Root, Work, instance};
use crate::control::{Change, ChangeKind, Command, Failure, FailureCode, Plan};
use crate::lifecycle::{Phase, way};
use crate::manifest::{Control, Loaded, Log, Manifest, Node, Problems};
use actix::prelude::*;
use std::sync::Arc;

impl Root {
    /// Reads the manifest again; shows or applies what has changed.
    pub(super) fn reload(&mut self, only_plan: bool, ctx: &mut Context<Self>) -> Work<Plan> {
        let Some(reread) = self.args.reread.clone() else {
            let failure = Failure::new(FailureCode::Refused, "this node was not started from a manifest");
            return Box::pin(fut::ready(Err(failure)));
        };
        if self.stopping {
            return Box::pin(fut::ready(Err(Failure::new(FailureCode::Refused, "the node is stopping"))));
        }
        let address = ctx.address();
        // Files are read off this thread.
        let (flooded, tls) = (self.policies.all(), self.args.tls.clone().filter(|_| !only_plan));
        let read = tokio::task::spawn_blocking(move || {
            let loaded = reread(flooded)?;
            // Credentials are files of their own, which a manifest that is refused leaves alone.
            Ok::<_, Problems>((loaded, tls.map(|files| files.reload())))
        });
        Box::pin(read.into_actor(self).then(move |read, root: &mut Self, _| {
            let (loaded, credentials) = match read {
                Ok(Ok((loaded, credentials))) => (Arc::new(loaded), credentials),
                Ok(Err(problems)) => {
                    let message = format!("the manifest is refused and nothing has changed:\n{problems}");
                    let refused: Work<Plan> = Box::pin(fut::ready(Err(Failure::new(FailureCode::Refused, message))));
                    return refused;
                }
                Err(error) => {
                    let failure = Failure::new(FailureCode::Failed, format!("cannot read the manifest: {error}"));
                    return Box::pin(fut::ready(Err(failure)));
                }
            };
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            let changes = plan(root.manifest(), &loaded.manifest);
            if only_plan {
                return Box::pin(fut::ready(Ok(Plan { applied: false, changes })));
            }
            root.apply(&loaded, changes, address, credentials.and_then(Result::err))
        }))
    }

    /// One instance after the other; what fails is noted and does not keep the others from changing.
    fn apply(
        &mut self,
        loaded: &Arc<Loaded<Manifest>>,
        changes: Vec<Change>,
        address: Addr<Self>,
        refused: Option<String>,
    ) -> Work<Plan> {
        let before = self.loaded.clone();
        self.loaded = loaded.clone();
        if before.manifest.log.level != loaded.manifest.log.level
            && let Err(failure) = self.log_level(Some(&loaded.manifest.log.level))
        {
            tracing::warn!(%failure, "cannot change the log level");
        }
        let applied = async move {
            let refused = refused.map(|error| Change {
                what: "node".to_owned(),
                kind: ChangeKind::Changes,
                keys: vec!["grasp.tls".to_owned()],
                error: Some(error),
            });
            let mut done: Vec<Change> = refused.into_iter().collect();
            for mut change in changes {
                if change.what != "node" || !matches!(change.kind, ChangeKind::Changes | ChangeKind::NextStart) {
                    let adapted = address.send(Adapt { instance: change.what.clone(), kind: change.kind }).await;
                    change.error = adapted.unwrap_or_else(|_| Err(super::gone())).err().map(|failure| failure.message);
                }
                done.push(change);
            }
            Plan { applied: true, changes: done }
        };
        Box::pin(applied.into_actor(self).map(move |plan, root: &mut Self, _| {
            root.keep_failed(&before.manifest, &plan);
            let changes = plan.changes.len();
            let failed = plan.changes.iter().filter(|change| change.error.is_some()).count();
            if changes > 0 {
                tracing::info!(changes, failed, "the manifest has been applied");
            } else {
                tracing::info!("nothing in the manifest has changed");
            }
            Ok(plan)
        }))
    }
}

impl Root {
    /// What could not be changed yet still is what it was: the next reload finds the difference again.
    fn keep_failed(&mut self, before: &Manifest, plan: &Plan) {
        if plan.changes.iter().any(|change| change.kind == ChangeKind::NextStart) {
            let now = &mut Arc::make_mut(&mut self.loaded).manifest;
            let (drills, level) = (now.control.drills, std::mem::take(&mut now.log.level));
            now.control = Control { drills, ..before.control.clone() };
            now.log = Log { level, ..before.log.clone() };
            (now.supervision, now.grasp) = (before.supervision.clone(), before.grasp.clone());
            // Where instances keep their state is theirs to change.
            let state_directory = std::mem::take(&mut now.node.state_directory);
            now.node = Node { state_directory, ..before.node.clone() };
        }
        for change in plan.changes.iter().filter(|change| change.error.is_some()) {
            let asa = &mut Arc::make_mut(&mut self.loaded).manifest.asa;
            match before.asa.get(&change.what) {
                Some(was) => drop(asa.insert(change.what.clone(), was.clone())),
                None => drop(asa.remove(&change.what)),
            }
            if let Some(instance) = self.instances.get_mut(&change.what) {
                instance.error.clone_from(&change.error);
            }
        }
    }
}

/// Makes one instance what the manifest says now.
#[derive(Message)]
#[rtype(result = "Result<(), Failure>")]
struct Adapt {
    instance: String,
    kind: ChangeKind,
}

impl Handler<Adapt> for Root {
    type Result = ResponseActFuture<Self, Result<(), Failure>>;

    fn handle(&mut self, Adapt { instance: name, kind }: Adapt, ctx: &mut Context<Self>) -> Self::Result {
        let address = ctx.address();
        match kind {
            ChangeKind::NextStart => Box::pin(fut::ready(Ok(()))),
            ChangeKind::Starts => {
                self.enter(&name);
                let brought =
                    async move { address.send(Bring { instance: name }).await.unwrap_or_else(|_| Err(super::gone())) };
                Box::pin(brought.into_actor(self))
            }
            ChangeKind::Stops => {
                let phase = self.instances.get(&name).map_or(Phase::Undeployed, |instance| instance.phase);
                let moves = way(phase, Phase::Undeployed);
                let known = name.clone();
                let stopped = async move {
                    for step in moves {
                        // What it has promised stays promised; it only does not run here any more.
                        let command = Command::Move { step, instance: name.clone(), force: true, purge: false };
                        address.send(Execute(command)).await.unwrap_or_else(|_| Err(super::gone()))?;
                    }
                    Ok(())
                };
                Box::pin(stopped.into_actor(self).map(move |result, root: &mut Self, _| {
                    if result.is_ok() {
                        root.instances.remove(&known);
                    }
                    result
                }))
            }
            ChangeKind::Changes | ChangeKind::Restarts => self.adapt(&name, kind, ctx),
        }
    }
}

impl Root {
    fn adapt(
        &mut self,
        name: &str,
        kind: ChangeKind,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, Result<(), Failure>> {
        let Some(mandate) = instance::mandate(self.manifest(), name) else {
            return Box::pin(fut::ready(Ok(())));
        };
        let mandate = Arc::new(mandate);
        let found = self.class(&mandate.settings.class, &mandate.settings.version);
        let prepared = found.and_then(|class| {
            let instance = self.instance(name)?;
            // What the operator has done by hand stands until the manifest says something else about it.
            if instance.mandate.settings.state != mandate.settings.state {
                instance.wanted = mandate.settings.state.into();
            }
            Ok((class, instance.current.is_some()))
        });
        let (class, runs) = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return Box::pin(fut::ready(Err(failure))),
        };
        let (address, known) = (ctx.address(), name.to_owned());
        let bring = move |_: &mut Self| async move {
            address.send(Bring { instance: known }).await.unwrap_or_else(|_| Err(super::gone()))
        };
        if runs && kind == ChangeKind::Restarts {
            let replaced = self.succeed(name, class, mandate, ctx);
            return Box::pin(replaced.then(move |replaced, root: &mut Self, _| {
                let brought = bring(root);
                async move {
                    replaced?;
                    brought.await
                }
                .into_actor(root)
            }));
        }
        if let Some(instance) = self.instances.get_mut(name) {
            instance.mandate = mandate;
            if !runs {
                instance.class = instance.class.and(Some(class));
            }
        }
        let brought = bring(self);
        Box::pin(brought.into_actor(self))
    }
}
