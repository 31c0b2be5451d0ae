//! The nodes: whole deployments, each life of which begins from its disk and ends in the middle of anything.

use super::check;
use super::lab::{Blow, Lab, Sabotage};
use super::scenario::{Scenario, Topology};
use super::store::{Job, SimStore, work};
use asa_framework::class::{Class, ClassInfo, Site};
use asa_framework::deploy::{Deployment, Stage};
use asa_framework::event::Event;
use asa_framework::manifest::{Loaded, Manifest, Sources};
use asa_framework::roles::store::Store;
use asa_prefix::PrefixManager;
use asa_prefix::class::{Disk, Handles, Place};
use asa_prefix::pool::record::Record;
use asa_prefix::pool::{Clocks, Stamp};
use grasp::Interfaces;
use grasp::net::memory::{Conditions, Fabric, FabricLink};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The name of the instance on every node.
pub(crate) const INSTANCE: &str = "pm";

/// What one life of a node is given.
struct Spot {
    lab: Weak<Lab>,
    node: usize,
    life: u64,
    skew: i64,
    jobs: mpsc::UnboundedSender<Job>,
    handles: Mutex<Option<Handles>>,
}

impl Place for Spot {
    fn store(&self, _: &Site, _: Option<Disk>) -> Result<Arc<dyn Store<Record>>, String> {
        let lives = self.lab.upgrade().is_some_and(|lab| lab.lives(self.node, self.life));
        if lives { Ok(Arc::new(SimStore(self.jobs.clone()))) } else { Err("this process is dead".into()) }
    }

    fn clocks(&self) -> Clocks {
        let (lab, node, skew) = (self.lab.clone(), self.node, self.skew);
        let (boot, booted) = lab.upgrade().map_or((0, Instant::now()), |lab| lab.boot(node));
        let begun = lab.upgrade().map_or_else(Instant::now, |lab| lab.begun);
        Arc::new(move || {
            let wall = 1_800_000_000 + skew + i64::try_from(begun.elapsed().as_secs()).unwrap_or_default();
            let uptime = u32::try_from(booted.elapsed().as_secs()).unwrap_or(u32::MAX);
            Stamp { wall: u32::try_from(wall).unwrap_or_default(), uptime, boot }
        })
    }

    fn started(&self, _: &str, handles: Handles) {
        *self.handles.lock().unwrap_or_else(PoisonError::into_inner) = Some(handles);
    }
}

struct Running {
    life: u64,
    deployment: Deployment,
    spot: &'static Spot,
}

/// The network with its nodes.
pub(crate) struct World {
    pub(crate) lab: Arc<Lab>,
    pub(crate) scenario: Scenario,
    pub(crate) fabric: Fabric,
    pub(crate) links: Vec<FabricLink>,
    running: Vec<RefCell<Option<Running>>>,
    random: RefCell<ChaCha12Rng>,
    ending: Cell<bool>,
    tenants: RefCell<Vec<tokio::task::JoinHandle<()>>>,
}

fn load(name: &str, text: &str, class: &'static dyn Class) -> Loaded<Manifest> {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let sources = Sources {
        path: Some(format!("{name}.toml").into()),
        content: Some(text.as_bytes().to_vec()),
        sets: vec![set("node.name", name), set("grasp.substrate", "insecure-lab")],
        ..Sources::default()
    };
    let infos: [&dyn ClassInfo; 1] = [class];
    Manifest::load(sources, &infos).unwrap_or_else(|problems| panic!("the manifest is refused:\n{problems}"))
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Rc<Self> {
        let fabric = Fabric::new(scenario.seed);
        let links: Vec<FabricLink> = scenario.links.iter().map(|_| fabric.link(scenario.conditions)).collect();
        let places = (0..scenario.members.len()).map(|node| {
            let its = scenario.links.iter().zip(&links).filter(|((a, b), _)| *a == node || *b == node);
            let its: Vec<FabricLink> = its.map(|(_, link)| *link).collect();
            fabric.node(&its)
        });
        let places: Vec<_> = places.collect();
        let running = places.iter().map(|_| RefCell::default()).collect();
        let lab = Lab::new(&scenario, places);
        let random = RefCell::new(ChaCha12Rng::seed_from_u64(scenario.seed ^ 0x11fe));
        let (ending, tenants) = (Cell::new(false), RefCell::default());
        Rc::new(Self { lab, scenario, fabric, links, running, random, ending, tenants })
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut ChaCha12Rng) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    pub(crate) fn conditions(&self, conditions: Conditions) {
        for link in &self.links {
            self.fabric.set_conditions(*link, conditions);
        }
    }

    /// Starts all nodes; each is started again whenever it has gone down.
    pub(crate) fn begin(self: &Rc<Self>) {
        let tenants = (0..self.running.len()).map(|node| tokio::task::spawn_local(self.clone().tenant(node)));
        *self.tenants.borrow_mut() = tenants.collect();
    }

    /// Whom clients of a node speak with, and in which life.
    pub(crate) fn handles(&self, node: usize) -> Option<(u64, Handles)> {
        let running = self.running[node].borrow();
        let running = running.as_ref().filter(|running| self.lab.lives(node, running.life))?;
        let handles = running.spot.handles.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some((running.life, handles))
    }

    pub(crate) fn deployment(&self, node: usize) -> Option<(u64, Deployment)> {
        let running = self.running[node].borrow();
        let running = running.as_ref().filter(|running| self.lab.lives(node, running.life))?;
        Some((running.life, running.deployment.clone()))
    }

    async fn tenant(self: Rc<Self>, node: usize) {
        while !self.ending.get() {
            let life = self.lab.rise(node);
            let (jobs, queue) = mpsc::unbounded_channel();
            let worker = tokio::task::spawn_local(work(self.lab.clone(), node, life, queue));
            let skew = self.draw(|random| random.random_range(-86_400..86_400));
            let spot: &'static Spot = Box::leak(Box::new(Spot {
                lab: Arc::downgrade(&self.lab),
                node,
                life,
                skew,
                jobs,
                handles: Mutex::default(),
            }));
            match self.start(node, life, spot).await {
                Ok(deployment) => *self.running[node].borrow_mut() = Some(Running { life, deployment, spot }),
                Err(error) if self.lab.lives(node, life) => {
                    self.lab.fall(node, life, Blow::Kill, &format!("it does not start: {error}"));
                    self.lab.lock().report.count("failed starts");
                }
                Err(_) => {}
            }
            let changed = self.lab.lock().disks[node].changed.clone();
            while self.lab.lives(node, life) && !self.ending.get() {
                changed.notified().await;
            }
            if let Err(what) = check::always(&self.lab) {
                self.lab.violated(what);
            }
            let running = self.running[node].borrow_mut().take();
            if let Some(running) = running {
                running.deployment.stop(Duration::ZERO).await;
            }
            spot.handles.lock().unwrap_or_else(PoisonError::into_inner).take();
            worker.abort();
            if !self.ending.get() {
                let quiet = self.lab.lock().quiet;
                let longest = if quiet { 1_000 } else { 15_000 };
                let pause = self.draw(|random| random.random_range(0..longest));
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
    }

    async fn start(&self, node: usize, life: u64, spot: &'static Spot) -> Result<Deployment, String> {
        let member = &self.scenario.members[node];
        let class: &'static dyn Class = Box::leak(Box::new(PrefixManager::at(spot)));
        let name = format!("n{node}");
        let role = if member.origin { "origin" } else { "delegator" };
        let text = format!(
            "[asa.{INSTANCE}]\nclass = 'prefix'\nrole = '{role}'\n[asa.{INSTANCE}.parameters]\n{}",
            member.parameters
        );
        let loaded = load(&name, &text, class);
        let place = self.lab.places[node].clone();
        place.power_on();
        let mut seed = [0; 32];
        // Every life is a process of its own: it draws other session ids.
        let salt = self.scenario.seed ^ (node as u64) << 40 ^ life << 48;
        ChaCha12Rng::seed_from_u64(salt).fill_bytes(&mut seed);
        let lab = self.lab.clone();
        let events = Arc::new(move |event: Event| {
            if let Event::Said { text, .. } = &event {
                lab.say(&format!("n{node} says: {text}"));
            }
        });
        let mut stage = Stage::new(Arc::new(place), &[class], events).simulated(seed);
        let lab = self.lab.clone();
        stage.fatal = Arc::new(move |reason| {
            lab.lock().report.count("processes that gave up");
            lab.fall(node, life, Blow::Kill, &format!("fatal: {reason}"));
        });
        let started = Deployment::start(loaded, stage, |config| {
            (config.interfaces, config.seed) = (Interfaces::All, Some(seed));
        });
        started.await.map_err(|error| error.to_string())
    }

    /// Stops a node in order, and lets it be started again.
    pub(crate) fn restart(self: &Rc<Self>, node: usize) {
        let Some((life, deployment)) = self.deployment(node) else { return };
        let world = self.clone();
        tokio::task::spawn_local(async move {
            world.lab.say(&format!("n{node} is stopped in order"));
            deployment.stop(Duration::from_secs(2)).await;
            world.lab.fall(node, life, Blow::Kill, "stopped");
        });
    }

    /// Ends everything.
    pub(crate) async fn end(&self) {
        self.ending.set(true);
        for disk in &self.lab.lock().disks {
            disk.changed.notify_one();
        }
        let tenants = std::mem::take(&mut *self.tenants.borrow_mut());
        for tenant in tenants {
            let _ = tokio::time::timeout(Duration::from_secs(60), tenant).await;
        }
    }

    pub(crate) fn is_graph(&self) -> bool {
        matches!(self.scenario.topology, Topology::Graph(_))
    }

    pub(crate) fn sabotage(&self) -> Sabotage {
        self.scenario.sabotage
    }
}
