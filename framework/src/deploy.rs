//! Brings a node to life as its manifest says, and ends it.

use crate::class::Class;
use crate::control::{Command, Failure};
use crate::event::{Event, Events};
use crate::manifest::{Effective, Loaded, Manifest, Substrate};
use crate::protection::{self, Prompt, TlsFiles};
use crate::root::{Args, Begin, End, Execute, Fatal, LogLevels, NodeFailed, Reread, Root};
use actix::Recipient;
use grasp::net::Network;
use grasp::substrate::Substrate as Protection;
use grasp::{Grasp, Interfaces, NodeConfig};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use supervision::watchdog::{Round, WatchLimits, Watchdog, watch};
use supervision::{Exit, Incident, Mailbox, Observer, Tree, WeakMailbox, stand_alone};

/// How long a node waits for its interfaces before it says, again and again, that they are missing.
const LINK_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between looks at credentials that are not valid yet or any more, when a node starts.
const CREDENTIAL_LOOK: Duration = Duration::from_secs(5);
/// Pause between looks at the links meanwhile.
const LINK_LOOK: Duration = Duration::from_millis(20);
/// What belongs to the node and to no instance.
pub(crate) const NODE: &str = "node";

/// A node did not come to life.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeployError {
    /// The system does not let it listen.
    #[error("node {node} cannot listen for requests: {source}; choose another grasp.port")]
    Listen {
        /// The node.
        node: String,
        /// The system's error.
        source: Arc<std::io::Error>,
    },
    /// What protects the messages cannot be set up.
    #[error("node {node} has no substrate: {reason}")]
    Substrate {
        /// The node.
        node: String,
        /// Why, and what to do.
        reason: String,
    },
    /// An instance could not register or start.
    #[error("asa.{instance} cannot start: {reason}")]
    Instance {
        /// The instance.
        instance: String,
        /// Why.
        reason: String,
    },
    /// The system gives no thread for the watchdog.
    #[error("the watchdog cannot start: {0}")]
    Watchdog(Arc<std::io::Error>),
}

/// Hears of what happens.
pub type Hears<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// What a node is put into: its network, and what its binary and its process offer.
#[derive(Clone)]
pub struct Stage {
    /// The network.
    pub network: Arc<dyn Network>,
    /// The classes that the binary carries.
    pub classes: Arc<[&'static dyn Class]>,
    /// Takes what the node has to tell.
    pub events: Events,
    /// All actors share the current thread, as on a paused clock.
    pub simulated: bool,
    /// Where everything random in the instances begins; `None` takes it from the system.
    pub seed: Option<[u8; 32]>,
    /// Reads the manifest again.
    pub reread: Option<Reread>,
    /// Changes what is logged.
    pub levels: Option<Arc<dyn LogLevels>>,
    /// Ends the process; by default it is only logged.
    pub fatal: Fatal,
    /// Asks a person for a secret; `None` where nobody is.
    pub prompt: Option<Prompt>,
    /// Hears why the node cannot start yet, again and again until it can.
    pub on_waiting: Option<Hears<str>>,
    /// Where the actors are entered; `None` makes a tree of its own.
    pub tree: Option<Tree>,
    /// Hears of each round of the watchdog, on the watchdog's thread.
    pub on_round: Option<Hears<Round>>,
    /// Hears of each actor that ends and of what follows, on the actor's thread; must not block.
    pub on_incident: Option<Hears<Incident>>,
}

impl Stage {
    /// A stage on which nothing but the network, the classes and the events is special.
    #[must_use]
    pub fn new(network: Arc<dyn Network>, classes: &[&'static dyn Class], events: Events) -> Self {
        Self {
            network,
            classes: classes.into(),
            events,
            simulated: false,
            seed: None,
            reread: None,
            levels: None,
            fatal: Arc::new(|reason| tracing::error!(reason, "nothing here can help any more")),
            prompt: None,
            on_waiting: None,
            tree: None,
            on_round: None,
            on_incident: None,
        }
    }

    /// The same on one thread, with everything random decided by a seed: for tests, simulations and demonstrations.
    #[must_use]
    pub fn simulated(mut self, seed: [u8; 32]) -> Self {
        (self.simulated, self.seed) = (true, Some(seed));
        self
    }
}

/// A running node with its instances. Cloning gives another handle; the node runs until [`Deployment::stop`].
#[derive(Clone)]
pub struct Deployment {
    grasp: Grasp,
    name: String,
    tree: Tree,
    root: Mailbox<Root>,
    events: Events,
    guardian: Rc<Mutex<Guardian>>,
}

/// What watches the actors of a node.
enum Guardian {
    Thread { _watchdog: Watchdog },
    Task(tokio::task::JoinHandle<()>),
    Nobody,
}

impl Drop for Guardian {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

impl Deployment {
    /// Starts the node and brings all instances where the manifest wants them; returns when everything listens.
    ///
    /// `adjust` may change the node's settings before it starts, for a simulation or a test.
    ///
    /// # Errors
    ///
    /// See [`DeployError`]; nothing is left running then.
    pub async fn start(
        loaded: Loaded<Manifest>,
        stage: Stage,
        adjust: impl FnOnce(&mut NodeConfig),
    ) -> Result<Self, DeployError> {
        let Stage {
            network,
            classes,
            events,
            simulated,
            seed,
            reread,
            levels,
            fatal,
            prompt,
            tree,
            on_round,
            on_incident,
            on_waiting,
        } = stage;
        let manifest = &loaded.manifest;
        let (substrate, tls) = protect(manifest, prompt.as_ref(), on_waiting.as_ref()).await?;
        let observer: Option<Observer> =
            on_incident.map(|hears| Box::new(move |one: &Incident| hears(one)) as Observer);
        let tree = tree.unwrap_or_else(|| Tree::with(simulated, observer));
        let mut config = manifest.node_config();
        config.tree = Some(tree.clone());
        // The root comes after the node that it is told of.
        let told: Arc<OnceLock<Recipient<NodeFailed>>> = Arc::default();
        let tell = told.clone();
        config.on_failure = Some(Arc::new(move |failure| {
            if let Some(root) = tell.get() {
                root.do_send(NodeFailed(failure));
            }
        }));
        adjust(&mut config);
        let (name, expected) = (config.name.clone(), config.interfaces.clone());
        let (substrate_name, secure) = (substrate.name(), substrate.is_secure());
        let grasp = Grasp::start(config, network, substrate)
            .map_err(|error| DeployError::Listen { node: name.clone(), source: Arc::new(error) })?;
        let limits = watch_limits(manifest);
        let guardian = Rc::new(Mutex::new(Guardian::Nobody));
        let threads = manifest.supervision.threads && !simulated;
        let secured = manifest.grasp.substrate != Substrate::None;
        let args = Args {
            grasp: grasp.clone(),
            tree: tree.clone(),
            events: events.clone(),
            classes,
            loaded: Arc::new(loaded),
            threads,
            seed: seed.unwrap_or_else(rand::random),
            reread,
            levels,
            fatal: fatal.clone(),
            tls: tls.clone(),
        };
        let lost = fatal.clone();
        let on_exit = move |exit: Exit| lost(&format!("the root of the node has ended: {exit:?}"));
        let root = stand_alone(NODE, "root", &tree, on_exit, |_| Root::new(args));
        // It was empty until now.
        let _ = told.set(root.recipient());
        let deployment = Self { grasp, name: name.clone(), tree: tree.clone(), root, events, guardian };
        match watched(tree, limits, simulated, fatal, on_round) {
            Ok(watching) => *deployment.guardian() = watching,
            Err(error) => {
                deployment.stop(Duration::ZERO).await;
                return Err(DeployError::Watchdog(Arc::new(error)));
            }
        }
        if let Some(files) = tls {
            actix::spawn(look_after(files, deployment.root.downgrade()));
        }
        if secured {
            deployment.await_links(&expected).await;
        }
        if let Ok(Err((instance, failure))) = deployment.root.send(Begin).await {
            deployment.stop(Duration::ZERO).await;
            return Err(DeployError::Instance { instance, reason: failure.message });
        }
        (deployment.events)(Event::Ready { node: name, substrate: substrate_name, secure });
        Ok(deployment)
    }

    /// Waits until the named interfaces are up, or after 5 s one of them; says every 5 s which are not.
    async fn await_links(&self, expected: &Interfaces) {
        let Interfaces::Named(names) = expected else {
            tokio::time::sleep(LINK_LOOK).await;
            return;
        };
        let mut remind = tokio::time::Instant::now() + LINK_PATIENCE;
        loop {
            let Ok(status) = self.grasp.status().await else { return };
            let up = |name: &&String| status.links.iter().any(|(_, link, _)| link == *name);
            let missing: Vec<&String> = names.iter().filter(|name| !up(name)).collect();
            if missing.is_empty() {
                return;
            }
            if tokio::time::Instant::now() >= remind {
                remind += LINK_PATIENCE;
                let node = &self.name;
                tracing::warn!(node, ?missing, "interfaces not there, not up, or without a link-local IPv6 address");
                // With one of several the node goes on; a missing one is used as soon as it comes.
                if missing.len() < names.len() {
                    return;
                }
            }
            tokio::time::sleep(LINK_LOOK).await;
        }
    }

    /// The node.
    #[must_use]
    pub fn grasp(&self) -> &Grasp {
        &self.grasp
    }

    /// Its actors.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Carries out what an operator wants.
    ///
    /// # Errors
    ///
    /// Why it was not done; what ran before still runs.
    pub async fn execute(&self, command: Command) -> Result<serde_json::Value, Failure> {
        self.root.send(Execute(command)).await.unwrap_or_else(|_| Err(crate::root::gone()))
    }

    /// Ends the instances and then the node: open sessions are declined, registrations withdrawn, within `limit`.
    pub async fn stop(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit.max(Duration::from_millis(100)), self.root.send(End)).await;
        self.grasp.shutdown(limit).await;
        *self.guardian() = Guardian::Nobody;
        (self.events)(Event::Stopped { node: self.name.clone() });
    }

    fn guardian(&self) -> std::sync::MutexGuard<'_, Guardian> {
        self.guardian.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets up the substrate. A node whose certificate has ended, or whose clock is not set yet, is no reason to end: it waits for a
/// certificate that is valid (RFC 8994 §6.2.5.5, §6.9.2).
async fn protect(
    manifest: &Manifest,
    prompt: Option<&Prompt>,
    on_waiting: Option<&Hears<str>>,
) -> Result<(Arc<dyn Protection>, Option<TlsFiles>), DeployError> {
    loop {
        let error = match protection::set_up(&manifest.grasp, prompt) {
            Ok(protected) => return Ok(protected),
            Err(error) => error,
        };
        let (node, reason) = (&manifest.node.name, error.to_string());
        if !error.may_pass() {
            return Err(DeployError::Substrate { node: node.clone(), reason });
        }
        tracing::error!(node, reason, "GRASP does not speak; waiting for a certificate that is valid");
        if let Some(hears) = on_waiting {
            hears(&reason);
        }
        tokio::time::sleep(CREDENTIAL_LOOK).await;
    }
}

/// Looks at the files of the credentials from time to time, as long as the node is there.
async fn look_after(files: TlsFiles, root: WeakMailbox<Root>) {
    let Some(every) = files.look_every() else { return };
    loop {
        tokio::time::sleep(every).await;
        if root.upgrade().is_none_or(|root| !root.connected()) {
            return;
        }
        let files = files.clone();
        // Files are read off this thread; that fails only while the process ends.
        if tokio::task::spawn_blocking(move || files.look()).await.is_err() {
            return;
        }
    }
}

fn watch_limits(manifest: &Manifest) -> WatchLimits {
    let supervision = &manifest.supervision;
    let millis = |ms: u32| Duration::from_millis(ms.into());
    let (every, deadline) = (millis(supervision.ping_every_ms), millis(supervision.ping_deadline_ms));
    WatchLimits { every, deadline, misses: supervision.misses }
}

/// Sets the watchdog on a tree. If what belongs to the node itself hangs, only a new process helps.
fn watched(
    tree: Tree,
    limits: WatchLimits,
    simulated: bool,
    fatal: Fatal,
    on_round: Option<Hears<Round>>,
) -> std::io::Result<Guardian> {
    let heard = move |round: &Round| {
        if let Some(on_round) = &on_round {
            on_round(round);
        }
        if !simulated && let Some((_, role)) = round.hung.iter().find(|(owner, _)| owner == NODE) {
            fatal(&format!("{role} of the node does not answer: its thread is blocked"));
        }
    };
    if simulated {
        return Ok(Guardian::Task(tokio::task::spawn_local(watch(tree, limits, heard))));
    }
    Ok(Guardian::Thread { _watchdog: Watchdog::start(tree, limits, heard)? })
}

impl From<Manifest> for Loaded<Manifest> {
    /// Settings made by a program, of which no file tells.
    fn from(manifest: Manifest) -> Self {
        Self { manifest, effective: Effective::default(), warnings: Vec::new() }
    }
}
