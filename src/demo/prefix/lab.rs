//! The network: an origin, two ASGs and four CSGs on links in memory, each of which can be killed and started again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use asa_framework::class::{Class, Site};
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::Events;
use asa_framework::manifest::{Loaded, Manifest, Sources};
use asa_framework::roles::store::{Change, MemStore, Store, StoreError};
use asa_prefix::PrefixManager;
use asa_prefix::class::{Disk, Handles, Place, runtime_clocks};
use asa_prefix::pool::Clocks;
use asa_prefix::pool::record::Record;
use futures_util::future::LocalBoxFuture;
use grasp::Interfaces;
use grasp::net::memory::{Conditions, Fabric, FabricLink, FabricNode};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// What the origin has, and what each tier asks for: few enough blocks that a bar shows them.
const POOL: &str = "2001:db8::/48";
/// Each node with its role, its device role, and the links that it is on.
const NODES: [(&str, &str, &str, &[usize]); 7] = [
    ("origin", "origin", "RSG", &[0]),
    ("asg-1", "delegator", "ASG", &[0, 1]),
    ("asg-2", "delegator", "ASG", &[0, 2]),
    ("csg-1", "delegator", "CSG", &[1]),
    ("csg-2", "delegator", "CSG", &[1]),
    ("csg-3", "delegator", "CSG", &[2]),
    ("csg-4", "delegator", "CSG", &[2]),
];
const STOP_LIMIT: Duration = Duration::from_millis(200);

/// The stores of all nodes, which survive their processes, and whom clients speak with.
pub(super) struct Rooms {
    rooms: Mutex<BTreeMap<String, Room>>,
}

struct Room {
    disk: Arc<MemStore<Record>>,
    alive: Arc<AtomicBool>,
    handles: Option<Handles>,
}

impl Default for Room {
    fn default() -> Self {
        Self { disk: Arc::default(), alive: Arc::new(AtomicBool::new(true)), handles: None }
    }
}

/// The store as one process has it: a process that is dead writes nothing.
struct Life {
    disk: Arc<MemStore<Record>>,
    alive: Arc<AtomicBool>,
}

impl Store<Record> for Life {
    fn load(&self) -> LocalBoxFuture<'static, Result<Vec<Record>, StoreError>> {
        self.disk.load()
    }

    fn commit(&self, changes: Vec<Change<Record>>) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        if self.alive.load(Ordering::Acquire) {
            return self.disk.commit(changes);
        }
        Box::pin(std::future::pending())
    }
}

impl Rooms {
    fn with<T>(&self, name: &str, look: impl FnOnce(&mut Room) -> T) -> T {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        look(rooms.entry(name.to_owned()).or_default())
    }
}

impl Place for Rooms {
    fn store(&self, site: &Site, _: Option<Disk>) -> Result<Arc<dyn Store<Record>>, String> {
        Ok(self.with(site.instance(), |room| Arc::new(Life { disk: room.disk.clone(), alive: room.alive.clone() })))
    }

    fn clocks(&self) -> Clocks {
        // All are one machine: its clock goes on when one of them is started again.
        runtime_clocks(1)
    }

    fn started(&self, instance: &str, handles: Handles) {
        self.with(instance, |room| room.handles = Some(handles));
    }
}

struct Node {
    name: &'static str,
    manifest: Loaded<Manifest>,
    place: FabricNode,
    deployment: Option<Deployment>,
    lives: u32,
}

/// The network.
pub(super) struct Lab {
    rooms: &'static Rooms,
    class: &'static dyn Class,
    nodes: Vec<Node>,
    events: Events,
    random: ChaCha12Rng,
    // Keeps the links.
    _fabric: Fabric,
}

fn manifest(name: &str, role: &str, device: &str, class: &'static dyn Class) -> anyhow::Result<Loaded<Manifest>> {
    let prefixes = if role == "origin" { format!("prefixes = [\"{POOL}\"]\n") } else { String::new() };
    let text = format!(
        "[node]\nname = \"{name}\"\n[grasp]\nsubstrate = \"insecure-lab\"\nlink_local_locators = true\n\
         [asa.{name}]\nclass = \"prefix\"\nrole = \"{role}\"\n[asa.{name}.parameters]\nstore = \"memory\"\n\
         device_role = \"{device}\"\ndevice_roles = [\"RSG /48\", \"ASG /52\", \"CSG /58\"]\n\
         documentation_prefixes = true\nipv6_need = 8\npreferred_s = 20\nvalid_s = 30\nreturn_after_s = 120\n{prefixes}"
    );
    let sources = Sources { path: Some(format!("{name}.toml").into()), content: Some(text.into_bytes()), ..Sources::default() };
    Manifest::load(sources, &[class]).map_err(|problems| anyhow::anyhow!("{problems}"))
}

impl Lab {
    /// Puts the network together; nothing runs yet.
    pub(super) fn new(seed: u64, events: Events) -> anyhow::Result<Self> {
        let rooms: &'static Rooms = Box::leak(Box::new(Rooms { rooms: Mutex::default() }));
        let class: &'static dyn Class = Box::leak(Box::new(PrefixManager::at(rooms)));
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let fabric = Fabric::new(random.random());
        let conditions = Conditions { latency: Duration::from_millis(2), ..Conditions::default() };
        let links: [FabricLink; 3] = std::array::from_fn(|_| fabric.link(conditions));
        let mut nodes = Vec::new();
        for (name, role, device, on) in NODES {
            let on: Vec<FabricLink> = on.iter().filter_map(|link| links.get(*link).copied()).collect();
            let manifest = manifest(name, role, device, class)?;
            nodes.push(Node { name, manifest, place: fabric.node(&on), deployment: None, lives: 0 });
        }
        Ok(Self { rooms, class, nodes, events, random, _fabric: fabric })
    }

    /// Starts a node that does not run.
    pub(super) async fn start(&mut self, index: usize) -> anyhow::Result<()> {
        let (stage_seed, seed): ([u8; 32], [u8; 32]) = (self.random.random(), self.random.random());
        let Some(node) = self.nodes.get_mut(index) else { return Ok(()) };
        node.place.power_on();
        self.rooms.with(node.name, |room| room.alive = Arc::new(AtomicBool::new(true)));
        let stage = Stage::new(Arc::new(node.place.clone()), &[self.class], self.events.clone()).simulated(stage_seed);
        let adjust = |config: &mut grasp::NodeConfig| {
            (config.interfaces, config.seed) = (Interfaces::All, Some(seed));
        };
        node.deployment = Some(Deployment::start(node.manifest.clone(), stage, adjust).await?);
        node.lives += 1;
        Ok(())
    }

    /// Kills a node: from this moment it writes nothing and says nothing; its peers' connections break.
    pub(super) async fn kill(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        node.place.kill_process();
        self.rooms.with(node.name, |room| {
            room.alive.store(false, Ordering::Release);
            room.handles = None;
        });
        if let Some(deployment) = node.deployment.take() {
            deployment.stop(Duration::ZERO).await;
        }
    }

    /// Names of all nodes with the number of their lives, and whether they run.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&'static str, u32, bool)> + '_ {
        self.nodes.iter().map(|node| (node.name, node.lives, node.deployment.is_some()))
    }

    /// Whom the clients of a node speak with, while it runs.
    pub(super) fn handles(&self, name: &str) -> Option<Handles> {
        self.rooms.with(name, |room| room.handles.clone())
    }

    /// What a node has on its disk.
    pub(super) async fn records(&self, name: &str) -> Vec<Record> {
        let disk = self.rooms.with(name, |room| room.disk.clone());
        disk.load().await.unwrap_or_default()
    }

    /// Ends all nodes.
    pub(super) async fn stop(self) {
        for node in self.nodes {
            if let Some(deployment) = node.deployment {
                deployment.stop(STOP_LIMIT).await;
            }
        }
    }
}
