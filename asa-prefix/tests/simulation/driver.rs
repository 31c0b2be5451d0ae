//! What happens to the nodes: clients come and go, links fail, disks fail, nodes fail.

use super::check;
use super::lab::{Blow, Holding, Moment, Order, Sabotage};
use super::label::REQUIRED;
use super::store::DiskFault;
use super::world::{INSTANCE, World};
use asa_prefix::delegator::{Explain, Give, Take};
use asa_prefix::pool::record::{Record, Source, State};
use asa_prefix::pool::{Ask, Request};
use asa_prefix::prefix::{Family, Prefix, Want};
use asa_prefix::wire::{Form, Shape, write_request};
use grasp::net::memory::{Conditions, FabricNode};
use grasp::{Negotiated, Objective};
use rand::RngExt;
use rand::seq::IndexedRandom;
use std::rc::Rc;
use std::time::Duration;
use supervision::Fault;
use tokio::time::Instant;

/// Longer than a client may wait for its answer: the delegator's patience, and a slow disk.
const PATIENCE: Duration = Duration::from_secs(90);
/// All must have come to rest after so long: a peer that fell silent is given up after ten minutes.
const REST: Duration = Duration::from_secs(2400);
const ROLES: [&str; 6] = ["pool", "delegator", "negotiator", "settler", "returner", "correspondent"];

impl World {
    fn any_node(&self) -> usize {
        let nodes = self.scenario.members.len();
        self.draw(|random| random.random_range(0..nodes))
    }

    /// Some client of some node asks for something, for the first time or again.
    fn take(self: &Rc<Self>) {
        let node = self.any_node();
        let (name, v4, length) = self.draw(|random| {
            let length = *[64, 64, 64, 64, 63, 62, 60].choose(random).unwrap_or(&64);
            (format!("c{}", random.random_range(0..6)), random.random_bool(0.3), length)
        });
        let want = if v4 && self.scenario.ipv4 { Want::new(Family::V4, 32) } else { Want::new(Family::V6, length) };
        self.take_for(node, name, want.unwrap());
    }

    fn take_for(self: &Rc<Self>, node: usize, name: String, want: Want) {
        let Some((life, handles)) = self.handles(node) else { return };
        let id = {
            let mut inner = self.lab.lock();
            // One question of a client at a time.
            if inner.pending.values().any(|wish| wish.node == node && wish.life == life && wish.client == name) {
                return;
            }
            inner.report.count("requests of clients");
            inner.wish(node, life, name.clone(), want)
        };
        let world = self.clone();
        tokio::task::spawn_local(async move {
            let answer = handles.delegator.send(Take { client: name.clone(), want }).await;
            let alive = world.lab.lives(node, life);
            let mut inner = world.lab.lock();
            inner.pending.remove(&id);
            if !alive {
                return;
            }
            let Ok(Ok(block)) = answer else {
                inner.report.count("requests refused");
                return;
            };
            inner.report.count("requests granted");
            let now = Instant::now();
            let until = world.scenario.valid.map(|valid| now + Duration::from_secs(valid.into()));
            let old = inner.clients.insert((node, name.clone(), want), Holding { block, until });
            drop(inner);
            world.lab.say(&format!("n{node} gives {name} {block} for {want}"));
            let kept = old.filter(|old| old.until.is_none_or(|until| until > now));
            if let Some(old) = kept.filter(|old| old.block != block) {
                world.lab.violated(format!("{name} of n{node} had {} and gets {block} for {want}", old.block));
            }
            let checked = check::clients(&world.lab.lock());
            if let Err(what) = checked {
                world.lab.violated(what);
            }
        });
    }

    /// Some client gives back what it has.
    fn give(self: &Rc<Self>) {
        let now = Instant::now();
        let chosen = {
            let inner = self.lab.lock();
            let valid = |holding: &Holding| holding.until.is_none_or(|until| until > now);
            let all: Vec<_> = inner.clients.iter().filter(|(_, holding)| valid(holding)).collect();
            self.draw(|random| all.choose(random).map(|(client, holding)| ((*client).clone(), holding.block)))
        };
        let Some(((node, name, want), block)) = chosen else { return };
        let Some((life, handles)) = self.handles(node) else { return };
        {
            let mut inner = self.lab.lock();
            if inner.pending.values().any(|wish| wish.node == node && wish.life == life && wish.client == name) {
                return;
            }
            inner.clients.remove(&(node, name.clone(), want));
            inner.report.count("releases of clients");
        }
        self.lab.say(&format!("{name} of n{node} gives {block} back"));
        let id = self.lab.lock().wish(node, life, name.clone(), want);
        let lab = self.lab.clone();
        tokio::task::spawn_local(async move {
            let _ = handles.delegator.send(Give { client: name, block }).await;
            lab.lock().pending.remove(&id);
        });
    }

    /// Somebody who only wants to know what he would get.
    fn dry_run(self: &Rc<Self>) {
        let Some((_, deployment)) = self.deployment(self.any_node()) else { return };
        self.lab.lock().report.count("dry runs");
        let asks = self.draw(|random| random.random_bool(0.5));
        tokio::task::spawn_local(async move {
            let Ok(asa) = deployment.grasp().register_asa("dry").await else { return };
            let want = Want::new(Family::V6, 64).unwrap();
            let value = write_request(Form::plain(Shape::F2), want).unwrap();
            let objective = Objective::negotiation("PrefixManager").with_loop_count(6).dry_run().with_value(value);
            let limit = Duration::from_secs(5);
            if let Ok(Negotiated::Offered(talk, _)) = asa.request_negotiate(&objective, None, limit).await {
                let _ = talk.end_negotiate(asks, None).await;
            }
            let _ = deployment.grasp().deregister_asa(asa.handle(), "dry").await;
        });
    }

    /// A node hands something back that is idle, long before it would.
    fn hand_back(&self) {
        let node = self.any_node();
        let idle: Vec<Prefix> = {
            let inner = self.lab.lock();
            let set = &inner.disks[node].set;
            let taken = set.iter().filter_map(|record| match record {
                Record::Aggregate { block, source: Source::Peer(_), .. } => Some(*block),
                _ => None,
            });
            taken.filter(|block| set.contains(&Record::Block { block: *block, state: State::Free })).collect()
        };
        let Some((_, handles)) = self.handles(node) else { return };
        if let Some(block) = self.draw(|random| idle.choose(random).copied()) {
            self.lab.lock().report.count("hand-backs");
            handles.pool.do_send(Ask(Request::Return(block)));
        }
    }

    fn weather(self: &Rc<Self>) {
        let conditions = self.draw(|random| Conditions {
            latency: Duration::from_micros(random.random_range(100..40_000)),
            jitter: Duration::from_micros(random.random_range(0..10_000)),
            loss: if random.random_bool(0.5) { random.random_range(0.0..0.3) } else { 0.0 },
            ..self.scenario.conditions
        });
        self.lab.lock().report.count("changes of the links");
        self.conditions(conditions);
    }

    fn partition(self: &Rc<Self>) {
        let apart: Vec<&FabricNode> = {
            let part = self.draw(|random| random.random_range(0.1..0.5));
            self.lab.places.iter().filter(|_| self.draw(|random| random.random_bool(part))).collect()
        };
        let time = self.draw(|random| Duration::from_millis(random.random_range(20..20_000)));
        self.lab.lock().report.count("partitions");
        self.lab.say(&format!("{} nodes are cut off for {time:?}", apart.len()));
        self.fabric.partition(&apart);
        let world = self.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(time).await;
            world.lab.say("the network is whole");
            world.fabric.partition(&[]);
        });
    }

    fn disk(&self) {
        let node = self.any_node();
        let (fault, time) = self.draw(|random| {
            let all = [DiskFault::Refuse, DiskFault::Doubt, DiskFault::Slow, DiskFault::Dead];
            let fault = *all.choose(random).unwrap_or(&DiskFault::Slow);
            (fault, Duration::from_millis(random.random_range(5..8_000)))
        });
        self.lab.lock().report.count("faults of disks");
        self.lab.break_disk(node, fault, time);
    }

    fn actor_fault(&self) {
        let Some((_, deployment)) = self.deployment(self.any_node()) else { return };
        let (role, at) = self.draw(|random| (ROLES[random.random_range(0..ROLES.len())], random.random_range(1..12)));
        if deployment.tree().arm(INSTANCE, role, Fault::Panic, at) {
            self.lab.lock().report.count("panics of actors");
            self.lab.say(&format!("{role} is to panic at input {at}"));
        }
    }

    fn crash(&self) {
        let node = self.any_node();
        let blow = self.blow();
        if let Some(life) = self.lab.life(node)
            && self.lab.fall(node, life, blow, "at random")
        {
            self.lab.lock().report.count("crashes at random");
        }
    }

    fn blow(&self) -> Blow {
        if self.draw(|random| random.random_bool(0.5)) { Blow::Kill } else { Blow::Power }
    }

    fn order(&self, turn: u64) {
        let moments = [Moment::Before, Moment::After, Moment::Soon];
        let moment = self.draw(|random| moments[random.random_range(0..3)]);
        let label = REQUIRED[usize::try_from(turn).unwrap_or_default() % REQUIRED.len()];
        self.lab.order(Order { label, moment, blow: self.blow() });
    }

    /// What age must not decide (PM-S-18), decided by age.
    fn sabotage_doubts(&self, moved: bool) {
        for node in 0..self.scenario.members.len() {
            let doubts: Vec<Prefix> = self.lab.lock().disks[node]
                .set
                .iter()
                .filter_map(|record| match record {
                    Record::Block { block, state: State::Doubt { .. } } => Some(*block),
                    _ => None,
                })
                .collect();
            let Some((_, handles)) = self.handles(node) else { continue };
            for block in doubts {
                handles.pool.do_send(Ask(Request::Resolve { block, moved }));
            }
        }
    }

    /// Everything goes wrong for a while.
    pub(crate) async fn storm(self: &Rc<Self>) -> Result<(), String> {
        let end = Instant::now() + self.scenario.storm;
        let mut turn = self.scenario.seed.wrapping_mul(7);
        let mut checked = Instant::now();
        let scale = if self.is_graph() { 3 } else { 1 };
        while Instant::now() < end {
            let pause = self.draw(|random| self.scenario.pause.mul_f64(random.random_range(0.1..2.0))) / scale;
            tokio::time::sleep(pause).await;
            let die = self.draw(|random| random.random_range(0..1000));
            match die {
                0..620 => self.take(),
                620..830 => self.give(),
                830..850 => self.hand_back(),
                850..870 => self.weather(),
                870..885 => self.partition(),
                885..905 => self.disk(),
                905..925 => self.actor_fault(),
                925..940 => self.crash(),
                940..945 => self.restart(self.any_node()),
                945..960 if self.scenario.dry => self.dry_run(),
                _ => {
                    self.order(turn);
                    turn += 1;
                }
            }
            match self.sabotage() {
                Sabotage::FreeOnTimeout if die % 10 == 0 => self.sabotage_doubts(false),
                Sabotage::TakenOnTimeout if die % 10 == 0 => self.sabotage_doubts(true),
                _ => {}
            }
            if checked + Duration::from_millis(500) < Instant::now() {
                checked = Instant::now();
                self.check()?;
            }
        }
        self.check()
    }

    fn check(&self) -> Result<(), String> {
        check::always(&self.lab)?;
        let inner = self.lab.lock();
        let alive = |wish: &&super::lab::Wish| inner.disks[wish.node].up && inner.disks[wish.node].life == wish.life;
        match inner.pending.values().filter(alive).find(|wish| wish.since.elapsed() > PATIENCE) {
            Some(wish) => Err(format!(
                "{} of n{} waits for {} since {:?}",
                wish.client,
                wish.node,
                wish.want,
                wish.since.elapsed()
            )),
            None => Ok(()),
        }
    }

    /// Nothing goes wrong any more: all has to come to rest.
    pub(crate) async fn rest(self: &Rc<Self>) -> Result<(), String> {
        self.lab.lock().quiet = true;
        self.lab.disarm();
        self.lab.heal();
        self.conditions(Conditions { latency: Duration::from_millis(1), ..Conditions::default() });
        self.fabric.partition(&[]);
        self.lab.say("all is well from now on");
        let begun = Instant::now();
        let mut at_rest = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            self.fabric.partition(&[]);
            self.check()?;
            match self.sabotage() {
                Sabotage::FreeOnTimeout => self.sabotage_doubts(false),
                Sabotage::TakenOnTimeout => self.sabotage_doubts(true),
                _ => {}
            }
            let mut open = check::unsettled(&self.lab);
            if open.is_empty() {
                open.extend(self.hungry().await);
                // Asking takes time, in which a negotiation may have begun.
                open.extend(check::unsettled(&self.lab));
            }
            at_rest = if open.is_empty() { at_rest + 1 } else { 0 };
            if at_rest >= 3 {
                break;
            }
            if begun.elapsed() > REST {
                return Err(format!("after {REST:?} of quiet: {}", open.join("; ")));
            }
        }
        check::at_rest(&self.lab, &self.scenario.stock)?;
        // What is at rest stays so, whoever is struck (PM-S-21).
        for node in 0..self.scenario.members.len() {
            if let Some(life) = self.lab.life(node) {
                self.lab.fall(node, life, self.blow(), "at rest");
            }
        }
        let begun = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            self.check()?;
            let open = check::unsettled(&self.lab);
            if open.is_empty() {
                return check::at_rest(&self.lab, &self.scenario.stock);
            }
            if begun.elapsed() > REST {
                return Err(format!("after {REST:?} of quiet and one restart: {}", open.join("; ")));
            }
        }
    }

    /// Nodes that are short although an origin that they can ask has what they want.
    async fn hungry(&self) -> Vec<String> {
        let mut hungry = Vec::new();
        if self.scenario.quota {
            return hungry;
        }
        for node in 0..self.scenario.members.len() {
            let Some((_, handles)) = self.handles(node) else {
                hungry.push(format!("n{node} is not there"));
                continue;
            };
            if self.scenario.members[node].origin {
                continue;
            }
            let explained = match handles.delegator.send(Explain).await {
                Ok(Ok(explained)) => explained,
                other => {
                    hungry.push(format!("n{node}: {other:?}"));
                    continue;
                }
            };
            for (family, next) in explained.next {
                let length =
                    next.split_once(" /").and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
                let Some(length) = length.and_then(|digits| digits.parse::<u8>().ok()) else { continue };
                // The form F1 cannot ask for IPv4.
                if family == Family::V4 && self.scenario.members[node].parameters.contains("'F1'") {
                    continue;
                }
                if self.lab.origin_has(&self.scenario, node, family, length) {
                    hungry.push(format!("n{node} is short, and an origin has it: {next}"));
                }
            }
        }
        hungry
    }
}
