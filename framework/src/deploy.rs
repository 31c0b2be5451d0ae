//! Brings a node to life as its manifest says, and ends it.

use crate::class::{Agent, Class, Site, find_class};
use crate::event::{Event, Events};
use crate::manifest::{Manifest, State, Substrate};
use grasp::net::Network;
use grasp::protocol::discovery::{DiscoveryConfig, DiscoverySettings};
use grasp::protocol::flood::FloodConfig;
use grasp::protocol::rate::RelayRate;
use grasp::protocol::registry::RegistryLimits;
use grasp::substrate::{InsecureLab, Substrate as Protection, Unprotected};
use grasp::{Grasp, Interfaces, NodeConfig};
use std::sync::Arc;
use std::time::Duration;

/// How long a node waits for its interfaces before it says, again and again, that they are missing.
const LINK_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between looks at the links meanwhile.
const LINK_LOOK: Duration = Duration::from_millis(20);

/// A node did not come to life.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The system does not let it listen.
    #[error("node {node} cannot listen for requests: {source}; choose another grasp.port")]
    Listen {
        /// The node.
        node: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// An instance could not register or start.
    #[error("asa.{instance} cannot start: {source}")]
    Instance {
        /// The instance.
        instance: String,
        /// GRASP's error.
        source: grasp::Error,
    },
    /// The binary does not carry the class.
    #[error("asa.{instance}: this binary carries no class {class}")]
    UnknownClass {
        /// The instance.
        instance: String,
        /// The class asked for.
        class: String,
    },
}

/// A running node with its instances.
pub struct Deployment {
    grasp: Grasp,
    name: String,
    agents: Vec<Agent>,
    events: Events,
}

impl Manifest {
    /// The settings of the GRASP instance.
    #[must_use]
    pub fn node_config(&self) -> NodeConfig {
        let (node, grasp, limits) = (&self.node, &self.grasp, &self.grasp.limits);
        let relay_rate = RelayRate { per_second: limits.relay_per_second, burst: limits.relay_burst };
        let millis = |ms: u32| Duration::from_millis(ms.into());
        NodeConfig {
            name: node.name.clone(),
            interfaces: Interfaces::Named(grasp.interfaces.clone()),
            port: grasp.port,
            message: grasp::wire::Limits { size: limits.message_size, depth: limits.depth },
            registry: RegistryLimits {
                asas: limits.asas,
                objectives: limits.objectives,
                experimental: grasp.experimental_objectives,
            },
            discovery: DiscoveryConfig {
                cache_capacity: limits.discovery_cache,
                seen_capacity: limits.seen,
                relay_rate,
                settings: DiscoverySettings {
                    relay: grasp.relay,
                    link_local_locators: grasp.link_local_locators,
                    internal_nat4: grasp.internal_nat4,
                    domain: grasp.domain_prefix.map(|prefix| (prefix.addr(), prefix.prefix_len())),
                },
                ..DiscoveryConfig::default()
            },
            flood: FloodConfig {
                capacity: limits.flood_cache,
                per_name: limits.flood_values_per_name,
                seen_capacity: limits.seen,
                relay: grasp.relay,
                relay_rate,
                interval: millis(limits.flood_interval_ms),
                burst: limits.flood_burst,
            },
            default_timeout: millis(grasp.default_timeout_ms),
            session_cap: (grasp.session_cap_ms > 0).then(|| millis(grasp.session_cap_ms)),
            wait_cap: (grasp.wait_cap_ms > 0).then(|| millis(grasp.wait_cap_ms)),
            sessions: limits.sessions,
            connections: limits.connections,
            first_message_timeout: millis(limits.first_message_timeout_ms),
            request_queue: limits.request_queue,
            ..NodeConfig::default()
        }
    }
}

impl Deployment {
    /// Starts the node and all operational instances; returns when everything listens.
    ///
    /// `adjust` may change the node's settings before it starts, for a simulation or a test.
    ///
    /// # Errors
    ///
    /// See [`DeployError`]; nothing is left running then.
    pub async fn start(
        manifest: &Manifest,
        classes: &[&dyn Class],
        network: Arc<dyn Network>,
        events: Events,
        adjust: impl FnOnce(&mut NodeConfig),
    ) -> Result<Self, DeployError> {
        let substrate: Arc<dyn Protection> = match manifest.grasp.substrate {
            Substrate::None => Arc::new(Unprotected),
            Substrate::InsecureLab => Arc::new(InsecureLab),
        };
        let mut config = manifest.node_config();
        adjust(&mut config);
        let (name, expected) = (config.name.clone(), config.interfaces.clone());
        let (substrate_name, secure) = (substrate.name(), substrate.is_secure());
        let grasp = Grasp::start(config, network, substrate)
            .map_err(|source| DeployError::Listen { node: name.clone(), source })?;
        let mut deployment = Self { grasp, name, agents: Vec::new(), events };
        if manifest.grasp.substrate != Substrate::None {
            deployment.await_links(&expected).await;
        }
        for (instance, settings) in manifest.asa.iter().filter(|(_, settings)| settings.state == State::Operational) {
            let Some(class) = find_class(classes, &settings.class, &settings.version) else {
                deployment.stop(Duration::ZERO).await;
                return Err(DeployError::UnknownClass { instance: instance.clone(), class: settings.class.clone() });
            };
            let (grasp, events) = (deployment.grasp.clone(), deployment.events.clone());
            let site = Site { grasp, instance: instance.clone(), events };
            match class.assemble(site, &serde_json::Value::Object(settings.parameters.clone())).await {
                Ok(agent) => deployment.agents.push(agent),
                Err(source) => {
                    deployment.stop(Duration::ZERO).await;
                    return Err(DeployError::Instance { instance: instance.clone(), source });
                }
            }
        }
        let node = deployment.name.clone();
        (deployment.events)(Event::Ready { node, substrate: substrate_name, secure });
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

    /// Ends the instances and then the node: open sessions are declined, registrations withdrawn, within `limit`.
    pub async fn stop(self, limit: Duration) {
        for agent in self.agents.iter().rev() {
            agent.stop();
        }
        self.grasp.shutdown(limit).await;
        (self.events)(Event::Stopped { node: self.name });
    }
}
