//! Whole nodes on the fabric, under a paused clock.

mod forms;
mod habits;
mod hostile;
mod offers;
mod params;
mod peers;
mod provider;
mod requests;
mod returns;
mod states;
mod stranger;
mod supply;

use asa_framework::class::{Class, Site};
use asa_framework::roles::store::{Change, MemStore, Store};
use asa_framework::testing::Harness;
use asa_prefix::PrefixManager;
use asa_prefix::class::{Disk, Handles, Place, runtime_clocks};
use asa_prefix::delegator::{Explain, Explained, Give, Take};
use asa_prefix::pool::record::{Record, State};
use asa_prefix::pool::{Answer, Ask, Census, Clocks, Request};
use asa_prefix::prefix::{Family, Prefix, Want};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Stores and handles of all instances, by name: each test names its instances as its nodes.
#[derive(Default)]
pub(crate) struct Lab {
    stores: Mutex<BTreeMap<String, Arc<MemStore<Record>>>>,
    handles: Mutex<BTreeMap<String, Handles>>,
}

impl Place for Lab {
    fn store(&self, site: &Site, _: Option<Disk>) -> Result<Arc<dyn Store<Record>>, String> {
        Ok(self.stores.lock().unwrap().entry(site.instance().to_owned()).or_default().clone())
    }

    fn clocks(&self) -> Clocks {
        runtime_clocks(1)
    }

    fn started(&self, instance: &str, handles: Handles) {
        self.handles.lock().unwrap().insert(instance.to_owned(), handles);
    }
}

impl Lab {
    /// A laboratory, and its class.
    pub(crate) fn new() -> (&'static Self, &'static dyn Class) {
        let lab: &'static Self = Box::leak(Box::default());
        (lab, Box::leak(Box::new(PrefixManager::at(lab))))
    }

    pub(crate) fn handles(&self, instance: &str) -> Handles {
        self.handles.lock().unwrap()[instance].clone()
    }

    pub(crate) async fn take(&self, instance: &str, client: &str, want: Want) -> Result<Prefix, String> {
        self.handles(instance).delegator.send(Take { client: client.into(), want }).await.unwrap()
    }

    pub(crate) async fn give(&self, instance: &str, client: &str, block: Prefix) -> Result<Prefix, String> {
        self.handles(instance).delegator.send(Give { client: client.into(), block }).await.unwrap()
    }

    pub(crate) async fn ask(&self, instance: &str, request: Request) -> Answer {
        self.handles(instance).pool.send(Ask(request)).await.unwrap().unwrap()
    }

    pub(crate) async fn explain(&self, instance: &str) -> Explained {
        self.handles(instance).delegator.send(Explain).await.unwrap().unwrap()
    }

    /// The only block that is not free, with the name of its state.
    pub(crate) async fn only(&self, instance: &str) -> Option<(Prefix, &'static str)> {
        let blocks = self.blocks(instance).await;
        assert!(blocks.len() <= 1, "{blocks:?}");
        blocks.first().map(|(block, state)| (*block, state.name()))
    }

    /// Puts a record into the store behind the back of the pool.
    pub(crate) async fn spoil(&self, instance: &str, record: Record) {
        let store = self.stores.lock().unwrap()[instance].clone();
        store.commit(vec![Change::Put(record)]).await.unwrap();
    }

    pub(crate) async fn census(&self, instance: &str) -> Census {
        match self.ask(instance, Request::Census).await {
            Answer::Census(census) => *census,
            other => panic!("{other:?}"),
        }
    }

    /// Blocks that are not free.
    pub(crate) async fn blocks(&self, instance: &str) -> Vec<(Prefix, State)> {
        let all = Request::Blocks { after: None, within: None, states: Vec::new(), limit: 10_000 };
        match self.ask(instance, all).await {
            Answer::Blocks(blocks, _) => blocks.into_iter().filter(|(_, state)| *state != State::Free).collect(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn v6(length: u8) -> Want {
    Want::new(Family::V6, length).unwrap()
}

pub(crate) fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// A node with an instance of its own name.
pub(crate) async fn node(harness: &Harness, class: &'static dyn Class, name: &str, role: &str, parameters: &str) {
    let manifest = format!(
        "[asa.{name}]\nclass = 'prefix'\nrole = '{role}'\n[asa.{name}.parameters]\nstore = 'memory'\n\
         documentation_prefixes = true\n{parameters}"
    );
    harness.node(name, &[class], &manifest).await;
}
