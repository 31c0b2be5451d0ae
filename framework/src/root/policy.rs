//! Policy that comes through the network as a flooded objective (RFC 9222 section 4.4, RFC 8993 section 7.1).

use super::{Execute, Root};
use crate::control::Command;
use crate::manifest::FloodedPolicy;
use actix::prelude::*;
use futures_util::StreamExt;
use futures_util::stream;
use grasp::api::dump::FloodEntry;
use grasp::protocol::flood::Flooded;
use grasp::{Grasp, Objective};
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
    /// Each with the number of the word that brought it.
    by_source: BTreeMap<String, (u64, FloodedPolicy)>,
    words: u64,
    pub(super) ignored: u64,
    pending: bool,
}

impl Policies {
    pub(super) fn all(&self) -> Vec<FloodedPolicy> {
        self.by_source.values().map(|(_, policy)| policy.clone()).collect()
    }

    /// Forgets what a word has brought unless a later one has confirmed it; tells whether it did.
    fn expire(&mut self, from: &str, word: u64) -> bool {
        let due = self.by_source.get(from).is_some_and(|(brought, _)| *brought == word);
        due && self.by_source.remove(from).is_some()
    }

    /// Takes a copy; tells whether it says anything new.
    fn take(&mut self, copy: &Flooded, from: &str) -> bool {
        self.words += 1;
        let value = copy.objective.value.as_ref().and_then(|value| value.decode::<serde_json::Value>().ok());
        let Some(settings) = value.filter(serde_json::Value::is_object) else {
            self.ignored += 1;
            return false;
        };
        let policy = FloodedPolicy { objective: copy.objective.name.clone(), from: from.to_owned(), settings };
        if let Some((brought, known)) = self.by_source.get_mut(from)
            && *known == policy
        {
            *brought = self.words;
            return false;
        }
        if self.by_source.len() >= SOURCES && !self.by_source.contains_key(from) {
            self.ignored += 1;
            return false;
        }
        self.by_source.insert(from.to_owned(), (self.words, policy));
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
                let grasp = asa.grasp().clone();
                let copies = stream::unfold((copies, asa), |(mut copies, asa)| async move {
                    let copy: Flooded = copies.recv().await?;
                    Some((copy, (copies, asa)))
                });
                let words = stream::iter(known).chain(copies).then(move |copy| {
                    let grasp = grasp.clone();
                    async move {
                        let from = source(&grasp, &copy).await;
                        Word(copy, from)
                    }
                });
                ctx.add_stream(words);
            }
            Err(error) => tracing::warn!(objective = name, %error, "cannot listen for policy"),
        }));
    }
}

/// Who flooded a copy: its tag, else the initiator that the flood cache knows, else the interface.
async fn source(grasp: &Grasp, copy: &Flooded) -> String {
    if let Some(locator) = &copy.locator {
        return locator.locator.to_string();
    }
    let cache = grasp.flood_cache().await.unwrap_or_default();
    let same = |entry: &&FloodEntry| {
        entry.objective == copy.objective.name && entry.locator.is_none() && entry.interface == copy.link
    };
    cache.iter().find(same).map_or_else(|| format!("interface {}", copy.link), |entry| entry.origin.to_string())
}

/// A copy of the policy objective, and who flooded it.
struct Word(Flooded, String);

impl StreamHandler<Word> for Root {
    fn handle(&mut self, Word(copy, from): Word, ctx: &mut Context<Self>) {
        let new = self.policies.take(&copy, &from);
        if let Some(expires) = copy.expires {
            // A flood that is not repeated loses its force with its lifetime.
            let word = self.policies.words;
            ctx.run_later(expires.since(copy.heard), move |root, ctx| {
                if root.policies.expire(&from, word) {
                    root.apply_policy(ctx);
                }
            });
        }
        if new {
            self.apply_policy(ctx);
        }
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        // The flood cache has been restarted: listen again.
        if !self.stopping {
            ctx.run_later(Duration::from_secs(1), |root, ctx| root.listen_for_policy(ctx));
        }
    }
}

impl Root {
    /// Applies what has been flooded and what the manifest says now.
    fn apply_policy(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.policies.pending, true) {
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
}
