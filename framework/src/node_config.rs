//! The settings of the GRASP instance and of restarts, as a manifest says.

use crate::manifest::{Manifest, Restart, RestartStrategy as Named};
use grasp::protocol::Dull;
use grasp::protocol::authorization::Authorization;
use grasp::protocol::discovery::{DiscoveryConfig, DiscoverySettings};
use grasp::protocol::flood::FloodConfig;
use grasp::protocol::rate::RelayRate;
use grasp::protocol::registry::RegistryLimits;
use grasp::{Interfaces, NodeConfig};
use std::time::Duration;
use supervision::{RestartLimits, RestartStrategy};

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
                bytes: limits.flood_bytes,
                seen_capacity: limits.seen,
                relay: grasp.relay,
                relay_rate,
                interval: millis(limits.flood_interval_ms),
                burst: limits.flood_burst,
                ..FloodConfig::default()
            },
            authorization: Authorization { rules: grasp.authorization.clone() },
            carries_dull: grasp
                .dull
                .enabled
                .then(|| Dull { objectives: grasp.dull.objectives.iter().cloned().collect() }),
            default_timeout: millis(grasp.default_timeout_ms),
            session_cap: (grasp.session_cap_ms > 0).then(|| millis(grasp.session_cap_ms)),
            wait_cap: (grasp.wait_cap_ms > 0).then(|| millis(grasp.wait_cap_ms)),
            sessions: limits.sessions,
            connections: limits.connections,
            first_message_timeout: millis(limits.first_message_timeout_ms),
            request_queue: limits.request_queue,
            restart: restart_limits(&self.supervision.restart()).1,
            ..NodeConfig::default()
        }
    }
}

/// How actors are restarted, as a manifest says.
pub(crate) fn restart_limits(restart: &Restart) -> (RestartStrategy, RestartLimits) {
    let millis = |ms: u32| Duration::from_millis(ms.into());
    let strategy = match restart.strategy {
        Named::OneForOne => RestartStrategy::OneForOne,
        Named::RestForOne => RestartStrategy::RestForOne,
        Named::OneForAll => RestartStrategy::OneForAll,
    };
    let limits = RestartLimits {
        restarts: restart.restarts,
        within: millis(restart.within_ms),
        first_pause: millis(restart.first_pause_ms),
        longest_pause: millis(restart.longest_pause_ms),
        jitter: f64::from(restart.jitter_percent) / 100.0,
    };
    (strategy, limits)
}
