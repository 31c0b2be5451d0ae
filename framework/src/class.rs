//! What the author of an autonomic service agent writes about its class.

use crate::event::Events;
use crate::manifest::Problem;
use crate::roles::Stop;
use actix::Recipient;
use futures_util::future::LocalBoxFuture;
use grasp::{Asa, Grasp};

/// Describes one class of autonomic service agent that a binary carries.
///
/// A manifest names the class in `[asa.<instance>] class = "..."`. Names are unique within a binary.
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

    /// Checks the effective parameters and returns every problem found; none means that an agent can start from them.
    ///
    /// `parameters` is an object with exactly the keys of [`defaults`](Self::defaults), each of the same type as its
    /// default; what is left to check are bounds and relations. The keys of the problems are relative to the
    /// parameters; the loader adds the instance and the origin.
    /// [`ParameterCheck`](crate::manifest::ParameterCheck) writes the common checks in one line each.
    fn check(&self, parameters: &serde_json::Value) -> Vec<Problem>;
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
