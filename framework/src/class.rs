//! What the author of an autonomic service agent writes about its class.

use crate::control::Failure;
use crate::event::Events;
use crate::manifest::{self, Problem, is_met};
use crate::roles::{Activity, Control, Outstanding, Role};
use actix::{Message, Recipient};
use futures_util::future::LocalBoxFuture;
use grasp::{Asa, Grasp};
use serde_json::Value;
use std::any::Any;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use supervision::{Lifetime, Mailbox, Supervisor};
use tokio::sync::Semaphore;

/// Describes one class of autonomic service agent that a binary carries.
///
/// A manifest names the class in `[asa.<instance>] class = "..."`. A binary may carry several versions of a class under
/// one name; [`find_class`] chooses among them.
pub trait ClassInfo: Sync {
    /// Returns the name that manifests use: lower-case letters, digits and hyphens.
    fn name(&self) -> &'static str;

    /// Returns the version of the class as `major.minor.patch`.
    fn version(&self) -> &'static str;

    /// Returns one line for people: what an agent of this class does.
    fn summary(&self) -> &'static str;

    /// Returns the default parameters as the text of a TOML table, each key with its reason in a comment.
    ///
    /// The keys and types found here are the only ones that a manifest may give. The text is part of the binary, so a
    /// text that is not TOML is reported as a problem of the class and never panics.
    fn defaults(&self) -> &'static str;

    /// Returns the roles that an instance can have (RFC 9222 section 3), the one by default first; none if the class
    /// knows only one.
    fn roles(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the names of the objectives that an instance takes part in and that a manifest may choose among; none
    /// if there is nothing to choose.
    fn objectives(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks the effective parameters and returns every problem found; none means that an agent can start from them.
    ///
    /// `parameters` is an object with exactly the keys of [`defaults`](Self::defaults), each of the same type as its
    /// default; what is left to check are bounds and relations. The keys of the problems are relative to the
    /// parameters; the loader adds the instance and the origin.
    /// [`ParameterCheck`](crate::manifest::ParameterCheck) writes the common checks in one line each.
    fn check(&self, parameters: &Value) -> Vec<Problem>;
}

/// Returns the class of this name with the highest version that meets the requirement: `*`, or the leading parts of a
/// version such as `1.2`.
///
/// Of two equal versions the first is taken, and a version with a suffix, such as `1.0.0-rc1`, stands below the one without.
#[must_use]
pub fn find_class<'a, C: ClassInfo + ?Sized>(classes: &[&'a C], name: &str, requirement: &str) -> Option<&'a C> {
    let fits = |class: &&&C| class.name() == name && is_met(requirement, class.version());
    // The last of equals wins in `max_by_key`.
    classes.iter().rev().filter(fits).max_by_key(|class| version_order(class.version())).copied()
}

/// Returns what versions are ordered by.
pub(crate) fn version_order(version: &str) -> (Vec<u64>, bool, &str) {
    let end = version.find(['-', '+']).unwrap_or(version.len());
    let (numbers, suffix) = version.split_at(end);
    let numbers = numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    (numbers, !suffix.starts_with('-'), suffix)
}

/// A class that can be brought to life.
pub trait Class: ClassInfo {
    /// Registers an instance with GRASP and starts its roles, in the order in which they depend on each other: pool,
    /// delegator, negotiator, flooder.
    ///
    /// The parameters of the mandate have passed [`ClassInfo::check`]. The future ends when everything is registered; its
    /// error is that of the call that failed, and what was started until then is stopped by the caller.
    fn assemble(&self, site: Site) -> LocalBoxFuture<'static, Result<Agent, grasp::Error>>;
}

/// The operator's order to an instance (RFC 9222 section 7.2): what to be, with which parameters, in charge of what.
#[derive(Debug, Clone, PartialEq)]
pub struct Mandate {
    /// Name of the instance, unique in the node.
    pub instance: String,
    /// What the manifest says about it.
    pub settings: manifest::Instance,
    /// Where it keeps its state; `None` if it keeps none.
    pub state_directory: Option<PathBuf>,
}

impl Mandate {
    /// The parameters as a class wants them.
    ///
    /// # Errors
    ///
    /// `#03` if they are not those of the class: they have been checked, so this tells of a defect, not of a bad manifest.
    pub fn parameters<T: serde::de::DeserializeOwned>(&self) -> Result<T, grasp::Error> {
        serde_json::from_value(Value::Object(self.settings.parameters.clone()))
            .map_err(|error| grasp::Error::new(grasp::ErrorCode::Unspecified, format!("unusable parameters: {error}")))
    }
}

/// Where an instance lives, and what it starts its roles with.
#[derive(Clone)]
pub struct Site {
    /// The node.
    pub grasp: Grasp,
    /// What it is to be.
    pub mandate: Arc<Mandate>,
    /// Takes what it has to tell.
    pub events: Events,
    /// Whether it is to work now; roles begin so and follow it.
    pub activity: Activity,
    /// For everything random in the instance.
    pub seed: [u8; 32],
    /// Lets one incarnation at a time use the instance's store.
    pub store: Arc<Semaphore>,
    /// The name that this incarnation registers with GRASP.
    pub(crate) registered: String,
    pub(crate) belongings: Belongings,
    pub(crate) supervisor: Supervisor,
    pub(crate) roles: Rc<RefCell<Vec<RoleHandle>>>,
}

/// What belongs to an instance, each kind of thing once.
#[derive(Clone, Default)]
pub(crate) struct Belongings(Arc<Mutex<Vec<Arc<dyn Any + Send + Sync>>>>);

impl Belongings {
    fn get_or_make<T: Any + Send + Sync, E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.iter().find_map(|thing| thing.clone().downcast::<T>().ok()) {
            return Ok(found);
        }
        let made = Arc::new(make()?);
        all.push(made.clone());
        Ok(made)
    }

    /// Lets go of everything; what an incarnation still holds lives on with it.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        drop(all);
    }
}

/// What the root of a node asks of a role.
#[derive(Clone)]
pub(crate) struct RoleHandle {
    pub(crate) control: Recipient<Control>,
    pub(crate) load: Recipient<Outstanding>,
}

impl Site {
    /// Name of the instance.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.mandate.instance
    }

    /// Registers the instance with GRASP. The name differs from one incarnation to the next, so that a new one can stand
    /// beside the old one (RFC 8991 section 2.3.3).
    ///
    /// # Errors
    ///
    /// `#04` registry full.
    pub async fn register(&self) -> Result<Asa, grasp::Error> {
        self.grasp.register_asa(&self.registered).await
    }

    /// What belongs to the instance and not to one of its incarnations, such as an opened store: made by the first that asks, and
    /// the same for all that follow, until the instance is uninstalled.
    ///
    /// # Errors
    ///
    /// Those of `make`; the next one that asks tries again.
    pub fn belonging<T: Any + Send + Sync, E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        self.belongings.get_or_make(make)
    }

    /// Starts a role under guard; its address stays valid over restarts. `make` runs on the instance's thread.
    pub fn role<A: Role>(&self, name: &str, make: impl FnOnce(Mailbox<A>) -> A + Send + 'static) -> Mailbox<A> {
        let role = self.supervisor.child(name, Lifetime::Permanent, make);
        let handle = RoleHandle { control: role.recipient(), load: role.recipient() };
        self.roles.borrow_mut().push(handle);
        role
    }
}

/// What an operator asks of an instance itself, in words that its class knows; the answer goes back to the operator as it is.
///
/// Whoever may speak with the node may send anything: what is not understood is answered with
/// [`FailureCode::Malformed`](crate::control::FailureCode::Malformed).
#[derive(Debug, Clone, PartialEq, Message)]
#[rtype(result = "Result<Value, Failure>")]
pub struct Query(pub Value);

/// A running instance: what it is registered as, what it says about itself, and who answers operators for it.
pub struct Agent {
    pub(crate) asa: Asa,
    pub(crate) desk: Option<Recipient<Query>>,
    pub(crate) description: Description,
}

/// What an instance says about itself beyond its mandate (RFC 9222 section 7.2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The objectives that it takes part in.
    pub objectives: Vec<String>,
    /// What it measures.
    pub metrics: Vec<String>,
    /// What it can be told to do.
    pub actions: Vec<String>,
}

impl Agent {
    /// An instance registered so.
    #[must_use]
    pub fn new(asa: Asa) -> Self {
        Self { asa, desk: None, description: Description::default() }
    }

    /// Adds the role that answers what operators ask of the instance itself.
    #[must_use]
    pub fn desk(mut self, desk: Recipient<Query>) -> Self {
        self.desk = Some(desk);
        self
    }

    /// Adds what it says about itself.
    #[must_use]
    pub fn described(mut self, description: Description) -> Self {
        self.description = description;
        self
    }
}
