//! Nodes under test: from a manifest's text and the classes of a binary.

use super::{Entry, Harness, note};
use crate::class::{Class, ClassInfo};
use crate::deploy::{DeployError, Deployment, Stage};
use crate::manifest::{FloodedPolicy, Loaded, Manifest, Problems, Sources};
use grasp::{Interfaces, NodeConfig};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::sync::{Arc, Mutex, PoisonError};

/// A node under test.
pub(super) struct Node {
    pub(super) deployment: Deployment,
    /// What it reads when it is told to read its manifest again.
    text: Arc<Mutex<String>>,
}

/// Reads a manifest of a node that may speak on the link.
fn load(
    name: &str,
    text: &str,
    classes: &[&'static dyn Class],
    flooded: Vec<FloodedPolicy>,
) -> Result<Loaded<Manifest>, Problems> {
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let sources = Sources {
        path: Some(format!("{name}.toml").into()),
        content: Some(text.as_bytes().to_vec()),
        sets: vec![
            set("node.name", name),
            set("grasp.substrate", "insecure-lab"),
            set("grasp.link_local_locators", "true"),
        ],
        flooded,
        ..Sources::default()
    };
    let infos: Vec<&dyn ClassInfo> = classes.iter().map(|class| *class as &dyn ClassInfo).collect();
    Manifest::load(sources, &infos)
}

impl Harness {
    /// Starts a node on the link with what the manifest says and waits until everything listens. The name, the substrate
    /// and link-local locators are set already.
    ///
    /// # Panics
    ///
    /// If the manifest is refused, if the node does not start, and if there is a node of this name.
    pub async fn node(&self, name: &str, classes: &[&'static dyn Class], manifest: &str) {
        if let Err(error) = self.try_node(name, classes, manifest, |_| {}).await {
            panic!("{name} does not start: {error}\n{}", self.story());
        }
    }

    /// As [`Harness::node`]; `adjust` may change what the node is put into, such as its log levels or its clock.
    ///
    /// # Errors
    ///
    /// Why it did not start.
    ///
    /// # Panics
    ///
    /// If the manifest is refused, and if there is a node of this name.
    pub async fn try_node(
        &self,
        name: &str,
        classes: &[&'static dyn Class],
        manifest: &str,
        adjust: impl FnOnce(&mut Stage),
    ) -> Result<(), DeployError> {
        assert!(!self.0.nodes.borrow().contains_key(name), "there is a node {name} already");
        let loaded = load(name, manifest, classes, Vec::new())
            .unwrap_or_else(|problems| panic!("the manifest of {name} is refused:\n{problems}"));
        let text = Arc::new(Mutex::new(manifest.to_owned()));
        let mut stage = self.stage(name, classes, &text);
        adjust(&mut stage);
        let seed = self.seed_of(name);
        let adjust = |config: &mut NodeConfig| (config.interfaces, config.seed) = (Interfaces::All, Some(seed));
        let deployment = Deployment::start(loaded, stage, adjust).await?;
        self.0.nodes.borrow_mut().insert(name.to_owned(), Node { deployment, text });
        Ok(())
    }

    fn stage(&self, name: &str, classes: &[&'static dyn Class], text: &Arc<Mutex<String>>) -> Stage {
        let begun = self.0.begun;
        let entry = move |node: &str| Entry { at: begun.elapsed(), node: node.to_owned(), what: () };
        let (log, node) = (self.0.events.clone(), name.to_owned());
        let events = Arc::new(move |event| {
            let Entry { at, node, .. } = entry(&node);
            note(&log, Entry { at, node, what: event });
        });
        let place = Arc::new(self.0.fabric.node(&[self.0.link]));
        let mut stage = Stage::new(place, classes, events).simulated(self.seed_of(name));
        let (log, node) = (self.0.incidents.clone(), name.to_owned());
        stage.on_incident = Some(Arc::new(move |incident| {
            let Entry { at, node, .. } = entry(&node);
            note(&log, Entry { at, node, what: incident.clone() });
        }));
        let (log, node) = (self.0.fatal.clone(), name.to_owned());
        stage.fatal = Arc::new(move |reason| {
            let Entry { at, node, .. } = entry(&node);
            note(&log, Entry { at, node, what: reason.to_owned() });
        });
        let (text, name, classes) = (text.clone(), name.to_owned(), classes.to_vec());
        stage.reread = Some(Arc::new(move |flooded| {
            let text = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
            load(&name, &text, &classes, flooded)
        }));
        stage
    }

    /// The settings of a plain GRASP node.
    pub(super) fn peer_config(&self, name: &str) -> NodeConfig {
        let loaded = load(name, "", &[], Vec::new());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{name:?} cannot be a node:\n{problems}"));
        NodeConfig { seed: Some(self.seed_of(name)), ..loaded.manifest.node_config() }
    }

    /// What the node's own random numbers begin with: another for each name.
    fn seed_of(&self, name: &str) -> [u8; 32] {
        let salt = name.bytes().fold(self.0.seed, |salt, byte| salt.rotate_left(7) ^ u64::from(byte));
        let mut seed = [0; 32];
        ChaCha12Rng::seed_from_u64(salt).fill_bytes(&mut seed);
        seed
    }

    /// The node as a program has it.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn deployment(&self, node: &str) -> Deployment {
        self.with(node, |node| node.deployment.clone())
    }

    /// Changes the manifest that the node finds when it is told to [reload](crate::control::Command::Reload).
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn rewrite(&self, node: &str, manifest: &str) {
        self.with(node, |node| manifest.clone_into(&mut node.text.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    /// Ends a node and forgets it.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub async fn end(&self, node: &str) {
        let removed = self.0.nodes.borrow_mut().remove(node);
        let Some(removed) = removed else { panic!("there is no node {node}") };
        removed.deployment.stop(super::FAREWELL).await;
    }

    /// The names of the nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.0.nodes.borrow().keys().cloned().collect()
    }

    fn with<T>(&self, node: &str, look: impl FnOnce(&Node) -> T) -> T {
        let nodes = self.0.nodes.borrow();
        let Some(found) = nodes.get(node) else {
            let there: Vec<&String> = nodes.keys().collect();
            panic!("there is no node {node}; there are {there:?}")
        };
        look(found)
    }
}
