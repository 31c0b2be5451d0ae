//! One incarnation of an instance: built from its mandate, proven healthy, drained, taken down.

use super::{Fallen, Root};
use crate::class::{Belongings, Class, Description, Mandate, Query, RoleHandle, Site};
use crate::event::Events;
use crate::node_config::restart_limits;
use crate::roles::{Activity, Control, Load, Outstanding};
use actix::prelude::*;
use grasp::{Asa, Grasp};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use supervision::{Condition, Escalated, Placement, Supervisor, Tree};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// How long a role may take to answer the root.
const ANSWER: Duration = Duration::from_secs(1);
/// Pause between two looks at what is in hand or healthy.
const LOOK: Duration = Duration::from_millis(20);
/// How long all roles have to serve without a fault before an incarnation counts as healthy, at least.
const PROBATION: Duration = Duration::from_millis(500);

/// What incarnations are built with.
#[derive(Clone)]
pub(super) struct Kit {
    pub(super) grasp: Grasp,
    pub(super) tree: Tree,
    pub(super) events: Events,
    /// Every incarnation has a thread of its own.
    pub(super) threads: bool,
    pub(super) root: Addr<Root>,
}

/// What one incarnation is built from.
pub(super) struct Blueprint {
    pub(super) class: &'static dyn Class,
    pub(super) mandate: Arc<Mandate>,
    /// Counts up over all incarnations of an instance.
    pub(super) number: u64,
    pub(super) active: bool,
    pub(super) seed: [u8; 32],
    pub(super) store: Arc<Semaphore>,
    pub(super) belongings: Belongings,
    /// How long it may take to assemble it.
    pub(super) limit: Option<Duration>,
}

/// Tells the root which incarnation has given up: while one replaces another, two bear the same name.
struct Messenger {
    root: Addr<Root>,
    number: u64,
    word: Rc<RefCell<Option<Escalated>>>,
}

impl Actor for Messenger {
    type Context = Context<Self>;
}

impl Handler<Escalated> for Messenger {
    type Result = ();

    fn handle(&mut self, escalated: Escalated, _: &mut Context<Self>) {
        let (instance, number, blocked) = (escalated.owner.clone(), self.number, escalated.blocked);
        *self.word.borrow_mut() = Some(escalated);
        self.root.do_send(Fallen { instance, number, blocked });
    }
}

/// A running incarnation.
pub(super) struct Incarnation {
    pub(super) class: &'static dyn Class,
    pub(super) mandate: Arc<Mandate>,
    pub(super) registered: String,
    pub(super) description: Description,
    pub(super) desk: Option<Recipient<Query>>,
    pub(super) activity: Activity,
    pub(super) number: u64,
    /// That it has given up, until somebody acts on it.
    pub(super) word: Rc<RefCell<Option<Escalated>>>,
    asa: Asa,
    grasp: Grasp,
    supervisor: Supervisor,
    arbiter: Option<Arbiter>,
    roles: Vec<RoleHandle>,
}

/// What these roles have in hand, as far as they answer.
async fn load_of(roles: &[RoleHandle]) -> Load {
    let asked = roles.iter().map(|role| timeout(ANSWER, role.load.send(Outstanding)));
    let answers = futures_util::future::join_all(asked).await;
    let all = answers.into_iter().filter_map(|answer| answer.ok()?.ok());
    all.fold(Load::default(), |sum, load| Load { busy: sum.busy + load.busy, promises: sum.promises + load.promises })
}

/// Waits until these roles have nothing in hand or the time has come; returns what is left.
///
/// Nothing is in hand if two looks in a row say so: a request may be on its way to a role that has just stopped listening.
async fn idle(roles: &[RoleHandle], until: Instant) -> usize {
    let mut idle = false;
    loop {
        let busy = load_of(roles).await.busy;
        if Instant::now() >= until || (busy == 0 && idle) {
            return busy;
        }
        idle = busy == 0;
        tokio::time::sleep(LOOK).await;
    }
}

impl Kit {
    /// Builds an incarnation; what has been started is stopped again if the class cannot assemble it.
    pub(super) async fn build(&self, blueprint: Blueprint) -> Result<Incarnation, grasp::Error> {
        let Blueprint { class, mandate, number, active, seed, store, belongings, limit } = blueprint;
        let arbiter = self.threads.then(Arbiter::new);
        let placement = arbiter.as_ref().map_or(Placement::Here, |arbiter| Placement::Arbiter(arbiter.handle()));
        let restart = restart_limits(&mandate.settings.restart);
        let word = Rc::new(RefCell::new(None));
        let boss = Messenger { root: self.root.clone(), number, word: word.clone() }.start().recipient();
        let supervisor = Supervisor::start(&mandate.instance, &self.tree, placement, restart, seed, boss);
        let activity = Activity::new(active);
        let roles = Rc::new(RefCell::new(Vec::new()));
        let registered = if number == 1 { mandate.instance.clone() } else { format!("{}#{number}", mandate.instance) };
        let site = Site {
            grasp: self.grasp.clone(),
            mandate: mandate.clone(),
            events: self.events.clone(),
            activity: activity.clone(),
            seed,
            store,
            registered: registered.clone(),
            belongings,
            supervisor: supervisor.clone(),
            roles: roles.clone(),
        };
        let assembling = class.assemble(site);
        let assembled = match limit {
            None => assembling.await,
            Some(limit) => timeout(limit, assembling).await.unwrap_or_else(|_| {
                let message = format!("not assembled within {} ms", limit.as_millis());
                Err(grasp::Error::new(grasp::ErrorCode::Unspecified, message))
            }),
        };
        match assembled {
            Ok(agent) => {
                let (asa, description, desk, roles) = (agent.asa, agent.description, agent.desk, roles.take());
                let grasp = self.grasp.clone();
                Ok(Incarnation {
                    class,
                    mandate,
                    registered,
                    description,
                    desk,
                    activity,
                    number,
                    word,
                    asa,
                    grasp,
                    supervisor,
                    arbiter,
                    roles,
                })
            }
            Err(error) => {
                supervisor.stop(ANSWER).await;
                if let Some(arbiter) = arbiter {
                    arbiter.stop();
                }
                Err(error)
            }
        }
    }
}

impl Incarnation {
    /// Sets it up or down; roles that are being restarted learn of it when they begin.
    pub(super) fn set_active(&self, active: bool) {
        self.activity.set(active);
        let control = if active { Control::Activate } else { Control::Deactivate };
        // Dependants are set down first and set up last.
        let tell = |role: &RoleHandle| role.control.do_send(control);
        if active { self.roles.iter().for_each(tell) } else { self.roles.iter().rev().for_each(tell) }
    }

    /// What it has in hand, as far as its roles answer.
    pub(super) fn load(&self) -> impl Future<Output = Load> + 'static {
        let roles = self.roles.clone();
        async move { load_of(&roles).await }
    }

    pub(super) fn asa(&self) -> &Asa {
        &self.asa
    }

    /// Waits until it has served for a while without a fault.
    ///
    /// # Errors
    ///
    /// What was wrong, at once if it has failed and at the deadline if it is not ready.
    pub(super) async fn prove(&self, deadline: Instant) -> Result<(), String> {
        let begun = Instant::now();
        let probation = PROBATION.min(deadline.saturating_duration_since(begun) / 4);
        let mut healthy_since = None;
        loop {
            let members = self.supervisor.members();
            if let Some(failed) = members.iter().find(|vitals| vitals.restarts() > 0 || vitals.last_exit().is_some()) {
                let error = failed.last_exit().map(|exit| exit.error).unwrap_or_default();
                return Err(format!("{} {error}", failed.role()));
            }
            let waiting = members.iter().find(|vitals| vitals.condition() != Condition::Running);
            match waiting {
                None if !members.is_empty() => {
                    let since = *healthy_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= probation {
                        break;
                    }
                }
                Some(_) | None => healthy_since = None,
            }
            if Instant::now() >= deadline {
                let who = waiting.map_or("nobody", |vitals| vitals.role());
                return Err(format!("{who} was not ready after {} ms", begun.elapsed().as_millis()));
            }
            tokio::time::sleep(LOOK).await;
        }
        // Running is one thing, answering another.
        let asked = self.roles.iter().map(|role| timeout(ANSWER, role.load.send(Outstanding)));
        let answers = futures_util::future::join_all(asked).await;
        if answers.iter().all(|answer| matches!(answer, Ok(Ok(_)))) {
            Ok(())
        } else {
            Err("a role does not answer".into())
        }
    }

    /// Sets it down role by role, dependants first, each when the one before has nothing in hand any more: what has been begun
    /// finds everything that it needs. Returns what is left after `limit`.
    pub(super) async fn retire(&self, limit: Duration) -> usize {
        self.activity.set(false);
        let until = Instant::now() + limit;
        for role in self.roles.iter().rev() {
            role.control.do_send(Control::Deactivate);
            idle(std::slice::from_ref(role), until).await;
        }
        load_of(&self.roles).await.busy
    }

    /// Waits until nothing is in hand or `limit` is over; returns what is left.
    pub(super) async fn drain(&self, limit: Duration) -> usize {
        idle(&self.roles, Instant::now() + limit).await
    }

    /// Ends it: open sessions are declined, the registration goes, the roles and their thread end. Of a blocked thread only the
    /// handle goes.
    pub(super) async fn take_down(self, blocked: bool) {
        self.activity.set(false);
        if !blocked {
            for role in self.roles.iter().rev() {
                let _ = timeout(ANSWER, role.control.send(Control::Stop)).await;
            }
        }
        // Not left to the last handle: one on a blocked thread would never go.
        let _ = self.grasp.deregister_asa(self.asa.handle(), &self.registered).await;
        self.supervisor.stop(if blocked { Duration::ZERO } else { ANSWER }).await;
        if let Some(arbiter) = self.arbiter.filter(|_| !blocked) {
            arbiter.stop();
        }
    }
}
