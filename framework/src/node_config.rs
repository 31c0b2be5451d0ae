//! The settings of the GRASP instance, as its manifest says.

use crate::manifest::Manifest;
use grasp::protocol::discovery::{DiscoveryConfig, DiscoverySettings};
use grasp::protocol::flood::FloodConfig;
use grasp::protocol::rate::RelayRate;
use grasp::protocol::registry::RegistryLimits;
use grasp::{Interfaces, NodeConfig};
use std::time::Duration;
use supervision::RestartLimits;

impl Manifest {
    /// The settings of the GRASP instance.
    #[must_use]
    pub fn node_config(&self) -> NodeConfig {
        let (node, grasp, limits) = (&self.node, &self.grasp, &self.grasp.limits);
        let supervision = &self.supervision;
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
            restart: RestartLimits {
                restarts: supervision.restarts,
                within: millis(supervision.within_ms),
                first_pause: millis(supervision.first_pause_ms),
                longest_pause: millis(supervision.longest_pause_ms),
                jitter: f64::from(supervision.jitter_percent) / 100.0,
            },
            ..NodeConfig::default()
        }
    }
}
