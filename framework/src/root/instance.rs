//! What the root knows of one instance.

use super::incarnation::{Blueprint, Incarnation};
use super::{Fallen, Root};
use crate::class::{Belongings, Class, Mandate};
use crate::control::Failure;
use crate::lifecycle::Phase;
use crate::manifest::{Manifest, State};
use actix::prelude::*;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// An instance, running or not.
pub(super) struct Instance {
    pub(super) mandate: Arc<Mandate>,
    /// Known once it is installed.
    pub(super) class: Option<&'static dyn Class>,
    pub(super) phase: Phase,
    pub(super) wanted: Phase,
    pub(super) operation: Option<&'static str>,
    pub(super) current: Option<Incarnation>,
    pub(super) incarnations: u64,
    /// Promises that were outstanding when it last ran in this process.
    pub(super) promises: Option<usize>,
    /// Why it is not where it should be.
    pub(super) error: Option<String>,
    pub(super) store: Arc<Semaphore>,
    pub(super) belongings: Belongings,
}

impl From<State> for Phase {
    fn from(state: State) -> Self {
        match state {
            State::Installed => Self::Installed,
            State::Instantiated => Self::Instantiated,
            State::Operational => Self::Operational,
        }
    }
}

/// Why an instance cannot be built, for the operator: what the class has to say does not need the code of RFC 8991 for that.
pub(super) fn told(error: &grasp::Error) -> String {
    let plain = error.code == grasp::ErrorCode::Unspecified && !error.detail.is_empty();
    if plain { error.detail.clone() } else { error.to_string() }
}

/// What a manifest says about one of its instances.
pub(super) fn mandate(manifest: &Manifest, name: &str) -> Option<Mandate> {
    let settings = manifest.asa.get(name)?.clone();
    let state_directory = manifest.state_directory(name);
    Some(Mandate { instance: name.to_owned(), settings, state_directory })
}

impl Instance {
    pub(super) fn new(mandate: Mandate) -> Self {
        let wanted = mandate.settings.state.into();
        Self {
            mandate: Arc::new(mandate),
            class: None,
            phase: Phase::Undeployed,
            wanted,
            operation: None,
            current: None,
            incarnations: 0,
            promises: None,
            error: None,
            store: Arc::new(Semaphore::new(1)),
            belongings: Belongings::default(),
        }
    }

    /// What its next incarnation is built from.
    pub(super) fn blueprint(&mut self, class: &'static dyn Class, active: bool, seed: [u8; 32]) -> Blueprint {
        self.incarnations += 1;
        let (mandate, number, store) = (self.mandate.clone(), self.incarnations, self.store.clone());
        Blueprint { class, mandate, number, active, seed, store, belongings: self.belongings.clone(), limit: None }
    }
}

impl Root {
    /// Enters an instance of the manifest that is not known yet.
    pub(super) fn enter(&mut self, name: &str) {
        let Some(mandate) = mandate(self.manifest(), name) else { return };
        self.instances.entry(name.to_owned()).or_insert_with(|| Instance::new(mandate));
    }

    /// Releases the claim on an instance.
    pub(super) fn release(&mut self, name: &str) {
        if let Some(instance) = self.instances.get_mut(name) {
            instance.operation = None;
        }
    }

    /// Puts an incarnation in its place; one that has given up meanwhile is seen to at once.
    pub(super) fn put_in_place(
        &mut self,
        name: &str,
        built: Incarnation,
        ctx: &mut Context<Self>,
    ) -> Option<Incarnation> {
        let Some(instance) = self.instances.get_mut(name) else { return Some(built) };
        if built.word.borrow().is_some() {
            // Its thread, if it is blocked, has been counted.
            ctx.notify(Fallen { instance: name.to_owned(), number: built.number, blocked: false });
        }
        instance.current.replace(built)
    }

    /// Takes down what runs of an instance, and builds it anew as it was.
    pub(super) fn rebuild(&mut self, name: &str, why: String, blocked: bool, ctx: &mut Context<Self>) {
        let (seed, kit) = (self.seed(), self.kit(ctx));
        let Some(instance) = self.instances.get_mut(name) else { return };
        let Some(old) = instance.current.take() else { return };
        let active = old.activity.is_active();
        let (class, phase) = (old.class, instance.phase);
        if blocked {
            // The old incarnation will never give it back.
            instance.store = Arc::new(Semaphore::new(1));
        }
        let blueprint = instance.blueprint(class, active, seed);
        // While it is being replaced, it belongs to whoever replaces it.
        let claimed = instance.operation.is_none();
        if claimed {
            instance.operation = Some("rebuild");
        }
        instance.error = Some(why);
        let name = name.to_owned();
        let rebuilt = async move {
            old.take_down(blocked).await;
            kit.build(blueprint).await
        };
        ctx.spawn(rebuilt.into_actor(self).map(move |built, root, ctx| {
            if claimed {
                root.release(&name);
            }
            let instance = root.instances.get_mut(&name);
            // Something else may run in its place by now, or nothing may be wanted any more.
            let wanted = instance.filter(|one| one.current.is_none() && one.phase == phase && !root.stopping);
            match (built, wanted) {
                (Ok(incarnation), Some(instance)) => {
                    instance.error = None;
                    root.put_in_place(&name, incarnation, ctx);
                    root.offer_description(&name, ctx);
                }
                (Ok(incarnation), None) => {
                    ctx.spawn(async move { incarnation.take_down(false).await }.into_actor(root));
                }
                (Err(error), Some(instance)) => {
                    tracing::error!(asa = name, %error, "cannot be rebuilt");
                    instance.phase = Phase::Installed;
                    instance.error = Some(told(&error));
                    root.retry_later(&name, ctx);
                }
                (Err(_), None) => {}
            }
        }));
    }

    /// Takes down what runs of an instance that nothing can help: nobody is to find it, or to wait for it.
    pub(super) fn give_up(&mut self, name: &str, why: String, blocked: bool, ctx: &mut Context<Self>) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let Some(old) = instance.current.take() else { return };
        (instance.phase, instance.error) = (instance.phase.min(Phase::Installed), Some(why));
        ctx.spawn(async move { old.take_down(blocked).await }.into_actor(self));
    }

    /// An instance that could not be brought where it is wanted is brought there after a pause.
    pub(super) fn retry_later(&mut self, name: &str, ctx: &mut Context<Self>) {
        let name = name.to_owned();
        let pause = self.manifest().supervision.longest_pause_ms;
        ctx.run_later(std::time::Duration::from_millis(pause.into()), move |root, ctx| {
            let waiting = root.instances.get(&name).is_some_and(|one| one.phase != one.wanted && one.error.is_some());
            if waiting && !root.stopping {
                let brought = ctx.address().send(super::Bring { instance: name.clone() });
                ctx.spawn(brought.into_actor(root).map(move |result, root: &mut Self, ctx| {
                    if !matches!(result, Ok(Ok(()))) {
                        root.retry_later(&name, ctx);
                    }
                }));
            }
        });
    }

    /// Notes why an operation failed.
    pub(super) fn failed(&mut self, name: &str, failure: &Failure) {
        if let Some(instance) = self.instances.get_mut(name) {
            instance.error = Some(failure.message.clone());
        }
    }
}
