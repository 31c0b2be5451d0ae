//! What the author of an autonomic service agent writes about its class.

use crate::event::Events;
use crate::manifest::{Problem, is_met};
use crate::roles::Stop;
use actix::Recipient;
use futures_util::future::LocalBoxFuture;
use grasp::{Asa, Grasp};

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
    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem>;
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
    /// Registers an instance with GRASP and starts its roles.
    ///
    /// `parameters` have passed [`ClassInfo::check`]. The future ends when everything is registered and listens; its
    /// error is that of the call that failed.
    fn assemble(
        &self,
        site: Site,
        parameters: &serde_json::Value,
    ) -> LocalBoxFuture<'static, Result<Agent, grasp::Error>>;
}

/// Where an instance lives.
#[derive(Clone)]
pub struct Site {
    /// The node.
    pub grasp: Grasp,
    /// Name of the instance, unique in the node.
    pub instance: String,
    /// Takes what it has to tell.
    pub events: Events,
}

/// A running instance; its registrations vanish with it.
pub struct Agent {
    asa: Asa,
    roles: Vec<Recipient<Stop>>,
}

impl Agent {
    /// An instance made of these roles, which are stopped in reverse order.
    #[must_use]
    pub fn new(asa: Asa, roles: Vec<Recipient<Stop>>) -> Self {
        Self { asa, roles }
    }

    /// What the instance is registered as.
    #[must_use]
    pub fn asa(&self) -> &Asa {
        &self.asa
    }

    /// Ends the roles; their open sessions are declined.
    pub fn stop(&self) {
        for role in self.roles.iter().rev() {
            role.do_send(Stop);
        }
    }
}
