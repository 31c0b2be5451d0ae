//! Policy that comes through the network as a flooded objective (RFC 9222 section 4.4, RFC 8993 section 7.1).

use super::{Execute, Root};
use crate::control::Command;
use crate::manifest::FloodedPolicy;
use actix::prelude::*;
use futures_util::StreamExt;
use futures_util::stream;
use grasp::Objective;
use grasp::protocol::flood::Flooded;
use std::collections::BTreeMap;
use std::time::Duration;

/// Sources of policy that are remembered; a further one is ignored and counted.
const SOURCES: usize = 16;
/// The name that the node registers to listen for policy.
const LISTENER: &str = "node-policy";
/// Words of policy that come together lead to one reload.
const SETTLE: Duration = Duration::from_millis(200);

/// What has been flooded, by who flooded it.
#[derive(Default)]
pub(super) struct Policies {
    by_source: BTreeMap<String, FloodedPolicy>,
    pub(super) ignored: u64,
    pending: bool,
}

impl Policies {
    pub(super) fn all(&self) -> Vec<FloodedPolicy> {
        self.by_source.values().cloned().collect()
    }

    /// Takes a copy; tells whether it says anything new.
    fn take(&mut self, copy: &Flooded) -> bool {
        let from = copy.locator.as_ref().map_or_else(|| "unknown".into(), |locator| locator.locator.to_string());
        let value = copy.objective.value.as_ref().and_then(|value| value.decode::<serde_json::Value>().ok());
        let Some(settings) = value.filter(serde_json::Value::is_object) else {
            self.ignored += 1;
            return false;
        };
        let policy = FloodedPolicy { objective: copy.objective.name.clone(), from: from.clone(), settings };
        if self.by_source.get(&from) == Some(&policy) {
            return false;
        }
        if self.by_source.len() >= SOURCES && !self.by_source.contains_key(&from) {
            self.ignored += 1;
            return false;
        }
        self.by_source.insert(from, policy);
        true
    }
}

impl Root {
    /// Listens for policy, if the manifest names an objective for it.
    pub(super) fn listen_for_policy(&self, ctx: &mut Context<Self>) {
        let name = self.manifest().node.policy_objective.clone();
        if name.is_empty() || self.args.reread.is_none() {
            return;
        }
        let (grasp, objective) = (self.args.grasp.clone(), Objective::synchronization(&name));
        let watched = async move {
            let asa = grasp.register_asa(LISTENER).await?;
            // Watched first, so that what comes while the cache is read is not missed.
            let copies = asa.watch_flood(&objective).await?;
            let known = asa.get_flood(&objective).await?;
            Ok::<_, grasp::Error>((asa, known, copies))
        };
        ctx.spawn(watched.into_actor(self).map(move |watched, _, ctx| match watched {
            Ok((asa, known, copies)) => {
                // The registration lives as long as the stream.
                let copies = stream::unfold((copies, asa), |(mut copies, asa)| async move {
                    let copy: Flooded = copies.recv().await?;
                    Some((copy, (copies, asa)))
                });
                ctx.add_stream(stream::iter(known).chain(copies).map(Word));
            }
            Err(error) => tracing::warn!(objective = name, %error, "cannot listen for policy"),
        }));
    }
}

/// A copy of the policy objective.
struct Word(Flooded);

impl StreamHandler<Word> for Root {
    fn handle(&mut self, Word(copy): Word, ctx: &mut Context<Self>) {
        if !self.policies.take(&copy) || std::mem::replace(&mut self.policies.pending, true) {
            return;
        }
        ctx.run_later(SETTLE, |root, ctx| {
            root.policies.pending = false;
            let applied = ctx.address().send(Execute(Command::Reload { plan: false }));
            ctx.spawn(applied.into_actor(root).map(|applied, _, _| {
                if let Ok(Err(failure)) = applied {
                    tracing::warn!(%failure, "flooded policy could not be applied");
                }
            }));
        });
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        // The flood cache has been restarted: listen again.
        if !self.stopping {
            ctx.run_later(Duration::from_secs(1), |root, ctx| root.listen_for_policy(ctx));
        }
    }
}
