//! What outlives the nodes: their disks, the orders to strike them, and what has been seen.

use super::check::{self, Usable};
use super::label;
use super::report::Report;
use super::scenario::{QUOTA, Scenario};
use super::store::DiskFault;
use asa_framework::roles::store::{Change, apply};
use asa_prefix::pool::record::{Record, State, Way};
use asa_prefix::prefix::{Family, Prefix, Want};
use grasp::net::memory::FabricNode;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Lines of the story that are kept.
const LINES: usize = 400;

/// What the pool is broken with on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Nothing.
    None,
    /// Commits are acknowledged before they are durable.
    EarlyAcknowledgement,
    /// What was offered when the node went down is free when it comes up.
    FreeOnRestart,
    /// Doubts are ended by their age: the provider keeps the block.
    FreeOnTimeout,
    /// Doubts are ended by their age: the taker takes the block.
    TakenOnTimeout,
}

/// When a node is struck, as seen from a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// Nothing of it is durable.
    Before,
    /// It is durable, and nobody has heard of it.
    After,
    /// It is durable, and what follows from it is on its way.
    Soon,
}

/// How a node goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blow {
    /// Its process is killed; the kernel closes the connections.
    Kill,
    /// The power is cut.
    Power,
}

/// An order to strike the node that makes this step next.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) label: &'static str,
    pub(crate) moment: Moment,
    pub(crate) blow: Blow,
}

/// What happens to a batch.
pub(crate) enum Fate {
    None,
    Before(Order),
    After(Order),
    Soon(Order, Duration),
}

/// What a client believes that it has.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    pub(crate) block: Prefix,
    pub(crate) until: Option<Instant>,
}

/// A client: the node that serves it, its name, and what it asked for.
pub(crate) type Client = (usize, String, Want);

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) set: BTreeSet<Record>,
    /// Acknowledged, but lost with the power until then; only with sabotage.
    volatile: VecDeque<(Instant, Vec<Change<Record>>)>,
    begun: Option<Vec<Change<Record>>>,
    pub(crate) life: u64,
    pub(crate) up: bool,
    /// Counts the boots of its machine.
    boot: u32,
    booted: Option<Instant>,
    fault: DiskFault,
    healed: Option<Instant>,
    pub(crate) changed: Arc<Notify>,
}

pub(crate) struct Inner {
    pub(crate) disks: Vec<Disk>,
    random: ChaCha12Rng,
    orders: Vec<Order>,
    usable: Usable,
    pub(crate) clients: BTreeMap<Client, Holding>,
    pub(crate) report: Report,
    pub(crate) violation: Option<String>,
    story: VecDeque<String>,
    pub(crate) quiet: bool,
    pub(crate) pending: BTreeMap<u64, Wish>,
}

/// The laboratory of one run.
pub(crate) struct Lab {
    pub(crate) begun: Instant,
    pub(crate) sabotage: Sabotage,
    /// IPv6 addresses that one peer may have of one provider.
    pub(crate) quota: Option<u128>,
    inner: Mutex<Inner>,
    pub(crate) places: Vec<FabricNode>,
    loud: bool,
}

impl Lab {
    pub(crate) fn new(scenario: &Scenario, places: Vec<FabricNode>) -> Arc<Self> {
        let Scenario { seed, sabotage, .. } = *scenario;
        let quota = scenario.quota.then_some(1 << (128 - QUOTA));
        let inner = Inner {
            disks: places.iter().map(|_| Disk::default()).collect(),
            random: ChaCha12Rng::seed_from_u64(seed ^ 0xd15c),
            orders: Vec::new(),
            usable: Usable::default(),
            clients: BTreeMap::new(),
            report: Report::default(),
            violation: None,
            story: VecDeque::new(),
            quiet: false,
            pending: BTreeMap::new(),
        };
        let loud = std::env::var_os("ASA_SIM_LOUD").is_some();
        Arc::new(Self { begun: Instant::now(), sabotage, quota, inner: Mutex::new(inner), places, loud })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line down.
    pub(crate) fn say(&self, text: &str) {
        self.note(&mut self.lock(), text);
    }

    fn note(&self, inner: &mut Inner, text: &str) {
        let line = format!("{:>10.3} {text}", self.begun.elapsed().as_secs_f64());
        if self.loud {
            println!("{line}");
        }
        if inner.story.len() >= LINES {
            inner.story.pop_front();
        }
        inner.report.digest(&line);
        inner.story.push_back(line);
    }

    /// The last lines.
    pub(crate) fn story(&self) -> String {
        self.lock().story.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Takes a violation down; the first one counts.
    pub(crate) fn violated(&self, what: String) {
        let mut inner = self.lock();
        self.note(&mut inner, &format!("VIOLATION {what}"));
        inner.violation.get_or_insert(what);
    }

    /// Begins a life of a node, on a new boot of its machine or not; returns its number.
    pub(crate) fn rise(&self, node: usize) -> u64 {
        let mut inner = self.lock();
        let disk = &mut inner.disks[node];
        disk.up = true;
        disk.booted.get_or_insert_with(Instant::now);
        let (life, boot) = (disk.life, disk.boot);
        self.note(&mut inner, &format!("n{node} starts: life {life}, boot {boot}"));
        life
    }

    /// The boot of a node's machine, and since when it runs.
    pub(crate) fn boot(&self, node: usize) -> (u32, Instant) {
        let inner = self.lock();
        let disk = &inner.disks[node];
        (disk.boot, disk.booted.unwrap_or_else(Instant::now))
    }

    pub(crate) fn lives(&self, node: usize, life: u64) -> bool {
        let inner = self.lock();
        inner.disks[node].up && inner.disks[node].life == life
    }

    pub(crate) fn life(&self, node: usize) -> Option<u64> {
        let inner = self.lock();
        inner.disks[node].up.then_some(inner.disks[node].life)
    }

    /// Brings a node down at this instant, if it still lives that life.
    pub(crate) fn fall(&self, node: usize, life: u64, blow: Blow, why: &str) -> bool {
        let mut inner = self.lock();
        if !inner.disks[node].up || inner.disks[node].life != life {
            return false;
        }
        let survives = inner.random.random_bool(0.5);
        if let Some(changes) = inner.disks[node].begun.take().filter(|_| survives) {
            let _ = self.change(&mut inner, node, &changes);
        }
        let now = Instant::now();
        let lost: Vec<_> = inner.disks[node].volatile.drain(..).filter(|(due, _)| *due > now).collect();
        for (_, changes) in lost.into_iter().rev() {
            let undone: Vec<_> = changes.into_iter().rev().map(inverse).collect();
            let _ = self.change(&mut inner, node, &undone);
        }
        let disk = &mut inner.disks[node];
        disk.up = false;
        disk.life += 1;
        if blow == Blow::Power {
            disk.boot += 1;
            disk.booted = None;
        }
        disk.changed.notify_one();
        self.note(&mut inner, &format!("n{node} goes down ({blow:?}): {why}"));
        drop(inner);
        match blow {
            Blow::Kill => self.places[node].kill_process(),
            Blow::Power => self.places[node].power_off(),
        }
        true
    }

    /// Carries an order out.
    pub(crate) fn strike(&self, node: usize, life: u64, order: &Order) {
        let Order { label, moment, blow } = order;
        if self.fall(node, life, *blow, &format!("{moment:?} {label}")) {
            self.lock().report.crash(label, *moment);
        }
    }

    pub(crate) fn order(&self, order: Order) {
        self.lock().orders.push(order);
    }

    pub(crate) fn disarm(&self) {
        self.lock().orders.clear();
    }

    /// Decides what becomes of a batch.
    pub(crate) fn fate(&self, changes: &[Change<Record>]) -> Fate {
        let mut inner = self.lock();
        if inner.orders.is_empty() {
            return Fate::None;
        }
        let (deleted, put) = label::net(changes);
        let steps = label::steps(&deleted, &put);
        let Some(at) = inner.orders.iter().position(|order| steps.iter().any(|(label, _)| label == order.label)) else {
            return Fate::None;
        };
        let order = inner.orders.remove(at);
        match order.moment {
            Moment::Before => Fate::Before(order),
            Moment::After => Fate::After(order),
            Moment::Soon => {
                let delay = Duration::from_micros(inner.random.random_range(0..40_000));
                Fate::Soon(order, delay)
            }
        }
    }

    pub(crate) fn break_disk(&self, node: usize, fault: DiskFault, time: Duration) {
        let mut inner = self.lock();
        self.note(&mut inner, &format!("n{node} disk: {fault:?} for {time:?}"));
        inner.disks[node].fault = fault;
        inner.disks[node].healed = Some(Instant::now() + time);
    }

    /// How the disk behaves now, and how long it takes.
    pub(crate) fn disk_weather(&self, node: usize) -> (DiskFault, Duration) {
        let mut inner = self.lock();
        let disk = &mut inner.disks[node];
        if disk.healed.is_none_or(|healed| healed <= Instant::now()) {
            disk.fault = DiskFault::None;
        }
        let fault = disk.fault;
        let longest = if fault == DiskFault::Slow { 2_000_000 } else { 8_000 };
        let time = Duration::from_micros(inner.random.random_range(0..longest));
        (fault, time)
    }

    /// What a node finds on its disk.
    pub(crate) fn load(&self, node: usize) -> Vec<Record> {
        let mut inner = self.lock();
        if self.sabotage == Sabotage::FreeOnRestart {
            let freed = |record: &Record| match record {
                Record::Block { block, state: State::Offered(_) | State::Doubt { way: Way::Out, .. } } => Some(*block),
                _ => None,
            };
            let all: Vec<(Record, Prefix)> =
                inner.disks[node].set.iter().filter_map(|record| Some((record.clone(), freed(record)?))).collect();
            for (record, block) in all {
                let free = Record::Block { block, state: State::Free };
                let _ = self.change(&mut inner, node, &[Change::Delete(record), Change::Put(free)]);
            }
        }
        inner.disks[node].set.iter().cloned().collect()
    }

    pub(crate) fn begin(&self, node: usize, changes: Option<Vec<Change<Record>>>) {
        self.lock().disks[node].begun = changes;
    }

    /// Makes a batch durable.
    pub(crate) fn apply(&self, node: usize, changes: &[Change<Record>]) -> Result<(), String> {
        let mut inner = self.lock();
        self.change(&mut inner, node, changes)?;
        if self.sabotage == Sabotage::EarlyAcknowledgement {
            let due = Instant::now() + Duration::from_millis(inner.random.random_range(20..500));
            let volatile = &mut inner.disks[node].volatile;
            while volatile.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                volatile.pop_front();
            }
            // In order: a later batch is not durable before an earlier one.
            let due = volatile.back().map_or(due, |(last, _)| due.max(*last));
            volatile.push_back((due, changes.to_vec()));
        }
        Ok(())
    }

    fn change(&self, inner: &mut Inner, node: usize, changes: &[Change<Record>]) -> Result<(), String> {
        apply(&mut inner.disks[node].set, changes)?;
        let (deleted, put) = label::net(changes);
        let steps = label::steps(&deleted, &put);
        inner.report.commit(steps.iter().map(|(label, _)| label.as_str()));
        if !steps.is_empty() {
            let told = steps.iter().map(|(label, block)| match block {
                Some(block) => format!(" {label} {block}"),
                None => format!(" {label}"),
            });
            let told: String = told.collect();
            self.note(inner, &format!("n{node} commits:{told}"));
        }
        for (records, there) in [(&deleted, false), (&put, true)] {
            for record in records {
                let Record::Block { block, state } = record else { continue };
                if !check::is_usable(state) {
                    continue;
                }
                if !there {
                    inner.usable.remove(node, block);
                } else if let Some((other, theirs)) = inner.usable.insert(node, *block) {
                    let what = format!("{block} of n{node} ({}) overlaps {theirs} of n{other}", state.name());
                    self.note(inner, &format!("VIOLATION {what}"));
                    inner.violation.get_or_insert(what);
                }
            }
        }
        Ok(())
    }
}

fn inverse(change: Change<Record>) -> Change<Record> {
    match change {
        Change::Put(record) => Change::Delete(record),
        Change::Delete(record) => Change::Put(record),
    }
}

/// A question of a client that has not been answered.
pub(crate) struct Wish {
    pub(crate) since: Instant,
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) client: String,
    pub(crate) want: Want,
}

impl Inner {
    pub(crate) fn wish(&mut self, node: usize, life: u64, client: String, want: Want) -> u64 {
        let id = self.pending.keys().next_back().map_or(0, |last| last + 1);
        self.pending.insert(id, Wish { since: Instant::now(), node, life, client, want });
        id
    }
}

impl Lab {
    /// All disks work again.
    pub(crate) fn heal(&self) {
        for disk in &mut self.lock().disks {
            disk.fault = DiskFault::None;
        }
    }

    /// Whether an origin has a free block that holds one of this length, and is a neighbour of that node: discovery goes no
    /// further than to the first who knows the objective, so that an origin behind others is not asked by the node itself.
    pub(crate) fn origin_has(&self, scenario: &Scenario, node: usize, family: Family, length: u8) -> bool {
        let inner = self.lock();
        let linked = |other: usize| scenario.links.contains(&(node, other)) || scenario.links.contains(&(other, node));
        let origins = scenario.members.iter().enumerate().filter(|(other, member)| member.origin && linked(*other));
        origins.map(|(other, _)| &inner.disks[other]).any(|disk| {
            disk.set.iter().any(|record| match record {
                Record::Block { block, state: State::Free } => block.family() == family && block.length() <= length,
                _ => false,
            })
        })
    }
}
