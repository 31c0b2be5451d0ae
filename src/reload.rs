//! Applies the manifest anew when the service manager or a person sends SIGHUP.

use std::sync::Arc;

use asa_framework::control::{ChangeKind, Command, Plan};
use asa_framework::deploy::Deployment;
use asa_framework::notify::Notifier;

use crate::run::notified;

/// Reloads beside everything else, and says in the log what came of it.
pub(crate) fn reload(deployment: &Deployment, notifier: Arc<Notifier>) {
    notified(notifier.reloading());
    let deployment = deployment.clone();
    actix::spawn(async move {
        match deployment.execute(Command::Reload { plan: false }).await.map(serde_json::from_value::<Plan>) {
            Ok(Ok(plan)) => {
                for change in &plan.changes {
                    let (what, keys) = (&change.what, change.keys.join(" "));
                    match (&change.error, change.kind) {
                        (Some(error), _) => tracing::error!(what, keys, error, "could not be changed"),
                        (None, ChangeKind::NextStart) => {
                            tracing::warn!(what, keys, "takes effect when the process is started the next time");
                        }
                        (None, kind) => tracing::info!(what, keys, "{kind:?}"),
                    }
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "the plan cannot be read"),
            Err(failure) => tracing::error!(%failure, "not reloaded"),
        }
        notified(notifier.ready("ready"));
    });
}
