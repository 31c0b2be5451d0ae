//! Where a pool is kept and which clocks it reads: those of the machine, or of a simulation.

use super::parameters::Parameters;
use crate::delegator::Delegator;
use crate::pool::record::Record;
use crate::pool::{Clocks, Pool, Stamp};
use crate::store::{Error, SledStore};
use asa_framework::class::Site;
use asa_framework::roles::store::{MemStore, Store};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use supervision::Mailbox;

/// Gives each instance its store and its clocks.
pub trait Place: Send + Sync + 'static {
    /// The store of an instance that keeps it on `disk`, or in memory; the same whenever it is asked for.
    ///
    /// # Errors
    ///
    /// In words for the operator: what is wrong with it, and what to do.
    fn store(&self, site: &Site, disk: Option<Disk>) -> Result<Arc<dyn Store<Record>>, String>;

    /// The clocks.
    fn clocks(&self) -> Clocks;

    /// An instance has been put together; for programs that bring clients of their own.
    fn started(&self, instance: &str, handles: Handles) {
        let _ = (instance, handles);
    }
}

/// Whom clients in the same process speak with; the addresses outlive restarts of the actors.
#[derive(Clone)]
pub struct Handles {
    /// The blocks.
    pub pool: Mailbox<Pool>,
    /// Who serves clients.
    pub delegator: Mailbox<Delegator>,
}

/// A store that is to be kept on disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// In which directory.
    pub directory: Option<PathBuf>,
    /// How the ledger is kept.
    pub options: crate::store::Options,
    /// Whether an instance without a store may begin with an empty one: a delegator may, since it has nothing to lose; an
    /// origin would hand out everything once more (PM-S-16).
    pub create: bool,
}

/// The machine.
#[derive(Debug, Clone, Copy)]
pub struct Machine;

impl Place for Machine {
    fn store(&self, site: &Site, disk: Option<Disk>) -> Result<Arc<dyn Store<Record>>, String> {
        let Some(Disk { directory, options, create }) = disk else {
            let store = site.belonging(|| Ok::<_, std::convert::Infallible>(MemStore::default()));
            let store: Arc<MemStore<Record>> = store.unwrap_or_else(|never| match never {});
            tracing::warn!(asa = site.instance(), "the pool is kept in memory: it is lost when the process ends");
            return Ok(store);
        };
        let directory = directory.ok_or(
            "the pool needs a directory: set node.state_directory, or asa.<instance>.state_directory; or store = \
             \"memory\", which loses the pool when the process ends",
        )?;
        let opened = site.belonging(|| match SledStore::open(&directory, options.clone()) {
            Err(Error::Missing { .. }) if create => SledStore::create(&directory, options.clone()),
            opened => opened,
        });
        match opened {
            Ok(store) => Ok(store),
            Err(error @ Error::Missing { .. }) => Err(format!(
                "{error}; an origin does not begin with an empty one by itself, since it would hand out everything once \
                 more: if this is its first start, run: asa pool init"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    fn clocks(&self) -> Clocks {
        let boot = boot();
        Arc::new(move || {
            let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let seconds = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX);
            let uptime = seconds(u64::try_from(uptime.tv_sec).unwrap_or_default());
            Stamp { wall: seconds(wall.as_secs()), uptime, boot }
        })
    }
}

/// Tells one boot of the machine from another. Without the kernel's word every process counts as a boot of its own, which
/// only makes lifetimes longer.
fn boot() -> u32 {
    let told = std::fs::read("/proc/sys/kernel/random/boot_id");
    told.map_or_else(|_| rand::random(), |id| crc32fast::hash(&id))
}

/// The clocks of a runtime whose time can be paused; every process is a boot of its own.
#[must_use]
pub fn runtime_clocks(boot: u32) -> Clocks {
    let begun = tokio::time::Instant::now();
    Arc::new(move || {
        let passed = u32::try_from(begun.elapsed().as_secs()).unwrap_or(u32::MAX);
        Stamp { wall: 1_800_000_000_u32.saturating_add(passed), uptime: passed, boot }
    })
}

/// How long a node may take to open its store before it is worth a word; for the log.
pub(super) const SLOW: Duration = Duration::from_secs(2);

impl Parameters {
    /// What is to be kept on disk.
    pub(super) fn disk(&self, directory: Option<PathBuf>, origin: bool) -> Option<Disk> {
        (self.store == "disk").then(|| Disk { directory, options: self.store_options(), create: !origin })
    }
}
