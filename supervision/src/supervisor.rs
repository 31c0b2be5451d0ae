//! Between guards and policy: hears of every end, orders what the policy decides, and gives up in good order.

use crate::guard::{Exit, Exited, Order, guard};
use crate::mailbox::Mailbox;
use crate::policy::{Decision, Policy, RestartLimits, RestartStrategy};
use crate::tree::{Incident, Tree};
use crate::vitals::{Condition, Vitals};
use crate::{Child, Fresh, Probe};
use actix::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How long a guard may take to take an order before its thread counts as blocked.
const OBEDIENCE: Duration = Duration::from_secs(1);
/// Pause between looks at whether all children have ended.
const LOOK: Duration = Duration::from_millis(5);
/// Messages that wait for a child before [`Mailbox::try_send`] refuses; an actor may set another bound for itself.
const MAILBOX: usize = 64;

/// Whether a child may end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It runs until it is told to stop; any end is a failure.
    Permanent,
    /// It may end when its work is done; only a panic or a hang is a failure.
    Transient,
}

/// On which thread children run.
#[derive(Debug, Clone)]
pub enum Placement {
    /// On the thread of whoever starts them.
    Here,
    /// On the thread of this arbiter.
    Arbiter(ArbiterHandle),
}

/// Restarting does not help any more, or cannot be done: all children have been told to stop.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Escalated {
    /// Whose children they were.
    pub owner: String,
    /// The one whose end was too much.
    pub role: String,
    /// How it ended.
    pub exit: Exit,
    /// Its thread is blocked: nothing on it can be used again.
    pub blocked: bool,
}

/// A handle on a supervisor; cloning gives another.
#[derive(Clone)]
pub struct Supervisor {
    owner: String,
    tree: Tree,
    placement: Placement,
    actor: Mailbox<Overseer>,
    orders: UnboundedSender<Order>,
    /// Its id in the tree, under which everything of its own is entered.
    group: u64,
}

impl Supervisor {
    /// Starts a supervisor on the current thread for the children of `owner`, which run as `placement` says.
    ///
    /// `boss` hears when it gives up, and when it fails itself: then [`Escalated::role`] is `supervisor`.
    #[must_use]
    pub fn start(
        owner: &str,
        tree: &Tree,
        placement: Placement,
        (strategy, limits): (RestartStrategy, RestartLimits),
        seed: [u8; 32],
        boss: Recipient<Escalated>,
    ) -> Self {
        let args = Args { owner: owner.to_owned(), tree: tree.clone(), strategy, limits, seed, boss: boss.clone() };
        let asa = owner.to_owned();
        let failed = Box::new(move |Exited { exit, .. }| {
            let role = SUPERVISOR.to_owned();
            boss.do_send(Escalated { owner: asa.clone(), role, exit, blocked: false });
        });
        let Guarded { mailbox, orders, future, id } =
            guarded(true, owner, SUPERVISOR, tree, failed, move |_| Overseer::new(args));
        actix::spawn(future);
        Self { owner: owner.to_owned(), tree: tree.clone(), placement, actor: mailbox, orders, group: id }
    }

    /// Starts a child. Its address is valid at once and over all its lives; `make` gets it and runs on the child's thread.
    pub fn child<A: Child>(
        &self,
        role: &str,
        lifetime: Lifetime,
        make: impl FnOnce(Mailbox<A>) -> A + Send + 'static,
    ) -> Mailbox<A> {
        let (tree, actor) = (self.tree.clone(), self.actor.clone());
        let boss = self.actor.recipient();
        let id = tree.next_id();
        let vitals = tree.vitals(&self.owner, role);
        let (sender, receiver) = dev::channel::channel(MAILBOX);
        let (orders, inbox) = unbounded_channel();
        let mailbox = Mailbox::new(Addr::new(sender), vitals.clone());
        tree.insert(id, self.group, vitals.clone(), Some((mailbox.recipient(), boss.clone())));
        actor.do_send(Adopt { id, lifetime, orders, vitals: vitals.clone(), _keep: mailbox.recipient() });
        let own = mailbox.clone();
        let run = move || {
            let future = Context::with_receiver(receiver).into_future(make(own));
            actix::spawn(guard(id, vitals, future, inbox, boss));
        };
        match &self.placement {
            Placement::Here => run(),
            Placement::Arbiter(arbiter) => {
                arbiter.spawn_fn(run);
            }
        }
        mailbox
    }

    /// Stops one child and forgets it.
    pub fn dismiss<A: Actor>(&self, child: &Mailbox<A>) {
        self.actor.do_send(Dismiss(child.vitals().clone()));
    }

    /// Stops all children in reverse order and the supervisor after them; tells whether all have ended within `limit`.
    pub async fn stop(&self, limit: Duration) -> bool {
        let ended = self.actor.send(StopAll).await.unwrap_or_default();
        let deadline = tokio::time::Instant::now() + limit;
        let all = loop {
            if ended.iter().all(|vitals| vitals.condition() == Condition::Stopped) {
                break true;
            }
            if tokio::time::Instant::now() >= deadline {
                break false;
            }
            tokio::time::sleep(LOOK).await;
        };
        let _ = self.orders.send(Order::Stop);
        self.tree.members(self.group).into_iter().for_each(|(id, _)| self.tree.remove(id));
        all
    }

    /// Vital signs for actors that live once, such as all sessions of a node; see [`contain`](crate::contain). They go with the
    /// supervisor.
    #[must_use]
    pub fn shared(&self, role: &str) -> Arc<Vitals> {
        self.tree.shared_in(self.group, &self.owner, role)
    }

    /// The vital signs of the supervisor itself and of its children, in the order in which they were started.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<Vitals>> {
        self.tree.members(self.group).into_iter().map(|(_, vitals)| vitals).collect()
    }
}

/// What supervisors are called among their children.
const SUPERVISOR: &str = "supervisor";

/// A guarded actor on this thread whose guard is yet to be spawned.
struct Guarded<A: Actor> {
    id: u64,
    mailbox: Mailbox<A>,
    orders: UnboundedSender<Order>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

fn guarded<A: Child>(
    leads: bool,
    owner: &str,
    role: &str,
    tree: &Tree,
    tell: Box<dyn FnMut(Exited)>,
    make: impl FnOnce(Mailbox<A>) -> A,
) -> Guarded<A> {
    let id = tree.next_id();
    let vitals = tree.vitals(owner, role);
    let (sender, receiver) = dev::channel::channel(MAILBOX);
    let (orders, inbox) = unbounded_channel();
    let boss = Tell { orders: Some(orders.clone()), tell }.start().recipient();
    let mailbox = Mailbox::new(Addr::new(sender), vitals.clone());
    let group = if leads { id } else { 0 };
    tree.insert(id, group, vitals.clone(), Some((mailbox.recipient(), boss.clone())));
    let future = Context::with_receiver(receiver).into_future(make(mailbox.clone()));
    Guarded { id, mailbox, orders, future: Box::pin(guard(id, vitals, future, inbox, boss)) }
}

/// Starts an actor that nobody restarts, such as the root of everything: `on_exit` hears how it ended. It is watched like any
/// child, and lives until the last address of it goes or it ends.
pub fn stand_alone<A: Child>(
    owner: &str,
    role: &str,
    tree: &Tree,
    mut on_exit: impl FnMut(Exit) + 'static,
    make: impl FnOnce(Mailbox<A>) -> A,
) -> Mailbox<A> {
    let tree_too = tree.clone();
    let tell = Box::new(move |Exited { id, exit, .. }| {
        tree_too.remove(id);
        on_exit(exit);
    });
    let Guarded { mailbox, future, .. } = guarded(false, owner, role, tree, tell, make);
    actix::spawn(future);
    mailbox
}

/// Tells of an end to whoever is no actor, and orders nothing ever: the guard of a child that has ended ends with it.
struct Tell {
    orders: Option<UnboundedSender<Order>>,
    tell: Box<dyn FnMut(Exited)>,
}

impl Actor for Tell {
    type Context = Context<Self>;
}

impl Handler<Exited> for Tell {
    type Result = ();

    fn handle(&mut self, exited: Exited, _: &mut Context<Self>) {
        if exited.exit != Exit::Hung {
            self.orders = None;
        }
        (self.tell)(exited);
    }
}

#[derive(Clone)]
struct Args {
    owner: String,
    tree: Tree,
    strategy: RestartStrategy,
    limits: RestartLimits,
    seed: [u8; 32],
    boss: Recipient<Escalated>,
}

/// The actor behind the handle.
pub(crate) struct Overseer {
    args: Args,
    policy: Policy,
    random: ChaCha12Rng,
    /// In the order in which they were started.
    children: Vec<Ward>,
    escalated: bool,
}

struct Ward {
    id: u64,
    life: u64,
    lifetime: Lifetime,
    orders: UnboundedSender<Order>,
    vitals: Arc<Vitals>,
    /// A child whose last address goes would end, or could not be restarted.
    _keep: Recipient<Probe>,
}

impl Overseer {
    fn new(args: Args) -> Self {
        let policy = Policy::new(args.strategy, args.limits);
        let random = ChaCha12Rng::from_seed(args.seed);
        Self { args, policy, random, children: Vec::new(), escalated: false }
    }

    fn restart(&mut self, children: &[u64], after: Duration) {
        // Dependants go first.
        for ward in self.children.iter_mut().rev().filter(|ward| children.contains(&ward.id)) {
            ward.life += 1;
            // A guard that is gone has an end of its own to report.
            let _ = ward.orders.send(Order::Restart { after, life: ward.life });
        }
    }

    fn escalate(&mut self, role: String, exit: Exit, blocked: bool) {
        self.escalated = true;
        self.stop();
        let owner = self.args.owner.clone();
        self.args.boss.do_send(Escalated { owner, role, exit, blocked });
    }

    fn stop(&self) {
        for ward in self.children.iter().rev() {
            let _ = ward.orders.send(Order::Stop);
        }
    }
}

impl Fresh for Overseer {
    fn fresh(&self) -> Self {
        Self::new(self.args.clone())
    }
}

crate::child!(Overseer);

impl Actor for Overseer {
    type Context = Context<Self>;
}

impl Handler<Exited> for Overseer {
    type Result = ();

    fn handle(&mut self, Exited { id, life, exit }: Exited, ctx: &mut Context<Self>) {
        let Some(ward) = self.children.iter().find(|ward| ward.id == id) else { return };
        let current = if exit == Exit::Hung { ward.vitals.life() } else { life };
        if self.escalated || current != ward.life {
            return;
        }
        let (vitals, lifetime) = (ward.vitals.clone(), ward.lifetime);
        if exit == Exit::Hung {
            if vitals.condition() == Condition::Hung {
                return;
            }
            vitals.set(Condition::Hung);
            vitals.failed(&exit);
        }
        let order: Vec<u64> = self.children.iter().map(|ward| ward.id).collect();
        let now = self.args.tree.now();
        let decision = self.policy.exited(now, &order, id, &exit, lifetime, self.random.random());
        let role = vitals.role().to_owned();
        let incident = Incident { owner: self.args.owner.clone(), role, life: current, exit, decision };
        let Incident { owner: asa, role, exit, decision, .. } = &incident;
        match decision {
            Decision::Ignore => {
                let _ = ward.orders.send(Order::Stop);
                self.args.tree.remove(id);
                self.children.retain(|ward| ward.id != id);
            }
            Decision::Restart { children, after } => {
                let with = children.len() - 1;
                tracing::warn!(asa, role, life, ?exit, ?after, with, "ended; it is restarted");
                self.restart(children, *after);
                if *exit == Exit::Hung {
                    let (role, exit) = (role.clone(), exit.clone());
                    ctx.run_later(OBEDIENCE, move |actor, _| {
                        if vitals.condition() == Condition::Hung && !actor.escalated {
                            tracing::error!(asa = actor.args.owner, role, "its thread is blocked");
                            actor.escalate(role, exit, true);
                        }
                    });
                }
            }
            Decision::Escalate => {
                tracing::error!(asa, role, life, ?exit, "ended too often; giving up on all of them");
                self.escalate(role.clone(), exit.clone(), false);
            }
        }
        self.args.tree.observe(&incident);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Adopt {
    id: u64,
    lifetime: Lifetime,
    orders: UnboundedSender<Order>,
    vitals: Arc<Vitals>,
    _keep: Recipient<Probe>,
}

impl Handler<Adopt> for Overseer {
    type Result = ();

    fn handle(&mut self, Adopt { id, lifetime, orders, vitals, _keep }: Adopt, _: &mut Context<Self>) {
        if self.escalated {
            let _ = orders.send(Order::Stop);
            return;
        }
        self.children.push(Ward { id, life: 1, lifetime, orders, vitals, _keep });
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Dismiss(Arc<Vitals>);

impl Handler<Dismiss> for Overseer {
    type Result = ();

    fn handle(&mut self, Dismiss(vitals): Dismiss, _: &mut Context<Self>) {
        if let Some(place) = self.children.iter().position(|ward| Arc::ptr_eq(&ward.vitals, &vitals)) {
            let ward = self.children.remove(place);
            let _ = ward.orders.send(Order::Stop);
            self.args.tree.remove(ward.id);
        }
    }
}

#[derive(Message)]
#[rtype(result = "Vec<Arc<Vitals>>")]
struct StopAll;

impl Handler<StopAll> for Overseer {
    type Result = Vec<Arc<Vitals>>;

    fn handle(&mut self, _: StopAll, _: &mut Context<Self>) -> Vec<Arc<Vitals>> {
        self.escalated = true;
        self.stop();
        self.children.iter().map(|ward| ward.vitals.clone()).collect()
    }
}
