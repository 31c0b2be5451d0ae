//! What a seed stands for: who is linked with whom, who holds what, and what is to go wrong.

use super::lab::Sabotage;
use asa_prefix::prefix::Prefix;
use grasp::net::memory::Conditions;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::time::Duration;

/// What one peer may have where there is a limit, as the length of one prefix.
pub(crate) const QUOTA: u8 = 58;

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    /// The rings of RFC 8992 figure 1.
    Rings,
    /// A connected graph of so many nodes.
    Graph(usize),
}

impl Topology {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Rings => "rings".into(),
            Self::Graph(nodes) => format!("graph{nodes}"),
        }
    }
}

/// One node.
pub(crate) struct Member {
    pub(crate) origin: bool,
    pub(crate) parameters: String,
}

/// One run.
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) topology: Topology,
    pub(crate) sabotage: Sabotage,
    pub(crate) members: Vec<Member>,
    /// Pairs of members with a link of their own.
    pub(crate) links: Vec<(usize, usize)>,
    pub(crate) stock: Vec<Prefix>,
    pub(crate) conditions: Conditions,
    pub(crate) valid: Option<u32>,
    pub(crate) ipv4: bool,
    pub(crate) dry: bool,
    pub(crate) quota: bool,
    /// How long things go wrong.
    pub(crate) storm: Duration,
    /// Mean pause between two of them.
    pub(crate) pause: Duration,
}

/// RSG1, RSG2, ASG1, ASG2, CSG1 to CSG4: ring 1 is ASG1-RSG1-RSG2-ASG2, ring 2 CSG1-ASG1-ASG2-CSG2, ring 3
/// CSG3-ASG1-ASG2-CSG4.
const RINGS: [(usize, usize); 10] = [(0, 1), (0, 2), (1, 3), (2, 3), (2, 4), (4, 5), (5, 3), (2, 6), (6, 7), (7, 3)];

fn graph(random: &mut ChaCha12Rng, nodes: usize) -> Vec<(usize, usize)> {
    let mut links: Vec<(usize, usize)> = (1..nodes).map(|node| (random.random_range(0..node), node)).collect();
    for _ in 0..nodes / 3 {
        let (a, b) = (random.random_range(0..nodes), random.random_range(0..nodes));
        if a != b && !links.contains(&(a.min(b), a.max(b))) {
            links.push((a.min(b), a.max(b)));
        }
    }
    links
}

fn quoted(prefixes: &[Prefix]) -> String {
    prefixes.iter().map(|prefix| format!("'{prefix}'")).collect::<Vec<_>>().join(", ")
}

impl Scenario {
    pub(crate) fn new(seed: u64, topology: Topology, sabotage: Sabotage) -> Self {
        let mut random = ChaCha12Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5ce0);
        let (nodes, links) = match topology {
            Topology::Rings => (8, RINGS.to_vec()),
            Topology::Graph(nodes) => (nodes, graph(&mut random, nodes)),
        };
        let (ipv4, dry, quota) = (random.random_bool(0.25), random.random_bool(0.2), random.random_bool(0.15));
        let tiny = random.random_bool(0.3);
        let origins = random.random_range(1..=2);
        let valid = random.random_bool(0.85).then(|| random.random_range(5..40));
        let (v6, v4) = if tiny { (59, 27) } else { (50, 22) };
        let mut members = Vec::new();
        let mut stock = Vec::new();
        for node in 0..nodes {
            let role = match node {
                0 | 1 => "RSG",
                _ if topology == Topology::Rings && node < 4 || node % 5 == 2 => "ASG",
                _ => "CSG",
            };
            let origin = node < origins;
            let mut own: Vec<Prefix> = Vec::new();
            if origin {
                own.extend(format!("2001:db8:{node}::/{v6}").parse::<Prefix>().ok());
                own.extend(format!("192.0.{}.0/{v4}", node * 8).parse::<Prefix>().ok().filter(|_| ipv4));
            }
            let need = match role {
                "RSG" => 0,
                "ASG" => random.random_range(0..8),
                _ => random.random_range(1..8),
            };
            let roles = if tiny {
                "'RSG /61 /30', 'ASG /62 /31', 'CSG /63 /31'"
            } else {
                "'RSG /54 /25', 'ASG /57 /27', 'CSG /60 /29'"
            };
            let mut parameters = format!(
                "store = 'memory'\ndocumentation_prefixes = true\nseed = {}\ndevice_role = '{role}'\n\
                 device_roles = [{roles}]\nprefixes = [{}]\nipv6_need = {need}\nipv6_length = 64\n",
                seed % 1_000_000 * 100 + node as u64 + 1,
                quoted(&own)
            );
            if ipv4 {
                parameters +=
                    &format!("ipv4 = true\nipv4_length = 32\nipv4_need = {}\nlongest_offer_ipv4 = 32\n", need / 2);
            }
            if let Some(valid) = valid {
                parameters += &format!("valid_s = {valid}\npreferred_s = {}\n", valid / 2);
            }
            if random.random_bool(0.5) && !origin {
                parameters += &format!("return_after_s = {}\n", random.random_range(1..40));
            }
            if dry {
                parameters += "dry_run_s = 10\n";
            }
            if quota {
                parameters += &format!("peer_limit_ipv6 = {QUOTA}\n");
            }
            if random.random_bool(0.2) {
                parameters += "flexible_bits = 4\n";
            }
            // That form carries IPv6 only.
            if random.random_bool(0.2) && !ipv4 {
                parameters += "ask_form = 'F1'\n";
            }
            stock.extend(own);
            members.push(Member { origin, parameters });
        }
        let conditions = Conditions {
            latency: Duration::from_micros(random.random_range(200..12_000)),
            jitter: Duration::from_micros(random.random_range(0..5_000)),
            loss: if random.random_bool(0.5) { random.random_range(0.0..0.15) } else { 0.0 },
            duplicate: if random.random_bool(0.3) { random.random_range(0.0..0.1) } else { 0.0 },
            reorder: if random.random_bool(0.3) { random.random_range(0.0..0.2) } else { 0.0 },
        };
        let longest = if topology == Topology::Rings { 150 } else { 80 };
        let storm = Duration::from_secs(random.random_range(60..longest));
        let pause = Duration::from_millis(random.random_range(60..300));
        Self { seed, topology, sabotage, members, links, stock, conditions, valid, ipv4, dry, quota, storm, pause }
    }

    /// How to run it again.
    pub(crate) fn replay(&self) -> String {
        let Self { seed, topology, sabotage, .. } = self;
        let sabotage =
            if *sabotage == Sabotage::None { String::new() } else { format!(" ASA_SIM_SABOTAGE={sabotage:?}") };
        format!(
            "ASA_SIM_SEED={seed} ASA_SIM_TOPOLOGY={}{sabotage} cargo test -p asa-prefix --test simulation replay -- --nocapture",
            topology.name()
        )
    }
}
